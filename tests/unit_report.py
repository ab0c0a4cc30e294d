"""A report whose cells have units: pictures made for them, patches, projections, maps, samples, and a map of points."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from reportgen.records import Artifact, Cell, Filled, Layer, Method, Panel
from reportgen.report import Report
from tests.site_report import EVIL, card, make_report

SIDE = 12  # of the pictures


@dataclass(frozen=True)
class UnitParams:
    layer: str = field(default="stage1", metadata={"doc": "a layer"})
    units: Any = field(default=9, metadata={"doc": "which units"})


@dataclass(frozen=True)
class NoLayer:
    pass


def _sheet(artifact: Artifact) -> list[Panel]:
    common = {"caption": "What one sees.", "alt": f"A sheet {EVIL}", "title": "Pictures"}
    return [Panel("sheet", "bars", **common, values=np.array([1.0, 2.0]), row_labels=("a", EVIL), featured=True)]


def _scatter(artifact: Artifact) -> list[Panel]:
    words = {"caption": "Points.", "alt": f"A map {EVIL}", "title": "Map"}
    return [Panel("map", "scatter", **words, values=artifact.arrays["embedding"], scale="none", featured=True,
                  categories=("cat", EVIL), groups=artifact.arrays["groups"])]  # fmt: skip


def _method(name: str, scope: Any, params: Any, arrays: tuple[str, ...], panels: Any = _sheet) -> Method:
    return Method(name=name, title=f"{name} {EVIL}", caption="What one sees.", citation="zeiler2014", scope=scope,
                  version=3, params=params, run=lambda *_: [], panels=panels, arrays=dict.fromkeys(arrays, "U"),
                  doc="First.\n\nSecond.")  # fmt: skip


METHODS = {
    "climb": _method("climb", "net", UnitParams, ("units", "images")),
    "walk": _method("walk", "net", UnitParams, ("units", "images")),
    "best": _method("best", "dataset", UnitParams, ("units", "patches", "projections")),
    "back": _method("back", "image", UnitParams, ("units", "switches")),
    "active": _method("active", "image", UnitParams, ("activation",)),
    "silence": _method("silence", "image", UnitParams, ("units", "probabilities")),
    "points": _method("points", "net", NoLayer, ("embedding",), _scatter),
}


def artifact_of(method: str, units: list[int], width: int, seed: int) -> Artifact:
    """What a cell of a method holds, made up."""
    rng, u = np.random.default_rng(seed), len(units)

    def tiles(*shape: int) -> Any:
        return rng.random((*shape, 3, SIDE, SIDE)).astype(np.float32)

    chosen = {"units": np.array(units)}
    numbers: dict[str, Any] = {"layer": "conv", "stage": "stage1", "units": units, "size": 32}
    if method == "climb":
        numbers |= {"names": [f"unit {unit}" for unit in units], "reached": rng.random(u).tolist()}
        return Artifact({**chosen, "images": tiles(u)}, numbers)
    if method == "walk":
        return Artifact({**chosen, "images": tiles(u, 4)}, numbers)
    if method == "best":
        arrays = {"patches": (tiles(u, 9) * 255).astype(np.uint8), "projections": tiles(u, 9) - 0.5}
        arrays |= {"activations": -np.sort(-rng.random((width, 9))), "mean": rng.random(width)}
        numbers |= {"names": [[EVIL] * 9] * u, "pictures": 100, "classes": [["cat", 7]] * u}
        return Artifact({**chosen, **arrays, "images": rng.integers(0, 20, (width, 9))}, numbers)
    if method == "back":
        rules = {name: tiles(u) - 0.5 for name in ("switches", "no_switches", "guided", "gradient")}
        boxes = np.array([(-4, 0, SIDE - 4, SIDE)] * u)
        arrays = {"boxes": boxes, "positions": np.zeros((u, 2), int), "activations": rng.random(u)}
        return Artifact({**chosen, **rules, **arrays}, numbers)
    if method == "active":
        return Artifact({"activation": np.maximum(rng.standard_normal((width, 5, 5)), 0)}, numbers)
    if method == "silence":
        numbers |= {"drops": [0.5] * u, "target": 0, "target_name": EVIL, "probability": 0.9, "labels": [EVIL] * u}
        return Artifact({**chosen, "probabilities": rng.random((u, 2))}, numbers)
    points = {"embedding": rng.standard_normal((40, 2)), "groups": rng.integers(-1, 2, 40)}
    return Artifact({**points, "thumbnails": rng.integers(0, 255, (40, 8, 8, 3)).astype(np.uint8)}, {})


def make_unit_report(
    folder: Path, units: int = 5, layers: int = 1, methods: tuple[str, ...] = tuple(METHODS)
) -> Report:
    """So many units of each of so many layers, shown by all these methods on two nets."""
    base = make_report(folder)
    names = [f"stage{n + 1}" for n in range(layers)]
    made = tuple(Layer(f"conv{n}.{EVIL}" if n else "conv", "Conv2d", (max(units, 20), 16, 16), (2, 2), (3, 3), (0, 0),
                       10, 100) for n in range(layers))  # fmt: skip
    cards = {
        model: replace(card(model, ("cat", EVIL)), layers=made, stages=dict(zip(names, (one.name for one in made),
                                                                                strict=True)))
        for model in ("a", "b")
    }  # fmt: skip
    sections = []
    filled = []
    for method in methods:
        per_image = METHODS[method].scope == "image"
        layered = METHODS[method].params is UnitParams
        images, depths = ("cat", "cup") if per_image else (), tuple(names) if layered else ()
        section = {"id": method, "title": f"{method} {EVIL}", "method": method, "models": ("a", "b")}
        sections.append({**section, "images": images, "layers": depths})
        for model in cards:
            for image in images or (None,):
                for layer in depths or (None,):
                    filled.append(unit_cell(method, model, image, layer, units))
    spec = base.spec.model_validate({**base.spec.model_dump(), "sections": tuple(sections)}, strict=False)
    return Report(spec, METHODS, cards, {}, tuple(filled), base.store)


def unit_cell(method: str, model: str, image: str | None, layer: str | None, units: int) -> Filled:
    """A cell of one of these methods, filled with what `artifact_of` makes up."""
    name = ".".join(word for word in (method, model, image, layer) if word)
    params = UnitParams(layer) if layer else NoLayer()
    document = {"method": {"name": method, "version": 3}, "net": {"weights": model * 8}, "precision": "fp32", "seed": 0,
                "image": {"digest": f"digest of {image}"} if image else None}  # fmt: skip
    cell = Cell(name, method, method, model, image, params, layer, f"key-{name}-{units}", document)
    shown = list(range(0, 2 * units, 2)) if method == "active" and units < 10 else list(range(units))
    artifact = artifact_of(method, shown, max(units, 20), len(name))
    return Filled(cell, "ok", "", artifact.numbers, lambda: artifact)
