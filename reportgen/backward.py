"""From units back to the pixels along a tape: each unit's signal travels in the window that it can reach.

The rules are those of `rules`: they differ in what a ReLU and a max pool hand down. A unit at one position of a map is
reached from its receptive field only, so that its signal is kept as a small window that grows on the way down; windows
of all units and rules have one size per value and go down as one batch. A window that has outgrown its map becomes the
whole map. Nothing outside of a receptive field is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from reportgen import entry, rules, windows
from reportgen import tape as tapes
from reportgen.errors import MethodError
from reportgen.rules import Rule
from reportgen.tape import Ref, Step, Tape
from reportgen.windows import Window, pair

if TYPE_CHECKING:
    from torch import Tensor

MOST_NUMBERS = 48_000_000  # in the largest value of a batch on its way down: about 200 MB


@dataclass(frozen=True, eq=False)
class Signal:
    """What comes down on a value: one window per rule and unit, rule by rule (R U items)."""

    window: Window  # ys and xs of the U units; data RU C h w. Windows may hang over the map: there the data is zero
    rules: tuple[Rule, ...]

    def part(self, rule: Rule) -> Tensor:
        """The windows of one rule, U C h w."""
        count, place = len(self.window.ys), self.rules.index(rule)
        return self.window.data[place * count : (place + 1) * count]


def project(tape: Tape, number: int, seeds: Window, asked: Sequence[Rule]) -> dict[Rule, Window]:
    """What seeds on a value (U C h w in windows of its map) become in the input, under each rule: U x 3 x h x w.

    Raises MethodError at a rectification or pooling that the rules say nothing about.
    """
    import torch

    largest = max(_size(shape) for shape in tape.shapes[: number + 1])
    at_once = max(1, MOST_NUMBERS // (largest * len(asked)))
    found: list[dict[Rule, Window]] = []
    for start in range(0, len(seeds.ys), at_once):
        part = slice(start, start + at_once)
        window = Window(seeds.ys[part], seeds.xs[part], seeds.data[part])
        with torch.no_grad():
            found.append(_descend(tape, number, window, tuple(asked)))
    return {rule: windows.joined([one[rule] for one in found]) for rule in asked}


def _descend(tape: Tape, number: int, seeds: Window, asked: tuple[Rule, ...]) -> dict[Rule, Window]:
    data = seeds.data.repeat(len(asked), *[1] * (seeds.data.ndim - 1))  # RU C h w
    waiting: dict[int, Signal] = {number: Signal(windows.fitted(tape, number, replace(seeds, data=data)), asked)}
    for step in reversed(tape.steps):
        for made in step.makes:
            if made not in waiting:
                continue
            signal = waiting.pop(made)
            for read, window in _down(tape, step, made, signal).items():
                fitted = windows.fitted(tape, read, window)
                known = waiting.get(read)
                waiting[read] = Signal(fitted if known is None else windows.added(known.window, fitted), asked)
    signal = waiting[0]
    return {rule: replace(signal.window, data=signal.part(rule)) for rule in asked}


# ---------------------------------------------------------------------------------------------- one operation downwards


def _down(tape: Tape, step: Step, made: int, signal: Signal) -> dict[int, Window]:
    """What an operation hands to each value that it read."""
    handler = _HANDLERS.get(step.name)
    if handler is not None:
        handed = handler(tape, step, signal)
        if handed is not None:
            return handed
    elif found := rules.unmet(step.name, *_resolved(tape, step)):
        raise MethodError(
            f"The net calls {found}, which the backward rules do not meet: guided and deconvnet pictures of it would "
            "be wrong. Write it as torch.relu or torch.max_pool2d, or use saliency, which needs no rule."
        )
    return _derivative(tape, step, made, signal)


def _relu(tape: Tape, step: Step, signal: Signal) -> dict[int, Window]:
    import torch

    window = signal.window
    fired = None
    parts = []
    for rule in signal.rules:
        data = signal.part(rule)
        if rule != "gradient":
            data = data.relu()
        if rule in {"gradient", "guided"}:
            if fired is None:
                fired = _clean(tape, step, window) > 0
            data = data * fired
        parts.append(data)
    return {step.reads[0]: replace(window, data=torch.cat(parts))}  # RU C h w


def _clean(tape: Tape, step: Step, window: Window) -> Tensor:
    """The clean value that a step made, inside the windows (U C h w); neurons of a dense layer have none."""
    if len(tape.shapes[step.makes[0]]) != 4:
        return tape.value(step.makes[0])
    return windows.cut(tape, step.makes[0], None, (window.ys, window.xs), window.size, _margin(tape, step, window))


def _convolution(tape: Tape, step: Step, signal: Signal) -> dict[int, Window] | None:
    from torch.nn import functional

    padding, weight = step.argument("padding"), step.argument("weight")
    if isinstance(padding, str) or not isinstance(step.args[0], Ref) or len(step.reads) != 1:
        return None
    stride, dilation, pads = pair(step.argument("stride")), pair(step.argument("dilation")), pair(padding)
    groups, data = step.argument("groups"), signal.window.data
    if entry.quick(weight, stride, dilation, groups):
        size = [(side - 1) * s + k for side, s, k in zip(data.shape[2:], stride, weight.shape[2:], strict=True)]
        data = entry.taken_back(data, entry.way_back(weight, stride[0]), stride[0], 0, (size[0], size[1]))  # RU C h w
    else:
        data = functional.conv_transpose2d(data, weight, None, stride, 0, 0, groups, dilation)  # RU C h w
    ys, xs = (own * s - p for own, s, p in zip((signal.window.ys, signal.window.xs), stride, pads, strict=True))
    return {step.reads[0]: Window(ys, xs, data)}


def _max_pool(tape: Tape, step: Step, signal: Signal) -> dict[int, Window]:
    """With switches to the place of each window's maximum, without them in equal shares to all its places."""
    import torch

    kernel = pair(step.argument("kernel_size"))
    stride = pair(step.argument("stride") or kernel)
    pads, dilation = pair(step.argument("padding")), pair(step.argument("dilation"))
    window = signal.window
    firsts = [own * s - p for own, s, p in zip((window.ys, window.xs), stride, pads, strict=True)]
    size = [(n - 1) * s + (k - 1) * d + 1 for n, s, k, d in zip(window.size, stride, kernel, dilation, strict=True)]
    parts = []
    places = None
    for rule in signal.rules:
        data = signal.part(rule)
        if rule == "no_switches":
            parts.append(_spread(tape, step, window, data, (kernel, stride, pads, dilation), size))
            continue
        if places is None:
            places = _switches(tape, step, window, firsts, size, (kernel, stride, pads, dilation))
        flat = data.new_zeros(*data.shape[:2], size[0] * size[1])  # U C hw
        flat.scatter_add_(2, places, data.reshape(*data.shape[:2], -1))
        parts.append(flat.view(*data.shape[:2], *size))  # U C h w
    return {step.reads[0]: Window(firsts[0], firsts[1], torch.cat(parts))}


