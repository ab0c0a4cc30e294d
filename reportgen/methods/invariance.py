"""How far a layer's features, and the answer, move when the picture is shifted, enlarged or turned.

One sees how soon a layer takes the same thing elsewhere, larger or turned for something new: early layers within a few
pixels, late ones slowly. The probability of the class beside it tells whether that mattered to the answer. What one
cannot tell is whether the net learned this or its pooling gives it; and one picture is no law.

After Zeiler and Fergus (2014, Fig. 5): the Euclidean distance $\\lVert f(Tx) - f(x) \\rVert$ between a layer's whole
value for the transformed and for the untouched picture. So that layers and nets share an axis it is divided by the
median distance between unrelated pictures, over all pairs of eight photos that ship with scikit-image, scikit-learn and
matplotlib (an astronaut, a cat, a cup, a rocket, a motorcycle, a temple, a flower, a portrait): at 1 the features have
moved as far as to another picture. The eight are the same in every report: one divisor per net and layer.

The transform acts on what the net sees. A shift is a share of its side, rounded to whole pixels (positive: down); a
scale and a counter-clockwise turn go about the middle with bilinear interpolation, which blurs a little. What enters
from outside is `fill`: by default the picture mirrored, because a plain border would be an edge that the photo does not
have. Untransformed, the distance is 0 exactly. Checked in double precision against a loop over single pictures on
AlexNet, VGG-16, GoogLeNet, ResNet-50 and SqueezeNet, and on a net that only sums colours: no quarter turn moves it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

from reportgen import images
from reportgen.errors import MethodError, nearest
from reportgen.records import Artifact, Input, Method, Net, Panel, Picture, Preprocess
from reportgen.spread import evenly
from reportgen.targets import resolve_target
from reportgen.transform import KINDS, Kind, as_input

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

UNRELATED = (
    *("skimage:astronaut", "skimage:chelsea", "skimage:coffee", "skimage:rocket", "skimage:motorcycle_left"),
    *("sklearn:china", "sklearn:flower", "matplotlib:grace_hopper"),
)
FILLS = {"reflect": "the picture mirrored", "edge": "its edge again", "mean": "plain mean colour", "black": "black"}
TILES = 7  # of the strip


@dataclass(frozen=True)
class Params:
    """What is done to the picture, how far, and which layer and class are followed."""

    target: str | int = field(
        default="predicted", metadata={"doc": "predicted, label (the picture's own), or the name or index of a class"}
    )
    transform: Literal["translation", "scale", "rotation"] = field(
        default="translation", metadata={"doc": "translation (vertical), scale or rotation"}
    )
    layer: str = field(default="last_conv", metadata={"doc": "a stage, an alias or a module path"})
    values: tuple[float, ...] | None = field(
        default=None,
        metadata={
            "doc": "shares of the input's side, scales, or degrees; by default -0.27 to 0.27 in 25 steps (5 pixels of "
            "224 each), 1 to 1.8 in 17, 0 to 350 in 36"
        },
    )
    fill: Literal["reflect", "edge", "mean", "black"] = field(
        default="reflect",
        metadata={"doc": "what enters from outside: the picture mirrored, its edge again, the data set's mean, black"},
    )

    def __post_init__(self) -> None:
        """Fill in the transform's own values, ascending; refuse what is none."""
        if self.transform not in KINDS:
            raise MethodError(f"transform: there is no {self.transform!r}. {nearest(self.transform, KINDS)}")
        if self.fill not in FILLS:
            raise MethodError(f"fill: there is no {self.fill!r}. {nearest(self.fill, FILLS)}")
        kind = self.kind
        values = tuple(sorted({float(value) for value in (kind.values if self.values is None else self.values)}))
        if not values:
            raise MethodError(f"values: the list is empty; leave it out for those of the {kind.name}.")
        if wrong := [value for value in values if not kind.low <= value <= kind.high]:
            raise MethodError(
                f"values: {wrong[0]:g} is out of range; for a {kind.name} each should be from {kind.low:g} to "
                f"{kind.high:g}."
            )
        object.__setattr__(self, "values", values)

    @property
    def kind(self) -> Kind:
        """The transform itself."""
        return KINDS[self.transform]


