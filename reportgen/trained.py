"""Training as part of a report: a model's recipe stands for weights, which are made once and then lie in the store.

A run of training is known by its recipe (without paths), its pictures, torch's version and the kind of device. Its
weights, kept checkpoints and log are stored under that key; while it is under way, its state lies in a folder of the
store, from which an interrupted run goes on to the same weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reportgen.errors import ImageError, ModelError, ReportError, SpecError
from reportgen.examples import Dataset, TrainingRun, epochs_of
from reportgen.keys import digest
from reportgen.nets.weights import Resolved, resolve
from reportgen.records import Net
from reportgen.remembered import has_torch, note, recall
from reportgen.spec import ModelSpec, Spec
from reportgen.store import Record, Store

if TYPE_CHECKING:
    from reportgen.training import Recipe

TRAINER_VERSION = 1  # bump when the same recipe gives other weights
UNITS = ((1e15, "PFLOP"), (1e12, "TFLOP"), (1e9, "GFLOP"))
FINAL = "weights"  # blob of the weights at the end


@dataclass(frozen=True, eq=False)
class Course:
    """What the recipe of a model asks for, and what of it the store holds."""

    recipe: Recipe  # its data are absolute paths
    train: Dataset
    val: Dataset
    device: str  # cpu, cuda or mps
    store: Store
    torch: str  # major and minor version

    @cached_property
    def runs(self) -> tuple[tuple[Recipe, Mapping[str, Any]], ...]:
        """Each repeat's own recipe with its key document; only the first keeps checkpoints."""
        from reportgen.training.start import start_digest

        kept = tuple(sorted(set(self.recipe.checkpoints) - {self.recipe.epochs}))
        start = {"start": start_digest(self.recipe.start, self.store.root)} if self.recipe.start else {}
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
                "recipe": recipe.model_dump(mode="json", exclude={"data", "start", "out", "repeats"}),
                "classes": self.train.classes,
                "pictures": pictures,
                "torch": self.torch,
                "device": self.device,
                **start,
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

    def words(self, flops: float) -> str:
        """What the course is and roughly what is left of it, for people; `flops` are those of one picture."""
        recipe, total = self.recipe, len(self.keys)
        times = f", {total} times" if total > 1 else ""
        times += f" ({self.missing} missing)" if self.missing < total else ""
        left = 3 * flops * recipe.epochs * len(self.train) * self.missing  # the way back costs twice the way there
        scale, unit = next(((scale, unit) for scale, unit in UNITS if left >= scale), UNITS[-1])
        work = f"{recipe.epochs} epochs on {len(self.train):,} pictures{times}"
        return f"{recipe.arch}, {work}; about {left / scale:.2g} {unit}"

    def record(self, number: int = 0) -> Record:
        """What the store holds of a repeat. Raises ModelError where it holds nothing."""
        found = self.store.get(self.keys[number])
        if found is None:
            raise ModelError(f"The weights of {self.recipe.arch} are gone from the cache; build the report again.")
        return found

    def resolved(self, memo: Path, epoch: int | None = None) -> Resolved:
        """The weights at the end of training, or after a kept epoch; untrained ones where nothing was trained yet."""
        arch, epochs = self.recipe.arch, self.recipe.epochs
        if self.store.get(self.keys[0]) is None:
            kwargs = {**self.recipe.kwargs, "num_classes": len(self.train.classes)}
            stand_in = resolve(arch, "random", self.recipe.seed, kwargs)
            return replace(
                stand_in,
                digest=digest(["to be trained", self.keys[0]]),
                source="to be trained",
                classes=self.train.classes,
                preprocess=replace(stand_in.preprocess, resize=self.recipe.short_side, size=self.recipe.size),
            )
        name = FINAL if epoch in (None, epochs) else blob_name(epoch or 0)
        found = resolve(arch, self.store.blob_path(self.record().blobs[name]), memo_dir=memo)
        return replace(found, source=f"trained for {epochs if epoch is None else epoch} epochs")

    def seen(self, net: Net, data: Dataset | None) -> TrainingRun:
        """The training of a net as methods meet it; they look at `data`, or at the validation pictures."""
        from reportgen.nets.loading import load
        from reportgen.training.checkpoints import in_numbers

        def at(epoch: int) -> Net:
            if epoch not in self.kept:
                raise ReportError(f"The weights of epoch {epoch} were not kept; those of {self.kept} were.")
            if epoch == self.recipe.epochs:
                return net
            found = self.resolved(self.store.root, epoch)
            return load(found, device=net.device, precision=net.precision, preprocess=net.card.preprocess)

        logs = tuple(epochs_of(self.record(number).meta["log"]) for number in range(len(self.keys)))
        numbers = in_numbers(self.recipe, len(self.train), len(self.val), self.val.digest())
        pictures = self.val if data is None else data
        return TrainingRun(self.train.classes, logs, self.kept, at, pictures, numbers)


def blob_name(epoch: int) -> str:
    """What the store calls the weights that were kept after an epoch."""
    return f"epoch-{epoch:03d}"


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


def note_trained(spec: Spec, found: Mapping[str, Course]) -> None:
    """Note on what device, and with which torch, the store's trained nets were trained, for machines without torch."""
    for name, course in found.items():
        if has_torch() and not course.missing:
            note(course.store.root, spec.models[name], {"device": course.device, "torch": course.torch})


def recipe_of(model: ModelSpec, base: Path) -> Recipe:
    """The recipe of a model, its data below `base`."""
    from reportgen.training.recipe import make_recipe, resolved, start_below

    assert isinstance(model.training, dict)
    recipe = make_recipe(model.training)
    data = recipe.data.model_copy(
        update={part: resolved(getattr(recipe.data, part), base) for part in ("train", "val")}
    )
    return recipe.model_copy(update={"data": data, "start": start_below(recipe.start, base)})


def data_sources(model: ModelSpec, base: Path) -> tuple[str, ...]:
    """Where the pictures of a model's recipe are; nothing for a model without one."""
    if model.training is None:
        return ()
    data = recipe_of(model, base).data
    return (*data.train, *data.val)


def _course(model: ModelSpec, base: Path, store: Store, device: str) -> Course:
    from reportgen.training.sources import training_pictures
    from reportgen.training.start import start_digest

    recipe = recipe_of(model, base)
    train, val = training_pictures(recipe, store.root)
    if recipe.start:
        start_digest(recipe.start, store.root)  # a file that cannot be read is told now, with the place of the recipe
    if not has_torch():  # as it was where the store was filled
        known = recall(store.root, model)
        if known is None:
            raise ModelError("it has not been trained in this cache, and torch, which would do it, is not installed.")
        return Course(recipe, train, val, known["device"], store, known["torch"])
    if device not in ("cpu", "cuda", "mps"):
        from reportgen.nets.device import pick_device

        device = pick_device(device).partition(":")[0]
    return Course(recipe, train, val, device, store, ".".join(version("torch").split(".")[:2]))
