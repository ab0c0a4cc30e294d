"""A spec's raw values: the file and those it extends, merged, with the place and the folder of every value."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from reportgen.errors import ImageError, SpecError
from reportgen.images import GALLERIES, find_images, is_pattern
from reportgen.nets.archs import MINIS
from reportgen.nets.files import is_file
from reportgen.yamlpos import Document, Key, Place, find, load

WEIGHT_FILES = (".safetensors", ".pt", ".pth", ".pkl", ".bin", ".ckpt", ".tar")
MAX_PHOTOS = 1000  # of one pattern


@dataclass
class Source:
    """Raw values on their way to a Spec, and the problems found so far."""

    path: Path
    value: dict[str, Any]
    keys: dict[Key, Place]
    values: dict[Key, Place]
    folders: dict[str, Path]  # name of a file in places -> the folder its paths are relative to
    problems: list[tuple[Place, str]] = field(default_factory=list)
    groups: dict[str, list[str]] = field(default_factory=dict)  # image id of a pattern -> ids of its photos
    files: list[Path] = field(default_factory=list)  # every file that was read

    def add(self, way: Key, text: str, key: bool = False) -> None:
        """Note a problem with the value at `way` (or with its key); once for each value."""
        place = self.find(way, key)
        if all(known != (place, text) for known in self.problems):
            self.problems.append((place, text))

    def find(self, way: Key, key: bool = False) -> Place:
        """The place of a value or key; of what it would lie in, where it is not in the file."""
        return find(way, self.keys, self.values, key)

    def get(self, *way: str | int) -> Any:
        """The raw value at `way`, or None."""
        value: Any = self.value
        for step in way:
            try:
                value = value[step]
            except (KeyError, IndexError, TypeError):
                return None
        return value

    def named(self, name: str) -> dict[str, dict[str, Any]]:
        """Those entries of `models`, `images` or `datasets` that are mappings."""
        entries = self.value.get(name)
        if not isinstance(entries, dict):
            return {}
        return {key: value for key, value in entries.items() if isinstance(value, dict)}

    def sections(self) -> list[tuple[int, dict[str, Any]]]:
        """The sections that are mappings, with their numbers."""
        entries = self.value.get("sections")
        return [(i, s) for i, s in enumerate(entries) if isinstance(s, dict)] if isinstance(entries, list) else []

    def fail(self) -> None:
        """Raise SpecError with all problems in the order of the files, if there are any."""
        if self.problems:
            order = list(self.folders)
            ranked = sorted(self.problems, key=lambda p: (order.index(p[0].file), p[0].line, p[0].column))
            raise SpecError("\n".join(f"{place}: {text[:1].lower()}{text[1:]}" for place, text in ranked))


def read_source(path: Path) -> Source:
    """The raw values of a spec file, what it extends merged in, its paths made relative to its own folder."""
    source = _read(path, str(path), ())
    _drop_nulls(source.value)
    for way, kind in _paths(source):
        _rebase(source, way, kind)
    for way in _texts(source):
        _read_text(source, way)
    _expand_patterns(source)
    return source


def _read(path: Path, name: str, seen: tuple[Path, ...]) -> Source:
    document = load(path, name)
    if not isinstance(document.value, dict):
        raise SpecError(f"{name}:1:1: a spec is made of `key: value` lines; it begins with `title:`.")
    source = Source(
        path.absolute(),
        document.value,
        dict(document.keys),
        dict(document.values),
        {name: path.absolute().parent},
        list(document.problems),
        files=[path.absolute()],
    )
    if (other := source.value.pop("extends", None)) is None:
        return source
    way: Key = ("extends",)
    if not isinstance(other, str):
        source.add(way, f"extends should be the path of one spec, not {other!r}.")
        return source
    target = path.parent / other
    if target.resolve() in (*seen, path.resolve()):
        raise SpecError(f"{source.find(way)}: {other} extends this spec in turn; break the circle.")
    if not target.is_file():
        source.add(way, f"there is no file {other} to extend.")
        return source
    parent_name = os.path.normpath(Path(name).parent / other)
    return _over(source, _read(target, parent_name, (*seen, path.resolve())), document)


def _over(child: Source, parent: Source, document: Document) -> Source:
    """The parent's values with the child's laid over them: mappings key by key, all else as a whole."""
    keys, values = dict(parent.keys), dict(parent.values)

    def merge(over: dict[str, Any], under: dict[str, Any], way: Key) -> dict[str, Any]:
        merged = dict(under)
        for key, value in over.items():
            here = (*way, key)
            below = under.get(key)
            if isinstance(value, dict) and isinstance(below, dict):
                merged[key] = merge(value, below, here)
                continue
            merged[key] = value
            for table in (keys, values):
                for gone in [known for known in table if known[: len(here)] == here]:
                    del table[gone]
        return merged

    value = merge(child.value, parent.value, ())
    folders = {**child.folders, **parent.folders}
    problems = [*child.problems, *parent.problems]
    return Source(
        child.path,
        value,
        keys | dict(document.keys),
        values | dict(document.values),
        folders,
        problems,
        files=[*child.files, *parent.files],
    )


def _drop_nulls(value: dict[str, Any]) -> None:
    """An empty `key:` counts as not given, in the spec itself and in its parts."""
    sections = value.get("sections")
    named = [value.get(name) for name in ("models", "images", "datasets")]
    parts = [part for entries in named if isinstance(entries, dict) for part in entries.values()]
    parts += sections if isinstance(sections, list) else []
    parts += [value.get("outputs"), value.get("featured"), value]
    for part in parts:
        if isinstance(part, dict):
            for key in [key for key, inner in part.items() if inner is None]:
                del part[key]


def _paths(source: Source) -> Iterator[tuple[Key, str]]:
    """Where a spec has paths: relative ones stay relative to it for people to read, others become absolute."""
    for name in source.named("models"):
        yield ("models", name, "arch"), "relative"
        yield ("models", name, "weights"), "relative"
        yield ("models", name, "classes"), "absolute"
        yield ("models", name, "training"), "relative"
        yield ("models", name, "training", "start"), "relative"
        for part in ("train", "val"):
            way: Key = ("models", name, "training", "data", part)
            listed = source.get(*way)
            yield way, "relative"
            for number in range(len(listed) if isinstance(listed, list) else 0):
                yield (*way, number), "relative"
    for name in source.named("images"):
        yield ("images", name, "source"), "relative"
    for name in source.named("datasets"):
        yield ("datasets", name, "source"), "relative"
        yield ("datasets", name, "labels"), "relative"
    for output in ("poster", "handout"):
        for kind in ("logos", "fonts"):
            files = source.get("outputs", output, kind)
            for number in range(len(files)) if isinstance(files, list) else ():
                yield ("outputs", output, kind, number), "relative"
            if isinstance(files, str):
                yield ("outputs", output, kind), "relative"
    yield ("references",), "absolute"


def _rebase(source: Source, way: Key, kind: str) -> None:
    """Make a path relative to the spec that was asked for, whichever file it was written in."""
    text = source.get(*way)
    if not isinstance(text, str) or not is_path(text, way):
        return
    folder = source.folders[source.find(way).file]
    if kind == "absolute":
        text = str(folder / Path(text).expanduser())
    elif folder != source.path.parent and not Path(text).expanduser().is_absolute():
        text = os.path.relpath(folder / text, source.path.parent)
    source.get(*way[:-1])[way[-1]] = text


def rebase_params(source: Source, number: int, params: Any) -> None:
    """Make the paths among a section's params absolute: a method knows nothing of the spec's folder."""
    for param in fields(params):
        if param.metadata.get("path"):
            _rebase(source, ("sections", number, "params", param.name), "absolute")


def is_path(text: str, way: Key) -> bool:
    """Whether a value means a file: `weights: random` does not, nor does `source: skimage:chelsea`."""
    if way[-1] == "arch":
        return is_file(text)
    if way[-1] == "weights" or "params" in way:
        return "/" in text or text.endswith(WEIGHT_FILES)
    if way[-1] == "start":
        return text not in MINIS
    if "training" in way:
        return not text.startswith("rendered:")
    if way[0] == "images":
        return text.partition(":")[0] not in GALLERIES
    return way[0] != "datasets" or re.match(r"[a-z]{2,}:", text) is None


def _texts(source: Source) -> list[Key]:
    return [("summary",), ("acknowledgements",), *(("sections", i, "text") for i, _ in source.sections())]


def _read_text(source: Source, way: Key) -> None:
    """Put a Markdown file's content where its path stands; places then lead into that file."""
    text = source.get(*way)
    if not isinstance(text, str) or "\n" in text or not text.endswith(".md"):
        return
    place = source.find(way)
    try:
        content = (source.folders[place.file] / text).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        source.add(way, f"the text {text} cannot be read: {reason}.")
        return
    source.files.append(source.folders[place.file] / text)
    source.get(*way[:-1])[way[-1]] = content
    name = os.path.normpath(Path(place.file).parent / text)
    source.values[way] = Place(name, 1, 1)
    source.folders[name] = source.folders[place.file]


