"""Lines over a common axis as pixels: those of one net, or of all nets of a row in one plot.

In a joint plot colour and marker are the net's, the dash is the line's, so that every line can be told apart without
its colour. Legends stand outside the axes: nets above, lines below.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reportgen import palettes
from reportgen.charts import DESIGN_WIDTH, FAINT, INK, axis, font_file
from reportgen.errors import RenderError
from reportgen.palettes import Colors
from reportgen.records import Panel, Scale

DPI = 100
ASPECT, JOINT_ASPECT, TALL = 0.66, 0.48, 0.62  # height over width; a poster has less width
TYPE = 14 / DESIGN_WIDTH  # height of the type over the width of the plot
JOINT_TYPE = 1 / 56  # 17 pixels where the plot is as wide as a page
FEW_POINTS = 12  # so many have a marker each; of more only some
MOST_NAMES = 6  # in the legend of one net's lines
SAME_HUE = 3  # so many lines of a net are told by their dashes alone
GRID = "#e4e4e4"
BAND = 0.18  # how opaque the shade around a line is


@dataclass(frozen=True)
class Series:
    """The lines of one net in a joint plot."""

    panel: Panel
    name: str  # what the net is called
    color: str
    marker: str


@dataclass(frozen=True)
class _Stroke:
    x: NDArray[Any]
    y: NDArray[Any]
    style: dict[str, Any]
    band: NDArray[Any] | None = None  # 2 x points: lowest and highest


@dataclass(frozen=True)
class _Key:
    """One entry of a legend."""

    label: str
    style: dict[str, Any]


def single(panel: Panel, scale: Scale, width: int, color: str | None = None) -> Colors:
    """The lines of one net: few in its own colour, told apart by dashes, many in colours of their own."""
    lines, x = _lines(panel)
    strokes, keys = [], []
    for index, line in enumerate(lines):
        hue = color if color and len(lines) <= SAME_HUE else palettes.model_color(index)
        style = _style(hue, palettes.dash(index), "", len(line), index, len(lines))
        strokes.append(_Stroke(x, line, style, _band(panel, index)))
        if index < len(panel.row_labels):
            keys.append(_Key(_words(panel.row_labels[index]), style))
    if len(keys) > MOST_NAMES:
        more = f"{len(keys) - MOST_NAMES + 1} more"
        keys = [*keys[: MOST_NAMES - 1], _Key(more, {"color": "none"})]
    named = keys if len(lines) > 1 else []
    return _draw(strokes, panel, _limits([panel], scale), width, ASPECT, TYPE * width, named, [])


def joint(
    series: Sequence[Series], scale: Scale, width: int, type_share: float = JOINT_TYPE, aspect: float = JOINT_ASPECT
) -> Colors:
    """The lines of all nets of a row in one plot; `type_share` is the height of its type over its width."""
    panels = [one.panel for one in series]
    names = list(dict.fromkeys(label for panel in panels for label in panel.row_labels))
    several = max(len(_lines(panel)[0]) for panel in panels) > 1
    strokes, nets = [], []
    for place, one in enumerate(series):
        lines, x = _lines(one.panel)
        labels = one.panel.row_labels
        for index, line in enumerate(lines):
            which = names.index(labels[index]) if several and index < len(labels) else index
            style = _style(one.color, palettes.dash(which), one.marker, len(line), place, len(series))
            strokes.append(_Stroke(x, line, style, _band(one.panel, index)))
        # where every net has one line, about something else in each, its name goes with the net's
        own = f": {_words(labels[0])}" if labels and not several and len(names) > 1 else ""
        nets.append(_Key(f"{one.name}{own}", {"color": one.color, "marker": one.marker, "linestyle": "-"}))
    dashes = [_Key(_words(name), {"color": INK, "linestyle": palettes.dash(i)}) for i, name in enumerate(names)]
    limits = _limits(panels, scale)
    shown = dashes if several else []
    return _draw(strokes, panels[0], limits, width, aspect, type_share * width, nets, shown)


def _draw(
    strokes: Sequence[_Stroke],
    panel: Panel,
    limits: tuple[float, float],
    width: int,
    aspect: float,
    pixels: float,
    above: Sequence[_Key],
    below: Sequence[_Key],
) -> Colors:
    """The plot, with the words of its axes from the panel."""
    from matplotlib import font_manager, ticker
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Sheet

    size = pixels * 72 / DPI  # points
    font = font_manager.FontProperties(fname=str(font_file()), size=size)
    sheet = Sheet(figsize=(width / DPI, round(width * aspect) / DPI), dpi=DPI, layout="constrained")
    canvas = FigureCanvasAgg(sheet)
    axes = sheet.add_subplot()
    for stroke in strokes:
        if stroke.band is not None:
            axes.fill_between(stroke.x, *stroke.band, color=stroke.style["color"], alpha=BAND, linewidth=0)
        axes.plot(stroke.x, stroke.y, linewidth=size / 6, markersize=size / 2, **stroke.style)
    low, high = limits
    axes.set_ylim(low - 0.03 * (high - low), high + 0.04 * (high - low))
    axes.margins(x=0.02)
    across, up = _wrapped(panel.columns[0] if panel.columns else "", 0.85 * width, pixels), panel.unit
    axes.set_xlabel(across, fontproperties=font, color=INK)
    axes.set_ylabel(_wrapped(up, 0.6 * width * aspect, pixels), fontproperties=font, color=INK)
    whole = all(np.array_equal(stroke.x, np.round(stroke.x)) for stroke in strokes)
    axes.xaxis.set_major_locator(ticker.MaxNLocator("auto", steps=[1, 2, 5, 10], integer=whole))
    axes.set_axisbelow(True)
    axes.grid(color=GRID, linewidth=size / 14)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    axes.tick_params(length=0, pad=size / 3, labelcolor=INK)
    for side in (axes.xaxis, axes.yaxis):
        side.get_offset_text().set_fontproperties(font)
    for tick in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        tick.set_fontproperties(font)
    for keys, place in ((above, "outside upper left"), (below, "outside lower left")):
        if keys:
            _legend(sheet, keys, place, font, width, pixels)
    canvas.draw()  # type: ignore[no-untyped-call]
    drawn: Colors = np.array(canvas.buffer_rgba())[:, :, :3]  # type: ignore[no-untyped-call]
    return drawn


def _legend(sheet: Any, keys: Sequence[_Key], place: str, font: Any, width: int, pixels: float) -> None:
    """Entries side by side, as many as the width holds, in reading order."""
    from matplotlib.lines import Line2D

    ruler = _ruler(pixels)
    widest = max(ruler.getlength(key.label) for key in keys) + 4.5 * pixels  # with the line before it
    columns = int(max(1, min(len(keys), width * 0.98 // widest)))
    ordered = [key for column in range(columns) for key in keys[column::columns]]  # legends are filled column by column
    size = font.get_size_in_points()
    lines = [
        Line2D([], [], linewidth=size / 6, markersize=size / 2, label=key.label, **_unspaced(key.style))
        for key in ordered
    ]
    sheet.legend(
        handles=lines,
        loc=place,
        ncols=columns,
        prop=font,
        frameon=False,
        handlelength=2.6,
        columnspacing=1.4,
        borderaxespad=0.2,
        borderpad=0.1,
        labelcolor=INK,
    )


def _wrapped(text: str, room: float, pixels: float) -> str:
    """The words of an axis on as many lines as they need."""
    lines, ruler = [""], _ruler(pixels)
    for word in text.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if lines[-1] and ruler.getlength(longer) > room:
            lines.append(word)
        else:
            lines[-1] = longer
    return "\n".join(lines)


def _ruler(pixels: float) -> Any:
    from PIL import ImageFont

    return ImageFont.truetype(str(font_file()), max(1, round(pixels)))


def _style(color: str, dash: Any, marker: str, points: int, place: int, lines: int) -> dict[str, Any]:
    """How a line is drawn; its markers are sparse, and those of other lines stand elsewhere."""
    step = 1 if points <= FEW_POINTS else max(1, points // 6)
    start = 0 if step == 1 else place * step // max(1, lines)
    return {"color": color, "linestyle": dash, "marker": marker, "markevery": (start, step)}


def _unspaced(style: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in style.items() if name != "markevery"}


def _lines(panel: Panel) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """The panel's lines and where their points lie."""
    values = np.atleast_2d(np.asarray(panel.values, dtype=float))
    x = np.arange(values.shape[-1]) if panel.x is None else np.asarray(panel.x)
    if panel.values is None or values.ndim != 2 or x.shape != values.shape[1:]:
        raise RenderError(
            f"The panel {panel.name!r} (curves) has values of shape {values.shape} over {x.size} points; wanted: "
            "lines x points, and as many points in x."
        )
    return values, x


def _band(panel: Panel, index: int) -> NDArray[Any] | None:
    return None if panel.band is None else np.asarray(panel.band, dtype=float)[index]


def _limits(panels: Sequence[Panel], scale: Scale) -> tuple[float, float]:
    """Where the vertical axis begins and ends: fixed limits as they are, else zero and all points within."""
    if scale.rule == "fixed" and scale.min is not None and scale.max is not None and scale.max > scale.min:
        return scale.min, scale.max
    bands = [np.ravel(panel.band) for panel in panels if panel.band is not None]
    return axis(np.concatenate([*(_lines(panel)[0].ravel() for panel in panels), *bands]), scale)


def _words(label: str) -> str:
    return label.replace("_", " ")
