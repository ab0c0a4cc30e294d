"""The quick way back through a first convolution is the library's gradient."""

import pytest
import torch
from torch import nn

from reportgen import entry
from reportgen.lean import lean
from tests import families


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "size"),
    [
        (11, 4, 2, 224),
        (7, 2, 3, 64),
        (3, 2, 0, 65),
        (3, 2, 1, 64),
        (5, 4, 0, 66),
        (6, 3, 2, 50),
        (2, 2, 0, 33),
        (8, 8, 0, 61),
    ],
)
def test_the_gradient_towards_the_picture_is_the_librarys(kernel, stride, padding, size):
    torch.manual_seed(kernel + stride)
    conv = nn.Conv2d(3, 5, kernel, stride, padding).double().requires_grad_(False)
    x = torch.randn(2, 3, size, size + 7, dtype=torch.float64)
    assert entry.fits(conv)
    quick, found = entry.with_quick_way_back(conv), []
    for module in (conv, quick):
        leaf = x.clone().requires_grad_()
        value = module(leaf)
        seed = torch.randn(value.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        found.append((value.detach(), torch.autograd.grad(value, leaf, seed)[0]))
    assert torch.equal(found[0][0], found[1][0])
    assert (found[0][1] - found[1][1]).abs().max() < 1e-12
    with torch.no_grad():
        assert torch.equal(quick(x), conv(x))


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(3, 4, 3, 1, 1),
        nn.Conv2d(3, 4, 3, (2, 1)),
        nn.Conv2d(3, 4, (3, 5), 2),
        nn.Conv2d(16, 4, 3, 2),
        nn.Conv2d(4, 4, 3, 2, groups=2),
        nn.Conv2d(3, 4, 3, 2, dilation=2),
        nn.Conv2d(3, 4, 3, 2, 1, padding_mode="reflect"),
        nn.Conv2d(3, 4, 2, 3),
    ],
    ids=repr,
)
def test_other_convolutions_are_left_alone(conv):
    assert not entry.fits(conv)


@pytest.mark.parametrize("arch", ["alexnet", "googlenet", "resnet50"])
def test_the_lean_net_takes_it_for_its_first_convolution_only(arch):
    quick = lean(families.net(arch)).module
    taken = [name for name, module in quick.named_modules() if hasattr(module, "back")]
    assert taken == [{"alexnet": "features.0", "googlenet": "conv1.conv", "resnet50": "conv1"}[arch]]
