"""The content-addressed store: records under keys, blobs under the SHA-256 of their bytes; the only writer of both.

A blob is written before the record that names it, each to a unique temporary file in its own folder and moved in with
one `os.replace`, so that a reader sees a whole file or none, whoever was killed. Every read is checked against its
digest; what does not match is set aside and counts as missing. Any number of processes may share a store: the first
record of a key stays, and equal blobs are equal files.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reportgen.errors import StoreError

log = logging.getLogger(__name__)


class Corrupt(Exception):
    """A file of the store was not what its digest says. It has been set aside: fill the record again."""


@dataclass(frozen=True)
class Record:
    """What the store knows under a key."""

    key: str
    kind: str  # cell, card, figure, font, memo
    status: str  # ok, not_applicable
    reason: str
    document: Mapping[str, Any]  # what the key is the digest of
    meta: Mapping[str, Any]  # small facts: a cell's numbers, a card, a figure's captions
    blobs: Mapping[str, str]  # name -> SHA-256 of the bytes
    sizes: Mapping[str, int]  # name -> bytes
    provenance: Mapping[str, Any] = field(default_factory=dict)  # device, versions, seconds: recorded, never keyed


class Store:
    """A folder that holds records and blobs."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def get(self, key: str) -> Record | None:
        """The record under a key, or None where there is none (or a damaged one, which is set aside)."""
        path = self._record_path(key)
        try:
            raw = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        checksum, _, body = raw.partition(b"\n")
        if hashlib.sha256(body).hexdigest().encode() != checksum:
            self._set_aside(path)
            return None
        record = Record(**json.loads(body))
        for name, blob in record.blobs.items():
            if _size(self.blob_path(blob)) != record.sizes[name]:
                self._set_aside(self.blob_path(blob))
                self._set_aside(path)
                return None
        return record

    def read(self, record: Record, name: str) -> bytes:
        """The bytes of one blob of a record, checked. Raises Corrupt, with blob and record set aside, otherwise."""
        path = self.blob_path(record.blobs[name])
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            data = b""
        if hashlib.sha256(data).hexdigest() != record.blobs[name]:
            self._set_aside(path)
            self._set_aside(self._record_path(record.key))
            raise Corrupt(f"{name} of {record.kind} {record.key[:12]}")
        return data

    def put(
        self,
        key: str,
        *,
        kind: str,
        document: Mapping[str, Any],
        meta: Mapping[str, Any] | None = None,
        blobs: Mapping[str, bytes] | None = None,
        status: str = "ok",
        reason: str = "",
        provenance: Mapping[str, Any] | None = None,
    ) -> Record:
        """The record now under the key: this one, or the one that another process put there first."""
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in (blobs or {}).items()}
        for name, data in (blobs or {}).items():
            path = self.blob_path(digests[name])
            if _size(path) != len(data) or path.read_bytes() != data:  # a damaged twin must not be taken for it
                _write(path, data)
        sizes = {name: len(data) for name, data in (blobs or {}).items()}
        record = Record(key, kind, status, reason, document, dict(meta or {}), digests, sizes, dict(provenance or {}))
        # unsorted: pages show numbers in the order in which a method gives them, from the cache too
        body = json.dumps(record.__dict__, allow_nan=False).encode()
        if (existing := self.get(key)) is not None:
            return existing
        _write(self._record_path(key), hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
        return Record(**json.loads(body))  # just as it will be read: lists, not tuples

    def records(self) -> Iterator[Record]:
        """All sound records, in the order of their keys."""
        for path in sorted((self.root / "records").glob("*/*.json")):
            record = self.get(path.stem)
            if record is not None:
                yield record

    def blob_path(self, sha256: str) -> Path:
        """Where the blob of this digest lies or would lie."""
        return self.root / "blobs" / sha256[:2] / sha256

    def paths(self, record: Record) -> list[Path]:
        """The files of a record: its own, and its blobs."""
        return [self._record_path(record.key), *(self.blob_path(blob) for blob in record.blobs.values())]

    def _record_path(self, key: str) -> Path:
        return self.root / "records" / key[:2] / f"{key}.json"

    def _set_aside(self, path: Path) -> None:
        """Move a damaged file out of the way; it is kept for whoever wants to know what happened."""
        target = self.root / "damaged" / f"{path.name}.{uuid.uuid4().hex[:8]}"
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.replace(target)
        except FileNotFoundError:  # missing, or another process was quicker
            return
        log.warning("a damaged file of the cache was set aside (%s); it is made again", target.name)


def default_root() -> Path:
    """The folder of the store where the user names none: $REPORTGEN_CACHE, else the user's cache folder."""
    if named := os.environ.get("REPORTGEN_CACHE"):
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "reportgen"


def write_atomically(path: Path, data: bytes) -> None:
    """Leave the whole new file at the path, or the old one untouched. Raises StoreError where it cannot be written."""
    _write(path, data)


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name[:40]}.{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise StoreError(
            f"{path.parent} cannot be written: {error.strerror}. Free some space, or name another folder with "
            "--cache and --out. What was finished before is kept; the next build goes on from there."
        ) from error


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return -1
