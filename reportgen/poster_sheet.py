"""The poster as HTML: its pieces loose on one endless page, to be measured, and each in its place."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from reportgen.poster_corner import QR, Logo, corner_width, logo_widths, title_width
from reportgen.poster_layout import Place, Sheet
from reportgen.poster_tiles import Line, Tiles
from reportgen.poster_values import block_values, group_values, tile_values
from reportgen.poster_words import Text, Words, direction
from reportgen.templating import environment

LARGE_FIGURE = (1.0, 0.92, 0.84, 0.76, 0.68, 0.6)  # of the tile that would fill its width
TITLES = (31.0, 28.2, 25.4, 22.6, 19.8, 17.0, 14.2)  # 88 to 40 points, in mm on A0
TITLE_WIDTHS = (1.0, 0.9, 0.8, 0.7, 0.6)  # a narrower box spreads the title evenly over its lines
SENTENCES = (77.6, 70.6, 63.5, 56.4, 49.4, 42.3, 35.3, 28.2)  # of a billboard: 220 to 80 points, in mm on A0
FEATURED = "large-figure"  # the name of its place
SMALL_TYPE = {"small": 0.643, "caption": 0.786, "list": 0.82}  # of the body
LEAST_TYPE = 6.352  # 18 points, in mm on A0
MOST_PHOTO = 0.66  # of the height of the depths beside it


@dataclass(frozen=True, eq=False)
class Content:
    """Everything that is to stand on the sheet."""

    words: Words
    featured: Tiles | None
    results: tuple[Tiles, ...]
    logos: tuple[Logo, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What was decided: sizes, places, and what did not fit."""

    sheet: Sheet
    type: float
    figure: float  # size of the large figure
    title: float
    places: tuple[Place, ...]
    left_out: tuple[str, ...]
    score: float
    sentence: float = 0.0  # type of a billboard's sentence, in mm on A0
    too_long: float = 0.0  # share of the texts that is too much for type of the right size


@dataclass(frozen=True)
class Widths:
    """The measures of the large figure in mm."""

    tile: float
    gap: float
    photo: float
    words: float
    space: float
    bands: int


def compose(plan: Plan, content: Content, files: Mapping[int, str], bleed: float = 0.0) -> str:
    """The sheet as HTML, with every piece in its place; `files` names the picture of each tile, by its identity."""
    boxes = []
    for place in plan.places:
        html, kind = _piece(plan, content, place, files)
        boxes.append(_box(place.name, html, kind, place))
    size = (plan.sheet.width, plan.sheet.height)
    return _page(plan.sheet, content.words, plan.type, size, boxes, paper_beyond(bleed))


def paper_beyond(bleed: float) -> float:
    """The mm of paper around a sheet with this bleed: crop marks stand in the outer half of it."""
    return max(10.0, 2 * bleed) if bleed else 0.0


def tile_width(sheet: Sheet, across: int) -> tuple[float, float]:
    """The width of a column's tiles and of the gap between them."""
    gap = 3.2 * sheet.unit
    return (sheet.column - (across - 1) * gap) / across, gap


def widths(sheet: Sheet, block: Tiles, size: float) -> Widths:
    """How the large figure shares its width between photo and depths.

    With one photo, a smaller figure has smaller depths and a larger photo, with its words below. With several, each has
    its band, as high as the photo is wide, and a smaller figure has fewer of them.
    """
    gap, space, name = 3.2 * sheet.unit, 12 * sheet.unit, 18 * sheet.unit
    across = block.across
    if len(block.groups) > 1 and not sheet.billboard:
        lines = len(block.groups[0].lines)
        tile = (sheet.wide - space - (across - 1) * gap - lines * name) / (across + lines)
        photo = lines * (tile + name)
        smallest = LARGE_FIGURE[-1]
        bands = max(1, round(len(block.groups) * (size - smallest) / (1 - smallest)))
        return Widths(tile, gap, photo, photo, space, bands)
    lines = len(block.groups[0].lines)
    by_width = (0.73 * sheet.wide - space - (across - 1) * gap) / across
    tile = min(by_width, 0.36 * sheet.height / lines) * size
    words = sheet.wide - space - across * (tile + gap) + gap
    return Widths(tile, gap, min(words, MOST_PHOTO * lines * (tile + name)), words, space, 1)


