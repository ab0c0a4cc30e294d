"""Which concept each unit of a layer stands for: its active area against objects, parts, colours and textures.

One sees how many units fire just where a concept is: a wheel, an eye, a colour, stripes. A unit's area are the places
where its activation is above the value that half a per cent of its activations exceed; it detects a concept where
intersection over union with the concept, over the whole data set, is above 0.04. What one cannot tell: whether the
class hangs on the unit (silence it for that), and what a unit means for which there is no mask. With so small an area
a concept that covers over an eighth of all pictures cannot be detected at all, and one unit may answer to more than its
best concept. Small sets flatter, because a rare concept fits some unit by chance: compare nets on the same set, and
with one of random weights.

Network dissection, Bau et al. (2017): $IoU_{u,c} = \\sum |M_u \\cap L_c| / \\sum |M_u \\cup L_c|$, with the cells $M_u$
of the unit's area counted in pictures that have the concept $c$. Objects (the masks by class) and parts come from the
data set, the same name in several classes being one part; eleven colours and six textures follow rules for each cell
of the grid (see `reportgen/concepts.py`). Maps are drawn on a grid of `grid` x `grid` cells, linearly between the
middles of their fields. Activations are counted in bins, sixteen to the octave, so that one look at each picture is
enough and memory does not grow: an IoU is off by at most 0.01 from a brute force with exact quantiles, or by what one
cell makes where a concept has but a few. A threshold is never below a 32nd of the unit's largest value, which matters
for units that fire in fewer places than the quantile. Checked against that brute force, and on a planted unit that is
a part's own mask.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reportgen import concepts, dissecting
from reportgen.errors import MethodError, NotApplicable
from reportgen.examples import Batch, Dataset, Partial
from reportgen.records import Artifact, Method, Net, Panel, Scan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LISTED = 20  # units in the table
SHOWN = 8  # units with pictures, each of another concept
FAINT = 0.25  # brightness of what lies outside a unit's area
STEPS = 101  # points of the curve


@dataclass(frozen=True)
class Params:
    """Which layer is taken apart, and what counts as a detector."""

    layer: str = field(default="last_conv", metadata={"doc": "a stage, an alias or a module path"})
    grid: int = field(default=56, metadata={"doc": "cells along a side on which units and concepts are compared"})
    quantile: float = field(default=0.005, metadata={"doc": "share of a unit's activations that make its area"})
    detector: float = field(default=0.04, metadata={"doc": "intersection over union from which a unit is a detector"})
    least: int = field(default=5, metadata={"doc": "pictures that a concept must be in to count"})

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        for name, right, fits in (
            ("grid", "56", 2 <= self.grid <= 256),
            ("quantile", "0.005", 0 < self.quantile < 1),
            ("detector", "0.04", 0 < self.detector < 1),
            ("least", "5", self.least >= 1),
        ):
            if not fits:
                raise MethodError(f"{name}: {getattr(self, name)} means nothing here. Right would be {right}.")


def chunk(net: Net, batch: Batch, params: Params) -> Partial:
    """How much of each unit lies in each concept, for any threshold."""
    layer, value = net.card.resolve(params.layer), batch.values[params.layer]
    if value.ndim != 4 or value.shape[-1] * value.shape[-2] == 1:
        raise NotApplicable(f"{layer.name} has no maps whose area could be compared with anything: take a stage.")
    if not bool(value.isfinite().all()):
        raise MethodError(f"The net gives NaN or infinity in {layer.name}: its weights are damaged or overflow.")
    size = net.card.preprocess.size
    where = concepts.of_batch(net, batch, min(params.grid, size))
    return dissecting.count(value, layer, size, where, batch.places)


def finish(net: Net, data: Dataset, partial: Partial, params: Params, rng: np.random.Generator) -> Artifact:
    """Every unit's best concept, and pictures of the best detectors."""
    import numpy as np

    often = np.flatnonzero(partial["pictures"] >= params.least)
    if not len(often):
        raise MethodError(
            f"least: no concept is in {params.least} of the pictures of {data.name}; take a smaller number."
        )
    threshold = dissecting.thresholds(partial, params.quantile)  # U, infinite for silent units
    iou = dissecting.overlaps(partial, threshold)[:, often]  # U K
    best = iou.argmax(axis=1)  # U
    best_iou = iou.max(axis=1)
    kinds, names = zip(*(_named(data, dissecting.names_of(partial)[k]) for k in often), strict=True)
    found = best_iou > params.detector
    unique = Counter(kinds[k] for k in set(best[found].tolist()))
    order = np.argsort(-best_iou, kind="stable")
    firsts = _first_of_each(order.tolist(), best)
    layer = net.card.resolve(params.layer)
    silent = ~np.isfinite(threshold)
    threshold = np.where(silent, 0, threshold)
    examples = _examples(net, data, params, partial, threshold, firsts)
    numbers = {
        "layer": layer.name,
        "stage": net.card.depth_name(layer.name),
        "units": len(best),
        "silent": int(silent.sum()),
        "detectors": int(found.sum()),
        "unique": {kind: unique[kind] for kind in concepts.KINDS},
        "known": {kind: Counter(kinds)[kind] for kind in concepts.KINDS},
        "concepts": list(names),
        "kinds": list(kinds),
        "best": [_line(unit, best, best_iou, names, kinds) for unit in order[:LISTED].tolist()],
        "shown": [_line(unit, best, best_iou, names, kinds) for unit in firsts],
        "grid": min(params.grid, net.card.preprocess.size),
        "quantile": params.quantile,
        "detector": params.detector,
    }
    tallies = {name: partial[name][often] for name in ("pictures", "pixels")}
    result = {"iou": iou, "best": best, "best_iou": best_iou, "threshold": threshold, "places": partial["places"]}
    return Artifact({**result, **tallies, "examples": examples}, numbers)


