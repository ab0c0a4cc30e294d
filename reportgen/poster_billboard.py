"""The panel of a billboard, between its two bars: one sentence in large type, what it is seen in, what follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reportgen.poster_layout import Place, Sheet
from reportgen.poster_sheet import FEATURED, SENTENCES, Content

MOST_SENTENCE = 0.42  # of the panel's height
LEAST_GAP, MOST_GAP = 24.0, 60.0  # mm on A0 between the pieces of the panel


@dataclass(frozen=True)
class Panel:
    """What stands in the panel, and where."""

    sentence: float  # size of its type, in mm on A0
    places: tuple[Place, ...]


def fill_panel(
    sheet: Sheet, content: Content, heights: Mapping[str, float], figure: float | None, foot: bool = False
) -> Panel | None:
    """The panel with the largest sentence that leaves room for the rest, or None where there is not even room for it.

    The sentence stands in the white that is left over, what is below it at the panel's foot; `figure` is the height of
    the large figure, `foot` says that references and thanks stand here, for want of room in the bars.
    """
    height = sheet.height - 2 * sheet.margin
    below = [(FEATURED, figure)] if figure is not None else []
    if content.words.conclusion is not None:
        below.append((content.words.conclusion.name, heights[content.words.conclusion.name]))
    if foot:
        below.extend((text.name, heights[f"{text.name}-across"]) for text in content.words.foot)
    if "corner" in heights:
        below.append(("corner", heights["corner"]))
    least = LEAST_GAP * sheet.unit
    taken = sum(high for _, high in below) + least * len(below)
    for sentence in SENTENCES:
        own = heights[f"sentence-{sentence}"]
        if own <= min(height - taken, MOST_SENTENCE * height):
            return Panel(sentence, _places(sheet, own, below, height - taken - own))
    return None


def _places(sheet: Sheet, own: float, below: list[tuple[str, float]], spare: float) -> tuple[Place, ...]:
    """The sentence a little above the middle of its white, the rest from the foot upwards."""
    x, width, foot = sheet.left(0) + sheet.column + sheet.gutter, sheet.wide, sheet.height - sheet.margin
    more = min(spare / (2 * len(below)), (MOST_GAP - LEAST_GAP) * sheet.unit) if below else 0.0
    places = []
    for name, high in reversed(below):
        places.append(Place(name, x, foot - high, width, high, 0, 1.0))
        foot -= high + LEAST_GAP * sheet.unit + more
    white = spare - more * len(below)
    top = sheet.margin + 0.4 * white
    return (Place("sentence", x, top, width, own, 0, 1.0), *reversed(places))
