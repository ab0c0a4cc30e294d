"""Pictures with maps beside them as tiles of a sheet: maps of one picture in one scale, over its grey.

Axes: M pictures, L maps of each, S pixels a side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reportgen import patterns
from reportgen.records import Card

if TYPE_CHECKING:
    import numpy as np


def where(card: Card) -> dict[str, Any]:
    """What panels have to know of the maps of `answering.class_maps`: their layer, and how they lie on the picture."""
    from reportgen.answering import map_layer

    layer = map_layer(card)
    return {
        "map_layer": layer.name if layer else "",
        "map_places": layer.places(card.preprocess.size) if layer else None,
    }


def rows(pictures: np.ndarray, maps: np.ndarray, places: Any) -> np.ndarray:
    """Each picture (M 3 S S, 0..1) with its maps (M L h w) over it, from 0 to their 99th percentile: M 1+L 3 S S."""
    import numpy as np

    from reportgen import project

    if not maps.size:
        return pictures[:, None].astype(np.float32)  # M 1 3 S S
    found = []
    for picture, own in zip(pictures, maps, strict=True):
        large = project.enlarged(own, picture.shape[-1], places)  # L S S
        top = float(np.percentile(np.clip(large, 0, None), 99))
        found.append([picture, *(patterns.over(picture, one, high=top) for one in large)])
    return np.array(found, dtype=np.float32)
