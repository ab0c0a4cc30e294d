"""Do maps that explain a class name the pixels the class hangs on? Taken away, and put back, strongest first.

**Deletion** takes pixels away from the picture in the order of a map, strongest first, and sets them to the mean
colour; **insertion** puts them back onto a blurred copy of the picture. A map that names what the class hangs on makes
the probability fall soon in the one and rise soon in the other. The area under each curve is divided by that of a
random order of the same pixels: below 1 is better than chance for deletion, above 1 for insertion. Ratios can be
compared between nets; bare areas hang on how sure a net is of itself (Petsiuk et al. 2018, who take the areas alone).

No mask is needed: the net itself is the judge, so that a true map of a net that looks at the wrong thing scores well.
What one cannot tell is what the net would do with real pictures that lack something. Pictures with holes are none of
those it was trained on; a scatter of single pixels (the grainy maps of gradients) disturbs a net in another way than
the loss of a region does, and the two tests often rank maps differently.

The curve of pixels $p_1, p_2, ...$ has `steps` + 1 points at equal numbers of pixels; its area is taken by trapezoids.
Equal values are put in a random order. The random order's curve is the mean of two. On a linear net, where the shares
of the pixels are known, the curves equal sums by hand and no order beats that of integrated gradients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reportgen import attribution, localizing, removing
from reportgen.attribution import Effort, label
from reportgen.errors import MethodError
from reportgen.records import Artifact, Method, Net, Panel, Scan

if TYPE_CHECKING:
    import numpy as np

    from reportgen.examples import Batch, Dataset, Partial

TESTS = ("deletion", "insertion")
RANDOM = "random"
DRAWS = 2  # random orders per picture
MOST_LINES = 6  # of one plot


@dataclass(frozen=True)
class Params:
    """Which maps are tested, for which class, and how."""

    methods: tuple[str, ...] = field(
        default=("saliency", "integrated_gradients", "guided", "grad_cam", "centre"),
        metadata={"doc": f"{', '.join(attribution.NAMES[:7])}, or untrained: and one of the first six"},
    )
    target: str = field(
        default="label", metadata={"doc": "label (predicted where the net does not know the class) or predicted"}
    )
    steps: int = field(default=16, metadata={"doc": "steps of each curve; each costs two passes per map and picture"})
    blur: float = field(
        default=0.05, metadata={"doc": "standard deviation of the blur that insertion begins with, share of the side"}
    )
    samples: int = field(default=8, metadata={"doc": "noisy copies of smoothgrad; each costs one gradient"})
    points: int = field(default=16, metadata={"doc": "points of integrated gradients; each costs one gradient"})
    seed: int = field(default=0, metadata={"doc": "of the random weights of untrained nets"})

    def __post_init__(self) -> None:
        """Bring the names into their one form, refuse what means nothing."""
        names = attribution.checked_names(self.methods, "methods")
        if RANDOM in names:
            raise MethodError("methods: a random order is always taken, for the others to be divided by; leave it out.")
        object.__setattr__(self, "methods", names)
        object.__setattr__(self, "blur", float(self.blur))
        if self.target not in ("label", "predicted"):
            raise MethodError(
                f"target: {self.target!r} is no class of every picture. Right would be label or predicted."
            )
        for name in ("steps", "samples", "points"):
            if getattr(self, name) < 1:
                raise MethodError(f"{name}: {getattr(self, name)} is too few. Right would be 1 or more.")
        if not 0 < self.blur <= 0.25:
            raise MethodError(f"blur: {self.blur} of the side is out of range. Right would be above 0 up to 0.25.")


def chunk(net: Net, batch: Batch, params: Params) -> Partial:
    """Both curves of each picture and map, and last of the random order, N M+1 P; NaN where there can be no map."""
    import numpy as np

    targets, agrees = attribution.targets_of(batch, params.target)
    found, _ = attribution.maps(net, batch.x, targets, params.methods, batch.rngs, _effort(params))
    side = batch.x.shape[-1]
    draws = [rng.random((DRAWS, side * side)) for rng in batch.rngs]
    blank, soft = batch.x * 0, removing.blurred(batch.x, params.blur * side)  # N 3 S S both
    ways = {"deletion": (batch.x, blank), "insertion": (soft, batch.x)}
    curves = {test: np.full((len(targets), len(params.methods) + 1, params.steps + 1), np.nan) for test in TESTS}
    for test, (begin, end) in ways.items():
        first, last = (removing.probabilities(net, x, targets) for x in (begin, end))  # N
        for m, name in enumerate(params.methods):
            if name in found:
                ranks = np.stack(
                    [removing.ranks_of(own, draw[0]) for own, draw in zip(found[name], draws, strict=True)]
                )  # N S S
                curves[test][:, m] = removing.curve(net, begin, end, ranks, targets, first, last, params.steps)
        for k in range(DRAWS):
            ranks = np.stack([removing.ranks_of(np.zeros((side, side)), draw[k]) for draw in draws])
            own = removing.curve(net, begin, end, ranks, targets, first, last, params.steps)
            curves[test][:, -1] = own if k == 0 else curves[test][:, -1] + own
        curves[test][:, -1] /= DRAWS
    places = np.array(batch.places, dtype=np.int64)
    known = np.array([target >= 0 for target in batch.targets], dtype=bool)
    return {**curves, "places": places, "targets": np.array(targets, np.int64), "agrees": agrees, "known": known}


def _effort(params: Params) -> Effort:
    return Effort(params.samples, steps=params.points, seed=params.seed)


def finish(net: Net, data: Dataset, partial: Partial, params: Params, rng: np.random.Generator) -> Artifact:
    """Areas under the curves, and their ratios to the random order's."""
    import numpy as np

    had = [m for m in range(len(params.methods)) if np.isfinite(partial["deletion"][:, m]).all()]
    names = [*(params.methods[m] for m in had), RANDOM]
    lacking = [name for name in params.methods if name not in names]
    blank = net.preprocess([np.zeros((1, 1, 3), np.float32)])  # asked again for the reasons
    _, left_out = attribution.maps(net, blank, [0], lacking, [rng], _effort(params))
    curves = {test: partial[test][:, [*had, -1]].swapaxes(0, 1) for test in TESTS}  # M N P
    areas = {test: removing.area(curve) for test, curve in curves.items()}  # M N
    scores: dict[str, dict[str, Any]] = {name: {} for name in names}
    for test, area in areas.items():
        for m, name in enumerate(names):
            scores[name][test] = localizing.mean_and_error(area[m])
            scores[name][f"{test}_ratio"] = localizing.ratio_and_error(area[m], area[-1])
    numbers = {
        "methods": names,
        "left_out": left_out,
        "scores": scores,
        "begin": {test: float(curves[test][-1, :, 0].mean()) for test in TESTS},
        "end": {test: float(curves[test][-1, :, -1].mean()) for test in TESTS},
        **attribution.own_classes(partial["known"], partial["agrees"], params.target),
        "target": params.target,
        "steps": params.steps,
        "blur": params.blur,
    }
    return Artifact({**curves, "places": partial["places"], "targets": partial["targets"]}, numbers)


