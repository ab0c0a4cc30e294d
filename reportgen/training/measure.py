"""How good a net is and what it costs: evaluation, and the choice of precision."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from reportgen.training.data import PhotoSet, centre_crop

if TYPE_CHECKING:
    import torch
    from torch import nn

EVALUATION_BATCH = 128


class Measured(NamedTuple):
    """How good a net is on some photos."""

    loss: float  # mean
    top1: float  # share
    classes: tuple[float, ...]  # K: the top-1 share of each class; 0 for one without photos


def evaluate(
    net: nn.Module,
    photos: PhotoSet,
    size: int,
    device: torch.device | None = None,
    label_smoothing: float = 0.0,
) -> tuple[float, float]:
    """Return a net's mean loss and top-1 share on the central `size` pixels of photos."""
    return measured(net, photos, size, device, label_smoothing)[:2]


def measured(
    net: nn.Module,
    photos: PhotoSet,
    size: int,
    device: torch.device | None = None,
    label_smoothing: float = 0.0,
) -> Measured:
    """Return a net's mean loss and its top-1 share, over all photos and by class, on their central `size` pixels."""
    import torch
    from torch.nn import functional

    device = device or torch.device("cpu")
    was_training = net.training
    net.eval()
    loss, right = 0.0, np.zeros(len(photos), bool)
    with torch.inference_mode():
        for start in range(0, len(photos), EVALUATION_BATCH):
            part = slice(start, start + EVALUATION_BATCH)
            labels = torch.from_numpy(photos.labels[part]).to(device)  # N
            logits = net(centre_crop(torch.from_numpy(photos.pictures[part]).to(device), size))  # N K
            losses = functional.cross_entropy(logits, labels, reduction="sum", label_smoothing=label_smoothing)
            loss += float(losses)
            right[part] = (logits.argmax(1) == labels).cpu().numpy()
    net.train(was_training)
    count = len(photos.classes)
    each = np.bincount(photos.labels[right], minlength=count) / np.bincount(photos.labels, minlength=count).clip(1)
    return Measured(loss / len(photos), int(right.sum()) / len(photos), tuple(each.tolist()))


def autocast(device: torch.device, bf16: bool) -> contextlib.AbstractContextManager[None]:
    """Return a context that computes in bf16 where it is safe, or does nothing."""
    import torch

    return torch.autocast(device.type, torch.bfloat16) if bf16 else contextlib.nullcontext()


def bf16_is_quicker(net: nn.Module, size: int, device: torch.device) -> bool:
    """Time a pass in each precision: a processor without bf16 emulates it, ten times slower than fp32."""
    import torch

    batch = torch.zeros(8, 3, size, size, device=device).to(memory_format=torch.channels_last)
    kept = {name: value.clone() for name, value in net.state_dict().items()}  # batch norm counts every pass
    seconds = {}
    for bf16 in (False, True):
        for _ in range(2):  # the first pass prepares kernels, the second counts
            began = time.perf_counter()
            with autocast(device, bf16):
                loss = net(batch).float().sum()
            torch.autograd.backward(loss)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            seconds[bf16] = time.perf_counter() - began
    net.zero_grad(set_to_none=True)
    net.load_state_dict(kept)
    return seconds[True] < 0.9 * seconds[False]
