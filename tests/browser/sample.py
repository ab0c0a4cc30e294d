"""The report of the browser's tests: a panel of every kind, words that mean harm, and damaged pictures for the quiz."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from reportgen.methods import method
from reportgen.records import Artifact, Cell, Filled
from reportgen.report import Report
from tests import unit_report
from tests.site_report import EVIL, SIZE, make_report

UNITS = 10  # of net a
DAMAGES = ("grey", "salt_pepper:0.05")
SAID = {("a", "cat"): ("cat", "cup", "cat"), ("a", "cup"): ("cup", "cup", "cat"), ("b", "cup"): ("cup", "cup", "cup")}


def sample_report(folder: Path) -> Report:
    """Two nets, two photos; net b has no class for the cat. Net a has ten units with all there is to see of a unit."""
    report = make_report(folder, more=True)
    damage = {"id": "damage", "title": "Damage", "method": "corruption", "images": ("cat", "cup")}
    inside = [
        {"id": name, "title": f"{name} {EVIL}", "method": name, "layers": ("stage1",) if name != "points" else ()}
        | ({"images": ("cat", "cup")} if kind.scope == "image" else {})
        for name, kind in unit_report.METHODS.items()
    ]
    added = [{**one, "models": ("a", "b") if one is damage else ("a",)} for one in (damage, *inside)]
    sections = [one.model_dump() for one in report.spec.sections] + added
    spec = type(report.spec).model_validate(report.spec.model_dump() | {"sections": sections}, strict=False)
    filled = [_damaged(report, model, image) for model in ("a", "b") for image in ("cat", "cup")]
    filled += [
        unit_report.unit_cell(one["id"], "a", image, "stage1" if one["layers"] else None, UNITS)
        for one in inside
        for image in one.get("images", (None,))
    ]
    wide = replace(report.cards["a"].layers[0], shape=(20, 16, 16))
    return replace(
        report,
        spec=spec,
        cards={**report.cards, "a": replace(report.cards["a"], layers=(wide,))},
        methods={**report.methods, **unit_report.METHODS, "corruption": method("corruption")},
        filled=(*report.filled, *filled),
    )


def _damaged(report: Report, model: str, image: str) -> Filled:
    """A made-up cell of the method `corruption`: the photo, the same in grey, and with salt and pepper."""
    classes = report.cards[model].classes
    photo = report.photo(image, model).transpose(2, 0, 1)  # 3 S S
    noise = np.random.default_rng(3).random((SIZE, SIZE))
    noisy = np.where(noise < 0.3, (noise < 0.15).astype(np.float32), photo)
    pictures = np.stack([photo, np.repeat(photo.mean(0, keepdims=True), 3, 0), noisy])
    names = SAID.get((model, image), (classes[0],) * 3)
    top5 = [[{"index": classes.index(n), "name": n, "probability": 0.5 + k / 10}] for k, n in enumerate(names)]
    said = [0.9, 0.8, 0.2]
    numbers = {
        "target": 0, "target_name": classes[0], "net": f"Net {model}", "probability": said,
        "untouched": 0.9, "lowest": 0.2,
        "change": [0, -0.1, -0.7], "flips": [False, False, True], "flipped": 1, "top5": top5, "places": None,
        "names": ["untouched", *DAMAGES], "words": ["untouched", "grey", f"noise {EVIL}"],
        "short": ["untouched", "grey", "noise"], "resolution": "32 x 32 pixels",
    }  # fmt: skip
    arrays = {"probabilities": np.array([[0.9], [0.8], [0.2]]), "maps": np.zeros((3, 0, 0)), "pictures": pictures}
    arrays |= {name: np.zeros(0) for name in ("lambda", "lambda_probability", "sigma", "sigma_probability")}
    cell = Cell(f"damage.{model}.{image}", "damage", "corruption", model, image, method("corruption").params(), None,
                f"key-damage-{model}-{image}", {})  # fmt: skip
    return Filled(cell, "ok", "", numbers, lambda: Artifact(arrays, numbers))
