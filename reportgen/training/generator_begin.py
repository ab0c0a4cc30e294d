"""What a generator's training begins with: pictures, their codes, and nets that know the coarse half already."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reportgen import generator_nets
from reportgen.errors import SpecError
from reportgen.nets.device import pick_device
from reportgen.records import Layer, Net
from reportgen.training.data import PhotoSet, load_photos
from reportgen.training.generator_recipe import GeneratorRecipe
from reportgen.training.generator_steps import Studio, encoded, in_rgb, normalised
from reportgen.training.measure import bf16_is_quicker

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch import Tensor, nn

MEASURED = 480  # pictures that the generator is measured on
RIDGE = 0.25  # of the regression that the generator begins with, as a share of the pictures
SLOWLY = 0.1  # share of the learning rate for the first dense layer, whose inputs are many


def begin(recipe: GeneratorRecipe, out: Path, device: str) -> Studio:
    """Read the pictures, find their codes, build the nets."""
    import torch

    from reportgen.nets import load_net

    out.mkdir(parents=True, exist_ok=True)
    shape, where = recipe.generator, torch.device(pick_device(device))
    encoder = load_net(shape.net, weights=shape.weights, device=str(where))
    layer = encoder.card.resolve(shape.layer)
    for name in recipe.losses.comparator:
        encoder.card.resolve(name)
    large, val = _photos(recipe, encoder)
    codes = all_codes(encoder, layer, large)
    if bool((codes < 0).any()):
        raise SpecError(f"The code {shape.layer} of {shape.net} has negative features; a rectified layer is wanted.")
    photos = replace(large, pictures=smaller(large.pictures, shape.size))
    mean, spread = codes.mean((0, 1)), codes.flatten(0, 1).std(0)
    generator, judge = _nets(recipe, codes.shape[2], where)
    rate, others = recipe.learning_rate, [*generator.coarse.parameters(), *generator.fine.parameters()]
    slow: dict[str, Any] = {"params": list(generator.dense1.parameters()), "lr": SLOWLY * rate}
    studio = Studio(
        recipe, out, photos, val, where, encoder, layer,
        codes, mean, spread.clamp(min=0.05 * float(spread.mean()) + 1e-8),
        generator, copy.deepcopy(generator).requires_grad_(False), judge,
        (_adam([{"params": others}, slow], rate), _adam([{"params": list(judge.parameters())}], rate)),
        _bf16(recipe, judge, where), [],
    )  # fmt: skip
    tiny = normalised(torch.from_numpy(smaller(large.pictures, generator.shape.coarse)).to(where))  # N 3 c c
    begin_linear(studio, torch.stack([tiny, tiny.flip(3)], 1).flatten(2))
    studio.averaged.load_state_dict(studio.generator.state_dict())
    return studio


def _nets(recipe: GeneratorRecipe, width: int, where: torch.device) -> tuple[Any, nn.ModuleDict]:
    """The generator for codes of a width, and its judge."""
    import torch

    torch.manual_seed(recipe.seed)
    generator = generator_nets.small(shape_of(recipe, width))
    judge = generator_nets.judge(recipe.generator.size, recipe.judge.widths, width)
    for net in (generator, judge):
        net.to(where).to(memory_format=torch.channels_last)
    return generator, judge


def _adam(groups: list[dict[str, Any]], rate: float) -> torch.optim.Adam:
    import torch

    return torch.optim.Adam(groups, lr=rate, betas=(0.5, 0.99))


def _bf16(recipe: GeneratorRecipe, judge: nn.ModuleDict, where: torch.device) -> bool:
    """Whether to compute in bf16."""
    if recipe.precision != "auto":
        return recipe.precision == "bf16"
    return bf16_is_quicker(copy.deepcopy(judge["features"]), recipe.generator.size, where)


def _photos(recipe: GeneratorRecipe, encoder: Net) -> tuple[PhotoSet, PhotoSet]:
    """The pictures to learn from, and some evenly chosen ones to measure on, as large as the net wants photos."""
    import torch

    side = encoder.card.preprocess.resize
    photos, val = (
        load_photos(part, side, threads=torch.get_num_threads()) for part in (recipe.data.train, recipe.data.val)
    )
    if len(photos) < recipe.batch or len(val) < 1:
        raise SpecError(
            f"{len(photos)} pictures to train on are less than a batch of {recipe.batch}: give more or make it smaller."
        )
    rows = np.linspace(0, len(val) - 1, min(MEASURED, len(val))).astype(int)
    return photos, PhotoSet(val.pictures[rows], val.labels[rows], val.classes, val.digest)


def smaller(pictures: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Whole pictures N H W 3 brought to the generator's size."""
    from torch.nn import functional

    parts = []
    for i in range(0, len(pictures), 64):
        part = in_rgb(pictures[i : i + 64])  # N 3 H W
        small = functional.interpolate(part, (size, size), mode="bilinear", antialias=True)
        parts.append((small * 255).round().byte().permute(0, 2, 3, 1).numpy())  # N S S 3
    return np.concatenate(parts)


def shape_of(recipe: GeneratorRecipe, width: int) -> generator_nets.Small:
    """The shape of the recipe's generator for codes of this width."""
    shape = recipe.generator
    return generator_nets.Small(width, shape.size, shape.dense, shape.widths, shape.refined)


def all_codes(encoder: Net, layer: Layer, photos: PhotoSet) -> Tensor:
    """The codes of all photos and of their mirror pictures, N 2 D."""
    import torch

    parts = []
    for i in range(0, len(photos), 32):
        part = in_rgb(photos.pictures[i : i + 32]).to(encoder.device)  # N 3 H W
        parts.append(torch.stack([encoded(encoder, layer, one)[0] for one in (part, part.flip(3))], 1))  # N 2 D
    return torch.cat(parts)


def begin_linear(studio: Studio, pictures: Tensor) -> None:
    """Let the generator begin with the coarse pictures that ridge regression finds, and few details.

    Of codes N 2 D and coarse pictures N 2 P the first dense layer gets the directions that tell most about pictures,
    each with variance one: what follows learns far quicker from these than from rare, skewed features.
    """
    import torch

    own: Any = studio.generator
    mean, count = pictures.mean((0, 1)), 2 * len(pictures)  # P
    within: Any = 0
    across: Any = 0
    for i in range(0, len(pictures), 1024):
        codes = studio.standard(studio.codes[i : i + 1024].flatten(0, 1))  # n D
        within, across = within + codes.T @ codes, across + codes.T @ (pictures[i : i + 1024].flatten(0, 1) - mean)
    weight = torch.linalg.solve(within + RIDGE * count * torch.eye(len(within), device=within.device), across)  # D P
    variances, axes = torch.linalg.eigh(weight.T @ within @ weight / count)  # P, the largest last; P P
    kept = min(len(variances), own.dense1.out_features)
    spread = variances[-kept:].clamp(min=1e-6 * float(variances[-1])).sqrt()  # kept
    with torch.no_grad():
        own.dense1.weight[:kept] = (weight @ axes[:, -kept:] / spread).T
        own.dense1.weight[kept:] *= 0.1
        own.coarse.weight.zero_()
        own.coarse.weight[:, :kept] = axes[:, -kept:] * spread
        own.coarse.bias.copy_(mean)
        list(own.fine.children())[-1].weight.mul_(0.1)
