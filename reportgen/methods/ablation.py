"""What the net loses when a unit is taken away, and how far the hole spreads: units of a layer silenced one by one.

One sees which of a layer's units the prediction for this picture rests on, and how a single missing map changes
everything that comes after it. A strong unit need not matter: others often say the same, and the last row, all chosen
units silent together, shows how much they had covered for each other. What one cannot tell is what a unit is for, and
a net never trained with holes may answer strangely to one.

A unit is silenced by setting its map, the layer's value as the net goes on with it, to zero; for a convolution before a
ReLU that is the net with this filter's weights and bias set to zero. For every later stage `change` is the Euclidean
distance of its value from the untouched one as a share of that one's length,
$\\lVert a' - a \\rVert / \\lVert a \\rVert$, and `reached` the share of its values that change by more than a
millionth of the largest. The last places are the penultimate layer and the logits.

The pass is recorded once, and only what hangs on the layer runs again. In double precision the logits equal those of
copies of the net with the filter's weights at zero, or its map set to zero by a hook, on AlexNet, VGG-16, GoogLeNet,
ResNet-50 and SqueezeNet to one part in a million.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reportgen import units
from reportgen.errors import MethodError
from reportgen.records import Artifact, Card, Input, Method, Net, Panel
from reportgen.targets import resolve_target

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

CHUNK = 15  # silenced units in one pass; the untouched value goes with them, so that equal values come out equal
TOUCHED = 1e-6  # of a stage's largest value: a change of more counts as one
MOST_ROWS = 16  # in tables and charts
TOGETHER = "all together"


@dataclass(frozen=True)
class Params:
    """Which units of which layer are silenced, and which class is followed."""

    layer: str = field(default="stage3", metadata={"doc": "a stage, an alias or a module path"})
    units: Any = field(default=5, metadata={"doc": units.DOC})
    target: str | int = field(
        default="predicted", metadata={"doc": "predicted, label (the picture's own), or the name or index of a class"}
    )

    def __post_init__(self) -> None:
        """Bring the choice of units into its one form."""
        object.__setattr__(self, "units", units.canonical(self.units))


def run(net: Net, inputs: Sequence[Input], params: Params, rngs: Sequence[np.random.Generator]) -> list[Artifact]:
    """Picture by picture: the units of one picture are a batch of their own."""
    layer = net.card.resolve(params.layer).name
    targets = [resolve_target(params.target, one.used["prediction"], net.classes, one.labels) for one in inputs]
    x = net.preprocess([one.picture for one in inputs if one.picture is not None])  # N 3 S S
    return [_artifact(net, x[n : n + 1], layer, params, target) for n, target in enumerate(targets)]


def _artifact(net: Net, x: Tensor, layer: str, params: Params, target: int) -> Artifact:
    import numpy as np
    import torch

    from reportgen import occluding, project

    clean = project.forward(net, x, [layer])
    value, before = clean[layer], project.exact(clean["logits"]).softmax(1)  # 1 C h w or 1 D, 1 K
    if not bool(value.isfinite().all() and before.isfinite().all()):
        raise MethodError(f"The net gives NaN or infinity in {layer} or after it: its weights are damaged or overflow.")
    maps = project.as_maps(value, net.card.resolve(layer))[0]  # C h w
    chosen = units.choose(params.units, maps.max(axis=(1, 2)), layer)
    groups = [*([unit] for unit in chosen), chosen]  # what is silent, row by row
    stages = _stages_after(net.card, layer)
    ends = [] if layer == net.card.aliases["logits"] else ["logits"]  # nothing comes after them
    again, why = occluding.onwards(net, x, layer, list(stages.values()), occluding.silenced(value, [chosen]))
    probabilities, spreads = [], []
    for start in range(0, len(groups), CHUNK):
        silent = occluding.silenced(value, groups[start : start + CHUNK])  # B ...
        found = again(torch.cat([value, silent]))  # 1+B ...
        probabilities.append(project.to_numpy(project.exact(found["logits"]).softmax(1)[1:]))  # B K
        later = [project.exact(found[name]) for name in (*stages.values(), *ends)]  # L of 1+B ...
        spreads += [_spread(later, row + 1) for row in range(len(silent))]
    rows = np.concatenate(probabilities)  # U+1 K
    change, reached = np.array(spreads, dtype=np.float32).reshape(len(groups), -1, 2).transpose(2, 0, 1)  # U+1 L
    arrays = {"units": np.array(chosen), "probabilities": rows[:-1], "together": rows[-1]}
    numbers = {
        "later": [*stages, *ends],
        "units": chosen,
        "width": len(maps),
        "strengths": [float(maps[unit].max()) for unit in chosen],
        "target": target,
        "target_name": net.classes[target],
        "probability": float(before[0, target]),
        "untouched": net.classes[int(before.argmax())],
        "drops": [float(before[0, target]) - float(own) for own in rows[:, target]],  # per unit, then all together
        "labels": [net.classes[int(row.argmax())] for row in rows],  # most probable, in the same order
        "flips": sum(int(row.argmax()) != int(before.argmax()) for row in rows[:-1]),
        "together_change": [float(own) for own in change[-1]],  # L
        "together_reached": [float(own) for own in reached[-1]],
    }
    seen = {"layer": layer, "stage": net.card.depth_name(layer), "incremental": not why, "why": why}
    return Artifact({**arrays, "change": change[:-1], "reached": reached[:-1]}, {**numbers, **seen})


def _stages_after(card: Card, layer: str) -> dict[str, str]:
    """The stages after a layer, and the penultimate layer: what pages call them -> layer name."""
    from reportgen.hooks import INPUT

    order = {one.name: place for place, one in enumerate(card.layers)}
    own = order[layer.removesuffix(INPUT)] - layer.endswith(INPUT)
    last = [item for item in card.aliases.items() if item[0] == "penultimate"]
    found: dict[str, str] = {}
    for title, name in (*card.stages.items(), *last):
        if order[name] > own and not name.endswith(INPUT) and name not in {*found.values(), card.aliases["logits"]}:
            found[title] = name
    return found


def _spread(values: Sequence[Tensor], row: int) -> list[tuple[float, float]]:
    """How far a row of each stage's values is from the first row, as shares of its length and of its places."""
    found = []
    for own in values:
        clean, away = own[0], own[row] - own[0]
        touched = away.abs() > TOUCHED * clean.abs().max()
        found.append((float(away.norm()) / (float(clean.norm()) or 1.0), float(touched.double().mean())))
    return found


