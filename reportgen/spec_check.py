"""Everything that can be wrong with a spec's raw values; each problem with its place and the nearest right name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from reportgen.datasets import source_problem
from reportgen.errors import nearest
from reportgen.nets.archs import torchvision_archs
from reportgen.nets.files import is_file
from reportgen.nets.views import NAMED
from reportgen.records import Method
from reportgen.spec_models import (
    ID,
    DatasetSpec,
    Featured,
    HandoutOutput,
    ImageSpec,
    ModelSpec,
    Outputs,
    PosterOutput,
    PreprocessSpec,
    SectionSpec,
    SingleOutput,
    SiteOutput,
    Spec,
)
from reportgen.spec_params import describe, section_problems
from reportgen.spec_source import Source
from reportgen.yamlpos import Key

ENTRIES: dict[str, type[BaseModel]] = {"models": ModelSpec, "images": ImageSpec, "datasets": DatasetSpec}
OTHERS: dict[Key, type[BaseModel]] = {
    (): Spec,
    ("featured",): Featured,
    ("outputs",): Outputs,
    ("outputs", "site"): SiteOutput,
    ("outputs", "poster"): PosterOutput,
    ("outputs", "handout"): HandoutOutput,
    ("outputs", "single"): SingleOutput,
}
OF_METHODS = ("params", "models", "images", "dataset", "layers", "units")  # keys that mean nothing without a method


def check(source: Source, methods: Mapping[str, Method], archs: Iterable[str]) -> None:
    """Add every problem of a spec to its source."""
    _check_shape(source, Spec, source.value, ())
    for name, model in source.named("models").items():
        preprocess, way = model.get("preprocess"), ("models", name, "preprocess")
        if isinstance(preprocess, dict):
            _check_shape(source, PreprocessSpec, preprocess, way)
        if isinstance(preprocess, str) and preprocess not in NAMED:
            source.add(way, f"there is no preprocessing called {preprocess!r}. {nearest(preprocess, NAMED)}")
    _check_ids(source)
    _check_archs(source, sorted(archs))
    _check_training(source)
    _check_before(source)
    _check_datasets(source)
    for number, section in source.sections():
        _check_section(source, number, section, methods)
    _check_outputs(source)


def _check_shape(source: Source, part: type[BaseModel], value: Any, above: Key) -> None:
    """Unknown and missing keys and wrong types."""
    try:
        part.model_validate_json(json.dumps(value))
    except ValidationError as error:
        found: dict[Key, list[Any]] = {}
        for item in error.errors(include_url=False):
            way = (*above, *item["loc"])
            if item["type"] == "extra_forbidden":
                owner = _part_at(way[:-1], part)
                known = nearest(str(way[-1]), [*owner.model_fields, *(["extends"] if owner is Spec else [])])
                source.add(way, f"unknown key {str(way[-1])!r}. {known}", key=True)
            elif item["type"] == "missing" and isinstance(way[-1], str):
                source.add(way[:-1], f"the key {str(way[-1])!r} is missing.", key=True)
            else:
                found.setdefault(_known(source, way), []).append(item)
        for way, items in found.items():
            source.add(way, _sentence(way, describe(items, source.get(*way))))


def _part_at(way: Key, default: type[BaseModel]) -> type[BaseModel]:
    if len(way) == 2 and way[0] in ENTRIES:
        return ENTRIES[str(way[0])]
    if len(way) == 2 and way[0] == "sections":
        return SectionSpec
    return OTHERS.get(way, default) if default is Spec else default


def _known(source: Source, way: Key) -> Key:
    """The part of pydantic's path that is in the file; the rest names members of a union."""
    while way and way not in source.values:
        way = way[:-1]
    return way


def _sentence(way: Key, text: str) -> str:
    if not text.startswith("should"):
        return text
    names = [str(step) for step in way if not isinstance(step, int)]
    subject = f"each of {names[-1]}" if names and isinstance(way[-1], int) else names[-1] if names else "the spec"
    return f"{subject} {text}"


