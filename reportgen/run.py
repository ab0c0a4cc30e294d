"""Fills the cells of a plan that the store does not hold: one net on the device at a time, failures recorded.

Where cells compare a net with what it was before, that one is there too, as long as the net is.
A cell that fails does not stop the rest and is not stored: the next build tries it again. What is filled is stored at
once, so that an interrupted run goes on where it stood.
"""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from reportgen import cells as cell_module
from reportgen import images
from reportgen.cells import BLOB, OF_SETS
from reportgen.errors import NotApplicable, ReportError
from reportgen.passes import Job, scan
from reportgen.plan import Plan
from reportgen.records import Artifact, Cell, Filled, Input, Method, Net, Status
from reportgen.store import Corrupt, Record, Store

log = logging.getLogger(__name__)

CHUNK = 16  # pictures handed to a method at once; more gains nothing and costs memory

Load = Callable[[str], Net]
Progress = Callable[[str], None]  # called once per finished cell with its id


def fill(
    plan: Plan, store: Store, load: Load, progress: Progress, say: Progress = lambda _: None
) -> tuple[Filled, ...]:
    """Every cell of the plan with its outcome, in the order of the plan.

    `load` gives the net of a model id; it is called only for models with cells to compute. `say` is told how far a pass
    over a data set is.
    """
    done: dict[str, Filled] = {}  # by key
    for cell in plan.cells:
        if cell.id in plan.excluded:
            done[cell.key] = Filled(cell, "not_applicable", plan.excluded[cell.id], {}, _nothing)
        elif (record := store.get(cell.key)) is not None:
            done[cell.key] = from_record(cell, record, store, cached=True)
    for model in plan.models:
        by_key = {cell.key: cell for cell in plan.cells if cell.model == model and cell.key not in done}
        missing = list(by_key.values())
        if missing:
            _fill_model(plan, missing, store, load, done, progress, say)
    return tuple(replace(done[cell.key], cell=cell) for cell in plan.cells)


def from_record(cell: Cell, record: Record, store: Store, *, cached: bool) -> Filled:
    """A stored cell with its outcome."""

    def load() -> Artifact:
        return Artifact(cell_module.from_bytes(store.read(record, BLOB)), record.meta)

    seconds = float(record.provenance.get("seconds", 0.0))
    status: Status = "ok" if record.status == "ok" else "not_applicable"
    return Filled(cell, status, record.reason, record.meta, load, seconds, cached)


def _fill_model(
    plan: Plan,
    missing: Sequence[Cell],
    store: Store,
    load: Load,
    done: dict[str, Filled],
    progress: Progress,
    say: Progress,
) -> None:
    try:
        net = load(missing[0].model)
    except Exception as error:
        _fail_all(missing, error, done, progress)
        return
    net, missing = _with_before(plan, net, missing, load, done, progress)
    scanned = [cell for cell in missing if plan.methods[cell.method].scope == "dataset"]
    for cells in _by_dataset(scanned):
        _fill_over_dataset(plan, net, cells, store, done, say)
        for cell in cells:
            progress(cell.id)
    for group in _groups([cell for cell in missing if cell not in scanned]):
        size = 1 if plan.methods[group[0].method].scope in OF_SETS else CHUNK
        for chunk in cell_module.chunks(group, size):
            _fill_chunk(plan, net, [c for c in chunk if c.key not in done], store, done, progress)
    del net
    _free_memory()


def _with_before(
    plan: Plan, net: Net, missing: Sequence[Cell], load: Load, done: dict[str, Filled], progress: Progress
) -> tuple[Net, Sequence[Cell]]:
    """The net together with what it was before, where cells compare the two, and the cells that can be filled."""
    comparing = [cell for cell in missing if "before" in plan.methods[cell.method].needs]
    if not comparing:
        return net, missing
    name = plan.spec.models[comparing[0].model].before
    assert name is not None, "plan excludes nets without one"
    try:
        return replace(net, before=load(name)), missing
    except Exception as error:
        _fail_all(comparing, error, done, progress)
        return net, [cell for cell in missing if cell not in comparing]


def _by_dataset(cells: Sequence[Cell]) -> list[list[Cell]]:
    """The cells that look over the same data set, so that one pass serves them."""
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        if cell.dataset is not None:
            groups.setdefault(cell.dataset, []).append(cell)
    return list(groups.values())


def _fill_over_dataset(
    plan: Plan, net: Net, cells: Sequence[Cell], store: Store, done: dict[str, Filled], say: Progress
) -> None:
    data = plan.datasets[cells[0].dataset or ""]
    jobs = [Job(plan.methods[cell.method], cell.params, cell.document) for cell in cells]
    found = scan(net, data, jobs, store, lambda text: say(f"{cells[0].model}, {text}"))
    for cell in cells:
        outcome = found[cell.key]
        if isinstance(outcome.result, Exception):
            _record_failure(cell, outcome.result, store, done)
        else:
            _store(cell, outcome.result, net, outcome.seconds, store, done)


