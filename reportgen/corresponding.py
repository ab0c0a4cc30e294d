"""How alike pictures are changed by hiding the same part of each: what both methods of correspondence compute and show.

Zeiler and Fergus (2014), section 4.3; the formula stands in `methods/correspondence.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

from reportgen.errors import MethodError, NotApplicable, nearest
from reportgen.records import Artifact, Input, Net, Panel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

CHUNK = 15  # hidden places in one pass; the whole picture goes with them, so that equal features come out equal
RANDOM = "random places"
MEASURES = ("delta", "spread", "restricted", "pairs", "left_out")
ARRAYS = dict.fromkeys((*MEASURES, "ratio"), "Q") | {  # parts, then random
    "shown": "I x P",
    "corners": "I x P x 2",
    "random_corners": "I x K x 2",
}
Place = tuple[float, float]


@dataclass(frozen=True)
class How:
    """Which parts are hidden, how, and where in the net one looks."""

    parts: tuple[str, ...] = field(
        default=(), metadata={"doc": "names of points; none: all that at least two pictures have, by the alphabet"}
    )
    patch: int = field(
        default=0,
        metadata={"doc": "side of the square in pixels of the network's input; 0: a sixth of its side (37 of 224)"},
    )
    fill: Literal["mean", "grey"] = field(
        default="mean", metadata={"doc": "mean: the mean colour of the training data; grey: mid-grey"}
    )
    random: int = field(default=20, metadata={"doc": "random places per picture"})
    layer: str = field(default="last_conv", metadata={"doc": "a stage, an alias or a module path"})

    def __post_init__(self) -> None:
        """Refuse sizes that mean nothing."""
        if self.patch < 0:
            raise MethodError(
                f"patch: {self.patch} is no side of a square. Right would be 1 or more, or 0 for a sixth."
            )
        if self.random < 1:
            raise MethodError(f"random: {self.random} places give nothing to compare with. Right would be 20.")


def compare(
    net: Net, inputs: Sequence[Input], how: How, rng: np.random.Generator, strips: int | None = None
) -> Artifact:
    """How much the signs of the change differ between the pictures, for each part.

    The artifact holds the pictures with their parts hidden as the net gets them; of the first `strips` where that is
    not None.
    """
    import numpy as np

    layer, size = net.card.resolve(how.layer).name, net.card.preprocess.size
    side = how.patch or max(1, round(size / 6))
    if side > size:
        raise MethodError(f"patch: a square of {side} pixels is larger than the net's input of {size}; take a sixth.")
    seen = [seen_points(one, net) for one in inputs]
    parts = _parts(how.parts, inputs, seen)
    kept = [n for n, own in enumerate(seen) if any(part in own for part in parts)]
    shown = np.array([[part in seen[n] for part in parts] for n in kept])  # I P
    centres = np.array([[seen[n].get(part, (0.0, 0.0)) for part in parts] for n in kept])  # I P 2, x and y
    corners = np.floor(centres[:, :, ::-1] - (side - 1) / 2 + 0.5).astype(int)  # I P 2, y and x
    draws = rng.random((len(inputs), how.random, 2))[kept]  # the same shares of the side in every net
    anywhere = np.floor(draws * (size - side + 1)).astype(int)  # I K 2
    signs: list[NDArray[np.int8]] = []
    strip: list[NDArray[np.float32]] = []
    for n, own in zip(kept, np.concatenate([corners, anywhere], axis=1), strict=True):
        x = net.preprocess([one.picture for one in inputs[n : n + 1] if one.picture is not None])  # 1 3 S S
        hidden = _hidden(net, x, own, side, how.fill)  # P+K 3 S S
        signs.append(_signs(net, layer, x, hidden))
        if strips is None or len(strip) < strips:
            strip.append(_colours(net, hidden[: len(parts)]))
    changes = np.stack(signs)  # I P+K D
    groups = [changes[shown[:, p], p][None] for p in range(len(parts))]  # of 1 I D
    measures = _measures([*groups, changes[:, len(parts) :].swapaxes(0, 1)])  # the last K I D
    numbers = {
        "layer": layer,
        "stage": net.card.depth_name(layer),
        "features": int(changes.shape[-1]),
        "patch": side,
        "size": size,
        "fill": how.fill,
        "random": how.random,
        "names": [inputs[n].name or f"picture {n + 1}" for n in kept],
        "cut": sum(len(one.points) - len(own) for one, own in zip(inputs, seen, strict=True)),  # outside the view
        "rows": _rows(parts, measures, shown),
    }
    pictures = np.where(shown[: len(strip), :, None, None, None], np.stack(strip), np.float32(0))  # J P 3 S S
    places = {"shown": shown, "corners": corners, "random_corners": anywhere}
    return Artifact({**measures, **places, "strip": pictures}, numbers)


def seen_points(one: Input, net: Net) -> dict[str, Place]:
    """Where the picture's points lie in the net's view, (x, y); without those that its central crop cuts off."""
    from reportgen import images

    if one.picture is None or not one.points:
        return {}
    height, width = one.picture.shape[:2]
    found = {part: images.place_in_view(p, (width, height), net.card.preprocess) for part, p in one.points.items()}
    return {part: place for part, place in found.items() if place is not None}


def _parts(asked: Sequence[str], inputs: Sequence[Input], seen: Sequence[Mapping[str, Place]]) -> tuple[str, ...]:
    """The parts to hide; MethodError for one that no picture knows, NotApplicable where fewer than two share any."""
    known = {part for one in inputs for part in one.points}
    if not known:
        raise NotApplicable(
            "None of the pictures has points; name parts such as left_eye under `points:` of two of them."
        )
    if wrong := [part for part in asked if part not in known]:
        raise MethodError(f"parts: no picture has the point {wrong[0]!r}. {nearest(wrong[0], known)}")
    often = {part: sum(part in own for own in seen) for part in asked or sorted(known)}
    if lonely := [part for part, count in often.items() if asked and count < 2]:
        raise NotApplicable(f"Fewer than two pictures show the point {lonely[0]} in the middle that the net looks at.")
    if max(often.values()) < 2:
        raise NotApplicable("No two of the pictures share a point: there is nothing that corresponds.")
    return tuple(part for part, count in often.items() if count >= 2)


def _hidden(net: Net, x: Tensor, corners: NDArray[np.int64], side: int, fill: str) -> Tensor:
    """The picture with a square at each corner (y, x) in turn, cut by its edges: P+K x 3 x S x S."""
    import torch

    pre = net.card.preprocess
    values = [0.0 if fill == "mean" else (0.5 - mean) / std for mean, std in zip(pre.mean, pre.std, strict=True)]
    colour = torch.tensor(values, dtype=x.dtype, device=x.device)[:, None, None]  # 3 1 1
    out = x.repeat(len(corners), 1, 1, 1)  # P+K 3 S S
    for picture, (top, left) in zip(out, corners.tolist(), strict=True):
        picture[:, max(top, 0) : max(top + side, 0), max(left, 0) : max(left + side, 0)] = colour
    return out


def _signs(net: Net, layer: str, x: Tensor, hidden: Tensor) -> NDArray[np.int8]:
    """The sign of every feature's change for each hidden place: P+K x D."""
    import torch

    from reportgen import hooks
    from reportgen.lean import lean

    found = []
    for start in range(0, len(hidden), CHUNK):
        some = torch.cat([x, hidden[start : start + CHUNK]])  # 1+n 3 S S
        value = hooks.run_to(lean(net, [layer]), some, [layer])[layer].flatten(1)  # 1+n D
        if not bool(value.isfinite().all()):
            raise MethodError(f"The net gives NaN or infinity in {layer}: its weights are damaged or overflow.")
        found.append(torch.sign(value[:1] - value[1:]).to(torch.int8))
    signs: NDArray[np.int8] = torch.cat(found).cpu().numpy()
    return signs


