"""Scenes become pixels: nine samples per pixel say which piece is on top; picture, masks and points come from them.

One small image of piece numbers is all that is drawn. Colours, part masks, relief and shadow are looked up in it, so
that they agree to the sample, and a picture takes milliseconds. Colours are kept as planes (3 H W) until the end: NumPy
is several times quicker on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from reportgen.examples import Example, Mask
from reportgen.rendered import backgrounds
from reportgen.rendered.scenes import OTHER, Scene

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Bytes = NDArray[np.uint8]
else:
    Floats = Bytes = Any

FINE = 3  # samples along a pixel's side; odd, so that one lies in its middle
SAMPLES = FINE * FINE
TABLE = 256  # numbers that a sample can hold: the background and 255 pieces


@dataclass(frozen=True, eq=False)
class Drawn:
    """A scene's outlines at some size, without any light."""

    numbers: Image.Image  # 3H x 3W: the piece on top at each sample, from 1; 0 for the background
    samples: Bytes  # 3H 3W: the same as an array
    top: Bytes  # H W: the piece in the middle of the pixel, or the topmost where the middle is bare


def render(scene: Scene, size: int) -> Example:
    """The picture of a scene with its mask, part masks, part points and box."""
    drawn = draw(scene, size)
    mask, parts = masks(scene, drawn)
    return Example(develop(scene, lit(scene, drawn)), mask, parts, _points(scene, parts, size), _box(mask))


def draw(scene: Scene, size: int) -> Drawn:
    """The outlines of all pieces, laid on each other."""
    side = size * FINE
    numbers = Image.new("L", (side, side))
    pen = ImageDraw.Draw(numbers)
    corners = (scene.corners * np.float32(side) - np.float32(0.5)).ravel().tolist()
    for number, (start, end) in enumerate(zip(scene.starts, scene.starts[1:], strict=False), 1):
        pen.polygon(corners[2 * start : 2 * end], fill=number)
    samples = np.asarray(numbers)
    middle = samples[1::FINE, 1::FINE]
    rows = np.maximum(np.maximum(samples[0::FINE], samples[1::FINE]), samples[2::FINE])  # H 3W
    top = np.maximum(np.maximum(rows[:, 0::FINE], rows[:, 1::FINE]), rows[:, 2::FINE])  # H W
    return Drawn(numbers, samples, np.where(middle > 0, middle, top))


# ---------------------------------------------------------------------------------------------------- truth


def counts(scene: Scene, samples: Bytes) -> Bytes:
    """How many of each pixel's nine samples each part has, 8 H W; the last is for all that is no part."""
    table = np.zeros(TABLE, dtype="<u8")
    table[1 : len(scene.part) + 1] = [1 << (8 * part) for part in scene.part]  # eight counters in one word
    sums = _summed(table[samples])  # H W
    found: Bytes = sums.view(np.uint8).reshape(*sums.shape, 8).transpose(2, 0, 1)
    return np.ascontiguousarray(found)  # 8 H W


def _summed(values: Any) -> Any:
    """The sum of each pixel's nine samples, 3H x 3W -> H x W."""
    rows = values[0::FINE] + values[1::FINE] + values[2::FINE]  # H 3W
    return rows[:, 0::FINE] + rows[:, 1::FINE] + rows[:, 2::FINE]


def masks(scene: Scene, drawn: Drawn) -> tuple[Mask, dict[str, Mask]]:
    """Where over half of a pixel is the object's; and there, for each part, where it has more samples than others.

    The parts' masks do not overlap and together are the object's; of parts with equally many the first has the pixel.
    """
    size = len(drawn.top)
    x0, y0, x1, y1 = (int(edge) for edge in (np.array(scene.extent) * size).clip(0, size - 1))
    region = (slice(y0, y1 + 1), slice(x0, x1 + 1))
    here = counts(scene, drawn.samples[FINE * y0 : FINE * (y1 + 1), FINE * x0 : FINE * (x1 + 1)])[:OTHER]
    left = 2 * here.sum(axis=0, dtype=np.uint8) > SAMPLES
    most = here.max(axis=0)
    mask = np.zeros((size, size), dtype=np.bool_)
    mask[region] = left
    parts = {}
    for part, own in zip(scene.parts, here, strict=False):
        parts[part] = np.zeros((size, size), dtype=np.bool_)
        parts[part][region] = left & (own == most)
        left = left & (own != most)
    return mask, parts


def _points(scene: Scene, parts: dict[str, Mask], size: int) -> dict[str, tuple[float, float]]:
    """The points whose pixel shows their part; whole numbers are centres of pixels."""
    found = {}
    for name, (part, x, y) in scene.points.items():
        column, row = int(np.floor(x * size)), int(np.floor(y * size))
        if 0 <= column < size and 0 <= row < size and parts[part][row, column]:
            found[name] = (x * size - 0.5, y * size - 0.5)
    return found


def _box(mask: Mask) -> tuple[int, int, int, int] | None:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


# ---------------------------------------------------------------------------------------------------- light


def flat(scene: Scene, drawn: Drawn) -> Floats:
    """The pieces' colours without light, 3 H W; the background is black, and edges are mixed by the samples."""
    colours = np.zeros((TABLE, 3), dtype=np.uint8)
    colours[1 : len(scene.rgb) + 1] = (scene.rgb * scene.warmth).clip(0, 1) * 255 + 0.5
    painted = drawn.numbers.copy()
    painted.putpalette(colours.tobytes())
    seen = np.asarray(painted.convert("RGB").reduce(FINE))  # H W 3
    planes: Floats = np.ascontiguousarray(seen.transpose(2, 0, 1)) * np.float32(1 / 255)
    return planes


