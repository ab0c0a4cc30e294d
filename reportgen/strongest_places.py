"""Where in a data set each unit of a layer fires most: found batch by batch, cut out, and projected back.

A unit's value on a picture is its largest activation over all positions; a picture gives a unit one place at most.
Equal values go to the earlier picture, and on one picture to the first position, so that it makes no difference how the
set was cut into batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reportgen import hooks, images, palettes, project
from reportgen.errors import MethodError, NotApplicable
from reportgen.lean import lean

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from reportgen.examples import Dataset, Partial
    from reportgen.records import Layer, Net
    from reportgen.rules import Rule

STORED = 96  # side of the largest patch that is kept, in pixels: a picture of 224 keeps its shapes


def of_batch(value: Tensor, places: Sequence[int], most: int, layer: str) -> Partial:
    """The `most` strongest pictures of a batch for every unit, from the layer's value (N C H W, or N D).

    Gives `activations` and `images` (U P), `positions` (U P 2), the `total` of each unit's values, and how many
    `pictures` that were.
    """
    import numpy as np
    import torch

    if value.ndim not in {2, 4}:
        raise NotApplicable(f"{layer} returns {value.ndim - 1} axes per picture: it has no units on a grid.")
    maps = value if value.ndim == 4 else value[:, :, None, None]  # N U H W
    # By rows first, channels last: finding places is several times slower than finding values, and rows are few.
    best, row = maps.permute(0, 2, 3, 1).amax(dim=2).max(dim=1)  # N U, the first of equal ones
    if not bool(best.isfinite().all()):
        raise MethodError(f"The net gives NaN or infinity in {layer}: its weights are damaged or overflow.")
    order = best.sort(dim=0, descending=True, stable=True).indices[:most]  # P U, equal ones in the order of the set
    y = row.gather(0, order)  # P U
    x = maps[order, torch.arange(maps.shape[1], device=maps.device), y].argmax(dim=2)  # P U
    best = project.exact(best)
    return {
        "activations": np.ascontiguousarray(best.gather(0, order).T.cpu().numpy()),  # U P
        "images": np.asarray(places, dtype=np.int64)[order.T.cpu().numpy()],  # U P
        "positions": torch.stack([y.T, x.T], dim=2).cpu().numpy(),  # U P 2
        "total": best.double().sum(dim=0).cpu().numpy(),  # U
        "pictures": np.array([len(best)]),
        "most": np.array([most]),
    }


def joined(partials: Sequence[Partial]) -> Partial:
    """What several batches gave as one."""
    import numpy as np

    values, places = (np.concatenate([one[name] for one in partials], axis=1) for name in ("activations", "images"))
    most = int(partials[0]["most"][0])
    order = np.lexsort((places, -values), axis=1)[:, :most]  # U P, strongest first, equal ones in the order of the set
    positions = np.concatenate([one["positions"] for one in partials], axis=1)
    return {
        "activations": np.take_along_axis(values, order, axis=1),
        "images": np.take_along_axis(places, order, axis=1),
        "positions": np.take_along_axis(positions, order[:, :, None], axis=1),
        "total": np.sum([one["total"] for one in partials], axis=0),
        "pictures": np.sum([one["pictures"] for one in partials], axis=0),
        "most": np.array([most]),
    }


@dataclass(frozen=True)
class Places:
    """Some units of a layer and where each fires most."""

    layer: Layer
    units: Sequence[int]  # S
    images: NDArray[np.int64]  # S P, places in the data set
    positions: NDArray[np.int64]  # S P 2, on the layer's map

    def boxes(self, size: int) -> NDArray[np.int64]:
        """What each position sees of the net's input, S P 4; the whole picture where the field is larger than it."""
        import numpy as np

        field = self.layer.field
        whole = field is None or max(field) > size
        found = [[(0, 0, size, size) if whole else self.layer.box(p, size) for p in own] for own in self.positions]
        return np.array(found, dtype=np.int64)

    def by_picture(self) -> Iterator[tuple[int, list[tuple[int, int]]]]:
        """Every picture that is there, with the pairs of unit and place (s, p) that it stands at."""
        import numpy as np

        for image in np.unique(self.images):
            yield int(image), [(int(s), int(p)) for s, p in np.argwhere(self.images == image)]


