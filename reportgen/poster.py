"""The poster: the report's figures, redrawn for print and laid out on one sheet of PDF, with its preflight."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from reportgen import texts
from reportgen.poster_content import make_featured, make_tiles
from reportgen.poster_corner import Logo
from reportgen.poster_draw import draw_all
from reportgen.poster_files import lay_out, lay_out_attached, lay_out_logos
from reportgen.poster_layout import Sheet
from reportgen.poster_plan import plan_sheet
from reportgen.poster_sheet import (
    FEATURED,
    Content,
    Plan,
    block_name,
    compose,
    paper_beyond,
    tile_width,
    widths,
)
from reportgen.poster_tiles import Tile
from reportgen.poster_words import TABLE, ending, listed, make_words, pieces_of, words_of
from reportgen.preflight import Expected, preflight
from reportgen.typesetter import Typesetter

if TYPE_CHECKING:
    from reportgen.pages import Block
    from reportgen.report import Report
    from reportgen.spec_models import PosterOutput

LEAST_DPI = 150
SMALLEST_TYPE = 18.0  # points on A0
BODY = 28.0  # likewise
BANDS = 4  # lines of the large figure that fill a third of the sheet


def make_poster(report: Report, blocks: Sequence[Block], options: PosterOutput, folder: Path) -> list[str]:
    """What the preflight found on the poster, which is written to poster.pdf in the folder. Raises RenderError."""
    sheet = Sheet(*options.millimetres, billboard=options.template == "billboard")
    bleed = options.bleed_millimetres
    with tempfile.TemporaryDirectory(prefix="reportgen-poster-") as scratch:
        build = Path(scratch)
        with Typesetter(build) as setter:  # which starts while we prepare
            logos = lay_out_logos(report, options.logos, build)
            shown = chosen(blocks, options.sections)
            content = make_content(report, shown, logos, options.message, sheet.billboard)
            lay_out(report, options, content.words.address, build)
            attached = lay_out_attached(folder, build)
            pdf = folder / "poster.pdf"
            plan = plan_sheet(sheet, content, setter)
            files = draw_all(report, _sized(content, plan), SMALLEST_TYPE / 72 * 25.4 * sheet.unit, build)
            page = compose(plan, content, files, bleed)
            said = setter.typeset(page, pdf, bleed=bleed, attached=attached, date=report.spec.date)
    expected = replace(_expected(plan, content), bleed=bleed, beyond=paper_beyond(bleed))
    expected = replace(expected, attached=tuple(one.name for one in attached))
    return [*unknown(blocks, options.sections), *_findings(plan, content), *preflight(pdf, expected, said)]


def make_content(
    report: Report,
    blocks: Sequence[Block],
    logos: tuple[Logo, ...] = (),
    message: str = "",
    billboard: bool = False,
) -> Content:
    """What stands on paper: the words, the large figure, and the blocks of tiles."""
    deep, featured = None, None
    for block in _deep_blocks(report, blocks):  # the first that has maps at its depths
        if featured := make_featured(report, block, 1 if billboard else max(1, BANDS // len(block.models))):
            deep = block
            break
    others = [block for block in blocks if block.method and not (featured and block is deep)]
    results = {block.section: made for block in others if (made := make_tiles(report, block)) is not None}
    shown = {*results, *([featured.name] if featured else [])}
    # a section whose pictures nobody has is a text, but for the table of nets, which stands among the texts anyway
    told = [block if block.section in shown or _is_table(block) else replace(block, method=None) for block in blocks]
    words = make_words(report, told, texts.report_texts(report), message)
    if featured and billboard:
        featured = replace(featured, message="")  # there is one sentence, and it stands above
    return Content(words, featured, tuple(results.values()), logos)


def chosen(blocks: Sequence[Block], asked: Sequence[str]) -> list[Block]:
    """What a spec lists, in its order: whole sections by their ids, or some of a section's cells; all without a list.

    A cell is named by its id or the beginning of it, where * is any word: `saliency.*.cat`.
    """
    if not asked:
        return list(blocks)
    by_id = {block.section: block for block in blocks}
    sections = dict.fromkeys(name.partition(".")[0] for name in asked)
    found = []
    for section in (name for name in sections if name in by_id):
        patterns = [name for name in asked if name.startswith(f"{section}.")]
        whole = section in asked or not patterns
        found.append(by_id[section] if whole else _picked(by_id[section], patterns))
    return found


def unknown(blocks: Sequence[Block], asked: Sequence[str]) -> list[str]:
    """What a spec lists that no cell is called."""
    cells = [slot.filled.cell.id for block in blocks for row in block.rows for slot in row.slots if slot.filled]
    return [
        f"{name} was asked for, and no cell has such an id; one that has is {next(iter(cells), 'none')}."
        for name in asked
        if "." in name and not any(_is_named(cell, [name]) for cell in cells)
    ]


def _picked(block: Block, patterns: Sequence[str]) -> Block:
    """A section's rows and nets with a cell that is asked for."""
    named = [[s.model for s in row.slots if s.filled and _is_named(s.filled.cell.id, patterns)] for row in block.rows]
    models = tuple(model for model in block.models if any(model in own for own in named))
    rows = [
        replace(row, slots=tuple(slot for slot in row.slots if slot.model in models))
        for row, own in zip(block.rows, named, strict=True)
        if own
    ]
    return replace(block, rows=tuple(rows), models=models)