def _labels(width: float, line: Line, row: str) -> list[dict[str, Any]]:
    """The labels of a line one by one: beside bars and notes their height cannot be told from the line's."""
    return [
        _loose(f"{row}-label{i}", _macros().under(tile_values(tile, {})), "", width)
        for i, tile in enumerate(line.tiles)
        if (tile.label or tile.keys) and any(other.note or other.bars for other in line.tiles)
    ]


def measuring(sheet: Sheet, content: Content, size: float) -> str:
    """One endless page with every piece at its width, pictures left out where their size is not known yet."""
    words = content.words
    width = title_width(sheet, content.logos, content.words.address)
    boxes = [
        _loose(
            f"title-{title}-{share}",
            _macros().headline(words.title, title, direction(words.title)),
            _fitted(title, TITLES),
            width * share,
        )
        for title, share in itertools.product(TITLES, TITLE_WIDTHS)
    ]
    boxes.append(_loose("byline", _macros().byline(words.authors, words.affiliations), "byline", width))
    for sentence in SENTENCES if sheet.billboard else ():
        html = _macros().sentence(words.message, sentence, direction(words.message))
        boxes.append(_loose(f"sentence-{sentence}", html, _fitted(sentence, SENTENCES), sheet.wide))
    if words.address or content.logos:
        boxes.append(
            _loose(
                "corner", _corner(sheet, content), "corner", corner_width(sheet, content.logos, content.words.address)
            )
        )
    fitted = " fitted" if size > 1 else ""  # larger type than is asked for must not push a table out of its column
    for text in (*words.texts, *words.foot):
        boxes.append(_loose(text.name, text.html, text.kind + fitted, sheet.column))
    for text in words.foot if sheet.billboard else ():
        boxes.append(_loose(f"{text.name}-across", text.html, f"{text.kind} across", sheet.wide))
    if words.conclusion:
        boxes.append(_loose(words.conclusion.name, words.conclusion.html, "conclusion", sheet.wide))
    if content.featured:
        boxes.extend(_measuring_featured(sheet, content.featured))
    for block in content.results:
        html = _tiles(sheet, block, len(block.groups), 0.0, {})
        boxes.append(_loose(block_name(block), html, "tiles", sheet.column))
        width = tile_width(sheet, block.across)[0]
        for index, group in enumerate(block.groups):
            for number, line in enumerate(group.lines):
                boxes.extend(_labels(width, line, f"{block_name(block)}-row{index}-line{number}"))
    return _page(sheet, words, size, (sheet.width, 40 * sheet.height), boxes)


def _fitted(size: float, sizes: Sequence[float]) -> str:
    """The class of what must not break a word; at the smallest size it may."""
    return "fitted" if size > min(sizes) else ""


def _measuring_featured(sheet: Sheet, block: Tiles) -> list[dict[str, Any]]:
    """The parts of the large figure: its heading, its words at each size, its lines without pictures."""
    full, shown = widths(sheet, block, 1.0), block_values(block, [group_values(group, {}) for group in block.groups])
    single = _single(sheet, block)
    around = _macros().featured(shown, single, 0, 0, 0, 0, 0, sheet.unit, False)
    boxes = [_loose(FEATURED, around, "featured", sheet.wide)]
    for index, group in enumerate(shown["groups"]):
        band = f"{FEATURED}-band{index}"
        depths = _macros().depths(shown, group, full.tile, full.gap, 0.0, index == 0, band)
        boxes.append(_loose(band, depths, "featured", sheet.wide))
        for number, line in enumerate(block.groups[index].lines):
            boxes.extend(_labels(full.tile, line, f"{band}-line{number}"))
    for figure in LARGE_FIGURE if in_one(sheet, block) else ():
        size = widths(sheet, block, figure)
        words = _macros().photo_and_words(shown, shown["groups"][0]["photo"], size.photo, sheet.unit, single)
        boxes.append(_loose(f"{FEATURED}-words-{figure}", words, "featured", size.words))
    return boxes


