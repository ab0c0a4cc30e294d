"""Figures to take away: for print, as numbers, and maps of points to look around in; drawn once, kept in the store."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from io import BytesIO, StringIO
from typing import TYPE_CHECKING, Any

import numpy as np

from reportgen import categories, embedding, keys, palettes, print_pdf, vector_charts
from reportgen.figures import draw
from reportgen.pages import Block, Row, model_colors, model_name
from reportgen.rows import artifacts_of_row
from reportgen.site_search import script

if TYPE_CHECKING:
    from reportgen.palettes import Colors
    from reportgen.records import Artifact, Figure, Filled, Panel
    from reportgen.report import Report
    from reportgen.store import Record

DRAWING = ("site_prints", "print_pdf", "vector_charts")
THUMB = 32  # pixels across a picture in the map's atlas
ACROSS = 32  # pictures in one of its lines
STEPS = 10_000  # along a side of the map: its points are whole numbers


@dataclass(frozen=True)
class Print:
    """What one figure can be taken away as: endings of file names with where their bytes lie."""

    figure: Figure
    row: Row
    cells: tuple[Filled, ...]
    record: Record | None
    blobs: dict[str, str]  # ending -> name of the blob


def prints(report: Report, blocks: Sequence[Block]) -> Iterator[Print]:
    """Every figure of a report once, in the order of its pages."""
    for block in blocks:
        groups: dict[tuple[str, ...], list[Row]] = {}
        for row in block.rows:
            cells = tuple(s.filled.cell.id for s in row.slots if s.filled and s.filled.status == "ok")
            groups.setdefault(cells, []).append(row)
        for rows in groups.values():
            yield from _of_group(report, block, rows)


def _of_group(report: Report, block: Block, rows: Sequence[Row]) -> Iterator[Print]:
    """The figures that the same cells give."""
    cells = [slot.filled for slot in rows[0].slots if slot.filled and slot.filled.status == "ok"]
    figures: dict[str, tuple[Figure, Row]] = {}
    for row in rows:
        for slot in row.slots:
            if slot.figure is not None:
                figures.setdefault(slot.figure.id, (slot.figure, row))
    drawn = next((block.files[f.files[0]][0] for f, _ in figures.values() if f.files), None)
    record = _record(report, block, cells, [figure for figure, _ in figures.values()], drawn) if drawn else None
    known = {filled.cell.id: filled for filled in cells}
    for place, (figure, row) in enumerate(figures.values()):
        own = tuple(known[cell] for cell in figure.cells)
        blobs = {name.partition(".")[2]: name for name in record.blobs if name.partition(".")[0] == str(place)} \
            if record else {}  # fmt: skip
        yield Print(figure, row, own, record, blobs)


def _record(report: Report, block: Block, cells: Sequence[Filled], figures: Sequence[Figure], drawn: Record) -> Record:
    """The prints of a group from the store, or made now."""
    names = {model: model_name(report, model) for model in report.spec.models}
    ids = [[figure.panel, [c.partition(".")[2] for c in figure.cells]] for figure in figures]
    document = {"schema": "prints-1", "drawn": drawn.key, "figures": ids, "names": list(names.values()),
                "source": keys.source_digest(DRAWING)}  # fmt: skip
    key = keys.digest(document)
    record = report.store.get(key)
    if record is None and block.method is not None:
        shown = artifacts_of_row(block.method, cells, report.known, names)
        maker = _Maker(report, cells, shown, [block.method.panels(artifact) for artifact in shown], names)
        with ThreadPoolExecutor(4) as pool:
            made = list(pool.map(maker.blobs, figures))
        blobs = {f"{place}.{end}": data for place, own in enumerate(made) for end, data in own.items()}
        record = report.store.put(key, kind="figure", document=document, blobs=blobs)
    assert record is not None
    return record


@dataclass(frozen=True)
class _Maker:
    """Makes the files of the figures of one group of cells."""

    report: Report
    cells: Sequence[Filled]
    artifacts: Sequence[Artifact]
    panels: Sequence[Sequence[Panel]]
    names: dict[str, str]

    def blobs(self, figure: Figure) -> dict[str, bytes]:
        """By the ending of the file's name."""
        place = [filled.cell.id for filled in self.cells].index(figure.cells[0])
        panel = next(panel for panel in self.panels[place] if panel.name == figure.panel)
        color = model_colors(self.report)[self.cells[place].cell.model]
        found: dict[str, bytes] = {}
        if figure.kind == "curves":
            strokes = self._strokes(figure, panel, color)
            found["svg"] = vector_charts.lines(strokes, panel, figure.scale).encode()
            found["csv"] = _table(["line", "x", "y"], _points(strokes))
        elif figure.kind == "bars":
            found["svg"] = vector_charts.bars(panel, figure.scale, color).encode()
            values = np.asarray(panel.values, dtype=np.float64).ravel().tolist()
            found["csv"] = _table(["name", "value"], zip(panel.row_labels, values, strict=False))
        elif figure.kind != "table":
            found["pdf"] = print_pdf.pdf(self._pixels(figure, panel, place, color), f"{figure.title} ({figure.id})")
        if figure.kind == "scatter" and panel.values is not None:
            found |= _scatter(panel, self.artifacts[place])
        return found

    def _strokes(self, figure: Figure, panel: Panel, color: str) -> list[vector_charts.Stroke]:
        if not panel.joint:
            return vector_charts.strokes_of(panel, color)
        models, colors = list(self.report.spec.models), model_colors(self.report)
        found = []
        for filled, panels in zip(self.cells, self.panels, strict=True):
            for own in panels:
                if own.name == figure.panel and filled.cell.id in figure.cells:
                    model = filled.cell.model
                    marker = palettes.marker(models.index(model))
                    found += vector_charts.strokes_of(own, colors[model], marker, self.names[model])
        return found

    def _pixels(self, figure: Figure, panel: Panel, place: int, color: str) -> Colors:
        """The panel as on pages, in the resolution of print."""
        cell = self.cells[place].cell
        wanted = panel.photo != "none" or panel.boxes is not None
        photo = self.report.photo(cell.image, cell.model) if cell.image and wanted else None
        names = None
        if panel.kind == "heatmap" and panel.categories:
            names = categories.colors_of_row([p for own in self.panels for p in own if p.name == panel.name])
        if panel.kind == "heatmap" and panel.photo == "beside":
            panel = replace(panel, photo="none")
        return draw(panel, photo=photo, scale=figure.scale, width=print_pdf.PIXELS, color=color, names=names)


