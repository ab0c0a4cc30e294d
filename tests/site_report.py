"""A report made up for the site's tests: two nets, two photos, a panel of every kind, and texts that mean harm."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from reportgen.records import Artifact, Card, Cell, Facts, Filled, Layer, Method, Panel, Preprocess
from reportgen.report import Report
from reportgen.spec_models import Spec
from reportgen.store import Store

EVIL = '<script>alert("1")</script> & "quotes" \' ../ 漢字 עברית 🙂'
SIZE = 32


@dataclass(frozen=True)
class Params:
    layer: str = field(default="stage1", metadata={"doc": "a layer"})


@dataclass(frozen=True)
class NoParams:
    pass


def _every_panel(artifact: Artifact) -> list[Panel]:
    values = artifact.arrays["map"]
    common = {"caption": EVIL, "alt": f"Alt {EVIL}", "title": f"Title {EVIL}"}
    grid = values[None, None].repeat(3, 0).repeat(2, 1)
    return [
        Panel("over", "heatmap", **common, values=values, photo="under", featured=True, scale="shared"),
        Panel("beside", "heatmap", **common, values=values - values.mean(), photo="beside", signed=True),
        Panel("picture", "image", **common, values=np.full((8, 8, 3), 0.5), scale="none"),
        Panel("tiles", "grid", **common, values=grid, scale="tile", boxes=np.array([(-4, 0, 4, 8)] * 3),
              row_labels=("unit 1", "unit 2", "unit 3"), columns=("one", "two")),
        Panel("bars", "bars", **common, values=np.array([0.2, 0.7]), limits=(0.0, 1.0), scale="fixed",
              row_labels=("<b>cat</b>", "dog")),
        Panel("lines", "curves", **common, values=np.array([[1.0, 2.0], [2.0, 1.0]]), row_labels=("a", "b")),
    ]  # fmt: skip


def _ways_of_one(artifact: Artifact) -> list[Panel]:
    """What nets give on one image: a line for a joint plot, a map of names, and what lies beside."""
    line, common = artifact.arrays["map"][0], {"caption": "What one sees.", "alt": "A panel."}
    names = ("cat", "dog", "cup, mug")
    panels = [
        Panel("distance", "curves", "Distance", **common, values=np.stack([line, line / 2]), x=np.arange(8), joint=True,
              row_labels=("values", "labels"), columns=("shift",), unit="distance", scale="shared", featured=True),
        Panel("label", "heatmap", "Name", **common, values=(artifact.arrays["map"] * 3).astype(int), categories=names),
    ]  # fmt: skip
    if "facts" in artifact.beside:
        panels.append(Panel("besides", "heatmap", "Beside", **common, values=artifact.beside["facts"].arrays["map"]))
    return panels


def _pictures(artifact: Artifact) -> list[Panel]:
    """A sheet of plain pictures with named rows and columns."""
    tile = artifact.arrays["map"][None].repeat(3, 0)
    sheet = np.stack([tile, 1 - tile, np.full_like(tile, np.nan)])[:, None].repeat(2, 1)
    return [Panel("sheet", "grid", "Pictures", "What one sees.", "A sheet.", values=sheet, scale="none",
                  row_labels=("unit 5", "unit 17", "unit 9"), columns=("dreamt", "found")),
            Panel("units", "table", "Units", "What one sees.", "A table.", scale="none",
                  columns=("unit", "photo", "activation"), rows=((7, "cat", 0.1234),))]  # fmt: skip


def _table(artifact: Artifact) -> list[Panel]:
    rows = (("Year", 2012), ("Paper", "[@zeiler2014]"), (EVIL, EVIL))
    return [Panel("facts", "table", "Facts", "What it is.", "A table.", scale="none", rows=rows, featured=True)]


def _method(name, panels, scope, params):
    return Method(name=name, title=EVIL, caption=EVIL, citation="zeiler2014", scope=scope, version=1, params=params,
                  run=lambda *_: [], panels=panels, arrays={"map": "H x W"}, doc=f"First $x_k$.\n\n{EVIL}")  # fmt: skip


METHODS = {
    "every": _method("every", _every_panel, "image", Params),
    "facts": _method("facts", _table, "net", NoParams),
    "ways": _method("ways", _ways_of_one, "image", Params),
    "set": _method("set", _pictures, "images", NoParams),
}


MORE = (
    {"id": "ways", "title": "Ways", "method": "ways", "models": ("a", "b"), "images": ("cat", "cup"),
     "layers": ("stage1", "stage2")},
    {"id": "set", "title": "Set", "method": "set", "models": ("a", "b"), "images": ("cat", "cup")},
)  # fmt: skip


def card(model: str, classes: tuple[str, ...]) -> Card:
    layers = (Layer("conv", "Conv2d", (4, 16, 16), (2, 2), (3, 3), (0, 0), 10, 100),)
    return Card(arch=model, builder=model, weights=model * 8, weights_source="random, seed 0",
                preprocess=Preprocess(SIZE, SIZE, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)), classes=classes,
                parameters=1_400_000, flops=10_000, depth=8, layers=layers, stages={"stage1": "conv"},
                aliases={"first_conv": "conv"}, global_pooling=False, rectified=True,
                facts=Facts("Net", f"Net {model}", 2012, "zeiler2014", 15.3, "Someone 2012"))  # fmt: skip


def make_report(folder: Path, images: int = 2, layers: int = 2, more: bool = False) -> Report:
    """A report of so many images and layers; with `more`, also sections of joint plots, names and sets of images."""
    photos = {"cat": "skimage:chelsea", "cup": "skimage:coffee", "space": "skimage:rocket"}
    named = [f"stage{k}" for k in range(1, layers + 1)]
    spec = Spec.model_validate(
        {
            "title": EVIL,
            "authors": (EVIL,),
            "date": "2026-11-20",
            "summary": f"A *summary* {EVIL}",
            "links": {"code": "https://example.org/"},
            "models": {"a": {"arch": "a"}, "b": {"arch": "b"}},
            "images": {
                name: {"source": photos[name], "label": (name,), "credit": EVIL} for name in list(photos)[:images]
            },
            "sections": (
                {"id": "intro", "title": f"Intro {EVIL}", "text": f"Words [@zeiler2014] {EVIL}"},
                {"id": "facts", "title": "Facts", "method": "facts", "models": ("a", "b")},
                {"id": "every", "title": "Every", "method": "every", "models": ("a", "b"),
                 "images": tuple(photos)[:images], "layers": tuple(named)},
                *(MORE if more else ()),
            ),
            "acknowledgements": EVIL,
        },
        strict=False,
    )  # fmt: skip
    cards = {"a": card("a", ("cat", "cup")), "b": card("b", ("cup",))}
    filled = [_filled("facts", "facts", model, None, None) for model in cards]
    filled += [_filled("every", "every", model, image, layer)
               for model in cards for image in spec.images for layer in named]  # fmt: skip
    unlisted = _filled("", "facts", "a", None, None)
    if more:
        beside = {"facts": unlisted.cell}
        filled += [_filled("ways", "ways", model, image, layer, beside=beside)
                   for model in cards for image in ("cat", "cup") for layer in named]  # fmt: skip
        filled += [_filled("set", "set", model, None, None, images=("cat", "cup")) for model in cards]
    fallbacks = {"b": f"b stands in for c: {EVIL}"}
    return Report(spec, METHODS, cards, fallbacks, tuple(filled), Store(folder / "store"), (unlisted,))


def _filled(section: str, method: str, model: str, image: str | None, layer: str | None, **more: Any) -> Filled:
    name = ".".join(word for word in (section, model, image, layer) if word)
    params = Params(layer) if layer else NoParams()
    cell = Cell(name or f".{method}.{model}", section, method, model, image, params, layer, f"key-{name}", {}, **more)
    if (model, layer, image) == ("b", "stage2", "cat"):
        return Filled(cell, "failed", f"It broke: {EVIL}", {}, lambda: Artifact({}))
    if (model, layer) == ("b", "stage2"):
        return Filled(cell, "not_applicable", f"b has no stage2: {EVIL}", {}, lambda: Artifact({}))
    values = np.random.default_rng(len(name) + (model == "b")).random((8, 8)).astype(np.float32)
    numbers = {"strength": 0.5, "name": EVIL, "many": [1, 2]}
    return Filled(cell, "ok", "", numbers, lambda: Artifact({"map": values}, numbers))
