"""Passes over pictures that differ from a recorded one inside small windows: only what a window can change is run.

Each position has its own window; in a layer it grows to what its operation lets it reach. All positions' windows of
a value have one size, so that they go through the net as one batch. Once a window covers most of its map, the whole
map is filled in and the rest of the net runs as usual. The result is that of a full pass, up to rounding: a recomputed
value is computed from the same numbers by the same operators.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from reportgen import tape as tapes
from reportgen.tape import Ref, Step, Tape
from reportgen.windows import Window, cut, pair

if TYPE_CHECKING:
    from torch import Tensor

COVERED = 0.6  # of a map's area: from here on the rest of the net is cheaper as a whole
CHUNK = 24  # positions at once; below 16 PyTorch has slower convolutions on a CPU
# Operations along the channels: positions stay where they are.
CHANNELWISE = frozenset({"select", "slice", "unsqueeze"})
ALONE = frozenset({"batch_norm", "contiguous", "clone", "detach", "alias"})  # every place by itself


def changed(tape: Tape, corners: Sequence[tuple[int, int]], patch: Tensor, want: Collection[int]) -> dict[int, Tensor]:
    """The wanted values of the picture with `patch` (C h w, or B C h w) laid at each corner (y, x): N = B."""
    import numpy as np
    import torch

    places = np.asarray(corners, dtype=np.int64)
    with torch.inference_mode():
        data = patch.expand(len(places), *patch.shape[-3:]).clone(memory_format=torch.channels_last)
        windows: dict[int, Window] = {0: Window(places[:, 0], places[:, 1], data)}
        whole: dict[int, Tensor] = {}
        last = tapes.last_reads(tape, want)
        for number, step in enumerate(tape.steps):
            if not any(read in windows or read in whole for read in step.reads):
                continue
            made = None if any(read in whole for read in step.reads) else _run(tape, step, windows, want)
            if made is not None and _covers(tape, step.makes[0], made):
                whole[step.makes[0]] = fill(tape, step.makes[0], made)
            elif made is not None:
                windows[step.makes[0]] = made
            else:
                full = {read: whole.get(read, _filled(tape, read, windows)) for read in step.reads}
                known = {read: value for read, value in full.items() if value is not None}
                for new, tensor in zip(step.makes, tapes.run_step(tape, step, known, want), strict=True):
                    whole[new] = tensor
            for read in step.reads:
                if last[read] <= number:
                    windows.pop(read, None)
                    whole.pop(read, None)
        return {number: _wanted(tape, number, windows, whole) for number in want}


def chunks(corners: Sequence[tuple[int, int]], size: int) -> Iterator[Sequence[tuple[int, int]]]:
    """The corners in equal pieces of `size` or a few more: PyTorch's quick convolutions begin at batches of 16."""
    pieces = max(1, len(corners) // size)
    edges = [len(corners) * piece // pieces for piece in range(pieces + 1)]
    for start, end in pairwise(edges):
        yield corners[start:end]


def fill(tape: Tape, number: int, window: Window) -> Tensor:
    """The whole value of every position: the clean map with the windows laid over it, B C H W."""
    import torch

    clean = tape.value(number)
    out = torch.empty(
        (len(window.ys), *clean.shape[1:]), dtype=clean.dtype, device=clean.device, memory_format=torch.channels_last
    ) if clean.ndim == 4 else clean.new_empty((len(window.ys), *clean.shape[1:]))  # fmt: skip
    out.copy_(clean.expand_as(out))
    height, width = window.size
    for b, (y, x) in enumerate(zip(window.ys.tolist(), window.xs.tolist(), strict=True)):
        out[b, ..., y : y + height, x : x + width] = window.data[b]
    return out


def _filled(tape: Tape, number: int, windows: Mapping[int, Window]) -> Tensor | None:
    return fill(tape, number, windows[number]) if number in windows else None


def _wanted(tape: Tape, number: int, windows: Mapping[int, Window], whole: Mapping[int, Tensor]) -> Tensor:
    if number in whole:
        return whole[number]
    return fill(tape, number, windows[number]) if number in windows else tape.value(number)


def _covers(tape: Tape, number: int, window: Window) -> bool:
    height, width = tape.shapes[number][-2:]
    return tape.values[number] is not None and window.size[0] * window.size[1] >= COVERED * height * width


# ------------------------------------------------------------------------------------------- one operation on windows


def _run(tape: Tape, step: Step, windows: Mapping[int, Window], keep: Collection[int]) -> Window | None:
    """What an operation makes of windows, or None where it has to see whole maps."""
    if len(step.makes) != 1:
        return None
    if step.name == "conv2d":
        return _convolution(tape, step, windows)
    if step.name in ("max_pool2d", "avg_pool2d"):
        return _pooling(tape, step, windows)
    if step.name == "cat" or step.pointwise:
        return _aligned(tape, step, windows, keep)
    if step.name in ALONE or (step.name in CHANNELWISE and _spares_map(tape, step)):
        return _alone(step, windows, keep)
    return None


def _convolution(tape: Tape, step: Step, windows: Mapping[int, Window]) -> Window | None:
    from torch.nn import functional

    padding, kernel = step.argument("padding"), step.argument("weight").shape[-2:]
    if not isinstance(step.args[0], Ref) or isinstance(padding, str) or len(step.reads) != 1:
        return None
    stride, dilation = pair(step.argument("stride")), pair(step.argument("dilation"))
    weight, bias, groups = step.argument("weight"), step.argument("bias"), step.argument("groups")
    reach = _Reach(tuple(kernel), stride, pair(padding), dilation)
    return _slide(
        tape, step, windows, reach, 0.0, lambda x: functional.conv2d(x, weight, bias, stride, 0, dilation, groups)
    )


def _pooling(tape: Tape, step: Step, windows: Mapping[int, Window]) -> Window | None:
    from torch.nn import functional

    kernel = pair(step.argument("kernel_size"))
    stride = pair(step.argument("stride") or kernel)
    padding = pair(step.argument("padding"))
    if step.name == "max_pool2d":
        dilation = pair(step.argument("dilation"))
        reach = _Reach(kernel, stride, padding, dilation)
        lowest = float("-inf")
        return _slide(
            tape, step, windows, reach, lowest, lambda x: functional.max_pool2d(x, kernel, stride, 0, dilation)
        )
    reach = _Reach(kernel, stride, padding, (1, 1))
    if any(padding) or any(_overhang(tape, step, reach)) or step.argument("divisor_override") is not None:
        return None  # windows at the border would have other divisors
    return _slide(tape, step, windows, reach, 0.0, lambda x: functional.avg_pool2d(x, kernel, stride))


def _aligned(tape: Tape, step: Step, windows: Mapping[int, Window], keep: Collection[int]) -> Window | None:
    """A sum, product or concatenation over the channels: all operands brought to one window."""
    import numpy as np

    shape = tape.shapes[step.makes[0]]
    if any(tape.shapes[read][-2:] != shape[-2:] for read in step.reads):
        return None  # something is stretched over the map, such as a gate
    if step.name == "cat" and step.argument("dim", 0) % len(shape) >= len(shape) - 2:
        return None
    if any(_spread_out(arg) for arg in step.args):
        return None
    own = [windows[read] for read in step.reads if read in windows]
    edges = []
    for axis, length in zip((0, 1), shape[-2:], strict=True):
        starts = np.minimum.reduce([(w.ys, w.xs)[axis] for w in own])
        ends = np.maximum.reduce([(w.ys, w.xs)[axis] + w.size[axis] for w in own])
        size = int((ends - starts).max())
        edges.append((np.minimum(starts, length - size), size))
    (ys, height), (xs, width) = edges
    parts = {read: cut(tape, read, windows.get(read), (ys, xs), (height, width)) for read in step.reads}
    return Window(ys, xs, _call(step, parts, keep))


def _alone(step: Step, windows: Mapping[int, Window], keep: Collection[int]) -> Window | None:
    """An operation that does to every position the same, whatever its neighbours are."""
    window = windows[step.reads[0]]
    return replace(window, data=_call(step, {step.reads[0]: window.data}, keep))


def _call(step: Step, parts: Mapping[int, Tensor], keep: Collection[int]) -> Tensor:
    def put(tree: Any) -> Any:
        if isinstance(tree, Ref):
            return parts[tree.value]
        return type(tree)(put(part) for part in tree) if isinstance(tree, list | tuple) else tree

    args = [put(arg) for arg in step.args]
    if step.in_place and step.args[0].value in keep:  # else nobody reads the overwritten value afterwards
        args[0] = args[0].clone()
    made: Tensor = step.func(*args, **{key: put(part) for key, part in step.kwargs.items()})
    return made


def _spares_map(tape: Tape, step: Step) -> bool:
    axes = len(tape.shapes[step.reads[0]]) + (step.name == "unsqueeze")
    return bool(0 < step.argument("dim", 0) % axes < axes - 2)


def _spread_out(arg: Any) -> bool:
    """Whether a constant operand has numbers of its own for every place of a map."""
    shape = tuple(getattr(arg, "shape", ()))
    return any(length > 1 for length in shape[-2:])


# ------------------------------------------------------------------------------------------------------ sliding windows


@dataclass(frozen=True)
class _Reach:
    """What a sliding operation sees, for y and x: kernel, stride, padding before, dilation."""

    kernel: tuple[int, ...]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]

    def span(self, axis: int) -> int:
        return (self.kernel[axis] - 1) * self.dilation[axis] + 1


def _slide(
    tape: Tape,
    step: Step,
    windows: Mapping[int, Window],
    reach: _Reach,
    outside: float,
    run: Callable[[Tensor], Tensor],
) -> Window | None:
    """The windows after a sliding operation; `run` is the operation without padding, `outside` what padding holds."""
    import numpy as np

    read = step.reads[0]
    window = windows[read]
    starts, sizes, firsts, lengths = [], [], [], []
    for axis, own in enumerate((window.ys, window.xs)):
        span, stride, pad = reach.span(axis), reach.stride[axis], reach.padding[axis]
        room = tape.shapes[step.makes[0]][axis - 2]
        size = min((window.size[axis] - 1 + span - 1) // stride + 1, room)
        first = -((span - 1 - own - pad) // stride)  # the first output that sees the window's first row
        first = np.clip(first, 0, room - size)  # moved inwards it still covers all that changes
        starts.append(first)
        sizes.append(size)
        firsts.append(first * stride - pad)
        lengths.append((size - 1) * stride + span)
    margin = (*reach.padding, *_overhang(tape, step, reach))
    data = cut(tape, read, window, (firsts[0], firsts[1]), (lengths[0], lengths[1]), margin, outside)
    return Window(starts[0], starts[1], run(data))


def _overhang(tape: Tape, step: Step, reach: _Reach) -> tuple[int, int]:
    """How far the last windows reach beyond the map (in ceil mode even without padding)."""
    found = []
    for axis in (0, 1):
        inner, outer = tape.shapes[step.reads[0]][axis - 2], tape.shapes[step.makes[0]][axis - 2]
        found.append(max(0, (outer - 1) * reach.stride[axis] - reach.padding[axis] + reach.span(axis) - inner))
    return found[0], found[1]
