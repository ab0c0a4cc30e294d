"""Programs of torch.export (.pt2), read without torch.export.load.

PyTorch's own loader is not for files of strangers: it looks up any dotted name below `torch` that the file gives
(torch.os.system is one), evaluates formulas of sizes as Python, and unpickles constants and sample inputs. Here the
JSON is read as data, an operation is one of `program.KNOWN` or the file is refused, tensors are raw bytes, and what is
pickled (the sample inputs) is never opened.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reportgen.errors import ModelError
from reportgen.nets.archive import MOST_TEXT, Archive, laid_out
from reportgen.nets.program import Operation, Program, Scope, Value, Weight, guarded, in_order, known, refused

if TYPE_CHECKING:
    from torch import Tensor

# PyTorch's numbers for types of tensors, as its schema has them
_TYPES = {
    1: "uint8",
    2: "int8",
    3: "int16",
    4: "int32",
    5: "int64",
    6: "float16",
    7: "float32",
    8: "float64",
    12: "bool",
    13: "bfloat16",
}
# Plain JSON values in the place of an argument.
_PLAIN = ("as_int", "as_float", "as_bool", "as_ints", "as_floats", "as_bools", "as_string")
# Operations that only check sizes, or say something about them.
_SILENT = ("sym_constrain_range", "sym_constrain_range_for_size", "_assert_scalar", "_assert_tensor_metadata")
_WANTED = ("program of torch.export", " torch.export.save of PyTorch 2.9 or later writes such a file.")


def input_shape(path: Path, data: bytes) -> tuple[int | None, ...]:
    """The shape N C H W of the input the program was made for; None for a side that may change. No torch is needed."""
    return guarded(path, lambda: _shape(_graph(Archive(path, data)), path), *_WANTED)


def read(path: Path, data: bytes) -> Program:
    """The program of a .pt2 file. Raises ModelError for what is damaged or not known."""
    return guarded(path, lambda: _program(path, Archive(path, data)), *_WANTED)


def _graph(archive: Archive) -> dict[str, Any]:
    if not archive.has("models/model.json"):
        raise ModelError(
            f"The model file {archive.path} is no program of torch.export, or one of a PyTorch before 2.9: it has no "
            "models/model.json. Load it with the PyTorch that wrote it, and save it again with a later one."
        )
    module: dict[str, Any] = json.loads(archive.read("models/model.json", MOST_TEXT))["graph_module"]
    return module


def _shape(module: Mapping[str, Any], path: Path) -> tuple[int | None, ...]:
    sizes = module["graph"]["tensor_values"][_input(module, path)]["sizes"]
    return tuple(size.get("as_int") for size in sizes)


def _input(module: Mapping[str, Any], path: Path) -> str:
    own = [spec["user_input"] for spec in module["signature"]["input_specs"] if "user_input" in spec]
    if len(own) != 1 or "as_tensor" not in own[0]["arg"]:
        raise ModelError(
            f"The program {path} takes {len(own)} inputs; one batch of pictures, N x 3 x H x W, is wanted."
        )
    name: str = own[0]["arg"]["as_tensor"]["name"]
    return name


def _program(path: Path, archive: Archive) -> Program:
    module = _graph(archive)
    names, trained = _weights(module, path)
    nodes = [node for node in module["graph"]["nodes"] if _target(node).partition(".")[0] not in _SILENT]
    for node in nodes:
        if not known(_target(node)):
            raise refused(node["target"], str(path))
    operations = tuple(_operation(node, names, path) for node in nodes)
    output = module["signature"]["output_specs"][-1]["user_output"]["arg"]["as_tensor"]["name"]
    tensors = _tensors(archive, {weight.name for weight in names.values()})
    kinds = [_stack(node)[0].kind for node in nodes if _stack(node)]
    batch = _shape(module, path)[0]
    return Program(operations, tensors, trained, _input(module, path), output, kinds[0] if kinds else "Program", batch)


def _weights(module: Mapping[str, Any], path: Path) -> tuple[dict[str, Weight], frozenset[str]]:
    """Which value of the graph is which tensor of the file, and which of those are parameters."""
    names, trained = {}, set()
    for spec in module["signature"]["input_specs"]:
        (kind, said), *_ = spec.items()
        if kind == "user_input":
            continue
        key = {"parameter": "parameter_name", "buffer": "buffer_name", "tensor_constant": "tensor_constant_name"}.get(
            kind
        )
        if key is None:
            raise ModelError(f"The program {path} was refused: it holds a {kind[:40]}, and only tensors are opened.")
        names[said["arg"]["name"]] = Weight(said[key])
        if kind == "parameter":
            trained.add(said[key])
    return names, frozenset(trained)


def _target(node: Mapping[str, Any]) -> str:
    target = str(node["target"])
    if target.startswith("_operator."):
        return target.replace("_operator.", "python.", 1)
    prefix = "torch.ops.aten."
    return target.removeprefix(prefix) if target.startswith(prefix) else f"?{target}"


def _operation(node: Mapping[str, Any], names: Mapping[str, Weight], path: Path) -> Operation:
    target = _target(node)
    given = {entry["name"]: _argument(entry["arg"], names, path) for entry in node["inputs"]}
    makes = tuple(name for output in node["outputs"] for name in _made(output))
    # A file without modules (made by a tool, or stripped) still has a name for each operation.
    scopes = _stack(node)[1:] or (() if _stack(node) else (Scope(str(node.get("name") or makes[0]), ""),))
    if target.startswith("python."):
        return Operation(makes[0], target, tuple(given.values()), makes, scopes)
    args, kwargs = in_order(target, given, str(path))
    return Operation(makes[0], target, args, makes, scopes, kwargs)


def _made(output: Mapping[str, Any]) -> list[str]:
    (kind, said), *_ = output.items()
    if kind == "as_tensor":
        return [said["name"]]
    if kind in ("as_sym_int", "as_sym_bool"):
        return [said["as_name"]]
    return [entry["name"] for entry in said] if kind == "as_tensors" else []


def _argument(arg: Mapping[str, Any], names: Mapping[str, Weight], path: Path) -> Any:
    (kind, said), *_ = arg.items()
    if kind == "as_none":
        return None
    if kind in _PLAIN:
        return said
    if kind == "as_tensor":
        return names.get(said["name"], Value(said["name"]))
    if kind in ("as_tensors", "as_optional_tensors"):
        return [_argument(part if kind == "as_optional_tensors" else {"as_tensor": part}, names, path) for part in said]
    if kind == "as_sym_int":
        return said["as_int"] if "as_int" in said else Value(said["as_name"])
    if kind == "as_sym_ints":
        return [_argument({"as_sym_int": part}, names, path) for part in said]
    raise ModelError(f"The program {path} was refused: it gives an operation a {kind[:40]!r}, which is not opened.")


def _stack(node: Mapping[str, Any]) -> tuple[Scope, ...]:
    """The modules a node was called in, outermost first: `key,path,package.Class;...` in the file."""
    found = []
    for entry in filter(None, str(node.get("metadata", {}).get("nn_module_stack", "")).split(";")):
        key, path, kind = (*entry.split(","), "", "")[:3]
        found.append(Scope(path.partition("@")[0], kind.rpartition(".")[2], key))
    return tuple(found)


# ---------------------------------------------------------------------------------------------------------- tensors


def _tensors(archive: Archive, wanted: set[str]) -> dict[str, Tensor]:
    told: dict[str, Any] = {}
    for kind in ("weights", "constants"):
        name = f"data/{kind}/model_{kind}_config.json"
        if archive.has(name):
            entries = json.loads(archive.read(name, MOST_TEXT))["config"]
            told |= {key: (f"data/{kind}/{entry['path_name']}", entry) for key, entry in entries.items()}
    if missing := sorted(wanted - set(told)):
        raise ModelError(f"The program {archive.path} is damaged: the tensor {missing[0]!r} is not in it.")
    return {key: _tensor(archive, key, *told[key]) for key in sorted(wanted)}


def _tensor(archive: Archive, key: str, name: str, entry: Mapping[str, Any]) -> Tensor:
    import torch

    if entry.get("use_pickle"):
        raise ModelError(
            f"The program {archive.path} was refused: its tensor {key!r} is a pickle, which could run code."
        )
    meta = entry["tensor_meta"]
    sizes, strides = ([int(side["as_int"]) for side in meta[which]] for which in ("sizes", "strides"))
    kind: torch.dtype = getattr(torch, _TYPES[meta["dtype"]])
    start = int(meta["storage_offset"]["as_int"])
    return laid_out(archive.read(name), kind, sizes, strides, start, f"The program {archive.path}", key)
