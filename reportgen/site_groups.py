"""Parts of pages: what every section shows of one net, or of one image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from reportgen.site_front import Link
from reportgen.walls import Hanger, Wall, featured, telling

if TYPE_CHECKING:
    from reportgen.pages import Block, Row
    from reportgen.report import Report


@dataclass(frozen=True)
class Group:
    """A part of a page: a heading over walls."""

    id: str
    title: str
    walls: tuple[Wall, ...]
    href: str = ""
    note: str = ""
    more: Link | None = None


def groups_of_net(report: Report, blocks: Mapping[str, Block], hanger: Hanger, model: str, chosen: str) -> list[Group]:
    """What every section shows of a net: all of it, the featured panels, or of those the deepest layer."""
    groups = []
    for section in report.spec.sections:
        block = blocks[section.id]
        if block.method is None or model not in block.models:
            continue
        rows = block.rows if chosen == "all" else featured(block)
        if chosen == "deepest":
            rows = tuple(row for row in rows if row.label == deepest(block))
        walls = tuple(hanger.by_layer(rows, model, section.id))
        walls = tuple(replace(w, columns=(hanger.net_head(model),)) if w.facts else w for w in walls)
        groups.append(Group(section.id, section.title, walls, f"section/{section.id}.html"))
    return groups


def groups_of_image(
    report: Report, blocks: Mapping[str, Block], hanger: Hanger, image: str, chosen: str
) -> list[Group]:
    """What every section shows of an image: all of it, the featured panels, or of those the deepest layer."""
    groups = []
    for section in report.spec.sections:
        block = blocks[section.id]
        rows = [row for row in (block.rows if chosen == "all" else featured(block)) if shows(row, image)]
        if chosen == "deepest":
            rows = [row for row in rows if row.label == deepest(block)]
        if not rows:
            continue
        walls = hanger.by_net(rows, block.models, section.id)
        bare = tuple(replace(w, lines=tuple(replace(line, photo=None) for line in w.lines)) for w in walls)
        place = f"#{image}" if rows[0].image else ""
        groups.append(Group(section.id, section.title, bare, f"section/{section.id}.html{place}"))
    return groups


def deepest(block: Block) -> str:
    """The label of the row that stands for a section."""
    row = telling(block)
    return row.label if row else ""


def shows(row: Row, image: str) -> bool:
    """Whether a row is about this image, alone or among others."""
    return row.image == image or image in row.images
