"""The spec's own pictures as data sets: `images:` those with a label, `patches:` random squares of them all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from reportgen import images
from reportgen.errors import ImageError
from reportgen.examples import Dataset, Example
from reportgen.keys import digest
from reportgen.records import Picture
from reportgen.targets import normal

if TYPE_CHECKING:
    from reportgen.spec_models import ImageSpec

PATCHES = 500  # where the spec does not say how many
SMALLEST = 0.25  # of the short side; smaller ones rarely show a thing
_RECIPE = 1  # bump when other squares are drawn for the same seed


@dataclass(frozen=True)
class Square:
    """A square of a picture whose size is not known yet."""

    image: str
    side: float  # of the short side
    x: float  # 0..1 of the room that is left
    y: float


def own_images(shown: Mapping[str, ImageSpec], base: Path) -> Dataset:
    """The spec's labelled images with their points; pictures that have no label are left out."""
    labelled = {name: image for name, image in shown.items() if image.label}
    if not labelled:
        raise ImageError("The data set images: means the spec's own images that have a label, and none has one.")
    names = tuple(labelled)
    classes, labels = _classes([image.label for image in labelled.values()])

    def load(place: int) -> Example:
        image = labelled[names[place]]
        return Example(_picture(image, base), points=image.points_in_crop())

    def known() -> str:
        return digest([classes, labels, [[name, _identity(labelled[name], base, points=True)] for name in names]])

    points = any(image.points for image in labelled.values())
    return Dataset("the report's own photos", classes, names, labels, load, known, points=points)


def own_patches(shown: Mapping[str, ImageSpec], base: Path, n: int | None, seed: int) -> Dataset:
    """`n` random squares of the spec's images, as many of each; their class is that of their image."""
    if not shown:
        raise ImageError("The data set patches: means squares of the spec's own images, and there are none.")
    squares = _squares(list(shown), n or PATCHES, seed)
    counted: dict[str, int] = {}
    names = []
    for square in squares:
        counted[square.image] = counted.get(square.image, 0) + 1
        names.append(f"{square.image}-{counted[square.image]:04d}")
    classes, own = _classes([image.label for image in shown.values()])
    of_image = dict(zip(shown, own, strict=True))
    lock = Lock()  # squares of one picture follow each other: one thread reads it, the others find it read
    picture = lru_cache(maxsize=2)(lambda name: _picture(shown[name], base))

    def load(place: int) -> Example:
        with lock:
            whole = picture(squares[place].image)
        return Example(_cut(whole, squares[place]))

    def known() -> str:
        files = [[name, of_image[name], _identity(image, base, points=False)] for name, image in shown.items()]
        return digest([_RECIPE, classes, files, len(squares), seed])

    labels = tuple(of_image[square.image] for square in squares)
    return Dataset("squares of the report's own photos", classes, tuple(names), labels, load, known)


def _squares(names: Sequence[str], n: int, seed: int) -> list[Square]:
    """The squares of all pictures; those of one do not depend on which others there are."""
    import numpy as np

    each, left = divmod(n, len(names))
    squares = []
    for place, name in enumerate(names):
        rng = np.random.default_rng([seed, int(hashlib.sha256(name.encode()).hexdigest()[:16], 16)])
        for side, x, y in rng.random((each + (place < left), 3)).tolist():
            squares.append(Square(name, SMALLEST + (1 - SMALLEST) * side, x, y))
    return squares


def _cut(picture: Picture, square: Square) -> Picture:
    import numpy as np

    height, width = picture.shape[:2]
    side = max(1, round(square.side * min(height, width)))
    top, left = round(square.y * (height - side)), round(square.x * (width - side))
    return np.ascontiguousarray(picture[top : top + side, left : left + side])  # side side 3


def _classes(given: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Classes in the order of their first picture, and the class of each picture; -1 for those without a label.

    Pictures whose first labels are the same belong together; all their labels are names of the class.
    """
    found: dict[str, list[str]] = {}
    for labels in given:
        if labels:
            known = found.setdefault(normal(labels[0]), [])
            known += [label for label in labels if label not in known]
    order = {first: place for place, first in enumerate(found)}
    classes = tuple(", ".join(names) for names in found.values())
    return classes, tuple(order[normal(labels[0])] if labels else -1 for labels in given)


def _picture(image: ImageSpec, base: Path) -> Picture:
    return images.load_image(image.source, base=base, crop=image.crop)


def _identity(image: ImageSpec, base: Path, points: bool) -> list[object]:
    """What decides the pixels, and the points where they are asked for."""
    content = images.image_digest(images.find_image(image.source, base))
    return [content, image.crop, image.points if points else None]
