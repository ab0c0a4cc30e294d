"""The first two layers: against plain loops, closed forms, and the methods that look at one of them alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import reportgen
from reportgen import sampling, texts
from reportgen.errors import NotApplicable
from reportgen.first_layer import first_and_second
from reportgen.methods import first_layers, method
from tests import reference, tiny

ROUNDING = 1e-6
SECOND = {
    "plain": ("features.1", "features.4"),
    "branching": ("norm1", "three"),
    "residual": ("relu", "layer1.relu#1"),
    "functional": ("conv1", "conv2"),
}


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_the_second_layer_is_the_next_convolution_wider_than_one_place_with_what_follows(kind):
    first, second = first_and_second(tiny.tiny_net(kind))
    assert (first.name, second.name) == SECOND[kind]


def test_a_net_with_one_wide_convolution_only_has_no_second_layer():
    layers = [nn.Conv2d(3, 4, 5, 2), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    net = tiny.net_of(tiny.seeded(lambda: nn.Sequential(*layers, nn.Linear(4, 6))))
    with pytest.raises(NotApplicable, match="one convolution only"):
        reportgen.compute("first_layers", net, tiny.dataset(4))


def test_what_fires_what_is_right_and_which_patch_is_strongest_agree_with_a_plain_loop():
    net, data = tiny.tiny_net("plain", "fp64"), tiny.dataset()
    net.module.features[0].weight[2] = 0
    net.module.features[0].bias[2] = -1  # a dead filter whose unit never fires
    found = reportgen.compute("first_layers", net, data)
    first, second, right = [], [], []
    for place in range(len(data)):
        x = net.preprocess([data.load(place).picture])
        first.append(reference.value_of(net.module, x, "features.1")[0].flatten(1).max(dim=1).values)
        second.append(reference.value_of(net.module, x, "features.4")[0].flatten(1).max(dim=1).values)
        name = data.classes[data.labels[place]]
        known = [n for n, own in enumerate(tiny.CLASSES) if name.replace(" ", "_") in own.replace(" ", "_")]
        right += [bool(net.module(x).argmax() == known[0])] if known else []
    numbers = found.numbers
    assert numbers["dead"] == 1
    assert numbers["silent"] == int((torch.stack(first).amax(0) <= 0).sum()) >= 1
    assert numbers["second_silent"] == int((torch.stack(second).amax(0) <= 0).sum())
    assert (numbers["counted"], numbers["top1"]) == (len(right), pytest.approx(np.mean(right)))
    assert 0 < len(right) < len(data)
    patches = reportgen.compute(
        "top_patches", net, data, layer="features.4", count=1, units=found.arrays["units"].tolist()
    )
    assert np.array_equal(found.arrays["patches"], patches.arrays["patches"][:, 0])
    assert np.array_equal(found.arrays["projections"], patches.arrays["projections"][:, 0])


def test_frequencies_and_aliasing_are_those_of_waves_put_in_as_filters():
    net, data = tiny.tiny_net("plain", "fp64"), tiny.dataset(6)
    y, x = np.mgrid[:7, :7]
    weights = np.zeros((8, 3, 7, 7))
    weights[:4, :, 3, 3] = 1.0  # a single pixel: every frequency alike, and 3/4 of it beyond a stride of 2
    weights[4:] = np.exp(-((y - 3) ** 2 + (x - 3) ** 2) / (2 * 1.2**2))
    net.module.features[0].weight.copy_(torch.from_numpy(weights))
    found = reportgen.compute("first_layers", net, data)
    blur = sampling.energy_below(weights[7:], 0.1)[0], sampling.energy_below(weights[7:], 0.25)[0]
    assert found.numbers["low"] == pytest.approx((np.pi * 0.1**2 + blur[0]) / 2, abs=ROUNDING)
    assert found.numbers["high"] == pytest.approx((1 - np.pi * 0.25**2 + 1 - blur[1]) / 2, abs=ROUNDING)
    assert found.numbers["aliased_noise"] == pytest.approx((0.75 + sampling.beyond_grid(weights[7:], (2, 2))[0]) / 2)
    sharp, soft = found.arrays["aliased"][:4].mean(), found.arrays["aliased"][4:].mean()
    assert sharp > 3 * soft > 0
    assert found.numbers["aliased"] == pytest.approx(found.arrays["aliased"].mean(), abs=ROUNDING)


def test_a_set_whose_classes_the_net_does_not_have_gives_no_top1():
    net = tiny.tiny_net("plain")
    found = reportgen.compute("first_layers", net, tiny.dataset(4, classes=("something", "else")))
    assert found.numbers["top1"] is None
    table = first_layers.panels(found)[-1]
    assert not any("top-1" in row[0] for row in table.rows)


def test_the_sheet_shows_every_filter_dead_ones_last_and_pairs_below():
    net = tiny.tiny_net("plain")
    net.module.features[0].weight[0] *= 1e-3
    found = reportgen.compute("first_layers", net, tiny.dataset())
    sheet, frequencies, _ = first_layers.panels(found)
    values = sheet.values[0, 0]
    assert values.shape[0] == 3
    assert values.shape[2] == 896
    assert "the last one dead" in sheet.caption
    filters = found.arrays["filters"]
    dead = filters[0] / np.percentile(np.abs(filters[0]), 99)
    middles = ((np.arange(7) + 0.5) * 71 / 7).astype(int)  # 896 pixels: twelve tiles of 71 with 3 between
    tile = values[:, middles[:, None], 7 * 74 + middles]  # the eighth of eight
    assert np.abs(tile - np.clip(0.5 + dead / 2, 0, 1)).max() < 1 / 255
    assert frequencies.joint
    noise = frequencies.values[1]
    assert noise.sum() == pytest.approx(np.pi / 4)


def test_nets_without_rectification_are_projected_by_the_gradient_and_the_page_says_so():
    net = tiny.tiny_net("plain")
    net = replace(net, card=replace(net.card, rectified=False))
    found = reportgen.compute("first_layers", net, tiny.dataset(6))
    assert found.numbers["rule"] == "gradient"
    assert "the gradient projects back" in method("first_layers").panels(found)[0].caption


TEXT = Path(__file__).parents[2] / "specs" / "texts" / "first_layers.md"


@pytest.mark.parametrize(
    ("fine", "said"),
    [
        ((0.1, 0.1), "loses less between its places, and so does"),
        ((0.1, 0.4), "loses less between its places; the layer after it does not"),
        ((0.4, 0.1), "loses no less"),
    ],
)
def test_the_text_of_the_comparison_says_what_the_numbers_say(fine, said):
    numbers = reportgen.compute("first_layers", tiny.tiny_net("plain"), tiny.dataset(4)).numbers
    numbers = {name: value for name, value in numbers.items() if value is not None}
    coarse = {**numbers, "aliased": 0.25, "second_aliased": 0.25}
    cells = {"layers.coarse": {"numbers": coarse}}
    cells["layers.fine"] = {"numbers": {**numbers, "aliased": fine[0], "second_aliased": fine[1]}}
    for models in ({"coarse": {}, "fine": {}}, {"coarse": {"top1": 0.8}, "fine": {"top1": 0.81}}):
        text = texts.fill(TEXT.read_text(encoding="utf-8"), {"cells": cells, "models": models}, "here")
        assert said in " ".join(text.split())
        assert ("names 80.0" in text) == bool(models["fine"])
