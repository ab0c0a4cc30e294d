"""Labels of pictures that lie in no class folders: from a labels file, or from names such as n01440764_tench.jpg."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from reportgen.dataset_files import LARGEST, as_text, reason
from reportgen.errors import ImageError
from reportgen.images import SUFFIXES

MOST_CLASSES = 100_000  # a number beyond is an id, not the index of a class
_SUFFIX = "|".join(re.escape(suffix) for suffix in sorted(SUFFIXES, key=len, reverse=True))
# "a b.jpg 3", "a.jpg,3", '"a.jpg"<tab>cat': the name ends where the first suffix of a picture does
_PAIR = re.compile(rf"\"?(.+?(?:{_SUFFIX}))\"?(?:\s*[,;\t]\s*|\s+)(\S.*)", re.IGNORECASE)
WNID = re.compile(r"n\d{8}")  # an entry of WordNet, as ImageNet's classes are called
_WNID_NAME = re.compile(rf"(n\d{{8}})_(.+?)(?:{_SUFFIX})", re.IGNORECASE)


class LabelsError(ImageError):
    """A labels file does not fit its pictures."""


def from_file(path: Path, names: Sequence[str], shown: str) -> tuple[tuple[str, ...], list[int]]:
    """The classes, and the class of each picture of a set (paths below it, sorted), from a labels file.

    It has one label per line in the order of the names, or lines `file label` or `file,label`. Labels are names of
    classes, or whole numbers from 0 in the order of the net's own classes, -1 for no class.
    """
    lines = [line.strip() for line in _read(path).splitlines() if line.strip()]
    if any(_PAIR.fullmatch(line) for line in lines[:2]):  # the first line may be a heading
        given = _pairs(lines, names, path.name, shown)
    elif len(lines) == len(names):
        given = [line.strip('"') for line in lines]
    else:
        raise LabelsError(
            f"The labels file {path.name} has {len(lines):,} labels for the {len(names):,} pictures of {shown}; give "
            "one line for each picture in the order of their names, or lines such as `file.jpg label`."
        )
    return in_classes(given, path.name)


def from_names(names: Sequence[str]) -> tuple[tuple[str, ...], list[int]] | None:
    """Classes and labels where every file's name is an entry of WordNet and a label; None where one is not.

    Classes come in the order of their entries, which is ImageNet's. Where the rest of the name only counts the
    pictures (n01440764_9939.jpg) or differs between the pictures of an entry, the entry itself is the class's name.
    """
    found = [_WNID_NAME.fullmatch(name.rpartition("/")[2]) for name in names]
    matches = [match for match in found if match is not None]
    if not matches or len(matches) < len(names):
        return None
    words: dict[str, set[str]] = {}
    for match in matches:
        words.setdefault(match[1], set()).add(match[2].replace("_", " "))
    spoken = all(len(known) == 1 and not min(known).isdigit() for known in words.values())
    order = sorted(words)
    classes = distinct([min(words[wnid]) if spoken else wnid for wnid in order], order)
    index = {wnid: number for number, wnid in enumerate(order)}
    return classes, [index[match[1]] for match in matches]


def in_classes(given: Sequence[str], shown: str) -> tuple[tuple[str, ...], list[int]]:
    """The classes that labels name, sorted, and their indices; labels that are all numbers are indices already."""
    if all(re.fullmatch(r"-1|\d+", label) for label in given):
        numbers = [int(label) for label in given]
        if max(numbers) >= MOST_CLASSES:
            raise LabelsError(
                f"The labels file {shown} has the label {max(numbers)}; a number should be the index of a class, from "
                f"0 to at most {MOST_CLASSES - 1:,}. Give names instead."
            )
        return tuple(str(number) for number in range(max(numbers) + 1)), numbers
    classes = tuple(sorted(set(given)))
    index = {name: number for number, name in enumerate(classes)}
    return classes, [index[label] for label in given]


def words(text: str) -> dict[str, str]:
    """The names of WordNet's entries, by entry: the lines of ImageNet's words.txt."""
    pairs = (line.split("\t", 1) for line in text.splitlines() if "\t" in line)
    return {wnid.strip(): name.strip() for wnid, name in pairs}


def distinct(names: Sequence[str], marks: Sequence[str]) -> tuple[str, ...]:
    """The names, each that stood there before marked: ImageNet has two kinds of crane."""
    seen: set[str] = set()
    told = []
    for name, mark in zip(names, marks, strict=True):
        told.append(f"{name} ({mark})" if name in seen else name)
        seen.add(name)
    return tuple(told)


def _pairs(lines: Sequence[str], names: Sequence[str], file: str, shown: str) -> list[str]:
    """The label of each picture, from lines that name file and label."""
    exact = {name: number for number, name in enumerate(names)}
    short: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        short.setdefault(PurePosixPath(name).name, []).append(number)
    given: dict[int, str] = {}
    strangers = []
    for count, line in enumerate(lines):
        match = _PAIR.fullmatch(line)
        if match is None:
            if count == 0:
                continue  # a heading
            raise LabelsError(f"The labels file {file} has the line {line[:60]!r}; `file.jpg label` is wanted.")
        name, label = match[1].replace("\\", "/").removeprefix("./"), match[2].strip().strip('"')
        places = [exact[name]] if name in exact else short.get(PurePosixPath(name).name, [])
        if len(places) != 1 or ("/" in name and name not in exact):
            strangers.append(name)
        elif given.setdefault(places[0], label) != label:
            raise LabelsError(f"The labels file {file} gives {name} two labels, {given[places[0]]!r} and {label!r}.")
    if strangers:
        raise LabelsError(
            f"The labels file {file} names {_pictures(len(strangers))} not in {shown}, the first {strangers[0]!r}."
        )
    if missing := [name for number, name in enumerate(names) if number not in given]:
        raise LabelsError(
            f"The labels file {file} has no label for {len(missing):,} of the {len(names):,} pictures of {shown}, the "
            f"first {missing[0]!r}."
        )
    return [given[number] for number in range(len(names))]


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST:
            raise LabelsError(f"The labels file {path.name} has more than {LARGEST:,} bytes; it is no list of labels.")
        return as_text(path.read_bytes(), path.name)
    except OSError as error:
        raise LabelsError(f"The labels file {path.name} cannot be read: {reason(error)}.") from error
    except ImageError as error:
        raise LabelsError(str(error)) from error


def _pictures(count: int) -> str:
    return "a picture that is" if count == 1 else f"{count:,} pictures that are"
