"""How alike two sets of features of the same examples are, whatever the order and the turn of their axes.

Axes: E examples, D features of a layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def cka(one: NDArray[Any], other: NDArray[Any]) -> float:
    """The linear centred kernel alignment of two sets of features, E x D and E x D', from 0 to 1 (the same).

    Kornblith et al. (2019), eq. 3: the sum of squares of the cross-products over the geometric mean of those of each
    set's own. Features that are constant are like no others, but like each other.
    """
    import numpy as np

    x, y = (np.asarray(part, dtype=np.float64) - np.mean(part, axis=0, dtype=np.float64) for part in (one, other))
    own, theirs, both = (_cross(a, b) for a, b in ((x, x), (y, y), (x, y)))
    if own == 0 or theirs == 0:
        return float(own == theirs)
    return float(min(1.0, both / np.sqrt(own * theirs)))


def _cross(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """The squared Frobenius norm of X'Y, by whichever of features and examples are fewer."""
    if x.shape[0] < x.shape[1]:
        return float(((x @ x.T) * (y @ y.T)).sum())
    return float(((x.T @ y) ** 2).sum())


def partners(one: NDArray[Any], other: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """For each feature of the one set that of the other that correlates best with it, and by how much; both D.

    Of equal ones its namesake goes first; a constant feature correlates with nothing.
    """
    import numpy as np

    x, y = (_standardised(part) for part in (one, other))
    correlations = np.clip(x.T @ y, -1, 1)  # D D'
    best = correlations.argmax(axis=1)
    place = np.arange(len(best))
    top = correlations[place, best]
    if len(best) <= correlations.shape[1]:
        best = np.where(correlations[place, place] >= top - 1e-12, place, best)
    return best.astype(np.int64), top


def _standardised(part: NDArray[Any]) -> NDArray[np.float64]:
    """Features without mean, of length 1; constant ones are zero."""
    import numpy as np

    values = np.asarray(part, dtype=np.float64)
    constant = values.min(axis=0) == values.max(axis=0)
    values = np.where(constant, 0, values - values.mean(axis=0))
    length = np.sqrt((values**2).sum(axis=0))
    standardised: NDArray[np.float64] = values / np.where(length > 0, length, 1)
    return standardised
