"""Values inside one window per position or unit: cut out of whole maps, laid over them, added up.

All windows of a value have one size, so that they go through the net as one batch, whichever way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from reportgen.tape import Tape

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    Starts = NDArray[np.int64]  # B: where each position's window begins


@dataclass(frozen=True, eq=False)
class Window:
    """A value that differs from the clean one inside one window per position."""

    ys: Starts
    xs: Starts
    data: Tensor  # B C h w, what the window holds

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the windows."""
        return int(self.data.shape[-2]), int(self.data.shape[-1])


def pair(value: Any) -> tuple[int, int]:
    """A kernel, stride or padding for y and x: one number stands for both, as in torch."""
    values = [value] * 2 if isinstance(value, int) else list(value)
    return (int(values[0]), int(values[-1]))


# ------------------------------------------------------------------------------------------------ out of whole maps


def cut(
    tape: Tape,
    number: int,
    window: Window | None,
    firsts: tuple[Starts, Starts],
    size: tuple[int, int],
    margin: tuple[int, int, int, int] = (0, 0, 0, 0),
    outside: float = 0.0,
) -> Tensor:
    """A value inside other windows (B C h w): the clean value, with what has changed laid over it.

    Windows may begin `margin` (top, left; bottom, right) outside of the map, where the value is `outside`.
    """
    import numpy as np

    same = window is not None and window.size == size and not any(margin)
    if window is not None and same and np.array_equal((window.ys, window.xs), firsts):
        return window.data
    rows, width = _rows(tape, number, tape.value, margin, outside)
    count = len(firsts[0])
    ys = firsts[0][:, None] + np.arange(size[0])  # B h
    xs = firsts[1][:, None] + np.arange(size[1])  # B w
    out = rows.index_select(0, _index(_flat(ys, xs, margin, width), rows))  # Bhw C
    if window is not None:
        height, breadth = window.size
        sy, sx = ys - window.ys[:, None], xs - window.xs[:, None]
        inside = ((sy >= 0) & (sy < height))[:, :, None] & ((sx >= 0) & (sx < breadth))[:, None, :]  # B h w
        source = (np.arange(count)[:, None, None] * height + sy[:, :, None]) * breadth + sx[:, None, :]
        changed_rows = window.data.reshape(count, -1, *window.size).permute(0, 2, 3, 1).reshape(-1, rows.shape[1])
        there = np.flatnonzero(inside)
        out.index_copy_(0, _index(there, rows), changed_rows.index_select(0, _index(source[inside], rows)))
    middle = tape.shapes[number][1:-2]
    data = out.view(count, *size, -1).permute(0, 3, 1, 2)  # B C h w, channels last
    return data if len(middle) == 1 else data.reshape(count, *middle, *size)


def crop(
    tape: Tape,
    key: Any,
    maps: Tensor,
    firsts: tuple[Starts, Starts],
    size: tuple[int, int],
    margin: tuple[int, int, int, int],
    outside: float,
) -> Tensor:
    """Windows of maps that belong to the tape under a key (1 C H W), B C h w, as `cut` does for values."""
    import numpy as np

    rows, width = _rows(tape, key, lambda _: maps, margin, outside)
    ys, xs = (first[:, None] + np.arange(length) for first, length in zip(firsts, size, strict=True))  # B h, B w
    out = rows.index_select(0, _index(_flat(ys, xs, margin, width), rows))  # Bhw C
    return out.view(len(ys), *size, -1).permute(0, 3, 1, 2)  # B C h w


def _flat(
    ys: NDArray[np.int64], xs: NDArray[np.int64], margin: tuple[int, int, int, int], width: int
) -> NDArray[np.int64]:
    """The number of each place (B h w) in maps with a margin, line by line."""
    places: NDArray[np.int64] = (ys[:, :, None] + margin[0]) * width + (xs[:, None, :] + margin[1])
    return places


def _rows(
    tape: Tape, key: Any, maps_of: Callable[[Any], Tensor], margin: tuple[int, int, int, int], outside: float
) -> tuple[Tensor, int]:
    """Maps as one row of channels per place (HW C), with their margin, and the places per line; kept with the tape."""
    from torch.nn import functional

    known = ("rows", key, margin, outside)
    if known not in tape.notes:
        clean = maps_of(key)
        maps = clean.reshape(1, -1, *clean.shape[-2:])  # 1 C H W
        top, left, bottom, right = margin
        if any(margin):
            maps = functional.pad(maps, (left, right, top, bottom), value=outside)
        rows = maps[0].permute(1, 2, 0).reshape(-1, maps.shape[1]).contiguous()  # HW C
        tape.notes[known] = (rows, maps.shape[-1])
    found: tuple[Tensor, int] = tape.notes[known]
    return found


