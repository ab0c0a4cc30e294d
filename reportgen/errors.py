"""The errors a user can mend; each message is one paragraph: what was asked, what is wrong, what would be right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ReportError(Exception):
    """A mistake in what the user gave, printed as one paragraph without a traceback."""

    exit_code = 2  # nothing was started


class SpecError(ReportError):
    """The spec, a recipe or the command line is wrong; nothing was started."""


class ImageError(ReportError):
    """A file that should be a picture, or a data set of pictures, cannot be used."""


class ModelError(ReportError):
    """A net cannot be built, its weights cannot be had or do not fit."""


class MethodError(ReportError):
    """A method cannot do what it was asked on this net and picture."""


class StoreError(ReportError):
    """The cache cannot be written: a full disk, or a folder of somebody else's."""

    exit_code = 1


class RenderError(ReportError):
    """The site or the poster cannot be made or written, after the computing was done."""

    exit_code = 1


class Interrupted(ReportError):
    """Whoever stopped the program is told how it goes on."""

    exit_code = 130


class NotApplicable(ReportError):
    """A method has no meaning on this net or picture; the page shows the reason and the store keeps it."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that offers the nearest known names, or lists what is known where it is short."""
    names = sorted(set(known))
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if not close:
        lowered = {known_name.lower(): known_name for known_name in names}
        close = [lowered[match] for match in difflib.get_close_matches(name.lower(), lowered, n=3, cutoff=0.5)]
    if close:
        return f"Did you mean {' or '.join(repr(match) for match in close)}?"
    return f"Known: {', '.join(names)}." if 0 < len(names) <= 12 else "There is nothing of a similar name."
