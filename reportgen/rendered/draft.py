"""A draft: the pieces of one object in the order they are laid on each other, its parts and its points."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from reportgen.rendered.colours import Paint, Scheme
from reportgen.rendered.shapes import Outline

T = TypeVar("T")


@dataclass(frozen=True)
class Look:
    """A pattern on a piece."""

    stripes: float = 0.0  # contrast of stripes, or of dots
    dots: bool = False
    grain: float = 0.0  # contrast of cloudy noise
    pitch: float = 0.1  # from stripe to stripe, in units of the object
    angle: float = 0.0  # radians: the direction across the stripes
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)  # how strongly red, green and blue follow the pattern


PLAIN = Look()
GRAINY = Look(grain=0.14)
ACROSS = math.pi / 2  # angle of stripes that lie


def look(rng: np.random.Generator, strength: float = 1.0) -> Look:
    """A random pattern: plain, grain, stripes or dots."""
    kind = rng.random()
    if kind < 0.3:
        return Look(grain=0.1 * strength)
    r, g, b = rng.uniform(0.2, 1.3, 3).tolist()
    return Look(
        stripes=strength * rng.uniform(0.1, 0.26),
        dots=kind > 0.72,
        grain=0.06,
        pitch=rng.uniform(0.09, 0.2),
        angle=rng.uniform(0, math.pi),
        tint=(r, g, b),
    )


@dataclass(frozen=True)
class Piece:
    """One polygon of one colour."""

    outline: Outline
    part: str  # the part of the object that it belongs to; "" for what is no part of it
    paint: Paint
    height: int  # 1..4: how far it stands out; edges between heights catch the light
    look: Look = PLAIN
    bulge: float = 0.5  # how strongly its brightness falls off away from the light; negative for a hollow
    ball: bool = False  # whether it falls off on all sides, as a ball does


@dataclass
class Draft:
    """An object while it is being put together."""

    rng: np.random.Generator
    scheme: Scheme
    pieces: list[Piece] = field(default_factory=list)
    points: dict[str, tuple[str, float, float]] = field(default_factory=dict)  # name -> part, x, y

    def add(
        self,
        part: str,
        outline: Outline,
        paint: Paint,
        height: int = 1,
        look: Look = PLAIN,
        bulge: float = 0.5,
        ball: bool = False,
    ) -> None:
        """Lay a piece on those before."""
        self.pieces.append(Piece(outline, part, paint, height, look, bulge, ball))

    def mark(self, name: str, x: float, y: float, part: str | None = None) -> None:
        """Name the place of a part; with `part`, the name is a qualifier and the part: left_eye of eye."""
        self.points[name] = (part or name, x, y)

    def uniform(self, low: float, high: float) -> float:
        """A random number."""
        return float(self.rng.uniform(low, high))

    def chance(self, share: float) -> bool:
        """True in so many of all cases."""
        return bool(self.rng.random() < share)

    def pick(self, *choices: T) -> T:
        """One of these."""
        return choices[int(self.rng.integers(len(choices)))]
