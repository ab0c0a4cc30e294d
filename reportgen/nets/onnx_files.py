"""Nets in ONNX files (.onnx), read with the package onnx, an extra, and put together from known operations.

Such a file is data: a protocol buffer of nodes and tensors. What it can abuse are its tensors in files beside it, which
may name any place on the disk; here such a file must lie in the same folder.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reportgen.errors import ModelError
from reportgen.nets.onnx_ops import LAST, Node, translate
from reportgen.nets.program import Operation, Program, Scope, Value, Weight, guarded, in_order, named

if TYPE_CHECKING:
    from torch import Tensor

_EXTERNAL = 1  # TensorProto.DataLocation


def input_shape(path: Path, data: bytes) -> tuple[int | None, ...]:
    """The shape N C H W of the input; None for a side that may change. No torch is needed."""
    return guarded(path, lambda: _shape(_input(_model(path, data).graph, path)), "ONNX file")


def beside(path: Path, data: bytes) -> list[Path]:
    """The files that hold tensors of this one, all in its own folder."""
    return guarded(
        path, lambda: sorted({_place(path, t)[0] for t in _tensors(_model(path, data).graph) if _apart(t)}), "ONNX file"
    )


def read(path: Path, data: bytes) -> Program:
    """The program of an ONNX file. Raises ModelError for what is damaged or not known."""
    return guarded(path, lambda: _program(path, _model(path, data)), "ONNX file")


def _onnx(path: Path) -> Any:
    if find_spec("onnx") is None:
        raise ModelError(f"{path.name} needs the extra onnx, which is not installed: pip install 'reportgen[onnx]'")
    return import_module("onnx")


def _model(path: Path, data: bytes) -> Any:
    model = _onnx(path).load_model_from_string(data)
    if not model.graph.node:
        raise ModelError(f"The model file {path} is no ONNX file, or an empty one: it holds no operation.")
    if model.functions or any(node.domain not in ("", "ai.onnx") for node in model.graph.node):
        raise ModelError(f"The model file {path} has operations of its maker's own; only ONNX's are rebuilt.")
    return model


def _input(graph: Any, path: Path) -> Any:
    held = {tensor.name for tensor in graph.initializer}
    own = [entry for entry in graph.input if entry.name not in held]
    if len(own) != 1 or len(graph.output) < 1:
        raise ModelError(f"The net in {path} takes {len(own)} inputs; one batch of pictures, N x 3 x H x W, is wanted.")
    return own[0]


def _shape(entry: Any) -> tuple[int | None, ...]:
    return tuple(side.dim_value or None for side in entry.type.tensor_type.shape.dim)


def _program(path: Path, model: Any) -> Program:
    reader = _Reader(path, model)
    operations = tuple(op for node in model.graph.node for op in reader.operations(node))
    entry, output = _input(model.graph, path), reader.names.get(model.graph.output[0].name)
    if not isinstance(output, Value):
        raise ModelError(f"The model file {path} is damaged: nothing makes its output.")
    used = {name for op in operations for name in named(op.args, Weight)}
    tensors = {name: reader.tensors[name] for name in sorted(used)}
    trained = frozenset(name for name in tensors if name not in reader.fixed)
    return Program(operations, tensors, trained, entry.name, output.name, "Program", _shape(entry)[0])


class _Reader:
    """What is known while the nodes are read in their order."""

    def __init__(self, path: Path, model: Any) -> None:
        self.path = path
        self.onnx = _onnx(path)
        self.tensors: dict[str, Tensor] = {}
        self.fixed: set[str] = set()  # tensors that are no parameters: statistics of batch norms
        self.names: dict[str, Any] = {}  # ONNX's name -> the Value or Weight that it stands for
        for tensor in model.graph.initializer:
            self._constant(tensor.name, tensor)
        entry = _input(model.graph, path)
        self.names[entry.name] = Value(entry.name)

    def operations(self, node: Any) -> Iterator[Operation]:
        """The operations of one node."""
        attributes = {a.name: self.onnx.helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type == "Constant":
            self._constant(node.output[0], attributes["value"])
            return
        inputs = [self.names[name] if name else None for name in node.input]
        if node.op_type == "BatchNormalization":
            self.fixed |= {weight.name for weight in inputs[3:5] if isinstance(weight, Weight)}
        parts = list(translate(Node(node.op_type, inputs, attributes, self.tensors, str(self.path))))
        if not parts:
            self.names[node.output[0]] = inputs[0]
            return
        scopes, last = _scopes(node), None
        for number, (target, given) in enumerate(parts):
            name = node.output[0] if number == len(parts) - 1 else f"{node.output[0]} {number}"
            filled = {key: _filled(value, last) for key, value in given.items()}
            args, kwargs = in_order(target, filled, str(self.path))
            yield Operation(name, target, args, (name,), scopes, kwargs)
            last = Value(name)
        self.names[node.output[0]] = last

    def _constant(self, name: str, tensor: Any) -> None:
        import torch

        if _apart(tensor):
            place, start, length = _place(self.path, tensor)
            with place.open("rb") as file:
                file.seek(start)
                raw = file.read(length)
            tensor = self.onnx.TensorProto(dims=tensor.dims, data_type=tensor.data_type, raw_data=raw)
        self.tensors[name] = torch.from_numpy(self.onnx.numpy_helper.to_array(tensor).copy())
        self.names[name] = Weight(name)


def _filled(value: Any, last: Value | None) -> Any:
    if isinstance(value, list):
        return [_filled(part, last) for part in value]
    return last if value is LAST else value


# --------------------------------------------------------------------------------------------- tensors in other files


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for node in graph.node:
        yield from (a.t for a in node.attribute if a.HasField("t"))


def _apart(tensor: Any) -> bool:
    return bool(tensor.data_location == _EXTERNAL)


def _place(path: Path, tensor: Any) -> tuple[Path, int, int]:
    """File, start and length of a tensor that lies beside the model file."""
    said: Mapping[str, str] = {entry.key: entry.value for entry in tensor.external_data}
    name = said.get("location", "")
    place = path.parent / name
    if not re.fullmatch(r"[\w.+ -]+", name) or name in (".", "..") or place.is_symlink():
        raise ModelError(
            f"The model file {path} was refused: a tensor is to be read from {name[:80]!r}. Tensors may lie in files "
            "of the same folder, named without a path, and nowhere else."
        )
    if not place.is_file():
        raise ModelError(f"The model file {path} wants its tensors from {name[:80]}, which is not beside it.")
    start, size = int(said.get("offset", 0)), place.stat().st_size
    length = int(said.get("length", size - start))
    if min(start, length) < 0 or start + length > size:
        raise ModelError(f"The model file {path} is damaged: {name[:80]} has {size:,} bytes, too few for its tensors.")
    return place, start, length


# ---------------------------------------------------------------------------------------------------- names of modules


def _scopes(node: Any) -> tuple[Scope, ...]:
    """The modules that a node was called in, where PyTorch's exporter says them; else one named like the node."""
    said = {entry.key: entry.value for entry in node.metadata_props}
    names, kinds = (_strings(said.get(f"pkg.torch.onnx.{key}", "")) for key in ("name_scopes", "class_hierarchy"))
    if names:
        kinds = kinds if len(kinds) == len(names) else [""] * len(names)
        pairs = list(zip(names, kinds, strict=True))[1:-1]  # without the net and the operation
        return tuple(Scope(path.partition("@")[0], kind.rpartition(".")[2], path) for path, kind in pairs if path)
    words = node.name.strip("/").split("/")
    if node.name.startswith("/") and len(words) > 1:
        return _nested(words[:-1])
    return (Scope(re.sub(r"\W+", "_", node.name or node.output[0]), ""),)


def _strings(text: str) -> list[str]:
    """A list of texts as Python writes it; nothing where it is something else."""
    try:
        found = ast.literal_eval(text) if len(text) < 10_000 else None
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return []
    return [str(part) for part in found] if isinstance(found, list) else []


def _nested(words: list[str]) -> tuple[Scope, ...]:
    """Scopes of a name such as /layer1/layer1.0/conv1: a word that begins with the one before only says more."""
    found: list[Scope] = []
    before = ""
    for word in words:
        above = found[-1].path if found else ""
        tail = word.removeprefix(f"{before}.") if before else word
        found.append(Scope(f"{above}.{tail}" if above else tail, ""))
        before = word
    return tuple(found)
