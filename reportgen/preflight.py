"""What a print shop would check on the finished PDF: one page, its size, all text, fonts, resolution, smallest type."""

from __future__ import annotations

import re
import shutil
import subprocess
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_TOOLS = ("pdfinfo", "pdftotext", "pdffonts", "pdfimages")
_POINTS = 72 / 25.4


@dataclass(frozen=True)
class Expected:
    """What the sheet should be."""

    width: float  # mm
    height: float
    endings: Mapping[str, str] = field(default_factory=dict)  # block -> its last letters, without spaces
    least_dpi: int = 150
    smallest_type: float = 18.0  # points
    found_type: tuple[float, str] | None = None  # the smallest type that was set, and its text


def preflight(pdf: Path, expected: Expected) -> list[str]:
    """What is wrong with the PDF, one sentence each; an empty list for a sheet that can go to print."""
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        return [
            *_type(expected),
            f"The poster was not checked, because {', '.join(missing)} cannot be found: install the package "
            "poppler-utils (on Debian: apt-get install poppler-utils).",
        ]
    return [*_page(pdf, expected), *_text(pdf, expected), *_fonts(pdf), *_images(pdf, expected), *_type(expected)]


def _page(pdf: Path, expected: Expected) -> Iterator[str]:
    info = dict(re.findall(r"^([^:]+):\s*(.*)$", _run("pdfinfo", "-box", str(pdf)), re.MULTILINE))
    if info.get("Pages") != "1":
        yield f"The poster has {info.get('Pages', 'no')} pages, not one."
    match = re.match(r"([\d.]+) x ([\d.]+) pts", info.get("Page size", ""))
    width, height = (float(side) / _POINTS for side in match.groups()) if match else (0.0, 0.0)
    if abs(width - expected.width) > 0.5 or abs(height - expected.height) > 0.5:
        yield (
            f"The sheet is {width:.1f} x {height:.1f} mm, not {expected.width:.1f} x {expected.height:.1f} mm as asked."
        )


def _text(pdf: Path, expected: Expected) -> Iterator[str]:
    """pdftotext leaves out what lies off the page, which is just what must not happen."""
    found = _squeezed(_run("pdftotext", "-raw", str(pdf), "-"))
    for block, end in expected.endings.items():
        if end and _squeezed(end) not in found:
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


def _type(expected: Expected) -> Iterator[str]:
    if expected.found_type is not None and expected.found_type[0] < expected.smallest_type - 0.05:
        size, text = expected.found_type
        yield (
            f"The smallest type has {size:.1f} points (“{text.strip()[:40]}”); {expected.smallest_type:.0f} points is "
            "the least for a sheet of this size."
        )


def _squeezed(text: str) -> str:
    """Without spaces, ligatures and soft hyphens: how a line breaks does not matter."""
    return re.sub(r"[\s\u00ad]+", "", unicodedata.normalize("NFKC", text))


def _run(*command: str) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", errors="replace", check=False, timeout=120
    )
    return done.stdout
