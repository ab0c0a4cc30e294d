"""What excites a unit most, over a whole data set: its nine strongest patches, and what it projects back from each.

One sees, unit by unit, the pieces of pictures that drive it furthest, beside what the net's own filters draw again from
its activation there. What the nine have in common is what the unit answers to, and in what they differ is what it does
not care about; the projections tell which part of a patch did it. From the first stage to the last, edges give way to
textures, parts and whole objects (the hierarchy figure). What one cannot tell from the strongest nine is how a unit
answers to everything else: most units fire on much more than the one thing they fire on most. And nine pictures can
have in common only what the data set holds: on a set without eyes no unit is an eye detector.

The value of unit $u$ on picture $x$ is $\\max_p a_u(x)_p$ over the positions $p$ of its map, the first of equal ones;
its nine pictures are those of the highest values, at most one patch from each, the earlier of equal ones. A patch is
the receptive field of that position in the picture as the net sees it, grey where it reaches outside, or the whole
picture where the field is larger; patches of more than 96 pixels are kept smaller. Projections start with the
activation at that position, all other units silent, and go down by the rule of Zeiler and Fergus (2014), with the
switches of that picture; see the method deconvnet. Nets of other activation functions than ReLU, for which that rule
means nothing, get the ordinary gradient, and the caption says so. Units are chosen by how far their strongest picture
stands out from their mean over the set; those that fire on fewer than nine pictures, or hardly at all, come last.
Where most of a projection lies in a small part of what the unit could see, as in residual nets, that part is shown
close up: a square around the middle of the projection, of the side that holds 85 % of the median projection's size.

The share of a unit's pictures that belong to its commonest class is set against what as many pictures taken by chance
would give. Checked against a plain loop over the pictures with the net as it was built, on two nets and 300 photos;
the projections equal those of the method deconvnet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from reportgen import units
from reportgen.errors import MethodError
from reportgen.records import Artifact, Method, Net, Panel, Scan

if TYPE_CHECKING:
    import numpy as np

    from reportgen.examples import Batch, Dataset, Partial
    from reportgen.patch_blocks import Columns
    from reportgen.rules import Rule

RULES: dict[str, Rule] = {
    "switches": "deconvnet",
    "no_switches": "no_switches",
    "guided": "guided",
    "gradient": "gradient",
}
WORDS = {
    "deconvnet": "the deconvnet",
    "no_switches": "the deconvnet without switches",
    "guided": "guided backpropagation",
    "gradient": "the gradient",
}
MOST = 25  # patches of a unit
MOST_ROWS = 9  # of units on one sheet
MOST_WORDS = 80  # letters that the units' names may take in an alternative text
IN_HIERARCHY = 3  # units of a layer that stand for it beside other layers
FAINT = 0.01  # of what the layer's units commonly reach: less is hardly firing
DRAWS = 2000  # random choices of pictures for the base line


@dataclass(frozen=True)
class Params:
    """Which layer's units are shown, with how many patches, and how they are projected."""

    layer: str = field(default="stage3", metadata={"doc": "a stage, an alias or a module path"})
    units: Any = field(
        default=9,
        metadata={
            "doc": "9: the nine whose strongest picture stands out most from their mean over the set; [3, 17]: those; "
            "{random: 9}: a seeded choice, the same for every net of this width; all: every one"
        },
    )
    count: int = field(default=9, metadata={"doc": f"patches of each unit, 1 to {MOST}"})
    projection: Literal["switches", "no_switches", "guided", "gradient"] = field(
        default="switches", metadata={"doc": f"the backward rule: {', '.join(RULES)}"}
    )

    def __post_init__(self) -> None:
        """Bring the choice of units into its one form, refuse what is none."""
        object.__setattr__(self, "units", units.canonical(self.units))
        if not 1 <= self.count <= MOST:
            raise MethodError(f"count: a unit is shown with 1 to {MOST} patches, not {self.count}.")
        if self.projection not in RULES:
            raise MethodError(f"projection: {self.projection!r} is no rule. Right would be {', '.join(RULES)}.")


def layers(net: Net, params: Params) -> Sequence[str]:
    """The one layer that is looked at; the pass ends there."""
    return [params.layer]


def chunk(net: Net, batch: Batch, params: Params) -> Partial:
    """Each unit's strongest places of a batch."""
    from reportgen import strongest_places

    return strongest_places.of_batch(batch.values[params.layer], batch.places, params.count, params.layer)


def merge(partials: Sequence[Partial]) -> Partial:
    """Each unit's strongest places of several batches."""
    from reportgen import strongest_places

    return strongest_places.joined(partials)