def _switches(tape: Tape, step: Step, window: Window, firsts: Any, size: Sequence[int], how: Any) -> Tensor:
    """For every pooled place in the windows the place of its maximum in the window below, U C hw, as one number."""
    import torch

    key = ("switches", step.makes[0])
    if key not in tape.notes:
        clean = tape.value(step.reads[0])
        indices = torch.ops.aten.max_pool2d_with_indices(clean, *how, step.argument("ceil_mode"))[1]
        tape.notes[key] = indices  # 1 C H W
    indices = tape.notes[key]
    margin = _margin(tape, step, window)
    own = windows.crop(tape, key, indices, (window.ys, window.xs), window.size, margin, -1)
    width = tape.shapes[step.reads[0]][-1]
    top, left = (torch.from_numpy(first).to(own.device).view(-1, 1, 1, 1) for first in firsts)
    y, x = own.div(width, rounding_mode="floor") - top, own.remainder(width) - left
    # Outside of the map nothing comes down: any place will do.
    return torch.where(own < 0, 0, y * size[1] + x).flatten(2)


def _spread(tape: Tape, step: Step, window: Window, data: Tensor, how: Any, size: Sequence[int]) -> Tensor:
    """Each value in equal shares over its window's places inside the map."""
    import torch

    kernel, stride, pads, dilation = how
    key = ("counts", step.makes[0])
    if key not in tape.notes:
        below, above = tape.shapes[step.reads[0]][-2:], tape.shapes[step.makes[0]][-2:]
        per_axis = []
        for axis in (0, 1):
            steps = torch.arange(above[axis], device=data.device)[:, None] * stride[axis] - pads[axis]
            seen = steps + torch.arange(kernel[axis], device=data.device) * dilation[axis]  # H k
            per_axis.append(((seen >= 0) & (seen < below[axis])).sum(1))
        tape.notes[key] = (per_axis[0][:, None] * per_axis[1]).to(data.dtype)[None, None]  # 1 1 H W
    counts = windows.crop(
        tape, key, tape.notes[key], (window.ys, window.xs), window.size, _margin(tape, step, window), 1
    )
    share = data / counts  # U C h w
    out = data.new_zeros(*data.shape[:2], *size)
    height, width = window.size
    for dy in range(0, kernel[0] * dilation[0], dilation[0]):
        for dx in range(0, kernel[1] * dilation[1], dilation[1]):
            rows = slice(dy, dy + (height - 1) * stride[0] + 1, stride[0])
            out[..., rows, dx : dx + (width - 1) * stride[1] + 1 : stride[1]] += share
    return out


