"""The units that a spec asks for, gathered over all cells: what their pages show, and the files these need."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reportgen import unit_stats
from reportgen.errors import ModelError, NotApplicable
from reportgen.pages import image_name, model_name
from reportgen.unit_pieces import ROLES, Piece, pieces_of
from reportgen.unit_sheets import Sheet, make_sheets
from reportgen.wording import short

if TYPE_CHECKING:
    from reportgen.records import Card, Filled, Layer
    from reportgen.report import Report

PER_PAGE = 480  # units on one page of a layer: five sheets
ALIASES = ("logits", "penultimate", "last_conv", "first_conv")


@dataclass(frozen=True)
class Shown:
    """A piece with where it comes from, as a page shows it."""

    piece: Piece
    method: str
    title: str  # the method's
    section: str
    cell: str
    image: str | None
    image_title: str
    file: str  # from the report's folder; "" without a picture


@dataclass(frozen=True)
class Unit:
    """A unit with everything that is known of it."""

    index: int
    name: str  # "unit 17", or the class of a last layer's neuron
    href: str
    shown: tuple[Shown, ...]  # in the order of ROLES

    @property
    def lead(self) -> Shown | None:
        """The picture that stands for the unit."""
        return next((one for one in self.shown if one.piece.picture), None)

    def all(self, *roles: str) -> list[Shown]:
        """What it shows of these kinds."""
        return [one for one in self.shown if one.piece.role in roles]


@dataclass(frozen=True)
class UnitLayer:
    """The units of one layer of one net."""

    model: str
    layer: Layer
    slug: str  # in addresses
    title: str  # "stage3"
    units: Mapping[int, Unit]
    stats: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def href(self) -> str:
        """The layer's page."""
        return f"net/{self.model}/{self.slug}.html"

    @cached_property
    def order(self) -> list[int]:
        """The units' numbers, ascending."""
        return sorted(self.units)

    def pages(self) -> list[tuple[str, list[Unit]]]:
        """The layer's pages: path, and the units on each."""
        parts = [self.order[start : start + PER_PAGE] for start in range(0, len(self.order), PER_PAGE)]
        paths = [self.href, *(f"net/{self.model}/{self.slug}/page-{n}.html" for n in range(2, len(parts) + 1))]
        return [(path, [self.units[unit] for unit in part]) for path, part in zip(paths, parts, strict=True)]