def run(net: Net, inputs: Sequence[Input], params: Params, rngs: Sequence[np.random.Generator]) -> list[Artifact]:
    """The untouched pictures in one pass, then all transformed ones in passes over several at once."""
    import numpy as np

    from reportgen import project

    layer, kind, size = net.card.resolve(params.layer).name, params.kind, net.card.preprocess.size
    targets = [resolve_target(params.target, one.used["prediction"], net.classes, one.labels) for one in inputs]
    views = [images.view(one.picture, net.card.preprocess) for one in inputs if one.picture is not None]
    values = [kind.settled(value, size) for value in params.values or ()]
    fill = {"mean": net.card.preprocess.mean, "black": (0.0, 0.0, 0.0)}.get(params.fill, params.fill)
    features, untouched = _pass(net, views, layer)  # N ..., N K
    distances = np.zeros((len(views), len(values)))  # N V; a picture that is left alone has no distance
    probabilities = np.repeat(untouched[:, None], len(values), axis=1)  # N V K
    jobs = [(n, k) for n in range(len(views)) for k, value in enumerate(values) if kind.extent(value) > 0]
    for at in range(0, len(jobs), project.CHUNK):
        n, k = (list(index) for index in zip(*jobs[at : at + project.CHUNK], strict=True))
        moved = [kind.apply(views[i], values[j], fill) for i, j in zip(n, k, strict=True)]
        own, probabilities[n, k] = _pass(net, moved, layer)
        distances[n, k] = _lengths(own - features[n])
    unrelated = _unrelated(net, layer)
    shown = evenly(len(values), TILES)
    return [
        Artifact(
            {
                "values": np.array(values),
                "distance": distances[n] / unrelated,
                "probability": probabilities[n, :, target],
                "pictures": np.stack([kind.apply(view, values[k], fill) for k in shown]).transpose(0, 3, 1, 2),
            },
            {
                "net": net.card.facts.title or net.card.arch,
                "layer": layer,
                "stage": net.card.depth_name(layer),
                "transform": kind.name,
                "unit": kind.axis,
                "fill": params.fill,
                "target": target,
                "target_name": net.classes[target],
                "unrelated": unrelated,
                "unrelated_pictures": list(UNRELATED),
                "shown": [kind.words(values[k]) for k in shown],
                **_numbers(kind, values, distances[n] / unrelated, probabilities[n], untouched[n], target),
            },
        )
        for n, (view, target) in enumerate(zip(views, targets, strict=True))
    ]


def _pass(net: Net, views: Sequence[Picture], layer: str) -> tuple[Tensor, np.ndarray]:
    """A layer's values and the probabilities for at most a chunk of views, from one pass."""
    from reportgen import project

    found = project.forward(net, as_input(net, views), [layer])
    value, logits = project.exact(found[layer]), project.exact(found["logits"])  # B ..., B K
    if not bool(logits.isfinite().all() & value.isfinite().all()):
        raise MethodError(f"The net gives NaN or infinity in {layer} or after it: its weights or values overflow.")
    return value, project.to_numpy(logits.softmax(1))


def _lengths(difference: Tensor) -> np.ndarray:
    """The Euclidean length of each picture's difference, B."""
    found: np.ndarray = difference.flatten(1).norm(dim=1).cpu().numpy()
    return found


_known: WeakKeyDictionary[Any, dict[str, float]] = WeakKeyDictionary()  # module -> layer -> distance


def _unrelated(net: Net, layer: str) -> float:
    """The median distance between unrelated pictures in a layer; kept as long as the net is."""
    import numpy as np

    known = _known.setdefault(net.module, {})
    if layer not in known:
        features, _ = _pass(net, _photos(net.card.preprocess), layer)
        pairs = [_lengths(features[n + 1 :] - features[n]) for n in range(len(features) - 1)]
        known[layer] = float(np.median(np.concatenate(pairs)))
    if known[layer] <= 0:
        raise MethodError(f"{layer} gives one value for all unrelated pictures: there is no distance to measure by.")
    return known[layer]


