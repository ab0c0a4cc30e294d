"""What a report gives to programs: report.json, and the raw arrays of every cell as float16."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reportgen import images, keys
from reportgen.nets.files import is_file
from reportgen.pages import Block
from reportgen.records import Array, Artifact, Card, Figure, Filled

if TYPE_CHECKING:
    from reportgen.report import Report

EPOCH = (1980, 1, 1, 0, 0, 0)  # of files in a zip: no clock in the output
LARGEST_HALF = 65504.0
MOST_LOST = 0.01  # share of values other than zero that may become zero in float16


def report_json(report: Report, blocks: Sequence[Block]) -> dict[str, Any]:
    """The report as JSON: models, images, data sets, cells and figures."""
    spec = report.spec
    return {
        "title": spec.title,
        "authors": list(spec.authors),
        "date": spec.date,
        "summary": spec.summary,
        "site_url": spec.site_url or None,
        "poster": "poster.pdf" if spec.outputs.poster is not None else None,
        "models": {name: _model(report, name, report.cards[name]) for name in spec.models},
        "images": {name: _image(report, name) for name in spec.images},
        "datasets": {name: dataset.model_dump(mode="json") for name, dataset in spec.datasets.items()},
        "cells": [_cell(report, filled) for filled in report.filled],
        "figures": [_figure(figure) for figure in figures_of(blocks)],
    }


def figures_of(blocks: Sequence[Block]) -> Iterator[Figure]:
    """Every figure of a report once, in the order of its pages."""
    for block in blocks:
        for row in block.rows:
            own = [slot.figure for slot in row.slots if slot.figure is not None]
            yield from own[:1] if row.joint else own


def arrays_of(report: Report, filled: Filled) -> bytes:
    """The cell's arrays as .npz, from the store where it has them."""
    document = {"schema": "npz-1", "cell": filled.cell.key}
    key = keys.digest(document)
    record = report.store.get(key)
    if record is None:
        blobs = {"arrays.npz": npz(filled.load())}
        record = report.store.put(key, kind="figure", document=document, blobs=blobs)
    return report.store.read(record, "arrays.npz")


def npz(artifact: Artifact) -> bytes:
    """The arrays as a .npz of float16 that NumPy opens; the same arrays give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(artifact.arrays):
            entry = zipfile.ZipInfo(f"{name}.npy", EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            content = io.BytesIO()
            np.save(content, small(np.asarray(artifact.arrays[name])), allow_pickle=False)
            archive.writestr(entry, content.getvalue(), compresslevel=1)
    return buffer.getvalue()


def small(array: Array) -> Array:
    """Floats as float16, or float32 where that would overflow or lose more than 1 % of the values to zero."""
    if array.dtype.kind != "f":
        return array
    single = array.astype(np.float32)
    if single.size and np.nanmax(np.abs(single)) > LARGEST_HALF:
        return single
    half = single.astype(np.float16)
    there = np.count_nonzero(single)
    if there and np.count_nonzero((half == 0) & (single != 0)) > MOST_LOST * there:
        return single
    return half


def _asked(arch: str) -> str:
    return Path(arch).name if is_file(arch) else arch  # no path of the machine


def _model(report: Report, name: str, card: Card) -> dict[str, Any]:
    return {
        "arch": card.arch,
        "asked": _asked(report.spec.models[name].arch),
        "fallback": name in report.fallbacks,
        "fallback_reason": report.fallbacks.get(name),
        "title": card.facts.title or card.arch,
        "weights": card.weights,
        "weights_source": card.weights_source,
        "parameters": card.parameters,
        "flops": card.flops,
        "depth": card.depth,
        "input_size": card.preprocess.size,
        "classes": list(card.classes),
        "stages": dict(card.stages),
        "numbers": dict(card.numbers),
        **({"before": before} if (before := report.spec.models[name].before) else {}),
    }


def _image(report: Report, name: str) -> dict[str, Any]:
    asked = report.spec.images[name]
    height, width = report.picture(name).shape[:2]
    path = images.find_image(asked.source, report.spec.path.parent)
    return {
        "source": asked.source,
        "digest": images.image_digest(path),
        "size": None if report.flaw(name) else [width, height],
        "label": list(asked.label),
        "credit": asked.credit,
    }


def _cell(report: Report, filled: Filled) -> dict[str, Any]:
    cell = filled.cell
    section = next(one for one in report.spec.sections if one.id == cell.section)
    return {
        "id": cell.id,
        "section": cell.section,
        "method": cell.method,
        "model": cell.model,
        "image": cell.image,
        "images": list(cell.images) or None,
        "dataset": section.dataset,
        "layer": cell.layer,
        "units": plain(getattr(cell.params, "units", None)),
        "status": filled.status,
        "reason": filled.reason or None,
        "key": cell.key,
        "arrays": f"data/{cell.id}.npz" if filled.status == "ok" else None,
        "numbers": plain(filled.numbers),
    }


def _figure(figure: Figure) -> dict[str, Any]:
    scale = {"rule": figure.scale.rule, "min": figure.scale.min, "max": figure.scale.max}
    return {
        "id": figure.id,
        "section": figure.section,
        "cells": list(figure.cells),
        "files": list(figure.files),
        "caption": figure.caption,
        "alt": figure.alt,
        "scale": scale,
    }


def plain(value: Any) -> Any:
    """Lists and dicts in place of tuples and mappings."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