def _groups(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Cells that share method and params, so that one call serves them; what others use comes first."""
    groups: dict[tuple[Any, ...], list[Cell]] = {}
    for cell in sorted(cells, key=lambda cell: bool(cell.uses)):
        groups.setdefault((cell.method, cell.params), []).append(cell)
    return list(groups.values())


def _fill_chunk(
    plan: Plan, net: Net, chunk: Sequence[Cell], store: Store, done: dict[str, Filled], progress: Progress
) -> None:
    """Fill a chunk in one call; where that fails, halve it, so that one bad picture fails alone."""
    if not chunk:
        return
    method = plan.methods[chunk[0].method]
    started = time.perf_counter()
    try:
        artifacts = _run(plan, method, net, chunk, done)
    except Exception as error:
        _free_memory()
        if len(chunk) == 1:
            _record_failure(chunk[0], error, store, done)
            progress(chunk[0].id)
            return
        failure: Exception | None = error
    else:
        failure = None
    if failure is not None:  # outside the except block: its traceback would keep the tensors alive
        half = len(chunk) // 2
        for part in (chunk[:half], chunk[half:]):
            _fill_chunk(plan, net, part, store, done, progress)
        return
    seconds = (time.perf_counter() - started) / len(chunk)
    for cell, artifact in zip(chunk, artifacts, strict=True):
        _store(cell, artifact, net, seconds, store, done)
        progress(cell.id)


def _store(cell: Cell, artifact: Artifact, net: Net, seconds: float, store: Store, done: dict[str, Filled]) -> None:
    record = store.put(
        cell.key,
        kind="cell",
        document=cell.document,
        meta=artifact.numbers,
        blobs={BLOB: cell_module.to_bytes(artifact.arrays)},
        provenance={**provenance(net), "seconds": round(seconds, 4)},
    )
    done[cell.key] = replace(from_record(cell, record, store, cached=False), seconds=seconds)


def _run(plan: Plan, method: Method, net: Net, chunk: Sequence[Cell], done: Mapping[str, Filled]) -> list[Artifact]:
    if method.scope in OF_SETS:  # one cell: all its pictures in one call
        inputs = [_shown(plan, chunk[0], image, {}) for image in chunk[0].images]
        if method.scope == "training":
            inputs = _with_training(plan, net, chunk[0], inputs)
    else:
        inputs = [_input(plan, cell, done) for cell in chunk]
    rngs = [cell_module.random_numbers(cell.document) for cell in chunk]
    artifacts = method.run(net, inputs, chunk[0].params, rngs)
    for artifact in artifacts:
        cell_module.check_artifact(method, artifact)
    return artifacts


def _with_training(plan: Plan, net: Net, cell: Cell, inputs: Sequence[Input]) -> list[Input]:
    """The inputs of a method that looks at a run of training; at least one, and one only for a single artifact."""
    known = plan.models[cell.model].training
    assert known is not None, "plan excludes nets of which no training is known"
    training = known.seen(net, plan.datasets[cell.dataset] if cell.dataset else None)
    return [replace(one, training=training) for one in inputs or [Input()]]


def _input(plan: Plan, cell: Cell, done: Mapping[str, Filled]) -> Input:
    used = {}
    for name, other in cell.uses.items():
        outcome = done[other.key]
        if outcome.status != "ok":
            raise _Used(outcome)
        used[name] = outcome.load()
    return Input(used=used) if cell.image is None else _shown(plan, cell, cell.image, used)


def _shown(plan: Plan, cell: Cell, image: str, used: Mapping[str, Artifact]) -> Input:
    """A picture as the cell's method gets it: with points and name only where they are part of the key."""
    asked = plan.spec.images[image]
    picture = images.load_image(asked.source, base=plan.spec.path.parent, crop=asked.crop)
    method = plan.methods[cell.method]
    points = asked.points_in_crop() if "points" in method.needs else {}
    name = asked.name(image) if method.scope in OF_SETS else ""
    return Input(picture, asked.label, used, points, name)


class _Used(ReportError):
    """A cell that this one builds on has no artifact: its outcome is this one's too."""

    def __init__(self, outcome: Filled) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome


def _record_failure(cell: Cell, error: Exception, store: Store, done: dict[str, Filled]) -> None:
    if isinstance(error, NotApplicable):
        store.put(cell.key, kind="cell", document=cell.document, status="not_applicable", reason=str(error))
        done[cell.key] = Filled(cell, "not_applicable", str(error), {}, _nothing)
        return
    if isinstance(error, Corrupt):  # the build sees it, and fills the plan again
        raise error
    if isinstance(error, _Used):
        done[cell.key] = Filled(cell, error.outcome.status, error.outcome.reason, {}, _nothing)
        return
    if not isinstance(error, ReportError):
        log.error("%s failed", cell.id, exc_info=error)
    done[cell.key] = Filled(cell, "failed", describe(error), {}, _nothing)


def _fail_all(cells: Sequence[Cell], error: Exception, done: dict[str, Filled], progress: Progress) -> None:
    if not isinstance(error, ReportError):
        log.error("a net that %s needs cannot be loaded", cells[0].model, exc_info=error)
    for cell in cells:
        done[cell.key] = Filled(cell, "failed", describe(error), {}, _nothing)
        progress(cell.id)


def describe(error: Exception) -> str:
    """One paragraph for the page: the message of our own errors, the kind and first line of others'."""
    if isinstance(error, ReportError):
        return str(error)
    first = str(error).strip().split("\n")[0][:300]
    return f"{type(error).__name__}: {first}. This is a fault of the program or the net, not of the spec."


def provenance(net: Net) -> dict[str, Any]:
    """What computed a cell: recorded beside the result, never part of its key."""
    import numpy
    import torch

    from reportgen import __version__

    return {
        "device": net.device,
        "threads": torch.get_num_threads(),
        "versions": {"reportgen": __version__, "torch": torch.__version__, "numpy": numpy.__version__},
    }


def _free_memory() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _nothing() -> Artifact:
    return Artifact({})
