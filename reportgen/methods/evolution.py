"""How units came to what they answer to: the strongest picture of each at every kept epoch, and its projection.

One sees, from left to right, what a unit of one layer picked from the same pictures before training and after a growing
number of epochs, and below it what the net's own filters project back from the unit's activation. Sudden changes are
changes of the strongest picture; where the picture stays and the projection sharpens, the unit keeps its subject. Low
layers settle within a few epochs, high ones late (Zeiler and Fergus, 2014, Fig. 4). What one cannot tell is whether a
unit that settled did so for good: only kept epochs are seen. Nor is a unit of the untrained net "about" anything,
though it has a strongest picture too. Fixed pictures, the section's images or else one of each of a few classes, show
where in them a unit answers at each epoch, and what the net takes them for.

The value of unit $u$ on picture $x$ is $\\max_p a_u(x)_p$; the strongest picture is the first of the highest value, cut
to the receptive field of its position (see the method top_patches, whose rule this is, with one picture a unit and
anew at each epoch). Projections follow the deconvnet with switches; on nets of other activation functions than ReLU
the ordinary gradient. Units are chosen at the end of training, as those whose strongest picture stands out most from
their mean; a fixed picture has the map of that chosen unit which in the end comes nearest to its strongest value on it.
How far a layer has settled is the correlation, over the pictures, of each unit's values with those it has at the end,
and of that the mean over the layer's units that fire at all. Checked against a plain loop over pictures, units and
positions.

Of the embedded nets, alexnet_mini has weights on the way, of its convolutions: its dense layers, and with them what it
took pictures for, are known at the end only. The pictures it learned from are not there; give the section a `dataset:`,
or its own images are looked over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from reportgen import patterns, units, wording
from reportgen.errors import MethodError
from reportgen.records import Artifact, Input, Method, Net, Panel
from reportgen.spread import evenly

if TYPE_CHECKING:
    import numpy as np

    from reportgen.rules import Rule

MOST_ROWS = 12  # of units, or of fixed pictures, on a sheet
MOST_EPOCHS = 10  # on sheets and in the table; evenly spread over those kept
FEW = 6  # of the set as fixed pictures, where the section has no images
LEAST = 10  # pictures whose correlations are worth a curve
GAP = 2  # pixels between a patch and its projection
LOOKS = ("patches", "projections", "boxes")


@dataclass(frozen=True)
class Params:
    """Which units of which layer are followed, over how many pictures."""

    layer: str = field(default="stage4", metadata={"doc": "a stage, an alias or a module path"})
    units: Any = field(default=8, metadata={"doc": "8: those that stand out most in the end; otherwise " + units.DOC})
    limit: int = field(default=500, metadata={"doc": "at most so many pictures of the set, chosen by chance"})

    def __post_init__(self) -> None:
        """Bring the choice of units into its one form, refuse what is none."""
        object.__setattr__(self, "units", units.canonical(self.units))
        if self.limit < 1:
            raise MethodError(f"limit: {self.limit} pictures cannot be looked at; right would be 1 or more.")


def run(net: Net, inputs: Sequence[Input], params: Params, rngs: Sequence[np.random.Generator]) -> list[Artifact]:
    """One pass over the pictures with the nets of all kept epochs, then the chosen units' pictures again."""
    import numpy as np

    from reportgen import evolving
    from reportgen.strongest_places import Places, looked_at

    training, data = evolving.asked(net, inputs)
    layer = net.card.resolve(params.layer)
    nets = evolving.nets_of(training, layer)
    order = rngs[0].permutation(len(data))[: params.limit].tolist()
    found, seen = evolving.watched(nets, data, layer, sorted(order))
    final = found[training.kept[-1]]
    chosen = units.choose(params.units, evolving.standing_out(final), layer.name)  # U
    rule: Rule = "deconvnet" if net.card.rectified else "gradient"
    looks = []
    for epoch, own in found.items():
        places = Places(layer, chosen, own.images[chosen][:, None], own.positions[chosen][:, None])
        looks.append(looked_at(nets[epoch], data, places, rule))  # U 1 3 h w, twice, and U 1 4
    arrays = {
        "epochs": np.array(training.kept),
        "units": np.array(chosen),
        "images": np.stack([own.images[chosen] for own in found.values()], axis=1),  # U E
        "activations": np.stack([own.activations[chosen] for own in found.values()], axis=1).astype(np.float32),
        "positions": np.stack([own.positions[chosen] for own in found.values()], axis=1),  # U E 2
        **{name: np.concatenate(part, axis=1) for name, part in zip(LOOKS, zip(*looks, strict=True), strict=True)},
        "settled": np.array([evolving.agreement(own.values, final.values) for own in found.values()]),  # E
    }
    fixed = evolving.fixed_pictures(inputs, data, order, FEW)
    arrays |= evolving.on_fixed(nets, layer, chosen, final, list(fixed.values()))
    numbers = {
        "layer": layer.name,
        "stage": net.card.depth_name(layer.name),
        "width": len(final.images),
        "set": data.name,
        "pictures": seen,
        "skipped": len(order) - seen,
        "rule": rule,
        "changes": [float((a.images != b.images).mean()) for a, b in pairwise(found.values())],
        "names": list(fixed),
        "map_places": patterns.places(layer, net.card.preprocess.size) if arrays["maps"][0, 0].size > 1 else None,
        "size": net.card.preprocess.size,
        "classes": list(net.classes),
    }
    return [Artifact(arrays, numbers)]


