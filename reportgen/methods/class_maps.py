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
from random weights, so do these. At most `limit` pictures, spread evenly over the set, take part, and maps that are
even everywhere do not. **Sharpness**: the share of the predicted class's map that lies in its strongest quarter of
positions, from a quarter (even) to 1. **Wrong answers**: the area under the ROC curve,
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

from reportgen import images, patterns, scoring, wording
from reportgen.errors import MethodError, NotApplicable
from reportgen.records import Artifact, Layer, Method, Net, Panel, Scan

if TYPE_CHECKING:
    import numpy as np

    from reportgen.examples import Batch, Dataset, Partial

MOST_CLASSES, MOST_EXAMPLES = 32, 6
MOST_ROWS = 64  # of a matrix that can be read
MOST_FIRST = 6  # classes on the first sheet
BINS, FEW = 10, 5  # of confidence; bins of fewer pictures are left to chance
GAP = 0.01  # between the logits and the maps' means, as a share of the largest logit: rounding, in bf16 too


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


def _layer(net: Net) -> Layer:
    found = patterns.map_layer(net.card)
    if found is None:
        raise NotApplicable(f"{net.card.facts.title or net.card.arch} has no layer of one map per class.")
    return found


def layers(net: Net, params: Params) -> Sequence[str]:
    """The class maps and the logits."""
    found = patterns.map_layer(net.card)
    return ("logits",) if found is None else (found.name, "logits")


def chunk(net: Net, batch: Batch, params: Params) -> Partial:
    """The answers to some pictures, how sharp the answers' maps are, and the maps of the true classes."""
    import numpy as np
    import torch

    from reportgen import project

    maps = project.exact(batch.values[_layer(net).name])  # N K h w
    logits = project.exact(batch.values["logits"].flatten(1))  # N K
    _check(net, maps.mean((2, 3)), logits)
    answers, given = scoring.strongest(logits.softmax(1).cpu().numpy(), 5)  # N T
    targets = np.array(batch.targets, dtype=np.int32)
    known = np.flatnonzero(targets >= 0)
    every = torch.arange(len(maps), device=maps.device)
    taken = project.to_numpy(maps[every, torch.from_numpy(answers[:, 0]).long().to(maps.device)])  # N h w
    own = project.to_numpy(maps[known.tolist(), targets[known].tolist()])  # M h w
    return {
        "places": np.array(batch.places, dtype=np.int64),
        "targets": targets,
        "answers": answers,
        "confidence": given[:, 0],
        "sharpness": patterns.sharpness(taken).astype(np.float32),
        "maps": own,
        "map_places": np.array(batch.places, dtype=np.int64)[known],
        "map_targets": targets[known],
        "limit": np.array([params.limit]),
    }


def _check(net: Net, means: Any, logits: Any) -> None:
    """MethodError for values that are no numbers, NotApplicable where the logits are not the means of the maps."""
    if not bool(logits.isfinite().all()):
        raise MethodError(f"The net gives NaN or infinity ({net.card.arch}): its weights or values overflow.")
    if float((means - logits).abs().max()) > GAP * float(logits.abs().max()):
        raise NotApplicable(
            f"{_layer(net).name} of {net.card.facts.title or net.card.arch} has one map per class, but their means are "
            "not the logits: what the net decides by is not in them."
        )


def merge(partials: Sequence[Partial]) -> Partial:
    """The findings together, with the maps of no more pictures than will be compared."""
    import numpy as np

    from reportgen import embedding

    limit = partials[0]["limit"]
    joined = {name: np.concatenate([part[name] for part in partials]) for name in partials[0] if name != "limit"}
    kept = embedding.evenly(joined["map_places"], int(limit[0]))
    for name in ("maps", "map_places", "map_targets"):
        joined[name] = joined[name][kept]
    return {**joined, "limit": limit}


