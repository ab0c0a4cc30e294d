"""Pictures, maps and sheets of tiles as pixels: the drawers of the panel kinds image, heatmap and grid.

Maps are enlarged by whole numbers without smoothing, because a smooth enlargement invents detail; photos with
Lanczos. A drawing is at least as wide as asked for, or exactly so where nothing has to stay whole.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from reportgen import palettes
from reportgen.errors import RenderError
from reportgen.palettes import Colors
from reportgen.records import Panel, Picture, Scale

GAP = 2  # pixels between the tiles of a set
HEAT = 0.55  # share of the colours over a photo; Lanczos-grey below
GREY_WEIGHTS = np.array([0.299, 0.587, 0.114])  # Rec. 601 luma


def limit(values: NDArray[Any]) -> float:
    """The 99th percentile of the absolute values; their largest where the percentile is zero.

    A map after a ReLU is often zero nearly everywhere: its percentile would be zero and all of it one colour.
    """
    sizes = np.abs(np.asarray(values, dtype=np.float64))
    sizes = sizes[np.isfinite(sizes)]
    if sizes.size == 0:
        return 0.0
    found = float(np.percentile(sizes, 99))
    return found if found > 0 else float(sizes.max())


def image(panel: Panel, photo: Picture | None, width: int) -> Colors:
    """The panel's picture, beside the photo where the panel asks for it."""
    picture = to_bytes(checked(panel, 3))
    if panel.photo != "beside" or photo is None:
        return resize(picture, width)
    half = (width - GAP) // 2
    return beside(resize(to_bytes(photo), half), resize(picture, half))


def heatmap(panel: Panel, photo: Picture | None, scale: Scale, width: int) -> Colors:
    """The map in colours: alone, over the grey photo, or right of the photo."""
    values = checked(panel, 2)
    colors = palettes.colorize(values, *limits(values, scale, panel.signed), _table(panel))
    return lay(colors, panel, photo, width)


def lay(colors: Colors, panel: Panel, photo: Picture | None, width: int) -> Colors:
    """A map's colours, enlarged: alone, over the grey photo, or right of the photo, as the panel asks."""
    if photo is None or panel.photo == "none":
        return enlarge(colors, width)
    if panel.photo == "beside":
        drawn = enlarge(colors, (width - GAP) // 2)
        return beside(resize(to_bytes(photo), drawn.shape[1]), drawn)
    drawn = enlarge(colors, width)
    below = resize(to_bytes(photo), drawn.shape[1], drawn.shape[0]) @ GREY_WEIGHTS
    return mix(drawn, below[:, :, None])


def mix(colors: Colors, grey: NDArray[Any] | int) -> Colors:
    """Colours laid over grey."""
    mixed: Colors = np.round(colors * HEAT + grey * (1 - HEAT)).astype(np.uint8)
    return mixed


def grid(panel: Panel, photo: Picture | None, scale: Scale, width: int) -> Colors:
    """A sheet of tiles of one size; with boxes, a first column shows what each row looked at."""
    values = np.asarray(panel.values)
    if values.ndim not in {4, 5}:
        raise RenderError(f"The panel {panel.name!r} is a grid of {values.ndim} axes; it should have 4 or 5.")
    rows, columns = values.shape[:2]
    cropped = panel.boxes is not None and photo is not None
    across = columns + cropped
    side = max(1, (width - GAP * (across - 1)) // across)
    sheet = []
    for row in range(rows):
        line = [enlarge(_tile(values[row, column], panel, scale), side) for column in range(columns)]
        if cropped and panel.boxes is not None and photo is not None:
            height, breadth = line[0].shape[:2]
            line.insert(0, resize(cut(photo, panel.boxes[row]), breadth, height))
        sheet.append(line)
    return _assemble(sheet)


def limits(values: NDArray[Any], scale: Scale, signed: bool) -> tuple[float, float]:
    """The limits to draw with: the scale's, or the values' own where it has none."""
    if scale.min is not None and scale.max is not None:
        # signed values that are all zero are drawn as zero, not as the end of a scale without a length
        return (-1.0, 1.0) if signed and scale.min >= scale.max else (scale.min, scale.max)
    top = limit(values)
    return (-top, top) if signed else (0.0, top)


def cut(photo: Picture, box: NDArray[Any]) -> Colors:
    """The part of a photo inside (y0, x0, y1, x1); mid-grey where the box reaches outside."""
    y0, x0, y1, x1 = (int(edge) for edge in box)
    out = np.full((max(1, y1 - y0), max(1, x1 - x0), 3), palettes.MID_GREY, dtype=np.uint8)
    inner = photo[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)]
    if inner.size:
        top, left = max(0, -y0), max(0, -x0)
        out[top : top + inner.shape[0], left : left + inner.shape[1]] = to_bytes(inner)
    return out


def to_bytes(picture: NDArray[Any]) -> Colors:
    """0..1 as 0..255; values outside are clipped, NaN is white."""
    filled = np.where(np.isnan(picture), 1.0, picture)
    pixels: Colors = np.round(np.clip(filled, 0, 1) * 255).astype(np.uint8)
    return pixels


def resize(pixels: Colors, width: int, height: int | None = None) -> Colors:
    """The picture at exactly this width with Lanczos, its height in proportion where none is given."""
    from PIL import Image

    height = height or max(1, round(pixels.shape[0] * width / pixels.shape[1]))
    if (height, width) == pixels.shape[:2]:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))


