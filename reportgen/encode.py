"""Pixels as WebP bytes: the same pixels give the same bytes, without any metadata."""

from __future__ import annotations

from io import BytesIO

import numpy as np

from reportgen.palettes import Colors

THUMBNAIL = 224  # pixels across
QUALITY = 82
METHOD = 2  # of the encoder: 4 takes two and a half times as long for files 4 % smaller
FEW_COLORS = 256  # a map of so few colours is smaller lossless, and keeps its edges


def webp(pixels: Colors, exact: bool = False) -> bytes:
    """The picture as WebP: lossless where asked for, or where it has few colours, such as an enlarged map."""
    from PIL import Image

    buffer = BytesIO()
    if exact or few_colors(pixels):
        Image.fromarray(pixels).save(buffer, "WEBP", lossless=True, quality=30, method=METHOD)
    else:
        Image.fromarray(pixels).save(buffer, "WEBP", quality=QUALITY, method=METHOD)
    return buffer.getvalue()


def thumbnail(pixels: Colors) -> bytes:
    """The picture at the width of a thumbnail as WebP; smaller ones keep their size."""
    from PIL import Image

    picture = Image.fromarray(pixels)
    if picture.width > THUMBNAIL:
        size = (THUMBNAIL, max(1, round(picture.height * THUMBNAIL / picture.width)))
        picture = picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    buffer = BytesIO()
    picture.save(buffer, "WEBP", quality=QUALITY, method=METHOD)
    return buffer.getvalue()


def few_colors(pixels: Colors) -> bool:
    """Whether the picture is made of at most 256 colours."""
    wide = pixels.astype(np.uint32)
    codes = (wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]).ravel()
    sample = codes[:: max(1, codes.size // 10_000)]  # photos are told from a few pixels
    return len(np.unique(sample)) <= FEW_COLORS and len(np.unique(codes)) <= FEW_COLORS
