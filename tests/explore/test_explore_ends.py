"""How steps and sessions end: Ctrl-C, Ctrl-D, a hang-up, files that cannot be written or read, histories that grow."""

import errno
import os
import signal
import stat
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from reportgen import saving
from reportgen.building import Options, Quiet
from reportgen.errors import RenderError
from reportgen.explore import prompt
from reportgen.explore.desk import Desk
from reportgen.explore.loop import Screen, Session
from reportgen.explore.state import State
from reportgen.nets.files import BUILDERS
from reportgen.store import Store
from tests.explore.sitting import environment

pexpect = pytest.importorskip("pexpect")  # which Windows has not got
EOF = pexpect.EOF


@pytest.fixture
def sit(tmp_path):
    """A function that starts a session at a terminal in an empty folder."""
    started = []

    def start(*arguments):
        words = ["-m", "reportgen", "explore", *arguments]
        child = pexpect.spawn(
            sys.executable, words, cwd=tmp_path, env=environment(tmp_path, tmp_path / "store", TERM="dumb"),
            timeout=40, encoding="utf-8",
            dimensions=(40, 400),
        )  # fmt: skip
        started.append(child)
        child.expect("mini > ")
        return child

    yield start
    for child in started:
        child.close(force=True)


def history(tmp_path):
    return tmp_path / "state" / "reportgen" / "explore_history"


def whole(store):
    """The keys of all records, each of which reads as it was written; fails on what was begun and not finished."""
    store = Store(store)
    assert not [path.name for path in store.root.rglob("*") if path.name.startswith(".")]
    records = list(store.records())
    for record in records:
        for name in record.blobs:
            store.read(record, name)
    return {record.key for record in records}


@pytest.mark.parametrize("long", ["gradient_ascent steps=1000000", "occlusion patch=2 stride=1"])
def test_ctrl_c_leaves_choices_as_they_were_and_nothing_half_in_the_store(sit, tmp_path, long):
    child = sit("resnet_mini")
    for line, answer in (("layer stage4", "layer3 "), ("filter 3", "unit 3"), ("prediction", "Bar chart")):
        child.sendline(line)
        child.expect(answer)
    before = whole(tmp_path / "store")
    child.sendline(long)
    child.expect(long.split()[0])
    time.sleep(3)  # somewhere in the middle; what is asked below holds wherever it is
    child.kill(signal.SIGINT)
    child.expect("stopped; all that was chosen")
    child.sendline("state")
    child.expect("layer3 .*unit 3 .*in the spec: prediction")
    child.sendline("saliency")
    child.expect("Saliency map for")
    child.sendline("quit")
    child.expect(EOF)
    assert before < whole(tmp_path / "store")
    assert child.wait() == 0


def test_ctrl_c_at_the_prompt_empties_the_line_and_ctrl_d_ends_the_session(sit):
    child = sit("resnet_mini")
    child.send("nonsense")
    child.expect("nonsense")
    child.kill(signal.SIGINT)
    child.expect("Ctrl-D or quit ends the session")
    child.sendline("filter 3")
    child.expect("4th. > ")
    time.sleep(0.5)  # a terminal has an end of file only where somebody reads
    child.sendeof()
    child.expect(EOF)
    assert "no command" not in child.before
    assert child.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_session_that_is_ended_from_outside_has_its_lines_in_the_history(sit, tmp_path, number):
    child = sit("resnet_mini")
    child.sendline("filter 3")
    child.expect("4th. > ")
    child.kill(number)
    child.expect(EOF)
    assert child.wait() == 128 + number
    assert "+filter 3" in history(tmp_path).read_text().splitlines()
    assert stat.S_IMODE(history(tmp_path).stat().st_mode) == 0o600


def test_a_history_keeps_whole_entries_and_the_newest(tmp_path):
    path = tmp_path / "history"
    path.write_text("".join(f"\n# 2026-01-01 00:00:00\n+line {number}\n" for number in range(1000)))
    entries = path.read_text().split("\n\n")
    prompt.shorten(path, 10**6)
    assert path.read_text().split("\n\n") == entries
    prompt.shorten(path, 10_000)
    assert path.stat().st_size <= 5000
    left = path.read_text().strip().split("\n\n")
    assert left == [entry.strip() for entry in entries[-len(left) :]]
    assert len(left) > 100


def test_a_full_disk_leaves_the_old_picture(tmp_path, monkeypatch):
    saving.write_png(np.zeros((4, 4, 3), np.uint8), tmp_path / "a.png")
    old = (tmp_path / "a.png").read_bytes()

    def full(path, data):
        with path.open("wb") as opened:
            opened.write(data[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(RenderError, match=r"^a\.png cannot be written: No space left on device\.$"):
        saving.write_png(np.ones((4, 4, 3), np.uint8), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == old
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_what_cannot_be_opened_or_written_is_a_paragraph_and_the_session_goes_on(tmp_path):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "text.png").write_text("no picture")
    broken = [f"mine{ending}" for ending in BUILDERS]
    for name in broken:
        (tmp_path / name).write_bytes(b"PK\x03\x04 not a net at all")
    said, complaints = [], []
    screen = Screen(said.append, complaints.append, lambda _: None, lambda: nullcontext(Quiet()), patient=True)
    session = Session(State(tmp_path), Desk(Options(cache=tmp_path / "store", device="cpu")), screen)
    session.start("resnet_mini", ["skimage:chelsea"])
    session.hear("prediction")
    assert complaints == []
    lines = {
        "save folder.png": "folder.png", "save nowhere/a.png": "a.png", "spec nowhere/a.yaml": "a.yaml",
        "image text.png": "text.png", "image missing.png": "missing.png", "net missing.pt2": "missing.pt2",
        "layer stage44": "stage4", "filter 4000 of stage4": "numbered from 0", "net resnet_minni": "resnet_mini",
        "image skimage:chelsae": "chelsea", **{f"net {name}": name for name in broken},
    }  # fmt: skip
    for line, told in lines.items():
        session.hear(line)
        text = complaints.pop()
        assert told in text, line
        assert "\n" not in text, line
        assert "fault of the program" not in text, line
    session.hear("saliency")
    assert complaints == []
    assert [one["method"] for one in session.state.shown] == ["prediction", "saliency"]
