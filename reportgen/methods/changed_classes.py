"""Which pictures a net takes for something else than before, and whether that made it better.

One sees how many pictures of a labelled set got another answer, how many of those were right before and are wrong now
and the other way round, which answers became which, and the pictures whose probability moved most, with the places
that spoke for the class before and after. Two nets of equal accuracy may well disagree on many pictures: those are
what a pruned, rounded or tuned net has to be looked at for. What one cannot tell is why an answer changed; a picture
on the edge between two classes changes its answer at the slightest touch, which `margin`, the gap that the net had left
between its two best answers, gives away. Counts hold for this set alone.

Whether the change of accuracy is more than chance is told by McNemar's test (1947) in its exact form: with $b$
pictures broken, $c$ mended and $n = b + c$,
$p = \\min(1, 2^{1 - n} \\sum_{k=0}^{\\min(b, c)} \\frac{n!}{k! (n - k)!})$. Pictures that both nets got right, or both
got wrong, say nothing about it. How far all probabilities of a picture moved is their total variation,
$\\frac{1}{2} \\sum_k |p_k - q_k|$, from 0 to 1. The pictures shown are those whose probability of their class changed
most; where the class is not known, that of the answer before. Their maps are Grad-CAM's for that class at the last
convolution after its ReLU, those of one picture in one scale. Both nets must have the same classes.

Checked against answers counted by hand on two nets, and the test's p against SciPy's binomial test.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reportgen import change, images, scoring, tile_maps, wording
from reportgen.errors import MethodError
from reportgen.records import Artifact, Method, Net, Panel, Scan

if TYPE_CHECKING:
    import numpy as np

    from reportgen.examples import Batch, Dataset, Partial

MOST_SHOWN = 16
MOST_ROWS = 16  # of transitions


@dataclass(frozen=True)
class Params:
    """How many pictures are shown."""

    shown: int = field(
        default=6, metadata={"doc": f"so many pictures whose probability changed most, 0 to {MOST_SHOWN}"}
    )

    def __post_init__(self) -> None:
        """Refuse numbers that are none."""
        if not 0 <= self.shown <= MOST_SHOWN:
            raise MethodError(f"shown: {self.shown} is out of range; right would be 0 to {MOST_SHOWN}.")


def chunk(net: Net, batch: Batch, params: Params) -> Partial:
    """The answers of both nets to some pictures, and how far their probabilities lie apart."""
    import numpy as np

    from reportgen import answering

    change.same_classes(net)
    assert net.before is not None, "said by the line above"
    old = answering.probabilities(net.before, batch.before["logits"])  # N K
    new = answering.probabilities(net, batch.values["logits"])  # N K
    targets = np.array(batch.targets, dtype=np.int32)
    answers = np.stack([old.argmax(1), new.argmax(1)], 1).astype(np.int32)  # N 2
    classes = np.where(targets >= 0, targets, answers[:, 0])  # N: that whose probability is followed
    every, two_best = np.arange(len(old)), np.sort(old, axis=1)[:, -2:]
    given = [np.stack([both[every, which] for both in (old, new)], 1) for which in (classes, *answers.T)]  # N 2 each
    return {
        "places": np.array(batch.places, dtype=np.int64),
        "labels": np.array(batch.labels, dtype=np.int64),
        "targets": targets,
        "answers": answers,
        "classes": classes.astype(np.int32),
        "probabilities": given[0],  # of the class, before and after
        "confidence": np.stack([given[1][:, 0], given[2][:, 1]], 1),  # of the answer, before and after
        "distance": np.abs(old - new).sum(1) / 2,
        "margin": two_best[:, -1] - two_best[:, 0] if old.shape[1] > 1 else np.ones(len(old)),
    }


def finish(net: Net, data: Dataset, partial: Partial, params: Params, rng: np.random.Generator) -> Artifact:
    """The changes counted, and the pictures that changed most looked at again."""
    import numpy as np

    seen = {name: np.asarray(values) for name, values in partial.items()}
    known = seen["targets"] >= 0
    changed = seen["answers"][:, 0] != seen["answers"][:, 1]  # N
    right = (seen["answers"] == seen["targets"][:, None]) & known[:, None]  # N 2
    broken, mended = (int((right[:, i] & ~right[:, 1 - i]).sum()) for i in (0, 1))
    moved = np.abs(seen["probabilities"][:, 1] - seen["probabilities"][:, 0])  # N
    order = np.lexsort((seen["places"], -seen["distance"], -moved))[: params.shown]
    shown = order[moved[order] > 0]
    looks, told = _looks(net, data, seen, shown)
    numbers = {
        "changed": int(changed.sum()),
        "share": scoring.share(changed),
        "counted": int(known.sum()),
        "broken": broken,
        "mended": mended,
        "other": int((changed & known).sum()) - broken - mended,
        "unknown": int((changed & ~known).sum()),
        "top1": [scoring.share(right[known, i]) for i in (0, 1)],
        "p": scoring.mcnemar(broken, mended),
        "distance": float(seen["distance"].mean()),
        "confidence": [float(value) for value in seen["confidence"].mean(axis=0)],
        "margin_changed": float(seen["margin"][changed].mean()) if changed.any() else None,
        "margin": float(seen["margin"].mean()),
        "transitions": _transitions(net, seen, changed),
        "shown": told,
        "set": data.name,
        "before": net.before.card.weights_source if net.before is not None else "",
        "net": net.card.facts.title or net.card.arch,
        **tile_maps.where(net.card),
    }
    arrays = {name: values for name, values in seen.items() if name != "classes"}
    return Artifact({**arrays, "shown": seen["places"][shown], **looks}, numbers)


def _transitions(net: Net, seen: Mapping[str, np.ndarray], changed: np.ndarray) -> list[dict[str, Any]]:
    """Which answers became which, the most frequent first, and how many of the pictures were broken or mended."""
    pairs = [tuple(map(int, pair)) for pair in seen["answers"][changed]]
    targets = seen["targets"][changed].tolist()
    counts = Counter(pairs)
    first = {pair: place for place, pair in reversed(list(enumerate(pairs)))}
    found = []
    for pair in sorted(counts, key=lambda one: (-counts[one], first[one]))[:MOST_ROWS]:
        own = [target for other, target in zip(pairs, targets, strict=True) if other == pair]
        names = {"from": wording.short(net.classes[pair[0]]), "to": wording.short(net.classes[pair[1]])}
        found.append({**names, "pictures": counts[pair], "broken": own.count(pair[0]), "mended": own.count(pair[1])})
    return found


def _looks(
    net: Net, data: Dataset, seen: Mapping[str, np.ndarray], shown: np.ndarray
) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
    """The pictures as the net saw them (M S S 3) with the class's maps before and after (M 2 h w), and in words."""
    import numpy as np

    from reportgen import answering

    assert net.before is not None, "only nets that came from another get here"
    size = net.card.preprocess.size
    if not len(shown):
        return {"pictures": np.zeros((0, size, size, 3), np.uint8), "maps": np.zeros((0, 2, 0, 0), np.float32)}, []
    pictures = [data.load(int(place)).picture for place in seen["places"][shown]]
    wanted = seen["classes"][shown].tolist()
    both = (net.before, net)
    maps = [answering.class_maps(one, one.preprocess(pictures), [wanted])[0] for one in both]  # M 1 h w each
    views = np.stack([images.view(picture, net.card.preprocess) for picture in pictures])  # M S S 3
    told = []
    for row, own in zip(shown, wanted, strict=True):
        answers = [wording.short(net.classes[int(k)]) for k in seen["answers"][row]]
        numbers = {key: [float(v) for v in seen[key][row]] for key in ("probabilities", "confidence")}
        named = {"picture": data.names[int(seen["places"][row])], "class": wording.short(net.classes[int(own)])}
        told.append({**named, "answers": answers, **numbers, "known": bool(seen["targets"][row] >= 0)})
    return {"pictures": np.round(views * 255).astype(np.uint8), "maps": np.concatenate(maps, axis=1)}, told


