"""Maps of categories: a flat colour for every name, the same in all nets of a row, and a legend below the map.

The names that cover most of the row have a colour of their own; the rest is grey. Positions without a name are white.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reportgen import palettes, tiles, wording
from reportgen.charts import DESIGN_WIDTH, FAINT, INK, TYPE, fitted, font_file
from reportgen.errors import RenderError
from reportgen.palettes import Colors
from reportgen.records import Panel, Picture

MOST_NAMES = 6  # in a legend; a last entry says how many more there are
LINE, SWATCH, GAP = 27, 15, 7  # pixels at the width that charts are designed for


def colors_of_row(panels: Sequence[Panel]) -> dict[str, str]:
    """The colour of every name on the maps of one row, by the area it takes in all of them."""
    areas: dict[str, float] = {}
    for panel in panels:
        for name, share in shares(panel).items():
            areas[name] = areas.get(name, 0.0) + share
    return palettes.category_colors(areas)


def shares(panel: Panel) -> dict[str, float]:
    """The share of the map that each name covers, the largest first; names that cover nothing are left out."""
    places = _places(panel)
    count = np.bincount(places[places >= 0].ravel(), minlength=len(panel.categories))
    found: dict[str, float] = {}
    for name, number in zip(panel.categories, count, strict=True):
        if number:
            found[name] = found.get(name, 0.0) + float(number) / places.size
    return dict(sorted(found.items(), key=lambda one: (-one[1], one[0])))


def heatmap(panel: Panel, photo: Picture | None, colors: Mapping[str, str], width: int) -> Colors:
    """The map in the colours of its names, without a legend."""
    places = _places(panel)
    table = np.full((len(panel.categories) + 1, 3), 255, dtype=np.uint8)  # the last one, -1, is white
    for index, name in enumerate(panel.categories):
        table[index] = _bytes(colors.get(name, palettes.OTHERS))
    return tiles.lay(table[places], panel, photo, width)


def legend(panel: Panel, colors: Mapping[str, str], most: int = MOST_NAMES) -> list[tuple[str, str]]:
    """Colour and words of each entry: the largest names that have a colour, then how many more there are."""
    names = list(shares(panel))
    own = [name for name in names if colors.get(name, palettes.OTHERS) != palettes.OTHERS]
    shown = own[:most]
    entries = [(_swatch(panel, colors[name]), wording.short(name)) for name in shown]
    if left := len(names) - len(shown):
        grey = len(names) > len(own)
        entries.append((_swatch(panel, palettes.OTHERS) if grey else palettes.PAPER, f"{left:,} more"))
    return entries


def with_legend(pixels: Colors, entries: Sequence[tuple[str, str]]) -> Colors:
    """The picture with its legend below, in two columns where the names are short enough."""
    from PIL import Image, ImageDraw, ImageFont

    if not entries:
        return pixels
    height, width = pixels.shape[:2]
    unit = width / DESIGN_WIDTH
    font = ImageFont.truetype(str(font_file()), max(1, round(TYPE * unit)))
    indent, gap = (SWATCH + GAP) * unit, GAP * unit
    longest = max(font.getlength(text) for _, text in entries)
    columns = 2 if len(entries) > 1 and indent + longest + gap <= width / 2 else 1
    lines = -(-len(entries) // columns)
    sheet = Image.new("RGB", (width, height + round((GAP + lines * LINE) * unit)), palettes.PAPER)
    sheet.paste(Image.fromarray(pixels), (0, 0))
    pen = ImageDraw.Draw(sheet)
    for place, (color, text) in enumerate(entries):
        left = place // lines * width / 2
        middle = height + gap + (place % lines + 0.5) * LINE * unit
        top, side = round(middle - SWATCH * unit / 2), round(SWATCH * unit)
        pen.rectangle([round(left), top, round(left) + side, top + side], fill=color)
        ink = INK if color != palettes.PAPER else FAINT
        pen.text((left + indent, middle), fitted(text, font, width / columns - indent - gap), ink, font, anchor="lm")
    return np.asarray(sheet)


def _places(panel: Panel) -> NDArray[Any]:
    """The map as indices into the names, -1 where there is none."""
    values = tiles.checked(panel, 2)
    finite = np.isfinite(values)
    places = np.where(finite, values, -1).astype(np.int64)
    if (places[finite] != values[finite]).any() or places.max() >= len(panel.categories):
        raise RenderError(
            f"The panel {panel.name!r} is a map of {len(panel.categories)} categories: its values should be whole "
            f"numbers below {len(panel.categories)}; it has {np.unique(values)[-1]:g}."
        )
    return np.maximum(places, -1)


def _swatch(panel: Panel, color: str) -> str:
    """The colour as the map shows it: mixed with the photo's grey where it lies over one."""
    if panel.photo != "under":
        return color
    return "#" + bytes(tiles.mix(_bytes(color), palettes.MID_GREY)).hex()


def _bytes(color: str) -> Colors:
    return np.round(np.array(palettes.rgb(color)) * 255).astype(np.uint8)