class Units:
    """All units of a report by net and layer, and their pictures by file name."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.files: dict[str, bytes] = {}
        self.layers = self._gathered()
        self.sheets: dict[str, list[Sheet]] = {}
        for layer in self.layers.values():
            for path, units in layer.pages():
                self.sheets[path] = make_sheets(report.store, units)
                self.files |= {sheet.file: sheet.data for sheet in self.sheets[path]}

    def of(self, model: str) -> list[UnitLayer]:
        """The layers of a net that have units, in the order of the net."""
        own = [layer for (name, _), layer in self.layers.items() if name == model]
        places = {layer.name: place for place, layer in enumerate(self.report.cards[model].layers)}
        return sorted(own, key=lambda one: places[one.layer.name])

    def find(self, model: str, layer: str) -> UnitLayer | None:
        """The units of a layer by any of its names."""
        return self.layers.get((model, layer_name(self.report.cards[model], layer)))

    def pages_of_cells(self) -> dict[str, str]:
        """The page of the layer that a cell shows units of, by the cell's id."""
        return {
            one.cell: layer.href
            for layer in self.layers.values()
            for unit in layer.units.values()
            for one in unit.shown
        }

    def write(self, folder: Path) -> None:
        """All pictures, and the JSON beside each unit's page."""
        for file, data in self.files.items():
            (folder / file).write_bytes(data)
        for layer in self.layers.values():
            for unit in layer.units.values():
                path = (folder / unit.href).with_suffix(".json")
                path.parent.mkdir(parents=True, exist_ok=True)
                text = json.dumps(self.facts(layer, unit), indent=1, ensure_ascii=False, allow_nan=False)
                path.write_text(text + "\n", encoding="utf-8")

    def facts(self, layer: UnitLayer, unit: Unit) -> dict[str, Any]:
        """A unit as JSON."""
        shown = [
            {
                "kind": one.piece.role,
                "method": one.method,
                "section": one.section,
                "cell": one.cell,
                "image": one.image,
                "file": one.file or None,
                "caption": one.piece.caption,
                "alt": one.piece.alt or None,
                "numbers": one.piece.facts,
            }
            for one in unit.shown
        ]
        return {
            "net": layer.model,
            "layer": layer.layer.name,
            "depth": layer.title,
            "unit": unit.index,
            "name": unit.name,
            "page": unit.href,
            "statistics": dict(layer.stats.get(unit.index, {})),
            "shown": shown,
        }

    # -------------------------------------------------------------------------------------------------- gathering

    def _gathered(self) -> dict[tuple[str, str], UnitLayer]:
        found: dict[tuple[str, str], dict[int, list[Shown]]] = {}
        cells: dict[tuple[str, str], list[Filled]] = {}
        for filled in self.report.filled:
            pieces = pieces_of(self.report, filled)
            if not pieces or filled.cell.layer is None:
                continue
            key = (filled.cell.model, self.report.cards[filled.cell.model].resolve(filled.cell.layer).name)
            cells.setdefault(key, []).append(filled)
            for piece in pieces:
                found.setdefault(key, {}).setdefault(piece.unit, []).append(self._shown(filled, piece))
        for key, units in found.items():  # maps are there for every unit: those with a page show them
            for filled in cells[key]:
                if filled.cell.image and "activation" in self.report.methods[filled.cell.method].arrays:
                    own = pieces_of(self.report, filled, sorted(units))
                    there = {unit for unit, shown in units.items() if any(s.cell == filled.cell.id for s in shown)}
                    for piece in own:
                        if piece.unit not in there:
                            units[piece.unit].append(self._shown(filled, piece))
        slugs = self._slugs(list(found))
        layers = {}
        for (model, path), units in found.items():
            card, slug = self.report.cards[model], slugs[model, path]
            made = {index: self._unit(model, path, slug, index, shown) for index, shown in sorted(units.items())}
            stats = unit_stats.of_layer(self.report, model, path, cells[model, path], list(made))
            layers[model, path] = UnitLayer(model, card.resolve(path), slug, depth(card, path), made, stats)
        return layers

    def _shown(self, filled: Filled, piece: Piece) -> Shown:
        cell, method = filled.cell, self.report.methods[filled.cell.method]
        file = ""
        if piece.picture:  # the same picture is one file, wherever it is shown
            file = f"assets/unit.{hashlib.sha256(piece.picture).hexdigest()[:20]}.webp"
            self.files[file] = piece.picture
        title = image_name(self.report, cell.image) if cell.image else ""
        return Shown(piece, method.name, method.title, cell.section, cell.id, cell.image, title, file)

    def _unit(self, model: str, path: str, slug: str, index: int, shown: list[Shown]) -> Unit:
        card = self.report.cards[model]
        name = f"unit {index}"
        if path == card.aliases.get("logits") and index < len(card.classes):
            name = short(card.classes[index])
        ordered = sorted(shown, key=lambda one: ROLES.index(one.piece.role))
        return Unit(index, name, f"net/{model}/{slug}/{index}.html", tuple(ordered))

    def _slugs(self, keys: list[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """The layers' names in addresses: no two of a net are alike, also where upper and lower case are one."""
        slugs: dict[tuple[str, str], str] = {}
        for model, path in keys:
            slug = re.sub(r"[^a-z0-9_.-]+", "-", depth(self.report.cards[model], path).lower()).strip(".-") or "layer"
            if (model, slug) in {(m, s) for (m, _), s in slugs.items()}:
                slug = f"{slug}-{hashlib.sha256(path.encode()).hexdigest()[:8]}"
            slugs[model, path] = slug
        return slugs


def depth(card: Card, path: str) -> str:
    """What pages and addresses call a layer: its stage, its alias, else its own name."""
    stage = card.depth_name(path)
    return stage if stage != path else next((name for name in ALIASES if card.aliases.get(name) == path), path)


def layer_name(card: Card, asked: str) -> str:
    """The module path of a layer by any of its names, or an empty text where the net has none of this name."""
    try:
        return card.resolve(asked).name
    except (NotApplicable, ModelError):
        return ""


def stops(report: Report, units: Units, model: str, here: str) -> Iterator[tuple[str, str, bool]]:
    """The depths of a net as the path through it: name, address of its page or "", whether this is the one."""
    card = report.cards[model]
    places = {layer.name: place for place, layer in enumerate(card.layers)}
    named = {path: depth(card, path) for path in (*card.stages.values(), card.aliases.get("logits", ""))}
    named |= {layer.layer.name: layer.title for layer in units.of(model)}
    for path in sorted((path for path in named if path in places), key=lambda path: places[path]):
        found = units.find(model, path)
        yield named[path], found.href if found else "", path == here


def heading(report: Report, layer: UnitLayer) -> str:
    """A layer's name with its net's."""
    return f"{layer.title} of {model_name(report, layer.model)}"
