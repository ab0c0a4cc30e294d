"""What nets answered to a labelled set, counted: calibration, confusions, several nets as one. Nothing here runs a net.

Axes: N pictures, K classes, T most probable answers of a picture, B bins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from reportgen import wording
from reportgen.records import Artifact

if TYPE_CHECKING:
    import numpy as np

MOST_ANSWERS = 32  # kept per picture: memory does not grow with the classes, and what is left out has under 1/33 each
BINS = 15  # of confidence, as Guo et al. (2017) have them
BLOCK = 512  # pictures in memory with all their probabilities


def strongest(probabilities: np.ndarray, most: int = MOST_ANSWERS) -> tuple[np.ndarray, np.ndarray]:
    """The most probable classes of each picture and their probabilities, both N x T; of equal ones the first leads."""
    import numpy as np

    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :most]  # N T
    return order.astype(np.int32), np.take_along_axis(probabilities, order, axis=1).astype(np.float32)


class Reliability(NamedTuple):
    """Pictures by how sure the net was of its answer, in bins of equal width; empty bins are left out."""

    pictures: np.ndarray  # B: how many
    confidence: np.ndarray  # B: mean
    accuracy: np.ndarray  # B: share of right answers
    error: float  # expected calibration error: the mean gap between the two over all pictures


def reliability(confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> Reliability:
    """How often answers of some confidence are right; bin b holds what lies above b / B and up to (b + 1) / B."""
    import numpy as np

    given, right = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    which = np.clip(np.ceil(given * bins).astype(int) - 1, 0, bins - 1)  # N
    count = np.bincount(which, minlength=bins)  # B
    some = np.maximum(count, 1)
    mean = np.bincount(which, given, bins) / some  # B
    share = np.bincount(which, right, bins) / some  # B
    error = float((count * np.abs(share - mean)).sum() / max(1, count.sum()))
    full = count > 0
    return Reliability(count[full], mean[full], share[full], error)


def confusion(
    labels: np.ndarray, targets: np.ndarray, answers: np.ndarray, count: int
) -> tuple[np.ndarray, list[int | None]]:
    """Which class of the set was taken for which, K x K, and those classes: true ones are rows, answers columns.

    `labels` are classes of the set, `targets` the same among the net's own (-1: unknown to it), `answers` the net's;
    `count` is the number of the set's classes. Only classes that the net knows and the set has pictures of get a row
    and a column. What lies outside, pictures of other classes and other answers, shares the last row and column, None.
    """
    import numpy as np

    known = [k for k in range(count) if (targets[labels == k] >= 0).any()]
    place = {k: i for i, k in enumerate(known)}
    by_target = {int(targets[labels == k][0]): i for i, k in reversed(list(enumerate(known)))}
    other = len(known)
    rows = np.array([place.get(int(k), other) for k in labels], dtype=int)  # N
    columns = np.array([by_target.get(int(a), other) for a in answers], dtype=int)  # N
    right = (answers == targets) & (targets >= 0)
    columns[right] = rows[right]  # two classes of the set may be one to the net
    counts = np.zeros((other + 1, other + 1), dtype=np.int32)  # K K
    np.add.at(counts, (rows, columns), 1)
    if counts[-1].any() or counts[:, -1].any():
        return counts, [*known, None]
    return counts[:-1, :-1], [*known]


class Together(NamedTuple):
    """What several nets answer as one."""

    nets: int
    top1: float
    top5: float


def ensemble(row: Mapping[str, Artifact]) -> Together | None:
    """The mean of the nets' probabilities as one net; None unless two or more nets with the same classes saw the same.

    `row` holds artifacts with places, targets, answers and probabilities (N x T), and `net_classes` among the numbers.
    """
    import numpy as np

    nets = list(row.values())
    if len(nets) < 2 or len({artifact.numbers["net_classes"] for artifact in nets}) > 1:
        return None
    first = nets[0].arrays
    if any(not np.array_equal(artifact.arrays["places"], first["places"]) for artifact in nets):
        return None
    targets, right1, right5 = first["targets"], 0, 0
    width = 1 + max(int(max(a.arrays["answers"].max(), targets.max())) for a in nets)
    for start in range(0, len(targets), BLOCK):
        here = slice(start, start + BLOCK)
        mean = np.zeros((len(targets[here]), width))  # N K
        for artifact in nets:
            answers, given = artifact.arrays["answers"][here], artifact.arrays["probabilities"][here]  # N T
            np.put_along_axis(mean, answers, np.take_along_axis(mean, answers, 1) + given / len(nets), axis=1)
        order, _ = strongest(mean, 5)  # N 5
        hits = order == targets[here, None]  # N 5
        right1, right5 = right1 + int(hits[:, 0].sum()), right5 + int(hits.any(axis=1).sum())
    return Together(len(nets), right1 / len(targets), right5 / len(targets))


def share(hits: Sequence[bool] | np.ndarray) -> float:
    """The share that is true; 0 of none."""
    return float(sum(map(bool, hits)) / len(hits)) if len(hits) else 0.0


def per_class(matrix: np.ndarray, rows: Sequence[int | None], classes: Sequence[str]) -> list[dict[str, Any]]:
    """The right answers of every class that has a row of a confusion matrix, of the set's class names."""
    counts = [int(row.sum()) for row in matrix]
    return [
        {"name": wording.short(classes[k]), "pictures": counts[i], "top1": float(matrix[i, i] / counts[i])}
        for i, k in enumerate(rows)
        if k is not None
    ]


def commonest(matrix: np.ndarray, names: Sequence[str], known: int, most: int) -> list[dict[str, Any]]:
    """The commonest confusions of the first `known` classes, the most frequent first."""
    import numpy as np

    wrong = matrix[:known] * (1 - np.eye(len(matrix), dtype=int)[:known])  # K K
    order = np.argsort(-wrong.ravel(), kind="stable")[:most]
    return [
        {
            "true": names[i],
            "taken_for": names[j],
            "pictures": int(wrong[i, j]),
            "share": float(wrong[i, j] / matrix[i].sum()),
        }
        for i, j in (divmod(int(place), wrong.shape[1]) for place in order)
        if wrong[i, j] > 0
    ]


def mcnemar(broken: int, mended: int) -> float:
    """The probability of so uneven a split, or one more uneven, were each change as likely to mend as to break.

    McNemar's test in its exact form: both tails of the binomial distribution with p = 1/2; 1 where nothing changed.
    """
    total, fewer = broken + mended, min(broken, mended)
    ways = tail = 1
    for k in range(fewer):
        ways = ways * (total - k) // (k + 1)
        tail += ways
    return float(min(1.0, 2 * tail / (1 << total)))
