"""Does what steps ask for: every section is made as a build would make it, from a spec, through the same store.

So what a build has computed is shown at once, what a session computes a build need not, and the spec that a session
writes makes the very same pixels.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import signal
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reportgen.building import Options, Progress, store_at
from reportgen.errors import ModelError, ReportError, SpecError
from reportgen.explore.state import Entry, State, document
from reportgen.palettes import Colors
from reportgen.records import Card, Figure, Net
from reportgen.saving import replace_with
from reportgen.store import Corrupt

if TYPE_CHECKING:
    from reportgen.pages import Block
    from reportgen.plan import Plan

MARK = "# written by reportgen explore"
_PLACE = re.compile(r"^[^\s:]+:\d+:\d+: ", re.MULTILINE)


@dataclass(frozen=True)
class Result:
    """What a section came to: its figures, pixels where they are pictures."""

    name: str  # for the file of a picture that is given no name
    figures: Mapping[str, Figure]  # by panel, the one to show first ahead
    pixels: Mapping[str, Colors] = field(default_factory=dict)


@contextlib.contextmanager
def _held_back() -> Iterator[None]:
    """An interrupt in here comes at its end: a half-imported torch could never be used in this process again."""
    came: list[int] = []
    try:
        before = signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    except ValueError:  # not the main thread, which gets no signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt


def _import_torch(builder: str) -> None:
    with _held_back(), contextlib.suppress(ImportError, RuntimeError):  # who needs them says what is missing
        importlib.import_module("torch")
        if builder.startswith("torchvision."):
            importlib.import_module("torchvision")


class Desk:
    """A store, and the net that was loaded last, so that the next section need not load it again."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.store = store_at(options.cache)
        self._loaded: tuple[str, Net] | None = None

    def card(self, state: State, progress: Progress) -> Card:
        """The card of the current net, from the store where it is there. Raises ReportError in plain words."""
        with tempfile.TemporaryDirectory() as folder:
            spec = {"title": "a net", "models": {state.model: state.models[state.model]}}
            return self._plan(spec | {"sections": [{"id": "none", "title": ""}]}, Path(folder), progress).cards[
                state.model
            ]

    def draw(self, state: State, section: Entry, progress: Progress) -> Result:
        """The figures of a section, computed where the store lacks them. Raises ReportError in plain words."""
        with tempfile.TemporaryDirectory() as folder:
            plan = self._plan(document(state, (section,), before=state.shown), Path(folder), progress)
            for _ in range(3):
                try:
                    return self._result(state, plan, progress)
                except Corrupt:  # set aside; what is gone is made again
                    continue
        raise ReportError("The cache is damaged again and again; name another folder with --cache.")

    def photo(self, state: State) -> Colors:
        """The current picture as the net sees it, or whole where no net is chosen."""
        import numpy as np

        from reportgen import images

        asked = state.images[state.image]
        picture = images.load_image(asked["source"], crop=asked.get("crop"))
        if state.card is not None:
            picture = images.view(picture, state.card.preprocess)
        return np.rint(picture * 255).astype(np.uint8)

    def _plan(self, raw: Mapping[str, Any], folder: Path, progress: Progress) -> Plan:
        from reportgen.assembly import prepare
        from reportgen.spec import check_files, read_spec

        path = folder / "explore.yaml"
        path.write_text(yaml_text(raw), encoding="utf-8")
        try:
            spec = read_spec(path)
            if problems := check_files(spec):
                raise SpecError("\n".join(problems))
            return prepare(spec, self.store, self.options, progress)
        except ReportError as error:
            raise type(error)(" ".join(_PLACE.sub("", str(error)).split("\n"))) from error

    def _result(self, state: State, plan: Plan, progress: Progress) -> Result:
        from reportgen.assembly import report_of
        from reportgen.pages import make_blocks
        from reportgen.run import fill

        filled = fill(plan, self.store, lambda model: self._net(plan, model, progress), progress.step, progress.say)
        for outcome in filled:
            if outcome.cell.section and outcome.status != "ok":
                raise ReportError(outcome.reason)
        (block,) = make_blocks(report_of(plan, filled, self.store))
        return self._shown(block)

    def _shown(self, block: Block) -> Result:
        figures = [slot.figure for row in block.rows for slot in row.slots if slot.figure is not None]
        if not figures:
            raise ReportError("There is nothing to show: " + " ".join(s.reason for r in block.rows for s in r.slots))
        figures.sort(key=lambda figure: (not figure.featured, not figure.files))  # stable: else as the method has them
        pixels = {f.panel: self._decoded(block, f.files[0]) for f in figures if f.files}
        words = figures[0].id.split(".")
        return Result("-".join(words[:-1]), {figure.panel: figure for figure in figures}, pixels)

    def _decoded(self, block: Block, file: str) -> Colors:
        import numpy as np
        from PIL import Image

        record, blob = block.files[file]
        with Image.open(io.BytesIO(self.store.read(record, blob))) as opened:
            return np.asarray(opened.convert("RGB"))

    def _net(self, plan: Plan, model: str, progress: Progress) -> Net:
        """The net of a model, kept until another one is asked for."""
        from reportgen import models

        choice = plan.models[model]
        known = f"{choice.resolved.builder} {choice.resolved.digest} {choice.classes} {choice.asked.preprocess}"
        if self._loaded is None or self._loaded[0] != known:
            self._loaded = None  # the old one's memory first
            progress.say(f"loading {choice.source}")
            _import_torch(choice.resolved.builder)
            self._loaded = known, models.load(choice, self.options.device, plan.spec.precision, self.options.threads)
        return self._loaded[1]


def default_net() -> str:
    """The pretrained VGG-16 where its weights are here, else the small VGG that comes with reportgen."""
    from reportgen.nets.weights import resolve

    try:
        resolve("vgg16")
    except ModelError:  # no weights, or no torchvision
        return "vgg_mini"
    return "vgg16"


def yaml_text(raw: Mapping[str, Any]) -> str:
    """A spec as YAML for people: entries in their order, short ones on one line."""
    import yaml

    plain = _plain(raw)
    return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, default_flow_style=None, width=100))


def write_spec(state: State, path: Path) -> None:
    """Write the spec of what was shown. Raises SpecError for somebody else's file, or one that cannot be written."""
    try:
        if path.exists() and not path.read_text(encoding="utf-8", errors="replace").startswith(MARK):
            raise SpecError(f"{path.name} is there already and is none of ours; give the spec another name.")
        text = yaml_text(document(state, state.shown, path.parent.resolve()))
        told = f"{MARK}; `reportgen build {path.name}` makes its figures\n{text}"
        replace_with(path, told.encode())
    except OSError as error:
        raise SpecError(f"{path.name} cannot be written: {error.strerror}.") from error


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value
