"""What each Keras layer is in operations of PyTorch; a layer that is not here is refused by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from reportgen.errors import ModelError
from reportgen.nets import keras_shapes
from reportgen.nets.keras_activations import LAYERS as ACTIVATIONS
from reportgen.nets.keras_activations import activation, fused
from reportgen.nets.keras_config import Layer
from reportgen.nets.keras_node import LAST, Node, Part, Parts


def translate(node: Node) -> Parts:
    """The parts that do what the layer does, in their order; none where it hands its input on."""
    if node.major < 3 and node.kwargs.get("training") is True:  # Keras 3 notes a default, and goes by how the net runs
        raise node.unfit("it is called as in training, whatever the net is used for")
    if node.kind in ACTIVATIONS:
        return ACTIVATIONS[node.kind](node, node.settings, node.x, "")
    kind = _FUNCTIONS.get(str(node.settings.get("function")), "?") if node.kind == "TFOpLambda" else node.kind
    if kind in SAME:
        return iter(())
    if kind not in _TABLE:
        raise _refused(node)
    return _TABLE[kind](node)


def slots(layer: Layer) -> list[tuple[str, bool]]:
    """The names of a layer's weights in Keras' order, and whether they are trained."""
    said, kind = layer.settings, layer.kind
    names: list[tuple[str, bool]] = []
    if kind in ("Conv2D", "DepthwiseConv2D", "Dense"):
        names = [("kernel", True)]
    elif kind == "SeparableConv2D":
        names = [("depthwise_kernel", True), ("pointwise_kernel", True)]
    elif kind == "BatchNormalization":
        names = [(name, True) for name, flag in (("gamma", "scale"), ("beta", "center")) if said.get(flag, True)]
        return [*names, ("moving_mean", False), ("moving_variance", False)]
    elif kind == "PReLU":
        return [("alpha", True)]
    elif kind == "Normalization" and said.get("mean") is None:
        return [("mean", False), ("variance", False), ("count", False)]
    return [*names, ("bias", True)] if names and said.get("use_bias", True) else names


def _refused(node: Node) -> ModelError:
    said = str(node.settings.get("function") or "") if node.kind == "TFOpLambda" else ""
    name = f"layer {node.name[:60]!r} of the class {node.kind[:60]!r}{f' ({said[:40]})' if said else ''}"
    if node.kind == "Lambda":
        return ModelError(
            f"The model file {node.source} was refused: its {name} is Python code that was compiled into the file, and "
            "no code of a file is run or looked at. Write it as layers that Keras has (Rescaling, Reshape ...), or "
            "give the net as arch: module:callable with --allow-code, and its weights as a state dict."
        )
    rebuilt = ", ".join(sorted({*_TABLE, *ACTIVATIONS} - set(_OPERATIONS)))
    return ModelError(
        f"The model file {node.source} has a {name}, which is not among those that reportgen rebuilds: {rebuilt}, "
        "dropout and random augmentation. Nothing of it was run. Give the net as arch: module:callable with "
        "--allow-code, and its weights as a state dict."
    )


def _convolved(
    node: Node, x: Any, weight: Any, sides: Sequence[int], bias: Any, groups: int, suffix: str = ""
) -> Parts:
    """A convolution with a window of these sides, and the padding before it where it has sides of several widths."""
    stride, step, padding = node.pair("strides"), node.pair("dilation_rate"), node.settings.get("padding", "valid")
    if padding not in ("same", "valid"):
        raise node.unfit(f"its padding is {str(padding)[:40]!r}")
    reach = [(k - 1) * d for k, d in zip(sides, step, strict=True)]
    around = [0, 0]
    if padding == "same" and (max(stride) > 1 or any(side % 2 for side in reach)):
        window = {"x": x, "kernel": tuple(sides), "stride": stride, "dilation": step}
        yield Part("same.pad", window, "_pad")  # N C H W
        x = LAST
    elif padding == "same":
        around = [side // 2 for side in reach]
    settings = {"stride": list(stride), "padding": around, "dilation": list(step), "groups": groups}
    yield Part("conv2d.default", {"input": x, "weight": weight, "bias": bias, **settings}, suffix)  # N C H W


def _bias(node: Node) -> Any:
    return node.weight("bias", node.array("bias", 1)) if node.settings.get("use_bias", True) else None


def _conv(node: Node) -> Parts:
    node.maps()
    kernel = node.array("kernel", 4)  # H W I O
    _check(node, kernel.shape, (*node.pair("kernel_size"), None, node.settings["filters"]))
    weight = node.weight("kernel", kernel.transpose(3, 2, 0, 1))  # O I H W
    yield from _convolved(node, node.x, weight, kernel.shape[:2], _bias(node), int(node.settings.get("groups") or 1))
    yield from fused(node)


def _depthwise_weight(node: Node, name: str) -> tuple[Any, Any]:
    """The weight of a convolution for each channel apart, and the kernel's shape: y, x, channels, filters of each."""
    kernel = node.array(name, 4)  # H W I M
    _check(node, kernel.shape, (*node.pair("kernel_size"), None, node.settings.get("depth_multiplier", 1)))
    height, width, count, several = kernel.shape
    turned = kernel.transpose(2, 3, 0, 1).reshape(count * several, 1, height, width)  # IM 1 H W
    return node.weight(name, turned), kernel.shape


