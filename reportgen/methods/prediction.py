"""What the net takes the picture for: the probability of each class.

One sees how sure the net is, and which classes it hesitates between. The probabilities are those of the softmax, which
for most nets are too sure of themselves, and they always sum to one: a net that does not know what the picture shows
still has to choose among its own classes.

The logits come from one forward pass of a batch of pictures; $p_k = e^{z_k} / \\sum_j e^{z_j}$ is computed in the net's
own precision. Checked against torchvision's nets called by hand, and by the accuracy on photos of known class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reportgen.errors import MethodError
from reportgen.records import Artifact, Input, Method, Net, Panel
from reportgen.targets import label_index

if TYPE_CHECKING:
    import numpy as np

TOP = 5


@dataclass(frozen=True)
class Params:
    """Nothing to choose."""


def run(net: Net, inputs: Sequence[Input], params: Params, rngs: Sequence[np.random.Generator]) -> list[Artifact]:
    """Logits and probabilities of every picture, from one forward pass."""
    import torch

    from reportgen import project

    with torch.no_grad():
        logits = net.module(net.preprocess([_picture(one) for one in inputs]))  # N K
        if not bool(logits.isfinite().all()):
            raise MethodError(
                f"The net gives NaN or infinity as logits ({net.card.arch}, {net.card.weights_source}): its weights "
                "are damaged, or belong to other preprocessing."
            )
        # bf16 keeps 3 digits: too few for probabilities
        values = logits if logits.dtype == torch.float64 else logits.float()
        probabilities = values.softmax(1)  # N K
    arrays = [project.to_numpy(logits), project.to_numpy(probabilities)]
    return [
        Artifact({"logits": z, "probabilities": p}, _numbers(z, p, net.classes, one.labels))
        for z, p, one in zip(*arrays, inputs, strict=True)
    ]


def _picture(one: Input) -> Any:
    if one.picture is None:
        raise MethodError("prediction looks at pictures, and was given none.")
    return one.picture


def _numbers(logits: Any, probabilities: Any, classes: Sequence[str], labels: Sequence[str]) -> dict[str, Any]:
    """The winner, the runners-up, and where the label came in, if the net knows it."""
    import numpy as np

    order = [int(k) for k in np.argsort(-logits, kind="stable")]  # logits: probabilities of far classes underflow alike
    known = label_index(classes, labels)
    return {
        "index": order[0],
        "name": classes[order[0]],
        "probability": float(probabilities[order[0]]),
        "top5": [{"index": k, "name": classes[k], "probability": float(probabilities[k])} for k in order[:TOP]],
        "label_index": known,
        "label": None if known is None else classes[known],
        "label_probability": None if known is None else float(probabilities[known]),
        "label_rank": None if known is None else order.index(known) + 1,
        "correct": None if known is None else known == order[0],
    }


def panels(artifact: Artifact) -> list[Panel]:
    """The five most probable classes as bars from 0 to 1."""
    import numpy as np

    top = artifact.numbers["top5"]
    best = top[0]
    right = {None: "", True: " That is what the picture shows.", False: f" It shows: {artifact.numbers['label']}."}
    return [
        Panel(
            name="top5",
            kind="bars",
            title="Prediction",
            caption=f"The {len(top)} classes that the net finds most probable, first {best['name']} with "
            f"{best['probability']:.0%}.{right[artifact.numbers['correct']]} All bars run from 0 to 1, so they can be "
            "compared between nets.",
            alt=f"Bar chart of the {len(top)} most probable classes: {best['name']} leads with "
            f"{best['probability']:.0%}"
            + (f", followed by {top[1]['name']} with {top[1]['probability']:.0%}." if len(top) > 1 else "."),
            values=np.array([entry["probability"] for entry in top]),
            scale="fixed",
            limits=(0.0, 1.0),
            unit="probability",
            row_labels=tuple(entry["name"] for entry in top),
            featured=True,
        )
    ]


METHOD = Method(
    name="prediction",
    title="Prediction",
    caption="What the net takes the picture for, and how sure it is.",
    citation="russakovsky2015",
    scope="image",
    version=1,
    params=Params,
    run=run,
    panels=panels,
    arrays={"logits": "K", "probabilities": "K"},
)
