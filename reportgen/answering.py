"""Nets asked about pictures of a set, plain, in ten crops and damaged, and where they see evidence for a class.

Axes: N pictures, S the side of the net's input, K classes of the net, M pictures looked at again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from reportgen import corrupt, images, project, transform
from reportgen.corrupt import Corruption
from reportgen.errors import MethodError
from reportgen.records import Card, Layer, Net, Picture

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from reportgen.examples import Dataset


def probabilities(net: Net, logits: Tensor) -> np.ndarray:
    """The softmax of logits, N x K, in single precision at least."""
    if not bool(logits.isfinite().all()):
        raise MethodError(f"The net gives NaN or infinity ({net.card.arch}): its weights or values overflow.")
    found: np.ndarray = project.exact(logits.flatten(1)).softmax(1).cpu().numpy()  # N K
    return found


def ten_crops(net: Net, pictures: Sequence[Picture]) -> np.ndarray:
    """The mean probabilities over ten crops of each picture, N x K: corners and centre of its middle, and mirrored.

    The middle is the central square of the short side to which the net resizes.
    """
    import numpy as np

    wanted = net.card.preprocess
    side, size = max(wanted.resize, wanted.size), wanted.size
    squares = np.stack([images.view(picture, replace(wanted, size=side)) for picture in pictures])  # N R R 3
    far, middle = side - size, round((side - size) / 2)
    total = np.zeros((len(pictures), len(net.classes)))  # N K
    for whole in (squares, squares[:, :, ::-1]):  # mirrored before it is cut: the middle may lie half a pixel off
        for y, x in ((0, 0), (0, far), (far, 0), (far, far), (middle, middle)):
            crops = np.ascontiguousarray(whole[:, y : y + size, x : x + size])  # N S S 3
            given = transform.as_input(net, list(crops))  # N 3 S S
            total += probabilities(net, project.forward(net, given)["logits"])
    return total / 10


def damaged(
    net: Net, data: Dataset, places: Sequence[int], corruptions: Sequence[Corruption], noise: int
) -> np.ndarray:
    """What the net takes pictures for under each corruption, done to what it sees: pictures x corruptions, classes."""
    import numpy as np

    answers = np.zeros((len(places), len(corruptions)), dtype=np.int32)
    for row, place in enumerate(places):
        seed = int(np.random.default_rng([noise, place]).integers(2**63))
        views = list(corrupt.views(data.load(place).picture, net.card.preprocess, corruptions, "input", seed))
        for at in range(0, len(views), project.CHUNK):
            some = views[at : at + project.CHUNK]
            logits = project.forward(net, transform.as_input(net, some))["logits"]  # B K
            answers[row, at : at + len(some)] = probabilities(net, logits).argmax(1)
    return answers


def map_layer(card: Card) -> Layer | None:
    """The layer to take class maps from: the last convolution's, where the net has one."""
    last = card.resolve("last_conv") if "last_conv" in card.aliases else None
    return last if last is not None and len(last.shape) == 3 else None


def class_maps(net: Net, x: Tensor, targets: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Grad-CAM's sum at `map_layer` for each of L lists of targets, M x L x h x w, and probabilities, M x K.

    Signed and raw; a net without such a layer gives none, M x L x 0 x 0.
    """
    import numpy as np

    layer = map_layer(net.card)
    if layer is None:
        none = np.zeros((len(x), len(targets), 0, 0), np.float32)
        return none, probabilities(net, project.forward(net, x)["logits"])
    maps: list[np.ndarray] = []
    logits: Any = None
    for own in targets:
        value, gradient, logits = project.layer_gradient(net, x, own, layer.name)  # M C h w, same, M K
        alpha = project.exact(gradient).mean((2, 3), keepdim=True)  # M C 1 1
        maps.append(project.to_numpy((alpha * project.exact(value)).sum(1)))  # M h w
    return np.stack(maps, axis=1), probabilities(net, logits)  # M L h w
