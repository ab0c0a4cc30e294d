"""What a print shop would check on the finished PDF: its size, all text, fonts, resolution, type, contrast, tags."""

from __future__ import annotations

import re
import shutil
import subprocess
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_TOOLS = ("pdfinfo", "pdftotext", "pdffonts", "pdfimages", "pdfdetach")
_POINTS = 72 / 25.4
MOST_LETTERS, MOST_NAMES = 40, 8  # of those that no font has, to be listed, and to be named in words
Rectangle = tuple[float, float, float, float]  # x, y, width, height in mm


@dataclass(frozen=True)
class Expected:
    """What the sheet should be."""

    width: float  # mm
    height: float
    bleed: float = 0.0  # mm beyond each edge that is printed, and cut off
    beyond: float = 0.0  # mm of paper beyond each edge, for crop marks
    sheets: int | None = 1  # None: any number
    endings: Mapping[str, str] = field(default_factory=dict)  # block -> its last letters, without spaces
    places: Mapping[str, Rectangle] = field(default_factory=dict)  # id of an element -> where it should lie
    names: Mapping[str, str] = field(default_factory=dict)  # what to call these in a sentence
    attached: tuple[str, ...] = ()
    least_dpi: int = 150
    least_contrast: float = 4.5
    smallest_type: float = 18.0  # points
    slack: float = 1.0  # mm that words may reach out of their place unnoticed


def preflight(pdf: Path, expected: Expected, said: Mapping[str, Any]) -> list[str]:
    """What is wrong with the PDF, one sentence each; an empty list for a sheet that can go to print.

    `said` is what the typesetter said of its layout.
    """
    layout = [*_laid_out(said, expected), *_words(said, expected)]
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        return [
            *layout,
            f"The PDF was not checked, because {', '.join(missing)} cannot be found: install the package "
            "poppler-utils (on Debian: apt-get install poppler-utils).",
        ]
    read = [_page(pdf, expected), _text(pdf, expected, said), _fonts(pdf), _images(pdf, expected)]
    found = [*read, _attached(pdf, expected)]
    return [*layout, *(finding for part in found for finding in part)]


# ------------------------------------------------------------------------------------------------------ the layout


def _laid_out(said: Mapping[str, Any], expected: Expected) -> Iterator[str]:
    """Pieces that are larger than their places, or lie over each other."""
    inks = {  # type is higher than its line, so that heights are those of the boxes
        name: (said["ink"][name][0], said["boxes"][name][1], said["ink"][name][2], said["boxes"][name][3])
        for name in expected.places
        if name in said["boxes"]
    }
    for name, (x, y, width, height) in expected.places.items():
        if name not in said["boxes"]:
            yield f"{_called(name, expected)} is not on the sheet."
            continue
        left, top, wide, high = inks[name]
        high = top + high - y
        if high > height + expected.slack:
            yield (
                f"{_called(name, expected)} is {high - height:.0f} mm higher than the {height:.0f} mm it was given: "
                f"about {100 * (high - height) / high:.0f} % too much."
            )
        if max(left + wide - x - width, x - left) > expected.slack:
            over = max(left + wide - x - width, x - left)
            yield f"{_called(name, expected)} sticks out of its column by {over:.0f} mm: a word in it is too long."
    names = list(inks)
    for number, one in enumerate(names):
        for other in names[number + 1 :]:
            if (depth := _overlap(inks[one], inks[other])) > expected.slack:
                yield f"{_called(one, expected)} and {_called(other, expected)} lie over each other by {depth:.0f} mm."


def _overlap(one: Rectangle, other: Rectangle) -> float:
    across = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    down = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    return min(across, down)


def _called(name: str, expected: Expected) -> str:
    return repr(expected.names.get(name, name))


def _words(said: Mapping[str, Any], expected: Expected) -> Iterator[str]:
    """Type, contrast, letters without a shape, pictures without words."""
    size, text = said["smallest_type"]
    if size < expected.smallest_type - 0.05:
        yield (
            f"The smallest type has {size:.1f} points (“{_cut(text)}”); {expected.smallest_type:.0f} points is "
            "the least for a sheet of this size."
        )
    contrast, text = said["contrast"]
    if contrast < expected.least_contrast - 0.005:
        yield (
            f"“{_cut(text)}” has a contrast of {contrast:.1f} to what is behind it; {expected.least_contrast:g} is the "
            "least that everybody can read."
        )
    if letters := said["missing"]:
        named = len(letters) <= MOST_NAMES
        shown = ", ".join(_shown(letter, named) for letter in letters[:MOST_LETTERS])
        more = f" and {len(letters) - MOST_LETTERS} more" if len(letters) > MOST_LETTERS else ""
        yield (
            f"No font has the letters {shown}{more}: boxes stand in their place. Name a font file that has them under "
            "`fonts:` of this output, such as one of the Noto family, or write them otherwise."
        )
    if said["no_alt"]:
        many = f"{len(said['no_alt'])} pictures have" if len(said["no_alt"]) > 1 else "A picture has"
        listed = ", ".join(said["no_alt"][:3])
        yield f"{many} no description for those who cannot see it ({listed}): give the image an `alt:`."
    for warning in said["warnings"]:
        if ".notdef glyph" not in warning:  # said above, once for all letters
            yield f"The typesetter warns: {warning.rstrip('.')}."


