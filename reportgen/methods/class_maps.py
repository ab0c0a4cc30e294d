"""The maps by which a net without dense layers decides: one per class, whose mean is the class's logit.

One sees what the net itself goes by: where in the picture the true and the predicted class collect their score, for
the most confident right and wrong answers to each class. It is no explanation made afterwards, as Grad-CAM is. What it
cannot tell is whether a place in the map looks at that place of the picture: positions see far around them, often the
whole picture, and nothing in the training asks a map to lie on its object. It needs a net that ends in K maps and their
global average (the encoder-decoder `encdec`, SqueezeNet); Lin et al. (2014) introduced such ends.

For the sheets each map is divided by its own maximum, so that brightness does not say which class wins. Three things
are counted over all pictures whose class the net knows. **Own patterns**: the mean correlation between the maps of
two pictures' true classes, for pairs within a class and pairs of two classes; a class with a pattern of its own is more
like itself than like others, whatever the reason: its objects' place and size count too, and where the net started
from random weights, so do these. What all maps share, such as the fainter border that padding leaves, raises both
means; only their difference is a pattern. At most `limit` pictures, spread evenly over the set, take part, and maps
that are even everywhere do not. **Sharpness**: the share of the predicted class's map that lies in its strongest
quarter of positions, from a quarter (even) to 1. **Wrong answers**: the area under the ROC curve,
$P(s > t) + \\frac{1}{2} P(s = t)$, for the score $s$ of a right and $t$ of a wrong answer, which is the confidence or
the sharpness: 0.5 is chance, 1 is perfect, less than 0.5 means that wrong answers score higher.

In `patterns` rows and columns are `pattern_classes`; `shown_maps` holds the map of the true class, then that of the
strongest other one, raw. Checked against loops over pairs of maps, scikit-learn's ROC area and SciPy's rank
correlation, and by exchanging one class's weights, which changes no other class's map.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reportgen import map_panels, mapping, patterns, scoring, wording
from reportgen.errors import MethodError, NotApplicable
from reportgen.records import Artifact, Method, Net, Panel, Scan
from reportgen.spread import evenly

if TYPE_CHECKING:
    import numpy as np

    from reportgen.examples import Batch, Dataset, Partial

MOST_CLASSES, MOST_EXAMPLES = 32, 6
MOST_FIRST = 6  # classes on the first sheet


@dataclass(frozen=True)
class Params:
    """What is shown, and how many maps are compared."""

    classes: int = field(
        default=16, metadata={"doc": f"so many classes have a sheet, those of most pictures; 1 to {MOST_CLASSES}"}
    )
    examples: int = field(
        default=3, metadata={"doc": f"right answers on each sheet, and as many wrong ones; 1 to {MOST_EXAMPLES}"}
    )
    limit: int = field(
        default=2000, metadata={"doc": "maps of at most so many pictures are compared, spread evenly; 2 to 20000"}
    )

    def __post_init__(self) -> None:
        """Refuse numbers that are none."""
        for name, low, high in (("classes", 1, MOST_CLASSES), ("examples", 1, MOST_EXAMPLES), ("limit", 2, 20000)):
            if not low <= getattr(self, name) <= high:
                raise MethodError(f"{name}: {getattr(self, name)} is out of range; right would be {low} to {high}.")


def layers(net: Net, params: Params) -> Sequence[str]:
    """The class maps and the logits."""
    found = patterns.map_layer(net.card)
    return ("logits",) if found is None else (found.name, "logits")


def chunk(net: Net, batch: Batch, params: Params) -> Partial:
    """The answers to some pictures, how sharp the answers' maps are, and the maps of the true classes."""
    return mapping.of_batch(net, batch, params.limit)


