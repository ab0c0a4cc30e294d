"""Nets in TorchScript files (.pt), read without torch.jit.load.

PyTorch's own loader compiles the file's code and runs the `__setstate__` of its modules; operations there may write
files. Here the pickles become inert records (`script_pickle`), and the code is followed as text (`script_code`): what
it would do to a picture is written down with the known operations, and anything else is refused.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reportgen.errors import ModelError
from reportgen.nets.archive import SPARE, Archive, laid_out
from reportgen.nets.program import Program, Weight, guarded, named, needed
from reportgen.nets.pt_files import check_script
from reportgen.nets.script_code import Follower
from reportgen.nets.script_ops import OneSizeOnly, Recorder
from reportgen.nets.script_pickle import Record, Stored, records
from reportgen.nets.script_schema import Symbol
from reportgen.nets.script_source import Source

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_WANTED = ("TorchScript file", " torch.jit.save of PyTorch 1.4 or later writes such a file.")
_MOST_PICKLE = 4 << 20  # bytes; a traced densenet121 has 82,000
_MOST_NUMBER = 4096  # bytes of an entry that holds one number
_MOST_SHARED = 4  # bytes of all tensors to those of the file: one storage may hold several


def input_shape(path: Path, data: bytes) -> None:
    """None: such a file does not say for what pictures it is. Raises ModelError for what is no TorchScript."""
    guarded(path, lambda: check_script(path, data), *_WANTED)


def read_at(path: Path, data: bytes, size: int) -> Program:
    """The program of a TorchScript file for pictures of size x size. Raises ModelError for what is not known."""
    input_shape(path, data)
    return guarded(path, lambda: _program(Archive(path, data), size, len(data)), *_WANTED)


def _program(archive: Archive, size: int, total: int) -> Program:
    if archive.has("byteorder") and archive.read("byteorder", 100).strip() != b"little":
        raise ModelError(f"The model file {archive.path} was written on a big-endian machine; such are not opened.")
    record = records(archive.path, archive.read("data.pkl", _MOST_PICKLE), "data")
    held = records(archive.path, archive.read("constants.pkl", _MOST_PICKLE), "constants")
    if not isinstance(record, Record) or not isinstance(held, tuple):
        raise ValueError("no module is in it")
    constants = tuple(_plain(archive, each) for each in held)
    # For pictures of any size and number where that can be followed; else of one size; else as for one picture.
    for shapes in (((2, size), (3, 2 * size)), ((2, size), (3, size)), ((1, size), (1, size))):
        recorder = Recorder(archive, shapes, own_scopes=_is_flat(record))
        try:
            output = Follower(Source(archive), recorder, constants).net(record)
        except OneSizeOnly:
            continue
        return _written(archive, record, recorder, output, total)
    raise AssertionError("the last examples are alike, so that no second one can fail")


def _written(archive: Archive, record: Record, recorder: Recorder, output: Symbol, total: int) -> Program:
    operations = needed(recorder.operations, output.arg.name)
    used = {name for op in operations for name in named(op.args, Weight)}
    tensors = _tensors(archive, {name: recorder.stored[name] for name in sorted(used)}, total)
    trained = frozenset(name for name in used if name in recorder.trained and name not in recorder.fixed)
    batch = recorder.shapes[0][0] if recorder.shapes[0] == recorder.shapes[1] else None
    kind = record.kind.rpartition(".")[2]
    return Program(operations, tensors, trained, recorder.picture.arg.name, output.arg.name, kind, batch)


def _is_flat(record: Record) -> bool:
    """Whether a net has no modules: torch.jit.freeze has made one function of it."""
    return not any(isinstance(value, Record) for value in record.attributes.values())


def _plain(archive: Archive, constant: Any) -> Any:
    """A constant; one without axes as the number it is, as traces have sizes and factors."""
    if isinstance(constant, Stored) and constant.sizes == () and archive.size(constant.entry) <= _MOST_NUMBER:
        return _tensor(archive, "a constant", constant, archive.read(constant.entry)).item()
    return constant


def _tensors(archive: Archive, wanted: Mapping[str, Stored], total: int) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    by_entry: dict[str, list[str]] = defaultdict(list)
    for name, stored in wanted.items():
        by_entry[stored.entry].append(name)
    claimed = 0
    for entry, names in by_entry.items():
        raw = archive.read(entry)
        for name in names:
            found[name] = _tensor(archive, name, wanted[name], raw)
            claimed += found[name].numel() * found[name].element_size()
            if claimed > _MOST_SHARED * total + SPARE:
                raise ModelError(
                    f"The model file {archive.path} was refused: its tensors claim far more bytes than its {total:,}."
                )
    return found


def _tensor(archive: Archive, name: str, stored: Stored, raw: bytes) -> Tensor:
    """A tensor of the file; of 16 bits in 32, which the methods compute in."""
    import torch

    kind: torch.dtype = getattr(torch, stored.kind)
    whose = f"The model file {archive.path}"
    made = laid_out(raw, kind, stored.sizes, stored.strides, stored.start, whose, name)
    return made.float() if kind in (torch.float16, torch.bfloat16) else made
