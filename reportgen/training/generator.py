"""Training of a generator, from code to picture, and of an autoencoder that tells likely codes from others.

Three voices tell the generator how near it is: the pixels, the features and the code that the encoder finds in its
picture, and a judge that learns to tell its pictures from photos (Dosovitskiy and Brox, 2016). An epoch's random
numbers depend on the seed and its number alone, so that an interrupted training goes on to the same result.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from reportgen import generator_nets
from reportgen.errors import SpecError
from reportgen.training.checkpoints import STATE, load_state, save_state
from reportgen.training.generator_begin import begin, smaller
from reportgen.training.generator_recipe import GeneratorRecipe
from reportgen.training.generator_steps import (
    Studio,
    coloured,
    encoded,
    follow,
    generator_step,
    in_rgb,
    judge_step,
    normalised,
    shown,
)
from reportgen.training.log import replacing
from reportgen.training.progress import Progress, duration, reporter

if TYPE_CHECKING:
    from torch import Tensor, nn

VOICES = ("pixel", "feature", "code", "adversarial")
COLUMNS = ("epoch", *VOICES, "judge", "val_pixel", "val_code", "val_same_class", "seconds")


def train_generator(
    recipe: GeneratorRecipe,
    out: Path,
    device: str = "auto",
    threads: int | None = None,
    *,
    quiet: bool = False,
    progress: Callable[[Progress], None] | None = None,
    until: float = math.inf,
) -> Studio:
    """The finished training; one already begun in `out` by the same recipe is gone on with.

    `progress` is called after each step and each epoch, and then nothing is printed. The training stops between epochs
    once time.monotonic() has passed `until`.
    """
    import torch

    if threads:
        torch.set_num_threads(threads)
    with torch.random.fork_rng(), reporter(quiet or progress is not None) as printed:
        report = progress or printed
        studio = begin(recipe, out, device)
        if (out / STATE).exists():
            _resume(studio)
        while len(studio.rows) < recipe.epochs and time.monotonic() < until:
            studio.rows.append(_epoch(studio, report))
            _save(studio)
            report(Progress("generator", len(studio.rows), recipe.epochs, 1, 1, 0.0, 0.0, said=_line(studio)))
    return studio


def likely_codes(codes: Tensor, recipe: GeneratorRecipe) -> nn.Module:
    """The denoising autoencoder of standardised codes, trained: from a code with noise to the code without."""
    import torch

    wanted = recipe.autoencoder
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        net = generator_nets.autoencoder(codes.shape[1], wanted.widths).to(codes.device)
    adam = torch.optim.Adam(net.parameters(), lr=wanted.learning_rate)
    rng = np.random.default_rng([recipe.seed, 2**20])
    for step in range(wanted.steps):
        for group in adam.param_groups:
            group["lr"] = wanted.learning_rate * 0.5 * (1 + math.cos(math.pi * step / wanted.steps))
        clean = codes[torch.from_numpy(rng.integers(0, len(codes), wanted.batch)).to(codes.device)]  # B D
        noise = torch.from_numpy(rng.normal(0, wanted.noise, clean.shape)).to(clean)
        loss = (net(clean + noise) - clean).square().mean()
        adam.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        adam.step()
    return net.eval().requires_grad_(False)


# -------------------------------------------------------------------------------------------------------- one epoch


def _epoch(studio: Studio, report: Callable[[Progress], None]) -> dict[str, float]:
    """One pass over the pictures; every random number in it depends on (seed, epoch) alone."""
    recipe, epoch = studio.recipe, len(studio.rows)
    rng = np.random.default_rng([recipe.seed, epoch])
    order, mirrored = rng.permutation(len(studio.photos)), rng.random(len(studio.photos)) < 0.5
    steps = max(1, len(order) // recipe.batch)
    began, sums, heard = time.perf_counter(), dict.fromkeys((*VOICES, "judge"), 0.0), 0
    for step in range(steps):
        done = epoch + step / steps
        rows = order[step * recipe.batch : (step + 1) * recipe.batch]
        noise = recipe.noise * rng.normal(size=(len(rows), studio.codes.shape[2]))  # B D
        real, code = shown(studio, rows, mirrored[rows], noise)  # B 3 S S; B D
        judged = recipe.losses.adversarial > 0 and done >= recipe.judge.starts
        losses, made = generator_step(studio, real, code, judged)
        if judged and step % recipe.judge.every == 0:
            sums["judge"] += judge_step(studio, real, made, code)
            heard += 1
        follow(studio, epoch * steps + step)
        for name, value in losses.items():
            sums[name] += value / steps
        if not all(math.isfinite(value) for value in losses.values()):
            raise SpecError(
                f"The loss became NaN or infinite in epoch {epoch + 1} at learning rate {recipe.learning_rate:g}; "
                f"{studio.out} holds the state before it. A smaller learning_rate is what helps."
            )
        left = (time.perf_counter() - began) / (step + 1) * (steps * (recipe.epochs - epoch) - step - 1)
        report(Progress("generator", epoch + 1, recipe.epochs, step + 1, steps, losses["pixel"], left))
    row = {"epoch": epoch + 1.0, **sums, "judge": sums["judge"] / max(1, heard)}
    return {**row, **_measured(studio), "seconds": time.perf_counter() - began}


# ---------------------------------------------------------------------------------------- measuring and keeping


def _measured(studio: Studio) -> dict[str, float]:
    """How near the averaged generator comes on pictures it has not seen."""
    import torch

    pixel = code = same = 0.0
    logits, pictures = studio.encoder.card.resolve("logits").name, studio.val.pictures
    with torch.no_grad():
        for i in range(0, len(pictures), 32):
            real = in_rgb(pictures[i : i + 32]).to(studio.device)
            small = torch.from_numpy(smaller(pictures[i : i + 32], studio.recipe.generator.size)).to(studio.device)
            wanted, said = encoded(studio.encoder, studio.layer, real, (logits,))
            made = studio.averaged(studio.standard(wanted)).float()
            found, again = encoded(studio.encoder, studio.layer, coloured(made).clamp(0, 1), (logits,))
            pixel += float((made - normalised(small)).square().mean((1, 2, 3)).sum())
            code += float(torch.cosine_similarity(studio.standard(found), studio.standard(wanted)).sum())
            same += float((said.argmax(1) == again.argmax(1)).sum())
    return {f"val_{name}": value / len(pictures) for name, value in
            (("pixel", pixel), ("code", code), ("same_class", same))}  # fmt: skip


def _line(studio: Studio) -> str:
    row, epochs = studio.rows[-1], studio.recipe.epochs
    told = ", ".join(f"{name} {row[name]:.3f}" for name in COLUMNS[1:-1])
    left = duration(row["seconds"] * (epochs - len(studio.rows)))
    return f"epoch {len(studio.rows)}/{epochs}: {told}; {row['seconds']:.0f} s, {left} left"


def _save(studio: Studio) -> None:
    """Write the log, then the state, which makes the epoch count."""
    lines = [",".join(COLUMNS)]
    lines += [",".join(f"{row[name]:.6g}" for name in COLUMNS) for row in studio.rows]
    with replacing(studio.out / "log.csv") as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    state = {
        "recipe": studio.recipe.model_dump_json(),
        "data": studio.data,
        "rows": studio.rows,
        "bf16": studio.bf16,
        "encoder": studio.encoder.card.weights,
        "generator": studio.generator.state_dict(),
        "averaged": studio.averaged.state_dict(),
        "judge": studio.judge.state_dict(),
        "optimizers": [adam.state_dict() for adam in studio.optimizers],
    }
    save_state(state, studio.out)


def _resume(studio: Studio) -> None:
    """Take up a run where it stood, if it is a run of this recipe on these pictures; more epochs may be asked of it."""
    state = load_state(studio.out)
    if "averaged" not in state:
        raise SpecError(f"The folder {studio.out} holds a training of a net, not of a generator: give another folder.")
    began, wanted = json.loads(state["recipe"]), json.loads(studio.recipe.model_dump_json())
    changed = [key for key in wanted if key not in ("data", "out", "epochs") and wanted[key] != began.get(key)]
    changed += ["the pictures"] if state["data"] != studio.data else []
    changed += ["the encoder's weights"] if state["encoder"] != studio.encoder.card.weights else []
    if changed:
        raise SpecError(
            f"The folder {studio.out} holds a training by another recipe; these differ: {', '.join(changed)}. "
            "Give another folder, or delete this one to start afresh."
        )
    studio.generator.load_state_dict(state["generator"])
    studio.averaged.load_state_dict(state["averaged"])
    studio.judge.load_state_dict(state["judge"])
    for adam, kept in zip(studio.optimizers, state["optimizers"], strict=True):
        adam.load_state_dict(kept)
    studio.bf16, studio.rows = state["bf16"], state["rows"]
