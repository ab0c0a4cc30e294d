"""What TorchScript code does with numbers, lists and texts between its operations on tensors."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from reportgen.nets.script_ops import Recorder, Undecided
from reportgen.nets.script_schema import Size, Symbol

MOST_ENTRIES = 2000  # of a list
_BY_TENSOR = Undecided("what is in the picture")
_BY_SIZE = Undecided("the size or the number of the pictures")


def plain(recorder: Recorder, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """What a call of `torch.NAME` makes of plain values; NotImplemented where it is an operation on tensors."""
    if name in _COMPARED and len(args) == 2:
        return _compared(recorder, _COMPARED[name], *args)
    if name in _COMPUTED and len(args) == 2 and kwargs in ({}, {"alpha": 1}):
        if all(isinstance(arg, list) for arg in args) and name == "add":
            return _bounded(recorder, [*args[0], *args[1]])
        if all(_is_number(arg) for arg in args):
            return recorder.compute(_COMPUTED[name], *args)
        return NotImplemented
    known = None if kwargs else _KNOWN.get(name)
    return NotImplemented if known is None else known(recorder, *args)


def decided(value: Any) -> bool | Undecided:
    """A condition's value, where one is known."""
    if isinstance(value, Symbol | Undecided):
        return _BY_TENSOR if isinstance(value, Symbol) else value
    return _BY_SIZE if isinstance(value, Size) else bool(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Size) and not isinstance(value, bool)


def _compared(recorder: Recorder, compare: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    for value in (left, right):
        parts = value if isinstance(value, list | tuple) else (value,)
        for part in parts:
            if isinstance(part, Undecided):
                return part
            if isinstance(part, Symbol | Size):
                return _BY_TENSOR if isinstance(part, Symbol) else _BY_SIZE
            if not isinstance(part, str | int | float | None):  # lists of lists may take for ever
                raise recorder.unfit("compares more than numbers, texts and lists of them")
    return bool(compare(left, right))


def _is(_: Recorder, left: Any, right: Any) -> bool:
    return left is None if right is None else left is right


def _not(_: Recorder, value: Any) -> Any:
    known = decided(value)
    return known if isinstance(known, Undecided) else not known


def _and(_: Recorder, left: Any, right: Any) -> Any:
    one, other = decided(left), decided(right)
    if one is False or other is False:
        return False
    return one if isinstance(one, Undecided) else other


def _or(_: Recorder, left: Any, right: Any) -> Any:
    one, other = decided(left), decided(right)
    if one is True or other is True:
        return True
    return one if isinstance(one, Undecided) else other


def _size(recorder: Recorder, tensor: Any, dim: int | None = None) -> Any:
    if not isinstance(tensor, Symbol):
        return NotImplemented
    shape = recorder.shape(tensor)
    return shape if dim is None else shape[dim]


def _dim(recorder: Recorder, tensor: Any) -> Any:
    return len(recorder.shape(tensor)) if isinstance(tensor, Symbol) else NotImplemented


def _len(recorder: Recorder, value: Any) -> Any:
    return recorder.shape(value)[0] if isinstance(value, Symbol) else len(value)


def _neg(recorder: Recorder, value: Any) -> Any:
    return recorder.compute("sub", 0, value) if _is_number(value) else NotImplemented


def _append(recorder: Recorder, values: Any, value: Any) -> Any:
    if not isinstance(values, list):
        return NotImplemented
    values.append(value)
    return _bounded(recorder, values)


def _slice(_: Recorder, values: Any, *places: Any) -> Any:
    if not isinstance(values, list) or not all(isinstance(place, int | None) for place in places):
        return NotImplemented
    return values[slice(*places)] if places else list(values)


def _contains(recorder: Recorder, values: Any, value: Any) -> Any:
    if not isinstance(values, list):
        return NotImplemented
    found = [_compared(recorder, operator.eq, part, value) for part in values]
    return next((part for part in found if isinstance(part, Undecided)), any(part is True for part in found))


def _list(_: Recorder, values: Any) -> Any:
    return list(values) if isinstance(values, list | tuple) else NotImplemented


def _bounded(recorder: Recorder, values: list[Any]) -> list[Any]:
    if len(values) > MOST_ENTRIES:
        raise recorder.unfit(f"makes a list of more than {MOST_ENTRIES:,} entries")
    return values


def _number(_: Recorder, value: Any) -> Any:
    """A number that traces have as a tensor."""
    return value if _is_number(value) else NotImplemented


_COMPARED: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}
_COMPUTED = {
    "add": "add",
    "sub": "sub",
    "mul": "mul",
    "floordiv": "floordiv",
    "floor_divide": "floordiv",
    "remainder": "remainder",
}
_KNOWN: dict[str, Callable[..., Any]] = {
    "__is__": _is,
    "__isnot__": lambda recorder, left, right: not _is(recorder, left, right),
    "__not__": _not,
    "__and__": _and,
    "__or__": _or,
    "__contains__": _contains,
    "size": _size,
    "dim": _dim,
    "len": _len,
    "neg": _neg,
    "append": _append,
    "slice": _slice,
    "list": _list,
    "format": lambda _, text, *rest: text,  # for warnings and errors only
    "_unwrap_optional": lambda _, value: value,
    "warn": lambda *_: None,
    "Int": _number,
    "IntImplicit": _number,
    "ScalarImplicit": _number,
}
