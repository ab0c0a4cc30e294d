"""The report as one HTML file for mailing: pictures, typefaces and style in it, no script, nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from reportgen import fonts, palettes
from reportgen.errors import RenderError
from reportgen.pages import image_name, model_name
from reportgen.poster import chosen
from reportgen.poster_words import cited, nets_table, words_of
from reportgen.site_tables import numbers_table
from reportgen.templating import environment, file_of
from reportgen.texts import report_texts

if TYPE_CHECKING:
    from reportgen.pages import Block, Row, Slot
    from reportgen.records import Figure
    from reportgen.report import Report
    from reportgen.spec_models import SingleOutput

LARGEST = 25_000_000  # bytes: what mail servers let through


def make_single(report: Report, blocks: Sequence[Block], options: SingleOutput, folder: Path) -> None:
    """Write single.html to the folder. Raises RenderError where it would be too large to be mailed."""
    shown = chosen(blocks, options.sections)
    sections = [_section(report, block) for block in shown]
    html = _page(report, shown, sections).encode("utf-8")
    if len(html) > LARGEST:
        raise RenderError(_too_large(len(html), {section["id"]: section["size"] for section in sections}))
    (folder / "single.html").write_bytes(html)


def _too_large(size: int, sections: Mapping[str, int]) -> str:
    """How large it is, and which sections would have to go, the largest first."""
    left, gone = size, list[str]()
    for name, own in sorted(sections.items(), key=lambda pair: -pair[1]):
        if left <= LARGEST:
            break
        left -= own
        gone.append(f"{name} ({own / 1e6:.1f} MB)")
    return (
        f"The report as one file would have {size / 1e6:.1f} MB, more than the {LARGEST / 1e6:.0f} MB that can be "
        f"mailed. Without {', '.join(gone)} it would have {left / 1e6:.1f} MB: name the other sections under "
        "outputs.single.sections."
    )


def _page(report: Report, blocks: Sequence[Block], sections: Sequence[Mapping[str, Any]]) -> str:
    texts, spec = report_texts(report), report.spec
    style = _style(report)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    columns, rows, under = nets_table(report)
    return (
        environment("single")
        .get_template("page.html")
        .render(
            title=spec.title,
            authors=spec.authors,
            by=" · ".join(part for part in (", ".join(spec.authors), spec.affiliation, spec.date or "") if part),
            summary=Markup(texts.summary),  # cleaned by texts
            description=words_of(texts.summary),
            links=spec.links,
            style=Markup(style),  # ours alone: names of the spec are not in it
            digest=digest,
            nets={"columns": columns, "rows": rows, "under": under, "marks": len(spec.models)},
            sections=sections,
            references=cited(report, blocks, texts.summary, texts),
            thanks=Markup(texts.acknowledgements),
        )
    )


def _section(report: Report, block: Block) -> dict[str, Any]:
    section = next(section for section in report.spec.sections if section.id == block.section)
    names = {model: model_name(report, model) for model in report.spec.models}
    rows = [_row(report, block, row, names) for row in block.rows]
    columns, numbers = numbers_table(block, None, names)
    return {
        "id": block.section,
        "title": section.title or (block.method.title if block.method else block.section),
        "html": Markup(block.html),
        "lead": block.method.caption if block.method else "",
        "rows": [row for row in rows if row["tiles"]],
        "columns": columns,
        "numbers": numbers,
        "size": sum(len(tile["source"]) for row in rows for tile in row["tiles"]),
    }


def _row(report: Report, block: Block, row: Row, names: Mapping[str, str]) -> dict[str, Any]:
    image = image_name(report, row.image) if row.image else ""
    shown: Sequence[Slot] = [slot for slot in row.slots if slot.filled is not None]
    if row.joint is not None:
        shown = [slot for slot in shown if slot.figure is not None][:1]
    tiles = [_tile(report, block, slot, names, joint=row.joint is not None) for slot in shown]
    tiles = [tile for tile in tiles if tile["source"] or tile["note"]]
    captions = list(dict.fromkeys(tile["caption"] for tile in tiles if tile["caption"]))
    if len(captions) == 1:  # said once for all
        tiles = [tile | {"caption": ""} for tile in tiles]
    label = ", ".join(part for part in (image, row.label, row.dataset) if part)
    return {"label": label, "caption": captions[0] if len(captions) == 1 else "", "tiles": tiles}


def _tile(report: Report, block: Block, slot: Slot, names: Mapping[str, str], joint: bool) -> dict[str, Any]:
    figure: Figure | None = slot.figure
    source = ""
    if figure is not None and figure.files:
        record, blob = block.files[figure.files[0]]
        data = base64.b64encode(report.store.read(record, blob)).decode()
        source = f"data:image/webp;base64,{data}"
    return {
        "net": "" if joint else names[slot.model],
        "mark": list(report.spec.models).index(slot.model),
        "source": source,
        "note": slot.reason if figure is None else "",
        "alt": figure.alt if figure else "",
        "width": figure.width if figure else 0,
        "height": figure.height if figure else 0,
        "caption": figure.caption if figure and source else "",
    }


def _style(report: Report) -> str:
    """The style sheet with its typefaces in it, and a colour for every net."""
    rules = fonts.font_faces("", "woff2")
    for name, data in fonts.web_fonts(report.store).items():
        rules = rules.replace(f'url("{name}")', f'url("data:font/woff2;base64,{base64.b64encode(data).decode()}")')
    own = file_of("single", "style.css").read_text(encoding="utf-8")
    marks = [_mark(index) for index in range(len(report.spec.models))]
    return "\n".join([rules, own, *marks])


def _mark(index: int) -> str:
    color = palettes.model_color(index)
    light, dark = palettes.text_color(color), palettes.text_color(color, palettes.PAPER_DARK)
    return f".mark-{index} {{ color: light-dark({light}, {dark}); border-color: {color}; }}"
