"""Whether the tensors of a file are those of a net, and what to say where they are not."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from reportgen.errors import ModelError
from reportgen.nets.weights import Resolved

if TYPE_CHECKING:
    from torch import Tensor, nn

_SHOWN = 6  # names in a message
_AUXILIARY = {"googlenet": ("aux1.", "aux2."), "inception_v3": ("AuxLogits.",)}
# Published DenseNet weights are older than their module names: torchvision renames them in its own loader.
_OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\.\w+)$")


def fitting(module: nn.Module, state: Mapping[str, Tensor], arch: str) -> dict[str, Tensor]:
    """The file's tensors under the net's names, without the side outputs that only training uses."""
    dropped = _AUXILIARY.get(arch, ())
    found: OrderedDict[str, Any] = OrderedDict()
    for name, tensor in state.items():
        if not name.startswith(dropped):
            old = _OLD_DENSENET.match(name) if arch.startswith("densenet") else None
            found[old[1] + old[2] if old else name] = tensor
    for name, tensor in module.state_dict().items():
        if name.endswith("num_batches_tracked") and name not in found:
            found[name] = tensor.new_zeros((), device="cpu")  # many files leave out this counter; eval never reads it
    # Some nets of torchvision convert old layouts by this version mark; without one they refuse to load.
    found._metadata = getattr(state, "_metadata", None) or module.state_dict()._metadata  # type: ignore[attr-defined]
    return found


def inferred_classes(module: nn.Module, state: Mapping[str, Tensor]) -> int | None:
    """The number of classes the file was made for: the rows of what is the last layer in the net as built."""
    own = module.state_dict()
    last = next((name for name in reversed(own) if name.endswith("weight") and own[name].ndim in (2, 4)), None)
    if last is None or last not in state or state[last].ndim != own[last].ndim:
        return None
    return int(state[last].shape[0])


def check_fit(resolved: Resolved, module: nn.Module, state: Mapping[str, Tensor], outcome: Any) -> None:
    """Raise ModelError with the names and shapes that differ.

    Shapes are looked at before loading (outcome None), names after it, since some nets convert old names then.
    """
    own = module.state_dict()
    shapes = [
        f"{name} (file {_shape(state[name])}, net {_shape(own[name])})"
        for name in own
        if outcome is None and name in state and state[name].shape != own[name].shape
    ]
    absent = outcome.missing_keys if outcome is not None else [name for name in own if name not in state]
    extra = outcome.unexpected_keys if outcome is not None else [name for name in state if name not in own]
    if not shapes and (outcome is None or not (absent or extra)):
        return
    parts = [
        _listed("of another shape", shapes),
        _listed("missing in the file", absent),
        _listed("unknown to the net", extra),
    ]
    raise ModelError(
        f"The weights {resolved.source} do not fit {resolved.arch}: {'; '.join(filter(None, parts))}. Check that arch, "
        "kwargs and weights belong together."
    )


def _listed(what: str, names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{len(names)} {what}: {', '.join(names[:_SHOWN])}{more}" if names else ""


def _shape(tensor: Tensor) -> str:
    return " x ".join(str(side) for side in tensor.shape) or "a number"
