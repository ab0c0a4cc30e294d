"""How units came to what they answer to: the strongest picture of each at every kept epoch, and its projection.

One sees, from left to right, what a unit of one layer picked from the same pictures before training and after a growing
number of epochs, and below it what the net's own filters project back from the unit's activation. Sudden changes are
changes of the strongest picture; where the picture stays and the projection sharpens, the unit keeps its subject. Low
layers settle within a few epochs, high ones late (Zeiler and Fergus, 2014, Fig. 4). What one cannot tell is whether a
unit that settled did so for good: only kept epochs are seen. Nor is a unit of the untrained net "about" anything,
though it has a strongest picture too. Fixed pictures, where the section has any, show what the net takes them for.

The value of unit $u$ on picture $x$ is $\\max_p a_u(x)_p$; the strongest picture is the first of the highest value, cut
to the receptive field of its position (see the method top_patches, whose rule this is, with one picture a unit and
anew at each epoch). Projections follow the deconvnet with switches; on nets of other activation functions than ReLU
the ordinary gradient. Units are chosen at the end of training, as those whose strongest picture stands out most from
their mean. How far a layer has settled is the correlation, over the pictures, of each unit's values with those it has
at the end, and of that the mean over the layer's units that fire at all. Checked against a plain loop over pictures,
units and positions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reportgen import units
from reportgen.errors import ImageError, MethodError, NotApplicable
from reportgen.records import Artifact, Input, Layer, Method, Net, Panel

if TYPE_CHECKING:
    import numpy as np

    from reportgen.examples import TrainingRun
    from reportgen.rules import Rule

BATCH = 16
MOST_ROWS = 12  # of units on the sheet
MOST_EPOCHS = 10  # on the sheet and in the table; evenly spread over those kept
GAP = 2  # pixels between a patch and its projection


@dataclass(frozen=True)
class Params:
    """Which units of which layer are followed, over how many pictures."""

    layer: str = field(default="stage4", metadata={"doc": "a stage, an alias or a module path"})
    units: Any = field(default=8, metadata={"doc": "8: those that stand out most in the end; otherwise " + units.DOC})
    pictures: int = field(default=500, metadata={"doc": "at most so many pictures of the set, chosen by chance"})

    def __post_init__(self) -> None:
        """Bring the choice of units into its one form, refuse what is none."""
        object.__setattr__(self, "units", units.canonical(self.units))
        if self.pictures < 1:
            raise MethodError(f"pictures: {self.pictures} pictures cannot be looked at; right would be 1 or more.")


@dataclass(frozen=True)
class _Found:
    """What all units of the layer did at one epoch."""

    values: np.ndarray  # N U: of each unit the strongest on each picture
    images: np.ndarray  # U: the place of the strongest picture in the set
    positions: np.ndarray  # U 2: on the layer's map
    activations: np.ndarray  # U


def run(net: Net, inputs: Sequence[Input], params: Params, rngs: Sequence[np.random.Generator]) -> list[Artifact]:
    """One pass over the pictures with the nets of all kept epochs, then the chosen units' pictures again."""
    import numpy as np

    from reportgen.strongest_places import Places, looked_at

    training = inputs[0].training
    if training is None or len(training.kept) < 2:
        raise NotApplicable(f"No weights were kept while {net.card.arch} was trained by this report.")
    layer = net.card.resolve(params.layer)
    nets = {epoch: training.net(epoch) for epoch in training.kept}
    found, seen = _watched(nets, training, layer, params.pictures, rngs[0])
    final = found[training.kept[-1]]
    chosen = units.choose(params.units, _standing_out(final), layer.name)  # U
    rule: Rule = "deconvnet" if net.card.rectified else "gradient"
    looks = []
    for epoch, own in found.items():
        places = Places(layer, chosen, own.images[chosen][:, None], own.positions[chosen][:, None])
        looks.append(looked_at(nets[epoch], training.data, places, rule))  # U 1 3 h w, twice, and U 1 4
    arrays = {
        "epochs": np.array(training.kept),
        "units": np.array(chosen),
        "images": np.stack([own.images[chosen] for own in found.values()], axis=1),  # U E
        "activations": np.stack([own.activations[chosen] for own in found.values()], axis=1).astype(np.float32),
        "positions": np.stack([own.positions[chosen] for own in found.values()], axis=1),  # U E 2
        **{name: np.concatenate(part, axis=1) for name, part in zip(LOOKS, zip(*looks, strict=True), strict=True)},
        "settled": np.array([_agreement(own.values, final.values) for own in found.values()]),  # E
        "probabilities": _answers(nets, inputs),  # P E K
    }
    changes = [
        float((a.images != b.images).mean()) for a, b in zip(found.values(), [*found.values()][1:], strict=False)
    ]
    numbers = {
        "layer": layer.name,
        "stage": net.card.depth_name(layer.name),
        "width": len(final.images),
        "set": training.data.name,
        "pictures": seen,
        "skipped": min(params.pictures, len(training.data)) - seen,
        "rule": rule,
        "changes": changes,  # share of the layer's units whose strongest picture is another than one epoch kept before
        "names": [one.name or "photo" for one in inputs if one.picture is not None],
        "classes": list(net.classes),
    }
    return [Artifact(arrays, numbers)]


LOOKS = ("patches", "projections", "boxes")


