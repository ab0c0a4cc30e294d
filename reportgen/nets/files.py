"""Model files: net and weights in one. Known by their digest without torch, opened without running what is in them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reportgen.errors import ModelError
from reportgen.nets.tensors import file_status, read_memo, write_memo

if TYPE_CHECKING:
    from torch import nn

SCRIPTED = (".pt", ".pth", ".ts", ".torchscript")  # the first two may be state dicts too
BUILDERS = {  # ending -> what the file holds, for keys
    ".pt2": "torch.export",
    ".onnx": "onnx",
    **dict.fromkeys(SCRIPTED, "torchscript"),
    **dict.fromkeys((".keras", ".h5", ".hdf5"), "keras"),
}
UNREAD = (".tflite", ".pb", ".mlmodel", ".mlpackage", ".caffemodel", ".ckpt")  # endings people may try
_READERS = {  # modules here
    "torch.export": "exported",
    "onnx": "onnx_files",
    "torchscript": "scripted",
    "keras": "keras_files",
}
REBUILT = 2  # bump when a file makes another net than before
_MARGIN = 256 / 224  # of the picture around the crop, as torchvision has it
GUESSED_SIZE = 224
LEFT_OUT = "the softmax at the end of the file's net was left out: methods look at the scores before it"


@dataclass(frozen=True)
class ModelFile:
    """What is known of a model file without torch."""

    digest: str  # SHA-256 of its bytes
    builder: str
    size: int | None  # side of the square pictures it takes; None where it does not say
    colours: Any = None  # as `preprocess:` of a spec has it, and where it comes from; None where nothing tells


def is_file(arch: str) -> bool:
    """Whether an arch is the name of a model file."""
    return arch.lower().endswith(tuple(BUILDERS))


def unread(arch: str) -> ModelError:
    """The error for model files of other formats."""
    return ModelError(
        f"{arch} is no model file that reportgen opens; those end in {', '.join(BUILDERS)}. Export the net with "
        "torch.export.save instead."
    )


def describe_file(path: Path, memo_dir: Path | None) -> ModelFile:
    """The digest and input size of a model file; remembered by path, size, time of change and inode."""
    place, suffix = str(path.resolve()), path.suffix.lower()
    identity = _identity(path)
    note = memo_dir / "files" / f"{hashlib.sha256(place.encode()).hexdigest()[:32]}.json" if memo_dir else None
    builder = f"{BUILDERS[suffix]} {REBUILT}"
    known = read_memo(note)
    same = known.get("file") == identity and known.get("builder") == builder
    if same and all(_identity(path.parent / name) == then for name, then in known["beside"].items()):
        return ModelFile(known["digest"], builder, known["size"], known["colours"])
    data = path.read_bytes()
    reader, whole = _reader(path), hashlib.sha256(data)
    size = _side(path, reader.input_shape(path, data))
    colours = reader.colours(path, data) if hasattr(reader, "colours") else None
    others = _beside(path, data)
    for other in others:
        whole.update(other.read_bytes())
    found = ModelFile(whole.hexdigest(), builder, size, colours)
    told = {
        "digest": found.digest,
        "size": size,
        "colours": colours,
        "beside": {other.name: _identity(other) for other in others},
    }
    write_memo(note, {"file": identity, "builder": builder, **told})
    return found


def open_file(path: Path, size: int) -> tuple[nn.Module, dict[str, str]]:
    """The net of a model file, with its weights, and what its card is to say of it.

    The size is that of the pictures, for files that do not say it.
    """
    from reportgen.nets.program import without_softmax
    from reportgen.nets.rebuild import rebuild

    file_status(path)
    reader, data = _reader(path), path.read_bytes()
    made = reader.read_at(path, data, size) if hasattr(reader, "read_at") else reader.read(path, data)
    program, left = without_softmax(made)
    return rebuild(program, path.name), {"logits": LEFT_OUT} if left else {}


def resize_for(size: int) -> int:
    """The short side that a picture gets before the crop, where no file says it."""
    return round(size * _MARGIN)


def check_arguments(arch: str, weights: object, kwargs: Mapping[str, object]) -> None:
    """Raise ModelError for what means nothing beside a model file."""
    if weights is not None or kwargs:
        raise ModelError(
            f"{arch} is a model file, which holds net and weights: weights and kwargs mean nothing beside it. Name the "
            "file as arch alone; for other weights name the arch that built the net."
        )


def _reader(path: Path) -> Any:
    """The module that reads such files: input_shape, read or read_at, maybe colours and beside; all of path, data."""
    return import_module(f"reportgen.nets.{_READERS[BUILDERS[path.suffix.lower()]]}")


def companions(path: Path) -> list[Path]:
    """The files that hold tensors of a model file, as ONNX may have them."""
    return _beside(path, path.read_bytes())


def _beside(path: Path, data: bytes) -> list[Path]:
    reader = _reader(path)
    found: list[Path] = reader.beside(path, data) if hasattr(reader, "beside") else []
    return found


def _identity(path: Path) -> list[Any]:
    status = file_status(path)
    return [str(path.resolve()), status.st_size, status.st_mtime_ns, status.st_ino]


def _side(path: Path, shape: tuple[int | None, ...] | None) -> int | None:
    """The side of the square pictures that a shape N C H W stands for."""
    if shape is None:
        return None
    if len(shape) != 4 or shape[1] not in (3, None) or shape[2] != shape[3]:
        said = " x ".join("any" if side is None else str(side) for side in shape) or "a number"
        raise ModelError(
            f"The model file {path.name} takes an input of {said}; reportgen shows nets of square colour pictures, "
            "N x 3 x S x S. Export the net for such an input."
        )
    return shape[2]
