"""The files that a printed page is made of: typefaces, style sheets, legends, logos, the QR code, what is attached."""

from __future__ import annotations

import re
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from reportgen import fonts, images, palettes, tiles
from reportgen.errors import ImageError, RenderError
from reportgen.poster_corner import Logo
from reportgen.templating import files_of
from reportgen.typesetter import Attached

if TYPE_CHECKING:
    from reportgen.palettes import Colors
    from reportgen.report import Report
    from reportgen.spec_models import PrintOutput

QUALITY = 90
LOGO_PIXELS = 1600  # of a logo's longer side: 300 dots per inch at the largest size it is printed


def lay_out(report: Report, options: PrintOutput, address: str, build: Path) -> None:
    """Put fonts, style sheets, colour legends and the QR code where the typesetter finds them. Raises RenderError."""
    (build / "fonts").mkdir()
    for name, data in fonts.print_fonts(report.store).items():
        (build / "fonts" / name).write_bytes(data)
    faces = [fonts.font_faces("fonts/", "ttf"), *_own_fonts(report, options.fonts, build)]
    (build / "fonts.css").write_text("\n".join(faces), encoding="utf-8")
    for name, file in files_of("poster", ".css").items():
        (build / name).write_bytes(file.read_bytes())
    for kind in (palettes.ONE_SIDED, palettes.SIGNED):
        strip = palettes.colormap(kind)[None].repeat(40, axis=0)
        (build / f"legend-{kind}.jpg").write_bytes(jpeg(tiles.resize(strip, 480, 72)))
    if address:
        import segno

        segno.make(address, error="m", micro=False).save(
            str(build / "qr.svg"), border=0, xmldecl=False, svgclass=None, lineclass=None, omitsize=True, dark="#1a1a1a"
        )


def lay_out_logos(report: Report, names: Sequence[str], build: Path) -> tuple[Logo, ...]:
    """The user's logos, as files of the build: drawings as they are, pixels as PNG. Raises RenderError."""
    logos = []
    for number, name in enumerate(names):
        alt = f"Logo: {Path(name).stem.replace('_', ' ').replace('-', ' ')}"
        path = report.spec.path.parent / name
        if path.suffix.lower() == ".svg":
            data, aspect, suffix = *_drawing(path, name), "svg"
        else:
            data, aspect, suffix = *_pixels(name, report.spec.path.parent), "png"
        (build / f"logo-{number}.{suffix}").write_bytes(data)
        logos.append(Logo(f"logo-{number}.{suffix}", aspect, alt))
    return tuple(logos)


def lay_out_attached(folder: Path, build: Path) -> list[Attached]:
    """The spec and the report's numbers, which lie in the report's folder already, to travel inside the PDF."""
    there = (
        (folder / "assets" / "spec.yaml", "The spec that this was made from", "Source"),
        (folder / "report.json", "The cells and figures of the report, with their numbers", "Data"),
    )
    found = []
    for path, description, relationship in there:
        if path.is_file():
            (build / path.name).write_bytes(path.read_bytes())
            found.append(Attached(path.name, description, relationship))
    return found


def jpeg(pixels: Colors) -> bytes:
    """The picture as JPEG without metadata; colours are not halved in resolution, or edges of maps would bleed."""
    from PIL import Image

    buffer = BytesIO()
    # not optimized: that takes a buffer which Pillow makes too small for pictures of noise
    Image.fromarray(pixels).save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    return buffer.getvalue()


def _own_fonts(report: Report, names: Sequence[str], build: Path) -> list[str]:
    """The rules for the user's fonts: what ours lack is found in them, whatever they are called."""
    from fontTools.ttLib import TTFont, TTLibError

    rules = []
    for number, name in enumerate(names):
        path = report.spec.path.parent / name
        try:
            data = path.read_bytes()
            with TTFont(BytesIO(data), lazy=True, fontNumber=0) as font:  # which leaves a file of its own open
                font.getBestCmap()
        except (OSError, TTLibError, AssertionError, KeyError) as error:
            reason = getattr(error, "strerror", None) or "it is no TrueType or OpenType font"
            raise RenderError(f"The font {name} cannot be used: {reason}. Name a .ttf, .otf or .woff2 file.") from error
        file = f"own-{number}{path.suffix.lower()}"
        (build / "fonts" / file).write_bytes(data)
        rules.append(f'@font-face {{ font-family: "Own {number}"; src: url("fonts/{file}"); }}')
    return rules


def _drawing(path: Path, name: str) -> tuple[bytes, float]:
    """An SVG file and its height over width."""
    from xml.etree.ElementTree import ParseError, fromstring

    try:
        data = path.read_bytes()
        if b"<!ENTITY" in data:  # which may unfold without end
            raise RenderError(f"The logo {name} defines entities; save it as plain SVG.")
        root = fromstring(data)
    except (OSError, ParseError) as error:
        raise RenderError(f"The logo {name} cannot be read as SVG: {error}.") from error
    sides = [re.match(r"[\d.]+", root.get(side, "")) for side in ("width", "height")]
    box = root.get("viewBox", "").replace(",", " ").split()
    if len(box) == 4:
        width, height = float(box[2]), float(box[3])
    elif sides[0] and sides[1] and not any("%" in root.get(side, "") for side in ("width", "height")):
        width, height = float(sides[0][0]), float(sides[1][0])
    else:
        raise RenderError(f"The logo {name} says neither a viewBox nor its width and height; save it with one.")
    if width <= 0 or height <= 0:
        raise RenderError(f"The logo {name} has no size: its width is {width:g}, its height {height:g}.")
    return data, height / width


def _pixels(name: str, base: Path) -> tuple[bytes, float]:
    """A picture as PNG, no larger than print can show, and its height over width."""
    from PIL import Image

    try:
        picture = images.load_image(name, base=base)
    except ImageError as error:
        raise RenderError(f"The logo cannot be used: {error}") from error
    height, width = picture.shape[:2]
    pixels = tiles.to_bytes(picture)
    if max(height, width) > LOGO_PIXELS:
        pixels = tiles.resize(pixels, round(width * LOGO_PIXELS / max(height, width)))
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return buffer.getvalue(), height / width
