"""What the page to compare nets on shows beside the report's own pictures: differences, and maps on their own scale.

They are drawn here, from the arrays, because a page opened from a folder cannot read them; only panels whose rule says
that the numbers of all nets can be compared (a shared or a fixed scale) have any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

from reportgen import encode, figures, keys, tiles, wording
from reportgen.charts import number
from reportgen.pages import Block, Row
from reportgen.records import Array, Filled, Panel, Scale
from reportgen.rows import DRAWING, SAFE_ID, artifacts_of_row

if TYPE_CHECKING:
    from reportgen.report import Report
    from reportgen.store import Record

MOST_PICTURES = 240  # that are drawn for this page alone; those of the featured panels come first
SAME_FIELD = 0.01  # how much the shown part of the photo may differ between nets, as a share of it


@dataclass(frozen=True)
class Extra:
    """What is drawn of a row for this page alone."""

    own: Mapping[str, tuple[str, float, float]]  # model -> file and limits on its own scale
    differences: Mapping[tuple[str, str], tuple[str, str]]  # two models -> file, and words for who cannot see it
    limits: tuple[float, float]  # of all differences of the row
    reasons: Mapping[tuple[str, str], str]  # why two models have none
    files: Mapping[str, tuple[Record, str]]  # file -> record and blob


NOTHING = Extra({}, {}, (0.0, 0.0), {}, {})


def extras(report: Report, rows: Sequence[tuple[Block, Row]]) -> dict[int, Extra]:
    """What is drawn of rows for this page alone, by the row's place, until its budget of pictures is spent."""
    wanted = [place for place, (_, row) in enumerate(rows) if _comparable(row)]
    featured = {place: any(s.figure.featured for s in rows[place][1].slots if s.figure) for place in wanted}
    found: dict[int, Extra] = {}
    left = MOST_PICTURES
    for place in sorted(wanted, key=lambda one: (not featured[one], one)):
        block, row = rows[place]
        count = sum(slot.figure is not None for slot in row.slots)
        left -= count + count * (count - 1) // 2
        if left < 0:
            pairs = combinations([slot.model for slot in row.slots if slot.figure], 2)
            found[place] = replace(NOTHING, reasons=dict.fromkeys(pairs, "This report has more differences than a site "
                                                                  "can hold; this one was not drawn."))  # fmt: skip
        else:
            found[place] = _extra(report, block, row)
    return found


def _comparable(row: Row) -> bool:
    """Whether the row's panel is a map whose numbers may be set side by side between nets."""
    own = [slot.figure for slot in row.slots if slot.figure]
    return bool(own) and not row.joint and all(f.kind == "heatmap" and f.scale.rule in {"shared", "fixed"} for f in own)


def _extra(report: Report, block: Block, row: Row) -> Extra:
    """The pictures of a row that only this page shows, from the store or drawn now."""
    if block.method is None:
        return NOTHING
    cells = [slot.filled for slot in row.slots if slot.filled is not None and slot.figure is not None]
    document = {
        "schema": "compare-1",
        "cells": [filled.cell.key for filled in cells],
        "beside": [{name: cell.key for name, cell in filled.cell.beside.items()} for filled in cells],
        "panel": row.panel,
        "targets": [_target(filled) for filled in cells],
        "method": [block.method.name, block.method.version],
        "source": keys.source_digest((*DRAWING, "site_differences"), block.method.panels.__module__),
        "width": figures.WIDTH,
    }
    key = keys.digest(document)
    record = report.store.get(key)
    if record is None:
        meta, blobs = _draw(report, block, row, cells)
        record = report.store.put(key, kind="figure", document=document, meta=meta, blobs=blobs)
    return _named(row, cells, record)


