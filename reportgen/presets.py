"""Four ways to climb: which variable moves, how the net sees it, and what a step is.

| preset     | what moves                         | a step                                                       |
|------------|------------------------------------|--------------------------------------------------------------|
| `fourier`  | waves in uncorrelated colours      | Adam; the net sees the picture shifted, turned and enlarged  |
| `erhan`    | the net's input, of one norm       | up the slope, then back to the norm                          |
| `simonyan` | the net's input, from zero         | up the slope of the score less lambda times the squared norm |
| `yosinski` | levels of 0 to 255 around the mean | up the slope, decay, blur, small pixels to nothing           |

In the last three a step has a fixed length, whatever the slope: rates in the papers fit one net each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reportgen import fourier
from reportgen.records import Net

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

RATE = 0.05  # of Adam, on the spectrum: Lucid's
RHO = 0.7  # erhan: the norm, as a share of that of a picture of pure noise of the photos' variance
TURN = 0.05  # erhan: a step's length as a share of the norm
SHRINK = 0.4  # simonyan: lambda, where the score is measured in units of its own slope
STRIDE = 0.05  # simonyan: the steps' rate
LEVELS = 5.0  # yosinski: root mean square of a step, in levels of 0 to 255
NOISE = 10.0  # yosinski: standard deviation of the start, in levels
DECAY = 1e-4  # yosinski: what a step takes off
BLUR, EVERY = 1.0, 4  # yosinski: standard deviation in pixels, and after how many steps
SMALL = 20.0  # yosinski: per cent of the pixels, those of the smallest norm, that are set to the mean


@dataclass(frozen=True)
class Preset:
    """One way to climb a batch of pictures: a variable, how the net sees it, and how it moves."""

    start: Tensor
    seen: Callable[[Tensor, int], Tensor]  # variable, step -> the net's normalised input, N 3 H W
    step: Callable[[Tensor, Tensor, int], Tensor]  # variable, gradient, step -> next variable
    picture: Callable[[Tensor], Tensor]  # variable -> RGB, N 3 H W; may leave 0..1, and is then clipped


def waves(net: Net, size: int, steps: int, rngs: Sequence[np.random.Generator]) -> Preset:
    """Olah 2017: waves in uncorrelated colours, seen askew, moved by Adam."""
    import numpy as np
    import torch

    start = _tensor(net, np.stack([fourier.start(size, rng) for rng in rngs]))  # N 3 H W/2+1 2
    views = _tensor(net, np.stack([fourier.askew(rng, steps) for rng in rngs], axis=1))  # steps N 2 3
    paint = fourier.painter(size, start.device, start.dtype)
    held = torch.nn.Parameter(start)
    adam = torch.optim.Adam([held], lr=RATE, maximize=True, fused=start.device.type in {"cpu", "cuda"})

    def seen(variable: Tensor, step: int) -> Tensor:
        return normalised(net, fourier.view(paint(variable), views[step]))

    def move(_: Tensor, gradient: Tensor, step: int) -> Tensor:
        held.grad = gradient
        adam.step()
        return held.detach()

    return Preset(held.detach(), seen, move, paint)


def erhan(net: Net, size: int, steps: int, rngs: Sequence[np.random.Generator]) -> Preset:
    """Erhan 2009: the strongest of all inputs of one norm, from a random one, by steps along the sphere."""
    import numpy as np

    norm = RHO * math.sqrt(3) * size
    start = _tensor(net, np.stack([rng.normal(size=(3, size, size)) for rng in rngs]))  # N 3 H W

    def move(x: Tensor, gradient: Tensor, step: int) -> Tensor:
        return norm * _unit(x + TURN * norm * _unit(gradient))

    return Preset(norm * _unit(start), lambda x, _: x, move, _from_input(net))


def simonyan(net: Net, size: int, steps: int, rngs: Sequence[np.random.Generator]) -> Preset:
    """Simonyan 2014: score minus lambda times the squared norm, from the zero image, which is the mean picture.

    The score's slope is brought to a root mean square of one at each step, so that one lambda serves all nets.
    """
    import numpy as np

    start = _tensor(net, np.zeros((len(rngs), 3, size, size)))  # N 3 H W

    def move(x: Tensor, gradient: Tensor, step: int) -> Tensor:
        slope = math.sqrt(3) * size * _unit(gradient)
        return x + STRIDE * (slope - 2 * SHRINK * x)

    return Preset(start, lambda x, _: x, move, _from_input(net))


def yosinski(net: Net, size: int, steps: int, rngs: Sequence[np.random.Generator]) -> Preset:
    """Yosinski 2015: pixels around the mean, with decay, blur, and small pixels set to nothing, all in levels of 255.

    The steps have one length each, in place of a rate of 100 that fits CaffeNet alone.
    """
    import numpy as np
    import torch

    start = _tensor(net, np.stack([rng.normal(0, NOISE, (3, size, size)) for rng in rngs]))  # N 3 H W
    mean, std = _colours(net, start)

    def move(v: Tensor, gradient: Tensor, step: int) -> Tensor:
        v = (v + 255 * mean).clamp(0, 255) - 255 * mean
        v = (v + LEVELS * math.sqrt(3) * size * _unit(gradient)) * (1 - DECAY)
        if step % EVERY == 0:
            v = blurred(v, BLUR)
        norms: Tensor = torch.linalg.vector_norm(v, dim=1, keepdim=True)  # N 1 H W
        least = torch.quantile(norms.flatten(1), SMALL / 100, dim=1)[:, None, None, None]  # N 1 1 1
        return v * (norms >= least)

    return Preset(start, lambda v, _: v / (255 * std), move, lambda v: v / 255 + mean)


PRESETS = {"fourier": waves, "erhan": erhan, "simonyan": simonyan, "yosinski": yosinski}


def blurred(x: Tensor, sigma: float) -> Tensor:
    """The pictures under a Gaussian, N x 3 x H x W, cut off after four standard deviations and mirrored at the edge."""
    import torch
    from torch.nn import functional

    reach = max(1, round(4 * sigma))
    bell = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device) / sigma) ** 2)
    bell = (bell / bell.sum()).repeat(x.shape[1], 1, 1, 1)  # 3 1 1 k
    x = functional.conv2d(functional.pad(x, (reach,) * 4, mode="reflect"), bell, groups=x.shape[1])
    return functional.conv2d(x, bell.transpose(2, 3), groups=x.shape[1])


def _from_input(net: Net) -> Callable[[Tensor], Tensor]:
    def picture(x: Tensor) -> Tensor:
        mean, std = _colours(net, x)
        return x * std + mean

    return picture


def _unit(x: Tensor) -> Tensor:
    """Each item of the batch at length one; what is zero stays so."""
    import torch

    norm: Tensor = torch.linalg.vector_norm(x, dim=tuple(range(1, x.ndim)), keepdim=True)  # N 1 1 1
    return x / norm.clamp(min=1e-30)


def _tensor(net: Net, values: NDArray[Any]) -> Tensor:
    """The values on the net's device: in double precision for a net of that, else in single, also beside bf16."""
    import torch

    return torch.from_numpy(values).to(torch.float64 if net.dtype == torch.float64 else torch.float32).to(net.device)


def normalised(net: Net, pictures: Tensor) -> Tensor:
    """RGB pictures as the net wants them."""
    mean, std = _colours(net, pictures)
    return (pictures - mean) / std


def _colours(net: Net, like: Tensor) -> tuple[Tensor, Tensor]:
    import torch

    view = net.card.preprocess
    mean, std = (torch.tensor(v, dtype=like.dtype, device=like.device).view(1, 3, 1, 1) for v in (view.mean, view.std))
    return mean, std
