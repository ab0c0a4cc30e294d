"""What walls say about their pictures: scales, titles, and the names of the rows and columns of a sheet."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING

from reportgen.charts import number

if TYPE_CHECKING:
    from reportgen.records import Figure, Scale

RULES = {
    "shared": "shared scale",
    "own": "own scale",
    "tile": "every tile on its own scale",
    "fixed": "fixed scale",
    "none": "",
}
RULES_LONG = {
    "shared": "All nets of a row share one colour scale, because their numbers can be compared.",
    "own": "Every picture has its own scale, up to its 99th percentile: compare shapes, not brightness.",
    "tile": "Every tile has its own scale, up to its 99th percentile: compare shapes, not strengths.",
    "fixed": "All pictures share the same fixed scale.",
    "none": "",
}


def is_sheet(figure: Figure) -> bool:
    """Whether a picture is a sheet of tiles that needs more width than a column: its columns or rows have names."""
    return figure.kind == "grid" and (figure.photo or bool(figure.columns) or bool(figure.row_labels))


def same_columns(figures: Sequence[Figure]) -> bool:
    """Whether the columns of all these sheets have the same names, so that saying them once is enough."""
    return len({column_names(figure) for figure in figures}) < 2


def column_names(figure: Figure) -> tuple[str, ...]:
    """What the columns of a sheet are called; the first is the photo cut to what each row looked at."""
    return (("photo",) if figure.photo and figure.columns else ()) + figure.columns


def told(where: str, names: Sequence[str]) -> str:
    """Names in a line, with the words that all begin with said once: "from the top: unit 5, 17, 33"."""
    begin = _common([name.split() for name in names]) if len(names) > 1 else []
    rest = [" ".join(name.split()[len(begin) :]) for name in names]
    comma = "; " if any("," in name for name in names) else ", "
    short = " ".join([*begin, comma.join(rest)]) if all(rest) else comma.join(names)
    return f"{where}: {short}" if names else ""


def scale_words(scale: Scale) -> str:
    """The rule and limits of a scale in plain words: "0 to 0.31, own scale"."""
    words = RULES[scale.rule]
    if scale.min is None or scale.max is None:
        return words
    return f"{number(scale.min)} to {number(scale.max)}, {words}"


def general(figures: Sequence[Figure]) -> str:
    """The title that figures share; where theirs differ, the words they begin and end with: "Where … is active"."""
    titles = [figure.title.split() for figure in figures]
    if not titles:
        return ""
    before = _common(titles)
    if before == titles[0]:
        return " ".join(before)
    if not before:  # they begin with the nets' names
        return "Facts" if figures[0].kind == "table" else ""
    after = _common([title[len(before) :][::-1] for title in titles])[::-1]
    while len(before) > 1 and not after and before[-1] in {"of", "for", "from", "in", "on"}:
        before.pop()
    return " ".join([*before, *(["…"] if after else []), *after])


def _common(lists: Sequence[Sequence[str]]) -> list[str]:
    """The words that all lists begin with."""
    return [words[0] for words in takewhile(lambda words: len(set(words)) == 1, zip(*lists, strict=False))]
