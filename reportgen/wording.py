"""Findings in words, for captions and alternative texts: where on the picture a map is brightest."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def place(y: float, x: float) -> str:
    """Where a point, in shares of height and width, lies on the picture: "upper left", "left part" or "middle"."""
    row = "upper" if y < 0.42 else "lower" if y > 0.58 else ""
    column = "left" if x < 0.42 else "right" if x > 0.58 else ""
    if row and column:
        return f"{row} {column}"
    return f"{row or column} part" if row or column else "middle"


def brightest(values: np.ndarray) -> str:
    """Where the brightest tenth of a map's pixels (H x W) lies, as a clause."""
    import numpy as np

    bright = np.argwhere(values >= np.percentile(values, 90))
    y, x = bright.mean(axis=0) / np.array(values.shape)
    spread = (
        "scattered over the photo"
        if bright.std(axis=0).mean() > 0.25 * values.shape[0]
        else "gathered in one part of it"
    )
    return f"the brightest tenth of the pixels is {spread}, around its {place(y, x)}"


def peak(values: np.ndarray) -> list[int] | None:
    """The row and column of a map's largest value, the first of equal ones; None where nothing is above zero."""
    y, x = divmod(int(values.argmax()), values.shape[1])
    return [y, x] if values[y, x] > 0 else None


def short(name: str) -> str:
    """The first of the names of a class, as people write it."""
    return name.partition(",")[0].replace("_", " ").strip()


def size(value: float) -> str:
    """Three digits, without an exponent where a person would write none."""
    return f"{value:,.0f}" if 100 <= abs(value) < 1e7 else f"{value:.3g}"
