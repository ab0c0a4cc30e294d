"""Many small pictures on one sheet: where points lie on a map, later ones on top, or in the cells of a grid.

A thumbnail has a frame in the colour of its class. Sheets come as the one tile of a panel of kind "grid", because
sheets are drawn larger than pictures. Axes: N pictures, h w the side of a thumbnail, H W of the sheet, in pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from reportgen import embedding, palettes
from reportgen.records import Net

if TYPE_CHECKING:
    from torch import Tensor

Array = NDArray[Any]

CANVAS = 1344  # pixels across a sheet of thumbnails: as many as the drawer leaves as they are
CROWD = 1.8  # a thumbnail's side over the distance to its third neighbour
SMALLEST, LARGEST = 0.016, 0.12  # a thumbnail's side over the width of the sheet
FRAME = 20  # a thumbnail's side over the width of its frame


def thumbnails(net: Net, x: Tensor, side: int) -> Array:
    """What the net sees in its inputs, N h w 3 bytes, side x side pixels; nothing for a side of 0."""
    import torch

    if side == 0:
        return np.zeros((len(x), 0, 0, 3), dtype=np.uint8)
    mean, std = (
        x.new_tensor(part).float().view(3, 1, 1) for part in (net.card.preprocess.mean, net.card.preprocess.std)
    )
    seen = torch.nn.functional.interpolate(
        x.float() * std + mean, size=(side, side), mode="bilinear", antialias=True, align_corners=False
    )  # N 3 h w
    pixels: Array = (seen.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()  # N h w 3
    return pixels


def scattered(thumbnails: Array, plane: Array, groups: Array) -> Array:
    """The thumbnails at their places on white, later ones on top, as the one tile of a sheet; small where full."""
    extent = float(np.ptp(plane, axis=0).max()) or 1.0
    near = plane[embedding.neighbours(plane, 3)[:, -1]]
    room = float(np.median(np.linalg.norm(near - plane, axis=1))) / extent
    side = round(CANVAS * min(max(CROWD * room, SMALLEST), LARGEST))
    tiles = _framed(thumbnails, groups, side)
    middle = (plane.min(axis=0) + plane.max(axis=0)) / 2
    share = (plane - middle) / extent * [1, -1] + 0.5  # N 2: right and down, 0..1
    sheet = np.full((CANVAS, CANVAS, 3), 255, dtype=np.uint8)
    for i in embedding.shuffled(np.arange(len(plane))):
        left, top = np.round(share[i] * (CANVAS - side)).astype(np.int64)
        sheet[top : top + side, left : left + side] = tiles[i]
    return _sheet(sheet)


def tiled(thumbnails: Array, grid: Array, side: int, groups: Array) -> Array:
    """The thumbnails in their cells on white, as the one tile of a sheet."""
    pixels = CANVAS // side
    board = np.full((side * side, pixels, pixels, 3), 255, dtype=np.uint8)
    board[grid[grid >= 0]] = _framed(thumbnails[grid >= 0], groups[grid >= 0], pixels)
    rows = board.reshape(side, side, pixels, pixels, 3).transpose(0, 2, 1, 3, 4)  # side h side w 3
    return _sheet(rows.reshape(side * pixels, side * pixels, 3))


def _sheet(pixels: Array) -> Array:
    """Pixels as the one tile of a sheet, 1 1 3 H W, 0..1: sheets are drawn larger than pictures."""
    found: Array = (pixels.astype(np.float32) / np.float32(255)).transpose(2, 0, 1)[None, None]
    return found


def _framed(thumbnails: Array, groups: Array, side: int) -> Array:
    """The thumbnails at this size, N side side 3, each in the colour of its class where that is known."""
    from PIL import Image

    frame = max(1, round(side / FRAME))
    inside = side - 2 * frame
    out = np.empty((len(thumbnails), side, side, 3), dtype=np.uint8)
    for i, (picture, group) in enumerate(zip(thumbnails, groups, strict=True)):
        out[i] = np.round(np.array(palettes.rgb(embedding.color(int(group)))) * 255)
        resized = Image.fromarray(picture).resize((inside, inside), Image.Resampling.LANCZOS)
        out[i, frame:-frame, frame:-frame] = np.asarray(resized)
    return out
