"""A net's card: made from one traced forward pass, kept as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from reportgen.errors import ModelError
from reportgen.nets import stages
from reportgen.nets.facts import facts
from reportgen.nets.trace import Graph
from reportgen.records import Card, Facts, Layer, Preprocess

if TYPE_CHECKING:
    from torch import nn

    from reportgen.nets.weights import Resolved

IMAGENET_CLASSES = 1000


def make_card(
    resolved: Resolved, module: nn.Module, graph: Graph, preprocess: Preprocess, classes: tuple[str, ...] | None
) -> Card:
    """The card of a net; `classes` are the names the user gives, if any.

    FLOPs count convolutions and dense layers, a multiply-add as two. A channel gate (squeeze and excitation) counts
    into FLOPs and parameters, but neither into receptive fields nor into the depth: see `ops.pointwise`.
    """
    output = graph.nodes[graph.output].shape
    if len(output) != 2:
        shape = " x ".join(["N", *(str(side) for side in output[1:])])
        raise ModelError(f"{resolved.arch} is no classifier: it returns {shape}, where N x K logits are wanted.")
    return Card(
        arch=resolved.arch,
        builder=resolved.builder,
        weights=resolved.digest,
        weights_source=resolved.source,
        preprocess=preprocess,
        classes=_class_names(resolved, output[1], classes),
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        flops=graph.flops,
        depth=graph.nodes[graph.output].depth,
        layers=stages.layers(graph),
        stages=stages.stages(graph),
        aliases=stages.aliases(graph),
        global_pooling=stages.ends_in_global_pooling(graph),
        rectified=stages.is_rectified(graph),
        facts=facts(resolved.arch),
        numbers=dict(resolved.numbers),
    )


def card_to_json(card: Card) -> dict[str, Any]:
    """The card as JSON values."""
    return asdict(card)


def card_from_json(value: Mapping[str, Any]) -> Card:
    """The card that `card_to_json` wrote; torch is not needed."""
    layers = tuple(Layer(**_tupled(layer)) for layer in value["layers"])
    card = Card(
        **{
            **value,
            "preprocess": Preprocess(**_tupled(value["preprocess"])),
            "classes": tuple(value["classes"]),
            "layers": layers,
            "facts": Facts(**value["facts"]),
        }
    )
    # A store may sort what it keeps; stages ascend.
    return replace(card, stages=dict(sorted(card.stages.items(), key=lambda item: int(item[0].removeprefix("stage")))))


def _class_names(resolved: Resolved, count: int, given: tuple[str, ...] | None) -> tuple[str, ...]:
    names = given if given is not None else resolved.classes
    if given is not None and len(given) != count:
        raise ModelError(f"{len(given)} class names were given for {resolved.arch}, which has {count} outputs.")
    if len(names) == count:
        return names
    if count == IMAGENET_CLASSES:
        return _imagenet_names()
    return tuple(f"class {i}" for i in range(count))


def _imagenet_names() -> tuple[str, ...]:
    """ImageNet's class names, as torchvision spells them; numbers where torchvision cannot be had."""
    try:
        from torchvision.models._meta import _IMAGENET_CATEGORIES
    except (ImportError, RuntimeError):
        return tuple(f"class {i}" for i in range(IMAGENET_CLASSES))
    return tuple(_IMAGENET_CATEGORIES)


def _tupled(value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(part) if isinstance(part, list) else part for key, part in value.items()}
