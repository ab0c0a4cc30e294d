"""TorchScript code, followed once for a picture without numbers: what it does becomes a list of operations.

The code is Python's syntax and a small part of its meaning. It is followed statement by statement here and never run:
branches must be decided by constants of the net, loops must end, and a call is of the file's own code, of one of the
known operations of PyTorch, or refused.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from reportgen.errors import ModelError
from reportgen.nets.program import Scope, refused
from reportgen.nets.script_ops import Recorder, Undecided
from reportgen.nets.script_pickle import MODULES, Record
from reportgen.nets.script_plain import decided, plain
from reportgen.nets.script_schema import Size, Symbol
from reportgen.nets.script_source import Source
from reportgen.nets.script_values import EXPRESSIONS, NUMBERS, Fields, Frame, Module, Name, part_of

_MOST_STEPS = 1_000_000  # a scripted densenet121 takes 24,000
_MOST_DEPTH = 40  # of calls within calls
_MOST_ARGUMENTS = 200
_RAISED = "RaiseException"
_FORWARD = re.compile(r"forward_{0,2}\d*")  # numbered where a module is called in several ways


@dataclass(frozen=True)
class _Done:
    """What a function returned."""

    value: Any


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
        found = self.method(Module(record, ""), "forward", [self.recorder.picture], {}, Frame({}, (), 0))
        parts = list(found.values.values()) if isinstance(found, Fields) else found
        several = parts if isinstance(parts, list | tuple) else [parts]
        first = next((part for part in several if isinstance(part, Symbol)), None)
        if first is None or not first.fed:
            raise self.recorder.unfit("returns no tensor that depends on the picture")
        return first

    # --- calls

    def method(self, module: Module, name: str, args: list[Any], kwargs: dict[str, Any], frame: Frame) -> Any:
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
        frame = Frame({}, scopes, depth + 1)
        defaults = names[len(names) - len(found.args.defaults) :]
        frame.values |= {
            name: self.value(each, frame) for name, each in zip(defaults, found.args.defaults, strict=True)
        }
        given = dict(zip(names, args, strict=False)) | kwargs
        unfit = set(given) - set(names) or set(names) - set(given) - set(defaults)
        if max(len(names), len(given)) > _MOST_ARGUMENTS or len(args) > len(names) or unfit:
            raise ValueError(f"{found.name[:60]} is called with other arguments than it has")
        frame.values |= given
        done = self.block(found.body, frame)
        return None if done is None else done.value

    # --- statements

    def block(self, body: list[ast.stmt], frame: Frame) -> _Done | None:
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

    def assign(self, statement: ast.Assign, frame: Frame) -> None:
        """`name = value`, or `one, other, = values`."""
        value = self.value(statement.value, frame)
        for target in statement.targets:
            if isinstance(target, ast.Tuple) and isinstance(value, list | tuple):
                for name, part in zip(target.elts, value, strict=True):
                    self.bind(name, part, frame)
            else:
                self.bind(target, value, frame)

    def declare(self, statement: ast.AnnAssign, frame: Frame) -> None:
        """`name : Type = value`."""
        if statement.value is not None:
            self.bind(statement.target, self.value(statement.value, frame), frame)

    def bind(self, target: ast.expr, value: Any, frame: Frame) -> None:
        """Give a variable its value."""
        if not isinstance(target, ast.Name):
            raise self.odd(target)
        frame.values[target.id] = value

    def express(self, statement: ast.Expr, frame: Frame) -> None:
        """A call for what it does alone."""
        self.value(statement.value, frame)

    def give(self, statement: ast.Return, frame: Frame) -> _Done:
        """`return value`."""
        return _Done(None if statement.value is None else self.value(statement.value, frame))

    def branch(self, statement: ast.If, frame: Frame) -> _Done | None:
        """The branch that constants decide for; of one that may only raise an error, the other."""
        known = decided(self.value(statement.test, frame))
        if isinstance(known, Undecided):
            if not self.raises(statement.body) and not self.raises(statement.orelse):
                raise self.recorder.unfit(f"takes one way or another, by {known.by}")
            known = self.raises(statement.orelse)
        return self.block(statement.body if known else statement.orelse, frame)

    def raises(self, body: list[ast.stmt]) -> bool:
        """Whether a branch ends with an error for certain."""
        for part in body:
            self.tick()
            call = part.value if isinstance(part, ast.Expr) else None
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == _RAISED:
                return True
        return False

    def count(self, statement: ast.For, frame: Frame) -> _Done | None:
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

    def repeat(self, statement: ast.While, frame: Frame) -> _Done | None:
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

    def value(self, node: ast.expr, frame: Frame) -> Any:
        """What an expression is worth."""
        self.tick()
        follow = EXPRESSIONS.get(type(node))
        if follow is None:
            raise self.odd(node)
        return follow(self, node, frame)

    def call(self, node: ast.Call, frame: Frame) -> Any:
        """A call of a method, of the file's functions, or of an operation."""
        if isinstance(node.func, ast.Attribute):
            of = self.value(node.func.value, frame)
            if isinstance(of, Module):
                args, kwargs = self.arguments(node, frame)
                return self.method(of, node.func.attr, args, kwargs, frame)
            called = part_of(self, of, node.func.attr)
        else:
            called = self.value(node.func, frame)
        if not isinstance(called, Name):
            raise self.odd(node)
        if called.name in ("annotate", "unchecked_cast"):
            return self.value(node.args[1], frame)
        if called.name == "uninitialized":
            return None
        args, kwargs = self.arguments(node, frame)
        return self.named(called.name, args, kwargs, frame)

    def arguments(self, node: ast.Call, frame: Frame) -> tuple[list[Any], dict[str, Any]]:
        """What a call is given, by place and by name."""
        return [self.value(arg, frame) for arg in node.args], {
            str(each.arg): self.value(each.value, frame) for each in node.keywords
        }

    def named(self, name: str, args: list[Any], kwargs: dict[str, Any], frame: Frame) -> Any:
        """A call by name."""
        recorder = self.recorder
        if name.startswith(MODULES):
            return self.own(name, args, kwargs, frame)
        if name == "getattr" and len(args) == 2 and isinstance(args[1], str):
            return part_of(self, args[0], args[1])
        if name in NUMBERS and len(args) == 1:
            if isinstance(args[0], Symbol | Size | Undecided):
                return args[0] if name != "bool" else decided(args[0])
            return NUMBERS[name](args[0])
        if name == "ops.prim.NumToTensor" and len(args) == 1:
            return args[0]
        if name == f"ops.prim.{_RAISED}":
            said = args[0] if args and isinstance(args[0], str) else ""
            raise recorder.unfit(f"ends with an error of its own for such pictures: {said[:120]!r}")
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

    def own(self, name: str, args: list[Any], kwargs: dict[str, Any], frame: Frame) -> Any:
        """A function of the file's, or a named tuple."""
        found = self.source.find(name)
        if isinstance(found, ast.FunctionDef):
            return self.function(found, args, kwargs, frame.scopes, frame.depth)
        fields = self.source.fields(name)
        if fields is None or kwargs:
            raise self.recorder.unfit(f"makes objects of a class of its own ({name.rpartition('.')[2][:60]})")
        return Fields(dict(zip(fields, args, strict=True)))

    def odd(self, node: ast.AST) -> ModelError:
        """The error for code that is not understood."""
        said = ast.unparse(node).split("\n")[0][:80]
        return self.recorder.unfit(f"says {said!r}, which is not followed here")


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
