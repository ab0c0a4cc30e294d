"""Which pixels the class score hangs on: the gradient of one logit with respect to the picture.

One sees where a small change of a pixel would change the score of the class most. It is the slope at this picture,
not the share of each pixel in the score: a large plain area that the net relies on has no slope in its middle, and
noise in the map is the net's own. Saliency follows Simonyan, Vedaldi and Zisserman (2014): with the logit $S_c$ (the
score before the softmax) and the normalised input $x$, the map is
$M_{ij} = \\max_k |\\partial S_c / \\partial x_{kij}|$ over the three colours k.

No backward rule is bent here, so this works for any net. In double precision it equals the gradient written out by hand
and Captum's Saliency on AlexNet, VGG-16, GoogLeNet, ResNet-50 and SqueezeNet to one part in a million.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reportgen import wording
from reportgen.errors import MethodError
from reportgen.records import Artifact, Input, Method, Net, Panel
from reportgen.targets import resolve_target

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Params:
    """Which class is explained."""

    target: str | int = field(
        default="predicted", metadata={"doc": "predicted, label (the picture's own), or the name or index of a class"}
    )


def run(net: Net, inputs: Sequence[Input], params: Params, rngs: Sequence[np.random.Generator]) -> list[Artifact]:
    """The gradient of each picture's target logit, and its map, from one backward pass."""
    from reportgen import project

    targets = [resolve_target(params.target, one.used["prediction"], net.classes, one.labels) for one in inputs]
    x = net.preprocess([one.picture for one in inputs if one.picture is not None])  # N 3 H W
    tensor, logits = project.input_gradient(net, x, targets)
    if not bool(tensor.isfinite().all()):
        raise MethodError(f"The gradient of {net.card.arch} holds NaN or infinity: its weights or values overflow.")
    gradients = project.to_numpy(tensor)
    probabilities = [one.used["prediction"].arrays["probabilities"] for one in inputs]
    return [
        Artifact(
            {"gradient": gradient, "map": abs(gradient).max(axis=0)},  # 3 H W, H W
            {
                "target": target,
                "target_name": net.classes[target],
                "logit": float(logit),
                "probability": float(own[target]),
                "largest": float(abs(gradient).max()),
            },
        )
        for gradient, target, logit, own in zip(gradients, targets, logits, probabilities, strict=True)
    ]


def panels(artifact: Artifact) -> list[Panel]:
    """The map beside the photo."""
    name = artifact.numbers["target_name"]
    return [
        Panel(
            name="map",
            kind="heatmap",
            title=f"Saliency for {name}",
            caption=f"How strongly each pixel would change the score of {name} (probability "
            f"{artifact.numbers['probability']:.0%}). The brighter, the steeper: the largest of the three colours' "
            "slopes, up to this map's own 99th percentile, so brightness cannot be compared between nets.",
            alt=f"Saliency map for the class {name} beside the photo; {wording.brightest(artifact.arrays['map'])}.",
            values=artifact.arrays["map"],
            scale="own",
            unit="gradient",
            photo="beside",
            featured=True,
        )
    ]


METHOD = Method(
    name="saliency",
    title="Saliency",
    caption="Which pixels the score of a class hangs on most.",
    citation="simonyan2014",
    scope="image",
    version=1,
    params=Params,
    run=run,
    panels=panels,
    arrays={"gradient": "3 x H x W", "map": "H x W"},
    needs=frozenset({"gradient"}),
    uses=("prediction",),
    tiny={"target": "predicted"},
)
