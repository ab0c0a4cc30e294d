"""From a Program to a net: nested modules with the names of the file, made of torch's own layers.

Convolutions, batch norms, dense layers, ReLUs, pools and dropout become torch's modules where the file has a module
that does nothing else, so that everything that looks at modules finds them; the rest is called as functions. Like
`mini`, this module imports torch at the top: only code that builds a net imports it.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

from reportgen.errors import ModelError
from reportgen.nets import same
from reportgen.nets.leaves import leaf
from reportgen.nets.program import Operation, Program, Value, Weight, known, named, refused

# Called by these names so that what acts on calls of relu (climbing, rules for dead starts) meets them.
_PUBLIC: dict[str, Callable[..., Any]] = {
    "relu.default": torch.relu,
    "relu_.default": torch.relu_,
    "size.int": lambda x, dim: x.shape[dim],
    "sym_size.int": lambda x, dim: x.shape[dim],
    "python.getitem": operator.getitem,
    "python.add": operator.add,
    "python.sub": operator.sub,
    "python.mul": operator.mul,
    "python.floordiv": operator.floordiv,
}
_RESHAPES = frozenset(("view.default", "reshape.default", "_unsafe_view.default"))


@dataclass(frozen=True)
class Step:
    """One step of a block: a child or a function, what it is given, what it makes, what nobody needs after it."""

    child: str  # path below the block; nothing for a function
    function: Callable[..., Any] | None
    args: tuple[Any, ...]
    makes: tuple[str, ...]
    done: tuple[str, ...]
    kwargs: Mapping[str, Any] = field(default_factory=dict)


class Block(nn.Module):
    """A module that runs its steps in their order."""

    def __init__(self, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> None:
        super().__init__()
        self._takes, self._gives = inputs, outputs  # underscored: a child may have any name
        self._steps: tuple[Step, ...] = ()

    def forward(self, *given: Any) -> Any:
        """Return the block's value, or a tuple of its values."""
        values = dict(zip(self._takes, given, strict=True))
        for step in self._steps:
            call = self.get_submodule(step.child) if step.function is None else step.function
            made = call(*(self._filled(arg, values) for arg in step.args), **step.kwargs)
            several = isinstance(made, list | tuple) and len(made) == len(step.makes)
            values.update(zip(step.makes, made if several else (made,), strict=True))
            for name in step.done:
                del values[name]
        made = tuple(values[name] for name in self._gives)
        return made[0] if len(made) == 1 else made

    def _filled(self, arg: Any, values: Mapping[str, Any]) -> Any:
        if isinstance(arg, Value):
            return values[arg.name]
        if isinstance(arg, Weight):
            return getattr(self, arg.name)
        return [self._filled(part, values) for part in arg] if isinstance(arg, list) else arg


def rebuild(program: Program, source: str) -> nn.Module:
    """The net of a program, in eval mode. Raises ModelError for operations that are not known."""
    for operation in program.operations:
        if not known(operation.target):
            raise refused(operation.target, source)
    _check_values(program, source)
    try:
        net = _Builder(program).block(
            list(program.operations), 0, "", program.kind, (program.input,), (program.output,)
        )
    except ModelError:
        raise
    except Exception as error:  # whatever torch makes of arguments that no exporter writes
        raise ModelError(
            f"The model file {source} is damaged, or no net of pictures: it cannot be put together "
            f"({type(error).__name__}: {str(error)[:200]})."
        ) from error
    return net.eval().requires_grad_(False)


def _check_values(program: Program, source: str) -> None:
    """Raise ModelError where a value is read that nothing has made, or made twice."""
    made = {program.input}
    for op in program.operations:
        if lacking := [name for name in named(op.args, Value) if name not in made]:
            raise ModelError(
                f"The model file {source} is damaged: {op.name[:80]!r} reads {lacking[0][:80]!r}, not made."
            )
        if not op.makes or made & set(op.makes):
            raise ModelError(f"The model file {source} is damaged: {op.name[:80]!r} makes no value of its own.")
        made |= set(op.makes)
    if program.output not in made:
        raise ModelError(f"The model file {source} is damaged: nothing makes its output {program.output[:80]!r}.")