def finish(net: Net, data: Dataset, partial: Partial, params: Params, rng: np.random.Generator) -> Artifact:
    """The shown units' pictures again: their patches, and their projections from one pass per picture."""
    import numpy as np

    from reportgen.strongest_places import Places, looked_at

    layer = net.card.resolve(params.layer)
    values, pictures, positions = (partial[name] for name in ("activations", "images", "positions"))  # U P (2)
    mean = partial["total"] / partial["pictures"]  # U
    chosen = units.choose(params.units, _standing_out(values, mean), layer.name)  # S
    rule = RULES[params.projection] if net.card.rectified else "gradient"
    places = Places(layer, chosen, pictures[chosen], positions[chosen])
    patches, projections, boxes = looked_at(net, data, places, rule)
    arrays = {
        "images": pictures,
        "activations": values.astype(np.float32),
        "positions": positions,
        "mean": mean.astype(np.float32),
        "units": np.array(chosen),
        "boxes": boxes,
        "patches": patches,
        "projections": projections,
    }
    whole = layer.field is None or max(layer.field) > net.card.preprocess.size
    numbers = {
        "layer": layer.name,
        "stage": net.card.depth_name(layer.name),
        "set": data.name,
        "pictures": int(partial["pictures"][0]),
        "width": len(values),
        "field": None if whole or layer.field is None else list(layer.field),
        "rule": rule,
        "choice": _choice(params.units),
        "silent": float((values[:, 0] <= 0).mean()),  # share of units that fire on no picture
        "names": [[data.names[image] for image in pictures[unit]] for unit in chosen],
        **_classes(data, values, pictures, chosen, rng),
    }
    return Artifact(arrays, numbers)


def _choice(chosen: units.Units) -> str:
    """How the units were chosen, as the caption says it; those of a list need no words."""
    if isinstance(chosen, int):
        return " whose strongest picture stands out most"
    return " chosen by chance" if isinstance(chosen, str) and chosen.startswith("random") else ""


