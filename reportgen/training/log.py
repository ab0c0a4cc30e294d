"""The log of a training: one row per epoch, as CSV and as a plot."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class EpochLog:
    """One epoch in numbers; validation numbers are missing in epochs that were not validated."""

    epoch: int  # 0 = before training
    lr: float  # at the last step
    train_loss: float | None
    train_top1: float | None  # on the changed pictures, in training mode
    val_loss: float | None
    val_top1: float | None
    seconds: float
    val_classes: tuple[float, ...] | None = None  # share of each class's validation pictures that is right; not in CSV


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give the name of a temporary file beside `path` that takes its place when the block ends well."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)  # one step: a reader sees the old file or the new one
    finally:
        temporary.unlink(missing_ok=True)


def write_log(rows: Sequence[EpochLog], out: Path, title: str) -> None:
    """Write `log.csv` and `log.png` into a run's folder."""
    text = io.StringIO()
    names = [field.name for field in fields(EpochLog) if field.name != "val_classes"]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(getattr(row, name)) for name in names})
    with replacing(out / "log.csv") as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
    with replacing(out / "log.png") as temporary:
        _plot(rows, temporary, title)


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _plot(rows: Sequence[EpochLog], path: Path, title: str) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # not pyplot: it keeps global state
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for axes, name, label in ((left, "loss", "loss"), (right, "top1", "top-1")):
        for part, style in (("train", "--"), ("val", "-")):
            points = [(row.epoch, getattr(row, f"{part}_{name}")) for row in rows]
            points = [point for point in points if point[1] is not None]
            axes.plot(*zip(*points, strict=True), style, label=part) if points else None
        axes.set(xlabel="epoch", ylabel=label)
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(title)
    figure.savefig(path, format="png", metadata={"Software": None})
