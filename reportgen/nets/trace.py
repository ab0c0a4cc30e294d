"""One forward pass, watched operation by operation: every value, where it looks, and which module returned it.

The pass is seen below autograd, where a ReLU called as a function, a `+=` and a module look alike. It works on the
meta device too, where nothing is computed and no weights are needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reportgen import hooks
from reportgen.errors import ModelError
from reportgen.nets import fields, ops
from reportgen.nets.fields import Grid
from reportgen.nets.values import Args, Effect, Kind, Node

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Call:
    """One call of one module."""

    path: str
    number: int  # of the module's calls, from 1
    kind: str  # the module's class
    parameters: int
    flops: int
    first: int  # the values from this id on were made inside the call
    node: int  # the value returned
    source: int | None  # the value the call was given


@dataclass(frozen=True)
class Graph:
    """A traced forward pass."""

    nodes: tuple[Node, ...]  # in the order in which they were computed; 0 is the input
    calls: tuple[Call, ...]  # in the order in which they returned
    output: int
    flops: int


def trace(module: nn.Module, size: int) -> Graph:
    """The forward pass of one size x size picture, on the device the module's weights are on."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    parameter = next(iter(module.parameters()), torch.zeros(()))
    x = torch.zeros(1, 3, size, size, device=parameter.device, dtype=parameter.dtype)
    tracer = _Tracer(x)

    class Mode(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            if tracer.wants_parts(func):
                with self:
                    parts = func.decompose(*args, **kwargs)
                if parts is not NotImplemented:
                    return parts
            out = func(*args, **kwargs)
            tracer.see(func, args, kwargs, out)
            return out

    fastpath = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # it would hide the attention's dense layers in one operation
    was_training = module.training
    try:
        module.eval()
        # Inference mode, because there linear, conv2d and batch_norm arrive whole, not as their parts.
        with torch.inference_mode(), hooks.watched(module, tracer.enter, tracer.leave), Mode():  # type: ignore[no-untyped-call]
            module(x)
    finally:
        module.train(was_training)
        torch.backends.mha.set_fastpath_enabled(fastpath)
    return tracer.graph()


class _Tracer:
    """The state of a trace: which tensor holds which value, and which modules are running."""

    def __init__(self, x: Tensor) -> None:
        self.nodes: list[Node] = []
        self.calls: list[Call] = []
        self.held: dict[int, int] = {}  # id of a tensor -> its value now (an in-place operation makes a new one)
        self.memory: dict[int, list[Tensor]] = {}  # tensors by storage; keeps them alive, so that no id comes twice
        self.running: list[tuple[int, int]] = []  # of each open call: id of its first value, FLOPs before it
        self.numbers: dict[str, int] = {}
        self.sources: list[int | None] = []
        self.flops = 0
        self.output: int | None = None
        self._hold(x, self._add("input", (), tuple(x.shape), Grid((2, 3), (1, 1), (0, 0), (1, 1))))

    # --- modules

    def enter(self, path: str, module: nn.Module, inputs: Any) -> None:
        given = hooks.first_tensor(inputs)
        self.sources.append(None if given is None else self.held.get(id(given)))
        self.running.append((len(self.nodes), self.flops))

    def leave(self, path: str, module: nn.Module, value: Any) -> None:
        first, flops = self.running.pop()
        source = self.sources.pop()
        number = self.numbers[path] = self.numbers.get(path, 0) + 1
        tensor = hooks.first_tensor(value)
        node = None if tensor is None else self.held.get(id(tensor))
        if not path:
            self.output = node
        elif node is not None:
            parameters = sum(p.numel() for p in module.parameters())
            kind = type(module).__name__
            self.calls.append(Call(path, number, kind, parameters, self.flops - flops, first, node, source))

    def graph(self) -> Graph:
        if self.output is None:
            raise ModelError("The net's output does not depend on its input, or it returns no tensor.")
        return Graph(tuple(self.nodes), tuple(self.calls), self.output, self.flops)

    # --- operations

    def wants_parts(self, func: Any) -> bool:
        """Whether an operation is to be seen as the smaller ones it is made of."""
        import torch

        known = _name(func) in ops.RULES or _name(func) in ops.POINTWISE or torch.Tag.pointwise in func.tags
        return not known and bool(func._can_decompose())

    def see(self, func: Any, args: Any, kwargs: Any, out: Any) -> None:
        """Takes down what an operation returned."""
        schema = func._schema.arguments
        by_name = {a.name: a.default_value for a in schema if a.has_default_value()}
        by_name |= {a.name: value for a, value in zip(schema, args, strict=False)} | kwargs
        inputs, outputs = _tensors((args, kwargs)), _tensors(out)
        parents = tuple(dict.fromkeys(n for t in inputs if (n := self.held.get(id(t))) is not None))
        if not parents or _name(func) in ops.CONSTANTS:
            for tensor in outputs:
                self.memory.setdefault(_storage(tensor), []).append(tensor)
            return
        written = _tensors([by_name[a.name] for a in schema if a.alias_info and a.alias_info.is_write])
        made = written or [t for t in outputs if not any(t is given for given in inputs)]
        if not made:
            return  # dropout at rest and the like: the very tensor that came in
        effect = self._effect(func, by_name | {"name": _name(func)}, parents, made[0], out)
        self.flops += effect.flops
        for tensor in made:
            node = self._derive(effect, parents, tuple(tensor.shape))
            self._hold(tensor, node)
            if written:
                self._spread(tensor, node)

    def _effect(self, func: Any, args: Args, parents: tuple[int, ...], made: Tensor, out: Any) -> Effect:
        import torch

        name = _name(func)
        if name in ops.RULES:
            return ops.RULES[name](args, self._look, out)
        if torch.Tag.pointwise in func.tags or name in ops.POINTWISE:
            return ops.pointwise([self.nodes[parent] for parent in parents], tuple(made.shape), name)
        return Effect(fields.NOWHERE)

    def _look(self, tensor: Any) -> Node | None:
        node = self.held.get(id(tensor))
        return None if node is None else self.nodes[node]

    def _derive(self, effect: Effect, parents: tuple[int, ...], shape: fields.Shape) -> int:
        mains = [self.nodes[parent] for parent in parents if parent not in effect.gates]
        pooled = all(node.pooled for node in mains) if effect.pooled is None else effect.pooled
        depth = max(node.depth for node in mains) + (effect.kind in ("conv", "dense"))
        return self._add(effect.kind, parents, shape, effect.grid, pooled, depth)

    def _spread(self, tensor: Tensor, node: int) -> None:
        """An in-place operation also changes the tensors that share the memory: views, and what it is a view of."""
        new = self.nodes[node]
        for other in self.memory[_storage(tensor)]:
            if other is tensor:
                continue
            old = self._look(other)
            shape, axes = tuple(other.shape), new.grid.axes
            same_map = axes is not None and len(shape) == len(new.shape)
            same_map = same_map and all(shape[axis] == new.shape[axis] for axis in axes or ())
            grid = new.grid if same_map else fields.NOWHERE
            if same_map and old is not None:
                grid = fields.union([old.grid, new.grid])
            parents = (node,) if old is None else (old.id, node)
            self._hold(other, self._derive(Effect(grid), parents, shape))

    def _add(
        self,
        kind: Kind,
        parents: tuple[int, ...],
        shape: fields.Shape,
        grid: Grid,
        pooled: bool = False,
        depth: int = 0,
    ) -> int:
        self.nodes.append(Node(len(self.nodes), kind, parents, shape, grid, pooled, depth))
        return len(self.nodes) - 1

    def _hold(self, tensor: Tensor, node: int) -> None:
        self.held[id(tensor)] = node
        sharing = self.memory.setdefault(_storage(tensor), [])
        if not any(known is tensor for known in sharing):
            sharing.append(tensor)


def _name(func: Any) -> str:
    """The name of an operation without namespace and without the underscore of its in-place form."""
    name = str(func._schema.name).partition("::")[2]
    return name.removesuffix("_")


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _tensors(tree: Any) -> list[Tensor]:
    import torch
    from torch.utils import _pytree

    return [leaf for leaf in _pytree.tree_leaves(tree) if isinstance(leaf, torch.Tensor)]
