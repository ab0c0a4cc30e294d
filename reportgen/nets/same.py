"""Padding "same", as Keras means it: as much as makes every stride a window, half of it before, the odd one after.

How much that is depends on the size of what comes in, so it is found when the layer is called. Pools leave the padding
out. Like `mini`, this module imports torch at the top: only code that builds a net imports it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

Pair = tuple[int, int]


def _around(x: Tensor, kernel: Pair, stride: Pair, dilation: Pair = (1, 1)) -> list[Pair]:
    """Padding before and after, for y and x."""
    found = []
    for side, k, s, d in zip(x.shape[2:], kernel, stride, dilation, strict=True):
        whole = max(((side + s - 1) // s - 1) * s + (k - 1) * d + 1 - side, 0)
        found.append((whole // 2, whole - whole // 2))
    return found


def pad(x: Tensor, kernel: Pair, stride: Pair, dilation: Pair = (1, 1), value: float = 0.0) -> Tensor:
    """The maps, padded for a window."""
    (top, bottom), (left, right) = _around(x, kernel, stride, dilation)
    if not any((top, bottom, left, right)):
        return x
    return functional.pad(x, [left, right, top, bottom], value=value)  # N C H W


def _symmetric(around: list[Pair], stride: Pair) -> tuple[Pair, bool] | None:
    """Padding and ceil_mode of a pool that does the same; None where it has to be padded beforehand.

    With one more after than before, a last window that reaches out of the map takes its place.
    """
    more = [after - before for before, after in around]
    if any(m and s == 1 for m, s in zip(more, stride, strict=True)) or len(set(more)) > 1:
        return None
    return (around[0][0], around[1][0]), bool(more[0])


def max_pool(x: Tensor, kernel: Pair, stride: Pair) -> Tensor:
    """A max pooling whose windows see no padding."""
    found = _symmetric(_around(x, kernel, stride), stride)
    if found is None:
        return functional.max_pool2d(pad(x, kernel, stride, value=-torch.inf), kernel, stride)  # N C H W
    padding, ceil = found
    return functional.max_pool2d(x, kernel, stride, padding, ceil_mode=ceil)  # N C H W


def average_pool(x: Tensor, kernel: Pair, stride: Pair) -> Tensor:
    """An average pooling that counts no padding."""
    found = _symmetric(_around(x, kernel, stride), stride)
    if found is None:
        there = torch.ones_like(x[:1, :1])  # 1 1 H W
        whole, share = (functional.avg_pool2d(pad(part, kernel, stride), kernel, stride) for part in (x, there))
        return whole / share  # N C H W
    padding, ceil = found
    return functional.avg_pool2d(x, kernel, stride, padding, ceil, count_include_pad=False)  # N C H W


class SamePad2d(nn.Module):
    """Pads for the window of the layer after it."""

    def __init__(self, kernel: Pair, stride: Pair, dilation: Pair = (1, 1)) -> None:
        super().__init__()
        self.window = (kernel, stride, dilation)

    def forward(self, x: Tensor) -> Tensor:
        """Return the padded maps."""
        return pad(x, *self.window)


class MaxPool2d(nn.MaxPool2d):
    """A max pooling with padding "same"."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the pooled maps."""
        return max_pool(x, self.kernel_size, self.stride)  # type: ignore[arg-type]


class AvgPool2d(nn.AvgPool2d):
    """An average pooling with padding "same"."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the pooled maps."""
        return average_pool(x, self.kernel_size, self.stride)  # type: ignore[arg-type]


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "same.pad": pad,
    "same.max_pool": max_pool,
    "same.average_pool": average_pool,
}
LAYERS: Mapping[str, Callable[..., nn.Module]] = {
    "same.pad": SamePad2d,
    "same.max_pool": MaxPool2d,
    "same.average_pool": AvgPool2d,
}
