"""One step of a generator's training: three voices and a judge tell it how near its pictures are to photos."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from reportgen import hooks
from reportgen.lean import lean
from reportgen.records import Layer, Net
from reportgen.seeing import seen
from reportgen.training.data import MEAN, STD, PhotoSet
from reportgen.training.generator_recipe import GeneratorRecipe
from reportgen.training.measure import autocast

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch import Tensor, nn

PAUSE = 0.5  # loss of the judge under which it learns no further


@dataclass
class Studio:
    """A training under way: the only thing here that changes."""

    recipe: GeneratorRecipe
    out: Path
    photos: PhotoSet
    val: PhotoSet  # as large as the encoder wants photos, as the others were
    device: torch.device
    encoder: Net
    layer: Layer
    codes: Tensor  # N 2 D: of all photos and their mirror pictures
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


def in_rgb(pictures: NDArray[np.uint8]) -> Tensor:
    """Pictures N H W 3 in bytes as RGB in 0..1, N 3 H W."""
    import torch

    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255


def normalised(pictures: Tensor) -> Tensor:
    """Pictures B S S 3 in bytes as generators paint them, B 3 S S."""
    import torch

    mean, std = (torch.tensor(values, device=pictures.device).view(1, 3, 1, 1) for values in (MEAN, STD))
    batch = (pictures.permute(0, 3, 1, 2).float() / 255 - mean) / std  # B 3 S S
    return batch.contiguous(memory_format=torch.channels_last)


def coloured(made: Tensor) -> Tensor:
    """What a generator painted, B 3 S S, as RGB around 0..1."""
    return made * made.new_tensor(STD).view(1, 3, 1, 1) + made.new_tensor(MEAN).view(1, 3, 1, 1)


def encoded(encoder: Net, layer: Layer, rgb: Tensor, more: tuple[str, ...] = ()) -> list[Tensor]:
    """The code N D of pictures in 0..1, and the values of further layers, seen by the net as it sees photos."""
    names = [layer.name, *more]
    values = hooks.run_to(lean(encoder, names), seen(encoder, rgb), names)
    return [values[layer.name].float().flatten(1), *(values[name].float() for name in more)]


def generator_step(studio: Studio, real: Tensor, code: Tensor, judged: bool) -> tuple[dict[str, float], Tensor]:
    """Learn from one batch; what each voice said, and the pictures made.

    The voices meet at the picture. Those of the code and of the judge have no measure in common with the others: their
    gradients are brought to a share of the length of the others' there.
    """
    import torch

    weights, adam = studio.recipe.losses, studio.optimizers[0]
    with torch.enable_grad(), autocast(studio.device, studio.bf16):
        made = studio.generator(code)  # B 3 S S
        leaf = made.detach().float().requires_grad_()
        told = {"pixel": (leaf - real).square().mean(), "feature": _features_apart(studio, leaf, real)}
        total = weights.pixel * told["pixel"] + weights.feature * told["feature"]
        # Inside the context, since the lean encoder's own way back casts nothing by itself.
        gradient = torch.autograd.grad(total, leaf)[0]  # B 3 S S
        shares = {"code": weights.code, "adversarial": weights.adversarial if judged else 0.0}
        pushes = []
        for name, share in shares.items():
            if share:
                told[name] = _code_apart(studio, leaf, code) if name == "code" else _doubt(studio, leaf, code)
                push = torch.autograd.grad(told[name], leaf)[0]
                pushes.append(share * gradient.norm() / push.norm().clamp(min=1e-12) * push)
        adam.zero_grad(set_to_none=True)
        torch.autograd.backward(made, (gradient + sum(pushes)).to(made.dtype))
    torch.nn.utils.clip_grad_norm_(studio.generator.parameters(), 5.0)
    adam.step()
    return {name: float(value.detach()) for name, value in told.items()}, made.detach().float()


def _features_apart(studio: Studio, made: Tensor, real: Tensor) -> Tensor:
    """How far the comparator's features of pictures are from those of photos of the same size, by the latter's size."""
    import torch

    names = list(studio.recipe.losses.comparator)
    wanted = hooks.run_to(lean(studio.encoder, names), real, names)
    found = hooks.run_to(lean(studio.encoder, names), made, names, grad=True)
    parts = [(found[name].float(), wanted[name].float()) for name in wanted]
    return torch.stack([(a - b).square().mean() / b.square().mean() for a, b in parts]).mean()


def _code_apart(studio: Studio, made: Tensor, code: Tensor) -> Tensor:
    """How far the code that the encoder finds in pictures is from the one they were made from, by its spread."""
    layer = studio.layer.name
    found = hooks.run_to(lean(studio.encoder, [layer]), seen(studio.encoder, coloured(made)), [layer], grad=True)
    return (studio.standard(found[layer].float().flatten(1)) - code).square().mean()


def _doubt(studio: Studio, made: Tensor, code: Tensor) -> Tensor:
    """How little the judge takes pictures for photos."""
    return -_verdict(studio, made, code).float().mean()


def judge_step(studio: Studio, real: Tensor, made: Tensor, code: Tensor) -> float:
    """Let the judge learn from photos and pictures made from their codes; its loss (2: it cannot tell them apart)."""
    import torch

    adam = studio.optimizers[1]
    with torch.enable_grad(), autocast(studio.device, studio.bf16):
        verdict = _verdict(studio, torch.cat([real, made]), torch.cat([code, code])).float()  # 2B P
        photos, others = verdict.chunk(2)
        loss = torch.relu(1 - photos).mean() + torch.relu(1 + others).mean()
    adam.zero_grad(set_to_none=True)
    if float(loss.detach()) > PAUSE:  # a judge that is too good tells the generator nothing any more
        torch.autograd.backward(loss, inputs=list(studio.judge.parameters()))
        adam.step()
    return float(loss.detach())


def _verdict(studio: Studio, pictures: Tensor, code: Tensor) -> Tensor:
    """How much each patch looks like a photo's, and the picture like its code: N P."""
    features = studio.judge["features"](pictures)  # N C h w
    fits = (studio.judge["code"](code) * features.mean((2, 3))).sum(1, keepdim=True) / features.shape[1] ** 0.5  # N 1
    verdict: Tensor = studio.judge["patches"](features).flatten(1) + fits  # N P
    return verdict


def follow(studio: Studio, step: int) -> None:
    """Move the running mean of the generator's weights; early on its memory is short."""
    import torch

    memory = min(studio.recipe.average, (step + 1) / (step + 10))
    with torch.no_grad():
        for mean, now in zip(studio.averaged.parameters(), studio.generator.parameters(), strict=True):
            mean.lerp_(now, 1 - memory)


def shown(
    studio: Studio, rows: NDArray[np.int64], mirrored: NDArray[np.bool_], noise: NDArray[np.float64] | float = 0.0
) -> tuple[Tensor, Tensor]:
    """The pictures of rows, some mirrored, normalised, B 3 S S, and their codes in their spread, with noise, B D."""
    import torch

    chosen = studio.photos.pictures[rows]
    chosen[mirrored] = chosen[mirrored, :, ::-1]
    codes = studio.codes[torch.from_numpy(rows), torch.from_numpy(mirrored.astype(np.int64))]
    code = studio.standard(codes) + torch.as_tensor(noise).to(codes)
    return normalised(torch.from_numpy(chosen).to(studio.device)), code
