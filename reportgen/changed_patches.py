"""The patches that excite units of several layers most, in two nets, all in one size.

Axes: S units, P patches of each, T pixels a side of a tile; the two nets are an axis of two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from reportgen import images, palettes, project
from reportgen.patch_blocks import IN_SQUARES
from reportgen.strongest_places import Places

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from reportgen.examples import Dataset, Partial
    from reportgen.records import Layer, Net

TILE = 72  # side: three patches before and three after are read side by side


def patches(net: Net, data: Dataset, units: Sequence[tuple[Layer, int]], tops: Sequence[Partial]) -> NDArray[np.uint8]:
    """What each unit's strongest places see, S 2 P 3 T T, grey outside of the picture.

    `units` are layers with the unit's place in `tops`, which `strongest_places` found of the net before and after.
    """
    import numpy as np

    most = min(int(top["images"].shape[1]) for top in tops)
    made = np.zeros((len(units), 2, most, 3, TILE, TILE), dtype=np.uint8)
    wanted: dict[int, list[tuple[tuple[int, int, int], Any]]] = {}
    for s, (layer, unit) in enumerate(units):
        for which, top in enumerate(tops):
            boxes = Places(layer, [unit], top["images"][[unit]], top["positions"][[unit]]).boxes(_side(net))  # 1 P 4
            for p in range(most):
                wanted.setdefault(int(top["images"][unit, p]), []).append(((s, which, p), boxes[0, p]))
    for place, spots in sorted(wanted.items()):
        seen = images.view(data.load(place).picture, net.card.preprocess).transpose(2, 0, 1) * 255  # 3 S S
        for spot, box in spots:
            y0, x0, y1, x1 = (int(edge) for edge in box)
            patch = project.cut(seen - palettes.MID_GREY, (y0, x0, y1, x1)) + palettes.MID_GREY  # 3 h w
            made[spot] = _sized(np.clip(np.rint(patch), 0, 255).astype(np.uint8))
    return made


def _side(net: Net) -> int:
    return net.card.preprocess.size


def _sized(patch: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A patch (3 h w) as a tile: small ones in squares, one for each pixel, others smoothly."""
    import numpy as np
    from PIL import Image

    how = Image.Resampling.NEAREST if IN_SQUARES * max(patch.shape[1:]) <= TILE else Image.Resampling.BICUBIC
    drawn = Image.fromarray(patch.transpose(1, 2, 0)).resize((TILE, TILE), how)
    found: NDArray[np.uint8] = np.asarray(drawn).transpose(2, 0, 1)  # 3 T T
    return found
