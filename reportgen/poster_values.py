"""Blocks of tiles as plain values, which is what the templates of printed pages take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reportgen import palettes
from reportgen.poster_tiles import Group, Line, Tile, Tiles


def block_values(block: Tiles, groups: Sequence[Any]) -> dict[str, Any]:
    """A block as the templates take it."""
    heads = [
        {"text": head.text, "color": head.color, "badge": head.badge, "text_color": _readable(head.color)}
        for head in block.heads
    ]
    return {
        "title": block.title,
        "html": block.html,
        "heads": heads,
        "groups": groups,
        "caption": block.caption,
        "legend": block.legend,
        "message": block.message,
    }


def group_values(group: Group, files: Mapping[int, str]) -> dict[str, Any]:
    """A group as the templates take it; `files` names the picture of each tile, by its identity."""
    return {"lines": [_line(line, files) for line in group.lines], "photo": tile_values(group.photo, files)}


def _line(line: Line, files: Mapping[int, str]) -> dict[str, Any]:
    tiles = [tile_values(tile, files) for tile in line.tiles]
    return {"name": line.name, "note": line.note, "text_color": _readable(line.color), "tiles": tiles}


def tile_values(tile: Tile | None, files: Mapping[int, str]) -> dict[str, Any]:
    """A tile as the templates take it; an empty one for none."""
    tile = tile or Tile()
    return {
        "file": files.get(id(tile), ""),
        "aspect": tile.aspect,
        "alt": tile.alt,
        "label": tile.label,
        "note": tile.note,
        "bars": tile.bars,
        "color": tile.color,
        "colors": tile.keys,
    }


def _readable(color: str | None) -> str:
    return palettes.text_color(color) if color else palettes.INK
