"""What cells have to show of single units, as small pictures and facts: pieces, drawn once and kept in the store.

Pieces are told by the arrays that a method documents, not by its name: pictures made for units, samples of pictures,
strongest patches with their projections, projections of one photo, maps over a photo, and what silencing a unit does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from reportgen import encode, keys, palettes, patch_blocks, tiles
from reportgen.charts import number
from reportgen.records import Artifact, Panel, Picture, Scale
from reportgen.spread import evenly
from reportgen.wording import short

if TYPE_CHECKING:
    from reportgen.palettes import Colors
    from reportgen.records import Array, Filled
    from reportgen.report import Report

LARGEST = 448  # pixels: made pictures are kept in their own size up to here
TILE = patch_blocks.TILE
MAP = 224  # pixels across a map over a photo
MOST_SAMPLES = 10
ROLES = ("made", "samples", "patches", "projection", "activity", "silenced")  # the first a unit has stands for it
RULES = {"switches": "deconvnet", "no_switches": "without switches", "guided": "guided", "gradient": "gradient"}
DRAWING = ("unit_pieces", "patch_blocks", "tiles", "palettes", "encode", "spread")


@dataclass(frozen=True)
class _Words:
    """Of which unit a piece is, and what is said of it."""

    unit: int
    role: str
    caption: str
    alt: str = ""
    columns: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Piece(_Words):
    """One thing that one cell shows of one unit."""

    width: int = 0
    height: int = 0
    picture: bytes = b""  # WebP


@dataclass(frozen=True)
class _Draft(_Words):
    """The same before its picture is encoded."""

    pixels: Colors | None = None


def pieces_of(report: Report, filled: Filled, also: Sequence[int] = ()) -> list[Piece]:
    """The pieces of a cell, unit by unit, from the store or drawn now; none of a cell that has no units.

    A cell that knows every unit's map shows those of `also` too.
    """
    if filled.status != "ok" or filled.cell.layer is None or not hasattr(filled.cell.params, "units"):
        return []
    document = {
        "schema": "unit-pieces-1",
        "cell": filled.cell.key,
        "also": list(also),
        "source": keys.source_digest(DRAWING),
    }
    key = keys.digest(document)
    record = report.store.get(key)
    if record is None:
        cell = filled.cell
        photo = report.photo(cell.image, cell.model) if cell.image else None
        drafts = list(_drafts(filled.load(), photo, also))
        with ThreadPoolExecutor(4) as pool:  # the encoder releases the interpreter's lock
            pictures = list(pool.map(lambda d: b"" if d.pixels is None else encode.webp(d.pixels), drafts))
        entries, start = [], 0
        for draft, data in zip(drafts, pictures, strict=True):
            size = [0, 0] if draft.pixels is None else [draft.pixels.shape[1], draft.pixels.shape[0]]
            words = {"caption": draft.caption, "alt": draft.alt, "columns": list(draft.columns), "facts": draft.facts}
            entries.append({"unit": draft.unit, "role": draft.role, **words, "size": size, "at": [start, len(data)]})
            start += len(data)
        blobs = {"pictures": b"".join(pictures)}
        record = report.store.put(key, kind="figure", document=document, meta={"pieces": entries}, blobs=blobs)
    data = report.store.read(record, "pictures")
    return [_piece(entry, data) for entry in record.meta["pieces"]]


def _piece(entry: dict[str, Any], data: bytes) -> Piece:
    start, length = entry["at"]
    width, height = entry["size"]
    words = (entry["unit"], entry["role"], entry["caption"], entry["alt"], tuple(entry["columns"]), entry["facts"])
    return Piece(*words, width, height, data[start : start + length])


def _drafts(artifact: Artifact, photo: Picture | None, also: Sequence[int]) -> Iterator[_Draft]:
    arrays, numbers = artifact.arrays, artifact.numbers
    units = _units(artifact)
    if {"patches", "projections", "mean"} <= set(arrays):  # `evolution` has the first two, of epochs
        yield from _patches(artifact, units)
    elif set(RULES) <= set(arrays) and photo is not None:
        yield from _projections(artifact, units, photo)
    elif "images" in arrays and arrays["images"].ndim == 4 and len(arrays["images"]) == len(units):
        yield from _made(artifact, units)
    elif "images" in arrays and arrays["images"].ndim == 5 and len(arrays["images"]) == len(units):
        yield from _samples(artifact, units)
    elif "probabilities" in arrays and "drops" in numbers:
        yield from _silenced(artifact, units)
    elif "activation" in arrays and photo is not None:
        known = [unit for unit in also if unit < len(arrays["activation"])]
        yield from _activity(arrays["activation"], list(dict.fromkeys([*units, *known])), photo)


def _units(artifact: Artifact) -> list[int]:
    found = artifact.arrays.get("units", artifact.numbers.get("units"))
    return [int(unit) for unit in found] if isinstance(found, np.ndarray | list | tuple) else []


def _name(numbers: Any, place: int, unit: int) -> str:
    names = numbers.get("names") or ()
    return short(str(names[place])) if place < len(names) and isinstance(names[place], str) else f"unit {unit}"


def _made(artifact: Artifact, units: Sequence[int]) -> Iterator[_Draft]:
    numbers = artifact.numbers
    for place, (unit, picture) in enumerate(zip(units, artifact.arrays["images"], strict=True)):
        pixels = tiles.to_bytes(picture.transpose(1, 2, 0))
        pixels = tiles.resize(pixels, LARGEST) if pixels.shape[1] > LARGEST else pixels
        facts = _given(numbers, place, reached="reached", start="start", probability="probability")
        named = _name(numbers, place, unit)
        reached = f", activation {number(facts['reached'])}" if "reached" in facts else ""
        alt = f"Picture made to drive {named} of {numbers.get('stage', 'the layer')} as far as it goes{reached}."
        yield _Draft(unit, "made", "Made from noise to drive this unit as far as it goes.", alt, (), facts, pixels)


def _samples(artifact: Artifact, units: Sequence[int]) -> Iterator[_Draft]:
    numbers, images = artifact.numbers, artifact.arrays["images"]
    shown = evenly(images.shape[1], MOST_SAMPLES)
    for place, unit in enumerate(units):
        strip = [tiles.resize(tiles.to_bytes(images[place, s].transpose(1, 2, 0)), TILE) for s in shown]
        facts = _given(numbers, place, reached="reached", probability="probability", distance="distance")
        caption = f"{len(shown)} of {images.shape[1]} samples drawn through a generator. What stays the same is what "
        caption += "the unit insists on."
        alt = f"{len(shown)} generated pictures that drive {_name(numbers, place, unit)}, side by side."
        yield _Draft(unit, "samples", caption, alt, (), facts, _strip([strip]))


def _patches(artifact: Artifact, units: Sequence[int]) -> Iterator[_Draft]:
    arrays, numbers = artifact.arrays, artifact.numbers
    values, firsts = arrays["activations"], arrays["images"]  # U P
    for place, unit in enumerate(units):
        fires = values[unit] > 0
        photos = patch_blocks.pictures(arrays["patches"][place][None], fires[None])[0]  # P 3 h w
        found = patch_blocks.around_grey(arrays["projections"][place])
        rows = [[_tile(tile) for tile in photos], [_tile(tile) for tile in found]]
        alike = [(int(other), len(set(firsts[unit].tolist()) & set(firsts[other].tolist()))) for other in units]
        alike = sorted((one for one in alike if one[0] != unit and one[1]), key=lambda one: (-one[1], one[0]))[:5]
        names = (numbers.get("names") or [[]] * len(units))[place]
        facts: dict[str, Any] = {
            "strongest": float(values[unit, 0]),
            "mean": float(arrays["mean"][unit]),
            "pictures": [str(name) for name in names],
            "activations": [float(value) for value in values[unit]],
            "shared": [list(one) for one in alike],
        }
        if classes := numbers.get("classes"):
            facts["class"] = f"{classes[place][0]} ({classes[place][1]} of {len(values[unit])})"
        caption = f"Above, the {len(photos)} patches of {numbers['pictures']:,} pictures that excite the unit most, "
        caption += "the strongest first; below, what is projected back from each, on its own scale around grey."
        alt = f"{len(photos)} strongest patches of unit {unit} above their projections; activation "
        alt += f"{number(float(values[unit, 0]))} to {number(float(values[unit, -1]))}."
        yield _Draft(unit, "patches", caption, alt, (), facts, _strip(rows))


def _projections(artifact: Artifact, units: Sequence[int], photo: Picture) -> Iterator[_Draft]:
    from reportgen import project

    arrays, size = artifact.arrays, int(artifact.numbers["size"])
    for place, unit in enumerate(units):
        box = arrays["boxes"][place]
        row = np.stack([arrays[name][place] for name in RULES])  # 4 3 h w
        if max(row.shape[-2:]) > size:  # a field larger than the picture: the whole picture
            y0, x0 = int(box[0]), int(box[1])
            row, box = project.cut(row, (-y0, -x0, size - y0, size - x0)), np.array((0, 0, size, size))
        strip = [_tile(tiles.cut(photo, box).transpose(2, 0, 1) / 255)]
        strip += [_tile(tile) for tile in patch_blocks.around_grey(row)]
        value = float(arrays["activations"][place])
        caption = "What the unit sees of the photo, and what four rules project back from its activation there."
        alt = f"Piece of the photo that unit {unit} sees, and its projection by 4 rules; activation {number(value)}."
        columns = ("photo", *RULES.values())
        facts = {"activation": value, "position": [int(side) for side in arrays["positions"][place]]}
        yield _Draft(unit, "projection", caption, alt, columns, facts, _strip([strip]))


def _activity(values: Array, units: Sequence[int], photo: Picture) -> Iterator[_Draft]:
    for unit in units:
        own = np.asarray(values[unit], dtype=np.float64)
        facts = {"strongest": float(own.max()), "mean": float(own.mean()), "active": float((own > 0).mean())}
        if own.size == 1:  # a neuron has no map
            yield _Draft(unit, "activity", "How strongly the neuron answers.", facts=facts)
            continue
        panel = Panel("unit", "heatmap", "", "", "", values=own, photo="under")
        top = tiles.limit(own)
        pixels = tiles.heatmap(panel, photo, Scale("own", 0.0, top), MAP)
        caption = f"Where the unit answers on the photo, 0 to {number(top)} (its own scale)."
        alt = f"Map of unit {unit} over the grey photo: active at {facts['active']:.0%} of its places, "
        yield _Draft(unit, "activity", caption, f"{alt}at most {number(facts['strongest'])}.", (), facts, pixels)


def _silenced(artifact: Artifact, units: Sequence[int]) -> Iterator[_Draft]:
    numbers = artifact.numbers
    for place, unit in enumerate(units):
        now = float(artifact.arrays["probabilities"][place, numbers["target"]])
        facts = {"target": numbers["target_name"], "whole": float(numbers["probability"]), "silenced": now}
        labels = numbers.get("labels") or ()
        facts["answer"] = str(labels[place]) if place < len(labels) else ""
        yield _Draft(unit, "silenced", "What the net says of the photo when this unit is silent.", facts=facts)


def _given(numbers: Any, place: int, **names: str) -> dict[str, Any]:
    found = {fact: numbers.get(name) for fact, name in names.items()}
    return {fact: float(values[place]) for fact, values in found.items() if isinstance(values, list | tuple)}


def _tile(tile: Array) -> Colors:
    """A tile (3 h w, 0..1) in the size that all are drawn in: small ones in squares, others smoothly."""
    from PIL import Image

    pixels = tiles.to_bytes(tile.transpose(1, 2, 0))  # h w 3
    scale = TILE / max(pixels.shape[:2])
    width, height = (max(1, round(side * scale)) for side in (pixels.shape[1], pixels.shape[0]))
    how = Image.Resampling.NEAREST if scale >= patch_blocks.IN_SQUARES else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(pixels).resize((width, height), how))


def _strip(rows: Sequence[Sequence[Colors]]) -> Colors:
    """Rows of tiles with the gap of a set, each tile in a square cell."""
    step = TILE + tiles.GAP
    height, width = len(rows) * step - tiles.GAP, max(len(row) for row in rows) * step - tiles.GAP
    out = np.full((height, width, 3), palettes.MID_GREY, dtype=np.uint8)
    for r, row in enumerate(rows):
        for c, tile in enumerate(row):
            part = tile[:TILE, :TILE]
            out[r * step : r * step + part.shape[0], c * step : c * step + part.shape[1]] = part
    for c in range(1, max(len(row) for row in rows)):
        out[:, c * step - tiles.GAP : c * step] = 255
    for r in range(1, len(rows)):
        out[r * step - tiles.GAP : r * step] = 255
    return out
