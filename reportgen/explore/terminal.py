"""What a terminal can show: told by its environment where that is sure, else by asking it, else the safe choice."""

from __future__ import annotations

import os
import re
import select
import time
from collections.abc import Mapping
from typing import Any

from reportgen.explore.pictures import CELL, Way

_KITTY = "\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\"  # as kitty's own documentation asks
_ATTRIBUTES = "\x1b[c"  # which nearly every terminal answers: the end of waiting
MOST_COLUMNS = 120  # of a picture: enough to see what there is
WAIT = 1.0  # seconds for an answer: a line to the other side of the world and back


def told(environment: Mapping[str, str]) -> Way | None:
    """What the environment alone says; None where the terminal has to be asked."""
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if environment.get("NO_COLOR"):
        return "shades"
    if term in ("", "dumb"):
        return "shades"
    if term == "linux" or term.startswith("eterm"):  # which print questions instead of answering them
        return "blocks256"
    if "TMUX" in environment or term.startswith(("screen", "tmux")):
        return None  # what lies behind a multiplexer is not what gets the bytes
    if "KITTY_WINDOW_ID" in environment or term == "xterm-kitty" or program == "ghostty" or term == "xterm-ghostty":
        return "kitty"
    if "iTerm" in (program + environment.get("LC_TERMINAL", "")) or program in ("WezTerm", "mintty"):
        return "iterm"
    return "sixel" if term in ("foot", "foot-extra", "mlterm", "yaft-256color") else None


def answered(reply: str) -> Way | None:
    """What a terminal's answer says: kitty's OK, or attribute 4 for sixel."""
    if "\x1b_Gi=31;OK" in reply:
        return "kitty"
    match = re.search(r"\x1b\[\?([\d;]*)c", reply)
    return "sixel" if match and "4" in match[1].split(";")[1:] else None


def text_way(environment: Mapping[str, str]) -> Way:
    """How pictures are made of text here."""
    if environment.get("TERM", "").startswith("vt"):  # terminals without colours, and programs that behave as they do
        return "shades"
    exact = environment.get("COLORTERM", "") in ("truecolor", "24bit") or "direct" in environment.get("TERM", "")
    return "blocks" if exact else "blocks256"


def best_way(environment: Mapping[str, str], source: Any, target: Any) -> Way:
    """The best way to show pictures on `target`, a terminal that answers on `source`; none where it is no terminal."""
    if not target.isatty():
        return "none"
    way = _best(environment, source, target)
    return "shades" if way.startswith("blocks") and not _writes("▀", target) else way


def _writes(sign: str, target: Any) -> bool:
    """Whether the encoding of an output has a sign."""
    try:
        sign.encode(getattr(target, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _best(environment: Mapping[str, str], source: Any, target: Any) -> Way:
    if (known := told(environment)) is not None:
        return known
    multiplexed = "TMUX" in environment or environment.get("TERM", "").startswith(("screen", "tmux"))
    question = _ATTRIBUTES if multiplexed else _KITTY + _ATTRIBUTES
    reply = ask(source, target, question) if source.isatty() else ""
    return answered(reply) or text_way(environment)


def ask(source: Any, target: Any, question: str, wait: float = WAIT) -> str:
    """What the terminal answers to a question that ends in one for its attributes; nothing where it keeps silent."""
    try:
        import termios
        import tty
    except ImportError:  # Windows
        return ""
    number = source.fileno()
    try:
        before = termios.tcgetattr(number)
    except termios.error:
        return ""
    reply, end = b"", time.monotonic() + wait
    try:
        tty.setcbreak(number)
        target.write(question)
        target.flush()
        while (left := end - time.monotonic()) > 0 and not re.search(rb"\x1b\[\?[\d;]*c", reply):
            if not select.select([number], [], [], left)[0]:
                break
            reply += os.read(number, 1024)
    finally:
        termios.tcsetattr(number, termios.TCSANOW, before)
    return reply.decode("ascii", "replace")


def room(target: Any, height: int, width: int) -> tuple[int, tuple[int, int]]:
    """How many columns a picture of this height and width may take, so that it is seen whole; a character's pixels."""
    columns, rows, cell = _size(target)
    whole = (rows - 3) * cell[1] * width // (max(1, height) * cell[0])  # two lines of words and the prompt below it
    return max(8, min(columns - 1, MOST_COLUMNS, whole)), cell


def _size(target: Any) -> tuple[int, int, tuple[int, int]]:
    """Columns and rows of the terminal, and the pixels of a character."""
    try:
        import fcntl
        import struct
        import termios

        told = fcntl.ioctl(target.fileno(), termios.TIOCGWINSZ, b"\0" * 8)
        rows, columns, width, height = struct.unpack("HHHH", told)
    except (ImportError, OSError, ValueError):
        return 80, 24, CELL
    cell = (width // columns, height // rows) if columns and rows and width and height else CELL
    return columns or 80, rows or 24, cell if min(cell) else CELL
