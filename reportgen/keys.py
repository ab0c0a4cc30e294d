"""Canonical JSON and digests: equal meanings give equal keys, on every machine and Python."""

from __future__ import annotations

import hashlib
import importlib
import json
import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

KEY_SCHEMA = 1  # bump when the layout of key documents changes
NUMERICS_EPOCH = 2  # bump when a library upgrade is known to change numbers visibly


def plain(value: Any) -> Any:
    """The same value made of dicts with text keys, lists, text in NFC, numbers, booleans and null only.

    Raises TypeError for what has no one meaning in JSON (sets, paths, arrays) and ValueError for NaN and infinity.
    """
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} cannot be part of a key")
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {unicodedata.normalize("NFC", _text(key)): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [plain(item) for item in value]
    raise TypeError(f"{type(value).__name__} cannot be part of a key")


def canonical(value: Any) -> str:
    """JSON with sorted keys, no spaces and shortest floats: the pre-image of every key."""
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any) -> str:
    """The SHA-256 of the canonical JSON, in hexadecimal."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


@lru_cache(maxsize=64)
def source_digest(names: tuple[str, ...], also: str = "") -> str:
    """The digest of the source of modules: for what is drawn, where a version bumped by hand would be forgotten.

    `names` are modules of this package, `also` is the full name of one more, which may be anybody's.
    """
    file = importlib.import_module(also).__file__ if also else None
    files = [*(Path(__file__).with_name(f"{name}.py") for name in names), *([Path(file)] if file else [])]
    return digest([hashlib.sha256(path.read_bytes()).hexdigest() for path in files])


def _text(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"a key document has the key {key!r}, which is not text")
    return key
