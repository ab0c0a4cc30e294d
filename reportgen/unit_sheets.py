"""Contact sheets: the pictures of many units in one file, in the order in which links are laid over it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from reportgen import keys
from reportgen.unit_pieces import ROLES
from reportgen.unit_pieces import TILE as STRIP_TILE

if TYPE_CHECKING:
    from reportgen.palettes import Colors
    from reportgen.site_units import Unit
    from reportgen.store import Store

COLUMNS, ROWS = 8, 12
TILE = 112  # pixels
LABEL = 22  # see-through pixels below a tile, where its name stands
GAP = 4
QUALITY = 80


@dataclass(frozen=True)
class Sheet:
    """One picture of many units."""

    file: str
    data: bytes
    title: str  # of the method whose pictures these are
    units: tuple[Unit, ...]  # line by line
    columns: int
    width: int
    height: int


def make_sheets(store: Store, units: Sequence[Unit]) -> list[Sheet]:
    """The units' pictures, so many to a sheet; those of one kind together, for they compare with each other."""
    step, sheets = COLUMNS * ROWS, []
    columns = min(COLUMNS, max(4, len(units)))
    for role in (*ROLES, ""):
        same = [unit for unit in units if (unit.lead.piece.role if unit.lead else "") == role]
        for start in range(0, len(same), step):
            sheets.append(_sheet(store, tuple(same[start : start + step]), columns))
    return sheets


def _sheet(store: Store, units: tuple[Unit, ...], columns: int) -> Sheet:
    leads = [unit.lead for unit in units]
    digests = [hashlib.sha256(lead.piece.picture).hexdigest() if lead else "" for lead in leads]
    roles = [lead.piece.role if lead else "" for lead in leads]
    document = {"schema": "unit-sheet-1", "pictures": digests, "roles": roles, "measures": [columns, TILE, LABEL, GAP]}
    key = keys.digest(document)
    record = store.get(key)
    if record is None:
        tiles = [_tile(lead.piece.picture, lead.piece.role) if lead else None for lead in leads]
        blobs = {"sheet.webp": _drawn(tiles, columns)}
        record = store.put(key, kind="figure", document=document, blobs=blobs)
    data = store.read(record, "sheet.webp")
    rows = -(-len(units) // columns)
    name = f"assets/sheet.{hashlib.sha256(data).hexdigest()[:20]}.webp"
    title = units[0].lead.title if units[0].lead else "Without a picture"
    return Sheet(name, data, title, units, columns, columns * (TILE + GAP), rows * (TILE + LABEL + GAP))


def _tile(picture: bytes, role: str) -> Colors:
    """A unit's picture in the size of a tile; of strips the first."""
    from PIL import Image

    with Image.open(BytesIO(picture)) as opened:
        whole = opened.convert("RGB")
    if role == "projection":  # after the photo: what is projected back
        left = min(STRIP_TILE + 2, whole.width - STRIP_TILE)
        whole = whole.crop((left, 0, left + STRIP_TILE, STRIP_TILE))
    elif role in ("patches", "samples"):
        whole = whole.crop((0, 0, STRIP_TILE, STRIP_TILE))
    return np.asarray(whole.resize((TILE, TILE), Image.Resampling.LANCZOS, reducing_gap=3.0))


def _drawn(tiles: Sequence[Colors | None], columns: int) -> bytes:
    from PIL import Image

    across, down = TILE + GAP, TILE + LABEL + GAP
    sheet = np.zeros((-(-len(tiles) // columns) * down, columns * across, 4), dtype=np.uint8)
    for place, tile in enumerate(tiles):
        top, left = place // columns * down, place % columns * across
        if tile is not None:
            sheet[top : top + TILE, left : left + TILE, :3] = tile
            sheet[top : top + TILE, left : left + TILE, 3] = 255
    buffer = BytesIO()
    Image.fromarray(sheet, "RGBA").save(buffer, "WEBP", quality=QUALITY, method=2)
    return buffer.getvalue()
