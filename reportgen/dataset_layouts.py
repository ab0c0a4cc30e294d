"""How the files of a folder or .zip make a labelled set: class folders, Tiny ImageNet, flat pictures with labels.

Everything is told from the names of the files, and from small text files beside them; no picture is opened.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from reportgen import dataset_labels
from reportgen.dataset_files import Files, Folder, as_text, read_text
from reportgen.dataset_labels import WNID, LabelsError
from reportgen.errors import ImageError
from reportgen.images import SUFFIXES

MASKS = "masks/"  # beside the class folders: cat/1.jpg has the mask masks/cat/1.png
SPLITS = {"train", "val", "valid", "validation", "test"}
CLUTTER = {"BACKGROUND_Google", "257.clutter"}  # of Caltech-101 and -256: pictures of nothing in particular
_NUMBERED = re.compile(r"\d{3}\.(.+)")  # Caltech-256 has 001.ak47
_NOTES = "val_annotations.txt"  # Tiny ImageNet's labels


@dataclass(frozen=True)
class Entry:
    """One picture of a set."""

    file: str  # path in the folder or .zip
    name: str  # what lists call it
    label: int  # index of its class, -1 where that is not known
    mask: str = ""  # path of its mask, if it has one


@dataclass(frozen=True)
class Layout:
    """The pictures of a set in their order."""

    classes: tuple[str, ...]
    entries: tuple[Entry, ...]


def read_layout(files: Files, labels: Path | None, shown: str) -> Layout:
    """The labelled pictures among files; a single folder above all the others is skipped.

    Raises ImageError where there are none, LabelsError for labels that do not fit.
    """
    names = [name for name in files.names if name.lower().endswith(SUFFIXES)]
    if not names:
        raise ImageError(f"The data {shown} holds no pictures in class folders, such as cat/1.jpg.")
    if labels is None and (tiny := _tiny_imagenet(files, names, shown)) is not None:
        return tiny
    top = _top(names, flat=True)
    pictures, masks = _apart(names, top)
    if labels is not None:
        short = [name[len(top) :] for name in pictures]
        return _listed(pictures, masks, top, dataset_labels.from_file(labels, short, shown))
    if (found := _flat_wnids(pictures, top)) is not None:
        return _listed(pictures, masks, top, found)
    top = _top(names, flat=False)
    pictures, masks = _apart(names, top)
    return _class_folders(files, pictures, masks, top, shown)


def in_class_folders(names: Sequence[str]) -> list[tuple[str, str, str]]:
    """Path, class folder and path below it of each file that lies in one; a single folder above them is skipped."""
    skip = len(_top(names, flat=False))
    parts = ((name, *name[skip:].partition("/")) for name in names)
    return [(name, folder, below) for name, folder, slash, below in parts if slash]


def _top(names: Sequence[str], flat: bool) -> str:
    """The single folder above everything, with its slash, or nothing: in class folders what lies in it lies deeper."""
    firsts = {name.partition("/")[0] for name in names}
    deep = all(name.count("/") > (0 if flat else 1) for name in names)
    return f"{firsts.pop()}/" if len(firsts) == 1 and deep else ""


def _apart(names: Sequence[str], top: str) -> tuple[list[str], dict[str, str]]:
    """The pictures, and the masks by the path of their picture without top and suffix.

    A folder called masks holds masks if one of its files is called just like a picture; else it is a class.
    """
    start = f"{top}{MASKS}"
    pictures = [name for name in names if not name.startswith(start)]
    stems = {_stem(name[len(top) :]) for name in pictures}
    below = [name for name in names if name.startswith(start) and name.lower().endswith(".png")]
    masks = {stem: name for name in below if (stem := _stem(name[len(start) :])) in stems}
    return (pictures, masks) if masks else (list(names), {})


def _listed(
    pictures: Sequence[str], masks: Mapping[str, str], top: str, found: tuple[tuple[str, ...], list[int]]
) -> Layout:
    """The layout of pictures whose labels are known, in the order of their names."""
    classes, labels = found
    short = [name[len(top) :] for name in pictures]
    return Layout(
        classes,
        tuple(
            Entry(file, _printable(name), label, masks.get(_stem(name), ""))
            for file, name, label in zip(pictures, short, labels, strict=True)
        ),
    )


def _flat_wnids(pictures: Sequence[str], top: str) -> tuple[tuple[str, ...], list[int]] | None:
    """Classes and labels of pictures in one folder that are all called <wnid>_<label>."""
    if any("/" in name[len(top) :] for name in pictures):
        return None
    found = dataset_labels.from_names(pictures)
    if found is None or (top and any(WNID.fullmatch(name) for name in found[0])):
        return None  # tench/n01440764_1.jpg: the folder says more
    return found


def _class_folders(files: Files, pictures: Sequence[str], masks: Mapping[str, str], top: str, shown: str) -> Layout:
    found = in_class_folders(pictures)
    if not found:
        raise ImageError(
            f"The data {shown} holds no pictures in class folders, such as cat/1.jpg; {len(pictures):,} lie in no "
            "folder. Give their classes with `labels:`, a file of one label per line or of lines `file.jpg label`."
        )
    folders = sorted({folder for _, folder, _ in found})
    if len(folders) > 1 and set(folders) <= SPLITS and all("/" in below for _, _, below in found):
        raise ImageError(
            f"The data {shown} has its class folders in {' and '.join(folders)}; name one of them, such as "
            f"{shown}/{folders[-1]}{'' if isinstance(files, Folder) else ' (unpack the .zip first)'}."
        )
    folders = [folder for folder in folders if folder not in CLUTTER] or folders
    classes = _class_names(files, top, folders)
    index = {folder: number for number, folder in enumerate(folders)}
    entries = [
        Entry(file, _printable(f"{folder}/{below}"), index[folder], masks.get(_stem(f"{folder}/{below}"), ""))
        for file, folder, below in found
        if folder in index
    ]
    return Layout(classes, tuple(sorted(entries, key=lambda entry: (entry.label, entry.file))))


def _class_names(files: Files, top: str, folders: Sequence[str]) -> tuple[str, ...]:
    """What classes are called: their folders, but for Caltech-256's numbers and entries of WordNet."""
    if all(WNID.fullmatch(folder) for folder in folders) and (words := _words(files, top)):
        return dataset_labels.distinct([words.get(folder, folder) for folder in folders], folders)
    numbered = [_NUMBERED.fullmatch(folder) for folder in folders]
    bare = [match[1] for match in numbered if match is not None]
    return tuple(_printable(name) for name in (bare if len(set(bare)) == len(folders) else folders))


