"""A Keras net's operations made shorter where that changes no value: padding before pools."""

from __future__ import annotations

from dataclasses import replace

from reportgen.nets.program import Operation, Value, named


def with_padded_pools(operations: list[Operation]) -> list[Operation]:
    """The operations, with zeros around a map that only a max pool reads as the pool's own padding.

    Keras' max pools have no padding of their own, so its ResNets pad a rectified map with zeros. None of them is larger
    than what is there, but with switches a window of nothing but zeros would send its value out of the picture.
    """
    made = {op.makes[0]: op for op in operations}
    readers: dict[str, int] = {}
    for op in operations:
        for name in named(op.args, Value):
            readers[name] = readers.get(name, 0) + 1
    found = []
    for op in operations:
        pad = made.get(op.args[0].name) if op.target == "max_pool2d.default" else None
        alone = pad is not None and readers[pad.makes[0]] == 1
        found.append(_joined(op, pad, made) if pad is not None and alone else op)
    return found


def _joined(pool: Operation, pad: Operation, made: dict[str, Operation]) -> Operation:
    if pad.target != "constant_pad_nd.default" or not isinstance(pad.args[0], Value) or pool.args[3] not in (0, [0, 0]):
        return pool
    before, (left, right, top, bottom), kernel = made.get(pad.args[0].name), pad.args[1], pool.args[1]
    fits = (left, top) == (right, bottom) and 2 * top <= kernel[0] and 2 * left <= kernel[1]
    if not fits or before is None or before.target not in ("relu.default", "relu6.default"):
        return pool
    return replace(pool, args=(pad.args[0], *pool.args[1:3], [top, left], *pool.args[4:]))
