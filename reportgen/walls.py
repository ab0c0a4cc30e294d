"""Blocks arranged as walls of pictures for the site: what each page hangs where, before any HTML."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING

from markupsafe import Markup

from reportgen.bibliography import Entry
from reportgen.charts import number
from reportgen.errors import ModelError, NotApplicable
from reportgen.pages import Block, Row, Slot, image_name, model_name, outside
from reportgen.site_tables import facts_of

if TYPE_CHECKING:
    from reportgen.records import Figure, Scale
    from reportgen.report import Report

CITATION = re.compile(r"\[@([\w:./+-]+)\]")
UNKNOWN = "what it shows is not among this net's classes"
RULES = {
    "shared": "shared scale",
    "own": "own scale",
    "tile": "every tile on its own scale",
    "fixed": "fixed scale",
    "none": "",
}
RULES_LONG = {
    "shared": "All nets of a row share one colour scale, because their numbers can be compared.",
    "own": "Every picture has its own scale, up to its 99th percentile: compare shapes, not brightness.",
    "tile": "Every tile has its own scale, up to its 99th percentile: compare shapes, not strengths.",
    "fixed": "All pictures share the same fixed scale.",
    "none": "",
}


@dataclass(frozen=True)
class Head:
    """The name over a column, or beside a row, and where it leads."""

    label: str
    href: str = ""  # from the report's folder
    mark: int | None = None  # the model's place, which is its colour
    note: str = ""


@dataclass(frozen=True)
class Tile:
    """One picture on a wall with its line of small text, or the reason why there is none."""

    column: str  # what the column is called, for narrow screens where the heads are gone
    mark: int | None
    figure: Figure | None
    note: str  # layer and scale
    reason: str
    failed: bool
    href: str  # where the picture leads: its file, or a page


@dataclass(frozen=True)
class Line:
    """One row of a wall."""

    head: Head
    photo: str | None  # id of the image whose photo hangs in the row's head
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class Wall:
    """Rows of pictures under the same heads, or a table where the panel is one."""

    id: str
    title: str
    caption: str
    columns: tuple[Head, ...]
    lines: tuple[Line, ...]
    sheets: bool = False  # large sheets of tiles that need more width than a column
    names: tuple[str, ...] = ()  # of a sheet's columns
    facts: tuple[tuple[str, ...], ...] = ()  # a table: first the row's name, then one value per net
    scale: str = ""

    @property
    def tiles(self) -> int:
        """How many pictures hang here."""
        return sum(tile.figure is not None for line in self.lines for tile in line.tiles)

    @property
    def headed(self) -> bool:
        """Whether its rows have names or photos."""
        return any(line.head.label or line.photo for line in self.lines)


class Hanger:
    """Makes walls of a report's rows; knows what everything is called and where it leads."""

    def __init__(self, report: Report, cited: Callable[[str], int | None] = lambda key: None) -> None:
        self.report = report
        self.cited = cited  # the number of a work in the references
        self.marks = {model: index for index, model in enumerate(report.spec.models)}
        self.names = {model: model_name(report, model) for model in report.spec.models}

    def by_net(self, rows: Sequence[Row], models: Sequence[str], prefix: str = "") -> list[Wall]:
        """For each image and panel a wall with nets as columns and layers as rows."""
        walls = []
        for group in grouped(rows, lambda row: (row.image, row.panel)):
            heads = tuple(self._head_at(model, group[0].image) for model in models)
            lines = tuple(
                Line(Head(row.label), row.image if place == 0 else None, self._tiles(row.slots))
                for place, row in enumerate(group)
            )
            walls.append(self._wall(group, heads, lines, prefix))
        return walls

    def by_layer(self, rows: Sequence[Row], model: str, prefix: str = "") -> list[Wall]:
        """One net alone: for each panel a wall with layers as columns and images as rows."""
        walls = []
        for group in grouped(rows, lambda row: row.panel):
            labels = list(dict.fromkeys(row.label for row in group))
            lines = []
            for same in grouped(group, lambda row: row.image):
                found = {row.label: slot for row in same for slot in row.slots if slot.model == model}
                tiles = tuple(
                    self._tile(found[label], label or self.names[model]) for label in labels if label in found
                )
                image = same[0].image
                href = f"image/{image}.html" if image else ""
                note = UNKNOWN if image and outside(self.report, image, model) else ""
                head = Head(image_name(self.report, image) if image else "", href, None, note)
                lines.append(Line(head, image, tiles))
            heads = tuple(Head(label) for label in labels) if any(labels) else ()
            walls.append(self._wall(group, heads, tuple(lines), prefix, model))
        return walls

    def net_head(self, model: str) -> Head:
        """A net as the head of a column."""
        stands_in = self.report.fallbacks.get(model, "")
        note = f"{self.report.cards[model].arch}, standing in" if stands_in else ""
        return Head(self.names[model], f"net/{model}.html", self.marks[model], note)

    def _head_at(self, model: str, image: str | None) -> Head:
        """A net as the head of a column about one image; a badge says so where it has no class for it."""
        head = self.net_head(model)
        return replace(head, note=UNKNOWN) if image and outside(self.report, image, model) else head

    def _wall(
        self, rows: Sequence[Row], heads: tuple[Head, ...], lines: tuple[Line, ...], prefix: str, model: str = ""
    ) -> Wall:
        slots = [slot for row in rows for slot in row.slots if not model or slot.model == model]
        found = [slot.figure for slot in slots if slot.figure]
        first = found[0] if found else None
        words = (prefix, rows[0].image or "", rows[0].panel or "results")
        facts: tuple[tuple[str, ...], ...] = ()
        if found and all(figure.kind == "table" for figure in found):
            rows_of_facts = facts_of([slot.figure for slot in slots])
            facts = tuple((row[0], *(self._linked(value) for value in row[1:])) for row in rows_of_facts)
        return Wall(
            id="-".join(word for word in words if word),
            title=_general(found),
            caption=self._caption([slot for slot in slots if slot.figure]),
            columns=heads,
            lines=lines if not facts else (),
            sheets=first is not None and first.kind == "grid" and first.photo,
            names=(("photo",) if first.photo else ()) + first.columns if first and first.columns else (),
            facts=facts,
            scale=RULES_LONG[first.scale.rule] if first else "",
        )

    def _caption(self, slots: Sequence[Slot]) -> str:
        """The words under a wall: those of its first picture, and which one that is where the others' differ."""
        captions = [slot.figure.caption for slot in slots if slot.figure]
        if len(set(captions)) < 2:
            return "".join(captions[:1])
        first = slots[0]
        layer = first.filled.cell.layer if first.filled else None
        place = ", ".join(word for word in (self.names[first.model], layer) if word)
        return f"{place}: {captions[0]}"

    def _linked(self, value: str) -> str:
        """A table's citation, such as [@zeiler2014], as a link to the page's references."""
        found = CITATION.fullmatch(value)
        place = self.cited(found[1]) if found else None
        if found is None or place is None:
            return found[1] if found else value
        anchor = Entry(found[1], "", {}).anchor
        return Markup('<a href="#{}">[{}]</a>').format(anchor, place)

    def _tiles(self, slots: Iterable[Slot]) -> tuple[Tile, ...]:
        return tuple(self._tile(slot, self.names[slot.model]) for slot in slots)

    def _tile(self, slot: Slot, column: str) -> Tile:
        figure = slot.figure
        notes = [self._layer(slot), scale_words(figure.scale) if figure else ""]
        return Tile(
            column,
            self.marks[slot.model],
            figure,
            " · ".join(note for note in notes if note),
            "" if figure else slot.reason,
            slot.status == "failed",
            figure.files[0] if figure and figure.files else "",
        )

    def _layer(self, slot: Slot) -> str:
        """The module path of the layer a cell was asked for by its stage."""
        if slot.filled is None or slot.filled.cell.layer is None or slot.figure is None:
            return ""
        try:
            return self.report.cards[slot.model].resolve(slot.filled.cell.layer).name
        except (NotApplicable, ModelError):
            return ""


