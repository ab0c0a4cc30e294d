"""How a net learned: loss and share of right answers over the epochs, on the pictures it learned from and on others.

One sees how quickly a net learns, whether it had learned all it could when training ended, and how far it got beyond
what it was shown: a validation loss that rises while the training loss falls is overfitting. What one cannot tell from
one run is chance; with several runs (`repeats:` in the recipe), which differ in their seed alone, lines are means and
the shade around them reaches from the lowest run to the highest. Two nets whose shades overlap are not known to differ.

Training numbers are means over an epoch while the weights still move, on cropped and recoloured pictures, with dropout
and with the recipe's label smoothing; validation numbers are of the net as it is at the end of the epoch, on plain
centre crops, without smoothing. So the training loss can lie above the validation loss without anything being wrong:
with label smoothing $s$ and $K$ classes a net that is never in doubt pays for it, and the least possible training loss
is $-t \\log(t) - (K - 1) u \\log(u)$ with $u = s/K$ and $t = 1 - s + u$. Epoch 0 is the untrained net. The
numbers are those of the run's own log, which the embedded nets have brought with them; checked against the log of
`reportgen train` with the same recipe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reportgen.errors import NotApplicable
from reportgen.records import Artifact, Input, Method, Net, Panel

if TYPE_CHECKING:
    import numpy as np

    from reportgen.examples import TrainingRun

PARTS = ("training", "validation")
MOST_NAMED = 3  # nets in an alternative text


@dataclass(frozen=True)
class Params:
    """Nothing to choose."""


def run(net: Net, inputs: Sequence[Input], params: Params, rngs: Sequence[np.random.Generator]) -> list[Artifact]:
    """The logs of all repeats as arrays, and how they ended."""
    import numpy as np

    training = inputs[0].training
    if training is None:
        raise NotApplicable(f"Of the training of {net.card.arch} nothing is known.")
    arrays = {}
    for part in ("train", "val"):
        rows = [[row for row in log if getattr(row, f"{part}_loss") is not None] for log in training.logs]  # R E
        arrays[f"{part}_epochs"] = np.array([row.epoch for row in rows[0]])
        for what in ("loss", "top1"):
            values = [[getattr(row, f"{part}_{what}") for row in log] for log in rows]
            arrays[f"{part}_{what}"] = np.array(values, dtype=np.float64)  # R E
    return [Artifact(arrays, _numbers(training, arrays))]


def _numbers(training: TrainingRun, arrays: dict[str, Any]) -> dict[str, Any]:
    """How the runs ended: means over the repeats, and from the worst to the best of them."""
    final = arrays["val_top1"][:, -1]  # R
    mean = arrays["val_top1"].mean(axis=0)  # E
    return {
        **training.numbers,
        "classes": len(training.classes),
        "train_top1": float(arrays["train_top1"][:, -1].mean()),
        "val_top1": float(final.mean()),
        "val_top1_spread": [float(final.min()), float(final.max())],
        "val_loss": float(arrays["val_loss"][:, -1].mean()),
        "best_epoch": int(arrays["val_epochs"][mean.argmax()]),
        "half_epoch": int(arrays["val_epochs"][(mean >= mean[-1] / 2).argmax()]),
    }


def panels(artifact: Artifact) -> list[Panel]:
    """Accuracy and loss, each of all nets in one plot, and how the runs ended."""
    row = artifact.row or {artifact.numbers["arch"]: artifact}
    told = [one.numbers for one in row.values()]  # the words of a plot that all nets share are about all of them
    smoothed = " and with label smoothing" if any(numbers["label_smoothing"] for numbers in told) else ""
    accuracy, loss = (_curves(artifact, what) for what in ("top1", "loss"))
    return [
        Panel(
            name="accuracy",
            kind="curves",
            title="Right answers during training",
            caption="The share of right answers on training and on validation pictures, epoch by epoch; epoch 0 is the "
            "untrained net. Where the two part, a net learns its training pictures by heart; training answers are "
            f"counted on changed pictures, so theirs can also be fewer.{_together(told)}",
            alt="Curves of the share of right answers during training; on validation pictures in the end: "
            f"{_ends(row, 'val_top1', '.0%')}.",
            scale="fixed",
            limits=(0.0, 1.0),
            unit="right answers",
            columns=("epoch",),
            row_labels=PARTS,
            joint=True,
            featured=True,
            **accuracy,
        ),
        Panel(
            name="loss",
            kind="curves",
            title="Loss during training",
            caption="The cross-entropy that training brings down, on training and on validation pictures. Training "
            f"pictures are seen cropped and recoloured{smoothed}, so theirs can lie above that of validation."
            f"{_together(told)}",
            alt="Curves of the loss during training, on training and on validation pictures; on the latter in the end: "
            f"{_ends(row, 'val_loss', '.2f')}.",
            unit="cross-entropy",
            columns=("epoch",),
            row_labels=PARTS,
            joint=True,
            **loss,
        ),
        _table(artifact.numbers),
    ]


def _together(told: Sequence[Mapping[str, Any]]) -> str:
    """What must be said of lines that stand in one plot: what shades are, and whether heights can be compared."""
    repeats = {numbers["repeats"] for numbers in told}
    text = ""
    if repeats != {1}:
        many = (
            f"Lines are means of {max(repeats)} runs" if len(repeats) == 1 else "Lines with a shade are means of runs"
        )
        text += f" {many}, shades reach from the lowest to the highest."
    if len({tuple(numbers["validation"]) for numbers in told}) > 1:
        text += " The nets were measured on different pictures: compare the course of their lines, not the heights."
    return text


def _ends(row: Mapping[str, Artifact], what: str, how: str) -> str:
    """The last value of each net, of the first few."""
    ends = [f"{name[:20]} {one.numbers[what]:{how}}" for name, one in row.items()]
    return ", ".join(ends) if len(ends) <= MOST_NAMED else f"{', '.join(ends[: MOST_NAMED - 1])} and others"


def _curves(artifact: Artifact, what: str) -> dict[str, Any]:
    """Lines over the epochs, straight from one measured epoch to the next, and what lies between the runs."""
    import numpy as np

    arrays = artifact.arrays
    x = np.union1d(arrays["train_epochs"], arrays["val_epochs"])  # E
    lines, bands = [], []
    for part in ("train", "val"):
        at, runs = arrays[f"{part}_epochs"], arrays[f"{part}_{what}"]  # P, R P
        mean, low, high = (
            np.interp(x, at, values, left=np.nan, right=np.nan)
            for values in (runs.mean(axis=0), runs.min(axis=0), runs.max(axis=0))
        )
        lines.append(mean)
        bands.append([low, high])
    return {"x": x, "values": np.array(lines), "band": np.array(bands) if artifact.numbers["repeats"] > 1 else None}


def _table(numbers: Any) -> Panel:
    low, high = numbers["val_top1_spread"]
    rows = [
        ("right on validation pictures", f"{numbers['val_top1']:.1%}"),
        ("right on training pictures, in the last epoch", f"{numbers['train_top1']:.1%}"),
        ("best epoch on validation pictures", numbers["best_epoch"]),
        ("half of the final accuracy from epoch", numbers["half_epoch"]),
        ("pictures: training, validation", f"{numbers['training_pictures']:,}, {numbers['validation_pictures']:,}"),
        ("classes, side of the input", f"{numbers['classes']}, {numbers['size']} pixels"),
        ("epochs, batch, learning rate", f"{numbers['epochs']}, {numbers['batch']}, {numbers['learning_rate']:g}"),
    ]
    if numbers["repeats"] > 1:
        rows.insert(1, (f"lowest and highest of {numbers['repeats']} runs", f"{low:.1%} to {high:.1%}"))
    return Panel(
        name="outcome",
        kind="table",
        title="How training ended",
        caption="The end of training in numbers, and what was trained on. Over several runs numbers are means; "
        "training answers are counted while the weights move, on changed pictures.",
        alt=f"Table: {numbers['val_top1']:.1%} of {numbers['validation_pictures']:,} validation pictures right after "
        f"{numbers['epochs']} epochs on {numbers['training_pictures']:,} training pictures.",
        scale="none",
        columns=("what", "value"),
        rows=tuple(rows),
    )


METHOD = Method(
    name="training_curves",
    title="Training curves",
    caption="Loss and share of right answers, epoch by epoch.",
    citation="zeiler2014",
    scope="training",
    version=2,
    params=Params,
    run=run,
    panels=panels,
    row=True,
    arrays={
        "train_epochs": "E",
        "train_loss": "R x E",
        "train_top1": "R x E",
        "val_epochs": "V",
        "val_loss": "R x V",
        "val_top1": "R x V",
    },
)
