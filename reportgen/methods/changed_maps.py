"""What became of an explanation: the map of any attribution method before, after, and the difference of the two.

One sees where on the picture a map gained and where it lost since something was done to the net: tuned, pruned, its
weights rounded, or begun anew from another start. Both maps explain one class, so that a change of the answer does not
pass for a change of the map. What one cannot tell is which of the two is nearer to the truth; where the answer changed,
the map before explains a class that the net before did not give. Gradients of two nets may look unlike though the nets
agree: see how far a map moves for a net from another start, before a small change is made much of.

`map` is any method that gives a map of each picture (grad_cam, saliency, smoothgrad, integrated_gradients, cam,
occlusion ...), `settings` are its own params; it runs on both nets as it does by itself, with the same random numbers.
Maps $m$ before and $m'$ after are raw, in the unit of the method, and drawn on one scale $t$, the larger of their 99th
percentiles; the difference $m' - m$ is drawn from $-t$ to $t$. `cosine` is $\\sum m m' / \\sqrt{\\sum m^2 \\sum m'^2}$,
`rank` Spearman's correlation of the pixels, which does not care for the size, and `size` the ratio of the two lengths.
With all weights equal the difference is exactly zero. Both nets must have the same classes. Checked against both maps
computed each by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reportgen import change, images, palettes, patterns, wording
from reportgen.records import Artifact, Input, Method, Net, Panel
from reportgen.targets import resolve_target

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Params:
    """Which map is compared, and for which class."""

    map: str = field(
        default="grad_cam", metadata={"doc": "any method that gives a map of each picture", "method": True}
    )
    settings: Any = field(default=(), metadata={"doc": "the params of that method but its target: {layer: stage4}"})
    target: str | int = field(
        default="predicted",
        metadata={"doc": "predicted (by the net after), label (the picture's own), or the name or index of a class"},
    )

    def __post_init__(self) -> None:
        """Fill in the method's own params, which are part of what is asked."""
        object.__setattr__(self, "settings", change.settled(self.map, self.settings))


def run(net: Net, inputs: Sequence[Input], params: Params, rngs: Sequence[np.random.Generator]) -> list[Artifact]:
    """The map of each picture on both nets, each as the method itself gives it."""
    change.same_classes(net)
    assert net.before is not None, "said by the line above"
    targets = [resolve_target(params.target, one.used["prediction"], net.classes, one.labels) for one in inputs]
    asked = params.map, params.settings, targets, rngs
    pairs = zip(change.maps_of(net.before, inputs, *asked), change.maps_of(net, inputs, *asked), strict=True)
    found = []
    for one, target, (old, new) in zip(inputs, targets, pairs, strict=True):
        assert one.picture is not None, "a method of images gets one each"
        maps = [made.arrays["map"] for made in (old, new)]
        numbers = {
            "map": params.map,
            "title": change.map_method(params.map).title,
            "target": target,
            "target_name": net.classes[target],
            "probability": change.probabilities(net, one, target),
            **_likeness(*maps),
        }
        view = images.view(one.picture, net.card.preprocess).transpose(2, 0, 1).astype("float32")  # 3 H W
        found.append(
            Artifact({"before": maps[0], "after": maps[1], "difference": maps[1] - maps[0], "view": view}, numbers)
        )
    return found


def _likeness(old: NDArray[Any], new: NDArray[Any]) -> dict[str, float | None]:
    """How alike two maps are; nothing where one of them is zero everywhere, or one even field."""
    import numpy as np

    a, b = (part.astype(np.float64).ravel() for part in (old, new))
    lengths = [float(np.sqrt(part @ part)) for part in (a, b)]
    cosine = float(np.clip(a @ b / (lengths[0] * lengths[1]), -1, 1)) if all(lengths) else None
    return {
        "cosine": cosine,
        "rank": patterns.rank_correlation(a, b),
        "size": lengths[1] / lengths[0] if lengths[0] else None,
        "largest": float(np.abs(b - a).max()),
    }