# --------------------------------------------------------------------------------------------------------------- panels


def panels(artifact: Artifact) -> list[Panel]:
    """Units by epochs, how far the layer has settled; of fixed pictures where units answer, and what the net says."""
    shown = [_sheet(artifact)]
    if artifact.numbers["pictures"] >= LEAST:
        shown.append(_settling(artifact))
    if artifact.numbers["map_places"] is not None:
        shown.append(_maps(artifact))
    return [*shown, _answers(artifact)]


def _heads(epochs: Sequence[int]) -> tuple[str, ...]:
    """Of columns that are narrow."""
    return (f"epoch {epochs[0]}", *(str(epoch) for epoch in epochs[1:]))


def _sheet(artifact: Artifact) -> Panel:
    import numpy as np

    from reportgen import patch_blocks

    arrays, numbers, columns = artifact.arrays, artifact.numbers, evenly(len(artifact.arrays["epochs"]), MOST_EPOCHS)
    fires = arrays["activations"][:MOST_ROWS, columns] > 0  # U E
    patches = patch_blocks.pictures(arrays["patches"][:MOST_ROWS, columns], fires)  # U E 3 h w
    back = patch_blocks.around_grey(arrays["projections"][:MOST_ROWS, columns])
    gap = np.full(
        (*patches.shape[:3], max(1, round(GAP * patches.shape[3] / 96)), patches.shape[4]), np.nan, np.float32
    )
    epochs = [int(arrays["epochs"][column]) for column in columns]
    rule = "the deconvnet" if numbers["rule"] == "deconvnet" else "the gradient"
    changed = numbers["changes"][-1]
    silent = "" if fires.all() else " A unit that fires nowhere stays grey."
    return Panel(
        name="evolution",
        kind="grid",
        title=f"Units of {numbers['stage']} while they learn",
        caption=f"{len(fires)} units of {numbers['layer']}, one per row: above the one of {numbers['pictures']:,} "
        f"pictures ({numbers['set']}) that excites it most at each kept epoch, below what {rule} projects back from "
        "it. A sudden change is another picture; projections lie around grey, each on its own scale. From the last "
        f"kept epoch but one to the end {changed:.0%} of the layer's {numbers['width']} units changed their "
        f"picture.{silent}",
        alt=f"{len(fires)} units of {numbers['layer']} by {len(epochs)} epochs, from {epochs[0]} to {epochs[-1]}: the "
        "strongest picture of each and its projection.",
        values=np.concatenate([patches, gap, back], axis=3),  # U E 3 2h+g w
        scale="none",
        row_labels=tuple(f"unit {int(unit)}" for unit in arrays["units"][:MOST_ROWS]),
        columns=_heads(epochs),
        featured=True,
    )


def _settling(artifact: Artifact) -> Panel:
    arrays, numbers = artifact.arrays, artifact.numbers
    first = float(arrays["settled"][0])
    return Panel(
        name="settling",
        kind="curves",
        title=f"When {numbers['stage']} settles",
        caption=f"How well the answers of {numbers['stage']}'s units to {numbers['pictures']:,} pictures agree with "
        "those at the end of training: the mean correlation, at each kept epoch. A layer whose line is high early has "
        "learned its features early; 1 at the end is true by definition.",
        alt=f"Curve of the agreement of {numbers['layer']} with its own end over the kept epochs of training: from "
        f"{first:.2f} at epoch {int(arrays['epochs'][0])} to 1.",
        values=arrays["settled"][None],  # 1 E
        x=arrays["epochs"],
        unit="correlation",
        columns=("epoch",),
        row_labels=(numbers["stage"],),
        joint=True,
    )


