"""A forward pass of one picture written down, operation by operation, so that parts of it can be run again.

The tape holds every operation with its arguments, and every value in between. A value can be changed, and only what
hangs on it is computed again (`resume`), for many changes as one batch. Values are numbered; `layer` gives the number
of what a module returned. Nets that write into views of other tensors cannot be replayed: recording them raises
UnfitError.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reportgen import hooks
from reportgen.errors import ReportError
from reportgen.lean import lean
from reportgen.records import Net

if TYPE_CHECKING:
    from torch import Tensor, nn

# Operations whose second argument is a shape that begins with the number of pictures.
SHAPED = frozenset("view reshape _unsafe_view expand".split())  # noqa: SIM905 -- reads better than quoted names


class UnfitError(ReportError):
    """The net's forward pass cannot be written down and run again."""


@dataclass(frozen=True)
class Ref:
    """Stands in an operation's arguments where a value of the pass stood."""

    value: int


@dataclass(frozen=True, eq=False)
class Step:
    """One operation: arguments with Refs, the values it reads and the values it makes."""

    func: Any  # operator of aten
    name: str  # without namespace and without the underscore of its in-place form
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    reads: tuple[int, ...]
    makes: tuple[int, ...]
    in_place: bool  # it writes into its first argument
    pointwise: bool

    def argument(self, name: str, default: Any = None) -> Any:
        """An argument by its name in the operator's schema, as given or by default."""
        for place, entry in enumerate(self.func._schema.arguments):
            if entry.name == name:
                given = self.args[place] if place < len(self.args) else self.kwargs.get(name)
                return entry.default_value if given is None and entry.has_default_value() else given
        return default


@dataclass(frozen=True, eq=False)
class Tape:
    """A recorded pass. `values[i]` is None where a later in-place operation alone read the value."""

    steps: tuple[Step, ...]
    values: Sequence[Tensor | None]  # with N = 1; value 0 is the input
    shapes: Sequence[tuple[int, ...]]  # of the values, with N = 1
    calls: Mapping[tuple[str, int], int]  # module path and number of its call -> value
    output: int  # the logits, or the value at which the pass was stopped
    notes: dict[Any, Any] = field(default_factory=dict)  # what users of the tape keep for the next run

    def layer(self, name: str) -> int:
        """The number of a layer's value; `name` is the layer's own name on the card."""
        path, _, number = name.partition("#")
        last = max((n for known, n in self.calls if known == path), default=0)
        found = self.calls.get((path, int(number or last)))
        if found is None:
            raise UnfitError(f"The layer {name} returned nothing that the tape has seen.")
        return found

    def value(self, number: int) -> Tensor:
        """The value of this number on the untouched picture."""
        found = self.values[number]
        if found is None:
            raise UnfitError(f"Value {number} was overwritten in place.")
        return found


class _EnoughError(Exception):
    """Ends a recording when all layers asked for have been met; never leaves this file."""


def record(net: Net, x: Tensor, layers: Sequence[str] = (), *, stop: bool = False) -> Tape:
    """The tape of the lean net's pass over one input, 1 x 3 x H x W.

    `layers` are those whose values are asked for; with `stop` the pass ends at the deepest of them.
    """
    wanted = {hooks.call_of(net, layer) for layer in layers} if stop else set()
    return record_module(lean(net, layers).module, x, wanted)


