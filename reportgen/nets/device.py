"""Where a net runs and in which number type."""

from __future__ import annotations

from reportgen.errors import ModelError
from reportgen.records import Precision


def pick_device(device: str, precision: Precision = "fp32") -> str:
    """The name of a device that is there: "auto" takes CUDA, then Apple's GPU, then the CPU."""
    import torch

    mps = torch.backends.mps.is_available()
    if device == "auto":
        # Apple's GPU has no fp64.
        return "cuda" if torch.cuda.is_available() else "mps" if mps and precision != "fp64" else "cpu"
    kind, _, number = device.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (number and not number.isdigit()):
        raise ModelError(f"There is no device {device!r}. Known: auto, cpu, cuda, cuda:N, mps.")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise ModelError(
            f"The device {device} was asked for; PyTorch sees {torch.cuda.device_count()} CUDA devices here."
        )
    if kind == "mps" and not mps:
        raise ModelError("The device mps was asked for; PyTorch sees no Apple GPU here.")
    if kind == "mps" and precision == "fp64":
        raise ModelError("precision fp64 does not exist on mps. Take --device cpu, or fp32.")
    return device


def set_precision(precision: Precision) -> None:
    """Lets CUDA round fp32 factors to TF32 for `tf32`, and for nothing else.

    PyTorch leaves TF32 on for convolutions by default, so that "fp32" would mean 10 bits of mantissa on a GPU and 23 on
    a CPU.
    """
    import torch

    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
