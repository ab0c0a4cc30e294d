"""The page to compare nets on: its links where no script runs, and the data that its script reads.

What the reader chooses there is a row of the report: the same panel of the same image and layer, a net per column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reportgen import encode, palettes
from reportgen.charts import number
from reportgen.pages import Block, Row, image_name, outside
from reportgen.records import Figure
from reportgen.site_differences import NOTHING, Extra, extras
from reportgen.site_script import literal
from reportgen.wall_words import RULES, scale_words
from reportgen.walls import Hanger, Tile

if TYPE_CHECKING:
    from reportgen.report import Report

DATA_FILE = "assets/compare-data.js"
MAPS = {"one": palettes.ONE_SIDED, "two": palettes.SIGNED}


def pictured(blocks: Sequence[Block]) -> list[tuple[Block, Row]]:
    """The rows with a picture: those that can be chosen on the page."""
    return [(b, r) for b in blocks for r in b.rows if any(slot.figure and slot.figure.files for slot in r.slots)]


def page_values(report: Report, blocks: Sequence[Block]) -> dict[str, Any]:
    """What the page's template needs: the links that stand where no script runs."""
    hanger, rows = Hanger(report), pictured(blocks)
    titles = {section.id: section.title for section in report.spec.sections}
    sections = [(titles[name], f"section/{name}.html") for name in dict.fromkeys(block.section for block, _ in rows)]
    images = [(image_name(report, name), f"image/{name}.html") for name in report.spec.images]
    return {
        "nets": [hanger.net_head(model) for model in report.spec.models],
        "by_section": sections,
        "by_image": images,
    }


def write_compare(report: Report, blocks: Sequence[Block], folder: Path) -> None:
    """The page's data as a script that assigns one variable, its colour bars, and the pictures drawn for it alone."""
    found = extras(report, pictured(blocks))
    for extra in found.values():
        for file, (record, blob) in extra.files.items():
            (folder / file).write_bytes(report.store.read(record, blob))
    for name, table in MAPS.items():
        bar = palettes.colormap(table)[None].repeat(8, axis=0)
        (folder / "assets" / f"bar.{name}.webp").write_bytes(encode.webp(bar, exact=True))
    (folder / DATA_FILE).write_text(script("REPORTGEN_COMPARE", _data(report, blocks, found)), encoding="utf-8")


def script(name: str, value: Any) -> str:
    """A value as a script that assigns it to a variable."""
    return f"var {name} = {literal(value, ascii_only=True)};\n"


# ---------------------------------------------------------------------------------------------------------------- data


def _data(report: Report, blocks: Sequence[Block], drawn: Mapping[int, Extra]) -> dict[str, Any]:
    hanger, rows = Hanger(report), pictured(blocks)
    sections = list(dict.fromkeys(block.section for block, _ in rows))
    images, models = list(report.spec.images), list(report.spec.models)
    titles = {section.id: section.title for section in report.spec.sections}
    return {
        "models": [
            {"id": m, "name": hanger.names[m], "href": f"net/{m}.html", "mark": hanger.marks[m]} for m in models
        ],
        "images": [
            {
                "id": name,
                "name": image_name(report, name),
                "photo": f"assets/photo.{name}.webp",
                "outside": [place for place, model in enumerate(models) if outside(report, name, model)],
            }
            for name in images
        ],
        "sections": [{"id": name, "title": titles[name], "href": f"section/{name}.html"} for name in sections],
        "rows": [
            {
                "image": images.index(row.image) if row.image else -1,
                "section": sections.index(block.section),
                **_row(hanger, block, row, drawn.get(place, NOTHING)),
            }
            for place, (block, row) in enumerate(rows)
        ],
    }


def _row(hanger: Hanger, block: Block, row: Row, extra: Extra) -> dict[str, Any]:
    """One row as the page's script reads it."""
    wall = hanger.by_net([row], block.models)[0]
    marks = hanger.marks
    shown: dict[str, Any] = {
        "panel": row.panel,
        "title": wall.title or row.panel,
        "label": row.label,
        "caption": wall.caption,
        "columns": ", ".join(wall.names),
        "featured": any(slot.figure.featured for slot in row.slots if slot.figure),
    }
    if row.joint:
        return shown | {"joint": _picture(row.joint), "missing": [words for words, _ in hanger.joint_tile(row).missing]}
    tiles_of = dict(zip((slot.model for slot in row.slots), wall.lines[0].tiles if wall.lines else (), strict=False))
    shown["tiles"] = {str(marks[model]): _tile(tile, extra.own.get(model)) for model, tile in tiles_of.items()}
    if extra.differences or extra.reasons:
        shown["limits"] = [number(limit) for limit in extra.limits]
        shown["differences"] = {
            f"{marks[a]}-{marks[b]}": {"file": file, "alt": f"{hanger.names[a]} minus {hanger.names[b]}: {words}"}
            for (a, b), (file, words) in extra.differences.items()
        } | {f"{marks[a]}-{marks[b]}": {"reason": reason} for (a, b), reason in extra.reasons.items()}
    return shown


def _tile(tile: Tile, own: tuple[str, float, float] | None) -> dict[str, Any]:
    figure = tile.figure
    if figure is None or not figure.files:
        return {"reason": tile.reason or "A table: see the section's page."}
    scale = scale_words(figure.scale)
    note = tile.note.removesuffix(scale).removesuffix(" · ") if scale else tile.note
    shown = _picture(figure) | {"note": note, "rule": RULES[figure.scale.rule], "rows": list(tile.rows)}
    if figure.kind in {"heatmap", "grid"} and figure.scale.min is not None and figure.scale.max is not None:
        signed = figure.scale.min < 0
        shown |= {"map": "two" if signed else "one", "limits": [number(figure.scale.min), number(figure.scale.max)]}
        if own is not None:
            shown["own"] = {"file": own[0], "limits": [number(own[1]), number(own[2])]}
    return shown


def _picture(figure: Figure) -> dict[str, Any]:
    return {"file": figure.files[0], "size": [figure.width, figure.height], "alt": figure.alt}