def _watched(
    nets: Mapping[int, Net], training: TrainingRun, layer: Layer, most: int, rng: np.random.Generator
) -> tuple[dict[int, _Found], int]:
    """What each epoch's units do on the pictures, and how many could be read; each is loaded once."""
    import numpy as np

    from reportgen import hooks, project, strongest_places
    from reportgen.lean import lean

    data = training.data
    places = np.sort(rng.permutation(len(data))[:most])
    partials: dict[int, list[Any]] = {epoch: [] for epoch in nets}
    values: dict[int, list[np.ndarray]] = {epoch: [] for epoch in nets}
    problems = []
    for start in range(0, len(places), BATCH):
        read, pictures = [], []
        for place in places[start : start + BATCH].tolist():
            try:
                pictures.append(data.load(place).picture)
                read.append(place)
            except ImageError as error:
                problems.append(str(error))
        for epoch, net in nets.items() if read else ():
            value = hooks.run_to(lean(net, [layer.name]), net.preprocess(pictures), [layer.name])[layer.name]
            partials[epoch].append(strongest_places.of_batch(value, read, 1, layer.name))
            strongest = value.flatten(2).amax(2) if value.ndim == 4 else value  # N U
            values[epoch].append(project.to_numpy(strongest))
    if len(problems) == len(places):
        raise MethodError(f"None of the {len(places):,} pictures of {data.name} can be read: {problems[0]}")
    found = {}
    for epoch in nets:
        whole = strongest_places.joined(partials[epoch])
        best = {name: whole[name][:, 0] for name in ("images", "positions", "activations")}
        found[epoch] = _Found(np.concatenate(values[epoch]).astype(np.float64), **best)
    return found, len(places) - len(problems)


def _standing_out(found: _Found) -> np.ndarray:
    """How many times its mean each unit's strongest picture is; those that fire nowhere come last."""
    import numpy as np

    mean, top = found.values.mean(axis=0), found.activations  # U
    times = top / np.where(mean > 0, mean, np.inf)
    return np.where(top > 0, times, -1.0)


def _agreement(values: np.ndarray, final: np.ndarray) -> float:
    """The mean over units of the correlation of their values on the pictures (N U each); of silent units nothing."""
    import numpy as np

    a, b = (each - each.mean(axis=0) for each in (values, final))
    norms = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))  # U
    alive = (b**2).sum(axis=0) > 0
    found = (a * b).sum(axis=0) / np.where(norms > 0, norms, np.inf)
    return float(found[alive].mean()) if alive.any() else 0.0


def _answers(nets: Mapping[int, Net], inputs: Sequence[Input]) -> np.ndarray:
    """The probabilities of the fixed pictures at each epoch, P E K."""
    import numpy as np

    from reportgen import project

    pictures = [one.picture for one in inputs if one.picture is not None]
    classes = len(next(iter(nets.values())).classes)
    found = np.zeros((len(pictures), len(nets), classes), dtype=np.float32)
    for column, net in enumerate(nets.values()):
        for start in range(0, len(pictures), BATCH):
            logits = project.forward(net, net.preprocess(pictures[start : start + BATCH]))["logits"]  # N K
            found[start : start + BATCH, column] = project.to_numpy(project.exact(logits).softmax(1))
    return found


# --------------------------------------------------------------------------------------------------------------- panels


def panels(artifact: Artifact) -> list[Panel]:
    """Units by epochs, how far the layer has settled, and what fixed pictures were taken for."""
    shown = [_sheet(artifact), _settling(artifact)]
    return [*shown, _answer_table(artifact)] if len(artifact.arrays["probabilities"]) else shown


def _columns(artifact: Artifact) -> list[int]:
    """The places of the epochs that have room, first and last among them."""
    import numpy as np

    count = len(artifact.arrays["epochs"])
    return sorted({round(place) for place in np.linspace(0, count - 1, min(count, MOST_EPOCHS))})


def _sheet(artifact: Artifact) -> Panel:
    import numpy as np

    from reportgen import patch_blocks

    arrays, numbers, columns = artifact.arrays, artifact.numbers, _columns(artifact)
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
        columns=tuple(f"epoch {epoch}" for epoch in epochs),
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


def _answer_table(artifact: Artifact) -> Panel:
    arrays, numbers, columns = artifact.arrays, artifact.numbers, _columns(artifact)
    classes, given = numbers["classes"], arrays["probabilities"]  # P E K
    rows = []
    for name, own in zip(numbers["names"], given, strict=True):
        best = [int(own[column].argmax()) for column in columns]
        told = [f"{_short(classes[k])} {own[column, k]:.0%}" for column, k in zip(columns, best, strict=True)]
        rows.append((name, *told))
    return Panel(
        name="answers",
        kind="table",
        title="What pictures were taken for",
        caption="The most probable class of each picture and its probability, at each kept epoch. The untrained net of "
        "epoch 0 prefers some class for no reason.",
        alt=f"Table of {len(rows)} pictures by {len(columns)} epochs with the predicted class; {rows[0][0]} ends as "
        f"{rows[0][-1]}, after {rows[0][1]} at the first of them.",
        scale="none",
        columns=("picture", *(f"epoch {int(arrays['epochs'][column])}" for column in columns)),
        rows=tuple(rows),
    )


def _short(name: str) -> str:
    return name.partition(",")[0].replace("_", " ")


METHOD = Method(
    name="evolution",
    title="Features while they form",
    caption="The strongest picture of chosen units and its projection, from the untrained net to the end.",
    citation="zeiler2014",
    scope="training",
    version=1,
    params=Params,
    run=run,
    panels=panels,
    arrays={
        "epochs": "E",
        "units": "U",
        "images": "U x E",
        "activations": "U x E",
        "positions": "U x E x 2",
        "boxes": "U x E x 4",
        "patches": "U x E x 3 x h x w",
        "projections": "U x E x 3 x h x w",
        "settled": "E",
        "probabilities": "P x E x K",
    },
    needs=frozenset({"gradient", "checkpoints"}),
    tiny={"layer": "last_conv", "units": 3, "pictures": 10},
)
