"""Training as part of a report: trained once, resumed after a kill, known by what it was made of."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from reportgen import cli, unchanged
from reportgen.assembly import prepare
from reportgen.building import Options, Quiet
from reportgen.errors import Interrupted, SpecError, StoreError
from reportgen.housekeeping import collect
from reportgen.nets.loading import load
from reportgen.nets.weights import tensor_digest
from reportgen.project import forward
from reportgen.run_lock import alone
from reportgen.spec import check_files, read_spec
from reportgen.store import Store
from reportgen.trained import courses, recipe_of
from reportgen.training import loop
from reportgen.training.checkpoints import load_state
from tests.test_end_to_end import HEAVY, counts, tree, write_spec

RECIPE = {
    "kwargs": {"widths": [8, 8, 8, 8], "blocks": [1, 1, 1, 1]},
    "data": {"train": "rendered:objects?n=24&seed=1", "val": "rendered:objects?n=20&seed=2"},
    "size": 32,
    "resize": 32,
    "epochs": 2,
    "batch": 8,
    "checkpoints": [0, 1],
    "seed": 4,
    "repeats": 2,
}
SPEC = {
    "title": "Learning",
    "date": "2026-11-21",
    "models": {
        "tiny": {"arch": "resnet_mini", "training": RECIPE},
        "ready": {"arch": "resnet_mini", "weights": "random"},
    },
    "datasets": {"world": {"source": "rendered:objects", "n": 20, "size": 32}},
    "images": {"cat": {"source": "skimage:chelsea"}},
    "sections": [
        {"id": "intro", "title": "Introduction", "text": "Right on {{ models.tiny.top1 | percent }}."},
        {"id": "curves", "method": "training_curves"},
        {"id": "forms", "method": "evolution", "models": ["tiny"], "images": [], "layers": ["last_conv"], "units": 3},
        {"id": "classes", "method": "learning", "models": ["tiny"]},
        {"id": "filters", "method": "filters", "models": ["tiny"]},
    ],
    "outputs": {"site": {}},
}


def spec_file(folder, sections=SPEC["sections"], **changes):
    model = {"arch": "resnet_mini", "training": {**RECIPE, **changes}}
    return write_spec(folder, SPEC, models={**SPEC["models"], "tiny": model}, sections=sections)


def spec_with(folder, **changes):
    """One run of training, unless told otherwise."""
    return read_spec(spec_file(folder, **{"repeats": 1, **changes}))


def trainings(cache):
    return {record.key: record for record in Store(cache).records() if record.kind == "training"}


class Heard(Quiet):
    def __init__(self, on=()):
        self.said, self.on = [], dict(on)

    def say(self, text):
        self.said.append(text)
        for words, act in self.on.items():
            if words in text:
                act()


def prepared(spec, cache, heard=None, **how):
    heard = heard or Heard()
    return prepare(spec, Store(cache), Options(cache=cache, device="cpu", threads=1), heard, **how), heard.said


def command(*words, cache):
    """The command line in this process: importing torch once is enough."""
    out, err, handler = io.StringIO(), io.StringIO(), signal.getsignal(signal.SIGTERM)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.MonkeyPatch.context() as patch:
        patch.setenv("REPORTGEN_CACHE", str(cache))
        patch.setattr(sys, "argv", ["reportgen", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            cli.main()
    signal.signal(signal.SIGTERM, handler)
    cli.state.update(quiet=False, verbose=False)
    return SimpleNamespace(returncode=end.value.code, stdout=out.getvalue(), stderr=err.getvalue())


def build(path, out, cache):
    done = command("build", path, "--device", "cpu", "--threads", 1, "--out", out, cache=cache)
    assert done.returncode == 0, done.stderr
    return done


def child(code, *words, folder, cache):
    """The command line in a process of its own, after some code."""
    code = f"import sys\nsys.argv[0] = 'reportgen'\n{code}\nfrom reportgen.cli import main\nmain()"
    environment = {**os.environ, "REPORTGEN_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.Popen(
        command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.fixture(autouse=True, scope="module")
def _threads():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A finished report with a net that it trained twice, and what was said before and meanwhile."""
    folder = tmp_path_factory.mktemp("learning")
    path, cache, out = spec_file(folder), folder / "cache", folder / "report"
    planned = command("plan", path, "--device", "cpu", cache=cache)
    checked = command("check", path, "--device", "cpu", cache=cache)
    assert not trainings(cache), "neither plan nor check trains"

    def refuse(*_):
        raise AssertionError("the network was asked")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        words = ("build", path, "--offline", "--device", "cpu", "--threads", 1, "--out", out)
        done = command(*words, cache=cache)
    assert done.returncode == 0, done.stderr
    return SimpleNamespace(
        folder=folder, path=path, cache=cache, out=out, planned=planned.stdout, checked=checked.stdout, said=done.stderr
    )


