"""Bars as pixels, in the report's typeface, and what all pictures with words inside share.

Bars are drawn by Pillow: rectangles and words need no plotting library. Type grows with the picture, so that it is
legible at any width.
"""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from reportgen import palettes
from reportgen.errors import RenderError
from reportgen.palettes import Colors
from reportgen.records import Panel, Scale

if TYPE_CHECKING:
    from PIL import ImageFont

DESIGN_WIDTH = 336  # the measures below are pixels at this width
LINE, BAR, GAP, TYPE = 32, 20, 8, 17
NAME_SHARE = 0.42  # of the width, at most, for the names of bars
MOST_BARS = 16  # more cannot be read; a last line says how many there are
INK, FAINT, TRACK = palettes.INK, "#6b6b6b", "#eeeeee"


def font_file(style: str = "Regular") -> Path:
    """The TrueType file of Source Sans in a style. Raises RenderError where its package is not installed."""
    spec = importlib.util.find_spec("font_source_sans_pro")
    if spec is None or spec.origin is None:
        raise RenderError("The typeface is missing. Install it with: pip install font-source-sans-pro")
    return Path(spec.origin).parent / "files" / f"SourceSansPro-{style}.ttf"


def bars(panel: Panel, scale: Scale, width: int, color: str | None = None) -> Colors:
    """Named horizontal bars, largest first, each with its number."""
    from PIL import Image, ImageDraw, ImageFont

    values = np.asarray(panel.values, dtype=float).ravel()
    order = np.argsort(-values, kind="stable")[:MOST_BARS]
    labels = [label.replace("_", " ") for label in panel.row_labels]
    named = [(labels[i] if i < len(labels) else str(i), float(values[i])) for i in order]
    left_out = len(values) - len(order)
    unit = width / DESIGN_WIDTH
    font = ImageFont.truetype(str(font_file()), max(1, round(TYPE * unit)))
    gap = GAP * unit
    left = min(width * NAME_SHARE, max((font.getlength(name) for name, _ in named), default=0.0) + gap)
    right = width - gap - max((font.getlength(number(value)) for _, value in named), default=0.0)
    low, high = axis(values, scale)
    sheet = Image.new("RGB", (width, max(1, round(LINE * unit * (len(named) + bool(left_out))))), palettes.PAPER)
    pen = ImageDraw.Draw(sheet)
    for line, (name, value) in enumerate(named):
        middle = (line + 0.5) * LINE * unit
        top, bottom = round(middle - BAR * unit / 2), round(middle + BAR * unit / 2)
        pen.rectangle([round(left), top, round(right), bottom], fill=TRACK)
        start, end = (left + (right - left) * (x - low) / (high - low) for x in sorted((0.0, value)))
        if end > start:
            pen.rectangle([round(start), top, round(end), bottom], fill=color or FAINT)
        pen.text((left - gap, middle), fitted(name, font, left - gap), INK, font, anchor="rm")
        pen.text((width, middle), number(value), INK, font, anchor="rm")
    if left_out:
        note = f"and {left_out:,} smaller ones"
        pen.text((left, (len(named) + 0.5) * LINE * unit), note, FAINT, font, anchor="lm")
    return np.asarray(sheet)


def axis(values: NDArray[np.float64], scale: Scale) -> tuple[float, float]:
    """Where a chart's axis begins and ends: the scale's limits, else zero to the largest; never a point."""
    finite = values[np.isfinite(values)]
    low = min(0.0, float(finite.min())) if finite.size else 0.0
    high = max(0.0, float(finite.max())) if finite.size else 0.0
    if scale.min is not None and scale.max is not None:
        low, high = min(0.0, scale.min), scale.max
    return (low, high) if high > low else (low, low + 1.0)


def number(value: float) -> str:
    """A number as people read it: three significant digits, an exponent only where it is needed."""
    if math.isnan(value):
        return "–"
    size = abs(value)
    if size >= 1e6 or 0 < size < 1e-4:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa}e{int(exponent)}".replace("-", "−")
    if size >= 100 or value == int(value):
        return f"{round(value):,}".replace("-", "−") if size >= 10_000 else f"{round(value)}".replace("-", "−")
    digits = 3 if size < 1 else 2 if size < 10 else 1
    if size < 0.1:
        digits = 4 if size >= 0.01 else 5
    return f"{value:.{digits}f}".replace("-", "−")


def fitted(name: str, font: ImageFont.FreeTypeFont, room: float) -> str:
    """The name, or its beginning with an ellipsis where it is too long."""
    if font.getlength(name) <= room:
        return name
    while len(name) > 1 and font.getlength(name + "…") > room:
        name = name[:-1]
    return name.rstrip() + "…"
