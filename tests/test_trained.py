"""Training as part of a report: trained once, resumed after a kill, known by what it was made of."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from reportgen.assembly import prepare
from reportgen.building import Options, Quiet
from reportgen.errors import SpecError, StoreError
from reportgen.housekeeping import collect
from reportgen.spec import check_files, read_spec
from reportgen.store import Store
from reportgen.trained import _alone, courses, recipe_of
from reportgen.training import loop
from reportgen.training.data import MEAN, STD, augment, load_photos
from reportgen.training.recipe import Augment
from reportgen.training.sources import training_pictures
from tests.test_end_to_end import counts, run, write_spec

RECIPE = {
    "kwargs": {"widths": [8, 8, 8, 8], "blocks": [1, 1, 1, 1]},
    "data": {"train": "rendered:objects?n=60&seed=1", "val": "rendered:objects?n=20&seed=2"},
    "size": 32,
    "resize": 32,
    "epochs": 2,
    "batch": 12,
    "checkpoints": [0, 1],
    "seed": 4,
}
SPEC = {
    "title": "Learning",
    "date": "2026-11-21",
    "models": {"tiny": {"arch": "resnet_mini", "training": RECIPE}, "ready": {"arch": "resnet_mini"}},
    "sections": [
        {"id": "intro", "title": "Introduction", "text": "Right on {{ models.tiny.top1 | percent }}."},
        {"id": "curves", "method": "training_curves"},
        {"id": "forms", "method": "evolution", "models": ["tiny"], "layers": ["last_conv"], "units": 3},
        {"id": "classes", "method": "learning", "models": ["tiny"]},
        {"id": "filters", "method": "filters", "models": ["tiny"]},
    ],
    "outputs": {"site": {}},
}


def spec_with(folder, name="tiny.yaml", sections=None, **changes):
    model = {"arch": "resnet_mini", "training": {**RECIPE, **changes}}
    path = write_spec(
        folder, {**SPEC, "models": {**SPEC["models"], "tiny": model}, "sections": sections or SPEC["sections"]}, name
    )
    return read_spec(path)


def trainings(cache):
    return {record.key: record for record in Store(cache).records() if record.kind == "training"}


class Heard(Quiet):
    def __init__(self):
        self.said = []

    def say(self, text):
        self.said.append(text)


def prepared(spec, cache, **how):
    heard = Heard()
    return prepare(spec, Store(cache), Options(cache=cache, device="cpu", threads=1), heard, **how), heard.said


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A finished report with a net that it trained twice, and what was said meanwhile."""
    folder = tmp_path_factory.mktemp("learning")
    model = {"arch": "resnet_mini", "training": {**RECIPE, "repeats": 2}}
    path = write_spec(folder, {**SPEC, "models": {"tiny": model, "ready": SPEC["models"]["ready"]}})
    how = {"folder": folder, "cache": folder / "cache"}
    planned = run("plan", path, **how).stdout, run("check", path, **how).stdout
    assert not trainings(folder / "cache"), "neither plan nor check trains"
    return folder, path, planned, run("build", path, "--threads", "1", "--device", "cpu", **how).stderr


def test_plan_and_check_say_what_is_to_be_trained(built):
    _, _, (planned, checked), _ = built
    assert "to be trained  tiny  (resnet_mini, 2 epochs on 60 pictures, 2 times)" in planned
    assert "not applicable curves.ready" in planned
    assert planned.endswith("0 cached, 4 to run, 1 not applicable\n")
    assert "2 models (1 to be trained), no problems" in checked


def test_a_report_trains_its_net_and_shows_how(built):
    folder, _, _, said = built
    report = json.loads((folder / "site/tiny/report.json").read_text())
    cells = {cell["id"]: cell for cell in report["cells"]}
    assert {name for name, cell in cells.items() if cell["status"] != "ok"} == {"curves.ready"}
    assert "its weights came ready-made" in cells["curves.ready"]["reason"]
    for number in (1, 2):
        assert f"tiny, run {number} of 2: resnet_mini epoch 2/2: loss" in said
    page = (folder / "site/tiny/section/intro.html").read_text()
    top1 = cells["curves.tiny"]["numbers"]["val_top1"]
    assert "Right on" in page
    assert 0 <= top1 <= 1
    assert str(folder) not in (folder / "site/tiny/report.json").read_text()
    assert not list((folder / "cache/runs").iterdir()), "what was needed to go on is gone"


