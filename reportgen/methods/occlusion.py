"""What the net loses when a part of the picture is covered: a patch slides over it, and the net looks every time.

One sees which part of the picture the net relies on, without looking inside: where covering it makes the class's
probability fall, which class takes its place, and whether the strongest map of the top layer loses its cause there as
well. Unlike a gradient this is a real change of the input. It is as coarse as the patch; a part with a double elsewhere
can be covered without loss; and a plain patch is itself something that the net has never seen, so some of the fall may
be the answer to its edges.

This is Figure 7 of Zeiler and Fergus (2014) in full, from one pass over all places: the probability and the logit of
the class, the sum over space of one map of a layer, the most probable class, and the deconvnet projection of that map.
The map is the one with the largest sum on the untouched picture. The paper gives no size of the patch; the default is a
seventh of the side (32 of 224 pixels), a quarter of it per step, in the colour that normalisation makes zero. Places
are $\\lfloor (S - patch) / stride \\rfloor + 1$ per axis. `map` is the drop of the probability, $p_0 - p$, averaged
over all places that cover a pixel, and zero where none does. The projection is zero, and not shown, in nets that do not
rectify, and where no positive signal gets down to the pixels, as from SqueezeNet's maps of classes.

Only what a patch can change is computed again, which alters nothing but rounding: in double precision all panels equal
a loop of plain forward passes on AlexNet, VGG-16, GoogLeNet, ResNet-50 and SqueezeNet to one part in a million, and
`map` equals Captum's Occlusion of the probability.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from reportgen import wording
from reportgen.errors import MethodError
from reportgen.records import Artifact, Input, Method, Net, Panel
from reportgen.targets import resolve_target

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

GREYS = {"black": 0.0, "white": 1.0}


@dataclass(frozen=True)
class Params:
    """Which class is followed, what slides over the picture, and where the feature map is looked for."""

    target: str | int = field(
        default="predicted", metadata={"doc": "predicted, label (the picture's own), or the name or index of a class"}
    )
    patch: int = field(
        default=0,
        metadata={"doc": "side of the patch in pixels of the network's input; 0: a seventh of its side (32 of 224)"},
    )
    stride: int = field(default=0, metadata={"doc": "pixels from place to place; 0: a quarter of the patch"})
    fill: Literal["mean", "black", "white"] | float = field(
        default="mean", metadata={"doc": "mean: the data set's mean colour; black, white, or a grey from 0 to 1"}
    )
    layer: str = field(default="last_conv", metadata={"doc": "whose strongest map is followed: a stage, alias or path"})

    def __post_init__(self) -> None:
        """Refuse what is no patch, no step and no colour."""
        for name, value in (("patch", self.patch), ("stride", self.stride)):
            if value < 0:
                raise MethodError(f"{name}: {value} pixels is no length. Right would be 1 or more, or 0 for a share.")
        if self.fill not in ("mean", *GREYS):
            grey = -1.0 if isinstance(self.fill, str) else float(self.fill)
            if not 0 <= grey <= 1:
                raise MethodError(
                    f"fill: {self.fill!r} is no colour. Right would be mean, black, white or a grey from 0 to 1."
                )
            object.__setattr__(self, "fill", grey)


def run(net: Net, inputs: Sequence[Input], params: Params, rngs: Sequence[np.random.Generator]) -> list[Artifact]:
    """All places of the patch, picture by picture: the places of one picture are a batch of their own."""
    from reportgen import project

    size = net.card.preprocess.size
    if params.patch > size:
        raise MethodError(
            f"patch: a patch of {params.patch} pixels is larger than the net's input of {size}. Right would be less, "
            f"such as {max(1, round(size / 7))}."
        )
    patch = params.patch or max(1, round(size / 7))
    layer = net.card.resolve(params.layer)
    targets = [resolve_target(params.target, one.used["prediction"], net.classes, one.labels) for one in inputs]
    x = net.preprocess([one.picture for one in inputs if one.picture is not None])  # N 3 S S
    clean = project.forward(net, x, [layer.name])
    if not bool(clean["logits"].isfinite().all() and clean[layer.name].isfinite().all()):
        raise MethodError(f"The net gives NaN or infinity ({net.card.arch}): its weights are damaged or overflow.")
    units = project.as_maps(clean[layer.name], layer).sum(axis=(2, 3)).argmax(axis=1)  # N
    return [
        _artifact(net, x[n : n + 1], clean["logits"][n], params, patch, layer.name, int(units[n]), target)
        for n, target in enumerate(targets)
    ]


def _artifact(
    net: Net, x: Tensor, clean: Tensor, params: Params, patch: int, layer: str, unit: int, target: int
) -> Artifact:
    from reportgen import occluding, project

    size, stride = x.shape[-1], params.stride or max(1, patch // 4)
    corners, count = occluding.grid(size, patch, stride)
    colour = _colour(net, x, params.fill).expand(3, patch, patch)  # 3 patch patch
    swept = occluding.sweep(net, x, corners, colour, layer, unit)
    before = project.exact(clean).softmax(0)[target]
    probability = project.exact(swept.logits).softmax(1)[:, target]  # B
    drop = (before - probability).cpu().numpy().reshape(count, count)  # R C
    arrays = {
        "probability": project.to_numpy(probability),
        "logit": project.to_numpy(swept.logits[:, target]),
        "feature_sum": project.to_numpy(swept.sums),
        "label": swept.logits.argmax(dim=1).cpu().numpy(),
    }
    arrays = {name: values.reshape(count, count) for name, values in arrays.items()}  # R C
    own = {
        "target": target,
        "target_name": net.classes[target],
        "probability": float(before),
        "logit": float(clean[target]),
        "untouched": net.classes[int(clean.argmax())],
        "lowest": float(arrays["probability"].min()),
        "lowest_at": list(corners[int(arrays["probability"].argmin())]),  # y, x of the patch's corner
        "flips": float((arrays["label"] != int(clean.argmax())).mean()),  # share of the places where another class wins
        "labels": _names(arrays["label"], net.classes),
        "incremental": not swept.why,
        "why": swept.why,
    }
    arrays["map"] = occluding.averaged(drop, patch, stride, size)  # S S
    arrays["projection"] = _projection(net, x, layer, unit)  # 3 S S
    asked = {"patch": patch, "stride": stride, "size": size, "fill": params.fill}
    seen = {"layer": layer, "stage": net.card.depth_name(layer), "unit": unit}
    return Artifact(arrays, {**own, **asked, **seen, "projected": bool(arrays["projection"].any())})


def _colour(net: Net, x: Tensor, fill: str | float) -> Tensor:
    """The patch's colour as the net gets it, 3 1 1."""
    import torch

    pre = net.card.preprocess
    if fill == "mean":
        values = [0.0] * 3
    else:
        grey = GREYS[fill] if isinstance(fill, str) else fill
        values = [(grey - mean) / std for mean, std in zip(pre.mean, pre.std, strict=True)]
    return torch.tensor(values, dtype=x.dtype, device=x.device)[:, None, None]  # 3 1 1


