"""How finely a layer must be looked at, and how finely it is: frequencies of filters and answers against a grid.

Frequencies are in cycles per pixel of the net's input. A grid of one place every s pixels carries frequencies up to
1/(2s) (its Nyquist limit); what lies beyond folds back and cannot be told from what it is not. The share of an answer's
energy beyond that limit is its aliased share: by Parseval, how far, on the mean over all ways to lay the grid, the
sampled answer is from the one that was smoothed as an ideal sampler would. Axes: F filters, N pictures, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from reportgen.errors import NotApplicable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from reportgen.records import Layer, Net, Picture

CHUNK = 16  # shifted pictures in one pass
ROUNDING = 1e-12  # of an answer's energy: what is left of a constant one, in single precision too
LEAST = 4  # positions of a map, each way, whose fields lie inside the picture


# -------------------------------------------------------------------------------------------------------------- filters


def energy_below(filters: NDArray[Any], radius: float) -> NDArray[np.float64]:
    """The share of each filter's energy (F c k k) at frequencies below a radius of at most 1/2, all directions alike.

    Exact: the mean of a wave over a disc of frequencies is $r J_1(2 \\pi r d) / d$ at distance d.
    """
    import numpy as np
    from scipy.special import j1  # type: ignore[import-untyped]

    alike, (y, x) = _autocorrelation(filters)
    apart = np.hypot(y[:, None], x)  # 2k-1 2k-1
    near = np.where(apart > 0, apart, 1)
    waves = np.where(apart > 0, radius * j1(2 * np.pi * radius * near) / near, np.pi * radius**2)
    return _share((alike * waves).sum(axis=(1, 2)), alike[:, 0, 0])


def rings(filters: NDArray[Any], count: int) -> NDArray[np.float64]:
    """The share of each filter's energy (F c k k) in each of so many rings of frequencies, up to 1/2; F R."""
    import numpy as np

    inside = [energy_below(filters, radius) for radius in np.arange(1, count + 1) / (2 * count)]
    return np.diff(np.stack(inside, axis=1), axis=1, prepend=0)


def beyond_grid(filters: NDArray[Any], step: Sequence[int]) -> NDArray[np.float64]:
    """The share of each filter's energy (F c k k) that a grid of this step (y, x) cannot carry; exact.

    It is the aliased share of the filter's answer to white noise.
    """
    import numpy as np

    alike, apart = _autocorrelation(filters)
    waves = np.outer(*(np.sinc(places / s) / s for places, s in zip(apart, step, strict=True)))  # 2k-1 2k-1
    return _share(alike[:, 0, 0] - (alike * waves).sum(axis=(1, 2)), alike[:, 0, 0])


def _autocorrelation(filters: NDArray[Any]) -> tuple[NDArray[np.float64], tuple[NDArray[Any], NDArray[Any]]]:
    """Each filter (F c k k) times itself moved, summed over c: F 2k-1 2k-1, and how far it is moved, y and x."""
    import numpy as np

    height, width = (2 * side - 1 for side in filters.shape[-2:])
    power = (np.abs(np.fft.fft2(filters.astype(np.float64), s=(height, width))) ** 2).sum(axis=1)  # F 2k-1 2k-1
    moved = np.fft.fftfreq(height, 1 / height).round(), np.fft.fftfreq(width, 1 / width).round()
    return np.fft.ifft2(power).real, moved


def _share(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """A part of the energy; of none it is none."""
    import numpy as np

    share: NDArray[np.float64] = np.clip(np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0), 0, 1)
    return share


# -------------------------------------------------------------------------------------------------------------- answers