@pytest.fixture
def cache(built, tmp_path):
    """A store that holds nothing but the fonts of pages, which take longest to make."""
    full, store = Store(built.cache), Store(tmp_path / "cache")
    for record in full.records():
        if record.kind == "font":
            blobs = {name: full.read(record, name) for name in record.blobs}
            store.put(record.key, kind="font", document=record.document, meta=record.meta, blobs=blobs)
    return store.root


def report_of(folder):
    return json.loads((folder / "report.json").read_text())


def test_plan_and_check_say_what_is_to_be_trained(built):
    found = re.search(
        r"to be trained  tiny  \(resnet_mini, 2 epochs on 24 pictures, 2 times; about (\S+) GFLOP\)", built.planned
    )
    plan, _ = prepared(read_spec(built.path), built.cache)
    assert float(found[1]) == pytest.approx(plan.cards["tiny"].flops * 3 * 2 * 24 * 2 / 1e9, rel=0.05)
    assert "not applicable curves.ready" in built.planned
    assert built.planned.endswith("\n0 cached, 4 to run, 1 not applicable\n")
    assert "2 models (1 to be trained), no problems" in built.checked


def test_a_report_trains_its_net_and_shows_how(built):
    cells = {cell["id"]: cell for cell in report_of(built.out)["cells"]}
    assert {name for name, cell in cells.items() if cell["status"] != "ok"} == {"curves.ready"}
    assert "how it came to its weights is unknown" in cells["curves.ready"]["reason"]
    for number in (1, 2):
        assert f"tiny, run {number} of 2: training resnet_mini on 24 pictures" in built.said
        assert re.search(rf"tiny, run {number} of 2: resnet_mini epoch 1/2: loss .*, \d+ s left", built.said)
    first = courses(read_spec(built.path), Store(built.cache), "cpu")["tiny"].record()
    (right,) = re.findall(r"Right on ([\d.]+)", (built.out / "section/intro.html").read_text())
    assert float(right) == pytest.approx(100 * first.meta["log"][-1]["val_top1"], abs=0.5)
    assert str(built.folder) not in (built.out / "report.json").read_text()
    assert not list((built.cache / "runs").iterdir()), "what was needed to go on is gone"


def test_curves_and_learning_are_the_numbers_of_the_log(built):
    records = trainings(built.cache)
    assert len(records) == 2
    by_seed = {record.document["recipe"]["seed"]: record.meta["log"] for record in records.values()}
    assert sorted(by_seed) == [4, 5]
    curves = np.load(built.out / "data/curves.tiny.npz")
    for place, seed in enumerate((4, 5)):
        log = by_seed[seed]
        assert curves["val_top1"][place] == pytest.approx([row["val_top1"] for row in log], abs=1e-3)
        assert curves["val_loss"][place] == pytest.approx([row["val_loss"] for row in log], rel=1e-3)
        assert curves["train_loss"][place] == pytest.approx([row["train_loss"] for row in log[1:]], rel=1e-3)
        for row in log:  # twenty pictures, two of each class
            assert np.mean(row["val_classes"]) == pytest.approx(row["val_top1"])
    classes = np.load(built.out / "data/classes.tiny.npz")
    assert classes["accuracy"].shape == (2, 3, 10)
    assert classes["accuracy"][0, -1] == pytest.approx(by_seed[4][-1]["val_classes"], abs=1e-3)


def test_the_weights_are_those_that_the_training_loop_gives(built, tmp_path):
    recipe = recipe_of(read_spec(built.path).models["tiny"], built.folder)
    alone = loop.train(recipe.model_copy(update={"precision": "fp32"}), tmp_path / "alone", "cpu", 1, quiet=True)
    plan, said = prepared(read_spec(built.path), built.cache)
    assert not [line for line in said if "epoch" in line]
    choice = plan.models["tiny"]
    assert choice.resolved.digest == tensor_digest(load_state(alone.out)["net"]) == plan.cards["tiny"].weights
    assert plan.cards["tiny"].weights_source == "trained for 2 epochs"
    assert choice.course.kept == (0, 1, 2)
    kept = choice.course.resolved(built.cache, 1)
    assert kept.digest == tensor_digest(load_file(alone.out / "epoch-001.safetensors"))
    assert kept.digest != choice.resolved.digest


