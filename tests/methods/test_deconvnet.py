"""Projections by the four rules, against relu calls replaced by hand, loops over windows, and Captum."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from reportgen.errors import MethodError, NotApplicable
from reportgen.methods import method
from reportgen.records import Input
from tests import families, reference, tiny

RULES = {"switches": "deconvnet", "guided": "guided", "gradient": "gradient"}
LAYERS = {"alexnet": "features.11", "vgg16": "features.22", "googlenet": "inception4e", "resnet50": "layer2"}
LAYERS["squeezenet1_0"] = "features.7"


def deconvnet(net, picture, **params):
    found = method("deconvnet")
    return found.run(net, [Input(picture)], found.params(**params), [])[0]


def cut(whole, box):
    """The box's part of 3 x H x W, by padding with zeros first."""
    room = 1 + int(max(abs(box).max(), whole.shape[-1]))
    wide = functional.pad(whole, (room, room, room, room))
    y0, x0, y1, x1 = (int(edge) + room for edge in box)
    return wide[:, y0:y1, x0:x1].numpy()


def seed_of(unit, position, start):
    def make(value):
        seed = torch.zeros_like(value)
        if start == "map":
            seed[0, unit] = value[0, unit]
        else:
            seed[0, unit, position[0], position[1]] = value[0, unit, position[0], position[1]]
        return seed

    return make


@pytest.mark.parametrize("start", ["strongest", (1, 2), "map"], ids=str)
@pytest.mark.parametrize("arch", families.ARCHS)
def test_it_equals_a_reference_in_which_every_relu_call_is_replaced_by_hand(arch, start):
    net = families.net(arch)
    x, layer = net.preprocess([tiny.photo(1)]), LAYERS[arch]
    found = deconvnet(net, tiny.photo(1), layer=layer, units=2, start=start)
    value = reference.value_of(net.module, x, layer)
    strongest = value[0].amax(dim=(1, 2))
    assert list(found.arrays["units"]) == strongest.argsort(descending=True, stable=True)[:2].tolist()
    for u, unit in enumerate(found.arrays["units"]):
        best = divmod(int(value[0, unit].argmax()), value.shape[3])
        position = start if isinstance(start, tuple) else best
        assert tuple(found.arrays["positions"][u]) == position
        assert found.arrays["activations"][u] == pytest.approx(float(value[0, unit][position]), rel=1e-6)
        for name, rule in RULES.items():
            whole = reference.projection(net.module, x, layer, seed_of(unit, position, start), rule)[0]
            wanted = cut(whole, found.arrays["boxes"][u])
            assert wanted.shape == found.arrays[name][u].shape
            assert wanted.any() or float(value[0, unit][position]) == 0
            assert abs(found.arrays[name][u] - wanted).max() <= 1e-6 * abs(wanted).max(), (arch, name)


def test_it_equals_an_explicit_chain_of_transposed_convolutions_and_summing_unpooling():
    net = tiny.tiny_net("plain", "fp64")
    one, two = net.module.features[0], net.module.features[3]
    x = net.preprocess([tiny.photo(3)])
    found = deconvnet(net, tiny.photo(3), layer="features.4", units=3)
    first, second = net.module.features[:2](x), net.module.features[:5](x)
    for u, (unit, position) in enumerate(zip(found.arrays["units"], found.arrays["positions"], strict=True)):
        for name in ("switches", "no_switches"):
            down = seed_of(unit, position, "strongest")(second).clamp(min=0)
            down = functional.conv_transpose2d(down, two.weight, padding=1)
            down = reference.unpool(down, first, (3, 3), (2, 2), switches=name == "switches").clamp(min=0)
            size = (x.shape[-1] + 4 - 7) % 2  # the row and column of the input that no window of the stride reached
            down = functional.conv_transpose2d(down, one.weight, stride=2, padding=2, output_padding=size)
            wanted = cut(down[0], found.arrays["boxes"][u])
            assert families.relative(found.arrays[name][u], wanted) < 1e-6


def _captum(net, layer, unit, position, kind):
    import captum.attr

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that it sets hooks
        found = getattr(captum.attr, kind)(net.module, net.module.get_submodule(layer))
        selector = (int(unit), int(position[0]), int(position[1]))
        return found.attribute(net.preprocess([tiny.photo(1)]).requires_grad_(), selector).detach()[0]


@pytest.mark.parametrize("arch", ["alexnet", "vgg16", "resnet50", "googlenet"])
def test_captum_agrees_except_on_googlenet_whose_relus_it_does_not_see(arch):
    net, layer = families.net(arch), LAYERS[arch]
    found = deconvnet(net, tiny.photo(1), layer=layer, units=1)
    unit, position = found.arrays["units"][0], found.arrays["positions"][0]
    for name, kind in {"switches": "NeuronDeconvolution", "guided": "NeuronGuidedBackprop"}.items():
        start = float(found.arrays["activations"][0])
        theirs = cut(_captum(net, layer, unit, position, kind) * start, found.arrays["boxes"][0])
        if arch == "googlenet":
            assert families.relative(found.arrays[name][0], theirs) > 0.1
            assert families.relative(found.arrays["gradient"][0], theirs) < 1e-6  # it gives the plain gradient there
        else:
            assert families.relative(found.arrays[name][0], theirs) < 1e-6


