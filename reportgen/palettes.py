"""The colours of site, poster and pictures: the models' marks, page greys, and colour maps as lookup tables.

Colour maps are 256 x 3 bytes, so that drawing a map is one indexing step and needs no matplotlib. All of
them, and the models' colours (Okabe and Ito 2008), can be told apart by colour-blind readers.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from reportgen.errors import RenderError, nearest

Colors = NDArray[np.uint8]
"""Any shape that ends in 3: RGB."""

MODEL_COLORS = ("#E69F00", "#0072B2", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")  # never colour alone
DASHES: tuple[str | tuple[int, tuple[int, ...]], ...]
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 3)))

# flat colours of a map: Okabe and Ito 2008 without black, then Tol 2021; no pair coincides in any colour blindness
CATEGORY_COLORS = (
    *("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442"),
    *("#661100", "#332288", "#882255", "#99DDFF"),
)
OTHERS = "#bbbbbb"  # all names beyond those

PAPER, INK, LINK = "#ffffff", "#1a1a1a", "#8a1c1c"
PAPER_DARK, INK_DARK, LINK_DARK = "#141414", "#e8e6e3", "#e88f87"
MID_GREY = 128  # zero of a projection, and what lies outside a picture

ONE_SIDED = "viridis"
SIGNED = "signed"

# matplotlib's own tables (CC0), three bytes a colour
_TABLES = {
    "cividis": (
        "ACJOACNPACRRACVTACVUACZWACdYAChZAChbACldACpfACphACtiACxkACxmAC1oAC5qAC5sAC9tADBvADBwADFwADFxATJxBTNx"
        "CDNwDDRwDzVwEjVwFDZwFjdwGDdvGjhvHDlvHjpvIDpvITtuIzxuJDxuJj1uJz5uKT9uKj9tK0BtLUFtLkFtL0JtMUNtMkNtM0Rt"
        "NEVsNUVsNkZsOEdsOUhsOkhsO0lsPEpsPUpsPktsP0xsQExsQU1sQk5sQ05sRE9sRVBsRlFsR1FsSFJsSVNsSlNsS1RsTFVsTVVs"
        "TlZsT1dsUFdsUVhtUlltU1ptVFptVVttVVxtVlxtV11tWF5tWV5uWl9uW2BuXGFuXWFuXmJuXmNvX2NvYGRvYWVvYmVvY2ZwZGdw"
        "ZWhwZWhwZmlwZ2pxaGpxaWtxamxxa21ybG1ybG5ybW9ybm9zb3BzcHFzcXJ0cnJ0cnN0c3R1dHR1dXV1dnZ2d3d2d3d3eHh3eXl3"
        "enp4e3p4fHt4fXx4fnx4fn14f354gH94gX94goB5g4F5hIJ5hYJ5hoN5h4R4iIV4iYV4ioZ4i4d4jIh4jYh4jol4j4p4kIt4kYt4"
        "kox4ko14k454lI53lY93lpB3l5F3mJJ3mZJ3mpN2m5R2nJV2nZV2npZ2n5d1oJh1oZl1opl1o5p0pJt0pZx0ppx0p51zqJ5zqZ9z"
        "qqBzq6ByrKFyraJyrqNxr6RxsKVxsaVws6ZwtKdvtahvtqlvt6luuKpuuattuqxtu61tvK5sva5svq9rv7BrwLFqwbJqwrNpw7Np"
        "xLRoxbVoxrZnx7dnyLhmyblly7llzLpkzbtjzrxjz71i0L5i0b9h0sBg08Bf1MFf1cJe1sNd18Rc2cVc2sZb28da3MhZ3chY3slY"
        "38pX4MtW4cxV4s1U5M5T5c9S5tBR59FQ6NJP6dNO6tNM69RL7dVK7tZJ79dI8NhG8dlF8tpE89tC9dxB9t0/994++N88+eA6++E4"
        "/OI2/eM0/uQ0/uU1/uY2/ug4"
    ),
    "viridis": (
        "RAFURAJWRQRXRQVZRgdaRghcRgpdRgteRw1gRw5hRxBjRxFkRxNlSBRnSBZoSBdpSBhqSBpsSBttSBxuSB1vSB9wSCBxSCFzSCN0"
        "SCR1SCV2SCZ3SCh4SCl5Ryp6Ryx6Ry17Ry58Ry99RjB+RjJ+RjN/RjSARTWBRTeBRTiCRDmDRDqDRDuEQz2EQz6FQj+FQkCGQkGG"
        "QUKHQUSHQEWIQEaIP0eIP0iJPkmJPkqJPkyKPU2KPU6KPE+KPFCLO1GLO1KLOlOLOlSMOVWMOVaMOFiMOFmMN1qMN1uNNlyNNl2N"
        "NV6NNV+NNGCNNGGNM2KNM2ONMmSOMmWOMWaOMWeOMWiOMGmOMGqOL2uOL2yOLm2OLm6OLm+OLXCOLXGOLHGOLHKOLHOOK3SOK3WO"
        "KnaOKneOKniOKXmOKXqOKXuOKHyOKH2OJ36OJ3+OJ4COJoGOJoKOJoKOJYOOJYSOJYWOJIaOJIeOI4iOI4mOI4qNIouNIoyNIo2N"
        "IY6NIY+NIZCNIZGMIJKMIJKMIJOMH5SMH5WLH5aLH5eLH5iLH5mKH5qKHpuKHpyJHp2JH56JH5+IH6CIH6GIH6GHH6KHIKOGIKSG"
        "IaWFIaaFIqeFIqiEI6mDJKqDJauCJayCJq2BJ62BKK6AKa9/KrB/LLF+LbJ9LrN8L7R8MbV7MrZ6NLZ5Nbd5N7h4OLl3Orp2O7t1"
        "Pbx0P7xzQL1yQr5xRL9wRsBvSMFuSsFtTMJsTsNrUMRqUsVpVMVoVsZnWMdlWshkXMhjXsliYMpgY8tfZcteZ8xcac1bbM1abs5Y"
        "cM9Xc9BWddBUd9FTetFRfNJQf9NOgdNNhNRLhtVJidVIi9ZGjtZFkNdDk9dBldhAmNg+m9k8ndk7oNo5oto3pds2qNs0qtwyrdww"
        "sN0vst0ttd4ruN4put4ovd8mwN8lwt8jxeAhyOAgyuEfzeEd0OEc0uIb1eIa2OIZ2uMZ3eMY3+MY4uQY5eQZ5+QZ6uUa7OUb7+Uc"
        "8eUd9OYe9uYg+OYh++cj/ecl"
    ),
}
KNOWN = (*_TABLES, SIGNED, "grey")


@lru_cache(maxsize=8)
def colormap(name: str) -> Colors:
    """The 256 x 3 lookup table of "viridis", "cividis", "grey", or "signed", which is white in the middle."""
    if name in _TABLES:
        table = np.frombuffer(base64.b64decode(_TABLES[name]), dtype=np.uint8).reshape(256, 3)
    elif name == SIGNED:
        table = _signed()
    elif name == "grey":
        table = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    else:
        raise RenderError(f"There is no colour map {name!r}. {nearest(name, KNOWN)}")
    table.flags.writeable = False
    return table


def colorize(values: NDArray[np.floating], low: float, high: float, table: Colors) -> Colors:
    """The colours of values between two limits, H x W x 3 bytes; values outside take the colour at the end.

    NaN is white; limits that coincide give the lowest colour, or the middle where they lie below zero.
    """
    span = high - low
    position = (values - low) / span if span > 0 else np.full(values.shape, 0.0 if low >= 0 else 0.5)
    missing = np.isnan(values)
    index = np.floor(np.clip(np.where(missing, 0.0, position) * 256, 0, 255)).astype(np.uint8)
    colors: Colors = table[index]
    colors[missing] = 255
    return colors


def model_color(index: int) -> str:
    """The colour of a report's nth model, everywhere the same: "#E69F00" for the first."""
    return MODEL_COLORS[index % len(MODEL_COLORS)]


