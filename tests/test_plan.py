"""The plan: which cells a spec means, what is part of their keys, and what is filled beside them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from PIL import Image

from reportgen import housekeeping, run, unchanged
from reportgen.cells import random_numbers
from reportgen.errors import NotApplicable
from reportgen.plan import make_plan
from reportgen.records import Artifact, Method
from reportgen.spec import read_spec
from reportgen.store import Store
from reportgen.why import why
from tests import tiny

CALLS = []
LAST = tiny.tiny_net("plain").card.resolve("last_conv").name
BESIDE = ".all.plain." + LAST.replace(".", "-")


@dataclass(frozen=True)
class Nothing:
    pass


@dataclass(frozen=True)
class Deep:
    layer: str = field(default="last_conv", metadata={"doc": "a layer"})


def note(net, inputs, params, rngs):
    """What a method was given, and one artifact each, or one for a set."""
    CALLS.append((getattr(params, "layer", None), [(one.name, dict(one.points), one.labels) for one in inputs]))
    if any(one.labels == ("odd",) for one in inputs):
        raise NotApplicable("an odd picture")
    return [Artifact({"x": np.zeros(1)}, {"draw": rng.random()}) for rng in rngs]


def method(name, scope, params, **more):
    return Method(name, name, "", "k", scope, 1, params, lambda artifact: [], {"x": "1"}, note, **more)


METHODS = {
    "one": method("one", "image", Nothing),
    "faces": method("faces", "images", Deep, needs=frozenset({"points"})),
    "all": method("all", "images", Deep),
    "ascent": method("ascent", "net", Deep, beside=("all",)),
    "gaze": method("gaze", "image", Deep, beside=("one", "all")),
    "alone": method("alone", "net", Nothing, beside=("all",)),
}
SPEC = {
    "title": "T",
    "models": {"plain": {"arch": "alexnet_mini"}, "residual": {"arch": "resnet_mini"}},
    "images": {
        "a_1": {"source": "a.png", "label": "cat", "points": {"eye": [4, 5]}},
        "b": {"source": "b.png", "title": "The dog", "crop": [2, 1, 8, 8], "points": {"eye": [4.5, 5]}},
        "c": {"source": "c.png"},
    },
}


@pytest.fixture(autouse=True)
def _fresh(monkeypatch):
    CALLS.clear()
    monkeypatch.setattr("reportgen.methods.methods", lambda: METHODS)


@pytest.fixture
def planned(tmp_path):
    for number, name in enumerate("abc"):
        Image.new("RGB", (8, 8), (number * 9, 0, 0)).save(tmp_path / f"{name}.png")
    cards = {kind: tiny.tiny_net(kind).card for kind in SPEC["models"]}

    def plan(*sections, **changes):
        path = tmp_path / "spec.yaml"
        path.write_text(yaml.safe_dump({**SPEC, "sections": list(sections), **changes}, sort_keys=False))
        return make_plan(read_spec(path), METHODS, dict.fromkeys(cards), cards)

    return plan


def fill(plan, tmp_path, net=None):
    store = Store(tmp_path / "store")
    filled = run.fill(plan, store, lambda model: net or SimpleNamespace(device="cpu"), lambda name: None)
    return {outcome.cell.id: outcome for outcome in filled}, store


def ids(plan):
    return [cell.id for cell in plan.cells]


def changed_images(**changes):
    return {**SPEC["images"], **{name: {**SPEC["images"][name], **change} for name, change in changes.items()}}


def test_a_method_of_image_sets_has_one_cell_for_each_net_and_layer(planned):
    plan = planned(
        {"id": "s", "method": "faces"},
        {"id": "t", "method": "all", "layers": ["last_conv", "logits"], "images": ["c", "a_1"]},
    )
    assert ids(plan) == ["s.plain", "s.residual"] + [
        f"t.{net}.{layer}" for net in SPEC["models"] for layer in ("last_conv", "logits")
    ]
    first, last = plan.cells[0], plan.cells[-1]
    assert (first.image, first.images, first.layer) == (None, ("a_1", "b", "c"), "last_conv")
    assert (last.images, last.layer, last.params) == (("c", "a_1"), "logits", Deep("fc"))
    assert first.document["image"] is None
    assert [set(one) for one in first.document["images"]] == [{"digest", "crop", "labels", "name", "points"}] * 3
    assert [set(one) for one in last.document["images"]] == [{"digest", "crop", "labels", "name"}] * 2
    assert len({cell.key for cell in plan.cells}) == len(plan.cells)


def test_cells_of_one_picture_keep_the_keys_they_had(planned):
    cell = planned({"id": "s", "method": "one"}).cells[0]
    assert set(cell.document["image"]) == {"digest", "crop", "labels"}
    assert "images" not in cell.document


def test_a_moved_point_recomputes_only_what_looks_at_points(planned, tmp_path):
    sections = [{"id": name, "method": name} for name in ("one", "faces", "all")]
    first = planned(*sections)
    _, store = fill(first, tmp_path)
    moved = planned(*sections, images=changed_images(a_1={"points": {"eye": [4, 6]}}))
    same = {cell.id for cell, other in zip(first.cells, moved.cells, strict=True) if cell.key == other.key}
    assert set(ids(first)) - same == {"faces.plain", "faces.residual"}
    assert why(moved.cells[-4], store).endswith(": images")


def test_the_order_of_points_and_the_layers_name_are_no_part_of_the_random_numbers(planned):
    points = {"eye": [4, 5], "nose": [1, 1]}
    one, other = (
        planned({"id": "s", "method": "faces"}, images=changed_images(a_1={"points": dict(given)}))
        for given in (points.items(), reversed(points.items()))
    )
    assert [cell.key for cell in one.cells] == [cell.key for cell in other.cells]
    draws = [random_numbers(cell.document).random() for cell in one.cells]
    assert one.cells[0].params != one.cells[1].params
    assert draws[0] == draws[1]


def test_the_run_hands_over_all_pictures_of_a_set_with_names_and_points_in_the_crop(planned, tmp_path):
    filled, _ = fill(planned({"id": "s", "method": "faces", "models": ["plain"]}), tmp_path)
    assert CALLS == [(LAST, [("a 1", {"eye": (4, 5)}, ("cat",)), ("The dog", {"eye": (2.5, 4)}, ()), ("c", {}, ())])]
    assert filled["s.plain"].status == "ok"
    CALLS.clear()
    fill(planned({"id": "s", "method": "one", "models": ["plain"]}), tmp_path)
    assert CALLS[0][1][0] == ("", {}, ("cat",)), "what is no part of the key is not handed over"


def test_a_picture_that_cannot_be_read_fails_its_sets_and_the_rest_goes_on(planned, tmp_path):
    plan = planned(
        {"id": "s", "method": "all", "models": ["plain"]},
        {"id": "t", "method": "all", "models": ["plain"], "images": ["a_1", "c"]},
    )
    (tmp_path / "b.png").write_bytes(b"no picture")
    filled, _ = fill(plan, tmp_path)
    assert (filled["s.plain"].status, filled["t.plain"].status) == ("failed", "ok")
    assert "b.png is not a picture" in filled["s.plain"].reason


def test_what_is_shown_beside_a_cell_is_filled_and_no_part_of_its_key(planned, tmp_path):
    section = {"id": "s", "method": "ascent", "layers": ["last_conv", "logits"], "models": ["residual"]}
    plan = planned(section)
    assert ids(plan) == [
        ".all.residual.layer2",
        "s.residual.last_conv",
        ".all.residual.fc",
        "s.residual.logits",
    ]
    main = plan.cells[1]
    other = main.beside["all"]
    assert other == plan.cells[0]
    assert (other.section, other.images, other.layer) == ("", ("a_1", "b", "c"), "layer2")
    assert other.params == main.params == Deep("layer2")
    assert other.key not in json.dumps(main.document)
    alone = make_plan(plan.spec, {**METHODS, "ascent": replace(METHODS["ascent"], beside=())}, plan.models, plan.cards)
    assert [cell.key for cell in alone.cells] == [main.key, plan.cells[3].key]
    filled, _ = fill(plan, tmp_path)
    assert {outcome.status for outcome in filled.values()} == {"ok"}
    assert filled[other.id].cell.key == other.key


def test_beside_a_cell_of_a_picture_stands_what_looks_at_the_same_picture(planned):
    plan = planned({"id": "s", "method": "gaze", "models": ["plain"], "images": ["b"]})
    beside = plan.cells[-1].beside
    assert {name: (cell.image, cell.images) for name, cell in beside.items()} == {
        "one": ("b", ()),
        "all": (None, ("a_1", "b", "c")),
    }
    assert beside["all"].id == BESIDE


def test_a_method_without_a_layer_shows_others_at_their_default(planned):
    plan = planned({"id": "s", "method": "alone", "models": ["plain"]})
    assert plan.cells[-1].beside["all"].params == Deep(LAST)


def test_without_images_there_is_nothing_beside(planned):
    plan = planned({"id": "s", "method": "ascent"}, images={})
    assert ids(plan) == ["s.plain", "s.residual"]
    assert not plan.cells[0].beside


def test_where_a_net_lacks_the_layer_there_is_nothing_beside_either(planned):
    plan = planned({"id": "s", "method": "ascent", "layers": ["stage3"]})
    cards = {**plan.cards, "plain": replace(plan.cards["plain"], stages={})}
    plan = make_plan(plan.spec, METHODS, plan.models, cards)
    assert list(plan.excluded) == ["s.plain.stage3"]
    assert ids(plan) == ["s.plain.stage3", ".all.residual.layer2", "s.residual.stage3"]


def test_where_what_is_beside_does_not_apply_the_main_cell_is_unaffected(planned, tmp_path):
    plan = planned({"id": "s", "method": "ascent", "models": ["plain"]}, images=changed_images(c={"label": "odd"}))
    filled, _ = fill(plan, tmp_path)
    assert filled["s.plain"].status == "ok"
    assert filled[BESIDE].status == "not_applicable"


def test_the_cleaning_of_the_store_keeps_what_is_beside(planned, tmp_path):
    plan = planned({"id": "s", "method": "ascent"})
    _, store = fill(plan, tmp_path)
    folder = tmp_path / "report"
    folder.mkdir()
    plan = replace(plan, models={})  # no files of weights to note
    unchanged.remember(plan, plan.spec.path, folder, store, "")
    assert housekeeping.collect(store, dry_run=False, grace_hours=-1) == (0, 0)
    assert all(store.get(cell.key) is not None for cell in plan.cells)
    known = unchanged.nothing_to_do(plan.spec.path, folder, store, "")
    assert known == 2, "cells on pages"
    (tmp_path / "beside the photos").mkdir()
    assert unchanged.nothing_to_do(plan.spec.path, folder, store, "") == 2
    Image.new("RGB", (4, 4)).save(tmp_path / "new.png")  # a pattern may find it
    assert unchanged.nothing_to_do(plan.spec.path, folder, store, "") is None
    (tmp_path / "new.png").unlink()
    assert unchanged.nothing_to_do(plan.spec.path, folder, store, "") == 2
    beside = store.get(plan.cells[1].beside["all"].key)
    for path in store.paths(beside):
        path.unlink()
    assert unchanged.nothing_to_do(plan.spec.path, folder, store, "") is None