def test_curves_and_learning_are_the_numbers_of_the_log(built):
    folder, *_ = built
    records = trainings(folder / "cache")
    assert len(records) == 2
    by_seed = {record.document["recipe"]["seed"]: record.meta["log"] for record in records.values()}
    assert sorted(by_seed) == [4, 5]
    curves = np.load(folder / "site/tiny/data/curves.tiny.npz")
    for place, seed in enumerate((4, 5)):
        log = by_seed[seed]
        assert curves["val_top1"][place] == pytest.approx([row["val_top1"] for row in log], abs=1e-3)
        assert curves["val_loss"][place] == pytest.approx([row["val_loss"] for row in log], rel=1e-3)
        assert curves["train_loss"][place] == pytest.approx([row["train_loss"] for row in log[1:]], rel=1e-3)
        for row in log:  # twenty pictures, two of each class
            assert np.mean(row["val_classes"]) == pytest.approx(row["val_top1"])
    classes = np.load(folder / "site/tiny/data/classes.tiny.npz")
    assert classes["accuracy"].shape == (2, 3, 10)
    assert classes["accuracy"][0, -1] == pytest.approx(by_seed[4][-1]["val_classes"], abs=1e-3)


def test_the_weights_are_those_that_the_training_loop_gives(built, tmp_path):
    folder, path, *_ = built
    spec = read_spec(path)
    recipe = recipe_of(spec.models["tiny"], path.parent).model_copy(update={"precision": "fp32", "repeats": 1})
    threads = torch.get_num_threads()
    alone = loop.train(recipe, tmp_path / "alone", "cpu", 1, quiet=True)
    torch.set_num_threads(threads)
    plan, said = prepared(spec, folder / "cache")
    assert not [line for line in said if "epoch" in line]
    state = torch.load(alone.out / "state.pt", weights_only=True)["net"]
    from reportgen.nets.weights import tensor_digest

    choice = plan.models["tiny"]
    assert choice.resolved.digest == tensor_digest(state) == plan.cards["tiny"].weights
    assert plan.cards["tiny"].weights_source == "trained for 2 epochs"
    assert choice.course.kept == (0, 1, 2)
    kept = choice.course.resolved(folder / "cache", 1)
    from safetensors.torch import load_file

    assert kept.digest == tensor_digest(load_file(alone.out / "epoch-001.safetensors"))
    assert kept.digest != choice.resolved.digest


def test_evolution_at_a_kept_epoch_is_what_its_net_says(built):
    folder, path, *_ = built
    plan, _ = prepared(read_spec(path), folder / "cache")
    from reportgen.nets.loading import load
    from reportgen.project import forward

    course = plan.models["tiny"].course
    cell = next(cell for cell in plan.cells if cell.id == "forms.tiny.last_conv")
    found = np.load(folder / "site/tiny/data/forms.tiny.last_conv.npz")
    layer = cell.params.layer
    assert found["epochs"].tolist() == [0, 1, 2]
    for column, epoch in enumerate((0, 1, 2)):
        net = load(course.resolved(folder / "cache", epoch), device="cpu")
        pictures = [course.val.load(place).picture for place in range(len(course.val))]
        values = forward(net, net.preprocess(pictures), [layer])[layer].amax((2, 3)).numpy()  # N C
        for row, unit in enumerate(found["units"]):
            assert found["images"][row, column] == values[:, unit].argmax()
            assert found["activations"][row, column] == pytest.approx(values[:, unit].max(), rel=2e-3, abs=1e-5)


