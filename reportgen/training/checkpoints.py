"""What a training writes down: the state it goes on from, weights of chosen epochs, the exported net."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reportgen.errors import SpecError
from reportgen.examples import Epoch
from reportgen.nets.device import pick_device
from reportgen.nets.shipped import LOG
from reportgen.nets.tensors import read_state, tensor_digest
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
    plain["start"] = Path(recipe.start).name if recipe.start else None
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
    with replacing(path) as temporary:
        temporary.write_bytes(packed(tensors, described))


def packed(tensors: dict[str, torch.Tensor], described: dict[str, str]) -> bytes:
    """Return a state dict and its description as a safetensors file: equal ones, equal bytes."""
    from safetensors.torch import save

    # The layout in memory (channels last) is the training's own affair: files hold plain N C H W.
    raw = save({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, described)
    start = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:start])
    header["__metadata__"] = dict(sorted(described.items()))  # safetensors writes it in an order of chance
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of eight
    return len(text).to_bytes(8, "little") + text + raw[start:]


def half(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the same tensors with the fractional ones in float16."""
    return {name: value.half() if value.is_floating_point() else value for name, value in tensors.items()}


def export(run_dir: Path, target: Path, device: str = "auto") -> float:
    """Write a finished run's weights in float16 with their description, and return their top-1.

    The top-1 is that of the rounded weights, on the recipe's validation pictures.
    """
    import torch

    from reportgen.nets import archs

    state, recipe = _finished(run_dir)
    epoch, classes = state["rows"][-1]["epoch"], tuple(state["classes"])
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


def export_checkpoints(
    run_dir: Path, target: Path, epochs: Sequence[int] | None = None, before: Sequence[Path] = ()
) -> tuple[int, ...]:
    """Write a finished run's log, and the weights of kept epochs in float16 without the dense layers; return those.

    `epochs` are all that the run kept, unless given. The end is never among them: `export` writes it whole, and the log
    has the digest of what it writes. This makes `nets/checkpoints/ARCH` for a mini net whose weights are embedded:
    `python -c "from pathlib import Path; from reportgen.training import export_checkpoints as e; e(Path('RUN'),
    Path('reportgen/nets/checkpoints/ARCH'))"`, with `epochs=()` for the log alone.
    `before` are the folders of finished runs, oldest first, of which each began where the one before had ended, and
    this one where the last had: all are told as one, with the numbers of the first. Returned are the epochs of this
    run, as its recipe counts them.
    """
    rows, numbers = _as_one([*before, run_dir])
    state, recipe = _finished(run_dir)
    first = numbers["epochs"] - recipe.epochs  # the epoch, counted over all runs, at which this one began
    kept = sorted(set(recipe.checkpoints if epochs is None else epochs) - {recipe.epochs})
    if missing := [epoch for epoch in kept if not (run_dir / checkpoint_name(epoch)).is_file()]:
        raise SpecError(f"The run {run_dir} has kept no weights of epoch {missing[0]}.")
    target.mkdir(parents=True, exist_ok=True)
    dense, files = _dense(recipe, len(state["classes"])), []
    for epoch in kept:
        tensors = read_state(run_dir / checkpoint_name(epoch))
        path = target / checkpoint_name(epoch)
        save_weights(half({name: value for name, value in tensors.items() if name not in dense}), {}, path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        files.append({"epoch": first + epoch, "file": path.name, "sha256": digest})
    told = {
        "weights": tensor_digest(half(state["net"])),
        "classes": state["classes"],
        "numbers": numbers,
        "checkpoints": files,
        "rows": rows,
    }
    with replacing(target / LOG) as temporary:
        temporary.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return tuple(kept)


def in_numbers(recipe: Recipe, training: int, validation: int, digest: str) -> dict[str, Any]:
    """Return a run in a few words and numbers, as methods have it: `digest` is that of its validation pictures."""
    return {
        "arch": recipe.arch,
        "epochs": recipe.epochs,
        "batch": recipe.batch,
        "learning_rate": recipe.optimizer.learning_rate,
        "label_smoothing": recipe.label_smoothing,
        "size": recipe.size,
        "seed": recipe.seed,
        "repeats": recipe.repeats,
        "training_pictures": training,
        "validation_pictures": validation,
        "validation": [digest],
    }


def _as_one(folders: Sequence[Path]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The log and the numbers of runs of which each began where the one before had ended."""
    rows: list[dict[str, Any]] = []
    numbers: dict[str, Any] = {}
    ended = ""
    for folder in folders:
        state, recipe = _finished(folder)
        if ended not in state["data"]:
            raise SpecError(f"The run {folder} did not begin from the weights in which the one before it ended.")
        done = rows[-1]["epoch"] if rows else 0
        rows += [{**row, "epoch": done + row["epoch"]} for row in _log(state)[bool(rows) :]]
        numbers = (numbers or in_numbers(recipe, *_pictures(state["data"]))) | {"epochs": rows[-1]["epoch"]}
        ended = tensor_digest(half(state["net"]))
    return rows, numbers


def _log(state: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A run's epochs, with as many digits as mean something."""
    return [{name: _digits(row.get(name)) for name in Epoch.__dataclass_fields__} for row in state["rows"]]


def _finished(run_dir: Path) -> tuple[dict[str, Any], Recipe]:
    """The state and recipe of a run. Raises SpecError for one that has not ended."""
    state = load_state(run_dir)
    recipe, epoch = make_recipe(json.loads(state["recipe"])), state["rows"][-1]["epoch"]
    if epoch < recipe.epochs:
        raise SpecError(f"The training in {run_dir} is at epoch {epoch} of {recipe.epochs}: finish it first.")
    return state, recipe


def _dense(recipe: Recipe, classes: int) -> set[str]:
    """The names of the dense layers' tensors."""
    import torch

    from reportgen.nets import archs

    net = archs.ours(recipe.arch)(num_classes=classes, **recipe.kwargs)
    layers = [path for path, module in net.named_modules() if isinstance(module, torch.nn.Linear)]
    return {f"{path}.{name}" for path in layers for name in ("weight", "bias")}


def _pictures(data: str) -> tuple[int, int, str]:
    """How many pictures a run learned from and was measured on, and the latter's digest, from what its state says."""
    found = re.match(r"(\d+) pictures, sha256 \w+; validation (\d+) pictures, sha256 (\w+)", data)
    assert found is not None, data
    return int(found[1]), int(found[2]), found[3]


def _digits(value: Any) -> Any:
    """Six digits of a number or of each of several; what is none is left as it is."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    return [_digits(one) for one in value] if isinstance(value, list | tuple) else value
