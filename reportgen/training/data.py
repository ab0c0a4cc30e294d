"""Pictures of class folders, held in memory as bytes, and the random changes a batch of them goes through."""

from __future__ import annotations

import hashlib
import io
import math
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from reportgen.dataset_files import open_files
from reportgen.dataset_layouts import in_class_folders
from reportgen.errors import ImageError
from reportgen.training.recipe import RENDERED, Augment

if TYPE_CHECKING:
    import torch

    from reportgen.examples import Dataset

MEAN = (0.485, 0.456, 0.406)  # ImageNet's, as torchvision's nets expect it
STD = (0.229, 0.224, 0.225)
GREY = (0.299, 0.587, 0.114)  # luma weights of ITU-R BT.601
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
GROUP = 16  # pictures that share a crop's size: one resize serves them all


@dataclass(frozen=True)
class PhotoSet:
    """Square pictures of one size with their classes."""

    pictures: npt.NDArray[np.uint8]  # N H W C
    labels: npt.NDArray[np.int64]  # N
    classes: tuple[str, ...]  # K
    digest: str  # of every file's class, name and content

    def __len__(self) -> int:
        """How many pictures there are."""
        return len(self.labels)


@dataclass(frozen=True)
class Entry:
    """One picture file, in a folder or a zip."""

    source: Path
    member: str  # a zip's member, or the path below the folder
    label: str
    name: str  # path below the class folder

    def read(self, archives: dict[Path, zipfile.ZipFile]) -> bytes:
        """The file's bytes; `archives` are the open zips, by path."""
        if self.source in archives:
            return archives[self.source].read(self.member)
        return (self.source / self.member).read_bytes()


def load_photos(
    sources: Sequence[str | Path], side: int, classes: Sequence[str] | None = None, threads: int = 2
) -> PhotoSet:
    """Return all pictures of folders or zips of class folders, each cut to its central square.

    The squares have `side` pixels. With `classes` the labels count in that list, and a class outside it is an
    ImageError; without, classes are the sorted folder names.
    """
    rendered = [str(source) for source in sources if str(source).startswith(RENDERED)]
    if rendered:
        return rendered_photos(tuple(map(str, sources)), side, None if classes is None else tuple(classes), threads)
    entries = sorted_entries(sources)
    found = sorted({entry.label for entry in entries})
    names = tuple(found if classes is None else classes)
    _check_known(found, names, sources)
    pictures = np.empty((len(entries), side, side, 3), np.uint8)  # N H W C

    def fill(index: int) -> str:
        content = entries[index].read(archives)
        pictures[index] = _square(content, side, entries[index])
        return f"{entries[index].label}/{entries[index].name} {hashlib.sha256(content).hexdigest()}\n"

    with ExitStack() as stack:
        zips = {entry.source for entry in entries if not entry.source.is_dir()}
        archives = {source: stack.enter_context(zipfile.ZipFile(source)) for source in sorted(zips)}
        pool = stack.enter_context(ThreadPoolExecutor(threads))
        lines = list(pool.map(fill, range(len(entries))))
    labels = np.array([names.index(entry.label) for entry in entries], np.int64)
    return PhotoSet(pictures, labels, names, hashlib.sha256("".join(lines).encode()).hexdigest())


def _check_known(found: Sequence[str], names: Sequence[str], sources: Sequence[str | Path]) -> None:
    strangers = [label for label in found if label not in names]
    if strangers:
        raise ImageError(
            f"The pictures of {', '.join(map(str, sources))} have classes the net does not know: "
            f"{', '.join(strangers)}. It knows: {', '.join(names)}."
        )


