"""Which units of a layer are shown: the strongest on a picture, those of a list, a seeded choice, or every one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reportgen.errors import MethodError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Units = int | tuple[int, ...] | str
DOC = (
    "9: the nine strongest on the picture; [3, 17]: those; {random: 9}: a seeded choice, the same for every picture "
    "and net of this width (another with {random: 9, seed: 1}); all: every one"
)


def canonical(units: Any) -> Units:
    """The choice in the one form that is hashed and compared: a number, a tuple, "all" or "random:9:0".

    Raises MethodError for anything else.
    """
    if isinstance(units, Mapping) and "random" in units and set(units) <= {"random", "seed"}:
        units = f"random:{units['random']}:{units.get('seed', 0)}"
    if isinstance(units, str):
        parts = units.split(":")
        if units == "all":
            return units
        if parts[0] == "random" and 2 <= len(parts) <= 3 and all(part.isdigit() for part in parts[1:]):
            return ":".join([*parts, "0"][:3])
    elif isinstance(units, Sequence) and units and all(_is_index(unit) for unit in units):
        return tuple(dict.fromkeys(int(unit) for unit in units))
    elif _is_index(units) and units > 0:
        return int(units)
    raise MethodError(f"units: {units!r} is no choice of units. Right would be 9, [3, 17], {{random: 9}} or all.")


def unseen(units: Any, width: int, layer: str) -> list[int]:
    """The indices of the chosen units of a layer of this width, where there is no picture to be strong on.

    A number then means a seeded choice of that many.
    """
    import numpy as np

    return choose(f"random:{units}" if isinstance(units, int) else units, np.zeros(width), layer)


def choose(units: Any, strength: NDArray[np.floating[Any]], layer: str) -> list[int]:
    """The indices of the chosen units; `strength` holds the strongest activation of each unit of the layer.

    The strongest come strongest first, equal ones in their order; a random choice comes ascending.
    """
    import numpy as np

    units = canonical(units)
    width = len(strength)
    if isinstance(units, int):
        return [int(unit) for unit in np.argsort(-strength, kind="stable")[:units]]
    if units == "all":
        return list(range(width))
    if isinstance(units, str):
        count, seed = (int(part) for part in units.split(":")[1:])
        rng = np.random.default_rng([width, count, seed])
        return sorted(int(unit) for unit in rng.choice(width, size=min(count, width), replace=False))
    if wrong := [unit for unit in units if unit >= width]:
        raise MethodError(f"{layer} has no unit {wrong[0]}: its {width} units are numbered from 0 to {width - 1}.")
    return list(units)


def _is_index(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