def _standing_out(values: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """How many times its mean each unit's strongest picture is; those that hardly fire come last."""
    import numpy as np

    times = values[:, 0] / np.where(mean > 0, mean, np.inf)  # U
    fires = (values[:, -1] > 0) & (values[:, 0] > FAINT * np.median(values[:, 0]))
    return np.where(fires, times, times / (1 + times) - 1)  # below zero, in the same order


def _classes(
    data: Dataset, values: np.ndarray, pictures: np.ndarray, chosen: Sequence[int], rng: np.random.Generator
) -> dict[str, Any]:
    """The commonest class among each shown unit's pictures, how far all units' pictures agree, and what chance gives.

    Nothing of that where classes are not known, or are so small that no unit could fill its places with one.
    """
    import numpy as np

    labels = np.array(data.labels)
    sizes = np.bincount(labels[labels >= 0], minlength=len(data.classes))  # K
    count = pictures.shape[1]
    if (labels < 0).any() or len(labels) < 2 * count * (sizes > 0).sum() or (sizes > 0).sum() < 2:
        return {"classes": None, "agreement": None, "chance": None}
    found = [np.bincount(labels[own], minlength=len(data.classes)) for own in pictures]  # U K
    firing = [own.max() / count for own, value in zip(found, values, strict=True) if value[-1] > 0]
    draws = rng.multivariate_hypergeometric(sizes, count, size=DRAWS)
    named = [(data.classes[int(found[unit].argmax())], int(found[unit].max())) for unit in chosen]
    return {
        "classes": [[name.split(",")[0].replace("_", " "), times] for name, times in named],
        "agreement": float(np.mean(firing)) if firing else None,
        "chance": float(draws.max(axis=1).mean() / count),
    }


# --------------------------------------------------------------------------------------------------------------- panels


def panels(artifact: Artifact) -> list[Panel]:
    """A few units that stand for the layer, all that were chosen on a sheet, and their numbers."""
    return [_hierarchy(artifact), _sheet(artifact), _table(artifact)]


def _hierarchy(artifact: Artifact) -> Panel:
    numbers, columns = artifact.numbers, _columns(artifact)
    fires = artifact.arrays["activations"][artifact.arrays["units"]] > 0  # S P
    shown = [s for s, own in enumerate(fires[:MOST_ROWS]) if own.any()][:IN_HIERARCHY] or [0]
    close = f", close up: the {columns.side} x {columns.side} pixels in which most of it lies" if columns.side else ""
    names = ", ".join(_named(artifact, s) for s in shown)
    if len(names) > MOST_WORDS:
        names = ", ".join(str(int(artifact.arrays["units"][s])) for s in shown)
    return Panel(
        name="hierarchy",
        kind="grid",
        title=f"What excites units of {numbers['stage']}",
        caption=f"Left of each pair the {fires.shape[1]} {_patches(numbers)} that excite a unit most, of "
        f"{numbers['pictures']:,} pictures; right what {WORDS[numbers['rule']]} projects back from each{close}. What "
        f"the patches have in common is what the unit answers to; projections lie around grey, each on its own scale."
        f"{_grey(fires[shown])}",
        alt=f"{len(shown)} units of {numbers['layer']} ({names}): {fires.shape[1]} strongest patches of each beside "
        "what it projects back.",
        values=columns.sheet(shown, -2),
        scale="none",
        featured=True,
    )


def _sheet(artifact: Artifact) -> Panel:
    numbers, columns = artifact.numbers, _columns(artifact)
    shown, count = range(len(columns.tiles[0])), artifact.arrays["images"].shape[1]
    fires = artifact.arrays["activations"][artifact.arrays["units"][shown]] > 0  # S P
    close = f", and both close up, the {columns.side} x {columns.side} pixels in which most of a projection lies"
    chance = ""
    if numbers["agreement"] is not None:
        chance = f" Over all units of the layer {numbers['agreement']:.0%} of a unit's pictures are of one class; by "
        chance += f"chance it would be {numbers['chance']:.0%}."
    return Panel(
        name="patches",
        kind="grid",
        title=f"Strongest patches of {numbers['stage']}",
        caption=f"{len(shown)} units of {numbers['layer']}{numbers['choice']}, one per row: the {count} "
        f"{_patches(numbers)} that excite it most, the strongest first, and what "
        f"{WORDS[numbers['rule']]} projects back from each{close if columns.side else ''}. Projections lie around "
        f"grey and have each their own scale.{_grey(fires)}{chance}",
        alt=f"{len(shown)} units of {numbers['layer']}, one per row: {count} strongest patches of each beside what it "
        f"projects back; the first is {_named(artifact, 0)}.",
        values=columns.sheet(shown),
        scale="none",
        row_labels=tuple(_named(artifact, s) for s in shown),
        columns=("strongest patches", "projections", "close up", "its projections")[: len(columns.tiles)],
    )


def _table(artifact: Artifact) -> Panel:
    numbers, mean = artifact.numbers, artifact.arrays["mean"]
    chosen = [int(unit) for unit in artifact.arrays["units"]][: 4 * MOST_ROWS]
    values = artifact.arrays["activations"][chosen]  # S P
    rows = []
    for s, unit in enumerate(chosen):
        times = values[s, 0] / mean[unit] if mean[unit] > 0 else None
        named = [f"{name} ({n} of {values.shape[1]})" for name, n in (numbers["classes"] or [])[s : s + 1]]
        size = [float(f"{value:.3g}") for value in (values[s, 0], values[s, -1], mean[unit])]
        rows.append((unit, *size, f"{times:.1f}" if times else "–", numbers["names"][s][0], *named))
    return Panel(
        name="units",
        kind="table",
        title=f"Strongest pictures of {numbers['stage']}",
        caption=f"Units of {numbers['layer']}: the activation on the strongest and on the last of their pictures, and "
        f"its mean over the {numbers['pictures']:,} of {numbers['set']}. A picture counts with its strongest position; "
        f"{numbers['silent']:.0%} of the {numbers['width']} units fire on no picture.",
        alt=f"Table of {len(rows)} units of {numbers['layer']} with their strongest and mean activation over "
        f"{numbers['pictures']:,} pictures; unit {rows[0][0]} reaches {rows[0][1]:.3g}.",
        scale="none",
        columns=("unit", "strongest", "last shown", "mean", "times its mean", "strongest picture")
        + (("commonest class",) if numbers["classes"] else ()),
        rows=tuple(rows),
    )


def _columns(artifact: Artifact) -> Columns:
    """The tiles of the units that have room on a sheet."""
    from reportgen import patch_blocks

    arrays = artifact.arrays
    fires = arrays["activations"][arrays["units"][:MOST_ROWS]] > 0  # S P
    top, _, bottom, _ = (int(edge) for edge in arrays["boxes"][0, 0])
    return patch_blocks.columns(arrays["patches"][:MOST_ROWS], arrays["projections"][:MOST_ROWS], fires, bottom - top)


def _patches(numbers: Any) -> str:
    """What patches are, in words."""
    field = numbers["field"]
    return f"patches of {field[0]} x {field[1]} pixels" if field else "pictures"


def _named(artifact: Artifact, s: int) -> str:
    """ "unit 17", and the class of its pictures where most of them share one."""
    unit, count = int(artifact.arrays["units"][s]), artifact.arrays["images"].shape[1]
    name, times = (artifact.numbers["classes"] or {s: ("", 0)})[s]
    return f"unit {unit}: {name} {times}/{count}" if 2 * times > count else f"unit {unit}"


def _grey(fires: np.ndarray) -> str:
    return "" if fires.all() else " Where a unit does not fire it stays grey."


METHOD = Method(
    name="top_patches",
    title="Strongest patches",
    caption="The patches of a data set that excite each unit most, and what it projects back from them.",
    citation="zeiler2014",
    scope="dataset",
    version=1,
    params=Params,
    panels=panels,
    arrays={
        "images": "U x P",
        "activations": "U x P",
        "positions": "U x P x 2",
        "mean": "U",
        "units": "S",
        "boxes": "S x P x 4",
        "patches": "S x P x 3 x h x w",
        "projections": "S x P x 3 x h x w",
    },
    scan=Scan(chunk=chunk, finish=finish, layers=layers, merge=merge),
    needs=frozenset({"gradient"}),
    tiny={"layer": "last_conv", "units": 3},
)
