"""When each class is learned: the epoch from which a net recognises it, and how well in the end.

One sees which classes a net has early and which late, and whether those that come late are those it ends up knowing
worst. What one cannot tell is why: a class may come late because it is hard, because it has few pictures, or because
another takes its pictures until then. With few validation pictures in a class an epoch more or less means nothing.

A class is recognised from the first validated epoch from which its share of right answers stays over half of what it is
at the end; one whose share at the end is no more than chance, $1/K$ of $K$ classes, is never recognised. Epoch 0 is the
untrained net, which may always answer with one class; that class drops under half in some later epoch and is not
counted before it is back. Where only every fifth epoch is validated, the epoch is known to five. The rank correlation
is Spearman's, between that epoch and the final share, over the classes that are recognised, with mean ranks for equal
values; below zero means that what is learned late is known worse. With several runs (`repeats:` in the recipe) epochs
and shares are means over the runs, and the table has the least and the most. Checked by hand on drawn up logs, and
against SciPy's rank correlation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reportgen import patterns, wording
from reportgen.errors import NotApplicable
from reportgen.records import Artifact, Input, Method, Net, Panel
from reportgen.spread import evenly

if TYPE_CHECKING:
    import numpy as np

NEVER = -1
HALF = 0.5  # of the final accuracy
WEAK = 0.3  # a rank correlation that says little
MOST_ROWS, MOST_COLUMNS = 40, 13  # classes and epochs on the sheet


@dataclass(frozen=True)
class Params:
    """Nothing to choose."""


def run(net: Net, inputs: Sequence[Input], params: Params, rngs: Sequence[np.random.Generator]) -> list[Artifact]:
    """Each class's share of right answers by epoch, and the epoch from which it is recognised, for every repeat."""
    import numpy as np

    training = inputs[0].training
    if training is None:
        raise NotApplicable(f"Of the training of {net.card.arch} nothing is known.")
    rows = [[row for row in log if row.val_classes is not None] for log in training.logs]
    if not all(rows):
        raise NotApplicable(f"The log of {net.card.arch}'s training does not tell its classes apart.")
    chance = 1 / len(training.classes)
    epochs = np.array([row.epoch for row in rows[0]])  # E
    accuracy = np.array([[row.val_classes for row in log] for log in rows], dtype=np.float64)  # R E K
    found = np.array([[recognised(epochs, own, chance) for own in log.T] for log in accuracy])  # R K
    means = [float(own[own >= 0].mean()) if (own >= 0).any() else None for own in found.T]  # K
    final = accuracy[:, -1].mean(axis=0)  # K
    known = [k for k, mean in enumerate(means) if mean is not None]
    numbers = {
        **training.numbers,
        "classes": [wording.short(name) for name in training.classes],
        "epoch": means,
        "final": [float(value) for value in final],
        "rank_correlation": rank_correlation([means[k] for k in known], [float(final[k]) for k in known]),
        "never": len(means) - len(known),
        "every": int(np.diff(epochs).max(initial=1)),  # epochs between two validations
    }
    return [Artifact({"epochs": epochs, "accuracy": accuracy, "recognised": found}, numbers)]


def recognised(epochs: np.ndarray, accuracy: np.ndarray, chance: float) -> int:
    """The first epoch from which a class's share of right answers stays over half of the last; -1: that is chance."""
    if accuracy[-1] <= chance:
        return NEVER
    over = accuracy > HALF * accuracy[-1]  # E
    since = len(over) - int((~over[::-1]).argmax()) if not over.all() else 0
    return int(epochs[since])


def rank_correlation(a: Sequence[Any], b: Sequence[Any]) -> float | None:
    """Spearman's, equal values sharing their mean rank; None of under three values, or where one side is even."""
    import numpy as np

    return None if len(a) < 3 else patterns.rank_correlation(np.asarray(a), np.asarray(b))


def panels(artifact: Artifact) -> list[Panel]:
    """The classes by the epoch from which they are recognised, their shares by epoch, and both as a table."""
    return [_bars(artifact), _courses(artifact), _table(artifact)]


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
    told = "" if rho is None else f" {_finding(rho)}: the rank correlation of epoch and final share is {rho:.2f}."
    coarse = f" Validated every {numbers['every']} epochs, it is known no finer." if numbers["every"] > 1 else ""
    lost = f" {never} of {len(numbers['classes'])} classes {'is' if never == 1 else 'are'} never recognised."
    lost = lost if never else ""
    names = [numbers["classes"][k] for k in known]
    between = f"{names[0]} first, {names[-1]} last" if names else "none"
    return Panel(
        name="epochs",
        kind="bars",
        title="When each class is learned",
        caption="The epoch from which a class's share of right validation answers stays over half of what it is at the "
        f"end. A short bar is a class learned early.{coarse}{told}{lost}",
        alt=f"Bars of the epoch from which each of {len(numbers['classes'])} classes is recognised in "
        f"{numbers['epochs']} epochs of training: {between}.",
        values=np.array([numbers["epoch"][k] for k in known] or [0.0]),
        row_labels=tuple(names) or ("none is recognised",),
        scale="shared",
        unit="epoch",
        featured=True,
    )


def _finding(rho: float) -> str:
    if abs(rho) < WEAK:
        return "Early or late says little about how well a class is known in the end"
    return f"Late classes tend to be known {'worse' if rho < 0 else 'better'}"


def _courses(artifact: Artifact) -> Panel:
    """A row of colours for each class, a tile for each epoch: many lines in one plot cannot be told apart."""
    import numpy as np

    arrays, numbers = artifact.arrays, artifact.numbers
    order, epochs = _order(numbers), arrays["epochs"]
    rows, columns = (evenly(count, most) for count, most in ((len(order), MOST_ROWS), (len(epochs), MOST_COLUMNS)))
    shown = [order[row] for row in rows]
    mean = arrays["accuracy"].mean(axis=0).T[shown][:, columns]  # k e
    first, last = numbers["classes"][shown[0]], numbers["classes"][shown[-1]]
    some = "" if len(shown) == len(order) else f"{len(shown)} of {len(order)} classes, spread evenly over that order. "
    return Panel(
        name="classes",
        kind="grid",
        title="Right answers by class",
        caption="The share of right validation answers of each class at a number of epochs, from none (dark blue) to "
        f"all (yellow). {some}Classes stand in the order in which they are recognised, so the border between dark and "
        "light runs down to the right; where a row darkens again, another class took its pictures for a while.",
        alt=f"Shares of right answers of {len(shown)} classes, a row each, over epochs {epochs[0]} to {epochs[-1]}; "
        f"{first[:24]} is recognised first and {last[:24]} last.",
        values=np.repeat(mean[:, :, None, None], 2, axis=3),  # k e 1 2: half as high as wide
        scale="fixed",
        limits=(0.0, 1.0),
        unit="right answers",
        columns=tuple(f"{'' if place else 'epoch '}{epochs[column]}" for place, column in enumerate(columns)),
        row_labels=tuple(numbers["classes"][k] for k in shown),
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
    version=2,
    params=Params,
    run=run,
    panels=panels,
    arrays={"epochs": "E", "accuracy": "R x E x K", "recognised": "R x K"},
)