def _colours(net: Net, x: Tensor) -> NDArray[np.float32]:
    """Normalised pictures as RGB 0..1, N x 3 x S x S."""
    import numpy as np

    from reportgen import project

    pre = net.card.preprocess
    mean, std = (np.array(values, np.float32)[:, None, None] for values in (pre.mean, pre.std))  # 3 1 1 each
    colours: NDArray[np.float32] = np.clip(project.to_numpy(x) * std + mean, 0, 1)
    return colours


def _measures(groups: Sequence[NDArray[np.int8]]) -> dict[str, NDArray[Any]]:
    """Every measure for each part, and last for the random places; 0 where a pair shares no changed feature."""
    import numpy as np

    rows = []
    for group in groups:  # K I D
        pairs = [pair for own in group for pair in combinations(own, 2)]
        differ = np.array([np.mean(a != b) for a, b in pairs])
        both = [(a != 0) & (b != 0) for a, b in pairs]
        shared = [float(np.mean(a[m] != b[m])) for (a, b), m in zip(pairs, both, strict=True) if m.any()]
        mean = sum(shared) / max(1, len(shared))
        rows.append((differ.mean(), differ.std(), mean, len(pairs), len(pairs) - len(shared)))
    found = {name: np.array(values) for name, values in zip(MEASURES, zip(*rows, strict=True), strict=True)}  # Q each
    chance = found["delta"][-1]
    return {**found, "ratio": found["delta"] / chance if chance > 0 else np.zeros(len(rows))}