def _piece(plan: Plan, content: Content, place: Place, files: Mapping[int, str]) -> tuple[Markup, str]:
    """The HTML of what lies at a place, and its class."""
    words, sheet = content.words, plan.sheet
    if place.name == "title":
        return _macros().headline(words.title, plan.title, direction(words.title)), ""
    if place.name == "byline":
        return _macros().byline(words.authors, words.affiliations), "byline"
    if place.name == "head":  # of a billboard
        byline = _macros().byline(words.authors, words.affiliations)
        return _macros().headline(words.title, plan.title, direction(words.title)) + byline, "byline"
    if place.name == "sentence":
        return _macros().sentence(words.message, plan.sentence, direction(words.message)), ""
    if place.name == "corner":
        return _corner(sheet, content), "corner"
    if place.name == FEATURED and content.featured:
        return _featured(sheet, content.featured, plan.figure, files), "featured"
    for block in content.results:
        if block_name(block) == place.name:
            return _tiles(sheet, block, place.rows, place.scale, files), "tiles"
    text = _text(words, place.name)
    across = text in words.foot and place.width > sheet.column  # in a billboard's panel
    return text.html, f"{text.kind} across" if across else text.kind


def _text(words: Words, name: str) -> Text:
    known = (*words.texts, *words.foot, *([words.conclusion] if words.conclusion else []))
    return next(text for text in known if text.name == name)


def _tiles(sheet: Sheet, block: Tiles, rows: int, scale: float, files: Mapping[int, str]) -> Markup:
    width, gap = tile_width(sheet, block.across)
    groups = [group_values(group, files) for group in block.groups[:rows]]
    shown = block_values(block, groups)
    html: Markup = _macros().tiles(shown, groups, width, gap, width * scale, sheet.unit, block_name(block))
    return html


def _featured(sheet: Sheet, block: Tiles, figure: float, files: Mapping[int, str]) -> Markup:
    size = widths(sheet, block, figure)
    shown = block_values(block, [group_values(group, files) for group in block.groups[: size.bands]])
    html: Markup = _macros().featured(
        shown, _single(sheet, block), size.tile, size.gap, size.photo, size.words, size.space, sheet.unit
    )
    return html


def in_one(sheet: Sheet, block: Tiles) -> bool:
    """Whether the large figure has one photo, with words below it, beside the depths."""
    return len(block.groups) == 1 or sheet.billboard


def _single(sheet: Sheet, block: Tiles) -> str:
    """Which words stand below the photo: "all" of them, the "caption" where lines are short, "" for several photos."""
    return ("caption" if sheet.billboard and sheet.narrow else "all") if in_one(sheet, block) else ""


def _corner(sheet: Sheet, content: Content) -> Markup:
    """The logos and the QR code with its address, beside each other."""
    address = content.words.address
    shown = address.split("://")[-1].rstrip("/")
    logos = [(logo, width) for logo, width in zip(content.logos, logo_widths(sheet, content.logos), strict=True)]
    html: Markup = _macros().corner(logos, QR * sheet.unit, address, shown, 16 * sheet.unit)
    return html


def block_name(block: Tiles) -> str:
    """The name of a block's place; a section may be called as a text is."""
    return f"section-{block.name}"


def _loose(name: str, html: Markup, kind: str, width: float) -> dict[str, Any]:
    return {"id": name, "html": html, "kind": kind, "width": f"{width:.3f}", "placed": False, "x": "", "y": ""}


def _box(name: str, html: Markup, kind: str, place: Place) -> dict[str, Any]:
    where = {"x": f"{place.x:.3f}", "y": f"{place.y:.3f}", "placed": True}
    return _loose(name, html, kind, place.width) | where


def _page(
    sheet: Sheet,
    words: Words,
    size: float,
    page: tuple[float, float],
    boxes: Sequence[Any],
    beyond: float = 0.0,
) -> str:
    return (
        environment("poster")
        .get_template("sheet.html")
        .render(
            language="en",
            title=words.title,
            authors=[author.name for author in words.authors],
            description=words.description,
            keywords=words.keywords,
            page=page,
            beyond=beyond,
            kind="billboard" if sheet.billboard else "classic",
            narrow=sheet.narrow,
            sizes={name: max(LEAST_TYPE, 9.878 * size * share) for name, share in SMALL_TYPE.items()},
            unit=f"{sheet.unit:.6f}",
            type=size,
            boxes=boxes,
        )
    )


def _macros() -> Any:
    return environment("poster").get_template("pieces.html").module
