"""Which files a report depends on, as far as can be told without building it, and whether one of them changed.

A spec that is broken must be watched too, so nothing here understands it: every text in it that could be a path is
looked at. Files are told by size and time of change, which works on every file system.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from reportgen.images import SUFFIXES
from reportgen.overrides import own_files, own_templates

INTERVAL = 0.2  # seconds between looks
SETTLED = 0.05  # a change is over when nothing more changed in so many seconds
MOST_FILES = 5000  # of one folder; a data set is known by more than its newest picture
LONGEST = 300  # letters of a text that may be a path

Stamp = tuple[int, int] | None
Stamps = Mapping[Path, Stamp]


class Watch:
    """The files of one spec."""

    def __init__(self, spec: Path, also: tuple[Path, ...] = ()) -> None:
        self.spec, self.also = spec.absolute(), also
        self._known: tuple[Stamps, set[Path]] = ({}, set())  # of the YAML files, and what was found in them

    def stamps(self) -> Stamps:
        """Size and time of change of every file that the report may depend on; None for what is not there."""
        found = {path: stamp(path) for path in self._mentioned()}
        for folder in [path for path, mark in found.items() if mark is not None and path.is_dir()]:
            found |= {path: stamp(path) for path in _pictures(folder)}
            found[folder] = None  # what else happens in a folder is none of our business
        for folder in self.also:
            found |= {path: stamp(path) for path in folder.rglob("*") if path.is_file()}
        own = own_templates(self.spec)
        return found | {path: stamp(path) for path in own_files(own)}

    def changed(self, before: Stamps, meanwhile: Callable[[], None] = lambda: None) -> Stamps:
        """Waits until something is not as it was before, and nothing more changes; how it is then."""
        while (now := self.stamps()) == before:
            meanwhile()
            time.sleep(INTERVAL)
        while True:
            time.sleep(SETTLED)
            if (later := self.stamps()) == now:
                return later
            now = later

    def _mentioned(self) -> set[Path]:
        """The spec, what it extends, and whatever in them could be a path."""
        marks, found = self._known
        if marks and all(stamp(path) == mark for path, mark in marks.items()):
            return found
        marks, found, waiting = {}, {self.spec}, [self.spec]
        while waiting:
            path = waiting.pop()
            marks = {**marks, path: stamp(path)}
            for text in _texts(path):
                other = path.parent / text
                is_spec = other.suffix in (".yaml", ".yml") and stamp(other) is not None
                waiting += [other] if is_spec and other not in marks and other not in waiting else []
                found.add(other.parent if any(sign in text for sign in "*?[") else other)
        if not _texts_readable(self.spec):  # half of it is written: what it named before is still of interest
            found |= self._known[1]
        self._known = marks, found
        return found


def stamp(path: Path) -> Stamp:
    """Size and time of change of a file; None where there is none."""
    try:
        found = path.stat()
    except (OSError, ValueError):  # no such file, or no name of one: too long, or with a null in it
        return None
    return found.st_size, found.st_mtime_ns


def _pictures(folder: Path) -> list[Path]:
    try:
        return [path for path in sorted(folder.iterdir())[:MOST_FILES] if path.suffix.lower() in SUFFIXES]
    except OSError:  # not ours to read
        return []


def _texts(path: Path) -> Iterator[str]:
    """Every short text in a YAML file; nothing where it cannot be read."""
    value = _read(path)
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, str) and 0 < len(value) <= LONGEST and "\n" not in value:
            yield value


def _texts_readable(path: Path) -> bool:
    return isinstance(_read(path), dict)


def _read(path: Path) -> Any:
    import yaml

    try:
        return yaml.load(path.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, yaml.YAMLError, ValueError, RecursionError):
        return None
