"""The files of a data set, in a folder or in a .zip: listed without being opened, read from any number of threads.

Nothing is ever written: a .zip's members are read, never unpacked.
"""

from __future__ import annotations

import hashlib
import lzma
import os
import struct
import threading
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from reportgen.errors import ImageError
from reportgen.keys import digest
from reportgen.nets.tensors import read_memo, write_memo

LARGEST = 200_000_000  # bytes of one file: what says that it holds more is a bomb, or no photo
_DAMAGED = (
    OSError,
    EOFError,
    KeyError,
    ValueError,
    RuntimeError,  # a locked .zip, and NotImplementedError: a compression that Python does not know
    OverflowError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
)
Stamp = list[int]


@dataclass(frozen=True, eq=False)
class Folder:
    """A folder's files, those of folders below it included; hidden ones are left out."""

    source: Path
    names: tuple[str, ...]  # sorted paths below the source, with /

    def read(self, name: str) -> bytes:
        """The bytes of one file. Raises ImageError."""
        try:
            with (self.source / name).open("rb") as file:
                _check_size(os.fstat(file.fileno()).st_size, name, self.source)
                return file.read()
        except _DAMAGED as error:
            raise _unreadable(name, self.source, error) from error

    def stamp(self, name: str) -> Stamp:
        """Size, time of change and inode of one file: while they stay, its content does. Empty where it is gone."""
        return _stamp(self.source / name)


@dataclass(frozen=True, eq=False)
class Archive:
    """A .zip's files; each thread that reads opens it once."""

    source: Path
    members: Mapping[str, zipfile.ZipInfo]
    opened: threading.local = field(default_factory=threading.local)

    @property
    def names(self) -> tuple[str, ...]:
        """Sorted paths in the .zip, with /."""
        return tuple(self.members)

    def read(self, name: str) -> bytes:
        """The bytes of one file. Raises ImageError."""
        member = self.members[name]
        _check_size(member.file_size, name, self.source)  # zipfile never gives more than this
        try:
            archive: zipfile.ZipFile | None = getattr(self.opened, "archive", None)
            if archive is None:
                archive = self.opened.archive = zipfile.ZipFile(self.source)
            return archive.read(member)
        except _DAMAGED as error:
            raise _unreadable(name, self.source, error) from error

    def stamp(self, name: str) -> Stamp:
        """Size, time of change and inode of the .zip, and the file's checksum in it."""
        stamp = _stamp(self.source)
        return [*stamp, self.members[name].CRC] if stamp else []


Files = Folder | Archive


def open_files(source: Path, shown: str = "") -> Files:
    """The files of a folder or a .zip, which errors call `shown`. Raises ImageError where it is neither."""
    shown = shown or str(source)
    if source.is_dir():
        return Folder(source, tuple(sorted(_walk(source))))
    if not source.exists():
        raise ImageError(f"There is no folder or .zip {shown}.")
    try:
        with zipfile.ZipFile(source) as archive:
            infos = {info.filename: info for info in archive.infolist() if not info.is_dir()}
    except _DAMAGED as error:
        raise ImageError(
            f"The data set {shown} should be a folder, or a .zip that can be read: {reason(error)}."
        ) from error
    return Archive(source, {name: infos[name] for name in sorted(infos) if not _hidden(name)})


def read_text(files: Files, name: str) -> str:
    """The text of one file. Raises ImageError."""
    return as_text(files.read(name), f"{name} of {files.source.name}")


def as_text(content: bytes, shown: str) -> str:
    """Bytes as text in UTF-8. Raises ImageError."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ImageError(f"The file {shown} is no text in UTF-8.") from error


def digests(files: Files, names: Sequence[str], memo_dir: Path | None, threads: int = 4) -> dict[str, str]:
    """The SHA-256 of files by name, remembered in `memo_dir`; of one that cannot be read, what stands for that."""
    note = memo_dir / "digests" / f"{digest(str(files.source.resolve()))[:32]}.json" if memo_dir else None
    known = read_memo(note)
    stamps = {name: files.stamp(name) for name in names}

    def look(name: str) -> str:
        if stamps[name] and known.get(name, [None])[0] == stamps[name]:
            return str(known[name][1])
        try:
            return hashlib.sha256(files.read(name)).hexdigest()
        except ImageError:
            return "unreadable"

    with ThreadPoolExecutor(threads) as pool:
        found = dict(zip(names, pool.map(look, names), strict=True))
    fresh = {name: [stamps[name], found[name]] for name in names if stamps[name] and found[name] != "unreadable"}
    if any(known.get(name) != entry for name, entry in fresh.items()):
        write_memo(note, {**known, **fresh})
    return found


def reason(error: BaseException) -> str:
    """An error's text without the path of this machine."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).rstrip(".") or type(error).__name__


def _walk(top: Path) -> list[str]:
    """Paths of all files below a folder; links are followed, but not in circles."""
    found: list[str] = []
    waiting: list[tuple[str, str, frozenset[tuple[int, int]]]] = [(str(top), "", frozenset())]
    while waiting:
        folder, prefix, above = waiting.pop()
        try:
            stat = os.stat(folder)  # noqa: PTH116 - ten thousand folders, and pathlib is slow
            if (stat.st_dev, stat.st_ino) in above:
                continue
            here = above | {(stat.st_dev, stat.st_ino)}
            with os.scandir(folder) as entries:
                for entry in entries:
                    if _hidden(entry.name):
                        continue
                    if entry.is_dir():
                        waiting.append((entry.path, f"{prefix}{entry.name}/", here))
                    else:
                        found.append(f"{prefix}{entry.name}")
        except OSError as error:
            raise ImageError(f"The folder {prefix or top.name} cannot be listed: {reason(error)}.") from error
    return found


def _hidden(name: str) -> bool:
    """Whether a path is hidden, leads out of its folder, or is what macOS leaves in every .zip."""
    return any(part.startswith((".", "__MACOSX")) for part in name.split("/")) or name.startswith("/")


def _check_size(size: int, name: str, source: Path) -> None:
    if size > LARGEST:
        raise ImageError(
            f"The image {name} of {source.name} would take {size:,} bytes, more than the {LARGEST:,} that a picture "
            "may have (a bomb, or simply too large)."
        )


def _unreadable(name: str, source: Path, error: BaseException) -> ImageError:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return ImageError(f"The image {name} of {source.name} is no longer there.")
    return ImageError(f"The image {name} of {source.name} cannot be read: {reason(error)}.")


def _stamp(path: Path) -> Stamp:
    try:
        stat = path.stat()
    except OSError:
        return []
    return [stat.st_size, stat.st_mtime_ns, stat.st_ino]
