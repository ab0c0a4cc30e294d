"""Operations of TorchScript code, written down: which operator of PyTorch is meant, on what, and what comes out.

Sizes are known because each operation is run as it is met, on two examples without numbers (PyTorch's `meta` device)
that differ in what may differ: a number that is the same for both is a constant, any other is computed in the net.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reportgen.errors import ModelError
from reportgen.nets.archive import Archive, check_layout
from reportgen.nets.program import KNOWN, Operation, Scope, Value, Weight, in_order, refused
from reportgen.nets.script_pickle import Stored
from reportgen.nets.script_schema import Size, Symbol, meant

if TYPE_CHECKING:
    import torch

Shape = tuple[int, int]  # number of pictures and their side
_MOST_OPERATIONS = 5000  # a densenet201 has 700
_MOST_NUMBERS = 1 << 33  # of one value: more than any net of pictures has
_MOST_PIECES = 1 << 14
_LARGEST = (1 << 63) - 1
_ARITHMETIC = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "floordiv": operator.floordiv,
    "remainder": operator.mod,
}


class OneSizeOnly(Exception):
    """The examples do not both fit: the net takes pictures of one size only, or one number of them."""


@dataclass(frozen=True)
class Undecided:
    """A condition that only a picture decides."""

    by: str


class Recorder:
    """What is written down while the code is followed."""

    def __init__(self, archive: Archive, shapes: tuple[Shape, Shape], own_scopes: bool) -> None:
        import torch

        self.archive, self.path, self.shapes = archive, archive.path, shapes
        self.own_scopes = own_scopes  # a net without modules: every operation is one, by its own name
        self.operations: list[Operation] = []
        self.stored: dict[str, Stored] = {}
        self.trained: set[str] = set()
        self.fixed: set[str] = set()  # statistics of batch norms
        self._names: dict[Stored, str] = {}  # a tensor that has two names is one
        self._counts: dict[str, int] = {}
        self._turned: dict[Value, Symbol] = {}  # transposed weights
        first, second = (torch.empty(n, 3, side, side, device="meta") for n, side in shapes)
        self.picture = Symbol(Value("picture"), fed=True)
        self._known: dict[Value | Weight, tuple[Any, Any]] = {self.picture.arg: (first, second)}

    def weight(self, stored: Stored, name: str, trained: bool) -> Symbol:
        """A tensor of the file, by the first name it is met with."""
        import torch

        name = self._names.setdefault(stored, name)
        if name not in self.stored:
            self.stored[name] = stored
            kind: torch.dtype = getattr(torch, stored.kind)
            place = (self.archive.size(stored.entry), kind.itemsize, stored.sizes, stored.strides, stored.start)
            check_layout(*place, f"The model file {self.path}", name)
            # The examples are of one number type; what type a net has is settled when it is loaded.
            example = torch.empty(stored.sizes, dtype=torch.float32 if kind.is_floating_point else kind, device="meta")
            self._known[Weight(name)] = (example, example)
        if trained:
            self.trained.add(name)
        return Symbol(Weight(name), fed=False)

    def shape(self, symbol: Symbol) -> list[Any]:
        """The sizes of a tensor: whole numbers, and Sizes where they depend on the pictures."""
        first, second = self._known[symbol.arg]
        pairs = enumerate(zip(first.shape, second.shape, strict=True))
        return [a if a == b else Size((a, b), ("size", symbol, place)) for place, (a, b) in pairs]

    def compute(self, name: str, left: Any, right: Any) -> Any:
        """Arithmetic on numbers, of which some may be Sizes."""
        pairs = (_examples(left), _examples(right))
        try:
            made = [_ARITHMETIC[name](a, b) for a, b in zip(*pairs, strict=True)]
        except ZeroDivisionError:
            raise self.unfit("divides by nothing") from None
        if any(abs(value) > _LARGEST for value in made):
            raise self.unfit("computes with numbers that no size has")
        if not isinstance(left, Size) and not isinstance(right, Size):
            return made[0]
        if name == "remainder" or not all(isinstance(value, int) for value in made):
            raise self.unfit("computes a number from the size of the picture that is no product, sum or quotient")
        return Size((made[0], made[1]), (name, left, right))

    def unfit(self, why: str) -> ModelError:
        """The error for code that is no fixed list of operations."""
        return ModelError(
            f"The model file {self.path} cannot be rebuilt: its code {why}. Nothing of it was run. Export the net with "
            "torch.export.save, for which PyTorch itself follows the code."
        )

    def run(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], scopes: tuple[Scope, ...]) -> Any:
        """Write down one operation; what it makes."""
        name, args, kwargs = self._restated(name, args, kwargs)
        if name.removesuffix("_") not in KNOWN:
            raise refused(f"torch.{name}", str(self.path))
        target, given = meant(name, args, kwargs) or ("", {})
        symbols = [part for value in given.values() for part in _parts(value) if isinstance(part, Symbol)]
        if not symbols:  # several names have forms for lists and texts too
            raise self.unfit(f"calls torch.{name} with arguments that are not known here")
        changed = given[next(iter(given))] if name.endswith("_") else None
        before = self._known[changed.arg][0].shape if isinstance(changed, Symbol) else None
        if isinstance(changed, Symbol) and not changed.fed:
            raise self.unfit(f"changes a tensor of its own ({name}), as a net does in training mode")
        plain, named = in_order(
            target, {key: self._written(part, scopes) for key, part in given.items()}, str(self.path)
        )
        made = self._made(target, plain, named)
        if before is not None and made[0].shape != before:
            raise self.unfit(f"changes the shape of a value in place ({name})")
        for place in ("running_mean", "running_var"):
            if isinstance(given.get(place), Symbol):
                self.fixed.add(given[place].arg.name)
        return self._noted(target, plain, named, made, scopes, any(symbol.fed for symbol in symbols))

    def _noted(
        self,
        target: str,
        plain: tuple[Any, ...],
        named: Mapping[str, Any],
        made: Sequence[Any],
        scopes: tuple[Scope, ...],
        fed: bool,
    ) -> Any:
        several = isinstance(made[0], list | tuple)
        pairs = list(zip(*made, strict=True)) if several else [(made[0], made[1])]
        own = self._fresh(target.partition(".")[0].removesuffix("_"))
        names = [f"{own}.{place}" for place in range(len(pairs))] if several else [own]
        symbols = []
        for label, examples in zip(names, pairs, strict=True):
            self._known[Value(label)] = examples
            symbols.append(Symbol(Value(label), fed))
        scopes = (Scope(own, ""),) if self.own_scopes else scopes
        self._add(Operation(own, target, plain, tuple(names), scopes, named))
        if target == "t.default" and isinstance(plain[0], Weight):
            self._turned[Value(own)] = Symbol(plain[0], fed=False)
        return symbols if several else symbols[0]

    def _add(self, operation: Operation) -> None:
        self.operations.append(operation)
        if len(self.operations) > _MOST_OPERATIONS:
            raise self.unfit(f"has more than {_MOST_OPERATIONS:,} operations")

    def _fresh(self, name: str) -> str:
        """A name for an operation, as torch.export gives them: conv2d, conv2d_1."""
        number = self._counts[name] = self._counts.get(name, -1) + 1
        return f"{name}_{number}" if number else name

    def _restated(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[str, Sequence[Any], Mapping[str, Any]]:
        """The operation that nets are rebuilt from, where traces have a more general one."""
        if name in ("_convolution", "_convolution_mode"):
            weight = args[1] if len(args) > 8 or name == "_convolution_mode" else None
            maps = isinstance(weight, Symbol) and self._known[weight.arg][0].ndim == 4
            if not maps or (name == "_convolution" and args[6]):
                raise refused("torch.conv_transpose2d" if maps else "torch.conv1d or conv3d", str(self.path))
            return "conv2d", args if name == "_convolution_mode" else (*args[:6], args[8]), {}
        plain = len(args) == 3 and all(value == 1 for value in kwargs.values())
        if name == "addmm" and plain and isinstance(args[2], Symbol) and args[2].arg in self._turned:
            return "linear", (args[1], self._turned[args[2].arg], args[0]), {}
        return name, args, kwargs

    # --- arguments

    def _written(self, value: Any, scopes: tuple[Scope, ...]) -> Any:
        """An argument as it stands in a Program."""
        if isinstance(value, Symbol):
            return value.arg
        if isinstance(value, Size):
            return self._computed(value, scopes)
        return [self._written(part, scopes) for part in value] if isinstance(value, list | tuple) else value

    def _computed(self, size: Size, scopes: tuple[Scope, ...]) -> Value:
        """Write down how a size is computed in the net; each time anew, where it is used."""
        kind, left, right = size.made
        name = self._fresh("size")
        target = "size.int" if kind == "size" else f"python.{kind}"
        args = (self._written(left, scopes), self._written(right, scopes))
        self._add(Operation(name, target, args, (name,), scopes))
        self._known[Value(name)] = size.examples
        return Value(name)

    # --- examples

    def _made(self, target: str, plain: tuple[Any, ...], named: Mapping[str, Any]) -> list[Any]:
        """What the operation makes of both examples."""
        import torch

        name, _, overload = target.partition(".")
        call = getattr(getattr(torch.ops.aten, name), overload)
        made = []
        for which in (0, 1):
            args = [self._example(part, which) for part in plain]
            if name in ("unbind", "split", "chunk") and max(args[0].shape, default=0) > _MOST_PIECES:
                raise self.unfit(f"takes a value apart into more than {_MOST_PIECES:,} pieces")
            try:
                found = call(*args, **{key: self._example(part, which) for key, part in named.items()})
            except (RuntimeError, ValueError, IndexError, TypeError) as error:
                raise self._misfit(target, error, which) from error
            for tensor in found if isinstance(found, list | tuple) else (found,):
                if not isinstance(tensor, torch.Tensor) or tensor.numel() > _MOST_NUMBERS:
                    raise self.unfit(f"makes no tensor, or far too large a one, with torch.{name}")
            made.append(found)
        if isinstance(made[0], list | tuple) and len(made[0]) != len(made[1]):
            raise self.unfit(f"takes a value apart into as many pieces as the picture is large (torch.{name})")
        return made

    def _example(self, part: Any, which: int) -> Any:
        if isinstance(part, Value | Weight):
            return self._known[part][which]
        return [self._example(each, which) for each in part] if isinstance(part, list) else part

    def _misfit(self, target: str, error: Exception, which: int) -> Exception:
        if self.shapes[0] != self.shapes[1]:
            return OneSizeOnly()
        side = self.shapes[which][1]
        return ModelError(
            f"The net in {self.path} cannot take pictures of {side} x {side} pixels (torch.{target.partition('.')[0]}: "
            f"{str(error).splitlines()[0][:160]}). Such a file does not say its size: where it is made for another, "
            "give preprocess: {size: ...}."
        )


def _examples(value: Any) -> tuple[Any, Any]:
    return value.examples if isinstance(value, Size) else (value, value)


def _parts(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else (value,)
