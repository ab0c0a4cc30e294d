"""Blocks -> a static site: pages that work from file://, without scripts, and ask nothing of anybody.

A page holds at most 300 pictures and 1,400 elements: a section with more shows its featured panel, and everything else
on a page of its own for each image.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from reportgen import site_compare, site_data, site_quiz, site_search, site_shared
from reportgen.bibliography import format_reference
from reportgen.pages import Block, Row, image_name
from reportgen.site_assets import Photo, write_assets, write_photos
from reportgen.site_figures import Figures
from reportgen.site_front import Front, Link
from reportgen.site_groups import Group, deepest, groups_of_image, groups_of_net
from reportgen.site_inside import Inside
from reportgen.site_method import method_values
from reportgen.site_netmap import make_map
from reportgen.site_search import Search
from reportgen.site_tables import numbers_table
from reportgen.site_text import card_facts, doc_paragraphs, layer_table
from reportgen.site_units import Units
from reportgen.templating import environment
from reportgen.texts import Texts, plain_text, report_texts
from reportgen.walls import Hanger, featured

if TYPE_CHECKING:
    from reportgen.report import Report
    from reportgen.spec import SectionSpec

MOST_TILES = 300
MOST_NODES = 1400


def write_site(report: Report, blocks: Sequence[Block], folder: Path) -> None:
    """All files of the site but poster.pdf and build.json, into an empty folder. Raises RenderError, OSError."""
    write_assets(report, blocks, folder)
    photos = write_photos(report, folder)
    site = Site(report, blocks, photos, site_shared.write_card(report, blocks, folder))
    site.units.write(folder)
    site.figures.write(folder)
    (folder / site_search.FILE).write_text(site_search.script("reportgenIndex", site.search.index()), encoding="utf-8")
    site_compare.write_compare(report, blocks, folder)
    if site.quiz:
        site_quiz.write_quiz(report, site.quiz, folder)
    written = []
    for path, html in site.pages():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(html, encoding="utf-8")
        written.append(path)
    site_shared.write_published(report, written, folder)
    facts = site_data.report_json(report, blocks)
    text = json.dumps(facts, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / "report.json").write_text(text + "\n", encoding="utf-8")
    (folder / "data").mkdir(exist_ok=True)
    for filled in report.filled:
        if filled.status == "ok":
            (folder / "data" / f"{filled.cell.id}.npz").write_bytes(site_data.arrays_of(report, filled))


class Site:
    """The pages of one report as HTML."""

    def __init__(
        self, report: Report, blocks: Sequence[Block], photos: Mapping[str, Photo], card_alt: str = ""
    ) -> None:
        self.report, self.photos, self.card_alt = report, photos, card_alt
        self.blocks = {block.section: block for block in blocks}
        self.texts: Texts = report_texts(report)
        self.summary = plain_text(self.texts.summary)
        self.hanger = Hanger(report, self.texts.number)
        self.units = Units(report)
        self.unit_pages = self.units.pages_of_cells()
        self.quiz = site_quiz.questions(report)
        self.nav = [Link(section.title or section.id, f"section/{section.id}.html") for section in report.spec.sections]
        self.sections = frozenset(link.href for link in self.nav)
        self.search = Search(report, self.units)
        self.figures = Figures(report, blocks, self._render)
        if site_compare.pictured(blocks):
            self.nav.append(Link("Compare", "compare.html"))
        if self.quiz:
            self.nav.append(Link("Quiz", "quiz.html"))
        self.nav.append(Link("Search", "search.html"))

    def pages(self) -> Iterator[tuple[str, str]]:
        """Path and HTML of every page."""
        yield "index.html", self.index()
        for section in self.report.spec.sections:
            yield from self.section(section)
        for model in self.report.spec.models:
            yield f"net/{model}.html", self.net(model)
        for image in self.report.spec.images:
            yield f"image/{image}.html", self.image(image)
        for name in dict.fromkeys(section.method for section in self.report.spec.sections if section.method):
            yield f"method/{name}.html", self.method(name)
        yield "search.html", self.index_of_all()
        yield from self.for_readers()
        yield from self.figures.pages()
        yield from Inside(self.report, self.units, self._render).pages()

    def index_of_all(self) -> str:
        """Everything that has a page, to search or to read through."""
        names = {"section": "Sections", "net": "Nets", "layer": "Layers", "method": "Methods", "image": "Images"}
        names["class"] = "Classes"
        return self._render("search.html", "search.html", "Search", [], lists=self.search.lists(), names=names)

    def for_readers(self) -> Iterator[tuple[str, str]]:
        """The pages on which people do something: compare nets, and answer what the nets were asked."""
        blocks = list(self.blocks.values())
        if site_compare.pictured(blocks):
            values = site_compare.page_values(self.report, blocks)
            yield "compare.html", self._render("compare.html", "compare.html", "Compare the nets", [], **values)
        if self.quiz:
            values = site_quiz.page_values(self.report, self.quiz)
            yield "quiz.html", self._render("quiz.html", "quiz.html", "Can you tell?", [], **values)

    def index(self) -> str:
        """The comparison at a glance: rows are sections, columns are nets."""
        front = Front(self.report, self.blocks, self.hanger, self.texts)
        values = front.values() | {"photos": [self.photos[name] for name in self.report.spec.images]}
        shown = [self.texts.summary, self.texts.acknowledgements, *(text["html"] for text in values["texts"])]
        return self._render("index.html", "index.html", self.report.spec.title, shown, **values)

    # ------------------------------------------------------------------------------------------------------- sections

    def section(self, section: SectionSpec) -> Iterator[tuple[str, str]]:
        """The page of a section, and where that would be too heavy one page for each image beside it."""
        block, path = self.blocks[section.id], f"section/{section.id}.html"
        if block.method is None:
            yield path, self._walls(path, section.title, html=self.texts.sections[section.id])
            return
        whole = self._section_page(section, path, block.rows, None)
        images = [image for image in section.images if any(row.image == image for row in block.rows)]
        if fits(whole) or len(images) < 2:
            yield path, whole
            return
        for rows in (featured(block), [row for row in featured(block) if row.label == deepest(block)], []):
            page = self._section_page(section, path, rows, None, split=True)
            if fits(page):
                break
        yield path, page
        for image in images:
            rows = [row for row in block.rows if row.image == image]
            own = f"section/{section.id}-{image}.html"
            yield own, self._section_page(section, own, rows, image)

    def _section_page(
        self, section: SectionSpec, path: str, rows: Sequence[Row], image: str | None, split: bool = False
    ) -> str:
        block = self.blocks[section.id]
        found = {name: [row for row in rows if row.image == name] for name in [None, *section.images]}
        groups = []
        for name, own in found.items():
            if not own and not (split and name):
                continue
            walls = tuple(self.hanger.by_net(own, section.models)) if own else ()
            title = image_name(self.report, name).capitalize() if name and not image else ""
            more = None
            if split:
                more = Link(f"Everything about {title.lower()}, with numbers", f"section/{section.id}-{name}.html")
            groups.append(Group(name or "nets", title, walls, f"image/{name}.html" if name else "", "", more))
        heading = section.title
        if image:
            heading = f"{image_name(self.report, image)}: {section.title}"
        cells = [f for f in self.report.filled if f.cell.section == section.id and f.status == "ok"]
        cells = [] if split else [f for f in cells if image is None or f.cell.image == image]
        return self._walls(
            path,
            heading,
            html="" if image else self.texts.sections[section.id],
            groups=groups,
            howto=self._howto(block, rows),
            method=Link("How the method works and was checked", f"method/{section.method}.html"),
            tables=[] if split else self._numbers(block, image),
            downloads=[Link(f"{f.cell.id}.npz", f"data/{f.cell.id}.npz") for f in cells],
        )

    def _howto(self, block: Block, rows: Sequence[Row]) -> list[str]:
        if block.method is None:
            return []
        scales = {wall.title: wall.scale for wall in self.hanger.by_net(rows or block.rows, block.models) if wall.scale}
        lines = [f"{title}: {words[:1].lower()}{words[1:]}" for title, words in scales.items()]
        words = list(dict.fromkeys(scales.values())) if len(set(scales.values())) == 1 else lines
        return [block.method.caption, *doc_paragraphs(block.method.doc)[1:2], *words]

    def _numbers(self, block: Block, image: str | None) -> list[dict[str, Any]]:
        columns, rows = numbers_table(block, image, self.hanger.names)
        if not rows or len(columns) < 3 or any(wall.facts for wall in self.hanger.by_net(block.rows, block.models)):
            return []
        return [{"id": "numbers", "title": "Numbers", "columns": columns, "rows": rows, "pre": ""}]

    # ------------------------------------------------------------------------------------------ nets, images, methods

    def net(self, model: str) -> str:
        """One net: its card, its layers, everything about it."""
        card, path = self.report.cards[model], f"net/{model}.html"
        before = self.report.spec.models[model].before
        about: dict[str, Any] = {
            "facts": [*card_facts(card), *([("Before", self.hanger.names[before])] if before else [])],
            "standing_in": self.report.fallbacks.get(model, ""),
            "netmap": make_map(self.report, self.units, model, {s.id: s.title for s in self.report.spec.sections}),
            "tables": layer_table(card),
        }
        page = ""
        for chosen in ("all", "featured", "deepest"):
            groups = groups_of_net(self.report, self.blocks, self.hanger, model, chosen)
            page = self._walls(path, self.hanger.names[model], groups=groups, **about)
            if fits(page):
                break
        return page

    def image(self, image: str) -> str:
        """One image: what every method shows on it for every net, side by side."""
        page, path = "", f"image/{image}.html"
        for chosen in ("all", "featured", "deepest"):
            groups = groups_of_image(self.report, self.blocks, self.hanger, image, chosen)
            large = self.photos[f"{image}/whole"]
            page = self._walls(path, image_name(self.report, image).capitalize(), groups=groups, large=large)
            if fits(page):
                break
        return page

    def method(self, name: str) -> str:
        """What a method shows, how it works and how it was checked, from its own docstring."""
        values = method_values(self.report, self.blocks, self.hanger, name)
        return self._render("method.html", f"method/{name}.html", self.report.methods[name].title, [], **values)

    # -------------------------------------------------------------------------------------------------------- rendering

    def _walls(self, path: str, heading: str, html: str = "", **values: Any) -> str:
        defaults: dict[str, Any] = {
            "groups": [],
            "howto": [],
            "method": None,
            "tables": [],
            "downloads": [],
            "facts": [],
            "large": None,
            "standing_in": "",
            "netmap": None,
            "extra": [],
        }
        shown = defaults | values
        shown["extra"] = [Link("Numbers", table["id"]) for table in shown["tables"] if table["id"] == "numbers"]
        return self._render(
            "walls.html",
            path,
            heading,
            [html],
            html=Markup(html),
            **shown,
        )

    def _render(
        self, template: str, path: str, heading: str, words: Sequence[str], cite: str = "", **values: Any
    ) -> str:
        spec = self.report.spec
        cited = [
            {"number": place, "anchor": entry.anchor, "html": Markup(format_reference(entry))}
            for place, entry in enumerate(self.texts.references, start=1)
            if entry.key == cite or any(f'href="#{entry.anchor}"' in html for html in [*words, *_in_tables(values)])
        ]
        return (
            environment("site")
            .get_template(template)
            .render(
                root="../" * path.count("/"),
                here=path,
                kind=template.partition(".")[0],
                title=spec.title,
                page_title=heading if path == "index.html" else f"{heading} – {spec.title}",
                heading=heading,
                description=(self.summary or heading)[:200],
                nav=self.nav,
                chapters_at=self.sections,
                unit_pages=self.unit_pages,
                references=cited,
                shared=site_shared.shared_values(spec.site_url, path, self.card_alt),
                **({"photos": self.photos} | values),
            )
        )


def _in_tables(values: Mapping[str, Any]) -> Iterator[str]:
    """What stands in the tables of a page, where works may be cited too."""
    walls = [wall for group in values.get("groups", ()) for wall in group.walls]
    for wall in [*walls, *values.get("walls", ())]:
        for row in (*wall.facts, *(row for table in wall.tables for row in table.rows)):
            yield from row[1:]


def fits(html: str) -> bool:
    """Whether a page keeps to the budget of pictures and elements."""
    return html.count("<img") <= MOST_TILES and html.count("<") - html.count("</") <= MOST_NODES