# -------------------------------------------------------------------------------------------------------------- panels


def panels(artifact: Artifact) -> list[Panel]:
    """Both maps and their difference side by side, and the difference by itself with its scale."""
    numbers = artifact.numbers
    top = _top(artifact)
    signed = min(float(artifact.arrays[name].min()) for name in ("before", "after")) < 0
    was, now = numbers["probability"]
    likeness = _words(numbers)
    name, title = numbers["target_name"], numbers["title"]
    low = -top if signed else 0.0
    return [
        Panel(
            name="maps",
            kind="grid",
            title=f"{title} before and after",
            caption=f"{title} for {name} (probability {was:.0%} before, {now:.0%} after) before and after, both from "
            f"{_said(low)} to {_said(top)}, and the difference from {_said(-top)} (blue, less) to {_said(top)} (red, "
            f"more). {likeness}",
            alt=f"{title} for {name[:30]} over the grey photo before and after, and the difference: {_short(numbers)}.",
            values=_tiles(artifact, top, signed),  # 1 3 3 H W
            scale="none",
            columns=("before", "after", "difference"),
            featured=True,
        ),
        Panel(
            name="difference",
            kind="heatmap",
            title=f"What {title} gained and lost",
            caption=f"The map of {title} for {name} after, less that before, on the scale that both maps have. "
            f"{likeness}",
            alt=f"Difference of two maps of {title} for {name[:30]} over the photo: {_short(numbers)}; the largest is "
            f"{numbers['largest']:.3g}.",
            values=artifact.arrays["difference"],
            scale="fixed",
            signed=True,
            limits=(-top, top),
            photo="under",
        ),
    ]


def _said(value: float) -> str:
    return wording.size(value).replace("-", "−")


def _top(artifact: Artifact) -> float:
    """The larger of both maps' 99th percentiles; 1 where there is nothing to draw."""
    import numpy as np

    sizes = [np.abs(artifact.arrays[name]) for name in ("before", "after")]
    return max(float(np.percentile(size, 99)) for size in sizes) or max(float(size.max()) for size in sizes) or 1.0


def _tiles(artifact: Artifact, top: float, signed: bool) -> NDArray[Any]:
    """Before, after and difference over the grey photo, 1 3 3 H W."""
    import numpy as np

    arrays = artifact.arrays
    own = (-top, top, palettes.SIGNED) if signed else (0.0, top, palettes.ONE_SIDED)
    drawn = [patterns.over(arrays["view"], arrays[name], *own) for name in ("before", "after")]
    drawn.append(patterns.over(arrays["view"], arrays["difference"], -top, top, palettes.SIGNED))
    return np.array([drawn], dtype=np.float32)


def _words(numbers: Mapping[str, Any]) -> str:
    """How alike the maps are, as a sentence."""
    if numbers["largest"] == 0:
        return "Both maps are the same, down to the last bit."
    if numbers["cosine"] is None:
        return "One of the maps is zero everywhere."
    rank = f", the rank correlation of their pixels {numbers['rank']:.2f}" if numbers["rank"] is not None else ""
    return f"Their cosine is {numbers['cosine']:.2f}{rank}; the map after is {numbers['size']:.2f} times as large."


def _short(numbers: Mapping[str, Any]) -> str:
    if numbers["largest"] == 0:
        return "none at all"
    return "one is empty" if numbers["cosine"] is None else f"their cosine is {numbers['cosine']:.2f}"


METHOD = Method(
    name="changed_maps",
    title="Changed maps",
    caption="An attribution map before, after, and the difference.",
    citation="adebayo2018",
    scope="image",
    version=1,
    params=Params,
    run=run,
    panels=panels,
    arrays={"before": "H x W", "after": "H x W", "difference": "H x W", "view": "3 x H x W"},
    needs=frozenset({"before", "gradient"}),
    uses=("prediction",),
    tiny={"map": "saliency"},
)
