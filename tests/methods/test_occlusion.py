"""Occlusion is a loop of plain forward passes: over every place of the patch, with nothing shared between them."""

import numpy as np
import pytest
import torch

import reportgen
from reportgen import occluding, tape
from reportgen.errors import MethodError, NotApplicable
from reportgen.methods import method
from tests import families, reference, tiny

CONSTANT = {"black": 0.0, "white": 1.0}


def occlude(net, pictures, **params):
    return reportgen.compute("occlusion", net, pictures, **params)


def by_hand(net, picture, patch, stride, fill, layer, unit):
    """Logits (R C K) and sums of the unit's map (R C), one place and one plain forward pass at a time."""
    x = net.preprocess([picture])
    pre = net.card.preprocess
    grey = CONSTANT.get(fill, fill)
    values = [0.0] * 3 if fill == "mean" else [(grey - m) / s for m, s in zip(pre.mean, pre.std, strict=True)]
    count = (pre.size - patch) // stride + 1
    logits, sums = [], []
    kept = []
    handle = net.module.get_submodule(layer).register_forward_hook(lambda _, __, value: kept.append(value.clone()))
    try:
        for row in range(count):
            for column in range(count):
                covered = x.clone()
                for channel, value in enumerate(values):
                    covered[0, channel, row * stride : row * stride + patch][
                        :, column * stride : column * stride + patch
                    ] = value
                logits.append(net.module(covered)[0].numpy())
                sums.append(float(kept.pop()[0, unit].sum()))
    finally:
        handle.remove()
    return np.array(logits).reshape(count, count, -1), np.array(sums).reshape(count, count)


def softmax(logits):
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize(
    ("arch", "fill"),
    [("alexnet", "mean"), ("vgg16", 0.3), ("googlenet", "black"), ("resnet50", "white"), ("squeezenet1_0", "mean")],
)
def test_in_double_precision_every_array_equals_a_loop_over_full_passes_of_the_plain_net(arch, fill):
    net, picture, patch, stride = families.net(arch), tiny.photo(2), 13, 16
    # from SqueezeNet's last maps, which are those of classes, no positive signal gets down to the pixels
    layer = "features.12" if arch == "squeezenet1_0" else "last_conv"
    artifact = occlude(net, picture, patch=patch, stride=stride, fill=fill, layer=layer)
    numbers, arrays = artifact.numbers, artifact.arrays
    assert (numbers["incremental"], numbers["why"]) == (True, "")
    x = net.preprocess([picture])
    clean = reference.value_of(net.module, x, numbers["layer"])[0]
    assert numbers["unit"] == int(clean.sum(dim=(1, 2)).argmax())
    logits, sums = by_hand(net, picture, patch, stride, fill, numbers["layer"], numbers["unit"])
    target = int(net.module(x).argmax())
    assert numbers["target"] == target
    assert families.relative(arrays["logit"], logits[..., target]) < 1e-6
    assert families.relative(arrays["probability"], softmax(logits)[..., target]) < 1e-6
    assert families.relative(arrays["feature_sum"], sums) < 1e-6
    assert np.array_equal(arrays["label"], logits.argmax(axis=-1))
    assert numbers["flips"] == (logits.argmax(axis=-1) != target).mean()
    by_rule = reference.projection(
        net.module, x, numbers["layer"], lambda value: _only(value, numbers["unit"]), "deconvnet"
    )
    assert families.relative(arrays["projection"], by_rule[0].numpy()) < 1e-6


def _only(value, unit):
    seed = torch.zeros_like(value)
    seed[0, unit] = value[0, unit]
    return seed


@pytest.mark.parametrize("arch", families.ARCHS)
def test_the_map_equals_captums_occlusion_of_the_probability(arch):
    from captum.attr import Occlusion

    net, picture = families.net(arch), tiny.photo(5)
    artifact = occlude(net, picture, patch=24, stride=20, target=7)
    x = net.preprocess([picture])
    captum = Occlusion(lambda inputs: net.module(inputs).softmax(1)).attribute(
        x, sliding_window_shapes=(3, 24, 24), strides=(3, 20, 20), baselines=0, target=7, perturbations_per_eval=9
    )
    for channel in captum[0].detach().numpy():
        assert families.relative(artifact.arrays["map"], channel) < 1e-6
    assert artifact.numbers["target"] == 7


