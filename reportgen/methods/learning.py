"""When each class is learned: the epoch from which a net recognises it, and how well in the end.

One sees which classes a net has early and which late, and whether those that come late are those it ends up knowing
worst. What one cannot tell is why: a class may come late because it is hard, because it has few pictures, or because
another takes its pictures until then. With few validation pictures in a class an epoch more or less means nothing.

A class is recognised from the first validated epoch from which its share of right answers stays over half of what it
is at the end; one with no right answer at the end is never recognised. Epoch 0 is the untrained net, which may always
answer with one class; that class drops under half in some later epoch and is not counted before it is back. The rank
correlation is Spearman's, between that epoch and the final share, over the classes that are recognised, with mean ranks
for equal values; below zero means that what is learned late is known worse. With several runs (`repeats:` in the
recipe) epochs and shares are means over the runs, and the table has the least and the most. Checked by hand on drawn
up logs, and against SciPy's rank correlation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reportgen.errors import NotApplicable
from reportgen.records import Artifact, Input, Method, Net, Panel

if TYPE_CHECKING:
    import numpy as np

NEVER = -1
HALF = 0.5  # of the final accuracy


@dataclass(frozen=True)
class Params:
    """Nothing to choose."""


def run(net: Net, inputs: Sequence[Input], params: Params, rngs: Sequence[np.random.Generator]) -> list[Artifact]:
    """Each class's share of right answers by epoch, and the epoch from which it is recognised, for every repeat."""
    import numpy as np

    training = inputs[0].training
    if training is None:
        raise NotApplicable(f"{net.card.arch} was not trained by this report.")
    rows = [[row for row in log if row.val_classes is not None] for log in training.logs]
    epochs = np.array([row.epoch for row in rows[0]])  # E
    accuracy = np.array([[row.val_classes for row in log] for log in rows], dtype=np.float64)  # R E K
    found = np.array([[recognised(epochs, own) for own in log.T] for log in accuracy])  # R K
    means = [float(own[own >= 0].mean()) if (own >= 0).any() else None for own in found.T]  # K
    final = accuracy[:, -1].mean(axis=0)  # K
    known = [k for k, mean in enumerate(means) if mean is not None]
    numbers = {
        **training.numbers,
        "classes": [name.split(",")[0].replace("_", " ") for name in training.classes],
        "epoch": means,
        "final": [float(value) for value in final],
        "rank_correlation": rank_correlation([means[k] for k in known], [float(final[k]) for k in known]),
        "never": len(means) - len(known),
    }
    return [Artifact({"epochs": epochs, "accuracy": accuracy, "recognised": found}, numbers)]


def recognised(epochs: np.ndarray, accuracy: np.ndarray) -> int:
    """The first epoch from which a class's share of right answers stays over half of the last; -1: there is none."""
    over = accuracy > HALF * accuracy[-1]  # E
    if not over[-1]:
        return NEVER
    since = len(over) - int((~over[::-1]).argmax()) if not over.all() else 0
    return int(epochs[since])


