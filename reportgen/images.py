"""Pictures: sources (files, photos that ship with installed packages) -> RGB arrays 0..1 -> what a net sees.

Pillow and NumPy are imported inside functions: a build with nothing to do only finds files and digests their
bytes.
"""

from __future__ import annotations

import hashlib
import importlib.util
import threading
import warnings
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from reportgen.errors import ImageError, nearest
from reportgen.records import Array, Picture, Preprocess

if TYPE_CHECKING:
    from PIL import Image

    from reportgen.examples import Mask

# Photos in packages, found without importing these: package -> folder below it.
GALLERIES = {"skimage": "data", "sklearn": "datasets/images", "matplotlib": "mpl-data/sample_data"}
SUFFIXES = (
    ".jpg",
    ".jpeg",
    ".png",
    ".webp",
    ".gif",
    ".bmp",
    ".tif",
    ".tiff",
    ".ppm",
    ".pgm",
    ".jp2",
    ".avif",
)
# Pillow knows more formats, but some of them start other programs (EPS runs Ghostscript).
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")
_warnings_lock = threading.Lock()  # catch_warnings is not safe in threads before Python 3.14


# ---------------------------------------------------------------------------------------------- finding files


def find_image(source: str | Path, base: Path | None = None) -> Path:
    """The file of an image source: a path below `base`, or `skimage:NAME`, `sklearn:NAME`, `matplotlib:NAME`.

    NAME may leave out the suffix. Raises ImageError with the nearest names where there is no such file.
    """
    if isinstance(source, str) and source.partition(":")[0] in GALLERIES:
        return _find_in_gallery(source)
    path = _below(source, base)
    if path.is_dir():
        raise ImageError(f"The image {source} is a folder; a file, or a pattern such as {source}/*.jpg, is wanted.")
    if not path.is_file():
        raise ImageError(f"There is no image file {source}. {_nearest_file(path)}".rstrip())
    return path


def is_pattern(source: str, base: Path | None = None) -> bool:
    """Whether an image source means many files (`photos/*.jpg`); a file of that very name is no pattern."""
    return any(sign in source for sign in "*?[") and not _below(source, base).is_file()


def find_images(pattern: str, base: Path | None = None) -> list[Path]:
    """The picture files that match a pattern such as `photos/*.jpg`, sorted by name; ImageError for none."""
    path = _below(pattern, base)
    fixed = next(parent for parent in path.parents if not any(sign in str(parent) for sign in "*?["))
    found = sorted(f for f in fixed.glob(str(path.relative_to(fixed))) if f.is_file() and f.suffix.lower() in SUFFIXES)
    if not found:
        raise ImageError(f"No picture files match {pattern}.")
    return found


def image_digest(path: Path) -> str:
    """The SHA-256 of a file's bytes."""
    try:
        with path.open("rb") as file:
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
            return digest.hexdigest()
    except OSError as error:
        raise ImageError(f"The image {path} cannot be read: {error.strerror or error}.") from error


def _below(source: str | Path, base: Path | None) -> Path:
    try:
        path = Path(source).expanduser()
    except RuntimeError:  # ~somebody who has no home
        path = Path(source)
    return path if base is None else base / path


def _nearest_file(path: Path) -> str:
    if not path.parent.is_dir():
        return f"There is no folder {path.parent.name}."
    names = [file.name for file in path.parent.iterdir() if file.suffix.lower() in SUFFIXES]
    return nearest(path.name, names) if names else "Its folder holds no pictures."


def _find_in_gallery(source: str) -> Path:
    package, _, name = source.partition(":")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ImageError(f"The image {source} comes from the package {package}, which is not installed.")
    folder = Path(next(iter(spec.submodule_search_locations)), GALLERIES[package])
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    photos = {file.name: file for file in files if file.suffix.lower() in SUFFIXES}
    by_stem = {file.stem: file for file in reversed(list(photos.values()))}
    found = photos.get(name) or by_stem.get(name)
    if found is None:
        raise ImageError(f"The package {package} ships no image {name!r}. {nearest(name, [*by_stem, *photos])}")
    return found


# --------------------------------------------------------------------------------------------------- decoding


def load_image(source: str | Path, *, base: Path | None = None, crop: Sequence[int] | None = None) -> Picture:
    """The picture of an image source as H x W x 3 float32, RGB, 0..1; `crop` is [x0, y0, x1, y1] in pixels.

    EXIF rotation is applied first, the other metadata dropped; alpha is laid on white; grey, palette, CMYK
    and 16-bit files are converted; of an animation the first frame is taken. Raises ImageError for all
    that is no whole picture.
    """
    return decode(find_image(source, base), source, crop)