def _words(files: Files, top: str) -> dict[str, str]:
    """The names of WordNet's entries, from a words.txt in the set or in the folder above it."""
    if f"{top}words.txt" in files.names:
        return dataset_labels.words(read_text(files, f"{top}words.txt"))
    above = files.source.parent / "words.txt"
    if not isinstance(files, Folder) or not above.is_file():
        return {}
    return dataset_labels.words(as_text(above.read_bytes(), above.name))


def _tiny_imagenet(files: Files, names: Sequence[str], shown: str) -> Layout | None:
    """Tiny ImageNet's validation pictures, where its folder or the val folder in it was named; else None."""
    notes = [name for name in files.names if name.rpartition("/")[2] == _NOTES]
    if len(notes) != 1:
        return None
    val = notes[0].removesuffix(_NOTES)  # the folder of the notes: "tiny-imagenet-200/val/", "val/" or ""
    root = val.rstrip("/").rpartition("/")[0]
    top = f"{root}/" if root else ""
    rows = [line.split("\t") for line in read_text(files, notes[0]).splitlines() if line.strip()]
    labels = {f"{val}images/{row[0]}": row[1] for row in rows if len(row) > 1}
    pictures = [name for name in names if name.startswith(f"{val}images/")]
    if not pictures:
        raise ImageError(f"The data {shown} holds no pictures in val/images, though {_NOTES} labels them.")
    if unlabelled := [name for name in pictures if name not in labels]:
        raise LabelsError(
            f"The labels file {_NOTES} has no label for {len(unlabelled):,} of the {len(pictures):,} pictures of "
            f"{shown}, the first {unlabelled[0]!r}."
        )
    known = set(labels.values())
    if f"{top}wnids.txt" in files.names:
        known |= set(read_text(files, f"{top}wnids.txt").split())
    order = sorted(known)
    words = _words(files, top)
    classes = dataset_labels.distinct([words.get(wnid, wnid) for wnid in order], order)
    index = {wnid: number for number, wnid in enumerate(order)}
    start = len(f"{val}images/")
    entries = [Entry(name, _printable(name[start:]), index[labels[name]]) for name in pictures]
    return Layout(classes, tuple(entries))


def _stem(name: str) -> str:
    return name[: name.rindex(".")]


def _printable(name: str) -> str:
    """A file's name as text that can be written anywhere: bytes that are no UTF-8 are spelled out."""
    return name.encode("utf-8", "backslashreplace").decode()
