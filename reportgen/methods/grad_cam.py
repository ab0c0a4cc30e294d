"""Where a layer finds what speaks for a class: its channels, weighted by how much the class score hangs on each.

One sees roughly where the evidence for the class lies, as seen by one layer, and for any net; another class on the
same photo gives another map. It is as coarse as the layer: a last layer of 7 x 7 positions cannot tell an ear from an
eye, and the smooth look comes from the enlargement alone. What speaks against the class is cut off, and the weights are
slopes: a channel of a steep slope counts even where taking it away would change little.

Selvaraju et al. (2017): with the logit $S_c$ and the layer's channels $A^k$, the weight is the mean slope over the $Z$
positions, $\\alpha_k = \\frac{1}{Z} \\sum_{ij} \\partial S_c / \\partial A^k_{ij}$, and the map is
$\\max(0, \\sum_k \\alpha_k A^k)$. Raw values are kept, not rescaled; those of two nets are in different units. In
the enlargement every value lies in the middle of its receptive field; tools that stretch the map evenly over the photo
draw ResNet's half a position too far down and right, because its padding moves the fields.

In double precision `coarse` equals Captum's LayerGradCam on AlexNet, VGG-16, GoogLeNet, ResNet-50 and SqueezeNet to one
part in a million. The backward pass ends at the layer, so on nets that end in global pooling it costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reportgen import wording
from reportgen.errors import MethodError, NotApplicable
from reportgen.records import Artifact, Card, Input, Layer, Method, Net, Panel
from reportgen.targets import resolve_target

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Params:
    """Which class is explained, as seen by which layer."""

    target: str | int = field(
        default="predicted", metadata={"doc": "predicted, label (the picture's own), or the name or index of a class"}
    )
    layer: str = field(default="last_conv", metadata={"doc": "a stage, an alias or a module path"})


def run(net: Net, inputs: Sequence[Input], params: Params, rngs: Sequence[np.random.Generator]) -> list[Artifact]:
    """The weighted sum of the layer's channels for each picture, from one pass that goes back to the layer only."""
    from reportgen import project

    layer = net.card.resolve(params.layer)
    _check_is_map(layer, net.card)
    targets = [resolve_target(params.target, one.used["prediction"], net.classes, one.labels) for one in inputs]
    x = net.preprocess([one.picture for one in inputs if one.picture is not None])  # N 3 S S
    value, gradient, logits = project.layer_gradient(net, x, targets, layer.name)  # N C h w, N C h w, N K
    alpha = project.exact(gradient).mean(dim=(2, 3))  # N C
    coarse = (alpha[:, :, None, None] * project.exact(value)).sum(dim=1)  # N h w
    if not bool(coarse.isfinite().all()):
        raise MethodError(f"The gradient in {layer.name} holds NaN or infinity: the net's weights or values overflow.")
    maps = project.enlarged(project.to_numpy(coarse.clamp(min=0)), x.shape[-1], layer.places(x.shape[-1]))  # N S S
    return [
        Artifact(
            {"coarse": own, "map": maps[n]},  # h w, S S
            {
                "target": target,
                "target_name": net.classes[target],
                "probability": float(inputs[n].used["prediction"].arrays["probabilities"][target]),
                "logit": float(logits[n, target]),
                "layer": layer.name,
                "stage": net.card.depth_name(layer.name),
                "positive": float((own > 0).mean()),  # share of the positions that speak for the class
                "largest": float(own.max()),
                "peak": wording.peak(maps[n]),
            },
        )
        for n, (target, own) in enumerate(zip(targets, project.to_numpy(coarse), strict=True))
    ]


def _check_is_map(layer: Layer, card: Card) -> None:
    """NotApplicable for a layer whose value has no positions that could be laid over the picture."""
    if _is_map(layer):
        return
    right = [name for name in (*card.stages, *card.aliases) if _is_map(card.resolve(name))]
    raise NotApplicable(
        f"{layer.name} of {card.arch} returns {' x '.join(str(side) for side in layer.shape)} values, which have no "
        f"places on the picture. Right would be a layer before the pooling: {', '.join(right) or 'this net has none'}."
    )


def _is_map(layer: Layer) -> bool:
    return layer.stride is not None and len(layer.shape) == 3 and layer.shape[1] * layer.shape[2] > 1


def panels(artifact: Artifact) -> list[Panel]:
    """The map over the photo."""
    numbers, coarse = artifact.numbers, artifact.arrays["coarse"]
    name, peak = numbers["target_name"], numbers["peak"]
    size = f"{coarse.shape[0]} x {coarse.shape[1]}"
    if peak is None:
        finding = f"No position of {numbers['stage']} speaks for {name}: the weighted sum is negative everywhere."
        reading = "The map over the photo is zero, one even colour, because there is nothing to draw."
        alt = f"The photo under an empty Grad-CAM map: no position of {numbers['layer']} speaks for class {name}."
    else:
        place = wording.place(*(part / artifact.arrays["map"].shape[0] for part in peak))
        finding = (
            f"Where {numbers['stage']} ({size} positions, enlarged) finds what speaks for {name} (probability "
            f"{numbers['probability']:.0%})."
        )
        reading = (
            f"{numbers['positive']:.0%} of the positions do, most of all in the {place}. The brighter, the more, up to "
            "this map's own 99th percentile; units differ from net to net."
        )
        alt = (
            f"Grad-CAM for {name} over the grey photo: {numbers['positive']:.0%} of the {size} positions speak for it, "
            f"most in the {place}."
        )
    return [
        Panel(
            name="map",
            kind="heatmap",
            title=f"Grad-CAM for {name}",
            caption=f"{finding} {reading}",
            alt=alt,
            values=artifact.arrays["map"],
            scale="own",
            unit="logit per position",
            photo="under",
            featured=True,
        )
    ]


METHOD = Method(
    name="grad_cam",
    title="Grad-CAM",
    caption="Where a layer finds what speaks for a class.",
    citation="selvaraju2017",
    scope="image",
    version=1,
    params=Params,
    run=run,
    panels=panels,
    arrays={"map": "H x W", "coarse": "h x w"},
    needs=frozenset({"gradient"}),
    uses=("prediction",),
    tiny={"layer": "last_conv"},
)
