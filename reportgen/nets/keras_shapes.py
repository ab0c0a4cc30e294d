"""Keras layers that move numbers, join values or scale them, in operations of PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from reportgen.nets.keras_node import BACK, LAST, TURNED, Earlier, Made, Node, Part, Parts


def flatten(node: Node) -> Parts:
    """A vector in Keras' own order: y, x, channel, whatever the data format."""
    first = node.settings.get("data_format") == "channels_first"
    if first and node.last:
        raise node.unfit("its data format is not the net's")
    x: Any = node.x
    if node.rank == 4 and (node.last or first):
        yield Part("permute.default", {"self": x, "dims": list(TURNED)})  # N H W C
        x = LAST
    if node.rank > 2:
        yield Part("flatten.using_ints", {"self": x, "start_dim": 1})  # N D
    node.ranks.append(2)


def reshape(node: Node) -> Parts:
    """The values in another shape, in Keras' order of axes."""
    sides = list(node.settings["target_shape"])
    if not all(type(side) is int for side in sides):
        raise node.unfit("the sides of its shape are not numbers")
    yield Part("size.int", {"self": node.x, "dim": 0})
    x: Any = node.x
    if node.turned:
        yield Part("permute.default", {"self": x, "dims": list(TURNED)})  # N H W C
        x = LAST
    yield Part("reshape.default", {"self": x, "shape": [Earlier(0), *sides]})  # N ...
    node.ranks.append(len(sides) + 1)
    yield from _kept(node, len(sides) + 1)


def permute(node: Node) -> Parts:
    """Another order of axes."""
    order = [0, *(int(axis) for axis in node.settings["dims"])]
    if sorted(order) != list(range(node.rank)):
        raise node.damaged(f"its order of axes is {str(order)[:40]}")
    x: Any = node.x
    if node.turned:
        yield Part("permute.default", {"self": x, "dims": list(TURNED)})  # N H W C
        x = LAST
    yield Part("permute.default", {"self": x, "dims": order})  # as the layer has it
    yield from _kept(node, node.rank)


def _kept(node: Node, rank: int) -> Parts:
    if node.last and rank == 4:
        yield Part("permute.default", {"self": LAST, "dims": list(BACK)})  # N C H W


def zero_padding(node: Node) -> Parts:
    """Zeros around maps."""
    node.maps()
    (top, bottom), (left, right) = _sides(node, "padding")
    yield Part("constant_pad_nd.default", {"self": node.x, "pad": [left, right, top, bottom]})  # N C H W


def cropping(node: Node) -> Parts:
    """The middle of maps."""
    node.maps()
    x: Any = node.x
    for dim, (before, after) in zip((2, 3), _sides(node, "cropping"), strict=True):
        yield Part("slice.Tensor", {"self": x, "dim": dim, "start": before, "end": -after or None})  # N C H W
        x = LAST


def _sides(node: Node, name: str) -> tuple[tuple[int, int], tuple[int, int]]:
    """A setting such as 1, [1, 2] or [[0, 1], [0, 1]]: before and after, for y and x."""
    said = node.settings[name]
    both = [said, said] if isinstance(said, int) else list(said)
    found = [(side, side) if isinstance(side, int) else tuple(side) for side in both]
    if len(found) != 2 or any(len(pair) != 2 or not all(type(n) is int and n >= 0 for n in pair) for pair in found):
        raise node.damaged(f"its {name} is {str(said)[:40]}")
    return found[0], found[1]


def up_sampling(node: Node) -> Parts:
    """Maps made larger."""
    node.maps()
    how, size = node.settings.get("interpolation", "nearest"), [float(side) for side in node.pair("size", 2)]
    given: dict[str, Any] = {"input": node.x, "output_size": None, "scale_factors": size}
    if how not in ("nearest", "bilinear"):
        raise node.unfit(f"its interpolation is {str(how)[:40]!r}; nearest and bilinear are rebuilt")
    if how == "bilinear":
        given["align_corners"] = False
    yield Part(f"upsample_{how}2d.vec", given)  # N C H W


def concatenate(node: Node) -> Parts:
    """Values side by side."""
    axis = node.axis(node.settings.get("axis", -1))
    if len({made.rank for made in node.inputs}) > 1:
        raise node.unfit("its inputs have different numbers of axes")
    yield Part("cat.default", {"tensors": [made.value for made in node.inputs], "dim": axis})


