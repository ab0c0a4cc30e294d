"""What the pickles of a TorchScript archive hold, as inert records: nothing is imported, called or built.

A pickle is a small program. PyTorch's own machine for it would build the net's modules and run their `__setstate__`;
Python's would import and call whatever it names. This one knows the instructions that PyTorch writes, some thirty, and
what they may "call" is the handful of names below, each of which makes a plain value here.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reportgen.errors import ModelError

MODULES = "__torch__."  # what names of the file's own classes begin with
# What only says of which type its first argument is.
_TYPED = frozenset(
    f"torch.jit._pickle {name}"
    for name in ("build_intlist", "build_doublelist", "build_boollist", "build_tensorlist", "restore_type_tag")
)
_TENSOR = "torch._utils _rebuild_tensor_v2"
_QUANTISED = "torch._utils _rebuild_qtensor"
_STORAGES = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}


@dataclass(frozen=True)
class Named:
    """A name that the pickle mentions."""

    name: str  # "torch FloatStorage"


@dataclass(eq=False)
class Record:
    """An object of one of the file's own classes: its class by name, and its attributes."""

    kind: str  # "__torch__.torch.nn.modules.conv.Conv2d"
    attributes: dict[str, Any] = field(default_factory=dict)
    odd: bool = False  # its state is no mapping of attributes: only code of the file could tell what it means


@dataclass(frozen=True)
class Stored:
    """A tensor: where it lies in the archive, and how."""

    entry: str  # "data/12"
    kind: str  # "float32"
    start: int
    sizes: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class _Storage:
    entry: str
    kind: str


def records(path: Path, data: bytes, folder: str) -> Any:
    """What a pickle of a TorchScript archive holds; its tensors lie in this folder of the archive."""
    machine = _Machine(path, folder)
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name == "STOP":
            return machine.stack.pop()
        machine.step(opcode.name, argument)
    raise ValueError("a pickle without an end")


class _Machine:
    """The stack and the memo of one pickle. An instruction adds one value at most: no small file makes a large one."""

    def __init__(self, path: Path, folder: str) -> None:
        self.path, self.folder = path, folder
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        """Carry out one instruction."""
        if name in _PUSHED:
            self.stack.append(argument)
        elif name in _FRESH:
            self.stack.append(_FRESH[name]())
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif name == "MARK":
            self.marks.append(len(self.stack))
        elif name == "GLOBAL":
            self.stack.append(Named(argument))
        elif name in _STEPS:
            _STEPS[name](self)
        elif name != "PROTO":
            raise ModelError(
                f"The model file {self.path} was refused: its pickle has the instruction {name}, which PyTorch writes "
                "in no TorchScript file. Nothing of it was run."
            )

    def marked(self) -> list[Any]:
        """What lies above the last mark, taken off."""
        place = self.marks.pop()
        found = self.stack[place:]
        del self.stack[place:]
        return found

    def tuple_of(self, count: int) -> None:
        """Join the last values."""
        found = tuple(self.stack[-count:])
        del self.stack[-count:]
        self.stack.append(found)

    def pairs(self, values: list[Any]) -> None:
        """Put keys and values into the mapping below them."""
        target = self.stack[-1]
        for key, value in zip(values[::2], values[1::2], strict=True):
            if not isinstance(key, str | int | float | bool):
                raise ValueError(f"a key that is a {type(key).__name__}")  # hashing deep tuples can end the process
            target[key] = value

    def new(self) -> None:
        """An object of a class: of the file's own, and only as a record."""
        arguments, kind = self.stack.pop(), self.stack.pop()
        name = kind.name.replace(" ", ".") if isinstance(kind, Named) else ""
        if not name.startswith(MODULES) or arguments != ():
            raise self.foreign(kind)
        self.stack.append(Record(name))

    def build(self) -> None:
        """An object's state."""
        state = self.stack.pop()
        target = self.stack[-1]
        if not isinstance(target, Record):
            raise self.foreign(target)
        if isinstance(state, dict) and all(isinstance(key, str) for key in state):
            target.attributes = state
        else:
            target.odd = True

    def persistent(self) -> None:
        """A storage: `("storage", kind, key, device, count)`."""
        word, kind, key, _, count = self.stack.pop()
        name = kind.name.removeprefix("torch ") if isinstance(kind, Named) else ""
        if word != "storage" or not isinstance(key, str) or not isinstance(count, int):
            raise ValueError("a reference that is no storage")
        if name.startswith("Q"):
            raise self.quantised()
        if name not in _STORAGES or not key.isascii() or not key.isalnum():
            raise ModelError(
                f"The model file {self.path} was refused: its tensors are to lie in {key[:60]!r} as {name[:60]!r}. "
                "PyTorch numbers the storages of an archive, and only plain number types are opened."
            )
        self.stack.append(_Storage(f"{self.folder}/{key}", _STORAGES[name]))

    def reduce(self) -> None:
        """A "call": of one of the few names that stand for plain values."""
        arguments, called = self.stack.pop(), self.stack.pop()
        name = called.name if isinstance(called, Named) else ""
        if name == _QUANTISED:
            raise self.quantised()
        if name == _TENSOR:
            self.stack.append(_stored(*arguments[:4]))
        elif name == "collections OrderedDict" and arguments == ():
            self.stack.append({})
        elif name in _TYPED:
            self.stack.append(arguments[0])
        else:
            raise self.foreign(called)

    def foreign(self, what: Any) -> ModelError:
        """The error for a name or a value that is not to be called."""
        said = what.name.replace(" ", ".") if isinstance(what, Named) else f"a {type(what).__name__}"
        return ModelError(
            f"The model file {self.path} was refused: its pickle asks to call {said[:80]!r}, as no TorchScript file of "
            "PyTorch does. Nothing of it was run. Export the net with torch.export.save."
        )

    def quantised(self) -> ModelError:
        """The error for tensors of quantised nets."""
        return ModelError(
            f"The model file {self.path} holds a quantised net: its operations have no gradients and no rectifications "
            "to look at. Give the net as it was before it was quantised."
        )


def _stored(storage: Any, start: Any, sizes: Any, strides: Any) -> Stored:
    numbers = (start, *sizes, *strides)
    if not isinstance(storage, _Storage) or not all(type(number) is int for number in numbers):
        raise ValueError("a tensor that is described otherwise than PyTorch's are")
    if len(sizes) != len(strides):
        raise ValueError(f"a tensor of {len(sizes)} axes and {len(strides)} strides")
    return Stored(storage.entry, storage.kind, start, tuple(sizes), tuple(strides))


def _setitems(machine: _Machine) -> None:
    machine.pairs(machine.marked())


def _setitem(machine: _Machine) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    machine.pairs([key, value])


def _appends(machine: _Machine) -> None:
    found = machine.marked()
    machine.stack[-1].extend(found)


def _append(machine: _Machine) -> None:
    value = machine.stack.pop()
    machine.stack[-1].append(value)


_PUSHED = frozenset(("BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"))
_FRESH: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
}
_STEPS: dict[str, Callable[[_Machine], None]] = {
    "TUPLE": lambda machine: machine.stack.append(tuple(machine.marked())),
    "TUPLE1": lambda machine: machine.tuple_of(1),
    "TUPLE2": lambda machine: machine.tuple_of(2),
    "TUPLE3": lambda machine: machine.tuple_of(3),
    "APPEND": _append,
    "APPENDS": _appends,
    "SETITEM": _setitem,
    "SETITEMS": _setitems,
    "NEWOBJ": _Machine.new,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.persistent,
    "REDUCE": _Machine.reduce,
}
