"""Pixels as PNG files that say what wrote them, so that none of anybody else's is overwritten."""

from __future__ import annotations

import io
from pathlib import Path

from reportgen.errors import RenderError
from reportgen.palettes import Colors

SOFTWARE = "reportgen"


def png(pixels: Colors) -> bytes:
    """The picture as PNG: lossless, the same bytes for the same pixels, its only metadata the program's name."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    told, buffer = PngInfo(), io.BytesIO()
    told.add_text("Software", SOFTWARE)
    Image.fromarray(pixels).save(buffer, "PNG", pnginfo=told)
    return buffer.getvalue()


def write_png(pixels: Colors, path: Path) -> None:
    """Write the picture. Raises RenderError where the file is there and not ours, or cannot be written."""
    if path.exists() and not _ours(path):
        raise RenderError(f"{path.name} is there already and was not written by reportgen; give another name.")
    try:
        path.write_bytes(png(pixels))
    except OSError as error:
        raise RenderError(f"{path.name} cannot be written: {error.strerror}.") from error


def _ours(path: Path) -> bool:
    from PIL import Image

    try:
        with Image.open(path, formats=["PNG"]) as opened:
            return bool(opened.info.get("Software") == SOFTWARE)
    except (OSError, ValueError, SyntaxError):
        return False