def _points(strokes: Sequence[vector_charts.Stroke]) -> list[list[Any]]:
    return [[one.name, float(x), float(y)] for one in strokes for x, y in zip(one.x, one.y, strict=True)]


def _scatter(panel: Panel, artifact: Artifact) -> dict[str, bytes]:
    """A map's points as a table and as data for the page's script, with the pictures of its points as an atlas."""
    points = np.asarray(panel.values, dtype=np.float64)
    groups = np.full(len(points), -1) if panel.groups is None else np.asarray(panel.groups)
    named = [panel.categories[g].replace("_", " ") if g >= 0 else "" for g in groups.tolist()]
    table = _table(["x", "y", "class"], [[float(x), float(y), n] for (x, y), n in zip(points, named, strict=True)])
    low, span = points.min(axis=0), float(np.ptp(points, axis=0).max()) or 1.0
    whole = np.rint((points - low) / span * STEPS).astype(int)
    facts: dict[str, Any] = {
        "points": whole.ravel().tolist(),
        "groups": groups.tolist(),
        "names": [name.partition(",")[0].replace("_", " ") for name in panel.categories],
        "colors": [embedding.color(place) for place in range(len(panel.categories))],
        "side": STEPS,
    }
    found = {"csv": table}
    thumbs = artifact.arrays.get("thumbnails")
    if thumbs is not None and thumbs.size and len(thumbs) == len(points):
        facts["atlas"] = {"tile": THUMB, "across": ACROSS}
        found["atlas.webp"] = _atlas(np.asarray(thumbs))
    return {**found, "js": script("reportgenMap", facts).encode()}


def _atlas(thumbs: Any) -> bytes:
    """N h w 3 bytes as one picture, line by line."""
    from PIL import Image

    sheet = Image.new("RGB", (ACROSS * THUMB, -(-len(thumbs) // ACROSS) * THUMB))
    for place, picture in enumerate(thumbs):
        tile = Image.fromarray(picture).resize((THUMB, THUMB), Image.Resampling.LANCZOS)
        sheet.paste(tile, (place % ACROSS * THUMB, place // ACROSS * THUMB))
    buffer = BytesIO()
    sheet.save(buffer, "WEBP", quality=78, method=2)
    return buffer.getvalue()


def _table(columns: Sequence[str], rows: Any) -> bytes:
    """Columns and rows as CSV. Words that a spreadsheet would take for a formula get an apostrophe before them."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([_harmless(name) for name in columns])
    for row in rows:
        writer.writerow([_harmless(value) if isinstance(value, str) else f"{value:.6g}" if isinstance(value, float)
                         else value for value in row])  # fmt: skip
    return text.getvalue().encode()


def _harmless(word: str) -> str:
    return f"'{word}" if word[:1] in ("=", "+", "-", "@", "\t") else word


def table_of(figure: Figure) -> bytes:
    """A table's figure as CSV."""
    return _table([str(name) for name in figure.columns], figure.rows)