def merged(name: str) -> Callable[[Node], Parts]:
    """Values joined one after another: a layer's list of them, or an operation's two, of which one may be a number."""

    def parts(node: Node) -> Parts:
        values = [*node.inputs, *(node.kwargs[key] for key in ("y", "x2") if key in node.kwargs)]
        if len(values) < 2 or len({value.rank for value in values if isinstance(value, Made)}) != 1:
            raise node.unfit("its inputs have different numbers of axes, or are too few")
        if not isinstance(values[0], Made) and name in ("add", "mul"):
            values.reverse()
        if not isinstance(values[0], Made):
            raise node.unfit("it takes a value of the net from a number, or divides one by it")
        node.ranks.append(values[0].rank)
        x: Any = values[0].value
        for other in values[1:]:
            if isinstance(other, Made):
                yield Part(_JOINING.get(name, f"{name}.Tensor"), {"self": x, "other": other.value})
            elif isinstance(other, int | float) and name in ("add", "sub", "mul", "div"):
                yield Part(f"{name}.Scalar", {"self": x, "other": float(other)})
            else:
                raise node.unfit("one of its inputs is no number and no value of the net")
            x = LAST

    return parts


_JOINING = {"maximum": "maximum.default", "minimum": "minimum.default"}


def average(node: Node) -> Parts:
    """The mean of values."""
    yield from merged("add")(node)
    yield Part("div.Scalar", {"self": LAST, "other": float(len(node.inputs))})


def rescaling(node: Node) -> Parts:
    """Every value times a number, and another added; or such numbers for each channel."""
    x: Any = node.x
    for name, target, idle in (("scale", "mul", 1.0), ("offset", "add", 0.0)):
        said = numbers(node, node.settings.get(name, idle))
        if len(said) == 1:
            if said[0] == idle:
                continue
            yield Part(f"{target}.Scalar", {"self": x, "other": said[0]})
        else:
            yield Part(f"{target}.Tensor", {"self": x, "other": _by_channel(node, name, said)})
        x = LAST


def normalization(node: Node) -> Parts:
    """Values less a mean, divided by a deviation, both of the file."""
    mean, deviation = mean_and_deviation(node)
    x: Any = node.x
    for target, name, said in (("sub", "mean", mean), ("div", "deviation", deviation)):
        if len(said) == 1:
            yield Part(f"{target}.Scalar", {"self": x, "other": said[0]})
        else:
            yield Part(f"{target}.Tensor", {"self": x, "other": _by_channel(node, name, said)})
        x = LAST


def mean_and_deviation(node: Node) -> tuple[list[float], list[float]]:
    """What a layer Normalization takes off and divides by."""
    axis = node.settings.get("axis", -1)
    axes = [] if axis is None else axis if isinstance(axis, list) else [axis]
    if node.settings.get("invert") or any(node.rank and axis % node.rank != node.rank - 1 for axis in axes):
        raise node.unfit("it is inverted, or has means for other axes than the last")
    said = [node.settings.get(name) for name in ("mean", "variance")]
    if None in said:
        said = [node.arrays[name].reshape(-1).tolist() for name in ("mean", "variance")]
    mean, variance = (numbers(node, part) for part in said)
    return mean, [max(max(part, 0.0) ** 0.5, 1e-7) for part in variance]


def numbers(node: Node, said: Any) -> list[float]:
    """A number, or a list of them however deep, as a list."""
    if isinstance(said, Mapping) and said.get("class_name") == "__numpy__":
        said = said["config"]["value"]
    if isinstance(said, list):
        return [number for part in said for number in numbers(node, part)]
    if isinstance(said, bool) or not isinstance(said, int | float):
        raise node.unfit(f"a setting is {str(said)[:40]!r}, which is no number")
    return [float(said)]


def _by_channel(node: Node, name: str, said: list[float]) -> Any:
    import numpy as np

    if node.rank == 4 and not node.last:
        raise node.unfit("it has a number for each column of a channels_first net")
    shape = (-1, 1, 1) if node.turned else (-1,)
    return node.weight(name, np.asarray(said, dtype=np.float32).reshape(shape), trained=False)
