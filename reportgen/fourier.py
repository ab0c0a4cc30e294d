"""Pictures that are easy to climb with: made of waves, in colours that vary independently, and seen a little askew.

Gradient ascent on bare pixels ends in noise that no eye can read. Three changes, which Olah, Mordvintsev and Schubert
(Feature visualization, Distill 2017) published with their code, Lucid, keep it to what can be seen:

- the variables are the waves of the picture's Fourier spectrum, each scaled by one over its frequency as in photos, so
  that a step moves all scales alike and not the finest most;
- the three colours are mixtures of what is uncorrelated in photos: mostly light and dark, then two contrasts;
- the net sees each picture shifted, turned and enlarged by chance, so that only what survives that is worth drawing.

One resampling does all three of the last, with a middle grey outside the picture.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

SPREAD = 0.01  # standard deviation of the start's real and imaginary parts
CONTRAST = 0.25  # Lucid's: the waves add up to a quarter of what they would
COLOURS = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))  # Lucid's: rows R G B, columns the parts
GREY = 0.5  # outside the picture
JITTER = 12 / 128  # the largest shift each way, as a share of the side: Lucid's 8 and 4 of 128 pixels
SCALES = (0.90, 1.10)
DEGREES = 10.0  # the largest turn each way
UPRIGHT = 5 / 26  # share of views that are not turned: Lucid lists five zeros beside its 21 angles


def start(size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """A random one-sided spectrum of a picture of this side: 3 x H x (W/2 + 1) x 2, real and imaginary parts."""
    return rng.normal(0.0, SPREAD, (3, size, size // 2 + 1, 2))


def painter(size: int, device: str | torch.device, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    """What turns spectra (N x 3 x H x W/2+1 x 2) into pictures, N x 3 x H x W between 0 and 1."""
    import torch

    scale, mix = falloff(size).to(device, dtype)[:, :, None], mixing().to(device, dtype)

    def paint(spectra: Tensor) -> Tensor:
        waves = torch.view_as_complex(spectra * scale)  # N 3 H W/2+1
        parts = CONTRAST * torch.fft.irfft2(waves, s=(size, size), norm="ortho")  # N 3 H W
        return torch.sigmoid((mix @ parts.flatten(2)).view_as(parts))

    return paint


def falloff(size: int) -> Tensor:
    """What each wave is multiplied with: one over its frequency in cycles per pixel, H x W/2+1; the mean as 1/size."""
    import torch

    rows, columns = torch.fft.fftfreq(size, dtype=torch.float64), torch.fft.rfftfreq(size, dtype=torch.float64)
    frequency = torch.hypot(rows[:, None], columns[None, :])  # H W/2+1
    return frequency.clamp(min=1 / size).reciprocal()


def mixing() -> Tensor:
    """The matrix that takes three uncorrelated parts to R, G and B: 3 x 3, its longest column of length one."""
    import torch

    matrix = torch.tensor(COLOURS, dtype=torch.float64)
    longest: Tensor = torch.linalg.vector_norm(matrix, dim=0).max()
    return matrix / longest


def askew(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """That many chance views of one picture: count x 2 x 3, which point of the picture each point of the view shows.

    The axes are x, y and a constant; the picture reaches from -1 to 1 both ways, as in torch's affine_grid.
    """
    import numpy as np

    chance = rng.random((count, 5))  # view by view, so that more views begin with the same ones
    zoom = SCALES[0] + (SCALES[1] - SCALES[0]) * chance[:, 0]
    turn = np.radians(DEGREES * (2 * chance[:, 1] - 1)) * (chance[:, 2] >= UPRIGHT)
    right, down = 2 * JITTER * (2 * chance[:, 3:] - 1).T
    c, s = np.cos(turn) / zoom, np.sin(turn) / zoom
    return np.stack([np.stack([c, -s, right], axis=1), np.stack([s, c, down], axis=1)], axis=1)  # count 2 3


def view(pictures: Tensor, matrices: Tensor) -> Tensor:
    """Each picture seen through its own matrix (N x 2 x 3), N x 3 x H x W, bilinear, grey outside."""
    import torch
    from torch.nn import functional

    grid = functional.affine_grid(matrices, list(pictures.shape), align_corners=False)  # N H W 2
    inner = (pictures - GREY).contiguous(memory_format=torch.channels_last)  # a quarter quicker than planes
    return functional.grid_sample(inner, grid, align_corners=False) + GREY
