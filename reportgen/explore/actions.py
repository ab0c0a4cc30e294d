"""What a step may ask to be done: nouns that `reportgen.explore.loop` carries out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from reportgen.explore.state import Entry, State


@dataclass(frozen=True)
class OpenNet:
    """Load the card of the current net."""


@dataclass(frozen=True)
class OpenImage:
    """Look whether the current picture can be read, and show it."""


@dataclass(frozen=True)
class Draw:
    """Compute and show a section."""

    section: Entry


@dataclass(frozen=True)
class ShowPanel:
    """Show a panel of what was drawn last."""

    panel: str


@dataclass(frozen=True)
class Save:
    """Write the picture that is shown to a file; without a path to one named after it."""

    path: Path | None


@dataclass(frozen=True)
class WriteSpec:
    """Write the spec that makes what was shown."""

    path: Path


@dataclass(frozen=True)
class Quit:
    """End the session."""


Action = OpenNet | OpenImage | Draw | ShowPanel | Save | WriteSpec | Quit


@dataclass(frozen=True)
class Step:
    """What a line comes to."""

    state: State
    say: str = ""
    do: Action | None = None
