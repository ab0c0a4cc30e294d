"""From a value inside a net back to its pixels: gradients of logits, projections of units, cuts to receptive fields.

Everything is with respect to the normalised network input and raw: never rescaled.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from reportgen import backward, hooks, tape, windows
from reportgen.errors import MethodError, NotApplicable
from reportgen.lean import lean
from reportgen.records import Layer, Net
from reportgen.windows import Window

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from reportgen.rules import Rule
    from reportgen.tape import Tape

Box = tuple[int, int, int, int]
CHUNK = 16  # inputs per pass where there are many; 8 take 1.03 (vgg16) to 1.12 (resnet50) of the time on a CPU
POOLINGS = frozenset({"mean", "avg_pool2d", "adaptive_avg_pool2d", "_adaptive_avg_pool2d"})  # operators of aten


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


def record(net: Net, x: Tensor, layer: str) -> tuple[Tape, Tensor]:
    """One picture's pass to a layer (x is 1 x 3 x H x W), ready to go backward from units, and the layer's value."""
    recorded = tape.record(net, x, [layer], stop=True)
    value = recorded.value(recorded.output)
    if not bool(value.isfinite().all()):
        raise MethodError(f"The net gives NaN or infinity in {layer} on this picture: check weights and preprocessing.")
    return recorded, value


def projections(
    recorded: Tape,
    chosen: Sequence[int],
    places: Sequence[tuple[int, int]] | None,
    boxes: Sequence[Box],
    asked: Sequence[Rule],
) -> dict[Rule, NDArray[np.float32]]:
    """What units of the value at the tape's end become in the input, under each rule and cut to boxes: U x 3 x h x w.

    A unit starts with its activation at its place, all others silent; with its whole map where places are None. One
    that fires nowhere has nothing to project: zero. All boxes have one size.
    """
    import numpy as np

    seeds = _seeds(recorded.value(recorded.output), chosen, places)
    y0, x0, y1, x1 = np.array(boxes, dtype=np.int64).T
    size = (int(y1[0] - y0[0]), int(x1[0] - x0[0]))
    found = backward.project(recorded, recorded.output, seeds, asked)
    return {rule: to_numpy(windows.placed(window, (y0, x0), size)) for rule, window in found.items()}


def _seeds(value: Tensor, chosen: Sequence[int], places: Sequence[tuple[int, int]] | None) -> Window:
    """One window per unit on the layer's value: one place of it, or the whole map, with all other units at zero."""
    import numpy as np
    import torch

    own = value[0, list(chosen)]  # U H W, or U
    starts = np.array(places if places is not None else [(0, 0)] * len(chosen), dtype=np.int64)
    if value.ndim == 4 and places is not None:
        own = own[torch.arange(len(chosen)), starts[:, 0], starts[:, 1]][:, None, None]  # U 1 1
    fires = (value[0, list(chosen)].flatten(1) if value.ndim == 4 else value[0, list(chosen), None]).amax(1) > 0  # U
    data = value.new_zeros(len(chosen), value.shape[1], *own.shape[1:])  # U C h w, or U D
    data[torch.arange(len(chosen)), list(chosen)] = torch.where(fires.view(-1, *[1] * (own.ndim - 1)), own, 0)
    return Window(starts[:, 0], starts[:, 1], data)


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


def gradient_sums(
    net: Net, x: Tensor, targets: Sequence[int], points: Iterable[tuple[Tensor, int, int, float]], groups: int
) -> Tensor:
    """Weighted sums of input gradients at many points around the pictures x, G x 3 x H x W, in a fixed memory.

    A point is an input (3 x H x W), the number of its picture, the sum it goes to, and its weight there; points are
    drawn as they are needed. `targets` are those of the pictures.
    """
    import torch

    sums = torch.zeros_like(exact(x[:1])).repeat(groups, 1, 1, 1)  # G 3 H W
    waiting = iter(points)
    while chunk := list(islice(waiting, CHUNK)):
        inputs = torch.stack([point for point, _, _, _ in chunk])  # B 3 H W
        gradients, _ = input_gradient(net, inputs, [targets[picture] for _, picture, _, _ in chunk])
        # One by one: index_add on a GPU adds in an order of its own, and the last bits would change from run to run.
        for gradient, (_, _, group, weight) in zip(exact(gradients), chunk, strict=True):
            sums[group].add_(gradient, alpha=weight)
    if not bool(sums.isfinite().all()):
        raise MethodError(f"The gradient of {net.card.arch} holds NaN or infinity: its weights or values overflow.")
    return sums


def class_weights(net: Net, x: Tensor, targets: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """What a net's global average pooling is given, N C h w, the target's weights of the dense layer, N C, the logits.

    For nets that end in global average pooling and one dense layer (`card.global_pooling`). The maps are taken where
    the pooling is called: what it is given need not be what any module returned (DenseNet rectifies in between).
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    given: list[tuple[Tensor, Tensor]] = []  # of every global pooling: its maps, its means

    class Mode(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            if func.overloadpacket.__name__ in POOLINGS and args[0].ndim == 4:
                n, c = args[0].shape[:2]
                if out.shape in {(n, c), (n, c, 1, 1)}:
                    given.append((args[0].clone(), out.flatten(1)))
            return out

    with Mode():  # type: ignore[no-untyped-call]
        pooled, weights, logits = layer_gradient(net, x, targets, net.card.aliases["penultimate"])  # N C (1 1)
    if not given or not torch.equal(given[-1][1], pooled.flatten(1)):  # squeeze-and-excitation blocks pool before it
        raise NotApplicable(f"The maps that {net.card.arch} averages before its last layer could not be found.")
    return given[-1][0], weights.flatten(1), logits


def exact(tensor: Tensor) -> Tensor:
    """The tensor in single precision at least: sums of many bfloat16 values would lose their last terms."""
    import torch

    return tensor if tensor.dtype == torch.float64 else tensor.float()


def enlarged(coarse: NDArray[Any], size: int, places: Sequence[Sequence[float]]) -> NDArray[np.float32]:
    """A layer's maps, N x h x w, at the size of the input, N x S x S: each value where the middle of its field lies.

    `places` are the layer's (`Layer.places`). Bilinear in between; outside of the middles as at the nearest position.
    """
    import numpy as np

    drawn = np.asarray(coarse, dtype=np.float64)
    for axis, (first, step) in zip((1, 2), zip(*places, strict=True), strict=True):
        at = np.clip((np.arange(size) - first) / step, 0, coarse.shape[axis] - 1)  # S, in positions
        low = np.minimum(at.astype(int), max(coarse.shape[axis] - 2, 0))
        high = np.minimum(low + 1, coarse.shape[axis] - 1)
        share = (at - low).reshape(-1, 1) if axis == 1 else at - low
        drawn = drawn.take(low, axis) * (1 - share) + drawn.take(high, axis) * share  # N S w, then N S S
    return np.ascontiguousarray(drawn, dtype=np.float32)
