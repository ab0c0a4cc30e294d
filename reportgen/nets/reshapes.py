"""What operations that only move numbers (views, slices, concatenations, padding) do to positions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reportgen.nets import fields
from reportgen.nets.fields import NOWHERE
from reportgen.nets.values import Args, Effect, Look

if TYPE_CHECKING:
    from torch import Tensor


def same(args: Args, look: Look, _: Any) -> Effect:
    """A copy: clone, contiguous, dropout at rest, a change of number type."""
    node = look(args.get("self", args.get("input")))
    return Effect(node.grid if node else NOWHERE, "same")


def view(args: Args, look: Look, out: Tensor) -> Effect:
    """A change of shape: view, reshape, flatten, squeeze."""
    node = look(args["self"])
    return Effect(fields.reshaped(node.grid, node.shape, tuple(out.shape)) if node else NOWHERE, "same")


def permutation(args: Args, look: Look, out: Tensor) -> Effect:
    """A change of the order of axes."""
    node = look(args["self"])
    if node is None:
        return Effect(NOWHERE)
    order = [axis % out.ndim for axis in args.get("dims", range(out.ndim))]
    if args["name"] in ("transpose", "t"):
        one, two = (args["dim0"] % out.ndim, args["dim1"] % out.ndim) if "dim0" in args else (0, out.ndim - 1)
        order[one], order[two] = order[two], order[one]
    return Effect(fields.permuted(node.grid, order), "same")


def expansion(args: Args, look: Look, out: Tensor) -> Effect:
    """Broadcasting made explicit."""
    node = look(args["self"])
    return Effect(fields.broadcast(node.grid, node.shape, tuple(out.shape)) if node else NOWHERE)


def selection(args: Args, look: Look, out: Any) -> Effect:
    """One index of an axis, a slice of it, or its pieces."""
    x, node = args["self"], look(args["self"])
    if node is None or node.grid.axes is None:
        return Effect(NOWHERE)
    axis = args.get("dim", 0) % x.ndim
    if args["name"] in ("select", "unbind"):
        return Effect(fields.reduced(node.grid, [axis], keep=False))
    if axis not in node.grid.axes:
        return Effect(node.grid)
    if args["name"] != "slice":
        return Effect(NOWHERE)  # pieces of a map
    begin, step = int(args["start"] or 0), int(args["step"])
    begin = begin + x.shape[axis] if begin < 0 else begin
    along_y = axis == node.grid.axes[0]
    offset, every = ((begin, 0), (step, 1)) if along_y else ((0, begin), (1, step))
    return Effect(fields.shifted(node.grid, offset, every))


def padding(args: Args, look: Look, _: Any) -> Effect:
    """Padding with a constant moves the positions; the list runs from the last axis, two numbers each."""
    x, node = args["self"], look(args["self"])
    if node is None or node.grid.axes is None:
        return Effect(NOWHERE)
    pads = list(args["pad"])
    before = [pads[2 * (x.ndim - 1 - axis)] if 2 * (x.ndim - 1 - axis) < len(pads) else 0 for axis in range(x.ndim)]
    y, x_axis = node.grid.axes
    return Effect(fields.shifted(node.grid, (-before[y], -before[x_axis])))


def concatenation(args: Args, look: Look, out: Tensor) -> Effect:
    """A concatenation: over channels each position sees what any part sees; over y or x positions are lost."""
    nodes = [node for tensor in args["tensors"] if (node := look(tensor)) is not None]
    axis = args["dim"] % out.ndim
    grids = [node.grid for node in nodes]
    if args["name"] == "stack":
        grids = [fields.reshaped(n.grid, n.shape, (*n.shape[:axis], 1, *n.shape[axis:])) for n in nodes]
    joined = fields.union(grids)
    return Effect(NOWHERE if joined.axes is None or axis in joined.axes else joined)
