"""What a training writes down: the state it goes on from, weights of chosen epochs, the exported net."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reportgen.errors import SpecError
from reportgen.nets.device import pick_device
from reportgen.training.data import MEAN, STD, load_photos
from reportgen.training.log import replacing
from reportgen.training.measure import evaluate
from reportgen.training.recipe import Recipe, make_recipe

if TYPE_CHECKING:
    import torch

STATE = "state.pt"  # in a run's folder: all that is needed to go on


def checkpoint_name(epoch: int) -> str:
    """Return the file name of the weights kept after an epoch; 0 = before training."""
    return f"epoch-{epoch:03d}.safetensors"


def save_state(state: dict[str, Any], out: Path) -> None:
    """Write a run's state (tensors, numbers, text) so that a crash leaves the old one whole."""
    import torch

    whole = io.BytesIO()
    torch.save(state, whole)  # to a file it would hide why one cannot be written
    with replacing(out / STATE) as temporary:
        temporary.write_bytes(whole.getbuffer())


def load_state(out: Path) -> dict[str, Any]:
    """Return the state of a run's folder; nothing in it can run code."""
    import torch

    try:
        state: dict[str, Any] = torch.load(out / STATE, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise SpecError(f"The folder {out} holds no training: it has no {STATE}.") from error
    except Exception as error:  # torch raises a dozen kinds for a file that is none of its own
        raise SpecError(f"The training state {out / STATE} is damaged; delete it to start afresh.") from error
    return state


def metadata(recipe: Recipe, classes: Sequence[str], data: str, epoch: int) -> dict[str, str]:
    """Return what weights of a run say about themselves; no path of the machine and no date is among it."""
    plain = recipe.model_dump(mode="json", exclude={"out"})
    plain["data"] = {part: [Path(source).name for source in plain["data"][part]] for part in plain["data"]}
    return {
        "arch": recipe.arch,
        "kwargs": json.dumps(recipe.kwargs, sort_keys=True),
        "num_classes": str(len(classes)),
        "classes": json.dumps(list(classes)),
        "input_size": str(recipe.size),
        "mean": json.dumps(MEAN),
        "std": json.dumps(STD),
        "resize": str(recipe.short_side),  # the short side is brought to this, then the centre is cut
        "recipe": json.dumps(plain, sort_keys=True),
        "data": data,
        "epochs": str(epoch),
    }


def save_weights(tensors: dict[str, torch.Tensor], described: dict[str, str], path: Path) -> None:
    """Write a state dict and its description as safetensors."""
    from safetensors.torch import save

    # The layout in memory (channels last) is the training's own affair: files hold plain N C H W.
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    with replacing(path) as temporary:
        temporary.write_bytes(save(plain, described))


def half(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the same tensors with the fractional ones in float16."""
    return {name: value.half() if value.is_floating_point() else value for name, value in tensors.items()}


def export(run_dir: Path, target: Path, device: str = "auto") -> float:
    """Write a finished run's weights in float16 with their description, and return their top-1.

    The top-1 is that of the rounded weights, on the recipe's validation pictures.
    """
    import torch

    from reportgen.nets import archs

    state = load_state(run_dir)
    recipe = make_recipe(json.loads(state["recipe"]))
    epoch, classes = state["rows"][-1]["epoch"], tuple(state["classes"])
    if epoch < recipe.epochs:
        raise SpecError(f"The training in {run_dir} is at epoch {epoch} of {recipe.epochs}: finish it first.")
    tensors = half(state["net"])
    net = archs.ours(recipe.arch)(num_classes=len(classes), **recipe.kwargs)
    net.load_state_dict(tensors)
    where = torch.device(pick_device(device))
    val = load_photos(recipe.data.val, recipe.short_side, classes)
    _, top1 = evaluate(net.to(where), val, recipe.size, where)
    described = {**metadata(recipe, classes, state["data"], epoch), "top1": f"{top1:.4f}"}
    target.parent.mkdir(parents=True, exist_ok=True)
    save_weights(tensors, described, target)
    return top1
