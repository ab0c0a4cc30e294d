"""Data sets: a folder of class folders, or a .zip of one, as a list of pictures with their classes."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from reportgen.errors import ImageError
from reportgen.images import decode
from reportgen.records import Picture


@dataclass(frozen=True)
class Dataset:
    """The pictures of a folder or .zip in the order of their classes and names; none is read before it is asked for."""

    source: Path
    classes: tuple[str, ...]  # sorted names of the class folders
    files: tuple[str, ...]  # N paths below the source
    labels: tuple[int, ...]  # N indices of classes

    def __len__(self) -> int:
        """The number of pictures."""
        return len(self.files)

    def load(self, index: int) -> Picture:
        """The picture with this number, H x W x 3. Raises ImageError."""
        return decode(BytesIO(self.read(index)), f"{self.files[index]} of {self.source.name}")

    def read(self, index: int) -> bytes:
        """The bytes of the file with this number."""
        name = self.files[index]
        try:
            if self.source.is_dir():
                return (self.source / name).read_bytes()
            with zipfile.ZipFile(self.source) as archive:
                return archive.read(name)
        except (OSError, KeyError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise ImageError(f"The image {name} of {self.source.name} cannot be read: {error}.") from error

    def digest(self) -> str:
        """The SHA-256 of the manifest: every file's class, name and content, wherever the data set lies."""
        manifest = hashlib.sha256()
        for index, (name, label) in enumerate(zip(self.files, self.labels, strict=True)):
            content = hashlib.sha256(self.read(index)).hexdigest()
            manifest.update(f"{self.classes[label]}/{Path(name).name} {content}\n".encode())
        return manifest.hexdigest()


def open_dataset(source: Path) -> Dataset:
    """The data set in a folder of class folders, or in a .zip of one; a single folder above the classes is skipped.

    Raises ImageError where there are no pictures in class folders.
    """
    from reportgen.training.data import list_photos  # one rule for what a data set is, here and in training

    entries = sorted(list_photos(source), key=lambda entry: (entry.label, entry.name))
    classes = tuple(sorted({entry.label for entry in entries}))
    index = {name: number for number, name in enumerate(classes)}
    return Dataset(
        source, classes, tuple(entry.member for entry in entries), tuple(index[entry.label] for entry in entries)
    )
