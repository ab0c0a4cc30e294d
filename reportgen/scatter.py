"""Points on a plane as pixels, coloured by class: for maps whose axes have no unit.

A class has its colour and its shape by its place among the names, so that both are the same in all nets of a row, and
its number stands in the middle of its points; the legend below has the names. Drawn by Pillow: a marker is drawn once,
four times too large, and stamped where its points lie, so that edges are smooth at any size.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from reportgen import palettes, tiles, wording
from reportgen.charts import DESIGN_WIDTH, FAINT, INK, TYPE, fitted, font_file
from reportgen.embedding import MOST_NAMES, color, shuffled
from reportgen.errors import RenderError
from reportgen.palettes import Colors
from reportgen.records import Panel

if TYPE_CHECKING:
    from PIL import ImageDraw, ImageFont
    from PIL.Image import Image

LINE, GAP, SWATCH = 25, 6, 39  # pixels at the width that charts are designed for; SWATCH holds a marker and a number
SMALLEST, LARGEST = 0.0055, 0.014  # radius of a marker over the width of the map
CROWD = 0.2  # radius of a marker times the square root of the number of points
LARGER = 4  # times, to draw a marker with smooth edges
NUMBER = 15  # height of a class's number at the width that charts are designed for
EDGE = 0.45  # share of ink in a marker's edge: light colours need one on white paper
ROUND = ()
SQUARE = ((-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85))
DIAMOND = ((0.0, -1.2), (1.2, 0.0), (0.0, 1.2), (-1.2, 0.0))
UP = ((0.0, -1.1), (1.1, 0.8), (-1.1, 0.8))
DOWN = tuple((x, -y) for x, y in UP)
_ARM, _END = 0.42, 1.15
PLUS = tuple(
    (x * end, y * side)
    for x, y, end, side in (
        *((-1, -1, _ARM, _END), (1, -1, _ARM, _END), (1, -1, _ARM, _ARM), (1, -1, _END, _ARM)),
        *((1, 1, _END, _ARM), (1, 1, _ARM, _ARM), (1, 1, _ARM, _END), (-1, 1, _ARM, _END)),
        *((-1, 1, _ARM, _ARM), (-1, 1, _END, _ARM), (-1, -1, _END, _ARM), (-1, -1, _ARM, _ARM)),
    )
)
CROSS = tuple(((x - y) * 0.72, (x + y) * 0.72) for x, y in PLUS)
SHAPES: tuple[tuple[tuple[float, float], ...], ...] = (ROUND, SQUARE, UP, DIAMOND, DOWN, PLUS, CROSS)


def draw(panel: Panel, width: int) -> Colors:
    """The points of a map, N x 2 with y upwards, each in the colour and shape of its group; the legend below."""
    from PIL import Image, ImageDraw, ImageFont

    points, groups = _checked(panel)
    unit = width / DESIGN_WIDTH
    font = ImageFont.truetype(str(font_file()), max(1, round(TYPE * unit)))
    entries = _entries(panel, groups)
    columns = _columns(entries, font, width, unit)
    lines = -(-len(entries) // columns)
    sheet = Image.new("RGB", (width, width + round((GAP + lines * LINE) * unit) * bool(entries)), palettes.PAPER)
    pixels = _on_paper(points, width, unit)
    radius = width * float(np.clip(CROWD / np.sqrt(len(points)), SMALLEST, LARGEST))
    _stamp(sheet, pixels, groups, radius)
    _numbers(ImageDraw.Draw(sheet), pixels, groups, unit)
    for place, entry in enumerate(entries):
        left, middle = place // lines * width / columns, width + (GAP + (place % lines + 0.5) * LINE) * unit
        _entry(sheet, left, middle, entry, width / columns - (SWATCH + GAP) * unit, unit, font)
    return np.asarray(sheet)


def aspect(panel: Panel) -> float:
    """Height over width of the drawing."""
    from PIL import ImageFont

    _, groups = _checked(panel)
    if not (entries := _entries(panel, groups)):
        return 1.0
    columns = _columns(entries, ImageFont.truetype(str(font_file()), TYPE), DESIGN_WIDTH, 1)
    return 1 + (GAP + -(-len(entries) // columns) * LINE) / DESIGN_WIDTH


def _checked(panel: Panel) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The points and their groups. Raises RenderError where they do not fit each other."""
    points = tiles.checked(panel, 2).astype(np.float64)
    groups = np.full(len(points), -1) if panel.groups is None else np.asarray(panel.groups)
    if points.shape[1] != 2 or groups.shape != points.shape[:1] or not np.isfinite(points).all():
        raise RenderError(
            f"The panel {panel.name!r} (scatter) has values of shape {points.shape} and groups of shape "
            f"{groups.shape}; wanted: N x 2, finite, and N groups."
        )
    if groups.max() >= len(panel.categories) and groups.max() >= 0:
        raise RenderError(
            f"The panel {panel.name!r} (scatter) has points of group {groups.max()}, but {len(panel.categories)} names."
        )
    return points, groups.astype(np.int64)


def _entries(panel: Panel, groups: NDArray[np.int64]) -> list[tuple[int, str]]:
    """The legend's lines: group and words. All names count, also those without a point: nets of a row are alike."""
    named = [(group, wording.short(name)) for group, name in enumerate(panel.categories[:MOST_NAMES])]
    if left := len(panel.categories) - len(named):
        named.append((MOST_NAMES, f"{left:,} more"))
    if panel.categories and (groups < 0).any():
        named.append((-1, "class unknown"))
    return named