def _depthwise(node: Node) -> Parts:
    node.maps()
    weight, shape = _depthwise_weight(node, "kernel")
    yield from _convolved(node, node.x, weight, shape[:2], _bias(node), shape[2])
    yield from fused(node)


def _separable(node: Node) -> Parts:
    """A convolution for each channel, then one over channels: the second has the layer's name."""
    node.maps()
    weight, shape = _depthwise_weight(node, "depthwise_kernel")
    pointwise = node.array("pointwise_kernel", 4)  # 1 1 I O
    _check(node, pointwise.shape, (1, 1, shape[2] * shape[3], node.settings["filters"]))
    yield from _convolved(node, node.x, weight, shape[:2], None, shape[2], "_depthwise")
    over = {"input": LAST, "weight": node.weight("pointwise_kernel", pointwise.transpose(3, 2, 0, 1))}  # O I 1 1
    yield Part("conv2d.default", {**over, "bias": _bias(node)})  # N C H W
    yield from fused(node)


def _dense(node: Node) -> Parts:
    """A dense layer over the last axis; of maps it is a convolution of one place."""
    kernel = node.array("kernel", 2)  # I O
    _check(node, kernel.shape, (None, node.settings["units"]))
    if node.turned:
        weight = node.weight("kernel", kernel.T[:, :, None, None])  # O I 1 1
        yield Part("conv2d.default", {"input": node.x, "weight": weight, "bias": _bias(node)})  # N C H W
    else:
        yield Part("linear.default", {"input": node.x, "weight": node.weight("kernel", kernel.T), "bias": _bias(node)})
    yield from fused(node)


def _check(node: Node, shape: Sequence[int], wanted: Sequence[int | None]) -> None:
    if len(shape) != len(wanted) or any(w is not None and s != w for s, w in zip(shape, wanted, strict=True)):
        said = " x ".join("any" if side is None else str(side)[:10] for side in wanted)
        raise node.damaged(f"a weight is {' x '.join(map(str, shape))}, where its settings ask for {said}")


def _batch_norm(node: Node) -> Parts:
    if node.axis(node.settings.get("axis", -1)) != 1 or node.rank not in (2, 4) or node.settings.get("renorm"):
        raise node.unfit("it normalises something other than channels")
    given: dict[str, Any] = {"input": node.x}
    names = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
    for name, own in names.items():
        absent = not node.settings.get({"weight": "scale", "bias": "center"}.get(name, ""), True)
        given[name] = None if absent else node.weight(own, node.array(own, 1), not name.startswith("running"))
    epsilon = float(node.settings.get("epsilon", 1e-3))
    rest = {"training": False, "momentum": 0.1, "eps": epsilon, "cudnn_enabled": False}
    yield Part("batch_norm.default", {**given, **rest})


def _max_pool(node: Node) -> Parts:
    yield from _pooled(node, "max_pool2d.default", "same.max_pool")


def _average_pool(node: Node) -> Parts:
    yield from _pooled(node, "avg_pool2d.default", "same.average_pool")