def finish(net: Net, data: Dataset, partial: Partial, params: Params, rng: np.random.Generator) -> Artifact:
    """The answers counted, the maps compared, the most confident right and wrong answers looked at again."""
    import numpy as np

    found, title = merge([partial]), net.card.facts.title or net.card.arch
    seen = {name: found[name][found["targets"] >= 0] for name in ("places", "targets", "answers", "confidence")}
    seen["sharpness"] = found["sharpness"][found["targets"] >= 0]
    if not len(seen["places"]):
        some = ", ".join(wording.short(name) for name in data.classes[:4])
        raise NotApplicable(
            f"{title} knows none of the classes of {data.name} ({some} ...), so there is no right answer it could give."
        )
    hits = seen["answers"] == seen["targets"][:, None]  # N T
    correct, sharp = hits[:, 0], seen["sharpness"]
    alike = patterns.likeness(found["maps"], found["map_targets"])
    shown, layer, size = _chosen(seen, correct, params), _layer(net), net.card.preprocess.size
    looks = _looks(net, data, seen, shown)
    numbers = {
        "top1": scoring.share(correct),
        "top5": scoring.share(hits.any(axis=1)),
        "counted": len(correct),
        "known": len(correct) / len(found["targets"]),
        "net": title,
        "layer": layer.name,
        "map_places": patterns.places(layer, size),
        "sees_all": layer.field is None or min(layer.field) >= 2 * size,  # each position the whole picture
        "map_size": list(found["maps"].shape[1:]),
        "auroc_confidence": patterns.auroc(seen["confidence"], correct),
        "auroc_sharpness": patterns.auroc(sharp, correct),
        "sharpness": float(sharp.mean()),
        "sharpness_right": float(sharp[correct].mean()) if correct.any() else None,
        "sharpness_wrong": float(sharp[~correct].mean()) if not correct.all() else None,
        "sharpness_even": float(patterns.sharpness(np.ones_like(found["maps"][:1]))[0]),
        "rank_correlation": patterns.rank_correlation(sharp, seen["confidence"]),
        "within": alike.within,
        "between": alike.between,
        "compared": sum(alike.maps),
        "even": len(found["maps"]) - sum(alike.maps),
        "pattern_classes": [wording.short(net.classes[k]) for k in alike.classes],
        "classes": _classes(net, seen["targets"], correct, alike),
        "shown": looks[2],
    }
    arrays = {
        **seen,
        "correct": correct,
        "patterns": alike.correlations,
        "mean_maps": patterns.mean_maps(found["maps"], found["map_targets"], alike.classes),
        "shown": seen["places"][shown],
        "shown_pictures": looks[0],
        "shown_maps": looks[1],
    }
    return Artifact(arrays, numbers)


def _chosen(seen: Mapping[str, np.ndarray], correct: np.ndarray, params: Params) -> np.ndarray:
    """Which pictures to show: of each class the most confident right answers, then the most confident wrong ones."""
    import numpy as np

    present, counts = np.unique(seen["targets"], return_counts=True)
    order = np.argsort(-seen["confidence"], kind="stable")
    found: list[np.ndarray] = []
    for k in sorted(present[np.argsort(-counts, kind="stable")[: params.classes]]):
        own = order[seen["targets"][order] == k]
        found += [own[correct[own]][: params.examples], own[~correct[own]][: params.examples]]
    return np.concatenate(found)


def _looks(
    net: Net, data: Dataset, seen: Mapping[str, np.ndarray], shown: np.ndarray
) -> tuple[np.ndarray, np.ndarray, list[dict[str, Any]]]:
    """Pictures as the net saw them (M S S 3), maps of the true and the strongest other class (M 2 h w), in words."""
    import numpy as np

    from reportgen import project

    layer, views, maps, told = _layer(net).name, [], [], []
    for at in range(0, len(shown), project.CHUNK):
        some = shown[at : at + project.CHUNK]
        pictures = [data.load(int(place)).picture for place in seen["places"][some]]
        values = project.forward(net, net.preprocess(pictures), [layer])
        given = project.exact(values["logits"].flatten(1)).softmax(1).cpu().numpy()  # B K
        views += [np.round(images.view(one, net.card.preprocess) * 255).astype(np.uint8) for one in pictures]  # S S 3
        for n, row in enumerate(some):
            true = int(seen["targets"][row])
            other = next((int(k) for k in seen["answers"][row] if k != true), true)
            maps.append(project.to_numpy(values[layer][n, [true, other]]))  # 2 h w
            told.append(
                {
                    "picture": data.names[int(seen["places"][row])],
                    "class": wording.short(net.classes[true]),
                    "probability": float(given[n, true]),
                    "other": wording.short(net.classes[other]),
                    "other_probability": float(given[n, other]),
                    "right": int(seen["answers"][row, 0]) == true,
                }
            )
    return np.stack(views), np.stack(maps), told


def _classes(net: Net, targets: np.ndarray, correct: np.ndarray, alike: patterns.Likeness) -> list[dict[str, Any]]:
    """Each class's pictures, right answers, and likeness of its maps to each other and to those of other classes."""
    import numpy as np

    found = []
    for k in np.unique(targets):
        entry = {
            "name": wording.short(net.classes[int(k)]),
            "pictures": int((targets == k).sum()),
            "top1": scoring.share(correct[targets == k]),
            "within": None,
            "between": None,
        }
        if int(k) in alike.classes:
            i = alike.classes.index(int(k))
            entry["within"] = float(alike.correlations[i, i])
            others = np.delete(alike.correlations[i], i)
            entry["between"] = float(others.mean()) if len(others) else None
        found.append(entry)
    return found


