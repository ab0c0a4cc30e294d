"""What the units of a layer do at every kept epoch of a training: on all pictures of a set, and on a few fixed ones.

Axes: N pictures of the set, P fixed pictures, U units, E epochs, K classes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reportgen import hooks, images, project, strongest_places, wording
from reportgen.errors import ImageError, MethodError, NotApplicable
from reportgen.examples import Dataset, Example
from reportgen.lean import lean

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from reportgen.examples import TrainingRun
    from reportgen.records import Input, Layer, Net, Picture

BATCH = 16


@dataclass(frozen=True)
class Found:
    """What all units of the layer did at one epoch."""

    values: NDArray[np.float64]  # N U: of each unit the strongest on each picture
    images: NDArray[np.int64]  # U: the place of the strongest picture in the set
    positions: NDArray[np.int64]  # U 2: on the layer's map
    activations: NDArray[np.float32]  # U


def asked(net: Net, inputs: Sequence[Input]) -> tuple[TrainingRun, Dataset]:
    """The training, and the pictures to look over. Raises NotApplicable where either is not there."""
    training = inputs[0].training
    if training is None or len(training.kept) < 2:
        raise NotApplicable(f"No weights were kept on the way while {net.card.arch} was trained.")
    data = training.data if len(training.data) else _own_set(inputs)
    if not len(data):
        raise NotApplicable(
            f"The pictures that {net.card.arch} was trained on are not here, and no others were given; right would be "
            "a `dataset:` or `images:` in the section."
        )
    return training, data


def nets_of(training: TrainingRun, layer: Layer) -> dict[int, Net]:
    """The nets of all kept epochs. Raises NotApplicable for a layer that is not in all of them."""
    nets = {epoch: training.net(epoch) for epoch in training.kept}
    for epoch, net in nets.items():
        if all(one.name != layer.name for one in net.card.layers):
            raise NotApplicable(
                f"What {layer.name} was after epoch {epoch} is not known: of the weights on the way only those up to "
                f"{net.card.layers[-1].name} were kept, before the dense layers."
            )
    return nets


def _own_set(inputs: Sequence[Input]) -> Dataset:
    """A section's own images as the set to look over, for nets whose training pictures are not here."""
    shown = [(one.name, one.picture) for one in inputs if one.picture is not None]
    names = tuple(name or f"picture {number}" for number, (name, _) in enumerate(shown, 1))
    return Dataset("the photos", (), names, (-1,) * len(shown), lambda place: Example(shown[place][1]), lambda: "")


def watched(
    nets: Mapping[int, Net], data: Dataset, layer: Layer, places: Sequence[int]
) -> tuple[dict[int, Found], int]:
    """What each epoch's units do on the pictures, and how many could be read; each is loaded once."""
    import numpy as np

    partials: dict[int, list[Any]] = {epoch: [] for epoch in nets}
    values: dict[int, list[NDArray[Any]]] = {epoch: [] for epoch in nets}
    problems = []
    for start in range(0, len(places), BATCH):
        read, pictures = [], []
        for place in places[start : start + BATCH]:
            try:
                pictures.append(data.load(place).picture)
                read.append(place)
            except ImageError as error:
                problems.append(str(error))
        for epoch, net in nets.items() if read else ():
            value = hooks.run_to(lean(net, [layer.name]), net.preprocess(pictures), [layer.name])[layer.name]
            partials[epoch].append(strongest_places.of_batch(value, read, 1, layer.name))
            strongest = value.flatten(2).amax(2) if value.ndim == 4 else value  # N U
            values[epoch].append(project.to_numpy(strongest))
    if len(problems) == len(places):
        raise MethodError(f"None of the {len(places):,} pictures of {data.name} can be read: {problems[0]}")
    found = {}
    for epoch in nets:
        whole = strongest_places.joined(partials[epoch])
        best = {name: whole[name][:, 0] for name in ("images", "positions", "activations")}
        found[epoch] = Found(np.concatenate(values[epoch]).astype(np.float64), **best)
    return found, len(places) - len(problems)


def standing_out(found: Found) -> NDArray[np.float64]:
    """How many times its mean each unit's strongest picture is; those that fire nowhere come last."""
    import numpy as np

    mean, top = found.values.mean(axis=0), found.activations  # U
    times = top / np.where(mean > 0, mean, np.inf)
    return np.where(top > 0, times, -1.0)


