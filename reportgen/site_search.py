"""What can be searched for: an index as a script that assigns one variable, and the same as plain lists of links."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from reportgen.pages import image_name, model_name
from reportgen.site_front import Link
from reportgen.site_script import literal
from reportgen.targets import label_index
from reportgen.wording import short

if TYPE_CHECKING:
    from reportgen.report import Report
    from reportgen.site_units import Units

FILE = "assets/search-index.js"
KINDS = ("section", "net", "layer", "method", "image", "class", "unit")
MOST_CLASSES = 250  # in the plain list; the index has all


def script(name: str, value: Any) -> str:
    """A script that assigns a value to one variable of the page."""
    return f"window.{name}={literal(value, sort_keys=True)};\n"


class Search:
    """The things of a report that have a page, by kind."""

    def __init__(self, report: Report, units: Units) -> None:
        self.report, self.units = report, units
        self.names = {model: model_name(report, model) for model in report.spec.models}

    def index(self) -> dict[str, Any]:
        """Kind, title, further words and address of everything; units by their layers, because they are many."""
        entries = []
        for kind, found in self.lists(None).items():
            entries += [[KINDS.index(kind), link.label, words, link.href] for link, words in found]
        units = [
            {
                "net": self.names[layer.model],
                "layer": layer.title,
                "at": f"net/{layer.model}/{layer.slug}/",
                "units": layer.order,
                "names": {str(n): unit.name for n, unit in layer.units.items() if unit.name != f"unit {n}"},
            }
            for layer in self.units.layers.values()
        ]
        return {"kinds": KINDS, "entries": entries, "units": units}

    def lists(self, most_classes: int | None = MOST_CLASSES) -> dict[str, list[tuple[Link, str]]]:
        """By kind the links, each with the words beside it; units are listed by their layers' pages."""
        report, spec = self.report, self.report.spec
        titles = {s.id: report.methods[s.method].title if s.method else "" for s in spec.sections}
        methods = dict.fromkeys(s.method for s in spec.sections if s.method)
        return {
            "section": [(Link(s.title or s.id, f"section/{s.id}.html"), titles[s.id]) for s in spec.sections],
            "net": [(Link(self.names[m], f"net/{m}.html"), self._about(m)) for m in spec.models],
            "layer": [
                (Link(f"{layer.title} of {self.names[layer.model]}", layer.href),
                 f"{layer.layer.name}, {len(layer.units)} units")
                for model in spec.models for layer in self.units.of(model)
            ],
            "method": [(Link(report.methods[m].title, f"method/{m}.html"), report.methods[m].caption) for m in methods],
            "image": [
                (Link(image_name(report, i), f"image/{i}.html"), ", ".join(short(name) for name in asked.label[:1]))
                for i, asked in spec.images.items()
            ],
            "class": self._classes(most_classes),
        }  # fmt: skip

    def _about(self, model: str) -> str:
        card = self.report.cards[model]
        return ", ".join(str(part) for part in (card.arch, card.facts.family, card.facts.year or "") if part)

    def _classes(self, most: int | None) -> list[tuple[Link, str]]:
        """Every class once: its unit in the last layer, else a photo of it, else a net that knows it."""
        known: dict[str, dict[str, int]] = {}
        for model in self.report.spec.models:
            for place, name in enumerate(self.report.cards[model].classes):
                known.setdefault(short(name), {}).setdefault(model, place)
        found = [
            (Link(name, self._class_page(name, nets)), f"class of {', '.join(self.names[m] for m in nets)}")
            for name, nets in known.items()
        ]
        shown = sorted(found, key=lambda one: (one[0].href.count("/") == 1 and "net/" in one[0].href,
                                               one[0].label.lower()))  # fmt: skip
        return shown if most is None else shown[:most]

    def _class_page(self, name: str, nets: Mapping[str, int]) -> str:
        for model, place in nets.items():
            layer = self.units.find(model, "logits")
            if layer and place in layer.units:
                return layer.units[place].href
        for image, asked in self.report.spec.images.items():
            if asked.label and label_index((name,), asked.label) is not None:
                return f"image/{image}.html"
        return f"net/{next(iter(nets))}.html"
