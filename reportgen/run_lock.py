"""The lock of a run of training in the store: who trains holds it, who would train or clear away looks at it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from reportgen.errors import StoreError


@contextlib.contextmanager
def alone(folder: Path, say: Callable[[str], None]) -> Iterator[Path]:
    """A run's folder for this process alone: a second build that wants the same run waits for the first.

    Gives the lock's file. Raises StoreError where it cannot be made.
    """
    path = _lock(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = path.open("w")
    except OSError as error:
        raise StoreError(
            f"Nothing can be written to {folder.parent}: {error.strerror or error}. Name another folder with --cache."
        ) from error
    with lock:
        try:
            import fcntl
        except ImportError:  # Windows: two builds may train the same, to the same result
            yield path
            return
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another build is training this; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield path


@contextlib.contextmanager
def unless_under_way(folder: Path) -> Iterator[bool]:
    """Whether nobody trains in a run's folder; in here nobody begins to."""
    try:
        import fcntl

        lock = _lock(folder).open("r+")  # over NFS only a file that may be written can be locked
    except (ImportError, FileNotFoundError):  # who trains has made it
        yield True
        return
    except PermissionError:  # another user's
        yield False
        return
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _lock(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.lock")
