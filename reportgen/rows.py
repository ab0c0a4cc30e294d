"""The figures of a row of the report, drawn together and kept in the store.

Figures are drawn a row at a time (the same image and layer, every net), because only then the limits, the colours of
names and the plots that the nets share are known; a row that was drawn before is taken from the store without loading
its arrays.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from reportgen import keys, palettes
from reportgen.errors import RenderError
from reportgen.figures import JOINT_WIDTH, SHEET_WIDTH, WIDTH, draw, joint_scale, joint_series, scales
from reportgen.palettes import Colors
from reportgen.records import Artifact, Figure, Filled, Method, Panel, Picture, Scale
from reportgen.store import Record, Store

# modules whose change means drawing again
DRAWING = (
    *("rows", "figures", "tiles", "charts", "curves", "scatter", "embedding", "mosaic", "categories"),
    *("encode", "palettes", "wording", "scoring", "patch_blocks", "patterns", "map_panels"),
    *("change_panels", "tile_maps"),
)
SAFE_ID = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")


@dataclass(frozen=True)
class Drawn:
    """A figure and where its files' bytes are: file -> (record of the store, name of the blob)."""

    figure: Figure
    files: Mapping[str, tuple[Record, str]]
    joint: bool = False  # all nets of the row share it


def artifacts_of_row(
    method: Method, cells: Sequence[Filled], known: Mapping[str, Filled], names: Mapping[str, str]
) -> list[Artifact]:
    """The artifacts of cells that are ok, as panels get them: with what is shown beside each, and with all of the row.

    `known` are a report's filled cells by their key, `names` what pages call the nets, by the model's id.
    """
    found = []
    for filled in cells:
        beside = {name: known[key].load() for name, key in _beside(filled, known).items()}
        found.append(replace(filled.load(), beside=beside))
    if not method.row:
        return found
    row = {names[filled.cell.model]: artifact for filled, artifact in zip(cells, found, strict=True)}
    return [replace(artifact, row=row) for artifact in found]


def figures_of_row(
    store: Store,
    method: Method,
    cells: Sequence[Filled],
    *,
    photo: Callable[[str], Picture],
    colors: Mapping[str, str],
    names: Mapping[str, str] | None = None,
    known: Mapping[str, Filled] | None = None,
) -> list[Drawn]:
    """The figures of all panels of one row, from the store or drawn now, net by net as the cells come.

    `cells` are those of one section, image and layer, one per net; `photo` gives the picture as a net sees it, `colors`
    the nets' colours in the order of the report and `names` what pages call them, all by the model's id. `known` has
    the report's filled cells by their key, for those that are shown beside others.
    """
    ok = [cell for cell in cells if cell.status == "ok"]
    if not ok:
        return []
    row = _RowOf(method, ok, photo, colors, names or {model: model for model in colors}, known or {})
    models = [cell.cell.model for cell in ok]
    document = {
        "schema": "figures-2",
        "cells": [cell.cell.key for cell in ok],
        "beside": [_beside(cell, row.known) for cell in ok],
        "colors": [colors[model] for model in models],
        "markers": [palettes.marker(list(colors).index(model)) for model in models],
        "names": [row.names[model] for model in models],
        "method": [method.name, method.version],
        "source": keys.source_digest(DRAWING, method.panels.__module__),
        "widths": [WIDTH, SHEET_WIDTH, JOINT_WIDTH],
    }
    key = keys.digest(document)
    record = store.get(key)
    if record is None:
        meta, blobs = _draw_row(row)
        record = store.put(key, kind="figure", document=document, meta=meta, blobs=blobs)
    return [_drawn(entry, ok, record) for entry in record.meta["figures"]]


@dataclass(frozen=True)
class _RowOf:
    """What is needed to draw a row: its cells that are ok, and what is known of their nets."""

    method: Method
    cells: Sequence[Filled]
    photo: Callable[[str], Picture]
    colors: Mapping[str, str]
    names: Mapping[str, str]
    known: Mapping[str, Filled]


