"""Training as part of a report: a model's recipe stands for weights, which are made once and then lie in the store.

A run of training is known by its recipe (without paths), its pictures, torch's version and the kind of device. Its
weights, kept checkpoints and log are stored under that key; while it is under way, its state lies in a folder of the
store, from which an interrupted run goes on to the same weights.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reportgen.errors import ImageError, ModelError, ReportError, SpecError, StoreError
from reportgen.examples import Dataset, Epoch, TrainingRun
from reportgen.keys import digest
from reportgen.nets.weights import Resolved, resolve
from reportgen.records import Net
from reportgen.spec import ModelSpec, Spec
from reportgen.store import Record, Store

if TYPE_CHECKING:
    from reportgen.training import Progress, Recipe

TRAINER_VERSION = 1  # bump when the same recipe gives other weights
FINAL = "weights"  # blob of the weights at the end
SECONDS = 20  # between two words on how far an epoch is

Say = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Course:
    """What the recipe of a model asks for, and what of it the store holds."""

    recipe: Recipe  # its data are absolute paths
    train: Dataset
    val: Dataset
    device: str  # cpu, cuda or mps
    store: Store

    @cached_property
    def runs(self) -> tuple[tuple[Recipe, Mapping[str, Any]], ...]:
        """Each repeat's own recipe with its key document; only the first keeps checkpoints."""
        kept = tuple(sorted(set(self.recipe.checkpoints) - {self.recipe.epochs}))
        pictures = [self.train.digest(), self.val.digest()]
        found = []
        for number in range(self.recipe.repeats):
            # fp32 where the recipe leaves it open: what is quicker is measured, and need not be so the next time
            precision = "fp32" if self.recipe.precision == "auto" else self.recipe.precision
            own = {"seed": self.recipe.seed + number, "checkpoints": () if number else kept, "precision": precision}
            recipe = self.recipe.model_copy(update={**own, "repeats": 1, "out": None})
            document = {
                "schema": "training-1",
                "kind": "training",
                "version": TRAINER_VERSION,
                "recipe": recipe.model_dump(mode="json", exclude={"data", "out", "repeats"}),
                "classes": self.train.classes,
                "pictures": pictures,
                "torch": ".".join(version("torch").split(".")[:2]),
                "device": self.device,
            }
            found.append((recipe, document))
        return tuple(found)

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """The keys of all repeats."""
        return tuple(digest(document) for _, document in self.runs)

    @property
    def kept(self) -> tuple[int, ...]:
        """The epochs whose weights are kept, ascending; the last is the end of training."""
        return (*self.runs[0][0].checkpoints, self.recipe.epochs)

    @property
    def missing(self) -> int:
        """How many repeats are still to be trained."""
        return sum(self.store.get(key) is None for key in self.keys)

    @property
    def words(self) -> str:
        """What the course is, for people."""
        repeats = f", {self.recipe.repeats} times" if self.recipe.repeats > 1 else ""
        return f"{self.recipe.arch}, {self.recipe.epochs} epochs on {len(self.train):,} pictures{repeats}"

    def record(self, number: int = 0) -> Record:
        """What the store holds of a repeat. Raises ModelError where it holds nothing."""
        found = self.store.get(self.keys[number])
        if found is None:
            raise ModelError(f"The weights of {self.recipe.arch} are gone from the cache; build the report again.")
        return found

    def resolved(self, memo: Path, epoch: int | None = None) -> Resolved:
        """The weights at the end of training, or after a kept epoch; untrained ones where nothing was trained yet."""
        arch, epochs = self.recipe.arch, self.recipe.epochs
        if self.missing:
            kwargs = {**self.recipe.kwargs, "num_classes": len(self.train.classes)}
            stand_in = resolve(arch, "random", self.recipe.seed, kwargs)
            return replace(
                stand_in,
                digest=digest(["to be trained", self.keys]),
                source="to be trained",
                classes=self.train.classes,
            )
        name = FINAL if epoch in (None, epochs) else _blob(epoch or 0)
        found = resolve(arch, self.store.blob_path(self.record().blobs[name]), memo_dir=memo)
        return replace(found, source=f"trained for {epochs if epoch is None else epoch} epochs")


def courses(spec: Spec, store: Store, device: str) -> dict[str, Course]:
    """What the recipes of a spec's models ask for, by the model's id; nothing is trained.

    Raises SpecError with the place of a recipe that asks for what is not there.
    """
    found = {}
    for name, model in spec.models.items():
        if model.training is not None:
            try:
                found[name] = _course(model, spec.path.parent, store, device)
            except (ImageError, ModelError) as error:
                raise SpecError(f"{spec.place('models', name, 'training')}: {error}") from error
    return found


def recipe_of(model: ModelSpec, base: Path) -> Recipe:
    """The recipe of a model, its data below `base`."""
    from reportgen.training.recipe import make_recipe, resolved

    assert isinstance(model.training, dict)
    recipe = make_recipe(model.training)
    data = recipe.data.model_copy(
        update={part: resolved(getattr(recipe.data, part), base) for part in ("train", "val")}
    )
    return recipe.model_copy(update={"data": data})


