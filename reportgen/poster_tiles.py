"""The tiles of the poster: what stands in one cell, and the words and numbers that go with it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from reportgen import palettes
from reportgen.records import Method, Panel, Scale

if TYPE_CHECKING:
    from reportgen.curves import Series

MOST_BARS = 3  # of a cell: as high as the photo beside it
MOST_KEYS = 4  # of the names on a map


@dataclass(frozen=True, eq=False)
class Drawing:
    """A picture to be drawn at the size that its place turns out to have."""

    panel: Panel | None  # None: the photo itself
    scale: Scale
    image: str | None
    model: str
    color: str
    box: tuple[int, int, int, int] | None = None  # of the photo, in pixels of the net's input
    names: Mapping[str, str] | None = None  # the colours of categories
    series: tuple[Series, ...] = ()  # of a plot that all nets share, in place of a panel


@dataclass(frozen=True, eq=False)
class Tile:
    """One cell of a row: a picture with a line under it, or a few words or bars."""

    drawing: Drawing | None = None
    aspect: float = 1.0  # height over width
    label: str = ""  # under the picture
    alt: str = ""
    note: str = ""  # why there is no picture
    bars: tuple[tuple[str, float, str], ...] = ()  # name, share of the width, number
    color: str = palettes.MODEL_COLORS[0]
    keys: tuple[tuple[str, str], ...] = ()  # under the label: colour and name


@dataclass(frozen=True, eq=False)
class Line:
    """Tiles beside each other."""

    tiles: tuple[Tile, ...]
    name: str = ""  # above them, in the net's colour
    note: str = ""
    color: str = palettes.INK


@dataclass(frozen=True, eq=False)
class Group:
    """Lines that are shown together or not at all, because they are compared."""

    lines: tuple[Line, ...]
    photo: Tile | None = None  # of the large figure: what its lines look at


@dataclass(frozen=True)
class Head:
    """The name over a column."""

    text: str
    color: str | None = None  # a net's
    badge: str = ""


@dataclass(frozen=True, eq=False)
class Tiles:
    """A section with pictures."""

    name: str  # id of the section
    title: str
    html: Markup
    caption: str
    heads: tuple[Head, ...]
    groups: tuple[Group, ...]
    across: int
    legend: str = ""  # the colour map that it uses
    message: str = ""  # of the large figure: the one sentence to take home


def caption(method: Method, panels: Sequence[Panel], scale: Scale) -> str:
    """What one sees, how to read it, and how far numbers compare: what is true of all panels of a block.

    A panel's own caption tells of its net and picture; only the sentences that all panels share stay.
    """
    panel = panels[0]
    rules = {
        "shared": f"One scale for all nets of a row{scale_limits(panel, scale)}.",
        "own": ("" if "percentile" in panel.caption else "Each picture by its own 99th percentile. ")
        + "The limits are printed below.",
        "tile": "Each tile by its own 99th percentile.",
        "fixed": f"Fixed scale{scale_limits(panel, scale)}.",
        "none": "",
    }
    common = [part for part in _sentences(panel.caption) if all(part in _sentences(p.caption) for p in panels)]
    sentences = [*common] or [method.caption.rstrip(".") + "."]  # the method has said it under Methods
    if panel.joint or panel.categories:
        rules = dict.fromkeys(rules, "")  # the axis is there to be seen; names have no scale
    told = "scale" in " ".join(common) or (panel.kind == "bars" and bool(common))  # bars have their axis in words
    if not told or panel.scale in {"shared", "own"}:
        sentences.append(rules[panel.scale])
    return " ".join(dict.fromkeys(filter(None, sentences)))


def bars(panel: Panel, scale: Scale) -> tuple[tuple[str, float, str], ...]:
    """The largest values: name, share of the axis, number."""
    import numpy as np

    from reportgen.charts import axis, number

    values = np.asarray(panel.values, dtype=float).ravel()
    low, high = axis(values, scale)
    order = np.argsort(-values, kind="stable")[:MOST_BARS]
    whole = [panel.row_labels[i] if i < len(panel.row_labels) else str(i) for i in order]
    first = [name.split(",")[0] for name in whole]  # of several names for the same thing
    names = first if len(set(first)) == len(first) else whole
    return tuple(
        (
            name.replace("_", " "),
            float(np.clip((values[i] - low) / (high - low), 0, 1)),
            f"{values[i]:.0%}" if panel.unit == "probability" else number(float(values[i])),
        )
        for name, i in zip(names, order, strict=True)
    )


def aspect(panel: Panel) -> float:
    """Height over width of the panel's picture."""
    import numpy as np

    shape = np.asarray(panel.values).shape
    if panel.kind == "curves":
        from reportgen.curves import ASPECT

        return ASPECT
    if panel.kind == "scatter":
        from reportgen import scatter

        return scatter.aspect(panel)
    if panel.kind == "grid":
        rows, columns, height, width = shape[0], shape[1], shape[-2], shape[-1]
        return float(rows * height) / float((columns + (panel.boxes is not None)) * width)
    aspect = float(shape[0]) / float(shape[1])
    return aspect / 2 if panel.photo == "beside" else aspect


def legend(panel: Panel) -> str:
    """The name of the colour map that a key is wanted for; "" for pictures that need none."""
    if panel.categories:
        return ""
    if panel.kind != "heatmap" and not (panel.kind == "grid" and panel.values is not None and panel.values.ndim == 4):
        return ""
    return palettes.SIGNED if panel.signed else palettes.ONE_SIDED


def scale_limits(panel: Panel, scale: Scale) -> str:
    """The limits of a scale, to be set behind a sentence: ": 0 to 1 probability"."""
    from reportgen.charts import number

    if scale.min is None or scale.max is None:
        return ""
    unit = f" {panel.unit}" if panel.unit else ""
    if panel.signed and scale.min == -scale.max:
        return f": ± {number(scale.max)}{unit}"
    return f": {number(scale.min)} to {number(scale.max)}{unit}"


def _sentences(text: str) -> list[str]:
    return [part.strip() for part in re.split(r"(?<=[.!?])\s+", text.strip()) if part.strip()]


def short(reason: str) -> str:
    """The first clause of a reason: there is little room in a tile."""
    for mark in (": ", ". ", " ("):
        reason = reason.split(mark, maxsplit=1)[0]
    return reason.rstrip(".") or "nothing to show"


def spaced(layer: Any) -> str:
    """ "stage 3" for "stage3"."""
    text = str(layer)
    return f"stage {text[5:]}" if text.startswith("stage") and text[5:].isdigit() else text.replace("_", " ")