def _pooled(node: Node, plain: str, same: str) -> Parts:
    node.maps()
    size = node.pair("pool_size", 2)
    stride = node.pair("strides") if node.settings.get("strides") is not None else size
    if node.settings.get("padding", "valid") == "same":
        yield Part(same, {"x": node.x, "kernel": size, "stride": stride})  # N C H W
    else:
        yield Part(plain, {"self": node.x, "kernel_size": list(size), "stride": list(stride)})  # N C H W


def _global(target: str) -> Callable[[Node], Parts]:
    def parts(node: Node) -> Parts:
        node.maps()
        kept = bool(node.settings.get("keepdims"))
        node.ranks.append(4 if kept else 2)
        yield Part(target, {"self": node.x, "dim": [2, 3], "keepdim": kept})  # N C, or N C 1 1

    return parts


_OPERATIONS: Mapping[str, Callable[[Node], Parts]] = {  # of Keras 3, and such as Keras 2 makes of + and *
    "Subtract": keras_shapes.merged("sub"),
    "TrueDivide": keras_shapes.merged("div"),
    "Divide": keras_shapes.merged("div"),
    "Relu": lambda node: iter([Part("relu.default", {"self": node.x})]),
    "Relu6": lambda node: iter([Part("relu6.default", {"self": node.x})]),
    "Sigmoid": lambda node: iter([Part("sigmoid.default", {"self": node.x})]),
    "Silu": lambda node: iter([Part("silu.default", {"self": node.x})]),
    "Tanh": lambda node: iter([Part("tanh.default", {"self": node.x})]),
}
_FUNCTIONS = {  # of TensorFlow, in nets of Keras 2
    "__operators__.add": "Add",
    "math.add": "Add",
    "math.subtract": "Subtract",
    "math.multiply": "Multiply",
    "math.truediv": "TrueDivide",
    "math.divide": "TrueDivide",
    "nn.relu": "Relu",
    "nn.relu6": "Relu6",
    "math.sigmoid": "Sigmoid",
    "nn.silu": "Silu",
    "nn.swish": "Silu",
    "math.tanh": "Tanh",
}
_TABLE: Mapping[str, Callable[[Node], Parts]] = {
    **_OPERATIONS,
    "Conv2D": _conv,
    "DepthwiseConv2D": _depthwise,
    "SeparableConv2D": _separable,
    "Dense": _dense,
    "BatchNormalization": _batch_norm,
    "MaxPooling2D": _max_pool,
    "AveragePooling2D": _average_pool,
    "GlobalAveragePooling2D": _global("mean.dim"),
    "GlobalMaxPooling2D": _global("amax.default"),
    "ZeroPadding2D": keras_shapes.zero_padding,
    "Cropping2D": keras_shapes.cropping,
    "UpSampling2D": keras_shapes.up_sampling,
    "Flatten": keras_shapes.flatten,
    "Reshape": keras_shapes.reshape,
    "Permute": keras_shapes.permute,
    "Concatenate": keras_shapes.concatenate,
    "Add": keras_shapes.merged("add"),
    "Multiply": keras_shapes.merged("mul"),
    "Maximum": keras_shapes.merged("maximum"),
    "Minimum": keras_shapes.merged("minimum"),
    "Average": keras_shapes.average,
    "Rescaling": keras_shapes.rescaling,
    "Normalization": keras_shapes.normalization,
    "Activation": activation,
}
# Layers that do nothing once a net is trained.
SAME = frozenset(
    """
    Identity Dropout SpatialDropout2D AlphaDropout GaussianDropout GaussianNoise ActivityRegularization
    RandomFlip RandomRotation RandomTranslation RandomZoom RandomContrast RandomBrightness RandomHeight RandomWidth
    RandomShear RandomHue RandomSaturation RandomGrayscale RandomInvert RandomPosterization RandomColorJitter
    RandomColorDegeneration RandomErasing RandomGaussianBlur RandomPerspective RandomSharpness RandomElasticTransform
    RandAugment AugMix MixUp CutMix
    """.split()  # noqa: SIM905 -- a list of 30 quoted names reads worse
)
