"""What a page that WeasyPrint has laid out is like: where its boxes lie, its type, contrasts, letters, pictures."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

MM = 25.4 / 96  # CSS pixels are 1/96 inch


def facts(document: Any, folder: Path) -> dict[str, Any]:
    """What a preflight wants to know; lengths in mm. The fonts of the page lie in the folder's folder `fonts`."""
    sheet = document.pages[0]
    texts = [found for page in document.pages for found in _texts(page._page_box, (1.0, 1.0, 1.0))]
    pictures = [box for page in document.pages for box in _below(page._page_box) if _is_picture(box)]
    return {
        "sheets": len(document.pages),
        "size": [sheet.width * MM, sheet.height * MM],
        "boxes": {name: [v * MM for v in _rectangle(box)] for name, box in named(sheet)},
        "ink": {name: [v * MM for v in _ink(box)] for name, box in named(sheet)},
        "smallest_type": min(((size, text) for text, size, _ in texts), default=[math.inf, ""]),
        "contrast": min(((contrast, text) for text, _, contrast in texts), default=[math.inf, ""]),
        "missing": _missing({letter for text, _, _ in texts for letter in text}, folder),
        "no_alt": [box.element.get("src", "") for box in pictures if not (box.element.get("alt") or "").strip()],
    }


def too_wide(box: Any) -> bool:
    """Whether a word sticks out of an element of class "fitted"."""
    return "fitted" in box.element.get("class", "").split() and _ink(box)[2] > box.border_width() + 1


def named(sheet: Any) -> Iterator[tuple[str, Any]]:
    """Every box of an element with an id, which it has for a name."""
    for box in _below(sheet._page_box):  # the only way to where things lie
        if box.element is not None and (name := box.element.get("id")) and hasattr(box, "border_height"):
            yield name, box


def _rectangle(box: Any) -> tuple[float, float, float, float]:
    return (box.border_box_x(), box.border_box_y(), box.border_width(), box.border_height())


def _ink(box: Any) -> tuple[float, float, float, float]:
    """What the words and pictures in a box cover: more than the box, where a word is too long for its line."""
    inner = [one for one in box.descendants() if getattr(one, "text", "").strip() or _is_picture(one)]
    edges = [(x, y, x + width, y + height) for x, y, width, height in map(_rectangle, inner)]
    if not edges:
        return _rectangle(box)
    left, top = min(edge[0] for edge in edges), min(edge[1] for edge in edges)
    return (left, top, max(edge[2] for edge in edges) - left, max(edge[3] for edge in edges) - top)


def _below(box: Any) -> Iterator[Any]:
    """A box and all below it; WeasyPrint's own walk ends at boxes with a place of their own."""
    yield box
    for child in getattr(box, "children", ()):
        yield from _below(child)


def _is_picture(box: Any) -> bool:
    return box.element is not None and box.element_tag == "img" and hasattr(box, "replacement")


def _texts(box: Any, behind: Sequence[float]) -> Iterator[tuple[str, float, float]]:
    """Every piece of text below a box, its type in points, its contrast to what is behind it."""
    color = box.style["background_color"]
    if color is not None and color != "currentcolor" and color.alpha > 0:
        behind = tuple(
            color.alpha * over + (1 - color.alpha) * under for over, under in zip(_rgb(color), behind, strict=True)
        )
    if text := getattr(box, "text", "").strip():
        yield text, box.style["font_size"] * 0.75, _contrast(_rgb(box.style["color"]), behind)  # px -> pt
    for child in getattr(box, "children", ()):
        yield from _texts(child, behind)


def _rgb(color: Any) -> tuple[float, float, float]:
    red, green, blue = color.to("srgb").coordinates
    return float(red), float(green), float(blue)


def _contrast(one: Sequence[float], other: Sequence[float]) -> float:
    """Of 1 to 21, as the Web Content Accessibility Guidelines define it."""
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _luminance(color: Sequence[float]) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _missing(letters: set[str], folder: Path) -> list[str]:
    """The letters that none of the job's fonts has; what is never drawn, such as marks of direction, needs no font."""
    from fontTools.ttLib import TTFont

    known: set[int] = set()
    for file in sorted((folder / "fonts").glob("*")):
        with TTFont(file, lazy=True, fontNumber=0) as font:
            known |= set(font.getBestCmap() or {})
    hidden = {"Cf", "Cc", "Zs", "Zl", "Zp"}
    drawn = {letter for letter in letters if unicodedata.category(letter) not in hidden}
    return sorted(letter for letter in drawn if ord(letter) not in known and not 0xFE00 <= ord(letter) <= 0xFE0F)
