"""Pixels as the bytes that make a terminal show them, by four ways of doing so.

kitty: https://sw.kovidgoyal.net/kitty/graphics-protocol/  iTerm2: https://iterm2.com/documentation-images.html
sixel: DEC STD 070, chapter "Sixel graphics"; half blocks and shades need nothing but text.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any, Literal

from reportgen.palettes import Colors
from reportgen.saving import png

Way = Literal["kitty", "iterm", "sixel", "blocks", "blocks256", "shades", "none"]
WAYS: tuple[Way, ...] = ("kitty", "iterm", "sixel", "blocks", "blocks256", "shades", "none")
CHUNK = 4096  # bytes of base64 in one command of kitty's: the most that the protocol allows
SIXEL_COLORS = 255  # registers that every sixel terminal has, but one for the background
SHADES = " .:-=+*#%@"
CELL = (8, 16)  # pixels of a character where the terminal does not say: rather small, or pictures are cut off


def shown(pixels: Colors, way: Way, columns: int, cell: tuple[int, int] = CELL) -> str:
    """The text that makes a terminal show a picture at most `columns` wide; ends in a new line."""
    wide = min(columns, -(-pixels.shape[1] // cell[0])) if way in ("kitty", "iterm", "sixel") else columns
    if way == "kitty":
        return kitty(_fitted(pixels, wide * cell[0])) + "\n"
    if way == "iterm":
        return iterm(pixels, wide) + "\n"
    if way == "sixel":
        return sixel(_fitted(pixels, wide * cell[0])) + "\n"
    if way in ("blocks", "blocks256"):
        return blocks(_fitted(pixels, wide), exact=way == "blocks")
    return shades(_fitted(pixels, wide)) if way == "shades" else ""


def kitty(pixels: Colors) -> str:
    """Kitty's protocol: PNG as base64 in pieces; `q=2` keeps the terminal from answering into the prompt.

    No columns are asked for: kitty 0.26 then keeps the height and squeezes the picture, Konsole cuts it off.
    """
    data = base64.standard_b64encode(png(pixels)).decode()
    pieces = [data[i : i + CHUNK] for i in range(0, len(data), CHUNK)]
    made = []
    for i, piece in enumerate(pieces):
        more = int(i + 1 < len(pieces))
        keys = f"a=T,f=100,q=2,m={more}" if i == 0 else f"q=2,m={more}"
        made.append(f"\x1b_G{keys};{piece}\x1b\\")
    return "".join(made)


def iterm(pixels: Colors, columns: int) -> str:
    """iTerm2's inline image, which WezTerm, mintty and others know too."""
    data = png(pixels)
    keys = f"inline=1;size={len(data)};width={columns};preserveAspectRatio=1"
    return f"\x1b]1337;File={keys}:{base64.standard_b64encode(data).decode()}\x07"


def sixel(pixels: Colors) -> str:
    """Sixel graphics: at most 255 colours, bands of six rows, runs of equal columns shortened."""
    import numpy as np
    from PIL import Image

    found = Image.fromarray(pixels).quantize(SIXEL_COLORS, kmeans=3, dither=Image.Dither.NONE)
    indices = np.asarray(found)  # H W
    palette = np.array(found.getpalette(), dtype=int).reshape(-1, 3)
    height, width = indices.shape
    used = [int(color) for color in np.unique(indices)]
    head = "".join(f"#{color};2;" + ";".join(str(round(v / 2.55)) for v in palette[color]) for color in used)
    bands = [_band(indices[top : top + 6], width) for top in range(0, height, 6)]
    return f'\x1bP0;1;0q"1;1;{width};{height}{head}' + "-".join(bands) + "\x1b\\"


def _band(rows: Any, width: int) -> str:
    import numpy as np

    weights = 1 << np.arange(len(rows))[:, None]  # the top row is the lowest bit
    parts = []
    for color in np.unique(rows):
        bits = ((rows == color) * weights).sum(axis=0)  # W, 0..63
        parts.append(f"#{color}" + "".join(_runs(bits[:width])))
    return "$".join(parts)


def _runs(bits: Any) -> Iterator[str]:
    import numpy as np

    starts = np.flatnonzero(np.diff(bits, prepend=-1))
    for start, end in zip(starts, [*starts[1:], len(bits)], strict=True):
        sign, count = chr(63 + int(bits[start])), int(end - start)
        yield f"!{count}{sign}" if count > 3 else sign * count


def blocks(pixels: Colors, exact: bool = True) -> str:
    """Two rows of pixels to a line of text: the upper half block in the upper one's colour on the lower one's."""
    import numpy as np

    if len(pixels) % 2:
        pixels = np.concatenate([pixels, pixels[-1:]])
    lines = []
    for upper, lower in zip(pixels[::2], pixels[1::2], strict=True):
        line, before = [], ""
        for front, back in zip(upper, lower, strict=True):
            colors = f"\x1b[38;{_color(front, exact)};48;{_color(back, exact)}m"
            line.append((colors if colors != before else "") + "▀")
            before = colors
        lines.append("".join(line) + "\x1b[0m\n")
    return "".join(lines)


def _color(rgb: Any, exact: bool) -> str:
    red, green, blue = (int(part) for part in rgb)
    if exact:
        return f"2;{red};{green};{blue}"
    cube = [
        0 if part < 48 else 1 if part < 115 else (part - 35) // 40 for part in (red, green, blue)
    ]  # 0 95 135 ... 255
    return f"5;{16 + 36 * cube[0] + 6 * cube[1] + cube[2]}"


def shades(pixels: Colors) -> str:
    """Brightness as signs, without any colour: one sign for two rows of pixels."""
    import numpy as np

    grey = pixels.astype(float) @ (0.299, 0.587, 0.114)  # H W
    grey = np.concatenate([grey, grey[-1:]])[: len(grey) + len(grey) % 2]
    rows = grey.reshape(-1, 2, grey.shape[1]).mean(1)
    places = np.rint(rows / 255 * (len(SHADES) - 1)).astype(int)
    return "".join("".join(SHADES[place] for place in row).rstrip() + "\n" for row in places)


def _fitted(pixels: Colors, width: int) -> Colors:
    """The picture made so small that it is at most so many pixels wide."""
    import numpy as np
    from PIL import Image

    if pixels.shape[1] <= width:
        return pixels
    size = (max(1, width), max(1, round(pixels.shape[0] * width / pixels.shape[1])))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))
