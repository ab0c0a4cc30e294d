"""The report of the browser's tests: a panel of every kind, words that mean harm, and damaged pictures for the quiz."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from reportgen.methods import method
from reportgen.records import Artifact, Cell, Filled
from reportgen.report import Report
from tests.site_report import EVIL, SIZE, make_report

DAMAGES = ("grey", "salt_pepper:0.05")
SAID = {("a", "cat"): ("cat", "cup", "cat"), ("a", "cup"): ("cup", "cup", "cat"), ("b", "cup"): ("cup", "cup", "cup")}


def sample_report(folder: Path) -> Report:
    """Two nets, two photos; net b has no class for the cat."""
    report = make_report(folder, more=True)
    corruption = method("corruption")
    section = {
        "id": "damage",
        "title": "Damage",
        "method": "corruption",
        "models": ("a", "b"),
        "images": ("cat", "cup"),
    }
    sections = [one.model_dump() for one in report.spec.sections] + [section]
    spec = type(report.spec).model_validate(report.spec.model_dump() | {"sections": sections}, strict=False)
    filled = [_damaged(report, model, image) for model in ("a", "b") for image in ("cat", "cup")]
    return replace(
        report,
        spec=spec,
        methods={**report.methods, "corruption": corruption},
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