def _index(places: NDArray[np.int64], like: Tensor) -> Tensor:
    import numpy as np
    import torch

    return torch.from_numpy(np.ascontiguousarray(places.reshape(-1))).to(like.device)


# ----------------------------------------------------------------------------------------------- from window to window


def fitted(tape: Tape, number: int, window: Window) -> Window:
    """The windows as they may travel on: whole once they are as large as the map, and zero outside of it."""
    import numpy as np
    import torch

    shape = tape.shapes[number]
    if len(shape) != 4 or window.data.ndim != 4:
        return window
    if window.size[0] >= shape[-2] or window.size[1] >= shape[-1]:
        return whole(tape, number, window)
    inside = []
    for own, size, length in zip((window.ys, window.xs), window.size, shape[-2:], strict=True):
        places = own[:, None] + np.arange(size)  # U h
        inside.append((places >= 0) & (places < length))
    if inside[0].all() and inside[1].all():
        return window
    mask = torch.from_numpy(inside[0][:, :, None] & inside[1][:, None, :]).to(window.data.device)  # U h w
    count = len(window.ys)
    data = window.data.view(-1, count, *window.data.shape[1:]) * mask[:, None]  # R U C h w
    return replace(window, data=data.flatten(0, 1))


def whole(tape: Tape, number: int, window: Window) -> Window:
    """The same signal on the whole map; what hung over it is dropped."""
    shape = tape.shapes[number]
    zeros = window.ys * 0
    if window.data.shape[1:] == shape[1:] and not window.ys.any() and not window.xs.any():
        return window
    if len(shape) != 4:
        return replace(window, data=window.data.reshape(-1, *shape[1:]))
    return Window(zeros, zeros, placed(window, (zeros, zeros), (shape[-2], shape[-1])))


def placed(window: Window, firsts: tuple[Any, Any], size: tuple[int, int]) -> Tensor:
    """The data inside other windows of one size (.. C h w); zero where there was none."""
    count = len(window.ys)
    out = window.data.new_zeros(*window.data.shape[:-2], *size)
    by_unit, from_unit = (data.view(-1, count, *data.shape[1:]) for data in (out, window.data))  # R U C h w
    for u in range(count):
        here, there = [], []
        for own, first, have, want in zip((window.ys, window.xs), firsts, window.size, size, strict=True):
            begin, end = max(int(own[u]), int(first[u])), min(int(own[u]) + have, int(first[u]) + want)
            there.append(slice(begin - int(own[u]), max(begin, end) - int(own[u])))
            here.append(slice(begin - int(first[u]), max(begin, end) - int(first[u])))
        by_unit[:, u, :, here[0], here[1]] = from_unit[:, u, :, there[0], there[1]]
    return out


def added(one: Window, other: Window) -> Window:
    """Two signals on the same value added up, in windows that hold both."""
    import numpy as np

    if one.data.ndim != 4:
        return replace(one, data=one.data + other.data)
    if one.size == other.size and np.array_equal(one.ys, other.ys) and np.array_equal(one.xs, other.xs):
        return replace(one, data=one.data + other.data)
    firsts, size = [], []
    for axis in (0, 1):
        a, b = (one.ys, one.xs)[axis], (other.ys, other.xs)[axis]
        first = np.minimum(a, b)
        firsts.append(first)
        size.append(int((np.maximum(a + one.size[axis], b + other.size[axis]) - first).max()))
    total = (size[0], size[1])
    data = placed(one, (firsts[0], firsts[1]), total) + placed(other, (firsts[0], firsts[1]), total)
    return Window(firsts[0], firsts[1], data)


def joined(parts: Sequence[Window]) -> Window:
    """The windows of several batches as one."""
    import numpy as np
    import torch

    return Window(
        np.concatenate([part.ys for part in parts]),
        np.concatenate([part.xs for part in parts]),
        torch.cat([part.data for part in parts]),
    )
