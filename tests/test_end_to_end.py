"""The main job as a user does it: build, build again, break things, look at what is left."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from pypdf import PdfReader
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from reportgen import generators

REPOSITORY = Path(__file__).parent.parent
HEAVY = ("torch", "torchvision", "matplotlib", "weasyprint", "sklearn", "scipy")
SPEC = {
    "title": "A small report",
    "date": "2026-11-21",
    "summary": "Two nets, one cat.",
    "models": {"small": {"arch": "alexnet_mini"}, "deep": {"arch": "googlenet_mini"}},
    "images": {"cat": {"source": "skimage:chelsea", "label": "cat", "credit": "CC0"}},
    "sections": [
        {"id": "intro", "title": "Introduction", "text": "Right on {{ models.small.top1 | percent }}."},
        {"id": "nets", "method": "architecture"},
        {"id": "says", "method": "prediction"},
        {"id": "looks", "method": "activity", "layers": ["stage1", "stage3", "logits"], "units": 4},
        {"id": "pixels", "method": "saliency"},
        {"id": "units", "method": "deconvnet", "layers": ["stage3"], "units": 2},
    ],
    "outputs": {"site": {}, "poster": {"size": "A2", "sections": ["intro", "nets", "looks", "pixels"]}},
}


def run(*words, folder, cache, check=True, **more):
    """The command line in a process of its own, with one thread, as a user would call it."""
    environment = {**os.environ, "REPORTGEN_CACHE": str(cache), "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "reportgen", *map(str, words)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, **more)
    if check:
        assert done.returncode == 0, done.stderr[-3000:]
    return done


def write_spec(folder, spec=SPEC, name="tiny.yaml", **changes):
    path = folder / name
    path.write_text(yaml.safe_dump({**spec, **changes}, sort_keys=False), encoding="utf-8")
    return path


def tree(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "build.json"
    }


def counts(report):
    return json.loads((report / "build.json").read_text())["cells"]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """One finished report; tests that change anything work on a copy of the spec with the same cache."""
    folder = tmp_path_factory.mktemp("user")
    run("build", write_spec(folder), folder=folder, cache=folder / "cache")
    return folder


def test_every_cell_is_ok_or_says_why_it_does_not_apply(built):
    report = json.loads((built / "site/tiny/report.json").read_text())
    assert {cell["section"] for cell in report["cells"]} == {"nets", "says", "looks", "pixels", "units"}
    for cell in report["cells"]:
        assert cell["status"] == "ok" or (cell["status"] == "not_applicable" and cell["reason"]), cell
    assert {cell["id"] for cell in report["cells"] if cell["status"] != "ok"} == {"looks.small.cat.stage1"}


def test_the_report_names_files_that_are_there(built):
    site = built / "site/tiny"
    report = json.loads((site / "report.json").read_text())
    files = [file for figure in report["figures"] for file in figure["files"]]
    files += [cell["arrays"] for cell in report["cells"] if cell["status"] == "ok"]
    assert files
    assert [file for file in files if not (site / file).is_file()] == []
    assert (built / "site/index.html").read_text().count("A small report") >= 1


def test_the_poster_is_one_page_of_the_size_asked_for(built):
    pages = PdfReader(built / "site/tiny/poster.pdf").pages
    assert len(pages) == 1
    box = pages[0].mediabox
    assert [round(float(side) / 72 * 25.4) for side in (box.width, box.height)] == [420, 594]


def test_nothing_on_the_pages_tells_of_this_machine(built):
    needles = [str(built).encode(), str(REPOSITORY).encode(), str(Path.home()).encode() + b"/"]
    for name, data in tree(built / "site/tiny").items():
        assert not any(needle in data for needle in needles), name


def test_a_build_with_nothing_to_do_imports_nothing_heavy(built):
    code = f"""
import sys
sys.argv = ["reportgen", "build", "tiny.yaml"]
from reportgen.cli import main
try:
    main()
except SystemExit as end:
    assert end.code == 0, end.code
