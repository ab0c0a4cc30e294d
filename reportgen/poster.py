"""The poster: the report's figures, redrawn for print and laid out on one sheet of PDF, with its preflight."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reportgen import categories, curves, figures, fonts, palettes, texts, tiles, typesetter
from reportgen.poster_content import make_featured, make_tiles
from reportgen.poster_layout import Sheet
from reportgen.poster_plan import plan_sheet
from reportgen.poster_sheet import Content, Plan, block_name, compose, tile_width, widths
from reportgen.poster_tiles import Drawing, Tile
from reportgen.poster_words import TABLE, ending, make_words
from reportgen.preflight import Expected, preflight
from reportgen.templating import templates_dir

if TYPE_CHECKING:
    from reportgen.pages import Block
    from reportgen.palettes import Colors
    from reportgen.records import Picture
    from reportgen.report import Report
    from reportgen.spec_models import PosterOutput

log = logging.getLogger(__name__)

DPI = 180  # of pictures at their printed size; print shops ask for 150 or more
LEAST_DPI = 150
QUALITY = 90
SMALLEST_TYPE = 18.0  # points on A0
BANDS = 4  # lines of the large figure that fill a third of the sheet


def make_poster(report: Report, blocks: Sequence[Block], options: PosterOutput, folder: Path) -> list[str]:
    """What the preflight found on the poster, which is written to poster.pdf in the folder. Raises RenderError."""
    sheet = Sheet(*options.millimetres)
    content = _content(report, _chosen(blocks, options.sections))
    with tempfile.TemporaryDirectory(prefix="reportgen-poster-") as scratch:
        build = Path(scratch)
        _lay_out_files(report, content, build)
        plan = plan_sheet(sheet, content, build)
        files = _draw_all(report, content, plan, build)
        page = compose(plan, content, files)
        said = typesetter.typeset(page, folder / "poster.pdf", build)
    return [*_findings(plan, content, said), *preflight(folder / "poster.pdf", _expected(plan, content, said))]


def _content(report: Report, blocks: Sequence[Block]) -> Content:
    deep, featured = None, None
    for block in _deep_blocks(report, blocks):  # the first that has maps at its depths
        if featured := make_featured(report, block, max(1, BANDS // len(block.models))):
            deep = block
            break
    others = [block for block in blocks if block.method and not (featured and block is deep)]
    results = {block.section: made for block in others if (made := make_tiles(report, block)) is not None}
    shown = {*results, *([featured.name] if featured else [])}
    # a section whose pictures nobody has is a text, but for the table of nets, which stands among the texts anyway
    told = [block if block.section in shown or _is_table(block) else replace(block, method=None) for block in blocks]
    return Content(make_words(report, told, texts.report_texts(report)), featured, tuple(results.values()))


def _is_table(block: Block) -> bool:
    return block.method is not None and block.method.name == TABLE


def _chosen(blocks: Sequence[Block], sections: Sequence[str]) -> list[Block]:
    """The poster's sections in the order in which the spec lists them; all where it lists none."""
    if not sections:
        return list(blocks)
    by_id = {block.section: block for block in blocks}
    return [by_id[section] for section in sections if section in by_id]


def _deep_blocks(report: Report, blocks: Sequence[Block]) -> list[Block]:
    """The sections that may give the large figure, which look at several depths: the spec's featured one first."""
    wanted = report.spec.featured.section if report.spec.featured else ""
    deep = [block for block in blocks if len({row.layer for row in block.rows if row.layer}) >= 3]
    return sorted(deep, key=lambda block: block.section != wanted)


def _lay_out_files(report: Report, content: Content, build: Path) -> None:
    """Put style sheets, fonts, colour legends and the QR code where the typesetter finds them."""
    (build / "fonts").mkdir()
    for name, data in fonts.print_fonts(report.store).items():
        (build / "fonts" / name).write_bytes(data)
    (build / "fonts.css").write_text(fonts.font_faces("fonts/", "ttf"), encoding="utf-8")
    css = (templates_dir() / "poster" / "sheet.css").read_text(encoding="utf-8")
    (build / "sheet.css").write_text(css, encoding="utf-8")
    for kind in (palettes.ONE_SIDED, palettes.SIGNED):
        strip = palettes.colormap(kind)[None].repeat(40, axis=0)
        (build / f"legend-{kind}.jpg").write_bytes(_jpeg(tiles.resize(strip, 480, 72)))
    if content.words.address:
        import segno

        segno.make(content.words.address, error="m", micro=False).save(
            str(build / "qr.svg"), border=0, xmldecl=False, svgclass=None, lineclass=None, omitsize=True, dark="#1a1a1a"
        )


