"""Progress of long work: a bar with the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any


class Lines:
    """Plain lines on standard error, at most one every few seconds."""

    def __init__(self, every: float = 10.0) -> None:
        self.every = every
        self.total = self.done = 0
        self.started = self.last = 0.0

    def say(self, text: str) -> None:
        """Print one line."""
        print(text, file=sys.stderr, flush=True)

    def start(self, total: int) -> None:
        """Begin to count cells."""
        self.total, self.done = total, 0
        self.started = self.last = time.monotonic()
        if total:
            self.say(f"{total} cells to compute")

    def step(self, text: str) -> None:
        """Count one cell."""
        self.done += 1
        now = time.monotonic()
        if now - self.last >= self.every or self.done == self.total:
            left = (now - self.started) / self.done * max(self.total - self.done, 0)
            self.last = now
            self.say(f"{self.done}/{self.total} cells, {left:.0f} s left")

    def stop(self) -> None:
        """Nothing more to count."""


class Bar:
    """A bar with the time left, on standard error."""

    def __init__(self) -> None:
        self.bar: Any = None
        self.task: Any = None

    def say(self, text: str) -> None:
        """Print one line above the bar."""
        if self.bar is None:
            print(text, file=sys.stderr, flush=True)
        else:
            self.bar.console.print(text, highlight=False, markup=False)

    def start(self, total: int) -> None:
        """Show the bar, unless there is nothing to wait for."""
        if not total:
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
        self.bar = Progress(*columns, console=Console(stderr=True), transient=True)
        self.bar.start()
        self.task = self.bar.add_task("", total=total)

    def step(self, text: str) -> None:
        """Move the bar on by one cell and show its id."""
        if self.bar is not None:
            self.bar.update(self.task, advance=1, description=text)

    def stop(self) -> None:
        """Take the bar away."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


class Said(Lines):
    """What is being done as plain lines, and no counting: for one step of unknown length."""

    def start(self, total: int) -> None:
        """Nothing."""

    def step(self, text: str) -> None:
        """Nothing."""


class Spinner:
    """One step of unknown length: what is being done and for how long, on standard error; gone when it is done."""

    def __init__(self) -> None:
        self.bar: Any = None
        self.task: Any = None

    def say(self, text: str) -> None:
        """Tell what is being done now."""
        if self.bar is not None:
            self.bar.update(self.task, description=text)

    def start(self, total: int) -> None:
        """Show it."""
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
        self.bar = Progress(*columns, console=Console(stderr=True), transient=True)
        self.bar.start()
        self.task = self.bar.add_task("computing", total=None)

    def step(self, text: str) -> None:
        """One cell is done; the step is over when `stop` says so."""

    def stop(self) -> None:
        """Take it away."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None
