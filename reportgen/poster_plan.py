"""The sizes and places of everything on the poster, found by measuring it at several sizes of type."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

from reportgen.errors import RenderError
from reportgen.poster_billboard import fill_panel
from reportgen.poster_corner import corner_width, title_width
from reportgen.poster_layout import Contents, LineSize, Piece, Place, RowSize, Sheet, arrange, excess
from reportgen.poster_sheet import (
    FEATURED,
    LARGE_FIGURE,
    TITLE_WIDTHS,
    TITLES,
    Content,
    Plan,
    block_name,
    in_one,
    measuring,
    tile_width,
    widths,
)
from reportgen.poster_tiles import Line, Tiles
from reportgen.poster_words import pieces_of, words_of
from reportgen.typesetter import Typesetter

TYPE_SIZES = (1.0, 1.12)  # of the smallest that is good for a poster: 28 points of body on A0
LARGE_SIZES = (1.26, 1.4)  # where there is little text
SMALL_SIZES = (0.97, 0.94, 0.91)  # a little less, where that is enough; it is said
SMALLEST_SIZES = (0.86, 0.79, 0.72)  # still legible; where nothing else helps
_BAR_TITLE = 22.6  # of a billboard: 64 points, in mm on A0


def plan_sheet(sheet: Sheet, content: Content, setter: Typesetter) -> Plan:
    """The best arrangement over all sizes; blocks that fit at no size are left out. Raises RenderError."""
    normal = _tried(sheet, content, TYPE_SIZES[:1], setter)[TYPE_SIZES[0]]
    found = _best(sheet, content, {TYPE_SIZES[0]: normal}, ())
    for sizes in (TYPE_SIZES[1:], LARGE_SIZES):  # larger type, unless what shows as much is sure to be worse
        if found is None or not any(_may_be_better(sheet, content, normal, size, found) for size in sizes):
            break
        larger = _best(sheet, content, _tried(sheet, content, sizes, setter), ())
        if larger is None or larger.score <= found.score:
            break
        found = larger
    if found is not None:
        return found
    enough = [size for size in SMALL_SIZES if _may_fit(sheet, content, normal, size)]
    found = _best(sheet, content, _tried(sheet, content, enough, setter), ()) if enough else None
    if found is not None:
        return replace(found, too_long=_too_long(sheet, content, normal, ()))
    measured = _tried(sheet, content, SMALLEST_SIZES, setter)
    results = content.results
    for kept in range(len(results), -1, -1):  # the last sections go first
        left_out = tuple(block.name for block in results[kept:])
        if (found := _best(sheet, content, measured, left_out)) is not None:
            return replace(found, too_long=_too_long(sheet, content, normal, left_out))
    raise RenderError(_hopeless(sheet, content, measured[min(measured)]))


def _hopeless(sheet: Sheet, content: Content, heights: Mapping[str, float]) -> str:
    """Why not even the smallest type helps, and by how much the texts are too long."""
    everything = tuple(block.name for block in content.results)
    over = _excess(sheet, content, heights, everything)
    pieces = content.words.texts
    longest = max(pieces, key=lambda text: heights[text.name])
    highest = sheet.height - 2 * sheet.margin
    if sheet.billboard and fill_panel(sheet, content, heights, _figure_height(sheet, content, heights)) is None:
        what = "The billboard's sentence, figure and conclusion do not fit between its bars, even in small type"
        return f"{what}. Shorten outputs.poster.message or the conclusion, or lay the sheet on its side."
    words = sum(len(words_of(str(text.html)).split()) for text in pieces)
    told = round(words * over / sum(heights[text.name] for text in pieces))
    much = f" They are {over:.0f} mm of column too long, about {told} of {words} words." if over > 0 else ""
    if over <= 0 and heights[longest.name] > 0.5 * highest:
        much = f" The text {longest.name!r} alone is {heights[longest.name]:.0f} mm high, the sheet {highest:.0f} mm."
    return (
        "The poster's texts do not fit on the sheet, even in small type and without any results."
        f"{much} Shorten them, or name fewer sections under outputs.poster.sections."
    )


def _excess(sheet: Sheet, content: Content, heights: Mapping[str, float], left_out: tuple[str, ...]) -> float:
    """How many mm of column are wanted beyond what is there, the large figure at its smallest."""
    title, _, top = _top(sheet, content, heights)
    return excess(sheet, _contents(sheet, content, heights, LARGE_FIGURE[-1], (title, top), left_out))


def _may_be_better(sheet: Sheet, content: Content, normal: Mapping[str, float], size: float, found: Plan) -> bool:
    """Whether larger type can beat what was found, were all words higher by four fifths of what the type grows.

    They are more than that, so a layout is spared; measuring one takes a second or more.
    """
    best = _best(sheet, content, {size: _guessed(normal, 1 + 0.8 * (size - 1))}, ())
    return best is not None and best.score > found.score


def _may_fit(sheet: Sheet, content: Content, normal: Mapping[str, float], size: float) -> bool:
    """Whether smaller type can be enough: its lines are fewer and lower, and gain no more than that."""
    return _best(sheet, content, {size: _guessed(normal, size**2 - 0.03)}, ()) is not None


def _guessed(heights: Mapping[str, float], factor: float) -> dict[str, float]:
    fixed = ("title-", "sentence-")  # have sizes of their own
    return {name: mm if name.startswith(fixed) else mm * factor for name, mm in heights.items()}


def _too_long(sheet: Sheet, content: Content, heights: Mapping[str, float], left_out: tuple[str, ...]) -> float:
    """The share of the texts that would have to go for the rest to be set in type of the right size.

    Found by halving: texts of so much less height are arranged anew, which is only arithmetic.
    """
    names = {
        name for text in pieces_of(content.words) for name in (text.name, f"{text.name}-across") if name in heights
    }
    low, high = 0.0, 1.0
    for _ in range(6):  # to a hundredth or two
        middle = (low + high) / 2
        less = {name: mm * (1 - middle) if name in names else mm for name, mm in heights.items()}
        fits = _best(sheet, content, {1.0: less}, left_out) is not None
        low, high = (low, middle) if fits else (middle, high)
    return high


def _tried(sheet: Sheet, content: Content, sizes: Sequence[float], setter: Typesetter) -> dict[float, dict[str, float]]:
    pages = [measuring(sheet, content, size) for size in sizes]
    return dict(zip(sizes, setter.measure(pages), strict=True))


def _best(
    sheet: Sheet, content: Content, measured: Mapping[float, Mapping[str, float]], left_out: tuple[str, ...]
) -> Plan | None:
    best: Plan | None = None
    moves = (False, True) if sheet.billboard and content.words.foot else (False,)
    for foot, (size, heights) in itertools.product(moves, measured.items()):
        if foot and best is not None:
            break  # references leave the bars only where they must
        title, heads, top = _top(sheet, content, heights)
        for figure in LARGE_FIGURE if content.featured else (1.0,):
            panel = None
            if sheet.billboard:
                panel = fill_panel(sheet, content, heights, _figure_height(sheet, content, heights, figure), foot)
                if panel is None:
                    continue
            wanted = _contents(sheet, content, heights, figure, (title, top), left_out)
            found = arrange(sheet, replace(wanted, foot=()) if foot else wanted)
            if found is None:
                continue
            worth = (0.06 if size > 1 else 1.0) * (size - 1)  # small type is the last resort
            if content.featured:
                worth += _featured_worth(sheet, content.featured, figure, heights)
            score = found.score + worth + (0.004 * panel.sentence if panel else 0.0)
            if best is None or score > best.score:
                places = (*heads, *(panel.places if panel else ()), *found.places)
                sentence = panel.sentence if panel else 0.0
                best = Plan(sheet, size, figure, title, places, left_out, score, sentence)
    return best


def _top(sheet: Sheet, content: Content, heights: Mapping[str, float]) -> tuple[float, tuple[Place, ...], float]:
    """The size of the title, what stands above the columns, and where these begin."""
    lines = 5.7 if sheet.billboard else 2.4
    title = next((t for t in TITLES if heights[f"title-{t}-1.0"] <= lines * t * sheet.unit), TITLES[-1])
    if sheet.billboard:  # whose title is no larger than a bar bears
        title = min(title, _BAR_TITLE)
        return title, (), sheet.margin
    heads = _heads(sheet, content, heights, title)
    return title, heads, max(place.y + place.height for place in heads) + 16 * sheet.unit


def _heads(sheet: Sheet, content: Content, heights: Mapping[str, float], title: float) -> tuple[Place, ...]:
    """Where the title, the authors, the logos and the QR code lie."""
    margin, width = sheet.margin, title_width(sheet, content.logos, content.words.address)
    high = heights[f"title-{title}-1.0"]
    share = min(share for share in TITLE_WIDTHS if heights[f"title-{title}-{share}"] <= high + 0.01)
    places = [Place("title", margin, margin, width * share, high, 0, 1.0)]
    places.append(Place("byline", margin, margin + high, width, heights["byline"], 0, 1.0))
    if "corner" in heights:
        corner = corner_width(sheet, content.logos, content.words.address)
        places.append(Place("corner", sheet.width - margin - corner, margin, corner, heights["corner"], 0, 1.0))
    return tuple(places)


def _contents(
    sheet: Sheet,
    content: Content,
    heights: Mapping[str, float],
    figure: float,
    above: tuple[float, float],
    left_out: tuple[str, ...],
) -> Contents:
    """What is to be arranged in the columns; `above` is the size of the title and where the columns begin."""
    words, (title, top) = content.words, above
    conclusion = words.conclusion
    texts = tuple(Piece(text.name, heights[text.name]) for text in words.texts)
    if sheet.billboard:
        texts = (Piece("head", heights[f"title-{title}-1.0"] + heights["byline"]), *texts)
    classic = not sheet.billboard
    return Contents(
        top=top,
        texts=texts,
        foot=tuple(Piece(text.name, heights[text.name]) for text in words.foot),
        results=tuple(_sized(sheet, block, heights) for block in content.results if block.name not in left_out),
        featured=_featured_piece(sheet, content.featured, figure, heights) if content.featured and classic else None,
        conclusion=Piece(conclusion.name, heights[conclusion.name]) if conclusion and classic else None,
    )


def _figure_height(
    sheet: Sheet, content: Content, heights: Mapping[str, float], figure: float = LARGE_FIGURE[-1]
) -> float | None:
    return _featured_piece(sheet, content.featured, figure, heights).head if content.featured else None


def _featured_piece(sheet: Sheet, block: Tiles, figure: float, heights: Mapping[str, float]) -> Piece:
    """The large figure at one size: the higher of photo and depths in each of its bands."""
    bands = _bands(sheet, block, figure, heights)
    return Piece(FEATURED, heights[FEATURED] + sum(max(band) for band in bands) + 7 * sheet.unit * (len(bands) - 1))


def _bands(sheet: Sheet, block: Tiles, figure: float, heights: Mapping[str, float]) -> list[tuple[float, float]]:
    """The heights of each band of the large figure: of its photo and words, and of its depths."""
    size = widths(sheet, block, figure)
    bands = []
    for index, group in enumerate(block.groups[: size.bands]):
        band = f"{FEATURED}-band{index}"
        depths = heights[band]
        for number, line in enumerate(group.lines):
            row = f"{band}-line{number}"
            depths += _line_size(size.tile, line, row, heights).height(1.0) - heights[row]
        words = heights[f"{FEATURED}-words-{figure}"] if in_one(sheet, block) else size.photo
        bands.append((words, depths))
    return bands


def _featured_worth(sheet: Sheet, block: Tiles, figure: float, heights: Mapping[str, float]) -> float:
    """What the large figure adds to the score: its share of the sheet, less the hole beside its photo or its depths.

    The photo, which is no result, counts half.
    """
    size = widths(sheet, block, figure)
    area = size.bands * (size.photo**2 / 2 + len(block.groups[0].lines) * block.across * size.tile**2)
    for words, depths in _bands(sheet, block, figure, heights):
        area -= (depths - words) * size.words if depths > words else (words - depths) * (sheet.wide - size.words)
    return area / (sheet.width * sheet.height) + 0.08 * figure


def _sized(sheet: Sheet, block: Tiles, heights: Mapping[str, float]) -> Piece:
    """A block with the heights of its rows: what was measured without pictures, and the pictures."""
    name = block_name(block)
    rows = []
    width, _ = tile_width(sheet, block.across)
    for index, group in enumerate(block.groups):
        names = [f"{name}-row{index}-line{i}" for i in range(len(group.lines))]
        lines = [_line_size(width, line, row, heights) for line, row in zip(group.lines, names, strict=True)]
        rows.append(RowSize(heights[f"{name}-row{index}"] - sum(heights[row] for row in names), tuple(lines)))
    head = heights[name] - sum(heights[f"{name}-row{i}"] for i in range(len(rows)))
    return Piece(name, head, tuple(rows))


def _line_size(width: float, line: Line, row: str, heights: Mapping[str, float]) -> LineSize:
    """The heights in a line that was measured without its pictures."""
    text = heights[row]
    picture = max((tile.aspect * width for tile in line.tiles if tile.drawing), default=0.0)
    share = sum(tile.drawing is not None for tile in line.tiles) / len(line.tiles)
    if not any(tile.note or tile.bars for tile in line.tiles):
        return LineSize(text, text, picture, share)  # without pictures only labels are left, however long
    labels = [heights[f"{row}-label{i}"] for i, tile in enumerate(line.tiles) if tile.label or tile.keys]
    return LineSize(text, max(labels, default=0.0), picture, share)
