"""The pictures of printed pages, drawn at the size that their places turned out to have."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reportgen import categories, curves, figures, tiles
from reportgen.poster_files import jpeg
from reportgen.poster_tiles import Drawing, Tile

if TYPE_CHECKING:
    from reportgen.palettes import Colors
    from reportgen.records import Picture
    from reportgen.report import Report

DPI = 180  # of pictures at their printed size; print shops ask for 150 or more


def draw_all(report: Report, sized: Iterable[tuple[Tile, float]], label: float, build: Path) -> dict[int, str]:
    """The files of tiles, each with its width in mm, by the tile's identity; type in plots has `label` mm."""
    crisp = lru_cache(maxsize=16)(lambda image, model: _crisp(report, image, model))

    def draw(numbered: tuple[int, tuple[Tile, float]]) -> tuple[int, str]:
        number, (tile, width) = numbered
        name = f"tile-{number}.jpg"
        (build / name).write_bytes(jpeg(_pixels(report, tile.drawing, width, label, crisp)))
        return id(tile), name

    with ThreadPoolExecutor(2) as pool:  # the encoder releases the interpreter's lock
        return dict(pool.map(draw, enumerate(sized)))


def _pixels(report: Report, drawing: Drawing | None, width: float, label: float, crisp: Any) -> Colors:
    """A tile's picture for print, at this width in mm; the type in plots has `label` mm, however small they are."""
    assert drawing is not None
    pixels = round(width / 25.4 * DPI) + 1
    if drawing.series:
        return curves.joint(drawing.series, drawing.scale, pixels, label / width, curves.TALL)
    if drawing.panel is None and drawing.box is not None and drawing.image is not None:
        import numpy as np

        return tiles.resize(tiles.cut(report.photo(drawing.image, drawing.model), np.array(drawing.box)), pixels)
    photo: Picture | None = crisp(drawing.image, drawing.model) if drawing.image else None
    if drawing.panel is None:
        assert photo is not None
        return tiles.resize(tiles.to_bytes(photo), pixels)
    if drawing.panel.boxes is not None and drawing.image:
        photo = report.photo(drawing.image, drawing.model)  # boxes are in pixels of the net's input
    if drawing.names is not None:  # the poster sets their legend as text
        return categories.heatmap(drawing.panel, photo, drawing.names, pixels)
    return figures.draw(drawing.panel, photo=photo, scale=drawing.scale, width=pixels, color=drawing.color)


def _crisp(report: Report, image: str, model: str) -> Picture:
    """What the net sees of a photo, cut from the picture itself: the net's input is too coarse for print."""
    picture = report.picture(image)
    asked = report.cards[model].preprocess
    height, width = picture.shape[:2]
    side = min(height, width, max(1, round(min(height, width) * asked.size / asked.resize)))
    top, left = (height - side) // 2, (width - side) // 2
    return picture[top : top + side, left : left + side]
