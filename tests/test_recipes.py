"""Recipes in a spec: read and merged, and refused in one clear paragraph with their place."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reportgen import unchanged
from reportgen.assembly import prepare
from reportgen.building import Options
from reportgen.errors import SpecError
from reportgen.spec import check_files, read_spec
from reportgen.store import Store
from reportgen.trained import courses, recipe_of
from reportgen.training import load_recipe
from reportgen.training.data import load_photos
from reportgen.training.sources import training_pictures
from tests.test_end_to_end import write_spec
from tests.test_trained import RECIPE, SPEC, Heard, spec_with

ONE = SPEC["sections"][-1:]


def write_photos(folder, part, count, labels=("a", "b")):
    rng = np.random.default_rng(len(part))
    for label in labels:
        (folder / part / label).mkdir(parents=True, exist_ok=True)
        for n in range(count):
            pixels = rng.integers(0, 255, (40, 36, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / part / label / f"{n}.png")


def spec_of(folder, model):
    return write_spec(folder, SPEC, models={"tiny": model}, sections=ONE)


@pytest.fixture
def by_file(tmp_path):
    """A spec whose recipe is a file, with its pictures beside it."""
    write_photos(tmp_path / "photos", "train", 4)
    write_photos(tmp_path / "photos", "val", 2)
    recipe = {**RECIPE, "arch": "resnet_mini", "data": {"train": "train", "val": ["val"]}, "batch": 4}
    (tmp_path / "photos/recipe.yaml").write_text(json.dumps(recipe, indent=1))
    return spec_of(tmp_path, {"training": "photos/recipe.yaml"})


def test_a_recipe_can_be_a_file_whose_data_lie_beside_it(by_file, tmp_path):
    spec = read_spec(by_file)
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


def test_new_pictures_are_noticed_and_trained_on(by_file, tmp_path):
    spec, store = read_spec(by_file), Store(tmp_path / "cache")

    def remembered():
        plan = prepare(spec, store, Options(device="cpu"), train=False)
        unchanged.remember(plan, by_file, tmp_path / "photos", store, "", "cpu")

    remembered()
    assert unchanged.nothing_to_do(by_file, tmp_path / "photos", store, "", "cpu") is not None
    (before,) = [course.keys for course in courses(spec, store, "cpu").values()]
    write_photos(tmp_path / "photos", "train", 5)
    assert unchanged.nothing_to_do(by_file, tmp_path / "photos", store, "", "cpu") is None
    (after,) = [course.keys for course in courses(spec, store, "cpu").values()]
    assert set(before).isdisjoint(after)
    heard = Heard()
    prepare(spec, store, Options(device="cpu"), heard)
    assert heard.said[0] == "tiny, run 1 of 2: training resnet_mini on 10 pictures"


def test_what_is_wrong_in_a_recipes_file_is_told_with_the_place_in_it(by_file, tmp_path):
    path = tmp_path / "photos/recipe.yaml"
    text = path.read_text()
    path.write_text(text.replace('"epochs"', '"epoch"'))
    line = text[: text.index('"epochs"')].count("\n") + 1
    words = rf"recipe.yaml:{line}:2: the recipe: unknown key 'epoch'. Did you mean 'epochs'"
    with pytest.raises(SpecError, match=f"photos/{words}"):
        read_spec(by_file)
    with pytest.raises(SpecError, match=words):
        load_recipe(path)
    path.write_text(text.replace('"clip"', "x").replace('"val"', '"validation"'))
    with pytest.raises(SpecError, match=r"'data.val' is missing.\n.*unknown key 'data.validation'"):
        load_recipe(path)
    path.write_text(text + "}")
    with pytest.raises(SpecError, match=r"recipe.yaml cannot be read: .*photos/recipe.yaml:\d+:\d+: this is not YAML"):
        read_spec(by_file)


def test_data_of_an_inherited_recipe_stay_beside_their_spec(tmp_path):
    write_photos(tmp_path / "below", "train", 2)
    write_photos(tmp_path / "below", "val", 2)
    recipe = {**RECIPE, "data": {"train": ["train"], "val": "val"}}
    models = {"tiny": {"arch": "resnet_mini", "training": recipe}}
    write_spec(tmp_path / "below", SPEC, "base.yaml", models=models, sections=ONE)
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
    with pytest.raises(SpecError, match=message):
        read_spec(spec_of(tmp_path, {"arch": "resnet_mini", **change}))


@pytest.mark.parametrize(
    ("train", "val", "message"),
    [
        ("rendered:objects?n=1", "rendered:objects?n=20", "hold a single picture; a net needs at least two classes"),
        ("single", "two", "hold a single picture; a net needs at least two classes"),
        ("rendered:objects?n=8", "rendered:objects?n=20", "lack pictures of the classes house, tree"),
        ("rendered:objects?n=20", "rendered:objects?n=9", "validation data .* lack pictures of the class tree"),
        ("rendered:things", "rendered:objects?n=20", "no rendered world 'things'"),
        ("one", "one", r"hold pictures of a single class \(a\)"),
        ("two", "one", "validation data one lack pictures of the class b"),
        ("two", "three", "validation pictures three show what is not trained: c"),
        ("gone", "two", "gone"),
    ],
)
def test_data_that_cannot_be_trained_on_are_one_sentence(tmp_path, train, val, message):
    write_photos(tmp_path, "single", 1, ("a",))
    write_photos(tmp_path, "one", 3, ("a",))
    write_photos(tmp_path, "two", 3)
    write_photos(tmp_path, "three", 3, ("a", "b", "c"))
    spec = spec_with(tmp_path, data={"train": train, "val": val})
    (problem,) = check_files(spec)
    with pytest.raises(SpecError, match=rf"tiny.yaml:\d+:\d+: .*{message}"):
        raise SpecError(problem)
    with pytest.raises(SpecError, match=rf"tiny.yaml:\d+:\d+: .*{message}"):
        prepare(spec, Store(tmp_path / "cache"), Options(device="cpu"))
    assert not (tmp_path / "cache/runs").exists()
