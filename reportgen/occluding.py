"""What a net makes of one picture with a patch over a part of it, or with units of a layer silent.

Both are exact, and mostly partial passes: the picture's pass is recorded once, and only what a change can reach is
run again (`regions`, `tape`). One change is run in full as well: where the two do not agree, or the pass cannot be
recorded, every pass is a full one, and the result says why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from reportgen import hooks, project, regions
from reportgen import tape as tapes
from reportgen.lean import lean
from reportgen.records import Net

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    Pass = Callable[[Tensor], dict[str, Tensor]]  # values of a layer, B ... -> later values by name, and "logits"

Corners = Sequence[tuple[int, int]]

PARTIAL = 24  # places in one partial pass: 16 to 32 are equally quick on a CPU
FULL = 16  # pictures in one full pass
# How far a partial pass may be from a full one, as a share of the range of the logits; rounding is a hundredth of it.
TOLERANCE = {"fp64": 1e-8, "fp32": 1e-3, "tf32": 2e-2, "bf16": 5e-2}


@dataclass(frozen=True, eq=False)
class Sweep:
    """The net's answers, place by place."""

    logits: Tensor  # B K
    sums: Tensor  # B: the unit's activation, summed over its map
    why: str  # why every place took a full pass; empty where none of them did


def grid(size: int, patch: int, stride: int) -> tuple[list[tuple[int, int]], int]:
    """The corners (y, x) of all places of a patch that lie inside a square, line by line, and how many a line has."""
    count = (size - patch) // stride + 1
    return [(y * stride, x * stride) for y in range(count) for x in range(count)], count


def averaged(values: NDArray[Any], patch: int, stride: int, size: int) -> NDArray[Any]:
    """For every pixel of a square the mean of the values (R C) of the places that cover it, S S; zero if none does."""
    import numpy as np

    sums, covers = np.zeros((2, size, size))
    for (row, column), value in np.ndenumerate(values):
        where = slice(row * stride, row * stride + patch), slice(column * stride, column * stride + patch)
        sums[where] += value
        covers[where] += 1
    found: NDArray[Any] = (sums / np.maximum(covers, 1)).astype(np.float32)
    return found


def sweep(net: Net, x: Tensor, corners: Corners, patch: Tensor, layer: str, unit: int) -> Sweep:
    """The logits and the sum of a unit's map, with `patch` (3 h w) on the picture x (1 3 S S) at each corner."""
    try:
        found = _in_parts(net, x, corners, patch, layer, unit)
        if agree(found.logits[-1:], _in_full(net, x, corners[-1:], patch, layer, unit).logits, net):
            return found
        why = "a partial pass and a full one disagree"
    except (RuntimeError, tapes.UnfitError) as error:
        why = reason(error)
    return replace(_in_full(net, x, corners, patch, layer, unit), why=why)


def onwards(net: Net, x: Tensor, layer: str, later: Sequence[str], probe: Tensor) -> tuple[Pass, str]:
    """What runs the net on the picture x from values of a layer on, and why each pass is a full one (else empty).

    It gives the values of the layers in `later`, and the logits. The probe, a value of the layer, is run both ways.
    """
    quick = lean(net, [layer, *later])

    def full(values: Tensor) -> dict[str, Tensor]:
        import torch

        with torch.no_grad(), hooks.replaced(quick, layer, lambda _: values.clone()):
            with hooks.recorded(quick, later) as found:
                logits = quick.module(x.expand(len(values), *x.shape[1:]))  # B K
            return {**found, "logits": logits}

    try:
        tape = tapes.record(net, x, [layer, *later])
        start = tape.layer(net.card.resolve(layer).name)
        wanted = {name: tape.layer(net.card.resolve(name).name) for name in later} | {"logits": tape.output}

        def resumed(values: Tensor) -> dict[str, Tensor]:
            found = tapes.resume(tape, {start: values}, list(wanted.values()))
            return {name: found[own].expand(len(values), *found[own].shape[1:]) for name, own in wanted.items()}

        if agree(resumed(probe)["logits"], full(probe)["logits"], net):
            return resumed, ""
        return full, "a replayed pass and a full one disagree"
    except (RuntimeError, tapes.UnfitError) as error:
        return full, reason(error)


def silenced(value: Tensor, groups: Sequence[Sequence[int]]) -> Tensor:
    """Copies of a layer's value (1 ...), each with a group of units at zero, B ..."""
    out = value.repeat(len(groups), *[1] * (value.ndim - 1))  # B ...
    for own, silent in zip(out, groups, strict=True):
        own[list(silent)] = 0
    return out


def agree(partial: Tensor, full: Tensor, net: Net) -> bool:
    """Whether a replayed pass gives the logits (B K) of a full one, up to the rounding of the net's number type."""
    one, other = project.exact(partial), project.exact(full)
    if not bool(one.isfinite().all() and other.isfinite().all()):
        return False
    return float((one - other).abs().max()) <= TOLERANCE[net.precision] * float(other.max() - other.min())


def reason(error: Exception) -> str:
    """Why a pass could not be replayed, in one line; an error that is about memory is raised again."""
    text = (str(error).splitlines() or [""])[0]
    if "memory" in text:  # a full pass needs more of it still; whoever set the size of the chunks has to hear of it
        raise error
    return text if isinstance(error, tapes.UnfitError) else f"its recorded pass cannot be run again ({text})"


def _in_parts(net: Net, x: Tensor, corners: Corners, patch: Tensor, layer: str, unit: int) -> Sweep:
    tape = tapes.record(net, x, [layer])
    number = tape.layer(net.card.resolve(layer).name)
    logits, sums = [], []
    for places in regions.chunks(corners, PARTIAL):
        found = regions.changed(tape, places, patch, [tape.output, number])
        logits.append(found[tape.output].expand(len(places), -1))  # B K
        sums.append(total(found[number], unit).expand(len(places)))  # B
    return _joined(logits, sums)


def _in_full(net: Net, x: Tensor, corners: Corners, patch: Tensor, layer: str, unit: int) -> Sweep:
    logits, sums = [], []
    for start in range(0, len(corners), FULL):
        covered = laid(x, corners[start : start + FULL], patch)  # B 3 S S
        found = project.forward(net, covered, [layer])
        logits.append(found["logits"])
        sums.append(total(found[layer], unit))
    return _joined(logits, sums)


def laid(x: Tensor, corners: Corners, patch: Tensor) -> Tensor:
    """The picture with the patch at each corner in turn, B 3 S S."""
    out = x.repeat(len(corners), 1, 1, 1)  # B 3 S S
    for picture, (top, left) in zip(out, corners, strict=True):
        picture[:, top : top + patch.shape[-2], left : left + patch.shape[-1]] = patch
    return out


def total(value: Tensor, unit: int) -> Tensor:
    """A unit's activation summed over its map, B; `value` is the layer's, B C h w or B D."""
    return project.exact(value[:, unit]).reshape(len(value), -1).sum(dim=1)  # B


def _joined(logits: Sequence[Tensor], sums: Sequence[Tensor]) -> Sweep:
    import torch

    return Sweep(torch.cat(list(logits)), torch.cat(list(sums)), "")
