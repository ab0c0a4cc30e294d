"""A report made up for the poster's tests: real photos and panels, invented nets and numbers."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from reportgen.figures import scales
from reportgen.pages import Block, Row, Slot
from reportgen.records import Artifact, Card, Cell, Facts, Figure, Filled, Method, Panel, Preprocess
from reportgen.spec_models import Spec
from reportgen.store import Store

NETS = {
    "alexnet": ("AlexNet", 2012, 8, 61_100_840, 15.3, "Krizhevsky et al. 2012"),
    "vgg": ("VGG-16", 2014, 16, 138_357_544, 7.3, "Simonyan and Zisserman 2015"),
    "googlenet": ("GoogLeNet", 2014, 22, 6_624_904, 6.7, "Szegedy et al. 2015"),
    "resnet": ("ResNet-50", 2015, 50, 25_557_032, 3.57, "He et al. 2016"),
    "densenet": ("DenseNet-121", 2017, 121, 7_978_856, 5.3, "Huang et al. 2017"),
    "squeezenet": ("SqueezeNet", 2016, 18, 1_248_424, None, ""),
}
PHOTOS = {"cat": "chelsea.png", "astronaut": "astronaut.png", "coffee": "coffee.png", "rocket": "rocket.jpg"}
SIZE = 128
LOREM = (
    "A net that was trained to name what a photo shows has to find its own way from pixels to names. Early layers "
    "answer to edges and colours, later ones to parts, the last to whole things. "
)


EXTRA = (  # only where they are asked for
    {"id": "invariance", "title": "What a shift does", "method": "invariance"},
    {"id": "occlusion", "title": "What the nets take it for", "method": "occlusion"},
)
NAMES = ("Egyptian cat", "tabby, tabby cat", "lynx", "soft-coated wheaten terrier", "church", "rocket", "coffee")


class FakeReport:
    """What the poster asks of a report, without a net behind it."""

    def __init__(self, spec: Spec, cards: dict[str, Card], filled: tuple[Filled, ...], store: Store) -> None:
        self.spec, self.cards, self.filled, self.store = spec, cards, filled, store
        self.fallbacks: dict[str, str] = {}
        self.methods = METHODS
        self.known: dict[str, Filled] = {}

    def picture(self, image: str) -> np.ndarray:
        return picture(image)

    def flaw(self, image: str) -> str:
        return ""

    def photo(self, image: str, model: str) -> np.ndarray:
        return photo(image)


def fonts_store(factory) -> Path:
    """The folder of a store that all tests of a run share, so that the fonts are cut once; `factory` makes folders."""
    return factory.getbasetemp() / "fonts"


def with_files(folder: Path) -> Path:
    """The folder with what a site writes before the poster is made, and the poster attaches."""
    (folder / "assets").mkdir(parents=True)
    (folder / "assets" / "spec.yaml").write_text("title: made up\n")
    (folder / "report.json").write_text('{"cells": []}\n')
    return folder


def picture(image: str) -> np.ndarray:
    found = find_spec("skimage")
    assert found is not None
    assert found.origin is not None
    with Image.open(Path(found.origin).parent / "data" / PHOTOS[image]) as opened:
        return np.asarray(opened.convert("RGB"), dtype=np.float32) / 255


def photo(image: str) -> np.ndarray:
    whole = picture(image)
    side = min(whole.shape[:2])
    top, left = (whole.shape[0] - side) // 2, (whole.shape[1] - side) // 2
    cut = (whole[top : top + side, left : left + side] * 255).astype(np.uint8)
    return np.asarray(Image.fromarray(cut).resize((SIZE, SIZE)), dtype=np.float32) / 255


def make_report(
    store: Path, nets: int = 4, images: int = 3, only: str = "", **changes: object
) -> tuple[FakeReport, list[Block]]:
    """A report of so many nets, and its blocks; its store, in this folder, keeps the fonts from test to test."""
    models = list(NETS)[:nets]
    photos = list(PHOTOS)[:images]
    sections = [
        {"id": "intro", "title": "Introduction"},
        {"id": "architecture", "title": "Models", "method": "architecture"},
        {"id": "activity", "title": "What each depth looks at", "method": "activity"},
        {"id": "prediction", "title": "What the nets see", "method": "prediction"},
        {"id": "filters", "title": "First-layer filters", "method": "filters"},
        {"id": "saliency", "title": "Saliency maps", "method": "saliency"},
        {"id": "deconvnet", "title": "Back to the pixels", "method": "deconvnet"},
        {"id": "conclusion", "title": "Conclusion"},
    ]
    sections = [section for section in sections if not only or section["id"] in only.split()]
    sections[1:1] = [section for section in EXTRA if section["id"] in only.split()]
    values: dict[str, object] = {
        "title": "What does a deep CNN learn? Four families of nets look at the same photos",
        "authors": ("Ada Müller", "Zoë Łukasiewicz-Šimić", "B. Name"),
        "affiliation": "Institute for Looking Closely, University of Somewhere",
        "date": "2026-11-20",
        "summary": LOREM * 2,
        "tags": ("deep learning",),
        "links": {"code": "https://example.org/reportgen"},
        "models": {model: {"arch": "alexnet"} for model in models},
        "images": {image: {"source": f"skimage:{Path(PHOTOS[image]).stem}", "credit": "NASA"} for image in photos},
        "sections": tuple(sections),
        "outputs": {"poster": {"size": "A0"}},
    }
    spec = Spec.model_validate(values | changes, strict=False)
    cards = {model: _card(model) for model in models}
    rng = np.random.default_rng(0)
    blocks = []
    for section in spec.sections:
        method = METHODS[section.method] if section.method else None
        rows = _rows(section.id, section.method, models, photos, rng) if method else ()
        html = f"<p>{LOREM}</p>"
        if section.id == "conclusion":
            html = "<ol>" + f"<li>{LOREM} <em>(Saliency maps)</em></li>" * 3 + "</ol>"
        if section.id == "intro":
            html = f"<p>{LOREM * 3}</p><p>{LOREM * 2} It ends with the last words of the introduction.</p>"
        blocks.append(Block(section=section.id, method=method, html=html, rows=tuple(rows), models=tuple(models)))
    filled = tuple(slot.filled for block in blocks for row in block.rows for slot in row.slots if slot.filled)
    return FakeReport(spec, cards, filled, Store(store)), blocks


def _card(model: str) -> Card:
    title, year, depth, parameters, error, source = NETS[model]
    return Card(
        arch=model,
        builder=f"torchvision.{model}",
        weights="0" * 64,
        weights_source="random, seed 0",
        preprocess=Preprocess(SIZE, SIZE, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
        classes=("cat", "church", "flower"),
        parameters=parameters,
        flops=parameters * 12,
        depth=depth,
        layers=(),
        stages={},
        aliases={},
        global_pooling=False,
        rectified=True,
        facts=Facts(model, title, year, "zeiler2014", error, source),
        numbers={"top1": 0.83},
    )


def _rows(
    section: str, method: str | None, models: list[str], photos: list[str], rng: np.random.Generator
) -> list[Row]:
    stages = [f"stage{k}" for k in range(1, 6)] if method == "activity" else [None]
    if method == "deconvnet":
        stages = ["stage3"]
    seen = photos if method not in {"filters", "architecture"} else [None]
    rows = []
    for image in seen:
        for stage in stages:
            made = {model: _artifact(method, image, stage, rng) for model in models}
            if (method == "activity" and stage == "stage1") or (method == "invariance" and image == "cat"):
                made["alexnet"] = None
            rows.extend(_panel_rows(section, method, image, stage, made))
    return rows


def _panel_rows(section, method, image, stage, made):
    known = METHODS[method]
    panels = {model: known.panels(artifact) for model, artifact in made.items() if artifact}
    names = list(dict.fromkeys(panel.name for own in panels.values() for panel in own))
    for name in names:
        slots = []
        drawn = {m: p for m, own in panels.items() for p in own if p.name == name}
        limits = dict(zip(drawn, scales(list(drawn.values())), strict=True))
        for model, artifact in made.items():
            words = ".".join(filter(None, [section, model, image, stage]))
            cell = Cell(words, section, method, model, image, None, stage, words, {})
            if artifact is None:
                reason = f"{model} has no {stage or 'line'}: it has no tensor at that stride (it has stage2, stage3)."
                filled = Filled(cell, "not_applicable", reason, {}, lambda: Artifact({}))
                slots.append(Slot(model, filled, name, None, "not_applicable", reason))
                continue
            panel = drawn[model]
            figure = Figure(f"{words}.{name}", section, (words,), name, panel.title, panel.caption, panel.alt,
                            limits[model], ("x.webp",), featured=panel.featured, kind=panel.kind)  # fmt: skip
            filled = Filled(cell, "ok", "", artifact.numbers, lambda artifact=artifact: artifact)
            slots.append(Slot(model, filled, name, figure, "ok", ""))
        joint = next((s.figure for s in slots if s.figure), None) if any(p.joint for p in drawn.values()) else None
        yield Row(image=image, layer=stage, panel=name, label=image or "", slots=tuple(slots), joint=joint)


def _artifact(method, image, stage, rng):
    edges = np.zeros((SIZE, SIZE), dtype=np.float32)
    if image:
        edges = np.hypot(*np.gradient(photo(image).mean(axis=2))) * rng.uniform(0.5, 1.5, (SIZE, SIZE))
    if method == "activity":
        side = SIZE >> int(stage[-1])
        return Artifact({"map": edges.reshape(side, SIZE // side, side, SIZE // side).mean(axis=(1, 3))})
    if method == "saliency":
        return Artifact({"map": edges}, {"target_name": "Egyptian cat"})
    if method == "prediction":
        return Artifact({"probabilities": np.array([0.61, 0.22, 0.09, 0.05])})
    if method == "filters":
        return Artifact({"sheet": rng.normal(size=(4, 8, 3, 7, 7)) * np.hanning(7)[:, None] * np.hanning(7)})
    if method == "deconvnet":
        boxes = np.array([(20, 30, 60, 70), (50, 60, 90, 100), (-10, 40, 30, 80)])
        return Artifact({"boxes": boxes, "sheet": rng.normal(size=(3, 4, 3, 40, 40)) * np.hanning(40)[:, None]})
    if method == "invariance":
        return Artifact({"lines": np.cumsum(rng.random((2, 30)), axis=1) / 30})
    if method == "occlusion":
        return Artifact({"label": np.minimum(rng.exponential(1.5, (13, 13)).astype(int), len(NAMES) - 1)})
    return Artifact({})


def _invariance(artifact: Artifact) -> list[Panel]:
    caption = "How far the features move while the picture does. The lower a line, the less the net minds."
    return [Panel("distance", "curves", "Distance", caption, "Lines.", artifact.arrays["lines"], scale="shared",
                  x=np.arange(30), unit="distance", columns=("shift (pixels)",), row_labels=("stage 1", "stage 5"),
                  joint=True, featured=True)]  # fmt: skip


def _occlusion(artifact: Artifact) -> list[Panel]:
    caption = "What the net calls the picture while the square covers this place."
    return [Panel("label", "heatmap", "Names", caption, "A map of names.", artifact.arrays["label"], photo="under",
                  categories=NAMES, featured=True)]  # fmt: skip


def _activity(artifact: Artifact) -> list[Panel]:
    caption = "The mean of 9 channels. The brighter, the more channels answer there, up to the 99th percentile."
    return [Panel("overlay", "heatmap", "Where it is active", caption, "A heat map over the photo.",
                  artifact.arrays["map"], unit="activation", photo="under", featured=True)]  # fmt: skip


def _saliency(artifact: Artifact) -> list[Panel]:
    caption = "How the score of cat changes. The brighter, the steeper, up to the map's own 99th percentile."
    return [Panel("map", "heatmap", "Saliency", caption, "A saliency map.", artifact.arrays["map"],
                  unit="gradient", photo="beside", featured=True)]  # fmt: skip


def _prediction(artifact: Artifact) -> list[Panel]:
    names = ("Egyptian cat", "tabby, tabby cat", "lynx", "church")
    caption = "All bars run from 0 to 1, so they can be compared between nets."
    return [Panel("top5", "bars", "Prediction", caption, "A bar chart.", artifact.arrays["probabilities"],
                  scale="fixed", limits=(0.0, 1.0), unit="probability", row_labels=names, featured=True)]  # fmt: skip


def _filters(artifact: Artifact) -> list[Panel]:
    caption = "The 32 filters. Grey is zero and each filter has its own scale."
    return [Panel("filters", "grid", "Filters", caption, "A sheet of filters.", artifact.arrays["sheet"],
                  scale="tile", signed=True, featured=True)]  # fmt: skip


def _deconvnet(artifact: Artifact) -> list[Panel]:
    caption = "Units of features.8. Grey is zero and every tile has its own scale, so shapes can be compared."
    columns = ("deconvnet", "without switches", "guided", "gradient")
    return [Panel("projections", "grid", "Projections", caption, "Projections.", artifact.arrays["sheet"],
                  scale="tile", signed=True, boxes=artifact.arrays["boxes"], columns=columns,
                  row_labels=("unit 5", "unit 17", "unit 33"), featured=True)]  # fmt: skip


def _facts(artifact: Artifact) -> list[Panel]:
    return [Panel("facts", "table", "Facts", "What the net is made of.", "A table.", featured=True)]


def _method(name: str, title: str, caption: str, panels) -> Method:
    return Method(name=name, title=title, caption=caption, citation="zeiler2014", scope="image", version=1,
                  params=object, run=lambda *_: [], panels=panels, arrays={})  # fmt: skip


METHODS = {
    "invariance": _method("invariance", "Invariance", "What moving the picture changes.", _invariance),
    "occlusion": _method("occlusion", "Occlusion", "What covering a part changes.", _occlusion),
    "architecture": _method("architecture", "Architecture", "How the net is built.", _facts),
    "activity": _method("activity", "Activity", "Where on the picture a layer answers.", _activity),
    "prediction": _method("prediction", "Prediction", "What the net takes the picture for.", _prediction),
    "filters": _method("filters", "First-layer filters", "What the first layer looks for.", _filters),
    "saliency": _method("saliency", "Saliency", "Which pixels the score of a class hangs on most.", _saliency),
    "deconvnet": _method("deconvnet", "Deconvnet projections", "What made a unit fire, by four rules.", _deconvnet),
}
