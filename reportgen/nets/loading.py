"""From a resolved description to a net: built, filled with its weights, described by a card, moved to its device."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from reportgen.errors import ModelError
from reportgen.nets import archs
from reportgen.nets.card import make_card
from reportgen.nets.device import pick_device, set_precision
from reportgen.nets.files import open_file
from reportgen.nets.fit import check_fit, fitting, inferred_classes
from reportgen.nets.tensors import read_state
from reportgen.nets.trace import Graph, trace
from reportgen.nets.views import Asked, view_of
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
    preprocess: Asked | None = None,
    allow_code: bool = False,
) -> Net:
    """The net of a description, in eval mode, with frozen weights."""
    import torch

    if precision not in ("fp32", "tf32", "bf16", "fp64"):
        raise ModelError(f"There is no precision {precision!r}. Known: fp32, tf32, bf16, fp64.")
    where = pick_device(device, precision)
    set_precision(precision)
    names = None if classes is None else class_names(classes)
    view, basis = view_of(resolved.preprocess, preprocess, resolved.basis)
    dtype: torch.dtype = getattr(torch, _DTYPES.get(precision, "float32"))
    if resolved.kind == "random":
        if names and resolved.num_classes is None:
            again = random_digest(resolved.builder, len(names), resolved.seed)
            resolved = replace(resolved, num_classes=len(names), digest=again)
        module, graph = _random(resolved, view, allow_code)
    elif resolved.kind == "program":
        module, graph, told = _opened(resolved, view)
        basis |= told
    else:
        module, graph = _filled(resolved, view, dtype, allow_code)
    if view.order == "bgr":
        turn_to_rgb(module, graph, resolved.arch)
    module = module.to(device=where, dtype=dtype).eval().requires_grad_(False)
    card = replace(make_card(resolved, module, graph, view, names), basis=basis)
    return Net(module, card, where, precision)


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


def _opened(resolved: Resolved, view: Preprocess) -> tuple[nn.Module, Graph, dict[str, str]]:
    """The net of a model file, walked once, and what its card is to say of it."""
    assert resolved.path is not None
    module, told = open_file(resolved.path, view.size)
    try:
        return module, trace(module, view.size), told
    except ModelError:
        raise
    except Exception as error:  # whatever torch says where shapes do not fit
        raise ModelError(
            f"The net of {resolved.arch} cannot be run on a picture of {view.size} x {view.size} pixels "
            f"({type(error).__name__}: {str(error)[:200]}). Where it is made for another size, give preprocess: "
            "{size: ...}."
        ) from error


def turn_to_rgb(module: nn.Module, graph: Graph, arch: str) -> None:
    """Exchanges the red and blue inputs of the first convolutions, so that a net made for BGR takes RGB."""
    import torch

    from reportgen.nets.same import SamePad2d

    called = [(call.node, module.get_submodule(call.path)) for call in graph.calls]
    padding = {node for node, layer in called if isinstance(layer, SamePad2d | torch.nn.ZeroPad2d)}
    firsts = {node.id for node in graph.nodes if 0 in node.parents}
    while padded := firsts & padding:  # zeros around a picture are the same for every order of channels
        firsts = (firsts - padded) | {node.id for node in graph.nodes if padded & set(node.parents)}
    convs = {node: layer for node, layer in called if node in firsts and isinstance(layer, torch.nn.Conv2d)}
    if set(convs) != firsts or not all(conv.groups == 1 for conv in convs.values()):
        raise ModelError(
            f"preprocess: order bgr cannot be kept for {arch}: something other than plain convolutions looks at its "
            "input. Turn the net to RGB yourself, in a module:callable."
        )
    for conv in set(convs.values()):
        weight = conv.weight.detach()  # C 3 k k
        conv.weight = torch.nn.Parameter(weight.flip(1), requires_grad=False)


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
