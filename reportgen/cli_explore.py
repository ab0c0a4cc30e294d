"""The command `explore`: a session at the terminal, or one that a script drives."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from reportgen.cli_common import AllowCode, Cache, Device, Offline, Threads, state
from reportgen.errors import SpecError, nearest

if TYPE_CHECKING:
    from reportgen.explore.loop import Screen

PICTURE = "skimage:chelsea"  # where the user names none: a cat that comes with a package we need anyway


def explore(
    model: Annotated[str, typer.Argument(help="a net (default: vgg16 if its weights are here, else vgg_mini)")] = "",
    images: Annotated[list[str] | None, typer.Argument(help="pictures: files, or skimage:chelsea and the like")] = None,
    weights: Annotated[str, typer.Option(help="enum name, file or random (default: the net's own)")] = "",
    script: Annotated[Path | None, typer.Option(help="take the lines from this file")] = None,
    pictures: Annotated[
        str, typer.Option(help="auto, kitty, iterm, sixel, blocks, blocks256, shades or none")
    ] = "auto",
    cache: Cache = None,
    device: Device = "auto",
    threads: Threads = None,
    offline: Offline = False,
    allow_code: AllowCode = False,
) -> None:
    """Look around in a net: choose layer, filter and method, see pictures in the terminal, write the spec of them."""
    from reportgen.building import Options
    from reportgen.explore import prompt
    from reportgen.explore.desk import Desk, default_net
    from reportgen.explore.loop import Session
    from reportgen.explore.state import State

    for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):  # Windows has no hang-up
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, _terminated)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a name that the terminal has no letters for ends no session
    net, shown = _sorted_out(model, images or [])
    sitting = script is None and sys.stdin.isatty()
    lines = _opened(script) if script else sys.stdin
    options = Options(cache, device, threads, offline, allow_code=allow_code)
    session = Session(State(Path.cwd()), Desk(options), _screen(pictures, sitting))
    words = (net or default_net()) + (f" weights={weights}" if weights else "")
    session.start(words, shown or [PICTURE])
    if sitting:
        _say("`help` lists what can be said; the Tab key completes, Ctrl-C stops a step, Ctrl-D ends")
    told = prompt.asked(lambda: session.state, _complain) if sitting else prompt.script(lines, typer.echo)
    for line in told:
        session.hear(line)
        if session.ended:
            break
    raise typer.Exit(1 if session.failures and not sitting else 0)


def _sorted_out(model: str, images: list[str]) -> tuple[str, list[str]]:
    """The net and the pictures; where the first word is a picture, the net is the default one."""
    from reportgen.images import GALLERIES, SUFFIXES

    if model.partition(":")[0] in GALLERIES or model.lower().endswith(SUFFIXES):
        return "", [model, *images]
    return model, images


def _opened(script: Path) -> Any:
    try:
        return script.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(
            f"--script {script} cannot be read ({error}); a text of one command per line is wanted."
        ) from error


def _screen(pictures: str, sitting: bool) -> Screen:
    """What the session shows, on this terminal or in this pipe."""
    from reportgen.explore.loop import Screen
    from reportgen.explore.pictures import WAYS, shown
    from reportgen.explore.terminal import best_way, room

    if pictures != "auto" and pictures not in WAYS:
        raise SpecError(f"--pictures {pictures}: no such way. {nearest(pictures, ['auto', *WAYS])}")
    way: Any = best_way(os.environ, sys.stdin, sys.stdout) if pictures == "auto" else pictures

    def show(pixels: Any) -> None:
        columns, cell = room(sys.stdout, *pixels.shape[:2])
        sys.stdout.write(shown(pixels, way, columns, cell))
        sys.stdout.flush()

    return Screen(_say, _complain, show, _watch, patient=sitting)


def _say(text: str) -> None:
    typer.echo(_fitted(text, sys.stdout))


def _complain(text: str) -> None:
    sys.stdout.flush()
    typer.echo(_fitted(text, sys.stderr), err=True)


def _fitted(text: str, target: Any) -> str:
    """The text broken between words as the terminal is wide now; as it is where there is none."""
    from reportgen.explore.laying import broken

    return broken(text, os.get_terminal_size(target.fileno()).columns or 80) if target.isatty() else text


@contextlib.contextmanager
def _watch() -> Iterator[Any]:
    """The progress of one step: what is done and for how long on a terminal, plain lines elsewhere."""
    from reportgen.building import Quiet
    from reportgen.progress import Said, Spinner

    if state["quiet"]:
        yield Quiet()
        return
    watcher = Spinner() if sys.stderr.isatty() and os.environ.get("TERM") != "dumb" else Said()
    watcher.start(1)
    try:
        yield watcher
    finally:
        watcher.stop()


def _terminated(number: int, frame: Any) -> NoReturn:
    sys.exit(128 + number)