def image_size(source: str | Path, base: Path | None = None) -> tuple[int, int]:
    """Width and height of an image source after EXIF rotation, read from its header alone."""
    with _open(find_image(source, base), source) as opened:
        width, height = opened.size
        try:
            turned = opened.getexif().get(0x0112) in {5, 6, 7, 8}  # by a quarter; where the header is odd, not at all
        except (OSError, ValueError, SyntaxError, EOFError, KeyError):
            turned = False
    return (height, width) if turned else (width, height)


def decode(file: Path | BytesIO, source: str | Path, crop: Sequence[int] | None = None) -> Picture:
    """The picture in a file or in its bytes, as `load_image` gives it; errors call it `source`."""
    import numpy as np
    from PIL import ImageOps

    with _open(file, source) as opened:
        try:
            opened.load()
            turned = ImageOps.exif_transpose(opened)
            cut = turned if crop is None else turned.crop(_checked_crop(crop, turned.size, source))
            pixels = _rgb(cut, source)
        except (OSError, ValueError, SyntaxError, EOFError, KeyError, MemoryError) as error:
            raise ImageError(f"The image {source} is damaged or cut off: {_reason(error)}.") from error
    # one pass over memory, where a cast and then a division take two
    return pixels if pixels.dtype == np.float32 else np.divide(pixels, np.float32(255), dtype=np.float32)  # H W 3


def _open(file: Path | BytesIO, source: str | Path) -> Image.Image:
    """A file opened as a picture, not yet decoded; decompression bombs are refused by their header."""
    from PIL import Image, UnidentifiedImageError

    if (file.stat().st_size if isinstance(file, Path) else file.getbuffer().nbytes) == 0:
        raise ImageError(f"The image {source} is empty (0 bytes).")
    Image.init()
    formats = [name for name in FORMATS if name in Image.OPEN]  # AVIF is younger than our oldest Pillow
    try:
        with _warnings_lock, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd EXIF data does not make a photo bad
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return Image.open(file, formats=formats)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        limit = f"{Image.MAX_IMAGE_PIXELS or 0:,}"
        raise ImageError(
            f"The image {source} would take more than {limit} pixels when decoded (a decompression bomb, or "
            "simply too large). Make it smaller first."
        ) from error
    except UnidentifiedImageError as error:
        raise ImageError(f"The file {source} is not a picture. Known formats: {', '.join(formats)}.") from error
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise ImageError(f"The image {source} cannot be read: {_reason(error)}.") from error