def test_evolution_at_a_kept_epoch_is_what_its_net_says(built):
    plan, _ = prepared(read_spec(built.path), built.cache)
    course = plan.models["tiny"].course
    cell = next(cell for cell in plan.cells if cell.id == "forms.tiny.last_conv")
    found = np.load(built.out / "data/forms.tiny.last_conv.npz")
    assert found["epochs"].tolist() == [0, 1, 2]
    for column, epoch in enumerate((0, 1, 2)):
        net = load(course.resolved(built.cache, epoch), device="cpu")
        pictures = [course.val.load(place).picture for place in range(len(course.val))]
        values = forward(net, net.preprocess(pictures), [cell.params.layer])[cell.params.layer]
        strongest = values.amax((2, 3)).numpy()  # N C
        for row, unit in enumerate(found["units"]):
            assert found["images"][row, column] == strongest[:, unit].argmax()
            assert found["activations"][row, column] == pytest.approx(strongest[:, unit].max(), rel=2e-3, abs=1e-5)


def test_the_second_build_does_nothing_and_a_changed_text_trains_nothing(built):
    before = {key: record.provenance for key, record in trainings(built.cache).items()}
    words = ("build", built.path, "--device", "cpu", "--threads", 1, "--out", built.out)
    light = f"import atexit\natexit.register(lambda: print([n for n in {HEAVY!r} if n in sys.modules]))"
    again = child(light, *words, folder=built.folder, cache=built.cache)
    out, err = again.communicate()
    assert again.returncode == 0, err
    assert "nothing to do" in out
    assert out.endswith("[]\n"), "nothing heavy was imported"
    store, text = Store(built.cache), built.path.read_text()
    assert unchanged.nothing_to_do(built.path, built.out, store, "", "cuda") is None, "the device decides the weights"
    built.path.write_text(text.replace("title: Learning", "title: Learned"))
    assert "epoch" not in build(built.path, built.folder / "words", built.cache).stderr
    assert counts(built.folder / "words")["computed"] == 0
    built.path.write_text(text)
    assert {key: record.provenance for key, record in trainings(built.cache).items()} == before


def test_the_cleaning_of_the_store_keeps_what_a_report_was_trained_to(built, tmp_path):
    shutil.copytree(built.cache, tmp_path / "cache")
    prepared(spec_with(tmp_path, seed=9), tmp_path / "cache")
    assert len(trainings(tmp_path / "cache")) == 3
    collect(Store(tmp_path / "cache"), dry_run=False, grace_hours=0.0)
    assert trainings(tmp_path / "cache").keys() == trainings(built.cache).keys(), "but not what no report shows"
    assert "nothing to do" in build(built.path, built.out, built.cache).stdout


def test_plan_names_what_changed_in_a_recipe_and_takes_the_device(built, tmp_path):
    how = {"cache": built.cache}
    again = command("plan", built.path, "--device", "cpu", "--why", **how).stdout
    assert "to be trained" not in again
    assert " 0 to run" in again
    elsewhere = command("plan", built.path, "--device", "cuda", "--why", **how).stdout
    assert "changed since the nearest stored training: device)" in elsewhere
    assert "(1 to be trained)" in command("check", built.path, "--device", "cuda", **how).stdout
    for change, field in (({"epochs": 3}, "recipe.epochs"), ({"optimizer": {"clip": 1}}, "recipe.optimizer.clip")):
        planned = command("plan", spec_file(tmp_path, **change), "--device", "cpu", "--why", **how).stdout
        assert f"GFLOP; changed since the nearest stored training: {field})" in planned
    more = command("plan", spec_file(tmp_path, repeats=3), "--device", "cpu", **how).stdout
    assert "24 pictures, 3 times (1 missing); about" in more
    assert "cached         filters.tiny" in more, "the net itself is there"


# ------------------------------------------------------------------------------------------------ stopped in the middle

KILL = """
import os, signal
from reportgen.training import loop
measured, calls = loop.measured, []
def last(*all):
    calls.append(1)
    if len(calls) == 6:  # run 2, in epoch 2
        os.kill(os.getpid(), signal.SIGKILL)
    return measured(*all)
loop.measured = last
"""


