"""HDF5 files of strangers: their texts and numbers, read from memory, within what the file really holds.

An HDF5 file may send its reader elsewhere: links to other files, data that lie in another file, virtual data sets,
filters that are libraries to load. Only plain things are read here: groups and data sets that the file itself names,
uncompressed as Keras writes them, of plain numbers. The package h5py, an extra, does the reading, and sees bytes only.
"""

from __future__ import annotations

import io
import math
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from reportgen.errors import ModelError

MAGIC = b"\x89HDF\r\n\x1a\n"
_SPARE = 1 << 20  # bytes that a file may claim beyond its own, all in all
_MOST_TEXTS = 2 << 30  # bytes of all texts of one attribute, were each as long as the file has room for
_HEAP = b"GCOL\x01"  # what begins a heap of texts
_NUMBERS = "fiub"  # kinds of number that are opened: floats, whole numbers, yes and no


class Hdf5:
    """An HDF5 file held in memory. Raises ModelError for what is none, and for whatever is not plain data."""

    def __init__(self, path: Path, data: bytes) -> None:
        if find_spec("h5py") is None:
            raise ModelError(
                f"{path.name} needs the extra keras, which is not installed: pip install 'reportgen[keras]'"
            )
        self.path, self.left = path, len(data) + _SPARE
        self.h5py: Any = import_module("h5py")
        if not data.startswith(MAGIC):
            raise ModelError(f"The model file {path} holds no HDF5 file: what is wanted begins with \\x89HDF.")
        self.longest = _longest_text(data, path) if len(data) > 15 else 0
        try:
            self.file: Any = self.h5py.File(io.BytesIO(data), "r")
        except (OSError, ValueError, RuntimeError) as error:
            raise ModelError(f"The model file {path} is truncated or damaged ({str(error)[:120]}).") from error

    def has(self, place: str) -> bool:
        """Whether there is a group or a data set at a place, reached by names of the file itself."""
        return self._at(place) is not None

    def names(self, place: str) -> list[str]:
        """What lies in a group, in the order of names; nothing where there is no group."""
        found = self._at(place)
        return sorted(found) if isinstance(found, self.h5py.Group) else []

    def texts(self, place: str, name: str) -> list[str] | None:
        """The texts of an attribute, in one piece or in numbered ones as Keras splits long lists; None without."""
        node = self._at(place)
        if node is None:
            return None
        if name in node.attrs:
            return self._texts(node, name)
        pieces: list[str] = []
        while f"{name}{len(pieces)}" in node.attrs:
            pieces.append(f"{name}{len(pieces)}")
        return [text for piece in pieces for text in self._texts(node, piece)] if pieces else None

    def numbers(self, place: str) -> Any:
        """A data set as an array of NumPy."""
        found = self._at(place)
        if not isinstance(found, self.h5py.Dataset):
            raise ModelError(f"The model file {self.path} is damaged: it has no numbers at {place[:120]!r}.")
        short = str(found.dtype) == "|V2" and self.marked(place, "dtype") == "bfloat16"
        if found.dtype.kind not in _NUMBERS and not short:
            raise self._refused(place, f"it holds {str(found.dtype)[:40]} where plain numbers are wanted")
        how, size = found.id.get_create_plist(), found.dtype.itemsize * math.prod(found.shape)
        if how.get_layout() not in (self.h5py.h5d.COMPACT, self.h5py.h5d.CONTIGUOUS, self.h5py.h5d.CHUNKED):
            raise self._refused(place, "it is put together from other files")
        if how.get_external_count():
            raise self._refused(place, "its numbers lie in another file")
        if how.get_nfilters():
            raise self._refused(place, "it is compressed (Keras writes plain numbers; h5repack -f NONE makes them so)")
        if size > found.id.get_storage_size() or size > self.left:
            raise self._refused(place, f"it claims {size:,} bytes, more than the file holds")
        self.left -= size
        try:
            return _widened(found[()]) if short else found[()]
        except (OSError, ValueError, RuntimeError) as error:
            raise ModelError(f"The model file {self.path} is damaged at {place[:80]!r}: {str(error)[:120]}.") from error

    def marked(self, place: str, name: str) -> str:
        """A short text that is an attribute; nothing where there is none."""
        found = self.texts(place, name)
        return found[0] if found else ""

    def _at(self, place: str) -> Any:
        """What lies at a place; None where nothing does. Every name on the way must be of the file itself."""
        node = self.file
        for word in filter(None, place.split("/")):
            # Asked of the library itself, as h5py's `word in node` follows a link to see whether there is anything.
            if not isinstance(node, self.h5py.Group) or not node.id.links.exists(word.encode()):
                return None
            if node.id.links.get_info(word.encode()).type != self.h5py.h5l.TYPE_HARD:
                raise self._refused(place, "it is a link, which may lead to another file")
            node = node[word]
        return node

    def _texts(self, node: Any, name: str) -> list[str]:
        """An attribute's texts; their number is checked against the file's size before any is read."""
        held = node.attrs.get_id(name)
        count = math.prod(held.shape)
        if count == 0:
            return []
        text = self.h5py.check_string_dtype(held.dtype)
        if text is None or count * held.dtype.itemsize > self.left:
            raise self._refused(name, "it is no text, or claims more than the file holds")
        if text.length is None and count > 1 and count * self.longest > _MOST_TEXTS:
            raise self._refused(name, "its texts could be one and the same long one, many times over")
        value = node.attrs[name]
        found = [value] if isinstance(value, str | bytes) else list(value.reshape(-1))
        texts = [part.decode("utf-8") if isinstance(part, bytes) else str(part) for part in found]
        self.left -= sum(map(len, texts))
        return texts

    def _refused(self, place: str, why: str) -> ModelError:
        return ModelError(f"The model file {self.path} was refused: of {place[:120]!r}, {why}. Nothing of it was read.")


def _longest_text(data: bytes, path: Path) -> int:
    """The bytes that a text of any length can have: those of the file's largest heap, where such texts lie.

    Every heap is walked through first. The library does not notice a piece of no size, and would never come to the end.
    """
    widths = data[13:15] if data[8] < 2 else data[9:11]  # of places and of sizes, in bytes; by the header's version
    if widths != b"\x08\x08":
        raise ModelError(f"The model file {path} was refused: its numbers of places are not of 8 bytes, as Keras' are.")
    sizes, place = [0], data.find(_HEAP)
    while place >= 0:
        sizes.append(int.from_bytes(data[place + 8 : place + 16], "little"))
        at, end = place + 16, place + sizes[-1]
        while at + 16 <= end <= len(data):  # number, references and size of a piece
            number, size = (int.from_bytes(data[at + i : at + j], "little") for i, j in ((0, 2), (8, 16)))
            taken = 16 + -(-size // 8) * 8 if number else size  # number 0 is what is free, its own head included
            at = at + taken if taken >= 16 else len(data)
        if at > end or end > len(data):
            raise ModelError(f"The model file {path} is damaged: where its texts lie, one piece runs into the next.")
        place = data.find(_HEAP, place + 8)
    return max(sizes)


def _widened(array: Any) -> Any:
    """Numbers of bfloat16, which NumPy has no name for, as float32: they are its upper half."""
    return (array.view("<u2").astype("<u4") << 16).view("<f4")
