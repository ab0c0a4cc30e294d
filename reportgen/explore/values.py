"""What stands behind commands: `key=value` pairs, and paths made absolute."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from reportgen.errors import SpecError, nearest
from reportgen.explore.state import PATHS
from reportgen.nets.files import BUILDERS, UNREAD
from reportgen.spec_source import is_path

_ASSIGNMENT = re.compile(r"(\w+)=")
NET_FILES = (*BUILDERS, *UNREAD)  # what is meant as a file, whether or not it can be opened


def entry_of(text: str, kind: Any, usage: str) -> tuple[str, dict[str, Any]]:
    """What stands first, and the `key=value` after it, of the keys that a spec's entry has."""
    match = re.search(r"\s(?=\w+=)", text)
    first, rest = (text[: match.start()].strip(), text[match.end() :]) if match else (text, "")
    values = values_of(rest, usage) if rest else {}
    if unknown := [key for key in values if key not in kind.model_fields]:
        raise SpecError(
            f"{unknown[0]} is not known here; right would be {usage}. {nearest(unknown[0], kind.model_fields)}"
        )
    return first.strip("'\""), values


def is_assignment(text: str) -> bool:
    """Whether a text begins as `name=value` does."""
    return _ASSIGNMENT.match(text) is not None


def values_of(text: str, usage: str) -> dict[str, Any]:
    """`a=1 b=[2, 3] c=x y` as a mapping; values are read as YAML."""
    starts = [match for match in _ASSIGNMENT.finditer(text) if match.start() == 0 or text[match.start() - 1].isspace()]
    if not starts or starts[0].start() != 0:
        raise SpecError(f"{text!r} is no NAME=VALUE; right would be {usage}.")
    values = {}
    for match, after in zip(starts, [*starts[1:], None], strict=True):
        raw = text[match.end() : after.start() if after else None].strip()
        try:
            values[match[1]] = yaml.safe_load(raw)
        except yaml.YAMLError as error:
            raise SpecError(
                f"{match[1]}={raw}: the value cannot be read; a list is [1, 2], a text in quotes."
            ) from error
    return values


def absolute(folder: Path, kind: str, entry: dict[str, Any]) -> dict[str, Any]:
    """The entry with absolute paths, wherever a value is one."""
    for key in PATHS[kind]:
        value = entry.get(key)
        if isinstance(value, str) and _means_a_file(kind, key, value):
            entry[key] = str(folder / Path(value).expanduser())
    return entry


def _means_a_file(kind: str, key: str, value: str) -> bool:
    if key == "arch":  # a net in a file of its own; "pkg.mod:fn" and names are none
        return Path(value).suffix.lower() in NET_FILES or ("/" in value and ":" not in value)
    if key in ("classes", "labels"):
        return True
    return is_path(value, (kind, "", key)) and not (kind == "datasets" and value == "images:")
