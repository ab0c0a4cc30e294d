"""What a recipe's pictures are before any is read: their classes and digest, and whether they can be trained on."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path

from reportgen.dataset_files import digests, open_files
from reportgen.errors import ImageError
from reportgen.examples import Dataset, Example
from reportgen.images import decode
from reportgen.training.data import rendered_world, sorted_entries
from reportgen.training.recipe import RENDERED, Recipe


def training_pictures(recipe: Recipe, memo_dir: Path | None = None) -> tuple[Dataset, Dataset]:
    """The pictures a recipe trains on and those it measures on; no picture is read before it is asked for.

    Their digests are those that the run itself notes; digests of files are remembered in `memo_dir`. Raises ImageError
    for sources that are not there or cannot be trained on.
    """
    train = _opened(recipe.data.train, recipe.short_side, None, "training pictures", memo_dir)
    _check_enough(recipe, train.classes, len(train))
    val = _opened(recipe.data.val, recipe.short_side, train.classes, "validation pictures", memo_dir)
    check_classes(recipe, train.classes, train.labels, val.labels)
    return train, val


def check_classes(recipe: Recipe, classes: Sequence[str], train: Iterable[int], val: Iterable[int]) -> None:
    """Nothing, or ImageError where a class has nothing to be learned from or measured on; labels count in `classes`."""
    counts = Counter(int(label) for label in train)
    _check_enough(recipe, classes, counts.total())
    for known, part, sources in (
        (counts, "training", recipe.data.train),
        (Counter(int(label) for label in val), "validation", recipe.data.val),
    ):
        lacking = [name for label, name in enumerate(classes) if not known[label]]
        if lacking:
            where = ", ".join(Path(source).name for source in sources)
            raise ImageError(
                f"The {part} data {where} lack pictures of the {'class' if len(lacking) == 1 else 'classes'} "
                f"{', '.join(lacking)}; the classes of training and validation should be the same."
            )


def _check_enough(recipe: Recipe, classes: Sequence[str], pictures: int) -> None:
    if pictures < 2 or len(classes) < 2:
        where = ", ".join(Path(source).name for source in recipe.data.train)
        what = "a single picture" if pictures == 1 else f"pictures of a single class ({', '.join(classes)})"
        raise ImageError(f"The training data {where} hold {what}; a net needs at least two classes to tell apart.")


def _opened(
    sources: Sequence[str], side: int, classes: Sequence[str] | None, name: str, memo_dir: Path | None
) -> Dataset:
    if any(source.startswith(RENDERED) for source in sources):
        world = rendered_world(sources, side)
        return Dataset(name, world.classes, world.names, world.labels, world.load, world.digest)
    entries = sorted_entries(sources)
    names = tuple(sorted({entry.label for entry in entries}) if classes is None else classes)
    strangers = sorted({entry.label for entry in entries} - set(names))
    if strangers:
        where = ", ".join(Path(source).name for source in sources)
        raise ImageError(f"The {name} {where} show what is not trained: {', '.join(strangers)}.")
    files = {source: open_files(source) for source in sorted({entry.source for entry in entries})}

    def load(place: int) -> Example:
        entry = entries[place]
        return Example(decode(BytesIO(files[entry.source].read(entry.member)), f"{entry.label}/{entry.name}"))

    def digest() -> str:
        known = {
            source: digests(opened, [entry.member for entry in entries if entry.source == source], memo_dir)
            for source, opened in files.items()
        }
        lines = [f"{entry.label}/{entry.name} {known[entry.source][entry.member]}\n" for entry in entries]
        return hashlib.sha256("".join(lines).encode()).hexdigest()  # as `load_photos` notes it

    labels = tuple(names.index(entry.label) for entry in entries)
    return Dataset(name, names, tuple(f"{entry.label}/{entry.name}" for entry in entries), labels, load, digest)
