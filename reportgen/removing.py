"""What a net makes of pictures whose pixels are exchanged one after the other, in the order of a map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from reportgen.errors import MethodError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from reportgen.records import Net


def ranks_of(values: NDArray[Any], draw: NDArray[Any]) -> NDArray[np.int64]:
    """The place of each pixel (H x W) in the order of a map, strongest first; equal ones by their draw (HW)."""
    import numpy as np

    order = np.lexsort((draw, -values.astype(np.float64).ravel()))
    ranks = np.empty(values.size, dtype=np.int64)
    ranks[order] = np.arange(values.size)
    return ranks.reshape(values.shape)  # H W


def curve(
    net: Net, begin: Tensor, end: Tensor, ranks: Any, targets: Sequence[int], first: Any, last: Any, steps: int
) -> NDArray[np.float64]:
    """The probability of each picture's class as its pixels change from `begin` to `end` in an order: N P."""
    import numpy as np
    import torch

    order = torch.from_numpy(ranks).to(begin.device)[:, None]  # N 1 S S
    points = [first]
    for step in range(1, steps):
        changed = order < round(step * ranks[0].size / steps)
        points.append(probabilities(net, torch.where(changed, end, begin), targets))
    return np.stack([*points, last], axis=1)  # N P


def probabilities(net: Net, x: Tensor, targets: Sequence[int]) -> NDArray[np.float64]:
    """The probability that the net gives each input's class, N."""
    import numpy as np

    from reportgen import project

    logits = project.exact(project.forward(net, x)["logits"]).double()  # N K
    found: NDArray[np.float64] = logits.softmax(1)[range(len(targets)), list(targets)].cpu().numpy()
    if not np.isfinite(found).all():
        raise MethodError(f"{net.card.arch} gives NaN or infinity for a picture with holes: its values overflow.")
    return found


def blurred(x: Tensor, sigma: float) -> Tensor:
    """The inputs (N 3 H W) under a Gaussian; beyond the edge they are as at the edge."""
    import torch
    from torch.nn import functional

    reach = max(1, round(3 * sigma))
    along = torch.arange(-reach, reach + 1, dtype=torch.float64)
    kernel = torch.exp(-(along**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).to(x.dtype).to(x.device)
    planes = functional.pad(x.flatten(0, 1)[:, None], (reach,) * 4, mode="replicate")  # N3 1 H+ W+
    soft = functional.conv2d(functional.conv2d(planes, kernel[None, None, :, None]), kernel[None, None, None])
    return soft.view(x.shape)  # N 3 H W


def area(curves: NDArray[Any]) -> NDArray[np.float64]:
    """The area under each curve (... P) over an axis from 0 to 1, by trapezoids."""
    found: NDArray[np.float64] = ((curves[..., 1:] + curves[..., :-1]) / 2).mean(axis=-1)
    return found