@pytest.mark.parametrize("arch", families.ARCHS)
def test_single_precision_agrees_with_double(arch):
    (double,) = occlude(families.net(arch), [tiny.photo(1)], patch=20, stride=22, target=7)
    (single,) = occlude(families.net(arch, "fp32"), [tiny.photo(1)], patch=20, stride=22, target=7)
    assert single.numbers["incremental"]
    for name in ("logit", "feature_sum"):
        assert families.relative(single.arrays[name], double.arrays[name]) < 1e-4, name
    if arch != "vgg16":  # with random weights its probabilities hardly move: by less than single precision resolves
        assert families.cosine(double.arrays["map"], single.arrays["map"]) > 0.999


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_in_half_precision_it_says_about_the_same(kind):
    found = {p: occlude(tiny.tiny_net(kind, p), tiny.photo(1), patch=24, stride=10, target=1) for p in ("fp64", "bf16")}
    spread = np.ptp(found["fp64"].arrays["logit"])
    assert abs(found["bf16"].arrays["logit"] - found["fp64"].arrays["logit"]).max() < 0.1 + 0.5 * spread
    assert found["bf16"].numbers["incremental"]


def test_each_picture_of_a_batch_has_its_own_unit_target_and_places():
    net = tiny.tiny_net("residual", "fp64")
    pictures = [tiny.photo(seed) for seed in (1, 2, 3)]
    together = occlude(net, pictures, patch=16, stride=9)
    for picture, artifact in zip(pictures, together, strict=True):
        alone = occlude(net, picture, patch=16, stride=9)
        floats = ("probability", "logit", "lowest")
        assert [artifact.numbers[name] for name in floats] == pytest.approx([alone.numbers[name] for name in floats])
        assert {**artifact.numbers, **dict.fromkeys(floats)} == {**alone.numbers, **dict.fromkeys(floats)}
        for name, values in alone.arrays.items():
            assert np.allclose(values, artifact.arrays[name], rtol=1e-6, atol=1e-9), name


