"""One call of a Keras layer, its inputs and weights looked up: what the tables of layers work on.

Pictures of Keras are N H W C where its data format is channels_last, and are kept as N C H W all the same; axes that a
layer names are turned by `axis`. Vectors, and all of a channels_first net, are kept as Keras has them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reportgen.errors import ModelError
from reportgen.nets.program import Weight

TURNED = (0, 2, 3, 1)  # where the axes of N H W C are in N C H W; also the order that makes the first of the second
BACK = (0, 3, 1, 2)  # the order that makes the second of the first


@dataclass(frozen=True)
class Earlier:
    """Stands in a part's arguments where the value of another part stands, counted from the layer's first."""

    number: int


LAST = Earlier(-1)


@dataclass(frozen=True)
class Part:
    """One operation of a layer."""

    target: str
    given: Mapping[str, Any]  # by the names of the operator's arguments
    suffix: str = ""  # of the module's name: nothing for the layer itself, "_relu" for its activation


Parts = Iterator[Part]


@dataclass(frozen=True)
class Made:
    """A value of the net, and how many axes it has."""

    value: Any
    rank: int


@dataclass(frozen=True)
class Node:
    """One call of a layer."""

    name: str
    kind: str
    settings: Mapping[str, Any]
    args: Sequence[Any]  # Made, numbers, lists of them
    kwargs: Mapping[str, Any]
    arrays: Mapping[str, Any]  # the layer's weights, as NumPy arrays by the names of `slots`
    keep: Callable[[str, Any, bool], Weight]  # name, array, whether it was trained: makes a tensor of the net
    last: bool  # whether the net's data format is channels_last
    major: int  # Keras' version
    source: str
    ranks: list[int] = field(default_factory=list)  # of the layer's value, where it is not that of the first input

    @property
    def inputs(self) -> list[Any]:
        """Everything the layer is given by place, lists opened."""
        return [part for arg in self.args for part in (arg if isinstance(arg, list) else [arg])]

    @property
    def x(self) -> Any:
        """The first input's value."""
        return self.inputs[0].value

    @property
    def rank(self) -> int:
        """How many axes the first input has."""
        return int(self.inputs[0].rank)

    @property
    def turned(self) -> bool:
        """Whether the first input is kept in another order than Keras has it."""
        return self.last and self.rank == 4

    def axis(self, said: Any) -> int:
        """Where an axis of Keras is in the value as it is kept."""
        axis = int(said[0] if isinstance(said, list) and len(said) == 1 else said) % self.rank
        return TURNED[axis] if self.turned else axis

    def weight(self, name: str, array: Any, trained: bool = True) -> Weight:
        """A tensor of the net."""
        return self.keep(name, array, trained)

    def array(self, name: str, rank: int) -> Any:
        """A weight of the layer, of so many axes."""
        found = self.arrays.get(name)
        if found is None or found.ndim != rank:
            raise self.damaged(f"its {name} is missing, or of {0 if found is None else found.ndim} axes and not {rank}")
        return found

    def maps(self) -> None:
        """Raise ModelError where the layer is not given pictures in the net's own data format."""
        said = self.settings.get("data_format") or ("channels_last" if self.last else "channels_first")
        if self.rank != 4 or (said == "channels_last") != self.last:
            raise self.unfit("it looks at something other than maps in the net's own data format")

    def pair(self, name: str, default: int = 1) -> tuple[int, int]:
        """A setting of one or two whole numbers, for y and x."""
        said = self.settings.get(name)
        values = [default] * 2 if said is None else [said] * 2 if isinstance(said, int) else list(said)
        if len(values) != 2 or not all(type(value) is int and 0 < value < 1 << 16 for value in values):
            raise self.damaged(f"its {name} is {str(said)[:40]}")
        return values[0], values[1]

    def unfit(self, why: str) -> ModelError:
        """The error for a layer that cannot be rebuilt."""
        layer = f"{self.name[:60]!r} ({self.kind[:60]})"
        return ModelError(f"The model file {self.source} cannot be rebuilt: of its layer {layer}, {why}.")

    def damaged(self, why: str) -> ModelError:
        """The error for a layer whose settings and weights do not go together."""
        return ModelError(f"The model file {self.source} is damaged: of its layer {self.name[:60]!r}, {why}.")
