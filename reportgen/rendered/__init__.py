"""Rendered worlds: data sets whose truth is known, because every picture is drawn by code from a seed.

A picture of the world `objects` shows one object of ten classes, made of parts, in a random pose, light and colour,
among clutter and sometimes partly hidden, on a background that has the spectrum or the texture of a photo. With it
come the class, the box (half open: picture[y0:y1, x0:x1]), the mask of what is visible of the object, the masks of its
parts and the points where parts are. The truth cannot err: picture and masks come from the same samples (nine per
pixel, `raster`).

Parts are kinds (eye, wheel, window), one mask for all of a kind, and the same word in every class; their masks do not
overlap and together are the object's. A point is named by its part, or by a qualifier and its part (left_eye), so that
`name.rpartition("_")[2]` is the part; it is there if its pixel shows that part. Left and right are those of the
picture before the object is turned; front and back are the object's own, which may look to either side.

A scene depends on the world's name, the seed and the picture's number alone. The same picture at another size is the
same scene, and the first pictures of a large set are those of a small one. NumPy is imported when a picture is drawn.
"""

from __future__ import annotations

import hashlib

from reportgen.errors import ImageError, nearest
from reportgen.examples import Dataset, Example

NAMES = ("objects",)
RENDERER_VERSION = 1  # bump when any picture, mask or point changes
CLASSES = ("airplane", "bird", "boat", "butterfly", "car", "face", "fish", "flower", "house", "tree")
SIZES = (32, 1024)  # pixels; below this eyes and wheels are gone, above it a picture takes seconds
TITLE = "rendered world"


def world(name: str, n: int, size: int = 128, seed: int = 0) -> Dataset:
    """The first `n` pictures of a rendered world, `size` x `size` pixels each, their classes in turn."""
    if name not in NAMES:
        raise ImageError(f"There is no rendered world {name!r}. {nearest(name, NAMES)}")
    if n < 1:
        raise ImageError(f"The rendered world {name!r} cannot have {n} pictures; give an n of at least 1.")
    if not SIZES[0] <= size <= SIZES[1]:
        raise ImageError(
            f"The rendered world {name!r} cannot be drawn with {size} pixels a side; "
            f"give a size from {SIZES[0]} to {SIZES[1]}."
        )
    labels = tuple(i % len(CLASSES) for i in range(n))

    def load(i: int) -> Example:
        from reportgen.rendered.raster import render
        from reportgen.rendered.scenes import scene

        i = range(n)[i]
        return render(scene(name, seed, i, CLASSES[labels[i]]), size)

    def digest() -> str:
        return hashlib.sha256(f"rendered {RENDERER_VERSION} {name} {n} {size} {seed}".encode()).hexdigest()

    names = tuple(f"{CLASSES[label]}/{i:05d}" for i, label in enumerate(labels))
    return Dataset(TITLE, CLASSES, names, labels, load, digest, masks=True, points=True)
