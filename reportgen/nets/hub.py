"""torchvision's published weights: what an enum's name means, where the file should lie, and how to fetch it."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from reportgen.errors import ModelError, nearest
from reportgen.nets.archs import vision_models
from reportgen.nets.tensors import read_memo, write_memo
from reportgen.records import Preprocess

Progress = Callable[[int, "int | None"], None]  # bytes so far, bytes in all where the host says
_MEMO = 1  # bump when Published changes


class MissingWeights(ModelError):  # named for what it says
    """Published weights are not on this machine."""

    def __init__(self, message: str, *, url: str, filename: str, folder: Path) -> None:
        super().__init__(message)
        self.url = url
        self.filename = filename
        self.folder = folder


class Unreachable(ModelError):
    """A host did not answer: there is no use in asking it again."""


@dataclass(frozen=True)
class Published:
    """What torchvision says about one set of weights."""

    enum: str
    url: str
    filename: str
    preprocess: Preprocess
    classes: tuple[str, ...]  # empty where it names none


def hub_folder() -> Path:
    """Where torch keeps downloaded weights: <torch hub dir>/checkpoints; found without importing torch."""
    if (torch := sys.modules.get("torch")) is not None:
        return Path(torch.hub.get_dir(), "checkpoints")  # a program may have set it
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", os.path.join(cache, "torch"))  # noqa: PTH118  # as torch.hub reads it
    return Path(home).expanduser() / "hub" / "checkpoints"


def published(arch: str, enum: str | None, memo_dir: Path | None = None) -> Published:
    """The entry of torchvision's weights enum; without a name IMAGENET1K_V1, or the default where there is none.

    V1 rather than torchvision's own default, because it is the recipe of the papers and does not move with releases.
    Remembered by torchvision's version, so that the second time torchvision is not imported.
    """
    try:
        release = version("torchvision")
    except PackageNotFoundError as error:
        raise ModelError(f"{arch} is a net of torchvision, which is not installed.") from error
    name = f"hub-{_MEMO}-{release}-{arch}-{re.sub(r'[^A-Za-z0-9_]', '', enum or 'first')}.json"
    note = memo_dir / "weights" / name if memo_dir else None
    known = read_memo(note)
    try:
        shape = Preprocess(**_tuples(known.pop("preprocess")))
        return Published(preprocess=shape, **_tuples(known))
    except (KeyError, TypeError):  # not there, or from another version of this program
        pass
    found = _look_up(arch, enum)
    write_memo(note, asdict(found))
    return found


def missing(arch: str, found: Published) -> MissingWeights:
    """The error for weights that are not here."""
    folder = hub_folder()
    return MissingWeights(
        f"The weights {found.enum} of {arch} are not here: {found.filename} was looked for in {folder}. `reportgen "
        f"fetch SPEC` brings what a spec needs; by hand, put {found.url} there; or give the model a `fallback`.",
        url=found.url,
        filename=found.filename,
        folder=folder,
    )


def fetch_hub(arch: str, enum: str | None = None, timeout: float = 5, progress: Progress | None = None) -> Path:
    """The file of published weights in the hub folder, downloaded and checked against the hash in its name.

    Raises ModelError where the host does not answer, or sends nothing, for `timeout` seconds.
    """
    found = published(arch, enum)
    target = hub_folder() / found.filename
    if target.is_file():
        return target
    host = urllib.parse.urlsplit(found.url).hostname or found.url
    partial = target.with_name(f"{target.name}.{uuid.uuid4().hex}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _opened(found.url, host, timeout) as response, partial.open("wb") as file:
            digest = _copy(response, file, progress)
        expected = re.search(r"-([a-f0-9]{8,})\.", found.filename)
        if expected and not digest.startswith(expected[1]):
            raise ModelError(f"{found.url} sent other bytes than its name promises (hash {digest[:8]}). Try again.")
        partial.replace(target)
    except OSError as error:
        raise ModelError(f"{found.filename} could not be fetched from {host}: {error}.") from error
    finally:
        partial.unlink(missing_ok=True)
    return target


def _look_up(arch: str, enum: str | None) -> Published:
    entries = vision_models().get_model_weights(arch)
    names = list(entries.__members__)
    chosen = enum or ("IMAGENET1K_V1" if "IMAGENET1K_V1" in names else "DEFAULT")
    if chosen not in names:
        raise ModelError(f"{arch} has no weights called {chosen!r}. {nearest(chosen, names)}")
    entry = entries[chosen]
    shape = entry.transforms()
    preprocess = Preprocess(
        resize=int(shape.resize_size[0]),
        size=int(shape.crop_size[0]),
        mean=tuple(shape.mean),
        std=tuple(shape.std),
        interpolation=shape.interpolation.value,
    )
    filename = Path(urllib.parse.urlsplit(entry.url).path).name
    return Published(entry.name, entry.url, filename, preprocess, tuple(entry.meta.get("categories") or ()))


def _opened(url: str, host: str, timeout: float) -> Any:
    """The open response; a thread, since looking up a host's name knows no time limit."""
    answer: list[Any] = []

    def ask() -> None:
        try:
            answer.append(urllib.request.urlopen(url, timeout=timeout))
        except Exception as error:
            answer.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout)
    if answer and isinstance(answer[0], urllib.error.HTTPError):
        answer[0].close()
        raise ModelError(f"{host} answered {answer[0].code} to the request for {url}.") from answer[0]
    if not answer or isinstance(answer[0], Exception):
        reason = f" ({answer[0]})" if answer else f" in {timeout:g} seconds"
        raise Unreachable(f"could not reach {host}{reason}: {url} was asked for.")
    return answer[0]


def _copy(response: Any, file: Any, progress: Progress | None) -> str:
    total = int(response.headers.get("Content-Length") or 0) or None
    whole, done = hashlib.sha256(), 0
    while part := response.read(1 << 20):
        file.write(part)
        whole.update(part)
        done += len(part)
        if progress is not None:
            progress(done, total)
    if total is not None and done != total:
        raise OSError(f"the connection ended after {done:,} of {total:,} bytes")
    return whole.hexdigest()


def _tuples(known: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in known.items()}
