"""What panels of class maps are made of: maps over pictures, and what maps have to do with classes and confidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reportgen import patterns
from reportgen.records import Artifact, Panel

if TYPE_CHECKING:
    import numpy as np

MOST_ROWS = 64  # of a matrix that can be read
BINS, FEW = 10, 5  # of confidence; bins of fewer pictures are left to chance


def overlays(maps: np.ndarray, places: Any, picture: np.ndarray) -> list[np.ndarray]:
    """Maps (L h w), each divided by its maximum, over a picture (3 S S; NaN: alone), 3 S S each.

    `places` says where their positions lie (`patterns.places`).
    """
    import numpy as np

    from reportgen import project

    large = project.enlarged(patterns.divided(maps), picture.shape[-1], places)  # L S S
    return [patterns.over(None if np.isnan(picture).all() else picture, own) for own in large]


def number(value: float | None) -> str:
    """Two digits, or a dash where there is no number."""
    return "–" if value is None else f"{value:.2f}"


def summary(numbers: Any) -> Panel:
    """Right answers, how well wrong ones are told, and likeness of maps, in a table."""
    rows = (
        ("top-1", f"{numbers['top1']:.1%}"),
        ("top-5", f"{numbers['top5']:.1%}"),
        ("wrong answers told by low confidence (AUROC)", number(numbers["auroc_confidence"])),
        ("wrong answers told by blurred maps (AUROC)", number(numbers["auroc_sharpness"])),
        ("sharpness of the answer's map, right answers", number(numbers["sharpness_right"])),
        ("the same, wrong answers", number(numbers["sharpness_wrong"])),
        ("rank correlation of sharpness and confidence", number(numbers["rank_correlation"])),
        ("correlation of maps within a class", number(numbers["within"])),
        ("correlation of maps between classes", number(numbers["between"])),
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
        f"confidence with AUROC {number(numbers['auroc_confidence'])}, by sharpness with "
        f"{number(numbers['auroc_sharpness'])}.",
        scale="none",
        columns=("Measured on the set", numbers["net"]),
        rows=rows,
    )


def likeness(artifact: Artifact) -> Panel | None:
    """How alike the maps of two classes are; None where that is no matrix to read."""
    if not 1 < len(artifact.numbers["pattern_classes"]) <= MOST_ROWS:
        return None
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


def by_class(numbers: Any) -> Panel:
    """Each class's right answers and likeness of maps, in a table."""
    listed = sorted(numbers["classes"], key=lambda entry: (-entry["pictures"], entry["name"]))[:MOST_ROWS]
    listed.sort(key=lambda entry: (-entry["top1"], entry["name"]))
    own = [e for e in listed if None not in (e["within"], e["between"]) and e["within"] > e["between"]]
    rows = tuple(
        (e["name"], e["pictures"], f"{e['top1']:.0%}", number(e["within"]), number(e["between"])) for e in listed
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


def lines(artifact: Artifact) -> Panel | None:
    """Mean sharpness by tenths of confidence, of right and of wrong answers; None where all tenths have too few."""
    import numpy as np

    numbers, arrays = artifact.numbers, artifact.arrays
    which = np.clip(np.ceil(arrays["confidence"] * BINS).astype(int) - 1, 0, BINS - 1)  # N
    drawn = np.full((2, BINS), np.nan)
    for line, wanted in enumerate((arrays["correct"], ~arrays["correct"])):
        for b in range(BINS):
            some = wanted & (which == b)
            if some.sum() >= FEW:
                drawn[line, b] = arrays["sharpness"][some].mean()
    if not np.isfinite(drawn).any():
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
        f"correlate by {number(numbers['rank_correlation'])} in rank.",
        values=drawn,
        x=(np.arange(BINS) + 0.5) / BINS,
        scale="fixed",
        limits=(0.0, 1.0),
        unit="share of the map in its strongest quarter",
        columns=("confidence: probability of the answer, middle of the tenth",),
        row_labels=("right answers", "wrong answers"),
        joint=True,
    )