# -------------------------------------------------------------------------------------------------------------- panels


def panels(artifact: Artifact) -> list[Panel]:
    """The pictures that changed most, the counts, and which answers became which."""
    found = [_summary(artifact.numbers, featured=not artifact.numbers["shown"])]
    if artifact.numbers["shown"]:
        found.insert(0, _wall(artifact))
    if artifact.numbers["transitions"]:
        found.append(_table(artifact.numbers))
    return found


def _wall(artifact: Artifact) -> Panel:
    numbers, told = artifact.numbers, artifact.numbers["shown"]
    pictures = artifact.arrays["pictures"].transpose(0, 3, 1, 2) / 255  # M 3 S S
    tiles = tile_maps.rows(pictures, artifact.arrays["maps"], numbers["map_places"])  # M 3 3 S S, or M 1 3 S S
    labels = tuple(_label(one) for one in told)
    how = (
        f" The maps show where {numbers['map_layer']} found what speaks for the class before and after, both in one "
        "scale." if tiles.shape[1] > 1 else ""
    )  # fmt: skip
    first = told[0]
    return Panel(
        name="pictures",
        kind="grid",
        title="The pictures that changed most",
        caption=f"Of {len(artifact.arrays['places']):,} pictures ({numbers['set']}) the {len(told)} whose probability "
        f"of their class changed most, with the answer before and after.{how} From the top: {'; '.join(labels)}.",
        alt=f"The {len(told)} pictures that changed most{', with maps before and after' if how else ''}; the first, "
        f"{first['class'][:24]}, went from {first['probabilities'][0]:.0%} to {first['probabilities'][1]:.0%}.",
        values=tiles,
        scale="none",
        row_labels=labels,
        columns=("as the net sees it", "before", "after")[: tiles.shape[1]],
        featured=True,
    )


