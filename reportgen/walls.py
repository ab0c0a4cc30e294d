"""Blocks arranged as walls of pictures for the site: what each page hangs where, before any HTML."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from reportgen.bibliography import Entry
from reportgen.errors import ModelError, NotApplicable
from reportgen.pages import Block, Row, Slot, image_name, model_name, outside
from reportgen.site_tables import facts_of, shown
from reportgen.wall_words import RULES_LONG, column_names, general, is_sheet, same_columns, scale_words, told

if TYPE_CHECKING:
    from reportgen.records import Figure
    from reportgen.report import Report

CITATION = re.compile(r"\[@([\w:./+-]+)\]")
UNKNOWN = "what it shows is not among this net's classes"


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
    large: bool = False  # shown wider than a column: a sheet with named columns, or a plot that all nets share
    rows: tuple[str, ...] = ()  # of a sheet: what its rows are called
    missing: tuple[tuple[str, bool], ...] = ()  # of a plot that all nets share: who is not in it and why, or failed


@dataclass(frozen=True)
class Line:
    """One row of a wall."""

    head: Head
    photo: str | None  # id of the image whose photo hangs in the row's head
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class Table:
    """What one net has to say in a table of its own."""

    head: Head
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


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
    tables: tuple[Table, ...] = ()  # where tables have so many columns that each net's stands alone
    scale: str = ""
    joint: bool = False  # one plot a row, as wide as all nets together
    images: tuple[Head, ...] = ()  # what methods that look at a set of images were shown
    dataset: str = ""  # what methods that look over a data set were shown

    @property
    def rowed(self) -> bool:
        """Whether the rows of its sheets have names beside them."""
        return any(tile.rows for line in self.lines for tile in line.tiles)

    @property
    def headed(self) -> bool:
        """Whether its rows have names or photos, or its sheets columns that are named above them."""
        return bool(self.names) or any(line.head.label or line.photo for line in self.lines)


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
            joint = any(row.joint for row in group)
            heads = () if joint else tuple(self._head_at(model, group[0].image) for model in models)
            lines = tuple(
                Line(Head(row.label), row.image if place == 0 else None, self._tiles(row, joint))
                for place, row in enumerate(group)
            )
            walls.append(self._wall(group, heads, lines, prefix))
        return _said_once(walls)

    def joint_tile(self, row: Row) -> Tile:
        """The plot that all nets of a row share, and in words which of them are not in it."""
        absent = [slot for slot in row.slots if slot.figure is None and slot.filled is not None]
        missing = tuple((f"{self.names[slot.model]}: {slot.reason}", slot.status == "failed") for slot in absent)
        file = row.joint.files[0] if row.joint else ""
        return Tile("", None, row.joint, "", "", False, file, large=True, missing=missing)

    def by_layer(self, rows: Sequence[Row], model: str, prefix: str = "") -> list[Wall]:
        """One net alone: for each panel a wall with layers as columns and images as rows."""
        walls = []
        for group in grouped(rows, lambda row: row.panel):
            if any(row.joint for row in group):
                walls.append(self._wall(group, (), tuple(self._joint_line(row) for row in group), prefix))
                continue
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
        return _said_once(walls)

    def _joint_line(self, row: Row) -> Line:
        """The plot that this net shares with others, beside the name of its image and layer."""
        words = (image_name(self.report, row.image) if row.image else "", row.label)
        href = f"image/{row.image}.html" if row.image else ""
        return Line(Head(" · ".join(word for word in words if word), href), row.image, (self.joint_tile(row),))

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
        joint = any(row.joint for row in rows)
        words = (prefix, rows[0].image or "", rows[0].panel or "results")
        facts: tuple[tuple[str, ...], ...] = ()
        tables = self._tables(slots) if any(len(row) > 2 for figure in found for row in figure.rows) else ()
        if found and not tables and all(figure.kind == "table" for figure in found):
            rows_of_facts = facts_of([slot.figure for slot in slots])
            facts = tuple((row[0], *(self._linked(value) for value in row[1:])) for row in rows_of_facts)
        return Wall(
            id="-".join(word for word in words if word),
            title=general(found),
            caption=self._caption([slot for slot in slots if slot.figure], joint),
            columns=heads,
            lines=() if facts or tables else lines,
            sheets=first is not None and is_sheet(first),
            names=column_names(first) if first and is_sheet(first) and same_columns(found) else (),
            facts=facts,
            tables=tables,
            scale="" if joint or not first else RULES_LONG[first.scale.rule],
            joint=joint,
            images=tuple(Head(image_name(self.report, one), f"image/{one}.html") for one in rows[0].images),
            dataset=rows[0].dataset,
        )

    def _tables(self, slots: Sequence[Slot]) -> tuple[Table, ...]:
        """A table for each net and layer that has one; once, where a net's is the same for several layers."""
        tables: dict[tuple[Any, ...], Table] = {}
        for slot in slots:
            if slot.figure is not None:
                note = slot.filled.cell.layer or "" if slot.filled else ""
                rows = tuple(tuple(self._linked(shown(value)) for value in row) for row in slot.figure.rows)
                own = (slot.model, slot.figure.columns, rows)
                head = replace(self.net_head(slot.model), note="" if own in tables else note)
                tables[own] = Table(head, slot.figure.columns, rows)
        return tuple(tables.values())

    def _caption(self, slots: Sequence[Slot], joint: bool) -> str:
        """The words under a wall: those of its first picture, and which one that is where the others' differ."""
        captions = [slot.figure.caption for slot in slots if slot.figure]
        if len(set(captions)) < 2:
            return "".join(captions[:1])
        first = slots[0]
        layer = first.filled.cell.layer if first.filled else None
        place = ", ".join(word for word in ("" if joint else self.names[first.model], layer) if word)
        return f"{place}: {captions[0]}" if place else captions[0]

    def _linked(self, value: str) -> str:
        """A table's citation, such as [@zeiler2014], as a link to the page's references."""
        found = CITATION.fullmatch(value)
        place = self.cited(found[1]) if found else None
        if found is None or place is None:
            return found[1] if found else value
        anchor = Entry(found[1], "", {}).anchor
        return Markup('<a href="#{}">[{}]</a>').format(anchor, place)

    def _tiles(self, row: Row, joint: bool) -> tuple[Tile, ...]:
        if joint:
            return (self.joint_tile(row),)
        named = same_columns([slot.figure for slot in row.slots if slot.figure])
        return tuple(self._tile(slot, self.names[slot.model], named) for slot in row.slots)

    def _tile(self, slot: Slot, column: str, named: bool = True) -> Tile:
        """A net's picture; `named` says that the wall names the columns of its sheets."""
        figure = slot.figure
        notes = [self._layer(slot), scale_words(figure.scale) if figure else ""]
        if figure and is_sheet(figure):
            alone = figure.row_labels if len(figure.row_labels) == 1 else ()
            notes[1:1] = [*alone, "" if named else told("from the left", figure.columns)]
        return Tile(
            column,
            self.marks[slot.model],
            figure,
            " · ".join(note for note in notes if note),
            "" if figure else slot.reason,
            slot.status == "failed",
            figure.files[0] if figure and figure.files else "",
            large=figure is not None and is_sheet(figure),
            rows=figure.row_labels if figure and is_sheet(figure) and len(figure.row_labels) > 1 else (),
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


def _said_once(walls: Sequence[Wall]) -> list[Wall]:
    """The walls without what they were made from, where the wall before says the same."""
    shown = [(wall.dataset, wall.images) for wall in walls]
    return [
        replace(wall, dataset="", images=()) if place and shown[place] == shown[place - 1] else wall
        for place, wall in enumerate(walls)
    ]


def telling(block: Block, image: str | None = None) -> Row | None:
    """The one row that stands for a section: most nets have something there; of many layers the last but one.

    The deepest layer's map has so few squares that nothing can be recognised from afar.
    """
    rows = [row for row in featured(block) if image is None or row.image == image] or list(featured(block))
    first = [row for row in rows if (row.image, row.panel) == (rows[0].image, rows[0].panel)]
    count = [sum(slot.figure is not None for slot in row.slots) for row in first]
    best = [row for row, filled in zip(first, count, strict=True) if filled == max(count)]
    return best[-2 if len(best) > 3 else -1] if best else None