def test_the_second_build_does_nothing_and_a_changed_text_trains_nothing(built):
    folder, path, *_ = built
    before = {key: record.provenance for key, record in trainings(folder / "cache").items()}
    how = {"folder": folder, "cache": folder / "cache"}
    words = ("build", path, "--threads", "1", "--device", "cpu")
    assert "nothing to do" in run(*words, **how).stdout
    text = path.read_text()
    path.write_text(text.replace("title: Learning", "title: Learned"))
    again = run(*words, **how)
    assert "epoch" not in again.stderr
    assert counts(folder / "site/tiny")["computed"] == 0
    assert {key: record.provenance for key, record in trainings(folder / "cache").items()} == before
    path.write_text(text)
    collect(Store(folder / "cache"), dry_run=False, grace_hours=0.0)
    assert set(trainings(folder / "cache")) == set(before), "the store keeps what a report was made of"


def test_a_build_killed_in_a_training_goes_on_to_the_same_weights(tmp_path):
    recipe = {**RECIPE, "epochs": 8, "data": {**RECIPE["data"], "train": "rendered:objects?n=300&seed=1"}}
    sections = [{"id": "curves", "method": "training_curves"}, {"id": "filters", "method": "filters"}]
    spec = {**SPEC, "models": {"tiny": {"arch": "resnet_mini", "training": recipe}}, "sections": sections}
    path = write_spec(tmp_path, spec)
    words = ["build", path, "--threads", "1", "--device", "cpu", "--out"]
    run(*words, tmp_path / "whole", folder=tmp_path, cache=tmp_path / "one")
    cache = tmp_path / "two"
    environment = {**os.environ, "REPORTGEN_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    build = subprocess.Popen(
        [sys.executable, "-m", "reportgen", *map(str, words), str(tmp_path / "cut")],
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    while build.poll() is None and lines_of(cache) < 4:  # a head, epoch 0, epochs 1 and 2
        time.sleep(0.005)
    assert build.poll() is None, "it was killed in the middle of the training"
    build.send_signal(signal.SIGKILL)
    build.wait()
    assert not trainings(cache)
    done = run(*words, tmp_path / "cut", folder=tmp_path, cache=cache)
    assert "epoch 8/8" in done.stderr
    assert "epoch 1/8" not in done.stderr, "what was learned before the kill was not learned again"
    (whole,), (cut,) = (trainings(root).values() for root in (tmp_path / "one", cache))
    assert whole.meta == cut.meta
    reports = [json.loads((tmp_path / name / "report.json").read_text()) for name in ("whole", "cut")]
    assert reports[0]["models"]["tiny"]["weights"] == reports[1]["models"]["tiny"]["weights"]
    assert [cell["key"] for cell in reports[0]["cells"]] == [cell["key"] for cell in reports[1]["cells"]]


def lines_of(cache):
    logs = list((cache / "runs").glob("*/log.csv"))
    return len(logs[0].read_text().splitlines()) if logs else 0


def test_a_full_disk_loses_at_most_the_epoch_in_hand(tmp_path, monkeypatch):
    spec, whole = spec_with(tmp_path), tmp_path / "whole"
    plan, _ = prepared(spec, whole)
    save, calls = loop.save_state, []

    def full(state, out):
        calls.append(out)
        if len(calls) == 3:  # after epoch 2
            raise OSError(errno.ENOSPC, "No space left on device")
        save(state, out)

    monkeypatch.setattr(loop, "save_state", full)
    with pytest.raises(StoreError, match=r"No space left on device.*after the last whole epoch"):
        prepared(spec, tmp_path / "full")
    monkeypatch.setattr(loop, "save_state", save)
    again, said = prepared(spec, tmp_path / "full")
    assert next(line for line in said if "epoch" in line).startswith("tiny: resnet_mini epoch 2/2")
    assert again.models["tiny"].resolved.digest == plan.models["tiny"].resolved.digest


def test_more_repeats_train_only_the_new_ones_and_another_seed_or_picture_is_another_run(tmp_path):
    cache = tmp_path / "cache"
    prepared(spec_with(tmp_path), cache)
    first = set(trainings(cache))
    _, said = prepared(spec_with(tmp_path, repeats=2), cache)
    assert [line for line in said if "training" in line] == ["tiny, run 2 of 2: training resnet_mini on 60 pictures"]
    assert len(trainings(cache)) == 2
    assert first < set(trainings(cache))
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


def test_a_damaged_weights_file_is_trained_again(tmp_path):
    sections = [{"id": "filters", "method": "filters"}]
    models = {"tiny": {"arch": "resnet_mini", "training": RECIPE}}
    path = write_spec(tmp_path, {**SPEC, "models": models, "sections": sections})
    words, how = ("build", path, "--threads", "1", "--device", "cpu"), {"folder": tmp_path, "cache": tmp_path / "c"}
    run(*words, **how)
    (record,) = trainings(tmp_path / "c").values()
    report = json.loads((tmp_path / "site/tiny/report.json").read_text())
    blob = Store(tmp_path / "c").blob_path(record.blobs["weights"])
    raw = bytearray(blob.read_bytes())
    raw[-1] ^= 1
    blob.write_bytes(raw)
    assert "epoch 2/2" in run(*words, **how).stderr
    again = json.loads((tmp_path / "site/tiny/report.json").read_text())
    assert again["models"]["tiny"]["weights"] == report["models"]["tiny"]["weights"]


# ----------------------------------------------------------------------------------------------------- recipes in specs


def write_photos(folder, part, count, labels=("a", "b")):
    rng = np.random.default_rng(len(part))
    for label in labels:
        (folder / part / label).mkdir(parents=True, exist_ok=True)
        for n in range(count):
            pixels = rng.integers(0, 255, (40, 36, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / part / label / f"{n}.png")


def test_a_recipe_can_be_a_file_whose_data_lie_beside_it(tmp_path):
    write_photos(tmp_path / "photos", "train", 4)
    write_photos(tmp_path / "photos", "val", 2)
    recipe = {**RECIPE, "arch": "resnet_mini", "data": {"train": "train", "val": ["val"]}, "batch": 4}
    (tmp_path / "photos/recipe.yaml").write_text(json.dumps(recipe))
    models = {"tiny": {"training": "photos/recipe.yaml"}}
    spec = read_spec(write_spec(tmp_path, {**SPEC, "models": models, "sections": SPEC["sections"][3:]}))
    assert spec.models["tiny"].arch == "resnet_mini"
    assert tmp_path / "photos/recipe.yaml" in spec.files
    assert check_files(spec) == []
    found = recipe_of(spec.models["tiny"], tmp_path)
    assert [Path(source).resolve() for source in found.data.train] == [tmp_path.resolve() / "photos/train"]
    train, val = training_pictures(found)
    photos = load_photos(found.data.train, 32)
    assert train.digest() == photos.digest
    assert train.labels == tuple(photos.labels)
    assert val.digest() == load_photos(found.data.val, 32, photos.classes).digest
    assert val.load(3).picture.shape == (40, 36, 3)
    run("build", tmp_path / "tiny.yaml", "--device", "cpu", folder=tmp_path, cache=tmp_path / "c")
    assert (
        "nothing to do"
        in run("build", tmp_path / "tiny.yaml", "--device", "cpu", folder=tmp_path, cache=tmp_path / "c").stdout
    )
    write_photos(tmp_path / "photos", "train", 5)
    again = run("build", tmp_path / "tiny.yaml", "--device", "cpu", folder=tmp_path, cache=tmp_path / "c")
    assert "training resnet_mini on 10 pictures" in again.stderr


def test_the_example_spec_is_right_and_can_be_planned(tmp_path):
    spec = read_spec(Path(__file__).parents[1] / "specs/training.yaml")
    assert check_files(spec) == []
    plan, _ = prepared(spec, tmp_path, train=False)
    assert {choice.course.missing for choice in plan.models.values()} == {spec.models["resnet"].training["repeats"]}
    assert {cell.method for cell in plan.cells if cell.id not in plan.excluded} >= {"evolution", "learning"}


def test_a_training_that_was_broken_off_is_cleared_away_when_it_is_old(tmp_path):
    folder = tmp_path / "runs" / ("0" * 64)
    folder.mkdir(parents=True)
    for name in ("state.pt", "epoch-000.safetensors"):
        (folder / name).write_bytes(b"x")
    assert collect(Store(tmp_path), dry_run=False, grace_hours=1.0) == (0, 0)
    old = time.time() - 7200
    os.utime(folder / "state.pt", (old, old))
    assert collect(Store(tmp_path), dry_run=False, grace_hours=1.0) == (2, 2)


def test_a_second_build_waits_for_the_first_that_trains_the_same(tmp_path):
    said, order, inside = [], [], threading.Event()

    def second():
        inside.wait()
        with _alone(tmp_path / "run", said.append):
            order.append("second")

    other = threading.Thread(target=second)
    other.start()
    with _alone(tmp_path / "run", said.append):
        inside.set()
        while not said:
            time.sleep(0.005)
        order.append("first")
    other.join()
    assert order == ["first", "second"]
    assert said == ["another build is training this; waiting for it"]


def test_data_of_an_inherited_recipe_stay_beside_their_spec(tmp_path):
    write_photos(tmp_path / "below", "train", 2)
    write_photos(tmp_path / "below", "val", 2)
    recipe = {**RECIPE, "data": {"train": ["train"], "val": "val"}}
    models = {"tiny": {"arch": "resnet_mini", "training": recipe}}
    write_spec(tmp_path / "below", {**SPEC, "models": models, "sections": SPEC["sections"][3:]}, "base.yaml")
    (tmp_path / "child.yaml").write_text("extends: below/base.yaml\ntitle: Child\n")
    spec = read_spec(tmp_path / "child.yaml")
    assert spec.models["tiny"].training["data"] == {"train": ["below/train"], "val": "below/val"}
    assert check_files(spec) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"training": {**RECIPE, "epoch": 3}}, r"tiny.yaml:\d+:\d+: the recipe: unknown key 'epoch'.*'epochs'"),
        ({"training": {**RECIPE, "batch": 0}}, "the recipe: batch: input should be greater than or equal to 1"),
        ({"training": {"size": 32}}, "the recipe: the key 'data' is missing"),
        ({"training": {**RECIPE, "checkpoints": [9]}}, "checkpoints: 9 is no epoch; they go from 0"),
        ({"training": {**RECIPE, "augment": {"flop": 1}}}, "unknown key 'augment.flop'.*'flip'"),
        ({"training": RECIPE, "weights": "random"}, "weights means nothing for a model with a training recipe"),
        ({"training": RECIPE, "fallback": "resnet_mini"}, "fallback means nothing for a model with a training recipe"),
        (
            {"training": {**RECIPE, "arch": "vgg_mini"}},
            "the recipe trains a vgg_mini, and the model's arch is resnet_m",
        ),
        ({"training": RECIPE, "arch": "resnet18"}, "a resnet18 cannot be trained here"),
        ({"training": "gone.yaml"}, "the recipe gone.yaml cannot be read"),
        ({"training": 3}, "training should be text or a mapping"),
    ],
)
def test_a_wrong_recipe_is_named_with_its_place(tmp_path, change, message):
    models = {"tiny": {"arch": "resnet_mini", **change}}
    with pytest.raises(SpecError, match=message):
        read_spec(write_spec(tmp_path, {**SPEC, "models": models, "sections": SPEC["sections"][3:]}))


