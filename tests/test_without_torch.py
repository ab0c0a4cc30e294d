"""The publishing half alone: a report is drawn anew by a Python that has no torch, SciPy or scikit-learn."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import yaml

from reportgen.building import Options, build

REPOSITORY = Path(__file__).parent.parent
ABSENT = ("torch", "functorch", "scipy", "sklearn", "scikit_learn", "nvidia", "triton", "captum")  # and torchvision
SPEC = {
    "title": "A small report",
    "date": "2026-11-21",
    "models": {
        "small": {"arch": "alexnet_mini"},
        "theirs": {"arch": "squeezenet1_1", "weights": "random", "seed": 3},
        "stood_in": {"arch": "alexnet", "fallback": "vgg_mini"},
    },
    "images": {"cat": {"source": "skimage:chelsea", "label": "cat"}},
    "datasets": {"world": {"source": "rendered:objects", "n": 15}},
    "sections": [
        {"id": "intro", "title": "Introduction", "text": "{{ models.small.top1 | percent }}"},
        {"id": "nets", "method": "architecture"},
        {"id": "says", "method": "prediction"},
        {"id": "pixels", "method": "saliency", "models": ["small", "theirs"]},
        {"id": "right", "method": "accuracy", "dataset": "world", "models": ["small"]},
    ],
    "outputs": {"site": {}, "handout": {"sections": ["intro", "pixels"]}},
}


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A folder of installed packages in which torch and its like are not there: not blocked, but absent."""
    installed = Path(numpy.__file__).parent.parent
    folder = tmp_path_factory.mktemp("packages")
    for path in installed.iterdir():
        if not path.name.lower().startswith(ABSENT) and path.suffix != ".pth":
            (folder / path.name).symlink_to(path)
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A report that was computed where torch is."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "tiny.yaml").write_text(yaml.safe_dump(SPEC, sort_keys=False))
    os.environ["TORCH_HOME"], before = str(folder / "hub"), os.environ.get("TORCH_HOME")  # no published weights
    try:
        build(folder / "tiny.yaml", folder / "with", options=Options(cache=folder / "cache", threads=1))
    finally:
        os.environ.pop("TORCH_HOME") if before is None else os.environ.update(TORCH_HOME=before)
    return folder


def run(bare, folder, *words):
    """The program in a Python that sees the repository and the bare folder of packages, and nothing else."""
    code = "import sys; from reportgen.cli import main; main()"
    environment = {**os.environ, "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{bare}", "TORCH_HOME": str(folder / "hub")}
    command = [sys.executable, "-S", "-c", code, *map(str, words)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def tree(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_bare_python_has_none_of_them(bare):
    code = (
        "import importlib.util as u; print([n for n in ('torch', 'torchvision', 'scipy', 'sklearn') if u.find_spec(n)])"
    )
    environment = {**os.environ, "PYTHONPATH": str(bare)}
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_report_is_drawn_anew_without_torch_and_is_the_same(bare, built):
    done = run(bare, built, "build", "tiny.yaml", "--out", "without", "--cache", "cache")
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = tree(built / "with"), tree(built / "without")
    facts = json.loads(second.pop("build.json"))
    first.pop("build.json")
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
    assert facts["cells"]["computed"] == 0
    assert "torch" not in facts["versions"]
    report = json.loads(second["report.json"])
    assert report["models"]["stood_in"]["fallback"]
    assert {cell["status"] for cell in report["cells"]} == {"ok"}


def test_a_changed_text_is_shown_without_torch(bare, built, tmp_path):
    shutil.copytree(built / "cache", tmp_path / "cache")
    text = (built / "tiny.yaml").read_text().replace("A small report", "Other words")
    (tmp_path / "tiny.yaml").write_text(text)
    done = run(bare, tmp_path, "build", "tiny.yaml", "--out", "out", "--cache", "cache")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Other words" in (tmp_path / "out/index.html").read_text()


def test_what_would_need_torch_is_told_in_one_paragraph(bare, built, tmp_path):
    more = SPEC["images"] | {"coffee": {"source": "skimage:coffee", "label": "cup"}}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(SPEC | {"images": more}, sort_keys=False))
    done = run(bare, tmp_path, "build", "tiny.yaml", "--out", "out", "--cache", built / "cache")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "torch is not installed here, and" in done.stderr
    assert "pixels.small.coffee" in done.stderr
    assert "pixels.small.cat" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_net_that_the_store_never_met_is_told_with_its_place(bare, built, tmp_path):
    models = {"new": {"arch": "resnet18", "weights": "random"}}
    spec = SPEC | {"models": models, "sections": [{"id": "says", "method": "prediction"}], "outputs": {"site": {}}}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
    done = run(bare, tmp_path, "build", "tiny.yaml", "--out", "out", "--cache", built / "cache")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "tiny.yaml:" in done.stderr
    assert "cannot be told without torch" in done.stderr
