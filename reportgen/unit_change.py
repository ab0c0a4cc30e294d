"""How far each unit of a net still does what it did before: sums over pictures and positions, and the order of change.

Sums are joined as Chan, Golub and LeVeque (1983) have it, in double precision, so that nothing is lost where a unit's
mean is large against its spread, and no activation is kept.

Axes: N pictures, U units of all compared layers in a row, P positions; "before, after" is an axis of two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

from reportgen.errors import MethodError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from reportgen.examples import Partial

STATES = ("", "silenced", "woken", "constant", "moved")  # what `Changes.states` counts


def sums(before: Tensor, after: Tensor, layer: str) -> Partial:
    """The sums over one batch of a layer's values (N C H W, or N D), by unit."""
    import numpy as np
    import torch

    own = [value.flatten(2) if value.ndim == 4 else value[:, :, None] for value in (before, after)]  # N U P each
    ends = [torch.stack([extreme(one, (0, 2)) for one in own], 1).double() for extreme in (torch.amin, torch.amax)]
    if not all(bool(end.isfinite().all()) for end in ends):  # U 2 each; NaN is the least and the most of its unit
        raise MethodError(f"The net gives NaN or infinity in {layer}, before or after: its weights are damaged.")
    a, b = (one.double() for one in own)
    gap = _dot(a - b, a - b)
    mean = torch.stack([a.mean((0, 2)), b.mean((0, 2))], 1)  # U 2
    a, b = a - mean[:, :1], b - mean[:, 1:]
    products = torch.stack([_dot(a, a), _dot(b, b), _dot(a, b)], 1)  # U 3
    found = {"mean": mean, "products": products, "gap": gap, "low": ends[0], "high": ends[1]}
    count = a.shape[0] * a.shape[2]
    return {"count": np.full(a.shape[1], count, np.int64)} | {k: v.cpu().numpy() for k, v in found.items()}


def _dot(one: Tensor, other: Tensor) -> Tensor:
    """The sum of products of each unit's values (N U P), U."""
    import torch

    total: Tensor = torch.linalg.vecdot(one, other).sum(0)
    return total


def joined(partials: Sequence[Partial]) -> Partial:
    """The sums of several batches as one."""
    return reduce(_two, partials)


def _two(one: Partial, other: Partial) -> Partial:
    import numpy as np

    count = one["count"] + other["count"]  # U
    step = other["mean"] - one["mean"]  # U 2
    weight = (one["count"] * other["count"] / count)[:, None]
    return {
        "count": count,
        "mean": one["mean"] + step * (other["count"] / count)[:, None],
        "products": one["products"] + other["products"] + step[:, [0, 1, 0]] * step[:, [0, 1, 1]] * weight,
        "gap": one["gap"] + other["gap"],
        "low": np.minimum(one["low"], other["low"]),
        "high": np.maximum(one["high"], other["high"]),
    }


@dataclass(frozen=True)
class Changes:
    """What became of each unit."""

    correlation: NDArray[np.float64]  # U
    states: NDArray[np.int8]  # U: which of STATES
    size: NDArray[np.float64]  # U: root of the mean squared change over the larger of the two spreads
    mean: NDArray[np.float64]  # U 2
    spread: NDArray[np.float64]  # U 2: standard deviations


def changes(found: Partial) -> Changes:
    """The correlation of each unit's values before and after, and what there is to say where one of them is constant.

    A unit that is constant in one of the nets has no correlation: it counts as 0, wholly changed. One that is constant
    in both has 1 where it is the same constant, else 0.
    """
    import numpy as np

    still = found["low"] == found["high"]  # U 2
    same = still.all(1) & (found["low"][:, 0] == found["low"][:, 1])
    states = np.select([same, still.all(1), still[:, 1], still[:, 0]], [3, 4, 1, 2], 0).astype(np.int8)  # U
    squares, both = found["products"][:, :2], found["products"][:, 2]
    norm = np.sqrt(squares[:, 0] * squares[:, 1])
    r = np.clip(both / np.where(norm > 0, norm, 1), -1, 1)
    r = np.where(states == 0, r, np.where(states == 3, 1.0, 0.0))
    spread = np.where(still, 0, np.sqrt(squares / found["count"][:, None]))  # U 2
    largest, moved = spread.max(1), np.sqrt(found["gap"] / found["count"])
    size = np.where(largest > 0, moved / np.where(largest > 0, largest, 1), (states == 4).astype(float))
    return Changes(r, states, size, found["mean"], spread)


def ranking(found: Changes, layers: NDArray[Any]) -> NDArray[np.intp]:
    """The units, the most changed first; `layers` is each one's place in the order of computing.

    First those that became constant or ceased to be, from the first layer on: there a change begins, and what comes
    later is its consequence. Then the others by how little correlation is left, of equal ones the larger change first.
    """
    import numpy as np

    lost = np.isin(found.states, (1, 2))
    least = np.where(lost, layers, found.correlation)
    return np.lexsort((np.arange(len(lost)), layers, -found.size, least, ~lost))