@pytest.mark.parametrize(
    ("train", "val", "message"),
    [
        ("rendered:objects?n=1", "rendered:objects?n=20", "hold a single picture; a net needs at least two classes"),
        ("rendered:objects?n=8", "rendered:objects?n=20", "lack pictures of the classes house, tree"),
        ("rendered:objects?n=20", "rendered:objects?n=9", "validation data .* lack pictures of the class tree"),
        ("rendered:things", "rendered:objects?n=20", "no rendered world 'things'"),
        ("one", "one", r"hold pictures of a single class \(a\)"),
        ("two", "one", "validation data one lack pictures of the class b"),
        ("one", "two", "validation pictures two show what is not trained: b"),
        ("gone", "two", "gone"),
    ],
)
def test_data_that_cannot_be_trained_on_are_one_sentence(tmp_path, train, val, message):
    write_photos(tmp_path, "one", 3, ("a",))
    write_photos(tmp_path, "two", 3)
    spec = spec_with(tmp_path, data={"train": train, "val": val})
    (problem,) = check_files(spec)
    assert problem.startswith(str(tmp_path / "tiny.yaml"))
    with pytest.raises(SpecError, match=message):
        raise SpecError(problem)
    with pytest.raises(SpecError, match=message):
        prepared(spec, tmp_path / "cache")


