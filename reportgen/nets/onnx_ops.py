"""What each ONNX operation is in operations of PyTorch; an operation that is not here is refused."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reportgen.errors import ModelError
from reportgen.nets.program import Value, Weight

if TYPE_CHECKING:
    from torch import Tensor

Part = tuple[str, Mapping[str, Any]]  # operator of aten, and its arguments by name
LAST = Value("")  # in a part's arguments: what the part before made


@dataclass(frozen=True)
class Node:
    """One ONNX node, its inputs looked up."""

    kind: str
    inputs: Sequence[Any]  # Value, Weight or None
    attributes: Mapping[str, Any]
    tensors: dict[str, Tensor]  # all constants of the file; new ones may be added
    source: str

    def constant(self, place: int, attribute: str = "") -> Any:
        """The numbers of a constant input as a list or a number, else those of an attribute; None where neither is."""
        given = self.inputs[place] if place < len(self.inputs) else None
        if isinstance(given, Weight):
            return self.tensors[given.name].tolist()
        if given is not None:
            raise self.unfit("its shapes or limits are computed on the way")
        return self.attributes.get(attribute)

    def unfit(self, why: str) -> ModelError:
        """The error for a node that cannot be rebuilt."""
        return ModelError(
            f"The model file {self.source} cannot be rebuilt: {self.kind} is not among what can, as {why}."
        )

    def pads(self) -> tuple[list[int], list[int]]:
        """Padding before and after (y, x)."""
        if self.attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
            raise self.unfit("its padding is left to the program (auto_pad)")
        given = list(self.attributes.get("pads", [0, 0, 0, 0]))
        if len(given) != 4:
            raise self.unfit("it looks at something other than maps")
        return given[:2], given[2:]


def translate(node: Node) -> Iterator[Part]:
    """The parts that do what the node does, in their order; none where it hands its input on."""
    if node.kind in _SAME:
        return iter(())
    if node.kind in _PLAIN:
        return iter([(_PLAIN[node.kind], dict(zip(_names(node.kind), node.inputs, strict=False)))])
    if node.kind not in _TABLE:
        raise ModelError(
            f"The model file {node.source} has the operation {node.kind[:60]!r}, which is not among those that "
            f"reportgen rebuilds: {', '.join(sorted({*_TABLE, *_PLAIN, *_SAME}))}."
        )
    return _TABLE[node.kind](node)


_SAME = ("Identity", "Dropout")
_PLAIN = {
    "Relu": "relu.default",
    "Sigmoid": "sigmoid.default",
    "Tanh": "tanh.default",
    "HardSwish": "hardswish.default",
    "Softplus": "softplus.default",
    "Mish": "mish.default",
    "Add": "add.Tensor",
    "Sub": "sub.Tensor",
    "Mul": "mul.Tensor",
    "Div": "div.Tensor",
}


def _names(kind: str) -> tuple[str, ...]:
    return ("self", "other") if kind in ("Add", "Sub", "Mul", "Div") else ("self",)


def _conv(node: Node) -> Iterator[Part]:
    x, weight, bias = (*node.inputs, None)[:3]
    if not isinstance(weight, Weight) or node.tensors[weight.name].ndim != 4:
        raise node.unfit("its weights are no constants, or not of maps")
    before, after = node.pads()
    if before != after:
        yield _padded(x, before, after, 0.0)
        x, before = LAST, [0, 0]
    yield (
        "conv2d.default",
        {
            "input": x,
            "weight": weight,
            "bias": bias,
            "stride": node.attributes.get("strides", [1, 1]),
            "padding": before,
            "dilation": node.attributes.get("dilations", [1, 1]),
            "groups": node.attributes.get("group", 1),
        },
    )


def _max_pool(node: Node) -> Iterator[Part]:
    x, kernel = node.inputs[0], node.attributes["kernel_shape"]
    before, after = node.pads()
    if before != after or any(2 * pad > side for pad, side in zip(before, kernel, strict=True)):
        yield _padded(x, before, after, -math.inf)
        x, before = LAST, [0, 0]
    yield (
        "max_pool2d.default",
        {
            "self": x,
            "kernel_size": kernel,
            "stride": node.attributes.get("strides", [1, 1]),
            "padding": before,
            "dilation": node.attributes.get("dilations", [1, 1]),
            "ceil_mode": bool(node.attributes.get("ceil_mode", 0)),
        },
    )


def _average_pool(node: Node) -> Iterator[Part]:
    before, after = node.pads()
    if before != after:
        raise node.unfit("its padding differs from side to side")
    yield (
        "avg_pool2d.default",
        {
            "self": node.inputs[0],
            "kernel_size": node.attributes["kernel_shape"],
            "stride": node.attributes.get("strides", [1, 1]),
            "padding": before,
            "ceil_mode": bool(node.attributes.get("ceil_mode", 0)),
            "count_include_pad": bool(node.attributes.get("count_include_pad", 0)),
        },
    )


def _padded(x: Any, before: Sequence[int], after: Sequence[int], value: float) -> Part:
    sides = [before[1], after[1], before[0], after[0]]  # x first, as PyTorch has it
    return "constant_pad_nd.default", {"self": x, "pad": sides, "value": value}


def _pad(node: Node) -> Iterator[Part]:
    pads, value = node.constant(1, "pads"), node.constant(2, "value") or 0.0
    if node.attributes.get("mode", b"constant") != b"constant" or len(pads) != 8 or any((*pads[:2], *pads[4:6])):
        raise node.unfit("only maps are padded here, with one number")
    yield _padded(node.inputs[0], pads[2:4], pads[6:], float(value))


def _gemm(node: Node) -> Iterator[Part]:
    plain = node.attributes.get("alpha", 1.0) == 1.0 == node.attributes.get("beta", 1.0)
    if not plain or node.attributes.get("transA", 0):
        raise node.unfit("its factors are scaled or turned")
    weight = _dense_weight(node, turned=not node.attributes.get("transB", 0))
    yield "linear.default", {"input": node.inputs[0], "weight": weight, "bias": (*node.inputs, None)[2]}


def _matmul(node: Node) -> Iterator[Part]:
    yield "linear.default", {"input": node.inputs[0], "weight": _dense_weight(node, turned=True), "bias": None}


def _dense_weight(node: Node, turned: bool) -> Weight:
    weight = node.inputs[1]
    if not isinstance(weight, Weight) or node.tensors[weight.name].ndim != 2:
        raise node.unfit("its second factor is no constant matrix")
    if not turned:
        return weight
    name = f"{weight.name}.T"
    node.tensors[name] = node.tensors[weight.name].t().contiguous()
    return Weight(name)


def _batch_norm(node: Node) -> Iterator[Part]:
    names = ("input", "weight", "bias", "running_mean", "running_var")
    rest = {"training": False, "momentum": 0.1, "eps": node.attributes.get("epsilon", 1e-5), "cudnn_enabled": False}
    yield "batch_norm.default", {**dict(zip(names, node.inputs, strict=True)), **rest}


def _clip(node: Node) -> Iterator[Part]:
    low, high = node.constant(1, "min"), node.constant(2, "max")
    if low == 0 and high is None:
        yield "relu.default", {"self": node.inputs[0]}
    else:
        yield "clamp.default", {"self": node.inputs[0], "min": low, "max": high}


def _mean(node: Node) -> Iterator[Part]:
    axes = node.constant(1, "axes")
    if axes is None:
        raise node.unfit("it averages over everything")
    yield "mean.dim", {"self": node.inputs[0], "dim": axes, "keepdim": bool(node.attributes.get("keepdims", 1))}


def _reshape(node: Node) -> Iterator[Part]:
    sizes, x = node.constant(1, "shape"), node.inputs[0]
    if 0 in sizes[1:]:
        raise node.unfit("it keeps sides of its input by place")
    if sizes[0] == 0:  # as many pictures as came in
        yield "size.int", {"self": x, "dim": 0}
        sizes = [LAST, *sizes[1:]]
    yield "reshape.default", {"self": x, "shape": sizes}


def _flatten(node: Node) -> Iterator[Part]:
    if node.attributes.get("axis", 1) != 1:
        raise node.unfit("it flattens pictures together")
    yield "flatten.using_ints", {"self": node.inputs[0], "start_dim": 1}


def _local_norm(node: Node) -> Iterator[Part]:
    """Local response normalisation, in the operations that torch.nn.functional makes of it."""
    x, size = node.inputs[0], node.attributes["size"]
    yield "mul.Tensor", {"self": x, "other": x}
    yield "unsqueeze.default", {"self": LAST, "dim": 1}
    yield "constant_pad_nd.default", {"self": LAST, "pad": [0, 0, 0, 0, (size - 1) // 2, size // 2]}
    yield "avg_pool3d.default", {"self": LAST, "kernel_size": [size, 1, 1], "stride": [1, 1, 1]}
    yield "squeeze.dim", {"self": LAST, "dim": 1}
    yield "mul.Scalar", {"self": LAST, "other": node.attributes.get("alpha", 1e-4)}
    yield "add.Scalar", {"self": LAST, "other": node.attributes.get("bias", 1.0)}
    yield "pow.Tensor_Scalar", {"self": LAST, "exponent": node.attributes.get("beta", 0.75)}
    yield "div.Tensor", {"self": x, "other": LAST}


def _prelu(node: Node) -> Iterator[Part]:
    weight = node.inputs[1]
    if not isinstance(weight, Weight):
        raise node.unfit("its slopes are no constants")
    node.tensors[f"{weight.name}.flat"] = node.tensors[weight.name].flatten()
    yield "prelu.default", {"self": node.inputs[0], "weight": Weight(f"{weight.name}.flat")}


def _one(target: str, **given: Callable[[Node], Any]) -> Callable[[Node], Iterator[Part]]:
    """A part on the first input, with arguments made of the node."""
    return lambda node: iter([(target, {"self": node.inputs[0], **{key: get(node) for key, get in given.items()}})])


def _attribute(name: str, default: Any) -> Callable[[Node], Any]:
    return lambda node: node.attributes.get(name, default)


def _concat(node: Node) -> Iterator[Part]:
    yield "cat.default", {"tensors": list(node.inputs), "dim": node.attributes["axis"]}


_TABLE: dict[str, Callable[[Node], Iterator[Part]]] = {
    "Conv": _conv,
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "GlobalAveragePool": _one("adaptive_avg_pool2d.default", output_size=lambda _: [1, 1]),
    "GlobalMaxPool": _one("amax.default", dim=lambda _: [2, 3], keepdim=lambda _: True),
    "ReduceMean": _mean,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "BatchNormalization": _batch_norm,
    "LRN": _local_norm,
    "Clip": _clip,
    "PRelu": _prelu,
    "LeakyRelu": _one("leaky_relu.default", negative_slope=_attribute("alpha", 0.01)),
    "Elu": _one("elu.default", alpha=_attribute("alpha", 1.0)),
    "Gelu": _one("gelu.default", approximate=lambda node: node.attributes.get("approximate", b"none").decode()),
    "Softmax": _one("softmax.int", dim=_attribute("axis", -1)),
    "LogSoftmax": _one("log_softmax.int", dim=_attribute("axis", -1)),
    "Concat": _concat,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Pad": _pad,
    "Transpose": _one("permute.default", dims=_attribute("perm", None)),
    "Squeeze": _one("squeeze.dims", dim=lambda node: node.constant(1, "axes")),
    "Unsqueeze": _one("unsqueeze.default", dim=lambda node: node.constant(1, "axes")[0]),
}
