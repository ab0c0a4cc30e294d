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

from reportgen import accuracy_panels, corrupt, images, scoring, tile_maps, wording
from reportgen.errors import MethodError, NotApplicable
from reportgen.records import Artifact, Method, Net, Scan
from reportgen.spread import evenly

if TYPE_CHECKING:
    import numpy as np

    from reportgen.examples import Batch, Dataset, Partial

DEFAULT = ("grey", "blur:3:0.8", "blur:5:1.1", "bgr", "brg", "salt_pepper:0.0005", "salt_pepper:0.005")
MOST_MISTAKES = 16
MOST_CONFUSIONS = 12  # in the table
OTHER = "other classes"


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
        **tile_maps.where(net.card),
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
    panels=accuracy_panels.panels,
    arrays={"confusion": "K x K", "confidence": "N", "correct": "N", "places": "N", "labels": "N", "targets": "N"}
    | {"answers": "N x T", "probabilities": "N x T", "mistakes": "M", "mistake_pictures": "M x S x S x 3"}
    | {"mistake_maps": "M x 2 x h x w"},
    needs=frozenset({"gradient"}),
    tiny={"ten_crop": True, "corrupted": 4, "corruptions": ("grey", "salt_pepper:0.01"), "mistakes": 2},
)
