"""The front page of a site: what differs between the nets, on one screen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from reportgen.pages import Block, Row, image_name, outside
from reportgen.site_text import calendar, short_facts
from reportgen.texts import Texts
from reportgen.walls import Hanger, Tile, telling

if TYPE_CHECKING:
    from reportgen.report import Report
    from reportgen.spec import SectionSpec

OUTPUTS = (  # that lie beside the site when a spec asks for them: name in the spec, words, file
    ("poster", "Poster (PDF)", "poster.pdf"),
    ("handout", "Handout (PDF)", "handout.pdf"),
    ("single", "All on one page", "single.html"),
)


@dataclass(frozen=True)
class Link:
    """Words and where they lead, from the report's folder."""

    label: str
    href: str


class Front:
    """What the front page shows."""

    def __init__(self, report: Report, blocks: Mapping[str, Block], hanger: Hanger, texts: Texts) -> None:
        self.report, self.blocks, self.hanger, self.texts = report, blocks, hanger, texts

    def values(self) -> dict[str, Any]:
        """The values for its template, but the photos."""
        spec = self.report.spec
        image = self._first_image()
        shown_in_cards = {b.section for b in self.blocks.values() if (row := telling(b)) and is_table(row)}
        pictured = [s for s in spec.sections if s.method and s.id not in shown_in_cards]
        rows = [self._index_row(section, image) for section in pictured]
        bare = [s for s in spec.sections if not s.method and self.texts.sections[s.id]]
        texts = [{"id": s.id, "title": s.title, "html": Markup(self.texts.sections[s.id])} for s in bare]
        by = [", ".join(spec.authors), spec.affiliation, calendar(spec.date)]
        links = [Link(words, file) for name, words, file in OUTPUTS if getattr(spec.outputs, name) is not None]
        links += [Link("Spec", "assets/spec.yaml"), Link("Numbers", "report.json")]
        links += [Link(name.capitalize(), address) for name, address in spec.links.items()]
        return {
            "summary": Markup(self.texts.summary),  # cleaned by texts
            "by": [part for part in by if part],
            "links": links,
            "featured": self._featured(image),
            "nets": [self._net_card(model) for model in spec.models],
            "rows": rows,
            "texts": texts,
            "thanks": Markup(self.texts.acknowledgements),
        }

    def _index_row(self, section: SectionSpec, image: str | None) -> dict[str, Any]:
        block = self.blocks[section.id]
        row = telling(block, image)
        href = f"section/{section.id}.html"
        tiles = []
        if row and row.joint:
            tiles.append(replace(self.hanger.joint_tile(row), href=_at(href, row)))
        for model in self.report.spec.models if not tiles else ():
            found = [slot for slot in row.slots if slot.model == model] if row else []
            tile = self.hanger.by_net([replace(row, slots=tuple(found))], [model])[0] if row and found else None
            if tile is None or not tile.lines:
                tiles.append(Tile(self.hanger.names[model], self.hanger.marks[model], None, "", "–", False, href))
            else:
                tiles.append(replace(tile.lines[0].tiles[0], href=_at(href, row)))
        method = block.method
        return {"label": section.title, "href": href, "note": method.caption if method else "", "tiles": tiles}

    def featured(self) -> dict[str, Any] | None:
        """The pictures that stand for the report, with their caption and where they lead; None where there are none."""
        return self._featured(self._first_image())

    def _featured(self, image: str | None) -> dict[str, Any] | None:
        asked = self.report.spec.featured
        sections = [s.id for s in self.report.spec.sections if s.method]
        section = asked.section if asked else next((s for s in ("activity", "saliency") if s in sections), "")
        row = telling(self.blocks[section], image) if section in self.blocks else None
        if row is None:
            return None
        tiles = [tile for line in self.hanger.by_net([row], [])[0].lines for tile in line.tiles]
        tiles = [tile for tile in tiles if tile.figure and tile.figure.files][:4]
        if not tiles or tiles[0].figure is None:
            return None
        caption = asked.caption if asked and asked.caption else tiles[0].figure.caption
        words = [image_name(self.report, row.image) if row.image else "", row.label.replace("_", " ")]
        place = ", ".join(word for word in words if word)
        caption = f"{caption} ({place})" if place else caption
        return {"tiles": tiles, "href": f"section/{section}.html", "caption": caption}

    def _net_card(self, model: str) -> dict[str, Any]:
        head = self.hanger.net_head(model)
        stands_in = model in self.report.fallbacks
        facts = short_facts(self.report.cards[model], stands_in)
        return {"label": head.label, "href": head.href, "mark": head.mark, "note": head.note, "facts": facts}

    def _first_image(self) -> str | None:
        """The image that stands for the report: the first one that every net has a class for."""
        known = [
            image
            for image in self.report.spec.images
            if not any(outside(self.report, image, model) for model in self.report.spec.models)
        ]
        return next(iter(known or self.report.spec.images), None)


def _at(href: str, row: Row | None) -> str:
    """Where a row is on its section's page."""
    return f"{href}#{row.image}" if row and row.image else href


def is_table(row: Row) -> bool:
    """Whether a row shows tables and no pictures."""
    kinds = {slot.figure.kind for slot in row.slots if slot.figure}
    return kinds == {"table"}
