"""The first layer's filters above, and below what units of the second project back, on one sheet (Zeiler's Fig. 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reportgen.patch_blocks import IN_SQUARES, around_grey

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WIDTH = 896  # of the sheet, in pixels
GAP = 3  # between tiles
APART = 14  # between pairs of a projection and its patch
BETWEEN = 15  # between the two layers
FILTERS, PAIRS = 12, 4  # side by side


def sheet(filters: NDArray[Any], projections: NDArray[Any], patches: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Filters (C 3 k k), and each unit's projection beside its patch (S 3 h w each), as 3 x H x W of 0..1.

    Zero is mid-grey, every tile is scaled by its own; between tiles is NaN, which is drawn white.
    """
    import numpy as np

    side = ((WIDTH + APART) // PAIRS - APART - GAP) // 2
    tiles = [_enlarged(own, side) for own in (around_grey(projections), patches / np.float32(255))]  # S 3 H W each
    pairs = np.concatenate([tiles[0], np.full((*tiles[0].shape[:3], GAP), np.nan), tiles[1]], axis=3)  # S 3 H 2W
    filters = _enlarged(around_grey(filters), (WIDTH + GAP) // FILTERS - GAP)  # C 3 H W
    parts = [_laid(filters, FILTERS, GAP), np.full((3, BETWEEN, WIDTH), np.nan), _laid(pairs, PAIRS, APART)]
    return np.concatenate(parts, axis=1, dtype=np.float32)


def _laid(tiles: NDArray[Any], across: int, gap: int) -> NDArray[np.float32]:
    """Tiles (N 3 h w in 0..1) line by line over the sheet's width, so far apart at least: 3 x H x W."""
    import numpy as np

    pitch = (WIDTH + gap) // across
    height, width = tiles.shape[-2:]
    out = np.full((3, -(-len(tiles) // across) * (height + GAP) - GAP, WIDTH), np.nan, dtype=np.float32)
    for place, tile in enumerate(tiles):
        row, column = divmod(place, across)
        top, left = row * (height + GAP), column * pitch + (pitch - gap - width) // 2
        out[:, top : top + height, left : left + width] = tile
    return out


def _enlarged(tiles: NDArray[Any], side: int) -> NDArray[Any]:
    """Tiles at the size in which they are drawn: small ones in squares, one for each pixel, others smoothly."""
    import numpy as np
    from PIL import Image

    scale = side / max(tiles.shape[-2:])
    how = Image.Resampling.NEAREST if scale >= IN_SQUARES else Image.Resampling.BICUBIC
    size = (max(1, round(tiles.shape[3] * scale)), max(1, round(tiles.shape[2] * scale)))
    pixels = np.round(tiles.transpose(0, 2, 3, 1) * 255).astype(np.uint8)  # N h w 3
    drawn = np.stack([np.asarray(Image.fromarray(one).resize(size, how)) for one in pixels])
    shown: NDArray[Any] = drawn.transpose(0, 3, 1, 2) / np.float32(255)  # N 3 H W
    return shown
