"""The recipes of a spec's models: read from files of their own, and brought together with what the model says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from reportgen.errors import SpecError
from reportgen.spec_source import Source, is_path
from reportgen.yamlpos import Key, load


def read_recipes(source: Source) -> None:
    """Put recipes' contents where their paths stand, relative to the spec; a model and its recipe share keys."""
    for name, model in source.named("models").items():
        way: Key = ("models", name, "training")
        if isinstance(model.get("training"), str):
            _read_file(source, way, model)
        if isinstance(model.get("training"), dict):
            _share(source, way, model, model["training"])


def _share(source: Source, way: Key, model: dict[str, Any], recipe: dict[str, Any]) -> None:
    if "arch" in model and recipe.get("arch", model["arch"]) != model["arch"]:
        source.add(way, f"the recipe trains a {recipe['arch']}, and the model's arch is {model['arch']}.")
    for key in ("arch", "seed"):
        if key in model:
            recipe.setdefault(key, model[key])
    if "arch" in recipe:
        model.setdefault("arch", recipe["arch"])
    if isinstance(model.get("kwargs"), dict) and isinstance(recipe.get("kwargs", {}), dict):
        recipe["kwargs"] = {**recipe.get("kwargs", {}), **model["kwargs"]}


def _read_file(source: Source, way: Key, model: dict[str, Any]) -> None:
    base, written = source.path.parent, Path(model["training"]).expanduser()
    path, name = base / written, os.path.normpath(Path(source.values[()].file).parent / written)
    try:
        document = load(path, name)
        if not isinstance(document.value, dict):
            raise SpecError(f"the recipe {written} should be made of `key: value` lines.")
    except SpecError as error:
        source.add(way, f"the recipe {written} cannot be read: {error}")
        model.setdefault("arch", "resnet_mini")  # never built: the problem ends the reading
        return
    source.files.append(path)
    source.folders[name] = path.parent
    source.problems += document.problems
    for table, places in ((source.keys, document.keys), (source.values, document.values)):
        table.update({(*way, *below): place for below, place in places.items()})
    recipe = dict(document.value)
    if isinstance(recipe.get("data"), dict):
        recipe["data"] = {part: _relative(listed, path.parent, base, way) for part, listed in recipe["data"].items()}
    if "start" in recipe:
        recipe["start"] = _relative(recipe["start"], path.parent, base, (*way, "start"))
    model["training"] = recipe


def _relative(listed: Any, folder: Path, base: Path, way: Key) -> Any:
    """Sources below a folder as they are called from the spec's own."""
    if isinstance(listed, list):
        return [_relative(one, folder, base, way) for one in listed]
    path = isinstance(listed, str) and is_path(listed, way)
    return os.path.relpath(folder / listed, base) if path else listed