def _draw(report: Report, block: Block, row: Row, cells: Sequence[Filled]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """What the store keeps of a row: own limits, the limits of all differences, words for each, and the pictures."""
    import numpy as np

    assert block.method is not None  # a section of text has no rows
    names = {filled.cell.model: filled.cell.model for filled in cells}
    shown = artifacts_of_row(block.method, cells, report.known, names)
    panels = [next(p for p in block.method.panels(one) if p.name == row.panel) for one in shown]
    blobs: dict[str, bytes] = {}
    owns, pairs = [], []
    for place, (panel, filled) in enumerate(zip(panels, cells, strict=True)):
        own = figures.value_range(panel)
        blobs[f"own.{place}.webp"] = _drawn(report, panel, filled, Scale("own", *own))
        owns.append(list(own))
    found: dict[tuple[int, int], Array] = {}
    for i, j in combinations(range(len(cells)), 2):
        if not (reason := _reason(report, cells[i], cells[j])):
            found[i, j] = difference(np.asarray(panels[i].values), np.asarray(panels[j].values))
        pairs.append([i, j, reason, _seen(found[i, j], panels[i].unit) if not reason else ""])
    top = max((tiles.limit(values) for values in found.values()), default=0.0)
    for (i, j), values in found.items():
        panel = replace(panels[i], values=values, signed=True, limits=None)
        blobs[f"difference.{i}-{j}.webp"] = _drawn(report, panel, cells[i], Scale("shared", -top, top))
    return {"own": owns, "pairs": pairs, "top": top}, blobs


def _drawn(report: Report, panel: Panel, filled: Filled, scale: Scale) -> bytes:
    """A map as the site has it: over the photo where it lies under, never beside it."""
    photo = report.photo(filled.cell.image, filled.cell.model) if filled.cell.image and panel.photo == "under" else None
    alone = replace(panel, photo="under" if photo is not None else "none")
    return encode.webp(figures.draw(alone, photo=photo, scale=scale, width=figures.WIDTH))


def difference(one: Array, other: Array) -> Array:
    """One map minus another, each enlarged without smoothing where the other has more squares; NaN where either is."""
    import numpy as np

    height, width = (max(pair) for pair in zip(one.shape, other.shape, strict=True))

    def spread(values: Array) -> Array:
        rows, columns = (np.arange(n) * m // n for n, m in zip((height, width), values.shape, strict=True))
        return np.asarray(values, dtype=np.float64)[np.ix_(rows, columns)]

    return spread(one) - spread(other)


def _reason(report: Report, one: Filled, other: Filled) -> str:
    """Why the maps of two nets cannot be subtracted, or an empty text."""
    targets = _target(one), _target(other)
    if targets[0] != targets[1]:
        return f"The two nets explain different classes here ({targets[0]} and {targets[1]})."
    shares = [report.cards[f.cell.model].preprocess for f in (one, other)]
    if abs(shares[0].size / shares[0].resize - shares[1].size / shares[1].resize) > SAME_FIELD:
        return "The two nets see different parts of the photo."
    return ""


def _target(filled: Filled) -> str:
    """The class that a cell explains, where it explains one."""
    return str(filled.numbers.get("target_name", ""))


def _seen(values: Array, unit: str) -> str:
    """What a difference shows, for who cannot see it."""
    import numpy as np

    known = np.nan_to_num(values)
    ends = f"from {number(float(known.min()))} to {number(float(known.max()))}{f' ({unit})' if unit else ''}"
    peak = wording.peak(np.abs(known))
    if peak is None:
        return "no difference anywhere."
    y, x = ((at + 0.5) / length for at, length in zip(peak, known.shape, strict=True))
    return (
        f"{ends}; they differ most in the {wording.place(y, x)}, on average by {number(float(np.abs(known).mean()))}."
    )


def _named(row: Row, cells: Sequence[Filled], record: Record) -> Extra:
    """The stored pictures of a row under the names that this report gives them."""
    meta, files = record.meta, {}
    own, differences, reasons = {}, {}, {}
    for place, filled in enumerate(cells):
        file = _file(f"{filled.cell.id}.{row.panel}.own")
        files[file] = (record, f"own.{place}.webp")
        own[filled.cell.model] = (file, *meta["own"][place])
    for i, j, reason, words in meta["pairs"]:
        a, b = cells[i].cell, cells[j].cell
        if reason:
            reasons[a.model, b.model] = reason
            continue
        file = _file(f"{a.section}.{a.model}-{b.model}{a.id.removeprefix(f'{a.section}.{a.model}')}.{row.panel}.minus")
        files[file] = (record, f"difference.{i}-{j}.webp")
        differences[a.model, b.model] = (file, words)
    return Extra(own, differences, (-meta["top"], meta["top"]), reasons, files)


def _file(name: str) -> str:
    if not SAFE_ID.fullmatch(name):
        from reportgen.errors import RenderError

        raise RenderError(f"The picture {name!r} would need a file name that is not safe.")
    return f"assets/{name}.webp"
