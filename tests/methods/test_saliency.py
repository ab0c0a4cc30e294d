"""Saliency is the gradient of one logit: as written out by hand, as Captum has it, in double and single precision."""

import numpy as np
import pytest
import torch

import reportgen
from reportgen import wording
from reportgen.errors import NotApplicable
from reportgen.methods import method
from reportgen.records import Input
from tests import families, tiny


def saliency(net, pictures, labels=(), **params):
    found = method("saliency")
    inputs = [Input(picture, labels) for picture in pictures]
    predictions = method("prediction").run(net, inputs, method("prediction").params(), [])
    inputs = [Input(one.picture, labels, {"prediction": p}) for one, p in zip(inputs, predictions, strict=True)]
    return found.run(net, inputs, found.params(**params), [])


@pytest.mark.parametrize("arch", families.ARCHS)
def test_in_double_precision_it_equals_autograd_by_hand_and_captum(arch):
    from captum.attr import Saliency

    net = families.net(arch)
    pictures = [tiny.photo(1), tiny.photo(5)]
    for picture, artifact in zip(pictures, saliency(net, pictures), strict=True):
        x = net.preprocess([picture]).requires_grad_()
        logits = net.module(x)
        target = int(logits.argmax())
        assert artifact.numbers["target"] == target
        by_hand = torch.autograd.grad(logits[0, target], x)[0][0].numpy()
        assert families.relative(artifact.arrays["gradient"], by_hand) < 1e-6
        assert families.relative(artifact.arrays["map"], abs(by_hand).max(axis=0)) < 1e-6
        captum = Saliency(net.module).attribute(x, target=target, abs=False).detach()[0].numpy()
        assert families.relative(artifact.arrays["gradient"], captum) < 1e-6


@pytest.mark.parametrize("arch", families.ARCHS)
def test_single_precision_agrees_with_double(arch):
    (double,) = saliency(families.net(arch), [tiny.photo(1)], target=7)
    (single,) = saliency(families.net(arch, "fp32"), [tiny.photo(1)], target=7)
    assert families.cosine(double.arrays["gradient"], single.arrays["gradient"]) > 0.999


def test_the_target_can_be_the_label_a_name_or_an_index_and_a_batch_keeps_pictures_apart():
    net = tiny.tiny_net("branching", "fp64")
    pictures = [tiny.photo(1), tiny.photo(2)]
    by_label = saliency(net, pictures, ("garbage_truck",), target="label")
    by_name = saliency(net, pictures, target="Garbage Truck")
    by_index = [saliency(net, [picture], target=3)[0] for picture in pictures]
    for one, two, three in zip(by_label, by_name, by_index, strict=True):
        assert one.numbers["target_name"] == "garbage truck"
        assert np.array_equal(one.arrays["gradient"], two.arrays["gradient"])
        assert families.relative(one.arrays["gradient"], three.arrays["gradient"]) < 1e-6
    with pytest.raises(NotApplicable, match="flower"):
        saliency(net, pictures, ("flower",), target="label")


@pytest.fixture(scope="module")
def odd_pictures():
    """One pixel, and a photo of twelve megapixels."""
    large = np.repeat(np.repeat(tiny.photo(1, 50), 60, axis=0), 80, axis=1)
    assert large.shape == (3000, 4000, 3)
    return [np.full((1, 1, 3), 0.5, np.float32), large]


@pytest.mark.parametrize("name", ["saliency", "smoothgrad", "integrated_gradients", "grad_cam", "cam"])
def test_pictures_of_any_size_get_a_map_of_the_nets_input_size(name, odd_pictures):
    tiny_params = method(name).tiny
    for artifact in reportgen.compute(name, tiny.tiny_net("residual"), odd_pictures, **tiny_params):
        assert artifact.arrays["map"].shape == (tiny.SIZE, tiny.SIZE)
        (panel,) = method(name).panels(artifact)
        assert panel.values.shape == (tiny.SIZE, tiny.SIZE)


def test_a_place_is_told_in_words():
    assert wording.place(0.1, 0.9) == "upper right"
    assert wording.place(0.5, 0.5) == "middle"
    assert wording.place(0.9, 0.5) == "lower part"
    assert wording.place(0.5, 0.2) == "left part"
    values = np.zeros((20, 20))
    values[12:18, 1:8] = 1  # more than a tenth
    assert wording.brightest(values) == (
        "the brightest tenth of the pixels is gathered in one part of it, around its lower left"
    )
    assert wording.peak(values) == [12, 1]
    assert wording.peak(values - 1) is None
