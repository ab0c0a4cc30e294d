"""How much a linear classifier can make of each layer's features: where classes become easy to tell apart.

One sees how far along the net a set's classes become linearly separable, for classes the net was never trained on as
well: the transfer experiment of Zeiler and Fergus (2014), who did it on Caltech-101. The net stays as it is; a
classifier is trained on what a layer gives for a few pictures of each class (15 by default) and tested on others. What
a linear classifier finds in a layer need not be what the net uses, wide layers have an advantage, and where the net was
itself trained on the classes (`known` of them) it is no test of transfer.

Maps are averaged over at most `pool` x `pool` fields. Features are brought to mean 0 and variance 1 over the training
pictures; the classifier is softmax regression with L2 penalty (scikit-learn's LogisticRegression, C = 1, L-BFGS), where
Zeiler and Fergus trained a linear SVM or softmax on whole maps. Accuracy is the mean over classes, then over `repeats`
random splits, the same for every layer and net; of a large class so many pictures are drawn as training and test need.
The base line is the same classifier on the picture alone, averaged over 8 x 8 fields. C
matters little: on 20 classes of Caltech-101, three layers each of SqueezeNet and VGG mini, C = 0.1 moved accuracies by
about a point at most.

Checked against scikit-learn on features taken by hand, against one pass over the whole set however it is cut, and on
features that separate or do not by construction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reportgen import linear_probe, wording
from reportgen.errors import MethodError, NotApplicable
from reportgen.records import Artifact, Card, Method, Net, Panel, Scan

if TYPE_CHECKING:
    import numpy as np

    from reportgen.examples import Batch, Dataset, Partial

PENULTIMATE = "penultimate"
PICTURE = 8  # fields a side of the picture alone
MOST_BARS = 16
MOST_NAMED = 20


@dataclass(frozen=True)
class Params:
    """Which layers, and how the classifiers are trained and tested."""

    layers: tuple[str, ...] = field(
        default=(), metadata={"doc": "stages, aliases or module paths; []: all stages of the net and its penultimate"}
    )
    train: int = field(default=15, metadata={"doc": "training pictures of each class, 1 or more"})
    test: int | None = field(
        default=30, metadata={"doc": "at most so many test pictures of each class; null: all that are left"}
    )
    repeats: int = field(default=3, metadata={"doc": "random splits, 1 to 20"})
    pool: int = field(default=2, metadata={"doc": "maps are averaged over at most pool x pool fields, 1 to 8"})

    def __post_init__(self) -> None:
        """Refuse numbers that are none."""
        for name, most in (("train", 10_000), ("test", 10_000), ("repeats", 20), ("pool", 8)):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= most:
                raise MethodError(f"{name}: {value} is out of range; right would be 1 to {most:,}.")


def layers(net: Net, params: Params) -> Sequence[str]:
    """The layers by the names asked for, less those the net lacks; by default all stages and the penultimate."""
    found: dict[str, str] = {}
    lacking = None
    for name in params.layers or _default(net.card):
        try:
            found.setdefault(net.card.resolve(name).name, name)
        except NotApplicable as reason:
            lacking = reason
    if not found and lacking:
        raise lacking
    return tuple(found.values())


def _default(card: Card) -> tuple[str, ...]:
    return (*card.stages, *((PENULTIMATE,) if PENULTIMATE in card.aliases else ()))


def chunk(net: Net, batch: Batch, params: Params) -> Partial:
    """Some pictures' pooled features of every layer, with a number that decides who is drawn from a large class."""
    import numpy as np

    found = {f"features.{name}": linear_probe.pooled(batch.values[name], params.pool) for name in layers(net, params)}
    for name, features in found.items():
        if not np.isfinite(features).all():
            raise MethodError(f"The net gives NaN or infinity in {name[9:]}: its weights are damaged or overflow.")
    found["features"] = linear_probe.pooled(batch.x, PICTURE)  # N 192
    found["labels"] = np.array(batch.labels)
    found["known"] = np.array(batch.targets) >= 0
    found["priorities"] = np.array([rng.random() for rng in batch.rngs])
    most = params.train + params.test if params.test else np.iinfo(np.int64).max
    return {name: values[found["labels"] >= 0] for name, values in found.items()} | {"most": np.array([most])}


