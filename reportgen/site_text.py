"""Facts and docstrings as the words that pages show."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from datetime import date
from typing import Any

from markupsafe import Markup, escape

from reportgen.formulas import formula
from reportgen.nets.views import words
from reportgen.records import Card, Layer
from reportgen.texts import grouped, percent, si


def doc_paragraphs(doc: str) -> list[Markup]:
    """The paragraphs of a docstring as HTML, with its formulas and its names in backticks set as such."""
    parts = re.split(r"\n\s*\n", inspect.cleandoc(doc))
    return [Markup("").join(_pieces(" ".join(part.split()))) for part in parts if part.strip()]


def _pieces(text: str) -> Iterator[Markup]:
    for piece in re.split(r"(\$[^$]+\$|`[^`]+`)", text):
        if piece.startswith("$") and len(piece) > 1:
            yield formula(piece[1:-1])
        elif piece.startswith("`") and len(piece) > 1:
            yield Markup("<code>{}</code>").format(piece[1:-1])
        else:
            yield escape(piece)


def calendar(day: str | None) -> str:
    """A date as people write it: "2026-11-20" -> "20 November 2026"."""
    if not day:
        return ""
    found = date.fromisoformat(day)
    names = "January February March April May June July August September October November December"
    return f"{found.day} {names.split()[found.month - 1]} {found.year}"


def short_facts(card: Card, stands_in: bool) -> list[str]:
    """Two lines under a net's name: year and depth, parameters and error; published errors only of the real net."""
    facts = card.facts
    first = [str(facts.year) if facts.year else "", f"{card.depth} layers"]
    second = [f"{si(card.parameters)} parameters"]
    lines = [" · ".join(part for part in first if part)]
    if "top1" in card.numbers:
        second.append(f"{percent(card.numbers['top1'])} right (our test)")
    elif facts.top5_error is not None and not stands_in:
        second.append(f"{facts.top5_error:.1f} % top-5 error ({facts.source})")
    return [*lines, *second]


def card_facts(card: Card) -> list[tuple[str, str]]:
    """A net's card as names and values."""
    facts = card.facts
    found = [
        ("Year", str(facts.year or "")),
        ("Layers with weights", str(card.depth)),
        ("Parameters", grouped(card.parameters)),
        ("FLOPs per picture", si(card.flops)),
        ("Input", f"{card.preprocess.size} × {card.preprocess.size} pixels{_from(card, 'size')}"),
        ("Preprocessing", f"{words(card.preprocess)}{_from(card, 'colours')}"),
        ("Classes", str(len(card.classes))),
        ("Logits", card.basis.get("logits", "")),
        ("Weights", card.weights_source),
        ("Digest of the weights", card.weights[:12]),
    ]
    if facts.top5_error is not None:
        found.append(("Top-5 error, published", f"{facts.top5_error:.1f} % ({facts.source})"))
    if "top1" in card.numbers:
        found.append(("Top-1, our own test", percent(card.numbers["top1"])))
    return [(name, value) for name, value in found if value]


def _from(card: Card, what: str) -> str:
    return f" ({card.basis[what]})" if what in card.basis else ""


def layer_table(card: Card) -> list[dict[str, Any]]:
    """The depths of a net that can be compared as a table, and all its layers as lines of text."""
    names = {**{layer: stage for stage, layer in card.stages.items()}}
    aliases = {alias: layer for alias, layer in card.aliases.items() if layer not in names}
    named = [*((stage, layer) for stage, layer in card.stages.items()), *aliases.items()]
    by_name = {layer.name: layer for layer in card.layers}
    rows = [[name, path, *_columns(by_name[path])] for name, path in named if path in by_name]
    columns = ["name", "layer", "kind", "shape", "stride", "receptive field"]
    lines = [[layer.name, *_columns(layer), grouped(layer.parameters)] for layer in card.layers]
    tables = [{"id": "depths", "title": "Depths that can be compared", "columns": columns, "rows": rows, "pre": ""}]
    if lines:
        head = ["layer", "kind", "shape", "stride", "field", "parameters"]
        tables.append(
            {"id": "layers", "title": "All layers", "columns": [], "rows": [], "pre": _aligned([head, *lines])}
        )
    return tables


def _columns(layer: Layer) -> list[str]:
    stride = f"{layer.stride[0]}" if layer.stride else "–"
    seen = f"{layer.field[0]} × {layer.field[1]}" if layer.field else "all"
    return [layer.kind, " × ".join(str(side) for side in layer.shape), stride, seen]


def _aligned(rows: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