def test_a_loss_that_is_no_number_stops_with_epoch_and_learning_rate(tmp_path):
    sections = SPEC["sections"][3:]
    spec = spec_with(tmp_path, optimizer={"learning_rate": 1e30, "clip": 0, "warmup": 0}, sections=sections)
    with pytest.raises(SpecError, match=r"resnet_mini came apart in epoch \d, at learning rate \d\S*: the loss is no"):
        prepared(spec, tmp_path / "cache")


def test_a_mistake_in_the_spec_is_found_before_anything_is_trained(tmp_path):
    sections = [{"id": "s", "method": "evolution", "layers": ["layer99"]}]
    with pytest.raises(SpecError, match="layer99"):
        prepared(spec_with(tmp_path, sections=sections), tmp_path / "cache")
    assert not trainings(tmp_path / "cache")


def test_evolution_without_kept_epochs_does_not_apply_and_takes_pictures_and_a_set(tmp_path):
    plan, _ = prepared(spec_with(tmp_path, checkpoints=[]), tmp_path / "cache", train=False)
    assert "`checkpoints:` in its recipe" in plan.excluded["forms.tiny.last_conv"]
    sections = [
        {"id": "forms", "method": "evolution", "dataset": "world", "images": ["cat"], "layers": ["stage3"], "units": 2},
        {"id": "curves", "method": "training_curves", "dataset": "world"},
    ]
    more = {
        "images": {"cat": {"source": "skimage:chelsea"}},
        "datasets": {"world": {"source": "rendered:objects", "n": 20, "size": 32}},
    }
    model = {"tiny": {"arch": "resnet_mini", "training": RECIPE}}
    with pytest.raises(SpecError, match="training_curves takes no dataset; it looks at a run of training"):
        read_spec(write_spec(tmp_path, {**SPEC, **more, "models": model, "sections": sections}))
    path = write_spec(tmp_path, {**SPEC, **more, "models": model, "sections": sections[:1]})
    run("build", path, "--device", "cpu", folder=tmp_path, cache=tmp_path / "cache")
    (cell,) = json.loads((tmp_path / "site/tiny/report.json").read_text())["cells"]
    assert (cell["status"], cell["dataset"], cell["numbers"]["pictures"]) == ("ok", "world", 20)
    assert cell["numbers"]["names"] == ["cat"]
    assert "What pictures were taken for" in (tmp_path / "site/tiny/section/forms.html").read_text()


def test_salt_and_pepper_turn_a_share_of_the_pixels_black_or_white_and_nothing_else():
    pictures = torch.full((8, 36, 36, 3), 128, dtype=torch.uint8)
    rows = np.arange(8)
    plain = Augment(brightness=0, contrast=0, saturation=0)
    salted = replace_augment(plain, salt_pepper=0.5)
    before = augment(pictures, rows, 32, plain, np.random.default_rng(1))
    after = augment(pictures, rows, 32, salted, np.random.default_rng(1))
    changed = (before != after).any(1)  # N S S
    shares = changed.float().mean((1, 2))
    assert 0.02 < shares.mean() < 0.5
    assert shares.max() <= 0.55
    assert shares.std() > 0.02, "each picture has a share of its own"
    colours = after.permute(0, 2, 3, 1)[changed] * torch.tensor(STD) + torch.tensor(MEAN)
    assert set(colours.round(decimals=4).abs().unique().tolist()) == {0.0, 1.0}
    assert colours.std(1).max() < 1e-5, "all three colours together"


def replace_augment(rule, **changes):
    return rule.model_copy(update=changes)
