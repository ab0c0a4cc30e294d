"""From a resolved description to a net: built, filled with its weights, described by a card, moved to its device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reportgen.errors import ModelError, nearest
from reportgen.nets import archs
from reportgen.nets.card import make_card
from reportgen.nets.device import pick_device, set_precision
from reportgen.nets.fit import check_fit, fitting, inferred_classes
from reportgen.nets.tensors import read_state
from reportgen.nets.trace import Graph, trace
from reportgen.nets.weights import Resolved, random_digest
from reportgen.records import Net, Precision, Preprocess

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Classes = Sequence[str] | str | Path
_DTYPES: dict[Precision, str] = {"fp64": "float64", "bf16": "bfloat16"}


def load(
    resolved: Resolved,
    *,
    device: str = "auto",
    precision: Precision = "fp32",
    classes: Classes | None = None,
    preprocess: Preprocess | Mapping[str, Any] | None = None,
    allow_code: bool = False,
) -> Net:
    """The net of a description, in eval mode, with frozen weights."""
    import torch

    if precision not in ("fp32", "tf32", "bf16", "fp64"):
        raise ModelError(f"There is no precision {precision!r}. Known: fp32, tf32, bf16, fp64.")
    where = pick_device(device, precision)
    set_precision(precision)
    names = None if classes is None else class_names(classes)
    view = _preprocess(resolved.preprocess, preprocess)
    dtype: torch.dtype = getattr(torch, _DTYPES.get(precision, "float32"))
    if resolved.kind == "random":
        if names and resolved.num_classes is None:
            again = random_digest(resolved.builder, len(names), resolved.seed)
            resolved = replace(resolved, num_classes=len(names), digest=again)
        module, graph = _random(resolved, view, allow_code)
    else:
        module, graph = _filled(resolved, view, dtype, allow_code)
    module = module.to(device=where, dtype=dtype).eval().requires_grad_(False)
    return Net(module, make_card(resolved, module, graph, view, names), where, precision)


def class_names(classes: Classes) -> tuple[str, ...]:
    """The names given as a list, or in a text file of one name per line."""
    if not isinstance(classes, str | Path):
        return tuple(str(name) for name in classes)
    try:
        lines = Path(classes).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"The class names {classes} cannot be read ({error}): one name per line is wanted.") from error
    return tuple(line.strip() for line in lines if line.strip())


def _random(resolved: Resolved, view: Preprocess, allow_code: bool) -> tuple[nn.Module, Graph]:
    """A net with fresh weights that depend on the seed alone; torch's own random numbers are left where they were."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(resolved.seed)  # torch.manual_seed would reach the GPUs' generators too
        module = archs.build(resolved.arch, resolved.num_classes, resolved.kwargs, allow_code)
    code = archs.origin(resolved.arch) == "code"
    return module, trace(module if code else skeleton(resolved, resolved.num_classes), view.size)


def _filled(resolved: Resolved, view: Preprocess, dtype: torch.dtype, allow_code: bool) -> tuple[nn.Module, Graph]:
    """A net with the weights of a file; it is built without any, so that none are drawn only to be overwritten."""
    assert resolved.path is not None
    state, count = read_state(resolved.path), resolved.num_classes
    module = skeleton(resolved, count, allow_code)
    if count is None and archs.origin(resolved.arch) != "code":
        found = inferred_classes(module, state)
        if found is not None:
            count, module = found, skeleton(resolved, found)
    graph = trace(module, view.size)
    state = {name: _as(tensor, dtype) for name, tensor in fitting(module, state, resolved.arch).items()}
    check_fit(resolved, module, state, None)
    check_fit(resolved, module, state, module.load_state_dict(state, strict=False, assign=True))
    if any(t.is_meta for t in (*module.parameters(), *module.buffers())):  # buffers that no file holds
        module = archs.build(resolved.arch, count, resolved.kwargs)
        module.load_state_dict(state, strict=False)
    return module, graph


def skeleton(resolved: Resolved, num_classes: int | None, allow_code: bool = False) -> nn.Module:
    """The net without numbers, on the meta device; with numbers where its builder needs a real device.

    Code of the user's is built once and for real: it may read files, or know nothing of devices.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        if archs.origin(resolved.arch) != "code":
            with suppress(ModelError), torch.device("meta"):
                return archs.build(resolved.arch, num_classes, resolved.kwargs)
        return archs.build(resolved.arch, num_classes, resolved.kwargs, allow_code)


def _as(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def _preprocess(own: Preprocess, asked: Preprocess | Mapping[str, Any] | None) -> Preprocess:
    """The net's own preprocessing with what the user says differently; a new size keeps the crop's margin."""
    if asked is None:
        return own
    if isinstance(asked, Preprocess):
        return asked
    known = [entry.name for entry in fields(Preprocess)]
    for key in asked:
        if key not in known:
            raise ModelError(f"preprocess has no {key!r}. {nearest(key, known)}")
    given: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in asked.items() if v is not None}
    if "size" in given and "resize" not in given:
        given["resize"] = round(given["size"] * own.resize / own.size)
    return replace(own, **given)
