"""`before:` in a spec: what is said where it is wrong, what it does to keys, and that all is computed once."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import reportgen
from reportgen import cells, models
from reportgen.errors import ModelError, SpecError
from reportgen.methods import method, methods
from reportgen.nets import archs
from reportgen.plan import make_plan
from reportgen.run import fill
from reportgen.spec import check_files, read_spec
from reportgen.store import Store
from tests import tiny
from tests.test_end_to_end import REPOSITORY, counts, run, write_spec

UNITS = {"id": "units", "method": "changed_units", "dataset": "world", "params": {"layers": "stages", "shown": 1}}
SPEC = {
    "title": "Before and after",
    "date": "2026-11-22",
    "models": {
        "old": {"arch": "resnet_mini", "weights": "old.safetensors"},
        "new": {"arch": "resnet_mini", "weights": "new.safetensors", "before": "old"},
    },
    "images": {"dot": {"source": "dot.png"}},
    "datasets": {"world": {"source": "rendered:objects", "n": 6, "size": 48}},
    "sections": [
        {"id": "right", "method": "accuracy", "dataset": "world", "params": {"corrupted": 0, "mistakes": 0}},
        UNITS,
        {"id": "answers", "method": "changed_classes", "dataset": "world", "params": {"shown": 1}},
        {"id": "maps", "method": "changed_maps", "params": {"map": "saliency"}},
    ],
    "outputs": {"site": {}},
}


@pytest.fixture
def folder(tmp_path):
    """A spec of two nets that differ in one channel."""
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 60, 3), dtype=np.uint8)).save(tmp_path / "dot.png")
    write_weights(tmp_path / "old.safetensors")
    write_weights(tmp_path / "new.safetensors", silent=3)
    return tmp_path


def write_weights(path, silent=None, seed=0):
    """A resnet_mini of few channels with random weights, one of its channels silenced."""
    kwargs = {"widths": [8, 8, 8, 8], "blocks": [1, 1, 1, 1]}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = archs.build("resnet_mini", 10, kwargs)
    tiny.calibrated(module, seed, 48)
    if silent is not None:
        for tensor in module.layer2[0].bn1.parameters():
            tensor[silent] = 0
    classes = reportgen.load_dataset("rendered:objects", n=1).classes
    told = {"arch": "resnet_mini", "kwargs": json.dumps(kwargs), "num_classes": "10", "input_size": "48"}
    save_file(module.state_dict(), path, {**told, "classes": json.dumps(classes)})


def planned(folder):
    spec, store = read_spec(write_spec(folder, SPEC)), Store(folder / "cache")
    chosen = models.choose(spec, folder, {}, offline=True, allow_code=False, say=print)
    cards = {name: models.card(choice, store) for name, choice in chosen.items()}
    return make_plan(spec, methods(), chosen, cards), store


def problems(folder, **changes):
    with pytest.raises(SpecError) as told:
        read_spec(write_spec(folder, SPEC, **changes))
    return str(told.value)


def test_a_build_computes_once_and_another_net_before_computes_the_comparisons_anew(folder):
    path, how = write_spec(folder, SPEC), {"folder": folder, "cache": folder / "cache"}
    run("build", path, "--threads", "1", **how)
    site = folder / "site/tiny"
    assert counts(site) == {"computed": 6, "cached": 0, "failed": 0}, "accuracy twice, prediction once, three compare"
    found = {cell["id"]: cell for cell in json.loads((site / "report.json").read_text())["cells"]}
    assert set(found) == {"right.old", "right.new", "units.new", "answers.new", "maps.new.dot"}
    assert found["units.new"]["numbers"]["before"] == "old.safetensors"
    assert "nothing to do" in run("build", path, **how).stdout
    with_told = {"old": {**SPEC["models"]["old"], "weights": "older.safetensors"}, "new": SPEC["models"]["new"]}
    write_weights(folder / "older.safetensors", silent=5)
    run("build", write_spec(folder, SPEC, models=with_told), "--threads", "1", **how)
    assert counts(site) == {"computed": 4, "cached": 2, "failed": 0}, "all that compares, and the other net's accuracy"


def test_the_net_before_is_part_of_the_key_and_so_is_the_method_whose_maps_are_compared(folder):
    plan, _ = planned(folder)
    cards, methods = plan.cards, plan.methods
    by_id = {cell.id: cell for cell in plan.cells}
    assert by_id["units.new"].document["before"]["weights"] == cards["old"].weights
    assert by_id["maps.new.dot"].document["methods"] == {"saliency": methods["saliency"].version}
    assert "before" not in by_id["right.new"].document
    assert "before" not in by_id["maps.new.dot"].uses["prediction"].document


def test_a_net_without_one_says_that_there_is_nothing_to_compare(folder):
    both = {**UNITS, "models": ["old", "new"]}
    run("build", write_spec(folder, SPEC, sections=[both]), folder=folder, cache=folder / "cache")
    found = json.loads((folder / "site/tiny/report.json").read_text())["cells"]
    assert [(cell["id"], cell["status"]) for cell in found] == [("units.old", "not_applicable"), ("units.new", "ok")]
    assert found[0]["reason"].startswith("ResNet mini is not said to have come from another net")


def test_two_architectures_are_told_apart_before_anything_is_computed(folder):
    other = {"new": {"arch": "alexnet_mini", "before": "old"}, "old": SPEC["models"]["old"]}
    done = run("plan", write_spec(folder, SPEC, models=other, sections=[UNITS]), folder=folder, cache=folder / "cache")
    assert "alexnet_mini (embedded) is another net than resnet_mini (old.safetensors)" in " ".join(done.stdout.split())


def test_a_net_before_that_cannot_be_loaded_fails_only_what_compares(folder):
    plan, store = planned(folder)
    loads = []

    def load(name):
        loads.append(name)
        if len(loads) > 2:
            raise ModelError("its file is gone.")
        return models.load(plan.models[name], "cpu", "fp32", 1)

    found = {one.cell.id: one for one in fill(plan, store, load, lambda _: None)}
    assert loads == ["old", "new", "old"]
    assert {name: found[name].status for name in ("right.old", "right.new")} == dict.fromkeys(
        ("right.old", "right.new"), "ok"
    )
    failed = [found[name] for name in ("units.new", "answers.new", "maps.new.dot")]
    assert {(one.status, one.reason) for one in failed} == {("failed", "its file is gone.")}
    filled = fill(plan, store, lambda name: models.load(plan.models[name], "cpu", "fp32", 1), lambda _: None)
    assert {one.status for one in filled} == {"ok"}


@pytest.mark.parametrize(
    ("before", "words"),
    [
        ("odl", "unknown model 'odl'. Did you mean 'old'?"),
        ("new", "new cannot have come from itself; name the model that was there before."),
        (["old"], "before should be text"),
    ],
)
def test_a_wrong_before_is_named_with_its_place(folder, before, words):
    changed = copy.deepcopy(SPEC["models"])
    changed["new"]["before"] = before
    said = problems(folder, models=changed)
    assert words in said
    assert "tiny.yaml:" in said


def test_a_circle_is_refused(folder):
    changed = copy.deepcopy(SPEC["models"])
    changed["old"]["before"] = "new"
    assert "old cannot have come from itself, by way of new; name" in problems(folder, models=changed)


def test_a_spec_in_which_nothing_came_from_anything_has_nothing_to_compare(folder):
    alone = {"old": SPEC["models"]["old"]}
    said = problems(folder, models=alone, sections=[UNITS])
    assert "changed_units compares a net with what it was; give a model `before:`" in said


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"map": "prediction"}, "map: 'prediction' gives no map of a picture. Known: cam, grad_cam, integrated"),
        ({"map": "saliency", "settings": {"layer": "conv1"}}, "settings: The params of saliency do not fit"),
        ({"settings": ["stage4"]}, "settings: ['stage4'] is no mapping; right would be params of grad_cam"),
    ],
)
def test_wrong_params_of_a_map_are_named_with_their_place(folder, params, words):
    said = problems(folder, sections=[{"id": "maps", "method": "changed_maps", "params": params}])
    assert words in said
    assert "tiny.yaml:" in said


def test_sections_mean_the_models_that_came_from_another(folder):
    spec = read_spec(write_spec(folder, SPEC))
    assert [section.models for section in spec.sections] == [("old", "new"), ("new",), ("new",), ("new",)]


def test_no_other_key_hangs_on_what_a_net_was():
    card = tiny.tiny_net("plain").card
    saliency = method("saliency")
    how = {"image": None, "uses": {}, "precision": "fp32", "seed": 0}
    document = cells.key_document(saliency, saliency.params(), card, **how)
    assert set(document) == {"schema", "kind", "numerics_epoch", "method", "params", "net", *how}


def test_the_example_can_be_planned_and_every_comparison_applies(tmp_path):
    spec = read_spec(REPOSITORY / "specs/before_after.yaml")
    assert check_files(spec) == []
    chosen = models.choose(spec, tmp_path, {}, offline=True, allow_code=False, say=print)
    cards = {name: models.card(choice, Store(tmp_path)) for name, choice in chosen.items()}
    plan = make_plan(spec, methods(), chosen, cards)
    assert not plan.excluded
    assert {cell.model for cell in plan.cells if cell.method == "changed_units"} == {"trained", "pruned", "four_bits"}
