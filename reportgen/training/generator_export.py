"""A trained generator as one file: its weights, the autoencoder and the bounds of its code, in float16."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reportgen.generators import FORMAT
from reportgen.training.checkpoints import half, save_weights
from reportgen.training.data import MEAN, STD
from reportgen.training.generator import likely_codes, train_generator
from reportgen.training.generator_begin import shape_of
from reportgen.training.generator_recipe import GeneratorRecipe
from reportgen.training.generator_steps import Studio

GROUPED = 4096  # photos among which groups are sought

if TYPE_CHECKING:
    from torch import Tensor


def export_generator(studio: Studio, target: Path) -> None:
    """Write the averaged generator, the autoencoder (trained now) and the bounds of the code.

    Inside the training codes are measured in each feature's spread; the file's nets take them as the net gives them.
    """
    import torch

    codes = studio.codes.flatten(0, 1)  # 2N D
    prior = likely_codes(studio.standard(codes), studio.recipe)
    generator = copy.deepcopy(studio.averaged)
    with torch.no_grad():
        for net in (generator, prior):
            _take_plain_codes(net.dense1, studio)
        last = list(prior.children())[-1]  # gives codes back: in their own measure too
        last.bias.copy_(last.bias * studio.spread + studio.mean)  # type: ignore[operator]
        last.weight.mul_(studio.spread[:, None])  # type: ignore[operator]
    tensors = half({f"generator.{name}": value for name, value in generator.state_dict().items()})
    tensors |= half({f"autoencoder.{name}": value for name, value in prior.state_dict().items()})
    tensors |= told(studio)
    target.parent.mkdir(parents=True, exist_ok=True)
    save_weights(tensors, _described(studio), target)


def train_and_export(
    recipe: GeneratorRecipe, folder: Path, device: str = "auto", threads: int | None = None, *, quiet: bool = False
) -> str:
    """Train a recipe's generator and write it into the run's folder; what came of it, in a sentence."""
    studio = train_generator(recipe, folder, device, threads, quiet=quiet)
    target = folder / "generator.safetensors"
    export_generator(studio, target)
    same = 100 * studio.rows[-1]["val_same_class"]
    return f"{target}: {recipe.generator.net} sees the class it saw in the photo in {same:.1f} % of repainted photos"


def told(studio: Studio) -> dict[str, Tensor]:
    """What is known of photos' codes: bounds (zero, and the mean plus three standard deviations), spread, centres."""
    import torch

    codes = studio.codes.flatten(0, 1)  # 2N D
    mean, spread = codes.mean(0).cpu(), codes.std(0).cpu()
    groups = (centres(studio) * studio.spread + studio.mean).clamp(min=0)  # K D
    values = {
        "low": torch.zeros(len(mean)),
        "high": mean + 3 * spread,
        "spread": spread,
        "centres": groups.cpu().half(),
    }
    return {f"code.{name}": value for name, value in values.items()}


def centres(studio: Studio) -> Tensor:
    """The centres of groups of photos with like codes, in the codes' spread, K D: where walks may start."""
    import torch
    from sklearn.cluster import KMeans

    rows = np.linspace(0, len(studio.codes) - 1, min(GROUPED, len(studio.codes))).astype(int)
    codes = studio.standard(studio.codes[torch.from_numpy(rows), 0]).cpu().numpy()  # n D
    found = KMeans(min(studio.recipe.centres, len(rows)), n_init=1, max_iter=20, random_state=studio.recipe.seed)
    return torch.from_numpy(found.fit(codes).cluster_centers_).to(studio.codes)


def _take_plain_codes(dense: Any, studio: Studio) -> None:
    """Make a dense layer that takes standardised codes take plain ones."""
    dense.weight.div_(studio.spread[None])
    dense.bias.sub_(dense.weight @ studio.mean)


def _described(studio: Studio) -> dict[str, str]:
    """What the file says about itself; no path of the machine and no date is among it."""
    recipe, card = studio.recipe, studio.encoder.card
    plain = recipe.model_dump(mode="json", exclude={"out"})
    plain["data"] = {part: [Path(source).name for source in plain["data"][part]] for part in plain["data"]}
    width = studio.codes.shape[2]
    return {
        "format": FORMAT,
        "shape": json.dumps(shape_of(recipe, width).described(), sort_keys=True),
        "autoencoder": json.dumps(recipe.autoencoder.widths),
        "inverts": json.dumps(
            {
                "layer": f"the layer {recipe.generator.layer} ({width} rectified features)",
                "net": f"{card.arch} (weights {card.weights[:12]})",
            },
            sort_keys=True,
        ),
        "mean": json.dumps(MEAN),
        "std": json.dumps(STD),
        "recipe": json.dumps(plain, sort_keys=True),
        "data": studio.data,
        "epochs": str(len(studio.rows)),
        "measured": json.dumps({k: round(v, 4) for k, v in studio.rows[-1].items() if k.startswith("val_")}),
    }
