"""Which of the pictures makes each unit of a layer fire most, and how strongly.

One sees how a layer shares out the pictures: a unit stands by the picture, and the place in it, where it was strongest.
It is the measure to hold a made-up picture against: an image found by gradient ascent says something only where it
drives its unit further than real pictures do. What one cannot tell from a few pictures is what a unit is for; its
strongest of ten photos may still be a weak answer (for that, look through a data set), and values of different units
or nets have no common size.

For unit $u$ with map $a_u(x)$ on picture $x$ the value is $\\max_{x, p} a_u(x)_p$ over the pictures $x$ and positions
$p$, the first of equal ones. The values are those the layer returned, not touched by a later in-place ReLU. This is the
selection by which Zeiler and Fergus (2014) choose what they project back; checked against the maps of single pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reportgen.errors import MethodError
from reportgen.records import Artifact, Input, Method, Net, Panel

if TYPE_CHECKING:
    import numpy as np

CHUNK = 8  # pictures in one pass
MOST_ROWS = 16  # of units in the table
MOST_BARS = 16  # of pictures


@dataclass(frozen=True)
class Params:
    """Which layer's units."""

    layer: str = field(default="stage3", metadata={"doc": "a stage, an alias or a module path"})


def run(net: Net, inputs: Sequence[Input], params: Params, rngs: Sequence[np.random.Generator]) -> list[Artifact]:
    """Every unit's strongest activation over the pictures, from passes over chunks of them that end at the layer."""
    import numpy as np

    from reportgen import hooks, project
    from reportgen.lean import lean

    layer = net.card.resolve(params.layer)
    quick = lean(net, [layer.name])
    best, place = [], []
    for start in range(0, len(inputs), CHUNK):
        x = net.preprocess([one.picture for one in inputs[start : start + CHUNK] if one.picture is not None])  # N 3 S S
        maps = project.as_maps(hooks.run_to(quick, x, [layer.name])[layer.name], layer)  # N C H W
        flat = maps.reshape(*maps.shape[:2], -1)  # N C HW
        best.append(flat.max(axis=2))
        place.append(flat.argmax(axis=2))
    values = np.concatenate(best)  # N C
    if not np.isfinite(values).all():
        raise MethodError(f"The net gives NaN or infinity in {layer.name}: its weights are damaged or overflow.")
    pictures = values.argmax(axis=0)  # C
    units = np.arange(values.shape[1])
    positions = np.stack(np.divmod(np.concatenate(place)[pictures, units], maps.shape[3]), axis=1)  # C 2
    activations = values[pictures, units]  # C
    numbers = {
        "layer": layer.name,
        "stage": net.card.depth_name(layer.name),
        "names": [one.name or f"picture {number}" for number, one in enumerate(inputs, 1)],
        "width": len(activations),
        "silent": float((activations <= 0).mean()),  # share of units that fire on none of the pictures
        "counts": [int(((pictures == n) & (activations > 0)).sum()) for n in range(len(inputs))],
    }
    return [Artifact({"activations": activations, "pictures": pictures, "positions": positions}, numbers)]


def panels(artifact: Artifact) -> list[Panel]:
    """How many units have each picture as their strongest, and the strongest units with theirs."""
    return [_bars(artifact.numbers), _table(artifact)]


def _bars(numbers: Any) -> Panel:
    import numpy as np

    counts, names, width = np.array(numbers["counts"]), numbers["names"], numbers["width"]
    shown = np.argsort(-counts, kind="stable")[:MOST_BARS]
    first = int(shown[0])
    return Panel(
        name="pictures",
        kind="bars",
        title=f"Whose picture is strongest in {numbers['stage']}",
        caption=f"For each picture the share of the {width} units of {numbers['layer']} that fire most on it, among "
        f"{len(names)} pictures. {numbers['silent']:.0%} of the units fire on none of them and are counted nowhere.",
        alt=f"Bar chart over {len(names)} pictures: most units of {numbers['layer']}, {counts[first] / width:.0%} of "
        f"{width}, are strongest on {names[first]}.",
        values=counts[shown] / width,
        scale="shared",
        unit="share of units",
        row_labels=tuple(names[n] for n in shown),
        featured=True,
    )


def _table(artifact: Artifact) -> Panel:
    import numpy as np

    numbers, values = artifact.numbers, artifact.arrays["activations"]
    shown = np.argsort(-values, kind="stable")[:MOST_ROWS]
    names = [numbers["names"][int(artifact.arrays["pictures"][unit])] for unit in shown]
    places = [" ".join(str(int(side)) for side in artifact.arrays["positions"][unit]) for unit in shown]
    return Panel(
        name="units",
        kind="table",
        title=f"Strongest units of {numbers['stage']}",
        caption=f"The {len(shown)} units of {numbers['layer']} with the largest activation, and the picture that gave "
        "it. The place is the row and column on the layer's map, counted from 0; sizes differ between layers and nets.",
        alt=f"Table of the {len(shown)} strongest of {numbers['width']} units of {numbers['layer']}; unit "
        f"{int(shown[0])} leads with {values[shown[0]]:.3g} on {names[0]}.",
        scale="none",
        columns=("unit", "picture", "activation", "place"),
        rows=tuple(
            (int(unit), name, float(f"{values[unit]:.4g}"), place)
            for unit, name, place in zip(shown, names, places, strict=True)
        ),
    )


METHOD = Method(
    name="strongest",
    title="Strongest pictures",
    caption="On which of the pictures each unit of a layer fires most.",
    citation="zeiler2014",
    scope="images",
    version=1,
    params=Params,
    run=run,
    panels=panels,
    arrays={"activations": "C", "pictures": "C", "positions": "C x 2"},
    tiny={"layer": "last_conv"},
)
