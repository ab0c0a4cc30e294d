"""Zip files of strangers: what is in them, read into memory and nowhere else, within limits.

Nothing is unpacked, so no name in an archive can lead to a place on the disk. A bomb claims far more than the file
holds; weights hardly compress, so a small factor is enough for every honest file.
"""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reportgen.errors import ModelError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

MOST_ENTRIES = 100_000
MOST_FACTOR = 50  # of all entries together to the file; texts compress about tenfold
SPARE = 16 << 20  # bytes that any file may claim beyond its factor
MOST_TEXT = 256 << 20  # bytes of one JSON or code entry
_MOST_REPEATED = 1 << 20  # bytes of a tensor beyond those that are stored


class Archive:
    """The entries of a zip file by name, below its one top folder. Raises ModelError for what is none, or is unfit.

    Without `folder` the entries are those of the archive itself, as Keras writes them.
    """

    def __init__(self, path: Path, data: bytes, folder: bool = True) -> None:
        self.path = path
        try:
            self.zip = zipfile.ZipFile(io.BytesIO(data))
            infos = self.zip.infolist()
        except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
            raise ModelError(
                f"The model file {path} is truncated or no zip archive ({error}): what is wanted begins with PK."
            ) from error
        claimed = sum(info.file_size for info in infos)
        if len(infos) > MOST_ENTRIES or claimed > MOST_FACTOR * len(data) + SPARE:
            raise ModelError(
                f"The model file {path} was refused: its {len(infos):,} entries claim {claimed:,} bytes, and the file "
                f"has {len(data):,}. An archive that swells so much is made to fill the memory. Nothing was unpacked."
            )
        if not folder:
            self.entries = {info.filename: info for info in infos}
            if len(self.entries) != len(infos):
                raise ModelError(f"The model file {path} was refused: a name stands twice among its entries.")
            return
        self.entries = {info.filename.partition("/")[2]: info for info in infos}
        tops = {info.filename.partition("/")[0] for info in infos}
        if len(tops) != 1 or len(self.entries) != len(infos) or not all(self.entries):
            raise ModelError(
                f"The model file {path} was refused: PyTorch writes one folder at the top of its archives, with every "
                f"name once; this has {len(infos)} entries under {len(tops)} names at the top."
            )

    def has(self, name: str) -> bool:
        """Whether there is an entry of this name."""
        return name in self.entries

    def size(self, name: str) -> int:
        """How many bytes an entry has."""
        return self._info(name).file_size

    def _info(self, name: str) -> zipfile.ZipInfo:
        info = self.entries.get(name)
        if info is None:
            raise ModelError(f"The model file {self.path} is damaged: it has no entry {name!r}.")
        return info

    def read(self, name: str, most: int | None = None) -> bytes:
        """An entry's bytes, checked against the archive's own checksum."""
        info = self._info(name)
        if info.flag_bits & 1 or (most is not None and info.file_size > most):
            raise ModelError(f"The model file {self.path} was refused: its entry {name!r} is locked or far too large.")
        try:
            return self.zip.read(info)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
            raise ModelError(
                f"The model file {self.path} is damaged: its entry {name!r} cannot be read ({error})."
            ) from error


def laid_out(
    raw: bytes, kind: torch.dtype, sizes: Sequence[int], strides: Sequence[int], start: int, whose: str, name: str
) -> Tensor:
    """The tensor that lies in raw bytes as a file says, in a memory of its own."""
    import torch

    check_layout(len(raw), kind.itemsize, sizes, strides, start, whose, name)
    if not math.prod(sizes):
        return torch.empty(sizes, dtype=kind)
    return torch.frombuffer(bytearray(raw), dtype=kind).as_strided(sizes, strides, start).clone()


def check_layout(
    held: int, width: int, sizes: Sequence[int], strides: Sequence[int], start: int, whose: str, name: str
) -> None:
    """Raise ModelError for a tensor of numbers of `width` bytes that cannot lie in as many bytes as are held."""
    count: int = math.prod(sizes)
    last = start + sum((n - 1) * step for n, step in zip(sizes, strides, strict=True))
    # One number may stand for many (strides of 0), within reason: the copy has them all.
    swells = count * width > held + _MOST_REPEATED
    if min([*sizes, *strides, start, 0]) < 0 or swells or (count and (last + 1) * width > held):
        raise ModelError(
            f"{whose} is damaged: the tensor {name[:80]!r} of {' x '.join(map(str, sizes[:9]))} is to lie in "
            f"{held:,} bytes."
        )