def _named(data: Dataset, concept: str) -> tuple[str, str]:
    """The kind and the name of a concept for people."""
    kind, _, name = concept.partition(":")
    name = data.classes[int(name)].partition(",")[0] if kind == "object" else name
    return kind, name.replace("_", " ")


def _line(unit: int, best: Any, best_iou: Any, names: Sequence[str], kinds: Sequence[str]) -> dict[str, Any]:
    k = int(best[unit])
    return {"unit": unit, "concept": names[k], "kind": kinds[k], "iou": float(best_iou[unit])}


def _first_of_each(order: Sequence[int], best: NDArray[Any]) -> list[int]:
    """The best unit of each of the first concepts; further units where there are fewer concepts."""
    seen: dict[int, int] = {}
    for unit in order:
        seen.setdefault(int(best[unit]), unit)
    firsts = list(seen.values())[:SHOWN]
    return firsts + [unit for unit in order if unit not in firsts][: SHOWN - len(firsts)]


def _examples(
    net: Net, data: Dataset, params: Params, partial: Partial, threshold: NDArray[Any], chosen: Sequence[int]
) -> NDArray[np.uint8]:
    """The strongest pictures of units, dark outside of their area, E 4 3 S S in bytes; white where there is none."""
    import numpy as np

    from reportgen import hooks, images, project
    from reportgen.lean import lean

    layer, size = net.card.resolve(params.layer), net.card.preprocess.size
    sheet = np.full((len(chosen), dissecting.STRONGEST, 3, size, size), 255, dtype=np.uint8)
    for tiles, unit in zip(sheet, chosen, strict=True):
        places = [place for place in partial["places"][unit].tolist() if place >= 0]
        if not places:
            continue
        pictures = [data.load(place).picture for place in places]
        value = hooks.run_to(lean(net, [layer.name]), net.preprocess(pictures), [layer.name])[layer.name][:, unit]
        areas = project.enlarged(project.to_numpy(value), size, layer.places(size)) > threshold[unit]  # n S S
        for tile, picture, area in zip(tiles, pictures, areas, strict=False):
            view = images.view(picture, net.card.preprocess).transpose(2, 0, 1)  # 3 S S
            tile[:] = np.rint(view * np.where(area, 1, FAINT) * 255)
    return sheet


def panels(artifact: Artifact) -> list[Panel]:
    """Detectors by kind, the units sorted by their best concept, the best units as a table and with their pictures."""
    return [_bars(artifact.numbers), _curve(artifact), _table(artifact.numbers), _sheet(artifact)]