def aliased_shares(net: Net, pictures: Sequence[Picture], layer: Layer) -> NDArray[np.float64]:
    """The share of each unit's energy on some pictures that the layer's grid cannot carry; C.

    NaN for units that answer alike everywhere; NotApplicable where all do.
    """
    import numpy as np

    step = layer.stride or (1, 1)
    found = [energies(at_every_pixel(net, net.preprocess([picture]), layer), step) for picture in pictures]
    beyond, total = np.sum(found, axis=0)  # C each
    if not total.any():
        raise NotApplicable(
            f"{layer.name} answers alike everywhere on {len(pictures)} pictures: nothing can be aliased."
        )
    shares: NDArray[np.float64] = np.divide(beyond, total, out=np.full_like(total, np.nan), where=total > 0)
    return shares


def at_every_pixel(net: Net, x: Tensor, layer: Layer) -> NDArray[np.float64]:
    """A layer's answer to one input (1 3 S S) at every pixel, C H W, where its fields lie inside the picture.

    The net runs on the picture moved by 0 to stride - 1 pixels each way; the answers are laid into each other. That is
    what the net would give without any stride up to there.
    """
    import numpy as np
    import torch
    from torch.nn import functional

    from reportgen import hooks, project
    from reportgen.lean import lean

    rows, columns = _inside(layer, tuple(x.shape[-2:]))
    down, right = layer.stride or (1, 1)
    size_y, size_x = x.shape[-2:]
    moved = functional.pad(x, (0, right - 1, 0, down - 1))  # 1 3 H W; no field that counts reaches the margin
    shifts = [(dy, dx) for dy in range(down) for dx in range(right)]
    found = np.zeros((layer.shape[0], down * len(rows), right * len(columns)))
    quick = lean(net, [layer.name])
    for first in range(0, len(shifts), CHUNK):
        some = shifts[first : first + CHUNK]
        many = torch.cat([moved[..., dy : dy + size_y, dx : dx + size_x] for dy, dx in some])  # B 3 H W
        values = project.exact(hooks.run_to(quick, many, [layer.name])[layer.name]).cpu().numpy()  # B C h w
        for (dy, dx), value in zip(some, values, strict=True):
            found[:, dy::down, dx::right] = value[:, rows.start : rows.stop, columns.start : columns.stop]
    return found


def _inside(layer: Layer, size: tuple[int, ...]) -> tuple[range, range]:
    """The positions (rows, columns) of a map whose fields lie inside the picture, however it is moved."""
    if layer.field is None or layer.start is None or layer.stride is None or len(layer.shape) != 3:
        raise NotApplicable(f"{layer.name} has no grid over the picture: its units see all of it.")
    found = []
    for field, start, step, side, count in zip(
        layer.field, layer.start, layer.stride, size, layer.shape[1:], strict=True
    ):
        first, last = max(0, -(start // step)), min(count - 1, (side - field - start - step + 1) // step)
        found.append(range(first, last + 1))
    if min(len(places) for places in found) < LEAST:
        raise NotApplicable(f"Of {layer.name}'s positions fewer than {LEAST} x {LEAST} look inside the picture only.")
    return found[0], found[1]


def energies(maps: NDArray[Any], step: Sequence[int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of answers at every pixel (C H W) the energy beyond a grid of this step, and all of it, around the mean; C each.

    Maps are faded out towards their edges (Hann), or the jump from one edge to the other would count as high frequency.
    Answers that are constant but for rounding have none.
    """
    import numpy as np

    fades, carried = [], []
    for side, s in zip(maps.shape[-2:], step, strict=True):
        fades.append(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(side) / side))
        carried.append(np.abs(np.fft.fftfreq(side)) <= 1 / (2 * s))
    fade = np.outer(*fades)  # H W
    mean = (maps * fade).sum(axis=(1, 2), keepdims=True) / fade.sum()  # C 1 1
    power = np.abs(np.fft.fft2((maps - mean) * fade)) ** 2  # C H W
    total = power.sum(axis=(1, 2))  # C
    varies = total > ROUNDING * maps[0].size * ((maps * fade) ** 2).sum(axis=(1, 2))
    return varies * (total - (power * np.outer(*carried)).sum(axis=(1, 2))), varies * total