def finish(net: Net, data: Dataset, partial: Partial, params: Params, rng: np.random.Generator) -> Artifact:
    """The answers counted, the maps compared, the most confident right and wrong answers looked at again."""
    found, known = mapping.joined([partial]), partial["targets"] >= 0
    if not known.any():
        some = ", ".join(wording.short(name) for name in data.classes[:4])
        raise NotApplicable(
            f"{mapping.title(net)} knows none of the classes of {data.name} ({some} ...), so there is no right answer "
            "it could give."
        )
    seen = {name: found[name][known] for name in ("places", "targets", "answers", "confidence", "sharpness")}
    hits = seen["answers"] == seen["targets"][:, None]  # N T
    correct = hits[:, 0]
    alike = patterns.likeness(found["maps"], found["map_targets"])
    shown = mapping.chosen(seen, correct, params.classes, params.examples)
    pictures, maps, told = mapping.looks(net, data, seen, shown)
    numbers = {
        "known": len(correct) / len(known),
        "top5": scoring.share(hits.any(axis=1)),
        **mapping.where(net),
        **_scores(seen["confidence"], seen["sharpness"], correct),
        "sharpness_even": float(patterns.sharpness(found["maps"][:1] * 0)[0]),
        "within": alike.within,
        "between": alike.between,
        "compared": sum(alike.maps),
        "even": len(found["maps"]) - sum(alike.maps),
        "pattern_classes": [wording.short(net.classes[k]) for k in alike.classes],
        "classes": mapping.by_class(net, seen["targets"], correct, alike),
        "shown": told,
    }
    arrays = {
        **seen,
        "correct": correct,
        "patterns": alike.correlations,
        "mean_maps": patterns.mean_maps(found["maps"], found["map_targets"], alike.classes),
        "shown": seen["places"][shown],
        "shown_pictures": pictures,
        "shown_maps": maps,
    }
    return Artifact(arrays, numbers)


def _scores(confidence: np.ndarray, sharp: np.ndarray, correct: np.ndarray) -> dict[str, Any]:
    """Right answers, and what confidence and sharpness have to do with them."""
    return {
        "counted": len(correct),
        "top1": scoring.share(correct),
        "auroc_confidence": patterns.auroc(confidence, correct),
        "auroc_sharpness": patterns.auroc(sharp, correct),
        "sharpness": float(sharp.mean()),
        "sharpness_right": float(sharp[correct].mean()) if correct.any() else None,
        "sharpness_wrong": float(sharp[~correct].mean()) if not correct.all() else None,
        "rank_correlation": patterns.rank_correlation(sharp, confidence),
    }


# -------------------------------------------------------------------------------------------------------------- panels


def panels(artifact: Artifact) -> list[Panel]:
    """A first sheet, the numbers, likeness between classes, sharpness against confidence, a sheet for each class."""
    found = [_first(artifact), map_panels.summary(artifact.numbers), map_panels.likeness(artifact)]
    found += [map_panels.by_class(artifact.numbers), map_panels.lines(artifact)]
    names = list(dict.fromkeys(entry["class"] for entry in artifact.numbers["shown"]))
    sheets = [_sheet(artifact, number, name) for number, name in enumerate(names, 1)]
    return [panel for panel in found if panel is not None] + sheets


def _picture(artifact: Artifact, row: int) -> np.ndarray:
    found: np.ndarray = artifact.arrays["shown_pictures"][row].transpose(2, 0, 1) / 255  # 3 S S
    return found


