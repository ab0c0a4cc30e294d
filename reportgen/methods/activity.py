"""What a layer does with the picture: the maps of its channels, and the mean of them laid over the photo.

One sees where on the picture a layer is busy, and how its channels share the work: the first layers answer everywhere
to edges and colours, the last ones in a few places to whole parts. A bright spot says that something there drives the
channel, not what it is; for that, project the unit back (deconvnet) or look at its strongest pictures. A map is drawn
at the layer's own resolution, one square per unit, without smoothing; what drives a square is its whole receptive
field, which in late layers is far larger than the square.

The values are those the layer returned, not touched by a later in-place ReLU. Checked against nets called module by
module.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reportgen import units, wording
from reportgen.errors import MethodError
from reportgen.records import Artifact, Input, Method, Net, Panel

if TYPE_CHECKING:
    import numpy as np

MOST_TILES = 64  # of channels on one sheet


@dataclass(frozen=True)
class Params:
    """Which layer, and which of its units get a tile."""

    layer: str = field(default="stage3", metadata={"doc": "a stage, an alias or a module path"})
    units: Any = field(default=16, metadata={"doc": units.DOC})

    def __post_init__(self) -> None:
        """Bring the choice of units into its one form."""
        object.__setattr__(self, "units", units.canonical(self.units))


def run(net: Net, inputs: Sequence[Input], params: Params, rngs: Sequence[np.random.Generator]) -> list[Artifact]:
    """The layer's value for every picture, from one forward pass that ends there."""
    from reportgen import hooks, project

    layer = net.card.resolve(params.layer)
    x = net.preprocess([one.picture for one in inputs if one.picture is not None])  # N 3 S S
    value = hooks.run_to(net, x, [layer.name])[layer.name]  # N C H W, or N D
    if not bool(value.isfinite().all()):
        raise MethodError(f"The net gives NaN or infinity in {layer.name}: its weights are damaged or overflow.")
    title = net.card.depth_name(layer.name)
    return [_artifact(own, params, layer.name, title) for own in project.to_numpy(value)]


def _artifact(own: np.ndarray, params: Params, layer: str, title: str) -> Artifact:
    strength = own.reshape(len(own), -1).max(axis=1)  # C
    chosen = units.choose(params.units, strength, layer)
    chosen = sorted(chosen, key=lambda unit: (-strength[unit], unit))
    numbers = {
        "layer": layer,
        "stage": title,
        "units": chosen,
        "strengths": [float(strength[unit]) for unit in chosen],
        "width": len(own),
        "silent": float((strength <= 0).mean()),  # share of units that answer nowhere
        "active": float((own > 0).mean()),  # share of values above zero
    }
    return Artifact({"activation": own}, numbers)


def panels(artifact: Artifact) -> list[Panel]:
    """For maps the mean over the photo, a sheet of channels and the strongest one large; for neurons bars."""
    own, numbers = artifact.arrays["activation"], artifact.numbers
    if own.size == len(own):
        return [_bars(own.reshape(-1), numbers)]
    return [_overlay(own, numbers), _channels(own, numbers), _unit(own, numbers)]


def _overlay(own: np.ndarray, numbers: Any) -> Panel:
    name, width = numbers["layer"], numbers["width"]
    return Panel(
        name="overlay",
        kind="heatmap",
        title=f"Where {numbers['stage']} is active",
        caption=f"The mean of the {width} channels of {name}, laid over the photo. The brighter, the more channels "
        "answer there, up to this map's own 99th percentile; each square is one position of the layer.",
        alt=f"Heat map of the mean activation of {width} channels of {name} over the grey photo; "
        f"{numbers['active']:.0%} of all values are above zero.",
        values=own.mean(axis=0),  # H W
        scale="own",
        unit="activation",
        photo="under",
        featured=True,
    )


def _channels(own: np.ndarray, numbers: Any) -> Panel:
    import numpy as np

    shown = numbers["units"][:MOST_TILES]
    columns = int(np.ceil(np.sqrt(len(shown))))
    tiles = np.full((-(-len(shown) // columns) * columns, *own.shape[1:]), np.nan, dtype=own.dtype)
    tiles[: len(shown)] = own[shown]
    first = ", ".join(str(unit) for unit in shown[:3])
    return Panel(
        name="channels",
        kind="grid",
        title=f"Channels of {numbers['stage']}",
        caption=f"{len(shown)} of the {numbers['width']} channels of {numbers['layer']}, the strongest first "
        f"({first}, ...), line by line. All tiles share one scale, from 0 to the sheet's 99th percentile, so a dark "
        "tile is a weak channel.",
        alt=f"Sheet of {len(shown)} activation maps of {numbers['layer']}, sorted by strength; the strongest is "
        f"channel {shown[0]} with {wording.size(numbers['strengths'][0])}.",
        values=tiles.reshape(-1, columns, *own.shape[1:]),  # rows columns H W
        scale="own",
        unit="activation",
    )


def _unit(own: np.ndarray, numbers: Any) -> Panel:
    unit, strength = numbers["units"][0], numbers["strengths"][0]
    return Panel(
        name="unit",
        kind="heatmap",
        title=f"Channel {unit} of {numbers['stage']}",
        caption=f"Channel {unit} of {numbers['layer']}, the strongest of those shown, beside the photo. Its largest "
        f"value is {wording.size(strength)}; each square is one position.",
        alt=f"Activation map of channel {unit} of {numbers['layer']} beside the photo; its largest value is "
        f"{wording.size(strength)}, and {(own[unit] > 0).mean():.0%} of its positions are active.",
        values=own[unit],  # H W
        scale="own",
        unit="activation",
        photo="beside",
    )


def _bars(own: np.ndarray, numbers: Any) -> Panel:
    shown = numbers["units"][:MOST_TILES]
    return Panel(
        name="neurons",
        kind="bars",
        title=f"Neurons of {numbers['stage']}",
        caption=f"{len(shown)} of the {numbers['width']} neurons of {numbers['layer']}, the strongest first. "
        f"{numbers['silent']:.0%} of all neurons of the layer stay silent on this picture.",
        alt=f"Bar chart of {len(shown)} neurons of {numbers['layer']}; neuron {shown[0]} leads with "
        f"{wording.size(numbers['strengths'][0])} of the {numbers['width']}.",
        values=own[shown],
        scale="own",
        unit="activation",
        row_labels=tuple(f"unit {unit}" for unit in shown),
        featured=True,
    )


METHOD = Method(
    name="activity",
    title="Activity",
    caption="Where on the picture a layer answers, and which of its channels do.",
    citation="zeiler2014",
    scope="image",
    version=1,
    params=Params,
    run=run,
    panels=panels,
    arrays={"activation": "C x H x W | D"},
    tiny={"layer": "last_conv", "units": 3},
)
