"""Whether a build has anything to do, answered from what the last one noted: no spec is parsed, no net is looked at.

Noted are digests of every small file the report depends on (spec, texts, photos, class names, templates, code), stamps
(size, time of change, inode) of weights and of what was written, and which files were looked for in vain.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reportgen.images import SUFFIXES
from reportgen.keys import digest
from reportgen.nets.files import companions
from reportgen.overrides import own_files, own_templates
from reportgen.store import Corrupt, Store, write_atomically

if TYPE_CHECKING:
    from reportgen.plan import Plan

LARGE = 16_000_000  # bytes from which a file is told by its stamp instead of its digest
ENVIRONMENT = ("TORCH_HOME", "XDG_CACHE_HOME", "SOURCE_DATE_EPOCH")  # what else decides where things are
Stamp = list[int]


def nothing_to_do(spec: Path, folder: Path, store: Store, only: str, device: str = "auto") -> int | None:
    """How many cells the finished report has, where it is just what a build would make; else None."""
    try:
        known = json.loads(_note(store, folder).read_text(encoding="utf-8"))
        same = (
            known["asked"] == _asked(spec, only)
            and (not known["devices"] or device in known["devices"])
            and all(_fingerprint(Path(path)) == mark for path, mark in known["inputs"].items())
            and _sets(Path(known["base"]), known["sets"]) == known["sets"]
            and known["templates"] == _templates(spec)
            and known["code"] == _code()
            and known["files"] == _stamps(folder)
            and all(_stamp(Path(path)) == stamp for path, stamp in known["store"].items())
        )
        return int(known["cells"]) if same else None
    except (OSError, ValueError, KeyError):
        return None


def recheck(folder: Path, store: Store) -> None:
    """Read what was touched in the store since the last build of a folder: damaged files are set aside."""
    try:
        known = json.loads(_note(store, folder).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    for record in (store.get(key) for key in known["keys"]):
        for name, blob in record.blobs.items() if record is not None else ():
            path = store.blob_path(blob)
            if record is not None and known["store"].get(str(path)) != _stamp(path):
                with suppress(Corrupt):  # set aside by reading it
                    store.read(record, name)


def remember(plan: Plan, spec: Path, folder: Path, store: Store, only: str, device: str = "auto") -> None:
    """Note what a build has made of what: for the next build, and as what `cache gc` must keep."""
    found = {cell.key for cell in plan.cells if cell.id not in plan.excluded}
    courses = [choice.course for choice in plan.models.values() if choice.course]
    found |= {key for course in courses for key in course.keys}
    keys = sorted(found)
    records = [record for key in keys if (record := store.get(key)) is not None]
    base = plan.spec.path.parent
    known = {
        "asked": _asked(spec, only),
        "devices": sorted({course.device for course in courses} | {device}) if courses else [],  # they decide weights
        "inputs": {str(path): _fingerprint(path) for path in _inputs(plan)},
        "base": str(base),
        "templates": _templates(spec),
        "sets": _sets(base, _sources(plan)),
        "code": _code(),
        "files": _stamps(folder),
        "store": {str(path): _stamp(path) for record in records for path in store.paths(record)},
        "keys": keys,
        "folder": str(folder),
        "cells": sum(bool(cell.section) for cell in plan.cells),
    }
    write_atomically(_note(store, folder), json.dumps(known).encode())


def _inputs(plan: Plan) -> Iterable[Path]:
    """Every file outside the program that a report depends on; also folders of photos, for what a pattern finds."""
    from reportgen.cells import paths_of
    from reportgen.images import find_image
    from reportgen.training.start import start_file

    spec, base = plan.spec, plan.spec.path.parent
    found = {*spec.files}
    for image in spec.images.values():
        path = find_image(image.source, spec.path.parent)
        found |= {path, path.parent}
    for choice in plan.models.values():
        found |= {path for path in (choice.resolved.path, choice.missing) if path is not None}
        if choice.resolved.kind == "program" and choice.resolved.path is not None:
            found |= set(companions(choice.resolved.path))
        found |= {path for path in (choice.asked.classes,) if isinstance(path, Path)}
        if choice.course and choice.course.recipe.start:
            found.add(start_file(choice.course.recipe.start))
    found |= {base / asked.labels for asked in spec.datasets.values() if asked.labels}
    for output in (spec.outputs.poster, spec.outputs.handout):
        found |= {base / name for name in (*output.logos, *output.fonts)} if output is not None else set()
    if spec.references is not None:
        found.add(spec.references)
    found |= {Path(path) for cell in plan.cells for path in paths_of(cell.params).values() if Path(path).is_absolute()}
    for method in plan.methods.values():
        found.add(Path(method.panels.__code__.co_filename))
    return sorted(found)


def _sources(plan: Plan) -> list[str]:
    """The data sets that a report looks at or trains on."""
    from reportgen.trained import data_sources

    spec = plan.spec
    trained_on = (source for model in spec.models.values() for source in data_sources(model, spec.path.parent))
    return [*(asked.source for asked in spec.datasets.values()), *trained_on]


def _asked(spec: Path, only: str) -> list[Any]:
    return [str(spec.absolute()), only, [os.environ.get(name) for name in ENVIRONMENT]]


def _code() -> str:
    """The digest of the program's own text: an update or a changed template is a change."""
    package = Path(__file__).parent
    folders = [package, package.parent / "templates"]
    files = sorted(
        file
        for folder in folders
        for pattern in ("*.py", "*.json", "*.bib", "*.html", "*.xml", "*.css", "*.js", "*.svg")
        for file in folder.rglob(pattern)
    )
    return digest([[file.name, hashlib.sha256(file.read_bytes()).hexdigest()] for file in files])


def _templates(spec: Path) -> str:
    """The digest of the user's templates: names too, so that a new file is a change."""
    own = own_templates(spec)
    if own is None:
        return ""
    files = own_files(own)
    return digest([[file.relative_to(own).as_posix(), hashlib.sha256(file.read_bytes()).hexdigest()] for file in files])


def _fingerprint(path: Path) -> Any:
    """What tells if an input changed: a digest, a stamp for large files, None for what is not there.

    Of a folder the names of its pictures count, for what a pattern finds; not its stamp, which every build changes that
    writes beside the photos.
    """
    stamp = _stamp(path)
    if path.is_dir():
        return digest(sorted(file.name for file in path.iterdir() if file.suffix.lower() in SUFFIXES))
    if stamp is None or stamp[0] > LARGE:
        return stamp
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _sets(base: Path, sources: Iterable[str]) -> dict[str, str]:
    """What tells if a data set changed, by its source: of thousands of photos only the stamps are looked at."""
    from reportgen.datasets import fingerprint

    return {source: fingerprint(source, base=base) for source in sources}


def _stamp(path: Path) -> Stamp | None:
    try:
        stat = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return [stat.st_size, stat.st_mtime_ns, stat.st_ino]


def _stamps(folder: Path) -> dict[str, Stamp]:
    """Size, time of change and inode of every file of a report."""
    stamps = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            path = f"{parent}{os.sep}{name}"
            stat = os.stat(path)  # noqa: PTH116 - thousands of files, and pathlib is slow
            stamps[path[len(str(folder)) + 1 :]] = [stat.st_size, stat.st_mtime_ns, stat.st_ino]
    return stamps


def _note(store: Store, folder: Path) -> Path:
    return store.root / "builds" / f"{digest(str(folder))[:32]}.json"
