"""How often a net is right on a labelled set, how well it knows when it is, and its most confident mistakes.

One sees the share of right answers (top-1, top-5), per class, with the mean of ten crops, under corruptions, and of all
nets of the report as one; the classes taken for each other; whether answers given with 80 % confidence are right in
80 % of cases; and, for the worst mistakes, where the net saw evidence for the true and for the wrong class.
All of it holds for this set and these labels: some mistakes are the label's, and a few hundred pictures leave an error
of some per cent. Only pictures of classes that the net knows are counted; `known` says which share that is.

Ten crops as in Krizhevsky et al. (2012) and Zeiler and Fergus (2014): the four corners and the centre of the central
square, at the short side to which the net resizes, and their mirror images; the mean of the ten probabilities counts.
Calibration as in Guo et al. (2017): 15 bins of equal width of the highest probability; the expected calibration error
is $\\sum_b \\frac{n_b}{n} |\\mathrm{acc}(b) - \\mathrm{conf}(b)|$. The ensemble is the mean of the nets' probabilities,
where all know the same classes and saw the same pictures; a net's 32 most probable answers to each are kept for it, so
that among more classes what is left out has less than 1/33 each. Corruptions are those of the method corruption, done
to what the net sees of `corrupted` pictures spread evenly over the set; nets of one input size see the same noise. The
maps of a mistake are Grad-CAM's for either class, in one scale, at the last convolution after its ReLU.

In `confusion` rows are true classes, columns answers; only classes that the net knows and the set has pictures of have
one, everything else shares the last row and column, which is left out where it is empty (`confusion_classes` names
them). Checked against plain loops over the pictures (SqueezeNet on ImageNet photos among them), torchvision's TenCrop,
bins and ensemble counted by hand.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reportgen import corrupt, images, palettes, scoring, wording
from reportgen.errors import MethodError, NotApplicable
from reportgen.records import Artifact, Method, Net, Panel, Scan
from reportgen.spread import evenly

if TYPE_CHECKING:
    import numpy as np

    from reportgen.examples import Batch, Dataset, Partial

DEFAULT = ("grey", "blur:3:0.8", "blur:5:1.1", "bgr", "brg", "salt_pepper:0.0005", "salt_pepper:0.005")
MOST_MISTAKES = 16
MOST_CONFUSIONS = 12  # in the table
MOST_ROWS = 64  # of a matrix that can be read
MOST_BARS = 16
OTHER = "other classes"
DRAWN_BINS = 10  # fewer than the error is measured with: lines can be read
FEW = 5  # pictures; bins and classes of fewer are left to chance
HEAT = 0.55  # share of the class map's colours over the grey picture


@dataclass(frozen=True)
class Params:
    """What is tested beside the plain answer, and on how many pictures."""

    ten_crop: bool = field(
        default=False, metadata={"doc": "also the mean of ten crops: corners and centre, mirrored (11 times the work)"}
    )
    corruptions: Any = field(default=DEFAULT, metadata={"doc": f"a list of: {corrupt.DOC}; []: none"})
    corrupted: int = field(
        default=200, metadata={"doc": "at most so many pictures, spread evenly, are tested under corruptions; 0: none"}
    )
    mistakes: int = field(
        default=6, metadata={"doc": f"so many of the most confident mistakes are shown, 0 to {MOST_MISTAKES}"}
    )

    def __post_init__(self) -> None:
        """Bring the corruptions into their one form, refuse numbers that are none."""
        if self.corrupted < 0:
            raise MethodError(f"corrupted: {self.corrupted} pictures cannot be tested; right would be 0 or more.")
        if not 0 <= self.mistakes <= MOST_MISTAKES:
            raise MethodError(f"mistakes: {self.mistakes} is out of range; right would be 0 to {MOST_MISTAKES}.")
        none = isinstance(self.corruptions, Sequence) and not self.corruptions
        object.__setattr__(self, "corruptions", () if none else corrupt.canonical(self.corruptions))


def layers(net: Net, params: Params) -> Sequence[str]:
    """The logits."""
    return ("logits",)


def chunk(net: Net, batch: Batch, params: Params) -> Partial:
    """The most probable answers to some pictures, and what their ten crops are taken for."""
    import numpy as np

    from reportgen import answering

    answers, given = scoring.strongest(answering.probabilities(net, batch.values["logits"]))  # N T
    found = {"answers": answers, "probabilities": given}
    for name, values in (("places", batch.places), ("labels", batch.labels), ("targets", batch.targets)):
        found[name] = np.array(values, dtype=np.int32)
    if params.ten_crop:
        mean = answering.ten_crops(net, [one.picture for one in batch.examples])  # N K
        found["ten_crop"] = mean.argmax(1).astype(np.int32)
    return found


def finish(net: Net, data: Dataset, partial: Partial, params: Params, rng: np.random.Generator) -> Artifact:
    """The answers counted, some pictures damaged and asked again, the worst mistakes looked at again."""
    import numpy as np

    from reportgen import answering

    whole = {name: np.asarray(values) for name, values in partial.items()}
    known = whole["targets"] >= 0
    if not known.any():
        some = ", ".join(wording.short(name) for name in data.classes[:4])
        raise NotApplicable(
            f"{net.card.facts.title or net.card.arch} knows none of the classes of {data.name} ({some} ...), so there "
            "is no right answer it could give."
        )
    matrix, rows = scoring.confusion(whole["labels"], whole["targets"], whole["answers"][:, 0], len(data.classes))
    names = [wording.short(data.classes[k]) if k is not None else OTHER for k in rows]
    seen = {name: values[known] for name, values in whole.items()}
    hits = seen["answers"][:, :5] == seen["targets"][:, None]  # N 5
    confidence, correct = seen["probabilities"][:, 0], hits[:, 0]
    worst, looks, told = _mistakes(net, data, seen, params.mistakes)
    layer = answering.map_layer(net.card)
    numbers = {
        "top1": scoring.share(correct),
        "top5": scoring.share(hits.any(axis=1)),
        **({"top1_ten_crop": scoring.share(seen["ten_crop"] == seen["targets"])} if params.ten_crop else {}),
        "calibration_error": scoring.reliability(confidence, correct).error,
        "mean_confidence": float(confidence.mean()),
        "known": float(known.mean()),
        "counted": int(known.sum()),
        "net": net.card.facts.title or net.card.arch,
        "net_classes": hashlib.sha256("\n".join(net.classes).encode()).hexdigest()[:16],
        "per_class": scoring.per_class(matrix, rows, data.classes),
        "confusion_classes": names,
        "confusions": scoring.commonest(matrix, names, len(rows) - (rows[-1] is None), MOST_CONFUSIONS),
        "corruptions": _damaged(net, data, seen, params, rng),
        "mistakes": told,
        "map_layer": layer.name if layer else "",
        "map_places": layer.places(net.card.preprocess.size) if layer else None,
    }
    arrays = {
        "confusion": matrix,
        "confidence": confidence,
        "correct": correct,
        **{name: seen[name] for name in ("places", "labels", "targets", "answers", "probabilities")},
        "mistakes": seen["places"][worst],
        "mistake_pictures": looks[0],
        "mistake_maps": looks[1],
    }
    return Artifact(arrays, numbers)


def _damaged(
    net: Net, data: Dataset, seen: Mapping[str, np.ndarray], params: Params, rng: np.random.Generator
) -> dict[str, Any]:
    """The share of right answers under each corruption, on pictures spread evenly over those whose class is known."""
    from reportgen import answering

    kinds = [corrupt.parse(name) for name in params.corruptions]
    chosen = evenly(len(seen["places"]), params.corrupted if kinds else 0)
    places = [int(place) for place in seen["places"][chosen]]
    answers = answering.damaged(net, data, places, kinds, int(rng.integers(2**63)))  # pictures x corruptions
    targets = seen["targets"][chosen]
    rows = [
        {"name": kind.name, "words": kind.words, "short": kind.short, "top1": scoring.share(own == targets)}
        for kind, own in zip(kinds, answers.T, strict=True)
    ]
    untouched = scoring.share(seen["answers"][chosen, 0] == targets)
    return {"pictures": len(chosen), "untouched": untouched, "rows": rows if chosen else []}


def _mistakes(
    net: Net, data: Dataset, seen: Mapping[str, np.ndarray], most: int
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray], list[dict[str, Any]]]:
    """The most confident mistakes: which, as the net saw them (M S S 3) with both classes' maps (M 2 h w), in words."""
    import numpy as np

    from reportgen import answering

    wrong = np.flatnonzero(seen["answers"][:, 0] != seen["targets"])
    worst = wrong[np.argsort(-seen["probabilities"][wrong, 0], kind="stable")[:most]]  # M
    size = net.card.preprocess.size
    if not len(worst):
        return worst, (np.zeros((0, size, size, 3), np.uint8), np.zeros((0, 2, 0, 0), np.float32)), []
    pictures = [data.load(int(place)).picture for place in seen["places"][worst]]
    true, taken = seen["targets"][worst], seen["answers"][worst, 0]
    maps, probabilities = answering.class_maps(net, net.preprocess(pictures), [true.tolist(), taken.tolist()])
    views = np.stack([images.view(picture, net.card.preprocess) for picture in pictures])  # M S S 3
    told = [
        {
            "picture": data.names[int(seen["places"][n])],
            "true": wording.short(data.classes[int(seen["labels"][n])]),
            "taken_for": wording.short(net.classes[int(taken[i])]),
            "confidence": float(seen["probabilities"][n, 0]),
            "true_probability": float(probabilities[i, true[i]]),
        }
        for i, n in enumerate(worst)
    ]
    return worst, (np.round(views * 255).astype(np.uint8), maps), told


