"""Charts as SVG for print: lines and bars with their axes, names and legend, at the width of a column."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import escape

from reportgen import palettes
from reportgen.charts import MOST_BARS, axis, number

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from reportgen.records import Panel, Scale

WIDTH, HEIGHT = 340, 210  # of a plot in the drawing's units; the type is ten of them high
LEFT, RIGHT, TOP, BOTTOM = 44, 8, 8, 34
TYPE, LINE, BAR = 10, 13, 14
INK, FAINT, GRID = palettes.INK, "#6b6b6b", "#e4e4e4"
MARKS = {"o": "M-2.4 0a2.4 2.4 0 1 0 4.8 0a2.4 2.4 0 1 0-4.8 0z", "s": "M-2.1-2.1h4.2v4.2h-4.2z",
         "^": "M0-2.7l2.5 4.6h-5z", "D": "M0-2.9l2.9 2.9-2.9 2.9-2.9-2.9z", "v": "M0 2.7l2.5-4.6h-5z",
         "P": "M-1-2.6h2v1.6h1.6v2h-1.6v1.6h-2v-1.6h-1.6v-2h1.6z"}  # fmt: skip


@dataclass(frozen=True)
class Stroke:
    """One line of a plot."""

    name: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    color: str
    dash: int  # the place of its dashes
    marker: str


def strokes_of(panel: Panel, color: str | None, marker: str = "", net: str = "") -> list[Stroke]:
    """The lines of a panel: of one net in its colour; of a panel alone in colours of their own where they are many."""
    values = np.atleast_2d(np.asarray(panel.values, dtype=np.float64))
    x = np.arange(values.shape[1], dtype=np.float64) if panel.x is None else np.asarray(panel.x, dtype=np.float64)
    found = []
    for place, y in enumerate(values):
        own = panel.row_labels[place].replace("_", " ") if place < len(panel.row_labels) else ""
        name = ", ".join(word for word in (net, own if len(values) > 1 or not net else "") if word)
        hue = color if color and (net or len(values) <= 3) else palettes.model_color(place)
        found.append(Stroke(name, x, y, hue, place, marker))
    return found


def lines(strokes: Sequence[Stroke], panel: Panel, scale: Scale) -> str:
    """A plot of lines over a common axis as an SVG document."""
    values = np.concatenate([stroke.y for stroke in strokes])
    fixed = scale.rule == "fixed" and scale.min is not None and scale.max is not None and scale.max > scale.min
    low, high = (scale.min, scale.max) if fixed else axis(values[np.isfinite(values)], scale)
    first, last = min(float(s.x.min()) for s in strokes), max(float(s.x.max()) for s in strokes)
    last = last if last > first else first + 1.0
    wide, tall = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def at(x: float, y: float) -> tuple[float, float]:
        share = (y - float(low or 0)) / (float(high or 0) - float(low or 0))
        return LEFT + (x - first) / (last - first) * wide, TOP + (1 - share) * tall

    parts = []
    for tick in ticks(float(low or 0), float(high or 0)):
        y = at(first, tick)[1]
        parts.append(f'<path d="M{LEFT} {y:.1f}h{wide}" stroke="{GRID}" stroke-width=".6"/>')
        parts.append(_text(LEFT - 4, y + 3.4, number(tick), "end"))
    for tick in ticks(first, last):
        parts.append(_text(at(tick, 0)[0], TOP + tall + 12, number(tick), "middle"))
    parts.append(f'<path d="M{LEFT} {TOP + tall}h{wide}" stroke="{FAINT}" stroke-width=".6"/>')
    for place, stroke in enumerate(strokes):
        parts.extend(_stroke(stroke, at, place, len(strokes)))
    if panel.columns:
        parts.append(_text(LEFT + wide / 2, TOP + tall + 26, panel.columns[0], "middle"))
    height = HEIGHT
    if len(strokes) > 1:
        for place, stroke in enumerate(strokes):
            y = HEIGHT + 4 + place * LINE
            style = _style(stroke)
            parts.append(f'<path d="M{LEFT} {y}h22" fill="none" {style}/>{_mark(stroke, LEFT + 11, y)}')
            parts.append(_text(LEFT + 28, y + 3.4, stroke.name, "start"))
        height += len(strokes) * LINE + 4
    if panel.unit:
        parts.append(_text(0, 0, panel.unit, "middle", f' transform="translate(9 {TOP + tall / 2}) rotate(-90)"'))
    return _document(parts, WIDTH, height, panel)


def bars(panel: Panel, scale: Scale, color: str | None) -> str:
    """Named bars, the largest first, each with its number, as an SVG document."""
    values = np.asarray(panel.values, dtype=np.float64).ravel()
    order = np.argsort(-values, kind="stable")[:MOST_BARS]
    low, high = axis(values, scale)
    left, right = 120.0, WIDTH - 42.0
    parts = []
    for line, i in enumerate(order):
        name = panel.row_labels[i].replace("_", " ") if i < len(panel.row_labels) else str(i)
        start, end = (left + (right - left) * (v - low) / (high - low) for v in sorted((0.0, float(values[i]))))
        y = 4 + line * (BAR + 5)
        parts.append(f'<path d="M{left} {y}H{right}v{BAR}H{left}z" fill="#eeeeee"/>')
        parts.append(f'<path d="M{start:.1f} {y}H{end:.1f}v{BAR}H{start:.1f}z" fill="{color or FAINT}"/>')
        parts.append(_text(left - 5, y + BAR - 3.6, _cut(name, 22), "end"))
        parts.append(_text(WIDTH - 2, y + BAR - 3.6, number(float(values[i])), "end"))
    return _document(parts, WIDTH, 8 + len(order) * (BAR + 5), panel)


def ticks(low: float, high: float) -> list[float]:
    """Four to six round numbers between two limits."""
    span = high - low
    if not span > 0 or not math.isfinite(span):
        return [low]
    power = 10.0 ** math.floor(math.log10(span / 4))
    step = next(power * n for n in (1, 2, 2.5, 5, 10) if span / (power * n) <= 5.5)
    first = math.ceil(low / step - 1e-9)
    return [round((first + n) * step, 12) for n in range(int((high - first * step) / step + 1e-9) + 1)]


def _stroke(stroke: Stroke, at: Callable[[float, float], tuple[float, float]], place: int, of: int) -> Iterator[str]:
    points = [at(float(x), float(y)) for x, y in zip(stroke.x, stroke.y, strict=True) if math.isfinite(y)]
    if not points:
        return
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    yield f'<path d="M{path}" fill="none" {_style(stroke)}/>'
    step = 1 if len(points) <= 12 else max(1, len(points) // 6)
    for x, y in points[0 if step == 1 else place * step // max(1, of) :: step]:
        yield _mark(stroke, x, y)


def _style(stroke: Stroke) -> str:
    dashes = ("", "5 3", "6 2 1.5 2", "1.5 2", "6 1.5 1.5 1.5 1.5 1.5", "9 4")[stroke.dash % 6]
    return f'stroke="{stroke.color}" stroke-width="1.5"' + (f' stroke-dasharray="{dashes}"' if dashes else "")


def _mark(stroke: Stroke, x: float, y: float) -> str:
    if stroke.marker not in MARKS:
        return ""
    return f'<path d="{MARKS[stroke.marker]}" transform="translate({x:.1f} {y:.1f})" fill="{stroke.color}"/>'


def _text(x: float, y: float, words: str, anchor: str, more: str = "") -> str:
    place = "" if more else f' x="{x:.1f}" y="{y:.1f}"'
    return f'<text{place} text-anchor="{anchor}" fill="{INK}"{more}>{escape(words)}</text>'


def _cut(name: str, room: int) -> str:
    return name if len(name) <= room else f"{name[: room - 1].rstrip()}…"


def _document(parts: Sequence[str], width: float, height: float, panel: Panel) -> str:
    """A whole file: 85 mm wide, one column of most journals."""
    size = f'width="85mm" height="{85 * height / width:.1f}mm" viewBox="0 0 {width} {height}"'
    words = f"<title>{escape(panel.title)}</title><desc>{escape(panel.alt)}</desc>"
    fonts = "font-family=\"'Source Sans 3','Source Sans Pro',Helvetica,Arial,sans-serif\""
    paper = f'<path d="M0 0h{width}v{height}H0z" fill="#ffffff"/>'
    body = "".join(parts)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {fonts} font-size="{TYPE}">{words}{paper}{body}</svg>\n'
