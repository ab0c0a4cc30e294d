"""Pages to look inside: the units of a layer as contact sheets, and one page for each unit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from reportgen import unit_stats
from reportgen.charts import number
from reportgen.pages import model_name
from reportgen.site_front import Link
from reportgen.site_units import Shown, Unit, UnitLayer, Units, stops

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reportgen.report import Report

FACTS = {
    "reached": "activation reached",
    "start": "at the start",
    "probability": "probability",
    "distance": "distance of samples",
    "strongest": "strongest",
    "mean": "mean over the set",
    "class": "commonest class",
}


class Render(Protocol):
    """Fills a template of the site."""

    def __call__(self, template: str, path: str, heading: str, words: Sequence[str], **values: Any) -> str:
        """The page's HTML."""


class Inside:
    """The pages of a report's units and of their layers."""

    def __init__(self, report: Report, units: Units, render: Render) -> None:
        self.report, self.units, self.render = report, units, render
        self.marks = {model: place for place, model in enumerate(report.spec.models)}

    def pages(self) -> Iterator[tuple[str, str]]:
        """Path and HTML of every page."""
        for layer in self.units.layers.values():
            parts = layer.pages()
            for place, (path, units) in enumerate(parts):
                yield path, self._layer(layer, path, units, [path for path, _ in parts], place)
            for place, index in enumerate(layer.order):
                unit = layer.units[index]
                around = [layer.units[layer.order[n]] if 0 <= n < len(layer.order) else None
                          for n in (place - 1, place + 1)]  # fmt: skip
                yield unit.href, self._unit(layer, unit, around[0], around[1])

    def _layer(self, layer: UnitLayer, path: str, units: list[Unit], paths: list[str], place: int) -> str:
        net, more = model_name(self.report, layer.model), len(paths) > 1
        titles = dict.fromkeys(shown.title for unit in layer.units.values() for shown in unit.shown)
        range_ = f"units {units[0].index} to {units[-1].index}"
        leads = {unit.lead.title for unit in units if unit.lead}
        return self.render(
            "layer.html",
            path,
            f"{layer.title[:1].upper()}{layer.title[1:]} of {net}" + (f", {range_}" if more else ""),
            [],
            layer=layer,
            net=self._net(layer.model),
            sheets=self.units.sheets[path],
            pages=[Link(str(n), href) for n, href in enumerate(paths, 1)] if more else [],
            place=place + 1,
            stops=list(stops(self.report, self.units, layer.model, layer.layer.name)),
            facts=self._layer_facts(layer),
            shows=sorted(leads),
            titles=list(titles),
        )

    def _unit(self, layer: UnitLayer, unit: Unit, before: Unit | None, after: Unit | None) -> str:
        facts = layer.stats.get(unit.index, {})
        lead = next(iter(unit.all("made")), None) or next(iter(unit.all("samples")), None)
        return self.render(
            "unit.html",
            unit.href,
            f"{unit.name[:1].upper()}{unit.name[1:]} in {layer.title} of {model_name(self.report, layer.model)}",
            [],
            layer=layer,
            unit=unit,
            net=self._net(layer.model),
            lead=lead if lead and lead.piece.role == "made" else None,
            made=unit.all("made")[1:],
            samples=unit.all("samples"),
            patches=unit.all("patches"),
            photos=self._photos(unit),
            silenced=[self._silenced(one) for one in unit.all("silenced")],
            facts=[*self._facts(unit), *unit_stats.lines(facts)],
            histogram=unit_stats.histogram(facts),
            ends=[number(facts["histogram"][end]) for end in ("low", "high")] if "histogram" in facts else [],
            before=before,
            after=after,
            alike=self._alike(layer, unit),
            stops=list(stops(self.report, self.units, layer.model, layer.layer.name)),
            sources=self._sources(unit),
            json=f"{unit.index}.json",
        )

    def _net(self, model: str) -> dict[str, Any]:
        return {"label": model_name(self.report, model), "href": f"net/{model}.html", "mark": self.marks[model] % 6}

    def _layer_facts(self, layer: UnitLayer) -> list[tuple[str, str]]:
        own = layer.layer
        seen = f"{own.field[0]} × {own.field[1]} pixels" if own.field else "the whole picture"
        found = [("Module", own.name), ("Values", " × ".join(map(str, own.shape))), ("Each place sees", seen)]
        return [*found, ("Units shown", f"{len(layer.units)} of {own.shape[0]}")]

    def _photos(self, unit: Unit) -> list[dict[str, Any]]:
        """What the unit does on each photo: its map, and what is projected back."""
        rows: dict[str, dict[str, Any]] = {}
        for one in unit.all("activity", "projection"):
            if one.image and one.piece.picture:
                row = rows.setdefault(one.image, {"image": one.image, "title": one.image_title, "shown": []})
                row["shown"].append(one)
        return list(rows.values())

    def _silenced(self, one: Shown) -> dict[str, Any]:
        facts = one.piece.facts
        names = {name: str(facts[name]).replace("_", " ") for name in ("target", "answer")}
        return {**names, "image": one.image, "title": one.image_title, "whole": f"{facts['whole']:.2f}",
                "silenced": f"{facts['silenced']:.2f}", "change": f"{facts['silenced'] - facts['whole']:+.2f}"
                .replace("-", "−")}  # fmt: skip

    def _facts(self, unit: Unit) -> list[tuple[str, str]]:
        found = []
        for one in unit.all("made", "samples", "patches"):
            for name, words in FACTS.items():
                if name in one.piece.facts:
                    value = one.piece.facts[name]
                    shown = value if isinstance(value, str) else number(float(value))
                    found.append((f"{one.title}: {words}", shown))
        return found

    def _alike(self, layer: UnitLayer, unit: Unit) -> list[tuple[Unit, str]]:
        """The units most alike, and how that was measured."""
        measured = layer.stats.get(unit.index, {}).get("alike", [])
        found = [(n, f"correlation {value:.2f}") for n, value in measured]
        if not found:
            shared: list[tuple[int, int]] = next((one.piece.facts["shared"] for one in unit.all("patches")), [])
            count = next((len(one.piece.facts["activations"]) for one in unit.all("patches")), 0)
            found = [(n, f"{same} of {count} pictures shared") for n, same in shared]
        return [(layer.units[n], words) for n, words in found if n in layer.units]

    def _sources(self, unit: Unit) -> list[tuple[str, Link, Link]]:
        """Method, section and arrays of everything on the page."""
        titles = {section.id: section.title for section in self.report.spec.sections}
        found = {}
        for one in unit.shown:
            found[one.cell] = (
                one.title,
                Link(titles.get(one.section) or one.section, f"section/{one.section}.html"),
                Link(f"{one.cell}.npz", f"data/{one.cell}.npz"),
            )
        return list(found.values())