def looked_at(
    net: Net, data: Dataset, places: Places, rule: Rule
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.int64]]:
    """The patches that places see (S P 3 h w bytes, grey outside of the picture), their projections, and the boxes.

    Each picture is loaded once, and one pass over it serves all units that it excites.
    """
    import numpy as np

    boxes = places.boxes(net.card.preprocess.size)
    size = kept(int(boxes[0, 0, 2] - boxes[0, 0, 0]), int(boxes[0, 0, 3] - boxes[0, 0, 1]))
    patches = np.zeros((*places.images.shape, 3, *size), dtype=np.uint8)
    projections = np.zeros(patches.shape, dtype=np.float32)
    for image, spots in places.by_picture():
        picture = data.load(image).picture
        seen = np.rint(images.view(picture, net.card.preprocess).transpose(2, 0, 1) * 255)  # 3 S S
        own = [boxes[spot] for spot in spots]
        cut = np.stack([_cut(seen, box) for box in own])
        back = _projected(net, net.preprocess([picture]), places, spots, [tuple(box) for box in own], rule)
        for spot, patch, projection in zip(spots, shrunk(cut), shrunk(back), strict=True):
            patches[spot] = np.clip(np.rint(patch), 0, 255)
            projections[spot] = projection
    return patches, projections, boxes


def kept(height: int, width: int) -> tuple[int, int]:
    """The size at which a patch is kept."""
    scale = min(1.0, STORED / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def shrunk(tiles: NDArray[Any]) -> NDArray[np.float32]:
    """Pictures (N 3 h w) at the size at which they are kept: large ones are averaged down."""
    import numpy as np
    import torch
    from torch.nn import functional

    size = kept(*tiles.shape[-2:])
    found = torch.from_numpy(np.ascontiguousarray(tiles, dtype=np.float32))
    if size != tiles.shape[-2:]:
        found = functional.interpolate(found, size, mode="bilinear", antialias=True)  # N 3 h w
    return project.to_numpy(found)


def _cut(picture: NDArray[Any], box: Any) -> NDArray[Any]:
    """The part of 3 x S x S inside a box, mid-grey where it reaches outside."""
    box = tuple(int(edge) for edge in box)
    return project.cut(picture - palettes.MID_GREY, box) + palettes.MID_GREY


def _projected(
    net: Net, x: Tensor, places: Places, spots: Sequence[tuple[int, int]], boxes: Sequence[Any], rule: Rule
) -> NDArray[np.float32]:
    """What units become in one picture, each from its own place, cut to its box: N 3 h w."""
    chosen = [places.units[s] for s, _ in spots]
    starts = [(int(places.positions[spot][0]), int(places.positions[spot][1])) for spot in spots]
    if not net.card.rectified:
        return _plain_gradients(net, x, places.layer.name, chosen, starts, boxes)
    tape, _ = project.record(net, x, places.layer.name)
    return project.projections(tape, chosen, starts, boxes, [rule])[rule]


def _plain_gradients(
    net: Net, x: Tensor, layer: str, chosen: Sequence[int], starts: Sequence[tuple[int, int]], boxes: Sequence[Any]
) -> NDArray[np.float32]:
    """The same by the ordinary gradient, on nets to whose activation functions the rules do not apply."""
    import numpy as np
    import torch

    found = []
    for first in range(0, len(chosen), project.CHUNK):
        units, (ys, xs) = (
            chosen[first : first + project.CHUNK],
            zip(*starts[first : first + project.CHUNK], strict=True),
        )
        many = x.repeat(len(units), 1, 1, 1).requires_grad_()  # N 3 S S
        value = hooks.run_to(lean(net, [layer]), many, [layer], grad=True)[layer]
        own = value.flatten(2) if value.ndim == 4 else value[:, :, None]  # N C HW
        at = torch.tensor(ys) * (value.shape[-1] if value.ndim == 4 else 1) + torch.tensor(xs)
        fired = own[torch.arange(len(units)), list(units), at.to(own.device)]  # N
        gradient = torch.autograd.grad((fired * fired.detach()).sum(), many)[0]
        found += list(project.to_numpy(gradient))
    return np.stack([project.cut(one, box) for one, box in zip(found, boxes, strict=True)])