@dataclass
class _Builder:
    """Holds one Parameter for each tensor, however many modules use it."""

    program: Program
    held: dict[str, Tensor] = field(default_factory=dict)
    known_leaves: dict[tuple[str, str], nn.Module] = field(default_factory=dict)

    def tensor(self, name: str) -> Tensor:
        if name not in self.held:
            tensor = self.program.tensors[name]
            trained = name in self.program.trained and tensor.is_floating_point()
            self.held[name] = nn.Parameter(tensor, requires_grad=False) if trained else tensor
        return self.held[name]

    def block(
        self,
        parts: list[Operation],
        depth: int,
        path: str,
        kind: str,
        inputs: tuple[str, ...],
        outputs: tuple[str, ...],
    ) -> Block:
        """The block of these operations, whose scopes down to `depth` are its own."""
        made = _named(kind)(inputs, outputs)
        groups = list(_groups(parts, depth, path))
        reads = [list(dict.fromkeys(named([op.args for op in group], Value))) for _, group in groups]
        makes = [[name for op in group for name in op.makes] for _, group in groups]
        taken: set[str] = set()
        steps = []
        for place, (scope, group) in enumerate(groups):
            later = {*outputs, *(name for read in reads[place + 1 :] for name in read)}
            gives = tuple(name for name in makes[place] if name in later) or (makes[place][-1],)
            fresh = {name for name in (*reads[place], *makes[place]) if name not in later}
            if scope is None:
                (op,) = group
                gives, args, function = op.makes, self._own(made, op.args), self._function(op)
                done = tuple(sorted(fresh & {*reads[place], *gives}))
                steps.append(Step("", function, args, gives, done, op.kwargs))
                continue
            takes = tuple(name for name in reads[place] if name not in makes[place])
            child = self._child(group, depth + 1, scope.path, scope.kind, takes, gives)
            name = self._name(scope.path.removeprefix(f"{path}." if path else ""), child, made, taken)
            _place(made, name, child)
            args = tuple(Value(name) for name in takes)
            steps.append(Step(name, None, args, gives, tuple(sorted(fresh & {*takes, *gives}))))
        made._steps = tuple(steps)
        return made

    def _child(
        self, group: list[Operation], depth: int, path: str, kind: str, takes: tuple[str, ...], gives: tuple[str, ...]
    ) -> nn.Module:
        """What a module of the file becomes: a layer of torch's where it is one, the same for each of its calls."""
        if len(group) == 1 and len(group[0].scopes) == depth and len(takes) == 1:
            key = (path, repr([group[0].target, [part for part in group[0].args if not isinstance(part, Value)]]))
            if key not in self.known_leaves and (found := leaf(group[0], self.tensor)) is not None:
                self.known_leaves[key] = found
            if key in self.known_leaves:
                return self.known_leaves[key]
        return self.block(group, depth, path, kind, takes, gives)

    def _name(self, wanted: str, child: nn.Module, parent: nn.Module, taken: set[str]) -> str:
        """The child's name below its parent: the file's, with a number where another child has it already."""
        name, number = wanted, 1
        while name in taken and parent.get_submodule(name) is not child:
            number += 1
            name = f"{wanted}_{number}"
        taken.add(name)
        return name

    def _function(self, op: Operation) -> Callable[..., Any]:
        if op.target in _RESHAPES and _keeps_batch(op, self.program.batch):
            return _reshaped
        if op.target in _PUBLIC:
            return _PUBLIC[op.target]
        if op.target in same.FUNCTIONS:
            return same.FUNCTIONS[op.target]
        name, _, overload = op.target.partition(".")
        found: Callable[..., Any] = getattr(getattr(torch.ops.aten, name), overload)
        return found

    def _own(self, block: Block, args: Any) -> Any:
        """The arguments, with the file's tensors as the block's own."""
        if isinstance(args, Weight):
            name = re.sub(r"\W", "_", f"own_{args.name}")
            tensor = self.tensor(args.name)
            while hasattr(block, name) and getattr(block, name) is not tensor:
                name += "_"
            if not hasattr(block, name):
                if isinstance(tensor, nn.Parameter):
                    block.register_parameter(name, tensor)
                else:
                    block.register_buffer(name, tensor)
            return Weight(name)
        return type(args)(self._own(block, part) for part in args) if isinstance(args, list | tuple) else args


def _groups(parts: Sequence[Operation], depth: int, path: str) -> Iterator[tuple[Any, list[Operation]]]:
    """The calls of child modules, each with its operations, and between them (None) the block's own, one by one."""

    def scope(op: Operation) -> Any:
        inside = len(op.scopes) > depth and (not path or op.scopes[depth].path.startswith(f"{path}."))
        return op.scopes[depth] if inside else None

    for found, group in groupby(parts, scope):
        if found is None:
            yield from ((None, [op]) for op in group)
        else:
            yield found, list(group)


def _place(parent: nn.Module, name: str, child: nn.Module) -> None:
    """Put a child below its parent, under plain modules where its name has several words."""
    *above, last = name.split(".")
    for word in above:
        if not hasattr(parent, word):
            parent.add_module(word, nn.Module())
        parent = parent.get_submodule(word)
    if last not in dict(parent.named_children()):
        parent.add_module(last, child)


def _named(kind: str) -> type[Block]:
    """A block whose class is called as the file calls it: the card shows the names of classes."""
    return type(kind, (Block,), {}) if kind.isidentifier() and kind.isascii() else Block


def _keeps_batch(op: Operation, batch: int | None) -> bool:
    sizes = op.args[1]
    return batch is not None and isinstance(sizes, list) and len(sizes) > 1 and sizes[0] == batch


def _reshaped(x: Tensor, sizes: Sequence[int]) -> Tensor:
    """The values in another shape, for any number of pictures: the file was written with a fixed one."""
    return x.reshape(x.shape[0], *sizes[1:])  # N ...
