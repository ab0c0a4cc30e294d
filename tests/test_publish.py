"""Publishing: the old report stays whole until the new one takes its place in one step."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from reportgen import publish
from reportgen.errors import RenderError, ReportError


def make(out, text):
    with publish.new_folder(out) as fresh:
        (fresh / "index.html").write_text(text)
        (fresh / "same.css").write_text("never changes")


def test_a_new_report_takes_the_place_of_the_old_one(tmp_path):
    out = tmp_path / "report"
    make(out, "one")
    publish.guard(out)
    make(out, "two")
    assert (out / "index.html").read_text() == "two"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report"]


def test_an_unchanged_file_is_linked_not_copied(tmp_path):
    out = tmp_path / "report"
    make(out, "one")
    before = (out / "same.css").stat().st_ino
    make(out, "two")
    assert (out / "same.css").stat().st_ino == before


def test_an_error_while_writing_leaves_the_old_report(tmp_path):
    out = tmp_path / "report"
    make(out, "one")
    with pytest.raises(TypeError), publish.new_folder(out) as fresh:
        (fresh / "index.html").write_bytes("half")
    assert (out / "index.html").read_text() == "one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report"]


def test_a_full_disk_while_writing_is_one_paragraph(tmp_path):
    out = tmp_path / "report"
    with pytest.raises(RenderError, match="The old report is untouched"), publish.new_folder(out):
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("name", ["thesis.tex", ".hidden"])
def test_a_folder_that_is_not_ours_is_never_written_to(tmp_path, name):
    (tmp_path / name).write_text("precious")
    with pytest.raises(ReportError, match="did not write"):
        publish.guard(tmp_path)
    assert (tmp_path / name).read_text() == "precious"


def test_an_empty_folder_may_be_used(tmp_path):
    (tmp_path / "new").mkdir()
    publish.guard(tmp_path / "new")
    make(tmp_path / "new", "one")
    assert (tmp_path / "new" / "index.html").read_text() == "one"


def test_a_folder_below_a_file_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportError, match="cannot be written"):
        publish.guard(tmp_path / "file" / "report")


def test_what_a_dead_build_left_is_swept_and_the_old_report_brought_back(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    out = tmp_path / "report"
    make(out, "one")
    out.rename(tmp_path / f".report.{dead.pid}.old")  # died between two renames
    (tmp_path / f".report.{dead.pid}.new").mkdir()
    publish.guard(out)
    assert (out / "index.html").read_text() == "one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report"]


def test_a_live_build_beside_ours_is_left_alone(tmp_path):
    other = tmp_path / f".report.{os.getppid()}.new"
    other.mkdir()
    publish.guard(tmp_path / "report")
    assert other.is_dir()


def test_without_the_kernels_exchange_two_renames_do(tmp_path, monkeypatch):
    monkeypatch.setattr(publish, "_renameat2", lambda fresh, out: False)
    out = tmp_path / "report"
    make(out, "one")
    make(out, "two")
    assert (out / "index.html").read_text() == "two"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report"]
