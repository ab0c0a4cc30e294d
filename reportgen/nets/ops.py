"""What each tensor operation does to positions, depth and arithmetic; used by the tracer, which meets them all.

An operation that is not listed here, is not pointwise, and is not made of such, has an output without positions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from reportgen.nets import fields, reshapes
from reportgen.nets.fields import NOWHERE, Shape
from reportgen.nets.values import Args, Effect, Kind, Look, Node, Rule

if TYPE_CHECKING:
    from torch import Tensor


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


RECTIFY = _words("relu threshold clamp_min")
ACTIVATIONS = _words(
    "gelu silu hardswish hardsigmoid hardtanh relu6 sigmoid tanh elu selu celu leaky_relu prelu _prelu_kernel rrelu"
    " softplus mish log_sigmoid logsigmoid hardshrink softshrink clamp clamp_max"
)
POINTWISE = RECTIFY | ACTIVATIONS | {"copy"}  # not all of them carry PyTorch's own tag
CONSTANTS = _words(
    "zeros_like ones_like empty_like full_like rand_like randn_like new_zeros new_ones new_empty new_full size"
    " sym_size shape"
)


def pointwise(nodes: Sequence[Node], shape: Shape, name: str) -> Effect:
    """The effect of an operation on corresponding elements.

    A factor of one number per channel (squeeze and excitation) is a gate: although it has seen the whole picture, it
    does not count into the receptive field or the depth, which are those of the map it scales.
    """
    kind: Kind = "rectify" if name in RECTIFY else "activation" if name in ACTIVATIONS else "other"
    aligned = [fields.broadcast(node.grid, node.shape, shape) for node in nodes]
    maps = [grid for grid in aligned if grid.axes is not None]
    if not maps:
        return Effect(NOWHERE, kind)
    y, x = maps[0].axes or (0, 0)
    gates, whole = set(), False
    for node, grid in zip(nodes, aligned, strict=True):
        if grid.axes is None:
            sizes = (1,) * (len(shape) - len(node.shape)) + node.shape
            if name in ("mul", "div") and sizes[y] == sizes[x] == 1:
                gates.add(node.id)
            else:
                whole = True
    joined = fields.union(maps)
    return Effect(fields.blind(joined) if whole else joined, kind, gates=frozenset(gates))


def convolution(args: Args, look: Look, out: Tensor) -> Effect:
    """A convolution: a window, and two FLOPs per multiply-add; transposed, the positions lie closer."""
    node, weight = look(args["input"]), args["weight"]
    transposed = bool(args.get("transposed", False))
    per_place = args["input"] if transposed else out
    flops = 2 * math.prod(per_place.shape) * math.prod(weight.shape[1:])
    if node is None or node.grid.axes != (2, 3) or out.ndim != 4:
        return Effect(NOWHERE, "conv", flops=flops)
    kernel, step = weight.shape[2:], _pair(args["dilation"])
    if transposed:
        closer = fields.spread(node.grid, kernel, _pair(args["stride"]), _pair(args["padding"]), step)
        return Effect(closer if look(weight) is None else fields.blind(closer), "conv", flops=flops)
    padding = args["padding"]
    if padding == "same":
        padding = [(k - 1) * d // 2 for k, d in zip(kernel, step, strict=True)]
    pad = (0, 0) if padding == "valid" else _pair(padding)
    grid = fields.window(node.grid, kernel, _pair(args["stride"]), pad, step)
    return Effect(grid if look(weight) is None else fields.blind(grid), "conv", flops=flops)


def dense(args: Args, look: Look, out: Tensor) -> Effect:
    """A dense layer over the last axis; positions stay where they are on other axes (ConvNeXt)."""
    x, weight = args["input"], args["weight"]
    node = look(x)
    keeps = node is not None and node.grid.axes is not None and x.ndim - 1 not in node.grid.axes
    grid = node.grid if node is not None and keeps else NOWHERE
    return Effect(grid, "dense", flops=2 * math.prod(out.shape) * weight.shape[-1])


def matrix_product(args: Args, look: Look, out: Tensor) -> Effect:
    """A product with a constant matrix is a dense layer; one of two values of the net is not."""
    left = args["mat1"] if "mat1" in args else args["self"]
    if look(args["mat2"]) is not None:
        return Effect(NOWHERE)
    return Effect(NOWHERE, "dense", flops=2 * math.prod(out.shape) * left.shape[-1])


def max_pool(args: Args, look: Look, _: Any) -> Effect:
    """A max pooling: a window."""
    node = look(args["self"])
    if node is None or node.grid.axes != (2, 3):
        return Effect(NOWHERE)
    kernel = _pair(args["kernel_size"])
    stride = _pair(args["stride"]) if args["stride"] else kernel
    return Effect(fields.window(node.grid, kernel, stride, _pair(args["padding"]), _pair(args["dilation"])))


def average_pool(args: Args, look: Look, out: Tensor) -> Effect:
    """An average pooling: a window, or the global pooling where that window is the whole map."""
    effect = max_pool({"dilation": (1, 1), **args}, look, out)
    if out.shape[2:] == (1, 1) and _pair(args["kernel_size"]) == tuple(args["self"].shape[2:]):
        return Effect(NOWHERE, "global_pool", pooled=True)
    return effect


def adaptive_pool(args: Args, look: Look, out: Any) -> Effect:
    """An adaptive average pooling: nothing where the size is right already, else the end of the stages."""
    x, node = args["self"], look(args["self"])
    if node is None or node.grid.axes != (2, 3) or not hasattr(out, "shape"):
        return Effect(NOWHERE, pooled=True)
    if out.shape[2:] == (1, 1):
        return Effect(NOWHERE, "global_pool", pooled=True)
    if out.shape[2:] == x.shape[2:]:
        return Effect(node.grid, "same", pooled=True)
    factor = (x.shape[2] // out.shape[2], x.shape[3] // out.shape[3])
    if (x.shape[2], x.shape[3]) != (factor[0] * out.shape[2], factor[1] * out.shape[3]):
        return Effect(NOWHERE, pooled=True)  # its windows have several sizes
    return Effect(fields.window(node.grid, factor, factor, (0, 0), (1, 1)), pooled=True)


def adaptive_max_pool(args: Args, look: Look, out: Any) -> Effect:
    """An adaptive max pooling: as the average, but no global average."""
    effect = adaptive_pool(args, look, out[0])
    return replace(effect, kind="other") if effect.kind == "global_pool" else effect


def depth_pool(args: Args, look: Look, _: Any) -> Effect:
    """An average pooling of channels, as local response normalisation uses it; others lose the positions."""
    node = look(args["self"])
    over_channels = tuple(args["kernel_size"])[1:] == (1, 1) and not any(tuple(args["padding"])[1:])
    if node is None or node.grid.axes != (3, 4) or not over_channels:
        return Effect(NOWHERE)
    return Effect(node.grid)


def reduction(args: Args, look: Look, _: Any) -> Effect:
    """A mean, sum or maximum over axes."""
    x, node = args["self"], look(args["self"])
    if node is None:
        return Effect(NOWHERE)
    given = args.get("dim")
    axes = range(x.ndim) if given is None or given == [] else [given] if isinstance(given, int) else given
    axes = [axis % x.ndim for axis in axes]
    grid = fields.reduced(node.grid, axes, bool(args.get("keepdim", False)))
    if node.grid.axes is not None and set(axes) == set(node.grid.axes) and args["name"] == "mean":
        return Effect(grid, "global_pool", pooled=True)
    return Effect(grid, pooled=True if grid.axes is None else None)


def normalisation(args: Args, look: Look, _: Any) -> Effect:
    """Batch norm (with stored statistics), layer norm over channels: pointwise; any other: sees the whole picture."""
    x = args["input"]
    node = look(x)
    if node is None or node.grid.axes is None:
        return Effect(NOWHERE)
    if args["name"] == "layer_norm":
        normed = range(x.ndim - len(args["normalized_shape"]), x.ndim)
        return Effect(fields.blind(node.grid) if set(normed) & set(node.grid.axes) else node.grid)
    fixed = args["name"] == "batch_norm" and not args["training"]
    return Effect(node.grid if fixed else fields.blind(node.grid))


def softmax(args: Args, look: Look, _: Any) -> Effect:
    """A softmax over channels is pointwise for positions; over y or x every position sees the whole picture."""
    node = look(args["self"])
    if node is None or node.grid.axes is None:
        return Effect(NOWHERE, "activation")
    over_map = args["dim"] % len(node.shape) in node.grid.axes
    return Effect(fields.blind(node.grid) if over_map else node.grid, "activation")


def _pair(value: Any) -> tuple[int, int]:
    values = [value] * 2 if isinstance(value, int) else list(value)
    return (int(values[0]), int(values[-1]))


_RULES: tuple[tuple[str, Rule], ...] = (
    ("conv1d conv2d conv3d convolution", convolution),
    ("linear", dense),
    ("addmm mm", matrix_product),
    ("max_pool2d max_pool2d_with_indices", max_pool),
    ("avg_pool2d", average_pool),
    ("adaptive_avg_pool2d _adaptive_avg_pool2d", adaptive_pool),
    ("adaptive_max_pool2d", adaptive_max_pool),
    ("avg_pool3d", depth_pool),
    ("mean sum amax amin", reduction),
    ("batch_norm layer_norm group_norm instance_norm", normalisation),
    ("softmax _softmax log_softmax _log_softmax", softmax),
    ("clone contiguous detach alias to _to_copy dropout feature_dropout alpha_dropout", reshapes.same),
    ("view reshape _unsafe_view flatten unflatten squeeze unsqueeze", reshapes.view),
    ("permute transpose t", reshapes.permutation),
    ("expand", reshapes.expansion),
    ("select slice split split_with_sizes chunk unbind", reshapes.selection),
    ("constant_pad_nd", reshapes.padding),
    ("cat concat concatenate stack", reshapes.concatenation),
)
RULES: dict[str, Rule] = {name: rule for names, rule in _RULES for name in _words(names)}
