"""What in the picture made a unit fire: its activation projected back to the pixels, by four rules side by side.

One sees the pattern in the unit's receptive field that the net's own filters can draw again from this one activation,
beside the piece of the photo that caused it. What one cannot tell is why a class was chosen: deconvnet and guided
pictures hardly change when the layers above are replaced by random ones, so they show the input more than the decision.

The rules differ in two places only. Going down through a ReLU with input $x$ and incoming signal $g$, the gradient
keeps $g \\cdot [x > 0]$, the deconvnet of Zeiler and Fergus (2014) keeps $\\max(g, 0)$, guided backpropagation of
Springenberg et al. (2015) keeps $\\max(g, 0) \\cdot [x > 0]$. Through a max pool all three hand the signal to the place
of the maximum (the switch); where windows overlap, values add up. "No switches" is the deconvnet with each value spread
evenly over its pooling window instead, so that all it knows of the picture is where and how strongly the unit fired.
Convolutions and dense layers run transposed and without bias; batch norm, average pools and residual sums, which
Zeiler's net did not have, keep their ordinary gradient. A projection starts with the activation itself, all other units
silent; a unit that fires nowhere on the picture has nothing to project, and its projection is zero.

In double precision the rules equal a reference in which every ReLU is replaced by hand, and an explicit chain of
transposed convolutions, unpooling and rectification. Captum agrees on AlexNet, VGG-16 and ResNet-50; on GoogLeNet,
whose ReLUs are plain function calls, it gives the ordinary gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reportgen import units
from reportgen.errors import MethodError, NotApplicable
from reportgen.records import Artifact, Card, Input, Layer, Method, Net, Panel

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from reportgen.rules import Rule

# Array -> backward rule, and the heading of its column.
RULES: dict[str, Rule] = {
    "switches": "deconvnet",
    "no_switches": "no_switches",
    "guided": "guided",
    "gradient": "gradient",
}
HEADINGS = ("deconvnet", "without switches", "guided", "gradient")
MOST_ROWS = 16  # of units on one sheet


@dataclass(frozen=True)
class Params:
    """Which units of which layer are projected, and from where."""

    layer: str = field(default="stage3", metadata={"doc": "a stage, an alias or a module path"})
    units: Any = field(default=9, metadata={"doc": units.DOC})
    start: Any = field(
        default="strongest",
        metadata={"doc": "strongest: the unit's strongest position; [y, x]: that one of the map; map: the whole map"},
    )

    def __post_init__(self) -> None:
        """Bring the choices into their one form, refuse what is none."""
        object.__setattr__(self, "units", units.canonical(self.units))
        start = self.start if isinstance(self.start, str) else tuple(self.start)
        if start not in {"strongest", "map"} and not (len(start) == 2 and all(isinstance(p, int) for p in start)):
            raise MethodError(f"start: {self.start!r} is no start. Right would be strongest, map or [y, x].")
        object.__setattr__(self, "start", start)


def run(net: Net, inputs: Sequence[Input], params: Params, rngs: Sequence[np.random.Generator]) -> list[Artifact]:
    """All units under all rules, picture by picture: one forward pass to the layer, one way down through its tape."""
    if not net.card.rectified:
        raise NotApplicable(
            f"{net.card.arch} bends its values by other functions than ReLU: these rules have nothing to act on."
        )
    layer = net.card.resolve(params.layer)
    pictures = net.preprocess([one.picture for one in inputs if one.picture is not None])  # N 3 S S
    return [_project(net, pictures[n : n + 1], layer, params) for n in range(len(pictures))]


def _project(net: Net, picture: Tensor, layer: Layer, params: Params) -> Artifact:
    import numpy as np

    from reportgen import project

    tape, value = project.record(net, picture, layer.name)
    maps = project.as_maps(value, layer)[0]  # C H W
    chosen = units.choose(params.units, maps.max(axis=(1, 2)), layer.name)  # U
    places = [project.place(maps[unit], params.start, layer) for unit in chosen]
    boxes = [layer.box(place, net.card.preprocess.size) for place in places]  # U 4
    found = project.projections(tape, chosen, None if params.start == "map" else places, boxes, list(RULES.values()))
    return Artifact(
        {
            "units": np.array(chosen),
            "positions": np.array(places),
            "activations": np.array([maps[unit, y, x] for unit, (y, x) in zip(chosen, places, strict=True)]),
            "boxes": np.array(boxes),
            **{name: found[rule] for name, rule in RULES.items()},  # U 3 h w
        },
        _numbers(maps, chosen, layer, net.card, params),
    )


def _numbers(maps: np.ndarray, chosen: Sequence[int], layer: Layer, card: Card, params: Params) -> dict[str, Any]:
    """What the page says about the units, and what the panel needs to cut the photo."""
    return {
        "layer": layer.name,
        "stage": card.depth_name(layer.name),
        "start": params.start,
        "width": len(maps),
        "size": card.preprocess.size,
        "field": list(layer.field) if layer.field else None,
        "dead": [unit for unit in chosen if maps[unit].max() <= 0],  # these fire nowhere on the picture
        "strongest": int(chosen[0]) if chosen else None,
    }


def panels(artifact: Artifact) -> list[Panel]:
    """A sheet: one row per unit, the photo's piece and the four projections as columns."""
    import numpy as np

    from reportgen import project

    numbers, size = artifact.numbers, int(artifact.numbers["size"])
    boxes = artifact.arrays["boxes"][:MOST_ROWS]
    values = np.stack([artifact.arrays[name][:MOST_ROWS] for name in RULES], axis=1)  # U 4 3 h w
    view = "the piece of the photo that it sees"
    if max(values.shape[-2:]) > size:  # a field larger than the picture: show the picture, not the nothing around it
        frames = [(-int(y0), -int(x0), size - int(y0), size - int(x0)) for y0, x0, _, _ in boxes]
        values = np.stack([project.cut(row, frame) for row, frame in zip(values, frames, strict=True)])
        boxes = np.array([(0, 0, size, size)] * len(boxes))
        view = "the whole photo, all of which it sees"
    units_shown = [int(unit) for unit in artifact.arrays["units"][:MOST_ROWS]]
    dead = " Units that fire nowhere here stay grey." if numbers["dead"] else ""
    return [
        Panel(
            name="projections",
            kind="grid",
            title=f"Projections from {numbers['stage']}",
            caption=f"Units of {numbers['layer']}, one per row: {view}, and what each rule projects back from its "
            "activation. Grey is zero and every tile has its own scale, so shapes can be compared, strengths not."
            + dead,
            alt=f"{len(boxes)} unit{'s' if len(boxes) > 1 else ''} of {numbers['layer']} by 4 rules: photo piece, "
            "deconvnet with and without switches, guided backpropagation, gradient.",
            values=values,
            scale="tile",
            signed=True,
            unit="activation per input",
            boxes=boxes,
            row_labels=tuple(f"unit {unit}" for unit in units_shown),
            columns=HEADINGS,
            featured=True,
        )
    ]


METHOD = Method(
    name="deconvnet",
    title="Deconvnet projections",
    caption="What in the picture made a unit fire, projected back to the pixels by four rules.",
    citation="zeiler2014",
    scope="image",
    version=2,
    params=Params,
    run=run,
    panels=panels,
    arrays={"units": "U", "positions": "U x 2", "activations": "U", "boxes": "U x 4"}
    | dict.fromkeys(RULES, "U x 3 x h x w"),
    needs=frozenset({"gradient", "relu"}),
    tiny={"layer": "last_conv", "units": 3},
)
