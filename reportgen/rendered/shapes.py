"""Outlines as polygons, P x 2 arrays of (x, y); x to the right, y down, an object lies in about -1..1.

Everything that is drawn is such a polygon: curves of 12 to 40 corners look round at every size that is rendered.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Outline = NDArray[np.float64]
else:
    Outline = Any


@lru_cache(maxsize=64)
def circle(corners: int) -> Outline:
    """The unit circle; shared, so never to be changed in place."""
    angles = np.arange(corners) * (2 * math.pi / corners)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)  # P 2


def moved(outline: Outline, x: float, y: float) -> Outline:
    """An outline moved to the right and down."""
    shifted: Outline = np.add(outline, (x, y))
    return shifted


def ellipse(x: float, y: float, rx: float, ry: float, angle: float = 0.0, corners: int = 28) -> Outline:
    """An ellipse around (x, y), turned clockwise by an angle in radians."""
    return moved(turned(circle(corners) * (rx, ry), angle), x, y)


def disc(x: float, y: float, radius: float, corners: int = 16) -> Outline:
    """A small disc."""
    return moved(circle(corners) * radius, x, y)


def turned(outline: Outline, angle: float) -> Outline:
    """An outline turned around the origin, clockwise as one sees it."""
    if angle == 0:
        return outline
    c, s = math.cos(angle), math.sin(angle)
    around: Outline = outline @ np.array([[c, s], [-s, c]])
    return around


def polygon(*numbers: float) -> Outline:
    """The polygon with these corners: x, y, x, y, ..."""
    return np.array(numbers, dtype=np.float64).reshape(-1, 2)


def box(x0: float, y0: float, x1: float, y1: float) -> Outline:
    """A rectangle."""
    return polygon(x0, y0, x1, y0, x1, y1, x0, y1)


def smooth(outline: Outline, rounds: int = 2, first: float = 0.25) -> Outline:
    """A closed curve near a polygon, within its hull: its corners are cut, and cut again (Chaikin).

    `first` is the share of each side that the first round cuts off; smaller, and the corners are sharper.
    """
    for n in range(rounds):
        share = 0.25 if n else first
        following = np.concatenate([outline[1:], outline[:1]])
        cut = np.empty((2 * len(outline), 2))
        cut[0::2] = (1 - share) * outline + share * following
        cut[1::2] = share * outline + (1 - share) * following
        outline = cut  # 2P 2
    return outline


def curve(*numbers: float, rounds: int = 2) -> Outline:
    """The closed curve near the polygon x, y, x, y, ..."""
    return smooth(polygon(*numbers), rounds)


def rounded(x0: float, y0: float, x1: float, y1: float, radius: float) -> Outline:
    """A rectangle with round corners."""
    ring = circle(16) * radius
    w, h = (x1 - x0) / 2 - radius, (y1 - y0) / 2 - radius
    upper = [moved(ring[8:13], -w, -h), moved(ring[[12, 13, 14, 15, 0]], w, -h)]
    quarters = [moved(ring[:5], w, h), moved(ring[4:9], -w, h), *upper]
    return moved(np.concatenate(quarters), (x0 + x1) / 2, (y0 + y1) / 2)  # 20 2


def bar(x0: float, y0: float, x1: float, y1: float, start: float, end: float) -> Outline:
    """A straight limb with round ends, of half width `start` at its one end and `end` at the other."""
    angle = math.atan2(y1 - y0, x1 - x0)
    ring = turned(circle(12), angle + math.pi / 2)
    return np.concatenate([ring[:7] * start + (x0, y0), ring[[6, 7, 8, 9, 10, 11, 0]] * end + (x1, y1)])  # 14 2


def bow(points: Sequence[tuple[float, float]], start: float, end: float, steps: int = 9) -> Outline:
    """A bent limb along a quadratic curve through its first and last of three points, half width start to end."""
    a, b, c = (np.array(point) for point in points)
    t = np.linspace(0, 1, steps)[:, None]  # S 1
    along = (1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c  # S 2
    slope = 2 * (1 - t) * (b - a) + 2 * t * (c - b)
    across = slope[:, ::-1] * (-1, 1) / np.maximum(np.hypot(slope[:, :1], slope[:, 1:]), 1e-9)
    half = start + (end - start) * t
    return np.concatenate([along + across * half, (along - across * half)[::-1]])  # 2S 2


@lru_cache(maxsize=8)
def _blade(power: float) -> Outline:
    t = np.linspace(0, 1, 9)
    wide = np.sin(math.pi * t**power)
    return np.concatenate([np.stack([t, wide], 1), np.stack([t, -wide], 1)[-2:0:-1]])  # 16 2


def leaf(x: float, y: float, length: float, half: float, angle: float, power: float = 0.8) -> Outline:
    """A leaf or petal from its foot at (x, y); power under 1 is widest near the foot, above 1 near the tip."""
    return moved(turned(_blade(power) * (length, half), angle), x, y)


def star(x: float, y: float, outer: float, inner: float, tips: int, angle: float = 0.0) -> Outline:
    """A star."""
    radii = np.where(np.arange(2 * tips) % 2 == 0, outer, inner)[:, None]
    return moved(turned(circle(2 * tips) * radii, angle), x, y)


def blob(
    rng: np.random.Generator, x: float, y: float, rx: float, ry: float, rough: float, corners: int = 32
) -> Outline:
    """A pebble: an ellipse whose radius swings by a few random waves."""
    angles = np.arange(corners) * (2 * math.pi / corners)
    waves = np.array([2.0, 3.0, 5.0])
    strength = rng.uniform(-rough, rough, 3) / (1, 1, 2)
    swing = 1 + np.sin(angles[:, None] * waves + rng.uniform(0, 6.3, 3)) @ strength  # P
    return moved(circle(corners) * swing[:, None] * (rx, ry), x, y)


def lumps(rng: np.random.Generator, x: float, y: float, rx: float, ry: float, count: int, depth: float) -> Outline:
    """A cloud or the crown of a tree: an ellipse with round lumps around it."""
    angles = np.arange(6 * count) * (2 * math.pi / (6 * count))
    swing = 1 - depth * (1 - np.abs(np.sin(angles * count / 2 + rng.uniform(0, 3))))
    swing *= 1 + 0.06 * np.sin(angles * 2 + rng.uniform(0, 6))
    return moved(circle(6 * count) * swing[:, None] * (rx, ry), x, y)