def panels(artifact: Artifact) -> list[Panel]:
    """The numbers, reliability of all nets in one plot, classes, confusions, corruptions, the worst mistakes."""
    numbers, matrix = artifact.numbers, artifact.arrays["confusion"]
    found = [_reliability(artifact), _table(artifact)]
    if numbers["counted"] >= FEW * len(numbers["per_class"]):
        found.append(_classes(numbers))
    if len(matrix) <= MOST_ROWS:
        found.append(_matrix(matrix, numbers))
    if numbers["confusions"]:
        found.append(_pairs(numbers))
    if numbers["corruptions"]["rows"]:
        found.append(_corruptions(numbers))
    if numbers["mistakes"]:
        found.append(_worst(artifact))
    return found


def _reliability(artifact: Artifact) -> Panel:
    """One line per net; the first net of the row also brings the diagonal, so that it is drawn once."""
    import numpy as np

    row = artifact.row or {artifact.numbers["net"]: artifact}
    measured = scoring.reliability(artifact.arrays["confidence"], artifact.arrays["correct"], DRAWN_BINS)
    enough = measured.pictures >= min(FEW, measured.pictures.max())
    x, lines = measured.confidence[enough], measured.accuracy[enough][None]  # B, 1 B
    labels: tuple[str, ...] = ("measured",)
    if next(iter(row.values())).arrays is artifact.arrays:
        x = np.concatenate([[0.0], x, [1.0]])
        lines = np.stack([np.pad(lines[0], 1, constant_values=np.nan), x])  # 2 B
        labels = ("measured", "as sure as right")
    errors = [one.numbers["calibration_error"] for one in row.values()]
    span = f"{min(errors):.1%}" if len(errors) == 1 else f"from {min(errors):.1%} to {max(errors):.1%}"
    return Panel(
        name="reliability",
        kind="curves",
        title="How often answers of some confidence are right",
        caption="Pictures by the probability of the answer, in tenths: across how sure the net was, up how often "
        f"it was right; tenths of fewer than {FEW} pictures are not drawn. Below the diagonal a net is too sure of "
        f"itself, above it too modest; the mean gap over all pictures, the expected calibration error, is {span}.",
        alt="Reliability diagram: share of right answers against confidence, and the diagonal; expected calibration "
        f"error {span}.",
        values=lines,
        x=x,
        scale="fixed",
        limits=(0.0, 1.0),
        unit="share of right answers",
        columns=("confidence: probability of the answer, mean of the tenth",),
        row_labels=labels,
        featured=True,
        joint=True,
    )


