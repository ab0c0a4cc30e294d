"""Saliency without its noise: the mean gradient of a class score over many noisy copies of the picture.

One sees which pixels the score hangs on throughout the neighbourhood of the picture, rather than at one point of a
function with many kinks; the map is calmer than plain saliency and follows objects more closely. It remains a slope,
not a share of the score, and a calm map is no proof that the net is right. The noise also leaves the world of photos:
with much of it, one looks at how the net answers to noise. Smilkov et al. (2017): with the logit $S_c$ and $n$ samples,
$\\hat{M}_c(x) = \\frac{1}{n} \\sum_i \\partial S_c / \\partial x \\, (x + \\mathcal{N}(0, \\sigma^2))$, where $\\sigma$
is a share (`noise`) of the range, largest less smallest value, of the normalised picture. Gradients are averaged with
their signs; the map is the largest absolute value of the three colours, as in saliency.

The noise of sample i is $\\sigma$ times `rng.standard_normal((3, H, W))`, the i-th draw of the cell's own generator:
nets of one input size see the same noise. How far the mean still depends on the draw is printed with every map.

In double precision the result equals a loop of Captum's Saliency over the same noisy copies on AlexNet, VGG-16,
GoogLeNet, ResNet-50 and SqueezeNet to one part in a million; without noise it equals saliency.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reportgen import wording
from reportgen.errors import MethodError
from reportgen.records import Artifact, Input, Method, Net, Panel
from reportgen.targets import resolve_target

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


@dataclass(frozen=True)
class Params:
    """Which class is explained, and over how many copies with how much noise."""

    target: str | int = field(
        default="predicted", metadata={"doc": "predicted, label (the picture's own), or the name or index of a class"}
    )
    samples: int = field(default=50, metadata={"doc": "noisy copies per picture; each costs one gradient"})
    noise: float = field(
        default=0.15, metadata={"doc": "standard deviation, as a share of the normalised picture's range (max - min)"}
    )

    def __post_init__(self) -> None:
        """Refuse what gives no mean."""
        if self.samples < 1:
            raise MethodError(
                f"samples: {self.samples} noisy copies have no mean. Right would be 1 or more, such as 50."
            )
        if not 0 <= self.noise < float("inf"):
            raise MethodError(f"noise: {self.noise} is no share of a range. Right would be 0 or more, such as 0.15.")
        object.__setattr__(self, "noise", float(self.noise))


def run(net: Net, inputs: Sequence[Input], params: Params, rngs: Sequence[np.random.Generator]) -> list[Artifact]:
    """The mean gradient of each picture; even and odd samples are summed apart, to see how well they agree."""
    from reportgen import project

    targets = [resolve_target(params.target, one.used["prediction"], net.classes, one.labels) for one in inputs]
    x = net.preprocess([one.picture for one in inputs if one.picture is not None])  # N 3 S S
    sigmas = [params.noise * float(own.max() - own.min()) for own in x]
    points = _points(x, sigmas, params.samples, rngs)
    halves = project.gradient_sums(net, x, targets, points, 2 * len(inputs)).view(-1, 2, *x.shape[1:])  # N 2 3 S S
    means = project.to_numpy(halves.sum(dim=1) / params.samples)  # N 3 S S
    return [
        Artifact(
            {"attribution": means[n], "map": abs(means[n]).max(axis=0)},  # 3 H W, H W
            {
                "target": target,
                "target_name": net.classes[target],
                "probability": float(inputs[n].used["prediction"].arrays["probabilities"][target]),
                "samples": params.samples,
                "noise": params.noise,
                "sigma": sigmas[n],
                "standard_error": _standard_error(halves[n], params.samples),
            },
        )
        for n, target in enumerate(targets)
    ]


def _points(
    x: Tensor, sigmas: Sequence[float], samples: int, rngs: Sequence[np.random.Generator]
) -> Iterator[tuple[Tensor, int, int, float]]:
    """The noisy copies, picture by picture; a picture's samples go to its two sums in turn."""
    import torch

    for n, (own, sigma, rng) in enumerate(zip(x, sigmas, rngs, strict=True)):
        for sample in range(samples):
            noise = torch.from_numpy(rng.standard_normal(tuple(own.shape)))  # 3 S S
            yield own + sigma * noise.to(own.dtype).to(own.device), n, 2 * n + sample % 2, 1.0


def _standard_error(halves: Any, samples: int) -> float | None:
    """The standard error of the mean gradient as a share of its length: 0 = settled, 1 = nothing but noise.

    From the difference of the means of the even and of the odd samples, a and b of them, whose variance is
    (1 / a + 1 / b) of one sample's, while the variance of the mean of all is 1 / (a + b) of it.
    """
    odd = samples // 2
    if odd == 0:
        return None
    even = samples - odd
    mean = halves.sum(dim=0) / samples  # 3 S S
    length = float(mean.norm())
    difference = float((halves[0] / even - halves[1] / odd).norm()) * (even * odd) ** 0.5 / samples
    return difference / length if length > 0 else None


def panels(artifact: Artifact) -> list[Panel]:
    """The map beside the photo."""
    numbers = artifact.numbers
    name, error = numbers["target_name"], numbers["standard_error"]
    doubt = "" if error is None else f"; its standard error is {error:.0%} of its strength"
    return [
        Panel(
            name="map",
            kind="heatmap",
            title=f"SmoothGrad for {name}",
            caption=f"How strongly each pixel would change the score of {name} (probability "
            f"{numbers['probability']:.0%}), as the mean over {numbers['samples']} noisy copies of the photo{doubt}. "
            "The brighter, the steeper, up to this map's own 99th percentile, so brightness cannot be compared between "
            "nets.",
            alt=f"SmoothGrad map for the class {name} beside the photo; {wording.brightest(artifact.arrays['map'])}.",
            values=artifact.arrays["map"],
            scale="own",
            unit="gradient",
            photo="beside",
            featured=True,
        )
    ]


METHOD = Method(
    name="smoothgrad",
    title="SmoothGrad",
    caption="Which pixels the score of a class hangs on, averaged over noisy copies of the photo.",
    citation="smilkov2017",
    scope="image",
    version=1,
    params=Params,
    run=run,
    panels=panels,
    arrays={"attribution": "3 x H x W", "map": "H x W"},
    needs=frozenset({"gradient"}),
    uses=("prediction",),
    tiny={"samples": 4},
)
