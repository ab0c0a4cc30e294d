"""Damaged pictures: grey, blurred, with exchanged colour channels, with salt and pepper; at any resolution.

A corruption is described by a short text ("grey", "bgr", "blur:3:0.8", "salt_pepper:0.005") or by a mapping as YAML
has them (`blur: {kernel: 3, sigma: 0.8}`). Pictures are H x W x 3, RGB, 0..1, and are never changed in place; the
values are worked on as they are stored (gamma-coded), as cameras and image programs do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from reportgen import images, transform
from reportgen.errors import MethodError, nearest
from reportgen.records import Picture, Preprocess

if TYPE_CHECKING:
    import numpy as np

GREY_WEIGHTS = (0.299, 0.587, 0.114)  # Rec. 601 luma, as Pillow's and OpenCV's conversions have it
ORDERS = ("bgr", "brg", "gbr", "grb", "rbg")  # the letters name what the net finds in its red, green and blue
FIELDS = {"blur": ("kernel", "sigma"), "salt_pepper": ("lambda",), **dict.fromkeys(("grey", *ORDERS), ())}
RIGHT = "Right would be grey, blur:3:0.8 (kernel, sigma), bgr, brg or salt_pepper:0.005 (lambda)."
MOST_KERNEL = 99
RESOLUTIONS = (8, 4096)
RESOLUTION_DOC = (
    "where the picture is damaged: input (as the net sees it), source (before it is resized), or the side in pixels of "
    "the view that is damaged and then resized to the net's input, such as 64"
)
DOC = (
    "grey; blur:3:0.8 (kernel side in pixels, sigma; also blur: {kernel: 3, sigma: 0.8}); bgr, brg, gbr, grb, rbg; "
    "salt_pepper:0.005 (lambda: share of the pixels that become black or white)"
)


@dataclass(frozen=True)
class Corruption:
    """One way to damage a picture, with its parameters; those that its kind does not have are zero."""

    kind: str  # grey, blur, salt_pepper or a channel order
    kernel: int = 0  # side of the blur's kernel in pixels
    sigma: float = 0.0  # of the blur, in pixels
    share: float = 0.0  # lambda: of pixels that become black or white

    @property
    def name(self) -> str:
        """The one form that is hashed and compared: "blur:3:0.8"."""
        if self.kind == "blur":
            return f"blur:{self.kernel}:{self.sigma:.12g}"
        return f"salt_pepper:{self.share:.12g}" if self.kind == "salt_pepper" else self.kind

    @property
    def words(self) -> str:
        """What people read: "blur 3 x 3, sigma 0.8"."""
        if self.kind == "blur":
            return f"blur {self.kernel} x {self.kernel}, sigma {self.sigma:g}"
        if self.kind == "salt_pepper":
            return f"salt and pepper, lambda {self.share:g}"
        return "grey" if self.kind == "grey" else f"channels {self.kind.upper()}"

    @property
    def short(self) -> str:
        """The same where there is little room: "blur 3 x 3, σ 0.8"."""
        return self.words.replace("salt and pepper, lambda", "noise, λ").replace("sigma", "σ")


# --------------------------------------------------------------------------------------------------- descriptions


def parse(description: Any, param: str = "corruptions") -> Corruption:
    """The corruption that a text or a mapping describes; MethodError, naming the param, where it describes none."""
    kind, values = _parts(description, param)
    if kind == "blur":
        return _blur(values, f"{param}: {description!r}")
    if kind == "salt_pepper":
        share = _number(values.get("lambda"))
        if not 0 <= share <= 1:
            raise MethodError(
                f"{param}: {description!r} needs a lambda between 0 and 1, the share of the pixels that become black "
                "or white, such as salt_pepper:0.005."
            )
        return Corruption(kind, share=share)
    return Corruption(kind)


def canonical(descriptions: Any, param: str = "corruptions") -> tuple[str, ...]:
    """A list of descriptions, or one of them, as canonical names, each once."""
    listed = isinstance(descriptions, Sequence) and not isinstance(descriptions, str)
    names = tuple(dict.fromkeys(parse(one, param).name for one in (descriptions if listed else (descriptions,))))
    if not names:
        raise MethodError(f"{param}: the list is empty. {RIGHT}")
    return names


def blur_sigma(kernel: int) -> float:
    """The sigma of a blur that names its kernel only: OpenCV's rule, 0.8 for 3 x 3 and 1.1 for 5 x 5."""
    return round(0.3 * ((kernel - 1) * 0.5 - 1) + 0.8, 6)


def blur_kernel(sigma: float) -> int:
    """The side of a kernel that holds a Gaussian of this sigma: three sigmas to each side, at least 3."""
    return max(3, 2 * math.ceil(3 * sigma) + 1)


def _parts(description: Any, param: str) -> tuple[str, dict[str, Any]]:
    """The kind and its raw parameters by name."""
    if isinstance(description, Mapping) and len(description) == 1:
        ((kind, given),) = description.items()
        given = [] if given is None else given if isinstance(given, Mapping | list | tuple) else [given]
    elif isinstance(description, str):
        kind, *given = description.strip().split(":")
    else:
        raise MethodError(f"{param}: {description!r} is no corruption. {RIGHT}")
    kind = str(kind).strip().lower()
    if kind not in FIELDS:
        raise MethodError(f"{param}: there is no corruption {kind!r}. {nearest(kind, FIELDS)} {RIGHT}")
    named = isinstance(given, Mapping)
    if (named and set(given) - set(FIELDS[kind])) or len(given) > len(FIELDS[kind]):
        takes = f"takes {' and '.join(FIELDS[kind])} only" if FIELDS[kind] else "takes no parameters"
        raise MethodError(f"{param}: {description!r} has too many parameters, {kind} {takes}.")
    return kind, dict(given) if named else dict(zip(FIELDS[kind], given, strict=False))