def _check_ids(source: Source) -> None:
    for kind in ENTRIES:
        for name in source.value.get(kind, {}) if isinstance(source.value.get(kind), dict) else ():
            _check_id(source, (kind, name), name, key=True)
    for name, image in source.named("images").items():
        for point in image["points"] if isinstance(image.get("points"), dict) else ():
            if not re.fullmatch(ID, point) or len(point) > 64:
                text = f"the point {point!r} should be a word of a-z, 0-9, _ and - only, such as left_eye."
                source.add(("images", name, "points", point), text, key=True)
    if source.value.get("models") == {}:
        source.add(("models",), "the spec should name at least one model.")
    if source.value.get("sections") == []:
        source.add(("sections",), "the spec should have at least one section.")
    seen: dict[str, int] = {}
    for number, section in source.sections():
        name = section.get("id")
        if not isinstance(name, str):
            continue
        way: Key = ("sections", number, "id")
        _check_id(source, way, name, key=False)
        if name in seen:
            first = source.find(("sections", seen[name], "id"))
            source.add(way, f"the section id {name!r} stands here twice; first on line {first.line}.")
        seen.setdefault(name, number)


def _check_id(source: Source, way: Key, name: str, key: bool) -> None:
    if not re.fullmatch(ID, name) or len(name) > 64:
        source.add(way, f"the id {name!r} should be made of a-z, 0-9, _ and - only, at most 64 of them.", key=key)


def _check_archs(source: Source, archs: list[str]) -> None:
    for name, model in source.named("models").items():
        for key in ("arch", "fallback"):
            arch = model.get(key)
            if not torchvision_archs():  # not installed: its names are unknown, and the store may know the net
                continue
            if isinstance(arch, str) and ":" not in arch and arch not in archs and not is_file(arch):
                source.add(("models", name, key), f"unknown arch {arch!r}. {nearest(arch, archs)}")


def _check_training(source: Source) -> None:
    """Recipes in place of weights: their keys, and what a trained model has no use for."""
    trained = {name: model for name, model in source.named("models").items() if isinstance(model.get("training"), dict)}
    if not trained:
        return
    from reportgen.nets.archs import OURS
    from reportgen.training.recipe import Recipe, problems

    for name, model in trained.items():
        recipe, way = model["training"], ("models", name, "training")
        for key in ("weights", "fallback"):
            if key in model:
                source.add(("models", name, key), f"{key} means nothing for a model with a training recipe.", key=True)
        arch = recipe.get("arch")
        if isinstance(arch, str) and arch not in OURS:
            source.add(way, f"a {arch} cannot be trained here. {nearest(arch, OURS)}", key=True)
        for below, text, about_key in problems(Recipe, recipe):
            source.add((*way, *below), text, key=about_key)


def _check_before(source: Source) -> None:
    """That every `before:` names another model, and that no net is its own forebear."""
    models = source.named("models")
    for name, model in models.items():
        before, way = model.get("before"), ("models", name, "before")
        if not isinstance(before, str):
            continue  # said by the check of shapes, where it is there at all
        if before not in models:
            others = [other for other in models if other != name]
            source.add(way, f"unknown model {before!r}. {nearest(before, others)}")
            continue
        line = [name]
        while isinstance(before, str) and before in models and before not in line:
            line.append(before)
            before = models[before].get("before")
        if before == name:
            told = "itself" if len(line) == 1 else f"itself, by way of {', '.join(line[1:])}"
            source.add(way, f"{name} cannot have come from {told}; name the model that was there before.")


def _check_datasets(source: Source) -> None:
    """Sources that mean no path, and what only some sources take; what lies in paths is left to `check_files`."""
    for name, dataset in source.named("datasets").items():
        text, way = dataset.get("source"), ("datasets", name)
        if not isinstance(text, str):
            continue  # said by the check of shapes
        if problem := source_problem(text):
            source.add((*way, "source"), problem)
            continue
        for key in ("size", "labels"):
            if key in dataset and (problem := source_problem(text, **{key: dataset[key]})):
                source.add((*way, key), problem, key=True)
        if text in ("images:", "patches:") and source.named("images") == {}:
            source.add((*way, "source"), f"{text} means the spec's own images; name at least one under `images:`.")


