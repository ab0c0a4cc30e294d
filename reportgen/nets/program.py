"""A net as a file describes it: a list of known operations on named values, and tensors. Nothing here can run code.

The readers of model files (`exported`, `scripted`, `onnx_files`) make a Program, `rebuild` makes a net of it. What an
operation may be is the list below: a file can ask for nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from reportgen.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

_Made = TypeVar("_Made")

# Operators of PyTorch (aten) that compute tensors from tensors and do nothing else: no file, no device, no randomness.
KNOWN = frozenset(
    """
    conv2d batch_norm linear addmm mm matmul bmm layer_norm group_norm instance_norm
    relu relu6 hardtanh leaky_relu prelu elu selu celu gelu silu mish sigmoid tanh hardswish hardsigmoid softplus
    log_sigmoid clamp clamp_min clamp_max threshold
    max_pool2d avg_pool2d adaptive_avg_pool2d adaptive_max_pool2d avg_pool3d mean sum amax amin
    dropout feature_dropout alpha_dropout flatten view reshape _unsafe_view squeeze unsqueeze permute transpose t
    contiguous clone alias cat concat stack chunk split split_with_sizes unbind select slice pad constant_pad_nd
    add sub mul div pow neg abs exp log sqrt rsqrt maximum minimum
    softmax log_softmax expand sym_size size upsample_nearest2d upsample_bilinear2d
    """.split()  # noqa: SIM905 -- a list of 80 quoted names reads worse
)
OWN = frozenset(("same.pad", "same.max_pool", "same.average_pool"))  # what no operator of PyTorch does: see `same`
_OPERATORS = frozenset(("getitem", "add", "sub", "mul", "floordiv"))  # of Python, on sizes and on lists of tensors


@dataclass(frozen=True)
class Value:
    """Stands in an operation's arguments where a value of the pass stands."""

    name: str


@dataclass(frozen=True)
class Weight:
    """Stands in an operation's arguments where a tensor of the file stands."""

    name: str


@dataclass(frozen=True)
class Scope:
    """A module that an operation was called in."""

    path: str
    kind: str  # the module's class, as the file says; nothing where it says none
    call: str = ""  # tells calls of one module apart


@dataclass(frozen=True)
class Operation:
    """One operation: what it does, on what, and what it makes."""

    name: str
    target: str  # "conv2d.default" of aten, or "python.getitem"
    args: tuple[Any, ...]  # by place, in the order of the operator's schema; Values and Weights among them
    makes: tuple[str, ...]
    scopes: tuple[Scope, ...] = ()  # outermost first; without the net itself
    kwargs: Mapping[str, Any] = field(default_factory=dict)  # plain values


@dataclass(frozen=True)
class Program:
    """A whole net as a file has it."""

    operations: tuple[Operation, ...]
    tensors: Mapping[str, Tensor]
    trained: frozenset[str]  # which of the tensors are parameters
    input: str
    output: str
    kind: str = "Program"  # the net's class
    batch: int | None = None  # how many pictures it was written down with; None: any number


def named(args: Any, kind: type[Value] | type[Weight]) -> Iterator[str]:
    """The names of the Values, or of the Weights, among an operation's arguments."""
    if isinstance(args, kind):
        yield args.name
    elif isinstance(args, list | tuple):
        for part in args:
            yield from named(part, kind)


def needed(operations: Sequence[Operation], output: str) -> tuple[Operation, ...]:
    """The operations that a value comes from, in their order; those in place act on what others read."""
    wanted, kept = {output}, []
    for op in reversed(operations):
        if wanted.intersection(op.makes) or op.target.partition(".")[0].endswith("_"):
            kept.append(op)
            wanted.update(named(op.args, Value))
    return tuple(reversed(kept))


def guarded(path: Path, what: Callable[[], _Made], wanted: str, advice: str = "") -> _Made:
    """What a reader makes of a file of strangers, which may lack anything, anywhere: a ModelError says so."""
    try:
        return what()
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"The model file {path} is damaged, or no {wanted} ({type(error).__name__}: {str(error)[:120]}).{advice}"
        ) from error


