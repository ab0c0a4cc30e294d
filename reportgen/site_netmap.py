"""A drawing of a net's layers: every layer a bar, as tall as its map, in the order of computing; depths with links."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log2
from typing import TYPE_CHECKING

from reportgen.site_units import ALIASES, Units, depth, layer_name

if TYPE_CHECKING:
    from reportgen.records import Card, Layer
    from reportgen.report import Report

WIDTH, TOP, TALL = 1120, 8, 120  # of the bars, in units of the drawing
STEP = 34  # below the bars: where lines to the names bend
LINE = 24  # of text: as tall as a finger needs
MOST_FIGURES = 9  # named below one depth
LETTERS = 0.155  # letters that fit into one unit of width at this size of type
KINDS = {  # what a bar is, by the class of the module
    "conv": ("Conv1d", "Conv2d", "ConvTranspose2d"),
    "dense": ("Linear",),
    "pool": ("MaxPool2d", "AvgPool2d", "AdaptiveAvgPool2d", "AdaptiveMaxPool2d"),
}
NAMES = {"conv": "convolution", "dense": "dense layer", "pool": "pooling", "other": "any other"}


@dataclass(frozen=True)
class Place:
    """A depth of the net with a name, and where its words stand."""

    name: str
    href: str  # "" where it has no page
    shape: str
    x: float  # of its bar
    left: float  # of its words
    line: str  # path of the line from the bar to the words
    figures: tuple[tuple[str, str], ...]  # what was made there: words and address
    more: int  # figures that have no room


@dataclass(frozen=True)
class NetMap:
    """What the drawing is made of."""

    label: str
    width: int
    height: int
    paths: tuple[tuple[str, str, str], ...]  # kind, words, path of all its bars
    places: tuple[Place, ...]
    words: int  # where the names stand, from the top
    line: int = LINE


def make_map(report: Report, units: Units, model: str, titles: Mapping[str, str]) -> NetMap | None:
    """The drawing of a net; `titles` are the sections' names. None for a net without layers."""
    card = report.cards[model]
    if not card.layers:
        return None
    figures = _figures(report, model, titles)
    step = WIDTH / len(card.layers)
    drawn: dict[str, list[str]] = {kind: [] for kind in NAMES}
    for place, layer in enumerate(card.layers):
        drawn[_kind(layer)].append(_bar(layer, place * step, step, card.preprocess.size))
    named = _named(card, units, model, figures)
    middles = {layer.name: (place + 0.5) * step for place, layer in enumerate(card.layers)}
    column = WIDTH / max(1, len(named))
    places = tuple(
        _place(card, units, model, path, middles[path], number * column, column, figures.get(path, []))
        for number, path in enumerate(named)
    )
    words = TOP + TALL + STEP + 16
    lines = max((2 + len(one.figures) + bool(one.more) for one in places), default=0)
    paths = tuple((kind, NAMES[kind], "".join(parts)) for kind, parts in drawn.items() if parts)
    sections = sum(len(one.figures) + one.more for one in places)
    label = (
        f"{len(card.layers)} layers from the picture to the answer; figures from {len(named)} depths, {sections} links."
    )
    return NetMap(label, WIDTH, words + lines * LINE, paths, places, words)


def _named(card: Card, units: Units, model: str, figures: Mapping[str, Sequence[object]]) -> list[str]:
    """The layers that have a name or figures, in the order of the net."""
    order = [layer.name for layer in card.layers]
    wanted = {*card.stages.values(), *figures, *(layer.layer.name for layer in units.of(model))}
    wanted |= {card.aliases[name] for name in ALIASES[:2] if name in card.aliases}
    return [name for name in order if name in wanted]


def _figures(report: Report, model: str, titles: Mapping[str, str]) -> dict[str, list[tuple[str, str]]]:
    """Which sections show something of a layer, by its name: the method's title and the section's address."""
    card = report.cards[model]
    used = [section.method for section in report.spec.sections]
    found: dict[str, dict[str, str]] = {}
    for filled in report.filled:
        cell = filled.cell
        if cell.model == model and cell.layer and filled.status == "ok" and cell.section in titles:
            words = report.methods[cell.method].title if used.count(cell.method) == 1 else titles[cell.section]
            found.setdefault(layer_name(card, cell.layer), {}).setdefault(f"section/{cell.section}.html", words)
    return {name: [(words, href) for href, words in own.items()] for name, own in found.items() if name}


def _kind(layer: Layer) -> str:
    return next((kind for kind, names in KINDS.items() if layer.kind in names), "other")


def _bar(layer: Layer, left: float, step: float, size: int) -> str:
    """A bar as tall as the map (by doublings) and as strong as the layer is wide."""
    side = layer.shape[-1] if len(layer.shape) == 3 else 1
    tall = TALL * (0.12 + 0.88 * log2(side) / log2(max(2, size))) if side > 1 else TALL * 0.12
    wide = step * min(0.9, 0.3 + 0.06 * log2(max(1, layer.shape[0])))
    x, y = left + (step - wide) / 2, TOP + (TALL - tall) / 2
    return f"M{x:.1f} {y:.1f}h{wide:.1f}v{tall:.1f}h{-wide:.1f}z"


def _place(
    card: Card,
    units: Units,
    model: str,
    path: str,
    x: float,
    left: float,
    column: float,
    figures: list[tuple[str, str]],
) -> Place:
    layer, found = card.resolve(path), units.find(model, path)
    middle, top = left + 0.5, TOP + TALL + 3
    line = f"M{x:.1f} {TOP + TALL / 2:.0f}V{top}L{middle:.1f} {top + STEP - 6}v6"
    room = max(4, int(column * LETTERS))
    shown = tuple((_fitted(words, room), href) for words, href in figures[:MOST_FIGURES])
    shape = " × ".join(str(side) for side in layer.shape)
    name = _fitted(depth(card, path), room)
    return Place(name, found.href if found else "", shape, x, left, line, shown, max(0, len(figures) - MOST_FIGURES))


def _fitted(words: str, room: int) -> str:
    return words if len(words) <= room else f"{words[: room - 1].rstrip()}…"
