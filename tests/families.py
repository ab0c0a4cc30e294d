"""torchvision's nets with calibrated random weights, and the real SqueezeNet, at a small input; built once.

AlexNet and VGG-16 have narrower dense layers than the originals, whose 182 million weights would be nearly all that
the nets hold: 1.5 GB in double precision, and as much again for each copy.
"""

import copy
from functools import lru_cache
from pathlib import Path

import pytest
import torchvision
from torch import nn

from tests import tiny

SQUEEZENET = Path(__file__).parents[2] / "shared" / "data" / "squeezenet1_0-imagenet1k.safetensors"
ARCHS = ("alexnet", "vgg16", "googlenet", "resnet50", "squeezenet1_0")
SIZE = 64
WIDTH = 256  # of the dense layers, in place of 4096


@lru_cache(maxsize=8)
def _module(arch):
    if arch == "squeezenet1_0":
        from safetensors.torch import load_file

        net = torchvision.models.squeezenet1_0(weights=None).eval().requires_grad_(False)
        net.load_state_dict({name: value.float() for name, value in load_file(SQUEEZENET).items()})
        return net.double()
    return tiny.seeded(lambda: _narrowed(whole(arch)), seed=3, size=SIZE).double()


def whole(arch):
    """The net as torchvision has it, with fresh random weights."""
    extra = {"googlenet": {"aux_logits": False, "init_weights": False}, "vgg16": {"init_weights": False}}.get(arch, {})
    return getattr(torchvision.models, arch)(weights=None, **extra)


def _narrowed(net):
    layers = getattr(net, "classifier", ())
    dense = [place for place, layer in enumerate(layers) if isinstance(layer, nn.Linear)]
    for place in dense:
        inside = layers[place].in_features if place == dense[0] else WIDTH
        outside = layers[place].out_features if place == dense[-1] else WIDTH
        layers[place] = nn.Linear(inside, outside)
    return net


@lru_cache(maxsize=16)
def net(arch, precision="fp64"):
    """The net with its card; skips, and says so, where the real weights are not at hand."""
    if arch == "squeezenet1_0" and not SQUEEZENET.exists():
        pytest.skip(f"not checked on SqueezeNet: {SQUEEZENET} is missing")
    classes = [f"class {k}" for k in range(1000)]
    module = _module(arch) if precision == "fp64" else copy.deepcopy(_module(arch))
    return tiny.net_of(module, SIZE, classes, precision, arch)


def cosine(a, b):
    a, b = a.ravel().astype(float), b.ravel().astype(float)
    return float(a @ b / ((a @ a) ** 0.5 * (b @ b) ** 0.5))


def relative(found, truth):
    """The largest difference as a share of the truth's largest value."""
    return float(abs(found - truth).max() / abs(truth).max())
