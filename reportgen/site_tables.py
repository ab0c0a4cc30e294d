"""Tables of the site: what nets are made of, side by side, and what the cells of a section measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from reportgen.charts import number
from reportgen.pages import Block

if TYPE_CHECKING:
    from reportgen.records import Figure, Filled


def facts_of(figures: Sequence[Figure | None]) -> tuple[tuple[str, ...], ...]:
    """Tables of two columns laid side by side: the row's name, then the value of each net."""
    tables = [{str(row[0]): _joined(row[1:]) for row in figure.rows} if figure else {} for figure in figures]
    names = dict.fromkeys(name for table in tables for name in table)
    return tuple((name, *(table.get(name, "–") for table in tables)) for name in names)


def numbers_table(block: Block, image: str | None, names: Mapping[str, str]) -> tuple[list[str], list[list[str]]]:
    """What the cells of a section (of one image) measured: column names, and one row per cell."""
    cells = {slot.filled.cell.id: slot.filled for row in block.rows for slot in row.slots if slot.filled}
    cells_shown = [f for f in cells.values() if f.status == "ok" and (image is None or f.cell.image == image)]
    keys = [key for key in dict.fromkeys(key for f in cells_shown for key in f.numbers) if _is_scalar(cells_shown, key)]
    places = [
        (name, get)
        for name, get in (
            ("image", lambda f: f.cell.image),
            ("layer", lambda f: f.cell.layer),
            ("net", lambda f: names[f.cell.model]),
        )
        if any(get(f) for f in cells_shown)
    ]
    keys = [key for key in keys if key != "layer" or not any(name == "layer" for name, _ in places)]
    rows = [
        [*(str(get(f) or "") for _, get in places), *(shown(f.numbers.get(key)) for key in keys)] for f in cells_shown
    ]
    return [*(name for name, _ in places), *(key.replace("_", " ") for key in keys)], rows


def _is_scalar(cells: Sequence[Filled], key: str) -> bool:
    values = [f.numbers.get(key) for f in cells]
    return all(value is None or isinstance(value, bool | int | float | str) for value in values) and any(
        value is not None for value in values
    )


def shown(value: object) -> str:
    """A value as a table shows it."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(float(value)) if isinstance(value, int | float) else str(value)


def _joined(values: Sequence[object]) -> str:
    return " ".join(shown(value) for value in values)
