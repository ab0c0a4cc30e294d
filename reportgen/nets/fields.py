"""Where the positions of a tensor look: receptive field, stride and start, and how one operation changes them.

Position p of a map sees the input pixels start + p * stride ... start + p * stride + size - 1, for y and x apart.
Where that cannot be said exactly, the answer is "the whole picture" (size None), never a number that may be wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

Pair = tuple[int, int]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Grid:
    """The positions of one tensor: which of its axes are y and x, and what each position sees."""

    axes: Pair | None  # None: the tensor has no positions any more
    stride: Pair | None = None
    start: Pair | None = None  # with size: None means that every position sees the whole picture
    size: Pair | None = None


NOWHERE = Grid(axes=None)


def blind(grid: Grid) -> Grid:
    """The same positions, each now seeing the whole picture (after a normalisation over the map, say)."""
    return replace(grid, start=None, size=None)


def window(grid: Grid, kernel: Sequence[int], stride: Sequence[int], pad: Sequence[int], step: Sequence[int]) -> Grid:
    """The positions of a convolution's or a pooling's output; `step` is the dilation."""
    if grid.stride is None:
        return NOWHERE
    strides = (grid.stride[0] * stride[0], grid.stride[1] * stride[1])
    if grid.start is None or grid.size is None:
        return replace(grid, stride=strides)
    (b0, b1), (s0, s1), (j0, j1) = grid.start, grid.size, grid.stride
    start = (b0 - pad[0] * j0, b1 - pad[1] * j1)
    size = (s0 + (kernel[0] - 1) * step[0] * j0, s1 + (kernel[1] - 1) * step[1] * j1)
    return replace(grid, stride=strides, start=start, size=size)


def spread(grid: Grid, kernel: Sequence[int], stride: Sequence[int], pad: Sequence[int], step: Sequence[int]) -> Grid:
    """The positions of a transposed convolution's output, `stride` times as dense; gone where that is no whole step.

    Its positions see less in turns: with stride 2, every other one begins half a step of the input later. What is said
    is what none of them sees beyond, the same for all, and its middle is where a symmetric kernel has its centre.
    """
    if grid.stride is None or any(j % s for j, s in zip(grid.stride, stride, strict=True)):
        return NOWHERE
    j0, j1 = (j // s for j, s in zip(grid.stride, stride, strict=True))
    if grid.start is None or grid.size is None:
        return replace(grid, stride=(j0, j1))
    reach = [(k - 1) * d for k, d in zip(kernel, step, strict=True)]
    start = (grid.start[0] + (pad[0] - reach[0]) * j0, grid.start[1] + (pad[1] - reach[1]) * j1)
    return replace(
        grid, stride=(j0, j1), start=start, size=(grid.size[0] + reach[0] * j0, grid.size[1] + reach[1] * j1)
    )


def union(grids: Sequence[Grid]) -> Grid:
    """The positions of a sum, product or concatenation: each sees what any of its parts sees."""
    first = grids[0]
    if any(grid.axes != first.axes or grid.stride != first.stride for grid in grids):
        return NOWHERE
    starts = [grid.start for grid in grids if grid.start is not None]
    sizes = [grid.size for grid in grids if grid.size is not None]
    if len(starts) < len(grids) or len(sizes) < len(grids):
        return blind(first)
    start = (min(s[0] for s in starts), min(s[1] for s in starts))
    ends = [(s[0] + n[0], s[1] + n[1]) for s, n in zip(starts, sizes, strict=True)]
    size = (max(e[0] for e in ends) - start[0], max(e[1] for e in ends) - start[1])
    return replace(first, start=start, size=size)


def shifted(grid: Grid, offset: Pair, every: Pair = (1, 1)) -> Grid:
    """The positions left by a crop that begins at `offset` (negative: padding) and keeps `every` n-th of them."""
    if grid.stride is None:
        return NOWHERE
    strides = (grid.stride[0] * every[0], grid.stride[1] * every[1])
    if grid.start is None:
        return replace(grid, stride=strides)
    start = (grid.start[0] + offset[0] * grid.stride[0], grid.start[1] + offset[1] * grid.stride[1])
    return replace(grid, stride=strides, start=start)


def permuted(grid: Grid, order: Sequence[int]) -> Grid:
    """The positions after the axes were put in a new order."""
    if grid.axes is None:
        return NOWHERE
    return replace(grid, axes=(order.index(grid.axes[0]), order.index(grid.axes[1])))


def reshaped(grid: Grid, old: Shape, new: Shape) -> Grid:
    """The positions after a view: kept where y and x stay axes of their own, else gone."""
    if grid.axes is None:
        return NOWHERE
    places = [_same_axis(axis, old, new) for axis in grid.axes]
    if places[0] is None or places[1] is None or places[0] == places[1]:
        return NOWHERE
    return replace(grid, axes=(places[0], places[1]))


def broadcast(grid: Grid, old: Shape, new: Shape) -> Grid:
    """The positions after broadcasting to a larger shape, aligned at the last axis."""
    if grid.axes is None:
        return NOWHERE
    more = len(new) - len(old)
    y, x = (axis + more for axis in grid.axes)
    if (new[y], new[x]) != (old[y - more], old[x - more]):
        return NOWHERE
    return replace(grid, axes=(y, x))


def reduced(grid: Grid, axes: Sequence[int], keep: bool) -> Grid:
    """The positions after a mean, sum or maximum over some axes: gone with y or x."""
    if grid.axes is None or set(axes) & set(grid.axes):
        return NOWHERE
    if keep:
        return grid
    y, x = (axis - sum(gone < axis for gone in axes) for axis in grid.axes)
    return replace(grid, axes=(y, x))


def _same_axis(axis: int, old: Shape, new: Shape) -> int | None:
    before = math.prod(old[:axis])
    if old[axis] == 1:
        return None  # an axis of length 1 could be any
    return next((i for i, n in enumerate(new) if n == old[axis] and math.prod(new[:i]) == before), None)
