"""Invariance is the distance of features, picture by picture and pair by pair; a net that sums colours has none."""

import statistics

import numpy as np
import pytest
import torch
from torch import nn

from reportgen import images, transform
from reportgen.errors import MethodError, NotApplicable
from reportgen.methods import method
from reportgen.methods.invariance import UNRELATED
from reportgen.records import Artifact, Input
from reportgen.spec_params import make_params, section_problems
from tests import families, reference, tiny

FOUND = method("invariance")


def invariance(net, pictures, labels=(), **params):
    inputs = [Input(picture, labels) for picture in pictures]
    predictions = method("prediction").run(net, inputs, method("prediction").params(), [])
    inputs = [Input(one.picture, labels, {"prediction": p}) for one, p in zip(inputs, predictions, strict=True)]
    return FOUND.run(net, inputs, FOUND.params(**params), [])


def given(net, seen):
    """One picture as the net is given it, by the formula."""
    mean, std = (np.array(part) for part in (net.card.preprocess.mean, net.card.preprocess.std))
    return torch.from_numpy((seen.astype(np.float64) - mean) / std).permute(2, 0, 1)[None]


def distance(one, other):
    return float(((one - other) ** 2).sum() ** 0.5)


@pytest.mark.parametrize("arch", families.ARCHS)
@pytest.mark.parametrize(
    ("name", "values", "layer"),
    [
        ("rotation", (0.0, 90.0, 200.0), "last_conv"),
        ("scale", (1.0, 1.4), "first_conv"),
        ("translation", (-0.25, 0.0, 0.1), "last_conv"),
    ],
)
def test_in_double_precision_it_is_a_loop_over_single_pictures_and_pairs(arch, name, values, layer):
    net, photos = families.net(arch), [tiny.photo(1), tiny.photo(5)]
    path = net.card.resolve(layer).name
    unrelated = [images.view(images.load_image(source), net.card.preprocess) for source in UNRELATED]
    with torch.no_grad():
        features = [reference.value_of(net.module, given(net, seen), path) for seen in unrelated]
        pairs = [distance(one, two) for i, one in enumerate(features) for two in features[:i]]
        divisor = statistics.median(pairs)
        for photo, artifact in zip(
            photos, invariance(net, photos, transform=name, values=values, layer=layer), strict=True
        ):
            assert artifact.numbers["unrelated"] == pytest.approx(divisor, rel=1e-9)
            seen = images.view(photo, net.card.preprocess)
            untouched = reference.value_of(net.module, given(net, seen), path)
            for k, value in enumerate(values):
                moved = {
                    "rotation": lambda v, seen=seen: transform.rotated(seen, v),
                    "scale": lambda v, seen=seen: transform.scaled(seen, v),
                    "translation": lambda v, seen=seen: transform.translated(seen, round(v * 64)),
                }[name](value)
                own = reference.value_of(net.module, given(net, moved), path)
                expected = distance(own, untouched) / divisor
                assert artifact.arrays["distance"][k] == pytest.approx(expected, rel=1e-9, abs=1e-12)
                logits = net.module(given(net, moved))[0]
                probability = float(logits.softmax(0)[artifact.numbers["target"]])
                assert artifact.arrays["probability"][k] == pytest.approx(probability, rel=1e-6)
            alone = [k for k, value in enumerate(values) if value == (1.0 if name == "scale" else 0.0)]
            assert (artifact.arrays["distance"][alone] == 0).all()


@pytest.mark.parametrize("arch", families.ARCHS)
def test_single_precision_agrees_with_double(arch):
    wanted = {"transform": "rotation", "values": (10.0, 90.0, 180.0, 300.0), "target": 7}
    (double,) = invariance(families.net(arch), [tiny.photo(1)], **wanted)
    (single,) = invariance(families.net(arch, "fp32"), [tiny.photo(1)], **wanted)
    assert families.relative(single.arrays["distance"], double.arrays["distance"]) < 1e-3
    assert families.relative(single.arrays["probability"], double.arrays["probability"]) < 1e-3


