"""What expressions of TorchScript code are worth: variables, attributes, constants, lists."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reportgen.nets.program import Scope, refused
from reportgen.nets.script_ops import Undecided
from reportgen.nets.script_pickle import Record, Stored
from reportgen.nets.script_plain import MOST_ENTRIES, decided
from reportgen.nets.script_schema import Size

if TYPE_CHECKING:
    from reportgen.nets.script_code import Follower

_MOST_LETTERS = 1000  # of the full name of a module or a function
NUMBERS: dict[str, Callable[[Any], Any]] = {"int": int, "float": float, "bool": bool}
_FREE = ("torch", "ops", "__torch__", "CONSTANTS", "annotate", "unchecked_cast", "uninitialized", "getattr")


@dataclass(frozen=True)
class Name:
    """A name that the code gives for something outside itself."""

    name: str


@dataclass(frozen=True)
class Module:
    """A module of the net, and where it was found."""

    record: Record
    path: str

    def below(self, name: str) -> str:
        """The full name of an attribute."""
        return f"{self.path}.{name}" if self.path else name


@dataclass(frozen=True)
class Fields:
    """A named tuple."""

    values: Mapping[str, Any]


@dataclass
class Frame:
    """One call of a function: its variables, and the modules it was called in."""

    values: dict[str, Any]
    scopes: tuple[Scope, ...]
    depth: int


def _constant(follower: Follower, node: ast.Constant, frame: Frame) -> Any:
    """A number, a text, True, False or None."""
    if not isinstance(node.value, str | int | float | bool | None):
        raise follower.odd(node)
    return node.value


def _name(follower: Follower, node: ast.Name, frame: Frame) -> Any:
    """A variable, or one of the few words that stand for something else."""
    if node.id in frame.values:
        return frame.values[node.id]
    if node.id in ("inf", "nan"):
        return float(node.id)
    if node.id in _FREE or node.id in NUMBERS:
        return Name(node.id)
    raise refused(node.id, str(follower.recorder.path))


def _attribute(follower: Follower, node: ast.Attribute, frame: Frame) -> Any:
    """`value.name`."""
    return part_of(follower, follower.value(node.value, frame), node.attr)


def part_of(follower: Follower, of: Any, name: str) -> Any:
    """An attribute of a module, a field of a tuple, or a longer name."""
    if len(getattr(of, "path", "")) + len(getattr(of, "name", "")) > _MOST_LETTERS:
        raise follower.recorder.unfit("has modules within modules without an end")
    if of == Name("CONSTANTS"):
        return _held(follower, follower.constants[int(name.removeprefix("c"))], f"CONSTANTS.{name}", trained=True)
    if isinstance(of, Name):
        return Name(f"{of.name}.{name}")
    if isinstance(of, Fields):
        return of.values[name]
    if not isinstance(of, Module) or name not in of.record.attributes:
        raise follower.recorder.unfit(f"asks for {name[:60]!r}, which is not there")
    found = of.record.attributes[name]
    if isinstance(found, Record):
        return Module(found, of.below(name))
    trained = isinstance(found, Stored) and name in follower.source.parameters(of.record.kind)
    return _held(follower, found, of.below(name), trained)


def _held(follower: Follower, value: Any, name: str, trained: bool = False) -> Any:
    """A value of the file: a tensor becomes a weight, a list a list of its own."""
    if isinstance(value, Stored):
        return follower.recorder.weight(value, name, trained)
    if isinstance(value, list | tuple) and len(value) <= MOST_ENTRIES:
        return [
            _held(follower, part, f"{name}.{place}") if isinstance(part, Stored) else part
            for place, part in enumerate(value)
        ]
    return value


def _joined(follower: Follower, node: ast.Tuple | ast.List, frame: Frame) -> Any:
    """`[one, other]` or `(one, other)`."""
    values = [follower.value(part, frame) for part in node.elts]
    return values if isinstance(node, ast.List) else tuple(values)


def _negative(follower: Follower, node: ast.UnaryOp, frame: Frame) -> Any:
    """`-number`."""
    value = follower.value(node.operand, frame)
    if not isinstance(node.op, ast.USub) or not isinstance(value, int | float | Size):
        raise follower.odd(node)
    return follower.recorder.compute("sub", 0, value)


def _entry(follower: Follower, node: ast.Subscript, frame: Frame) -> Any:
    """`values[place]`."""
    of, place = follower.value(node.value, frame), follower.value(node.slice, frame)
    if not isinstance(of, list | tuple) or type(place) is not int:
        raise follower.odd(node)
    return of[place]


def _choice(follower: Follower, node: ast.IfExp, frame: Frame) -> Any:
    """`one if condition else other`."""
    known = decided(follower.value(node.test, frame))
    if isinstance(known, Undecided):
        raise follower.recorder.unfit(f"takes one value or another, by {known.by}")
    return follower.value(node.body if known else node.orelse, frame)


def _call(follower: Follower, node: ast.Call, frame: Frame) -> Any:
    """A call."""
    return follower.call(node, frame)


EXPRESSIONS: dict[type[ast.expr], Callable[..., Any]] = {
    ast.Constant: _constant,
    ast.Name: _name,
    ast.Attribute: _attribute,
    ast.Tuple: _joined,
    ast.List: _joined,
    ast.UnaryOp: _negative,
    ast.Subscript: _entry,
    ast.IfExp: _choice,
    ast.Call: _call,
}
