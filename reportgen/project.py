"""From a value inside a net back to its pixels: gradients of logits, projections of units, cuts to receptive fields.

Everything is with respect to the normalised network input and raw: never rescaled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from reportgen import hooks, rules
from reportgen.errors import MethodError, NotApplicable
from reportgen.lean import lean
from reportgen.records import Layer, Net

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from reportgen.rules import Recording, Rule

Box = tuple[int, int, int, int]


def forward(net: Net, x: Tensor, layers: Sequence[str] = ()) -> dict[str, Tensor]:
    """The logits (N K, under "logits") and the values of layers by the names asked for, from one lean forward pass."""
    import torch

    quick = lean(net, layers)
    with torch.no_grad(), hooks.recorded(quick, layers) as values:
        logits = quick.module(x)  # N K
    return {**values, "logits": logits}


def input_gradient(net: Net, x: Tensor, targets: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The gradient of each picture's target logit with respect to the input, N x 3 x H x W, and those logits, N."""
    import torch

    x = x.detach().clone().requires_grad_()
    with torch.enable_grad():
        logits = lean(net).module(x)  # N K
        chosen = logits[torch.arange(len(x), device=x.device), torch.as_tensor(targets, device=x.device)]  # N
        # Pictures do not mix in eval mode: the gradient of the sum is each picture's own gradient.
        gradient = torch.autograd.grad(chosen.sum(), x)[0]
    return gradient, chosen.detach()


def layer_gradient(net: Net, x: Tensor, targets: Sequence[int], layer: str) -> tuple[Tensor, Tensor, Tensor]:
    """A layer's value, the gradient of each picture's target logit with respect to it (both N C h w), and the logits.

    The backward pass ends at the layer: what lies below it is run forward only.
    """
    import torch

    quick = lean(net, [layer])
    leaves: list[Tensor] = []

    def leaf(value: Tensor) -> Tensor:
        leaves.append(value.detach().requires_grad_())
        return leaves[0].clone()  # a later in-place call must not reach the leaf

    with torch.enable_grad(), hooks.replaced(quick, layer, leaf):
        logits = quick.module(x.detach())  # N K
        chosen = logits[torch.arange(len(x), device=x.device), torch.as_tensor(targets, device=x.device)]  # N
        gradient = torch.autograd.grad(chosen.sum(), leaves[0])[0]
    return leaves[0].detach(), gradient, logits.detach()


def record(net: Net, x: Tensor, layer: str) -> tuple[Recording, Tensor, Tensor]:
    """One forward pass to a layer, ready to go backward under any rule: the recording, the input, the layer's value."""
    x = x.detach().clone().requires_grad_()
    with rules.recording() as tape:
        value = hooks.run_to(net, x, [layer], grad=True)[layer]
    if not bool(value.isfinite().all()):
        raise MethodError(f"The net gives NaN or infinity in {layer} on this picture: check weights and preprocessing.")
    return tape, x, value


def project(tape: Recording, x: Tensor, value: Tensor, start: Tensor, rule: Rule) -> NDArray[np.float32]:
    """What a start value on a layer's value becomes in the input under a rule: N x 3 x H x W."""
    return to_numpy(tape.backward(value, x, start, rule))


def as_maps(value: Tensor, layer: Layer) -> NDArray[Any]:
    """The layer's value as maps, N C H W; a dense layer's neurons are maps of one position."""
    if value.ndim not in {2, 4}:
        raise NotApplicable(f"{layer.name} returns {value.ndim - 1} axes per picture: it has no units on a grid.")
    array = to_numpy(value)
    return array if value.ndim == 4 else array[:, :, None, None]  # N C H W, N D 1 1


def place(own: NDArray[Any], start: Any, layer: Layer) -> tuple[int, int]:
    """Where a unit's projection starts on its map: at its strongest place, the first of equal ones, or at [y, x]."""
    height, width = own.shape
    if isinstance(start, str) or own.size == 1:
        y, x = divmod(int(own.argmax()), width)
        return y, x
    if not (0 <= start[0] < height and 0 <= start[1] < width):
        raise MethodError(f"start: {list(start)} is outside the map of {layer.name}, which is {height} x {width}.")
    return start[0], start[1]


def seed(value: Tensor, chosen: Sequence[int], places: Sequence[tuple[int, int]], whole: bool) -> Tensor:
    """The layer's value with everything silenced but one unit per picture, at one place or as a whole map."""
    import torch

    out = torch.zeros_like(value)
    for n, (unit, spot) in enumerate(zip(chosen, places, strict=True)):
        own = value.detach()[n, unit]
        if not bool((own > 0).any()):
            continue  # it fires nowhere: nothing to project
        where = (n, unit, *spot) if own.ndim and not whole else (n, unit)
        out[where] = own[spot] if own.ndim and not whole else own
    return out


def cut(picture: NDArray[Any], box: Box) -> NDArray[Any]:
    """The part of ... x H x W inside a box, ... x h x w, with zeros where the box reaches outside."""
    import numpy as np

    y0, x0, y1, x1 = box
    height, width = picture.shape[-2:]
    out = np.zeros((*picture.shape[:-2], y1 - y0, x1 - x0), dtype=picture.dtype)  # ... h w
    top, left, bottom, right = max(y0, 0), max(x0, 0), min(y1, height), min(x1, width)
    if bottom > top and right > left:
        out[..., top - y0 : bottom - y0, left - x0 : right - x0] = picture[..., top:bottom, left:right]
    return out


def to_numpy(tensor: Tensor) -> NDArray[np.float32]:
    """The tensor as a float32 array on the CPU."""
    import numpy as np

    array: NDArray[np.float32] = tensor.detach().float().cpu().numpy()
    return np.ascontiguousarray(array)