def _expand_patterns(source: Source) -> None:
    """Replace an image whose source is a pattern by one image for each file: own-1, own-2 ..."""
    images = source.named("images")
    for name, image in images.items():
        pattern = image.get("source")
        base = source.path.parent
        if not isinstance(pattern, str) or not is_path(pattern, ("images", name, "source")):
            continue
        if not is_pattern(pattern, base):
            continue
        way: Key = ("images", name, "source")
        try:
            files = find_images(pattern, base)
        except (ImageError, ValueError, OSError) as error:
            source.add(way, str(error))
            continue
        if len(files) > MAX_PHOTOS:
            source.add(way, f"{pattern} matches {len(files):,} pictures; at most {MAX_PHOTOS:,} can be shown.")
            continue
        source.groups[name] = [f"{name}-{number}" for number in range(1, len(files) + 1)]
        for new, file in zip(source.groups[name], files, strict=True):
            if new in images:
                source.add(("images", new), f"the image {new!r} is also the name of a picture of {name!r}.", key=True)
            written = str(file) if Path(pattern).is_absolute() else os.path.relpath(file, base)
            source.value["images"][new] = {**image, "source": written}
            for table in (source.keys, source.values):
                copied = {("images", new, *k[2:]): p for k, p in table.items() if k[:2] == ("images", name)}
                table.update(copied)
        source.value["images"] = _in_place(source.value["images"], name, source.groups[name])


def _in_place(entries: dict[str, Any], name: str, members: list[str]) -> dict[str, Any]:
    """The entries with `name` replaced by its members, where it stood."""
    ordered: dict[str, Any] = {}
    for key, entry in entries.items():
        ordered.update({member: entries[member] for member in members} if key == name else {key: entry})
    return ordered
