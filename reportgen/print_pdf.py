"""One picture as a PDF of one page: its pixels whole, at the width of a column, the same bytes for the same picture."""

from __future__ import annotations

import zlib
from io import BytesIO

import numpy as np

from reportgen.encode import few_colors
from reportgen.palettes import Colors

COLUMN = 85.0  # millimetres: one column of most journals
DPI = 300
PIXELS = 1004  # across a column at that resolution
POINTS = 72 / 25.4  # per millimetre
QUALITY = 80  # with colour at half the resolution: at 300 dpi nobody sees the difference, and files are half as large


def pdf(pixels: Colors, title: str) -> bytes:
    """The picture as a page as wide as a column: lossless where it has few colours, else JPEG."""
    height, width = pixels.shape[:2]
    data, how = _exact(pixels) if few_colors(pixels) else _photo(pixels)
    across = COLUMN * POINTS
    down = across * height / width
    draw = f"q {across:.3f} 0 0 {down:.3f} 0 0 cm /P Do Q".encode()
    image = f"/Type /XObject /Subtype /Image /Width {width} /Height {height} "
    image += f"/BitsPerComponent 8 {how} /Length {len(data)}"
    name = title.encode("utf-16-be").hex().upper()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R /Lang (en) /ViewerPreferences << /DisplayDocTitle true >> >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {across:.3f} {down:.3f}] /Contents 4 0 R "
        f"/Resources << /XObject << /P 5 0 R >> >> >>".encode(),
        _stream(f"/Length {len(draw)}", draw),
        _stream(image, data),
        f"<< /Title <FEFF{name}> /Producer (reportgen) >>".encode(),
    ]
    out, places = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"), []
    for place, body in enumerate(objects, 1):
        places.append(len(out))
        out += f"{place} 0 obj\n".encode() + body + b"\nendobj\n"
    start = len(out)
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}".encode()
    out += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R /Info 6 0 R >>\nstartxref\n{start}\n%%EOF\n".encode()
    return bytes(out)


def _photo(pixels: Colors) -> tuple[bytes, str]:
    """Bytes of a JPEG and how the PDF names them."""
    from PIL import Image

    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return buffer.getvalue(), "/ColorSpace /DeviceRGB /Filter /DCTDecode"


def _exact(pixels: Colors) -> tuple[bytes, str]:
    """The pixels as places in a list of colours, each line as its difference from the one above, and their names."""
    height, width = pixels.shape[:2]
    wide = pixels.astype(np.uint32)
    codes = wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]
    fresh = np.append(True, (codes[1:] != codes[:-1]).any(axis=1))  # lines that are not the one above once more
    found, places = np.unique(codes[fresh], return_inverse=True)
    colors = np.stack([found >> 16, found >> 8 & 255, found & 255], axis=-1).astype(np.uint8)
    lines = places.reshape(-1, width).astype(np.uint8)[np.cumsum(fresh) - 1]
    steps = np.diff(lines, axis=0, prepend=np.uint8(0))  # wraps around, as PNG's filter "up" does
    filtered = np.hstack([np.full((height, 1), 2, np.uint8), steps])
    names = f"/ColorSpace [/Indexed /DeviceRGB {len(colors) - 1} <{colors.tobytes().hex()}>] "
    names += f"/Filter /FlateDecode /DecodeParms << /Predictor 15 /Colors 1 /Columns {width} >>"
    return zlib.compress(filtered.tobytes(), 9), names


def _stream(head: str, data: bytes) -> bytes:
    return f"<< {head} >>\nstream\n".encode() + data + b"\nendstream"