def _draw_row(row: _RowOf) -> tuple[dict[str, Any], dict[str, bytes]]:
    """What the store keeps of a row: the words of every figure, and the pictures."""
    from reportgen import encode

    shown = artifacts_of_row(row.method, row.cells, row.known, row.names)
    panels = [row.method.panels(artifact) for artifact in shown]
    entries: list[dict[str, Any]] = []
    pictures: list[tuple[str, Colors, bool]] = []
    for name in dict.fromkeys(panel.name for own in panels for panel in own):
        same = [(i, panel) for i, own in enumerate(panels) for panel in own if panel.name == name]
        drawer = _draw_joint if any(panel.joint for _, panel in same) else _draw_each
        for entry, pixels in drawer(row, same):
            if pixels is not None:
                entry["blob"] = f"{entry['cells'][0]}.{name}"
                entry["size"] = [pixels.shape[1], pixels.shape[0]]
                pictures.append((entry["blob"], pixels, entry["kind"] in {"curves", "scatter"}))
            entries.append(entry)
    with ThreadPoolExecutor(4) as pool:  # the encoder releases the interpreter's lock
        full = list(pool.map(lambda one: encode.webp(one[1], exact=one[2]), pictures))
        small = list(pool.map(lambda one: encode.thumbnail(one[1]), pictures))
    blobs = {f"{blob}.webp": data for (blob, *_), data in zip(pictures, full, strict=True)}
    blobs |= {f"{blob}.thumb.webp": data for (blob, *_), data in zip(pictures, small, strict=True)}
    return {"figures": sorted(entries, key=lambda entry: int(entry["cells"][0]))}, blobs


def _draw_each(row: _RowOf, same: Sequence[tuple[int, Panel]]) -> Iterator[tuple[dict[str, Any], Colors | None]]:
    """The words and the picture of one panel for every net that has it, by the number of its cell."""
    from reportgen import categories

    panels = [panel for _, panel in same]
    mapped = [panel for panel in panels if panel.kind == "heatmap" and panel.categories]
    names = categories.colors_of_row(mapped) if mapped else None
    for (i, panel), scale in zip(same, scales(panels), strict=True):
        entry = _words(panel, scale) | {"cells": [i], "size": [0, 0]}
        if panel.kind == "table":
            yield entry, None
            continue
        model = row.cells[i].cell.model
        if panel.kind == "heatmap" and panel.photo == "beside":  # pages hang the photo there once a row
            panel = replace(panel, photo="none")  # noqa: PLW2901
        seen = row.photo(model) if row.cells[i].cell.image and _wants_photo(panel) else None
        width = SHEET_WIDTH if panel.kind == "grid" else WIDTH
        yield entry, draw(panel, photo=seen, scale=scale, width=width, color=row.colors[model], names=names)


def _draw_joint(row: _RowOf, same: Sequence[tuple[int, Panel]]) -> Iterator[tuple[dict[str, Any], Colors | None]]:
    """The words and the picture of a panel that all nets of the row share; the words are the first net's."""
    from reportgen import curves

    panels = [panel for _, panel in same]
    scale = joint_scale(panels)
    series = joint_series(panels, [row.cells[i].cell.model for i, _ in same], row.names, row.colors)
    entry = _words(panels[0], scale) | {"cells": [i for i, _ in same], "joint": True}
    yield entry, curves.joint(series, scale, JOINT_WIDTH)


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


def _drawn(entry: Mapping[str, Any], row: Sequence[Filled], record: Record) -> Drawn:
    """The figure of a stored entry under the id that this report gives it."""
    cell = row[entry["cells"][0]].cell
    joint = entry.get("joint", False)
    stem = f"{cell.section}.joint{cell.id.removeprefix(f'{cell.section}.{cell.model}')}" if joint else cell.id
    identifier = f"{stem}.{entry['panel']}"
    if not SAFE_ID.fullmatch(identifier):
        raise RenderError(f"The figure {identifier!r} would need a file name that is not safe.")
    blobs = [f"{entry['blob']}.webp", f"{entry['blob']}.thumb.webp"] if "blob" in entry else []
    files = [f"assets/{identifier}{ending}" for ending in (".webp", ".thumb.webp")][: len(blobs)]
    rule, low, high = entry["scale"]
    figure = Figure(
        id=identifier,
        section=cell.section,
        cells=tuple(row[i].cell.id for i in entry["cells"]),
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
    return Drawn(figure, {file: (record, blob) for file, blob in zip(files, blobs, strict=True)}, joint)


def _beside(filled: Filled, known: Mapping[str, Filled]) -> dict[str, str]:
    """Method -> key of the cells that are there to be shown beside this one."""
    asked = {name: cell.key for name, cell in filled.cell.beside.items()}
    return {name: key for name, key in asked.items() if key in known and known[key].status == "ok"}


def _wants_photo(panel: Panel) -> bool:
    return panel.photo != "none" or panel.boxes is not None


def _plain(value: Any) -> Any:
    """A table's value as JSON knows it; NumPy's numbers become Python's."""
    return value.item() if hasattr(value, "item") else value