def test_a_build_killed_in_a_training_goes_on_to_the_same_report(built, cache, tmp_path):
    path, out = spec_file(tmp_path), tmp_path / "report"
    words = ("build", path, "--device", "cpu", "--threads", 1, "--out", out)
    killed = child(KILL, *words, folder=tmp_path, cache=cache)
    _, said = killed.communicate()
    assert killed.returncode == -signal.SIGKILL, said
    assert "run 2 of 2: resnet_mini epoch 1/2" in said
    assert len(trainings(cache)) == 1
    done = build(path, out, cache)
    assert re.findall(r"run \d of 2: resnet_mini epoch \d/2", done.stderr) == ["run 2 of 2: resnet_mini epoch 2/2"]
    assert {key: record.blobs for key, record in trainings(cache).items()} == {
        key: record.blobs for key, record in trainings(built.cache).items()
    }
    assert tree(out) == tree(built.out)


def test_two_builds_at_the_same_time_train_once_and_both_finish(built, cache, tmp_path):
    path = spec_file(tmp_path)
    words = ("build", path, "--device", "cpu", "--threads", 1, "--out")
    both = [child("", *words, tmp_path / name, folder=tmp_path, cache=cache) for name in ("one", "two")]
    said = "".join(process.communicate()[1] for process in both)
    assert [process.returncode for process in both] == [0, 0], said
    assert sorted(re.findall(r"run \d of 2: training", said)) == ["run 1 of 2: training", "run 2 of 2: training"]
    assert tree(tmp_path / "one") == tree(tmp_path / "two") == tree(built.out)
    assert not list((cache / "runs").iterdir())


def test_a_second_build_waits_for_the_first_that_trains_the_same(tmp_path):
    said, order, inside = [], [], threading.Event()

    def second():
        inside.wait()
        with alone(tmp_path / "run", said.append):
            order.append("second")

    other = threading.Thread(target=second)
    other.start()
    with alone(tmp_path / "run", said.append):
        inside.set()
        while not said:
            time.sleep(0.005)
        order.append("first")
    other.join()
    assert order == ["first", "second"]
    assert said == ["another build is training this; waiting for it"]


def stopping(monkeypatch, call):
    """Ctrl-C while the net is measured for the so-manieth time."""
    calls, measured = [], loop.measured

    def stop(*args):
        calls.append(1)
        if len(calls) == call:
            os.kill(os.getpid(), signal.SIGINT)
        return measured(*args)

    monkeypatch.setattr(loop, "measured", stop)


def test_who_is_interrupted_is_told_where_it_goes_on_and_quiet_is_quiet(built, cache, tmp_path, monkeypatch):
    path = spec_file(tmp_path)
    words = ("build", path, "--device", "cpu", "--threads", 1, "--out", tmp_path / "report")
    stopping(monkeypatch, 3)  # epoch 2 of the first run
    stopped = command(*words, cache=cache)
    assert stopped.returncode == 130
    assert stopped.stderr.endswith(
        "reportgen: interrupted; tiny, run 1 of 2 was in training; the next build goes on after its last whole epoch\n"
    )
    done = command("-q", *words, cache=cache)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert tree(tmp_path / "report") == tree(built.out)


def test_an_interrupted_training_of_its_own_goes_on_too(tmp_path, monkeypatch):
    recipe, out = tmp_path / "recipe.yaml", tmp_path / "run"
    recipe.write_text(json.dumps({**RECIPE, "arch": "resnet_mini"}))
    words = ("train", recipe, "--device", "cpu", "--threads", 1, "--out", out)
    stopping(monkeypatch, 3)
    stopped = command(*words, cache=tmp_path)
    assert stopped.returncode == 130
    assert f"interrupted; the same command goes on in {out} after the last whole epoch" in stopped.stderr
    done = command(*words, cache=tmp_path)
    assert done.returncode == 0
    assert re.findall(r"epoch \d/2", done.stderr) == ["epoch 2/2"]
    assert command("-q", *words, cache=tmp_path).stderr == ""


