"""The lean net computes what the net computes, leaves asked layers alone and the net as it was."""

import copy

import pytest
import torch
from torch import nn

from reportgen import hooks
from reportgen.lean import lean
from tests import families, tiny


@pytest.mark.parametrize("arch", families.ARCHS)
def test_the_lean_net_gives_the_same_logits_and_gradients(arch):
    net = families.net(arch)
    x = torch.randn(2, 3, families.SIZE, families.SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    found = []
    for module in (net.module, lean(net).module):
        inputs = x.clone().requires_grad_()
        logits = module(inputs)
        found.append((logits.detach(), torch.autograd.grad(logits[:, 7].sum(), inputs)[0]))
    for own, quick in zip(*found, strict=True):
        assert (own - quick).abs().max() <= 1e-11 * own.abs().max()


def test_every_batch_norm_of_a_residual_net_is_folded_and_the_net_is_left_as_it_was():
    net = families.net("resnet50")
    before = copy.deepcopy(net.module.state_dict())
    quick = lean(net).module
    assert not any(isinstance(module, nn.BatchNorm2d) for module in quick.modules())
    assert sum(isinstance(module, nn.BatchNorm2d) for module in net.module.modules()) == 53
    assert all(torch.equal(value, before[name]) for name, value in net.module.state_dict().items())
    assert lean(net).module is quick  # made once
    assert quick.fc.weight is net.module.fc.weight  # dense layers are shared


@pytest.mark.parametrize("layer", ["conv1", "bn1", "layer2.0.conv2", "layer2.0.downsample.0", "stage3", "fc@in"])
def test_an_asked_layer_keeps_its_own_value(layer):
    net = families.net("resnet50")
    x = torch.randn(1, 3, families.SIZE, families.SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    name = layer if layer.endswith(hooks.INPUT) else net.card.resolve(layer).name
    with torch.no_grad():
        with hooks.recorded(net.module, [name]) as truth:
            net.module(x)
        with hooks.recorded(lean(net, [layer]).module, [name]) as found:
            lean(net, [layer]).module(x)
    assert (truth[name] - found[name]).abs().max() <= 1e-11 * truth[name].abs().max()


class _Forked(nn.Module):
    """A convolution whose value goes into its batch norm and elsewhere, and one that is called twice."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4)
        self.twice, self.after = nn.Conv2d(4, 4, 3, 1, 1), nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 6)

    def forward(self, x):
        x = self.conv(x)
        x = self.norm(x) + x
        x = self.after(self.twice(x)).relu() + self.twice(x)
        return self.fc(x.mean((2, 3)))


def test_a_convolution_that_others_read_too_is_not_folded():
    net = tiny.net_of(tiny.seeded(_Forked))
    quick = lean(net).module
    assert isinstance(quick.norm, nn.BatchNorm2d)
    assert isinstance(quick.after, nn.BatchNorm2d)
    x = torch.randn(2, 3, tiny.SIZE, tiny.SIZE, dtype=torch.float64)
    assert torch.allclose(net.module(x), quick(x), rtol=0, atol=1e-12)


def test_weights_that_are_changed_in_place_are_seen():
    net = tiny.net_of(tiny.seeded(tiny.residual))
    x = torch.randn(1, 3, tiny.SIZE, tiny.SIZE, dtype=torch.float64)
    lean(net).module(x)
    with torch.no_grad():
        net.module.conv1.weight.mul_(2)
        net.module.layer1.bn1.running_mean.add_(1)
    assert torch.allclose(net.module(x), lean(net).module(x), rtol=0, atol=1e-12)
