"""What a method's params accept, asked of the params themselves: the words a param may be, the least and the most.

A method refuses what is out of range when its params are made. Asking it cannot go out of date as a second list would.
Every param is asked with all others at their defaults.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from reportgen.errors import ReportError
from reportgen.records import Method

FAR = 10**9  # beyond any size, count or length in use
NOWORD = "no such word"


def accepts(method: Method, name: str, value: Any) -> bool:
    """Whether the method takes this value of a param."""
    try:
        method.params(**{name: value})
    except (ValueError, TypeError, ReportError):
        return False
    return True


def choices(method: Method, name: str, schema: Mapping[str, Any]) -> list[Any]:
    """The words that a param may be, by its schema or among those of its documentation; none where any word may be."""
    kinds = [schema, *schema.get("anyOf", ())]
    if found := [one for kind in kinds for one in kind.get("enum", ())]:
        return found
    if any(kind.get("type") == "boolean" for kind in kinds):
        return [True, False]
    types = {kind.get("type") for kind in kinds}
    if not types & {"string", None} or accepts(method, name, NOWORD):
        return []
    doc = next(entry for entry in fields(method.params) if entry.name == name).metadata.get("doc", "")
    return [word for word in dict.fromkeys(re.findall(r"[a-z_]+", doc)) if accepts(method, name, word)]


def limits(method: Method, name: str, schema: Mapping[str, Any]) -> dict[str, float]:
    """The least and the most of a number, by JSON Schema's keywords; nothing where there is no bound, or more to it."""
    types = {kind.get("type") for kind in (schema, *schema.get("anyOf", ()))}
    whole = "integer" in types
    if not types & {"integer", "number"}:
        return {}
    start = _inside(method, name)
    if start is None:
        return {}
    found = {}
    for keyword, far in (("Minimum", -FAR), ("Maximum", FAR)):
        bound = _bound(lambda value: accepts(method, name, value), start, far, whole)
        if bound is not None and not _gaps(method, name, bound[0], far, whole):
            value, included = bound
            found[keyword.lower() if included else f"exclusive{keyword}"] = value
    return found


def _inside(method: Method, name: str) -> float | None:
    """A number that the param takes: its default, else one of the usual ones."""
    default = next(entry for entry in fields(method.params) if entry.name == name).default
    tried = [default] if isinstance(default, int | float) and not isinstance(default, bool) else [1, 16, 256, 0.5, 0]
    return next((value for value in tried if accepts(method, name, value)), None)


def _gaps(method: Method, name: str, bound: float, far: float, whole: bool) -> bool:
    """Whether values beyond a bound fit again, as where a number has to be a multiple, or 0 means something else."""
    steps = [1, 2, 3, 4, 5, 10, 100] if whole else [0.1, 1.0, 10.0]
    beyond = [bound + step * (1 if far > 0 else -1) for step in steps]
    beyond += [value for value in (0, 1, bound * 2, bound // 2) if (value - bound) * far > 0]
    return any(accepts(method, name, value) for value in beyond)


def _bound(fits: Callable[[Any], bool], inside: float, outside: float, whole: bool) -> tuple[float, bool] | None:
    """Where values cease to fit on the way from one that does to one far away, and whether the bound itself does."""
    if fits(outside if whole else float(outside)):
        return None
    good: Any = inside if whole else float(inside)
    bad: Any = outside if whole else float(outside)
    for _ in range(100):
        middle = (good + bad) // 2 if whole else (good + bad) / 2
        if middle in (good, bad) or (not whole and abs(good - bad) < 1e-12):
            break
        good, bad = (middle, bad) if fits(middle) else (good, middle)
    if whole:
        return good, True
    plain = float(f"{good:.6g}") if abs(good) > 1e-9 else 0.0
    return plain, fits(plain)