def without_softmax(program: Program) -> tuple[Program, bool]:
    """The program without a softmax over the classes at its end, and whether it had one.

    Methods look at scores: after a softmax, what speaks for a class is mixed with what speaks against all others.
    Shapes may change behind it, as in nets whose last layer is a convolution.
    """
    made = {name: op for op in program.operations for name in op.makes}
    name, steps = program.output, 0
    while name in made and _word(made[name].target) in _MOVING and isinstance(made[name].args[0], Value):
        name, steps = made[name].args[0].name, steps + 1
        if steps > len(program.operations):
            return program, False  # values made of one another: the check of values will say so
    last = made.get(name)
    if last is None or _word(last.target) not in ("softmax", "log_softmax") or not isinstance(last.args[0], Value):
        return program, False
    if last.args[1] not in (1, -1):
        return program, False
    before, after = last.args[0].name, last.makes[0]
    readers = [
        op
        for op in program.operations
        if after in named(op.args, Value) and _word(op.target) not in ("size", "sym_size")
    ]
    if len(readers) != (steps > 0):
        return program, False  # something else is made of the probabilities
    kept = tuple(_with_input(op, after, before) for op in program.operations if op is not last)
    return replace(program, operations=kept, output=before if program.output == after else program.output), True


_MOVING = frozenset(
    ("view", "reshape", "_unsafe_view", "flatten", "squeeze", "permute", "contiguous", "clone", "alias")
)


def _word(target: str) -> str:
    return target.partition(".")[0]


def _with_input(op: Operation, name: str, other: str) -> Operation:
    """The operation with another value in the place of one; itself where it does not read that."""

    def turned(arg: Any) -> Any:
        if isinstance(arg, list | tuple):
            return type(arg)(turned(part) for part in arg)
        return Value(other) if arg == Value(name) else arg

    args = turned(op.args)
    return op if args == op.args else replace(op, args=args)


def known(target: str) -> bool:
    """Whether an operation is one of those that a file may ask for."""
    name, _, overload = target.partition(".")
    if target in OWN:
        return True
    if name == "python":
        return overload in _OPERATORS
    return name.removesuffix("_") in KNOWN and overload.replace("_", "").isalnum()


def refused(target: str, source: str) -> ModelError:
    """The error for an operation that is not known."""
    return ModelError(
        f"The model file {source} asks for the operation {target[:80]!r}, which is not among those that reportgen "
        "rebuilds from a file (layers, activations, pooling, sums and reshapes of convolutional nets). Nothing of it "
        "was run. Give the net as arch: module:callable with --allow-code, and its weights as a state dict."
    )


def in_order(target: str, given: Mapping[str, Any], source: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments by place and by name, as the operator's schema has them; what is not given takes its default."""
    import torch

    name, _, overload = target.partition(".")
    found = getattr(getattr(torch.ops.aten, name, None), overload, None)
    if found is None:
        raise ModelError(f"The model file {source} asks for {target}, which PyTorch {torch.__version__} does not have.")
    entries = found._schema.arguments
    if extra := set(given) - {entry.name for entry in entries}:
        raise ModelError(f"The model file {source} is damaged: {target} takes no {', '.join(sorted(extra))[:80]}.")
    if typed := [name for name in _OWN_TYPES if given.get(name) is not None]:
        raise ModelError(
            f"The model file {source} asks for {target} with a {typed[0]} of its own; a net is rebuilt for any number "
            "type and device, so that cannot be kept."
        )
    if given.get("training") is True or given.get("train") is True:
        raise ModelError(
            f"The model file {source} was written in training mode: call .eval() before exporting the net."
        )
    plain = tuple(given.get(e.name, e.default_value) for e in entries if not e.kwarg_only)
    return plain, {e.name: given[e.name] for e in entries if e.kwarg_only and given.get(e.name) is not None}


_OWN_TYPES = ("dtype", "layout", "device", "out", "memory_format")