def _is_named(cell: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(cell, pattern) or fnmatchcase(cell, f"{pattern}.*") for pattern in patterns)


def _is_table(block: Block) -> bool:
    return block.method is not None and block.method.name == TABLE


def _deep_blocks(report: Report, blocks: Sequence[Block]) -> list[Block]:
    """The sections that may give the large figure, which look at several depths: the spec's featured one first."""
    wanted = report.spec.featured.section if report.spec.featured else ""
    deep = [block for block in blocks if len({row.layer for row in block.rows if row.layer}) >= 3]
    return sorted(deep, key=lambda block: block.section != wanted)


def _sized(content: Content, plan: Plan) -> Iterator[tuple[Tile, float]]:
    """Every tile with a picture that is shown, and its width in mm."""
    if content.featured:
        size = widths(plan.sheet, content.featured, plan.figure)
        for group in content.featured.groups[: size.bands]:
            if group.photo:
                yield group.photo, size.photo
            yield from ((tile, size.tile) for line in group.lines for tile in line.tiles if tile.drawing)
    places = {place.name: place for place in plan.places}
    for block in content.results:
        if (place := places.get(block_name(block))) is None:
            continue
        width = tile_width(plan.sheet, block.across)[0] * place.scale
        for group in block.groups[: place.rows]:
            yield from ((tile, width) for line in group.lines for tile in line.tiles if tile.drawing)


def _findings(plan: Plan, content: Content) -> list[str]:
    """What went wrong in the layout, in words."""
    found = []
    if plan.type < 1:
        words = sum(len(words_of(str(text.html)).split()) for text in pieces_of(content.words))
        many = max(1, round(words * plan.too_long))
        found.append(
            f"The type is {BODY * plan.type:.0f} points where a poster wants {BODY:.0f} (on A0): there is too much "
            f"text, about {many} of {words} words ({100 * plan.too_long:.0f} %). Shorten it, or name fewer sections "
            "under outputs.poster.sections."
        )
    if plan.left_out:
        titles = [block.title for block in content.results if block.name in plan.left_out]
        found.append(f"There is no room for {listed(titles)}, left out. Name fewer sections or shorten the texts.")
    return found


def _expected(plan: Plan, content: Content) -> Expected:
    words, sheet = content.words, plan.sheet
    pieces = pieces_of(words)
    names = {text.name: text.name for text in pieces} | {FEATURED: content.featured.name if content.featured else ""}
    names |= {block_name(block): block.name for block in content.results}
    names |= {"corner": "the logos and the QR code", "byline": "the authors", "head": "the title and the authors"}
    endings = {text.name: ending(str(text.html)) for text in pieces}
    shown = [block for block in content.results if block.name not in plan.left_out]
    for block in (*shown, *([content.featured] if content.featured else [])):
        endings[block.name] = "".join(block.caption.split())[-24:]
    endings["title"] = "".join(words.title.split())[-24:]
    if sheet.billboard:
        endings["sentence"] = "".join(words.message.split())[-24:]
    return Expected(
        width=sheet.width,
        height=sheet.height,
        endings=endings,
        places={place.name: (place.x, place.y, place.width, place.height) for place in plan.places},
        names={name: said for name, said in names.items() if said},
        least_dpi=LEAST_DPI,
        smallest_type=SMALLEST_TYPE * min(1.0, sheet.unit),
        slack=sheet.unit,
    )
