"""The structure tree of a tagged PDF."""

from __future__ import annotations


def alternative_texts(read):
    """The text of every figure in the order of the tree, an empty one where it has none."""
    tree = read.root_object["/StructTreeRoot"]
    return [str(one.get("/Alt", "")).strip() for one in _elements(tree) if one.get("/S") == "/Figure"]


def _elements(element):
    element = element.get_object()
    if not isinstance(element, dict):
        return
    yield element
    below = element.get("/K", [])
    below = below.get_object() if hasattr(below, "get_object") else below
    for child in below if isinstance(below, list) else [below]:
        if not isinstance(child, int):
            yield from _elements(child)