@pytest.mark.parametrize("room", [1000, None], ids=["not even the log", "half the state"])
def test_a_full_disk_loses_at_most_the_epoch_in_hand(built, tmp_path, room):
    spec, cache = spec_with(tmp_path), tmp_path / "cache"
    free = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill():
        (folder,) = (cache / "runs").glob("[!.]*")
        size = room or (folder / "state.pt").stat().st_size - 1
        assert room or (folder / "log.png").stat().st_size < size, "it is the state that does not fit"
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, free[1]))

    try:
        with pytest.raises(StoreError, match=r"cannot be written to .*File too large.*after the last whole epoch"):
            prepared(spec, cache, Heard({"epoch 1/2": fill}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, free)
    assert not list((cache / "runs").glob("*/.*.tmp"))
    plan, said = prepared(spec, cache)
    assert re.findall(r"epoch \d/2", " ".join(said)) == ["epoch 2/2"]
    (record,) = trainings(cache).values()
    assert record.blobs == trainings(built.cache)[record.key].blobs
    assert plan.models["tiny"].resolved.source == "trained for 2 epochs"


def test_a_loss_that_is_no_number_stops_with_epoch_and_rate_and_keeps_what_was_good(built, tmp_path, monkeypatch):
    spec, cache, rate = spec_with(tmp_path), tmp_path / "cache", loop.learning_rate
    place = r"tiny.yaml:\d+:\d+: .*"
    for deadly, epoch in ((3, 2), (2, 1)):  # 3 steps an epoch: the first of epoch 2, and the last of epoch 1
        monkeypatch.setattr(loop, "learning_rate", lambda recipe, step, n, at=deadly: 1e38 if step == at else 1e-3)
        words = rf"came apart in epoch {epoch}, at learning rate \S+: the loss is no number any more; a smaller optim"
        with pytest.raises(SpecError, match=place + words):
            prepared(spec, cache / str(epoch))
        (folder,) = (cache / str(epoch) / "runs").glob("[!.]*")
        assert load_state(folder)["rows"][-1]["epoch"] == epoch - 1
        assert not trainings(cache / str(epoch))
    monkeypatch.setattr(loop, "learning_rate", rate)
    _, said = prepared(spec, cache / "2")
    assert re.findall(r"epoch \d/2", " ".join(said)) == ["epoch 2/2"]


def test_a_folder_that_holds_another_run_is_refused(tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    stopping(monkeypatch, 3)
    with pytest.raises(Interrupted, match="tiny was in training"):
        prepared(spec_with(tmp_path), cache)
    (mine,), (theirs,) = (courses(spec_with(tmp_path, seed=n), Store(cache), "cpu")["tiny"].keys for n in (4, 9))
    (cache / "runs" / mine).rename(cache / "runs" / theirs)
    with pytest.raises(SpecError, match=f"{theirs} holds a training by another recipe; these differ: seed. Give anoth"):
        prepared(spec_with(tmp_path, seed=9), cache)


def test_a_training_that_was_broken_off_is_cleared_away_when_it_is_old(tmp_path):
    folder = tmp_path / "runs" / ("0" * 64)
    folder.mkdir(parents=True)
    for name in ("state.pt", "epoch-000.safetensors"):
        (folder / name).write_bytes(b"x")
    assert collect(Store(tmp_path), dry_run=False, grace_hours=1.0) == (0, 0)
    old = time.time() - 7200
    os.utime(folder / "state.pt", (old, old))
    assert collect(Store(tmp_path), dry_run=False, grace_hours=1.0) == (2, 2)


def test_a_training_under_way_is_never_cleared_away(tmp_path):
    folder = tmp_path / "runs" / ("0" * 64)
    folder.mkdir(parents=True)
    for name in ("state.pt", "epoch-000.safetensors"):
        (folder / name).write_bytes(b"x")
    with alone(folder, pytest.fail):
        assert collect(Store(tmp_path), dry_run=True, grace_hours=0) == (0, 0)
        assert collect(Store(tmp_path), dry_run=False, grace_hours=0) == (0, 0)
        assert len(list(folder.iterdir())) == 2
    assert collect(Store(tmp_path), dry_run=False, grace_hours=0) == (2, 2)


# --------------------------------------------------------------------------------------------- what is another training


def test_more_repeats_train_only_the_new_ones_and_another_seed_or_picture_is_another_run(built, tmp_path):
    cache = tmp_path / "cache"
    prepared(spec_with(tmp_path), cache)
    first = set(trainings(cache))
    _, said = prepared(spec_with(tmp_path, repeats=2), cache)
    assert [line for line in said if "training" in line] == ["tiny, run 2 of 2: training resnet_mini on 24 pictures"]
    assert first < set(trainings(cache)) == set(trainings(built.cache))
    store = Store(cache)
    keys = {
        courses(spec_with(tmp_path, **change), store, device)["tiny"].keys
        for change, device in (
            ({}, "cpu"),
            ({}, "cuda"),
            ({"seed": 9}, "cpu"),
            ({"epochs": 3}, "cpu"),
            ({"data": {**RECIPE["data"], "val": "rendered:objects?n=30&seed=2"}}, "cpu"),
        )
    }
    assert len(keys) == 5
    same = courses(spec_with(tmp_path, out="elsewhere", precision="fp32"), store, "cpu")["tiny"].keys
    assert set(same) == first, "where a run lies does not count; auto is fp32 in a report"


def test_a_damaged_weights_file_is_trained_again(built, tmp_path):
    path, cache = spec_file(tmp_path), tmp_path / "cache"
    shutil.copytree(built.cache, cache)
    build(path, tmp_path / "report", cache)  # which notes what it was made of
    record = trainings(cache)[courses(read_spec(path), Store(cache), "cpu")["tiny"].keys[0]]
    blob = Store(cache).blob_path(record.blobs["weights"])
    raw = bytearray(blob.read_bytes())
    raw[-1] ^= 1
    blob.write_bytes(raw)
    again = build(path, tmp_path / "report", cache)
    assert re.findall(r"run \d of 2: resnet_mini epoch 2/2", again.stderr) == ["run 1 of 2: resnet_mini epoch 2/2"]
    assert tree(tmp_path / "report") == tree(built.out)


def test_the_example_spec_is_right_and_can_be_planned(tmp_path):
    spec = read_spec(Path(__file__).parents[1] / "specs/training.yaml")
    assert check_files(spec) == []
    plan, _ = prepared(spec, tmp_path, train=False)
    assert {choice.course.missing for choice in plan.models.values()} == {spec.models["resnet"].training["repeats"]}
    assert {cell.method for cell in plan.cells if cell.id not in plan.excluded} >= {"evolution", "learning"}


def test_a_mistake_in_the_spec_is_found_before_anything_is_trained(tmp_path):
    sections = [{"id": "s", "method": "evolution", "layers": ["layer99"]}]
    with pytest.raises(SpecError, match="layer99"):
        prepared(spec_with(tmp_path, sections=sections), tmp_path / "cache")
    assert not trainings(tmp_path / "cache")


def test_evolution_without_kept_epochs_does_not_apply_and_takes_pictures_and_a_set(built, tmp_path):
    plan, _ = prepared(spec_with(tmp_path, checkpoints=[]), tmp_path / "cache", train=False)
    assert "`checkpoints:` in its recipe" in plan.excluded["forms.tiny.last_conv"]
    only = {"models": ["tiny"]}
    sections = [
        {"id": "forms", "method": "evolution", "dataset": "world", "layers": ["stage3"], "units": 2, **only},
        {"id": "curves", "method": "training_curves", "dataset": "world", **only},
    ]
    wrong = spec_file(tmp_path, sections)
    with pytest.raises(SpecError, match="training_curves takes no dataset; it looks at a run of training"):
        read_spec(wrong)
    build(spec_file(tmp_path, sections[:1]), tmp_path / "report", built.cache)
    (cell,) = report_of(tmp_path / "report")["cells"]
    assert (cell["status"], cell["dataset"], cell["numbers"]["pictures"]) == ("ok", "world", 20)
    assert cell["numbers"]["names"] == ["cat"]
    assert "What pictures were taken for" in (tmp_path / "report/section/forms.html").read_text()


def test_class_maps_of_kept_epochs_name_the_set_they_are_taken_from(tmp_path):
    kwargs = {"backbone": "resnet_mini", "backbone_kwargs": RECIPE["kwargs"]}
    maps = {"arch": "encdec", "training": {**RECIPE, "kwargs": kwargs, "repeats": 1}}
    section = {"id": "forming", "method": "class_maps_epochs", "models": ["maps"], "dataset": "world", "images": []}
    spec = write_spec(tmp_path, SPEC, models={"maps": maps}, sections=[section])
    build(spec, tmp_path / "report", tmp_path / "cache")
    assert [cell["status"] for cell in report_of(tmp_path / "report")["cells"]] == ["ok"]
    assert "rendered:objects" in (tmp_path / "report/section/forming.html").read_text()


def test_without_torch_a_training_is_the_one_that_the_store_was_filled_with(built, tmp_path, monkeypatch):
    spec = read_spec(built.path)
    with_torch = courses(spec, Store(built.cache), "cpu")["tiny"]
    monkeypatch.setattr("reportgen.trained.has_torch", lambda: False)
    monkeypatch.setattr("reportgen.trained.version", lambda package: pytest.fail(f"{package} was asked for"))
    assert courses(spec, Store(built.cache), "auto")["tiny"].keys == with_torch.keys
    with pytest.raises(SpecError, match="has not been trained in this cache"):
        courses(spec, Store(tmp_path / "empty"), "auto")