class ColourSums(nn.Module):
    """A net that knows how much of each colour there is, and not where."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Conv2d(3, 8, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(8, len(tiny.CLASSES))

    def forward(self, x):
        return self.fc(self.pool(self.mix(x).relu()).flatten(1))


def test_a_net_that_sums_colours_does_not_mind_quarter_turns_and_its_maps_do():
    net = tiny.net_of(tiny.seeded(ColourSums))
    turns = {"transform": "rotation", "values": (0.0, 45.0, 90.0, 180.0, 270.0)}
    (pooled,) = invariance(net, [tiny.photo(1)], layer="penultimate", **turns)
    (maps,) = invariance(net, [tiny.photo(1)], layer="mix", **turns)
    still = [0, 2, 3, 4]
    assert abs(pooled.arrays["distance"][still]).max() < 1e-12
    assert pooled.arrays["distance"][1] > 1e-3
    assert np.ptp(pooled.arrays["probability"][still]) < 1e-7
    assert (maps.arrays["distance"][2:] > 0.1).all()


def test_a_dense_layer_has_a_distance_too_and_pictures_of_a_batch_do_not_mix():
    net, photos = tiny.tiny_net("plain"), [tiny.photo(seed) for seed in (1, 2, 3)]
    wanted = {"layer": "classifier.1", "transform": "scale", "values": tuple(1 + k / 10 for k in range(9))}
    together = invariance(net, photos, **wanted)
    for n, photo in enumerate(photos):
        (alone,) = invariance(net, [photo], **wanted)
        for name in FOUND.arrays:
            assert np.allclose(alone.arrays[name], together[n].arrays[name], atol=1e-5), name
    assert (together[0].arrays["distance"][1:] > 0).all()


def test_shifts_go_by_whole_pixels_and_values_say_which():
    net = tiny.tiny_net("residual")
    (artifact,) = invariance(net, [tiny.photo(1)], values=(0.1, -0.03, 0.0), fill="mean")
    assert artifact.arrays["values"].tolist() == [-2 / 64, 0.0, 6 / 64]
    seen = images.view(tiny.photo(1), net.card.preprocess)
    (up, alone, down) = artifact.arrays["pictures"].transpose(0, 2, 3, 1)
    assert np.array_equal(alone, seen)
    assert np.array_equal(down[6:], seen[:-6])
    assert np.array_equal(up[:-2], seen[2:])
    assert np.allclose(down[:6], net.card.preprocess.mean)


def test_the_numbers_say_how_far_the_answer_holds():
    from reportgen.methods.invariance import _numbers

    kind, values = transform.KINDS["rotation"], [0.0, 10.0, 20.0, 180.0, 340.0, 350.0]
    said = np.array([0.8, 0.7, 0.5, 0.1, 0.3, 0.6])  # below 0.4 at 180 and at 340, which is 20 the other way
    probabilities = np.stack([said, 1 - said], axis=1)
    numbers = _numbers(kind, values, np.arange(6.0), probabilities, probabilities[0], 0)
    assert numbers["holds"] == 10
    assert numbers["finding"] == "keeps half of it up to 10° either way"
    assert numbers["same_answer"] == pytest.approx(4 / 6)
    assert numbers["largest_distance"] == 5
    throughout = _numbers(kind, values[:2], np.arange(2.0), probabilities[:2], probabilities[0], 0)
    assert throughout["holds"] == 10
    assert throughout["finding"] == "keeps half of it or more throughout"


def test_the_plots_are_shared_by_all_nets_and_the_strip_shows_what_the_values_do():
    net = tiny.tiny_net("plain")
    (artifact,) = invariance(net, [tiny.photo(1)])
    curve, answer, strip = FOUND.panels(artifact)
    assert curve.joint
    assert answer.joint
    assert curve.columns == ("vertical shift as a share of the side (positive: down)",)
    assert np.array_equal(curve.x, artifact.arrays["values"])
    assert np.array_equal(curve.values[0], artifact.arrays["distance"])
    assert strip.values.shape == (1, 7, 3, 64, 64)
    assert strip.columns == ("-27%", "-17%", "-9%", "0%", "+9%", "+17%", "+27%")
    (enlarged,) = invariance(net, [tiny.photo(1)], transform="scale")
    assert "Nothing enters" in FOUND.panels(enlarged)[0].caption


def test_values_are_those_of_the_transform_unless_given_and_ascend():
    assert len(FOUND.params().values) == 25
    assert FOUND.params(transform="scale").values[-1] == 1.8
    assert FOUND.params(transform="rotation").values[-1] == 350
    given_values = make_params(FOUND, {"transform": "scale", "values": [1.5, 1, 1.5]})
    assert given_values == FOUND.params(transform="scale", values=(1.0, 1.5))
    assert hash(given_values) == hash(FOUND.params(transform="scale", values=(1.0, 1.5)))


@pytest.mark.parametrize(
    ("params", "place", "words"),
    [
        ({"transform": "shear"}, "transform", "one of translation, scale, rotation"),
        ({"values": []}, "values", "empty"),
        ({"transform": "scale", "values": [0.0]}, "values", "from 0.1 to 10"),
        ({"transform": "scale", "values": [-2.0]}, "values", "from 0.1 to 10"),
        ({"values": [1.5]}, "values", "from -1 to 1"),
        ({"values": ["far"]}, "values", "a number"),
        ({"fill": "grey"}, "fill", "one of reflect"),
    ],
)
def test_a_wrong_param_is_found_when_the_spec_is_read(params, place, words):
    ((way, text),) = section_problems(FOUND, {"params": params})
    assert way == ("params", place)
    assert words in text
    with pytest.raises(MethodError):
        make_params(FOUND, params)
    if place in ("transform", "fill"):  # straight from Python, without the spec's check of types
        with pytest.raises(MethodError, match=f"^{place}: there is no"):
            FOUND.params(**params)


def test_a_layer_the_net_lacks_does_not_apply_and_one_that_is_always_the_same_fails():
    with pytest.raises(NotApplicable, match="stage5"):
        invariance(tiny.tiny_net("plain"), [tiny.photo(1)], layer="stage5")
    net = tiny.net_of(tiny.seeded(ColourSums))
    net.module.mix.weight.zero_()
    with pytest.raises(MethodError, match="one value for all unrelated pictures"):
        invariance(net, [tiny.photo(1)], layer="mix", values=(0.1,))
    net.module.fc.weight.fill_(float("nan"))
    with pytest.raises(MethodError, match="NaN"):
        FOUND.run(net, [Input(tiny.photo(1), used={"prediction": Artifact({})})], FOUND.params(target=0), [])
