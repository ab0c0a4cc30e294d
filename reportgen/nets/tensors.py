"""Weights files: read without running what is in them, and known by the digest of their tensors."""

from __future__ import annotations

import hashlib
import json
import math
import os
import pickle
import uuid
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from reportgen.errors import ModelError
from reportgen.nets.pt_files import is_script

if TYPE_CHECKING:
    from torch import Tensor

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt")
STORED = (".safetensors", "")  # a blob of the store has no suffix
_PREFIXES = ("module.", "_orig_mod.")  # what DataParallel and torch.compile put before every name
_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
_TORCH_NAMES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint8": "U8",
    "bool": "BOOL",
}


class Described(NamedTuple):
    """What is known of a weights file without keeping its tensors."""

    digest: str  # of the tensors
    metadata: dict[str, str]  # what a safetensors file says about itself


def tensor_digest(state: Mapping[str, Tensor]) -> str:
    """The SHA-256 over names (sorted), number types, shapes and little-endian bytes; the same for any file format."""
    import torch

    whole = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        kind = str(tensor.dtype).removeprefix("torch.")
        _head(whole, name, _TORCH_NAMES.get(kind, kind), list(tensor.shape))
        whole.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return whole.hexdigest()


def weights_digest(path: Path, memo_dir: Path | None) -> str:
    """The digest of a weights file's tensors, remembered by path, size, time of change and inode."""
    return describe(path, memo_dir).digest


def describe(path: Path, memo_dir: Path | None) -> Described:
    """The digest and metadata of a weights file; from the memo, else by reading it (safetensors without torch)."""
    status = file_status(path)
    place = str(path.resolve())
    identity = [place, status.st_size, status.st_mtime_ns, status.st_ino]
    note = memo_dir / "weights" / f"{hashlib.sha256(place.encode()).hexdigest()[:32]}.json" if memo_dir else None
    known = read_memo(note)
    if known.get("file") == identity:
        return Described(known["digest"], known["metadata"])
    found = _describe_safetensors(path) if path.suffix in STORED else Described(tensor_digest(read_state(path)), {})
    write_memo(note, {"file": identity, "digest": found.digest, "metadata": found.metadata})
    return found


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a weights file by name, on the CPU. Nothing in the file can run code."""
    file_status(path)
    if path.suffix in STORED:
        _describe_header(path)  # its errors are clearer
        from safetensors.torch import load_file

        return _plain_names(load_file(path))
    if is_script(path):
        raise ModelError(
            f"The weights file {path} is a TorchScript file, which holds net and weights: name it as arch, without "
            "weights. As weights a state dict is wanted, as torch.save(net.state_dict(), ...) writes it."
        )
    return _plain_names(_tensors_in(_unpickled(path), path))


def read_memo(path: Path | None) -> dict[str, Any]:
    """A remembered JSON object; empty where there is none, or none that can be read."""
    try:
        known = json.loads(path.read_text(encoding="utf-8")) if path else {}
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def write_memo(path: Path | None, value: Mapping[str, Any]) -> None:
    """Remembers a JSON object; where it cannot be written, the next build is slower and nothing else."""
    if path is None:
        return
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_text(json.dumps(value, sort_keys=True), encoding="utf-8")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


# ------------------------------------------------------------------------------------------------------- safetensors


def _describe_safetensors(path: Path) -> Described:
    header, start = _describe_header(path)
    metadata = header.pop("__metadata__", {})
    named = {_plain_name(name, header): entry for name, entry in header.items()}
    whole = hashlib.sha256()
    with path.open("rb") as file:
        for name in sorted(named):
            entry = named[name]
            begin, end = entry["data_offsets"]
            _head(whole, name, entry["dtype"], entry["shape"])
            file.seek(start + begin)
            _update(whole, file, end - begin)
    return Described(whole.hexdigest(), metadata)


def _describe_header(path: Path) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file and where its data begin; the layout is safetensors' format document."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= size - 8:
            raise ModelError(f"The weights file {path} is damaged or no safetensors file: its header is not there.")
        try:
            header = json.loads(file.read(length))
            ends = [0]
            for name, entry in header.items():
                if name != "__metadata__":
                    begin, end = entry["data_offsets"]
                    ends.append(end)
                    known = _BYTES.get(entry["dtype"])
                    if known is not None and end - begin != known * math.prod(entry["shape"]):
                        raise ValueError(name)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ModelError(f"The weights file {path} is damaged: its header makes no sense ({error}).") from error
    if size != 8 + length + max(ends):
        raise ModelError(f"The weights file {path} is damaged: it has {size:,} bytes, not {8 + length + max(ends):,}.")
    return header, 8 + length


# ---------------------------------------------------------------------------------------------------------- pickles


def _unpickled(path: Path) -> Any:
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about files of an odd make, which are then refused, or fine
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"The weights file {path} was refused: reading it could run code, or it is no weights file at all "
            "(weights_only of PyTorch did not accept it). Where you trust it, load it yourself and save its state dict "
            "with safetensors.torch.save_file."
        ) from error
    except Exception as error:  # torch raises a dozen kinds for a damaged file
        raise ModelError(f"The weights file {path} is damaged or no weights file ({type(error).__name__}).") from error


def _tensors_in(loaded: Any, path: Path) -> dict[str, Tensor]:
    import torch

    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    tensors = {}
    if isinstance(loaded, Mapping):
        tensors = {str(name): value for name, value in loaded.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise ModelError(f"The weights file {path} holds no tensors by name: a state dict is what is wanted.")
    return tensors


# ------------------------------------------------------------------------------------------------------------ small


def file_status(path: Path) -> os.stat_result:
    """A file's size and times. Raises ModelError for what is no file, or an empty one."""
    try:
        status = path.stat()
    except OSError as error:
        raise ModelError(f"The weights file {path} cannot be read: {error.strerror}.") from error
    if path.is_dir():
        raise ModelError(f"The weights {path} are a folder; name a .safetensors or .pth file in it.")
    if status.st_size == 0:
        raise ModelError(f"The weights file {path} is empty (0 bytes).")
    return status


def _plain_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {_plain_name(name, state): tensor for name, tensor in state.items()}


def _plain_name(name: str, names: Mapping[str, Any]) -> str:
    """The name without a wrapper's prefix, where all names have it."""
    for prefix in _PREFIXES:
        if all(known.startswith(prefix) for known in names if known != "__metadata__"):
            return name.removeprefix(prefix)
    return name


def _head(whole: hashlib._Hash, name: str, kind: str, shape: list[int]) -> None:
    whole.update(json.dumps([name, kind, shape], separators=(",", ":")).encode())


def _update(whole: hashlib._Hash, file: IO[bytes], count: int) -> None:
    while count > 0:
        part = file.read(min(count, 1 << 22))
        if not part:
            raise ModelError(f"The weights file {file.name} ended early.")
        whole.update(part)
        count -= len(part)