def _projection(net: Net, x: Tensor, layer: str, unit: int) -> Any:
    """The unit's whole map projected back by the deconvnet's rule, 3 S S; zero where the rule cannot go."""
    from reportgen import project
    from reportgen.tape import UnfitError

    if net.card.rectified:
        with suppress(UnfitError):
            tape, _ = project.record(net, x, layer)
            return project.projections(tape, [unit], None, [(0, 0, *x.shape[2:])], ["deconvnet"])["deconvnet"][0]
    return project.to_numpy(x[0] * 0)


def _names(label: np.ndarray, classes: Sequence[str]) -> list[dict[str, Any]]:
    """The classes on the map of labels, those of most places first."""
    import numpy as np

    found, counts = np.unique(label, return_counts=True)
    order = sorted(zip(found.tolist(), counts.tolist(), strict=True), key=lambda one: (-one[1], one[0]))
    return [{"index": index, "name": classes[index], "places": places} for index, places in order]


def panels(artifact: Artifact) -> list[Panel]:
    """Zeiler's figure: the drop over the photo, then probability, most probable class, feature map, projection."""
    numbers = artifact.numbers
    found = [_drop(artifact), _probability(artifact), _label(artifact), _feature_sum(artifact)]
    return [*found, _projected(artifact)] if numbers["projected"] else found


def _patch(numbers: Any) -> str:
    """The patch in words."""
    fill = numbers["fill"]
    colour = "mean-coloured" if fill == "mean" else fill if isinstance(fill, str) else f"grey ({fill:g})"
    return f"a {colour} patch of {numbers['patch']} x {numbers['patch']} pixels"