heavy = [name for name in {HEAVY!r} if name in sys.modules]
assert not heavy, heavy
"""
    environment = {**os.environ, "REPORTGEN_CACHE": str(built / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=built, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "nothing to do" in done.stdout


def test_one_more_image_computes_only_that_images_cells(built):
    images = {**SPEC["images"], "coffee": {"source": "skimage:coffee", "label": "espresso"}}
    spec = write_spec(built, images=images, name="more.yaml", outputs={"site": {}})
    run("build", spec, folder=built, cache=built / "cache")
    details = json.loads((built / "site/more/build.json").read_text())
    assert details["cells"]["computed"] > 0
    assert all(".coffee" in name for name in details["seconds_by_cell"])


def test_a_changed_text_computes_nothing(built):
    spec = write_spec(built, summary="Other words.", name="words.yaml")
    run("build", spec, folder=built, cache=built / "cache")
    assert counts(built / "site/words")["computed"] == 0
    assert "Other words." in (built / "site/words/index.html").read_text()


def test_two_cold_builds_give_the_same_bytes(built, tmp_path):
    run("build", write_spec(tmp_path), folder=tmp_path, cache=tmp_path / "cache")
    first, second = tree(built / "site/tiny"), tree(tmp_path / "site/tiny")
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


def test_a_generator_whose_file_has_changed_paints_again(tmp_path):
    own = tmp_path / "own.safetensors"
    shutil.copy(generators.SHIPPED, own)
    params = {"generator": own.name, "steps": 2, "tries": 1}
    section = {"id": "dreams", "method": "dgn", "models": ["small"], "units": [3], "params": params}
    spec = write_spec(tmp_path, images={}, sections=[section], outputs={"site": {}})
    run("build", spec, folder=tmp_path, cache=tmp_path / "cache")
    assert "nothing to do" in run("build", spec, folder=tmp_path, cache=tmp_path / "cache").stdout
    tensors = load_file(own)
    with safe_open(own, "np") as file:
        words = file.metadata()
    first = next(name for name, value in tensors.items() if value.ndim > 1)
    save_file(tensors | {first: tensors[first] / 2}, own, words)
    assert "nothing to do" not in run("build", spec, folder=tmp_path, cache=tmp_path / "cache").stdout
    assert counts(tmp_path / "site/tiny")["computed"] == 1


@pytest.mark.parametrize("damage", ["truncate", "garbage"])
def test_a_damaged_store_is_noticed_and_the_report_comes_out_the_same(built, damage):
    before = tree(built / "site/tiny")
    blobs = sorted((built / "cache/blobs").glob("*/*"))
    for path in blobs[::7]:
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2] if damage == "truncate" else bytes(len(data)))
    done = run("-v", "build", "tiny.yaml", folder=built, cache=built / "cache")
    assert "set aside" in done.stderr
    assert "nothing to do" not in done.stdout
    assert tree(built / "site/tiny") == before
    assert "nothing to do" in run("build", "tiny.yaml", folder=built, cache=built / "cache").stdout


def test_two_builds_at_once_on_one_store_both_finish_right(built, tmp_path):
    write_spec(tmp_path)
    environment = {**os.environ, "REPORTGEN_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "reportgen", "-q", "build", "tiny.yaml", "--out", name],
            cwd=tmp_path, env=environment,
        )
        for name in ("one", "two")
    ]  # fmt: skip
    assert [process.wait() for process in both] == [0, 0]
    expected = tree(built / "site/tiny")
    assert tree(tmp_path / "one") == expected
    assert tree(tmp_path / "two") == expected


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)])
def test_whoever_is_stopped_leaves_the_old_report_and_the_next_build_goes_on(built, tmp_path, number, code):
    run("build", write_spec(tmp_path), folder=tmp_path, cache=built / "cache")
    before = tree(tmp_path / "site/tiny")
    write_spec(tmp_path, seed=int(number))  # every cell is another one now
    environment = {**os.environ, "REPORTGEN_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "reportgen", "-q", "build", "tiny.yaml"],
        cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not list((tmp_path / "cache").glob("records/*/*.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(number)
    assert process.wait() == code
    assert tree(tmp_path / "site/tiny") == before
    run("build", "tiny.yaml", folder=tmp_path, cache=tmp_path / "cache")
    assert counts(tmp_path / "site/tiny")["failed"] == 0
    assert sorted(path.name for path in (tmp_path / "site").iterdir()) == ["index.html", "tiny"]


BAD = {
    "unknown key": ({"titel": "x"}, "titel", "title"),
    "unknown method": ({"sections": [{"id": "a", "method": "salience"}]}, "salience", "saliency"),
    "unknown param": ({"sections": [{"id": "a", "method": "saliency", "params": {"tagret": 1}}]}, "tagret", "target"),
    "unknown arch": ({"models": {"m": {"arch": "resnet5"}}}, "resnet5", "resnet50"),
    "unknown layer": (
        {"sections": [{"id": "a", "method": "activity", "layers": ["stage33"]}]}, "stage33", "stage3",
    ),
    "unknown image": ({"sections": [{"id": "a", "method": "saliency", "images": ["kat"]}]}, "kat", "cat"),
    "unknown class": (
        {"sections": [{"id": "a", "method": "saliency", "params": {"target": "churhc"}}]}, "churhc", "church",
    ),
    "wrong type": ({"seed": "many"}, "seed", "number"),
    "missing number": ({"sections": [{"id": "a", "text": "{{ models.small.top2 }}"}]}, "top2", "top1"),
    "missing file": ({"images": {"cat": {"source": "cut.jpg"}}}, "cut.jpg", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_spec_is_one_paragraph_with_its_place_and_exit_code_2(built, tmp_path, name):
    changes, wrong, right = BAD[name]
    spec = write_spec(tmp_path, **{"outputs": {"site": {}}, **changes})
    done = run("build", spec, folder=tmp_path, cache=built / "cache", check=False)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert wrong in done.stderr
    assert right in done.stderr
    assert "tiny.yaml:" in done.stderr
    assert not (tmp_path / "site/tiny").exists()


def test_a_broken_photo_fails_alone_and_the_page_says_why(built, tmp_path):
    (tmp_path / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0 not much of a photo")
    images = {**SPEC["images"], "cut": {"source": "cut.jpg"}}
    spec = write_spec(tmp_path, images=images, outputs={"site": {}})
    done = run("build", spec, folder=tmp_path, cache=built / "cache", check=False)
    assert done.returncode == 1
    report = json.loads((tmp_path / "site/tiny/report.json").read_text())
    failed = [cell for cell in report["cells"] if cell["status"] == "failed"]
    assert failed
    assert all(cell["image"] == "cut" and "cut.jpg" in cell["reason"] for cell in failed)
    strict = run("build", spec, "--strict", "--out", "other", folder=tmp_path, cache=built / "cache", check=False)
    assert strict.returncode == 1
    assert not (tmp_path / "other").exists()


def test_a_net_that_gives_nan_fails_its_cells(built, tmp_path):
    (tmp_path / "broken.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.conv = torch.nn.Conv2d(3, 4, 3, stride=2)\n"
        "        self.fc = torch.nn.Linear(4, 3)\n"
        "    def forward(self, x):\n"
        "        return self.fc(torch.relu(self.conv(x)).mean((2, 3))) * float('nan')\n"
        "def build(**kwargs):\n"
        "    return Net()\n"
    )
    models = {"broken": {"arch": "broken:build", "weights": "random"}}
    sections = [{"id": "says", "method": "prediction"}]
    spec = write_spec(tmp_path, models=models, sections=sections, outputs={"site": {}})
    refused = run("build", spec, folder=tmp_path, cache=tmp_path / "cache", check=False)
    assert refused.returncode == 2
    assert "--allow-code" in refused.stderr
    done = run("build", spec, "--allow-code", folder=tmp_path, cache=tmp_path / "cache", check=False)
    assert done.returncode == 1
    assert "NaN" in done.stderr


def test_a_folder_that_is_not_ours_is_refused(built, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.tex").write_text("precious")
    spec = write_spec(tmp_path)
    done = run("build", spec, "--out", "mine", folder=tmp_path, cache=built / "cache", check=False)
    assert done.returncode == 2
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_a_page_of_the_users_is_not_taken_for_our_list(built, tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site/index.html").write_text("<h1>My own home page</h1>")
    done = run("build", write_spec(tmp_path, outputs={"site": {}}), folder=tmp_path, cache=built / "cache")
    assert (tmp_path / "site/index.html").read_text() == "<h1>My own home page</h1>"
    assert "left as it is" in done.stderr


def test_plan_says_what_is_cached_and_why_the_rest_is_not(built, tmp_path):
    done = run("plan", built / "tiny.yaml", folder=tmp_path, cache=built / "cache")
    assert "0 to run" in done.stdout
    assert "not applicable looks.small.cat.stage1" in done.stdout
    spec = write_spec(tmp_path, seed=3)
    done = run("plan", spec, "--why", folder=tmp_path, cache=built / "cache")
    assert "seed" in done.stdout


def test_only_one_section_is_computed_when_asked(built, tmp_path):
    spec = write_spec(tmp_path, outputs={"site": {}}, seed=9)
    run("build", spec, "--only", "pixels", folder=tmp_path, cache=tmp_path / "cache")
    report = json.loads((tmp_path / "site/tiny/report.json").read_text())
    done = {cell["section"] for cell in report["cells"] if cell["status"] == "ok"}
    assert done == {"pixels", "says"}  # saliency explains what the prediction says


HUB = {
    "alexnet": "alexnet-owt-7be5be79.pth",
    "vgg16": "vgg16-397923af.pth",
    "googlenet": "googlenet-1378be20.pth",
    "resnet50": "resnet50-0676ba61.pth",
}


def test_weights_in_the_hub_cache_are_used_and_no_fallback(tmp_path):
    import torch
    import torchvision

    hub = tmp_path / "torch/hub/checkpoints"
    hub.mkdir(parents=True)
    for arch, name in HUB.items():
        with torch.random.fork_rng(), torch.device("meta"):
            empty = torchvision.models.get_model(
                arch, **({"init_weights": False} if arch in ("vgg16", "googlenet") else {})
            )
        generator = torch.Generator().manual_seed(0)
        state = {
            key: torch.rand(value.shape, generator=generator).mul(0.02).to(value.dtype)
            for key, value in empty.state_dict().items()
        }
        torch.save(state, hub / name)
    poster = yaml.safe_load((REPOSITORY / "specs/poster.yaml").read_text(encoding="utf-8"))
    spec = write_spec(
        tmp_path, models=poster["models"], sections=[{"id": "says", "method": "prediction"}], outputs={"site": {}}
    )
    os.environ["TORCH_HOME"], before = str(tmp_path / "torch"), os.environ.get("TORCH_HOME")
    try:
        done = run("build", spec, "--offline", folder=tmp_path, cache=tmp_path / "cache")
    finally:
        os.environ.pop("TORCH_HOME") if before is None else os.environ.update(TORCH_HOME=before)
    report = json.loads((tmp_path / "site/tiny/report.json").read_text())
    assert "fallback" not in done.stderr
    assert [model["arch"] for model in report["models"].values()] == list(HUB)
    assert all(len(model["classes"]) == 1000 for model in report["models"].values())
    assert not any(model["fallback"] for model in report["models"].values())


def test_the_wheel_builds_a_spec_from_another_folder(tmp_path):
    wheels = tmp_path / "wheels"
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", wheels, REPOSITORY],
        check=True,
        capture_output=True,
    )
    (wheel,) = wheels.glob("reportgen-*.whl")
    site = tmp_path / "installed"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", site, wheel],
        check=True,
        capture_output=True,
    )
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    write_spec(folder, outputs={"site": {}}, sections=[{"id": "pixels", "method": "saliency"}])
    environment = {**os.environ, "PYTHONPATH": str(site), "REPORTGEN_CACHE": str(tmp_path / "cache")}
    code = "import reportgen, sys; sys.argv = ['reportgen', 'build', 'tiny.yaml']; print(reportgen.__file__)\n"
    code += "from reportgen.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert str(site) in done.stdout
    assert (folder / "site/tiny/index.html").is_file()
