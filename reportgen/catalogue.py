"""Methods and nets as JSON for other programs: everything that `reportgen methods` and `reportgen nets` know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, asdict, fields
from typing import Any, get_type_hints

from reportgen.records import Card, Layer, Method


def method_entry(method: Method) -> dict[str, Any]:
    """One method: what it shows, what it needs, its params and arrays, its documentation."""
    hints = get_type_hints(method.params)
    return {
        "name": method.name,
        "title": method.title,
        "caption": method.caption,
        "citation": method.citation,
        "scope": method.scope,
        "version": method.version,
        "needs": sorted(method.needs),
        "uses": list(method.uses),
        "params": {entry.name: _param(entry, hints[entry.name]) for entry in fields(method.params) if entry.init},
        "arrays": dict(method.arrays),
        "doc": method.doc.strip(),
    }


def net_entry(card: Card) -> dict[str, Any]:
    """One net: its card, with stages, aliases, and every layer's shape and receptive field."""
    facts = {name: getattr(card, name) for name in ("arch", "builder", "parameters", "flops", "depth")}
    return {
        **facts,
        "weights": {"source": card.weights_source, "digest": card.weights},
        "preprocess": plain(asdict(card.preprocess)),
        "classes": list(card.classes),
        "stages": dict(card.stages),
        "aliases": dict(card.aliases),
        "global_pooling": card.global_pooling,
        "rectified": card.rectified,
        "facts": plain(asdict(card.facts)),
        "numbers": plain(card.numbers),
        "layers": [_layer(layer) for layer in card.layers],
    }


def choices(method: Method, name: str) -> list[Any]:
    """The words that a param may be, where its type or the method says them; numbers may fit beside them."""
    entry = next(entry for entry in fields(method.params) if entry.name == name)
    schema = _schema(get_type_hints(method.params)[name])
    found = [*schema.get("enum", ()), *(one for kind in schema.get("anyOf", ()) for one in kind.get("enum", ()))]
    found += [True, False] if schema.get("type") == "boolean" else []
    return found or list(entry.metadata.get("choices", ()))


def plain(value: Any) -> Any:
    """A value as JSON has it: tuples as lists, mappings as objects, what JSON has no form for as text."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _schema(hint: Any) -> dict[str, Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(hint).json_schema()


def _param(entry: Field[Any], hint: Any) -> dict[str, Any]:
    """A param's type as a JSON schema, its default where it has one, and what it means."""
    told: dict[str, Any] = {"type": _schema(hint), "doc": entry.metadata.get("doc", "")}
    if entry.default_factory is not MISSING:
        told["default"] = plain(entry.default_factory())
    elif entry.default is not MISSING:
        told["default"] = plain(entry.default)
    return told


def _layer(layer: Layer) -> dict[str, Any]:
    return {name: plain(value) for name, value in asdict(layer).items()}
