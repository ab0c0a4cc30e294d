"""Weights that a training begins from, in place of fresh ones: as many of a file's tensors as fit the net."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from reportgen.errors import ModelError
from reportgen.nets.archs import MINIS
from reportgen.nets.tensors import read_state, weights_digest
from reportgen.nets.weights import EMBEDDED

if TYPE_CHECKING:
    from torch import nn

BACKBONE = "backbone."  # what the encoder-decoder puts before the names of the net it is built on


def start_file(start: str) -> Path:
    """The weights file that a recipe's `start` means: a mini net's name stands for its embedded weights."""
    return EMBEDDED / f"{start}.safetensors" if start in MINIS else Path(start)


def start_digest(start: str, memo_dir: Path | None = None) -> str:
    """The SHA-256 of the tensors to begin from. Raises ModelError for a file that cannot be read."""
    return weights_digest(start_file(start), memo_dir)


def begin_from(net: nn.Module, start: str) -> str:
    """Take over all tensors of a file whose name and shape are the net's own, and say how many those are.

    The prefix of a backbone does not count, so that the encoder-decoder begins from a plain net and the reverse. What
    is left stays fresh. Raises ModelError where nothing fits.
    """
    path = start_file(start)
    given = {name.removeprefix(BACKBONE): tensor for name, tensor in read_state(path).items()}
    own = net.state_dict()  # its tensors are the net's, not copies
    weights = [name for name in own if not name.endswith("num_batches_tracked")]
    fits = {name: given.get(name.removeprefix(BACKBONE)) for name in own}
    taken = [name for name in weights if (other := fits[name]) is not None and other.shape == own[name].shape]
    if not taken:
        raise ModelError(
            f"start: of the {len(given)} tensors of {path.name} none has the name and shape of one of the net's "
            f"{len(weights)}, so there is nothing to begin from; right would be weights of the same arch, or of its "
            "backbone, with the same widths."
        )
    for name in taken:
        own[name].copy_(fits[name])
    return f"begun from {path.name}: {len(taken)} of {len(weights)} tensors, the others fresh"
