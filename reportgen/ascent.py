"""Gradient ascent: from a start, step by step, to the picture that drives a unit of a net most.

Many units climb as one batch, each on a picture of its own; pictures do not mix in eval mode, so that the gradient of
the sum is each picture's own. The pass runs no further than the layer, and back to the pictures only. How a start, a
step and a picture look is the preset's affair; all of them share this loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from reportgen import hooks, rules
from reportgen.errors import MethodError, NotApplicable
from reportgen.lean import lean
from reportgen.presets import PRESETS, Preset, normalised
from reportgen.records import Layer, Net

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

Objective = Literal["strongest", "channel", "neuron"]
REDIRECTED = 16  # steps from the start in which a ReLU may hand down to negative inputs; longer for a silent unit
LATTICE = 4  # a silent map is climbed at every fourth position
CHUNK = 16  # pictures of 128 x 128 in one pass; fewer of larger ones


@dataclass(frozen=True)
class Climb:
    """What came of it: pictures U x 3 x H x W, and each unit's strongest activation at the start and after each step.

    The activations are those of the pictures as the net saw them, askew where the preset does so; the last one is that
    of the finished picture, straight and within 0..1.
    """

    images: NDArray[np.float32]  # U 3 H W
    start: NDArray[np.float32]  # U
    activation: NDArray[np.float32]  # U x steps


def climb(
    net: Net,
    layer: Layer,
    units: Sequence[int],
    *,
    preset: str,
    objective: Objective,
    steps: int,
    size: int,
    rng: np.random.Generator,
) -> Climb:
    """The pictures that drive each unit of the layer most. A unit's own does not depend on its company."""
    import numpy as np
    import torch

    base = int(rng.integers(2**63))
    at_once = max(4, min(CHUNK, CHUNK * 128**2 // size**2))
    parts = []
    for i in range(0, len(units), at_once):
        chosen = units[i : i + at_once]
        rngs = [np.random.default_rng([base, unit]) for unit in chosen]
        with torch.enable_grad():
            parts.append(_climb(net, layer, chosen, PRESETS[preset](net, size, steps, rngs), objective, steps))
    names = ("images", "start", "activation")
    found = Climb(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
    if not (np.isfinite(found.activation).all() and np.isfinite(found.images).all()):
        raise MethodError(
            f"Climbing {layer.name} of {net.card.arch} led to NaN or infinity: its weights are damaged, or its values "
            "overflow; precision: fp64 tells which."
        )
    return found


def _climb(net: Net, layer: Layer, units: Sequence[int], preset: Preset, objective: Objective, steps: int) -> Climb:
    import torch

    variable, trace = preset.start, []
    silent = torch.ones(len(units), dtype=torch.bool, device=variable.device)
    for step in range(steps):
        variable = variable.detach().requires_grad_()
        redirect = step < REDIRECTED or bool(silent.any())
        with rules.redirected(silent | (step < REDIRECTED)) if redirect else nullcontext():
            maps = unit_maps(net, layer, units, preset.seen(variable, step))  # N h w
        values = objective_values(maps, objective, step / steps)  # N
        gradient = torch.autograd.grad(values.sum(), variable)[0]
        trace.append(maps.detach().flatten(1).amax(1))
        silent = trace[-1] <= 0
        with torch.no_grad():
            variable = preset.step(variable.detach(), gradient, step)
    with torch.no_grad():
        images = preset.picture(variable).clamp(0, 1).float()  # N 3 H W
        trace.append(unit_maps(net, layer, units, normalised(net, images.to(variable.dtype))).flatten(1).amax(1))
    told = torch.stack(trace, 1).float().cpu().numpy()  # N steps+1
    return Climb(images.cpu().contiguous().numpy(), told[:, 0], told[:, 1:])


# -------------------------------------------------------------------------------------------------- what is climbed


def width(net: Net, layer: Layer, size: int) -> int:
    """How many units the layer has, found by a pass of an empty picture of the size wanted.

    Raises MethodError where the net cannot be run on that size, NotApplicable where the layer has no units on a grid.
    """
    import torch

    blank = torch.zeros(1, 3, size, size, dtype=net.dtype, device=net.device)
    try:
        value = hooks.run_to(lean(net, [layer.name]), blank, [layer.name])[layer.name]
    except RuntimeError as error:
        if size == net.card.preprocess.size or isinstance(error, torch.OutOfMemoryError):
            raise
        raise MethodError(
            f"size: {net.card.arch} cannot be run to {layer.name} on a picture of {size} x {size} pixels. Its own size "
            f"is {net.card.preprocess.size}; leave size out, or choose an earlier layer or a larger picture."
        ) from error
    if value.ndim not in {2, 4}:
        raise NotApplicable(f"{layer.name} returns {value.ndim - 1} axes per picture: it has no units on a grid.")
    if not bool(value.isfinite().all()):
        raise MethodError(f"The net gives NaN or infinity in {layer.name}: its weights are damaged or overflow.")
    return int(value.shape[1])


def unit_maps(net: Net, layer: Layer, units: Sequence[int], x: Tensor) -> Tensor:
    """Each picture's map of its own unit, N x h x w, part of the autograd graph; a neuron's is 1 x 1."""
    import torch

    quick = lean(net, [layer.name])
    value = hooks.run_to(quick, x.to(net.dtype), [layer.name], grad=torch.is_grad_enabled())[layer.name]
    own = value[torch.arange(len(units), device=x.device), torch.as_tensor(units, device=x.device)]  # N h w, or N
    return own.to(x.dtype).view(len(units), *(own.shape[1:] or (1, 1)))  # N h w


def objective_values(maps: Tensor, objective: Objective, done: float) -> Tensor:
    """What each picture is to raise, N: the mean of the map, its middle, or its strongest places, ever fewer of them.

    `done` is the share of the way behind. The mean of a whole map that is zero everywhere says next to nothing (the
    slopes of a filter cancel), so a silent map is climbed on a lattice.
    """
    import torch

    height, breadth = maps.shape[1:]
    middle = maps[:, height // 2, breadth // 2]  # N
    if objective == "neuron":
        return middle
    flat = maps.flatten(1)  # N P
    best = flat.mean(1)  # N
    if objective == "strongest":
        best = flat.topk(max(1, round(flat.shape[1] * (1 - done))), dim=1).values.mean(1)
    top, left = ((side % LATTICE) // 2 if side >= LATTICE else side // 2 for side in (height, breadth))
    lattice = maps[:, top::LATTICE, left::LATTICE].flatten(1).mean(1)  # N
    return torch.where(flat.amax(1) > 0, best, lattice)
