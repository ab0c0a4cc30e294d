"""The picture that stands for a report where it is linked to: the featured figures under the title, 1200 x 630."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

from reportgen import fonts, palettes
from reportgen.site_front import Front
from reportgen.texts import report_texts
from reportgen.walls import Hanger

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

    from reportgen.pages import Block
    from reportgen.report import Report

WIDTH, HEIGHT = 1200, 630  # what social networks show uncut
MARGIN, GAP = 60, 24
TITLE_SIZES = (60, 52, 44, 36)  # of the title in pixels: the largest with which it fits in its lines
LINES = 2
LABEL = 26  # size of the nets' names under their pictures
QUALITY = 88


@dataclass(frozen=True)
class Shown:
    """One picture of the card, and whose it is."""

    picture: Image
    name: str
    mark: int | None  # the net's place, which is its colour


def card(report: Report, blocks: Sequence[Block], *, title: bool = True) -> tuple[bytes, str]:
    """The card as JPEG without metadata, and its description; without `title` the pictures alone."""
    from PIL import Image, ImageDraw

    found = {block.section: block for block in blocks}
    featured = Front(report, found, Hanger(report), report_texts(report)).featured()
    shown = list(_shown(report, found, featured)) if featured else []
    canvas = Image.new("RGB", (WIDTH, HEIGHT), palettes.PAPER)
    pen = ImageDraw.Draw(canvas)
    top = MARGIN
    if title and _has_letters(report.spec.title):
        top = _write_title(pen, report.spec.title, HEIGHT if not shown else 0)
    _hang(canvas, pen, shown, top)
    buffer = BytesIO()
    canvas.save(buffer, "JPEG", quality=QUALITY, subsampling=0, optimize=True)
    words = str(featured["caption"]) if featured else report.spec.title
    return buffer.getvalue(), words


def _shown(report: Report, blocks: Mapping[str, Block], featured: Mapping[str, Any]) -> Iterator[Shown]:
    from PIL import Image

    files = {file: place for block in blocks.values() for file, place in block.files.items()}
    for tile in featured["tiles"]:
        record, blob = files[tile.figure.files[0]]
        picture = Image.open(BytesIO(report.store.read(record, blob))).convert("RGB")
        yield Shown(picture, tile.column, tile.mark)


def _write_title(pen: ImageDraw, title: str, middle: int) -> int:
    """Write the title at the top, or in the middle of so many pixels; where what follows may begin."""
    for size in TITLE_SIZES:
        font = _font("serif-bold", size)
        lines = _broken(pen, title, font)
        if len(lines) <= LINES:
            break
    else:  # even the smallest is too large for it
        lines = [*lines[: LINES - 1], _shortened(pen, " ".join(lines[LINES - 1 :]), font)]
    step = round(size * 1.2)
    top = (middle - step * len(lines)) // 2 if middle else MARGIN - size // 5
    for number, line in enumerate(lines):
        pen.text((MARGIN, top + number * step), line, font=font, fill=palettes.INK)
    return top + step * len(lines) + GAP


def _broken(pen: ImageDraw, text: str, font: FreeTypeFont) -> list[str]:
    """The text in lines that fit between the margins."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and pen.textlength(longer, font=font) > WIDTH - 2 * MARGIN:
            lines.append(word)
        else:
            lines[-1] = longer
    return [_shortened(pen, line, font) for line in lines]  # one word may be wider than the card


def _shortened(pen: ImageDraw, line: str, font: FreeTypeFont) -> str:
    if pen.textlength(line, font=font) <= WIDTH - 2 * MARGIN:
        return line
    while line and pen.textlength(f"{line}…", font=font) > WIDTH - 2 * MARGIN:
        line = line[:-1]
    return f"{line.rstrip()}…"


def _hang(canvas: Image, pen: ImageDraw, shown: Sequence[Shown], top: int) -> None:
    """The pictures side by side below `top`, as large as fits, with the nets' names under them."""
    from PIL import Image

    if not shown:
        return
    labelled = any(one.mark is not None for one in shown)
    height = HEIGHT - MARGIN - top - (LABEL + GAP if labelled else 0)
    width = (WIDTH - 2 * MARGIN - GAP * (len(shown) - 1)) // len(shown)
    scale = min(min(width / one.picture.width, height / one.picture.height) for one in shown)
    sizes = [(max(1, round(one.picture.width * scale)), max(1, round(one.picture.height * scale))) for one in shown]
    left = MARGIN  # under the title, or in the middle
    if top == MARGIN:
        left = (WIDTH - sum(size[0] for size in sizes) - GAP * (len(shown) - 1)) // 2
    y = top + (height - max(size[1] for size in sizes)) // 2
    font = _font("sans-semibold", LABEL)
    for one, size in zip(shown, sizes, strict=True):
        canvas.paste(one.picture.resize(size, Image.Resampling.LANCZOS), (left, y))
        if one.mark is not None:
            color = palettes.model_color(one.mark)
            pen.rectangle((left, y + size[1] + 6, left + size[0] - 1, y + size[1] + 11), fill=color)
            if _has_letters(one.name) and pen.textlength(one.name, font=font) <= size[0]:
                pen.text((left, y + size[1] + 14), one.name, font=font, fill=palettes.INK)
        left += size[0] + GAP


def _has_letters(text: str) -> bool:
    """Whether our typefaces have every letter of a text; boxes in place of letters would be worse than nothing."""
    from fontTools.ttLib import TTFont

    with TTFont(fonts.font_file(fonts.FACES[0]), lazy=True) as font:
        known = font.getBestCmap()
    return bool(text) and all(ord(letter) in known or letter.isspace() for letter in text)


def _font(name: str, size: int) -> FreeTypeFont:
    from PIL import ImageFont

    face = next(face for face in fonts.FACES if face.name == name)
    return ImageFont.truetype(fonts.font_file(face), size, layout_engine=ImageFont.Layout.BASIC)
