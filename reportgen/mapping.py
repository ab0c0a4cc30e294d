"""A data set seen by a net of class maps: its answers, the maps of the true classes, the pictures worth a look.

Axes: N pictures, M of them whose class the net knows, K classes, T strongest answers, h w positions, S pixels a side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reportgen import images, patterns, scoring, wording
from reportgen.errors import MethodError, NotApplicable
from reportgen.records import Layer, Net

if TYPE_CHECKING:
    import numpy as np

    from reportgen.examples import Batch, Dataset, Partial

GAP = 0.01  # between the logits and the maps' means, as a share of the largest logit: rounding, in bf16 too


def title(net: Net) -> str:
    """What pages call the net."""
    return net.card.facts.title or net.card.arch


def layer(net: Net) -> Layer:
    """The layer of one map per class. Raises NotApplicable where the net has none."""
    found = patterns.map_layer(net.card)
    if found is None:
        raise NotApplicable(f"{title(net)} has no layer of one map per class.")
    return found


def where(net: Net) -> dict[str, Any]:
    """What panels have to know of the maps: whose they are, their size, how they lie over the picture."""
    found, size = layer(net), net.card.preprocess.size
    return {
        "net": title(net),
        "layer": found.name,
        "map_places": patterns.places(found, size),
        "sees_all": found.field is None or min(found.field) >= 2 * size,  # each position the whole picture
        "map_size": list(found.shape[1:]),
    }


def of_batch(net: Net, batch: Batch, limit: int) -> Partial:
    """The answers to some pictures, how sharp the answers' maps are, and the maps of the true classes.

    `limit` goes along for `joined`, which keeps the maps of so many pictures.
    """
    import numpy as np
    import torch

    from reportgen import project

    maps = project.exact(batch.values[layer(net).name])  # N K h w
    logits = project.exact(batch.values["logits"].flatten(1))  # N K
    check(net, maps.mean((2, 3)), logits)
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
        "limit": np.array([limit]),
    }


def check(net: Net, means: Any, logits: Any) -> None:
    """MethodError for values that are no numbers, NotApplicable where the logits are not the means of the maps."""
    if not bool(logits.isfinite().all()):
        raise MethodError(f"The net gives NaN or infinity ({net.card.arch}): its weights or values overflow.")
    if float((means - logits).abs().max()) > GAP * float(logits.abs().max()):
        raise NotApplicable(
            f"{layer(net).name} of {title(net)} has one map per class, but their means are "
            "not the logits: what the net decides by is not in them."
        )


def joined(partials: Sequence[Partial]) -> Partial:
    """The findings together, with the maps of no more pictures than will be compared."""
    import numpy as np

    from reportgen import embedding

    limit = partials[0]["limit"]
    whole = {name: np.concatenate([part[name] for part in partials]) for name in partials[0] if name != "limit"}
    kept = embedding.evenly(whole["map_places"], int(limit[0]))
    for name in ("maps", "map_places", "map_targets"):
        whole[name] = whole[name][kept]
    return {**whole, "limit": limit}


def chosen(seen: Mapping[str, np.ndarray], correct: np.ndarray, classes: int, examples: int) -> np.ndarray:
    """Which pictures to show: of each class the most confident right answers, then the most confident wrong ones."""
    import numpy as np

    present, counts = np.unique(seen["targets"], return_counts=True)
    order = np.argsort(-seen["confidence"], kind="stable")
    found: list[np.ndarray] = []
    for k in sorted(present[np.argsort(-counts, kind="stable")[:classes]]):
        own = order[seen["targets"][order] == k]
        found += [own[correct[own]][:examples], own[~correct[own]][:examples]]
    return np.concatenate(found)


def looks(
    net: Net, data: Dataset, seen: Mapping[str, np.ndarray], shown: np.ndarray
) -> tuple[np.ndarray, np.ndarray, list[dict[str, Any]]]:
    """Pictures as the net saw them (M S S 3), maps of the true and the strongest other class (M 2 h w), in words."""
    import numpy as np

    from reportgen import project

    name, views, maps, told = layer(net).name, [], [], []
    for at in range(0, len(shown), project.CHUNK):
        some = shown[at : at + project.CHUNK]
        pictures = [data.load(int(place)).picture for place in seen["places"][some]]
        values = project.forward(net, net.preprocess(pictures), [name])
        given = project.exact(values["logits"].flatten(1)).softmax(1).cpu().numpy()  # B K
        views += [np.round(images.view(one, net.card.preprocess) * 255).astype(np.uint8) for one in pictures]  # S S 3
        for n, row in enumerate(some):
            true = int(seen["targets"][row])
            other = next((int(k) for k in seen["answers"][row] if k != true), true)
            maps.append(project.to_numpy(values[name][n, [true, other]]))  # 2 h w
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


def by_class(net: Net, targets: np.ndarray, correct: np.ndarray, alike: patterns.Likeness) -> list[dict[str, Any]]:
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
