"""Whether a net recognises the object or its surroundings: its accuracy with either of them blanked.

One sees how often the net still names the right class when the object is blanked, when everything but the object is
blanked, and, as a control, when as much is blanked elsewhere. A net that names the class without the object reads it
off the surroundings: the sky for an airplane, the water for a boat. What one cannot tell is what in the surroundings
it is. The shape of the object stays visible as the edge of the hole, and pictures with holes are unlike any the net
was trained on, which lowers every accuracy; the control says how much a hole of that size costs wherever it is.

Blanked is the mean colour of the training data, zero in the normalised input. The object's hole is its mask widened by
`grow` pixels, so that nothing of its edge is left; with the background blanked exactly the mask is left. The control
is the object's hole moved (around the picture's edges where need be) to where it covers least of the object, by lot
among equally good places, and it never hides object: where the object is large, it is smaller. With $n_s$ of the
pictures that are recognised whole still recognised with the object blanked and $n_o$ with the background blanked,
context $= n_s / (n_s + n_o)$: 1 for a net that needs the surroundings alone, 0 for one that needs the object alone.
Pictures of the class that the net names for an empty picture do not count there: blanking leads to that class by
itself. Pictures of classes unknown to the net are left out, and those whose object its central view leaves out or is
filled with. After Xiao, Engstrom, Ilyas and Madry (2020), who exchange backgrounds too. Checked on planted nets that
look at the background or at the object only, and against pictures blanked by a loop over pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reportgen import blanking
from reportgen.blanking import SEEN
from reportgen.errors import MethodError
from reportgen.examples import Batch, Dataset, Partial
from reportgen.records import Artifact, Method, Net, Panel, Scan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

USED, UNKNOWN, OUTSIDE, FILLED = range(4)  # what became of a picture
EXAMPLES = 3  # pictures at either end: recognised by their surroundings, by their object
FEW = 20  # recognised pictures below which the share of context is called uncertain
MOST_CLASSES = 20  # lines of the table of classes


@dataclass(frozen=True)
class Params:
    """How the object is blanked."""

    grow: int = field(
        default=2, metadata={"doc": "pixels of the net's input by which the object's hole is wider than its mask"}
    )

    def __post_init__(self) -> None:
        """Refuse a number that means nothing."""
        if self.grow < 0:
            raise MethodError(f"grow: a mask cannot be widened by {self.grow} pixels. Right would be 0 or more.")


def chunk(net: Net, batch: Batch, params: Params) -> Partial:
    """The probability of each picture's own class for the four ways to see it."""
    import numpy as np

    side = net.card.preprocess.size
    masks = [blanking.in_view(net, example.mask) for example in batch.examples]
    fates = [_fate(mask, target) for mask, target in zip(masks, batch.targets, strict=True)]
    used = [i for i, fate in enumerate(fates) if fate == USED]
    shifts = [blanking.elsewhere(masks[i], params.grow, batch.rngs[i]) for i in used]
    hidden = [blanking.holes(masks[i], params.grow, shift) for i, shift in zip(used, shifts, strict=True)]
    gaps = np.array(hidden, dtype=np.bool_).reshape(-1, len(SEEN), side, side)  # N 4 S S
    targets = np.array([batch.targets[i] for i in used], dtype=np.int64)  # N
    probability, correct = blanking.scores(net, batch.x[used], gaps, targets)
    return {
        "fates": np.array(fates),
        "places": np.array([batch.places[i] for i in used], dtype=np.int64),  # N
        "targets": targets,
        "probability": probability,
        "correct": correct,
        "hidden": gaps.mean(axis=(2, 3)),  # N 4
        "area": np.array([masks[i].mean() for i in used]),  # N
        "shift": np.array(shifts, dtype=np.int64).reshape(-1, 2),
    }


def _fate(mask: NDArray[np.bool_], target: int) -> int:
    if target < 0:
        return UNKNOWN
    return OUTSIDE if not mask.any() else FILLED if mask.all() else USED


