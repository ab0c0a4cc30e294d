"""Class maps while a net learns them: those of a few fixed pictures, at every kept epoch of its training.

One sees, from left to right, the map by which the net scores a picture's own class before training and after a growing
number of epochs, and below it the map of what it took the picture for at that time. Where both rows show the same map,
the answer was right. A map that stays where it is keeps its evidence; one that jumps goes by something else from then
on. What one cannot tell: how strong a map is, since each is divided by its own maximum, and how other pictures fare: a
few are shown. The untrained net has maps too, and what they look like is its random weights' doing.

The map $m_k$ of class $k$ is the layer's value whose mean is the class's logit (see class_maps). How far the maps have
settled is the correlation over positions, $\\mathrm{corr}(m_k^{(e)}, m_k^{(E)})$, of the own class's map at epoch $e$
with that at the end $E$, its mean over the pictures; a map that is even everywhere counts as 0, and beside it stands
the sharpness that class_maps has. The own class is the picture's label, and where the net does not know it, what it
takes the picture for in the end. Without images in the section, pictures of the data set are taken, each the first of
a class, classes spread evenly. Checked against the nets of the epochs, module by module.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reportgen import map_panels, mapping, patterns, wording
from reportgen.errors import ImageError, MethodError, NotApplicable
from reportgen.records import Artifact, Input, Method, Net, Panel
from reportgen.spread import evenly

if TYPE_CHECKING:
    import numpy as np

    from reportgen.examples import TrainingRun

MOST_PICTURES = 8
MOST_EPOCHS = 8  # on the sheet and in the table; evenly spread over those kept


@dataclass(frozen=True)
class Params:
    """How many pictures are followed."""

    limit: int = field(
        default=4,
        metadata={"doc": f"pictures that are followed: the section's first, or the set's; 1 to {MOST_PICTURES}"},
    )

    def __post_init__(self) -> None:
        """Refuse numbers that are none."""
        if not 1 <= self.limit <= MOST_PICTURES:
            raise MethodError(f"limit: {self.limit} is out of range; right would be 1 to {MOST_PICTURES}.")


def run(net: Net, inputs: Sequence[Input], params: Params, rngs: Sequence[np.random.Generator]) -> list[Artifact]:
    """The same pictures through the nets of all kept epochs."""
    import numpy as np

    from reportgen import images

    training, own = inputs[0].training, mapping.where(net)
    if training is None or len(training.kept) < 2:
        raise NotApplicable(f"No weights were kept while {net.card.arch} was trained by this report.")
    shown = [one for one in inputs if one.picture is not None] or _of_set(training, params.limit)
    shown = shown[: params.limit]
    pictures = [one.picture for one in shown if one.picture is not None]
    answers = [_answered(training.net(epoch), pictures) for epoch in training.kept]
    maps = np.stack([each[0] for each in answers], axis=1)  # P E K h w
    given = np.stack([each[1] for each in answers], axis=1)  # P E K
    true = [_true(net, one, last) for one, last in zip(shown, given[:, -1], strict=True)]  # P
    of_true = maps[np.arange(len(true)), :, true]  # P E h w
    of_answer = np.take_along_axis(maps, given.argmax(2)[..., None, None, None], 2)[:, :, 0]  # P E h w
    arrays = {
        "epochs": np.array(training.kept),
        "pictures": np.stack(
            [np.round(images.view(one, net.card.preprocess) * 255).astype(np.uint8) for one in pictures]
        ),  # P S S 3
        "maps": np.stack([of_true, of_answer], axis=2),  # P E 2 h w
        "probabilities": given,
        "settled": _settled(of_true),  # P E
        "sharpness": patterns.sharpness(of_true.reshape(-1, *maps.shape[3:])).reshape(of_true.shape[:2]),  # P E
    }
    numbers = {
        **own,
        "names": [one.name or "photo" for one in shown],
        "true": true,
        "classes": [wording.short(name) for name in net.classes],
    }
    return [Artifact(arrays, numbers)]


def _of_set(training: TrainingRun, count: int) -> list[Input]:
    """The first readable picture of each of some classes of the set; of all classes, so many are spread evenly."""
    data, found = training.data, []
    for label in evenly(len(data.classes), count):
        for place in (place for place, own in enumerate(data.labels) if own == label):
            try:
                found.append(
                    Input(data.load(place).picture, (data.classes[label],), name=wording.short(data.classes[label]))
                )
            except ImageError:  # the next one will do
                continue
            break
    if not found:
        raise MethodError(f"None of the pictures of {data.name} can be read.")
    return found


def _answered(net: Net, pictures: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    """The maps (P K h w) and the probabilities (P K) of pictures."""
    from reportgen import project

    layer = mapping.layer(net).name
    values = project.forward(net, net.preprocess(pictures), [layer])
    maps, logits = project.exact(values[layer]), project.exact(values["logits"].flatten(1))  # P K h w, P K
    mapping.check(net, maps.mean((2, 3)), logits)
    return project.to_numpy(maps), project.to_numpy(logits.softmax(1))


def _true(net: Net, one: Input, last: np.ndarray) -> int:
    """The class that a picture is followed for: its label, or its last answer where the net does not know that."""
    from reportgen.targets import label_index

    found = label_index(net.classes, one.labels)
    return int(last.argmax()) if found is None else found


def _settled(maps: np.ndarray) -> np.ndarray:
    """The correlation of each map (P E h w) with the last of its picture; of even maps 0."""
    import numpy as np

    flat = maps.reshape(*maps.shape[:2], -1).astype(np.float64)  # P E hw
    flat = flat - flat.mean(axis=2, keepdims=True)
    norms = np.linalg.norm(flat, axis=2)  # P E
    products = norms * norms[:, -1:]
    found: np.ndarray = (flat * flat[:, -1:]).sum(axis=2) / np.where(products > 0, products, np.inf)
    return found


# --------------------------------------------------------------------------------------------------------------- panels


def panels(artifact: Artifact) -> list[Panel]:
    """The maps by epoch, what the pictures were taken for, and how far the maps have settled."""
    return [_sheet(artifact), _answers(artifact), _lines(artifact)]


def _sheet(artifact: Artifact) -> Panel:
    import numpy as np

    arrays, numbers, columns = artifact.arrays, artifact.numbers, evenly(len(artifact.arrays["epochs"]), MOST_EPOCHS)
    tiles, labels = [], []
    for true, view, own in zip(numbers["true"], arrays["pictures"], arrays["maps"][:, columns], strict=True):
        picture = view.transpose(2, 0, 1) / 255  # 3 S S
        rows = [map_panels.overlays(own[:, which], numbers["map_places"], picture) for which in (0, 1)]
        tiles += [[picture, *rows[0]], [np.full_like(picture, np.nan), *rows[1]]]
        labels += [f"map of {numbers['classes'][true]}", "map of the answer then"]
    epochs = [int(arrays["epochs"][column]) for column in columns]
    right = int((arrays["probabilities"][:, -1].argmax(axis=1) == numbers["true"]).sum())
    height, width = numbers["map_size"]
    return Panel(
        name="maps",
        kind="grid",
        title="Class maps while they form",
        caption=f"{len(numbers['names'])} pictures, two rows each: the {height} x {width} map of the picture's own "
        "class at each kept epoch, and below it the map of what the net took the picture for then. Each map is divided "
        "by its own maximum; equal rows mean a right answer.",
        alt=f"Maps of {len(numbers['names'])} pictures at {len(epochs)} epochs from {epochs[0]} to {epochs[-1]}, own "
        f"class above, answer below; {right} of them are right in the end.",
        values=np.array(tiles, dtype=np.float32),
        scale="none",
        row_labels=tuple(labels),
        columns=("as the net sees it", *(f"epoch {epoch}" for epoch in epochs)),
        featured=True,
    )


def _answers(artifact: Artifact) -> Panel:
    arrays, numbers, columns = artifact.arrays, artifact.numbers, evenly(len(artifact.arrays["epochs"]), MOST_EPOCHS)
    rows = []
    for name, own in zip(numbers["names"], arrays["probabilities"][:, columns], strict=True):
        rows.append((name, *(f"{numbers['classes'][int(one.argmax())]} {one.max():.0%}" for one in own)))
    return Panel(
        name="answers",
        kind="table",
        title="What the pictures were taken for",
        caption="The most probable class of each picture and its probability, at each kept epoch. The untrained net of "
        "epoch 0 prefers some class for no reason.",
        alt=f"Table of {len(rows)} pictures by {len(columns)} epochs with the answer; {rows[0][0][:24]} ends as "
        f"{rows[0][-1]}, after {rows[0][1]} at the first of them.",
        scale="none",
        columns=("Picture", *(f"epoch {int(arrays['epochs'][column])}" for column in columns)),
        rows=tuple(rows),
    )


def _lines(artifact: Artifact) -> Panel:
    import numpy as np

    arrays, numbers = artifact.arrays, artifact.numbers
    settled = arrays["settled"].mean(axis=0)  # E
    return Panel(
        name="settling",
        kind="curves",
        title="When the maps settle",
        caption="How well the maps of the pictures' own classes agree with those at the end of training (correlation "
        "over positions), and how sharp they are (the share of a map in its strongest quarter), as means over "
        f"{len(numbers['names'])} pictures. An early rise of the first line means that what the maps go by was found "
        "early; it is 1 at the end by definition.",
        alt=f"Curves over kept epochs: agreement of {len(numbers['names'])} pictures' class maps with the end, from "
        f"{settled[0]:.2f} at epoch {int(arrays['epochs'][0])} to 1, and their sharpness.",
        values=np.stack([settled, arrays["sharpness"].mean(axis=0)]),  # 2 E
        x=arrays["epochs"],
        unit="correlation, or share",
        columns=("epoch",),
        row_labels=("agreement with the end", "sharpness"),
        joint=True,
    )


METHOD = Method(
    name="class_maps_epochs",
    title="Class maps while they form",
    caption="The maps by which a net scores a few pictures, from the untrained net to the end.",
    citation="lin2014",
    scope="training",
    version=1,
    params=Params,
    run=run,
    panels=panels,
    arrays={
        "epochs": "E",
        "pictures": "P x S x S x 3",
        "maps": "P x E x 2 x h x w",
        "probabilities": "P x E x K",
        "settled": "P x E",
        "sharpness": "P x E",
    },
    needs=frozenset({"class_maps", "checkpoints"}),
    tiny={"limit": 2},
)
