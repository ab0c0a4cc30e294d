"""Labelled pictures and sets of them, as methods meet them: nouns only; `reportgen.datasets` opens the sets.

Axes: N pictures, H W pixels, C channels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reportgen.records import Net, Picture

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]
    """H x W, true where the thing is; of the size of its picture."""
else:
    Mask = Any

Partial = Mapping[str, Any]
"""What a look at some pictures of a data set gave: named arrays, from `Scan.chunk` and for `Scan.merge`."""


@dataclass(frozen=True, eq=False)
class Example:
    """One picture of a data set, and where in it things are, where that is known; all in the picture's own pixels."""

    picture: Picture  # H x W x 3
    mask: Mask | None = None  # the object; None where the set has no masks
    parts: Mapping[str, Mask] = field(default_factory=dict)  # part of the object -> where it is visible
    points: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # part -> (x, y); visible ones only
    box: tuple[int, int, int, int] | None = None  # y0 x0 y1 x1 of the object


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled pictures in a fixed order; none is read before it is asked for."""

    name: str  # what pages call it: "photos-val.zip", "rendered world"
    classes: tuple[str, ...]  # names; those of one class may be several with commas between: "tench, Tinca tinca"
    names: tuple[str, ...]  # N: what lists call a picture, such as "cat/001.jpg"; unique
    labels: tuple[int, ...]  # N: indices of classes, -1 where the class is not known
    load: Callable[[int], Example]  # by place. Raises ImageError for a picture that cannot be read
    digest: Callable[[], str]  # SHA-256 of everything that decides what `load` gives, wherever the set lies
    masks: bool = False  # whether every example has a mask
    points: bool = False  # whether examples have points

    def __len__(self) -> int:
        """The number of pictures."""
        return len(self.names)


@dataclass(frozen=True, eq=False)
class Batch:
    """Some pictures of a data set as `Method.chunk` gets them; pictures that could not be read are not among them."""

    places: tuple[int, ...]  # N: where they stand in the data set
    examples: Sequence[Example]
    labels: tuple[int, ...]  # N: indices of the data set's classes
    targets: tuple[int, ...]  # N: the same class among the net's own classes, -1 where the net does not have it
    x: torch.Tensor  # N 3 H W: the net's normalised input
    values: Mapping[str, torch.Tensor]  # what the layers that the method asked for gave, from one pass
    rngs: Sequence[np.random.Generator]  # one per picture, whatever the chunks
    before: Mapping[str, torch.Tensor] = field(default_factory=dict)  # the same of `Net.before`, for those who need it


@dataclass(frozen=True)
class Epoch:
    """One epoch of a training in numbers."""

    epoch: int  # 0 = before training
    lr: float  # at its last step
    train_loss: float | None  # with the recipe's label smoothing, on changed pictures, while the weights move; None: 0
    train_top1: float | None
    val_loss: float | None  # None in epochs that were not validated
    val_top1: float | None
    val_classes: tuple[float, ...] | None  # K: share of each class's validation pictures that is right


@dataclass(frozen=True, eq=False)
class TrainingRun:
    """How a net of the report was trained, as methods of scope "training" meet it in `Input.training`."""

    classes: tuple[str, ...]  # K
    logs: tuple[tuple[Epoch, ...], ...]  # R: one log per repeat, ascending epochs; the first is the net's own
    kept: tuple[int, ...]  # epochs whose weights are there, ascending; the last is the end of training
    net: Callable[
        [int], Net
    ]  # the net after a kept epoch, as far as its layers were kept; the last is the report's own
    data: Dataset  # to look at: the section's data set, else what it was validated on; empty where neither is there
    numbers: Mapping[str, Any]  # the recipe in a few words and numbers: seed, batch, learning_rate, pictures ...


def epochs_of(rows: Sequence[Mapping[str, Any]]) -> tuple[Epoch, ...]:
    """A log that was kept as JSON."""
    shares = [row["val_classes"] for row in rows]
    return tuple(
        Epoch(**{**row, "val_classes": None if own is None else tuple(own)})
        for row, own in zip(rows, shares, strict=True)
    )