def finish(net: Net, data: Dataset, partial: Partial, params: Params, rng: np.random.Generator) -> Artifact:
    """Accuracies and the share of context, and the pictures that show best what they are recognised by."""
    import numpy as np

    fates = np.bincount(partial["fates"], minlength=4).tolist()
    if not fates[USED]:
        raise MethodError(_nothing(net, data, fates))
    correct = partial["correct"].T  # 4 N
    empty = _empty(net)
    counted = correct[0] & (partial["targets"] != empty)  # N
    by_surroundings, by_object = (int(correct[way, counted].sum()) for way in (1, 2))
    either = by_surroundings + by_object
    labels = np.array([data.labels[place] for place in partial["places"].tolist()])
    chosen = _telling(partial)
    examples, names = _examples(net, data, partial, params, chosen)
    numbers = {
        "used": fates[USED],
        "unknown": fates[UNKNOWN],
        "outside": fates[OUTSIDE],
        "filled": fates[FILLED],
        "rows": _rows(partial),
        "context": by_surroundings / either if either else None,
        "counted": int(counted.sum()),
        "by_surroundings": by_surroundings,
        "by_object": by_object,
        "empty": net.classes[empty],
        "classes": [_class_row(data.classes[k], correct[:, labels == k]) for k in np.unique(labels).tolist()],
        "examples": names,
        "grow": params.grow,
    }
    arrays = {"probability": partial["probability"].T, "correct": correct, "hidden": partial["hidden"].T}
    return Artifact(
        {**arrays, **{name: partial[name] for name in ("places", "area", "shift")}, "examples": examples}, numbers
    )


def _nothing(net: Net, data: Dataset, fates: Sequence[int]) -> str:
    """Why no picture could be used."""
    if fates[UNKNOWN] == sum(fates):
        return (
            f"{net.card.arch} knows none of the classes of {data.name} ({', '.join(data.classes[:4])}, ...), so it "
            "cannot be right about them. Right would be a data set with classes of the net, such as "
            f"{', '.join(net.classes[:3])}."
        )
    return (
        f"No picture of {data.name} can be used: of {sum(fates):,} the net knows no class of {fates[UNKNOWN]:,}, "
        f"{fates[OUTSIDE]:,} have no object in its view, and {fates[FILLED]:,} nothing else."
    )


def _empty(net: Net) -> int:
    """The class that the net names where everything is blanked."""
    import torch

    from reportgen import project

    side = net.card.preprocess.size
    x = torch.zeros(1, 3, side, side, dtype=net.dtype, device=net.device)
    return int(project.forward(net, x)["logits"].argmax())


def _rows(partial: Partial) -> list[dict[str, Any]]:
    """Accuracy with its standard error, mean probability and mean hidden share for each way to see the pictures."""
    rows = []
    for way, seen in enumerate(SEEN):
        share, count = float(partial["correct"][:, way].mean()), len(partial["correct"])
        rows.append(
            {
                "seen": seen,
                "accuracy": share,
                "error": (share * (1 - share) / count) ** 0.5,
                "probability": float(partial["probability"][:, way].mean()),
                "hidden": float(partial["hidden"][:, way].mean()),
            }
        )
    return rows


def _class_row(name: str, correct: NDArray[np.bool_]) -> dict[str, Any]:
    shares = [float(share) for share in correct.mean(axis=1)]  # 4
    return {"class": name.partition(",")[0], "pictures": correct.shape[1], "accuracies": shares}


def _telling(partial: Partial) -> list[int]:
    """Of those recognised whole (else of all) the pictures that need their surroundings most, then their object."""
    import numpy as np

    own = np.flatnonzero(partial["correct"][:, 0])
    own = own if len(own) else np.arange(len(partial["correct"]))
    lean = partial["probability"][own, 1] - partial["probability"][own, 2]
    order: list[int] = own[np.argsort(-lean, kind="stable")].tolist()
    return order if len(order) <= 2 * EXAMPLES else order[:EXAMPLES] + order[-EXAMPLES:]


def _examples(
    net: Net, data: Dataset, partial: Partial, params: Params, chosen: Sequence[int]
) -> tuple[NDArray[np.uint8], list[str]]:
    """Pictures as the net gets them in each way, E 4 3 S S in bytes, and what to call them."""
    import numpy as np

    from reportgen import images

    tiles, names = [], []
    for i in chosen:
        place = int(partial["places"][i])
        example = data.load(place)
        photo = images.view(example.picture, net.card.preprocess).transpose(2, 0, 1)  # 3 S S
        gaps = blanking.holes(
            blanking.in_view(net, example.mask), params.grow, tuple(partial["shift"][i].tolist())
        )  # 4 S S
        mean = np.array(net.card.preprocess.mean)[:, None, None]  # 3 1 1
        tiles.append(np.rint(np.where(gaps[:, None], mean, photo) * 255).astype(np.uint8))  # 4 3 S S
        shares = " · ".join(f"{share:.0%}" for share in partial["probability"][i])
        names.append(f"{data.classes[data.labels[place]].partition(',')[0].replace('_', ' ')}: {shares}")
    return np.stack(tiles), names


def panels(artifact: Artifact) -> list[Panel]:
    """The four accuracies as bars and with their errors, the classes, and pictures with their holes."""
    return [_bars(artifact.numbers), _table(artifact.numbers), _classes(artifact.numbers), _sheet(artifact)]


