"""One step of a generator's training: three voices and a judge tell it how near its pictures are to photos."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reportgen import hooks
from reportgen.lean import lean
from reportgen.records import Layer, Net
from reportgen.training.data import MEAN, STD, PhotoSet
from reportgen.training.generator_recipe import GeneratorRecipe
from reportgen.training.measure import autocast

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

PAUSE = 0.5  # loss of the judge under which it learns no further


@dataclass
class Studio:
    """A training under way: the only thing here that changes."""

    recipe: GeneratorRecipe
    out: Path
    photos: PhotoSet
    val: PhotoSet
    device: torch.device
    encoder: Net
    layer: Layer
    codes: Tensor  # N D: of all photos, whole
    mean: Tensor  # D
    spread: Tensor  # D
    generator: nn.Module
    averaged: nn.Module  # the running mean of the generator's weights
    judge: nn.ModuleDict
    optimizers: tuple[torch.optim.Adam, torch.optim.Adam]
    bf16: bool
    rows: list[dict[str, float]]

    @property
    def data(self) -> str:
        """What the pictures are."""
        return f"{len(self.photos)} pictures, sha256 {self.photos.digest}"

    def standard(self, codes: Tensor) -> Tensor:
        """Codes in the spread of each feature."""
        return (codes - self.mean) / self.spread


def encoded(encoder: Net, layer: Layer, x: Tensor, more: tuple[str, ...] = (), grad: bool = False) -> list[Tensor]:
    """The code N D of normalised pictures, and the values of further layers."""
    names = [layer.name, *(name for name in more if name != layer.name)]
    values = hooks.run_to(lean(encoder, names), x, names, grad=grad)
    return [values[layer.name].float().flatten(1), *(values[name].float() for name in more)]


def generator_step(studio: Studio, real: Tensor, judged: bool) -> tuple[dict[str, float], Tensor, Tensor]:
    """Learn from one batch; what each voice said, the pictures made, and the codes they were made from.

    The voices meet at the picture: the judge's gradient is brought to a share of the length of the others' there, since
    its loss has no measure in common with theirs.
    """
    import torch

    weights, adam = studio.recipe.losses, studio.optimizers[0]
    with torch.enable_grad(), autocast(studio.device, studio.bf16):
        code, *features = encoded(studio.encoder, studio.layer, real, weights.comparator)  # B D
        inputs = studio.standard(code)
        made = studio.generator(inputs)  # B 3 S S
        leaf = made.detach().float().requires_grad_()
        found, *seen = encoded(studio.encoder, studio.layer, leaf, weights.comparator, grad=True)
        pairs = zip(seen, features, strict=True)
        told = {
            "pixel": (leaf - real).square().mean(),
            "feature": torch.stack([(a - b).square().mean() / b.square().mean() for a, b in pairs]).mean(),
            "code": (studio.standard(found) - inputs).square().mean(),
        }
        total = torch.stack([getattr(weights, name) * value for name, value in told.items()]).sum()
        # Inside the context, since the lean encoder's own way back casts nothing by itself.
        gradient = torch.autograd.grad(total, leaf)[0]  # B 3 S S
        if judged:
            told["adversarial"] = -_verdict(studio, leaf, inputs).float().mean()
            push = torch.autograd.grad(told["adversarial"], leaf)[0]
            gradient = gradient + weights.adversarial * gradient.norm() / push.norm().clamp(min=1e-12) * push
        adam.zero_grad(set_to_none=True)
        torch.autograd.backward(made, gradient.to(made.dtype))
    torch.nn.utils.clip_grad_norm_(studio.generator.parameters(), 5.0)
    adam.step()
    return {name: float(value.detach()) for name, value in told.items()}, made.detach().float(), inputs.detach()


def judge_step(studio: Studio, real: Tensor, made: Tensor, inputs: Tensor) -> float:
    """Let the judge learn from photos and pictures made from their codes; its loss (2: it cannot tell them apart)."""
    import torch

    adam = studio.optimizers[1]
    with torch.enable_grad(), autocast(studio.device, studio.bf16):
        verdict = _verdict(studio, torch.cat([real, made]), torch.cat([inputs, inputs])).float()  # 2B P
        photos, others = verdict.chunk(2)
        loss = torch.relu(1 - photos).mean() + torch.relu(1 + others).mean()
    adam.zero_grad(set_to_none=True)
    if float(loss.detach()) > PAUSE:  # a judge that is too good tells the generator nothing any more
        torch.autograd.backward(loss, inputs=list(studio.judge.parameters()))
        adam.step()
    return float(loss.detach())


def _verdict(studio: Studio, pictures: Tensor, inputs: Tensor) -> Tensor:
    """How much each patch looks like a photo's, and the picture like its code: N P."""
    features = studio.judge["features"](pictures)  # N C h w
    fits = (studio.judge["code"](inputs) * features.mean((2, 3))).sum(1, keepdim=True) / features.shape[1] ** 0.5  # N 1
    verdict: Tensor = studio.judge["patches"](features).flatten(1) + fits  # N P
    return verdict


def follow(studio: Studio, step: int) -> None:
    """Move the running mean of the generator's weights; early on its memory is short."""
    import torch

    memory = min(studio.recipe.average, (step + 1) / (step + 10))
    with torch.no_grad():
        for mean, now in zip(studio.averaged.parameters(), studio.generator.parameters(), strict=True):
            mean.lerp_(now, 1 - memory)


def shown(pictures: Tensor, rows: Any, studio: Studio, rng: np.random.Generator) -> Tensor:
    """The pictures of rows, cut and mirrored at random, normalised, B 3 S S."""
    import torch
    from torch.nn import functional

    size, side = studio.recipe.generator.size, pictures.shape[1]
    cut = side - int(rng.integers(0, round(side * studio.recipe.margin) + 1))
    tops, lefts = rng.integers(0, side - cut + 1, (2, len(rows)))
    flips = rng.random(len(rows)) < 0.5
    parts = []
    for row, top, left, flip in zip(rows.tolist(), tops.tolist(), lefts.tolist(), flips.tolist(), strict=True):
        part = pictures[row, top : top + cut, left : left + cut]
        parts.append(part.flip(1) if flip else part)
    batch = torch.stack(parts).permute(0, 3, 1, 2).float().to(studio.device)  # B 3 cut cut
    if cut != size:
        batch = functional.interpolate(batch, (size, size), mode="bilinear", antialias=True)
    mean, std = (torch.tensor(values, device=batch.device).view(1, 3, 1, 1) for values in (MEAN, STD))
    return ((batch / 255 - mean) / std).contiguous(memory_format=torch.channels_last)