def data_sources(model: ModelSpec, base: Path) -> tuple[str, ...]:
    """Where the pictures of a model's recipe are; nothing for a model without one."""
    if model.training is None:
        return ()
    data = recipe_of(model, base).data
    return (*data.train, *data.val)


def _course(model: ModelSpec, base: Path, store: Store, device: str) -> Course:
    from reportgen.training.sources import training_pictures

    recipe = recipe_of(model, base)
    train, val = training_pictures(recipe, store.root)
    if device not in ("cpu", "cuda", "mps"):
        from reportgen.nets.device import pick_device

        device = pick_device(device).partition(":")[0]
    return Course(recipe, train, val, device, store)


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
    rendered_photos.cache_clear()


def _called(name: str, say: Say) -> Say:
    return lambda text: say(f"{name}: {text}")


def _train(course: Course, number: int, device: str, threads: int | None, say: Say) -> None:
    """Train one run in a folder of the store and put what it gives into the store."""
    from reportgen.training import train

    (recipe, document), key = course.runs[number], course.keys[number]
    folder = course.store.root / "runs" / key
    try:
        with _alone(folder, say):
            if course.store.get(key) is not None:  # another build has trained it meanwhile
                return
            say(f"training {course.words.partition(', ')[0]} on {len(course.train):,} pictures")
            result = train(recipe, folder, device, threads, progress=_teller(say))
            _keep(course, number, folder, document, result.log)
            shutil.rmtree(folder, ignore_errors=True)
            _lock(folder).unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(
            f"The training cannot be written to {folder}: {error.strerror or error}. Free some space, or name another "
            "folder with --cache; the next build goes on after the last whole epoch."
        ) from error


def _keep(course: Course, number: int, folder: Path, document: Mapping[str, Any], log: Any) -> None:
    """Put weights, checkpoints and log into the store."""
    import torch
    from safetensors.torch import save

    from reportgen.training.checkpoints import checkpoint_name, load_state, metadata

    recipe = course.runs[number][0]
    state = load_state(folder)
    described = metadata(recipe, course.train.classes, state["data"], recipe.epochs)
    described["top1"] = f"{log[-1].val_top1:.4f}"
    plain = {name: value.detach().cpu().contiguous() for name, value in state["net"].items()}
    blobs = {FINAL: save(plain, described)}
    for epoch in recipe.checkpoints:
        blobs[_blob(epoch)] = (folder / checkpoint_name(epoch)).read_bytes()
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


def _blob(epoch: int) -> str:
    return f"epoch-{epoch:03d}"


def _teller(say: Say) -> Callable[[Progress], None]:
    """Tells how far a training is: at the end of each epoch, and now and then within a long one."""
    from reportgen.training.progress import duration, line

    told = time.monotonic()

    def tell(event: Progress) -> None:
        nonlocal told
        now = time.monotonic()
        if event.finished is not None:
            say(line(event))
        elif now - told > SECONDS:
            say(f"{line(event)}, {duration(event.seconds_left)} left")
        else:
            return
        told = now

    return tell


@contextlib.contextmanager
def _alone(folder: Path, say: Say) -> Iterator[None]:
    """The folder for this process alone: a second build that wants the same run waits for the first."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:  # Windows: two builds may train the same, to the same result
        yield
        return
    with _lock(folder).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another build is training this; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        folder.mkdir(parents=True, exist_ok=True)  # that build has removed it
        yield


def _lock(folder: Path) -> Path:
    return folder.parent / f".{folder.name}.lock"


def as_seen(course: Course, net: Net, data: Dataset | None) -> TrainingRun:
    """The training of a net as methods meet it; they look at `data`, or at the validation pictures."""
    from reportgen.nets.loading import load

    def at(epoch: int) -> Net:
        if epoch not in course.kept:
            raise ReportError(f"The weights of epoch {epoch} were not kept; those of {course.kept} were.")
        if epoch == course.recipe.epochs:
            return net
        found = course.resolved(course.store.root, epoch)
        return load(found, device=net.device, precision=net.precision, preprocess=net.card.preprocess)

    recipe = course.recipe
    return TrainingRun(
        classes=course.train.classes,
        logs=tuple(_log(course.record(number)) for number in range(len(course.keys))),
        kept=course.kept,
        net=at,
        data=course.val if data is None else data,
        numbers={
            "arch": recipe.arch,
            "epochs": recipe.epochs,
            "batch": recipe.batch,
            "learning_rate": recipe.optimizer.learning_rate,
            "label_smoothing": recipe.label_smoothing,
            "size": recipe.size,
            "seed": recipe.seed,
            "repeats": recipe.repeats,
            "training_pictures": len(course.train),
            "validation_pictures": len(course.val),
        },
    )


def _log(record: Record) -> tuple[Epoch, ...]:
    return tuple(
        Epoch(**{**row, "val_classes": None if row["val_classes"] is None else tuple(row["val_classes"])})
        for row in record.meta["log"]
    )
