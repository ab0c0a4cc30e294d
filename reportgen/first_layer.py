"""The first convolution's filters and what can be measured on them, and which layer comes second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reportgen.errors import NotApplicable

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from reportgen.records import Layer, Net

DEAD = 0.05  # of the median root mean square
SPECTRUM = 64  # the filter is laid in a square of zeros of this side: 1/64 cycle per pixel is told apart
LUMINANCE = (0.299, 0.587, 0.114)  # Rec. 601


@dataclass(frozen=True, eq=False)
class FirstLayer:
    """The first convolution of a net that looks at three colours."""

    name: str
    weights: Tensor  # C 3 k k
    folded: Tensor  # C 3 k k: with the batch norm that follows, where one does
    stride: tuple[int, int]
    norm: bool


def first_layer(net: Net) -> FirstLayer:
    """The net's first filters, as they are and with batch norm folded in. Raises NotApplicable."""
    name = net.card.aliases["first_conv"].partition("#")[0]
    conv = net.module.get_submodule(name)
    if conv.weight.ndim != 4 or conv.weight.shape[1] != 3:
        raise NotApplicable(f"{net.card.arch}'s first convolution does not look at three colours.")
    norm = _norm_after(net.module, conv)
    weights = conv.weight.double()  # C 3 k k
    folded = weights
    if norm is not None:
        gain = (norm.running_var.double() + norm.eps).rsqrt()  # C
        gain = gain * norm.weight.double() if norm.affine else gain
        folded = weights * gain[:, None, None, None]
    return FirstLayer(name, weights, folded, tuple(conv.stride), norm is not None)


def measure(filters: np.ndarray) -> dict[str, np.ndarray]:
    """Per filter of C x 3 x k x k: rms, dead or not, frequency (cycles per pixel), orientation (degrees), colour share.

    The orientation is that of the wave: 0 for stripes that change from left to right, 90 from top to bottom.
    """
    import numpy as np

    rms = np.sqrt((filters.astype(np.float64) ** 2).mean(axis=(1, 2, 3)))  # C
    grey = np.tensordot(filters, LUMINANCE, axes=([1], [0]))  # C k k
    spectrum = np.abs(np.fft.rfft2(grey, s=(SPECTRUM, SPECTRUM)))  # C 64 33
    peak = spectrum.reshape(len(filters), -1).argmax(axis=1)  # C
    rows, columns = np.unravel_index(peak, spectrum.shape[1:])
    fy, fx = np.fft.fftfreq(SPECTRUM)[rows], np.fft.rfftfreq(SPECTRUM)[columns]
    neutral = filters.mean(axis=1, keepdims=True)  # C 1 k k
    energy = np.maximum((filters**2).sum(axis=(1, 2, 3)), 1e-30)  # C
    return {
        "rms": rms.astype(np.float32),
        "dead": rms < DEAD * np.median(rms),
        "frequency": np.hypot(fy, fx).astype(np.float32),
        "orientation": (np.degrees(np.arctan2(fy, fx)) % 180).astype(np.float32),
        "colour": (((filters - neutral) ** 2).sum(axis=(1, 2, 3)) / energy).astype(np.float32),
    }


def first_and_second(net: Net) -> tuple[Layer, Layer]:
    """The first layer and the second: what the first convolution, and the next that is wider than one place, answer.

    Each with what directly follows it, position by position: batch norm, rectification. Raises NotApplicable.
    """
    layers = net.card.layers
    names = [layer.name for layer in layers]
    first = names.index(net.card.aliases["first_conv"])
    for place, layer in enumerate(layers[first + 1 :], first + 1):
        if layer.kind == "Conv2d" and max(net.module.get_submodule(layer.name.partition("#")[0]).kernel_size) > 1:
            return _answer(layers, first), _answer(layers, place)
    raise NotApplicable(f"{net.card.arch} has one convolution only that is wider than one place.")


def _answer(layers: Sequence[Layer], place: int) -> Layer:
    """The last layer in a row that keeps the grid, the fields and the channels of a convolution."""
    conv, found = layers[place], layers[place]
    for layer in layers[place + 1 :]:
        if layer.kind == "Conv2d" or (layer.shape, layer.field, layer.start) != (conv.shape, conv.field, conv.start):
            break
        found = layer
    return found


def _norm_after(module: Any, conv: Any) -> Any:
    """The batch norm that follows the convolution at once, or None."""
    from torch import nn

    leaves = [child for child in module.modules() if not list(child.children())]
    following = leaves[leaves.index(conv) + 1 :][:1]
    fits = following and isinstance(following[0], nn.BatchNorm2d) and following[0].num_features == conv.out_channels
    return following[0] if fits else None