def _first(artifact: Artifact) -> Panel:
    """One picture of some classes with its class's map, and the class's mean map."""
    import numpy as np

    numbers, told = artifact.numbers, artifact.numbers["shown"]
    firsts = {entry["class"]: row for row, entry in reversed(list(enumerate(told)))}
    rows = sorted(firsts.values())
    rows = [rows[i] for i in evenly(len(rows), MOST_FIRST)]
    tiles, means = [], numbers["pattern_classes"]
    for row in rows:
        picture, places, name = _picture(artifact, row), numbers["map_places"], told[row]["class"]
        nothing = np.full_like(picture, np.nan)
        mean = artifact.arrays["mean_maps"][[means.index(name)]] if name in means else None
        last = nothing if mean is None else map_panels.overlays(mean, places, nothing)[0]
        own = map_panels.overlays(artifact.arrays["shown_maps"][row, :1], places, picture)
        tiles.append([picture, *own, last])
    labels = tuple(f"{told[row]['class']}: {_said(told[row])}" for row in rows)
    height, width = numbers["map_size"]
    wide = "Every position sees the whole picture: where it lies says little about where it looks. "
    wide = wide if numbers["sees_all"] else ""
    return Panel(
        name="maps",
        kind="grid",
        title="The maps that decide",
        caption=f"For {len(rows)} classes the most confident right answer (a wrong one where none is right), the "
        f"{height} x {width} map whose mean is the class's logit, and the mean map of all compared pictures of the "
        "class. Each map is divided by its own maximum, so brightness compares places, not classes. "
        f"{wide}From the top: {'; '.join(labels)}.",
        alt=f"Pictures of {len(rows)} classes, each with its class map and the mean map of its class; the first is "
        f"{told[rows[0]]['class'][:24]}: {_said(told[rows[0]])[:40]}.",
        values=np.array(tiles, dtype=np.float32),
        scale="none",
        row_labels=labels,
        columns=("as the net sees it", "map of its class", "mean map of the class"),
        featured=True,
    )


def _said(entry: Mapping[str, Any]) -> str:
    if entry["right"]:
        return f"right, {entry['probability']:.0%}"
    return f"taken for {entry['other']} {entry['other_probability']:.0%}"


def _sheet(artifact: Artifact, number: int, name: str) -> Panel:
    import numpy as np

    told = artifact.numbers["shown"]
    rows = [row for row, entry in enumerate(told) if entry["class"] == name]
    right = sum(told[row]["right"] for row in rows)
    tiles = []
    for row in rows:
        picture = _picture(artifact, row)
        own = map_panels.overlays(artifact.arrays["shown_maps"][row], artifact.numbers["map_places"], picture)
        tiles.append([picture, *own])
    labels = tuple(
        f"right, {entry['probability']:.0%}, then {entry['other']} {entry['other_probability']:.0%}"
        if entry["right"]
        else f"taken for {entry['other']} {entry['other_probability']:.0%}, {name} {entry['probability']:.0%}"
        for entry in (told[row] for row in rows)
    )
    return Panel(
        name=f"class_{number}",
        kind="grid",
        title=f"Pictures of {name}",
        caption=f"The most confident right answers ({right}) and wrong answers ({len(rows) - right}) to pictures of "
        f"{name}, with the maps of {name} and of the strongest other class: the answer, where it is wrong. Each map is "
        f"divided by its own maximum. From the top: {'; '.join(labels)}.",
        alt=f"{len(rows)} pictures of {name[:24]}, {right} answered right, each with its map of {name[:24]} and that "
        f"of the strongest other class; first: {labels[0][:40]}.",
        values=np.array(tiles, dtype=np.float32),
        scale="none",
        row_labels=labels,
        columns=("as the net sees it", f"map of {name}", "map of the strongest other"),
    )


METHOD = Method(
    name="class_maps",
    title="Class maps",
    caption="The maps by which a net without dense layers decides, one per class.",
    citation="lin2014",
    scope="dataset",
    version=1,
    params=Params,
    scan=Scan(chunk=chunk, finish=finish, layers=layers, merge=mapping.joined),
    panels=panels,
    arrays={"places": "N", "targets": "N", "answers": "N x T", "confidence": "N", "correct": "N", "sharpness": "N"}
    | {"patterns": "C x C", "mean_maps": "C x h x w", "shown": "M", "shown_pictures": "M x S x S x 3"}
    | {"shown_maps": "M x 2 x h x w"},
    needs=frozenset({"class_maps"}),
    tiny={"classes": 3, "examples": 2},
)