# -------------------------------------------------------------------------------------------------------------- panels


def panels(artifact: Artifact) -> list[Panel]:
    """A first sheet, the numbers, likeness between classes, sharpness against confidence, a sheet for each class."""
    numbers = artifact.numbers
    found = [_first(artifact), _summary(numbers)]
    if 1 < len(numbers["pattern_classes"]) <= MOST_ROWS:
        found.append(_likeness(artifact))
    found.append(_by_class(numbers))
    lines = _lines(artifact)
    if lines is not None:
        found.append(lines)
    names = list(dict.fromkeys(entry["class"] for entry in numbers["shown"]))
    return found + [_sheet(artifact, number, name) for number, name in enumerate(names, 1)]


def _overlays(artifact: Artifact, maps: np.ndarray, picture: np.ndarray | None) -> list[np.ndarray]:
    """Maps (L h w), each divided by its maximum, over a picture (3 S S) or alone: 3 S S each."""
    from reportgen import project

    side = artifact.arrays["shown_pictures"].shape[1]
    large = project.enlarged(patterns.divided(maps), side, artifact.numbers["map_places"])  # L S S
    return [patterns.over(picture, own) for own in large]


def _picture(artifact: Artifact, row: int) -> np.ndarray:
    found: np.ndarray = artifact.arrays["shown_pictures"][row].transpose(2, 0, 1) / 255  # 3 S S
    return found


def _first(artifact: Artifact) -> Panel:
    """One picture of some classes with its class's map, and the class's mean map."""
    import numpy as np

    numbers, told = artifact.numbers, artifact.numbers["shown"]
    firsts = {entry["class"]: row for row, entry in reversed(list(enumerate(told)))}
    rows = sorted(firsts.values())
    rows = [rows[i] for i in np.unique(np.linspace(0, len(rows) - 1, min(MOST_FIRST, len(rows))).round().astype(int))]
    tiles, means = [], numbers["pattern_classes"]
    for row in rows:
        picture = _picture(artifact, row)
        name = told[row]["class"]
        mean = artifact.arrays["mean_maps"][[means.index(name)]] if name in means else None
        last = np.full_like(picture, np.nan) if mean is None else _overlays(artifact, mean, None)[0]
        tiles.append([picture, *_overlays(artifact, artifact.arrays["shown_maps"][row, :1], picture), last])
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
        tiles.append([picture, *_overlays(artifact, artifact.arrays["shown_maps"][row], picture)])
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


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _summary(numbers: Any) -> Panel:
    rows = (
        ("top-1", f"{numbers['top1']:.1%}"),
        ("top-5", f"{numbers['top5']:.1%}"),
        ("wrong answers told by low confidence (AUROC)", _number(numbers["auroc_confidence"])),
        ("wrong answers told by blurred maps (AUROC)", _number(numbers["auroc_sharpness"])),
        ("sharpness of the answer's map, right answers", _number(numbers["sharpness_right"])),
        ("the same, wrong answers", _number(numbers["sharpness_wrong"])),
        ("rank correlation of sharpness and confidence", _number(numbers["rank_correlation"])),
        ("correlation of maps within a class", _number(numbers["within"])),
        ("correlation of maps between classes", _number(numbers["between"])),
        ("pictures whose maps were compared", f"{numbers['compared']:,}"),
        ("pictures whose class the net knows", f"{numbers['counted']:,} ({numbers['known']:.1%})"),
    )
    return Panel(
        name="summary",
        kind="table",
        title="What the maps are worth",
        caption="Right answers, whether confidence and the maps tell wrong answers from right ones (0.5 is chance, 1 "
        "perfect), and whether maps of one class are more alike than those of two. Sharpness is the share of a map in "
        f"its strongest quarter: {numbers['sharpness_even']:.2f} for an even map, 1 for a few strong places.",
        alt=f"Table of what {numbers['net']}'s maps tell: top-1 {numbers['top1']:.0%}; wrong answers told by "
        f"confidence with AUROC {_number(numbers['auroc_confidence'])}, by sharpness with "
        f"{_number(numbers['auroc_sharpness'])}.",
        scale="none",
        columns=("Measured on the set", numbers["net"]),
        rows=rows,
    )


