"""Where everything lies on the sheet: arithmetic with millimetres, nothing is drawn here.

Texts have the heights that were measured for them; what can give way are the size of the type, of the large figure,
of the tiles, and how many rows of tiles a block shows. The best of all arrangements in reading order (down a column,
then the next) is the one with the most pictures and the least left over at the feet of the columns.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

SMALLEST_TILE = 0.62  # of a tile's full width; smaller ones look lost in their columns
A0 = (841.0, 1189.0)
_BAR = 206.0  # mm on A0: 45 letters of 28 points


@dataclass(frozen=True)
class Sheet:
    """The paper, and the grid on it; lengths in mm.

    A classic sheet has equal columns. A billboard has two side bars, its columns, and a wide panel between them.
    """

    width: float
    height: float
    billboard: bool = False

    @property
    def unit(self) -> float:
        """What one millimetre of an A0 sheet is here; type and gaps scale with it."""
        return math.sqrt(self.width * self.height / (A0[0] * A0[1]))

    @property
    def margin(self) -> float:
        """White on all four sides."""
        return 30 * self.unit

    @property
    def gutter(self) -> float:
        """White between columns."""
        return (32 if self.billboard else 25) * self.unit

    @property
    def columns(self) -> int:
        """Three on A0 portrait, four on landscape: 45 to 60 letters a line; the two bars of a billboard."""
        usable = self.width - 2 * self.margin + self.gutter
        return 2 if self.billboard else max(2, round(usable / (270 * self.unit)))

    @property
    def span(self) -> int:
        """How many columns the large figure and the conclusion take."""
        return min(2, self.columns - 1)

    @property
    def column(self) -> float:
        """The width of a column."""
        if self.billboard:  # lines of 45 letters at least
            return max(_BAR * self.unit, min(0.23 * self.width, 270 * self.unit))
        return (self.width - 2 * self.margin - (self.columns - 1) * self.gutter) / self.columns

    @property
    def wide(self) -> float:
        """The width of the large figure."""
        if self.billboard:
            return self.width - 2 * (self.margin + self.column + self.gutter)
        return self.span * self.column + (self.span - 1) * self.gutter

    @property
    def narrow(self) -> bool:
        """Whether what is as wide as the large figure is too narrow for two columns of text."""
        return self.wide < 420 * self.unit

    def left(self, column: int) -> float:
        """Where a column begins."""
        if self.billboard:
            return self.width - self.margin - self.column if column else self.margin
        return self.margin + column * (self.column + self.gutter)


@dataclass(frozen=True)
class LineSize:
    """The height of tiles beside each other, whose pictures can shrink."""

    text: float  # what its cells of text need, or its labels where there are none
    label: float  # the labels below its pictures
    picture: float  # its pictures at full size
    share: float = 1.0  # of its width that is pictures, not words

    def height(self, scale: float) -> float:
        """In mm, with pictures at this share of their full size."""
        return max(self.text, self.picture * scale + self.label)


@dataclass(frozen=True)
class RowSize:
    """The height of a row: what is above and between its lines, and the lines."""

    fixed: float
    lines: tuple[LineSize, ...]

    @property
    def picture(self) -> float:
        """The height of its pictures at full size, as if they took the whole width."""
        return sum(line.picture * line.share for line in self.lines)

    def height(self, scale: float) -> float:
        """In mm, with pictures at this share of their full size."""
        return self.fixed + sum(line.height(scale) for line in self.lines)


@dataclass(frozen=True)
class Piece:
    """Something that lies in a column: a text (no rows), or a head with rows of tiles, of which it shows some."""

    name: str
    head: float
    rows: tuple[RowSize, ...] = ()

    def height(self, rows: int, scale: float) -> float:
        """In mm, with this many of its rows."""
        return self.head + sum(row.height(scale) for row in self.rows[:rows])


@dataclass(frozen=True)
class Contents:
    """What is to be arranged, as it was measured at one size of type and of the large figure."""

    top: float  # where the columns begin
    texts: tuple[Piece, ...]  # the first column, in reading order
    foot: tuple[Piece, ...]  # references and the like: the end of the first column
    results: tuple[Piece, ...]
    featured: Piece | None = None
    conclusion: Piece | None = None


@dataclass(frozen=True)
class Place:
    """Where a piece lies, and what it shows."""

    name: str
    x: float
    y: float
    width: float
    height: float
    rows: int
    scale: float


@dataclass(frozen=True)
class Arrangement:
    """All places, and how good they are together."""

    places: tuple[Place, ...]
    score: float  # share of the sheet in pictures, less what is left over: higher is better


@dataclass(frozen=True)
class _Slot:
    """A stretch of a column, with what always lies there."""

    x: float
    y: float
    height: float
    first: tuple[Piece, ...] = ()
    last: tuple[Piece, ...] = ()


@dataclass(frozen=True)
class _Fill:
    rows: tuple[int, ...]
    scale: float
    gap: float
    loss: float  # mm of height that nothing uses
    pictures: float  # mm of height that pictures use


def arrange(sheet: Sheet, contents: Contents) -> Arrangement | None:
    """The best arrangement, or None where not everything fits at the smallest sizes of tiles."""
    best: Arrangement | None = None
    for texts, foot, results in _moved(contents):
        slots = _slots(sheet, replace(contents, texts=texts, foot=foot))
        if any(slot.height <= 0 for slot in slots):
            continue
        for cuts in itertools.combinations_with_replacement(range(len(results) + 1), len(slots) - 1):
            edges = (0, *cuts, len(results))
            parts = [
                (*slot.first, *results[a:b], *slot.last) for slot, a, b in zip(slots, edges, edges[1:], strict=False)
            ]
            fills = [_fill(slot.height, part, sheet.unit) for slot, part in zip(slots, parts, strict=True)]
            score = _score(sheet, fills)
            if score is not None and (best is None or score > best.score):
                kept = [fill for fill in fills if fill is not None]
                best = Arrangement(_places(sheet, contents, slots, parts, kept), score)
        if best is not None:
            return best  # texts leave the first column only where they must
    return None


def excess(sheet: Sheet, contents: Contents) -> float:
    """How many mm of column are wanted beyond what the sheet has, with as little of each piece as can be shown."""
    pieces = (*contents.texts, *contents.results, *contents.foot)
    slots = _slots(sheet, contents)
    wanted = sum(piece.height(min(1, len(piece.rows)), SMALLEST_TILE) for piece in pieces)
    wanted += _gaps(sheet.unit)[0] * max(0, len(pieces) - len(slots))
    return wanted - sum(max(0.0, slot.height) for slot in slots)


def _moved(contents: Contents) -> Iterator[tuple[tuple[Piece, ...], tuple[Piece, ...], tuple[Piece, ...]]]:
    """Texts, foot and results as they should be; then with more and more of the first column moved on."""
    texts, foot, results = contents.texts, contents.foot, contents.results
    yield texts, foot, results
    if foot:
        yield texts, (), (*results, *foot)
    for kept in range(len(texts) - 1, 0, -1):
        yield texts[:kept], (), (*texts[kept:], *results, *foot)


def _slots(sheet: Sheet, contents: Contents) -> list[_Slot]:
    bottom = sheet.height - sheet.margin
    slots = [_Slot(sheet.left(0), contents.top, bottom - contents.top, contents.texts, contents.foot)]
    gap = _gaps(sheet.unit)[0] * 1.4
    for column in range(1, sheet.columns):
        y, end = contents.top, bottom
        if contents.featured is not None and column <= sheet.span:
            y += contents.featured.head + gap
        if contents.conclusion is not None and column >= sheet.columns - sheet.span:
            end -= contents.conclusion.head + gap
        slots.append(_Slot(sheet.left(column), y, end - y))
    return slots


def _gaps(unit: float) -> tuple[float, float]:
    """The least and the most white between two pieces of a column."""
    return 15 * unit, 40 * unit


@lru_cache(maxsize=4096)
def _fill(height: float, pieces: tuple[Piece, ...], unit: float) -> _Fill | None:
    """How pieces fill a stretch of a column: how many rows each, how large their pictures; None: not at all."""
    least, most = _gaps(unit)
    between = max(0, len(pieces) - 1)
    room = height - least * between
    rows = [min(1, len(piece.rows)) for piece in pieces]
    best: _Fill | None = None
    while True:
        scale = _scale(pieces, rows, room)
        if scale is None:
            return best
        used = sum(piece.height(count, scale) for piece, count in zip(pieces, rows, strict=True))
        spare = max(0.0, room - used)
        gap = least + min(most - least, spare / between) if between else least
        loss = spare - (gap - least) * between
        shown = sum(row.picture * scale for piece, n in zip(pieces, rows, strict=True) for row in piece.rows[:n])
        found = _Fill(tuple(rows), scale, gap, loss, shown)
        if best is None or _worth(found) > _worth(best):
            best = found
        wanting = [i for i, piece in enumerate(pieces) if rows[i] < len(piece.rows)]
        if not wanting:
            return best
        rows[min(wanting, key=lambda i: (rows[i], i))] += 1


def _worth(fill: _Fill) -> float:
    return fill.pictures * fill.scale - 1.5 * fill.loss


def _scale(pieces: Sequence[Piece], rows: Sequence[int], room: float) -> float | None:
    """The largest share of their full size at which the pictures fit, or None below the smallest."""

    def used(scale: float) -> float:
        return sum(piece.height(count, scale) for piece, count in zip(pieces, rows, strict=True))

    if used(1.0) <= room:
        return 1.0
    if used(SMALLEST_TILE) > room:
        return None
    low, high = SMALLEST_TILE, 1.0
    for _ in range(12):  # to a tenth of a millimetre
        middle = (low + high) / 2
        low, high = (middle, high) if used(middle) <= room else (low, middle)
    return low


def _score(sheet: Sheet, fills: Sequence[_Fill | None]) -> float | None:
    score = 0.0
    for fill in fills:
        if fill is None:
            return None
        # a hole is worse the larger it is: two small ones beat a large one
        hole = fill.loss / sheet.height
        score += (fill.pictures * fill.scale / sheet.height - hole - 4 * hole**2) * sheet.column / sheet.width
    return score


def _places(
    sheet: Sheet,
    contents: Contents,
    slots: Sequence[_Slot],
    parts: Sequence[Sequence[Piece]],
    fills: Sequence[_Fill],
) -> tuple[Place, ...]:
    places = []
    if (featured := contents.featured) is not None:
        x = sheet.left(1)
        places.append(Place(featured.name, x, contents.top, sheet.wide, featured.head, 0, 1.0))
    for slot, part, fill in zip(slots, parts, fills, strict=True):
        y = slot.y
        for piece, rows in zip(part, fill.rows, strict=True):
            height = piece.height(rows, fill.scale)
            places.append(Place(piece.name, slot.x, y, sheet.column, height, rows, fill.scale))
            y += height + fill.gap
    if (conclusion := contents.conclusion) is not None:
        x = sheet.left(sheet.columns - sheet.span)
        y = sheet.height - sheet.margin - conclusion.head
        places.append(Place(conclusion.name, x, y, sheet.wide, conclusion.head, 0, 1.0))
    return tuple(places)
