"""Torch's own layers for operations that are one: what has weights, rectifies or pools, and dropout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from reportgen.nets import same
from reportgen.nets.program import Operation, Weight

_Tensors = Callable[[str], Tensor]


def leaf(op: Operation, tensor: _Tensors) -> nn.Module | None:
    """The layer that does what the operation does, with the file's tensors; None where there is none for it."""
    if op.target in same.LAYERS:
        return same.LAYERS[op.target](*op.args[1:])
    make = _LEAVES.get(op.target.partition(".")[0].removesuffix("_"))
    return None if make is None else make(op, _by_name(op), tensor)


def _by_name(op: Operation) -> dict[str, Any]:
    name, _, overload = op.target.partition(".")
    schema = getattr(getattr(torch.ops.aten, name), overload)._schema.arguments
    defaults = {entry.name: entry.default_value for entry in schema if entry.has_default_value()}
    return defaults | {entry.name: given for entry, given in zip(schema, op.args, strict=False)}


def _conv(op: Operation, args: dict[str, Any], tensor: _Tensors) -> nn.Module | None:
    if not isinstance(args["weight"], Weight) or not isinstance(args["bias"], Weight | None):
        return None
    weight, groups = tensor(args["weight"].name), args["groups"]
    sizes: dict[str, Any] = {
        key: value if isinstance(value, str) else _pair(value) for key, value in args.items() if key in _WINDOW
    }
    with torch.device("meta"):
        layer = nn.Conv2d(
            weight.shape[1] * groups, weight.shape[0], _pair(weight.shape[2:]), **sizes, groups=groups, bias=False
        )
    return _with(layer, tensor, weight=args["weight"], bias=args["bias"])


_WINDOW = ("stride", "padding", "dilation")


class BatchNorm2d(nn.BatchNorm2d):
    """A batch norm of maps, or of vectors: a file does not say which."""

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim not in (2, 4):
            super()._check_input_dim(input)


def _batch_norm(op: Operation, args: dict[str, Any], tensor: _Tensors) -> nn.Module | None:
    names = ("weight", "bias", "running_mean", "running_var")
    if not all(isinstance(args[name], Weight | None) for name in names):
        return None
    if args["running_mean"] is None or args["running_var"] is None:
        return None
    count = len(tensor(args["running_mean"].name))
    with torch.device("meta"):
        layer = BatchNorm2d(count, args["eps"], args["momentum"], affine=False)
    layer.register_buffer("num_batches_tracked", None)  # for training only, and in no file of this kind
    return _with(layer, tensor, **{name: args[name] for name in names})


def _linear(op: Operation, args: dict[str, Any], tensor: _Tensors) -> nn.Module | None:
    if not isinstance(args["weight"], Weight) or not isinstance(args["bias"], Weight | None):
        return None
    out_features, in_features = tensor(args["weight"].name).shape
    with torch.device("meta"):
        layer = nn.Linear(in_features, out_features, bias=False)
    return _with(layer, tensor, weight=args["weight"], bias=args["bias"])


def _relu(op: Operation, args: dict[str, Any], tensor: _Tensors) -> nn.Module:
    return nn.ReLU(inplace=op.target.startswith("relu_"))


def _max_pool(op: Operation, args: dict[str, Any], tensor: _Tensors) -> nn.Module:
    kernel, stride = _pair(args["kernel_size"]), args["stride"]
    padding, dilation = _pair(args["padding"]), _pair(args["dilation"])
    return nn.MaxPool2d(kernel, _pair(stride) if stride else kernel, padding, dilation, ceil_mode=args["ceil_mode"])


def _average_pool(op: Operation, args: dict[str, Any], tensor: _Tensors) -> nn.Module:
    kernel, stride = _pair(args["kernel_size"]), args["stride"]
    rest = (_pair(args["padding"]), args["ceil_mode"], args["count_include_pad"], args["divisor_override"])
    return nn.AvgPool2d(kernel, _pair(stride) if stride else kernel, *rest)


def _adaptive_pool(op: Operation, args: dict[str, Any], tensor: _Tensors) -> nn.Module | None:
    return nn.AdaptiveAvgPool2d(_pair(args["output_size"]))


def _padding(op: Operation, args: dict[str, Any], tensor: _Tensors) -> nn.Module | None:
    return nn.ZeroPad2d(tuple(args["pad"])) if len(args["pad"]) == 4 and not args["value"] else None


def _dropout(op: Operation, args: dict[str, Any], tensor: _Tensors) -> nn.Module:
    return nn.Dropout(args["p"])


def _flatten(op: Operation, args: dict[str, Any], tensor: _Tensors) -> nn.Module:
    return nn.Flatten(args["start_dim"], args["end_dim"])


_LEAVES: dict[str, Callable[[Operation, dict[str, Any], _Tensors], nn.Module | None]] = {
    "conv2d": _conv,
    "batch_norm": _batch_norm,
    "linear": _linear,
    "relu": _relu,
    "max_pool2d": _max_pool,
    "avg_pool2d": _average_pool,
    "adaptive_avg_pool2d": _adaptive_pool,
    "constant_pad_nd": _padding,
    "dropout": _dropout,
    "flatten": _flatten,
}


def _with(layer: nn.Module, tensor: _Tensors, **names: Weight | None) -> nn.Module:
    """The layer with the file's tensors in place of its own."""
    for name, weight in names.items():
        found = None if weight is None else tensor(weight.name)
        if name.startswith("running_"):
            layer.register_buffer(name, found)
        else:
            kept = found if found is None or isinstance(found, nn.Parameter) else nn.Parameter(found, False)
            layer.register_parameter(name, kept)
    return layer


def _pair(value: Any) -> tuple[int, int]:
    values = [value] * 2 if isinstance(value, int) else list(value)
    return (int(values[0]), int(values[-1]))
