"""Pictures of units through a generator: one walk over its codes serves DGN and PPGN.

Each step moves a code h by a rate along d / mean|d|, where d is a sum of three terms: the prior, towards what the
autoencoder makes of h; the condition, up the slope of the unit as its net sees the picture; and noise. DGN knows the
condition only, keeps codes within bounds and lets them decay. Many chains walk as one batch; they do not mix.

Codes are measured in units of fc6, for which the papers give their rates: `Generator.scale` is what one of them is.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from reportgen import hooks, rules
from reportgen.ascent import objective_values
from reportgen.errors import MethodError
from reportgen.generators import Generator
from reportgen.lean import lean
from reportgen.records import Layer, Net
from reportgen.seeing import seen

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

NEAR = 0.25  # noise on a code to start from, in each feature's spread
CHUNK = 16  # chains in one pass of pictures of 128 x 128; fewer of larger ones


@dataclass(frozen=True)
class Walk:
    """How codes move."""

    steps: int
    rates: tuple[float, float]  # of the first step and behind the last, in units of fc6; between them a straight line
    decay: float = 1.0  # what a code is multiplied with after each step
    bounded: bool = True  # whether codes are kept within the generator's bounds
    likelihood: bool = False  # whether the condition is the logarithm of the unit's probability, or its activation
    prior: float = 0.0  # weight of R(h) - h
    condition: float = 1.0  # weight of the unit's slope
    noise: float = 0.0  # standard deviation of the noise
    tries: int = 1  # codes drawn to start from; the one at which the unit is strongest is taken


@dataclass(frozen=True)
class Walked:
    """What came of M chains: codes and pictures at the steps that were kept, and each unit's way up.

    An activation is the strongest of the unit's map; the last one is that of the last picture, clipped to 0..1.
    """

    codes: NDArray[np.float32]  # M S D
    images: NDArray[np.float32]  # M S 3 H W, RGB 0..1
    start: NDArray[np.float32]  # M
    activation: NDArray[np.float32]  # M x steps

    def only(self, chains: NDArray[np.int64]) -> Walked:
        """What came of these chains."""
        return Walked(*(getattr(self, part.name)[chains] for part in fields(self)))


def walk(
    net: Net,
    layer: Layer,
    units: Sequence[int],
    generator: Generator,
    how: Walk,
    rngs: Sequence[np.random.Generator],
    kept: Sequence[int] = (),
) -> Walked:
    """The walks of as many chains as there are units (one unit may have several), each with numbers of its own.

    `kept` are the numbers of the steps behind which code and picture are kept; by default the last.
    """
    import numpy as np

    if how.prior and generator.autoencoder is None:
        raise MethodError(
            f"The generator {generator.source} has no autoencoder of its code, so nothing tells likely codes from "
            "others. Use one made by `reportgen train`, or leave the prior out with `prior: 0`."
        )
    generator = _moved(generator, net)
    side = max(generator.size, net.card.preprocess.size)
    at_once = max(2, min(CHUNK, CHUNK * 128**2 // side**2))
    parts = [
        _walk(net, layer, units[i : i + at_once], generator, how, rngs[i : i + at_once], tuple(kept) or (how.steps,))
        for i in range(0, len(units), at_once)
    ]
    found = Walked(*(np.concatenate([getattr(part, own.name) for part in parts]) for own in fields(Walked)))
    if not (np.isfinite(found.activation).all() and np.isfinite(found.images).all()):
        raise MethodError(
            f"Climbing {layer.name} of {net.card.arch} through the generator {generator.source} led to NaN or "
            "infinity: weights are damaged, or values overflow; precision: fp64 tells which."
        )
    return found


def start(generator: Generator, rngs: Sequence[np.random.Generator]) -> NDArray[np.float64]:
    """The codes from which chains start, N x D: centres of photos' codes with a little noise, where these are known.

    Where they are not, noise with standard deviation one in units of fc6, as in the paper.
    """
    import numpy as np

    if generator.centres is None or generator.spread is None:
        return generator.scale * np.stack([rng.normal(size=generator.width) for rng in rngs])
    centres = np.stack([generator.centres[rng.integers(len(generator.centres))] for rng in rngs])  # N D
    noise = np.stack([rng.normal(size=generator.width) for rng in rngs])
    return np.clip(centres + NEAR * generator.spread * noise, generator.low, generator.high)


# --------------------------------------------------------------------------------------------------------- the works


class _Look(NamedTuple):
    """What a net says of a batch of pictures."""

    values: Tensor  # N: what is climbed
    strongest: Tensor  # N
    missing: Tensor  # N: one minus the unit's probability among all units where it is strongest


def _walk(
    net: Net,
    layer: Layer,
    units: Sequence[int],
    generator: Generator,
    how: Walk,
    rngs: Sequence[np.random.Generator],
    kept: Sequence[int],
) -> Walked:
    import numpy as np
    import torch

    dtype = _dtype(net)

    def tensor(values: Any) -> Tensor:
        return torch.as_tensor(values).to(net.device, dtype)

    module, prior = generator.module, generator.autoencoder
    low, high, scale = tensor(generator.low), tensor(generator.high), generator.scale
    code, trace, keeping = _begun(net, layer, units, generator, how, rngs), [], {}  # N D
    for step in range(how.steps):
        rate = how.rates[0] + (how.rates[1] - how.rates[0]) * step / how.steps
        slope, strongest = _slope(net, layer, units, generator.paint, module, code, how, step)
        trace.append(strongest)
        direction = how.condition * scale * slope
        if how.prior:
            direction = direction + how.prior * (prior(code) - code) / scale
        if how.noise:
            direction = direction + tensor(np.stack([rng.normal(0, how.noise, generator.width) for rng in rngs]))
        code = code + rate * scale * _mean_one(direction)  # N D
        if how.bounded:
            code = torch.minimum(torch.maximum(code, low), high)
        code = code * how.decay
        if step + 1 in kept:
            keeping[step + 1] = code
    with torch.no_grad():
        codes = torch.stack([keeping[step] for step in kept], 1)  # N S D
        flat = [generator.paint(module(part)).clamp(0, 1) for part in codes.unbind(1)]  # S times N 3 H W
        trace.append(_look(net, layer, units, seen(net, flat[-1]), how, 1.0).strongest)
    told = torch.stack(trace, 1).float().cpu().numpy()  # N steps+1
    images = torch.stack(flat, 1).float().cpu().contiguous().numpy()  # N S 3 H W
    return Walked(codes.float().cpu().numpy(), images, told[:, 0], told[:, 1:])


def _begun(
    net: Net, layer: Layer, units: Sequence[int], generator: Generator, how: Walk, rngs: Sequence[np.random.Generator]
) -> Tensor:
    """The codes from which chains start, N D: of some tries those at which their units are strongest."""
    import torch

    def drawn() -> Tensor:
        return torch.as_tensor(start(generator, rngs)).to(net.device, _dtype(net))  # N D

    def valued(code: Tensor) -> Tensor:
        return _look(net, layer, units, seen(net, generator.paint(generator.module(code))), how, 1.0).values  # N

    code = drawn()
    if how.tries > 1:
        with torch.no_grad():
            values = valued(code)
            for _ in range(1, how.tries):
                other = drawn()
                now = valued(other)
                code = torch.where((now > values)[:, None], other, code)
                values = torch.maximum(now, values)
    return code


def _slope(
    net: Net, layer: Layer, units: Sequence[int], paint: Any, module: Any, code: Tensor, how: Walk, step: int
) -> tuple[Tensor, Tensor]:
    """The slope of what is climbed at each code, N x D, and the units' strongest activations, N.

    The slope at the picture is brought to one mean size before it is carried on to the code, as in the paper, where
    the activation itself is climbed. A silent unit gets its slope from a ReLU that hands it down to negative inputs.
    """
    import torch

    with torch.enable_grad():
        code = code.detach().requires_grad_()
        shown = seen(net, paint(module(code)))  # N 3 S S
        leaf = shown.detach().requires_grad_()
        silent = torch.zeros(len(code), dtype=torch.bool, device=code.device)
        for again in (False, True):
            with rules.redirected(silent) if again else nullcontext():
                look = _look(net, layer, units, leaf, how, step / how.steps)
            at_picture = torch.autograd.grad(look.values.sum(), leaf)[0]  # N 3 S S
            silent = at_picture.abs().sum((1, 2, 3)) == 0
            if not bool(silent.any()):
                break
        shares = look.missing.view(-1, 1, 1, 1)  # N 1 1 1
        carried = shares * at_picture if how.likelihood else _mean_one(at_picture)
        return torch.autograd.grad(shown, code, carried)[0], look.strongest


def _look(net: Net, layer: Layer, units: Sequence[int], x: Tensor, how: Walk, done: float) -> _Look:
    """What is climbed at each picture: the unit at its strongest places, ever fewer of them, or its one neuron."""
    import torch

    value = hooks.run_to(lean(net, [layer.name]), x.to(net.dtype), [layer.name], grad=torch.is_grad_enabled())
    maps = value[layer.name].to(x.dtype).reshape(len(units), -1, *_grid(value[layer.name]))  # N C h w
    rows = torch.arange(len(units), device=x.device)
    own = maps[rows, torch.as_tensor(units, device=x.device)]  # N h w
    flat = own.detach().flatten(1)  # N P
    strongest, place = flat.max(1)  # N
    among = maps.detach().flatten(2)[rows, :, place]  # N C: all units where the own is strongest
    missing = (-torch.expm1(torch.log_softmax(among, 1)))[rows, torch.as_tensor(units, device=x.device)]  # N
    if how.likelihood:  # the probability is that of one place
        return _Look(own.flatten(1)[rows, place], strongest, missing)
    return _Look(objective_values(own, "strongest", done), strongest, missing)


def _grid(value: Tensor) -> tuple[int, int]:
    if value.ndim not in {2, 4}:
        raise MethodError(f"The layer gives {value.ndim - 1} axes per picture: it has no units on a grid.")
    return (int(value.shape[2]), int(value.shape[3])) if value.ndim == 4 else (1, 1)


def _mean_one(x: Tensor) -> Tensor:
    """Each item of the batch divided by the mean of its absolute values; what is zero stays so."""
    mean = x.abs().mean(tuple(range(1, x.ndim)), keepdim=True)  # N 1 ...
    return x / mean.clamp(min=1e-300 if x.element_size() == 8 else 1e-37)


def _moved(generator: Generator, net: Net) -> Generator:
    """The generator on the net's device and in its number type; what is there already is not copied."""
    import copy

    def moved(part: Any) -> Any:
        values = list(part.parameters()) if part is not None else []
        if all(value.device.type == net.device.partition(":")[0] and value.dtype == _dtype(net) for value in values):
            return part
        return copy.deepcopy(part).to(net.device, _dtype(net))

    return replace(generator, module=moved(generator.module), autoencoder=moved(generator.autoencoder))


def _dtype(net: Net) -> torch.dtype:
    """Double precision for a net of that, else single, also beside bf16."""
    import torch

    return torch.float64 if net.dtype == torch.float64 else torch.float32
