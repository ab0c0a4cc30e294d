"""The config of a Keras net as data: layers with their settings, and what every call of them is given.

Configs of Keras 2 and 3 differ in how a call is written down; here they become one thing. A class is only ever a word
that `keras_layers` knows or not: nothing is looked up by it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from reportgen.errors import ModelError

NETS = ("Functional", "Model", "Sequential")
_DEEPEST = 20  # nets within nets
_KERAS = re.compile(r"(tensorflow\.(python\.)?)?(tf_)?keras(\.[\w.]+)?|builtins")  # whose classes are known


@dataclass(frozen=True)
class Ref:
    """Stands in a call's arguments where the value of another call stands."""

    layer: str
    call: int


@dataclass(frozen=True)
class Call:
    """What one call of a layer is given: Refs, numbers, lists of them."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def reads(self) -> list[Ref]:
        """The values it needs."""
        return list(_refs([*self.args, *self.kwargs.values()]))


@dataclass(frozen=True)
class Layer:
    """A layer, or a net that is used as one."""

    name: str
    kind: str  # its class
    settings: Mapping[str, Any]
    calls: tuple[Call, ...]
    net: KerasNet | None = None


@dataclass(frozen=True)
class KerasNet:
    """Layers, and which of them are the ends."""

    name: str
    layers: tuple[Layer, ...]
    input: str
    output: Ref
    shape: tuple[int | None, ...] | None  # of the input, as Keras has it


def read_config(config: Mapping[str, Any], source: str, depth: int = 0) -> KerasNet:
    """The net of a config. Raises ModelError for one with several inputs or outputs, or nested without end."""
    settings, kind = config["config"], _class_of(config)
    if depth > _DEEPEST:
        raise ModelError(f"The model file {source} was refused: it holds nets within nets, {_DEEPEST} deep and deeper.")
    if kind not in NETS:
        raise ModelError(
            f"The model file {source} holds a net of the class {kind[:60]!r}: its structure is code of its maker's, "
            "not data. Sequential and Functional nets are rebuilt; build it so and save it again, or give the net as "
            "arch: module:callable."
        )
    name = str(settings.get("name", kind)) if isinstance(settings, Mapping) else kind
    entries = settings if isinstance(settings, list) else settings["layers"]  # Keras before 2.2.3 has a bare list
    layers = [_layer(entry, source, depth) for entry in entries]
    if len({layer.name for layer in layers}) < len(layers):
        raise ModelError(f"The model file {source} is damaged: two layers of {name[:60]!r} have the same name.")
    if kind == "Sequential":
        return _sequential(name, layers, settings)
    ends = {key: list(_ends(settings[key])) for key in ("input_layers", "output_layers")}
    if any(len(found) != 1 for found in ends.values()):
        counts = ", ".join(f"{key.split('_')[0]}s: {len(found)}" for key, found in ends.items())
        raise ModelError(
            f"The net {name[:60]!r} in {source} has {counts}. One batch of pictures in and one of scores out are "
            "wanted. Save keras.Model(net.inputs[0], net.outputs[0])."
        )
    (start,), (end,) = ends["input_layers"], ends["output_layers"]
    whole = _renumbered(layers, end)
    shape = _shape_of(next((layer for layer in layers if layer.name == start.layer), None))
    return KerasNet(name, whole[0], start.layer, whole[1], shape)


def _layer(entry: Mapping[str, Any], source: str, depth: int) -> Layer:
    kind, settings = _class_of(entry), entry["config"]
    name = str(entry.get("name") or (settings.get("name") if isinstance(settings, Mapping) else "") or kind)
    calls = tuple(_call(node) for node in entry.get("inbound_nodes") or ())
    if kind in NETS:
        return Layer(name, kind, {}, calls, read_config(entry, source, depth + 1))
    return Layer(name, kind, dict(settings), calls)


def _class_of(entry: Mapping[str, Any]) -> str:
    """The class of a layer or net; of one that is not Keras' own, whatever it is called, more than its name."""
    kind, module, registered = str(entry["class_name"]), entry.get("module"), str(entry.get("registered_name") or "")
    theirs = module is None or _KERAS.fullmatch(str(module)) is not None
    return kind if theirs and ">" not in registered else registered or f"{module}>{kind}"


