"""Terminals that are asked what they can show: those that answer, in pieces or not at all, and those never asked."""

import io
import os
import select
import sys
import threading

import pytest

from reportgen.explore import terminal

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo terminals")


@pytest.fixture
def pty():
    """A terminal: its far end, and its near one as input and output."""
    import tty

    far, near = os.openpty()
    tty.setraw(far)
    with os.fdopen(near, "r+b", buffering=0) as both, io.TextIOWrapper(both) as wrapped:
        yield far, wrapped
    os.close(far)


def answering(far, *pieces):
    """A thread that waits for the question, then answers in these pieces; what it was asked comes with it."""
    question = bytearray()

    def run():
        while not question.endswith(b"\x1b[c"):
            question.extend(os.read(far, 1000))
        for piece in pieces:
            os.write(far, piece)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, question


@pytest.mark.parametrize(
    ("pieces", "way"),
    [
        ((b"\x1b_Gi=31;OK\x1b\\\x1b[?62;c",), "kitty"),
        ((b"\x1b_Gi=31;", b"OK\x1b\\", b"\x1b[?6", b"2;4c"), "kitty"),
        ((b"\x1b[?63;1;2;4;6c",), "sixel"),
        ((b"\x1b[?1;2c",), "blocks256"),
    ],
)
def test_a_terminal_says_what_it_can_show_and_nothing_of_it_is_left_to_be_read(pty, pieces, way):
    import termios

    far, near = pty
    before = termios.tcgetattr(near.fileno())
    thread, _ = answering(far, *pieces)
    assert terminal.best_way({"TERM": "xterm-256color"}, near, near) == way
    thread.join()
    assert select.select([near.fileno()], [], [], 0.05)[0] == []
    assert termios.tcgetattr(near.fileno()) == before


def test_a_silent_terminal_is_waited_for_no_longer_than_agreed(pty):
    far, near = pty
    assert terminal.ask(near, near, "\x1b[c", wait=0.05) == ""
    assert os.read(far, 100) == b"\x1b[c"


@pytest.mark.parametrize(
    ("environment", "way"),
    [
        ({"TERM": "dumb"}, "shades"),
        ({"TERM": "xterm-kitty", "NO_COLOR": "1"}, "shades"),
        ({"TERM": "linux"}, "blocks256"),
        ({"TERM": "eterm-color"}, "blocks256"),
    ],
)
def test_terminals_that_would_print_the_question_are_not_asked(pty, environment, way):
    far, near = pty
    assert terminal.best_way(environment, near, near) == way
    assert select.select([far], [], [], 0.05)[0] == []


@pytest.mark.parametrize("outside", [{"TMUX": "/tmp/x", "TERM": "tmux-256color"}, {"TERM": "screen.xterm-256color"}])
def test_inside_tmux_and_screen_nothing_of_kittys_is_sent(pty, outside):
    far, near = pty
    thread, question = answering(far, b"\x1b[?1;2c")
    way = terminal.best_way({**outside, "KITTY_WINDOW_ID": "1", "COLORTERM": "truecolor"}, near, near)
    thread.join()
    assert way == "blocks"
    assert question == b"\x1b[c"
