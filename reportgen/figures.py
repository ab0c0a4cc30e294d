"""Artifacts as figures: the limits that a row of pictures shares, the pictures, and their place in the store.

Figures are drawn a row at a time (the same image and layer, every net), because only then the limits that the
nets share are known; a row that was drawn before is taken from the store without loading its arrays.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from reportgen import keys
from reportgen.errors import RenderError
from reportgen.palettes import Colors
from reportgen.records import Figure, Filled, Method, Panel, Picture, Scale
from reportgen.store import Record, Store

WIDTH = 448  # of pictures on the site: twice the width of a column on a wide screen
SHEET_WIDTH = 896  # of sheets of tiles, which people open in full
DRAWING = ("figures", "tiles", "charts", "encode", "palettes")  # modules whose change means drawing again
SAFE_ID = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")


@dataclass(frozen=True)
class Drawn:
    """A figure and where its files' bytes are: file -> (record of the store, name of the blob)."""

    figure: Figure
    files: Mapping[str, tuple[Record, str]]


def draw(panel: Panel, *, photo: Picture | None, scale: Scale, width: int, color: str | None = None) -> Colors:
    """The panel as pixels, H x W x 3 bytes, at least `width` wide (maps are enlarged by whole numbers).

    `photo` is the picture as the net saw it; `color` the model's, for charts. Raises RenderError for a panel
    that is no picture, or whose values do not fit its kind.
    """
    from reportgen import charts, tiles

    if panel.kind == "image":
        return tiles.image(panel, photo, width)
    if panel.kind == "heatmap":
        return tiles.heatmap(panel, photo, scale, width)
    if panel.kind == "grid":
        return tiles.grid(panel, photo, scale, width)
    if panel.kind == "bars":
        return charts.bars(panel, scale, width, color)
    if panel.kind == "curves":
        return charts.curves(panel, scale, width, color)
    raise RenderError(f"The panel {panel.name!r} cannot be drawn as a picture: its kind is {panel.kind!r}.")


def scales(panels: Sequence[Panel]) -> list[Scale]:
    """The limits of each panel of a row of nets: one pair for all whose rule is "shared", else their own."""
    ranges = [value_range(panel) for panel in panels]
    shared = [found for panel, found in zip(panels, ranges, strict=True) if panel.scale == "shared"]
    low, high = min((r[0] for r in shared), default=0.0), max((r[1] for r in shared), default=0.0)
    found = []
    for panel, own in zip(panels, ranges, strict=True):
        if panel.scale == "shared":
            found.append(Scale("shared", low, high))
        elif panel.scale == "own":
            found.append(Scale("own", *own))
        elif panel.scale == "fixed" and panel.limits is not None:
            found.append(Scale("fixed", float(panel.limits[0]), float(panel.limits[1])))
        elif panel.scale == "fixed":
            raise RenderError(f"The panel {panel.name!r} has a fixed scale and no limits.")
        else:
            found.append(Scale(panel.scale, None, None))
    return found


def value_range(panel: Panel) -> tuple[float, float]:
    """A panel's own limits: zero to its 99th percentile, around zero where it is signed; charts whole."""
    import numpy as np

    from reportgen import tiles

    if panel.values is None:
        return (0.0, 0.0)
    values = np.asarray(panel.values)
    if panel.kind in {"bars", "curves"}:  # a bar that ends outside its axis would lie
        finite = values[np.isfinite(values)]
        return (min(0.0, float(finite.min())), max(0.0, float(finite.max()))) if finite.size else (0.0, 0.0)
    top = tiles.limit(values)
    return (-top, top) if panel.signed else (0.0, top)


def figures_of_row(
    store: Store,
    method: Method,
    cells: Sequence[Filled],
    *,
    photo: Callable[[str], Picture],
    colors: Mapping[str, str],
) -> list[Drawn]:
    """The figures of all panels of one row, from the store or drawn now, net by net as the cells come.

    `cells` are those of one section, image and layer, one per net; `photo` gives the picture as a net sees
    it, `colors` the nets' colours, both by the model's id.
    """
    ok = [cell for cell in cells if cell.status == "ok"]
    if not ok:
        return []
    document = {
        "schema": "figures-1",
        "cells": [cell.cell.key for cell in ok],
        "colors": [colors[cell.cell.model] for cell in ok],
        "method": [method.name, method.version],
        "source": _source(method.panels.__module__),
        "widths": [WIDTH, SHEET_WIDTH],
    }
    key = keys.digest(document)
    record = store.get(key)
    if record is None:
        meta, blobs = _draw_row(method, ok, photo, colors)
        record = store.put(key, kind="figure", document=document, meta=meta, blobs=blobs)
    return [_drawn(entry, ok[entry["cell"]], record) for entry in record.meta["figures"]]