def _bars(numbers: Mapping[str, Any]) -> Panel:
    import numpy as np

    whole, surroundings, thing, _ = (row["accuracy"] for row in numbers["rows"])
    context = numbers["context"]
    share = "cannot be said, because nothing is recognised" if context is None else f"is {context:.0%}"
    if context is not None and numbers["counted"] < FEW:
        share += f", but of only {numbers['counted']} recognised pictures"
    return Panel(
        name="accuracy",
        kind="bars",
        title="The object or its surroundings?",
        caption=f"How many of {numbers['used']:,} pictures get their right class: {whole:.0%} whole, "
        f"{surroundings:.0%} with the object blanked, {thing:.0%} with all but the object blanked. Context {share}: "
        "what is recognised by the surroundings, over that plus what is recognised by the object; 0% needs the object "
        "alone, 100% the surroundings alone.",
        alt=f"Bar chart of accuracies over {numbers['used']:,} pictures: whole {whole:.0%}, object blanked "
        f"{surroundings:.0%}, object alone {thing:.0%}.",
        values=np.array([row["accuracy"] for row in numbers["rows"]]),
        scale="shared",
        unit="accuracy",
        row_labels=SEEN,
        featured=True,
    )


def _table(numbers: Mapping[str, Any]) -> Panel:
    rows = numbers["rows"]
    whole, without, _, elsewhere = (row["accuracy"] for row in rows)
    return Panel(
        name="ways",
        kind="table",
        title="Accuracy with parts of the picture blanked",
        caption=f"The accuracies with their standard errors, the mean probability of the right class, and how much of "
        f"the picture is blanked. Left out are {numbers['unknown']:,} pictures of classes that the net does not know, "
        f"{numbers['outside']:,} without an object in its view and {numbers['filled']:,} with nothing else in it; an "
        f"empty picture is {numbers['empty'].partition(',')[0].replace('_', ' ')} to this net.",
        alt=f"Table of four ways to see {numbers['used']:,} pictures; accuracy goes from {whole:.0%} to {without:.0%} "
        f"with the object blanked, to {elsewhere:.0%} with as much blanked elsewhere.",
        scale="none",
        columns=("seen", "accuracy", "error", "probability", "blanked"),
        rows=tuple(
            (row["seen"], *(float(f"{row[name]:.3g}") for name in ("accuracy", "error", "probability", "hidden")))
            for row in rows
        ),
    )


def _classes(numbers: Mapping[str, Any]) -> Panel:
    rows = sorted(numbers["classes"], key=lambda row: -row["accuracies"][1])
    first, left_out = rows[0], max(0, len(rows) - MOST_CLASSES)
    more = f" {left_out:,} more classes are not shown." if left_out else ""
    return Panel(
        name="classes",
        kind="table",
        title="Classes by what they are recognised by",
        caption="The accuracy of each class, those first that are recognised most without their object. A class that "
        "loses nothing without its object is known by its surroundings, or is what the net says when in doubt." + more,
        alt=f"Table of the accuracies of {len(rows) - left_out} classes; without its object "
        f"{first['class'].replace('_', ' ')} is still recognised in {first['accuracies'][1]:.0%} of the pictures.",
        scale="none",
        columns=("class", "pictures", *SEEN),
        rows=tuple(
            (row["class"].replace("_", " "), row["pictures"], *(float(f"{own:.3g}") for own in row["accuracies"]))
            for row in rows[:MOST_CLASSES]
        ),
    )


def _sheet(artifact: Artifact) -> Panel:
    import numpy as np

    names = artifact.numbers["examples"]
    return Panel(
        name="examples",
        kind="grid",
        title="Pictures with their object or background blanked",
        caption="Pictures as the net gets them, first those recognised most by their surroundings, last those "
        "recognised most by their object; what lies over an object stays. Beside the class stands its probability in "
        "each of the columns.",
        alt=f"Sheet of {len(names)} pictures in four ways: whole, object blanked, object alone, and with a hole "
        f"elsewhere; first {names[0]}.",
        values=artifact.arrays["examples"].astype(np.float32) / 255,  # E 4 3 S S
        scale="none",
        row_labels=tuple(names),
        columns=SEEN,
    )


METHOD = Method(
    name="context",
    title="Object or context",
    caption="Whether the object or its surroundings are what a net recognises.",
    citation="xiao2021",
    scope="dataset",
    version=1,
    params=Params,
    scan=Scan(chunk=chunk, finish=finish),
    panels=panels,
    arrays={
        "probability": "4 x N",
        "correct": "4 x N",
        "hidden": "4 x N",
        "places": "N",
        "area": "N",
        "shift": "N x 2",
        "examples": "E x 4 x 3 x H x W",
    },
    needs=frozenset({"masks"}),
)
