"""How strongly units answer over all photos of a report, and which answer alike; what was measured on data sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from reportgen import keys
from reportgen.charts import number

if TYPE_CHECKING:
    from reportgen.records import Filled
    from reportgen.report import Report

BINS = 24
ALIKE = 5


def of_layer(
    report: Report, model: str, path: str, cells: Sequence[Filled], units: Sequence[int]
) -> dict[int, dict[str, Any]]:
    """What is known of each unit of a layer as JSON; kept in the store, for it takes all maps of all photos."""
    maps = [one for one in cells if one.cell.image and "activation" in report.methods[one.cell.method].arrays]
    seen = {"strongest", "dissection"} & set(report.methods)
    others = [
        one
        for one in report.filled
        if one.cell.method in seen and one.status == "ok" and one.cell.model == model and one.cell.layer
        and report.cards[model].resolve(one.cell.layer).name == path
    ]  # fmt: skip
    document = {
        "schema": "unit-stats-1",
        "cells": [one.cell.key for one in maps],
        "others": [one.cell.key for one in others],
        "units": list(units),
    }
    key = keys.digest(document)
    record = report.store.get(key)
    if record is None:
        found: dict[int, dict[str, Any]] = {unit: {} for unit in units}
        _of_maps(maps, found)
        for one in others:
            (_strongest if one.cell.method == "strongest" else _concept)(one, found)
        meta = {"units": {str(unit): facts for unit, facts in found.items()}}
        record = report.store.put(key, kind="figure", document=document, meta=meta)
    return {int(unit): facts for unit, facts in record.meta["units"].items()}


def _of_maps(maps: Sequence[Filled], found: Mapping[int, dict[str, Any]]) -> None:
    """From the maps of photos: how the values are spread, and whose maps go up and down together."""
    loaded = [np.asarray(one.load().arrays["activation"], dtype=np.float64) for one in maps]
    if not loaded or len({len(values) for values in loaded}) > 1:
        return
    values = np.concatenate([one.reshape(len(one), -1) for one in loaded], axis=1)  # C places
    if values.shape[1] < 2:
        return
    inside = [unit for unit in found if unit < len(values)]
    own = values[inside]
    centred = own - own.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1)
    whole = centred / np.where(length > 0, length, 1)[:, None]
    likeness = whole @ whole.T
    for place, unit in enumerate(inside):
        low, high = min(0.0, float(own[place].min())), float(own[place].max())
        counts = np.histogram(own[place], bins=BINS, range=(low, high if high > low else low + 1.0))[0]
        order = [n for n in np.argsort(-likeness[place], kind="stable") if n != place and likeness[place, n] > 0]
        found[unit] |= {
            "photos": len(maps),
            "places": int(own.shape[1]),
            "mean": float(own[place].mean()),
            "deviation": float(own[place].std()),
            "strongest": high,
            "active": float((own[place] > 0).mean()),
            "histogram": {"low": low, "high": high, "counts": counts.tolist()},
            "alike": [[inside[n], round(float(likeness[place, n]), 4)] for n in order[:ALIKE]],
        }


def _strongest(filled: Filled, found: Mapping[int, dict[str, Any]]) -> None:
    artifact = filled.load()
    names = artifact.numbers["names"]
    for unit, facts in found.items():
        if unit < len(artifact.arrays["activations"]):
            picture = int(artifact.arrays["pictures"][unit])
            facts["strongest_photo"] = [str(names[picture]), float(artifact.arrays["activations"][unit])]


def _concept(filled: Filled, found: Mapping[int, dict[str, Any]]) -> None:
    artifact = filled.load()
    for unit, facts in found.items():
        if unit < len(artifact.arrays["best"]):
            name = artifact.numbers["concepts"][int(artifact.arrays["best"][unit])]
            facts["concept"] = [str(name), float(artifact.arrays["best_iou"][unit])]


def lines(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The facts as names and values for people."""
    found = []
    if "photos" in facts:
        over = f"{facts['photos']} photo{'s' if facts['photos'] > 1 else ''}, {facts['places']:,} places"
        found = [
            ("Measured on", over),
            ("Mean activation", f"{number(facts['mean'])} ± {number(facts['deviation'])}"),
            ("Largest", number(facts["strongest"])),
            ("Active at", f"{facts['active']:.0%} of the places"),
        ]
    if "strongest_photo" in facts:
        name, value = facts["strongest_photo"]
        found.append(("Strongest photo", f"{name} ({number(value)})"))
    if "concept" in facts:
        name, value = facts["concept"]
        found.append(("Fits best", f"{name} (intersection over union {value:.2f})"))
    return found


def histogram(facts: Mapping[str, Any], width: int = 240, height: int = 72) -> str:
    """The spread of the values as the outline of an SVG path; square roots, so that rare strong values are seen."""
    counts = facts.get("histogram", {}).get("counts") or []
    most = max(counts, default=0) ** 0.5
    if not most:
        return ""
    step = width / len(counts)
    parts = []
    for place, count in enumerate(counts):
        if count:
            tall = max(1.0, height * count**0.5 / most)
            parts.append(f"M{place * step:.1f} {height}v{-tall:.1f}h{step - 1:.1f}v{tall:.1f}z")
    return "".join(parts)
