"""What the method changed_units shows: all correlations, the most changed units, and the likeness of whole layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from reportgen import wording
from reportgen.records import Artifact, Panel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CHANGED = 0.5  # correlation below which a unit is counted as changed: half of what it did is less than that shared
COLUMNS, HEIGHT = 224, 160  # of the sheet of correlations, about
GAP, EDGE = 2, 6  # pixels between patches, and towards those of the other net
GONE = {"silenced": "became constant", "woken": "ceased to be constant"}
WORDS = {"silenced": "constant now", "woken": "was constant", "moved": "another constant"}


def _r(value: float, digits: int = 2) -> str:
    return f"{value:.{digits}f}".replace("-", "−")


def _finding(numbers: Mapping[str, Any]) -> str:
    """The most changed unit in words."""
    first, all_of_them = numbers["most"][0], numbers["all"]
    if all_of_them["untouched"] == all_of_them["units"]:
        return "not one unit changed"
    how = WORDS.get(first["state"]) or f"r = {_r(first['correlation'])}"
    return f"first unit {first['unit']} of {first['layer']} ({how})"


def sheet(artifact: Artifact) -> Panel:
    """Every unit's correlation with itself before, a line for each layer."""
    arrays, numbers = artifact.arrays, artifact.numbers
    counted, lines = numbers["all"], len(numbers["layers"])
    gone = [f"{counted[state]:,} {word}" for state, word in GONE.items() if counted[state]]
    depths = [one["title"] for one in numbers["depths"]]
    ends = f" White lines end {', '.join(depths[:-1])}." if 1 < len(depths) < lines else ""
    finding = f"{counted['changed']:,} of {counted['units']:,} units are below {CHANGED:g}"
    return Panel(
        name="correlations",
        kind="heatmap",
        title="Which units still do what they did",
        caption=f"Each line is a layer, the first on top, and in it every unit's correlation with itself before "
        f"(weights: {numbers['before']}), the most changed on the left: bright is 1, unchanged, dark is 0 and less."
        f"{ends} {finding}{''.join(', ' + words for words in gone)}; {_finding(numbers)}.",
        alt=f"{lines} lines, one per layer: correlation of each unit with itself before; {finding}, "
        f"{_finding(numbers)[:60]}.",
        values=_lines(arrays, numbers),
        scale="fixed",
        limits=(0.0, 1.0),
        unit="correlation",
        featured=True,
    )


