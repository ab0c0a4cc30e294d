"""One spec to one report, and nothing at all where nothing changed; light to import for that reason."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from reportgen.publish import guard
from reportgen.records import Filled
from reportgen.store import Store, default_root
from reportgen.unchanged import nothing_to_do

SITE_ROOT = Path("site")  # where reports land that are given no folder


class Progress(Protocol):
    """What a build tells whoever watches; the command line prints it."""

    def say(self, text: str) -> None:
        """One line about what happens now."""

    def start(self, total: int) -> None:
        """So many cells are to be computed."""

    def step(self, text: str) -> None:
        """One cell is done."""

    def stop(self) -> None:
        """No more cells."""


class Quiet:
    """Progress that nobody watches."""

    def say(self, text: str) -> None:
        """Nothing."""

    def start(self, total: int) -> None:
        """Nothing."""

    def step(self, text: str) -> None:
        """Nothing."""

    def stop(self) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Options:
    """How to build; none of it changes what a report shows, but `only`, which leaves cells out."""

    cache: Path | None = None
    device: str = "auto"
    threads: int | None = None
    offline: bool = False
    strict: bool = False
    only: str = ""
    allow_code: bool = False
    prints: bool = True  # without: poster, handout and the one-file report stay as an earlier build left them


@dataclass(frozen=True)
class Built:
    """What a build did."""

    folder: Path
    computed: int
    cached: int
    failed: tuple[Filled, ...]
    findings: tuple[str, ...]  # of the poster's preflight
    fallbacks: Mapping[str, str]
    seconds: float
    published: bool
    unchanged: bool = False  # there was nothing to do
    without_prints: bool = False  # the next build has to make what is for paper

    @property
    def exit_code(self) -> int:
        """0 done; 1 some cell failed, or nothing was published."""
        return 0 if self.published and not self.failed else 1


def build(
    spec: str | Path,
    out: str | Path | None = None,
    *,
    options: Options | None = None,
    progress: Progress | None = None,
) -> Built:
    """The report of a spec, in its folder (by default site/<name of the spec> below the working directory).

    Raises SpecError, ImageError or ModelError before anything is started, RenderError where it cannot be written.
    """
    started = time.perf_counter()
    options = options or Options()
    folder = report_folder(spec, out)
    guard(folder)
    store = store_at(options.cache)
    cells = nothing_to_do(Path(spec), folder, store, options.only, options.device)
    if cells is not None:
        return Built(folder, 0, cells, (), (), {}, time.perf_counter() - started, published=True, unchanged=True)

    from reportgen.assembly import assemble  # everything heavy

    return assemble(Path(spec), folder, store, options, progress or Quiet(), started, listed=out is None)


def report_folder(spec: str | Path, out: str | Path | None = None) -> Path:
    """Where the report of a spec lands."""
    return (Path(out) if out else SITE_ROOT / Path(spec).stem).absolute()


def store_at(cache: Path | None) -> Store:
    """The store in this folder, or in the default one."""
    return Store((cache or default_root()).absolute())
