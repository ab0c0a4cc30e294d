"""Look into a running net: record what layers return, replace it, stop early. The only file that sets hooks.

A layer is named by its module path; `name#2` is the second call of that module within one forward pass,
the plain name its last call, `name@in` what the module is given. How often a module is called stands on the
net's card. A bare module (without a card) works too: its plain names then mean the last call seen, and the pass
runs to its end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, cast

from reportgen.errors import ModelError, nearest
from reportgen.records import Net

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

OUTPUT = "output"  # the layer name of the whole net, where no module of that name exists
INPUT = "@in"  # "classifier@in" is what the module classifier is given: for values that no module returns
_Call = tuple[str, int | None]  # module path and number of the call from 1; None: the last, number unknown


class _StopForwardError(Exception):
    """Ends a forward pass when everything asked for is there; never leaves this file."""


@contextmanager
def recorded(net: Net | nn.Module, names: Iterable[str]) -> Iterator[dict[str, Tensor]]:
    """A dict that holds the value of each named layer after every forward pass made inside the `with`.

    The values are those the modules returned: a later in-place ReLU does not reach them, and they stay part
    of the autograd graph, upwards and downwards (`torch.autograd.grad(logits, values[name])` works).
    """
    values: dict[str, Tensor] = {}
    with _recording(net, names, values, stop=False):
        yield values


def run_to(net: Net | nn.Module, x: Tensor, names: Sequence[str], grad: bool = False) -> dict[str, Tensor]:
    """The values of the named layers, from a forward pass that runs no further than the deepest of them.

    Stages and aliases are understood when `net` is a Net; the keys are the names as given. With `grad` the
    values belong to the autograd graph of x.
    """
    import torch

    values: dict[str, Tensor] = {}
    recording = _recording(net, names, values, stop=True)
    with torch.set_grad_enabled(grad), recording, suppress(_StopForwardError):
        _module(net)(x)
    missing = [name for name in names if name not in values]
    if missing:
        raise ModelError(f"The layers {', '.join(missing)} were never reached in the forward pass.")
    return values


@contextmanager
def replaced(net: Net | nn.Module, name: str, function: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Forward passes made inside the `with` go on with function(value) in place of the layer's value."""
    path, number = call_of(net, name)

    def hook(_: nn.Module, __: Any, value: Any, count: int) -> Any:
        if number is None and count > 1:
            raise ModelError(f"The module {path} is called more than once: name the call, such as {path}#{count}.")
        if count == (number or 1):
            return _with_tensor(value, function(_tensor(value, name)))
        return None

    with _hooked(_module(net), {path: hook}):
        yield