def _draw_row(
    method: Method,
    cells: Sequence[Filled],
    photo: Callable[[str], Picture],
    colors: Mapping[str, str],
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """What the store keeps of a row: the words of every figure, and the pictures."""
    from reportgen import encode

    panels = [method.panels(cell.load()) for cell in cells]
    names = list(dict.fromkeys(panel.name for own in panels for panel in own))
    entries: list[dict[str, Any]] = []
    pictures: dict[str, Colors] = {}
    for name in names:
        row = [(i, panel) for i, own in enumerate(panels) for panel in own if panel.name == name]
        for (i, panel), scale in zip(row, scales([panel for _, panel in row]), strict=True):
            entry = _words(panel, scale) | {"cell": i, "size": [0, 0]}
            if panel.kind != "table":
                model = cells[i].cell.model
                if panel.kind == "heatmap" and panel.photo == "beside":  # pages hang the photo there once a row
                    panel = replace(panel, photo="none")  # noqa: PLW2901
                seen = photo(model) if cells[i].cell.image and _wants_photo(panel) else None
                width = SHEET_WIDTH if panel.kind == "grid" else WIDTH
                pixels = draw(panel, photo=seen, scale=scale, width=width, color=colors[model])
                entry["blob"] = f"{i}.{name}"
                entry["size"] = [pixels.shape[1], pixels.shape[0]]
                pictures[entry["blob"]] = pixels
            entries.append(entry)
    with ThreadPoolExecutor(4) as pool:  # the encoder releases the interpreter's lock
        full = list(pool.map(encode.webp, pictures.values()))
        small = list(pool.map(encode.thumbnail, pictures.values()))
    blobs = {f"{blob}.webp": data for blob, data in zip(pictures, full, strict=True)}
    blobs |= {f"{blob}.thumb.webp": data for blob, data in zip(pictures, small, strict=True)}
    return {"figures": sorted(entries, key=lambda entry: entry["cell"])}, blobs


def _words(panel: Panel, scale: Scale) -> dict[str, Any]:
    """Everything of a panel that is not pixels, as JSON."""
    return {
        "panel": panel.name,
        "kind": panel.kind,
        "title": panel.title,
        "caption": panel.caption,
        "alt": panel.alt,
        "unit": panel.unit,
        "scale": [scale.rule, scale.min, scale.max],
        "columns": list(panel.columns),
        "labels": list(panel.row_labels) if panel.kind == "grid" else [],
        "rows": [[_plain(value) for value in row] for row in panel.rows],
        "photo": bool(panel.kind == "grid" and panel.boxes is not None),
        "featured": panel.featured,
    }


def _drawn(entry: Mapping[str, Any], filled: Filled, record: Record) -> Drawn:
    """The figure of a stored entry under the id that this report gives it."""
    cell = filled.cell
    identifier = f"{cell.id}.{entry['panel']}"
    if not SAFE_ID.fullmatch(identifier):
        raise RenderError(f"The figure {identifier!r} would need a file name that is not safe.")
    blobs = [f"{entry['blob']}.webp", f"{entry['blob']}.thumb.webp"] if "blob" in entry else []
    files = [f"assets/{identifier}{ending}" for ending in (".webp", ".thumb.webp")][: len(blobs)]
    rule, low, high = entry["scale"]
    figure = Figure(
        id=identifier,
        section=cell.section,
        cells=(cell.id,),
        panel=entry["panel"],
        title=entry["title"],
        caption=entry["caption"],
        alt=entry["alt"],
        scale=Scale(rule, low, high),
        files=tuple(files),
        width=entry["size"][0],
        height=entry["size"][1],
        unit=entry["unit"],
        columns=tuple(entry["columns"]),
        rows=tuple(tuple(row) for row in entry["rows"]),
        kind=entry["kind"],
        row_labels=tuple(entry["labels"]),
        photo=entry["photo"],
        featured=entry["featured"],
    )
    return Drawn(figure, {file: (record, blob) for file, blob in zip(files, blobs, strict=True)})


def _wants_photo(panel: Panel) -> bool:
    return panel.photo != "none" or panel.boxes is not None


def _plain(value: Any) -> Any:
    """A table's value as JSON knows it; NumPy's numbers become Python's."""
    return value.item() if hasattr(value, "item") else value


@lru_cache(maxsize=64)
def _source(module: str) -> str:
    """The digest of the text of everything that a figure of this method's file depends on."""
    here = Path(__file__).parent
    file = importlib.import_module(module).__file__
    return keys.source_digest(*(here / f"{name}.py" for name in DRAWING), *([Path(file)] if file else []))
