"""A new report begun from a folder of pictures: a spec with comments, and texts to write on."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from textwrap import wrap

from reportgen.errors import ImageError, SpecError
from reportgen.images import SUFFIXES, load_image
from reportgen.spec_models import ID
from reportgen.templating import templates_dir

MOST = 6  # pictures in a new spec; more make a long first build
LISTED = 24  # further ones that stand there as comments
GALLERY = (  # where no folder is named
    ("cat", "skimage:chelsea", "cat", "Stefan van der Walt, CC0 (scikit-image)"),
    ("face", "skimage:astronaut", "face", "Eileen Collins, NASA, public domain (scikit-image)"),
    ("coffee", "skimage:coffee", "", "Rachel Michetti, Pikolo Espresso Bar, CC0 (scikit-image)"),
)
NO_TEXT = ("y", "n", "yes", "no", "on", "off", "true", "false", "null")  # in one YAML or another
TEXTS = ("introduction.md", "methods.md")


@dataclass(frozen=True)
class Started:
    """What was begun."""

    spec: Path
    pictures: int  # how many the spec shows
    skipped: tuple[str, ...]  # why a file of the folder is not among them


@dataclass(frozen=True)
class _Photo:
    id: str
    source: str
    label: str
    credit: str = ""


def start(folder: Path, images: Path | None = None) -> Started:
    """A folder with a spec of the same name and texts. Raises SpecError where there is one already."""
    name = folder.name
    if not re.fullmatch(ID, name) or name.startswith("-"):
        raise SpecError(f"{name!r} cannot be the name of a report: use a-z, 0-9, _ and -, as in my-report.")
    spec = folder / f"{name}.yaml"
    targets = [spec, *(folder / "texts" / text for text in TEXTS)]
    if there := [str(path) for path in targets if path.exists()]:
        raise SpecError(f"{' and '.join(there)} would be overwritten, and nothing is. Choose another name.")
    photos, skipped = _photos(images, folder) if images else ([_Photo(*one) for one in GALLERY], [])
    text = Template(_source("spec.yaml")).substitute(
        name=name,
        title=_quoted("What do small CNNs see in these pictures?"),
        author=_quoted("Your name"),
        classes="\n#   ".join(wrap(", ".join(_classes()), 110)),
        images="\n".join(_entries(photos)) + "\n",
        few=f", images: [{', '.join(photo.id for photo in photos[:2])}]",
    )
    written = {spec: text} | {folder / "texts" / one: _source(one) for one in TEXTS}
    for path, content in written.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(content)
    return Started(spec, min(len(photos), MOST), tuple(skipped))


def _photos(folder: Path, home: Path) -> tuple[list[_Photo], list[str]]:
    """The pictures of a folder, those in class folders with their class; the first ones are known to open."""
    if not folder.is_dir():
        raise SpecError(f"--images {folder} is no folder. Name one that holds pictures.")
    files = [file for file in sorted(folder.rglob("*")) if file.suffix.lower() in SUFFIXES and file.is_file()]
    found, skipped, taken = list[_Photo](), list[str](), set[str]()
    for file in files:
        shown = file.relative_to(folder).as_posix()
        if any(part.startswith(".") for part in file.relative_to(folder).parts):
            continue
        if not shown.isprintable():
            skipped.append(f"{shown!a}: its name cannot stand in a spec")
            continue
        if len(found) < MOST:
            try:
                load_image(file)
            except ImageError as error:
                skipped.append(str(error))
                continue
        label = file.parent.name if file.parent != folder else ""
        found.append(_Photo(_id(file, label, taken), _relative(file, home), label))
        if len(found) == MOST + LISTED:
            break
    if not found:
        raise SpecError(f"--images {folder} holds no picture that can be opened. Known endings: {', '.join(SUFFIXES)}.")
    return found, skipped


def _relative(file: Path, home: Path) -> str:
    try:
        return Path(os.path.relpath(file.resolve(), home.resolve())).as_posix()
    except ValueError:  # on another drive
        return file.resolve().as_posix()


def _id(file: Path, label: str, taken: set[str]) -> str:
    """A word of an id that no other picture has, and that YAML takes for no number, date, truth or nothing."""
    plain = "-".join(re.findall(r"[a-z0-9]+", f"{label} {file.stem}".lower()))[:40]
    if not plain[:1].isalpha() or plain in NO_TEXT:
        plain = f"picture-{plain}".removesuffix("-")
    name = next(name for name in _numbered(plain) if name not in taken)
    taken.add(name)
    return name


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name}-{number}"
        number += 1


def _entries(photos: Sequence[_Photo]) -> Iterator[str]:
    for place, photo in enumerate(photos):
        values = {"source": photo.source, "label": photo.label, "credit": photo.credit}
        shown = ", ".join(f"{key}: {_quoted(value)}" for key, value in values.items() if value)
        hint = "" if photo.label or photo.credit else "  # label: what it shows"
        if place == MOST:
            yield "  # more of the folder; take the # away:"
        yield f"  {'# ' if place >= MOST else ''}{photo.id}: {{{shown}}}{hint}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # which YAML reads as it stands


def _classes() -> tuple[str, ...]:
    from reportgen.nets.weights import resolve

    return tuple(name.replace("_", " ") for name in resolve("resnet_mini").classes)


def _source(name: str) -> str:
    return (templates_dir() / "new" / name).read_text(encoding="utf-8")
