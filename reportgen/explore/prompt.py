"""The prompt: lines of the user's with completion and history; lines of a script or a pipe as they come."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from reportgen.explore import naming
from reportgen.explore.completing import completions
from reportgen.explore.state import State
from reportgen.saving import replace_with

MOST_BYTES = 1_000_000  # of the history file


def asked(state: Callable[[], State], complain: Callable[[str], None]) -> Iterator[str]:
    """The user's lines, until Ctrl-D; Ctrl-C empties the line."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import Completer, Completion
    from prompt_toolkit.output import ColorDepth

    class Words(Completer):
        def get_completions(self, document: Any, complete_event: Any) -> Iterator[Completion]:
            text = document.text_before_cursor
            start = -len(text.lstrip().rpartition(" ")[2])
            yield from (Completion(word, start) for word in completions(state(), text))

    depth = ColorDepth.DEPTH_1_BIT if os.environ.get("NO_COLOR") else None
    session: PromptSession[str] = PromptSession(
        completer=Words(), history=_history(), complete_while_typing=False, color_depth=depth
    )
    while True:
        try:
            yield session.prompt(where(state()))
        except KeyboardInterrupt:
            complain("Ctrl-D or quit ends the session")
        except EOFError:
            return


def where(state: State) -> str:
    """The prompt's text: net, layer and units that are chosen."""
    units = naming.units_in_words(state.units) if state.units is not None else ""
    return " · ".join(part for part in (state.model, state.layer or "", units) if part) + " > "


def script(lines: IO[str], echo: Callable[[str], None]) -> Iterator[str]:
    """The lines of a script, each told before it is done."""
    for line in lines:
        if line.strip():
            echo(f"> {line.strip()}")
            yield line


def _history() -> Any:
    """Lines of earlier sessions, in the user's folder for such; of this one alone where it cannot be written."""
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    class Kept(FileHistory):
        def store_string(self, string: str) -> None:
            with contextlib.suppress(OSError):  # a full disk must not end the session
                super().store_string(string)

    base = os.environ.get("XDG_STATE_HOME")
    try:
        path = (Path(base) if base else Path.home() / ".local" / "state") / "reportgen" / "explore_history"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.chmod(0o600)  # it was there already, perhaps for all to read
        shorten(path)
    except (OSError, RuntimeError):  # nowhere to write, no home
        return InMemoryHistory()
    return Kept(str(path))


def shorten(path: Path, most: int = MOST_BYTES) -> None:
    """Leave the newest half of a history that has grown too long."""
    if path.stat().st_size <= most:
        return
    kept = path.read_bytes()[-most // 2 :]
    entry = kept.find(b"\n\n#")  # where the first whole entry begins
    replace_with(path, kept[entry + 1 :] if entry >= 0 else b"")
