"""A report arranged for people: blocks of rows of slots, the same for site and poster, before any HTML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reportgen import palettes
from reportgen.records import Cell, Figure, Filled, Method, Picture, Status
from reportgen.rows import figures_of_row

if TYPE_CHECKING:
    from reportgen.report import Report
    from reportgen.rows import Drawn
    from reportgen.spec import SectionSpec, Spec
    from reportgen.store import Record


@dataclass(frozen=True)
class Slot:
    """One place in a row: what one net has to show there, or why it has nothing."""

    model: str  # id in the spec
    filled: Filled | None  # None where the section leaves this net out on purpose
    panel: str  # name of the panel
    figure: Figure | None
    status: Status
    reason: str  # why there is no figure


@dataclass(frozen=True)
class Row:
    """The same panel of the same image and layer for every net: what can be compared."""

    image: str | None  # id in the spec; None for methods that look at the net alone
    layer: str | None  # as asked: "stage3"
    panel: str
    label: str  # a few words for the row's head
    slots: tuple[Slot, ...]  # one per model of the section, in the spec's order
    joint: Figure | None = None  # the one figure that all slots with a figure share
    images: tuple[str, ...] = ()  # ids in the spec, for methods that look at a set of images
    dataset: str = ""  # what was looked over, in words, for methods that look over a data set


@dataclass(frozen=True)
class Block:
    """One section of the spec, ready to be laid out."""

    section: str  # id in the spec
    method: Method | None  # None for a section of text
    html: str  # the section's text, cleaned
    rows: tuple[Row, ...]
    models: tuple[str, ...]
    files: Mapping[str, tuple[Record, str]] = field(default_factory=dict, repr=False)  # file -> record and blob


def make_blocks(report: Report) -> tuple[Block, ...]:
    """The sections of a report with their figures drawn (or taken from the store), in the spec's order."""
    from reportgen.texts import report_texts

    texts = report_texts(report)
    return tuple(_block(report, section, texts.sections[section.id]) for section in report.spec.sections)


def model_colors(report: Report) -> dict[str, str]:
    """The colour that every model of the report has everywhere."""
    return {model: palettes.model_color(index) for index, model in enumerate(report.spec.models)}


def model_name(report: Report, model: str) -> str:
    """What to call a model on pages: the title of its family where no other model has it, else its id."""
    card = report.cards[model]
    title = card.facts.title or card.arch
    others = [other.facts.title or other.arch for name, other in report.cards.items() if name != model]
    return f"{title} ({model})" if title in others else title


def main_link(spec: Spec) -> str:
    """The link of a spec that stands for all of the report; an empty text where it has none that could."""
    return next((spec.links[name] for name in ("report", "site", "code") if name in spec.links), "")


def image_name(report: Report, image: str) -> str:
    """What to call an image on pages: its title, else its id in words."""
    return report.spec.images[image].title or image.replace("_", " ").replace("-", " ")


def outside(report: Report, image: str, model: str) -> bool:
    """Whether what the image shows is none of the net's classes; false for images without a label."""
    from reportgen.targets import label_index

    labels = report.spec.images[image].label
    return bool(labels) and label_index(report.cards[model].classes, labels) is None


def _block(report: Report, section: SectionSpec, html: str) -> Block:
    if section.method is None:
        return Block(section.id, None, html, (), ())
    method = report.methods[section.method]
    colors, names = model_colors(report), {model: model_name(report, model) for model in report.spec.models}
    files: dict[str, tuple[Record, str]] = {}
    rows: list[Row] = []
    for cells in _groups(report, section):

        def photo(model: str, image: str | None = cells[0].cell.image) -> Picture:
            return report.photo(image or "", model)

        drawn = figures_of_row(report.store, method, cells, photo=photo, colors=colors, names=names, known=report.known)
        for one in drawn:
            files |= one.files
        rows.extend(_rows(section, cells, drawn, _set_in_words(report, cells)))
    images = {name: place for place, name in enumerate(section.images)}
    panels = {name: place for place, name in enumerate(dict.fromkeys(row.panel for row in rows))}
    rows.sort(key=lambda row: (images.get(row.image or "", -1), panels[row.panel]))  # layers stay as asked for
    return Block(section.id, method, html, tuple(rows), section.models, files)


def _groups(report: Report, section: SectionSpec) -> Iterator[list[Filled]]:
    """The cells of a section that make one row: the same image or images, layer and target, one per net."""
    groups: dict[tuple[object, ...], list[Filled]] = {}
    for filled in report.filled:
        if filled.cell.section == section.id:
            key = (filled.cell.image, filled.cell.images, filled.cell.layer, _target(filled.cell))
            groups.setdefault(key, []).append(filled)
    yield from groups.values()


def _set_in_words(report: Report, cells: list[Filled]) -> str:
    """The data set of a row: its title, and how many of its pictures were seen."""
    name = cells[0].cell.dataset
    if name is None:
        return ""
    asked = report.spec.datasets[name]
    numbers = next((filled.numbers for filled in cells if filled.status == "ok"), {})
    seen = f", {numbers['pictures']:,} pictures" if "pictures" in numbers else ""  # a training tells none
    lost = f"; {numbers['skipped']:,} more could not be read" if numbers.get("skipped") else ""
    short = asked.source if ":" in asked.source else asked.source.rpartition("/")[2]  # no path of the machine
    return f"{asked.title or short}{seen}{lost}"


def _rows(section: SectionSpec, cells: list[Filled], drawn: list[Drawn], dataset: str) -> Iterator[Row]:
    """One row per panel; a single one of reasons where no net has anything to show."""
    found = {(cell, one.figure.panel): one.figure for one in drawn for cell in one.figure.cells}
    joint = {one.figure.panel: one.figure for one in drawn if one.joint}
    panels = list(dict.fromkeys(one.figure.panel for one in drawn)) or [""]
    by_model = {filled.cell.model: filled for filled in cells}
    first = cells[0].cell
    label = " · ".join(word for word in (first.layer, _target(first)) if word)
    for panel in panels:
        slots = []
        for model in section.models:
            filled = by_model.get(model)
            figure = found.get((filled.cell.id, panel)) if filled else None
            slots.append(_slot(model, filled, panel, figure))
        yield Row(first.image, first.layer, panel, label, tuple(slots), joint.get(panel), first.images, dataset)


def _slot(model: str, filled: Filled | None, panel: str, figure: Figure | None) -> Slot:
    if filled is None:
        return Slot(model, None, panel, None, "not_applicable", "This net is not part of the section.")
    if filled.status == "ok" and figure is None:
        reason = "This layer of the net has no picture of this kind."
        return Slot(model, filled, panel, None, "not_applicable", reason)
    return Slot(model, filled, panel, figure, filled.status, filled.reason)


def _target(cell: Cell) -> str:
    """The class that a cell was asked to explain by name, where it was."""
    target = getattr(cell.params, "target", None)
    return "" if target in (None, "predicted", "label") else str(target)
