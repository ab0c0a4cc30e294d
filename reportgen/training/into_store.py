"""The runs of training that a report asks for: each made once, by one process, and put into the store.

While a run is under way, its state lies in a folder of the store, from which an interrupted one goes on.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from reportgen.errors import ImageError, Interrupted, ModelError, SpecError
from reportgen.examples import Epoch
from reportgen.run_lock import alone
from reportgen.spec import Spec
from reportgen.trained import FINAL, Course, blob_name
from reportgen.training.log import EpochLog
from reportgen.training.progress import Progress, duration, line

SECONDS = 20  # between two words on how far an epoch is

Say = Callable[[str], None]


def train_missing(spec: Spec, asked: Mapping[str, Course], device: str, threads: int | None, say: Say) -> None:
    """Train what the store does not hold, run by run; what was begun goes on where it stood."""
    from reportgen.training.data import rendered_photos

    for name, course in asked.items():
        for number, key in enumerate(course.keys):
            if course.store.get(key) is not None:
                continue
            called = f"{name}, run {number + 1} of {len(course.keys)}" if len(course.keys) > 1 else name
            try:
                _train(course, number, device, threads, _called(called, say))
            except (ImageError, ModelError) as error:
                raise SpecError(f"{spec.place('models', name, 'training')}: {error}") from error
            except KeyboardInterrupt:
                text = f"interrupted; {called} was in training; the next build goes on after its last whole epoch"
                raise Interrupted(text) from None
    rendered_photos.cache_clear()


def _called(name: str, say: Say) -> Say:
    return lambda text: say(f"{name}: {text}")


def _train(course: Course, number: int, device: str, threads: int | None, say: Say) -> None:
    """Train one run in a folder of the store and put what it gives into the store."""
    from reportgen.training import train

    (recipe, document), key = course.runs[number], course.keys[number]
    folder = course.store.root / "runs" / key
    with alone(folder, say) as lock:
        if course.store.get(key) is not None:  # another build has trained it meanwhile
            return
        say(f"training {recipe.arch} on {len(course.train):,} pictures")
        result = train(recipe, folder, device, threads, progress=_teller(say))
        _keep(course, number, folder, document, result.log)
        shutil.rmtree(folder, ignore_errors=True)
        lock.unlink(missing_ok=True)


def _keep(course: Course, number: int, folder: Path, document: Mapping[str, Any], log: Sequence[EpochLog]) -> None:
    """Put weights, checkpoints and log into the store."""
    import torch

    from reportgen.training.checkpoints import checkpoint_name, load_state, metadata, packed

    recipe = course.runs[number][0]
    state = load_state(folder)
    described = metadata(recipe, course.train.classes, state["data"], recipe.epochs)
    described["top1"] = f"{log[-1].val_top1:.4f}"
    blobs = {FINAL: packed(state["net"], described)}
    for epoch in recipe.checkpoints:
        blobs[blob_name(epoch)] = (folder / checkpoint_name(epoch)).read_bytes()
    rows = [{name: getattr(row, name) for name in Epoch.__dataclass_fields__} for row in log]
    course.store.put(
        course.keys[number],
        kind="training",
        document=document,
        meta={"log": rows},
        blobs=blobs,
        provenance={
            "device": course.device,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "seconds": round(sum(row.seconds for row in log), 2),
        },
    )


def _teller(say: Say) -> Callable[[Progress], None]:
    """Tells how far a training is: at the end of each epoch, and now and then within a long one."""
    told = time.monotonic()

    def tell(event: Progress) -> None:
        nonlocal told
        now = time.monotonic()
        if event.finished is not None or event.said:
            say(line(event))
        elif now - told > SECONDS:
            say(f"{line(event)}, {duration(event.seconds_left)} left")
        else:
            return
        told = now

    return tell
