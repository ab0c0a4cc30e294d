"""Pictures moved, enlarged and turned about their centre, by bilinear interpolation; and how a net is given them.

Pictures are H x W x 3. A pixel's value belongs to its centre, and what lies outside the picture is `fill`: "reflect"
(the picture mirrored at its border, the edge pixel not doubled), "edge" (the border's own pixels again), or a colour.
Whole pixels, the scale 1 and quarter turns of a square picture are exact: no value is interpolated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reportgen.records import Array, Net, Picture

if TYPE_CHECKING:
    from torch import Tensor

Fill = str | Sequence[float]


@dataclass(frozen=True)
class Kind:
    """One way to transform a picture by a value, and how to speak of it."""

    name: str
    axis: str  # what the value is, on an axis
    low: float
    high: float
    values: tuple[float, ...]  # a grid that shows what there is to see

    def settled(self, value: float, size: int) -> float:
        """The value as it is applied to a picture of this side: a shift goes by whole pixels, half a pixel blurs."""
        return round(value * size) / size if self.name == "translation" else value

    def apply(self, picture: Picture, value: float, fill: Fill = "reflect") -> Picture:
        """The picture transformed: moved down by a share of its height, enlarged, or turned by degrees."""
        if self.name == "translation":
            return translated(picture, round(value * len(picture)), fill=fill)
        return scaled(picture, value, fill) if self.name == "scale" else rotated(picture, value, fill)

    def extent(self, value: float) -> float:
        """How far the picture is from being left alone: by a share, a factor less one, or degrees either way."""
        if self.name == "scale":
            return max(value, 1 / value) - 1
        return abs(value) if self.name == "translation" else min(value % 360, -value % 360)

    def words(self, value: float) -> str:
        """A value as people read it: "+27%", "x 1.4", "90°"."""
        if self.name == "translation":
            return f"{value:+.0%}" if value else "0%"
        return f"x {value:.3g}" if self.name == "scale" else f"{value:g}°"

    def extent_words(self, extent: float) -> str:
        """An extent as people read it: "27% of the side either way"."""
        if self.name == "scale":
            return f"{1 + extent:.3g} times its size"
        return f"{extent:.0%} of the side either way" if self.name == "translation" else f"{extent:g}° either way"


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "translation",
            "vertical shift as a share of the side (positive: down)",
            -1.0,
            1.0,
            tuple(round(5 * step / 224, 6) for step in range(-12, 13)),  # Zeiler's -60 to 60 pixels of 224
        ),
        Kind("scale", "scale", 0.1, 10.0, tuple(round(1 + 0.05 * step, 2) for step in range(17))),
        Kind("rotation", "rotation in degrees, counter-clockwise", -360.0, 360.0, tuple(10.0 * s for s in range(36))),
    )
}


def translated(picture: Picture, down: float, right: float = 0.0, fill: Fill = "reflect") -> Picture:
    """The picture moved by so many pixels."""
    return _sampled(picture, lambda y, x: (y - down, x - right), fill)


def scaled(picture: Picture, factor: float, fill: Fill = "reflect") -> Picture:
    """The picture enlarged about its centre; below 1 it shrinks, each pixel the mean of what falls on it."""
    return _sampled(picture, lambda y, x: (y / factor, x / factor), fill, finer=math.ceil(1 / factor - 1e-9))


def rotated(picture: Picture, degrees: float, fill: Fill = "reflect") -> Picture:
    """The picture turned about its centre, counter-clockwise, as numpy.rot90 turns it."""
    quarter = degrees % 360 / 90
    if quarter == round(quarter):  # the sine of 180 degrees in floating point is not zero
        cosine, sine = ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))[int(quarter) % 4]
    else:
        cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return _sampled(picture, lambda y, x: (cosine * y + sine * x, cosine * x - sine * y), fill)


def resized(picture: Picture, size: int, interpolation: str = "bilinear") -> Picture:
    """The picture at size x size, antialiased as Pillow does it, without rounding to whole levels."""
    import numpy as np
    from PIL import Image

    if picture.shape[:2] == (size, size):
        return picture
    filters = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
    chosen = filters.get(interpolation, Image.Resampling.NEAREST)
    channels = [Image.fromarray(np.ascontiguousarray(picture[:, :, c], dtype=np.float32)) for c in range(3)]
    out = np.stack([np.asarray(channel.resize((size, size), chosen)) for channel in channels], axis=2)  # S S 3
    clipped: Picture = np.clip(out, 0, 1)  # bicubic goes beyond
    return clipped


def as_input(net: Net, views: Sequence[Picture]) -> Tensor:
    """Pictures of the net's input size, normalised as the net wants them: N x 3 x S x S on its device."""
    import numpy as np
    import torch

    x = torch.from_numpy(np.stack(views)).to(net.dtype).permute(0, 3, 1, 2)  # N 3 S S
    mean = torch.tensor(net.card.preprocess.mean, dtype=net.dtype).view(1, 3, 1, 1)
    std = torch.tensor(net.card.preprocess.std, dtype=net.dtype).view(1, 3, 1, 1)
    return ((x - mean) / std).contiguous().to(net.device)


