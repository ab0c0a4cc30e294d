"""Lines that fit: columns side by side, and text broken between words where a terminal is narrow."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence

GAP = 2  # columns between columns
LEAST = 20  # columns: what is narrower than this is broken as if it had so many


def aligned(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Rows of cells as lines, each column as wide as its widest cell; columns in `right` end below each other."""
    wide = [
        max((len(row[i]) for row in rows if i < len(row)), default=0) for i in range(max(map(len, rows), default=0))
    ]
    lines = []
    for row in rows:
        cells = [cell.rjust(wide[i]) if i in right else cell.ljust(wide[i]) for i, cell in enumerate(row)]
        lines.append((" " * GAP).join(cells).rstrip())
    return lines


def explained(pairs: Iterable[tuple[str, str]], left: int = 24) -> list[str]:
    """Terms with their meanings beside them; below them where a term is long."""
    lines = []
    for term, meaning in pairs:
        if len(term) < left - 1:
            lines.append(f"{term:{left}}{meaning}")
        else:
            lines += [term, f"{'':{left}}{meaning}"]
    return lines


def broken(text: str, columns: int) -> str:
    """The text with lines of at most so many columns, broken between words.

    What goes on below begins where the line's last column did (told by a gap before it), or else under its indentation.
    """
    return "\n".join(piece for line in text.split("\n") for piece in _pieces(line, max(columns, LEAST)))


def _pieces(line: str, columns: int) -> list[str]:
    if len(line) <= columns:
        return [line]
    indent = _hanging(line, columns)
    made = textwrap.wrap(
        line,
        columns,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
    )
    return made or [""]


def _hanging(line: str, columns: int) -> int:
    """Where the lines below begin: at the last column of the line that leaves a third of the width to them."""
    starts = [match.end() for match in re.finditer(r"(?:^|\S)\s{2,}(?=\S)", line)]
    return max((start for start in starts if start <= 2 * columns // 3), default=0)