def _add(tape: Tape, step: Step, signal: Signal) -> dict[int, Window] | None:
    if step.argument("alpha", 1) != 1 or any(tape.shapes[read] != tape.shapes[step.makes[0]] for read in step.reads):
        return None
    operands = [arg.value for arg in step.args[:2] if isinstance(arg, Ref)]
    if len(set(operands)) < len(operands):
        return None  # a value added to itself
    return dict.fromkeys(operands, signal.window)


def _concatenation(tape: Tape, step: Step, signal: Signal) -> dict[int, Window] | None:
    import torch

    parts = [arg.value for arg in step.args[0] if isinstance(arg, Ref)]
    if len(parts) != len(step.args[0]) or len(set(parts)) != len(parts) or len(tape.shapes[parts[0]]) != 4:
        return None
    if step.argument("dim", 0) % 4 != 1:
        return None
    pieces = torch.split(signal.window.data, [tape.shapes[part][1] for part in parts], 1)
    return {part: replace(signal.window, data=piece) for part, piece in zip(parts, pieces, strict=True)}


def _batch_norm(tape: Tape, step: Step, signal: Signal) -> dict[int, Window] | None:
    if step.argument("training"):
        return None
    scale = (step.argument("running_var") + step.argument("eps")).rsqrt()
    if step.argument("weight") is not None:
        scale = scale * step.argument("weight")
    return {step.reads[0]: replace(signal.window, data=signal.window.data * scale.view(-1, 1, 1))}


def _dense(tape: Tape, step: Step, signal: Signal) -> dict[int, Window] | None:
    if len(step.reads) != 1 or not isinstance(step.args[0], Ref):
        return None
    return {step.reads[0]: replace(signal.window, data=signal.window.data @ step.argument("weight"))}


_Handler = Callable[[Tape, Step, Signal], "dict[int, Window] | None"]
_HANDLERS: Mapping[str, _Handler] = {
    "relu": _relu,
    "conv2d": _convolution,
    "max_pool2d": _max_pool,
    "add": _add,
    "cat": _concatenation,
    "batch_norm": _batch_norm,
    "linear": _dense,
}


def _derivative(tape: Tape, step: Step, made: int, signal: Signal) -> dict[int, Window]:
    """The ordinary gradient of any operation, by torch's own derivative of it on whole maps."""
    import torch

    seed = windows.whole(tape, made, signal.window)
    count = len(seed.data)
    with torch.enable_grad():
        leaves = {}
        for read in step.reads:
            clean = tape.value(read).clone()  # out of inference mode
            if clean.is_floating_point():
                leaves[read] = clean.expand(count, *clean.shape[1:]).clone().requires_grad_()
        out = tapes.run_step(tape, step, leaves, leaves)[step.makes.index(made)]
        if not out.requires_grad:
            return {}  # detached, or whole numbers
        below = torch.autograd.grad(out, list(leaves.values()), seed.data.reshape(out.shape), allow_unused=True)
    handed = {}
    for read, gradient in zip(leaves, below, strict=True):
        if gradient is not None:
            zeros = seed.ys * 0
            handed[read] = Window(zeros, zeros, gradient)
    return handed


def _resolved(tape: Tape, step: Step) -> tuple[list[Any], dict[str, Any], Any]:
    """The arguments of a step with the clean values in their places, for the audit."""
    import torch

    def put(tree: Any) -> Any:
        if isinstance(tree, Ref):
            return tape.values[tree.value]
        return type(tree)(put(part) for part in tree) if isinstance(tree, list | tuple) else tree

    return [put(arg) for arg in step.args], {key: put(part) for key, part in step.kwargs.items()}, torch


def _margin(tape: Tape, step: Step, window: Window) -> tuple[int, int, int, int]:
    """How far windows on what a step made hang over the map: top, left, bottom, right."""
    height, width = tape.shapes[step.makes[0]][-2:]
    before = [max(0, -int(own.min())) for own in (window.ys, window.xs)]
    after = [
        max(0, int(own.max()) + n - length)
        for own, n, length in zip((window.ys, window.xs), window.size, (height, width), strict=True)
    ]
    return (before[0], before[1], after[0], after[1])


def _size(shape: Sequence[int]) -> int:
    import math

    return math.prod(shape)
