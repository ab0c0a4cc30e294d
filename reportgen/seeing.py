"""What a net sees of generated pictures while they are made, and what it says of finished ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reportgen import hooks
from reportgen.lean import lean
from reportgen.presets import normalised
from reportgen.records import Layer, Net

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

CHUNK = 16  # pictures in one pass


def seen(net: Net, pictures: Tensor) -> Tensor:
    """RGB pictures as the net sees them, N x 3 x S x S, part of the graph: resized, cut to their middle, normalised."""
    from torch.nn import functional

    view, (height, width) = net.card.preprocess, pictures.shape[2:]
    short = min(height, width)
    sides = (height * view.resize // short, width * view.resize // short)
    if sides != (height, width):
        mode = view.interpolation if view.interpolation != "nearest" else "bilinear"
        pictures = functional.interpolate(pictures, sides, mode=mode, antialias=True)  # N 3 H' W'
    top, left = ((side - view.size) // 2 for side in sides)
    if min(top, left) < 0:  # a net that sees a picture with a border
        border = (-left, view.size - sides[1] + left, -top, view.size - sides[0] + top)
        return normalised(net, functional.pad(pictures, border))
    return normalised(net, pictures[:, :, top : top + view.size, left : left + view.size])


@dataclass(frozen=True)
class Judged:
    """What a net says of finished pictures, seen through its own preprocessing as a photo is."""

    activation: NDArray[np.float32]  # N: the strongest of each picture's unit
    probability: NDArray[np.float32]  # N: of the unit as a class; NaN where the layer is not that of the classes
    first: NDArray[np.bool_]  # N: whether the unit is the strongest of its layer where it is strongest
    features: NDArray[np.float32]  # N D: penultimate


def judged(net: Net, layer: Layer, units: Sequence[int], images: NDArray[np.float32]) -> Judged:
    """What the net says of pictures N x 3 x H x W, RGB 0..1, each looked at for its own unit."""
    import numpy as np
    import torch

    aliases = net.card.aliases
    last = aliases.get("penultimate", layer.name)
    parts = []
    for i in range(0, len(images), CHUNK):
        x = net.preprocess([image.transpose(1, 2, 0) for image in images[i : i + CHUNK]])
        values = hooks.run_to(lean(net, [layer.name, last]), x, [layer.name, last])
        own = (
            values[layer.name].float().flatten(2)
            if values[layer.name].ndim > 2
            else values[layer.name][..., None].float()
        )
        rows, asked = torch.arange(len(x), device=x.device), torch.as_tensor(units[i : i + CHUNK], device=x.device)
        strongest, place = own[rows, asked].max(1)  # N: over all places
        among = own[rows, :, place]  # N C: all units where the own is strongest
        share = torch.softmax(among, 1)[rows, asked]  # N
        if layer.name != aliases.get("logits"):
            share = torch.full_like(share, torch.nan)
        first = among.argmax(1) == asked  # N
        parts.append([part.cpu().numpy() for part in (strongest, share, first, values[last].float().flatten(1))])
    return Judged(*(np.concatenate(part) for part in zip(*parts, strict=True)))
