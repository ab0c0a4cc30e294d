"""Do maps that explain a class point at the object? Scores against masks, beside maps that cannot know it.

Each attribution method's map is held against the mask of the object, for the object's own class where the net knows it,
else for the predicted one. **Pointing game** (Zhang et al. 2016): does the largest value lie in the mask? **Energy**:
the share of what is positive in the map that lies in the mask. **IoU**: overlap of the mask with as many pixels, those
of the largest values. The ideal map has 1 in each. Base lines, which a map must beat before it may be called an
explanation: the masks' share of the picture, a random map, the mere nearness to the centre, where photographers put
things, and the same method on the same net with random weights (Adebayo et al. 2018).

What one cannot tell is whether a map is true. A net that looks at the water to know a boat is shown truly by a map
that misses the boat, and scores badly; an edge detector that knows no class scores well where only the object has
edges. Maps are as the methods give them: gradients are grainy, a Grad-CAM is coarse, and a pointing game is kind to
coarse maps. One draw of random weights stands for all; `seed` draws others. Errors are standard errors over pictures.

The scores equal sums by hand: 1 for the mask itself, the mask's share for a flat map, and for a random one within three
standard errors of it. The maps equal those of the methods to one part in a million.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reportgen import attribution, images, localizing, palettes
from reportgen.attribution import UNTRAINED, Effort, label
from reportgen.errors import MethodError
from reportgen.records import Artifact, Method, Net, Panel, Scan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from reportgen.examples import Batch, Dataset, Partial

SHOWN = (*attribution.METHODS, "untrained:saliency", "untrained:guided", "untrained:grad_cam")
TITLES = {"pointing": "pointing game", "energy": "energy in the mask", "iou": "IoU at the mask's size"}


@dataclass(frozen=True)
class Params:
    """Which maps are scored, for which class, and how."""

    methods: tuple[str, ...] = field(
        default=(
            *attribution.METHODS,
            *attribution.BLIND,
            "untrained:saliency",
            "untrained:guided",
            "untrained:grad_cam",
        ),
        metadata={"doc": f"{', '.join(attribution.NAMES[:8])}, or untrained: and one of the first six"},
    )
    target: str = field(
        default="label", metadata={"doc": "label (predicted where the net does not know the class) or predicted"}
    )
    tolerance: int = field(default=0, metadata={"doc": "pixels that the pointing game may be off the mask"})
    samples: int = field(default=8, metadata={"doc": "noisy copies of smoothgrad; each costs one gradient"})
    steps: int = field(default=16, metadata={"doc": "points of integrated gradients; each costs one gradient"})
    seed: int = field(default=0, metadata={"doc": "of the random weights of untrained nets"})
    examples: int = field(default=5, metadata={"doc": "pictures that are shown with their maps"})

    def __post_init__(self) -> None:
        """Bring the names into their one form, refuse what means nothing."""
        object.__setattr__(self, "methods", attribution.checked_names(self.methods, "methods"))
        if self.target not in ("label", "predicted"):
            raise MethodError(
                f"target: {self.target!r} is no class of every picture. Right would be label or predicted."
            )
        for name, least in (("tolerance", 0), ("samples", 1), ("steps", 1), ("examples", 1)):
            if getattr(self, name) < least:
                raise MethodError(f"{name}: {getattr(self, name)} is too few. Right would be {least} or more.")


def chunk(net: Net, batch: Batch, params: Params) -> Partial:
    """The scores of each map on each picture with an object in view, N M 3; NaN where a net cannot have the map."""
    import numpy as np

    targets, agrees = attribution.targets_of(batch, params.target)
    masks = [_mask(net, example, place) for example, place in zip(batch.examples, batch.places, strict=True)]
    kept = [n for n, mask in enumerate(masks) if mask.any() and not mask.all()]
    scored = np.full((len(kept), len(params.methods), len(localizing.SCORES)), np.nan)  # N M 3
    if kept:
        given = [targets[n] for n in kept], params.methods, [batch.rngs[n] for n in kept], _effort(params)
        found, _ = attribution.maps(net, batch.x[kept], *given)
        for m, name in enumerate(params.methods):
            for n, own in enumerate(found.get(name, ())):
                scored[n, m] = localizing.scores(own, masks[kept[n]], params.tolerance)
    return {
        "scores": scored,
        "area": np.array([masks[n].mean() for n in kept]),
        "places": np.array([batch.places[n] for n in kept], dtype=np.int64),
        "targets": np.array([targets[n] for n in kept], dtype=np.int64),
        "agrees": agrees[kept],
        "known": np.array([batch.targets[n] >= 0 for n in kept], dtype=bool),
    }


def _mask(net: Net, example: Any, place: int) -> NDArray[np.bool_]:
    """The mask as the net sees it, S S."""
    if example.mask is None or example.mask.shape != example.picture.shape[:2]:
        has = "no mask" if example.mask is None else f"a mask of {' x '.join(map(str, example.mask.shape))}"
        size = " x ".join(map(str, example.picture.shape[:2]))
        raise MethodError(f"Picture {place + 1} of the set ({size} pixels) has {has}; one of the same size is wanted.")
    return images.view_mask(example.mask, net.card.preprocess)


def _effort(params: Params) -> Effort:
    return Effort(params.samples, steps=params.steps, seed=params.seed)


def finish(net: Net, data: Dataset, partial: Partial, params: Params, rng: np.random.Generator) -> Artifact:
    """Means over pictures and classes, differences to the base lines, and some pictures with their maps."""
    places, area = partial["places"], partial["area"]
    if not len(places):
        raise MethodError(f"No object of {data.name} has both itself and its surroundings in the net's view.")
    labels = [data.labels[place] for place in places]
    chosen = localizing.spread(labels, params.examples, rng)
    maps, shown, left_out = _shown(net, data, partial, chosen, params, rng)
    rows = [m for m, name in enumerate(params.methods) if name not in left_out]
    names = [params.methods[m] for m in rows]
    scores = partial["scores"][:, rows].transpose(2, 1, 0)  # 3 M N
    if not names:
        raise MethodError(f"None of the maps asked for can be had of {net.card.arch}: {next(iter(left_out.values()))}")
    numbers = {
        "methods": names,
        "left_out": left_out,
        "scores": {name: localizing.summary(scores[:, m], labels) for m, name in enumerate(names)},
        "beats": _beats(names, scores),
        "area": localizing.mean_and_error(area),
        **attribution.own_classes(partial["known"], partial["agrees"], params.target),
        "target": params.target,
        "tolerance": params.tolerance,
        "examples": [data.names[places[n]] for n in chosen],
        "example_classes": [net.classes[partial["targets"][n]] for n in chosen],
        "scored": len(places),
    }
    arrays = dict(zip(localizing.SCORES, scores, strict=True)) | {"area": area, "places": places}
    return Artifact({**arrays, "targets": partial["targets"], "maps": maps, **shown}, numbers)


def _shown(
    net: Net, data: Dataset, partial: Partial, chosen: Sequence[int], params: Params, rng: np.random.Generator
) -> tuple[NDArray[np.float32], dict[str, Any], dict[str, str]]:
    """The maps of some pictures (E M S S), the pictures and masks themselves, and which maps this net cannot have."""
    import numpy as np

    examples = [data.load(int(partial["places"][n])) for n in chosen]
    masks = [_mask(net, example, int(partial["places"][n])) for example, n in zip(examples, chosen, strict=True)]
    x = net.preprocess([example.picture for example in examples])  # E 3 S S
    targets = [int(partial["targets"][n]) for n in chosen]
    found, left_out = attribution.maps(net, x, targets, params.methods, rng.spawn(len(chosen)), _effort(params))
    views = [images.view(example.picture, net.card.preprocess) for example in examples]
    maps = np.stack(list(found.values()), axis=1) if found else np.zeros((len(chosen), 0, *x.shape[2:]), np.float32)
    return maps, {"pictures": np.stack(views), "masks": np.stack(masks)}, left_out


def _beats(names: Sequence[str], scores: NDArray[Any]) -> dict[str, dict[str, Any]]:
    """By how much each method (3 M N) beats each of its base lines on the same pictures."""
    found = {}
    for m, name in enumerate(names):
        bases = [base for base in (f"{UNTRAINED}{name}", *attribution.BLIND) if base in names]
        if name in attribution.METHODS and bases:
            found[name] = {base: localizing.summary(scores[:, m] - scores[:, names.index(base)]) for base in bases}
    return found


def panels(artifact: Artifact) -> list[Panel]:
    """Pictures with their maps, the table of scores, and two of them as bars."""
    return [
        _sheet(artifact),
        _table(artifact.numbers),
        *(_bars(artifact.numbers, score) for score in ("energy", "pointing")),
    ]


def _sheet(artifact: Artifact) -> Panel:
    import numpy as np

    arrays, numbers = artifact.arrays, artifact.numbers
    columns = [m for m, name in enumerate(numbers["methods"]) if name in SHOWN] or list(range(len(numbers["methods"])))
    width = max(1, arrays["masks"].shape[-1] // 96)
    rows = []
    for picture, mask, maps in zip(arrays["pictures"], arrays["masks"], arrays["maps"], strict=True):
        drawn = [picture, *(_coloured(maps[m]) for m in columns)]
        edge = localizing.outline(mask, width)[:, :, None]  # S S 1
        rows.append([np.where(edge, palettes.rgb(palettes.MODEL_COLORS[4]), own).transpose(2, 0, 1) for own in drawn])
    names = [label(numbers["methods"][m]) for m in columns]
    return Panel(
        name="maps",
        kind="grid",
        title="Maps and masks",
        caption=f"{len(rows)} pictures, not chosen for what is on them, each with the maps that explain the class "
        "beside it; the line is the edge of the object's mask. Bright is strong, every map by its own 99th percentile, "
        "so that places can be compared and strengths cannot; untrained is the same net with random weights.",
        alt=f"Sheet of {len(rows)} pictures by {len(names)} attribution maps ({', '.join(names[:3])} and more), the "
        "mask's outline drawn over each.",
        values=np.array(rows, dtype=np.float32),  # E M+1 3 S S
        scale="none",
        row_labels=tuple(name.partition(",")[0] for name in numbers["example_classes"]),
        columns=("picture", *names),
        featured=True,
    )


def _coloured(values: NDArray[Any]) -> NDArray[Any]:
    """A map in colours 0..1, from zero to its 99th percentile: S S 3."""
    import numpy as np

    top = float(np.percentile(values, 99))
    low, high = 0.0, top if top > 0 else float(max(values.max(), 1e-30))
    return palettes.colorize(values, low, high, palettes.colormap(palettes.ONE_SIDED)) / 255


def _table(numbers: Mapping[str, Any]) -> Panel:
    area, names = numbers["area"][0], numbers["methods"]
    rows = [
        (label(name), *(_pair(numbers["scores"][name][score]) for score in localizing.SCORES), _gain(numbers, name))
        for name in names
    ]
    best = max(names, key=lambda name: numbers["scores"][name]["energy"][0])
    tolerance = f" (up to {numbers['tolerance']} pixels off)" if numbers["tolerance"] else ""
    own = f"for its own class where the net knows it ({numbers['by_label']} of {numbers['scored']}), else "
    missing = ", ".join(label(name) for name in numbers["left_out"])
    return Panel(
        name="scores",
        kind="table",
        title="Do the maps find the object?",
        caption=f"How often the largest value lies in the mask{tolerance}, which share of the map's energy does, and "
        f"how far the strongest pixels overlap with it, each picture {own if numbers['target'] == 'label' else ''}for "
        f"the predicted class. A map that knows nothing gets {area:.1%} in the first two, the masks' share of the "
        "pictures; the last column is the energy beyond that of the same net with random weights, and ± is the "
        "standard error. A map that misses the object can still be true, where the net looks elsewhere."
        + (f" Not to be had of this net: {missing}." if missing else ""),
        alt=f"Table of {len(names)} maps by three scores; {label(best)} has most of its energy in the mask, "
        f"{numbers['scores'][best]['energy'][0]:.0%}, where masks cover {area:.0%}.",
        scale="none",
        columns=("map", *TITLES.values(), "beyond random weights"),
        rows=(*rows, ("masks' share", f"{area:.3f}", f"{area:.3f}", f"{area / (2 - area):.3f}", "")),
    )


def _gain(numbers: Mapping[str, Any], name: str) -> str:
    known = numbers["beats"].get(name, {}).get(f"{UNTRAINED}{name}")
    return _pair(known["energy"], signed=True) if known else ""


def _pair(value: Sequence[float | None], signed: bool = False) -> str:
    mean, error = value
    text = f"{mean:+.3f}" if signed else f"{mean:.3f}"
    return (text if error is None else f"{text} ± {error:.3f}").replace("-", "−")


def _bars(numbers: Mapping[str, Any], score: str) -> Panel:
    import numpy as np

    names, area = numbers["methods"], numbers["area"][0]
    values = np.array([numbers["scores"][name][score][0] for name in names] + [area])
    best = names[int(values[:-1].argmax())]
    what = {"energy": "share of the map's energy", "pointing": "share of pictures whose strongest pixel lies"}[score]
    return Panel(
        name=score,
        kind="bars",
        title=TITLES[score].capitalize(),
        caption=f"The {what} inside the object's mask, as the mean over {numbers['scored']} pictures; untr. is the "
        "same net with random weights. A map whose bar is no longer than the masks' share, the centre's and its "
        "untrained twin's says nothing about the object.",
        alt=f"Bars of the {TITLES[score]} for {len(names)} maps: {label(best)} has the most, {values.max():.0%}; the "
        f"masks cover {area:.0%} of the pictures.",
        values=values,
        scale="shared",
        unit="share",
        row_labels=(*(label(name, short=True) for name in names), "masks' share"),
    )


METHOD = Method(
    name="localization",
    title="Localization",
    caption="Whether attribution maps point at the object, beside maps that cannot know it.",
    citation="zhang2016",
    scope="dataset",
    version=1,
    params=Params,
    panels=panels,
    arrays=dict.fromkeys(localizing.SCORES, "M x N")
    | dict.fromkeys(("area", "places", "targets"), "N")
    | {"maps": "E x M x H x W", "pictures": "E x H x W x 3", "masks": "E x H x W"},
    scan=Scan(chunk, finish, layers=lambda net, params: ["logits"]),
    needs=frozenset({"gradient", "masks"}),
    tiny={"samples": 2, "steps": 2, "examples": 2},
)
