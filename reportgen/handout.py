"""The handout: the poster's figures and texts on sheets of A4, to be read at a desk."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reportgen.poster import chosen, make_content, unknown
from reportgen.poster_draw import draw_all
from reportgen.poster_files import lay_out, lay_out_attached, lay_out_logos
from reportgen.poster_sheet import Content
from reportgen.poster_tiles import Tile, Tiles
from reportgen.poster_values import block_values, group_values
from reportgen.poster_words import ending, pieces_of
from reportgen.preflight import Expected, preflight
from reportgen.templating import environment
from reportgen.typesetter import Typesetter

if TYPE_CHECKING:
    from reportgen.pages import Block
    from reportgen.report import Report
    from reportgen.spec_models import HandoutOutput

WIDTH, HEIGHT = 210.0, 297.0  # mm
INNER = 174.0  # mm between the margins
UNIT = 10 / 28  # of the poster's body of 28 points to 10
GAP, SPACE = 1.5, 4.0  # mm between tiles, and beside the photo of the large figure
DEPTHS = 0.78  # of the width that the large figure's depths take
QR, LOGO = 24.0, 14.0  # mm
HALF, WHOLE = 110.0, 160.0  # mm of pictures above each other in a block of few rows, and of many
LEAST_TILE, LEAST_PHOTO = 22.0, 15.0  # the latter beside bars, which are no higher
MUCH = 900  # letters of a text that is set in two columns
LABEL = 7.5  # points
SMALLEST_TYPE = 6.0


def make_handout(report: Report, blocks: Sequence[Block], options: HandoutOutput, folder: Path) -> list[str]:
    """What the preflight found on the handout, which is written to handout.pdf in the folder. Raises RenderError."""
    poster = report.spec.outputs.poster
    asked = options.sections or (poster.sections if poster is not None else ())
    with tempfile.TemporaryDirectory(prefix="reportgen-handout-") as scratch:
        build = Path(scratch)
        logos = lay_out_logos(report, options.logos, build)
        content = make_content(report, chosen(blocks, asked), logos)
        lay_out(report, options, content.words.address, build)
        attached = lay_out_attached(folder, build)
        files = draw_all(report, _sized(content), LABEL / 72 * 25.4, build)
        pdf = folder / "handout.pdf"
        with Typesetter(build) as setter:
            said = setter.typeset(_page(content, files), pdf, attached=attached, date=report.spec.date)
    return [*unknown(blocks, asked), *preflight(pdf, _expected(content, [one.name for one in attached]), said)]


def _page(content: Content, files: Mapping[int, str]) -> str:
    words = content.words
    return (
        environment("poster")
        .get_template("handout.html")
        .render(
            language="en",
            words=words,
            shown=words.address.split("://")[-1].rstrip("/"),
            logos=[(logo, LOGO / logo.aspect) for logo in content.logos],
            inner=INNER,
            unit=UNIT,
            gap=GAP,
            qr=QR,
            much=MUCH,
            featured=_featured(content.featured, files) if content.featured else None,
            results=[_block(block, files) for block in content.results],
        )
    )


def _block(block: Tiles, files: Mapping[int, str]) -> dict[str, Any]:
    groups = [group_values(group, files) for group in block.groups]
    sizes = {"width": _tile(block), "picture": _picture(block)}
    return {"name": block.name, "values": block_values(block, groups), "groups": groups} | sizes


def _featured(block: Tiles, files: Mapping[int, str]) -> dict[str, Any]:
    depth, photo = _depth(block)
    return _block(block, files) | {"width": depth, "photo": photo, "space": SPACE}


def _tile(block: Tiles) -> float:
    """The width of a tile in mm: a block with few rows leaves half of the page, one with many fits on it."""
    rows = sum(len(group.lines) for group in block.groups)
    share = HALF if rows <= 4 else WHOLE
    aspect = max((tile.aspect for group in block.groups for line in group.lines for tile in line.tiles), default=1.0)
    full = (INNER - (block.across - 1) * GAP) / block.across
    return min(full, max(LEAST_TILE, share / rows / aspect))


def _picture(block: Tiles) -> float:
    """The width of a tile's picture in mm: beside bars it need not be as wide as they are."""
    rows = sum(len(group.lines) for group in block.groups)
    bars = any(tile.bars for group in block.groups for line in group.lines for tile in line.tiles)
    return min(_tile(block), max(LEAST_PHOTO, HALF / rows)) if bars else _tile(block)


def _depth(block: Tiles) -> tuple[float, float]:
    """The widths of the large figure's depths and of its photo."""
    depth = (DEPTHS * INNER - SPACE - (block.across - 1) * GAP) / block.across
    return depth, INNER - SPACE - block.across * (depth + GAP) + GAP


def _sized(content: Content) -> Iterator[tuple[Tile, float]]:
    """Every tile with a picture, and its width in mm."""
    for block in (*([content.featured] if content.featured else []), *content.results):
        depth, photo = _depth(block)
        width = depth if block is content.featured else _picture(block)
        for group in block.groups:
            if block is content.featured and group.photo:
                yield group.photo, photo
            yield from ((tile, width) for line in group.lines for tile in line.tiles if tile.drawing)


def _expected(content: Content, attached: Sequence[str]) -> Expected:
    words = content.words
    endings = {text.name: ending(str(text.html)) for text in pieces_of(words)}
    for block in (*content.results, *([content.featured] if content.featured else [])):
        endings[block.name] = "".join(block.caption.split())[-24:]
    return Expected(
        width=WIDTH,
        height=HEIGHT,
        sheets=None,
        endings=endings,
        attached=tuple(attached),
        smallest_type=SMALLEST_TYPE,
    )