def panels(artifact: Artifact) -> list[Panel]:
    """Both sets of curves, and the ratios of their areas."""
    return [_ratios(artifact.numbers, len(artifact.arrays["places"])), *(_curves(artifact, test) for test in TESTS)]


def _curves(artifact: Artifact, test: str) -> Panel:
    import numpy as np

    numbers, values = artifact.numbers, artifact.arrays[test].mean(axis=1)  # M P
    names, count = numbers["methods"], len(artifact.arrays["places"])
    shown = [*range(len(names) - 1)[: MOST_LINES - 1], len(names) - 1]
    falls = test == "deletion"
    best = _best(numbers, test)
    how = (
        "are taken away, strongest first; the sooner a curve falls"
        if falls
        else ("are put onto a blurred picture, strongest first; the sooner a curve rises")
    )
    return Panel(
        name=test,
        kind="curves",
        title=test.capitalize(),
        caption=f"The mean probability of the class over {count} pictures, while pixels {how}, the "
        "better the map names what this net uses. Compare each with the random order, not with other nets: "
        "pictures with holes are none that it was trained on.",
        alt=f"Curves of the class's probability under {test} for {len(shown)} orders of pixels; {label(best)} has "
        f"{_times(numbers['scores'][best][f'{test}_ratio'][0])} the area of a random order.",
        values=values[shown],
        x=np.linspace(0, 100, values.shape[1]),
        scale="shared",
        unit="probability",
        row_labels=tuple(_order(names[m], short=True) for m in shown),
        columns=(f"pixels {'taken away' if falls else 'put back'}, %",),
        featured=falls,
    )


def _best(numbers: Mapping[str, Any], test: str) -> str:
    """The map that does best against a random order; the random order itself where nothing else is known."""
    names = [name for name in numbers["methods"] if numbers["scores"][name][f"{test}_ratio"][0] is not None]
    sign = 1 if test == "deletion" else -1
    ranked: list[str] = sorted(names, key=lambda name: sign * numbers["scores"][name][f"{test}_ratio"][0])
    return next((name for name in ranked if name != RANDOM), RANDOM)


def _ratios(numbers: Mapping[str, Any], count: int) -> Panel:
    best = _best(numbers, "deletion")
    rows = [
        (_order(name), *(_pair(numbers["scores"][name][f"{test}{kind}"]) for test in TESTS for kind in ("", "_ratio")))
        for name in numbers["methods"]
    ]
    return Panel(
        name="areas",
        kind="table",
        title="Do the maps name what the net uses?",
        caption=f"The areas under the deletion and the insertion curve over {count} pictures, and their ratios to a "
        "random order's, with standard errors. Below 1 is better than chance for deletion, above 1 for insertion; the "
        "two need not agree, as scattered pixels and whole regions disturb a net in different ways.",
        alt=f"Table of {len(rows)} orders of pixels by the areas of deletion and insertion; {label(best)} has "
        f"{_times(numbers['scores'][best]['deletion_ratio'][0])} the deletion area of a random order.",
        scale="none",
        columns=("order", "deletion", "of random", "insertion", "of random"),
        rows=tuple(rows),
    )


def _order(name: str, short: bool = False) -> str:
    return "random order" if name == RANDOM else label(name, short)


def _times(ratio: float | None) -> str:
    return "an unknown multiple of" if ratio is None else f"{ratio:.2f} times"


def _pair(value: Sequence[float | None]) -> str:
    mean, error = value
    return "–" if mean is None else f"{mean:.3f}" if error is None else f"{mean:.3f} ± {error:.3f}"


METHOD = Method(
    name="faithfulness",
    title="Faithfulness",
    caption="Whether the pixels that a map calls important are those whose loss the class feels.",
    citation="petsiuk2018",
    scope="dataset",
    version=1,
    params=Params,
    panels=panels,
    arrays=dict.fromkeys(TESTS, "M x N x P") | dict.fromkeys(("places", "targets"), "N"),
    scan=Scan(chunk, finish, layers=lambda net, params: ["logits"]),
    needs=frozenset({"gradient"}),
    tiny={"methods": ("saliency", "grad_cam", "cam"), "steps": 3},
)
