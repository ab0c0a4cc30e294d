"""Data sets: labelled pictures from folders, .zip files, torchvision's sets, the spec itself and rendered worlds.

Opening one lists it and reads its labels; a picture is read when it is asked for. Nothing is ever downloaded here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from reportgen.dataset_files import Files, digests, open_files
from reportgen.dataset_layouts import Entry, Layout, read_layout
from reportgen.errors import ImageError, nearest
from reportgen.examples import Dataset, Example
from reportgen.images import decode
from reportgen.keys import digest
from reportgen.store import default_root

if TYPE_CHECKING:
    from reportgen.examples import Mask
    from reportgen.spec_models import DatasetSpec, ImageSpec

RENDERED = 1000  # pictures of a rendered world where the spec does not say how many
SIDE = 128  # and their pixels


class Published(NamedTuple):
    """A set that torchvision knows how to get."""

    title: str
    file: str  # what `reportgen fetch` makes of it


PUBLISHED = {
    "imagenette": Published("Imagenette (validation)", "imagenette2-320-val.zip"),
    "cifar10": Published("CIFAR-10 (test)", "cifar10-test.zip"),
}
_KIND = re.compile(r"([a-z]{2,}):(.*)", re.DOTALL)


def load_dataset(
    source: str | Path,
    *,
    n: int | None = None,
    seed: int = 0,
    size: int | None = None,
    labels: str | Path | None = None,
) -> Dataset:
    """A data set for `reportgen.compute`: see `open_dataset`; paths are below the working directory."""
    return open_dataset(str(source), base=Path.cwd(), n=n, seed=seed, size=size, labels=labels)


def open_dataset(
    source: str,
    *,
    base: Path,
    n: int | None = None,
    seed: int = 0,
    size: int | None = None,
    labels: str | Path | None = None,
    spec_images: Mapping[str, ImageSpec] | None = None,
    memo_dir: Path | None = None,
) -> Dataset:
    """The data set that a source means. Raises ImageError, LabelsError where the labels file is at fault.

    A source is a path below `base` (a folder or .zip of class folders; Tiny ImageNet; pictures with a `labels` file),
    `torchvision:imagenette`, `torchvision:cifar10`, `images:` and `patches:` (of `spec_images`), or `rendered:NAME`
    with pictures of `size`. `n` takes so many of a set, as evenly over its classes as `seed` decides; of patches and
    rendered worlds it makes so many. Digests of files are remembered in `memo_dir`.
    """
    if problem := source_problem(source, n=n, size=size, labels=labels):
        raise ImageError(problem)
    match = _KIND.fullmatch(source)
    if match is None:
        return _in_files(source, base, n, seed, labels, memo_dir)
    kind, name = match.groups()
    if kind == "rendered":
        from reportgen import rendered

        return rendered.world(name, n or RENDERED, size or SIDE, seed)
    if kind == "torchvision":
        return _published(name, n, seed, memo_dir)
    from reportgen.dataset_own import own_images, own_patches

    shown = spec_images or {}
    return own_patches(shown, base, n, seed) if kind == "patches" else _some(own_images(shown, base), n, seed)


def from_spec(
    asked: DatasetSpec, *, base: Path, images: Mapping[str, ImageSpec], memo_dir: Path | None = None
) -> Dataset:
    """The data set that an entry of a spec means, under its title. Raises as `open_dataset` does."""
    found = open_dataset(
        asked.source,
        base=base,
        n=asked.n,
        seed=asked.seed,
        size=asked.size,
        labels=asked.labels,
        spec_images=images,
        memo_dir=memo_dir,
    )
    return replace(found, name=asked.title or found.name)


def source_problem(
    source: str, *, n: int | None = None, size: int | None = None, labels: str | Path | None = None
) -> str:
    """What is wrong with a source and what is asked of it, as far as that is known without looking; else nothing."""
    match = _KIND.fullmatch(source)
    kind, name = match.groups() if match else ("", "")
    if n is not None and n < 1:
        return f"The data set {source} is to have n pictures, and n should be 1 or more, not {n}."
    if labels is not None and match:
        return f"The data set {source} takes no labels file; only pictures in a folder or .zip do."
    if size is not None and kind != "rendered":
        return f"The data set {source} takes no size; only rendered: worlds are made in the size that is asked for."
    if kind in ("images", "patches"):
        return f"The source {kind}: takes no name; it means the spec's own images." if name else ""
    known = _known(kind)
    if not match or source in known:
        return ""
    what = {"rendered": "rendered world", "torchvision": "data set of torchvision"}.get(kind)
    if what is None:
        return f"There is no kind of data set {kind + ':'!r}. {nearest(source, [*known, 'images:', 'patches:'])}"
    return f"There is no {what} {name!r}. {nearest(source, known)}"


def published_file(name: str) -> Path:
    """Where `reportgen fetch` puts a set of torchvision: in the user's cache folder, whatever store a build uses."""
    return default_root() / "datasets" / PUBLISHED[name].file