def merge(partials: Sequence[Partial]) -> Partial:
    """All pictures of the parts, of each class no more than training and test need."""
    import numpy as np

    joined = {name: np.concatenate([partial[name] for partial in partials]) for name in partials[0] if name != "most"}
    most = partials[0]["most"]
    chosen = linear_probe.kept(joined["labels"], joined["priorities"], int(most[0]))
    return {name: values[chosen] for name, values in joined.items()} | {"most": most}


def finish(net: Net, data: Dataset, partial: Partial, params: Params, rng: np.random.Generator) -> Artifact:
    """Classifiers on every layer, all on the same splits, and on the picture alone."""
    import numpy as np

    seen = merge([partial])
    labels = np.asarray(seen["labels"])
    counts = np.bincount(labels, minlength=len(data.classes))
    classes = [k for k in range(len(data.classes)) if counts[k] > params.train]
    _check_enough(data, counts, classes, params.train)
    parted = list(linear_probe.splits(labels, classes, params.train, params.test, params.repeats, rng))
    names = list(layers(net, params))
    scores = [linear_probe.probe(seen[f"features.{name}"], labels, classes, parted) for name in names]
    picture = linear_probe.probe(seen["features"], labels, classes, parted)
    means = [float(own.accuracy.mean()) for own in scores]
    best = int(np.argmax(means))
    depths, axis = _depths(names, net.card)
    numbers = {
        "best": means[best],
        "best_layer": names[best],
        "picture": float(picture.accuracy.mean()),
        "chance": 1 / len(classes),
        "layers": names,
        "modules": [net.card.resolve(name).name for name in names],
        "depths": depths,
        "axis": axis,
        "widths": [int(seen[f"features.{name}"].shape[1]) for name in names],
        "means": means,
        "spreads": [float(own.accuracy.std()) for own in scores],
        "on_training": [own.on_training for own in scores],
        "classes": [wording.short(data.classes[k]) for k in classes],
        "left_out": [wording.short(name) for k, name in enumerate(data.classes) if k not in classes],
        "known": sum(bool(seen["known"][labels == k].any()) for k in classes),
        "trained_on": params.train,
        "tested_on": len(parted[0].test),
        "repeats": params.repeats,
        "pool": params.pool,
        "net": net.card.facts.title or net.card.arch,
    }
    arrays = {
        "accuracy": np.stack([own.accuracy for own in scores]),  # L R
        "per_class": np.stack([own.per_class for own in scores]),  # L K
        "picture": picture.accuracy,  # R
    }
    return Artifact(arrays, numbers)


def _check_enough(data: Dataset, counts: np.ndarray, classes: Sequence[int], train: int) -> None:
    """Nothing, or MethodError where fewer than two classes have pictures to train and to test on."""
    if len(classes) < 2:
        had = ", ".join(f"{wording.short(name)} {count}" for name, count in zip(data.classes, counts[:4], strict=False))
        raise MethodError(
            f"A probe needs two classes with more than {train} pictures each, {train} to train on and one or more to "
            f"test; {data.name} has {len(classes)} ({had}{' ...' if len(data.classes) > 4 else ''}). Right would be "
            "more pictures, or a smaller `train`."
        )


def _depths(names: Sequence[str], card: Card) -> tuple[list[int], str]:
    """Where layers stand on the axis that all nets share, and what it is called.

    Stages stand at their number, the penultimate after the last of them; where other layers are among them, they are
    numbered as they were asked for.
    """
    if not all(name in card.stages or name == PENULTIMATE for name in names):
        return list(range(1, len(names) + 1)), f"layer: {_listed(names)}"
    after = max(5, *(int(stage[5:]) for stage in card.stages), 5) + 1
    axis = f"stage ({after}: penultimate layer)" if PENULTIMATE in names else "stage"
    return [after if name == PENULTIMATE else int(name[5:]) for name in names], axis


def panels(artifact: Artifact) -> list[Panel]:
    """The accuracy of every stage and net in one plot, in numbers, and per class at the best layer."""
    return [_curve(artifact), _table(artifact), _classes(artifact)]