@pytest.mark.parametrize("arch", families.ARCHS)
def test_single_precision_agrees_with_double(arch):
    double = deconvnet(families.net(arch), tiny.photo(1), layer=LAYERS[arch], units=1)
    unit, start = [int(double.arrays["units"][0])], [int(p) for p in double.arrays["positions"][0]]
    single = deconvnet(families.net(arch, "fp32"), tiny.photo(1), layer=LAYERS[arch], units=unit, start=start)
    for name in (*RULES, "no_switches"):
        assert families.cosine(double.arrays[name], single.arrays[name]) > 0.999, name


def test_a_batch_of_pictures_gives_what_each_gives_alone():
    net, found = tiny.tiny_net("residual", "fp64"), method("deconvnet")
    pictures = [tiny.photo(seed) for seed in (1, 2, 3)]
    together = found.run(net, [Input(picture) for picture in pictures], found.params(layer="layer1", units=2), [])
    for picture, artifact in zip(pictures, together, strict=True):
        alone = deconvnet(net, picture, layer="layer1", units=2)
        for name, array in alone.arrays.items():
            assert np.allclose(array, artifact.arrays[name], rtol=1e-6, atol=1e-9), name


def test_nothing_outside_the_box_takes_part_and_nothing_outside_the_picture_is_filled():
    net = tiny.tiny_net("plain", "fp64")
    found = deconvnet(net, tiny.photo(4), layer="features.4", units=[0], start=(0, 0))
    (y0, x0, y1, x1), tile = found.arrays["boxes"][0], found.arrays["gradient"][0]
    assert (y0, x0) == (-6, -6)  # padding 2, and padding 1 at a stride of 4
    assert tile.shape == (3, y1 - y0, x1 - x0)
    assert not tile[:, :6].any()
    assert not tile[:, :, :6].any()
    x = net.preprocess([tiny.photo(4)])
    whole = reference.projection(net.module, x, "features.4", seed_of(0, (0, 0), "strongest"), "gradient")[0]
    assert whole[:, y1:].abs().max() == 0
    assert np.allclose(tile[:, 6:, 6:], whole[:, :y1, :x1].numpy(), rtol=1e-6, atol=1e-12)


def test_a_dense_layer_is_projected_into_the_whole_picture():
    net = tiny.tiny_net("plain", "fp64")
    found = deconvnet(net, tiny.photo(1), layer="classifier.2", units=2)
    assert found.arrays["boxes"].tolist() == [[0, 0, 64, 64]] * 2
    assert found.arrays["positions"].tolist() == [[0, 0]] * 2
    assert found.arrays["guided"].shape == (2, 3, 64, 64)
    assert found.arrays["guided"][0].any()


def test_a_unit_that_fires_nowhere_has_a_projection_of_zero_and_is_named():
    module = tiny.seeded(tiny.plain)
    module.features[3].bias[5] = -1000.0
    found = deconvnet(tiny.net_of(module), tiny.photo(1), layer="features.4", units=[5, 2])
    assert found.numbers["dead"] == [5]
    for name in (*RULES, "no_switches"):
        assert not found.arrays[name][0].any()
        assert found.arrays[name][1].any()


def test_where_the_field_is_larger_than_the_picture_the_sheet_shows_the_whole_picture():
    net = families.net("alexnet")
    found = deconvnet(net, tiny.photo(1), layer="features.11", units=1)
    assert found.arrays["switches"].shape[-1] == 163
    (panel,) = method("deconvnet").panels(found)
    assert panel.values.shape == (1, 4, 3, 64, 64)
    assert panel.boxes.tolist() == [[0, 0, 64, 64]]
    y0, x0, _, _ = found.arrays["boxes"][0]
    inside = found.arrays["switches"][0][:, max(0, -y0) : 64 - y0, max(0, -x0) : 64 - x0]
    assert abs(panel.values[0, 0]).sum() == pytest.approx(abs(inside).sum())


def test_nets_without_rectification_and_wrong_starts_are_told_why():
    module = tiny.seeded(lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.Flatten(), nn.Linear(4 * 62 * 62, 6)))
    with pytest.raises(NotApplicable, match="ReLU"):
        deconvnet(tiny.net_of(module), tiny.photo(1), layer="0")
    with pytest.raises(MethodError, match=r"\[9, 99\] is outside the map of features.4, which is 15 x 15"):
        deconvnet(tiny.tiny_net("plain"), tiny.photo(1), layer="features.4", start=[9, 99])
    with pytest.raises(MethodError, match="start: 'top' is no start"):
        method("deconvnet").params(start="top")