def lit(scene: Scene, drawn: Drawn) -> Floats:
    """The scene in its light, 3 H W, as bright as it comes."""
    rng = np.random.default_rng(scene.seed)
    behind = backgrounds.paint(rng, len(drawn.top), scene.background, scene.warmth)
    share = _summed((drawn.samples != 0).view(np.uint8)) * np.float32(1 / SAMPLES)  # H W: covered by pieces
    behind *= (1 - _shadow(scene, share)) * (1 - share)
    brightness = _brightness(scene, drawn, rng)
    brightness += _relief(scene, drawn)
    brightness *= flat(scene, drawn)
    return brightness + behind


def _brightness(scene: Scene, drawn: Drawn, rng: np.random.Generator) -> Floats:
    """The pieces' gradients and patterns as factors on their colours, 3 H W."""
    size = len(drawn.top)
    covered = np.flatnonzero(drawn.top)  # M
    down, right = np.divmod(covered, size)
    x, y = (right + 0.5).astype(np.float32) / np.float32(size), (down + 0.5).astype(np.float32) / np.float32(size)
    length = size * 2 * np.pi / np.maximum(np.hypot(scene.waves[:, 0], scene.waves[:, 1]), 1e-6)  # N: pixels
    fade = ((length - 2) / 2).clip(0, 1).astype(np.float32)  # stripes finer than the pixels would make false ones
    tints = scene.tint * fade[:, None]
    table = np.column_stack([scene.shade, scene.waves, tints, scene.dots, scene.grain]).T  # 15 N
    found = np.ascontiguousarray(table).take(drawn.top.ravel()[covered] - 1, axis=1)  # 15 M
    bend, slope, drop, base, ax, ay, a0, bx, by, b0, *tint, dots, grain = found
    ramp = (bend * (x * x + y * y) + slope * x + drop * y + base).clip(0.35, 1.6)
    ramp += grain * np.float32(2.4) * backgrounds.cut(rng, "noise", size, (0.25, 0.6)).ravel()[covered]
    wave = (np.sin(ax * x + ay * y + a0) * np.float32(2.5)).clip(-1, 1)
    wave *= np.sin(bx * x + by * y + b0) * dots + (1 - dots)
    brightness = np.ones((3, size * size), dtype=np.float32)
    for plane, one in zip(brightness, tint, strict=True):
        plane[covered] = ramp + wave * one
    return brightness.reshape(3, size, size)


def _relief(scene: Scene, drawn: Drawn) -> Floats:
    """Edges towards the light bright, those away from it dark, H x W, as on cut paper."""
    size = len(drawn.top)
    heights = np.zeros(TABLE, dtype=np.uint8)
    heights[1 : len(scene.heights) + 1] = scene.heights
    soft = Image.fromarray(heights[drawn.top]).filter(ImageFilter.BoxBlur(0.012 * size))
    height = np.asarray(soft).astype(np.float32)
    slope = np.zeros_like(height)
    strength = 0.0022 * 0.012 * size  # the difference over 2.4 hundredths of the side
    slope[:, 1:-1] = (height[:, :-2] - height[:, 2:]) * np.float32(scene.light[0] * strength)
    slope[1:-1] += (height[:-2] - height[2:]) * np.float32(scene.light[1] * strength)
    return slope


def _shadow(scene: Scene, share: Floats) -> Floats:
    """How much of the light the pieces keep from the background, H x W: a soft shadow away from the light."""
    size = len(share)
    right, down = round(-scene.light[0] * 0.022 * size), round(-scene.light[1] * 0.022 * size)
    moved = np.zeros_like(share)
    moved[max(down, 0) : size + min(down, 0), max(right, 0) : size + min(right, 0)] = share[
        max(-down, 0) : size + min(-down, 0), max(-right, 0) : size + min(-right, 0)
    ]
    grey = Image.fromarray((moved * np.float32(255)).astype(np.uint8))
    soft = grey.reduce(2).filter(ImageFilter.BoxBlur(0.016 * size)).resize((size, size), Image.Resampling.BILINEAR)
    kept: Floats = np.asarray(soft) * np.float32(scene.shadow / 255)
    return kept


def develop(scene: Scene, planes: Floats) -> Floats:
    """The photo of what is lit (3 H W): gamma, blur, noise; H W 3, 0..1 in steps of 1/255 as files have them."""
    size = planes.shape[1]
    planes = planes.clip(0, 1) ** np.float32(scene.gamma)
    if scene.blur * size > 0.15:
        photo = Image.fromarray(_bytes(planes).transpose(1, 2, 0))
        blurred = np.asarray(photo.filter(ImageFilter.BoxBlur(scene.blur * size)))  # H W 3
        planes = blurred.transpose(2, 0, 1).astype(np.float32) * np.float32(1 / 255)
    rng = np.random.default_rng(scene.seed + 1)
    grain = (rng.random((size, size), dtype=np.float32) - np.float32(0.5)) * np.float32(scene.noise * 12**0.5)
    steps = np.ascontiguousarray(_bytes((planes + grain).clip(0, 1)).transpose(1, 2, 0))
    picture: Floats = steps / np.float32(255)
    return picture


def _bytes(values: Floats) -> Bytes:
    rounded: Bytes = (values * np.float32(255) + np.float32(0.5)).astype(np.uint8)
    return rounded
