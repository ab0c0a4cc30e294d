"""Reports over data sets as a user builds them: killed, built again, changed, looked at."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from reportgen.store import Store
from tests.test_end_to_end import counts, run, tree, write_spec

SPEC = {
    "title": "Many pictures",
    "date": "2026-11-21",
    "models": {"small": {"arch": "alexnet_mini"}, "deep": {"arch": "resnet_mini"}},
    "datasets": {"world": {"source": "rendered:objects", "n": 600, "size": 64, "title": "A world"}},
    "sections": [
        {"id": "right", "method": "accuracy", "dataset": "world", "params": {"corrupted": 0, "mistakes": 2}},
        {"id": "excites", "method": "top_patches", "dataset": "world", "layers": ["stage3"], "units": 2},
    ],
    "outputs": {"site": {}},
}
PICTURES = {**SPEC, "datasets": {"world": {"source": "photos"}}, "models": {"small": {"arch": "alexnet_mini"}}}
PICTURES["sections"] = [{"id": "excites", "method": "top_patches", "dataset": "world", "units": 2}]


def parts(cache):
    return {record.key for record in Store(cache).records() if record.kind == "part"}


def test_a_build_that_is_killed_in_a_pass_goes_on_and_ends_with_the_same_bytes(tmp_path):
    path = write_spec(tmp_path, SPEC)
    run("build", path, "--threads", "1", "--out", tmp_path / "whole", folder=tmp_path, cache=tmp_path / "one")
    cache = tmp_path / "two"
    command = [sys.executable, "-m", "reportgen", "build", str(path), "--threads", "1", "--out", str(tmp_path / "cut")]
    environment = {**os.environ, "REPORTGEN_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    build = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    while build.poll() is None and len(parts(cache)) < 3:  # two methods: into the second part of five
        time.sleep(0.02)
    assert build.poll() is None, "it was killed in the middle of a pass"
    build.send_signal(signal.SIGKILL)
    build.wait()
    kept = {path: path.stat().st_mtime_ns for path in (cache / "records").rglob("*.json")}
    assert len(parts(cache)) in range(2, 10)
    assert not (tmp_path / "cut").exists()
    done = run("build", path, "--threads", "1", "--out", tmp_path / "cut", folder=tmp_path, cache=cache)
    assert "computed" in done.stdout
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in kept.items()), "nothing was computed again"
    assert tree(tmp_path / "whole") == tree(tmp_path / "cut")
    assert len(parts(cache)) == len(parts(tmp_path / "one")) == 2 * 2 * 5


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("cat/1.png", "cat/2.png", "church/1.png", "church/2.png"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(tmp_path / "photos" / name)
    return tmp_path


def test_a_changed_set_is_looked_at_again_and_an_unreadable_picture_is_named(photos):
    path, how = write_spec(photos, PICTURES), {"folder": photos, "cache": photos / "cache"}
    run("build", path, **how)
    assert "nothing to do" in run("build", path, **how).stdout
    report = json.loads((photos / "site/tiny/report.json").read_text())
    (cell,) = report["cells"]
    assert (cell["dataset"], cell["image"], cell["numbers"]["pictures"]) == ("world", None, 4)
    assert "Data set: photos, 4 pictures." in (photos / "site/tiny/section/excites.html").read_text()
    (photos / "photos/cat/3.png").write_bytes(b"no picture")
    run("build", path, **how)
    assert counts(photos / "site/tiny")["computed"] == 1
    page = (photos / "site/tiny/section/excites.html").read_text()
    assert "Data set: photos, 4 pictures; 1 more could not be read." in page
    numbers = json.loads((photos / "site/tiny/report.json").read_text())["cells"][0]["numbers"]
    assert numbers["skipped"] == 1
    assert numbers["unreadable"][0][0] == "cat/3.png"
    assert str(photos) not in page


def test_a_method_that_needs_masks_says_so_on_a_set_without(photos):
    section = {"id": "points", "method": "localization", "dataset": "world"}
    path = write_spec(photos, {**PICTURES, "sections": [section]})
    run("build", path, folder=photos, cache=photos / "cache")
    (cell,) = json.loads((photos / "site/tiny/report.json").read_text())["cells"]
    assert cell["status"] == "not_applicable"
    assert "without masks" in cell["reason"]
    assert "without masks" in (photos / "site/tiny/section/points.html").read_text()