def _check_section(source: Source, number: int, section: dict[str, Any], methods: Mapping[str, Method]) -> None:
    way: Key = ("sections", number)
    _check_names(source, (*way, "models"), section.get("models"), source.value.get("models"), "model")
    images = {**source.named("images"), **source.groups}
    _check_names(source, (*way, "images"), section.get("images"), images, "image")
    dataset = section.get("dataset")
    _check_names(source, way, {"dataset": dataset}, source.value.get("datasets"), "dataset")
    name = section.get("method")
    if name is None:
        for key in OF_METHODS:
            if key in section:
                source.add((*way, key), f"{key} means nothing in a section without a method.", key=True)
        return
    if not isinstance(name, str):
        return  # said by the check of shapes
    method = methods.get(name)
    if method is None:
        source.add((*way, "method"), f"unknown method {name!r}. {nearest(name, methods)}")
        return
    _check_scope(source, way, section, method)
    for below, text in section_problems(method, section):
        source.add((*way, *below), text, key=text.startswith(f"{name} has no param"))


def _check_names(source: Source, way: Key, names: Any, known: Any, what: str) -> None:
    if not isinstance(known, dict):
        known = {}
    pairs = names.items() if isinstance(names, dict) else enumerate(names) if isinstance(names, list) else ()
    for step, name in pairs:
        if isinstance(name, str) and name not in known:
            source.add((*way, step), f"unknown {what} {name!r}. {nearest(name, known)}")


def _check_scope(source: Source, way: Key, section: dict[str, Any], method: Method) -> None:
    """That a section gives a method what it looks at: photos, a data set, or nothing but the net."""
    looks = {"net": "the net alone", "dataset": "a data set", "training": "a run of training"}
    runs_nets = method.scope == "training" and "checkpoints" in method.needs  # on pictures, where there are any
    if method.scope in looks and "images" in section and not runs_nets:
        source.add((*way, "images"), f"{method.name} takes no images; it looks at {looks[method.scope]}.", key=True)
    if method.scope != "dataset" and "dataset" in section and not runs_nets:
        looks_at = looks.get(method.scope, "photos")
        source.add((*way, "dataset"), f"{method.name} takes no dataset; it looks at {looks_at}.", key=True)
    if method.scope == "dataset" and section.get("dataset") is None:
        known = source.named("datasets")
        text = f"Known: {', '.join(known)}." if known else "Name one under `datasets:` first."
        source.add((*way, "method"), f"{method.name} looks at a data set; give the section `dataset:`. {text}")
    if method.scope in ("image", "images") and not section.get("images", source.named("images")):
        source.add((*way, "method"), f"{method.name} looks at photos; name at least one under `images:`.")
    if "before" in method.needs and not any(model.get("before") for model in source.named("models").values()):
        text = f"{method.name} compares a net with what it was; give a model `before:` with the name of another."
        source.add((*way, "method"), text)
    if section.get("models") == []:
        source.add((*way, "models"), "a section with a method should have at least one model.")


def _check_outputs(source: Source) -> None:
    known = {section["id"]: None for _, section in source.sections() if isinstance(section.get("id"), str)}
    for output in ("poster", "handout", "single"):
        asked = source.get("outputs", output)
        names = asked.get("sections") if isinstance(asked, dict) else None
        if isinstance(names, list):  # a cell's id begins with its section
            sections = [name.partition(".")[0] if isinstance(name, str) else name for name in names]
            _check_names(source, ("outputs", output, "sections"), sections, known, "section")
    featured = source.value.get("featured")
    if isinstance(featured, dict):
        _check_names(source, ("featured",), {"section": featured.get("section")}, known, "section")