def _maps(artifact: Artifact) -> Panel:
    import numpy as np

    from reportgen import project

    arrays, numbers, columns = artifact.arrays, artifact.numbers, evenly(len(artifact.arrays["epochs"]), MOST_EPOCHS)
    photos = arrays["fixed"][:MOST_ROWS] / np.float32(255)  # P 3 s s
    side = photos.shape[-1]
    scale = side / numbers["size"]
    (y, x), steps = numbers["map_places"]
    places = ((y + 0.5) * scale - 0.5, (x + 0.5) * scale - 0.5), tuple(step * scale for step in steps)
    rows = []
    for photo, own in zip(photos, arrays["maps"][:MOST_ROWS], strict=False):
        large = project.enlarged(patterns.divided(own[columns]), side, places)  # E s s
        rows.append([photo, *(patterns.over(photo, one) for one in large)])
    epochs = [int(arrays["epochs"][column]) for column in columns]
    labels = tuple(f"{n}, unit {int(u)}" for n, u in zip(numbers["names"], arrays["map_units"], strict=True))
    return Panel(
        name="maps",
        kind="grid",
        title=f"Where units of {numbers['stage']} answer",
        caption=f"{len(rows)} fixed pictures, each with the map of the one of the units above that answers it best in "
        "the end, at each kept epoch. Every map is divided by its own maximum: colours say where a unit answers, not "
        "how strongly; one that fires nowhere is dark.",
        alt=f"{len(rows)} pictures by {len(epochs)} epochs, {epochs[0]} to {epochs[-1]}: the map of one unit of "
        f"{numbers['layer']} laid over each; first {labels[0][:40]}.",
        values=np.array(rows, dtype=np.float32),  # P 1+E 3 s s
        scale="none",
        row_labels=labels[:MOST_ROWS],
        columns=("picture", *_heads(epochs)),
    )


def _answers(artifact: Artifact) -> Panel:
    arrays, numbers = artifact.arrays, artifact.numbers
    columns = evenly(len(arrays["answer_epochs"]), MOST_EPOCHS)
    classes, given = numbers["classes"], arrays["probabilities"]  # P A K
    epochs = [int(arrays["answer_epochs"][column]) for column in columns]
    rows = []
    for name, own in zip(numbers["names"], given, strict=True):
        best = [int(own[column].argmax()) for column in columns]
        told = [f"{wording.short(classes[k])} {own[column, k]:.0%}" for column, k in zip(columns, best, strict=True)]
        rows.append((name, *told))
    note = "The untrained net of epoch 0 prefers some class for no reason." if epochs[0] == 0 else ""
    if len(arrays["answer_epochs"]) < len(arrays["epochs"]):
        note = "Of earlier epochs the layers that answer were not kept, so what the net said then is not known."
    return Panel(
        name="answers",
        kind="table",
        title="What pictures were taken for",
        caption="The most probable class of each picture and its probability, at each epoch whose whole net was kept. "
        f"{note or 'Read it from left to right.'}",
        alt=f"Table of {len(rows)} pictures by {len(columns)} epochs with the predicted class and its probability; "
        f"{rows[0][0][:30]} ends as {rows[0][-1][:40]}.",
        scale="none",
        columns=("picture", *(f"epoch {epoch}" for epoch in epochs)),
        rows=tuple(rows),
    )


METHOD = Method(
    name="evolution",
    title="Features while they form",
    caption="The strongest picture of chosen units and its projection, from the untrained net to the end.",
    citation="zeiler2014",
    scope="training",
    version=2,
    params=Params,
    run=run,
    panels=panels,
    arrays={"epochs": "E", "units": "U", "images": "U x E", "activations": "U x E", "positions": "U x E x 2"}
    | {"boxes": "U x E x 4", "patches": "U x E x 3 x h x w", "projections": "U x E x 3 x h x w", "settled": "E"}
    | {"fixed": "P x 3 x s x s", "maps": "P x E x y x x", "map_units": "P"}
    | {"answer_epochs": "A", "probabilities": "P x A x K"},
    needs=frozenset({"gradient", "checkpoints"}),
    tiny={"layer": "last_conv", "units": 3, "limit": 10},
)