def marker(index: int) -> str:
    """The mark of a report's nth model on its lines; a seventh model has the first colour with another mark."""
    return MARKERS[(index + index // len(MODEL_COLORS)) % len(MARKERS)]


def dash(index: int) -> str | tuple[int, tuple[int, ...]]:
    """How the nth line of a net is drawn; a seventh line has the first colour with another dash."""
    return DASHES[(index + index // len(MODEL_COLORS)) % len(DASHES)]


def category_colors(areas: Mapping[str, float]) -> dict[str, str]:
    """A colour for every name: the names with the largest areas have one of their own, all others are grey."""
    order = sorted(areas, key=lambda name: (-areas[name], name))
    own = dict(zip(order, CATEGORY_COLORS, strict=False))
    return {name: own.get(name, OTHERS) for name in order}


def text_color(color: str, paper: str = PAPER, contrast: float = 4.5) -> str:
    """The same hue with enough contrast to be read as text: darkened on white paper, lightened on black."""
    goal = 0.0 if luminance(paper) > 0.18 else 1.0
    own = np.array(rgb(color))
    for step in range(101):
        mixed = own + (goal - own) * step / 100
        found = "#" + "".join(f"{round(float(part) * 255):02x}" for part in mixed)
        if contrast_ratio(found, paper) >= contrast:
            return found
    return INK if goal == 0.0 else INK_DARK


def luminance(color: str) -> float:
    """The relative luminance of WCAG 2: 0 for black, 1 for white."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in rgb(color)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast_ratio(one: str, other: str) -> float:
    """The contrast of WCAG 2 between two colours: 1 to 21; text wants 4.5."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def rgb(color: str) -> tuple[float, float, float]:
    """Red, green and blue of "#rrggbb", each 0..1."""
    value = int(color.removeprefix("#"), 16)
    return (value >> 16) / 255, (value >> 8 & 255) / 255, (value & 255) / 255


def _signed() -> Colors:
    """Blue, white, red in OKLab (Ottosson 2020): both arms equally light at every distance."""
    distance = np.abs(np.linspace(-1, 1, 256))  # zero lies between entries 127 and 128
    angle = np.deg2rad(np.where(np.arange(256) < 128, 255.0, 25.0))
    lightness = 1.0 - 0.52 * distance
    chroma = 0.165 * np.sin(distance * np.pi / 2) ** 1.2  # the most that both hues have at every lightness
    lab = np.stack([lightness, chroma * np.cos(angle), chroma * np.sin(angle)], axis=1)
    to_lms = np.array(
        [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.291485548]]
    )
    to_rgb = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.707614701],
        ]
    )
    linear = np.clip(((lab @ to_lms.T) ** 3) @ to_rgb.T, 0, 1)
    coded = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    table: Colors = np.round(coded * 255).astype(np.uint8)
    return table