def grouped(rows: Iterable[Row], key: Callable[[Row], object]) -> list[list[Row]]:
    """The rows with the same key together, in the order of their first."""
    groups: dict[object, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return list(groups.values())


def featured(block: Block) -> tuple[Row, ...]:
    """The rows of the panel that stands for the method; all of them where it names none."""
    chosen = {slot.panel for row in block.rows for slot in row.slots if slot.figure and slot.figure.featured}
    return tuple(row for row in block.rows if row.panel in chosen or not row.panel) if chosen else block.rows


def telling(block: Block, image: str | None = None) -> Row | None:
    """The one row that stands for a section: most nets have something there; of many layers the last but one.

    The deepest layer's map has so few squares that nothing can be recognised from afar.
    """
    rows = [row for row in featured(block) if image is None or row.image == image] or list(featured(block))
    first = [row for row in rows if (row.image, row.panel) == (rows[0].image, rows[0].panel)]
    count = [sum(slot.figure is not None for slot in row.slots) for row in first]
    best = [row for row, filled in zip(first, count, strict=True) if filled == max(count)]
    return best[-2 if len(best) > 3 else -1] if best else None


def scale_words(scale: Scale) -> str:
    """The rule and limits of a scale in plain words: "0 to 0.31, own scale"."""
    words = RULES[scale.rule]
    if scale.min is None or scale.max is None:
        return words
    return f"{number(scale.min)} to {number(scale.max)}, {words}"


def _general(figures: Sequence[Figure]) -> str:
    """The title that figures share; where theirs differ, the words they begin and end with: "Where … is active"."""
    titles = [figure.title.split() for figure in figures]
    if not titles:
        return ""
    before = _common(titles)
    if before == titles[0]:
        return " ".join(before)
    if not before:  # they begin with the nets' names
        return "Facts" if figures[0].kind == "table" else ""
    after = _common([title[len(before) :][::-1] for title in titles])[::-1]
    while len(before) > 1 and not after and before[-1] in {"of", "for", "from", "in"}:
        before.pop()
    return " ".join([*before, *(["…"] if after else []), *after])


def _common(lists: Sequence[Sequence[str]]) -> list[str]:
    """The words that all lists begin with."""
    return [words[0] for words in takewhile(lambda words: len(set(words)) == 1, zip(*lists, strict=False))]
