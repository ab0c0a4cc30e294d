"""YAML -> Spec: the user's file, read once into frozen values; all problems at once, each with its place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reportgen.dataset_labels import LabelsError
from reportgen.datasets import from_spec
from reportgen.errors import ImageError
from reportgen.images import find_image, image_size, load_image
from reportgen.overrides import own_templates
from reportgen.records import Method
from reportgen.spec_check import check
from reportgen.spec_models import (
    DatasetSpec,
    Featured,
    HandoutOutput,
    ImageSpec,
    ModelSpec,
    Outputs,
    PosterOutput,
    SectionSpec,
    SingleOutput,
    SiteOutput,
    Spec,
)
from reportgen.spec_params import make_params, params_for
from reportgen.spec_recipes import read_recipes
from reportgen.spec_source import Source, is_path, read_source, rebase_params

__all__ = [
    "DatasetSpec",
    "Featured",
    "HandoutOutput",
    "ImageSpec",
    "ModelSpec",
    "Outputs",
    "PosterOutput",
    "SectionSpec",
    "SingleOutput",
    "SiteOutput",
    "Spec",
    "check_files",
    "make_params",
    "params_for",
    "read_spec",
]


def read_spec(path: Path) -> Spec:
    """The spec in a YAML file, what it extends merged in, every name checked and defaults filled in.

    Raises SpecError with one line for each problem: file:line:column, what is wrong, the nearest right names.
    Layers and classes are checked by the plan, which knows the nets; files by `check_files`.
    """
    from reportgen.methods import methods
    from reportgen.nets.archs import known_archs

    source = read_source(path)
    read_recipes(source)
    registry = methods()
    for number, section in source.sections():
        if (name := str(section.get("method"))) in registry:
            rebase_params(source, number, registry[name].params)
    check(source, registry, known_archs())
    source.fail()
    for _, section in source.sections():
        method = registry.get(section.get("method", ""))
        if method is not None:
            _fill(source, section, method)
    poster = source.get("outputs", "poster")
    if poster is not None:
        poster.setdefault("sections", [section["id"] for _, section in source.sections()])
    spec = Spec.model_validate_json(json.dumps(source.value))
    object.__setattr__(spec, "_path", source.path)
    object.__setattr__(spec, "_places", source.values)
    object.__setattr__(spec, "_files", tuple(source.files))
    return spec


def _fill(source: Source, section: dict[str, Any], method: Method) -> None:
    """Spell out what a section leaves to defaults: all models that can be meant, all images, the method's title."""
    models = source.value["models"]
    section.setdefault("models", [m for m in models if "before" not in method.needs or models[m].get("before")])
    section.setdefault("title", method.title)
    if method.scope in ("image", "images") or "checkpoints" in method.needs:
        asked = section.get("images", list(source.value.get("images", {})))
        members = [member for name in asked for member in source.groups.get(name, [name])]
        section["images"] = list(dict.fromkeys(members))


def _missing_net(spec: Spec, name: str) -> Iterator[str]:
    """What a model names as its file or its weights, and is not there."""
    for key, what in (("arch", "model"), ("weights", "weights")):
        file = getattr(spec.models[name], key)
        if file and is_path(file, (key,)) and not (spec.path.parent / file).is_file():
            yield f"{spec.place('models', name, key)}: there is no {what} file {file}."


def check_files(spec: Spec, decode: bool = False) -> list[str]:
    """What is wrong with the files a spec names, one line each; with `decode` every photo is opened as well."""
    base = spec.path.parent
    problems: list[str] = []
    for name, model in spec.models.items():
        problems += _missing_net(spec, name)
        if isinstance(model.classes, Path) and not model.classes.is_file():
            where = spec.place("models", name, "classes")
            problems.append(f"{where}: there is no file of class names {model.classes.name}.")
        if model.training is not None:
            problems += _recipe_problems(spec, name)
    for name, image in spec.images.items():
        try:
            if decode:
                load_image(image.source, base=base, crop=image.crop)
            else:
                find_image(image.source, base)
            problems += _outside(spec, name) if image.points else []
        except ImageError as error:
            problems.append(f"{spec.place('images', name, 'source')}: {_lowered(str(error))}")
    for name, dataset in spec.datasets.items():
        try:
            from_spec(dataset, base=base, images=spec.images)
        except LabelsError as error:
            problems.append(f"{spec.place('datasets', name, 'labels')}: {_lowered(str(error))}")
        except ImageError as error:
            problems.append(f"{spec.place('datasets', name, 'source')}: {_lowered(str(error))}")
    problems += [
        f"{spec.place('outputs', output, kind, number)}: there is no file {name}."
        for output, asked in (("poster", spec.outputs.poster), ("handout", spec.outputs.handout))
        for kind in ("logos", "fonts")
        for number, name in enumerate(getattr(asked, kind, ()))
        if not (base / name).is_file()
    ]
    problems += _template_problems(spec)
    if spec.references is not None and not spec.references.is_file():
        problems.append(f"{spec.place('references')}: there is no file {spec.references.name}.")
    return problems


def _template_problems(spec: Spec) -> list[str]:
    """What is wrong with the user's templates; Jinja is imported only where there are any."""
    if (own := own_templates(spec.path)) is None:
        return []
    from reportgen.templating import problems

    return problems(own)


def _recipe_problems(spec: Spec, name: str) -> list[str]:
    """What is wrong with the pictures that a model is to be trained on."""
    from reportgen.trained import recipe_of
    from reportgen.training.sources import training_pictures

    try:
        training_pictures(recipe_of(spec.models[name], spec.path.parent))
    except ImageError as error:
        return [f"{spec.place('models', name, 'training', 'data')}: {_lowered(str(error))}"]
    return []


def _outside(spec: Spec, name: str) -> list[str]:
    """The points that lie outside their picture or its crop, one line each."""
    image = spec.images[name]
    try:
        width, height = image_size(image.source, spec.path.parent)
    except ImageError:  # a damaged photo fails the cells that show it, not the whole build
        return []
    x0, y0, x1, y1 = image.crop or (0, 0, width, height)
    frame = f"the crop {list(image.crop)}" if image.crop else "the picture"
    return [
        f"{spec.place('images', name, 'points', point)}: the point {point} [{x:g}, {y:g}] lies outside {frame} of "
        f"{name}, which has {width} x {height} pixels; right would be x from {x0} to {x1 - 1} and y from {y0} to "
        f"{y1 - 1}, counted from the upper left corner."
        for point, (x, y) in image.points.items()
        if not (x0 <= x <= x1 - 1 and y0 <= y <= y1 - 1)
    ]


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]
