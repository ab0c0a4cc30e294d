"""Nets in files of Keras (.h5, .hdf5, .keras), read as data and put together from known operations.

Keras itself is not used: it builds a layer from any class that a file names, and a Lambda layer from Python bytecode in
the file. Here the config is JSON, a layer is one of `keras_layers` or the file is refused, weights are plain numbers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reportgen.errors import ModelError
from reportgen.nets import keras_weights
from reportgen.nets.archive import Archive
from reportgen.nets.hdf5 import MAGIC, Hdf5
from reportgen.nets.keras_colours import Colours, colours_of
from reportgen.nets.keras_config import Call, KerasNet, Layer, Ref, read_config
from reportgen.nets.keras_layers import translate
from reportgen.nets.keras_node import Earlier, Made, Node
from reportgen.nets.keras_tidy import with_padded_pools
from reportgen.nets.program import OWN, Operation, Program, Scope, Value, Weight, guarded, in_order, named, needed

if TYPE_CHECKING:
    from torch import Tensor

_WANTED = "net of Keras 2 or 3"
_MOST_TEXT = 16 << 20  # bytes of a config; those of large nets have one or two millions
_MOST_OPERATIONS = 20_000  # shared nets within shared nets could make any number of a small file
_MOST_STEPS = 100_000  # of looking for a call that can be made; a file lists its layers about as they are called
_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"


@dataclass(frozen=True)
class KerasFile:
    """A file of Keras, opened."""

    path: Path
    net: KerasNet
    major: int  # Keras' version
    weights: Hdf5
    places: keras_weights.Places
    last: bool  # whether pictures are N H W C


def input_shape(path: Path, data: bytes) -> tuple[int | None, ...]:
    """The shape N C H W of the input; None for a side that may change. No torch is needed."""
    return guarded(path, lambda: _shape(_opened(path, data)), _WANTED)


def colours(path: Path, data: bytes) -> Colours | None:
    """How pictures are to be normalised, where the file's own layers or its name tell. No torch is needed."""

    def found() -> Colours | None:
        file = _opened(path, data)
        return colours_of(file.net, file.last, lambda at: keras_weights.read_all(file.weights, file.places.get(at, {})))

    return guarded(path, found, _WANTED)


def read(path: Path, data: bytes) -> Program:
    """The program of a Keras file. Raises ModelError for what is damaged or not known."""
    return guarded(path, lambda: _program(_opened(path, data)), _WANTED)


def _opened(path: Path, data: bytes) -> KerasFile:
    """The file's config and where its weights lie; whether it is HDF5 or an archive is seen by its first bytes."""
    if data.startswith(MAGIC):
        weights = Hdf5(path, data)
        config, version = _texts(path, weights)
        net = read_config(json.loads(config), str(path))
        places = keras_weights.by_names(weights, net)
    elif data.startswith(b"PK"):
        archive = Archive(path, data, folder=False)
        net = read_config(json.loads(archive.read(_CONFIG, _MOST_TEXT)), str(path))
        if not archive.has(_WEIGHTS):
            raise ModelError(
                f"The model file {path} has no {_WEIGHTS}: save it with weights_format='h5', in one piece."
            )
        weights = Hdf5(path, archive.read(_WEIGHTS))
        version = json.loads(archive.read("metadata.json", _MOST_TEXT))["keras_version"]
        places = keras_weights.by_numbers(weights, net)
    else:
        raise ModelError(
            f"The model file {path} is truncated or no file of Keras: HDF5 begins with \\x89HDF, a .keras file with PK."
        )
    if net.shape is None or len(net.shape) != 4:
        raise ModelError(
            f"The net in {path} takes an input of {_sides(net.shape)}, where pictures N x S x S x 3 are wanted. A net "
            "that was saved before it knew its input has none: call it once, or give it an Input, and save it again."
        )
    first = net.shape[1] == 3 and net.shape[3] != 3
    return KerasFile(path, net, int(str(version).partition(".")[0]), weights, places, not first)