def _blur(values: Mapping[str, Any], asked: str) -> Corruption:
    side = _number(values.get("kernel"))
    if not (3 <= side <= MOST_KERNEL and side % 2 == 1):
        raise MethodError(f"{asked} needs an odd kernel from 3 to {MOST_KERNEL} pixels, such as blur:3:0.8.")
    sigma = _number(values.get("sigma", blur_sigma(int(side))))
    if not 0 < sigma < math.inf:
        raise MethodError(f"{asked} needs a sigma above 0, in pixels, such as blur:3:0.8.")
    return Corruption("blur", kernel=int(side), sigma=sigma)


def _number(value: Any) -> float:
    """The number a value is or spells; NaN, which no limits hold, for anything else."""
    try:
        return math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return math.nan


# ------------------------------------------------------------------------------------------------------- pictures


def corrupt(picture: Picture, corruption: Corruption, rng: np.random.Generator) -> Picture:
    """The damaged picture, of the same size; only salt and pepper draws random numbers."""
    kinds: dict[str, Callable[[], Picture]] = {
        "grey": lambda: grey(picture),
        "blur": lambda: gaussian_blur(picture, corruption.kernel, corruption.sigma),
        "salt_pepper": lambda: salt_and_pepper(picture, corruption.share, rng),
    }
    return kinds[corruption.kind]() if corruption.kind in kinds else reordered(picture, corruption.kind)


def grey(picture: Picture) -> Picture:
    """The luma of Rec. 601, 0.299 R + 0.587 G + 0.114 B, in all three channels."""
    import numpy as np

    luma = np.asarray(picture, dtype=np.float64) @ np.array(GREY_WEIGHTS)  # H W
    return np.repeat(luma[:, :, None], 3, axis=2).astype(np.asarray(picture).dtype)  # H W 3


def reordered(picture: Picture, order: str) -> Picture:
    """The channels in another order: "brg" puts blue where red was, red where green was, green where blue was."""
    import numpy as np

    return np.ascontiguousarray(np.asarray(picture)[:, :, ["rgb".index(letter) for letter in order]])  # H W 3


def gaussian_blur(picture: Picture, kernel: int, sigma: float) -> Picture:
    """The picture under a kernel x kernel Gaussian that sums to one; mirrored at the border, edge pixel not doubled."""
    import numpy as np

    half = kernel // 2
    weights = np.exp(-0.5 * (np.arange(-half, half + 1) / sigma) ** 2)
    weights /= weights.sum()
    out = np.asarray(picture, dtype=np.float64)
    for axis in (0, 1):  # a Gaussian is the product of one along each axis
        around = [(half, half) if other == axis else (0, 0) for other in range(3)]
        padded = np.pad(out, around, mode="reflect")
        length = out.shape[axis]
        out = sum(
            weight * np.take(padded, range(shift, shift + length), axis=axis) for shift, weight in enumerate(weights)
        )
    return np.clip(out, 0, 1).astype(np.asarray(picture).dtype)  # H W 3


def salt_and_pepper(picture: Picture, share: float, rng: np.random.Generator) -> Picture:
    """Each pixel with probability `share` black or white in all three channels, either with one half.

    Two numbers are drawn per pixel whatever the share, so that from equally seeded generators a larger share damages
    the same pixels in the same way, and more.
    """
    import numpy as np

    hit, white = rng.random((2, *picture.shape[:2]))  # each H W
    out = np.array(picture)
    out[hit < share] = 0
    out[(hit < share) & (white < 0.5)] = 1
    return out


# ----------------------------------------------------------------------------------------------- what a net then sees


def check_resolution(resolution: Any, param: str = "resolution") -> None:
    """Nothing, or MethodError for what is neither "input" nor "source" nor a side in pixels."""
    low, high = RESOLUTIONS
    fits = isinstance(resolution, int) and not isinstance(resolution, bool) and low <= resolution <= high
    if not fits and resolution not in ("input", "source"):
        raise MethodError(
            f"{param}: {resolution!r} is no size at which to damage a picture. Right would be input, source or a side "
            f"from {low} to {high} pixels."
        )


def resolution_words(resolution: str | int, preprocess: Preprocess, picture: Picture | None = None) -> str:
    """The resolution as people read it: "128 x 128 pixels"."""
    if resolution == "source":
        return (
            "the source's size" if picture is None else f"the source's {picture.shape[1]} x {picture.shape[0]} pixels"
        )
    side = preprocess.size if resolution == "input" else resolution
    return f"{side} x {side} pixels"


def views(
    picture: Picture, preprocess: Preprocess, corruptions: Sequence[Corruption | None], resolution: str | int, seed: int
) -> Iterator[Picture]:
    """What a net sees of a picture, S x S x 3, under each corruption (None: none), damaged at the resolution.

    The picture without a corruption takes the same way through that resolution, so that only the damage differs. Every
    corruption draws from the same seed: the noise of a smaller lambda is part of that of a larger one.
    """
    import numpy as np

    start, size = picture, preprocess.size
    if resolution != "source":
        side = size if isinstance(resolution, str) else resolution
        start = images.view(picture, replace(preprocess, size=side, resize=round(preprocess.resize * side / size)))
    for corruption in corruptions:
        done = corrupt(start, corruption, np.random.default_rng(seed)) if corruption else start
        whole = resolution == "source"
        yield images.view(done, preprocess) if whole else transform.resized(done, size, preprocess.interpolation)