def _lines(arrays: Mapping[str, Any], numbers: Mapping[str, Any]) -> NDArray[np.float32]:
    """A line of sorted correlations for each layer, as high as fits, and a gap after each depth."""
    import numpy as np

    high = max(1, round(HEIGHT / len(numbers["layers"])))
    ends = {one["layer"] for one in numbers["depths"]} if len(numbers["depths"]) < len(numbers["layers"]) else set()
    rows: list[NDArray[Any]] = []
    for number, layer in enumerate(numbers["layers"]):
        own = np.sort(arrays["correlation"][arrays["layer"] == number])  # U
        at = np.arange(COLUMNS) * len(own) // COLUMNS  # the most changed unit always has a place
        rows += [own[at]] * high
        rows += [np.full(COLUMNS, np.nan)] * max(1, high // 3) * (layer in ends)
    while np.isnan(rows[-1]).all():
        rows.pop()
    return np.array(rows, dtype=np.float32)  # H W


def patches(artifact: Artifact) -> Panel:
    """The patches that excite the most changed units, before and after."""
    from reportgen import patch_blocks

    arrays, numbers = artifact.arrays, artifact.numbers
    silent = arrays["state"][arrays["shown"]]  # S
    fires = arrays["fires"] > 0  # S 2 P
    fires[:, 1] &= (silent != 1)[:, None]
    fires[:, 0] &= (silent != 2)[:, None]
    tiles = patch_blocks.pictures(arrays["patches"], fires)  # S 2 P 3 T T
    names = [_named(artifact, int(u)) for u in arrays["shown"]]
    grey = "" if fires.all() else " Where a unit fires nowhere, or is the same everywhere, it stays grey."
    return Panel(
        name="patches",
        kind="grid",
        title="What excites the most changed units",
        caption=f"{len(names)} of the most changed units, one per row: the {fires.shape[2]} patches of "
        f"{numbers['set']} that excited each most before (left) and after (right). A patch is what one position of the "
        f"layer sees.{grey}",
        alt=f"{len(names)} most changed units, a row each: strongest patches before and after; the first is "
        f"{names[0][:50]}.",
        values=_side_by_side(tiles),
        scale="none",
        row_labels=tuple(names),
        columns=("before", "after"),
    )


def _named(artifact: Artifact, u: int) -> str:
    """ "unit 17 of layer2.0.bn2, r = 0.31"."""
    from reportgen.unit_change import STATES

    arrays, layers = artifact.arrays, artifact.numbers["layers"]
    how = WORDS.get(STATES[arrays["state"][u]]) or f"r = {_r(arrays['correlation'][u])}"
    return f"unit {arrays['unit'][u]} of {layers[arrays['layer'][u]]}, {how}"


def _side_by_side(tiles: NDArray[np.float32]) -> NDArray[np.float32]:
    """The patches of each net in one row (S 2 P 3 T T), as one tile with white between the two: S 2 3 T W."""
    import numpy as np

    count, nets, patches, colours, height, width = tiles.shape
    wide = np.full((count, nets, colours, height, patches * (width + GAP) - GAP + EDGE), np.nan, dtype=np.float32)
    for which, place in np.ndindex(nets, patches):
        left = which * EDGE + place * (width + GAP)
        wide[:, which, ..., left : left + width] = tiles[:, which, place]
    return wide


def table(artifact: Artifact) -> Panel:
    """The most changed units with their numbers."""
    numbers, first = artifact.numbers, artifact.numbers["most"][0]
    rows = tuple(
        (
            place,
            one["layer"],
            one["unit"],
            WORDS.get(one["state"]) or _r(one["correlation"], 3),
            f"{one['change']:.3g}",
            *(wording.size(mean).replace("-", "−") for mean in one["mean"]),
        )
        for place, one in enumerate(numbers["most"], 1)
    )
    return Panel(
        name="most_changed",
        kind="table",
        title="The most changed units",
        caption=f"The {len(rows)} most changed of {numbers['all']['units']:,} units: those that became constant or "
        "ceased to be first, from the first layer on, then by correlation. Change is the root of the mean squared "
        "difference in standard deviations of the unit; means are over all pictures and positions.",
        alt=f"Table of the {len(rows)} most changed units with correlation, change and means; first stands unit "
        f"{first['unit']} of {first['layer']}.",
        scale="none",
        columns=("rank", "layer", "unit", "correlation", "change", "mean before", "mean after"),
        rows=rows,
    )


def curve(artifact: Artifact) -> Panel:
    """The alignment of each depth with itself before, and what chance gives."""
    import numpy as np

    numbers = artifact.numbers
    told, titles = numbers["depths"], [one["title"] for one in numbers["depths"]]
    least = min(told, key=lambda one: float(one["cka"]))
    listed = ", ".join(f"{n} {title}" for n, title in enumerate(titles, 1))
    return Panel(
        name="alike",
        kind="curves",
        title="How alike whole layers are",
        caption="Linear centred kernel alignment of each depth with itself before: 1 is the same up to turns and "
        "scale. The second line is what shuffled pictures give, which is chance: a value near it says nothing. Depths "
        f"are {listed}.",
        alt=f"Curve of the alignment of {len(told)} depths with what they were: least at {least['title']}, "
        f"{least['cka']:.2f}, where chance gives {least['chance']:.2f}.",
        values=np.array([[one["cka"] for one in told], [one["chance"] for one in told]]),  # 2 L
        x=np.arange(1, len(told) + 1),
        scale="fixed",
        limits=(0.0, 1.0),
        unit="CKA",
        columns=("depth",),
        row_labels=("with the same pictures", "with pictures shuffled"),
        joint=True,
    )


def depths(artifact: Artifact) -> Panel:
    """Units, alignment and partners, depth by depth."""
    numbers = artifact.numbers
    rows = tuple(
        (
            one["title"],
            one["units"],
            _r(one["median"], 3),
            f"{one['changed'] / one['units']:.0%}",
            one["silenced"],
            f"{one['cka']:.3f}",
            f"{one['chance']:.3f}",
            f"{one['own_partner']:.0%}",
            _r(one["partner"], 3),
        )
        for one in numbers["depths"]
    )
    last = numbers["depths"][-1]
    return Panel(
        name="depths",
        kind="table",
        title="Units and whole layers, depth by depth",
        caption=f"The median correlation of units with themselves before, the share below {CHANGED:g}, the alignment "
        f"of the whole layer (CKA) on {numbers['compared']:,} pictures with what chance gives, the share of units "
        "whose best partner in the layer is themselves, and the median correlation with that partner. Few partners "
        "of one's own and a high CKA mean the same features in other units.",
        alt=f"Table of {len(rows)} depths with correlations, CKA and partners; at {last['title']} the median is "
        f"{_r(last['median'])} and CKA is {last['cka']:.2f}.",
        scale="none",
        columns=(
            "depth",
            "units",
            "median r",
            f"below {CHANGED:g}",
            "constant now",
            "CKA",
            "by chance",
            "own partner",
            "partner's r",
        ),
        rows=rows,
    )
