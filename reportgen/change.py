"""What a net and what it was before have in common, so that the two can be compared layer by layer and map by map."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from reportgen.errors import MethodError, NotApplicable, nearest
from reportgen.records import Artifact, Card, Input, Layer, Method, Net

if TYPE_CHECKING:
    import numpy as np

EVERY = ("weights", "stages")  # words for layers that need not be named one by one


def unlike(before: Card, after: Card) -> str:
    """Why two nets are not one with other weights, told by the first layer that differs, or an empty text.

    The number of classes may differ: a net that was tuned to other classes has a new last layer.
    """
    for one, other in zip_longest(before.layers, after.layers):
        if one and other and one.name == other.name and (one.shape == other.shape or _last(before, one, after, other)):
            continue
        return (
            f"Only two sets of weights of one net can be compared layer by layer. {after.arch} ({after.weights_source})"
            f" is another net than {before.arch} ({before.weights_source}), from which it is said to have come: where "
            f"the one has {_told(other)}, the other has {_told(one)}. Right would be the same architecture with the "
            "same input size."
        )
    return ""


def _last(before: Card, one: Layer, after: Card, other: Layer) -> bool:
    """Whether both layers hold one value for each class of their net."""
    return one.shape == (len(before.classes),) and other.shape == (len(after.classes),)


def _told(layer: Layer | None) -> str:
    return f"{layer.name} ({' x '.join(map(str, layer.shape))})" if layer else "no further layer"


def same_classes(net: Net) -> None:
    """Nothing, or NotApplicable where the net names other classes than it did before."""
    assert net.before is not None, "only nets that came from another get here"
    old, new = net.before.classes, net.classes
    if old == new:
        return
    differ = next((f"{a!r} became {b!r}" for a, b in zip(old, new, strict=False) if a != b), "those it had are kept")
    raise NotApplicable(
        f"{net.card.arch} has {len(new)} classes and had {len(old)} before ({differ}), so that its answers before and "
        "after are about different things. Units can be compared all the same, by the method changed_units."
    )


def compared(net: Net, asked: str | Sequence[str]) -> tuple[list[Layer], list[Layer]]:
    """The layers whose units are compared, and those of them that stand for a depth, in the order of computing.

    Depths are the stages, the penultimate layer and the logits, or just the layers that are asked for by name.
    """
    assert net.before is not None, "only nets that came from another get here"
    card, old = net.card, {layer.name: layer for layer in net.before.card.layers}
    usable = [one for one in card.layers if len(one.shape) in (1, 3) and old[one.name].shape == one.shape]
    if isinstance(asked, str):
        ends = {*card.stages.values(), *(card.aliases.get(name) for name in ("penultimate", "logits"))}
        depths = [one for one in usable if one.name in ends]
        inner = [one for one in usable if one in depths or (asked == "weights" and _has_own_weights(one, card))]
        return inner, depths
    wanted = [card.resolve(name) for name in asked]
    if lost := [one.name for one in wanted if one not in usable]:
        raise NotApplicable(f"{lost[0]} of {card.arch} has no units, or not as many as before: it cannot be compared.")
    named = [one for one in usable if one in wanted]
    return named, named


def _has_own_weights(layer: Layer, card: Card) -> bool:
    """Whether a change of weights can begin in the layer: it has some, and is no block of other layers."""
    path = layer.name.partition("#")[0]
    return layer.parameters > 0 and not any(other.name.startswith(f"{path}.") for other in card.layers)


# ---------------------------------------------------------------------------------------------------- maps of both nets


def map_method(name: str) -> Method:
    """The method of this name, which has to give a map of each picture. Raises MethodError where it does not."""
    from reportgen.methods import methods

    known = [own for own, found in methods().items() if _gives_maps(found)]
    if name not in known:
        what = "gives no map of a picture" if name in methods() else "is no method"
        raise MethodError(f"map: {name!r} {what}. {nearest(name, known)}")
    return methods()[name]


def _gives_maps(method: Method) -> bool:
    fits = method.scope == "image" and method.arrays.get("map") == "H x W" and not method.needs & {"before", "points"}
    return fits and set(method.uses) <= {"prediction"}


def settled(name: str, settings: Any) -> tuple[tuple[str, Any], ...]:
    """All params of a map method but its target, filled in, in a form that can be hashed. Raises MethodError."""
    from dataclasses import fields

    from reportgen.spec_params import make_params

    found = map_method(name)
    settings = settings or ()  # an empty list, as JSON has it, means none either
    if not isinstance(settings, Mapping | tuple):
        raise MethodError(f"settings: {settings!r} is no mapping; right would be params of {name} as `key: value`.")
    given = dict(settings)
    if "target" in given:
        raise MethodError("settings: the target is said beside the map, not in here: `target:`.")
    try:
        made = make_params(found, {key: list(v) if isinstance(v, tuple) else v for key, v in given.items()})
    except MethodError as error:
        raise MethodError(f"settings: {error}") from error
    return tuple((one.name, getattr(made, one.name)) for one in fields(found.params) if one.name != "target")


def maps_of(
    net: Net,
    inputs: Sequence[Input],
    name: str,
    settings: Sequence[tuple[str, Any]],
    targets: Sequence[int],
    rngs: Sequence[np.random.Generator],
) -> list[Artifact]:
    """What a map method gives of pictures on this net, each for its class; the generators are left as they were."""
    from reportgen.cells import unfit
    from reportgen.methods import method

    found = map_method(name)
    if reason := unfit(found, net.card):
        raise NotApplicable(reason)
    used: list[Mapping[str, Artifact]] = [{} for _ in inputs]
    if found.uses:
        prediction = method("prediction")
        own = prediction.run(net, inputs, prediction.params(), copy.deepcopy(list(rngs)))
        used = [{"prediction": one} for one in own]
    params = found.params(**dict(settings))
    if not hasattr(params, "target"):
        given = [replace(one, used=old) for one, old in zip(inputs, used, strict=True)]
        return found.run(net, given, params, copy.deepcopy(list(rngs)))
    made = []
    for one, old, target, rng in zip(inputs, used, targets, rngs, strict=True):
        own_params = replace(params, target=target)
        made += found.run(net, [replace(one, used=old)], own_params, [copy.deepcopy(rng)])
    return made


def probabilities(net: Net, one: Input, target: int) -> list[float]:
    """The probability of a class on a picture, before and after."""
    from reportgen import answering, project

    assert net.before is not None, "only nets that came from another get here"
    assert one.picture is not None, "a method of images gets one each"
    old = project.forward(net.before, net.before.preprocess([one.picture]))["logits"]  # 1 K
    new = float(one.used["prediction"].arrays["probabilities"][target])
    return [float(answering.probabilities(net.before, old)[0, target]), new]