def _texts(path: Path, weights: Hdf5) -> tuple[str, str]:
    """The config and the version of an HDF5 model file."""
    config, version = weights.marked("", "model_config"), weights.marked("", "keras_version")
    if not config:
        raise ModelError(
            f"The model file {path} holds weights alone: no config says which layers they belong to. Load them into "
            "their net in Keras, and save the whole: model.load_weights(...), model.save('net.keras')."
        )
    if len(config) > _MOST_TEXT:
        raise ModelError(f"The model file {path} was refused: its config is {len(config):,} letters long.")
    return config, version or "2"


def _sides(shape: tuple[int | None, ...] | None) -> str:
    return "an unknown size" if shape is None else " x ".join("any" if side is None else str(side) for side in shape)


def _shape(file: KerasFile) -> tuple[int | None, ...]:
    n, *sides = file.net.shape or ()
    return (n, sides[2], sides[0], sides[1]) if file.last else (n, *sides)


def _program(file: KerasFile) -> Program:
    reader = _Reader(file)
    entry = Made(Value("pictures"), 4)
    made = reader.net(file.net, entry, (), ())
    output: str = made.value.name
    operations = needed(with_padded_pools(reader.operations), output)
    used = {name for op in operations for name in named(op.args, Weight)}
    tensors = {name: tensor for name, tensor in reader.tensors.items() if name in used}
    trained = frozenset(name for name in tensors if name in reader.trained)
    return Program(operations, tensors, trained, "pictures", output, "KerasNet")