def _sampled(picture: Picture, source: Any, fill: Fill, finer: int = 1) -> Picture:
    """The picture whose pixel at (y, x) from the centre is the old one's at source(y, x); `finer` points per pixel."""
    import numpy as np

    height, width = picture.shape[:2]
    middle = (height - 1) / 2, (width - 1) / 2
    total = np.zeros(picture.shape, dtype=np.float64)
    for i in range(finer):
        for j in range(finer):
            y = np.arange(height)[:, None] - middle[0] + ((i + 0.5) / finer - 0.5)  # H 1
            x = np.arange(width)[None, :] - middle[1] + ((j + 0.5) / finer - 0.5)  # 1 W
            ys, xs = source(y, x)
            rows, columns = np.broadcast_arrays(ys + middle[0], xs + middle[1])  # H W
            total += _bilinear(picture, rows, columns, fill)  # H W 3
    return (total / finer**2).astype(picture.dtype)


def _bilinear(picture: Picture, ys: Array, xs: Array, fill: Fill) -> Array:
    """The picture's values between its pixels, H W 3; `ys` and `xs` are H x W, whole numbers at pixel centres."""
    import numpy as np

    top, left = np.floor(ys).astype(int), np.floor(xs).astype(int)
    down, right = (ys - top)[:, :, None], (xs - left)[:, :, None]  # H W 1
    upper = (1 - right) * _pixels(picture, top, left, fill) + right * _pixels(picture, top, left + 1, fill)
    lower = (1 - right) * _pixels(picture, top + 1, left, fill) + right * _pixels(picture, top + 1, left + 1, fill)
    out: Array = (1 - down) * upper + down * lower
    return out


def _pixels(picture: Picture, rows: Array, columns: Array, fill: Fill) -> Array:
    """The pixels of these rows and columns, which may lie outside."""
    import numpy as np

    height, width = picture.shape[:2]
    if fill == "reflect":
        return picture[_mirrored(rows, height), _mirrored(columns, width)]  # H W 3
    inside: Array = picture[np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)]  # H W 3
    if fill == "edge":
        return inside
    outside = (rows < 0) | (rows >= height) | (columns < 0) | (columns >= width)  # H W
    color = np.asarray(fill, dtype=picture.dtype)
    filled: Array = np.where(outside[:, :, None], color, inside)
    return filled


def _mirrored(index: Array, length: int) -> Array:
    """Indices folded back into 0..length - 1, to and fro."""
    import numpy as np

    period = max(1, 2 * (length - 1))
    folded = index % period
    found: Array = np.minimum(folded, period - folded) if length > 1 else np.zeros_like(index)
    return found
