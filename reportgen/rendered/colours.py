"""Colours in OKLCH (lightness, chroma, hue in radians), where equal steps look equal, and schemes that go together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rgb = NDArray[np.float32]
else:
    Rgb = Any

Paint = tuple[float, float, float]  # lightness 0..1, chroma 0..0.3, hue in radians
WHITE: Paint = (0.97, 0.01, 1.5)
INK: Paint = (0.22, 0.03, 4.6)
STEEL: Paint = (0.72, 0.01, 4.2)
GLASS: Paint = (0.80, 0.05, 4.0)
STEPS = (0.45, -0.5, 2.1, -2.2, 2.8, 3.14)  # radians from the first hue to the second: neighbours to opposites
# Ottosson 2020, https://bottosson.github.io/posts/oklab: OKLab -> cube roots of cone responses -> linear sRGB
_CONES = np.array(
    [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.2914855480]]
)
_LINEAR = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


@dataclass(frozen=True)
class Scheme:
    """The colours of one object: three that go together and a dark and a pale one of the first hue."""

    main: Paint
    second: Paint
    third: Paint
    dark: Paint
    pale: Paint


def scheme(rng: np.random.Generator) -> Scheme:
    """A random scheme; no hue is likelier than another, so that a colour tells nothing of the class."""
    hue = rng.uniform(0, 2 * math.pi)
    other = hue + float(rng.choice(STEPS)) + rng.normal(0, 0.15)
    light = rng.uniform(0.48, 0.8)
    second = light + (rng.uniform(0.1, 0.2) if light < 0.62 else -rng.uniform(0.1, 0.2))
    return Scheme(
        main=(light, rng.uniform(0.08, 0.19), hue),
        second=(second, rng.uniform(0.08, 0.18), other),
        third=(rng.uniform(0.5, 0.88), rng.uniform(0.05, 0.17), other + rng.normal(0, 0.9)),
        dark=(rng.uniform(0.26, 0.38), rng.uniform(0.03, 0.08), hue + rng.normal(0, 0.3)),
        pale=(rng.uniform(0.88, 0.95), rng.uniform(0.02, 0.06), hue + rng.normal(0, 0.4)),
    )


def skin(rng: np.random.Generator) -> Paint:
    """One of the colours of people's skin, dark to pale."""
    light = rng.uniform(0.42, 0.86)
    return (light, rng.uniform(0.06, 0.09), rng.uniform(0.8, 1.15))


def wood(rng: np.random.Generator) -> Paint:
    """A brown."""
    return (rng.uniform(0.36, 0.58), rng.uniform(0.04, 0.09), rng.uniform(0.8, 1.3))


def green(rng: np.random.Generator) -> Paint:
    """A green of leaves."""
    return (rng.uniform(0.42, 0.68), rng.uniform(0.08, 0.16), rng.uniform(2.0, 2.6))


def lighter(paint: Paint, by: float) -> Paint:
    """The colour some steps of lightness up, or down where `by` is negative."""
    return (min(max(paint[0] + by, 0.08), 0.98), paint[1], paint[2])


def rgb(paints: NDArray[np.float64]) -> Rgb:
    """sRGB 0..1 of paints (N x 3); what a screen cannot show is clipped."""
    light, chroma, hue = paints.T
    lab = np.stack([light, chroma * np.cos(hue), chroma * np.sin(hue)], axis=1)  # N 3
    linear = np.clip((lab @ _CONES.T) ** 3 @ _LINEAR.T, 0, 1)
    coded: Rgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055).astype(np.float32)
    return coded
