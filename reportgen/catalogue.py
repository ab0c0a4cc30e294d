"""Methods and nets as JSON for other programs: everything that `reportgen methods` and `reportgen nets` know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, asdict, fields
from typing import Any, get_type_hints

from reportgen import accepted
from reportgen.records import Card, Layer, Method


def takes(method: Method) -> list[str]:
    """The keys by which a section of a spec says what is looked at, beside `models`.

    Methods that run nets of several epochs may be given pictures, a data set, both or neither.
    """
    if method.scope == "training":
        return ["images", "dataset"] if "checkpoints" in method.needs else []
    known: dict[str, list[str]] = {"image": ["images"], "images": ["images"], "dataset": ["dataset"]}
    return known.get(method.scope, [])


def method_entry(method: Method) -> dict[str, Any]:
    """One method: what it shows, what it needs, its params and arrays, its documentation."""
    return {
        "name": method.name,
        "title": method.title,
        "caption": method.caption,
        "citation": method.citation,
        "scope": method.scope,
        "takes": takes(method),
        "version": method.version,
        "needs": sorted(method.needs),
        "uses": list(method.uses),
        "params": {entry.name: _param(method, entry) for entry in fields(method.params) if entry.init},
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
        "basis": plain(card.basis),
        "classes": list(card.classes),
        "stages": dict(card.stages),
        "aliases": dict(card.aliases),
        "global_pooling": card.global_pooling,
        "rectified": card.rectified,
        "facts": plain(asdict(card.facts)),
        "numbers": plain(card.numbers),
        "layers": [_layer(layer) for layer in card.layers],
    }


def plain(value: Any) -> Any:
    """A value as JSON has it: tuples as lists, mappings as objects, what JSON has no form for as text."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def schema_of(method: Method, name: str) -> dict[str, Any]:
    """A param's type as a JSON schema."""
    from pydantic import TypeAdapter

    return TypeAdapter(get_type_hints(method.params)[name]).json_schema()


def _param(method: Method, entry: Field[Any]) -> dict[str, Any]:
    """A param's type, where it stands in a section, what it takes, its default where it has one, and what it means."""
    schema = schema_of(method, entry.name)
    told: dict[str, Any] = {
        "type": schema,
        "in": {"layer": "layers", "units": "units"}.get(entry.name, "params"),
        "choices": accepted.choices(method, entry.name, schema),
        "limits": accepted.limits(method, entry.name, schema),
        "doc": entry.metadata.get("doc", ""),
    }
    if entry.default_factory is not MISSING:
        told["default"] = plain(entry.default_factory())
    elif entry.default is not MISSING:
        told["default"] = plain(entry.default)
    return told


def _layer(layer: Layer) -> dict[str, Any]:
    return {name: plain(value) for name, value in asdict(layer).items()}
