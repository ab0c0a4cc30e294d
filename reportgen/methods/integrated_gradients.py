"""What each pixel adds to a class score on the way from a plain picture to the photo: shares that sum to the score.

One sees which pixels speak for the class (red) and which against it (blue), measured against a picture of one colour,
the baseline. Unlike a slope, the shares are complete: all of them together are the difference of the score between
photo and baseline, and how well that holds is printed. What one cannot see are pixels that look like the baseline: a
black cat on a black baseline gets nothing, whatever the net thinks of it. Visible edges show in the map even of a net
that ignores them, because the gradient is multiplied by the picture.

Sundararajan, Taly and Yan (2017): with the logit $F$, the normalised input $x$ and the baseline $x'$,
$A_i = (x_i - x'_i) \\int_0^1 \\partial F / \\partial x_i \\, (x' + \\alpha (x - x')) \\, d\\alpha$. The integral is
taken by Gauss and Legendre's rule with `steps` points, as in Captum, or by the paper's sum, its equation 3 (`riemann`).
The default baseline is the mean colour of the training pictures, which is zero after normalisation. The map is the sum
over the three colours with its sign, again as in Captum's displays, so that it stays complete.

In double precision it equals Captum's IntegratedGradients with the same steps on AlexNet, VGG-16, GoogLeNet, ResNet-50
and SqueezeNet to one part in a million, and a closed form on a net without kinks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from reportgen import wording
from reportgen.errors import MethodError
from reportgen.records import Artifact, Input, Method, Net, Panel, Preprocess
from reportgen.targets import resolve_target

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

GREYS = {"black": 0.0, "white": 1.0}
RULES = ("gauss-legendre", "riemann")


@dataclass(frozen=True)
class Params:
    """Which class is explained, against which baseline, and how finely."""

    target: str | int = field(
        default="predicted", metadata={"doc": "predicted, label (the picture's own), or the name or index of a class"}
    )
    steps: int = field(default=50, metadata={"doc": "points between baseline and photo; each costs one gradient"})
    baseline: str | float = field(
        default="mean",
        metadata={"doc": "mean (the training pictures' mean colour), black, white, or a grey from 0 to 1"},
    )
    rule: Literal["gauss-legendre", "riemann"] = field(
        default="gauss-legendre", metadata={"doc": "how the integral is taken; riemann is the paper's sum"}
    )

    def __post_init__(self) -> None:
        """Refuse what is no baseline, rule or number of steps."""
        if self.steps < 1:
            raise MethodError(f"steps: {self.steps} points give no integral. Right would be 1 or more, such as 50.")
        if isinstance(self.baseline, int):
            object.__setattr__(self, "baseline", float(self.baseline))
        if self.baseline not in ("mean", *GREYS) if isinstance(self.baseline, str) else not 0 <= self.baseline <= 1:
            raise MethodError(
                f"baseline: {self.baseline!r} is no baseline. Right would be mean, black, white or a grey from 0 to 1."
            )
        if self.rule not in RULES:
            raise MethodError(f"rule: {self.rule!r} is no rule. Right would be {' or '.join(RULES)}.")


def run(net: Net, inputs: Sequence[Input], params: Params, rngs: Sequence[np.random.Generator]) -> list[Artifact]:
    """The attributions of each picture, and how far their sum is from the difference of the logits."""
    from reportgen import project

    targets = [resolve_target(params.target, one.used["prediction"], net.classes, one.labels) for one in inputs]
    x = net.preprocess([one.picture for one in inputs if one.picture is not None])  # N 3 S S
    start = _baseline(x, params.baseline, net.card.preprocess)  # 3 S S
    way = _rule(params.rule, params.steps)
    points = ((start + share * (own - start), n, n, weight) for n, own in enumerate(x) for share, weight in way)
    slopes = project.gradient_sums(net, x, targets, points, len(inputs))  # N 3 S S
    attributions = (project.exact(x) - project.exact(start)) * slopes
    sums = attributions.sum(dim=(1, 2, 3))  # N
    shares = project.to_numpy(attributions)
    ends = project.exact(project.forward(net, x)["logits"])  # N K
    begin = project.exact(project.forward(net, start[None])["logits"])[0]  # K
    return [
        Artifact(
            {"attribution": shares[n], "map": shares[n].sum(axis=0)},  # 3 H W, H W
            {
                "target": target,
                "target_name": net.classes[target],
                "probability": float(inputs[n].used["prediction"].arrays["probabilities"][target]),
                "baseline": params.baseline,
                "steps": params.steps,
                "rule": params.rule,
                **_completeness(float(sums[n]), float(ends[n, target]), float(begin[target])),
            },
        )
        for n, target in enumerate(targets)
    ]


def _baseline(x: Tensor, baseline: str | float, preprocess: Preprocess) -> Tensor:
    """The plain picture, normalised: 3 x S x S."""
    import torch

    if baseline == "mean":
        return torch.zeros_like(x[0])
    grey = GREYS[baseline] if isinstance(baseline, str) else baseline
    colour = [(grey - mean) / std for mean, std in zip(preprocess.mean, preprocess.std, strict=True)]
    return torch.tensor(colour, dtype=x.dtype, device=x.device)[:, None, None].expand_as(x[0]).contiguous()  # 3 S S


def _rule(rule: str, steps: int) -> list[tuple[float, float]]:
    """The points between 0 and 1 at which the gradient is taken, with their weights."""
    import numpy as np

    if rule == "riemann":
        return [((k + 1) / steps, 1 / steps) for k in range(steps)]
    nodes, weights = np.polynomial.legendre.leggauss(steps)  # on -1..1
    return list(zip(((1 + nodes) / 2).tolist(), (weights / 2).tolist(), strict=True))


def _completeness(total: float, end: float, begin: float) -> dict[str, Any]:
    """What the attributions should sum to, and what is missing."""
    difference = end - begin
    return {
        "sum": total,
        "logit": end,
        "logit_baseline": begin,
        "residual": total - difference,
        "residual_share": abs(total - difference) / abs(difference) if difference else None,
    }


def panels(artifact: Artifact) -> list[Panel]:
    """The signed map beside the photo."""
    numbers, values = artifact.numbers, artifact.arrays["map"]
    name, baseline, share = numbers["target_name"], numbers["baseline"], numbers["residual_share"]
    plain = f"plain {baseline} picture" if isinstance(baseline, str) else f"plain grey picture ({baseline:g})"
    plain = "picture of the mean colour" if baseline == "mean" else plain
    error = "" if share is None else f" ({share:.1%} off)"
    return [
        Panel(
            name="map",
            kind="heatmap",
            title=f"Integrated gradients for {name}",
            caption=f"What each pixel adds to the score of {name} (red) or takes from it (blue), compared with a "
            f"{plain}. All pixels together give {numbers['sum']:.2f}, where the scores of the two pictures differ by "
            f"{numbers['logit'] - numbers['logit_baseline']:.2f}{error}; colours go up to this map's own 99th "
            "percentile.",
            alt=f"Integrated gradients for {name} beside the photo; {wording.brightest(abs(values))}.",
            values=values,
            scale="own",
            signed=True,
            unit="logit",
            photo="beside",
            featured=True,
        )
    ]


METHOD = Method(
    name="integrated_gradients",
    title="Integrated gradients",
    caption="What each pixel adds to the score of a class, compared with a picture of one colour.",
    citation="sundararajan2017",
    scope="image",
    version=1,
    params=Params,
    run=run,
    panels=panels,
    arrays={"attribution": "3 x H x W", "map": "H x W"},
    needs=frozenset({"gradient"}),
    uses=("prediction",),
    tiny={"steps": 4},
)
