"""What pictures a Keras net wants: told by the layers it begins with, else guessed by its name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from reportgen.nets.keras_config import KerasNet, Layer, Ref
from reportgen.nets.keras_layers import SAME
from reportgen.nets.keras_node import Made, Node
from reportgen.nets.keras_shapes import mean_and_deviation, numbers

Colours = tuple[Mapping[str, Any] | str, str]  # as `preprocess:` of a spec has it, and where it comes from
Arrays = Callable[[tuple[str, ...]], Mapping[str, Any]]  # the weights of a layer

_FILE = "read from the file"
_GUESS = "a guess, as Keras' own {} was trained so: the file does not say"
_BYTES: Mapping[str, Any] = {"range": [0, 255], "order": "rgb", "mean": [0, 0, 0], "std": [1, 1, 1]}
_UNITS: Mapping[str, Any] = {**_BYTES, "range": [0, 1]}
_STRETCH = 1 / 32  # a first layer that shrinks what it is given by more than this is given 0 to 255
_FURTHEST = 100  # layers that do nothing before the first one that does

# Keras' own nets, and what keras.applications does to pictures for them; those that scale for themselves are not here.
_OWN = (
    (re.compile(r"vgg(16|19)|resnet(50|101|152)"), "caffe"),
    (re.compile(r"inception_v3|inception_resnet_v2|xception|mobilenet(v2)?_[\d.]+_\d+|resnet\d+v2|nasnet\w*"), "tf"),
    (re.compile(r"densenet(121|169|201)"), "torch"),
)


def colours_of(net: KerasNet, last: bool, arrays: Arrays) -> Colours | None:
    """The range and order of colours that a net is made for; None where nothing tells."""
    path, layer = _first(net, ())
    if layer is not None and (told := _told(layer, path, last, arrays)) is not None:
        return told, _FILE
    for name in [net.name, *(part.name for part in net.layers if part.net is not None)]:
        for pattern, how in _OWN:
            if pattern.fullmatch(name):
                return how, _GUESS.format(name)
    return None


def _first(net: KerasNet, above: tuple[str, ...]) -> tuple[tuple[str, ...], Layer | None]:
    """The first layer that does something to the pictures, where it is one; with the names that lead to it."""
    ref = Ref(net.input, 0)
    for _ in range(_FURTHEST):
        readers = [layer for layer in net.layers if any(ref in call.reads() for call in layer.calls)]
        if len(readers) != 1:
            return above, None
        (layer,) = readers
        if layer.net is not None:
            path, found = _first(layer.net, (*above, layer.name))
            if found is not None or not _idle(layer.net):
                return path, found
        elif layer.kind not in SAME:
            return (*above, layer.name), layer
        ref = Ref(layer.name, 0)
    return above, None


def _idle(net: KerasNet) -> bool:
    """Whether a net does nothing once it is trained, as one of random augmentations."""
    return all(
        _idle(layer.net) if layer.net is not None else layer.kind in {"InputLayer", *SAME} for layer in net.layers
    )


def _told(layer: Layer, path: tuple[str, ...], last: bool, arrays: Arrays) -> Mapping[str, Any] | None:
    """What a first layer that scales says about the values it is given."""
    node = Node(layer.name, layer.kind, layer.settings, (Made(None, 4),), {}, arrays(path), _kept, last, 3, "")
    if layer.kind == "Rescaling":
        scale = max(map(abs, numbers(node, layer.settings.get("scale", 1.0))))
        return _BYTES if scale < _STRETCH else _UNITS if scale > 1 else None
    if layer.kind == "Normalization":
        mean, _ = mean_and_deviation(node)
        return _BYTES if max(mean) > 2 else _UNITS if min(mean) > 0 and max(mean) < 1 else None
    number = next(
        (v for call in layer.calls for v in (*call.args, *call.kwargs.values()) if type(v) in (int, float)), 0
    )
    divides = layer.kind in ("TrueDivide", "Divide") or layer.settings.get("function") in (
        "math.truediv",
        "math.divide",
    )
    return _BYTES if divides and abs(number) > 1 / _STRETCH else None


def _kept(name: str, array: Any, trained: bool) -> Any:
    return None