def panels(artifact: Artifact) -> list[Panel]:
    """The drop of the class per unit, the same as a table, and how the hole spreads over the later stages."""
    found = [_drops(artifact), _table(artifact)]
    return [*found, *_curves(artifact)] if len(artifact.numbers["later"]) > 1 else found


def _rows(numbers: Any) -> list[int]:
    """Which rows are shown: the first units, and all together."""
    count = len(numbers["units"])
    return [*range(min(count, MOST_ROWS)), *([count] if count > 1 else [])]


def _names(numbers: Any) -> list[str]:
    return [*(f"unit {unit}" for unit in numbers["units"]), TOGETHER]


def _drops(artifact: Artifact) -> Panel:
    import numpy as np

    numbers, shown = artifact.numbers, _rows(artifact.numbers)
    drops, names, target = numbers["drops"], _names(numbers), numbers["target_name"]
    worst = max(range(len(numbers["units"])), key=lambda row: drops[row])
    before, count, layer = numbers["probability"], len(numbers["units"]), numbers["layer"]
    others = f" Without all {count} together it is {before - drops[-1]:.0%}." if count > 1 else ""
    return Panel(
        name="drops",
        kind="bars",
        title=f"What {target} loses without a unit",
        caption=f"How far the probability of {target} ({before:.0%} untouched) falls with one unit of {layer} "
        f"silent; a bar to the left means that it rises.{others} All nets share one scale.",
        alt=f"Bars of the drop for each of {count} units of {layer}: the probability of {target} goes from "
        f"{before:.0%} to {before - drops[worst]:.0%} without {names[worst]}.",
        values=np.array([drops[row] for row in shown]),
        scale="shared",
        signed=True,
        unit="drop of probability",
        row_labels=tuple(names[row] for row in shown),
        featured=True,
    )