def _sequential(name: str, layers: list[Layer], settings: Any) -> KerasNet:
    """A net of layers one after another; its InputLayer may be left out."""
    said = settings.get("build_input_shape") if isinstance(settings, Mapping) else None
    if not layers or layers[0].kind != "InputLayer":
        shape = (_shape_of(layers[0]) if layers else None) or (tuple(said) if said else None)
        layers = [Layer(" pictures", "InputLayer", {"batch_shape": shape}, ()), *layers]
    last, chained = Ref(layers[0].name, 0), [layers[0]]
    for layer in layers[1:]:
        chained.append(Layer(layer.name, layer.kind, layer.settings, (Call((last,), {}),), layer.net))
        last = Ref(layer.name, 0)
    return KerasNet(name, tuple(chained), layers[0].name, last, _shape_of(layers[0]))


def _shape_of(layer: Layer | None) -> tuple[int | None, ...] | None:
    """The shape of a layer's input, where its settings say it."""
    if layer is None or layer.net is not None:
        return layer.net.shape if layer is not None and layer.net is not None else None
    said = layer.settings.get("batch_shape") or layer.settings.get("batch_input_shape")
    return tuple(said) if said else None


# --------------------------------------------------------------------------------------------------------------- calls


def _call(node: Any) -> Call:
    if isinstance(node, Mapping):  # Keras 3
        return Call(tuple(_value(part) for part in node["args"]), _kwargs(node.get("kwargs", {})))
    entries = [node] if node and isinstance(node[0], str) else node  # Keras 2: [name, call, output, kwargs] each
    kwargs = {key: value for entry in entries if len(entry) > 3 for key, value in entry[3].items()}
    values = tuple(_value(entry[:3]) for entry in entries)
    return Call(values if len(values) == 1 else (list(values),), _kwargs(kwargs))


def _kwargs(given: Mapping[str, Any]) -> dict[str, Any]:
    return {str(key): _value(value) for key, value in given.items() if value is not None}


def _value(said: Any) -> Any:
    """A Ref where a value of the net is meant, else what is said."""
    if isinstance(said, Mapping) and said.get("class_name") == "__keras_tensor__":
        return _ref(said["config"]["keras_history"])
    if isinstance(said, list):
        if said and said[0] == "_CONSTANT_VALUE":
            return said[2]
        history = len(said) == 3 and isinstance(said[0], str) and all(type(part) is int for part in said[1:])
        return _ref(said) if history else [_value(part) for part in said]
    return said


def _ref(history: list[Any]) -> Ref:
    name, call, output = history[:3]
    if output != 0:
        raise ModelError(
            f"A layer called {str(name)[:60]!r} gives several values; only nets of layers that give one are rebuilt."
        )
    return Ref(str(name), int(call))


def _refs(values: Any) -> Iterator[Ref]:
    if isinstance(values, Ref):
        yield values
    elif isinstance(values, list | tuple):
        for part in values:
            yield from _refs(part)


def _ends(said: Any) -> Iterator[Ref]:
    """The ends of a net: one, or a list of them."""
    return _refs(_value(said))


def _renumbered(layers: list[Layer], end: Ref) -> tuple[tuple[Layer, ...], Ref]:
    """The layers with the calls that Refs mean: a file counts calls that a net used as a layer had when it was made."""
    used: dict[str, set[int]] = {}
    for ref in (end, *(ref for layer in layers for call in layer.calls for ref in call.reads())):
        used.setdefault(ref.layer, set()).add(ref.call)
    counts = {layer.name: len(layer.calls) for layer in layers}
    place = {
        (name, call): number if len(calls) == counts.get(name) else call
        for name, calls in used.items()
        for number, call in enumerate(sorted(calls))
    }

    def turned(value: Any) -> Any:
        if isinstance(value, Ref):
            return Ref(value.layer, place[value.layer, value.call])
        return [turned(part) for part in value] if isinstance(value, list) else value

    found = []
    for layer in layers:
        calls = tuple(
            Call(tuple(map(turned, call.args)), {k: turned(v) for k, v in call.kwargs.items()}) for call in layer.calls
        )
        found.append(Layer(layer.name, layer.kind, layer.settings, calls, layer.net))
    return tuple(found), turned(end)
