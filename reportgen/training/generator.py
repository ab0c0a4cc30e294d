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
from reportgen.nets.device import pick_device
from reportgen.records import Layer, Net
from reportgen.training.checkpoints import STATE, load_state, save_state
from reportgen.training.data import PhotoSet, centre_crop, load_photos
from reportgen.training.generator_recipe import GeneratorRecipe
from reportgen.training.generator_steps import Studio, encoded, follow, generator_step, judge_step, shown
from reportgen.training.log import replacing
from reportgen.training.measure import bf16_is_quicker

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

SIDES = 1.125  # a photo is held this much larger than the generator's picture, and cut at random
VOICES = ("pixel", "feature", "code", "adversarial")
COLUMNS = ("epoch", *VOICES, "judge", "val_pixel", "val_code", "val_same_class", "seconds")


def train_generator(
    recipe: GeneratorRecipe,
    out: Path,
    device: str = "auto",
    threads: int | None = None,
    *,
    say: Callable[[str], None] = lambda _: None,
    until: float = math.inf,
) -> Studio:
    """The finished training; one already begun in `out` by the same recipe is gone on with.

    `say` is told each epoch in a line. The training stops between epochs once time.monotonic() has passed `until`.
    """
    import torch

    if threads:
        torch.set_num_threads(threads)
    with torch.random.fork_rng():
        studio = _begin(recipe, out, device)
        if (out / STATE).exists():
            _resume(studio)
        while len(studio.rows) < recipe.epochs and time.monotonic() < until:
            studio.rows.append(_epoch(studio))
            _save(studio)
            say(_line(studio))
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


def _epoch(studio: Studio) -> dict[str, float]:
    """One pass over the pictures; every random number in it depends on (seed, epoch) alone."""
    import torch

    recipe, epoch = studio.recipe, len(studio.rows)
    rng = np.random.default_rng([recipe.seed, epoch])
    order = rng.permutation(len(studio.photos))
    steps = max(1, len(order) // recipe.batch)
    pictures = torch.from_numpy(studio.photos.pictures)  # N H W 3
    began, sums, heard = time.perf_counter(), dict.fromkeys((*VOICES, "judge"), 0.0), 0
    for step in range(steps):
        done = epoch + step / steps
        real = shown(pictures, order[step * recipe.batch : (step + 1) * recipe.batch], studio, rng)  # B 3 S S
        judged = recipe.losses.adversarial > 0 and done >= recipe.judge.starts
        losses, made, code = generator_step(studio, real, judged)
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
    row = {"epoch": epoch + 1.0, **sums, "judge": sums["judge"] / max(1, heard)}
    return {**row, **_measured(studio), "seconds": time.perf_counter() - began}


# ------------------------------------------------------------------------------------------- beginning and measuring


def _begin(recipe: GeneratorRecipe, out: Path, device: str) -> Studio:
    """Read the pictures, find their codes, build the nets; nothing is learned yet."""
    import copy

    import torch

    from reportgen.nets import load_net

    out.mkdir(parents=True, exist_ok=True)
    shape, where = recipe.generator, torch.device(pick_device(device))
    encoder = load_net(shape.net, weights=shape.weights, device=str(where))
    layer = encoder.card.resolve(shape.layer)
    for name in recipe.losses.comparator:
        encoder.card.resolve(name)
    side = round(shape.size * SIDES)
    photos = load_photos(recipe.data.train, side, threads=torch.get_num_threads())
    val = load_photos(recipe.data.val, side, threads=torch.get_num_threads())
    if len(photos) < recipe.batch or len(val) < 1:
        raise SpecError(
            f"{len(photos)} pictures to train on are less than a batch of {recipe.batch}: give more or make it smaller."
        )
    codes = all_codes(encoder, layer, photos, shape.size)
    if bool((codes < 0).any()):
        raise SpecError(f"The code {shape.layer} of {shape.net} has negative features; a rectified layer is wanted.")
    spread = codes.std(0).clamp(min=0.05 * float(codes.std()) + 1e-8)
    torch.manual_seed(recipe.seed)
    built = generator_nets.small(shape_of(recipe, codes.shape[1])).to(where).to(memory_format=torch.channels_last)
    judge = generator_nets.judge(shape.size, recipe.judge.widths, codes.shape[1]).to(where)
    adams = _adam(recipe, built), _adam(recipe, judge)
    bf16 = recipe.precision == "bf16" or (
        recipe.precision == "auto" and bf16_is_quicker(copy.deepcopy(judge["features"]), shape.size, where)
    )
    averaged = copy.deepcopy(built).requires_grad_(False)
    generator, judges = built, judge.to(memory_format=torch.channels_last)
    return Studio(
        recipe, out, photos, val, where, encoder, layer, codes, codes.mean(0), spread,
        generator, averaged, judges, adams, bf16, [],
    )  # fmt: skip


def _adam(recipe: GeneratorRecipe, net: nn.Module) -> torch.optim.Adam:
    import torch

    return torch.optim.Adam(net.parameters(), lr=recipe.learning_rate, betas=(0.5, 0.99))


def shape_of(recipe: GeneratorRecipe, width: int) -> generator_nets.Small:
    """The shape of the recipe's generator for codes of this width."""
    shape = recipe.generator
    return generator_nets.Small(width, shape.size, shape.dense, shape.widths, shape.refined)


def whole(photos: PhotoSet, rows: slice, size: int) -> Tensor:
    """Pictures as they are, brought to the generator's size and normalised, N 3 S S."""
    import torch
    from torch.nn import functional

    pictures = centre_crop(torch.from_numpy(photos.pictures[rows]), photos.pictures.shape[1])  # N 3 H W
    return functional.interpolate(pictures, (size, size), mode="bilinear", antialias=True)


def all_codes(encoder: Net, layer: Layer, photos: PhotoSet, size: int) -> Tensor:
    """The codes of all photos, whole, N D."""
    import torch

    parts = [
        encoded(encoder, layer, whole(photos, slice(i, i + 16), size).to(encoder.device))[0]
        for i in range(0, len(photos), 16)
    ]
    return torch.cat(parts)


def _measured(studio: Studio, most: int = 480) -> dict[str, float]:
    """How near the averaged generator comes on pictures it has not seen, evenly chosen."""
    import torch

    size = studio.recipe.generator.size
    rows = np.linspace(0, len(studio.val) - 1, min(most, len(studio.val))).astype(int)
    some = PhotoSet(studio.val.pictures[rows], studio.val.labels[rows], studio.val.classes, studio.val.digest)
    pixel = code = same = 0.0
    logits = studio.encoder.card.resolve("logits").name
    with torch.no_grad():
        for i in range(0, len(some), 16):
            real = whole(some, slice(i, i + 16), size).to(studio.device)
            wanted, said = encoded(studio.encoder, studio.layer, real, (logits,))
            made = studio.averaged(studio.standard(wanted)).float()
            found, again = encoded(studio.encoder, studio.layer, made, (logits,))
            pixel += float((made - real).square().mean((1, 2, 3)).sum())
            code += float(torch.cosine_similarity(studio.standard(found), studio.standard(wanted)).sum())
            same += float((said.argmax(1) == again.argmax(1)).sum())
    return {f"val_{name}": value / len(some) for name, value in
            (("pixel", pixel), ("code", code), ("same_class", same))}  # fmt: skip


def _line(studio: Studio) -> str:
    row = studio.rows[-1]
    parts = ", ".join(f"{name} {row[name]:.3f}" for name in COLUMNS[1:-1])
    return f"generator epoch {len(studio.rows)}/{studio.recipe.epochs}: {parts}; {row['seconds']:.0f} s"


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