def _table(artifact: Artifact) -> Panel:
    numbers, names = artifact.numbers, _names(artifact.numbers)
    before, drops = numbers["probability"], numbers["drops"]
    strengths = [*(f"{own:.3g}" for own in numbers["strengths"]), ""]
    return Panel(
        name="units",
        kind="table",
        title=f"Units of {numbers['stage']} silenced",
        caption=f"Units of {numbers['layer']}, their strongest activation on the photo, and what the net says with "
        f"each of them silent. Untouched it says {numbers['untouched']}; {numbers['flips']} of {len(names) - 1} units "
        "change that.",
        alt=f"Table of {len(numbers['units'])} units of {numbers['layer']}: activation, probability of "
        f"{numbers['target_name']} before and after silencing, most probable class.",
        columns=("silent", "strongest activation", "probability before", "after", "most probable then"),
        rows=tuple(
            (names[row], strengths[row], f"{before:.1%}", f"{before - drops[row]:.1%}", numbers["labels"][row])
            for row in _rows(numbers)
        ),
    )


def _curves(artifact: Artifact) -> list[Panel]:
    import numpy as np

    numbers, shown = artifact.numbers, _rows(artifact.numbers)
    later, layer, names = numbers["later"], numbers["layer"], _names(numbers)
    change = np.vstack([artifact.arrays["change"], [numbers["together_change"]]])[shown]  # U+1 L
    reached = np.vstack([artifact.arrays["reached"], [numbers["together_reached"]]])[shown]  # U+1 L
    axes: dict[str, Any] = {
        "x": np.arange(1, len(later) + 1),
        "columns": (", ".join(f"{place} {name}" for place, name in enumerate(later, 1)),),
        "row_labels": tuple(names[row] for row in shown),
    }
    moved = Panel(
        name="change",
        kind="curves",
        title=f"How far the values after {numbers['stage']} move",
        caption=f"The change of every later stage with units of {layer} silent, as a share of the length of its "
        "untouched value. A line that falls is a hole that the net closes; one that rises, an error that grows.",
        alt=f"Lines of the change per later stage for units of {layer}: up to {change[:, 0].max():.0%} of the length "
        f"of {later[0]} and {change[:, -1].max():.0%} of the {later[-1]}.",
        values=change,
        scale="shared",
        unit="share of length",
        **axes,
    )
    touched = Panel(
        name="reached",
        kind="curves",
        title=f"How much of the values after {numbers['stage']} is touched",
        caption=f"The share of the values of every later stage that change at all with units of {layer} silent. At 1 "
        "the hole is felt everywhere; the scale is the same in all nets.",
        alt=f"Lines of the share of values that change per later stage for units of {layer}: from "
        f"{reached[:, 0].min():.0%} to {reached[:, 0].max():.0%} in {later[0]}.",
        values=reached,
        scale="fixed",
        limits=(0.0, 1.0),
        unit="share of values",
        **axes,
    )
    return [moved, touched]


METHOD = Method(
    name="ablation",
    title="Ablation",
    caption="What the net loses when a unit is silent, and how far the hole spreads.",
    citation="zeiler2014",
    scope="image",
    version=1,
    params=Params,
    run=run,
    panels=panels,
    arrays={
        "units": "U",
        "probabilities": "U x K",
        "together": "K",
        "change": "U x L",
        "reached": "U x L",
    },
    uses=("prediction",),
    tiny={"layer": "last_conv", "units": 3},
)