def record_module(module: nn.Module, x: Tensor, wanted: Collection[tuple[str, int | None]] = ()) -> Tape:
    """The tape of a module's pass over one input; it ends with the last of the wanted calls (path, number), if any."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    if len(x) != 1:
        raise ValueError(f"a tape holds one picture, not {len(x)}")
    with torch.inference_mode():
        start = x.detach().clone()
        recorder = _Recorder(start, wanted)

        class Mode(TorchDispatchMode):  # type: ignore[no-untyped-call]
            def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
                kwargs = kwargs or {}
                if recorder.wants_parts(func):
                    with self:
                        parts = func.decompose(*args, **kwargs)
                    if parts is not NotImplemented:
                        return parts
                return recorder.run(func, args, kwargs)

        watched = hooks.watched(module, lambda *_: None, recorder.leave)
        with suppress(_EnoughError), watched, Mode():  # type: ignore[no-untyped-call]
            module(start)
    if recorder.output is None:
        raise UnfitError("What was asked of the net does not depend on its input.")
    return Tape(tuple(recorder.steps), tuple(recorder.values), tuple(recorder.shapes), recorder.calls, recorder.output)


def resume(tape: Tape, changed: Mapping[int, Tensor], want: Collection[int]) -> dict[int, Tensor]:
    """The wanted values when others are changed; the changed ones come as batches of N, and so do the results.

    A wanted value that hangs on no changed one keeps its N = 1.
    """
    import torch

    with torch.inference_mode():
        values: dict[int, Tensor] = dict(changed)
        last = last_reads(tape, want)
        for number, step in enumerate(tape.steps):
            if any(made in changed for made in step.makes) or not any(read in values for read in step.reads):
                continue
            for made, tensor in zip(step.makes, run_step(tape, step, values, {*changed, *want}), strict=True):
                values[made] = tensor
            for read in step.reads:
                if last[read] <= number and read in values and read not in want:
                    del values[read]
        return {number: values[number] if number in values else tape.value(number) for number in want}


def last_reads(tape: Tape, keep: Collection[int]) -> dict[int, int]:
    """For every value the last step that reads it; those to keep are never done with."""
    last = {read: number for number, step in enumerate(tape.steps) for read in step.reads}
    return last | dict.fromkeys(keep, len(tape.steps))


def run_step(tape: Tape, step: Step, values: Mapping[int, Tensor], keep: Collection[int]) -> tuple[Tensor, ...]:
    """What a step makes of changed values (batches of N) and of the clean ones it reads beside them.

    A step that wrote in place does so again, as nobody reads the value afterwards, unless it is one of those to keep.
    """
    import torch

    if any(values[read].ndim == 0 for read in step.reads if read in values):
        raise UnfitError(f"The net reduces pictures to a single number on its way ({step.name}).")
    count = max(len(values[read]) for read in step.reads if read in values)

    def fill(tree: Any) -> Any:
        if isinstance(tree, Ref):
            if tree.value in values:
                return values[tree.value]
            clean = tape.value(tree.value)
            return clean if step.pointwise else clean.expand(count, *clean.shape[1:])  # N ...
        if isinstance(tree, torch.Tensor) and tree.is_inference() and not torch.is_inference_mode_enabled():
            return tree.clone()  # a constant that the net made on its way; autograd may have it as a copy
        return type(tree)(fill(part) for part in tree) if isinstance(tree, list | tuple) else tree

    args = [fill(arg) for arg in step.args]
    if step.in_place and (step.args[0].value not in values or step.args[0].value in keep):
        args[0] = args[0].expand(count, *args[0].shape[1:]).clone()
    if step.name in SHAPED and len(args) > 1 and args[1] and args[1][0] == 1:
        args[1] = [count, *args[1][1:]]
    out = step.func(*args, **{key: fill(part) for key, part in step.kwargs.items()})
    return tuple(part for part in (out if isinstance(out, list | tuple) else (out,)) if isinstance(part, torch.Tensor))


class _Recorder:
    """The state of a recording: which tensor holds which value now."""

    def __init__(self, x: Tensor, wanted: Collection[tuple[str, int | None]]) -> None:
        self.wanted = wanted  # the calls after which nothing more is needed; none: the whole pass is
        self.steps: list[Step] = []
        self.values: list[Tensor | None] = [x]
        self.shapes: list[tuple[int, ...]] = [tuple(x.shape)]
        self.held: dict[int, int] = {id(x): 0}  # id of a tensor -> its value now
        self.alive: list[Any] = [x]  # so that no id comes twice
        self.memory: dict[int, int] = {_storage(x): 1}  # storage -> how many known tensors look at it
        self.read: set[int] = set()
        self.calls: dict[tuple[str, int], int] = {}
        self.numbers: dict[str, int] = {}
        self.output: int | None = None

    def wants_parts(self, func: Any) -> bool:
        """Whether an operation is to be seen as the smaller ones it is made of."""
        import torch

        from reportgen.nets import ops

        name = operator_name(func)
        known = name in ops.RULES or name in ops.POINTWISE or torch.Tag.pointwise in func.tags
        return not known and bool(func._can_decompose())

    def leave(self, path: str, module: Any, value: Any) -> None:
        self.numbers[path] = self.numbers.get(path, 0) + 1
        tensor = hooks.first_tensor(value)
        if tensor is None or id(tensor) not in self.held:
            return
        value = self.held[id(tensor)]
        if path:
            self.calls[path, self.numbers[path]] = value
            self.read.add(value)  # a layer's value is kept as it was returned
        met = self.wanted and all(call in self.calls for call in self.wanted)
        if met or not path:
            self.output = value
        if met:
            raise _EnoughError

    def run(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Run an operation and write it down, if it looks at the picture at all."""
        import torch

        if operator_name(func).endswith("dropout"):  # at rest it does nothing, in place or not
            return args[0]
        schema = func._schema.arguments
        written = [
            arg
            for entry, arg in zip(schema, args, strict=False)
            if entry.alias_info and entry.alias_info.is_write and isinstance(arg, torch.Tensor)
        ]
        reads = tuple(dict.fromkeys(self.held[id(t)] for t in _tensors((args, kwargs)) if id(t) in self.held))
        stored = [self._refs(arg) for arg in args], {key: self._refs(part) for key, part in kwargs.items()}
        for tensor in written if reads else ():
            self._save(tensor, alone=len(reads) == 1)
        self.read.update(reads)
        out = func(*args, **kwargs)
        made = written or [t for t in _tensors(out) if not any(t is given for given in _tensors(args))]
        for tensor in made:
            if not written:
                self.memory[_storage(tensor)] = self.memory.get(_storage(tensor), 0) + 1
        self.alive.extend(made)
        if reads and made:
            if kwargs.get("out") is not None:
                raise UnfitError(f"The net writes through out= ({operator_name(func)}).")
            self._write_down(func, stored, reads, made, bool(written))
        return out

    def _write_down(self, func: Any, stored: Any, reads: tuple[int, ...], made: list[Tensor], in_place: bool) -> None:
        import torch

        from reportgen.nets import ops

        numbers = []
        for tensor in made:
            self.values.append(tensor)
            self.shapes.append(tuple(tensor.shape))
            self.held[id(tensor)] = len(self.values) - 1
            numbers.append(len(self.values) - 1)
        name = operator_name(func)
        pointwise = torch.Tag.pointwise in func.tags or name in ops.POINTWISE
        self.steps.append(Step(func, name, tuple(stored[0]), stored[1], reads, tuple(numbers), in_place, pointwise))

    def _save(self, tensor: Tensor, alone: bool) -> None:
        """Keep a value that is about to be overwritten: nothing where the writer alone has read it, else a copy."""
        if id(tensor) not in self.held or self.memory.get(_storage(tensor), 0) > 1:
            raise UnfitError("The net writes into a view of another tensor, which cannot be replayed.")
        old = self.held[id(tensor)]
        self.values[old] = None if alone and old not in self.read else tensor.clone()

    def _refs(self, tree: Any) -> Any:
        if id(tree) in self.held:
            return Ref(self.held[id(tree)])
        return type(tree)(self._refs(part) for part in tree) if isinstance(tree, list | tuple) else tree


def operator_name(func: Any) -> str:
    """The name of an operation without namespace and without the underscore of its in-place form."""
    return str(func._schema.name).partition("::")[2].removesuffix("_")


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _tensors(tree: Any) -> list[Tensor]:
    import torch
    from torch.utils import _pytree

    return [leaf for leaf in _pytree.tree_leaves(tree) if isinstance(leaf, torch.Tensor)]