def rank_correlation(a: Sequence[Any], b: Sequence[Any]) -> float | None:
    """Spearman's rank correlation, equal values sharing their mean rank; None where one side does not vary."""
    import numpy as np

    if len(a) < 3:
        return None
    x, y = (_ranks(np.asarray(values, dtype=np.float64)) for values in (a, b))
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    return float(np.corrcoef(x, y)[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    import numpy as np

    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2)[inverse]


def panels(artifact: Artifact) -> list[Panel]:
    """The classes by the epoch from which they are recognised, their shares by epoch, and both as a table."""
    return [_bars(artifact), _curves(artifact), _table(artifact)]


def _order(numbers: Any) -> list[int]:
    """The classes as they are recognised, those that never are last."""
    last = numbers["epochs"] + 1
    return sorted(
        range(len(numbers["classes"])), key=lambda k: last if numbers["epoch"][k] is None else numbers["epoch"][k]
    )


def _bars(artifact: Artifact) -> Panel:
    import numpy as np

    numbers = artifact.numbers
    known = [k for k in _order(numbers) if numbers["epoch"][k] is not None]
    rho, never = numbers["rank_correlation"], numbers["never"]
    told = "" if rho is None else f" Late classes are known {'worse' if rho < 0 else 'no worse'}: the rank correlation "
    told += "" if rho is None else f"of epoch and final share is {rho:.2f}."
    lost = f" {never} of {len(numbers['classes'])} classes are never recognised." if never else ""
    names = [numbers["classes"][k] for k in known]
    between = f"{names[0]} first, {names[-1]} last" if names else "none"
    return Panel(
        name="epochs",
        kind="bars",
        title="When each class is learned",
        caption="The epoch from which a class's share of right validation answers stays over half of what it is at the "
        f"end. A short bar is a class learned early.{told}{lost}",
        alt=f"Bars of the epoch from which each of {len(numbers['classes'])} classes is recognised in "
        f"{numbers['epochs']} epochs of training: {between}.",
        values=np.array([numbers["epoch"][k] for k in known] or [0.0]),
        row_labels=tuple(names) or ("none is recognised",),
        scale="shared",
        unit="epoch",
        featured=True,
    )


def _curves(artifact: Artifact) -> Panel:
    arrays, numbers = artifact.arrays, artifact.numbers
    order = _order(numbers)
    mean = arrays["accuracy"].mean(axis=0).T  # K E
    first, last = numbers["classes"][order[0]], numbers["classes"][order[-1]]
    return Panel(
        name="classes",
        kind="curves",
        title="Right answers by class",
        caption="The share of right validation answers of each class, epoch by epoch, in the order in which classes "
        "are recognised. Jumps up and down are classes that the net confuses now one way, now the other.",
        alt=f"Curves of the share of right answers of {len(order)} classes over {numbers['epochs']} epochs; {first} is "
        f"recognised first and {last} last.",
        values=mean[order],
        x=arrays["epochs"],
        scale="fixed",
        limits=(0.0, 1.0),
        unit="right answers",
        columns=("epoch",),
        row_labels=tuple(numbers["classes"][k] for k in order),
    )


def _table(artifact: Artifact) -> Panel:
    arrays, numbers = artifact.arrays, artifact.numbers
    several = numbers["repeats"] > 1
    rows = []
    for k in _order(numbers):
        own, share = arrays["recognised"][:, k], arrays["accuracy"][:, -1, k]
        epoch = numbers["epoch"][k]
        spread = (_between(own[own >= 0], "d"), _between(share, ".0%")) if several else ()
        rows.append((numbers["classes"][k], "never" if epoch is None else f"{epoch:g}", f"{share.mean():.0%}", *spread))
    columns = ("class", "recognised from epoch", "right in the end")
    return Panel(
        name="table",
        kind="table",
        title="Classes in the order in which they are learned",
        caption="For each class the epoch from which it is recognised, and the share of its validation pictures that "
        "are right at the end. Over several runs both are means, with the least and the most.",
        alt=f"Table of {len(rows)} classes with the epoch from which each is recognised and its final share of right "
        f"answers; first {rows[0][0]}, last {rows[-1][0]}.",
        scale="none",
        columns=(*columns, "epochs of the runs", "shares of the runs") if several else columns,
        rows=tuple(rows),
    )


def _between(values: np.ndarray, how: str) -> str:
    return f"{values.min():{how}} to {values.max():{how}}" if len(values) else "–"


METHOD = Method(
    name="learning",
    title="When each class is learned",
    caption="The epoch from which each class is recognised, and how well in the end.",
    citation="zeiler2014",
    scope="training",
    version=1,
    params=Params,
    run=run,
    panels=panels,
    arrays={"epochs": "E", "accuracy": "R x E x K", "recognised": "R x K"},
)