def _likeness(artifact: Artifact) -> Panel:
    numbers, names = artifact.numbers, artifact.numbers["pattern_classes"]
    listed = "; ".join(f"{i} {name}" for i, name in enumerate(names, 1))
    return Panel(
        name="likeness",
        kind="heatmap",
        title="Whether a class has its own pattern",
        caption="The mean correlation between the maps of pictures of one class (row) and another (column), each the "
        "map of its own class. A diagonal of a stronger red than its row means a pattern of its own: on "
        f"average there is {numbers['within']:.2f} on the diagonal and {numbers['between']:.2f} beside it. Rows from "
        f"the top and columns from the left: {listed}.",
        alt=f"Correlations of the maps of {len(names)} classes: {numbers['within']:.2f} within a class, "
        f"{numbers['between']:.2f} between classes on average.",
        values=artifact.arrays["patterns"].astype("float32"),
        scale="shared",
        signed=True,
        unit="correlation",
    )


def _by_class(numbers: Any) -> Panel:
    listed = sorted(numbers["classes"], key=lambda entry: (-entry["pictures"], entry["name"]))[:MOST_ROWS]
    listed.sort(key=lambda entry: (-entry["top1"], entry["name"]))
    own = [e for e in listed if None not in (e["within"], e["between"]) and e["within"] > e["between"]]
    rows = tuple(
        (e["name"], e["pictures"], f"{e['top1']:.0%}", _number(e["within"]), _number(e["between"])) for e in listed
    )
    return Panel(
        name="classes",
        kind="table",
        title="Patterns class by class",
        caption="Right answers to pictures of each class, and how alike their class's maps are: to one another, and to "
        "the maps of pictures of other classes. The larger the first of the two correlations against the second, the "
        f"more a pattern belongs to the class; it is larger for {len(own)} of {len(listed)} classes.",
        alt=f"Table of {len(listed)} classes: pictures, right answers, correlation of maps; {len(own)} of them are "
        "more like themselves than like other classes.",
        scale="none",
        columns=("Class", "Pictures", "Top-1", "Within", "To others"),
        rows=rows,
    )


def _lines(artifact: Artifact) -> Panel | None:
    """Mean sharpness by tenths of confidence, of right and of wrong answers; None where all tenths have too few."""
    import numpy as np

    numbers, arrays = artifact.numbers, artifact.arrays
    which = np.clip(np.ceil(arrays["confidence"] * BINS).astype(int) - 1, 0, BINS - 1)  # N
    lines = np.full((2, BINS), np.nan)
    for line, wanted in enumerate((arrays["correct"], ~arrays["correct"])):
        for b in range(BINS):
            some = wanted & (which == b)
            if some.sum() >= FEW:
                lines[line, b] = arrays["sharpness"][some].mean()
    if not np.isfinite(lines).any():
        return None
    return Panel(
        name="sharpness",
        kind="curves",
        title="Sharper maps, surer answers?",
        caption="How much of the answer's map lies in its strongest quarter of positions, by the probability of the "
        f"answer in tenths; tenths of fewer than {FEW} pictures are not drawn, and an even map has "
        f"{numbers['sharpness_even']:.2f}. A rising line means that sure answers "
        "have sharp maps; right and wrong lines apart mean that the map knows more than the confidence.",
        alt=f"Lines: sharpness of the map against confidence, right and wrong answers apart; for {numbers['net']} they "
        f"correlate by {_number(numbers['rank_correlation'])} in rank.",
        values=lines,
        x=(np.arange(BINS) + 0.5) / BINS,
        scale="fixed",
        limits=(0.0, 1.0),
        unit="share of the map in its strongest quarter",
        columns=("confidence: probability of the answer, middle of the tenth",),
        row_labels=("right answers", "wrong answers"),
        joint=True,
    )


METHOD = Method(
    name="class_maps",
    title="Class maps",
    caption="The maps by which a net without dense layers decides, one per class.",
    citation="lin2014",
    scope="dataset",
    version=1,
    params=Params,
    scan=Scan(chunk=chunk, finish=finish, layers=layers, merge=merge),
    panels=panels,
    arrays={"places": "N", "targets": "N", "answers": "N x T", "confidence": "N", "correct": "N", "sharpness": "N"}
    | {"patterns": "C x C", "mean_maps": "C x h x w", "shown": "M", "shown_pictures": "M x S x S x 3"}
    | {"shown_maps": "M x 2 x h x w"},
    needs=frozenset({"class_maps"}),
    tiny={"classes": 3, "examples": 2},
)
