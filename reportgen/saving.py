"""Pixels as PNG files that say what wrote them, so that none of anybody else's is overwritten."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
    _write(path, png(pixels), _ours(path))


def write_marked(data: bytes, mark: bytes, path: Path) -> None:
    """Write a file that has our mark among its bytes, over none that has not. Raises RenderError as `write_png`."""
    assert mark in data
    try:
        ours = not path.exists() or mark in path.read_bytes()
    except OSError:  # a folder, somebody else's
        ours = False
    _write(path, data, ours)


def _write(path: Path, data: bytes, allowed: bool) -> None:
    if not allowed:
        raise RenderError(f"{path.name} is there already and was not written by reportgen; give another name.")
    try:
        replace_with(path, data)
    except OSError as error:
        raise RenderError(f"{path.name} cannot be written: {error.strerror}.") from error


def write_npz(arrays: Mapping[str, Any], path: Path) -> None:
    """Write named arrays as NumPy's .npz, over an older file as NumPy does. Raises RenderError where it cannot."""
    import numpy as np

    given: dict[str, Any] = {name: np.asarray(array) for name, array in arrays.items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **given)
    try:
        replace_with(path, buffer.getvalue())
    except OSError as error:
        raise RenderError(f"{path.name} cannot be written: {error.strerror}.") from error


def replace_with(path: Path, data: bytes) -> None:
    """Make these the bytes of a file, in one step: a full disk leaves the old file, and no half of a new one."""
    path = path.resolve()  # through a link to the file that is meant
    made = path.with_name(f".{path.name[:40]}.{os.getpid()}.new")
    try:
        made.write_bytes(data)
        if path.exists():
            made.chmod(path.stat().st_mode & 0o777)
        made.replace(path)
    except BaseException:
        made.unlink(missing_ok=True)
        raise


def _ours(path: Path) -> bool:
    """Whether a PNG was written by us, or is not there yet."""
    from PIL import Image

    if not path.exists():
        return True
    try:
        with Image.open(path, formats=["PNG"]) as opened:
            return bool(opened.info.get("Software") == SOFTWARE)
    except (OSError, ValueError, SyntaxError):
        return False