def _placed(values: np.ndarray, numbers: Any) -> np.ndarray:
    """Values of places (R C) as squares of one step around the middles of their patches, S S; NaN beside them."""
    import numpy as np

    patch, stride, size = (int(numbers[name]) for name in ("patch", "stride", "size"))
    place = (np.arange(size) - (patch - stride) // 2) // stride  # S: the place whose middle is nearest
    known = (place >= 0) & (place < len(values))
    out = np.full((size, size), np.nan, dtype=np.float32)
    out[np.ix_(known, known)] = values[np.ix_(place[known], place[known])]
    return out


def _drop(artifact: Artifact) -> Panel:
    numbers, own = artifact.numbers, artifact.arrays["map"]
    name, before = numbers["target_name"], numbers["probability"]
    peak = wording.peak(own)
    where = f"; on average it falls most in the {wording.place(peak[0] / len(own), peak[1] / len(own))}" if peak else ""
    return Panel(
        name="map",
        kind="heatmap",
        title=f"What {name} hangs on",
        caption=f"How far the probability of {name} ({before:.0%} untouched) falls where {_patch(numbers)} covers the "
        "photo, as the mean over all places of the patch that cover a pixel. Red: it falls; blue: it rises; all nets "
        "share one scale.",
        alt=f"Drop of the probability of {name} over the grey photo: from {before:.0%} to {numbers['lowest']:.0%} at "
        f"the lowest{where}.",
        values=own,
        scale="shared",
        signed=True,
        unit="drop of probability",
        photo="under",
        featured=True,
    )


def _by_place(name: str, values: np.ndarray, numbers: Any, **words: Any) -> Panel:
    """A map of one value per place of the patch, beside the photo."""
    return Panel(name=name, kind="heatmap", values=_placed(values, numbers), photo="beside", **words)


def _probability(artifact: Artifact) -> Panel:
    numbers = artifact.numbers
    name, half = numbers["target_name"], numbers["patch"] / 2
    where = wording.place(*((corner + half) / numbers["size"] for corner in numbers["lowest_at"]))
    return _by_place(
        "probability",
        artifact.arrays["probability"],
        numbers,
        title=f"Probability of {name}",
        caption=f"The probability of {name} with {_patch(numbers)} on each place, every {numbers['stride']} pixels; "
        f"untouched it is {numbers['probability']:.0%}. Each square stands where the middle of the patch was; the "
        "darker, the less the net sees the class, from 0 to 1 in all nets.",
        alt=f"Map of the probability of {name} by place of the patch: it is lowest, {numbers['lowest']:.0%}, with the "
        f"patch on the {where} of the photo.",
        scale="fixed",
        limits=(0.0, 1.0),
        unit="probability",
    )


def _label(artifact: Artifact) -> Panel:
    import numpy as np

    numbers, names = artifact.numbers, artifact.numbers["labels"]
    index = {entry["index"]: place for place, entry in enumerate(names)}
    places = np.vectorize(index.__getitem__, otypes=[float])(artifact.arrays["label"])  # R C
    return _by_place(
        "label",
        places,
        numbers,
        title="Most probable class",
        caption=f"What the net takes the photo for with {_patch(numbers)} on each place; untouched it says "
        f"{numbers['untouched']}. Each square stands where the middle of the patch was; at {numbers['flips']:.0%} of "
        "the places another class wins.",
        alt=f"Map of the most probable class by place of the patch: {len(names)} in all, mostly {names[0]['name']}; "
        f"the class changes at {numbers['flips']:.0%} of the places.",
        scale="none",
        categories=tuple(entry["name"] for entry in names),
    )


def _feature_sum(artifact: Artifact) -> Panel:
    numbers, own = artifact.numbers, artifact.arrays["feature_sum"]
    unit = f"unit {numbers['unit']} of {numbers['layer']}"
    share = float(own.min() / own.max()) if own.max() > 0 else 0.0
    return _by_place(
        "feature_sum",
        own,
        numbers,
        title=f"Unit {numbers['unit']} of {numbers['stage']}",
        caption=f"The activation of {unit}, the one with the largest sum over the untouched photo, summed over its "
        "map, with the patch on each place. Dark squares mark what makes the unit fire, from 0 to this map's own 99th "
        "percentile.",
        alt=f"Map of the summed activation of {unit} by place of the patch; its least value is {share:.0%} of its "
        "largest.",
        scale="own",
        signed=bool(own.min() < 0),
        unit="activation, summed",
    )


def _projected(artifact: Artifact) -> Panel:
    import numpy as np

    numbers, own = artifact.numbers, artifact.arrays["projection"]
    unit = f"unit {numbers['unit']}"
    return Panel(
        name="projection",
        kind="grid",
        title=f"Projection of {unit}",
        caption=f"The map of {unit} of {numbers['layer']} on the untouched photo, projected back to the pixels by the "
        "deconvnet. Its pattern is what the unit answers to; grey is zero, and the tile has its own scale.",
        alt=f"The photo and the deconvnet projection of the strongest map, {unit} of {numbers['layer']}; "
        f"{wording.brightest(abs(own).max(axis=0))}.",
        values=own[None, None],  # 1 1 3 S S
        scale="tile",
        signed=True,
        unit="activation per input",
        boxes=np.array([(0, 0, numbers["size"], numbers["size"])]),
        row_labels=(unit,),
        columns=("deconvnet",),
    )


METHOD = Method(
    name="occlusion",
    title="Occlusion",
    caption="What the net loses when a part of the picture is covered.",
    citation="zeiler2014",
    scope="image",
    version=1,
    params=Params,
    run=run,
    panels=panels,
    arrays={
        **dict.fromkeys(("probability", "logit", "feature_sum", "label"), "R x C"),
        "map": "H x W",
        "projection": "3 x H x W",
    },
    uses=("prediction",),
    tiny={"patch": 16, "stride": 12},
)
