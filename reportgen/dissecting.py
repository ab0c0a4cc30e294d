"""How units' maps overlap with concepts, for any threshold that turns out right, from one look at each picture.

The threshold of a unit is a quantile over all pictures, known only at the end. So activations are counted in bins: for
each unit and concept, the grid's cells inside the concept, and those of all pictures that have the concept. A bin is a
sixteenth of an octave (the upper bits of a float, which need no range to be known), and five octaves below a unit's
largest value are kept; a unit's bins move up with its largest value, so that counts of several parts of a set can be
added and do not depend on how it was cut.

Axes: C units, K concepts, B bins (F finer ones, for the threshold), N pictures, G G cells of the grid, P = G*G.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reportgen.examples import Partial
from reportgen.records import Layer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

COARSE, FINE = 19, 16  # low bits of a float32 that are dropped: 16 and 128 bins per octave
PER_BIN = 1 << (COARSE - FINE)
BINS = 5 * 16  # five octaves
SPARE = BINS + 1
VALUES = 1 << 21  # activations counted at a time: what bounds the memory
STRONGEST = 4  # pictures kept for every unit


def count(
    value: Tensor, layer: Layer, size: int, concepts: Mapping[str, NDArray[np.bool_]], places: Sequence[int]
) -> Partial:
    """What the pictures of a batch add: `value` is the layer's, N C h w; `concepts` say where they are, N G G each."""
    import numpy as np
    import torch

    value = value.float()
    masks = np.stack([where.reshape(len(where), -1) for where in concepts.values()])  # K N P
    present: NDArray[np.bool_] = np.asarray(masks.any(axis=2))  # K N
    top = (value.amax(dim=(0, 2, 3)).clamp(min=0).view(torch.int32) >> COARSE).long()  # C
    inside, around = _inside(value, top, layer, size, masks, present)
    strength, order = value.amax(dim=(2, 3)).sort(dim=0, descending=True, stable=True)  # N C
    return {
        "names": _packed(list(concepts)),
        "pictures": present.sum(axis=1),  # K
        "pixels": masks.sum(axis=(1, 2)),  # K
        "inside": inside,
        "around": around,
        "levels": _levels(value, top),
        "positions": np.array([value[:, 0].numel()]),
        "top": top.cpu().numpy(),
        **_padded(strength.T.cpu().numpy(), np.array(places)[order.T.cpu().numpy()]),
    }


