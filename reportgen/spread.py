"""Some of many, spread evenly: epochs, classes or pictures for which there is room."""

from __future__ import annotations


def evenly(count: int, most: int) -> list[int]:
    """At most so many of the places 0 .. count-1, spread evenly, first and last among them; all, if there is room."""
    if most >= count:
        return list(range(count))
    return [round(place * (count - 1) / max(1, most - 1)) for place in range(most)]
