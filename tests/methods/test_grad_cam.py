"""Grad-CAM is Captum's, says so where nothing speaks for the class, and refuses layers without places."""

import numpy as np
import pytest
import torch
from torch import nn

import reportgen
from reportgen import project
from reportgen.errors import NotApplicable
from reportgen.methods import method
from tests import families, reference, tiny

EARLIER = {"alexnet": "features.4", "vgg16": "features.22", "googlenet": "inception4c", "resnet50": "layer3.2"}


def explain(net, pictures, **params):
    return reportgen.compute("grad_cam", net, pictures, **params)


def hand_made(weight):
    """A net of one channel, the brightness of 4 x 4 blocks, whose class 0 is its mean times the weight."""
    conv, dense = nn.Conv2d(3, 1, 4, stride=4, bias=False), nn.Linear(1, 2, bias=False)
    conv.weight.data.fill_(1.0)
    dense.weight.data = torch.tensor([[weight], [0.0]])
    module = nn.Sequential(conv, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), dense)
    return tiny.net_of(module.eval().requires_grad_(False), classes=("bright", "nothing"))


@pytest.mark.parametrize("earlier", [False, True], ids=["last_conv", "earlier"])
@pytest.mark.parametrize("arch", families.ARCHS)
def test_in_double_precision_it_equals_captum_with_every_value_in_the_middle_of_its_field(arch, earlier):
    from captum.attr import LayerGradCam

    net, pictures = families.net(arch), [tiny.photo(1), tiny.photo(5)]
    layer = EARLIER.get(arch, "features.10") if earlier else net.card.resolve("last_conv").name
    found = explain(net, pictures, layer=layer)
    x = net.preprocess(pictures)
    target = torch.tensor([one.numbers["target"] for one in found])
    captum = LayerGradCam(net.module, net.module.get_submodule(layer)).attribute(x, target).detach()  # N 1 h w
    places = net.card.resolve(layer).places(families.SIZE)
    for n, one in enumerate(found):
        assert families.relative(one.arrays["coarse"], captum[n, 0].numpy()) < 1e-6
        enlarged = reference.enlarged(captum[n, 0].clamp(min=0).numpy(), families.SIZE, *places)
        assert abs(one.arrays["map"] - enlarged).max() <= 1e-6 * enlarged.max()


@pytest.mark.parametrize("arch", families.ARCHS)
def test_single_precision_agrees_with_double(arch):
    double = explain(families.net(arch), tiny.photo(1), target=7)
    single = explain(families.net(arch, "fp32"), tiny.photo(1), target=7)
    assert families.cosine(double.arrays["coarse"], single.arrays["coarse"]) > 0.999


def test_a_value_that_a_later_relu_overwrites_is_taken_as_the_layer_returned_it():
    net = families.net("alexnet")
    x = net.preprocess([tiny.photo(1)])
    value, _, logits = project.layer_gradient(net, x, [3], "features.10")
    by_hand = net.module.features[:11](x).requires_grad_()  # the convolution alone, before the in-place ReLU
    out = net.module.classifier(torch.flatten(net.module.avgpool(net.module.features[12](by_hand.clone().relu())), 1))
    slope = torch.autograd.grad(out[0, 3], by_hand)[0]
    assert by_hand.min() < 0
    assert families.relative(value.numpy(), by_hand.detach().numpy()) < 1e-9
    assert families.relative(logits.numpy(), out.detach().numpy()) < 1e-9
    found = explain(net, tiny.photo(1), target=3, layer="features.10").arrays["coarse"]
    truth = (slope.mean(dim=(2, 3), keepdim=True) * by_hand).sum(1)[0].detach().numpy()
    assert families.relative(found, truth) < 1e-6


@pytest.mark.parametrize("arch", ["googlenet", "resnet50"])
def test_before_a_global_pooling_the_weights_are_those_of_the_dense_layer_by_the_number_of_positions(arch):
    net = families.net(arch)
    x = net.preprocess([tiny.photo(1)])
    value, gradient, _ = project.layer_gradient(net, x, [5], "last_conv")
    positions = value.shape[2] * value.shape[3]
    truth = net.module.fc.weight[5][None, :, None, None].expand_as(gradient) / positions
    assert families.relative(gradient.numpy(), truth.numpy()) < 1e-9


def test_the_map_peaks_where_the_only_bright_block_is():
    picture = np.zeros((64, 64, 3), np.float32)
    picture[40:44, 12:16] = 1
    found = explain(hand_made(2.0), picture, target="bright")
    assert divmod(int(found.arrays["coarse"].argmax()), 16) == (10, 3)
    y, x = found.numbers["peak"]
    assert 40 <= y < 44
    assert 12 <= x < 16
    assert found.numbers["positive"] == pytest.approx(1 / 256)
    assert "lower left" in method("grad_cam").panels(found)[0].alt


def test_where_nothing_speaks_for_the_class_the_map_is_zero_and_the_caption_says_so():
    found = explain(hand_made(-2.0), np.ones((64, 64, 3), np.float32), target="bright")
    assert found.arrays["coarse"].max() < 0
    assert not found.arrays["map"].any()
    assert found.numbers["peak"] is None
    assert found.numbers["positive"] == 0
    (panel,) = method("grad_cam").panels(found)
    assert "speaks for bright: the weighted sum is negative everywhere" in panel.caption
    assert 80 <= len(panel.alt) <= 150


def test_another_class_gives_another_map_and_pictures_are_kept_apart():
    net, pictures = tiny.tiny_net("residual", "fp64"), [tiny.photo(1), tiny.photo(2)]
    together = explain(net, pictures, target=3)
    for picture, one in zip(pictures, together, strict=True):
        assert families.relative(one.arrays["coarse"], explain(net, picture, target=3).arrays["coarse"]) < 1e-6
        assert families.relative(one.arrays["coarse"], explain(net, picture, target=0).arrays["coarse"]) > 1e-2


@pytest.mark.parametrize("layer", ["fc", "avgpool", "penultimate", "logits"])
def test_a_layer_without_places_is_refused_and_the_right_ones_are_named(layer):
    net = tiny.tiny_net("residual")
    with pytest.raises(NotApplicable, match=r"no places on the picture.* last_conv"):
        explain(net, tiny.photo(1), layer=layer)
