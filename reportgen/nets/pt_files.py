"""What a file that PyTorch wrote is: TorchScript, a state dict, a whole module, or a program. Told without opening it.

All four end in .pt or .pth as people please. The names in a zip file, and the names that a pickle mentions, tell them
apart; no pickle is carried out for that.
"""

from __future__ import annotations

import io
import pickletools
import re
import zipfile
from pathlib import Path

from reportgen.errors import ModelError

_MOST_PICKLE = 16 << 20  # bytes
# What the pickle of a state dict mentions, besides the kinds of storages.
_PLAIN = frozenset(
    ("collections OrderedDict", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter", "torch Size")
)
_STORAGE = re.compile(r"torch \w+Storage")


def check_script(path: Path, data: bytes) -> None:
    """Raise ModelError where a file is no TorchScript archive, with what it is and what would be right."""
    names = _names(data)
    if "constants.pkl" in names and any(name.startswith("code/") for name in names):
        return
    raise ModelError(f"{path.name} is no TorchScript file, {_told(names, data)}")


def is_script(path: Path) -> bool:
    """Whether a file on the disk is a TorchScript archive; PyTorch tells it by the same entry."""
    try:
        with zipfile.ZipFile(path) as found:
            return any(name.partition("/")[2] == "constants.pkl" for name in found.namelist())
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return False


def _told(names: set[str], data: bytes) -> str:
    if "models/model.json" in names:
        return "but a program of torch.export: name it with the ending .pt2, and it is opened."
    if "model.json" in names or "bytecode.pkl" in names:
        return (
            "or one that is not opened: those of PyTorch before 1.4 and those for the mobile interpreter hold no code "
            "to follow. Load the net with the PyTorch that wrote it, and export it with torch.export.save."
        )
    if names and "data.pkl" not in names:
        return "but a zip archive of another program: PyTorch's have a data.pkl."
    foreign = _foreign(data)
    if foreign is None:
        return "and nothing that PyTorch writes: it is truncated, or no zip archive that begins with PK."
    if foreign:
        return (
            f"but a pickle of whole objects ({foreign[:60]} is in it), as torch.save(net) writes one: loading it runs "
            "code, so it is not opened. Load it yourself, and give its state dict as weights beside the arch that "
            "built it, or export the net with torch.export.save."
        )
    return "but a state dict, weights without a net: name the arch that built the net, and this file as its weights."


def _names(data: bytes) -> set[str]:
    """The entries of a zip file, below its top folder; none where it is no zip file."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as found:
            return {name.partition("/")[2] for name in found.namelist()}
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return set()


def _foreign(data: bytes) -> str | None:
    """A name in the file's pickles that no state dict has; an empty text where there is none, None for no pickle."""
    try:
        pickles = [_pickle(data)] if data.startswith(b"PK") else _old_pickles(data)
        for each in pickles:
            for opcode, argument, _ in pickletools.genops(each):
                if opcode.name in ("STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"):
                    return "a name of its own"
                if opcode.name == "GLOBAL" and argument not in _PLAIN and not _STORAGE.fullmatch(str(argument)):
                    return str(argument).replace(" ", ".")
    except (ValueError, IndexError, KeyError, zipfile.BadZipFile, OSError, EOFError):
        return None
    return "" if pickles else None


def _pickle(data: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as found:
        name = next(info for info in found.infolist() if info.filename.partition("/")[2] == "data.pkl")
        if name.file_size > _MOST_PICKLE:
            raise ValueError("a pickle far larger than any net's")
        return found.read(name)


def _old_pickles(data: bytes) -> list[io.BytesIO]:
    """The fourth pickle of a file of PyTorch before 1.6: after a magic number, a version and the machine's sizes."""
    stream = io.BytesIO(data)
    if not data.startswith(b"\x80"):
        return []
    starts = []
    for _ in range(4):
        starts.append(stream.tell())
        if not [opcode for opcode, _, _ in pickletools.genops(stream) if opcode.name == "STOP"]:
            raise ValueError("a pickle without an end")
        if len(starts) == 1 and not data.startswith(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."):
            break  # a plain pickle
    stream.seek(starts[-1])
    return [stream]
