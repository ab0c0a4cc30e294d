"""Attribution maps are those of the methods themselves; guided backprop equals every ReLU replaced by hand."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import reportgen
from reportgen import attribution
from reportgen.attribution import Effort, maps
from reportgen.errors import MethodError
from reportgen.untrained import untrained
from tests import families, reference, tiny

TARGETS = [3, 1]
EFFORT = Effort(samples=3, noise=0.2, steps=5)


def rngs(count=2):
    return [np.random.default_rng([5, n]) for n in range(count)]


def pictures(count=2):
    return [tiny.photo(seed) for seed in range(1, 1 + count)]


def made(net, *names, effort=EFFORT, targets=TARGETS):
    found, left_out = maps(net, net.preprocess(pictures(len(targets))), targets, names, rngs(len(targets)), effort)
    assert not left_out
    return [found[name] for name in names] if len(names) > 1 else found[names[0]]


@pytest.mark.parametrize("kind", tiny.KINDS)
@pytest.mark.parametrize("name", ["saliency", "integrated_gradients", "grad_cam", "cam"])
def test_a_map_is_the_one_the_method_gives(kind, name):
    net = tiny.tiny_net(kind, "fp64")
    if name == "cam" and not net.card.global_pooling:
        _, left_out = maps(net, net.preprocess(pictures()), TARGETS, ["cam", "centre"], rngs())
        assert "global average pooling" in left_out["cam"]
        return
    params = {"steps": EFFORT.steps} if name == "integrated_gradients" else {}
    checked = 0
    for targets in ([3, 1], [0, 2], [4, 5]):
        for picture, target, own in zip(pictures(), targets, made(net, name, targets=targets), strict=True):
            truth = reportgen.compute(name, net, picture, target=target, **params).arrays["map"]
            assert own.any() == truth.any(), "a Grad-CAM is zero where nothing speaks for the class"
            assert abs(own - truth).max() <= 1e-6 * abs(truth).max()
            checked += truth.any()
    assert checked >= 2


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_smoothgrad_is_the_one_the_method_gives_with_the_same_noise(kind):
    from reportgen.methods import method
    from reportgen.records import Artifact, Input

    net, smooth = tiny.tiny_net(kind, "fp64"), method("smoothgrad")
    prediction = {"prediction": Artifact({"probabilities": np.ones(6)}, {"index": 0})}
    for n, (picture, target) in enumerate(zip(pictures(), TARGETS, strict=True)):
        params = smooth.params(target=target, samples=EFFORT.samples, noise=EFFORT.noise)
        (truth,) = smooth.run(net, [Input(picture, used=prediction)], params, [rngs()[n]])
        assert families.relative(made(net, "smoothgrad")[n], truth.arrays["map"]) < 1e-6


def guided_by_hand(net, picture, target):
    x = net.preprocess([picture]).requires_grad_()
    with reference.relu_by_hand("guided"):
        logit = net.module(x)[0, target]
    return torch.autograd.grad(logit, x)[0][0].abs().amax(0).numpy()


@pytest.mark.parametrize("kind", ["plain", "branching", "residual"])
def test_guided_equals_every_relu_replaced_by_hand(kind):
    net = tiny.tiny_net(kind, "fp64")
    checked = 0
    for targets in ([3, 1], [0, 2], [4, 5]):
        guided, slopes = made(net, "guided", "saliency", targets=targets)
        for n, (picture, target) in enumerate(zip(pictures(), targets, strict=True)):
            truth = guided_by_hand(net, picture, target)
            assert guided[n].any() == truth.any(), "nothing comes down to some pictures of a small net"
            assert abs(guided[n] - truth).max() <= 1e-6 * abs(truth).max()
            checked += truth.any() and families.relative(slopes[n], truth) > 0.1
    assert checked >= 2, "a gradient would pass for the rule"


@pytest.mark.parametrize("arch", families.ARCHS)
def test_guided_equals_every_relu_replaced_by_hand_on_big_nets(arch):
    net = families.net(arch)
    found, _ = maps(net, net.preprocess(pictures(1)), [7], ["guided"], rngs(1))
    assert families.relative(found["guided"][0], guided_by_hand(net, tiny.photo(1), 7)) < 1e-6


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_guided_is_the_deconvnet_methods_projection_of_the_logit(kind):
    """The method starts with the logit itself where it is positive; here the signal starts with 1."""
    net = tiny.tiny_net(kind, "fp64")
    checked = 0
    for picture in pictures():
        logits = net.module(net.preprocess([picture]))[0]
        for target in (logits > 0).nonzero().flatten().tolist():
            artifact = reportgen.compute("deconvnet", net, picture, layer="logits", units=[target])
            found, _ = maps(net, net.preprocess([picture]), [target], ["guided"], rngs(1))
            size = net.card.preprocess.size
            y0, x0, _, _ = artifact.arrays["boxes"][0]
            own = abs(artifact.arrays["guided"][0]).max(axis=0)[-y0 : size - y0, -x0 : size - x0]
            assert families.relative(found["guided"][0] * float(logits[target]), own) < 1e-6
            checked += 1
    assert checked


def test_guided_leaves_out_a_net_that_the_rule_does_not_meet():
    class Clamped(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 4, 5, 4), nn.Linear(4 * 225, 6)

        def forward(self, x):
            return self.fc(self.conv(x).clamp(min=0).flatten(1))

    net = tiny.net_of(tiny.seeded(Clamped))
    found, left_out = maps(net, net.preprocess(pictures()), TARGETS, ["guided", "saliency"], rngs())
    assert list(found) == ["saliency"]
    assert "guided" in left_out


def test_a_batch_keeps_pictures_apart_and_what_else_is_asked_for_does_not_matter():
    net = tiny.tiny_net("residual", "fp64")
    together, left_out = maps(net, net.preprocess(pictures()), TARGETS, attribution.NAMES, rngs(), EFFORT)
    assert not left_out
    assert list(together) == list(attribution.NAMES)
    for name, both in together.items():
        assert both.shape == (2, tiny.SIZE, tiny.SIZE)
        assert both.dtype == np.float32
        for n in (0, 1):
            x = net.preprocess([pictures()[n]])
            alone, _ = maps(net, x, [TARGETS[n]], [name], [rngs()[n]], EFFORT)
            assert families.relative(alone[name][0], both[n]) < 1e-6, name
    assert not np.array_equal(together["random"][0], together["random"][1])
    assert not np.array_equal(together["saliency"], together["untrained:saliency"])


def test_the_centre_is_highest_in_the_middle_and_zero_in_the_corners():
    (values, _) = made(tiny.tiny_net("plain"), "centre")
    middle, side = (tiny.SIZE - 1) / 2, tiny.SIZE
    truth = [
        [2**0.5 * middle - ((y - middle) ** 2 + (x - middle) ** 2) ** 0.5 for x in range(side)] for y in range(side)
    ]
    assert np.allclose(values, truth, atol=1e-5)


def test_names_are_checked():
    assert attribution.checked_names("saliency", "methods") == ("saliency",)
    with pytest.raises(MethodError, match="'grad_cam'"):
        attribution.checked_names(["gradcam"], "methods")
    with pytest.raises(MethodError, match="once"):
        attribution.checked_names(["cam", "cam"], "methods")
    with pytest.raises(MethodError, match="nothing"):
        attribution.checked_names([], "methods")


# -------------------------------------------------------------------------------------------------- untrained nets


@pytest.mark.parametrize("arch", ["vgg16", "googlenet", "resnet50"])
def test_the_untrained_net_is_another_one_whose_gradients_live(arch):
    net = families.net(arch)
    before = copy.deepcopy(net.module.state_dict())
    state = torch.get_rng_state()
    other = untrained(net, 1)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[key]) for key, value in net.module.state_dict().items())
    assert untrained(net, 1).module is other.module, "it is made once"
    for (name, old), new in zip(net.module.named_parameters(), other.module.parameters(), strict=True):
        assert not new.requires_grad
        assert old.dtype == new.dtype
        pair = torch.stack([old.flatten()[:20_000], new.flatten()[:20_000]])
        assert old.ndim < 2 or abs(torch.corrcoef(pair)[0, 1]) < 0.2, name
    x = net.preprocess(pictures(1))
    logits = other.module(x)
    assert 0.01 < logits.std() < 100
    found, _ = maps(other, x, [7], ["saliency"], rngs(1))
    assert found["saliency"].max() > 1e-3
    assert (found["saliency"] > 0).mean() > 0.5


def test_untrained_weights_hang_on_the_seed_alone():
    one, two = tiny.tiny_net("residual"), tiny.tiny_net("residual")
    same = zip(
        untrained(one, 4).module.state_dict().values(), untrained(two, 4).module.state_dict().values(), strict=True
    )
    assert all(torch.equal(a, b) for a, b in same)
    a, b = untrained(one, 4).module.conv1.weight, untrained(one, 5).module.conv1.weight
    assert not torch.equal(a, b)