@lru_cache(maxsize=4)  # decoding them takes longer than a pass of a small net
def _photos(preprocess: Preprocess) -> tuple[Picture, ...]:
    return tuple(images.view(images.load_image(source), preprocess) for source in UNRELATED)


def _numbers(
    kind: Kind,
    values: Sequence[float],
    distance: np.ndarray,
    probabilities: np.ndarray,
    untouched: np.ndarray,
    target: int,
) -> dict[str, Any]:
    """How much the features and the answer move, and up to where the class keeps half of its probability."""
    extents = [kind.extent(value) for value in values]
    lost = [e for e, own in zip(extents, probabilities, strict=True) if own[target] < untouched[target] / 2]
    held = max((extent for extent in extents if extent < min(lost, default=float("inf"))), default=0.0)
    everywhere = f"keeps half of it up to {kind.extent_words(held)}" if lost else "keeps half of it or more throughout"
    return {
        "untouched": float(untouched[target]),
        "lowest": float(probabilities[:, target].min()),
        "mean_distance": float(distance.mean()),
        "largest_distance": float(distance.max()),
        "holds": held,  # so far, either way, at least half of the untouched probability is left
        "finding": everywhere,
        "same_answer": float((probabilities.argmax(axis=1) == untouched.argmax()).mean()),  # share of the values
    }


def panels(artifact: Artifact) -> list[Panel]:
    """Distance and probability against the transform, all nets in one plot each, and a strip of the pictures."""
    arrays, numbers = artifact.arrays, artifact.numbers
    moved, border = numbers["transform"], f"What enters at the border is {FILLS[numbers['fill']]}."
    if moved == "scale" and arrays["values"].min() >= 1:
        border = "Nothing enters at the border."
    found = f"{numbers['target_name']} has {numbers['untouched']:.0%} untouched and {numbers['finding']}"
    common: dict[str, Any] = {"kind": "curves", "x": arrays["values"], "columns": (numbers["unit"],), "joint": True}
    return [
        Panel(
            name="distance",
            title=f"Features under {moved}",
            caption="How far the layer's features move away from those of the untouched picture. At 1 they have moved "
            f"as far as unrelated photos lie apart (median), so nets share the axis. {border}",
            alt=f"Lines of the feature distance against {moved}; for {numbers['net']} at {numbers['stage']} it is "
            f"{numbers['mean_distance']:.2f} on average and {numbers['largest_distance']:.2f} at most.",
            values=arrays["distance"][None],  # 1 V
            scale="shared",
            unit="distance / unrelated photos",
            featured=True,
            **common,
        ),
        Panel(
            name="probability",
            title=f"The answer under {moved}",
            caption="The probability of the class followed, while the picture is transformed. The axis runs from 0 to "
            f"1; a flat line means that the answer does not mind. {border}",
            alt=f"Lines of the class probability against {moved}; for {numbers['net']}, {found}.",
            values=arrays["probability"][None],  # 1 V
            scale="fixed",
            limits=(0.0, 1.0),
            unit="probability of the class",
            row_labels=(numbers["target_name"],),
            **common,
        ),
        _strip(arrays["pictures"], numbers["shown"], moved, border, found),
    ]


def _strip(pictures: np.ndarray, words: Sequence[str], moved: str, border: str, found: str) -> Panel:
    return Panel(
        name="pictures",
        kind="grid",
        title=f"The picture under {moved}",
        caption=f"What the net was given, for {len(words)} of the values, from left to right: {', '.join(words)}. "
        f"{border}",
        alt=f"A strip of {len(words)} pictures under {moved}, from {words[0]} to {words[-1]}; {found}.",
        values=pictures[None],  # 1 T 3 S S
        scale="none",
        columns=tuple(words),
    )


METHOD = Method(
    name="invariance",
    title="Invariance",
    caption="How far a layer's features and the answer move when the picture is shifted, enlarged or turned.",
    citation="zeiler2014",
    scope="image",
    version=1,
    params=Params,
    run=run,
    panels=panels,
    arrays={"values": "V", "distance": "V", "probability": "V", "pictures": "T x 3 x S x S"},
    uses=("prediction",),
    tiny={"transform": "rotation", "layer": "last_conv", "values": (0.0, 45.0, 90.0)},
)
