"""Which of PyTorch's operators a call means: by its name, and by what it is called with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from reportgen.nets.program import Value, Weight


@dataclass(frozen=True)
class Symbol:
    """A tensor of the net."""

    arg: Value | Weight
    fed: bool  # whether it depends on the picture


@dataclass(frozen=True, eq=False)  # one may be made of others sixty times over: comparing all would not end
class Size:
    """A whole number that depends on the size or the number of the pictures."""

    examples: tuple[int, int]
    made: tuple[Any, ...]  # ("size", Symbol, dim), or an operation of Python and its two numbers


def meant(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """The operator's overload that takes these arguments, and the arguments by name; None where there is none."""
    for overload, schema in _overloads(name):
        places = [entry for entry in schema if not entry.named]
        entries = {entry.name: entry for entry in schema}
        given = dict(zip((entry.name for entry in places), args, strict=False)) | dict(kwargs)
        if len(args) > len(places) or len(given) < len(args) + len(kwargs) or set(given) - set(entries):
            continue
        needed = {entry.name for entry in schema if entry.needed}
        if needed <= set(given) and all(_fits(entries[k].told, entries[k].fixed, v) for k, v in given.items()):
            return f"{name}.{overload}", given
    return None


@dataclass(frozen=True)
class _Entry:
    """An argument of an operator, as its schema has it."""

    name: str
    told: str  # its type
    fixed: int | None  # how many numbers it has, where one may stand for all
    named: bool  # whether it is only given by name
    needed: bool


@lru_cache(maxsize=512)
def _overloads(name: str) -> tuple[tuple[str, tuple[_Entry, ...]], ...]:
    """The overloads of an operator of PyTorch; none where there is no such operator."""
    import torch

    packet = getattr(torch.ops.aten, name, None)
    return tuple(
        (
            overload,
            tuple(
                _Entry(entry.name, str(entry.type), entry.N, entry.kwarg_only, not entry.has_default_value())
                for entry in getattr(packet, overload)._schema.arguments
            ),
        )
        for overload in (packet.overloads() if packet is not None else ())
    )


def _fits(told: str, fixed: int | None, value: Any) -> bool:
    """Whether a value is of the type that an operator's schema tells."""
    if told.startswith("Optional["):
        return value is None or _fits(told[9:-1], fixed, value)
    if told.startswith("List["):
        inner = told[5:-1]
        if isinstance(value, list | tuple):
            return all(_fits(inner, None, part) for part in value)
        return fixed is not None and _fits(inner, None, value)
    if told in _TYPES:
        return isinstance(value, _TYPES[told]) and (told == "bool" or not isinstance(value, bool))
    return value is None


_TYPES: dict[str, tuple[type, ...]] = {
    "Tensor": (Symbol,),
    "int": (int, Size),
    "number": (int, float, Size),
    "float": (int, float),
    "bool": (bool,),
    "str": (str,),
}