def rendered_world(sources: Sequence[str | Path], side: int) -> Dataset:
    """The rendered world that sources name, with pictures of `side` pixels; it stands alone."""
    from urllib.parse import parse_qsl

    from reportgen.rendered import world

    text = next(str(source) for source in sources if str(source).startswith(RENDERED))
    if len(sources) > 1:
        raise ImageError(f"The data {text} is a rendered world; it stands alone, without folders beside it.")
    name, _, query = text.removeprefix(RENDERED).partition("?")
    asked = dict(parse_qsl(query))
    if set(asked) - {"n", "seed"} or not all(value.isdigit() for value in asked.values()):
        raise ImageError(f"The data {text} should look like rendered:objects?n=4000&seed=1.")
    return world(name, int(asked.get("n", 1000)), size=side, seed=int(asked.get("seed", 0)))


def sorted_entries(sources: Sequence[str | Path]) -> list[Entry]:
    """The picture files of all sources in the order in which they are trained on."""
    entries = (entry for source in sources for entry in list_photos(Path(source)))
    return sorted(entries, key=lambda entry: (entry.label, entry.name, entry.source))


@lru_cache(maxsize=2)  # several nets are trained on the same pictures, one after the other
def rendered_photos(sources: tuple[str, ...], side: int, classes: tuple[str, ...] | None, threads: int) -> PhotoSet:
    """The pictures of one rendered world, rendered at the size wanted; those asked for last are remembered."""
    data = rendered_world(sources, side)
    names = tuple(data.classes if classes is None else classes)
    _check_known(data.classes, names, sources)
    pictures = np.empty((len(data), side, side, 3), np.uint8)  # N H W C

    def fill(index: int) -> None:
        pictures[index] = np.rint(data.load(index).picture * 255)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(fill, range(len(data))))
    labels = np.array([names.index(data.classes[label]) for label in data.labels], np.int64)
    return PhotoSet(pictures, labels, names, data.digest())


def list_photos(source: Path) -> list[Entry]:
    """The picture files of one folder or zip; a single folder above the class folders is skipped."""
    members = [member for member in open_files(source).names if member.lower().endswith(PICTURE_SUFFIXES)]
    entries = [Entry(source, member, label, name) for member, label, name in in_class_folders(members)]
    if not entries:
        raise ImageError(f"The data {source} holds no pictures in class folders, such as cat/1.jpg.")
    return entries


def _square(content: bytes, side: int, entry: Entry) -> npt.NDArray[np.uint8]:
    """The central square of a picture file, its short side brought to `side` pixels."""
    try:
        with Image.open(io.BytesIO(content)) as opened:
            opened.draft("RGB", (2 * side, 2 * side))  # lets the JPEG decoder leave out what is scaled away anyway
            picture = ImageOps.exif_transpose(opened).convert("RGB")
        scale = side / min(picture.size)
        size = (max(side, round(picture.width * scale)), max(side, round(picture.height * scale)))
        if size != picture.size:
            picture = picture.resize(size, Image.Resampling.BILINEAR)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        return np.asarray(picture.crop((left, top, left + side, top + side)))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ImageError(f"The picture {entry.member} of {entry.source} cannot be read: {error}.") from error


def centre_crop(pictures: torch.Tensor, size: int) -> torch.Tensor:
    """Return the centres of uint8 pictures N H W C, normalised, as N C `size` `size`."""
    import torch

    top, left = (pictures.shape[1] - size) // 2, (pictures.shape[2] - size) // 2
    crops = pictures[:, top : top + size, left : left + size].permute(0, 3, 1, 2)  # N C H W
    scale = torch.tensor([1 / (255 * std) for std in STD], device=pictures.device).view(1, 3, 1, 1)
    shift = torch.tensor([mean / std for mean, std in zip(MEAN, STD, strict=True)], device=pictures.device)
    return crops.float() * scale - shift.view(1, 3, 1, 1)


def augment(
    pictures: torch.Tensor, rows: npt.NDArray[np.int64], size: int, rule: Augment, rng: np.random.Generator
) -> torch.Tensor:
    """Return the `rows` of uint8 pictures N H W C at random cropped, flipped and coloured, as normalised B C S S."""
    import torch

    groups = [
        _random_crops(pictures, rows[start : start + GROUP], size, rule, rng) for start in range(0, len(rows), GROUP)
    ]
    batch = torch.cat(groups)  # B C S S
    flips = torch.from_numpy(rng.random(len(rows)) < rule.flip).to(batch.device)
    batch = torch.where(flips.view(-1, 1, 1, 1), batch.flip(3), batch)
    batch = _recolour(batch, rule, rng)
    return _salted(batch, rule.salt_pepper, rng) if rule.salt_pepper else batch