def _shown(letter: str, named: bool) -> str:
    name = unicodedata.name(letter, "a letter without a name").lower()
    return f"{letter} (U+{ord(letter):04X}{f', {name}' if named else ''})"


def _cut(text: str) -> str:
    return text.strip()[:40]


# --------------------------------------------------------------------------------------------------------- the file


def _page(pdf: Path, expected: Expected) -> Iterator[str]:
    info = dict(re.findall(r"^([^:]+):\s*(.*)$", _run("pdfinfo", "-box", str(pdf)), re.MULTILINE))
    if expected.sheets is not None and info.get("Pages") != str(expected.sheets):
        wanted = "one" if expected.sheets == 1 else str(expected.sheets)
        yield f"The PDF has {info.get('Pages', 'no')} pages, not {wanted}."
    boxes = (("TrimBox", "sheet", 0.0), ("BleedBox", "sheet with its bleed", expected.bleed))
    for box, what, more in (*boxes, ("MediaBox", "paper", expected.beyond)):
        edges = [float(edge) for edge in re.findall(r"-?[\d.]+", info.get(box, ""))]
        width, height = (
            ((edges[2] - edges[0]) / _POINTS, (edges[3] - edges[1]) / _POINTS) if len(edges) == 4 else (0, 0)
        )
        wide, high = expected.width + 2 * more, expected.height + 2 * more
        if abs(width - wide) > 0.5 or abs(height - high) > 0.5:
            yield f"The {what} is {width:.1f} x {height:.1f} mm, not {wide:.1f} x {high:.1f} mm as asked."
            break
    if info.get("Tagged") != "yes":
        yield "The PDF has no tags, which those who listen to it need."


def _text(pdf: Path, expected: Expected, said: Mapping[str, Any]) -> Iterator[str]:
    """pdftotext leaves out what lies off the page, which is just what must not happen, and letters without a shape."""
    found = _squeezed(_run("pdftotext", "-raw", str(pdf), "-"))
    for block, end in expected.endings.items():
        if end and not set(end) & set(said["missing"]) and _squeezed(end) not in found:
            yield f"The end of {block!r} is not on the sheet (it should read “…{end}”): the text does not fit."


def _fonts(pdf: Path) -> Iterator[str]:
    for line in _run("pdffonts", str(pdf)).splitlines()[2:]:
        cells = line.split()
        if len(cells) > 5 and cells[-5] != "yes":  # name type encoding emb sub uni object ID
            yield f"The font {cells[0]} is not embedded in the PDF; a print shop may replace it."


def _images(pdf: Path, expected: Expected) -> Iterator[str]:
    """Columns of pdfimages: page num type width height color comp bpc enc interp object ID x-ppi y-ppi size ratio."""
    coarse = []
    for line in _run("pdfimages", "-list", str(pdf)).splitlines()[2:]:
        cells = line.split()
        dpi = min(float(cells[12]), float(cells[13]))
        if dpi < expected.least_dpi:
            coarse.append((dpi, f"{cells[3]} x {cells[4]} pixels"))
    if coarse:
        dpi, size = min(coarse)
        many = f"{len(coarse)} pictures are" if len(coarse) > 1 else "One picture is"
        yield (
            f"{many} printed at less than {expected.least_dpi} dots per inch; the coarsest ({size}) at {dpi:.0f}. "
            "Print it smaller, or give it more pixels."
        )


def _attached(pdf: Path, expected: Expected) -> Iterator[str]:
    if not expected.attached:
        return
    there = set(re.findall(r"^\d+: (.*)$", _run("pdfdetach", "-list", str(pdf)), re.MULTILINE))
    for name in (name for name in expected.attached if name not in there):
        yield f"{name} is not attached to the PDF."


def _squeezed(text: str) -> str:
    """Without spaces, ligatures, soft hyphens and marks of direction: how a line breaks does not matter."""
    kept = unicodedata.normalize("NFKC", text)
    return "".join(letter for letter in kept if not letter.isspace() and unicodedata.category(letter) != "Cf")


def _run(*command: str) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", errors="replace", check=False, timeout=120
    )
    return done.stdout
