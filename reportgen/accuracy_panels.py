"""What is drawn of how often a net is right: for the method `accuracy`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reportgen import scoring, tile_maps
from reportgen.records import Artifact, Panel

if TYPE_CHECKING:
    import numpy as np

MOST_ROWS = 64  # of a matrix that can be read
MOST_BARS = 16
DRAWN_BINS = 10  # fewer than the error is measured with: lines can be read
FEW = 5  # pictures; bins and classes of fewer are left to chance


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

    told, maps = artifact.numbers["mistakes"], artifact.arrays["mistake_maps"]
    pictures = artifact.arrays["mistake_pictures"].transpose(0, 3, 1, 2) / 255  # M 3 S S
    tiles = tile_maps.rows(pictures, maps, artifact.numbers["map_places"])  # M 3 3 S S, or M 1 3 S S
    how = ""
    if maps.size:
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
        values=tiles,
        scale="none",
        row_labels=tuple(labels),
        columns=("as the net sees it", "for the true class", "for the answer")[: tiles.shape[1]],
    )
