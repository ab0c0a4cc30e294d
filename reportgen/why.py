"""Why something is missing from the store: which fields of its key differ from the nearest that is there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from reportgen.keys import plain
from reportgen.records import Cell
from reportgen.store import Store
from reportgen.trained import Course


def why(cell: Cell, store: Store) -> str:
    """One line on a missing cell: which fields of its key differ from the nearest stored cell of the method."""
    others = (record.document for record in store.records() if record.kind == "cell")
    changed = _changed(cell.document, (other for other in others if other["method"]["name"] == cell.method))
    if changed is None:
        return f"no cell of {cell.method} is stored yet"
    return f"changed since the nearest stored cell: {changed}"


def why_trained(course: Course, store: Store) -> str:
    """One line on a training that is missing: which fields of its key differ from the nearest stored training."""
    asked = next(
        document for (_, document), key in zip(course.runs, course.keys, strict=True) if store.get(key) is None
    )
    others = (record.document for record in store.records() if record.kind == "training")
    changed = _changed(asked, (other for other in others if other["recipe"]["arch"] == course.recipe.arch))
    if changed is None:
        return f"no training of {course.recipe.arch} is stored yet"
    return f"changed since the nearest stored training: {changed}"


def _changed(document: Mapping[str, Any], others: Iterable[Mapping[str, Any]]) -> str | None:
    """The fields in which a key's document differs from the nearest of others; None where there is no other."""
    nearest = min((sorted(_differences(plain(document), other)) for other in others), key=len, default=None)
    return None if nearest is None else ", ".join(nearest)


def _differences(new: Any, old: Any, path: str = "") -> Iterator[str]:
    if isinstance(new, Mapping) and isinstance(old, Mapping):
        for key in sorted({*new, *old}):
            yield from _differences(new.get(key), old.get(key), f"{path}.{key}" if path else key)
    elif new != old:
        yield path
