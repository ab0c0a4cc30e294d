"""High-dimensional points laid out on a plane, and how far the plane can be trusted: PCA, t-SNE, neighbours, alignment.

Only `tsne` and `cells` need scikit-learn and SciPy; everything that panels use is NumPy. Axes: N points, D features,
k neighbours.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reportgen import palettes

Points = NDArray[np.float64]
"""N x D, or N x 2 on the plane."""

MOST_NAMES = 24  # classes with a colour and a number; all others are grey
NEIGHBOURS, TRUSTED = 10, 12  # of which shares are given, and of trustworthiness
POINTS_PER_CORE = 1000  # at least, for t-SNE
BLOCK = 256  # rows of the matrix of distances that are in memory at once
START = 1e-4  # spread of the first axis before the first step, as in scikit-learn
JITTER = 0.01  # of that spread, so that equal points are not stuck to each other
WIDEST_BAND = 0.02  # of the map without a point, over its longer side
GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # the golden ratio's share of 2**64


def color(group: int) -> str:
    """The colour of the nth class on a map; grey for those beyond the legend and for none."""
    own = 0 <= group < MOST_NAMES
    return palettes.CATEGORY_COLORS[group % len(palettes.CATEGORY_COLORS)] if own else palettes.OTHERS


def evenly(places: NDArray[Any], most: int) -> NDArray[np.intp]:
    """Indices of at most `most` of the places, ascending, spread evenly whatever period their classes may have.

    Multiples of the golden ratio, without their whole part, fall evenly into every interval: the lowest are taken. As
    each place has its own number, the choice from several sets is a choice from their own choices.
    """
    return np.sort(shuffled(places)[:most])


def shuffled(places: NDArray[Any]) -> NDArray[np.intp]:
    """Indices of the places in an order of their own that mixes what stands side by side, always the same."""
    return np.argsort(np.asarray(places).astype(np.uint64) * GOLDEN, kind="stable")


def pca(features: NDArray[Any], dimensions: int) -> Points:
    """The points' coordinates on their principal axes, at most `dimensions` of them; each axis has a fixed sign.

    Of the two matrices of products the smaller one is taken apart.
    """
    own = features.astype(np.float64)
    own -= own.mean(axis=0)
    if len(own) < own.shape[1]:
        squares, vectors = np.linalg.eigh(own @ own.T)
        scores = vectors * np.sqrt(np.maximum(squares, 0))  # N N
    else:
        squares, vectors = np.linalg.eigh(own.T @ own)
        scores = own @ vectors  # N D
    scores = scores[:, ::-1][:, :dimensions]  # the largest first
    largest = scores[np.abs(scores).argmax(axis=0), np.arange(scores.shape[1])]
    found: Points = scores * np.where(largest < 0, -1.0, 1.0)
    return found


def tsne(points: Points, perplexity: float, rng: np.random.Generator) -> Points:
    """The points on the plane by scikit-learn's t-SNE, N x 2; they start at their first two principal axes."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    start = np.zeros((len(points), 2))
    axes = pca(points, 2)
    start[:, : axes.shape[1]] = axes / axes[:, 0].std()
    start += JITTER * rng.standard_normal(start.shape)
    model = TSNE(
        perplexity=perplexity,
        init=(START * start).astype(np.float32),
        learning_rate="auto",
        random_state=int(rng.integers(2**31)),
        n_jobs=-1,
    )
    # threads wait for each other a thousand times; with few points, and other work on the cores, that takes longest
    with threadpool_limits(min(os.cpu_count() or 1, max(1, len(points) // POINTS_PER_CORE))):
        found: Points = model.fit_transform(points.astype(np.float32)).astype(np.float64)
    return found


def settled(embedding: Points) -> Points:
    """The same map around zero, its longest extent from left to right, the mean distance from its middle about one."""
    turned = pca(embedding, 2)
    length = np.sqrt((turned**2).sum(axis=1).mean())
    return turned / length if length > 0 else turned


def drawn_together(plane: Points) -> Points:
    """The map as it is drawn, around zero: bands across it without a point are narrowed, islands stay as they are.

    t-SNE drives islands apart as long as it runs, and how far means nothing; drawn to scale, a few far ones would leave
    hardly a pixel to all others.
    """
    most = WIDEST_BAND * float(np.ptp(plane, axis=0).max())
    found = np.empty_like(plane)
    for axis in (0, 1):
        order = np.argsort(plane[:, axis], kind="stable")
        steps = np.minimum(np.diff(plane[order, axis]), most)
        found[order, axis] = np.concatenate([[0.0], np.cumsum(steps)])
    low, high = found.min(axis=0), found.max(axis=0)
    centred: Points = found - (low + high) / 2
    return centred


# ---------------------------------------------------------------------------------------------------------- neighbours


def neighbours(points: NDArray[Any], k: int) -> NDArray[np.intp]:
    """The k nearest others of every point, N x k, the nearest first."""
    rows = [np.argsort(block, axis=1, kind="stable")[:, :k] for block in _squares(points)]
    return np.concatenate(rows)


def ranks(points: NDArray[Any], others: NDArray[np.intp]) -> NDArray[np.intp]:
    """How near some others are to every point, N x k: 0 for its nearest, 1 for the next one."""
    found, start = [], 0
    for block in _squares(points):
        order = np.argsort(block, axis=1, kind="stable")  # n N
        rank = np.empty_like(order)
        np.put_along_axis(rank, order, np.arange(order.shape[1])[None], axis=1)
        found.append(np.take_along_axis(rank, others[start : start + len(block)], axis=1))  # n k
        start += len(block)
    return np.concatenate(found)


def trustworthiness(rank: NDArray[np.intp], count: int) -> float:
    """1 where all neighbours on the map are neighbours in truth, about 0.5 for a random map (Venna & Kaski 2001).

    `rank` (N x k) says how near the k neighbours on the map are in the space of all features.
    """
    k = rank.shape[1]
    beyond = np.maximum(rank + 1 - k, 0).sum()
    return float(1 - 2 / (count * k * (2 * count - 3 * k - 1)) * beyond)


def agreement(near: NDArray[np.intp], labels: NDArray[Any]) -> float:
    """The share of neighbours that have their point's label, the mean over all points."""
    return float((labels[near] == labels[:, None]).mean())


def agreement_by_chance(labels: NDArray[Any]) -> float:
    """What `agreement` is where neighbours are drawn at random."""
    counts = np.unique(labels, return_counts=True)[1].astype(np.float64)
    return float((counts * (counts - 1)).sum() / (len(labels) * (len(labels) - 1)))


def trust(features: NDArray[Any], plane: NDArray[Any], labels: NDArray[Any]) -> dict[str, Any]:
    """How many neighbours in truth are neighbours on the map, and how many of either are of one class."""
    count, known = len(features), labels >= 0
    near = neighbours(plane, min(TRUSTED, (count - 1) // 2))
    k = min(NEIGHBOURS, count - 1)
    found: dict[str, Any] = {
        "trustworthiness": trustworthiness(ranks(features, near), count),
        "trusted": near.shape[1],
        "neighbours": k,
        "kept": float((ranks(features, neighbours(plane, k)) < k).mean()),
        "labelled": int(known.sum()),
        "agreement": None,
        "agreement_map": None,
        "agreement_chance": None,
    }
    if known.sum() > k:
        own = labels[known]
        for name, points in (("agreement", features), ("agreement_map", plane)):
            found[name] = agreement(neighbours(points[known], k), own)
        found["agreement_chance"] = agreement_by_chance(own)
    return found


def _squares(points: NDArray[Any]) -> Any:
    """Squared distances, some rows (n x N) at a time; a point is infinitely far from itself."""
    own = points.astype(np.float64)
    own -= own.mean(axis=0)  # fewer digits are lost
    lengths = (own**2).sum(axis=1)
    for start in range(0, len(own), BLOCK):
        rows = slice(start, start + BLOCK)
        block = lengths[rows, None] + lengths[None] - 2 * own[rows] @ own.T
        own_place = np.arange(start, start + len(block))
        block[own_place - start, own_place] = np.inf
        yield block


# --------------------------------------------------------------------------------------------------- cells and turning


def cells(embedding: NDArray[Any], side: int) -> NDArray[np.int64]:
    """A cell of a side x side grid for every point, row by row from the top left, so that squared ways are shortest."""
    from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]

    low, span = embedding.min(axis=0), np.ptp(embedding, axis=0)
    share = (embedding.astype(np.float64) - low) / np.where(span > 0, span, 1)  # N 2: x to the right, y upwards, 0..1
    rows, columns = np.divmod(np.arange(side * side), side)
    middles = np.stack([columns + 0.5, side - rows - 0.5], axis=1) / side  # cells 2
    ways = ((share[:, None] - middles[None]) ** 2).sum(axis=2)  # N cells
    return np.asarray(linear_sum_assignment(ways)[1], dtype=np.int64)


@dataclass(frozen=True)
class Turn:
    """A turn or mirroring, a scale and a shift of the plane."""

    middle: Points  # 2: what comes to lie on `target`
    turn: Points  # 2 x 2, orthogonal
    scale: float
    target: Points  # 2
    fit: float  # 0..1: how well it brings the points together, as a correlation

    def __call__(self, points: Points) -> Points:
        """The points after it, N x 2."""
        return self.scale * (points - self.middle) @ self.turn + self.target


def procrustes(points: Points, onto: Points) -> Turn:
    """The turn that brings points closest to their partners, by squared distances (both N x 2)."""
    middle, target = points.mean(axis=0), onto.mean(axis=0)
    one, other = points - middle, onto - target
    left, sizes, right = np.linalg.svd(one.T @ other)
    own, theirs = (one**2).sum(), (other**2).sum()
    scale = float(sizes.sum() / own) if own > 0 else 1.0
    fit = float(sizes.sum() / np.sqrt(own * theirs)) if own * theirs > 0 else 0.0
    return Turn(middle, left @ right, scale, target, fit)


def onto(points: NDArray[Any], places: NDArray[Any], others: NDArray[Any], their_places: NDArray[Any]) -> Turn | None:
    """The turn of one map onto another by the pictures that both show; None where they share fewer than three."""
    _, own, theirs = np.intersect1d(places, their_places, return_indices=True)
    return procrustes(points[own].astype(np.float64), others[theirs].astype(np.float64)) if len(own) > 2 else None


def turned_cells(grid: NDArray[np.int64], side: int, turn: Points) -> NDArray[np.int64]:
    """The cells after the quarter turn or mirroring of the grid that is nearest to a turn of the plane."""
    places = np.arange(side * side).reshape(side, side)
    found, best = places, -np.inf
    for quarters in range(4):
        for mirrored in (False, True):
            # where a step to the right (1, 0) and a step up (0, 1) lead: np.rot90 turns against the clock
            quarter = np.array([[0.0, 1.0], [-1.0, 0.0]])
            own = np.linalg.matrix_power(quarter, quarters) @ np.diag([-1.0 if mirrored else 1.0, 1.0])
            if (match := float((own * turn).sum())) > best + 1e-9:
                board = np.rot90(places, quarters)
                found, best = (board[:, ::-1] if mirrored else board), match
    # the board says which old cell lies at each new one; wanted is the new cell of each old one
    new = np.empty(side * side, dtype=np.int64)
    new[found.ravel()] = np.arange(side * side)
    return np.where(grid >= 0, new[grid], -1)