def _reason(error: BaseException) -> str:
    """An error's text without the path of this machine."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).rstrip(".") or type(error).__name__


def _checked_crop(crop: Sequence[int], size: tuple[int, int], source: str | Path) -> tuple[int, int, int, int]:
    x0, y0, x1, y1 = crop
    if not (0 <= x0 < x1 <= size[0] and 0 <= y0 < y1 <= size[1]):
        raise ImageError(
            f"The crop {list(crop)} of the image {source} does not lie within its {size[0]} x {size[1]} "
            f"pixels; give [x0, y0, x1, y1] with 0 <= x0 < x1 <= {size[0]} and 0 <= y0 < y1 <= {size[1]}."
        )
    return x0, y0, x1, y1


def _rgb(image: Image.Image, source: str | Path) -> Array:
    """The pixels of any Pillow picture, H x W x 3: uint8 0..255, or float32 0..1 from deeper files."""
    import numpy as np
    from PIL import Image

    if image.mode.startswith("I") or image.mode == "F":
        return _from_deep_grey(image, source)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        layer = image.convert("LA") if image.mode == "La" else image
        layer = layer.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return np.asarray(image.convert("RGB"))


def _from_deep_grey(image: Image.Image, source: str | Path) -> Picture:
    """Grey of 16 bits (0..65535), or of floats that lie in 0..1, as H x W x 3 float32."""
    import numpy as np

    grey = np.asarray(image).astype(np.float64)  # H W
    top = 1.0 if image.mode == "F" else 65535.0
    low, high = float(grey.min()), float(grey.max())  # NaN if any is
    if not (low >= 0 and high <= top):
        raise ImageError(
            f"The image {source} has grey values from {low:g} to {high:g}; 0 to {top:g} is wanted. "
            "Save it as 8 or 16 bits."
        )
    return np.repeat((grey / top).astype(np.float32)[:, :, None], 3, axis=2)  # H W 3


# --------------------------------------------------------------------------------------- what a net looks at


def check_picture(picture: Picture) -> Picture:
    """The array itself if it is a picture (H x W x 3, finite, 0..1), else ImageError says what it is."""
    import numpy as np

    array = np.asarray(picture)
    if array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise ImageError(f"A picture is an array H x W x 3; this one has the shape {array.shape}.")
    low, high = float(array.min()), float(array.max())  # NaN if any is
    if not (low >= -1e-6 and high <= 1 + 1e-6):
        raise ImageError(f"A picture's values lie in 0..1; these go from {low:g} to {high:g}.")
    return array


def view(picture: Picture, preprocess: Preprocess) -> Picture:
    """What a net sees of a picture before normalising: S x S x 3 float32, 0..1.

    The same steps as torchvision's reference pipeline on an 8-bit Pillow image: short side to `resize` with
    antialiasing, central crop of `size` (black borders where the resized picture is smaller), divided by 255.
    """
    import numpy as np
    from PIL import Image

    levels = check_picture(picture) * np.float32(255)
    pixels = np.rint(levels, out=levels).astype(np.uint8)  # H W 3
    height, width = _resized(pixels.shape[0], pixels.shape[1], preprocess.resize)
    if (height, width) != pixels.shape[:2]:
        filters = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
        chosen = filters.get(preprocess.interpolation, Image.Resampling.NEAREST)
        pixels = np.asarray(Image.fromarray(pixels).resize((width, height), chosen))
    seen: Picture = np.divide(_central(pixels, preprocess.size), np.float32(255), dtype=np.float32)  # S S 3
    return seen


def view_mask(mask: Mask, preprocess: Preprocess) -> Mask:
    """A picture's mask (H x W) as the net sees it, S x S: the geometry of `view`, nearest pixels, False outside."""
    import numpy as np
    from PIL import Image

    pixels = np.asarray(mask)
    if pixels.ndim != 2 or pixels.dtype != np.bool_ or 0 in pixels.shape:
        raise ImageError(f"A mask is an array H x W of true and false; this one is {pixels.dtype}, {pixels.shape}.")
    height, width = _resized(pixels.shape[0], pixels.shape[1], preprocess.resize)
    if (height, width) != pixels.shape:
        pixels = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.NEAREST))
    return _central(pixels[:, :, None], preprocess.size)[:, :, 0]  # S S


def _resized(height: int, width: int, short: int) -> tuple[int, int]:
    """Height and width after the short side became `short`; the long side is cut to whole pixels."""
    long = int(short * max(height, width) / min(height, width))
    if short * long > 1 << 26:  # 64 megapixels: a line one pixel wide would fill the memory
        raise ImageError(
            f"A picture of {width} x {height} pixels is too narrow to be resized for a net. Crop it first."
        )
    return (short, long) if height <= width else (long, short)


def place_in_view(
    point: tuple[float, float], size: tuple[int, int], preprocess: Preprocess
) -> tuple[float, float] | None:
    """Where a point (x, y) of a picture of width x height lies in its `view`; None where the view leaves it out.

    Whole numbers are the centres of pixels, in the picture as in the view.
    """
    height, width = _resized(size[1], size[0], preprocess.resize)
    place = []
    for value, old, new in zip(point, size, (width, height), strict=True):
        seen = (value + 0.5) * new / old - 0.5 - _start(new, preprocess.size)
        if not -0.5 <= seen < preprocess.size - 0.5:
            return None
        place.append(seen)
    return place[0], place[1]


def _start(side: int, size: int) -> int:
    """Where a central cut of `size` begins on a side: below zero where it needs a border; halves round to even."""
    return round((side - size) / 2) if side >= size else -((size - side) // 2)


def _central(pixels: Array, size: int) -> Array:
    """The central `size` x `size` pixels, with black borders where there are fewer."""
    import numpy as np

    starts = [_start(side, size) for side in pixels.shape[:2]]
    borders = [
        (max(0, -start), max(0, start + size - side)) for start, side in zip(starts, pixels.shape[:2], strict=True)
    ]
    top, left = (max(0, start) for start in starts)
    return np.pad(pixels, (*borders, (0, 0)))[top : top + size, left : left + size]  # S S 3