@pytest.mark.parametrize(
    ("patch", "stride", "count"), [(0, 0, 28), (9, 2, 28), (64, 1, 1), (1, 63, 2), (33, 40, 1), (16, 0, 13)]
)
def test_the_grid_has_as_many_places_as_fit_into_the_input(patch, stride, count):
    artifact = occlude(tiny.tiny_net("plain"), tiny.photo(1), patch=patch, stride=stride)
    for name in ("probability", "logit", "feature_sum", "label"):
        assert artifact.arrays[name].shape == (count, count)
    used, step = artifact.numbers["patch"], artifact.numbers["stride"]
    assert used == (patch or 9)
    assert step == (stride or max(1, used // 4))
    covered = np.zeros((64, 64), bool)
    for row in range(count):
        for column in range(count):
            covered[row * step : row * step + used, column * step : column * step + used] = True
    assert not artifact.arrays["map"][~covered].any()
    panel = method("occlusion").panels(artifact)[1]
    for row in (0, count - 1):  # every place stands around the middle of its patch
        middle = row * step + (used - 1) // 2
        assert panel.values[middle, middle] == artifact.arrays["probability"][row, row]


def test_a_covered_picture_has_no_picture_in_it_whatever_it_shows():
    net = tiny.tiny_net("functional", "fp64")
    one, other = occlude(net, [tiny.photo(1), tiny.photo(2)], patch=64, target=0)
    assert one.arrays["logit"] == pytest.approx(other.arrays["logit"])
    assert np.ptp(one.arrays["map"]) == 0


def test_what_cannot_be_a_patch_a_step_or_a_colour_is_one_clear_sentence():
    net = tiny.tiny_net("plain")
    for params, text in (
        ({"patch": 65}, "patch: a patch of 65 pixels is larger than the net's input of 64. Right would be less, such"),
        ({"patch": -1}, "patch: -1 pixels is no length"),
        ({"stride": -4}, "stride: -4 pixels is no length"),
        ({"fill": 1.5}, "fill: 1.5 is no colour"),
        ({"fill": "blue"}, "fill"),
        ({"target": "label"}, "no label"),
        ({"layer": "stage9"}, "stage9"),
    ):
        with pytest.raises((MethodError, NotApplicable), match=text):
            occlude(net, tiny.photo(1), **params)
    with pytest.raises(MethodError, match="fill: 'blue' is no colour"):
        method("occlusion").params(fill="blue")
    net.module.features[3].weight[0] = float("nan")
    with pytest.raises(MethodError, match="NaN"):
        occlude(net, tiny.photo(1))


def test_equal_greys_are_one_choice():
    params = method("occlusion").params
    assert params(fill=1) == params(fill=1.0)
    assert repr(params(fill=1)) == repr(params(fill=1.0))


class _WritesIntoAView(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 5, 2)
        self.fc = torch.nn.Linear(4, 6)

    def forward(self, x):
        x = self.conv(x).relu()
        x[:, 1].mul_(2.0)
        return self.fc(x.mean((2, 3)))


class _HoldsTheNumberOfPictures(torch.nn.Module):
    """Two pictures in one run would not give what each alone gives, or nothing at all."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 8, 8)
        self.fc = torch.nn.Linear(4 * 64, 6)

    def forward(self, x):
        x = self.conv(x).relu()
        return self.fc(x.permute(2, 3, 0, 1).reshape(64, len(x), 4).permute(1, 2, 0).flatten(1))


@pytest.mark.parametrize(
    ("build", "why"), [(_WritesIntoAView, "a view of another tensor"), (_HoldsTheNumberOfPictures, "run again")]
)
def test_a_net_whose_pass_cannot_be_run_in_parts_is_run_in_full_and_the_numbers_say_so(build, why):
    net = tiny.net_of(tiny.seeded(build), precision="fp64")
    artifact = occlude(net, tiny.photo(1), patch=10, stride=11, layer="conv")
    logits, sums = by_hand(net, tiny.photo(1), 10, 11, "mean", "conv", artifact.numbers["unit"])
    assert not artifact.numbers["incremental"]
    assert why in artifact.numbers["why"]
    assert families.relative(artifact.arrays["logit"], logits[..., artifact.numbers["target"]]) < 1e-6
    assert families.relative(artifact.arrays["feature_sum"], sums) < 1e-6


def test_a_partial_pass_that_is_wrong_is_found_out(monkeypatch):
    net = tiny.tiny_net("plain", "fp64")
    right = occlude(net, tiny.photo(1), patch=16, stride=16)
    true = tape.run_step

    def wrong(own, step, *rest):
        made = true(own, step, *rest)
        return tuple(value * 1.001 for value in made) if step.name == "linear" or "mm" in step.name else made

    monkeypatch.setattr(tape, "run_step", wrong)
    found = occlude(net, tiny.photo(1), patch=16, stride=16)
    assert found.numbers["why"] == "a partial pass and a full one disagree"
    assert families.relative(found.arrays["logit"], right.arrays["logit"]) < 1e-6


def test_a_lack_of_memory_is_not_taken_for_a_net_that_cannot_be_replayed():
    with pytest.raises(RuntimeError, match="memory"):
        occluding.reason(RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    assert "run again (shape" in occluding.reason(RuntimeError("shape '[3]' is invalid\nmore"))


def test_a_net_without_rectifications_has_every_panel_but_the_projection():
    build = torch.nn.Sequential
    net = tiny.net_of(
        tiny.seeded(
            lambda: build(torch.nn.Conv2d(3, 5, 4, 4), torch.nn.GELU(), torch.nn.Flatten(), torch.nn.Linear(5 * 256, 6))
        )
    )
    artifact = occlude(net, tiny.photo(1), patch=16)
    assert not artifact.arrays["projection"].any()
    names = [panel.name for panel in method("occlusion").panels(artifact)]
    assert names == ["map", "probability", "label", "feature_sum"]


def test_a_signal_that_does_not_get_down_to_the_pixels_is_zero_and_not_shown():
    artifact = occlude(families.net("squeezenet1_0"), tiny.photo(2), patch=32)
    assert not artifact.arrays["projection"].any()
    assert "projection" not in [panel.name for panel in method("occlusion").panels(artifact)]


def test_the_map_of_labels_names_each_class_where_it_wins():
    artifact = occlude(tiny.tiny_net("branching"), tiny.photo(1), patch=40, stride=4)
    (panel,) = [panel for panel in method("occlusion").panels(artifact) if panel.name == "label"]
    used, step = 40, 4
    assert len(panel.categories) == len({*artifact.arrays["label"].ravel().tolist()})
    for (row, column), label in np.ndenumerate(artifact.arrays["label"]):
        middle = row * step + used // 2, column * step + used // 2
        assert panel.categories[int(panel.values[middle])] == tiny.CLASSES[label]