def _curve(artifact: Artifact) -> Panel:
    import numpy as np

    numbers, row = artifact.numbers, artifact.row or {artifact.numbers["net"]: artifact}
    best = max(row.items(), key=lambda pair: float(pair[1].numbers["best"]))
    order = np.argsort(numbers["depths"], kind="stable")
    left_out = f" Left out for want of pictures: {_listed(numbers['left_out'])}." if numbers["left_out"] else ""
    return Panel(
        name="accuracy",
        kind="curves",
        title="What a linear classifier makes of each stage",
        caption=f"The share of test pictures of {len(numbers['classes'])} classes that a linear classifier on the "
        f"features of each layer gets right, mean over classes and {numbers['repeats']} splits, after "
        f"{numbers['trained_on']} training pictures of each class. Chance would be {numbers['chance']:.1%}, and the "
        f"picture alone in {PICTURE} x {PICTURE} fields gives {numbers['picture']:.1%}; maps are averaged over at most "
        f"{numbers['pool']} x {numbers['pool']} fields.{left_out}",
        alt=f"Lines: accuracy of linear classifiers on frozen features against depth, {len(numbers['classes'])} "
        f"classes; highest {best[1].numbers['best']:.0%}, at {best[1].numbers['best_layer']} of {best[0]}.",
        values=np.array(numbers["means"])[order][None],  # 1 L
        x=np.array(numbers["depths"])[order],
        scale="fixed",
        limits=(0.0, 1.0),
        unit="right answers, mean over classes",
        columns=(numbers["axis"],),
        row_labels=("linear classifier",),
        featured=True,
        joint=True,
    )


def _table(artifact: Artifact) -> Panel:
    numbers = artifact.numbers
    entries = zip(numbers["layers"], numbers["means"], numbers["spreads"], strict=True)
    rows = [(name, f"{mean:.1%} ± {100 * spread:.1f}") for name, mean, spread in entries]
    rows += [("the picture alone", f"{numbers['picture']:.1%}"), ("chance", f"{numbers['chance']:.1%}")]
    rows.append(("classes that the net itself was trained on", f"{numbers['known']} of {len(numbers['classes'])}"))
    widths = ", ".join(f"{name} {width:,}" for name, width in zip(numbers["layers"], numbers["widths"], strict=True))
    return Panel(
        name="stages",
        kind="table",
        title="Linear classifiers, layer by layer",
        caption=f"The share of right answers on {numbers['tested_on']:,} test pictures, mean over classes, and its "
        f"standard deviation over {numbers['repeats']} splits in points. The layers give so many features: {widths}.",
        alt=f"Table of the accuracy of linear classifiers on {len(numbers['layers'])} layers of {numbers['net']}; the "
        f"best, {numbers['best_layer']}, reaches {numbers['best']:.1%}.",
        scale="none",
        columns=("Features of", numbers["net"]),
        rows=tuple(rows),
    )


def _classes(artifact: Artifact) -> Panel:
    import numpy as np

    numbers = artifact.numbers
    own = artifact.arrays["per_class"][numbers["layers"].index(numbers["best_layer"])]  # K
    order = np.argsort(-own, kind="stable")
    shown = order if len(order) <= MOST_BARS else np.concatenate([order[: MOST_BARS // 2], order[-MOST_BARS // 2 :]])
    which = "each class" if len(shown) == len(order) else f"the {MOST_BARS // 2} best and worst of {len(own)} classes"
    names = numbers["classes"]
    return Panel(
        name="classes",
        kind="bars",
        title="Classes at the best layer",
        caption=f"The share of right answers for {which} on the features of {numbers['best_layer']}, which serve best, "
        "largest first. All bars run from 0 to 1, so they can be compared between nets.",
        alt=f"Bars: right answers of a linear classifier per class, from {own[order[0]]:.0%} for "
        f"{names[order[0]][:24]} to {own[order[-1]]:.0%} for {names[order[-1]][:24]}.",
        values=own[shown],
        scale="fixed",
        limits=(0.0, 1.0),
        unit="share of right answers",
        row_labels=tuple(names[k] for k in shown),
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


METHOD = Method(
    name="probe",
    title="Linear probe",
    caption="How much a linear classifier makes of each stage's features, on classes old or new to the net.",
    citation="zeiler2014",
    scope="dataset",
    version=1,
    params=Params,
    scan=Scan(chunk=chunk, finish=finish, layers=layers, merge=merge),
    row=True,
    panels=panels,
    arrays={"accuracy": "L x R", "per_class": "L x K", "picture": "R"},
    tiny={"train": 2, "test": 3, "repeats": 2},
)
