"""Progress of a training: a bar with time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reportgen.training.log import EpochLog

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Progress:
    """How far a training is."""

    arch: str
    epoch: int  # the one under way, from 1
    epochs: int
    step: int  # within the epoch, from 1
    steps: int
    loss: float  # mean of the epoch so far
    seconds_left: float
    finished: EpochLog | None = None  # set once at the end of each epoch
    said: str = ""  # set once before the first, where the net does not begin with fresh weights


@contextmanager
def reporter(quiet: bool) -> Iterator[Callable[[Progress], None]]:
    """Give a function that shows the progress it is called with, on standard error."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    if quiet:
        yield lambda _: None
    elif console.is_terminal:
        with _bar(console) as show:
            yield show
    else:
        yield lambda event: console.print(line(event), soft_wrap=True) if event.finished or event.said else None


@contextmanager
def _bar(console: Console) -> Iterator[Callable[[Progress], None]]:
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[left]}"))
    with Bars(*columns, console=console) as bars:
        task = bars.add_task("reading pictures", total=1.0, left="")

        def show(event: Progress) -> None:
            if event.finished or event.said:
                bars.console.print(line(event))
                return
            bars.update(
                task,
                description=f"{event.arch} epoch {event.epoch}/{event.epochs}, loss {event.loss:.3f}",
                completed=(event.epoch - 1 + event.step / event.steps) / event.epochs,
                left=f"{duration(event.seconds_left)} left",
            )

        yield show


def line(event: Progress) -> str:
    """Return one line on how far a training is, with the numbers of an epoch that ends."""
    row = event.finished
    if event.said:
        return f"{event.arch}: {event.said}"
    if row is None:
        return f"{event.arch} epoch {event.epoch}/{event.epochs}: loss {event.loss:.3f}"
    text = f"{event.arch} epoch {row.epoch}/{event.epochs}: "
    text += f"loss {row.train_loss:.3f}, top-1 {row.train_top1:.3f}"
    if row.val_top1 is not None:
        text += f"; validation loss {row.val_loss:.3f}, top-1 {row.val_top1:.3f}"
    return f"{text}; {row.seconds:.0f} s, {duration(event.seconds_left)} left"


def duration(seconds: float) -> str:
    """Return a time span as people say it: `45 s`, `12 min`, `1 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
