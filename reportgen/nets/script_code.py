"""TorchScript code, followed once for a picture without numbers: what it does becomes a list of operations.

The code is Python's syntax and a small part of its meaning. It is followed statement by statement here and never run:
branches must be decided by constants of the net, loops must end, and a call is of the file's own code, of one of the
known operations of PyTorch, or refused.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from reportgen.errors import ModelError
from reportgen.nets.program import Scope, refused
from reportgen.nets.script_ops import Recorder, Size, Symbol, Undecided
from reportgen.nets.script_pickle import MODULES, Record, Stored
from reportgen.nets.script_plain import decided, plain
from reportgen.nets.script_source import Source

_MOST_STEPS = 1_000_000  # a scripted densenet121 takes 45,000
_MOST_DEPTH = 60  # of calls within calls
_FORWARD = re.compile(r"forward_{0,2}\d*")  # numbered where a module is called in several ways
_FREE = ("torch", "ops", "__torch__", "CONSTANTS", "annotate", "unchecked_cast", "uninitialized", "getattr", "range")
_NUMBERS: dict[str, Callable[[Any], Any]] = {"int": int, "float": float, "bool": bool}


@dataclass(frozen=True)
class _Name:
    """A name that the code gives for something outside itself."""

    name: str


@dataclass(frozen=True)
class _Module:
    """A module of the net, and where it was found."""

    record: Record
    path: str

    def below(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name


@dataclass(frozen=True)
class _Fields:
    """A named tuple."""

    values: Mapping[str, Any]


@dataclass(frozen=True)
class _Done:
    """What a function returned."""

    value: Any


@dataclass
class _Frame:
    """One call of a function: its variables, and the modules it was called in."""

    values: dict[str, Any]
    scopes: tuple[Scope, ...]
    depth: int


class Follower:
    """Follows the code of an archive, and has what it does written down."""

    def __init__(self, source: Source, recorder: Recorder, constants: tuple[Any, ...]) -> None:
        self.source, self.recorder, self.constants = source, recorder, constants  # constants without axes are numbers
        self.steps = self.calls = 0

    def net(self, record: Record) -> Symbol:
        """What the net makes of a picture: the first tensor that its forward returns."""
        function = self.source.method(record.kind, "forward")
        takes = len(function.args.args) - len(function.args.defaults)
        if takes != 2:
            raise ModelError(
                f"The net in {self.recorder.path} takes {takes - 1} inputs; one batch of pictures, N x 3 x H x W, is "
                "wanted."
            )
        found = self.method(_Module(record, ""), "forward", [self.recorder.picture], {}, _Frame({}, (), 0))
        parts = list(found.values.values()) if isinstance(found, _Fields) else found
        first = (
            next((part for part in parts if isinstance(part, Symbol)), None)
            if isinstance(parts, list | tuple)
            else parts
        )
        if not isinstance(first, Symbol) or not first.fed:
            raise self.recorder.unfit("returns no tensor that depends on the picture")
        return first

    # --- calls

    def method(self, module: _Module, name: str, args: list[Any], kwargs: dict[str, Any], frame: _Frame) -> Any:
        """Follow a method of a module."""
        kind, scopes = module.record.kind, frame.scopes
        if module.record.odd or self.source.has_own_state(kind):
            raise self.recorder.unfit(
                f"sets up {kind.rpartition('.')[2][:60]} in a way of its own (__setstate__), which would have to be run"
            )
        if _FORWARD.fullmatch(name) and module.path:
            self.calls += 1
            scopes = (*scopes, Scope(module.path, kind.rpartition(".")[2], str(self.calls)))
        if module.record.attributes.get("training") is True:
            raise ModelError(
                f"The model file {self.recorder.path} was written in training mode ({module.path or 'the net'}): call "
                ".eval() before exporting the net."
            )
        return self.function(self.source.method(kind, name), [module, *args], kwargs, scopes, frame.depth)

    def function(
        self, found: ast.FunctionDef, args: list[Any], kwargs: dict[str, Any], scopes: tuple[Scope, ...], depth: int
    ) -> Any:
        """Follow a function."""
        if depth > _MOST_DEPTH:
            raise self.recorder.unfit(f"calls itself, or more than {_MOST_DEPTH} functions within one another")
        names = [each.arg for each in found.args.args]
        frame = _Frame({}, scopes, depth + 1)
        defaults = names[len(names) - len(found.args.defaults) :]
        frame.values |= {
            name: self.value(each, frame) for name, each in zip(defaults, found.args.defaults, strict=True)
        }
        given = dict(zip(names, args, strict=False)) | kwargs
        if len(args) > len(names) or set(given) - set(names) or set(names) - set(given) - set(defaults):
            raise ValueError(f"{found.name[:60]} is called with other arguments than it has")
        frame.values |= given
        done = self.block(found.body, frame)
        return None if done is None else done.value

    # --- statements

    def block(self, body: list[ast.stmt], frame: _Frame) -> _Done | None:
        """Follow statements, up to a return."""
        for statement in body:
            self.tick()
            follow = _STATEMENTS.get(type(statement))
            if follow is None:
                raise self.odd(statement)
            if (done := follow(self, statement, frame)) is not None:
                return done
        return None

    def tick(self) -> None:
        """One step further, within limits."""
        self.steps += 1
        if self.steps > _MOST_STEPS:
            raise self.recorder.unfit("goes on without an end, or for far longer than any net's")

    def assign(self, statement: ast.Assign, frame: _Frame) -> None:
        """`name = value`, or `one, other, = values`."""
        value = self.value(statement.value, frame)
        for target in statement.targets:
            if isinstance(target, ast.Tuple) and isinstance(value, list | tuple):
                for name, part in zip(target.elts, value, strict=True):
                    self.bind(name, part, frame)
            else:
                self.bind(target, value, frame)

    def declare(self, statement: ast.AnnAssign, frame: _Frame) -> None:
        """`name : Type = value`."""
        if statement.value is not None:
            self.bind(statement.target, self.value(statement.value, frame), frame)

    def bind(self, target: ast.expr, value: Any, frame: _Frame) -> None:
        """Give a variable its value."""
        if not isinstance(target, ast.Name):
            raise self.odd(target)
        frame.values[target.id] = value

    def express(self, statement: ast.Expr, frame: _Frame) -> None:
        """A call for what it does alone."""
        self.value(statement.value, frame)

    def give(self, statement: ast.Return, frame: _Frame) -> _Done:
        """`return value`."""
        return _Done(None if statement.value is None else self.value(statement.value, frame))

    def branch(self, statement: ast.If, frame: _Frame) -> _Done | None:
        """The branch that constants decide for; of one that may only raise an error, the other."""
        known = decided(self.value(statement.test, frame))
        if isinstance(known, Undecided):
            if not _raises(statement.body) and not _raises(statement.orelse):
                raise self.recorder.unfit(f"takes one way or another, by {known.by}")
            known = _raises(statement.orelse)
        return self.block(statement.body if known else statement.orelse, frame)

    def count(self, statement: ast.For, frame: _Frame) -> _Done | None:
        """A loop over a range, or a list."""
        over = statement.iter
        if isinstance(over, ast.Call) and isinstance(over.func, ast.Name) and over.func.id == "range":
            limits = [self.value(arg, frame) for arg in over.args]
            if not all(type(limit) is int for limit in limits):
                raise self.recorder.unfit("has a loop that is as long as the picture is large")
            entries: Any = range(*limits)
        else:
            entries = self.value(over, frame)
        if not isinstance(entries, range | list | tuple):
            raise self.odd(over)
        for entry in entries:
            self.tick()
            self.bind(statement.target, entry, frame)
            if (done := self.block(statement.body, frame)) is not None:
                return done
        return None

    def repeat(self, statement: ast.While, frame: _Frame) -> _Done | None:
        """A loop that constants end."""
        while True:
            self.tick()
            known = decided(self.value(statement.test, frame))
            if isinstance(known, Undecided):
                raise self.recorder.unfit(f"has a loop that is ended by {known.by}")
            if not known:
                return None
            if (done := self.block(statement.body, frame)) is not None:
                return done

    # --- expressions

    def value(self, node: ast.expr, frame: _Frame) -> Any:
        """What an expression is worth."""
        self.tick()
        follow = _EXPRESSIONS.get(type(node))
        if follow is None:
            raise self.odd(node)
        return follow(self, node, frame)

    def constant(self, node: ast.Constant, frame: _Frame) -> Any:
        """A number, a text, True, False or None."""
        if not isinstance(node.value, str | int | float | bool | None):
            raise self.odd(node)
        return node.value

    def name(self, node: ast.Name, frame: _Frame) -> Any:
        """A variable, or one of the few words that stand for something else."""
        if node.id in frame.values:
            return frame.values[node.id]
        if node.id in ("inf", "nan"):
            return float(node.id)
        if node.id in _FREE or node.id in _NUMBERS:
            return _Name(node.id)
        raise refused(node.id, str(self.recorder.path))

    def attribute(self, node: ast.Attribute, frame: _Frame) -> Any:
        """`value.name`."""
        return self.part(self.value(node.value, frame), node.attr)

    def part(self, of: Any, name: str) -> Any:
        """An attribute of a module, a field of a tuple, or a longer name."""
        if of == _Name("CONSTANTS"):
            return self.held(self.constants[int(name.removeprefix("c"))], f"CONSTANTS.{name}", trained=True)
        if isinstance(of, _Name):
            return _Name(f"{of.name}.{name}")
        if isinstance(of, _Fields):
            return of.values[name]
        if not isinstance(of, _Module) or name not in of.record.attributes:
            raise self.recorder.unfit(f"asks for {name[:60]!r}, which is not there")
        found = of.record.attributes[name]
        if isinstance(found, Record):
            return _Module(found, of.below(name))
        trained = isinstance(found, Stored) and name in self.source.parameters(of.record.kind)
        return self.held(found, of.below(name), trained)

    def held(self, value: Any, name: str, trained: bool = False) -> Any:
        """A value of the file: a tensor becomes a weight, a list a list of its own."""
        if isinstance(value, Stored):
            return self.recorder.weight(value, name, trained)
        if isinstance(value, list | tuple):
            return [
                self.held(part, f"{name}.{place}") if isinstance(part, Stored) else part
                for place, part in enumerate(value)
            ]
        return value

    def joined(self, node: ast.Tuple | ast.List, frame: _Frame) -> Any:
        """`[one, other]` or `(one, other)`."""
        values = [self.value(part, frame) for part in node.elts]
        return values if isinstance(node, ast.List) else tuple(values)

    def negative(self, node: ast.UnaryOp, frame: _Frame) -> Any:
        """`-number`."""
        value = self.value(node.operand, frame)
        if not isinstance(node.op, ast.USub) or not isinstance(value, int | float | Size):
            raise self.odd(node)
        return self.recorder.compute("sub", 0, value)

    def entry(self, node: ast.Subscript, frame: _Frame) -> Any:
        """`values[place]`."""
        of, place = self.value(node.value, frame), self.value(node.slice, frame)
        if not isinstance(of, list | tuple) or type(place) is not int:
            raise self.odd(node)
        return of[place]

    def choice(self, node: ast.IfExp, frame: _Frame) -> Any:
        """`one if condition else other`."""
        known = decided(self.value(node.test, frame))
        if isinstance(known, Undecided):
            raise self.recorder.unfit(f"takes one value or another, by {known.by}")
        return self.value(node.body if known else node.orelse, frame)

    def call(self, node: ast.Call, frame: _Frame) -> Any:
        """A call of a method, of the file's functions, or of an operation."""
        if isinstance(node.func, ast.Attribute):
            of = self.value(node.func.value, frame)
            if isinstance(of, _Module):
                args, kwargs = self.arguments(node, frame)
                return self.method(of, node.func.attr, args, kwargs, frame)
            called = self.part(of, node.func.attr)
        else:
            called = self.value(node.func, frame)
        if not isinstance(called, _Name):
            raise self.odd(node)
        if called.name in ("annotate", "unchecked_cast"):
            return self.value(node.args[1], frame)
        if called.name == "uninitialized":
            return None
        args, kwargs = self.arguments(node, frame)
        return self.named(called.name, args, kwargs, frame)

    def arguments(self, node: ast.Call, frame: _Frame) -> tuple[list[Any], dict[str, Any]]:
        """What a call is given, by place and by name."""
        return [self.value(arg, frame) for arg in node.args], {
            str(each.arg): self.value(each.value, frame) for each in node.keywords
        }

    def named(self, name: str, args: list[Any], kwargs: dict[str, Any], frame: _Frame) -> Any:
        """A call by name."""
        recorder = self.recorder
        if name.startswith(MODULES):
            return self.own(name, args, kwargs, frame)
        if name == "getattr" and len(args) == 2 and isinstance(args[1], str):
            return self.part(args[0], args[1])
        if name in _NUMBERS and len(args) == 1:
            if isinstance(args[0], Symbol | Size | Undecided):
                return args[0] if name != "bool" else decided(args[0])
            return _NUMBERS[name](args[0])
        if name == "ops.prim.NumToTensor" and len(args) == 1:
            return args[0]
        if name == "ops.prim.RaiseException":
            raise recorder.unfit(f"ends with an error here: {str(args[0])[:120]!r}")
        if "mkldnn" in name:
            raise recorder.unfit(
                f"has operations for one kind of processor ({name[:60]}), as torch.jit.optimize_for_inference leaves "
                "them; what is wanted is the net before that"
            )
        if not name.startswith("torch.") or name.count(".") != 1:
            raise refused(name, str(recorder.path))
        word = name.removeprefix("torch.")
        if (found := plain(recorder, word, args, kwargs)) is not NotImplemented:
            return found
        return recorder.run(word, args, kwargs, frame.scopes)

    def own(self, name: str, args: list[Any], kwargs: dict[str, Any], frame: _Frame) -> Any:
        """A function of the file's, or a named tuple."""
        found = self.source.find(name)
        if isinstance(found, ast.FunctionDef):
            return self.function(found, args, kwargs, frame.scopes, frame.depth)
        fields = self.source.fields(name)
        if fields is None or kwargs:
            raise self.recorder.unfit(f"makes objects of a class of its own ({name.rpartition('.')[2][:60]})")
        return _Fields(dict(zip(fields, args, strict=True)))

    def odd(self, node: ast.AST) -> ModelError:
        """The error for code that is not understood."""
        said = ast.unparse(node).split("\n")[0][:80]
        return self.recorder.unfit(f"says {said!r}, which is not followed here")


def _raises(body: list[ast.stmt]) -> bool:
    """Whether a branch ends with an error for certain."""
    calls = [part.value for part in body if isinstance(part, ast.Expr) and isinstance(part.value, ast.Call)]
    return any(ast.unparse(call.func) == "ops.prim.RaiseException" for call in calls)


_STATEMENTS: dict[type[ast.stmt], Callable[..., _Done | None]] = {
    ast.Assign: Follower.assign,
    ast.AnnAssign: Follower.declare,
    ast.Expr: Follower.express,
    ast.Return: Follower.give,
    ast.If: Follower.branch,
    ast.For: Follower.count,
    ast.While: Follower.repeat,
    ast.Pass: lambda *_: None,
}
_EXPRESSIONS: dict[type[ast.expr], Callable[..., Any]] = {
    ast.Constant: Follower.constant,
    ast.Name: Follower.name,
    ast.Attribute: Follower.attribute,
    ast.Tuple: Follower.joined,
    ast.List: Follower.joined,
    ast.UnaryOp: Follower.negative,
    ast.Subscript: Follower.entry,
    ast.IfExp: Follower.choice,
    ast.Call: Follower.call,
}