def _rows(parts: Sequence[str], measures: Mapping[str, NDArray[Any]], shown: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """The same as JSON, by name; None where a measure has no meaning."""
    rows = []
    for q, part in enumerate([*parts, RANDOM]):
        own = {name: values[q].item() for name, values in measures.items()}
        own["ratio"] = own["ratio"] if measures["delta"][-1] > 0 else None
        own["restricted"] = own["restricted"] if own["left_out"] < own["pairs"] else None
        rows.append({"part": part, **own, "pictures": int(shown[:, q].sum() if q < len(parts) else len(shown))})
    return rows


def panels(artifact: Artifact) -> list[Panel]:
    """The ratio to random places, all measures as a table, and the pictures with their parts hidden."""
    return [_bars(artifact.numbers), _table(artifact.numbers), _sheet(artifact)]


def _bars(numbers: Any) -> Panel:
    import numpy as np

    *parts, chance = numbers["rows"]
    measure = "delta" if chance["ratio"] is None else "ratio"  # where nothing differs at random places: no ratio
    least = min(parts, key=lambda row: row["delta"])
    clear = chance["delta"] - least["delta"] > chance["spread"]
    found = f"hiding the {_words(least['part'])} is the most consistent, "
    found += "by more than the spread of random places" if clear else "but within the spread of random places"
    return Panel(
        name="ratio",
        kind="bars",
        title=f"Consistency of parts in {numbers['stage']}",
        caption=f"How differently the features of {numbers['layer']} change from picture to picture when the same part "
        f"is hidden, against random places (Δ {chance['delta']:.3f} ± {chance['spread']:.3f}). The shorter a bar, the "
        f"more alike the {len(numbers['names'])} pictures are treated; {found}.",
        alt=f"Bar chart of {len(parts)} parts and random places in {numbers['layer']}: {found} "
        f"({least['delta']:.3f} against {chance['delta']:.3f}).",
        values=np.array([row[measure] for row in numbers["rows"]]),
        scale="shared",
        unit="Δ over Δ of random places" if measure == "ratio" else "Δ",
        row_labels=tuple(_words(row["part"]) for row in numbers["rows"]),
        featured=True,
    )


def _table(numbers: Any) -> Panel:
    rows, names = numbers["rows"], numbers["names"]
    count = numbers["cut"]
    cut = f" {count} point{' lies' if count == 1 else 's lie'} outside the net's central view." if count else ""
    return Panel(
        name="measures",
        kind="table",
        title=f"Sign changes in {numbers['stage']}",
        caption=f"Δ is the share of the {numbers['features']:,} features whose change has another sign in another of "
        f"{len(names)} pictures, its spread the standard deviation over pairs. Restricted counts only features that "
        f"change in both, where chance is 0.5; squares have {numbers['patch']} of {numbers['size']} pixels." + cut,
        alt=f"Table of {len(rows) - 1} parts and {numbers['random']} random places per picture in {numbers['layer']}; "
        f"random places have Δ {rows[-1]['delta']:.3f}, {_words(rows[0]['part'])} {rows[0]['delta']:.3f}.",
        scale="none",
        columns=("hidden", "Δ", "spread", "of random", "restricted", "pairs"),
        rows=tuple(
            (
                _words(row["part"]),
                *(_three(row[name]) for name in ("delta", "spread", "ratio", "restricted")),
                row["pairs"],
            )
            for row in rows
        ),
    )


def _sheet(artifact: Artifact) -> Panel:
    import numpy as np

    numbers, strip = artifact.numbers, artifact.arrays["strip"]
    shown = artifact.arrays["shown"][: len(strip)]
    parts = [_words(row["part"]) for row in numbers["rows"][:-1]]
    return Panel(
        name="strip",
        kind="grid",
        title="Pictures with one part hidden",
        caption=f"What the net gets: every picture as it sees it, with a square of {numbers['patch']} pixels over the "
        "part of the column. A picture that lacks the part has an empty tile and does not count for it.",
        alt=f"Sheet of {len(shown)} pictures by {len(parts)} hidden parts ({', '.join(parts[:4])}), each a photo "
        "with one flat square on it, none with more.",
        values=np.where(shown[:, :, None, None, None], strip, np.nan),  # J P 3 S S
        scale="none",
        row_labels=tuple(numbers["names"][: len(strip)]),
        columns=tuple(parts),
    )


def _words(part: str) -> str:
    return part.replace("_", " ").replace("-", " ")


def _three(value: float | None) -> float | str:
    return "" if value is None else float(f"{value:.3g}")
