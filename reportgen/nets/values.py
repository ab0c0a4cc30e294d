"""What a trace of a net is made of: values, and what an operation does to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from reportgen.nets.fields import Grid, Shape

Kind = Literal["input", "dense", "conv", "rectify", "activation", "global_pool", "same", "other"]


@dataclass(frozen=True)
class Node:
    """One tensor value on the way from the input to the logits."""

    id: int
    kind: Kind  # "same": the parent's values in another shape or copy
    parents: tuple[int, ...]
    shape: Shape  # with N
    grid: Grid
    pooled: bool = False  # behind an adaptive or global pooling: no stage any more
    depth: int = 0  # layers with weights on the longest path from the input


@dataclass(frozen=True)
class Effect:
    """What one operation makes of its inputs."""

    grid: Grid
    kind: Kind = "other"
    pooled: bool | None = None  # None: as its inputs
    gates: frozenset[int] = frozenset()  # nodes that only scale whole channels
    flops: int = 0


Args = Mapping[str, Any]  # the operation's arguments by name
Look = Callable[[Any], "Node | None"]  # the node of a tensor, None for weights and constants
Rule = Callable[[Args, Look, Any], Effect]