def fingerprint(source: str, *, base: Path) -> str:
    """What stays the same while no file of a folder, .zip or torchvision's set changes; quick, for no key."""
    match = _KIND.fullmatch(source)
    if match and match[1] != "torchvision":
        return source
    path = published_file(match[2]) if match else _path(source, base)
    if not path.is_dir():
        stat = path.stat() if path.is_file() else None
        return digest([source, [stat.st_size, stat.st_mtime_ns, stat.st_ino] if stat else None])
    files = open_files(path)
    return digest([[ascii(name), files.stamp(name)] for name in files.names])


def spread(labels: Sequence[int], n: int | None, seed: int) -> list[int]:
    """The places of `n` pictures, as many of each class as there are, in the order of the set; all without n."""
    if n is None or n >= len(labels):
        return list(range(len(labels)))
    import numpy as np

    rng = np.random.default_rng(seed)
    of_class, tie = np.asarray(labels), rng.random(len(labels))
    order = np.lexsort((tie, of_class))  # every class shuffled, one after the other
    starts = np.searchsorted(of_class[order], of_class[order])
    rank = np.empty(len(labels), np.int64)
    rank[order] = np.arange(len(labels)) - starts  # first of its class, second ...
    chosen: list[int] = np.sort(np.lexsort((tie, rank))[:n]).tolist()
    return chosen


def _known(kind: str) -> list[str]:
    """The sources of a kind by name; of all kinds for one that there is not."""
    published = [f"torchvision:{name}" for name in PUBLISHED]
    if kind == "torchvision":
        return published
    from reportgen import rendered

    worlds = [f"rendered:{name}" for name in rendered.NAMES]
    return worlds if kind == "rendered" else [*published, *worlds]


def _path(source: str, base: Path) -> Path:
    try:
        return base / Path(source).expanduser()
    except RuntimeError:  # ~somebody who has no home
        return base / source


def _published(name: str, n: int | None, seed: int, memo_dir: Path | None) -> Dataset:
    title, file = PUBLISHED[name].title, published_file(name)
    if not file.is_file():
        raise ImageError(
            f"The data set torchvision:{name} is not here: {file.name} was looked for in {file.parent}. `reportgen "
            "fetch SPEC` brings what a spec needs."
        )
    files = open_files(file)
    return _dataset(title, files, read_layout(files, None, title), n, seed, memo_dir)


def _in_files(
    source: str, base: Path, n: int | None, seed: int, labels: str | Path | None, memo_dir: Path | None
) -> Dataset:
    path = _path(source, base)
    files = open_files(path, source)
    listed = None if labels is None else _path(str(labels), base)
    return _dataset(path.resolve().name, files, read_layout(files, listed, source), n, seed, memo_dir)


def _dataset(name: str, files: Files, layout: Layout, n: int | None, seed: int, memo_dir: Path | None) -> Dataset:
    """The data set of pictures in files, or `n` of them."""
    chosen = spread([entry.label for entry in layout.entries], n, seed)
    entries = tuple(layout.entries[place] for place in chosen)

    def load(place: int) -> Example:
        entry = entries[place]
        shown = f"{entry.name} of {files.source.name}"
        picture = decode(BytesIO(files.read(entry.file)), shown)
        return Example(picture, _mask(files, entry, picture.shape[:2]) if entry.mask else None)

    @cache
    def known() -> str:
        found = digests(files, [file for entry in entries for file in (entry.file, entry.mask) if file], memo_dir)
        listed = [[e.name, e.label, found[e.file], found[e.mask] if e.mask else None] for e in entries]
        return digest([layout.classes, listed])

    return Dataset(
        name,
        layout.classes,
        tuple(entry.name for entry in entries),
        tuple(entry.label for entry in entries),
        load,
        known,
        masks=all(entry.mask for entry in entries),
    )


def _some(data: Dataset, n: int | None, seed: int) -> Dataset:
    """`n` pictures of a data set."""
    chosen = spread(data.labels, n, seed)
    return replace(
        data,
        names=tuple(data.names[place] for place in chosen),
        labels=tuple(data.labels[place] for place in chosen),
        load=lambda place: data.load(chosen[place]),
        digest=lambda: digest([data.digest(), chosen]),
    )


def _mask(files: Files, entry: Entry, size: tuple[int, ...]) -> Mask:
    """Where the mask of a picture is not zero, H x W."""
    import numpy as np
    from PIL import Image

    shown = f"{entry.mask} of {files.source.name}"
    try:
        with Image.open(BytesIO(files.read(entry.mask)), formats=("PNG",)) as opened:
            found = (opened.height, opened.width)
            if found == size:  # told before anything is decoded
                values = np.asarray(opened)  # H W, of a palette the indices, or H W C
                if opened.mode in ("RGBA", "LA"):
                    values = values[:, :, :-1]  # what is see-through is not the question
                return np.asarray(values.reshape(*size, -1).any(axis=2))  # H W
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"The mask {shown} is no PNG that can be read.") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"The mask {shown} has far more pixels than its picture.") from error
    raise ImageError(
        f"The mask {shown} has {found[1]} x {found[0]} pixels; its picture {entry.name} has {size[1]} x {size[0]}, and "
        "so should the mask."
    )
