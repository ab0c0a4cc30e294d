"""Which places of the picture add to a class score, in a net whose last step is an average over all places.

Such a net computes a score for every class at every position of its last map, and the class score is their mean: one
sees these scores themselves, for the class (red) and against it (blue). Nothing is estimated, which makes this the
most honest of the maps, but a position of the last layer has seen far more than its own square, often the whole photo,
so that a red place says where the net keeps its evidence, not that it looked nowhere else.

Zhou et al. (2016): with the maps $f_k$ that the global average pooling is given and the weights $w^c_k$ of the dense
layer after it, $M_c = \\sum_k w^c_k f_k$, enlarged to the input with every value in the middle of its receptive field.
The map keeps its sign here, and its mean plus the bias is the logit. Nets that end otherwise (AlexNet, VGG, SqueezeNet)
have no such map.

In double precision the mean and the bias give the logit, and the map equals Grad-CAM of the same layer times the
number of positions, on GoogLeNet and ResNet-50 to one part in a million.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reportgen import wording
from reportgen.errors import MethodError, NotApplicable
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
    """The class's score at every position for each picture, from one forward pass."""
    from reportgen import project

    if not net.card.global_pooling:
        raise NotApplicable(f"{net.card.arch} does not end in global average pooling and one dense layer.")
    targets = [resolve_target(params.target, one.used["prediction"], net.classes, one.labels) for one in inputs]
    x = net.preprocess([one.picture for one in inputs if one.picture is not None])  # N 3 S S
    values, weights, logits = project.class_weights(net, x, targets)  # N C h w, N C, N K
    coarse = (project.exact(weights)[:, :, None, None] * project.exact(values)).sum(dim=1)  # N h w
    if not bool(coarse.isfinite().all()):
        raise MethodError(f"The class map of {net.card.arch} holds NaN or infinity: its weights or values overflow.")
    layer = net.card.resolve("last_conv")  # its positions are those of what the pooling is given
    maps = project.enlarged(project.to_numpy(coarse), x.shape[-1], layer.places(x.shape[-1]))  # N S S
    means = coarse.mean(dim=(1, 2))  # N
    return [
        Artifact(
            {"coarse": own, "map": maps[n]},  # h w, S S
            {
                "target": target,
                "target_name": net.classes[target],
                "probability": float(inputs[n].used["prediction"].arrays["probabilities"][target]),
                "logit": float(logits[n, target]),
                "bias": float(logits[n, target]) - float(means[n]),
                "positive": float((own > 0).mean()),  # share of the positions that speak for the class
                "largest": float(own.max()),
                "peak": wording.peak(maps[n]),
            },
        )
        for n, (target, own) in enumerate(zip(targets, project.to_numpy(coarse), strict=True))
    ]


def panels(artifact: Artifact) -> list[Panel]:
    """The signed map over the photo."""
    numbers, coarse = artifact.numbers, artifact.arrays["coarse"]
    name, peak, size = numbers["target_name"], numbers["peak"], f"{coarse.shape[0]} x {coarse.shape[1]}"
    if peak is None:
        finding = "nothing speaks for it"
    else:
        place = wording.place(*(part / artifact.arrays["map"].shape[0] for part in peak))
        finding = f"{numbers['positive']:.0%} of the {size} positions speak for it, most in the {place}"
    return [
        Panel(
            name="map",
            kind="heatmap",
            title=f"Class activation map for {name}",
            caption=f"What each place adds to the score of {name} (red) or takes from it (blue): {finding}. The mean "
            f"of the {size} values, enlarged here, plus a bias of {numbers['bias']:.2f} is the score, "
            f"{numbers['logit']:.2f} (probability {numbers['probability']:.0%}).",
            alt=f"Class activation map for {name} over the grey photo, red for, blue against: {finding}.",
            values=artifact.arrays["map"],
            scale="own",
            signed=True,
            unit="logit",
            photo="under",
            featured=True,
        )
    ]


METHOD = Method(
    name="cam",
    title="Class activation map",
    caption="Which places of the picture add to the score of a class.",
    citation="zhou2016",
    scope="image",
    version=1,
    params=Params,
    run=run,
    panels=panels,
    arrays={"map": "H x W", "coarse": "h x w"},
    needs=frozenset({"global_pooling"}),
    uses=("prediction",),
)
