"""What of a picture is hidden to ask whether a net looks at the object or at its surroundings: holes, N S S each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reportgen.errors import MethodError
from reportgen.records import Net

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from reportgen.examples import Mask

    Holes = NDArray[np.bool_]
else:
    Holes = Mask = Any

PICTURES = 4  # in one pass, each in four ways
SEEN = ("whole", "object blanked", "object alone", "hole elsewhere")


def holes(mask: Mask, grow: int, shift: tuple[int, int]) -> Holes:
    """What is hidden in each of the four ways of SEEN, 4 S S: nothing, the object, all else, as much of all else."""
    import numpy as np

    wide = grown(mask, grow)
    return np.stack([np.zeros_like(mask), wide, ~mask, np.roll(wide, shift, (0, 1)) & ~mask])


def grown(mask: Mask, pixels: int) -> Mask:
    """The mask and all within so many pixels of it, along rows, columns and both."""
    import numpy as np

    found = np.asarray(mask)
    for axis in (0, 1):
        border = [(pixels, pixels) if other == axis else (0, 0) for other in (0, 1)]
        padded = np.pad(found, border)
        length = found.shape[axis]
        found = np.any([padded.take(range(i, i + length), axis) for i in range(2 * pixels + 1)], axis=0)
    return found


def elsewhere(mask: Mask, grow: int, rng: np.random.Generator) -> tuple[int, int]:
    """How far (down, right) the grown mask is moved, around the edges, to cover least of the mask.

    One of the best places by lot.
    """
    import numpy as np

    moving = np.conj(np.fft.rfft2(grown(mask, grow).astype(float)))
    covered = np.rint(np.fft.irfft2(np.fft.rfft2(mask.astype(float)) * moving, s=mask.shape))  # S S: by shift
    best = np.argwhere(covered == covered.min())
    down, right = best[int(rng.integers(len(best)))].tolist()
    return down, right


def scores(
    net: Net, x: Tensor, gaps: Holes, targets: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The probability of each picture's class, and whether the net names it, with each of its holes: N 4 both."""
    import numpy as np
    import torch

    from reportgen import project

    ways = len(SEEN)
    found = [np.zeros((0, ways), np.float32)]
    named = [np.zeros((0, ways), np.bool_)]
    for start in range(0, len(x), PICTURES):
        some = slice(start, start + PICTURES)
        hidden = torch.from_numpy(gaps[some]).to(x.device)  # n 4 S S
        seen = x[some, None].masked_fill(hidden[:, :, None], 0).flatten(0, 1)  # n*4 3 S S
        logits = project.exact(project.forward(net, seen)["logits"])  # n*4 K
        if not bool(logits.isfinite().all()):
            raise MethodError(f"The logits of {net.card.arch} hold NaN or infinity: its weights or values overflow.")
        own = torch.from_numpy(targets[some].repeat(ways)).to(x.device)[:, None]  # n*4 1
        found.append(project.to_numpy(logits.softmax(1).gather(1, own)).reshape(-1, ways))
        named.append((logits.argmax(1, keepdim=True) == own).cpu().numpy().reshape(-1, ways))
    return np.concatenate(found), np.concatenate(named)


def in_view(net: Net, mask: Mask | None) -> Mask:
    """The object's mask as the net sees it, S S; empty for a picture without one."""
    import numpy as np

    from reportgen import images

    side = net.card.preprocess.size
    return np.zeros((side, side), np.bool_) if mask is None else images.view_mask(mask, net.card.preprocess)
