"""YAML files as plain values with the place (line and column) of every key and value.

Read without running anything: only mappings, lists, text, numbers, true, false and null. Numbers and booleans
follow YAML 1.2 (`1e-3` is a number; `no`, `on` and `2026-11-20` are text). Keys are always text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from reportgen.errors import SpecError

if TYPE_CHECKING:
    _Base = yaml.SafeLoader
else:
    _Base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is ten times quicker, where it is there

Key = tuple[str | int, ...]
"""The way to a value from the top: ("sections", 3, "layers", 0)."""

MAX_VALUES = 100_000  # aliases can blow a small file up without end
MAX_DEPTH = 50
MAX_BYTES = 8_000_000
TAG = "tag:yaml.org,2002:"


@dataclass(frozen=True, order=True)
class Place:
    """Where something stands in a file; lines and columns count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        """As editors and terminals understand it: file:line:column."""
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True)
class Document:
    """A file's values, the places of its keys and values, and what is wrong with it beyond its syntax."""

    value: Any
    keys: Mapping[Key, Place]
    values: Mapping[Key, Place]
    problems: tuple[tuple[Place, str], ...] = ()

    def place(self, way: Key, key: bool = False) -> Place:
        """The place of a value or its key; of what it would lie in, where it is not in the file."""
        return find(way, self.keys, self.values, key)


def find(way: Key, keys: Mapping[Key, Place], values: Mapping[Key, Place], key: bool = False) -> Place:
    """The place of a value or key; of what it would lie in, where it is not in the tables."""
    while way:
        for table in (keys, values) if key else (values, keys):
            if way in table:
                return table[way]
        way = way[:-1]
    return values[()]


class _Loader(_Base):
    """PyYAML's safe loader with the numbers and booleans of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own name


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(TAG + _tag, re.compile(f"^(?:{_pattern})$"), ["" if c == "\0" else c for c in _first])


def load(path: Path, name: str | None = None) -> Document:
    """The document in a YAML file; `name` is how places call the file. Raises SpecError if it is not YAML."""
    file = name or str(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SpecError(f"{file} cannot be read: {error.strerror or error}.") from error
    if len(content) > MAX_BYTES:
        raise SpecError(f"{file} has {len(content):,} bytes; a spec has at most {MAX_BYTES:,}.")
    return loads(content, file)


def loads(content: bytes, file: str) -> Document:
    """The document in the bytes of a YAML file; raises SpecError with the place of what is not YAML."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        raise SpecError(f"{file}:{line}:{column}: this is not UTF-8 text. Save the file as UTF-8.") from error
    try:
        _check_depth(text, file)
        root = yaml.compose(text, Loader=_Loader)
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        place = Place(file, before.count("\n") + 1, len(before) - before.rfind("\n"))
        raise SpecError(f"{place}: the character {chr(int(error.character))!r} is not allowed in YAML.") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file, 1, 1)
        about = f" ({error.context})" if error.context else ""
        raise SpecError(f"{place}: this is not YAML: {error.problem}{about}.") from error
    builder = _Builder(file)
    value = builder.build(root, ()) if root is not None else None
    return Document(value, builder.keys, builder.values, tuple(builder.problems))


def _check_depth(text: str, file: str) -> None:
    """Nothing, or SpecError for a file so deep that libyaml's recursion would crash Python."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            mark = event.start_mark
            place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file, 1, 1)
            raise SpecError(f"{place}: the values lie more than {MAX_DEPTH} levels deep.")


@dataclass
class _Builder:
    """Turns PyYAML's nodes into plain values and notes where each stood."""

    file: str
    keys: dict[Key, Place] = field(default_factory=dict)
    values: dict[Key, Place] = field(default_factory=dict)
    problems: list[tuple[Place, str]] = field(default_factory=list)
    _open: list[yaml.Node] = field(default_factory=list)  # from the top to the node that is being built
    _count: int = 0

    def place(self, node: yaml.Node) -> Place:
        return Place(self.file, node.start_mark.line + 1, node.start_mark.column + 1)

    def build(self, node: yaml.Node, path: Key) -> Any:
        """The value of a node; raises SpecError where going on makes no sense."""
        self.values[path] = self.place(node)
        self._count += 1
        if self._count > MAX_VALUES:
            raise SpecError(f"{self.place(node)}: there are more than {MAX_VALUES:,} values (aliases count each time).")
        if any(node is parent for parent in self._open):
            raise SpecError(f"{self.place(node)}: an alias refers to the value it lies in.")
        if len(self._open) > 2 * MAX_DEPTH:
            raise SpecError(f"{self.place(node)}: aliases lead more than {2 * MAX_DEPTH} levels deep.")
        self._open.append(node)
        try:
            if isinstance(node, yaml.MappingNode) and node.tag == TAG + "map":
                return self._mapping(node, path)
            if isinstance(node, yaml.SequenceNode) and node.tag == TAG + "seq":
                return [self.build(item, (*path, number)) for number, item in enumerate(node.value)]
            return self._scalar(node)
        finally:
            self._open.pop()

    def _mapping(self, node: yaml.MappingNode, path: Key) -> dict[str, Any]:
        found: dict[str, Any] = {}
        merged: list[yaml.Node] = []
        for key, value in node.value:
            way: Key = (*path, key.value) if isinstance(key, yaml.ScalarNode) else path
            if key.tag == TAG + "merge":
                merged += value.value if isinstance(value, yaml.SequenceNode) else [value]
            elif not isinstance(key, yaml.ScalarNode):
                self.problems.append((self.place(key), "a key should be text, not a list or a mapping"))
            elif key.value in found:
                first = self.keys[way]
                self.problems.append(
                    (self.place(key), f"the key {key.value!r} stands here twice; first on line {first.line}")
                )
            else:
                self.keys[way] = self.place(key)
                found[key.value] = self.build(value, way)
        for source in merged:
            self._merge(source, path, found)
        return found

    def _merge(self, source: yaml.Node, path: Key, into: dict[str, Any]) -> None:
        """`<<: *other`: the keys of another mapping, where they are not given here."""
        if not isinstance(source, yaml.MappingNode):
            self.problems.append((self.place(source), "only a mapping can be merged with <<"))
            return
        inner = _Builder(self.file, problems=self.problems, _open=self._open, _count=self._count)
        for key, value in inner.build(source, path).items():
            if key in into:
                continue
            into[key] = value
            start = (*path, key)
            for old, new in ((inner.keys, self.keys), (inner.values, self.values)):
                new.update({way: place for way, place in old.items() if way[: len(start)] == start})
        self._count = inner._count

    def _scalar(self, node: yaml.Node) -> Any:
        text = node.value
        kind = node.tag.removeprefix(TAG)
        if not isinstance(node, yaml.ScalarNode) or kind not in ("str", "int", "float", "bool", "null"):
            self.problems.append((self.place(node), f"the tag {node.tag} is not allowed"))
            return None
        if kind == "str":
            return text
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() == "true"
        return self._number(node, kind)

    def _number(self, node: yaml.ScalarNode, kind: str) -> int | float | None:
        text = node.value.replace(".inf", "inf").replace(".nan", "nan")
        try:
            number = (int(text, 16) if text.startswith("0x") else int(text)) if kind == "int" else float(text)
        except ValueError:
            self.problems.append((self.place(node), f"{node.value[:40]!r} is not a number"))
            return None
        if isinstance(number, float) and not math.isfinite(number):
            self.problems.append((self.place(node), f"{node.value} is not a finite number"))
            return None
        return number
