"""Patches and projections of units arranged as Zeiler and Fergus have them: block beside block, unit below unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TILE = 96  # side of a tile in a block
IN_SQUARES = 3  # times: from here on an enlarged pixel is a square; smooth ones would invent shapes
GAP = 2  # pixels between the tiles of a block
EDGE = 3  # and around a block, so that blocks stand apart from each other
SHARE = 0.85  # of a projection that a close-up holds
WORTH = 0.75  # of a patch's side: a close-up that is not smaller shows nothing new
LEAST = 7  # pixels of a close-up: the smallest first-layer filter that one can still recognise


@dataclass(frozen=True, eq=False)
class Columns:
    """What units have to show, S x P x 3 x h x w in 0..1 each: patches, projections, and both close up."""

    tiles: Sequence[NDArray[Any]]
    side: int  # of a close-up in pixels of the net's input; 0: there is none

    def sheet(self, shown: Sequence[int], first: int = 0) -> NDArray[np.float32]:
        """Some units as the values of a grid, with the columns from one on."""
        return sheet([tiles[list(shown)] for tiles in self.tiles[first:]])


def columns(patches: NDArray[np.uint8], projections: NDArray[Any], fires: NDArray[np.bool_], height: int) -> Columns:
    """The tiles of units (S P 3 h w each); `height` is that of a patch in the input, where large ones are not kept."""
    photos, found = pictures(patches, fires), close_ups(projections)
    tiles = [photos, around_grey(projections)]
    if found is None:
        return Columns(tiles, 0)
    tiles += [cut(photos, found), around_grey(cut(projections, found))]
    return Columns(tiles, round(found[1] * height / projections.shape[-2]))


def pictures(patches: NDArray[np.uint8], fires: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Patches (... P 3 h w bytes) as 0..1, mid-grey where a unit does not fire (... P)."""
    import numpy as np

    shown: NDArray[np.float32] = np.where(fires[..., None, None, None], patches / np.float32(255), np.float32(0.5))
    return shown


def around_grey(projections: NDArray[Any]) -> NDArray[np.float32]:
    """Projections (... h w) as pictures of 0..1 with zero at mid-grey, each by its own 99th percentile."""
    import numpy as np

    sizes = np.abs(projections).reshape(*projections.shape[:-3], -1)  # ... 3hw
    tops = np.percentile(sizes, 99, axis=-1)
    tops = np.where(tops > 0, tops, sizes.max(axis=-1))  # as everywhere on pages
    tops = np.where(tops > 0, tops, 1)[..., None, None, None]
    shown: NDArray[np.float32] = np.clip(0.5 + projections / (2 * tops), 0, 1).astype(np.float32)
    return shown


def close_ups(projections: NDArray[Any]) -> tuple[NDArray[np.int64], int] | None:
    """Where in its tile each projection (S P 3 h w) lies, as the corners (S P 2) of squares of one side, and the side.

    A square stands around the middle of what is there; it is so large that half of all squares hold their share. None
    where it would not be worth it.
    """
    import numpy as np

    sizes = np.abs(projections).sum(axis=2, dtype=np.float64)  # S P h w
    tiles = sizes.reshape(-1, *sizes.shape[-2:])
    total = tiles.sum(axis=(1, 2))
    if not total.any():
        return None
    sides, middles = [], np.tile((np.array(sizes.shape[-2:]) - 1) / 2, (len(tiles), 1))
    for n in np.flatnonzero(total):
        lines = [tiles[n].sum(axis=1), tiles[n].sum(axis=0)]  # by row, by column
        middles[n] = [line @ np.arange(len(line)) / total[n] for line in lines]
        rows, columns = (np.abs(np.arange(len(line)) - at) for line, at in zip(lines, middles[n], strict=True))
        away = np.maximum(rows[:, None], columns).ravel()
        order = np.argsort(away, kind="stable")
        held = np.cumsum(tiles[n].ravel()[order])
        sides.append(2 * away[order[np.searchsorted(held, SHARE * total[n])]] + 1)
    side = max(LEAST, round(float(np.median(sides))))
    if side > WORTH * min(sizes.shape[-2:]):
        return None
    corners = np.clip(np.rint(middles - (side - 1) / 2), 0, np.array(sizes.shape[-2:]) - side).astype(np.int64)
    return corners.reshape(*sizes.shape[:2], 2), side


def cut(tiles: NDArray[Any], found: tuple[NDArray[np.int64], int]) -> NDArray[Any]:
    """The close-ups of tiles, S x P x 3 x h x w, at their corners and with their side."""
    import numpy as np

    corners, side = found
    places = np.ndindex(*corners.shape[:2])
    parts = [tiles[s, p][:, y : y + side, x : x + side] for s, p in places for y, x in [corners[s, p]]]
    return np.stack(parts).reshape(*corners.shape[:2], 3, side, side)


def sheet(columns: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    """Columns of blocks, each S x P x 3 x h x w in 0..1, as the values of a grid: S x columns x 3 x H x W.

    Between tiles is NaN, which is drawn white.
    """
    import numpy as np

    rows = zip(*columns, strict=True)
    return np.stack([np.stack([_block(np.stack([_sized(tile) for tile in own])) for own in row]) for row in rows])


def _sized(tile: NDArray[Any]) -> NDArray[np.float32]:
    """A tile (3 h w) in the size that all are drawn in: small ones in squares, one for each pixel, others smoothly."""
    import numpy as np
    from PIL import Image

    pixels = np.round(tile.transpose(1, 2, 0) * 255).astype(np.uint8)  # h w 3
    scale = TILE / max(pixels.shape[:2])
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    how = Image.Resampling.NEAREST if scale >= IN_SQUARES else Image.Resampling.BICUBIC
    drawn = Image.fromarray(pixels).resize(size, how)
    shown: NDArray[np.float32] = np.asarray(drawn, dtype=np.float32).transpose(2, 0, 1) / np.float32(255)  # 3 H W
    return shown


def _block(tiles: NDArray[Any]) -> NDArray[np.float32]:
    """P tiles line by line in a square, 3 x H x W."""
    import numpy as np

    columns = int(np.ceil(np.sqrt(len(tiles))))
    rows = -(-len(tiles) // columns)
    height, width = tiles.shape[-2:]
    steps, edges = (height + GAP, width + GAP), 2 * EDGE - GAP
    block = np.full((3, rows * steps[0] + edges, columns * steps[1] + edges), np.nan, dtype=np.float32)
    for place, tile in enumerate(tiles):
        top, left = (EDGE + n * step for n, step in zip(divmod(place, columns), steps, strict=True))
        block[:, top : top + height, left : left + width] = tile
    return block