def _entry(
    sheet: Image, left: float, middle: float, entry: tuple[int, str], room: float, unit: float, font: Any
) -> None:
    """One line of the legend: the class's number as it stands on the map, its marker, its name."""
    from PIL import ImageDraw

    group, name = entry
    pen = ImageDraw.Draw(sheet)
    known = 0 <= group < MOST_NAMES
    if known:
        _number(pen, (left + 0.7 * NUMBER * unit, middle), group, unit)
    _mark(sheet, (left + 1.95 * NUMBER * unit, middle), group, 0.3 * NUMBER * unit)
    pen.text((left + SWATCH * unit, middle), fitted(name, font, room), INK if known else FAINT, font, anchor="lm")


def _columns(entries: Sequence[tuple[int, str]], font: ImageFont.FreeTypeFont, width: int, unit: float) -> int:
    """As many columns as the names have room for, at most four."""
    widest = max((font.getlength(name) for _, name in entries), default=0.0) + (SWATCH + GAP) * unit
    return int(np.clip(width // widest, 1, min(4, max(1, len(entries)))))


def _on_paper(points: NDArray[np.float64], width: int, unit: float) -> NDArray[np.float64]:
    """Where the points lie in a square of this width, in pixels; both axes have one scale."""
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 0.8 * NUMBER * unit
    span = float((high - low).max()) or 1.0
    pixels: NDArray[np.float64] = (points - (low + high) / 2) / span * (width - 2 * margin) * [1, -1] + width / 2
    return pixels


def _stamp(sheet: Image, pixels: NDArray[np.float64], groups: NDArray[np.int64], radius: float) -> None:
    """Every point's marker, in an order that lets no class lie over the others; grey ones below."""
    order = shuffled(np.arange(len(pixels)))
    known = (groups[order] >= 0) & (groups[order] < MOST_NAMES)
    for i in np.concatenate([order[~known], order[known]]):
        _mark(sheet, pixels[i], int(groups[i]), radius)


def _mark(sheet: Image, middle: Any, group: int, radius: float) -> None:
    stamp = _marker(group if 0 <= group < MOST_NAMES else -1, round(radius, 3))
    x, y = (round(float(part) - stamp.width / 2) for part in middle)
    sheet.paste(stamp, (x, y), stamp)


@lru_cache(maxsize=256)
def _marker(group: int, radius: float) -> Image:
    """The marker of a group with smooth edges, see-through around it."""
    from PIL import Image, ImageDraw

    half = int(np.ceil(1.4 * radius)) + 1
    side, reach = 2 * half * LARGER, radius * LARGER
    fill = np.array(palettes.rgb(color(group)))
    ink = EDGE * np.array(palettes.rgb(INK)) + (1 - EDGE) * fill
    corners = SHAPES[group % len(SHAPES)] if group >= 0 else ROUND
    layers = []
    for share in (1.0, 1.0 - 0.9 / max(radius, 3.0)):  # the edge is about a pixel wide
        mask = Image.new("L", (side, side))
        pen = ImageDraw.Draw(mask)
        size = reach * share * (0.7 if group < 0 else 1.0)
        if corners:
            pen.polygon([(side / 2 + x * size, side / 2 + y * size) for x, y in corners], fill=255)
        else:
            pen.ellipse([side / 2 - size, side / 2 - size, side / 2 + size, side / 2 + size], fill=255)
        layers.append(np.asarray(mask.resize((2 * half, 2 * half), Image.Resampling.BOX), dtype=np.float64) / 255)
    whole, inner = layers
    mixed = ink + (fill - ink) * inner[:, :, None]  # h w 3
    stamp = np.concatenate([mixed, whole[:, :, None]], axis=2)
    return Image.fromarray(np.round(stamp * 255).astype(np.uint8), "RGBA")


def _numbers(pen: ImageDraw.ImageDraw, pixels: NDArray[np.float64], groups: NDArray[np.int64], unit: float) -> None:
    """Every class's number in the middle of its points, or beside it where numbers would meet."""
    shown = [int(group) for group in np.unique(groups) if 0 <= group < MOST_NAMES]
    places = np.array([_middle(pixels[groups == group]) for group in shown]).reshape(-1, 2)
    for group, (x, y) in zip(shown, _apart(places, NUMBER * unit), strict=True):
        _number(pen, (float(x), float(y)), group, unit)


def _number(pen: ImageDraw.ImageDraw, middle: tuple[float, float], group: int, unit: float) -> None:
    from PIL import ImageFont

    font = ImageFont.truetype(str(font_file("Bold")), max(1, round(NUMBER * unit)))
    ink = palettes.text_color(color(group), contrast=9)
    halo = max(1, round(1.6 * unit))
    pen.text(middle, str(group + 1), ink, font, anchor="mm", stroke_width=halo, stroke_fill=palettes.PAPER)


def _middle(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The point whose half of all others lies in the smallest circle: in the larger part of a class that is split."""
    if len(points) < 3:
        first: NDArray[np.float64] = points[0]
        return first
    squares = ((points[:, None] - points[None]) ** 2).sum(axis=2)  # N N
    found: NDArray[np.float64] = points[np.median(squares, axis=1).argmin()]
    return found


def _apart(places: NDArray[np.float64], distance: float) -> NDArray[np.float64]:
    """The places, moved as little as needed so that no two are nearer than this."""
    found: NDArray[np.float64] = places + np.arange(len(places))[:, None] * 1e-3  # equal ones must be able to part
    for _ in range(100):
        away = found[:, None] - found[None]  # n n 2
        length = np.sqrt((away**2).sum(axis=2))
        close = (length < distance) & ~np.eye(len(found), dtype=bool)
        if not close.any():
            break
        step = np.where(close, (distance - length) / np.maximum(length, 1e-9) / 2, 0.0)
        found += 0.6 * (step[:, :, None] * away).sum(axis=1)
    return found
