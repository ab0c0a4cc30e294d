"""Layers, stages and aliases of a traced net.

A stage is the last value at its stride that every path from the input to the logits goes through (a dominator of the
output), before the first global or adaptive pooling. It is named after the module that returned it: of several, the
outermost that made it and made no other stage (`layer1`, not `layer1.2.relu`; `features.12`, not `features`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from reportgen import hooks
from reportgen.nets.fields import Grid
from reportgen.nets.trace import Call, Graph
from reportgen.nets.values import Node
from reportgen.records import Layer

_RESERVED = re.compile(r"stage\d+|first_conv|last_conv|penultimate|logits")


def layers(graph: Graph) -> tuple[Layer, ...]:
    """What every module returned, in the order in which it was computed."""
    names = call_names(graph.calls)
    found = [
        _layer(name, call.kind, graph.nodes[call.node], call.parameters, call.flops)
        for name, call in zip(names, graph.calls, strict=True)
    ]
    for name, node in {_locate(graph, node) for node in (_fed(graph), graph.output) if node is not None}:
        if name not in names:  # an alias needs it, and no module returned it
            found.append(_layer(name, "Value", graph.nodes[node], 0, 0))
    return tuple(found)


def stages(graph: Graph) -> dict[str, str]:
    """The layer of each stage the net has, by ascending stride."""
    names, last = call_names(graph.calls), _stage_nodes(graph)
    return {f"stage{level}": names[_outermost(graph, last[level], last.values())] for level in sorted(last)}


def aliases(graph: Graph) -> dict[str, str]:
    """The layers of `first_conv`, `last_conv`, `penultimate` and `logits`.

    `last_conv` is the value of the last convolution of the map, after the branches beside it have joined: the layer
    class activation maps are made from. `penultimate` is what the last layer with weights is given.
    """
    names = call_names(graph.calls)
    maps = [_is_map(graph.nodes[call.node]) for call in graph.calls]
    convs = [i for i, call in enumerate(graph.calls) if maps[i] and graph.nodes[call.node].kind == "conv"]
    found: dict[str, str] = {}
    if convs:
        found["first_conv"] = names[convs[0]]
        found["last_conv"] = names[_joined(graph, graph.calls[convs[-1]].node)]
    fed = _fed(graph)
    if fed is not None:
        found["penultimate"] = _locate(graph, fed)[0]
    found["logits"] = _locate(graph, graph.output)[0]
    return found


def ends_in_global_pooling(graph: Graph) -> bool:
    """Whether the logits are one dense layer of a global average (what class activation mapping needs)."""
    logits = graph.nodes[_same(graph, graph.output)[0]]
    if logits.kind != "dense":
        return False
    return graph.nodes[_same(graph, logits.parents[0])[0]].kind == "global_pool"


def is_rectified(graph: Graph) -> bool:
    """Whether the net rectifies (ReLU) and has no other activation function, gates included; ReLU6 is another."""
    kinds = {node.kind for node in graph.nodes if node.id != graph.output}
    return "rectify" in kinds and "activation" not in kinds


def dominators(graph: Graph) -> tuple[int, ...]:
    """The values every path from the input to the output goes through, in the order of computation."""
    above: dict[int, int] = {0: 0}  # the nearest value that all paths to this one go through
    for node in graph.nodes[1 : graph.output + 1]:
        meeting = node.parents[0]
        for parent in node.parents[1:]:
            meeting = _meet(meeting, parent, above)
        above[node.id] = meeting
    chain = [graph.output]
    while chain[-1]:
        chain.append(above[chain[-1]])
    return tuple(reversed(chain))


def call_names(calls: Sequence[Call]) -> tuple[str, ...]:
    """The layer name of each call: the module's path for its last call, path#1, path#2 ... for those before.

    A module that is called like a stage or an alias (ShuffleNet has a `stage2`) keeps its number.
    """
    total: Mapping[str, int] = {call.path: call.number for call in calls}  # later calls overwrite earlier ones
    plain = [c.number == total[c.path] and not _RESERVED.fullmatch(c.path) for c in calls]
    return tuple(c.path if alone else f"{c.path}#{c.number}" for c, alone in zip(calls, plain, strict=True))


# ------------------------------------------------------------------------------------------------------- the works


def _meet(one: int, other: int, above: Mapping[int, int]) -> int:
    while one != other:  # ids ascend along every path: step up from the later one
        one, other = (above[one], other) if one > other else (one, above[other])
    return one


def _layer(name: str, kind: str, node: Node, parameters: int, flops: int) -> Layer:
    # Positions are for maps C H W; a module that returns H W C, or tokens, has none that other parts could use.
    grid = node.grid if _is_map(node) else Grid(None)
    return Layer(name, kind, node.shape[1:], grid.stride, grid.size, grid.start, parameters, flops)


def _stage_nodes(graph: Graph) -> dict[int, int]:
    # Zeros around a map are no depth of their own: the stage is what was found before they were put there.
    returned = {call.node for call in graph.calls if not call.kind.endswith("Pad2d")}
    last: dict[int, int] = {}
    deepest = 0
    for node in (graph.nodes[i] for i in dominators(graph)):
        level = _level(node)
        if level is not None and level < deepest:
            break  # a decoder enlarges what the stages have found
        deepest = max(deepest, level or 0)
        if level is not None and node.id in returned:
            last[level] = node.id
    return last


def _is_map(node: Node) -> bool:
    return node.grid.axes == (2, 3) and len(node.shape) == 4


def _level(node: Node) -> int | None:
    """K of a stage candidate: stride 2^K both ways, behind a layer with weights and before the pooling."""
    stride = node.grid.stride
    if not _is_map(node) or stride is None or node.pooled or not node.depth:
        return None
    power = stride[0].bit_length() - 1
    return power if stride == (2**power, 2**power) else None


def _makers(graph: Graph, node: int) -> list[int]:
    """The calls that made a value and returned it, innermost first; those that only pass it on where none did."""
    returning = [i for i, call in enumerate(graph.calls) if call.node == node]
    return [i for i in returning if graph.calls[i].first <= node] or returning[:1]


def _outermost(graph: Graph, node: int, stage_nodes: Iterable[int]) -> int:
    makers = _makers(graph, node)
    alone = [i for i in makers if not any(graph.calls[i].first <= other < node for other in stage_nodes)]
    return (alone or makers)[-1]


def _joined(graph: Graph, conv: int) -> int:
    """The call that returned the first map at or after the convolution that every path goes through, rectified.

    Class maps are sums of what the net goes on with: values below zero, which a rectification is about to cut off,
    would speak for classes that they have nothing to do with.
    """
    returned = {call.node for call in graph.calls}
    stage_nodes = _stage_nodes(graph).values()
    later = [n for n in dominators(graph) if n >= conv and n in returned and _is_map(graph.nodes[n])]
    if not later:
        return _makers(graph, conv)[0]
    return _outermost(graph, _activated(graph, later), stage_nodes)


def _activated(graph: Graph, maps: Sequence[int]) -> int:
    """The first of these values after its batch norm and activation, where nothing else comes between; else itself."""
    norms = {call.node for call in graph.calls if "BatchNorm" in call.kind}
    last = maps[0]
    for node in maps[1:]:
        if graph.nodes[node].parents != (last,):
            break
        if graph.nodes[node].kind in ("rectify", "activation"):
            return node
        if node not in norms:
            break
        last = node
    return maps[0]


def _fed(graph: Graph) -> int | None:
    """What the last layer with weights that every path goes through is given."""
    weighted = [node for node in dominators(graph) if graph.nodes[node].kind in ("conv", "dense")]
    return graph.nodes[weighted[-1]].parents[0] if weighted else None


def _same(graph: Graph, node: int) -> list[int]:
    """The values that hold the same numbers, before reshaping, dropout and copies; the original first."""
    chain = [node]
    while graph.nodes[chain[-1]].kind == "same":
        chain.append(graph.nodes[chain[-1]].parents[0])
    return chain[::-1]


def _locate(graph: Graph, node: int) -> tuple[str, int]:
    """The name of the layer that holds these numbers, and its value: as returned by a module, else as given to one."""
    names = call_names(graph.calls)
    for value in _same(graph, node):
        if makers := _makers(graph, value):
            return names[makers[0]], value
    original = _same(graph, node)[0]
    for name, call in zip(names, graph.calls, strict=True):
        if call.source is not None and _same(graph, call.source)[0] == original and names.count(name) == 1:
            return f"{name}{hooks.INPUT}", call.source
    return hooks.OUTPUT, graph.output
