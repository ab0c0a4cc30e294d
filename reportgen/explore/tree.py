"""The layers of a net as a tree of lines, folded where there are more than a screen or two can hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from reportgen.errors import SpecError, nearest
from reportgen.explore import naming
from reportgen.explore.laying import aligned
from reportgen.records import Card, Layer

MOST_LINES = 60  # before parts are folded
HEADINGS = ("no.", "layer", "kind", "shape", "also called")


@dataclass
class _Node:
    """A module by the last word of its path, with what is in it, in the order of their first calls."""

    path: str
    inside: dict[str, _Node] = field(default_factory=dict)
    layer: Layer | None = None


def tree(card: Card, words: str = "") -> str:
    """The layers with their numbers, shapes and names: all where words say `all`, else folded; of one part by its path.

    Raises SpecError for a part that the net has not got.
    """
    whole = words.lower() == "all"
    top = _part(card, "" if whole else words)
    depth = _deepest(top) if whole else _fitting(top)
    numbers = {layer.name: number for number, layer in naming.numbered(card).items()}
    called = _called(card)
    rows = [_row(node, level, depth, numbers, called) for node, level in _walk(top, depth)]
    lines = aligned([HEADINGS, *rows], right=(0,))
    folded = [node.path for node, level in _walk(top, depth) if level == depth and node.inside]
    if folded:
        lines.append(f"`layers {folded[0]}` and the like open what is folded (+), `layers all` everything")
    return "\n".join(lines)


def parts(card: Card) -> list[str]:
    """The paths of the modules that hold others, in their order."""
    top = _part(card, "")
    return [node.path for node, _ in _walk(top, _deepest(top)) if node.inside]


def _part(card: Card, path: str) -> _Node:
    """The module at a path, the whole net at none, as nodes."""
    top = _Node("")
    for layer in card.layers:
        node, words = top, layer.name.split(".")
        for count, word in enumerate(words, 1):
            node = node.inside.setdefault(word, _Node(".".join(words[:count])))
        node.layer = layer
    for word in path.split(".") if path else ():
        if word not in top.inside:
            raise SpecError(f"{card.arch} has no part {path!r} with layers in it. {nearest(path, parts(card))}")
        top = top.inside[word]
    return top if top.inside or not path else _Node("", {path: top})


def _walk(node: _Node, depth: int, level: int = 1) -> Iterator[tuple[_Node, int]]:
    """The nodes below one down to a depth, each with its level, holders before what they hold."""
    for inner in node.inside.values():
        yield inner, level
        if level < depth:
            yield from _walk(inner, depth, level + 1)


def _deepest(node: _Node) -> int:
    return max((1 + _deepest(inner) for inner in node.inside.values()), default=0)


def _fitting(top: _Node) -> int:
    """The greatest depth that makes few enough lines, and at least one."""
    deep = _deepest(top)
    return next((d for d in range(deep, 1, -1) if sum(1 for _ in _walk(top, d)) <= MOST_LINES), 1)


def _row(
    node: _Node, level: int, depth: int, numbers: Mapping[str, int], called: Mapping[str, list[str]]
) -> tuple[str, ...]:
    folded = level == depth and bool(node.inside)
    inner = [numbers[one.path] for one, _ in _walk(node, _deepest(node)) if one.path in numbers]
    number = str(numbers.get(node.path, "")) or (_range(inner) if folded else "")
    words = node.path.split(".")
    shown = ".".join(words[-2:] if words[-1].isdigit() else words[-1:])  # a bare number would look like that of a layer
    name = f"{'  ' * (level - 1)}{shown}{' +' if folded else ''}"
    kind, shape = (node.layer.kind, " x ".join(map(str, node.layer.shape))) if node.layer else ("", "")
    return number, name, kind, shape, ", ".join(called.get(node.path, ()))


def _range(numbers: list[int]) -> str:
    if not numbers:
        return ""
    return f"{numbers[0]}-{numbers[-1]}" if len(numbers) > 1 else str(numbers[0])


def _called(card: Card) -> dict[str, list[str]]:
    """The other names of layers, by path: stages, aliases, and of the names in papers the most telling one."""
    called: dict[str, list[str]] = {}
    for name, path in {**card.stages, **card.aliases}.items():
        called.setdefault(path, []).append(name)
    papers: dict[str, str] = {}
    for name, layer in naming.paper_names(card).items():
        if not name.startswith("conv") or layer.name not in papers:  # conv5_3 before conv13, fc8 in place of fc3
            papers[layer.name] = name
    for path, name in papers.items():
        if name not in called.setdefault(path, []):
            called[path].append(name)
    return called
