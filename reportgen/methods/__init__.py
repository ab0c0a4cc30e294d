"""The registry: one method per file of this folder, and those that other packages bring.

A package adds its own through the entry point group `reportgen.methods`, each entry naming a `Method`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from functools import lru_cache
from importlib.metadata import entry_points
from types import MappingProxyType, ModuleType
from typing import Any

from reportgen.errors import MethodError, nearest
from reportgen.records import Method

GROUP = "reportgen.methods"


@lru_cache(maxsize=1)
def methods() -> Mapping[str, Method]:
    """Every method by name, alphabetically.

    Raises MethodError for a file of the folder or an entry point that does not give a well-formed method.
    """
    found: dict[str, Method] = {}
    for module in pkgutil.iter_modules(__path__):
        found[module.name] = _of_module(importlib.import_module(f"{__name__}.{module.name}"))
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        if entry.name in found:
            raise MethodError(f"The entry point {entry.value} brings a second method named {entry.name!r}.")
        found[entry.name] = _checked(entry.load(), entry.name, entry.value)
    for made in found.values():
        _check_neighbours(made, found)
    return MappingProxyType(dict(sorted(found.items())))


def method(name: str) -> Method:
    """The method of this name.

    Raises MethodError, with the nearest names, where there is none.
    """
    if name not in methods():
        raise MethodError(f"There is no method {name!r}. {nearest(name, methods())}")
    return methods()[name]


def _of_module(module: ModuleType) -> Method:
    name = module.__name__.rpartition(".")[2]
    if not hasattr(module, "METHOD"):
        raise MethodError(f"The file methods/{name}.py has no METHOD: every file of the folder holds one method.")
    made = _checked(module.METHOD, name, f"methods/{name}.py")
    return made if made.doc else replace(made, doc=(module.__doc__ or "").strip())


def _checked(made: Any, name: str, place: str) -> Method:
    """The method itself, if it is one and keeps the rules that plan, pages and keys lean on."""
    if not isinstance(made, Method):
        raise MethodError(f"{place}: METHOD is a {type(made).__name__}, not a reportgen.records.Method.")
    if made.name != name:
        raise MethodError(f"{place}: the method calls itself {made.name!r}; the name must be that of its file.")
    if not (is_dataclass(made.params) and made.params.__dataclass_params__.frozen):  # type: ignore[attr-defined]
        raise MethodError(f"{place}: params must be a frozen dataclass.")
    if undocumented := [field.name for field in fields(made.params) if not field.metadata.get("doc")]:
        raise MethodError(f'{place}: the param {undocumented[0]!r} lacks metadata={{"doc": ...}}.')
    return made


def _check_neighbours(made: Method, known: Mapping[str, Method]) -> None:
    """Raise MethodError where a method leans on others in a way that the plan does not make cells for."""
    for name in (*made.uses, *made.beside):
        if name not in known:
            raise MethodError(f"{made.name} leans on the method {name!r}, which does not exist. {nearest(name, known)}")
    if made.uses and made.scope == "images":
        raise MethodError(f"{made.name} looks at a set of images, and such a method cannot use {made.uses[0]!r}.")
    for other in (known[name] for name in made.uses):
        if other.scope != made.scope or other.uses:
            raise MethodError(
                f"{made.name} cannot use {other.name!r}: only methods of its own scope ({made.scope}) that use none."
            )
    for other in (known[name] for name in made.beside):
        if other.uses or not (other.scope in ("net", "images") or other.scope == made.scope == "image"):
            raise MethodError(
                f"{made.name} cannot show {other.name!r} beside it: only methods that use no other, and that look at "
                "the net, at all images, or at the same image."
            )