def _inside(
    value: Tensor, top: Tensor, layer: Layer, size: int, masks: NDArray[np.bool_], present: NDArray[np.bool_]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Cells by unit, concept and bin: those inside the concept, and those of all pictures that have it; C K B both."""
    import numpy as np
    import torch

    device, (units, kinds, pictures) = value.device, (value.shape[1], *present.shape)
    grid = round(masks.shape[2] ** 0.5)
    down, right = (torch.from_numpy(own).to(device) for own in spread(layer, size, grid))  # G h, G w
    planes = torch.from_numpy(_planes(masks) * SPARE).to(device)  # L N P
    having = torch.from_numpy(present).to(device).double()  # K N
    small = np.min_scalar_type(pictures * masks.shape[2])  # these two are nearly all of what is kept
    inside, around = (np.zeros((units, kinds, BINS), dtype=small) for _ in range(2))
    block = max(1, VALUES // (pictures * masks.shape[2]))
    for start in range(0, units, block):
        own = slice(start, min(start + block, units))
        level = _bins((down @ value[:, own] @ right.T).flatten(2), top[own, None], COARSE)  # N c P
        width = level.shape[1]
        unit = torch.arange(width, dtype=torch.int32, device=device)[:, None]  # c 1
        picture = torch.arange(pictures, dtype=torch.int32, device=device)[:, None, None]  # N 1 1
        seen = _tally((picture * width + unit) * SPARE + level, pictures * width * SPARE).view(pictures, -1)
        sums = having @ seen.double()  # K c*SPARE; exact: whole numbers
        around[own] = sums.view(kinds, width, SPARE).permute(1, 0, 2)[:, :, :BINS].cpu().numpy()
        level += unit * ((kinds + 1) * SPARE)
        most = width * (kinds + 1) * SPARE
        total = torch.zeros(most, dtype=torch.int64, device=device)
        for plane in planes:
            total += _tally(level + plane[:, None], most)
        inside[own] = total.view(width, kinds + 1, SPARE)[:, :kinds, :BINS].cpu().numpy()
    return inside, around


def _tally(numbers: Tensor, most: int) -> Tensor:
    """How often each number below `most` occurs. All are counted, with spare numbers for what is not wanted.

    That takes a sixth of the time of picking out first what is wanted.
    """
    import torch

    return torch.bincount(numbers.flatten(), minlength=most)


def _bins(values: Tensor, top: Tensor, bits: int) -> Tensor:
    """The bin of each value; the number of bins, a spare one, for what lies below all that are kept."""
    import torch

    per = 1 << (COARSE - bits)
    lowest = ((top - BINS + 1) * per).int()
    bins = (values.contiguous().view(torch.int32) >> bits) - lowest
    # A value drawn between others can come out the last bit above the largest: it belongs to the last bin.
    return torch.where((bins >= 0) & (values > 0), bins.clamp(max=BINS * per - 1), BINS * per)


def _levels(value: Tensor, top: Tensor) -> NDArray[np.int64]:
    """How many values of the layer itself each unit has in each fine bin, C F."""
    import torch

    units, number = value.shape[1], BINS * PER_BIN
    own = value.transpose(0, 1).flatten(1)  # C N*h*w
    unit = torch.arange(units, dtype=torch.int32, device=value.device)[:, None]
    found = _tally(_bins(own, top[:, None], FINE) + unit * (number + 1), units * (number + 1))
    counts: NDArray[Any] = found.view(units, number + 1)[:, :number].cpu().numpy()
    return counts


def spread(layer: Layer, size: int, grid: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What draws a layer's map (h w) on the grid, G h and G w: linear between the middles of its fields."""
    import numpy as np

    first, step = layer.places(size)
    found = []
    for axis in (0, 1):
        length = layer.shape[1 + axis]
        middles = (np.arange(grid) + 0.5) * size / grid - 0.5  # of the cells, in pixels of the input
        at = np.clip((middles - first[axis]) / step[axis], 0, length - 1)  # G
        found.append(np.maximum(0, 1 - abs(at[:, None] - np.arange(length))).astype(np.float32))  # G h
    return found[0], found[1]


def _planes(masks: NDArray[np.bool_]) -> NDArray[np.int32]:
    """The concepts of every cell as numbers, in as many planes as some cell has concepts, L N P; K for none."""
    import numpy as np

    many = np.zeros(masks.shape[1:], dtype=np.int64)  # N P: concepts so far
    planes = np.full((int(masks.sum(axis=0).max()), *many.shape), len(masks), dtype=np.int32)
    for concept, where in enumerate(masks):
        picture, cell = np.nonzero(where)
        planes[many[picture, cell], picture, cell] = concept
        many += where
    return planes


def _padded(strength: NDArray[Any], places: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """The strongest few pictures of each unit, C 4 both; zero and -1 where there are fewer or nothing fires."""
    import numpy as np

    missing = [(0, 0), (0, max(0, STRONGEST - strength.shape[1]))]
    strength = np.pad(np.maximum(strength, 0), missing)[:, :STRONGEST]
    places = np.pad(places, missing)[:, :STRONGEST]
    return {"strength": strength, "places": np.where(strength > 0, places, -1)}


def _packed(names: Sequence[str]) -> NDArray[np.uint8]:
    """Names as bytes, since partial results are arrays."""
    import numpy as np

    return np.frombuffer("\n".join(names).encode(), dtype=np.uint8)


def names_of(partial: Partial) -> list[str]:
    """The names of the K concepts."""
    return bytes(partial["names"]).decode().split("\n")


# -------------------------------------------------------------------------------------------------- joining


def merge(partials: Sequence[Partial]) -> Partial:
    """The counts of several parts of a set together."""
    import numpy as np

    names = sorted({name for partial in partials for name in names_of(partial)})
    top = np.max([partial["top"] for partial in partials], axis=0)  # C
    shape = (len(top), len(names), BINS)
    inside, around = np.zeros(shape, np.uint32), np.zeros(shape, np.uint32)
    levels = np.zeros((len(top), BINS * PER_BIN), np.int64)
    pictures, pixels = np.zeros(len(names), np.int64), np.zeros(len(names), np.int64)
    for partial in partials:
        own = [names.index(name) for name in names_of(partial)]
        lower = top - partial["top"]
        inside[:, own] += _moved(partial["inside"], lower)
        around[:, own] += _moved(partial["around"], lower)
        levels += _moved(partial["levels"], lower * PER_BIN)
        pictures[own] += partial["pictures"]
        pixels[own] += partial["pixels"]
    strength = np.concatenate([partial["strength"] for partial in partials], axis=1)  # C 4 or more
    places = np.concatenate([partial["places"] for partial in partials], axis=1)
    order = np.argsort(-strength, axis=1, kind="stable")
    return {
        "names": _packed(names),
        "pictures": pictures,
        "pixels": pixels,
        "inside": inside,
        "around": around,
        "levels": levels,
        "positions": np.sum([partial["positions"] for partial in partials], axis=0),
        "top": top,
        **_padded(np.take_along_axis(strength, order, 1), np.take_along_axis(places, order, 1)),
    }


def _moved(counts: NDArray[Any], lower: NDArray[Any]) -> NDArray[Any]:
    """Counts (C ... B) whose last bin becomes lower by so many bins, C; what falls out below is no longer needed."""
    import numpy as np

    number = counts.shape[-1]
    at = np.arange(number) + lower[:, None]  # C B
    at = at.reshape(len(lower), *[1] * (counts.ndim - 2), number)
    found = np.take_along_axis(counts, np.minimum(at, number - 1), axis=-1)
    return np.where(at < number, found, 0).astype(counts.dtype)


# ---------------------------------------------------------------------------------------------------- results


def thresholds(partial: Partial, quantile: float) -> NDArray[np.float32]:
    """The value that this share of each unit's values exceeds, C, exact to a 128th of an octave.

    At least the lowest value kept, a 32nd of the largest: a unit that fires in fewer places has them all above.
    Infinite for a unit that never fires.
    """
    import numpy as np

    wanted = quantile * float(partial["positions"][0])
    levels = partial["levels"]  # C F
    above = levels[:, ::-1].cumsum(axis=1)[:, ::-1]  # C F: values in this bin and those over it
    at = np.maximum((above >= wanted).sum(axis=1) - 1, 0)  # C: the bin that holds the threshold
    rows = np.arange(len(at))
    missing = (wanted - (above[rows, at] - levels[rows, at])) / np.maximum(levels[rows, at], 1)
    low, high = _edges(partial["top"], at, FINE)
    found = np.where(above[:, 0] >= wanted, high - missing * (high - low), low)
    return np.where(partial["top"] > 0, found, np.inf).astype(np.float32)


def overlaps(partial: Partial, threshold: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union of each unit's cells above its threshold (C) and each concept, C K.

    The unit's cells count in pictures that have the concept.
    """
    import numpy as np

    fires = np.isfinite(threshold)
    value = np.where(fires, threshold, 1).astype(np.float32)
    at = np.clip((value.view(np.int32) >> COARSE) - (partial["top"] - BINS + 1), 0, BINS - 1)  # C
    low, high = _edges(partial["top"], at, COARSE)
    share = np.clip((high - value) / (high - low), 0, 1)  # of the threshold's own bin, taken as evenly filled
    weights = np.where(np.arange(BINS) > at[:, None], 1.0, 0.0)  # C B
    weights[np.arange(len(at)), at] = share
    inside, around = (np.einsum("ckb,cb->ck", partial[name], weights) for name in ("inside", "around"))
    union = partial["pixels"] + around - inside
    return np.where(fires[:, None], inside / np.maximum(union, 1), 0).astype(np.float32)


def _edges(top: NDArray[Any], at: NDArray[Any], bits: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The least value of each unit's bin, and of the bin above it."""
    import numpy as np

    first = np.maximum((top - BINS + 1) * (1 << (COARSE - bits)) + at, 0).astype(np.int32)  # C
    low, high = ((number << bits).astype(np.int32).view(np.float32) for number in (first, first + 1))
    return low.astype(np.float64), high.astype(np.float64)
