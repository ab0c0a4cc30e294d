"""The conversation itself: lines in, words and pictures out; what goes wrong is said, and the session goes on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reportgen.bibliography import cited_in_words
from reportgen.errors import ReportError
from reportgen.explore import actions, language
from reportgen.explore.desk import Desk, Result, write_spec
from reportgen.explore.laying import aligned
from reportgen.explore.state import State, drawn
from reportgen.palettes import Colors
from reportgen.records import Figure
from reportgen.saving import write_png

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Screen:
    """How a session reaches whoever looks."""

    say: Callable[[str], None]
    complain: Callable[[str], None]
    show: Callable[[Colors], None]
    watch: Callable[[], Any]  # a context that gives the Progress of one step
    patient: bool  # somebody sits there: an interrupt ends the step, not the session


class Session:
    """One conversation: its state, and the result that is on the screen."""

    def __init__(self, state: State, desk: Desk, screen: Screen) -> None:
        self.state, self.desk, self.screen = state, desk, screen
        self.result: Result | None = None
        self.panel = ""
        self.failures = 0
        self.ended = False

    def start(self, net: str, pictures: Iterable[str]) -> None:
        """Choose a net and pictures, the first of them to look at. Raises ReportError where that cannot be."""
        for picture in reversed(list(pictures)):
            self.state = language.take(self.state, f"image {picture}").state
            self.desk.photo(self.state)
        self._do(language.take(self.state, f"net {net}"))

    def hear(self, line: str) -> None:
        """Do what a line asks for. An interrupt ends the step alone where somebody sits there."""
        try:
            self._do(language.take(self.state, line))
        except ReportError as error:
            self._failed(str(error))
        except KeyboardInterrupt:
            if not self.screen.patient:
                raise
            self.screen.complain("stopped; all that was chosen and shown before is still here")
        except Exception as error:  # a bug must not cost what was found so far
            log.info("a bug", exc_info=True)
            self._failed(f"{type(error).__name__}: {error}. This is a fault of the program (-v shows where).")

    def _failed(self, text: str) -> None:
        self.failures += 1
        self.screen.complain(text)

    def _do(self, step: actions.Step) -> None:
        """Carry a step out; the state changes only once that has gone well."""
        state, action = step.state, step.do
        if isinstance(action, actions.OpenNet):
            with self.screen.watch() as progress:
                step = language.opened(state, self.desk.card(state, progress))
            state = step.state
        elif isinstance(action, actions.OpenImage):
            self.screen.show(self.desk.photo(state))
            self.screen.say(f"picture: {state.images[state.image]['source']}, as the net sees it")
        elif isinstance(action, actions.Draw):
            with self.screen.watch() as progress:
                result = self.desk.draw(state, action.section, progress)
            self.result = result
            state = drawn(state, action.section, tuple(result.figures))
            self._put_up(next(iter(result.figures)))
        elif isinstance(action, actions.ShowPanel):
            self._put_up(action.panel)
        elif isinstance(action, actions.Save):
            self._save(action.path)
        elif isinstance(action, actions.WriteSpec):
            write_spec(state, action.path)
            count = f"{len(state.shown)} section{'s' if len(state.shown) > 1 else ''}"
            self.screen.say(f"{action.path.name}: {count}; `reportgen build {action.path.name}`")
        elif isinstance(action, actions.Quit):
            self.ended = True
        self.state = state
        if step.say:
            self.screen.say(step.say)

    def _put_up(self, panel: str) -> None:
        assert self.result is not None
        figure, self.panel = self.result.figures[panel], panel
        if panel in self.result.pixels:
            self.screen.show(self.result.pixels[panel])
        self.screen.say(_in_words(figure))
        if others := [name for name in self.result.figures if name != panel]:
            self.screen.say(f"also: {', '.join(others)} (`show NAME`)")

    def _save(self, path: Path | None) -> None:
        if self.result is None or self.panel not in self.result.pixels:
            raise ReportError("What is shown is a table, not a picture; `show PANEL` shows another panel.")
        target = path or self.state.folder / f"{self.result.name}-{self.panel}.png"
        write_png(self.result.pixels[self.panel], target)
        height, width = self.result.pixels[self.panel].shape[:2]
        self.screen.say(f"{target.name}: {width} x {height} pixels")


def _in_words(figure: Figure) -> str:
    """A figure's title and what is to be seen; a table as lines."""
    rows = [[_cell(value) for value in row] for row in ((figure.columns, *figure.rows) if figure.rows else ())]
    return "\n".join([f"{figure.title}. {cited_in_words(figure.alt)}", *(f"  {line}" for line in aligned(rows))])


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else cited_in_words(str(value))
