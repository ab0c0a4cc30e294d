"""A report before it is drawn: spec, cards and filled cells; what pages, site and poster are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from reportgen import images
from reportgen.errors import ImageError
from reportgen.records import Card, Filled, Method, Picture
from reportgen.spec import Spec
from reportgen.store import Store


@dataclass(frozen=True, eq=False)
class Report:
    """Everything the publishing half may look at."""

    spec: Spec
    methods: Mapping[str, Method]
    cards: Mapping[str, Card]  # by the model's id in the spec
    fallbacks: Mapping[str, str]  # model id -> why the fallback stands in for what was asked
    filled: tuple[Filled, ...]  # in the order of the plan
    store: Store
    unlisted: tuple[Filled, ...] = ()  # cells without a section: no page shows them, but others may beside their own

    @cached_property
    def known(self) -> Mapping[str, Filled]:
        """All filled cells by their key."""
        return {filled.cell.key: filled for filled in (*self.unlisted, *self.filled)}

    def picture(self, image: str) -> Picture:
        """The whole picture of an image of the spec, H x W x 3; plain grey where `flaw` says why it cannot be read."""
        found = self._loaded(image)
        return _grey() if isinstance(found, str) else found

    def flaw(self, image: str) -> str:
        """Why the picture of an image cannot be read, or an empty text."""
        found = self._loaded(image)
        return found if isinstance(found, str) else ""

    def _loaded(self, image: str) -> Picture | str:
        asked, base = self.spec.images[image], self.spec.path.parent
        return _load(asked.source, base, asked.crop, _stamp(asked.source, base))

    def photo(self, image: str, model: str) -> Picture:
        """The picture as a net sees it before normalisation, S x S x 3."""
        return images.view(self.picture(image), self.cards[model].preprocess)


@lru_cache(maxsize=16)  # pages, figures and the poster look at the same few photos again and again
def _load(source: str, base: Path, crop: tuple[int, int, int, int] | None, stamp: tuple[int, int]) -> Picture | str:
    try:
        return images.load_image(source, base=base, crop=crop)
    except ImageError as error:
        return str(error)


def _stamp(source: str, base: Path) -> tuple[int, int]:
    """What tells that a file was exchanged for another while the program runs."""
    try:
        found = images.find_image(source, base).stat()
    except (ImageError, OSError):
        return 0, 0
    return found.st_mtime_ns, found.st_size


def _grey() -> Picture:
    import numpy as np

    return np.full((128, 128, 3), 0.5, np.float32)
