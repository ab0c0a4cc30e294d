"""How well a map finds an object whose mask is known: scores of one picture, and their means.

A map says where, a mask says what is true; both are H x W. All scores lie in 0..1, the ideal map (the mask itself) has
1 in each, and a map that says nothing (one value everywhere) has no more than the mask's share of the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SCORES = ("pointing", "energy", "iou")


def scores(values: NDArray[Any], mask: NDArray[np.bool_], tolerance: int = 0) -> tuple[float, float, float]:
    """The pointing game, the energy inside the mask and the overlap at the mask's size, in the order of SCORES."""
    return pointing(values, mask, tolerance), energy(values, mask), overlap(values, mask)


def pointing(values: NDArray[Any], mask: NDArray[np.bool_], tolerance: int = 0) -> float:
    """Whether the largest value lies in the mask, or no farther from it than the tolerance in pixels.

    Of several largest values the share that does: a map of zeros would else hit every object.
    """
    hit: float = _grown(mask, tolerance)[values == values.max()].mean()
    return float(hit)


def energy(values: NDArray[Any], mask: NDArray[np.bool_]) -> float:
    """The share of what is positive that lies in the mask; a map without anything positive counts as even."""
    import numpy as np

    positive = np.maximum(values, 0).astype(np.float64)  # H W
    total = positive.sum()
    return float(positive[mask].sum() / total) if total > 0 else float(mask.mean())


def overlap(values: NDArray[Any], mask: NDArray[np.bool_]) -> float:
    """Intersection over union of the mask with as many pixels, those of the largest values.

    Where equal values compete for the last places, each is taken in the share that there is room for.
    """
    import numpy as np

    area = int(mask.sum())
    least = np.partition(values, -area, axis=None)[-area]
    above, tied = values > least, values == least
    inside = float((above & mask).sum() + (area - above.sum()) * (tied & mask).sum() / tied.sum())
    return inside / (2 * area - inside)


def _grown(mask: NDArray[np.bool_], tolerance: int) -> NDArray[np.bool_]:
    """The mask with all pixels that are no farther from it than the tolerance."""
    if tolerance == 0:
        return mask
    from scipy.ndimage import distance_transform_edt  # type: ignore[import-untyped]

    near: NDArray[np.bool_] = distance_transform_edt(~mask) <= tolerance
    return near


def outline(mask: NDArray[np.bool_], width: int = 1) -> NDArray[np.bool_]:
    """The pixels of a mask (H x W) within `width` steps of what is outside of it, the frame among that."""
    import numpy as np

    inner = np.pad(mask, 1)
    for _ in range(width):
        core = inner[1:-1, 1:-1] & inner[:-2, 1:-1] & inner[2:, 1:-1] & inner[1:-1, :-2] & inner[1:-1, 2:]
        inner = np.pad(core, 1)
    return mask & ~inner[1:-1, 1:-1]


def mean_and_error(values: NDArray[Any]) -> list[float | None]:
    """The mean and its standard error; None for the error of one value."""
    error = float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else None
    return [float(values.mean()), error]


def summary(scores: NDArray[Any], labels: Sequence[int] | None = None) -> dict[str, Any]:
    """The mean with its error of each score (3 x N, in the order of SCORES); over classes too where labels are given.

    The mean over classes is that of each class's mean, so that frequent classes count no more than others.
    """
    import numpy as np

    found: dict[str, Any] = {}
    for name, own in zip(SCORES, scores, strict=True):
        found[name] = mean_and_error(own)
        if labels is not None:
            groups = np.asarray(labels)
            found[f"{name}_of_classes"] = float(np.mean([own[groups == one].mean() for one in np.unique(groups)]))
    return found


def ratio_and_error(above: NDArray[Any], below: NDArray[Any]) -> list[float | None]:
    """The ratio of two means over the same pictures, and its standard error by its first derivatives."""
    if below.mean() <= 0:
        return [None, None]
    ratio = float(above.mean() / below.mean())
    if len(above) < 2:
        return [ratio, None]
    return [ratio, float((above - ratio * below).std(ddof=1) / below.mean() / len(above) ** 0.5)]


def spread(labels: Sequence[int], count: int, rng: np.random.Generator) -> list[int]:
    """Numbers of so many pictures, drawn by chance: one of each class, then a second of each, until it is enough."""
    turns: dict[int, int] = {}  # how many of the class were drawn before
    drawn = []
    for place, number in enumerate(rng.permutation(len(labels)).tolist()):
        own = labels[number]
        drawn.append((turns.get(own, 0), place, number))
        turns[own] = turns.get(own, 0) + 1
    return [number for _, _, number in sorted(drawn)[:count]]
