"""The typefaces of site and poster, Source Sans and Source Serif, as bytes that are the same on every machine.

Both families come with two packages of the package index (Open Font License); they are located, never imported. The
web gets WOFF2 subsets, the poster TrueType subsets with more letters: WeasyPrint subsets again to what the page uses,
with fontTools where HarfBuzz's subsetter is not installed, which takes seconds on a whole font.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from reportgen import keys
from reportgen.errors import RenderError
from reportgen.store import Corrupt

if TYPE_CHECKING:
    from reportgen.store import Store


@dataclass(frozen=True)
class Face:
    """One face of a family, as a style sheet names it."""

    name: str  # of the file, without its suffix
    family: str
    weight: int
    style: Literal["normal", "italic"]
    package: str
    source: str  # file in the package


_SANS, _SERIF = "font_source_sans_pro", "font_source_serif_pro"

FACES = (
    Face("sans-regular", "Source Sans", 400, "normal", _SANS, "SourceSansPro-Regular.ttf"),
    Face("sans-italic", "Source Sans", 400, "italic", _SANS, "SourceSansPro-It.ttf"),
    Face("sans-semibold", "Source Sans", 600, "normal", _SANS, "SourceSansPro-Semibold.ttf"),
    Face("serif-regular", "Source Serif", 400, "normal", _SERIF, "SourceSerifPro-Regular.ttf"),
    Face("serif-italic", "Source Serif", 400, "italic", _SERIF, "SourceSerifPro-It.ttf"),
    Face("serif-bold", "Source Serif", 700, "normal", _SERIF, "SourceSerifPro-Bold.ttf"),
)

# Latin with its supplement and Extended-A, Greek, general punctuation with sub- and superscripts, arrows, signs of
# mathematics and the few geometric marks that name models. Print adds Cyrillic and Vietnamese: names of authors.
_WEB = (
    (0x20, 0x17F),
    (0x2C6, 0x2DD),
    (0x370, 0x3FF),
    (0x2000, 0x20CF),
    (0x2100, 0x22FF),
    (0x25A0, 0x25FF),
    (0x2713, 0x2713),
)
_PRINT = (*_WEB, (0x180, 0x24F), (0x400, 0x45F), (0x490, 0x491), (0x1E00, 0x1EFF), (0xFB00, 0xFB06))
# Kerning and the features a page asks for; small capitals and stylistic sets would double the size.
_FEATURES = ["kern", "liga", "ccmp", "locl", "mark", "mkmk", "lnum", "tnum", "pnum", "onum", "sups", "subs"]


def web_fonts(store: Store | None = None) -> dict[str, bytes]:
    """The WOFF2 files of all faces by file name ("sans-regular.woff2"), from the store where it has them."""
    return _cached(store, "woff2", _WEB, lambda: _recut(print_fonts(store)))


def print_fonts(store: Store | None = None) -> dict[str, bytes]:
    """The TrueType files of all faces by file name ("sans-regular.ttf"), from the store where it has them."""
    return _cached(store, "ttf", _PRINT, lambda: {f"{face.name}.ttf": _subset(font_file(face)) for face in FACES})


def font_faces(folder: str, suffix: Literal["woff2", "ttf"]) -> str:
    """The @font-face rules for the files of web_fonts or print_fonts; the folder is relative to the style sheet."""
    form = {"woff2": "woff2", "ttf": "truetype"}[suffix]
    return "\n".join(
        f'@font-face {{ font-family: "{face.family}"; font-weight: {face.weight}; font-style: {face.style}; '
        f'font-display: swap; src: url("{folder}{face.name}.{suffix}") format("{form}"); }}'
        for face in FACES
    )


def font_file(face: Face) -> Path:
    """Where the whole TrueType file of a face lies. Raises RenderError where the package is missing."""
    spec = find_spec(face.package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(folder) / "files" / face.source).is_file():
            return path
    raise RenderError(
        f"The typeface {face.family} is not installed: {face.source} of the package {face.package.replace('_', '-')} "
        f"was not found. `pip install {face.package.replace('_', '-')}` brings it."
    )


def _cached(
    store: Store | None, suffix: str, ranges: tuple[tuple[int, int], ...], make: Callable[[], dict[str, bytes]]
) -> dict[str, bytes]:
    document = _document(suffix, ranges)
    key = keys.digest(document)
    if store is not None and (record := store.get(key)) is not None:
        with suppress(Corrupt):  # set aside by the store: made again
            return {name: store.read(record, name) for name in sorted(record.blobs)}
    files = make()
    if store is not None:
        store.put(key, kind="font", document=document, meta={}, blobs=files)
    return dict(sorted(files.items()))


def _document(suffix: str, ranges: tuple[tuple[int, int], ...]) -> Mapping[str, Any]:
    import fontTools

    return {
        "schema": keys.KEY_SCHEMA,
        "what": "font",
        "suffix": suffix,
        "ranges": [list(pair) for pair in ranges],
        "features": _FEATURES,
        "maker": fontTools.version,
        "faces": {face.name: hashlib.sha256(font_file(face).read_bytes()).hexdigest() for face in FACES},
    }


def _recut(printed: Mapping[str, bytes]) -> dict[str, bytes]:
    """The web's subsets, cut from the print's: the whole fonts are slow to walk."""
    return {f"{Path(name).stem}.woff2": _subset(io.BytesIO(font), "woff2", _WEB) for name, font in printed.items()}


def _subset(source: Path | io.BytesIO, suffix: str = "ttf", ranges: tuple[tuple[int, int], ...] = _PRINT) -> bytes:
    from fontTools import subset
    from fontTools.ttLib import TTFont

    options = subset.Options()
    options.layout_features = _FEATURES
    options.hinting = False  # print and today's screens do not use it; it is a third of the file
    options.notdef_outline = True  # a missing glyph shows as a box instead of vanishing
    font = TTFont(source, recalcTimestamp=False)  # the clock would change the bytes
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=[code for first, last in ranges for code in range(first, last + 1)])
    subsetter.subset(font)
    font.flavor = "woff2" if suffix == "woff2" else None
    out = io.BytesIO()
    font.save(out, reorderTables=True)
    return out.getvalue()
