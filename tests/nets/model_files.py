"""One net in many formats: small nets of the four families, and the real SqueezeNet, written as users would."""

from functools import lru_cache

import pytest
import torch
from safetensors.torch import load_file, save_file

from reportgen import load_net
from reportgen.nets import mini
from tests import families, tiny

FAMILIES = ("alexnet_mini", "vgg_mini", "googlenet_mini", "resnet_mini")
NETS = (*FAMILIES, "squeezenet1_0")
SIZE = 64


@lru_cache(maxsize=8)
def module(arch):
    """The net: with calibrated random weights, SqueezeNet with its real ones."""
    if arch in FAMILIES:
        return tiny.seeded(lambda: mini.build(arch, num_classes=6), seed=FAMILIES.index(arch), size=SIZE)
    if not families.SQUEEZENET.exists():
        pytest.skip(f"not checked on SqueezeNet: {families.SQUEEZENET.name} is missing")
    import torchvision

    net = torchvision.models.squeezenet1_0(weights=None).eval().requires_grad_(False)
    net.load_state_dict({name: value.float() for name, value in load_file(families.SQUEEZENET).items()})
    return net


def picture_batch(count=1, size=SIZE):
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(5))


def by_state_dict(arch, folder, **how):
    """The net as reportgen has always loaded it: architecture by name, weights as a state dict."""
    path = folder / f"{arch}.safetensors"
    save_file({name: value.clone() for name, value in module(arch).state_dict().items()}, path)
    return load_net(arch, weights=path, device="cpu", preprocess={"size": SIZE}, **how)


def export_pt2(arch, path):
    torch.export.save(torch.export.export(module(arch), (picture_batch(),)), path)


WRITERS = {".pt2": export_pt2}
