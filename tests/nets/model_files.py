"""One net in many formats: small nets of the four families, and the real SqueezeNet, written as users would."""

import warnings
from functools import lru_cache

import pytest
import torch
from safetensors.torch import load_file, save_file

from reportgen import load_net
from reportgen.nets import mini
from tests import families, tiny

FAMILIES = ("alexnet_mini", "vgg_mini", "googlenet_mini", "resnet_mini")
NETS = (*FAMILIES, "squeezenet1_0")
# AlexNet and VGG at their own size: at another, their adaptive pools have no form in ONNX.
SIZES = {"alexnet_mini": 128, "vgg_mini": 128}
SIZE = 64  # of the others


@lru_cache(maxsize=8)
def module(arch):
    """The net: with calibrated random weights, SqueezeNet with its real ones."""
    if arch in FAMILIES:
        return tiny.seeded(lambda: _lively(mini.build(arch, num_classes=6)), FAMILIES.index(arch), size(arch))
    if not families.SQUEEZENET.exists():
        pytest.skip(f"not checked on SqueezeNet: {families.SQUEEZENET.name} is missing")
    import torchvision

    net = torchvision.models.squeezenet1_0(weights=None).eval().requires_grad_(False)
    net.load_state_dict({name: value.float() for name, value in load_file(families.SQUEEZENET).items()})
    return net


def _lively(net):
    """The net with biases, and batch norms that scale and shift: exporters leave out what is zero in a fresh net."""
    for child in net.modules():
        if getattr(child, "bias", None) is not None:
            torch.nn.init.normal_(child.bias, std=0.1)
        if isinstance(child, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(child.weight, 0.5, 1.5)
    return net


def size(arch):
    return SIZES.get(arch, SIZE)


def picture_batch(count=1, side=SIZE):
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(5))


def by_state_dict(arch, folder, **how):
    """The net as reportgen has always loaded it: architecture by name, weights as a state dict."""
    path = folder / f"{arch}.safetensors"
    save_file({name: value.clone() for name, value in module(arch).state_dict().items()}, path)
    return load_net(arch, weights=path, device="cpu", preprocess={"size": size(arch)}, **how)


def export_pt2(arch, path):
    torch.export.save(torch.export.export(module(arch), (picture_batch(1, size(arch)),)), path)


def export_onnx(arch, path):
    """With PyTorch's exporter of today, weights in a file beside it; it folds batch norms into convolutions."""
    pytest.importorskip("onnx", reason="the extra onnx is not installed")
    pytest.importorskip("onnxscript", reason="PyTorch's ONNX exporter needs onnxscript")
    torch.onnx.export(module(arch), (picture_batch(1, size(arch)),), path, verbose=False)


def export_old_onnx(arch, path):
    """With the exporter before it, in one file for any number of pictures."""
    pytest.importorskip("onnx", reason="the extra onnx is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is the old one
        how = {"input_names": ["x"], "dynamic_axes": {"x": {0: "batch"}}}
        torch.onnx.export(module(arch), (picture_batch(1, size(arch)),), path, dynamo=False, **how)


def save_script(net, path, side, how):
    """Any net as TorchScript: traced, scripted, or scripted and frozen; PyTorch calls all of it deprecated."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated", FutureWarning)
        made = torch.jit.trace(net, picture_batch(1, side)) if how == "traced" else torch.jit.script(net)
        if how == "frozen":
            made = torch.jit.freeze(made)
        torch.jit.save(made, path)


def script_writer(how):
    return lambda arch, path: save_script(module(arch), path, size(arch), how)


SCRIPTED = {f".{how}.pt": script_writer(how) for how in ("traced", "scripted", "frozen")}


def save_keras(arch, path):
    """The net rebuilt in Keras 3 with a softmax at its end, saved as the file's ending says."""
    from tests.nets import keras_twins

    pytest.importorskip("h5py", reason="the extra keras is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that .h5 is the old format
        keras_twins.twin(module(arch), size(arch)).save(path)


WRITERS = {
    ".pt2": export_pt2,
    ".onnx": export_onnx,
    ".old.onnx": export_old_onnx,
    **SCRIPTED,
    ".h5": save_keras,
    ".keras": save_keras,
}