@contextmanager
def watched(
    module: nn.Module,
    before: Callable[[str, nn.Module, Any], None],
    after: Callable[[str, nn.Module, Any], None],
) -> Iterator[None]:
    """Calls before(path, module, inputs) and after(path, module, value) around each forward; the root is ''."""
    handles = []
    try:
        for path, child in module.named_modules():
            handles.append(child.register_forward_pre_hook(lambda m, inputs, path=path: before(path, m, inputs)))
            handles.append(child.register_forward_hook(lambda m, _, value, path=path: after(path, m, value)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def first_tensor(value: Any) -> Tensor | None:
    """The tensor that stands for what a module returned: itself, or the first in a tuple, list or mapping."""
    import torch

    if isinstance(value, torch.Tensor):
        return value
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple | list) else ()
    return next((found for part in parts if (found := first_tensor(part)) is not None), None)


# -------------------------------------------------------------------------------------------------- the works

_Hook = Callable[["nn.Module", Any, Any, int], Any]  # module, inputs, value, number of the call -> new value or None


@contextmanager
def _recording(net: Net | nn.Module, names: Iterable[str], values: dict[str, Tensor], *, stop: bool) -> Iterator[None]:
    wanted: dict[str, list[tuple[str, int | None]]] = {}
    for name in dict.fromkeys(names):
        path, number = call_of(net, name)
        wanted.setdefault(path, []).append((name, number))
    # A last call of unknown number may always be followed by another one: such a pass is not stopped.
    open_ended = any(number is None for calls in wanted.values() for _, number in calls)
    total = sum(len(calls) for calls in wanted.values())

    def hook_for(path: str) -> _Hook:
        def hook(_: nn.Module, inputs: Any, value: Any, count: int) -> Any:
            hits = [name for name, number in wanted[path] if number is None or number == count]
            if not hits:
                return None
            tensor = _tensor(value, hits[0])
            # The net goes on with a copy, so that a later in-place call does not reach the recorded value.
            kept = tensor.clone() if _aliases(tensor, inputs) else tensor
            for name in hits:
                values[name] = kept
            if stop and not open_ended and len(values) == total:
                raise _StopForwardError
            return _with_tensor(value, kept.clone())

        return hook

    with _hooked(_module(net), {path: hook_for(path) for path in wanted}, values.clear):
        yield


@contextmanager
def _hooked(root: nn.Module, hooks: Mapping[str, _Hook], restart: Callable[[], None] | None = None) -> Iterator[None]:
    """Runs the hooks with the number of the module's call within the pass; removes them whatever happens."""
    counts: Counter[str] = Counter()

    def begin(_: nn.Module, __: Any) -> None:
        counts.clear()
        if restart is not None:
            restart()

    def counting(path: str) -> Callable[[nn.Module, Any, Any], Any]:
        def hook(module: nn.Module, inputs: Any, value: Any) -> Any:
            counts[path] += 1
            return hooks[path](module, inputs, value, counts[path])

        return hook

    with ExitStack() as stack:
        stack.callback(root.register_forward_pre_hook(begin, prepend=True).remove)
        for path in hooks:
            module = _submodule(root, path.removesuffix(INPUT))
            hook = counting(path)
            if path.endswith(INPUT):
                handle = module.register_forward_pre_hook(lambda m, given, hook=hook: hook(m, given, given))
            else:
                handle = module.register_forward_hook(hook)
            stack.callback(handle.remove)
        yield


def _module(net: Net | nn.Module) -> nn.Module:
    return cast("nn.Module", net.module) if isinstance(net, Net) else net


def call_of(net: Net | nn.Module, name: str) -> _Call:
    """The module path and the number of its call (None: the last one seen) that a layer's name means."""
    if not isinstance(net, Net):
        path, _, number = name.partition("#")
        return path, int(number) if number.isdigit() else None
    path, _, number = net.card.resolve(name).name.partition("#")
    if number:
        return path, int(number)
    return path, 1 + sum(layer.name.startswith(f"{path}#") for layer in net.card.layers)


def _submodule(root: nn.Module, path: str) -> nn.Module:
    modules = dict(root.named_modules(remove_duplicate=False))
    if path not in modules and path == OUTPUT:
        return root
    if path not in modules:
        raise ModelError(f"The net has no module {path!r}. {nearest(path, (name for name in modules if name))}")
    return cast("nn.Module", modules[path])


def _tensor(value: Any, name: str) -> Tensor:
    found = first_tensor(value)
    if found is None:
        raise ModelError(f"The layer {name} returns {type(value).__name__} without a tensor in it.")
    return found


def _with_tensor(value: Any, tensor: Tensor) -> Any:
    """The value with its first tensor exchanged; tuples, named tuples, lists and dicts keep their type."""
    if first_tensor(value) is value:
        return tensor
    if isinstance(value, Mapping):
        keys = [key for key, part in value.items() if first_tensor(part) is not None][:1]
        changed = {key: _with_tensor(value[key], tensor) for key in keys}
        return cast(Any, type(value))({**value, **changed})
    parts = list(value)
    index = next(i for i, part in enumerate(parts) if first_tensor(part) is not None)
    parts[index] = _with_tensor(parts[index], tensor)
    return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)


def _aliases(tensor: torch.Tensor, inputs: Any) -> bool:
    """Whether the value shares memory with the module's input: in-place ReLU, Identity, Flatten, Dropout."""
    import torch

    memory = tensor.untyped_storage().data_ptr()
    return any(isinstance(x, torch.Tensor) and x.untyped_storage().data_ptr() == memory for x in inputs)