def _bars(numbers: Mapping[str, Any]) -> Panel:
    import numpy as np

    unique, known = numbers["unique"], numbers["known"]
    total = sum(unique.values())
    counts = ", ".join(f"{unique[kind]} of {known[kind]} {kind}s" for kind in concepts.KINDS)
    return Panel(
        name="detectors",
        kind="bars",
        title=f"Concepts with a unit of their own in {numbers['stage']}",
        caption=f"How many concepts have at least one detector among the {numbers['units']} units of "
        f"{numbers['layer']}: {counts}. {numbers['detectors']} units are detectors: their intersection "
        f"over union with their best concept is above {numbers['detector']:g}.",
        alt=f"Bar chart of unique detectors in {numbers['layer']} by kind: {counts}; {total} concepts in all.",
        values=np.array([unique[kind] for kind in concepts.KINDS]),
        scale="shared",
        unit="concepts with a detector",
        row_labels=tuple(f"{kind}s" for kind in concepts.KINDS),
        featured=True,
    )


def _curve(artifact: Artifact) -> Panel:
    import numpy as np

    numbers = artifact.numbers
    ordered = -np.sort(-artifact.arrays["best_iou"])
    at = np.linspace(0, 1, STEPS)
    share = numbers["detectors"] / numbers["units"]
    return Panel(
        name="units",
        kind="curves",
        title=f"How well the units of {numbers['stage']} fit a concept",
        caption=f"The units of {numbers['layer']} in the order of their intersection over union with their best "
        f"concept. A higher curve has more units that stand for something with a name; {share:.0%} are above "
        f"{numbers['detector']:g}.",
        alt=f"Curve of the best intersection over union of {numbers['units']} units of {numbers['layer']}, from "
        f"{ordered[0]:.2f} down to {ordered[-1]:.2f}; {share:.0%} are detectors.",
        values=np.interp(at * (len(ordered) - 1), np.arange(len(ordered)), ordered)[None],  # 1 STEPS
        scale="shared",
        unit="intersection over union",
        row_labels=("best concept",),
        columns=("share of the units",),
        x=at,
        joint=True,
    )


def _table(numbers: Mapping[str, Any]) -> Panel:
    rows = numbers["best"]
    silent = f" {numbers['silent']} units never fire." if numbers["silent"] else ""
    return Panel(
        name="best",
        kind="table",
        title=f"The clearest units of {numbers['stage']}",
        caption=f"The {len(rows)} units of {numbers['layer']} that fit a concept best. Intersection over union is 1 "
        f"where a unit fires exactly where the concept is; one above {numbers['detector']:g} counts as a detector."
        + silent,
        alt=f"Table of the {len(rows)} clearest units of {numbers['layer']}; first unit {rows[0]['unit']} with "
        f"{rows[0]['concept']} ({rows[0]['kind']}) at {rows[0]['iou']:.2f}.",
        scale="none",
        columns=("unit", "concept", "kind", "intersection over union"),
        rows=tuple((row["unit"], row["concept"], row["kind"], float(f"{row['iou']:.3f}")) for row in rows),
    )


def _sheet(artifact: Artifact) -> Panel:
    import numpy as np

    numbers = artifact.numbers
    shown = numbers["shown"]
    return Panel(
        name="examples",
        kind="grid",
        title=f"What units of {numbers['stage']} stand for",
        caption=f"The pictures that drive each unit most, dark outside of its area. Every row is the best unit of "
        "another concept, which stands beside it with the intersection over union; a unit's area is where it exceeds "
        f"its threshold, as {numbers['quantile']:.1%} of all its activations do.",
        alt=f"Sheet of {len(shown)} units of {numbers['layer']} with their strongest pictures, lit only where the unit "
        f"fires; first unit {shown[0]['unit']}, {shown[0]['concept']}.",
        values=artifact.arrays["examples"].astype(np.float32) / 255,  # E 4 3 S S
        scale="none",
        row_labels=tuple(f"unit {row['unit']}: {row['concept']} {row['iou']:.2f}" for row in shown),
    )


METHOD = Method(
    name="dissection",
    title="Network dissection",
    caption="Which object, part, colour or texture each unit of a layer stands for.",
    citation="bau2017",
    scope="dataset",
    version=1,
    params=Params,
    scan=Scan(chunk=chunk, finish=finish, layers=lambda net, params: (params.layer,), merge=dissecting.merge),
    panels=panels,
    arrays={
        "iou": "U x K",
        "best": "U",
        "best_iou": "U",
        "threshold": "U",
        "places": "U x 4",
        "pictures": "K",
        "pixels": "K",
        "examples": "E x 4 x 3 x H x W",
    },
    needs=frozenset({"masks"}),
    tiny={"layer": "last_conv", "grid": 16, "least": 2},
)
