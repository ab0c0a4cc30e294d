"""Class maps, counted: which layer has them, how alike they are, how sharp, how well a score tells right from wrong.

Axes: N pictures, K classes, h w positions of a map. Nothing here runs a net or needs torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from reportgen import palettes
from reportgen.records import Card, Layer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TOP = 4  # sharpness: the share of a map that lies in 1/TOP of its positions
HEAT = 0.55  # share of a map's colours over the grey picture
GREY = (0.299, 0.587, 0.114)  # Rec. 601 luma


def map_layer(card: Card) -> Layer | None:
    """The layer of K maps after which no layer has weights, one map per class; None where the net has none.

    Whether the logits are the means of these maps is for whoever has their values to check.
    """
    count = len(card.classes)
    for place in range(len(card.layers) - 1, -1, -1):
        layer = card.layers[place]
        if len(layer.shape) == 3 and layer.shape[0] == count and layer.shape[1] * layer.shape[2] > 1:
            after = [later for later in card.layers[place + 1 :] if not layer.name.startswith(f"{later.name}.")]
            return None if any(later.parameters for later in after) else layer
    return None


def places(layer: Layer, size: int) -> tuple[tuple[float, float], tuple[float, float]]:
    """Where position 0 of a map is to be laid over the picture, and the pixels per step, as `Layer.places` has them.

    Padding can push the middles of fields that are far larger than the picture out of it, while what such positions
    answer to lies inside: an even spread is nearer to that then.
    """
    nominal = layer.places(size)
    ends = [(first, first + step * (n - 1)) for first, step, n in zip(*nominal, layer.shape[-2:], strict=True)]
    steps = nominal[1]
    if all(low >= -step / 2 and high <= size - 1 + step / 2 for (low, high), step in zip(ends, steps, strict=True)):
        return nominal
    even = (size / layer.shape[-2], size / layer.shape[-1])
    return ((even[0] - 1) / 2, (even[1] - 1) / 2), even


def sharpness(maps: NDArray[Any]) -> NDArray[np.float64]:
    """The share of each map's mass, N h w, that lies in its strongest quarter of positions; values below zero are none.

    1 is a map of few strong places; an even map, and one of nothing, has the share that a quarter is.
    """
    import numpy as np

    flat = np.clip(maps.reshape(len(maps), -1).astype(np.float64), 0, None)  # N P
    top = max(1, round(flat.shape[1] / TOP))
    mass = flat.sum(axis=1)
    strongest = np.sort(flat, axis=1)[:, -top:].sum(axis=1)
    found: NDArray[np.float64] = np.where(mass > 0, strongest / np.where(mass > 0, mass, 1), top / flat.shape[1])
    return found


class Likeness(NamedTuple):
    """How alike the maps of a class are, and how like those of others."""

    classes: tuple[int, ...]  # those with two maps or more that are not even
    maps: tuple[int, ...]  # how many such maps each has
    correlations: NDArray[Any]  # the mean over all pairs of two different pictures, classes x classes
    within: float | None  # the mean over the classes; None where there is none
    between: float | None  # the mean over pairs of different classes; None where there is only one


def likeness(maps: NDArray[Any], classes: NDArray[Any]) -> Likeness:
    """The mean correlation of maps (N h w) of pictures of each class with those of each, a picture never with itself.

    With every map z centred and of length one, the mean over pairs is a product of sums: s_a s_b / (n_a n_b), and
    (s_a s_a - n_a) / (n_a (n_a - 1)) within a class. Even maps have no correlation and are left out.
    """
    import numpy as np

    flat = maps.reshape(len(maps), -1).astype(np.float64)  # N P
    flat = flat - flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1)
    # what rounding leaves of an even map is no pattern
    told = length > 1e-6 * np.maximum(np.abs(maps.reshape(len(maps), -1)).max(axis=1, initial=0), 1e-30)
    flat, own = flat[told] / length[told, None], np.asarray(classes)[told]
    kept = [int(k) for k in np.unique(own) if (own == k).sum() > 1]
    sums = np.array([flat[own == k].sum(axis=0) for k in kept]).reshape(len(kept), flat.shape[1])  # K P
    counts = np.array([(own == k).sum() for k in kept], dtype=np.float64)  # K
    table = (sums @ sums.T) / np.outer(counts, counts)  # K K
    diagonal = ((sums**2).sum(axis=1) - counts) / (counts * (counts - 1))  # K
    np.fill_diagonal(table, diagonal)
    table = np.clip(table, -1, 1)
    others = table[~np.eye(len(kept), dtype=bool)]
    return Likeness(
        tuple(kept),
        tuple(int(n) for n in counts),
        table,
        float(np.diag(table).mean()) if kept else None,
        float(others.mean()) if len(others) else None,
    )


def mean_maps(maps: NDArray[Any], classes: NDArray[Any], wanted: Sequence[int]) -> NDArray[np.float32]:
    """The mean of each class's maps (N h w), each divided by its largest value first: K h w."""
    import numpy as np

    shares = divided(maps)
    means = [shares[classes == k].mean(axis=0) if (classes == k).any() else np.zeros(maps.shape[1:]) for k in wanted]
    return np.array(means, dtype=np.float32).reshape(len(wanted), *maps.shape[1:])


def divided(maps: NDArray[Any]) -> NDArray[Any]:
    """Maps, ... h w, divided by their largest value; what lies below zero, and a map of nothing, is zero."""
    import numpy as np

    above = np.clip(maps, 0, None)
    most = above.max(axis=(-2, -1), keepdims=True, initial=0)
    found: NDArray[Any] = above / np.where(most > 0, most, 1)
    return found


def auroc(scores: NDArray[Any], right: NDArray[Any]) -> float | None:
    """How often a right answer has a higher score than a wrong one, over all pairs; ties count a half.

    The area under the ROC curve, from ranks (Hanley and McNeil 1982); None where all answers are right, or all wrong.
    """
    import numpy as np

    hits = np.asarray(right, dtype=bool)
    many, few = int(hits.sum()), int((~hits).sum())
    if not (many and few):
        return None
    return float((ranks(scores)[hits].sum() - many * (many + 1) / 2) / (many * few))


def rank_correlation(one: NDArray[Any], other: NDArray[Any]) -> float | None:
    """Spearman's: the correlation of the ranks; None where either does not vary."""
    import numpy as np

    if len(one) < 2 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    return float(np.corrcoef(ranks(one), ranks(other))[0, 1])


def ranks(values: NDArray[Any]) -> NDArray[np.float64]:
    """The place of each value among all, from 1; equal ones share the mean of their places."""
    import numpy as np

    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    found: NDArray[np.float64] = (last - (counts - 1) / 2)[which.reshape(-1)]
    return found


def over(
    picture: NDArray[Any] | None,
    own: NDArray[Any],
    low: float = 0.0,
    high: float = 1.0,
    table: str = palettes.ONE_SIDED,
) -> NDArray[Any]:
    """A map (S x S) in the colours of a table, over the grey picture (3 x S x S, 0..1) if there is one."""
    import numpy as np

    colors = palettes.colorize(own, low, high, palettes.colormap(table)).transpose(2, 0, 1)  # 3 S S
    drawn: NDArray[Any] = colors / 255
    return drawn if picture is None else drawn * HEAT + np.tensordot(GREY, picture, 1) * (1 - HEAT)  # 3 S S