def _label(one: Mapping[str, Any]) -> str:
    """ "cat 93% → chair 41%", and what it is where the net did not know before."""
    was, now = (f"{name} {p:.0%}" for name, p in zip(one["answers"], one["confidence"], strict=True))
    return f"{was} → {now}" if one["class"] == one["answers"][0] else f"{one['class']}: {was} → {now}"


def _summary(numbers: Mapping[str, Any], featured: bool) -> Panel:
    old, new = numbers["top1"]
    rows: list[tuple[str, ...]] = []
    if numbers["counted"]:
        rows.append(("right answers (top-1)", f"{old:.1%}", f"{new:.1%}"))
    rows.append(("mean probability of the answer", *(f"{value:.1%}" for value in numbers["confidence"])))
    rows.append(("pictures that got another answer", "", f"{numbers['changed']:,} ({numbers['share']:.1%})"))
    if numbers["counted"]:
        rows.append(("... right before, wrong after", "", f"{numbers['broken']:,}"))
        rows.append(("... wrong before, right after", "", f"{numbers['mended']:,}"))
        rows.append(("... wrong both times", "", f"{numbers['other']:,}"))
        rows.append(("chance of so uneven a change (McNemar)", "", _p(numbers["p"])))
    rows.append(("how far probabilities moved (total variation)", "", f"{numbers['distance']:.3f}"))
    rows.append(("gap between the two best answers, all pictures", f"{numbers['margin']:.3f}", ""))
    if numbers["margin_changed"] is not None:
        rows.append(("... of those that got another answer", f"{numbers['margin_changed']:.3f}", ""))
    verdict = "as much as chance would have it" if numbers["p"] >= 0.05 else "more than chance would have it"
    right = f", {numbers['broken']} went wrong, {numbers['mended']} right" if numbers["counted"] else ""
    moved = f" Accuracy moved {verdict}." if numbers["broken"] + numbers["mended"] else ""
    return Panel(
        name="summary",
        kind="table",
        title="Other answers than before",
        caption=f"The answers of {numbers['net']} to the pictures of {numbers['set']}, before (weights: "
        f"{numbers['before']}) and after.{moved} A small gap before means that a picture lay on the edge, and that "
        "little was needed to change its answer.",
        alt=f"Table: {numbers['changed']:,} pictures ({numbers['share']:.1%}) got another answer{right}; probabilities "
        f"moved by {numbers['distance']:.3f}.",
        scale="none",
        columns=("Measured on the set", "before", "after"),
        rows=tuple(rows),
        featured=featured,
    )


def _p(value: float) -> str:
    return f"p = {value:.2g}" if value >= 1e-4 else "p < 0.0001"


def _table(numbers: Mapping[str, Any]) -> Panel:
    entries = numbers["transitions"]
    rows = tuple((one["from"], one["to"], one["pictures"], one["broken"], one["mended"]) for one in entries)
    return Panel(
        name="transitions",
        kind="table",
        title="Which answers became which",
        caption=f"The {len(rows)} commonest changes of the answer, with how many of these pictures the first answer "
        "was right for and how many the second. Where neither is, the picture was and is taken for something else.",
        alt=f"Table of the {len(rows)} commonest changes of the answer: first stands {rows[0][0][:24]} that became "
        f"{rows[0][1][:24]}, {rows[0][2]} times.",
        scale="none",
        columns=("Before", "After", "Pictures", "Right before", "Right after"),
        rows=rows,
    )


METHOD = Method(
    name="changed_classes",
    title="Changed answers",
    caption="Which pictures get another answer than before, and whether that is better.",
    citation="mcnemar1947",
    scope="dataset",
    version=1,
    params=Params,
    panels=panels,
    arrays={"places": "N", "labels": "N", "targets": "N", "answers": "N x 2", "probabilities": "N x 2"}
    | {"confidence": "N x 2", "distance": "N", "margin": "N", "shown": "M", "pictures": "M x S x S x 3"}
    | {"maps": "M x 2 x h x w"},
    scan=Scan(chunk=chunk, finish=finish, layers=lambda net, params: ["logits"]),
    needs=frozenset({"before", "gradient"}),
    tiny={"shown": 2},
)
