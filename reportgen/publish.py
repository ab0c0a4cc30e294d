"""Puts a finished report in its place: made beside the old one, then exchanged with it in one step.

Whoever is interrupted, and whenever, leaves the old report whole; what an interrupted build left lying beside it is
swept by the next one.
"""

from __future__ import annotations

import ctypes
import filecmp
import json
import os
import shutil
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from reportgen.errors import RenderError, ReportError

MARKER = ".reportgen"  # a folder that holds anything and lacks this file is not ours
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def guard(out: Path, option: str = "--out", kept: Collection[str] = ()) -> None:
    """Nothing, where a report may be written to this folder; it is repaired and swept if a build was cut short.

    `option` is what named it; `kept` are the names of what may lie there though it is not ours.
    Raises ReportError where the folder holds something that is not a report of ours, or cannot be written.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _repair(out)
        if out.exists() and not out.is_dir():
            raise ReportError(
                f"{option} {out} is a file. Name a folder that does not exist yet, or one of our reports."
            )
        if out.is_dir() and any(path.name not in kept for path in out.iterdir()) and not (out / MARKER).is_file():
            raise ReportError(
                f"{out} holds files that reportgen did not write (there is no {MARKER} in it), so nothing is written "
                "there. Name an empty folder, a new one, or one that an earlier build made."
            )
        probe = out.parent / f".{out.name}.{os.getpid()}.probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ReportError(
            f"The report cannot be written to {out}: {error.strerror}. Name a folder you may write to with {option}."
        ) from error


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """An empty folder beside `out`; leaving the block without an error exchanges it with `out` in one step."""
    fresh = out.parent / f".{out.name}.{os.getpid()}.new"
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        (fresh / MARKER).write_text(json.dumps({"made_by": "reportgen"}) + "\n", encoding="utf-8")
        yield fresh
        _link_unchanged(fresh, out)
        _exchange(fresh, out)
    except OSError as error:
        raise RenderError(
            f"The report could not be written to {out}: {error.strerror}. The old report is untouched, and what was "
            "computed is kept in the cache: mend this and build again."
        ) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)  # after the exchange this is the old report


def _exchange(fresh: Path, out: Path) -> None:
    if not out.exists():
        fresh.rename(out)
        return
    if _renameat2(fresh, out):
        return
    # Elsewhere than on Linux: two renames; between them `_repair` knows what to do.
    old = out.parent / f".{out.name}.{os.getpid()}.old"
    out.rename(old)
    fresh.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def _renameat2(fresh: Path, out: Path) -> bool:
    """Whether the two folders were exchanged by the kernel in one step."""
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        return False
    paths = os.fsencode(fresh), os.fsencode(out)
    return bool(libc.renameat2(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE) == 0)


def _repair(out: Path) -> None:
    """Bring the old report back where a build died between two renames, and sweep what dead builds left."""
    for path in sorted(out.parent.glob(f".{out.name}.*.old")):
        if not out.exists():
            path.rename(out)
    for path in out.parent.glob(f".{out.name}.*"):
        words = path.name.rsplit(".", 2)
        if words[-1] in ("new", "old", "probe") and words[-2].isdigit() and not _alive(int(words[-2])):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _link_unchanged(fresh: Path, old: Path) -> None:
    """Replace each file that the old report has with the same bytes by a hard link to it."""
    if not old.is_dir():
        return
    for path in fresh.rglob("*"):
        twin = old / path.relative_to(fresh)
        if path.is_file() and twin.is_file() and filecmp.cmp(path, twin, shallow=False):
            spare = path.with_name(f".{path.name}.link")
            with suppress(OSError):  # a file system without links keeps the copy
                os.link(twin, spare)
                spare.replace(path)
