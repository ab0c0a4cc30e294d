"""A pass over a data set: pictures stream through a net once for all methods that look over it, in parts that are kept.

Pictures are decoded in threads while the net runs. What a part of the set gave is stored as soon as it is known, so
that memory does not grow with the set and an interrupted pass goes on where it stood. A picture that cannot be read is
left out, counted and listed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from reportgen import cells, hooks
from reportgen.errors import ImageError, MethodError
from reportgen.examples import Batch, Dataset, Example, Partial
from reportgen.keys import digest
from reportgen.lean import lean
from reportgen.records import Artifact, Method, Net
from reportgen.store import Corrupt, Store
from reportgen.targets import label_index

if TYPE_CHECKING:
    from torch import Tensor

    Read = list[tuple[int, Example | ImageError]]  # place in the set, and the picture or why there is none

BATCH = 16  # pictures in one forward pass: more gains nothing on a CPU and costs memory
PART = 128  # pictures whose findings are stored together: what an interrupted pass loses at most
JOINED = 8  # parts in memory at once
SECONDS = 5  # between two words on how far a pass is
MOST_LISTED = 50  # unreadable pictures that an artifact names


@dataclass(frozen=True, eq=False)
class Job:
    """One cell of a method that looks over a data set."""

    method: Method
    params: Any
    document: Mapping[str, Any]  # what its key is the digest of

    @cached_property
    def key(self) -> str:
        """The key of the cell."""
        return digest(self.document)

    @cached_property
    def seed(self) -> int:
        """What the pictures' random numbers start from."""
        return int(cells.random_numbers(self.document).integers(2**63))

    def part(self, number: int) -> dict[str, Any]:
        """The key document of what one part of the set gave."""
        return {"schema": "part-1", "cell": self.key, "part": number, "pictures": PART}


@dataclass(frozen=True)
class Outcome:
    """What a job came to: its artifact, or what broke it, and its seconds, those that all jobs share divided evenly."""

    result: Artifact | Exception
    seconds: float


@dataclass
class _Pass:
    """A pass under way: the only thing here that changes."""

    net: Net
    data: Dataset
    targets: tuple[int, ...]  # per class of the set: the net's own
    found: dict[str, list[Partial]]  # by key: what the part in hand gave so far
    spent: dict[str, float]  # by key: seconds of a job's own
    broken: dict[str, Exception] = field(default_factory=dict)  # by key


def scan(net: Net, data: Dataset, jobs: Sequence[Job], store: Store, say: Callable[[str], None]) -> dict[str, Outcome]:
    """What each job came to on the whole set, by its key; `say` is told how far the pass is.

    Raises Corrupt where the store held a damaged part; it is set aside then.
    """
    started = time.perf_counter()
    targets = tuple(class_of(net, name) for name in data.classes)
    run = _Pass(net, data, targets, {job.key: [] for job in jobs}, dict.fromkeys((job.key for job in jobs), 0.0))
    _read_all(run, jobs, store, say)
    results = {}
    for job in jobs:
        began = time.perf_counter()
        results[job.key] = run.broken.get(job.key) or _finished(net, data, job, store)
        run.spent[job.key] += time.perf_counter() - began
    shared = (time.perf_counter() - started - sum(run.spent.values())) / max(1, len(jobs))
    return {key: Outcome(result, run.spent[key] + shared) for key, result in results.items()}


def _read_all(run: _Pass, jobs: Sequence[Job], store: Store, say: Callable[[str], None]) -> None:
    """Look over every part of the set that the store lacks for any job, and keep what it gave."""
    from reportgen.dataset_stream import stream

    data, told = run.data, time.monotonic()
    missing = {job.key: _missing(job, len(data), store) for job in jobs}
    first = min((part for parts in missing.values() for part in parts), default=None)
    skipped: list[tuple[str, str]] = []
    for done, read in _counted(stream(data, start=first * PART, size=BATCH) if first is not None else (), first):
        part, whole = (done - 1) // PART, done % PART == 0 or done == len(data)
        due = [job for job in jobs if part in missing[job.key] and job.key not in run.broken]
        skipped += [(data.names[place], str(one)) for place, one in read if not isinstance(one, Example)]
        _look(run, due, [(place, one) for place, one in read if isinstance(one, Example)])
        if not whole:
            continue
        for job in due:
            if job.key not in run.broken:
                _keep(job, part, run.found[job.key], skipped, store)
        run.found, skipped = {job.key: [] for job in jobs}, []
        if time.monotonic() - told > SECONDS:
            say(f"{data.name}: {done:,} of {len(data):,} pictures")
            told = time.monotonic()


def class_of(net: Net, name: str) -> int:
    """The index of a data set's class among the net's own, by any of its names; -1 where the net does not have it.

    A whole number that is no name is the index itself: so labels files count ImageNet's classes.
    """
    index = label_index(net.classes, (name, *(part.strip() for part in name.split(","))))
    if index is None and name.isdigit() and int(name) < len(net.classes):
        return int(name)
    return -1 if index is None else index