def enlarge(pixels: Colors, width: int) -> Colors:
    """The map enlarged by the smallest whole number that makes it this wide; wide ones shrink smoothly."""
    if pixels.shape[1] > 1.5 * width:
        return resize(pixels, width)
    times = max(1, -(-width // pixels.shape[1]))
    return pixels.repeat(times, axis=0).repeat(times, axis=1)


def beside(left: Colors, right: Colors) -> Colors:
    """Two pictures with a gap between them, the left one brought to the height of the right one."""
    if left.shape[0] != right.shape[0]:
        left = resize(left, max(1, round(left.shape[1] * right.shape[0] / left.shape[0])), right.shape[0])
    return _assemble([[left, right]])


def _assemble(sheet: list[list[Colors]]) -> Colors:
    """Tiles on white with the gap between them; all tiles of a row share their height."""
    gap = GAP
    height = sum(line[0].shape[0] for line in sheet) + gap * (len(sheet) - 1)
    width = max(sum(tile.shape[1] for tile in line) + gap * (len(line) - 1) for line in sheet)
    out = np.full((height, width, 3), 255, dtype=np.uint8)
    top = 0
    for line in sheet:
        left = 0
        for tile in line:
            out[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
            left += tile.shape[1] + gap
        top += line[0].shape[0] + gap
    return out


def _tile(values: NDArray[Any], panel: Panel, scale: Scale) -> Colors:
    """One tile: h x w in colours, or 3 x h x w as a picture, zero at mid-grey where it is signed."""
    if np.isnan(values).all():
        return np.full((*values.shape[-2:], 3), 255, dtype=np.uint8)
    low, high = limits(values, scale, panel.signed)
    if values.ndim == 2:
        return palettes.colorize(values, low, high, _table(panel))
    if not panel.signed and scale.rule == "none":
        low, high = 0.0, 1.0  # plain pictures, such as gradient ascent's
    picture = values.transpose(1, 2, 0)
    span = high - low
    return to_bytes((picture - low) / span if span > 0 else np.full(picture.shape, palettes.MID_GREY / 255))


def _table(panel: Panel) -> Colors:
    return palettes.colormap(palettes.SIGNED if panel.signed else palettes.ONE_SIDED)


def checked(panel: Panel, axes: int) -> NDArray[Any]:
    """The panel's values. Raises RenderError where they do not have so many axes."""
    values = None if panel.values is None else np.asarray(panel.values)
    if values is None or values.ndim != axes or 0 in values.shape:
        shape = None if values is None else values.shape
        raise RenderError(f"The panel {panel.name!r} ({panel.kind}) has values of shape {shape}; wanted: {axes} axes.")
    return values