class _Reader:
    """What is known while the layers are called in their order."""

    def __init__(self, file: KerasFile) -> None:
        self.file = file
        self.operations: list[Operation] = []
        self.steps = 0
        self.tensors: dict[str, Tensor] = {}
        self.trained: set[str] = set()
        self.arrays: dict[keras_weights.Path, dict[str, Any]] = {}  # each is read once

    def net(self, net: KerasNet, entry: Made, path: keras_weights.Path, scopes: tuple[Scope, ...]) -> Made:
        """Calls the layers of a net, each as soon as what it is given is there, and gives the net's value."""
        made: dict[Ref, Made] = {Ref(net.input, 0): entry}
        names = _Names(net)
        waiting = [(layer, call, Ref(layer.name, n)) for layer in net.layers for n, call in enumerate(layer.calls)]
        while waiting:
            later = []
            self.steps += len(waiting)
            if self.steps > _MOST_STEPS:
                raise self.endless()
            for layer, call, ref in waiting:
                if not all(read in made for read in call.reads()):
                    later.append((layer, call, ref))
                elif ref not in made:
                    made[ref] = self.called(layer, _filled(call, made), ref.call, path, scopes, names)
            if len(later) == len(waiting):
                break  # what is left belongs to other inputs, or waits for itself
            waiting = later
        if net.output not in made:
            raise ModelError(
                f"The model file {self.file.path} is damaged: nothing makes the output of {net.name[:60]!r}."
            )
        return made[net.output]

    def called(
        self, layer: Layer, call: Call, number: int, above: keras_weights.Path, scopes: tuple[Scope, ...], names: _Names
    ) -> Made:
        """What one call of a layer makes."""
        path = (*above, layer.name)
        if layer.net is not None:
            below = f"{scopes[-1].path}." if scopes else ""
            inside = Scope(f"{below}{names.of(layer.name)}", layer.kind, f"{layer.name} {number}")
            (given,) = call.args if len(call.args) == 1 else (None,)
            if not isinstance(given, Made):
                raise ModelError(f"The model file {self.file.path} gives the net {layer.name[:60]!r} several values.")
            return self.net(layer.net, given, path, (*scopes, inside))
        node = self.node(layer, call, path, scopes)
        if not node.inputs or not all(isinstance(part, Made | int | float) for part in node.inputs):
            raise node.unfit("it is given something other than values of the net and numbers")
        if not any(isinstance(part, Made) for part in node.inputs):
            raise node.unfit("it is given no value of the net")
        return self.put_down(node, scopes, names)

    def endless(self) -> ModelError:
        return ModelError(f"The model file {self.file.path} was refused: its nets within nets make endless operations.")

    def node(self, layer: Layer, call: Call, path: keras_weights.Path, scopes: tuple[Scope, ...]) -> Node:
        if path not in self.arrays:
            places = self.file.places.get(path, {})
            self.arrays[path] = keras_weights.read_all(self.file.weights, places)
        policy = layer.settings.get("dtype")
        if "int8" in str(policy) or "int4" in str(policy) or "Quantized" in str(policy) or "float8" in str(policy):
            raise ModelError(
                f"The model file {self.file.path} is quantised: its layer {layer.name[:60]!r} holds whole numbers that "
                "stand for weights. Save the net as it was before it was quantised."
            )
        prefix = "/".join(path)

        def keep(name: str, array: Any, trained: bool) -> Weight:
            import torch

            full = f"{prefix}/{name}"
            if full not in self.tensors:
                self.tensors[full] = torch.tensor(array.astype("float32"))
                self.trained |= {full} if trained else set()
            return Weight(full)

        rest = (self.arrays[path], keep, self.file.last, self.file.major, str(self.file.path))
        return Node(layer.name, layer.kind, layer.settings, call.args, call.kwargs, *rest)

    def put_down(self, node: Node, scopes: tuple[Scope, ...], names: _Names) -> Made:
        """The operations of one call, each in a module of its own name, and the value that the last one makes."""
        below, values = f"{scopes[-1].path}." if scopes else "", list[Value]()
        for part in translate(node):
            made = Value(f"{below}{node.name}{part.suffix} {len(self.operations)}")
            given = {key: _put(value, values) for key, value in part.given.items()}
            own = part.target in OWN
            args, kwargs = (tuple(given.values()), {}) if own else in_order(part.target, given, node.source)
            scope = Scope(f"{below}{names.of(node.name, part.suffix)}", node.kind)
            self.operations.append(Operation(made.name, part.target, args, (made.name,), (*scopes, scope), kwargs))
            values.append(made)
        if len(self.operations) > _MOST_OPERATIONS:
            raise self.endless()
        inputs = [part for part in node.inputs if isinstance(part, Made)]
        rank = node.ranks[-1] if node.ranks else inputs[0].rank
        return Made(values[-1] if values else inputs[0].value, rank)


class _Names:
    """What the modules of a net's layers are called: as the file has it, where a module can be called so."""

    def __init__(self, net: KerasNet) -> None:
        self.layers = {layer.name for layer in net.layers}
        self.known: dict[tuple[str, str], str] = {}
        self.taken: set[str] = set()
        for layer in net.layers:
            self.of(layer.name)

    def of(self, layer: str, suffix: str = "") -> str:
        """The name of a layer's module, or of the one that does another part of it."""
        if (layer, suffix) not in self.known:
            from torch import nn

            name = "".join(sign if sign.isalnum() or sign in "_-" else "_" for sign in f"{layer}{suffix}") or "_"
            while name in self.taken or hasattr(nn.Module(), name):
                name += "_"
            self.taken.add(name)
            self.known[layer, suffix] = name
        return self.known[layer, suffix]


def _filled(call: Call, made: Mapping[Ref, Made]) -> Call:
    def value(said: Any) -> Any:
        if isinstance(said, Ref):
            return made[said]
        return [value(part) for part in said] if isinstance(said, list) else said

    return replace(call, args=tuple(map(value, call.args)), kwargs={k: value(v) for k, v in call.kwargs.items()})


def _put(value: Any, values: list[Value]) -> Any:
    """An argument, with the values of earlier parts where they are meant."""
    if isinstance(value, Earlier):
        return values[value.number]
    return [_put(part, values) for part in value] if isinstance(value, list) else value