def _missing(job: Job, count: int, store: Store) -> set[int]:
    """The parts of the set that the store does not hold for a job."""
    return {part for part in range(-(-count // PART)) if store.get(digest(job.part(part))) is None}


def _counted(batches: Iterable[Read], first: int | None) -> Iterator[tuple[int, Read]]:
    """Each batch with the number of pictures of the set up to its end."""
    done = (first or 0) * PART
    for read in batches:
        done += len(read)
        yield done, read


def _look(run: _Pass, jobs: Sequence[Job], pictures: Sequence[tuple[int, Example]]) -> None:
    """Add what one batch gives each job; where memory is short, half a batch at a time."""
    import torch

    if not (jobs and pictures):
        return
    try:
        given = _batch(run, jobs, pictures)
        partials = {job.key: _chunk(run, job, given) for job in jobs}
    except torch.OutOfMemoryError as error:
        short = error
    except Exception as error:  # the pass itself broke: nothing for anybody
        run.broken.update((job.key, error) for job in jobs)
        return
    else:
        for key, partial in partials.items():
            run.found[key].extend([partial] if partial is not None else [])
        return
    if len(pictures) == 1:
        run.broken.update((job.key, short) for job in jobs)
        return
    half = len(pictures) // 2
    for some in (pictures[:half], pictures[half:]):
        _look(run, jobs, some)


def _batch(run: _Pass, jobs: Sequence[Job], pictures: Sequence[tuple[int, Example]]) -> Batch:
    """The pictures as all jobs get them, with one pass to the deepest layer that any of them asks for."""
    net = run.net
    places, examples = zip(*pictures, strict=True)
    labels = [run.data.labels[place] for place in places]
    x = net.preprocess([example.picture for example in examples])  # N 3 H W
    asked = {name: net.card.resolve(name).name for job in jobs for name in _layers(net, job)}
    found: dict[str, Tensor] = {}
    if asked:
        names = list(dict.fromkeys(asked.values()))
        found = hooks.run_to(lean(net, names), x, names)
    values = {name: found[path] for name, path in asked.items()} | found
    known = tuple(run.targets[label] if label >= 0 else -1 for label in labels)
    return Batch(places, examples, tuple(labels), known, x, values, (), _before(net, jobs, examples, x))


def _before(net: Net, jobs: Sequence[Job], examples: Sequence[Example], x: Tensor) -> dict[str, Tensor]:
    """What the same layers of the net before gave, for the jobs that compare the two."""
    asked = {name: net.card.resolve(name).name for job in jobs if "before" in job.method.needs
             for name in _layers(net, job)}  # fmt: skip
    if net.before is None or not asked:
        return {}
    names = list(dict.fromkeys(asked.values()))
    if net.before.card.preprocess != net.card.preprocess:
        x = net.before.preprocess([example.picture for example in examples])  # N 3 H W
    found = hooks.run_to(lean(net.before, names), x, names)
    return {name: found[path] for name, path in asked.items()} | found


def _layers(net: Net, job: Job) -> Sequence[str]:
    assert job.method.scan is not None
    return job.method.scan.layers(net, job.params) if job.method.scan.layers else ()


def _chunk(run: _Pass, job: Job, given: Batch) -> Partial | None:
    """What a job makes of a batch; None, and the reason under `broken`, where it breaks."""
    import numpy as np
    import torch

    assert job.method.scan is not None
    rngs = [np.random.default_rng([job.seed, place]) for place in given.places]
    began = time.perf_counter()
    try:
        return job.method.scan.chunk(run.net, replace(given, rngs=rngs), job.params)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        run.broken[job.key] = error
        return None
    finally:
        run.spent[job.key] += time.perf_counter() - began


def _keep(job: Job, part: int, partials: Sequence[Partial], skipped: Sequence[tuple[str, str]], store: Store) -> None:
    document = job.part(part)
    blobs = {cells.BLOB: cells.to_bytes(_merged(job.method, partials))} if partials else {}
    store.put(digest(document), kind="part", document=document, meta={"skipped": list(skipped)}, blobs=blobs)


def _merged(method: Method, partials: Sequence[Partial]) -> Partial:
    """Several findings as one."""
    import numpy as np

    assert method.scan is not None
    if len(partials) == 1:
        return partials[0]
    if method.scan.merge is not None:
        return method.scan.merge(partials)
    return {name: np.concatenate([partial[name] for partial in partials]) for name in partials[0]}


def _finished(net: Net, data: Dataset, job: Job, store: Store) -> Artifact | Exception:
    """The artifact made of all stored parts, or what broke it."""
    assert job.method.scan is not None
    gathered: list[Partial] = []
    skipped: list[list[str]] = []
    for part in range(-(-len(data) // PART)):
        record = store.get(digest(job.part(part)))
        if record is None:
            raise Corrupt(f"part {part} of {job.method.name}")
        skipped += record.meta["skipped"]
        if record.blobs:
            gathered.append(cells.from_bytes(store.read(record, cells.BLOB)))
        if len(gathered) == JOINED:
            gathered = [_merged(job.method, gathered)]
    if not gathered:
        first = f" The first says: {skipped[0][1]}" if skipped else ""
        return MethodError(f"None of the {len(data):,} pictures of {data.name} can be read.{first}")
    rng = cells.random_numbers(job.document)
    try:
        artifact = job.method.scan.finish(net, data, _merged(job.method, gathered), job.params, rng)
        cells.check_artifact(job.method, artifact)
    except Exception as error:
        return error
    seen = {"pictures": len(data) - len(skipped), "skipped": len(skipped), "unreadable": skipped[:MOST_LISTED]}
    return replace(artifact, numbers={**artifact.numbers, **seen})