def _draw_all(report: Report, content: Content, plan: Plan, build: Path) -> dict[int, str]:
    """The files of all pictures on the sheet, by the identity of their tile."""
    sized = list(_sized(content, plan))
    crisp = lru_cache(maxsize=16)(lambda image, model: _crisp(report, image, model))

    def draw(numbered: tuple[int, tuple[Tile, float]]) -> tuple[int, str]:
        number, (tile, width) = numbered
        name = f"tile-{number}.jpg"
        (build / name).write_bytes(_jpeg(_pixels(report, tile.drawing, width, plan.sheet.unit, crisp)))
        return id(tile), name

    with ThreadPoolExecutor(2) as pool:  # the encoder releases the interpreter's lock
        return dict(pool.map(draw, enumerate(sized)))


def _sized(content: Content, plan: Plan) -> Iterator[tuple[Tile, float]]:
    """Every tile with a picture that is shown, and its width in mm."""
    if content.featured:
        size = widths(plan.sheet, content.featured, plan.figure)
        for group in content.featured.groups[: size.bands]:
            if group.photo:
                yield group.photo, size.photo
            yield from ((tile, size.tile) for line in group.lines for tile in line.tiles if tile.drawing)
    places = {place.name: place for place in plan.places}
    for block in content.results:
        if (place := places.get(block_name(block))) is None:
            continue
        width = tile_width(plan.sheet, block.across)[0] * place.scale
        for group in block.groups[: place.rows]:
            yield from ((tile, width) for line in group.lines for tile in line.tiles if tile.drawing)


def _pixels(report: Report, drawing: Drawing | None, width: float, unit: float, crisp: Any) -> Colors:
    """A tile's picture for print, at this width in mm; plots have the type of labels, however small they are."""
    assert drawing is not None
    pixels = round(width / 25.4 * DPI) + 1
    if drawing.series:
        share = SMALLEST_TYPE / 72 * 25.4 * unit / width
        return curves.joint(drawing.series, drawing.scale, pixels, share, curves.TALL)
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


def _jpeg(pixels: Colors) -> bytes:
    """The picture as JPEG without metadata; colours are not halved in resolution, or edges of maps would bleed."""
    from PIL import Image

    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=QUALITY, subsampling=0, optimize=True)
    return buffer.getvalue()


def _findings(plan: Plan, content: Content, said: Mapping[str, Any]) -> list[str]:
    """What went wrong in the layout, in words."""
    found = []
    if plan.type < 1:
        found.append(
            f"The type is {28 * plan.type:.0f} points where a poster wants 28 (on A0): there is too much text. Shorten "
            "it, or name fewer sections under outputs.poster.sections."
        )
    if plan.left_out:
        titles = [block.title for block in content.results if block.name in plan.left_out]
        found.append(f"There is no room for {_listed(titles)}, left out. Name fewer sections or shorten the texts.")
    for place in plan.places:
        height = said["boxes"].get(place.name, (0, 0, 0, 0))[3]
        if height > place.height + 1.0 * plan.sheet.unit:
            over = height - place.height
            found.append(f"{place.name} is {over:.0f} mm higher than the space it was given.")
    if said["sheets"] != 1:
        found.append(f"The poster takes {said['sheets']} sheets, not one.")
    found.extend(f"The typesetter warns: {warning}." for warning in said["warnings"])
    return found


def _expected(plan: Plan, content: Content, said: Mapping[str, Any]) -> Expected:
    words = content.words
    pieces = [*words.texts, *words.foot, *([words.conclusion] if words.conclusion else [])]
    endings = {text.name: ending(str(text.html)) for text in pieces}
    shown = [block for block in content.results if block.name not in plan.left_out]
    for block in (*shown, *([content.featured] if content.featured else [])):
        endings[block.name] = "".join(block.caption.split())[-24:]
    endings["title"] = "".join(words.title.split())[-24:]
    size, text = said["smallest_type"]
    return Expected(
        width=plan.sheet.width,
        height=plan.sheet.height,
        endings=endings,
        least_dpi=LEAST_DPI,
        smallest_type=SMALLEST_TYPE * min(1.0, plan.sheet.unit),
        found_type=(size, text),
    )


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
