"""Panels as pixels, one drawer per kind, and the limits that the panels of a row of nets share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from reportgen import palettes
from reportgen.errors import RenderError
from reportgen.palettes import Colors
from reportgen.records import Panel, Picture, Scale

if TYPE_CHECKING:
    from reportgen.curves import Series

WIDTH = 448  # of pictures on the site: twice the width of a column on a wide screen
SHEET_WIDTH = 896  # of sheets of tiles, which people open in full
JOINT_WIDTH = 1120  # of plots that all nets share, as wide as a page


def draw(
    panel: Panel,
    *,
    photo: Picture | None,
    scale: Scale,
    width: int,
    color: str | None = None,
    names: Mapping[str, str] | None = None,
) -> Colors:
    """The panel as pixels, H x W x 3 bytes, at least `width` wide (maps are enlarged by whole numbers).

    `photo` is the picture as the net saw it; `color` the model's, for charts; `names` the colours that categories
    have in the whole row, by default those that they would have alone. Raises RenderError for a panel that is no
    picture, or whose values do not fit its kind.
    """
    from reportgen import categories, charts, curves, scatter, tiles

    if panel.kind == "image":
        return tiles.image(panel, photo, width)
    if panel.kind == "heatmap" and panel.categories:
        colors = categories.colors_of_row([panel]) if names is None else names
        drawn = categories.heatmap(panel, photo, colors, width)
        return categories.with_legend(drawn, categories.legend(panel, colors))
    if panel.kind == "heatmap":
        return tiles.heatmap(panel, photo, scale, width)
    if panel.kind == "grid":
        return tiles.grid(panel, photo, scale, width)
    if panel.kind == "bars":
        return charts.bars(panel, scale, width, color)
    if panel.kind == "curves":
        return curves.single(panel, scale, width, color)
    if panel.kind == "scatter":
        return scatter.draw(panel, width)
    raise RenderError(f"The panel {panel.name!r} cannot be drawn as a picture: its kind is {panel.kind!r}.")


def scales(panels: Sequence[Panel]) -> list[Scale]:
    """The limits of each panel of a row of nets: one pair for all whose rule is "shared", else their own."""
    ranges = [(0.0, 0.0) if panel.categories or panel.kind == "scatter" else value_range(panel) for panel in panels]
    shared = [found for panel, found in zip(panels, ranges, strict=True) if panel.scale == "shared"]
    low, high = min((r[0] for r in shared), default=0.0), max((r[1] for r in shared), default=0.0)
    found = []
    for panel, own in zip(panels, ranges, strict=True):
        if panel.categories or panel.kind == "scatter":  # names have no scale, nor have maps without a unit
            found.append(Scale("none", None, None))
        elif panel.scale == "shared":
            found.append(Scale("shared", low, high))
        elif panel.scale == "own":
            found.append(Scale("own", *own))
        elif panel.scale == "fixed" and panel.limits is not None:
            found.append(Scale("fixed", float(panel.limits[0]), float(panel.limits[1])))
        elif panel.scale == "fixed":
            raise RenderError(f"The panel {panel.name!r} has a fixed scale and no limits.")
        else:
            found.append(Scale(panel.scale, None, None))
    return found


def joint_scale(panels: Sequence[Panel]) -> Scale:
    """The one scale of a plot that all nets share: its fixed limits, else the least and the most of all its lines."""
    if panels[0].scale in {"fixed", "none"}:
        return scales(panels)[0]
    return scales([replace(panel, scale="shared") for panel in panels])[0]


def value_range(panel: Panel) -> tuple[float, float]:
    """A panel's own limits: zero to its 99th percentile, around zero where it is signed; charts whole."""
    import numpy as np

    from reportgen import tiles

    if panel.values is None:
        return (0.0, 0.0)
    values = np.asarray(panel.values)
    if panel.kind in {"bars", "curves"}:  # a bar that ends outside its axis would lie
        values = values if panel.band is None else np.concatenate([values.ravel(), np.ravel(panel.band)])
        finite = values[np.isfinite(values)]
        return (min(0.0, float(finite.min())), max(0.0, float(finite.max()))) if finite.size else (0.0, 0.0)
    top = tiles.limit(values)
    return (-top, top) if panel.signed else (0.0, top)


def joint_series(
    panels: Sequence[Panel], models: Sequence[str], names: Mapping[str, str], colors: Mapping[str, str]
) -> list[Series]:
    """The panels of a joint plot as its lines: under each net's name, in its colour, with its marker."""
    from reportgen.curves import Series

    if wrong := [panel for panel in panels if panel.kind != "curves"]:
        raise RenderError(f"The panel {wrong[0].name!r} cannot be joint: its kind is {wrong[0].kind!r}, not 'curves'.")
    places = list(colors)
    return [
        Series(panel, names[model], colors[model], palettes.marker(places.index(model)))
        for panel, model in zip(panels, models, strict=True)
    ]
