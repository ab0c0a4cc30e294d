"""The training loop: epochs that can be stopped at any time and gone on with to the same result."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from reportgen.errors import ModelError, SpecError, StoreError, nearest
from reportgen.nets.device import pick_device
from reportgen.training.checkpoints import (
    STATE,
    checkpoint_name,
    load_state,
    metadata,
    save_state,
    save_weights,
)
from reportgen.training.data import PhotoSet, augment, load_photos
from reportgen.training.log import EpochLog, write_log
from reportgen.training.measure import autocast, bf16_is_quicker, measured
from reportgen.training.progress import Progress, reporter
from reportgen.training.recipe import Recipe, make_recipe
from reportgen.training.sources import check_classes
from reportgen.training.start import begin_from, start_digest

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class TrainResult:
    """What a training has left behind."""

    out: Path
    classes: tuple[str, ...]
    log: tuple[EpochLog, ...]  # one row per epoch; the first, epoch 0, is the untrained net

    @property
    def top1(self) -> float:
        """The share of validation pictures whose strongest class is right, after the last epoch."""
        return self.log[-1].val_top1 or 0.0


@dataclass
class _Run:
    """A training under way: the only thing here that changes."""

    recipe: Recipe
    out: Path
    photos: PhotoSet
    val: PhotoSet
    device: torch.device
    net: nn.Module
    optimizer: torch.optim.Optimizer
    bf16: bool
    rows: list[EpochLog]
    begun: str = ""  # how many tensors are not fresh, in words

    @property
    def epoch(self) -> int:
        return len(self.rows) - 1  # epochs done; row 0 is the untrained net

    @property
    def data(self) -> str:
        begun = f"; begun from weights of sha256 {start_digest(self.recipe.start)}" if self.recipe.start else ""
        return (
            f"{len(self.photos)} pictures, sha256 {self.photos.digest}; "
            f"validation {len(self.val)} pictures, sha256 {self.val.digest}{begun}"
        )


def train(
    recipe: Recipe,
    out: Path,
    device: str = "auto",
    threads: int | None = None,
    *,
    quiet: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> TrainResult:
    """Return the log of a finished training; one already begun in `out` by the same recipe is gone on with.

    `progress` is called after each step and each epoch, and then nothing is printed.
    """
    import torch

    if threads:
        torch.set_num_threads(threads)
    with torch.random.fork_rng(), reporter(quiet or progress is not None) as printed:
        report = progress or printed
        build_net(recipe, 2)  # a wrong arch or kwarg is found before all pictures are read
        run = _begin(recipe, out, device)
        if run.begun:
            report(Progress(recipe.arch, 1, recipe.epochs, 0, 1, 0.0, 0.0, said=run.begun))
        if (out / STATE).exists():
            _resume(run)
        else:
            _first_row(run)
        while run.epoch < recipe.epochs:
            run.rows.append(_train_epoch(run, report))
            _save(run)
            row = run.rows[-1]
            left = row.seconds * (recipe.epochs - run.epoch)
            report(Progress(recipe.arch, row.epoch, recipe.epochs, 1, 1, row.train_loss or 0.0, left, row))
    return TrainResult(out, run.photos.classes, tuple(run.rows))


def build_net(recipe: Recipe, num_classes: int) -> nn.Module:
    """Return the recipe's net with the fresh weights that its seed decides."""
    import torch

    from reportgen.nets import archs

    if recipe.arch not in archs.OURS:
        raise SpecError(f"The recipe's arch {recipe.arch!r} cannot be trained. {nearest(recipe.arch, archs.OURS)}")
    torch.manual_seed(recipe.seed)
    return archs.ours(recipe.arch)(num_classes=num_classes, **recipe.kwargs)