def _random_crops(
    pictures: torch.Tensor, rows: npt.NDArray[np.int64], size: int, rule: Augment, rng: np.random.Generator
) -> torch.Tensor:
    """Crops that share one random scale and aspect, each with its own place, resized to B C S S, 0..255."""
    import torch
    from torch.nn import functional

    side = pictures.shape[1]
    area = rng.uniform(*rule.scale) * side * side
    ratio = math.exp(rng.uniform(math.log(rule.ratio[0]), math.log(rule.ratio[1])))
    height = min(side, max(1, round(math.sqrt(area / ratio))))
    width = min(side, max(1, round(math.sqrt(area * ratio))))
    tops = rng.integers(0, side - height + 1, len(rows))
    lefts = rng.integers(0, side - width + 1, len(rows))
    cut = [
        pictures[row, top : top + height, left : left + width]
        for row, top, left in zip(rows.tolist(), tops.tolist(), lefts.tolist(), strict=True)
    ]
    crops = torch.stack(cut).permute(0, 3, 1, 2)  # B C h w, channels last in memory
    if crops.device.type != "cpu":
        crops = crops.float()  # only the CPU resizes bytes, where that is several times quicker
    return functional.interpolate(crops, (size, size), mode="bilinear", antialias=True).float()


def _recolour(batch: torch.Tensor, rule: Augment, rng: np.random.Generator) -> torch.Tensor:
    """Brightness, contrast, saturation and normalisation as one 3 x 3 matrix and one shift per picture."""
    import torch

    count = len(batch)
    bright, contrast, colour = (
        rng.uniform(1 - spread, 1 + spread, (count, 1, 1))
        for spread in (rule.brightness, rule.contrast, rule.saturation)
    )
    means = batch.mean((2, 3)).cpu().numpy().astype(np.float64)[:, :, None] / 255  # B C 1
    level = np.asarray(GREY)[None, None, :] @ means  # B 1 1: the grey that contrast turns around
    saturate = colour * np.eye(3) + (1 - colour) * np.ones((3, 1)) * np.asarray(GREY)  # B 3 3
    std, mean = np.asarray(STD)[:, None], np.asarray(MEAN)[:, None]
    matrix = bright * contrast * saturate / std / 255  # B 3 3
    shift = (bright * (1 - contrast) * level - mean) / std  # B 3 1
    device = batch.device
    flat = batch.permute(0, 2, 3, 1).reshape(count, -1, 3)  # B S*S C
    turned = torch.baddbmm(
        torch.from_numpy(shift).float().to(device).transpose(1, 2),
        flat,
        torch.from_numpy(matrix).float().to(device).transpose(1, 2),
    )  # B S*S C
    return turned.view(count, *batch.shape[2:], 3).permute(0, 3, 1, 2)  # B C S S, channels last in memory


def _salted(batch: torch.Tensor, most: float, rng: np.random.Generator) -> torch.Tensor:
    """Normalised pictures B C S S with pixels turned black or white, of each picture a share up to `most`."""
    import torch

    share = torch.from_numpy(rng.uniform(0, most / 2, (len(batch), 1, 1, 1))).float()
    chance = torch.from_numpy(rng.random((len(batch), 1, *batch.shape[2:]), dtype=np.float32))  # B 1 S S
    mean, std = torch.tensor(MEAN).view(1, 3, 1, 1), torch.tensor(STD).view(1, 3, 1, 1)
    black, white = (-mean / std).to(batch.device), ((1 - mean) / std).to(batch.device)
    batch = torch.where((chance < share).to(batch.device), black, batch)
    return torch.where((chance > 1 - share).to(batch.device), white, batch)  # B C S S
