"""A page for every figure: the picture, what to take away, a line to cite it with, and how it came about."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reportgen import site_data
from reportgen.pages import image_name, main_link, model_name
from reportgen.site_front import Link
from reportgen.site_prints import Print, prints, table_of
from reportgen.site_units import layer_name
from reportgen.wall_words import RULES_LONG, scale_words

if TYPE_CHECKING:
    from reportgen.pages import Block
    from reportgen.records import Figure, Filled
    from reportgen.report import Report
    from reportgen.site_inside import Render

ENDINGS = {"pdf": "PDF for print, 85 mm", "svg": "SVG for print, 85 mm", "csv": "Numbers (CSV)"}


class Figures:
    """The pages of a report's figures and the files beside them."""

    def __init__(self, report: Report, blocks: Sequence[Block], render: Render) -> None:
        self.report, self.render = report, render
        self.all: list[Print] = list({one.figure.id: one for one in prints(report, blocks)}.values())
        self.titles = {section.id: section.title or section.id for section in report.spec.sections}

    def write(self, folder: Path) -> None:
        """What can be downloaded, but for the pictures and arrays that other pages need too."""
        (folder / "figure").mkdir(exist_ok=True)
        for one in self.all:
            stem = f"figure/{one.figure.id}"
            for ending, blob in one.blobs.items():
                if one.record is not None:
                    (folder / f"{stem}.{ending}").write_bytes(self.report.store.read(one.record, blob))
            if one.figure.kind == "table":
                (folder / f"{stem}.csv").write_bytes(table_of(one.figure))
            text = json.dumps(self.facts(one), indent=1, ensure_ascii=False, allow_nan=False)
            (folder / f"{stem}.json").write_text(text + "\n", encoding="utf-8")

    def pages(self) -> Iterator[tuple[str, str]]:
        """Path and HTML of every page."""
        for place, one in enumerate(self.all):
            around = [self.all[n].figure if 0 <= n < len(self.all) else None for n in (place - 1, place + 1)]
            path = f"figure/{one.figure.id}.html"
            yield path, self._page(path, one, around)

    def _page(self, path: str, one: Print, around: Sequence[Figure | None]) -> str:
        figure = one.figure
        method = self.report.methods[one.cells[0].cell.method]
        heading = self._heading(one)
        return self.render(
            "figure.html",
            path,
            heading,
            [],
            figure=figure,
            scale=scale_words(figure.scale),
            rule=RULES_LONG[figure.scale.rule],
            section=Link(self.titles[figure.section], f"section/{figure.section}.html"),
            method=Link(method.title, f"method/{method.name}.html"),
            downloads=self._downloads(one),
            citation=self.citation(one),
            traces=[(filled.cell.id, self._trace(filled)) for filled in one.cells],
            map=f"{figure.id}.js" if "js" in one.blobs else "",
            atlas=f"{figure.id}.atlas.webp" if "atlas.webp" in one.blobs else "",
            before=self._near(around[0]),
            after=self._near(around[1]),
            cite=method.citation,
        )

    def _near(self, figure: Figure | None) -> Link | None:
        return Link(figure.title or figure.id, f"figure/{figure.id}.html") if figure else None

    def _heading(self, one: Print) -> str:
        """The figure's title, with what it is about where the title leaves that open."""
        cell = one.cells[0].cell
        words = [] if len(one.cells) > 1 else [model_name(self.report, cell.model)]
        words += [image_name(self.report, cell.image)] if cell.image else []
        missing = [word for word in words if word.lower() not in one.figure.title.lower()]
        return ": ".join(part for part in (one.figure.title or one.figure.id, ", ".join(missing)) if part)

    def _downloads(self, one: Print) -> list[Link]:
        stem = f"figure/{one.figure.id}"
        found = [Link("Picture (WebP)", one.figure.files[0])] if one.figure.files else []
        endings = {*one.blobs, *(["csv"] if one.figure.kind == "table" else [])}
        found += [Link(words, f"{stem}.{end}") for end, words in ENDINGS.items() if end in endings]
        found.append(Link("Everything about it (JSON)", f"{stem}.json"))
        several = len(one.cells) > 1
        return found + [
            Link(f"Arrays of {f.cell.model} (NumPy)" if several else "Arrays (NumPy)", f"data/{f.cell.id}.npz")
            for f in one.cells
        ]

    def citation(self, one: Print) -> str:
        """One line to copy: who, when, what, which figure, how it was made."""
        spec, method = self.report.spec, self.report.methods[one.cells[0].cell.method]
        who, year = ", ".join(spec.authors), (spec.date or "")[:4]
        head = " ".join(part for part in (who, f"({year})" if year else "") if part)
        parts = [
            head,
            spec.title,
            f"Figure {one.figure.id}",
            f"Made with reportgen: {method.title}, version {method.version}",
        ]
        link = main_link(spec)
        return " ".join(f"{part.rstrip('.')}." for part in parts if part) + (f" {link}" if link else "")

    def _trace(self, filled: Filled) -> list[tuple[str, str]]:
        """How a cell came about, as names and values."""
        cell, report = filled.cell, self.report
        method, card = report.methods[cell.method], report.cards[cell.model]
        document = cell.document
        found = [
            ("Method", f"{method.name}, version {method.version}"),
            ("Net", f"{card.arch}, weights {card.weights_source}"),
            ("Digest of the weights", card.weights),
        ]
        if cell.layer:
            found.append(("Layer", f"{cell.layer} ({layer_name(card, cell.layer) or 'unknown'})"))
        found += [(name, json.dumps(value, ensure_ascii=False)) for name, value in _params(cell.params).items()]
        image = document.get("image")
        shown = [image] if image else [one for one in document.get("images", []) if one]
        names = [cell.image] if cell.image else list(cell.images)
        found += [(f"Digest of {name}", str(doc.get("digest"))) for name, doc in zip(names, shown, strict=False)]
        found += [("Digest of the data set", str(document["dataset"]))] if document.get("dataset") else []
        found += [(name.capitalize(), str(document[name])) for name in ("precision", "seed") if name in document]
        return [*found, ("Key", cell.key)]

    def facts(self, one: Print) -> dict[str, Any]:
        """A figure as JSON: its words, its files, and for every cell its numbers and how it came about."""
        cells = [
            {
                "id": filled.cell.id,
                "net": filled.cell.model,
                "image": filled.cell.image,
                "layer": filled.cell.layer,
                "key": filled.cell.key,
                "document": site_data.plain(filled.cell.document),
                "numbers": site_data.plain(filled.numbers),
                "arrays": f"data/{filled.cell.id}.npz",
            }
            for filled in one.cells
        ]
        figure = one.figure
        return {
            "id": figure.id,
            "section": figure.section,
            "title": figure.title,
            "caption": figure.caption,
            "alt": figure.alt,
            "kind": figure.kind,
            "scale": {"rule": figure.scale.rule, "min": figure.scale.min, "max": figure.scale.max},
            "files": [link.href for link in self._downloads(one)],
            "columns": list(figure.columns),
            "rows": site_data.plain(figure.rows),
            "citation": self.citation(one),
            "cells": cells,
        }


def _params(params: Any) -> Mapping[str, Any]:
    """A cell's params but for the layer, which is told by its own name."""
    return {name: site_data.plain(value) for name, value in asdict(params).items() if name != "layer"}