def epoch_order(photos: PhotoSet, at_least: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return the rows of an epoch, shuffled: every picture once, those of classes below `at_least` again."""
    rows = [np.arange(len(photos))]
    for label in range(len(photos.classes)):
        own = np.flatnonzero(photos.labels == label)
        if 0 < len(own) < at_least:
            rows.append(np.resize(rng.permutation(own), at_least - len(own)))
    return rng.permutation(np.concatenate(rows))


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """Return the learning rate of one of `steps` steps: a linear warm-up, then a cosine to zero."""
    peak, warm = recipe.optimizer.learning_rate, recipe.optimizer.warmup * steps
    if step < warm:
        return peak * (step + 1) / (warm + 1)
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1.0, steps - warm)))


def _train_epoch(run: _Run, report: Callable[[Progress], None]) -> EpochLog:
    """One pass over the pictures; every random number in it depends on (seed, epoch) alone."""
    import torch

    recipe, epoch = run.recipe, run.epoch
    rng = np.random.default_rng([recipe.seed, epoch])
    torch.manual_seed(int(rng.integers(2**62)))  # dropout
    order = epoch_order(run.photos, recipe.at_least, rng)
    steps = max(1, len(order) // recipe.batch)  # a rest smaller than a batch waits for another shuffle
    pictures = torch.from_numpy(run.photos.pictures).to(run.device)  # N H W C
    run.net.train()
    began, loss, right, seen = time.perf_counter(), 0.0, 0, 0
    for step in range(steps):
        rows = order[step * recipe.batch : (step + 1) * recipe.batch]
        for group in run.optimizer.param_groups:
            group["lr"] = learning_rate(recipe, epoch * steps + step, recipe.epochs * steps)
        batch = augment(pictures, rows, recipe.crop_size(epoch), recipe.augment, rng)  # B C S S
        batch_loss, batch_right = _step(run, batch, rows)
        _check_number(run, batch_loss)
        loss, right, seen = loss + batch_loss * len(rows), right + batch_right, seen + len(rows)
        left = (time.perf_counter() - began) / (step + 1) * (steps * (recipe.epochs - epoch) - step - 1)
        report(Progress(recipe.arch, epoch + 1, recipe.epochs, step + 1, steps, loss / seen, left))
    val: tuple[float, float, tuple[float, ...]] | tuple[None, None, None] = (None, None, None)
    if (epoch + 1) % recipe.validate_every == 0 or epoch + 1 == recipe.epochs:
        val = measured(run.net, run.val, recipe.size, run.device)
        _check_number(run, val[0])
    rate = run.optimizer.param_groups[0]["lr"]
    seconds = time.perf_counter() - began
    return EpochLog(epoch + 1, rate, loss / seen, right / seen, val[0], val[1], seconds, val[2])


def _check_number(run: _Run, loss: float) -> None:
    """Nothing, or ModelError where a loss in the epoch under way is no number; the epochs before it are kept."""
    if not math.isfinite(loss):
        rate = run.optimizer.param_groups[0]["lr"]
        raise ModelError(
            f"The training of {run.recipe.arch} came apart in epoch {run.epoch + 1}, at learning rate {rate:.3g}: the "
            "loss is no number any more; a smaller optimizer.learning_rate, or a longer warmup, would be right."
        )


def _step(run: _Run, batch: torch.Tensor, rows: npt.NDArray[np.int64]) -> tuple[float, int]:
    """Learn from one batch; its mean loss and how many of it were right before."""
    import torch
    from torch.nn import functional

    answers = torch.from_numpy(run.photos.labels[rows]).to(run.device)  # B
    with autocast(run.device, run.bf16):
        logits = run.net(batch).float()  # B K
    loss = functional.cross_entropy(logits, answers, label_smoothing=run.recipe.label_smoothing)
    torch.autograd.backward(loss)
    if run.recipe.optimizer.clip:
        torch.nn.utils.clip_grad_norm_(run.net.parameters(), run.recipe.optimizer.clip)
    run.optimizer.step()
    run.optimizer.zero_grad(set_to_none=True)
    return float(loss.detach()), int((logits.argmax(1) == answers).sum())


def _begin(recipe: Recipe, out: Path, device: str) -> _Run:
    """Read the pictures and build the net; nothing is learned yet."""
    import torch

    threads = torch.get_num_threads()
    photos = load_photos(recipe.data.train, recipe.short_side, threads=threads)
    val = load_photos(recipe.data.val, recipe.short_side, photos.classes, threads=threads)
    check_classes(recipe, photos.classes, photos.labels, val.labels)
    where = torch.device(pick_device(device))
    net = build_net(recipe, len(photos.classes))
    begun = begin_from(net, recipe.start) if recipe.start else ""
    net = net.to(where).to(memory_format=torch.channels_last)
    return _Run(recipe, out, photos, val, where, net, _optimizer(recipe, net), False, [], begun)


def _optimizer(recipe: Recipe, net: nn.Module) -> torch.optim.Optimizer:
    """SGD or Adam that decays weights, but not biases and norms, which are few and set a scale."""
    import torch

    settings = recipe.optimizer
    weights = [parameter for parameter in net.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in net.parameters() if parameter.ndim <= 1]
    groups = [
        {"params": weights, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    if settings.kind == "adam":
        return torch.optim.Adam(groups, lr=settings.learning_rate, betas=(settings.momentum, 0.999))
    nesterov = settings.momentum > 0
    return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=settings.momentum, nesterov=nesterov)


def _first_row(run: _Run) -> None:
    """Settle the precision and measure the untrained net."""
    recipe = run.recipe
    run.bf16 = recipe.precision == "bf16" or (
        recipe.precision == "auto" and bf16_is_quicker(run.net, recipe.size, run.device)
    )
    loss, top1, classes = measured(run.net, run.val, recipe.size, run.device)
    run.rows.append(EpochLog(0, 0.0, None, None, loss, top1, 0.0, classes))
    _save(run)


def _save(run: _Run) -> None:
    """Write the log and the kept weights, then the state, which makes the epoch count."""
    try:
        _write(run)
    except OSError as error:
        raise StoreError(
            f"The training cannot be written to {run.out}: {error.strerror or error}. Free some space, or name another "
            "folder; what is started again goes on after the last whole epoch."
        ) from error


def _write(run: _Run) -> None:
    run.out.mkdir(parents=True, exist_ok=True)
    write_log(run.rows, run.out, run.recipe.arch)
    weights = run.net.state_dict()
    if run.epoch in run.recipe.checkpoints:
        described = metadata(run.recipe, run.photos.classes, run.data, run.epoch)
        save_weights(weights, described, run.out / checkpoint_name(run.epoch))
    state = {
        "recipe": run.recipe.model_dump_json(),
        "data": run.data,
        "classes": list(run.photos.classes),
        "rows": [asdict(row) for row in run.rows],
        "bf16": run.bf16,
        "net": weights,
        "optimizer": run.optimizer.state_dict(),
    }
    save_state(state, run.out)


def _resume(run: _Run) -> None:
    """Take up a run where it stood, if it is a run of this recipe on these pictures."""
    state = load_state(run.out)
    # Read as a recipe, so that keys which are newer than the run have their defaults.
    began = make_recipe(json.loads(state["recipe"])).model_dump(mode="json")
    wanted = run.recipe.model_dump(mode="json")
    # Where the pictures, the weights to start from and the run lie may change; what they are is in their digests.
    changed = [key for key in wanted if key not in ("data", "start", "out", "repeats") and wanted[key] != began[key]]
    given = "the pictures, or the weights to start from" if run.recipe.start else "the pictures"
    changed += [given] if state["data"] != run.data else []
    if changed:
        raise SpecError(
            f"The folder {run.out} holds a training by another recipe; these differ: {', '.join(changed)}. "
            "Give another folder, or delete this one to start afresh."
        )
    run.net.load_state_dict(state["net"])
    run.optimizer.load_state_dict(state["optimizer"])
    run.bf16 = state["bf16"]
    run.rows = [_row(row) for row in state["rows"]]


def _row(values: dict[str, Any]) -> EpochLog:
    """A row of the log as the state keeps it: lists are tuples again."""
    classes = values.get("val_classes")
    return EpochLog(**{**values, "val_classes": None if classes is None else tuple(classes)})
