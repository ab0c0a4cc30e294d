"""`reportgen fetch`'s part for data sets: torchvision's, downloaded and checked by torchvision, kept as one .zip each.

The .zip has class folders and nothing else, so that a build reads it as it reads a user's own, without torchvision.
"""

from __future__ import annotations

import codecs
import io
import pickle
import socket
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from reportgen.dataset_files import reason
from reportgen.datasets import PUBLISHED, published_file
from reportgen.errors import ModelError
from reportgen.nets import hub

if TYPE_CHECKING:
    from reportgen.spec_models import Spec

Say = Callable[[str], None]
Member = tuple[str, bytes]  # class/name, content
PATIENCE = 30.0  # seconds without a byte
_SIZE = "320px"  # of Imagenette's three: nets look at 224 pixels


def fetch(spec: Spec, say: Say) -> list[str]:
    """Download the sets of torchvision that a spec names and that are not here; what could not be had, a line each."""
    problems = []
    seen: set[str] = set()
    kinds = {"imagenette": _imagenette, "cifar10": _cifar10}
    for name, asked in spec.datasets.items():
        kind, _, known = asked.source.partition(":")
        if kind != "torchvision" or known in seen:
            continue
        seen.add(known)
        title, target = PUBLISHED[known].title, published_file(known)
        if target.is_file():
            say(f"{name}: {title} is here")
            continue
        say(f"{name}: downloading {title}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with _impatience(), tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-") as folder:
                count = _pack(kinds[known](Path(folder)), Path(folder, target.name))
                Path(folder, target.name).replace(target)
            say(f"{name}: fetched {title}, {count:,} pictures, {target.stat().st_size / 1e6:.0f} MB")
        except (ModelError, OSError, RuntimeError, pickle.UnpicklingError) as error:  # RuntimeError: a wrong hash
            problems.append(f"{name}: {title} could not be fetched: {reason(error)}.")
    return problems


@contextmanager
def _impatience() -> Iterator[None]:
    """torchvision's downloads give up where nothing comes."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _imagenette(folder: Path) -> Iterable[Member]:
    """Imagenette's validation photos, its classes under all their names."""
    from torchvision.datasets import Imagenette

    _reach(Imagenette._ARCHIVES[_SIZE][0])
    found = Imagenette(str(folder), split="val", size=_SIZE, download=True)
    names = {wnid: ", ".join(known) for wnid, known in zip(found.wnids, found.classes, strict=True)}
    for file in sorted(folder.glob("*/val/*/*.JPEG")):
        yield f"{names[file.parent.name]}/{file.name}", file.read_bytes()


def _cifar10(folder: Path) -> Iterable[Member]:
    """CIFAR-10's test pictures as PNG."""
    from PIL import Image
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import check_integrity, download_and_extract_archive

    _reach(CIFAR10.url)
    # not CIFAR10(download=True), which would run whatever its pickles ask for
    download_and_extract_archive(CIFAR10.url, str(folder), filename=CIFAR10.filename, md5=CIFAR10.tgz_md5)
    unpacked = folder / CIFAR10.base_folder
    for file, md5 in (*CIFAR10.test_list, (CIFAR10.meta["filename"], CIFAR10.meta["md5"])):
        if not check_integrity(str(unpacked / file), md5):
            raise RuntimeError(f"{file} is not what torchvision expects")
    batch = _unpickled(unpacked / CIFAR10.test_list[0][0])
    classes = _unpickled(unpacked / CIFAR10.meta["filename"])[CIFAR10.meta["key"]]
    pictures = batch["data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)  # N 32 32 3
    for place, (pixels, label) in enumerate(zip(pictures, batch["labels"], strict=True)):
        made = io.BytesIO()
        Image.fromarray(pixels).save(made, "PNG")
        yield f"{classes[label]}/{place:05d}.png", made.getvalue()


def _pack(members: Iterable[Member], target: Path) -> int:
    """Write a .zip, the same bytes whenever it is written; the number of its files."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content)
        count = len(archive.namelist())
    if count == 0:
        raise RuntimeError("the download held no pictures")
    return count


def _reach(url: str) -> None:
    """Nothing, or Unreachable after some seconds: torchvision would wait for the host's name for minutes."""
    hub._opened(url, urlsplit(url).hostname or url, timeout=5).close()


class _ArraysOnly(pickle.Unpickler):
    """Reads a pickle of lists, texts and NumPy arrays, and nothing that could run code."""

    def find_class(self, module: str, name: str) -> Any:
        import numpy as np

        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            from numpy._core.multiarray import _reconstruct

            return _reconstruct
        if (module, name) in {("numpy", "ndarray"), ("numpy", "dtype")}:
            return getattr(np, name)
        if (module, name) == ("_codecs", "encode"):  # how protocol 2 writes bytes
            return codecs.encode
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no list of pictures needs")


def _unpickled(path: Path) -> Any:
    with path.open("rb") as file:
        return _ArraysOnly(file, encoding="latin1").load()
