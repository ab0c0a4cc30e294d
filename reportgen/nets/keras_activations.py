"""What Keras' activations are in operations of PyTorch: those fused into layers, and layers of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from reportgen.nets.keras_node import LAST, Earlier, Node, Part, Parts

_PLAIN = {
    "relu": "relu.default",
    "relu6": "relu6.default",
    "sigmoid": "sigmoid.default",
    "tanh": "tanh.default",
    "silu": "silu.default",
    "swish": "silu.default",
    "mish": "mish.default",
    "selu": "selu.default",
    "softplus": "softplus.default",
    "exponential": "exp.default",
    "log_sigmoid": "log_sigmoid.default",
}


def fused(node: Node) -> Parts:
    """The activation that a layer ends in, under a name of its own."""
    said = node.settings.get("activation")
    if said is None or said == "linear":
        return
    yield from _called(node, said, LAST, f"_{_word(said)}")


def activation(node: Node) -> Parts:
    """The layer Activation."""
    yield from _called(node, node.settings["activation"], node.x, "")


def _word(said: Any) -> str:
    return str(said["class_name"]).lower() if isinstance(said, Mapping) else str(said)


def _called(node: Node, said: Any, x: Any, suffix: str) -> Parts:
    """An activation by its name, or a layer that stands in its place."""
    if isinstance(said, Mapping):
        make = LAYERS.get(str(said.get("class_name")))
        if make is None or not isinstance(said.get("config"), Mapping) or said["class_name"] == "PReLU":
            raise node.unfit(f"its activation is {str(said.get('config'))[:40]!r}, which is code of its maker's")
        yield from make(node, said["config"], x, suffix)
    elif said in ("linear", None):
        return
    elif said in _PLAIN:
        yield Part(_PLAIN[said], {"self": x}, suffix)
    elif said in _NAMED:
        yield from _NAMED[said](node, {}, x, suffix)
    else:
        known = ", ".join(sorted({*_PLAIN, *_NAMED, "linear"}))
        raise node.unfit(f"its activation is {str(said)[:40]!r}; rebuilt are {known}")


_Make = Callable[[Node, Mapping[str, Any], Any, str], Parts]


def _softmax(node: Node, settings: Mapping[str, Any], x: Any, suffix: str) -> Parts:
    yield Part("softmax.int", {"self": x, "dim": node.axis(settings.get("axis", -1))}, suffix)


def _log_softmax(node: Node, settings: Mapping[str, Any], x: Any, suffix: str) -> Parts:
    yield Part("log_softmax.int", {"self": x, "dim": node.axis(-1)}, suffix)


def _gelu(node: Node, settings: Mapping[str, Any], x: Any, suffix: str) -> Parts:
    yield Part("gelu.default", {"self": x, "approximate": "none"}, suffix)


def _hard_sigmoid(node: Node, settings: Mapping[str, Any], x: Any, suffix: str) -> Parts:
    """Keras 3 has PyTorch's; Keras 2 had a steeper one."""
    if node.major >= 3:
        yield Part("hardsigmoid.default", {"self": x}, suffix)
        return
    yield Part("mul.Scalar", {"self": x, "other": 0.2}, suffix)
    yield Part("add.Scalar", {"self": LAST, "other": 0.5}, suffix)
    yield Part("clamp.default", {"self": LAST, "min": 0.0, "max": 1.0}, suffix)


def _hard_swish(node: Node, settings: Mapping[str, Any], x: Any, suffix: str) -> Parts:
    yield Part("hardswish.default", {"self": x}, suffix)


def _leaky(node: Node, settings: Mapping[str, Any], x: Any, suffix: str) -> Parts:
    """The layer's slope is called alpha in Keras 2; the activation of that name has another default."""
    default = 0.3 if settings else 0.2
    slope = float(settings.get("negative_slope", settings.get("alpha", default)))
    yield Part("leaky_relu.default", {"self": x, "negative_slope": slope}, suffix)


def _elu(node: Node, settings: Mapping[str, Any], x: Any, suffix: str) -> Parts:
    yield Part("elu.default", {"self": x, "alpha": float(settings.get("alpha", 1.0))}, suffix)


def _relu(node: Node, settings: Mapping[str, Any], x: Any, suffix: str) -> Parts:
    top, slope = settings.get("max_value"), float(settings.get("negative_slope") or 0.0)
    limit = float(settings.get("threshold") or settings.get("theta") or 0.0)
    if limit and (slope or top is not None):
        raise node.unfit("its threshold goes with a slope or a largest value")
    if limit:
        yield Part("threshold.default", {"self": x, "threshold": limit, "value": 0.0}, suffix)
    elif slope:
        yield Part("leaky_relu.default", {"self": x, "negative_slope": slope}, suffix)
        if top is not None:
            yield Part("clamp_max.default", {"self": LAST, "max": float(top)}, suffix)
    elif top is None:
        yield Part("relu.default", {"self": x}, suffix)
    elif float(top) == 6.0:
        yield Part("relu6.default", {"self": x}, suffix)
    else:
        yield Part("clamp.default", {"self": x, "min": 0.0, "max": float(top)}, suffix)


def _thresholded(node: Node, settings: Mapping[str, Any], x: Any, suffix: str) -> Parts:
    limit = float(settings.get("theta", 1.0))
    yield Part("threshold.default", {"self": x, "threshold": limit, "value": 0.0}, suffix)


def _prelu(node: Node, settings: Mapping[str, Any], x: Any, suffix: str) -> Parts:
    """One slope a channel, or one for every place: x where it is above zero, slope times x below."""
    slopes = node.array("alpha", node.rank - 1)
    if node.turned:
        slopes = slopes.transpose(2, 0, 1)  # C H W
    if all(side == 1 for side in slopes.shape[1:]):
        yield Part("prelu.default", {"self": x, "weight": node.weight("alpha", slopes.reshape(-1))}, suffix)
        return
    yield Part("relu.default", {"self": x}, suffix)
    yield Part("clamp_max.default", {"self": x, "max": 0.0}, suffix)
    yield Part("mul.Tensor", {"self": Earlier(1), "other": node.weight("alpha", slopes)}, suffix)
    yield Part("add.Tensor", {"self": Earlier(0), "other": Earlier(2)}, suffix)


_NAMED: Mapping[str, _Make] = {
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "gelu": _gelu,
    "hard_sigmoid": _hard_sigmoid,
    "hard_silu": _hard_swish,
    "hard_swish": _hard_swish,
    "leaky_relu": _leaky,
    "elu": _elu,
}
LAYERS: Mapping[str, _Make] = {
    "Softmax": _softmax,
    "ReLU": _relu,
    "LeakyReLU": _leaky,
    "PReLU": _prelu,
    "ELU": _elu,
    "ThresholdedReLU": _thresholded,
}
