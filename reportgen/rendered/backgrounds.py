"""What is behind an object: noise with the spectrum of photos, skies over ground, brick, grass and gravel, soft lights.

The photos of brick, grass and gravel ship with scikit-image, which is found and not imported. All tiles are made once
per process, from a fixed seed, and are cut, turned and coloured for each picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from reportgen import images
from reportgen.rendered.colours import Paint, Rgb, rgb

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Planes = NDArray[np.float32]
    Values = NDArray[np.float64]
else:
    Planes = Values = Any

SIDE = 512  # pixels of a tile
NOISES = {"clouds": 1.6, "noise": 1.1}  # name -> how the amplitude falls with frequency, 1/f to this power
PHOTOS = ("brick", "grass", "gravel")
LEVELS = 4  # each half as large as the one before, so that a cut is never made much smaller by filtering


@lru_cache(maxsize=1)
def tiles() -> dict[str, tuple[Image.Image, ...]]:
    """Grey pictures by name, each at four sizes; mean 1/2, nearly all of 0..1 used."""
    rng = np.random.default_rng(20140101)
    made = {name: _spectrum(rng, power) for name, power in NOISES.items()}
    for name in PHOTOS:
        made[name] = images.load_image(f"skimage:{name}")[:SIDE, :SIDE, 0].astype(np.float64)
    return {name: _levels(values) for name, values in made.items()}


def _spectrum(rng: np.random.Generator, power: float) -> Values:
    """Noise whose amplitude falls with a power of the frequency, as that of photos does."""
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)) * SIDE
    frequency[0, 0] = 1.0
    spectrum = np.fft.rfft2(rng.standard_normal((SIDE, SIDE))) / np.maximum(frequency, 2.0) ** power
    noise: Values = np.fft.irfft2(spectrum, (SIDE, SIDE))  # H W
    return noise


def _levels(values: Values) -> tuple[Image.Image, ...]:
    spread = 0.5 + (values - values.mean()) / (5.0 * values.std())
    full = Image.fromarray((np.clip(spread, 0, 1) * 255 + 0.5).astype(np.uint8))
    return (full, *(full.reduce(2**level) for level in range(1, LEVELS)))


def cut(rng: np.random.Generator, name: str, size: int, share: tuple[float, float]) -> Planes:
    """A square piece of a tile, at a random place and perhaps turned, as size x size float32 of -1/2..1/2.

    `share` is how much of the tile's side is taken, from and to.
    """
    side = rng.uniform(*share) * SIDE
    x, y = rng.uniform(0, SIDE - side, 2)
    turn = int(rng.integers(8))
    level = min(max(int(np.log2(max(side / size, 1.0))), 0), LEVELS - 1)
    scale = 0.5**level
    region = (x * scale, y * scale, (x + side) * scale, (y + side) * scale)
    piece = tiles()[name][level].resize((size, size), Image.Resampling.BILINEAR, box=region)
    values = np.asarray(piece)
    if name != "brick" and turn & 4:
        values = values.T
    values = values[:: -1 if turn & 1 else 1, :: -1 if turn & 2 else 1]
    centred: Planes = values.astype(np.float32) * np.float32(1 / 255) - np.float32(0.5)  # H W
    return centred


def palette(rng: np.random.Generator, away: float) -> list[Paint]:
    """Three muted colours that go together, of another lightness than `away`."""
    light = away + (-1 if rng.random() < 0.45 + 1.2 * (away - 0.6) else 1) * rng.uniform(0.16, 0.36)
    light = min(max(light, 0.24), 0.93)
    hue, chroma = rng.uniform(0, 6.2832), rng.uniform(0.02, 0.09)
    swing = rng.normal(0, 0.8, 2)
    step = rng.uniform(0.05, 0.16) * rng.choice((-1, 1))
    return [
        (light, chroma, hue),
        (min(max(light + step, 0.15), 0.97), chroma * rng.uniform(0.5, 1.4), hue + swing[0]),
        (min(max(light - 0.7 * step, 0.15), 0.97), chroma * rng.uniform(0.5, 1.4), hue + swing[1]),
    ]


def paint(rng: np.random.Generator, size: int, paints: Sequence[Paint], warmth: Rgb) -> Planes:
    """A background of these colours in a light of the colour `warmth`, 3 x size x size, about 0..1."""
    colours = [colour[:, None, None] for colour in rgb(np.array(paints)) * warmth]  # each 3 1 1
    kind = rng.random()
    draw = _noise if kind < 0.26 else _landscape if kind < 0.54 else _photo if kind < 0.8 else _lights
    drawn: Planes = draw(rng, size, colours)
    return drawn


def _mix(start: Planes, end: Planes, share: Planes) -> Planes:
    """Every pixel between two colours (3 1 1 or 3 H W), by its share (H W)."""
    return start + (end - start) * share  # 3 H W


def _noise(rng: np.random.Generator, size: int, colours: list[Planes]) -> Planes:
    """Clouds of noise in three colours."""
    name = ("clouds", "noise")[int(rng.integers(2))]
    wide = cut(rng, name, size, (0.3, 0.8))
    fine = cut(rng, "clouds", size, (0.3, 0.9))
    return _mix(_mix(colours[0], colours[1], 0.5 + 1.8 * wide), colours[2], 0.3 + fine)


def _photo(rng: np.random.Generator, size: int, colours: list[Planes]) -> Planes:
    """Brick, grass or gravel in two colours under a light that falls off."""
    name = PHOTOS[int(rng.integers(3))]
    texture = cut(rng, name, size, (0.3, 0.95))
    shade = cut(rng, "clouds", size, (0.2, 0.6))
    base = _mix(colours[0], colours[1], 0.5 + shade)
    drawn: Planes = base * (1 + np.float32(rng.uniform(0.5, 1.0)) * texture)
    return drawn


def _landscape(rng: np.random.Generator, size: int, colours: list[Planes]) -> Planes:
    """A sky with clouds over hills and ground."""
    down = np.linspace(0, 1, size, dtype=np.float32)[:, None]  # H 1
    horizon = rng.uniform(0.4, 0.8)
    clouds = cut(rng, "clouds", size, (0.3, 0.7))
    pale = np.minimum(colours[1] + np.float32(0.15), 1)
    sky = _mix(colours[0], pale, (down / np.float32(horizon)).clip(0, 1))  # 3 H 1
    sky = _mix(sky, np.full_like(pale, 0.97), (1.5 * clouds - 0.05).clip(0, 0.55))
    phase = np.linspace(0, rng.uniform(2, 9), size, dtype=np.float32) + np.float32(rng.uniform(0, 6.3))
    hills = np.float32(horizon) + np.float32(rng.uniform(0.02, 0.1)) * np.sin(phase)  # W
    texture = cut(rng, ("grass", "gravel", "noise")[int(rng.integers(3))], size, (0.4, 0.95))
    ground = colours[2] * (1 + np.float32(rng.uniform(0.4, 0.9)) * texture + 0.25 * (down - np.float32(horizon)))
    return _mix(sky, ground, ((down - hills) * size + 0.5).clip(0, 1))


def _lights(rng: np.random.Generator, size: int, colours: list[Planes]) -> Planes:
    """A gradient with discs of light out of focus."""
    line = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    angle = rng.uniform(0, 6.2832)
    slope = np.float32(np.cos(angle)) * line + np.float32(np.sin(angle)) * line[:, None]
    picture = _mix(colours[0], colours[1], (0.5 + slope).clip(0, 1))
    small = max(size // 2, 16)  # out of focus: half the pixels are enough
    line = np.linspace(0, 1, small, dtype=np.float32)
    light = np.zeros((small, small), np.float32)
    for _ in range(int(rng.integers(5, 10))):
        x, y = rng.uniform(0, 1, 2)
        radius, strength = rng.uniform(0.05, 0.18), rng.uniform(0.15, 0.5)
        far = np.hypot(line - np.float32(x), (line - np.float32(y))[:, None])
        light += np.float32(strength) * ((np.float32(radius) - far) * np.float32(25) + np.float32(0.5)).clip(0, 1)
    soft = Image.fromarray(light).resize((size, size), Image.Resampling.BILINEAR)
    return _mix(picture, colours[2], np.asarray(soft).clip(0, 0.9))