def agreement(values: NDArray[Any], final: NDArray[Any]) -> float:
    """The mean over units of the correlation of their values on the pictures (N U each); of silent units nothing."""
    import numpy as np

    a, b = (each - each.mean(axis=0) for each in (values, final))
    norms = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))  # U
    alive = (b**2).sum(axis=0) > 0
    found = (a * b).sum(axis=0) / np.where(norms > 0, norms, np.inf)
    return float(found[alive].mean()) if alive.any() else 0.0


def fixed_pictures(inputs: Sequence[Input], data: Dataset, order: Sequence[int], most: int) -> dict[str, Picture]:
    """The section's images by name; where it has none, some of the set in this order, one of each class in turn."""
    own = {one.name or f"picture {n}": one.picture for n, one in enumerate(inputs, 1) if one.picture is not None}
    if own:
        return own
    seen: Counter[int] = Counter()
    turns: list[tuple[int, int, int]] = []
    for place in order:
        turns.append((seen[data.labels[place]], len(turns), place))
        seen[data.labels[place]] += 1
    found: dict[str, Picture] = {}
    for _, _, place in sorted(turns):
        label, name = data.labels[place], data.names[place]
        name = name if label < 0 else wording.short(data.classes[label])
        try:
            found[name if name not in found else f"{name} ({data.names[place]})"] = data.load(place).picture
        except ImageError:  # counted where the whole set is looked over
            continue
        if len(found) == most:
            break
    return found


def on_fixed(
    nets: Mapping[int, Net], layer: Layer, chosen: Sequence[int], final: Found, pictures: Sequence[Picture]
) -> dict[str, NDArray[Any]]:
    """Fixed pictures as the net sees them, where one unit answers in each, and what the nets say that answer at all."""
    import numpy as np

    maps, best = _maps(nets, layer, chosen, final, pictures)
    whole = {epoch: net for epoch, net in nets.items() if "logits" in net.card.aliases}
    views = _views(next(iter(nets.values())), pictures)
    answers = {"answer_epochs": np.array(list(whole)), "probabilities": _answers(whole, pictures)}
    return {"fixed": views, "maps": maps, "map_units": best, **answers}


def _maps(
    nets: Mapping[int, Net], layer: Layer, chosen: Sequence[int], final: Found, pictures: Sequence[Picture]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Of each picture the map of one chosen unit at every epoch, P E h w, and which unit that is.

    It is the one that in the end comes nearest to its strongest value on any picture of the set.
    """
    import numpy as np

    found: list[NDArray[Any]] = []
    for start in range(0, len(pictures), BATCH):
        some = pictures[start : start + BATCH]
        values = [hooks.run_to(lean(net, [layer.name]), net.preprocess(some), [layer.name]) for net in nets.values()]
        found.append(np.stack([project.as_maps(one[layer.name], layer)[:, chosen] for one in values], axis=1))
    maps = np.concatenate(found)  # P E U h w
    tops = final.activations[list(chosen)]  # U
    best = (maps[:, -1].max(axis=(2, 3)) / np.where(tops > 0, tops, np.inf)).argmax(axis=1)  # P
    return maps[np.arange(len(maps)), :, best], np.array(chosen)[best]


def _answers(nets: Mapping[int, Net], pictures: Sequence[Picture]) -> NDArray[np.float32]:
    """The probabilities that the nets of some epochs give to pictures, P E K."""
    import numpy as np

    classes = len(next(iter(nets.values())).classes)
    found = np.zeros((len(pictures), len(nets), classes), dtype=np.float32)
    for column, net in enumerate(nets.values()):
        for start in range(0, len(pictures), BATCH):
            logits = project.forward(net, net.preprocess(pictures[start : start + BATCH]))["logits"]  # N K
            found[start : start + BATCH, column] = project.to_numpy(project.exact(logits).softmax(1))
    return found


def _views(net: Net, pictures: Sequence[Picture]) -> NDArray[np.uint8]:
    """Pictures as the net sees them, P 3 h w bytes, at the size at which patches are kept."""
    import numpy as np

    seen = np.stack([images.view(one, net.card.preprocess).transpose(2, 0, 1) for one in pictures]) * 255  # P 3 S S
    return np.clip(np.rint(strongest_places.shrunk(seen)), 0, 255).astype(np.uint8)