def _table(artifact: Artifact) -> Panel:
    numbers, together = artifact.numbers, scoring.ensemble(artifact.row)
    damaged = numbers["corruptions"]
    rows = [("top-1", f"{numbers['top1']:.1%}"), ("top-5", f"{numbers['top5']:.1%}")]
    if "top1_ten_crop" in numbers:
        rows.append(("top-1, mean of ten crops", f"{numbers['top1_ten_crop']:.1%}"))
    if together:
        rows.append((f"top-1, all {together.nets} nets as one", f"{together.top1:.1%}"))
        rows.append((f"top-5, all {together.nets} nets as one", f"{together.top5:.1%}"))
    if damaged["rows"]:
        rows.append((f"top-1 of {damaged['pictures']} pictures, untouched", f"{damaged['untouched']:.1%}"))
        rows += [(f"top-1, {entry['words']}", f"{entry['top1']:.1%}") for entry in damaged["rows"]]
    rows.append(("expected calibration error", f"{numbers['calibration_error']:.1%}"))
    rows.append(("mean confidence", f"{numbers['mean_confidence']:.1%}"))
    rows.append(("pictures whose class the net knows", f"{numbers['counted']:,} ({numbers['known']:.1%})"))
    return Panel(
        name="summary",
        kind="table",
        title="Right answers",
        caption="The share of pictures whose class the net names first (top-1) or among its five most probable ones "
        "(top-5), untouched and damaged, and how far its confidence lies from that. Nets as one: the mean of the "
        "probabilities of all nets of this report; the same row stands under each.",
        alt=f"Table of how often {numbers['net']} names the right class of {numbers['counted']:,} pictures: "
        f"{numbers['top1']:.1%} top-1 and {numbers['top5']:.1%} top-5.",
        scale="none",
        columns=("Measured on the set", numbers["net"]),
        rows=tuple(rows),
    )


def _classes(numbers: Any) -> Panel:
    import numpy as np

    listed = sorted(numbers["per_class"], key=lambda entry: (-entry["top1"], entry["name"]))
    all_of_them = len(listed) <= MOST_BARS
    shown = listed if all_of_them else [*listed[: MOST_BARS // 2], *listed[-MOST_BARS // 2 :]]
    which = "each class" if all_of_them else f"the {MOST_BARS // 2} best and worst of {len(listed)} classes"
    best, worst = listed[0], listed[-1]
    return Panel(
        name="classes",
        kind="bars",
        title="Right answers per class",
        caption=f"The share of right answers for {which}, largest first. All bars run from 0 to 1; the mean over "
        f"classes is {np.mean([entry['top1'] for entry in listed]):.1%}, and a class has "
        f"{numbers['counted'] / len(listed):.0f} pictures on average.",
        alt=f"Bars: share of right answers per class, from {best['top1']:.0%} for {best['name'][:24]} down to "
        f"{worst['top1']:.0%} for {worst['name'][:24]}.",
        values=np.array([entry["top1"] for entry in shown]),
        scale="fixed",
        limits=(0.0, 1.0),
        unit="share of right answers",
        row_labels=tuple(entry["name"] for entry in shown),
    )


def _matrix(matrix: np.ndarray, numbers: Any) -> Panel:
    import numpy as np

    names = numbers["confusion_classes"]
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)  # K K
    listed = "; ".join(f"{i} {name}" for i, name in enumerate(names, 1))
    top = numbers["confusions"][:1]
    finding = f"; {top[0]['true'][:20]} goes most often as {top[0]['taken_for'][:20]}" if top else ", nothing else"
    return Panel(
        name="confusion",
        kind="heatmap",
        title="What is taken for what",
        caption="The share of each class's pictures (a row) that got each answer (a column), brightest for a quarter "
        "and more. Right answers lie on the diagonal from the upper left; rows from the top and columns from the left "
        f"are: {listed}.",
        alt=f"Confusion matrix of {len(names)} classes: bright diagonal of right answers{finding}.",
        values=shares.astype(np.float32),
        scale="fixed",
        limits=(0.0, 0.25),
        unit="share of the class",
    )


def _pairs(numbers: Any) -> Panel:
    entries = numbers["confusions"]
    rows = [(one["true"], one["taken_for"], one["pictures"], f"{one['share']:.1%}") for one in entries]
    return Panel(
        name="confusions",
        kind="table",
        title="The commonest confusions",
        caption="Which classes are taken for which most often. Pictures are counted, and their share of the true "
        "class's pictures is given; classes that the set does not have count as other classes.",
        alt=f"Table of the {len(rows)} commonest confusions of {numbers['net']}; {rows[0][0][:24]} is taken for "
        f"{rows[0][1][:24]} {rows[0][2]} times.",
        scale="none",
        columns=("True class", "Taken for", "Pictures", "Of the class"),
        rows=tuple(rows),
    )


def _corruptions(numbers: Any) -> Panel:
    import numpy as np

    damaged = numbers["corruptions"]
    entries = [{"short": "untouched", "words": "untouched", "top1": damaged["untouched"]}, *damaged["rows"]]
    worst = min(damaged["rows"], key=lambda entry: float(entry["top1"]))
    return Panel(
        name="corruptions",
        kind="bars",
        title="Right answers on damaged pictures",
        caption=f"The share of right answers on {damaged['pictures']} pictures as they are and damaged as the net "
        "sees them, largest first (σ in pixels; λ: share of pixels made black or white). All bars run from 0 to 1 and "
        "can be compared between nets of one input size.",
        alt=f"Bars: right answers on {damaged['pictures']} untouched and damaged pictures; {worst['words']} costs "
        f"most, {damaged['untouched']:.0%} become {worst['top1']:.0%}.",
        values=np.array([entry["top1"] for entry in entries]),
        scale="fixed",
        limits=(0.0, 1.0),
        unit="share of right answers",
        row_labels=tuple(entry["short"] for entry in entries),
    )


def _worst(artifact: Artifact) -> Panel:
    import numpy as np

    told, maps = artifact.numbers["mistakes"], artifact.arrays["mistake_maps"]
    pictures = artifact.arrays["mistake_pictures"].transpose(0, 3, 1, 2) / 255  # M 3 S S
    tiles, how = pictures[:, None], ""  # M 1 3 S S
    if maps.size:
        from reportgen import project

        rows = []
        for picture, own in zip(pictures, maps, strict=True):
            large = project.enlarged(own, picture.shape[-1], artifact.numbers["map_places"])  # 2 S S
            top = float(np.percentile(np.clip(large, 0, None), 99))
            rows.append([picture, *(_overlay(picture, one, top) for one in large)])
        tiles = np.stack([np.stack(row) for row in rows])  # M 3 3 S S
        how = (
            f" The maps show where {artifact.numbers['map_layer']} finds what speaks for either class, both in one "
            "scale: where a map stays dark the layer finds nothing."
        )
    labels = [f"{one['true']}, taken for {one['taken_for']} {one['confidence']:.0%}" for one in told]
    first = told[0]
    return Panel(
        name="mistakes",
        kind="grid",
        title="The most confident mistakes",
        caption=f"Pictures as the net saw them, with the class they are of and the one they are taken for.{how} From "
        f"the top: {'; '.join(labels)}.",
        alt=f"The {len(told)} most confident mistakes{', each with two class maps' if how else ''}; the first is of "
        f"class {first['true'][:24]}, taken for {first['taken_for'][:24]} ({first['confidence']:.0%}).",
        values=tiles.astype(np.float32),
        scale="none",
        row_labels=tuple(labels),
        columns=("as the net sees it", "for the true class", "for the answer")[: tiles.shape[1]],
    )


def _overlay(picture: np.ndarray, own: np.ndarray, top: float) -> np.ndarray:
    """The map (S x S) in colours over the grey picture, 3 x S x S."""
    import numpy as np

    colors = palettes.colorize(own, 0.0, top, palettes.colormap(palettes.ONE_SIDED)).transpose(2, 0, 1)  # 3 S S
    mixed: np.ndarray = colors / 255 * HEAT + np.tensordot(corrupt.GREY_WEIGHTS, picture, 1) * (1 - HEAT)  # 3 S S
    return mixed


METHOD = Method(
    name="accuracy",
    title="Accuracy",
    caption="How often the net is right, whether it knows when it is, and its most confident mistakes.",
    citation="guo2017",
    scope="dataset",
    version=1,
    params=Params,
    scan=Scan(chunk=chunk, finish=finish, layers=layers),
    row=True,
    panels=panels,
    arrays={"confusion": "K x K", "confidence": "N", "correct": "N", "places": "N", "labels": "N", "targets": "N"}
    | {"answers": "N x T", "probabilities": "N x T", "mistakes": "M", "mistake_pictures": "M x S x S x 3"}
    | {"mistake_maps": "M x 2 x h x w"},
    needs=frozenset({"gradient"}),
    tiny={"ten_crop": True, "corrupted": 4, "corruptions": ("grey", "salt_pepper:0.01"), "mistakes": 2},
)
