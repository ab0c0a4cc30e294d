"""What people call layers and units: numbers, names of papers, "16th filter of layer 17"."""

from __future__ import annotations

import re
from typing import Any

from reportgen.errors import ModelError, NotApplicable, SpecError, nearest
from reportgen.records import Card, Layer

_COUNTED = re.compile(r"Conv|Linear|Pool")
_CONV = re.compile(r"Conv(Transpose)?\dd$")
_RECTIFIED = ("ReLU", "ReLU6")
_NUMBER = re.compile(r"(?:no\.? ?|number |#)?(\d+)(?:st|nd|rd|th)?")
_ORDINAL = re.compile(r"(\d+)(?:st|nd|rd|th)")
_FIRST = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
UNIT_WORDS = ("filter", "filters", "unit", "units", "channel", "channels", "neuron", "neurons")


def numbered(card: Card) -> dict[int, Layer]:
    """The layers as papers and Keras count them, from 1: convolutions, pools and dense layers, in order.

    So layer 17 of VGG-16 is its conv5_3.
    """
    inner = [layer for layer in card.layers if _COUNTED.search(layer.kind) and not _holds_others(card, layer)]
    return dict(enumerate(inner, 1))


def find_layer(card: Card, words: str) -> str:
    """The name of a layer that words mean: a number, a stage, an alias, a path, or a paper's name such as conv5_3.

    A layer that is told by number or by a paper's name includes its ReLU where that follows in the same sequence, as
    papers mean it. Raises ModelError with what is near.
    """
    text = re.sub(r"^(the )?(layer )?", "", words.strip(), flags=re.IGNORECASE).strip()
    try:
        card.resolve(text)
        return text
    except (ModelError, NotApplicable) as error:
        unknown = error
    if match := _NUMBER.fullmatch(re.sub(r" layer$", "", text)):
        counted = numbered(card)
        if (number := int(match[1])) not in counted:
            raise ModelError(
                f"There is no layer {number}: the layers of {card.arch} are counted from 1 to {len(counted)} "
                "(convolutions, pools and dense layers; `layers` lists them)."
            ) from unknown
        return rectified(card, counted[number])
    known = paper_names(card)
    if text.lower() in known:
        return rectified(card, known[text.lower()])
    if isinstance(unknown, NotApplicable):
        raise unknown
    names = [*card.stages, *card.aliases, *known, *(layer.name for layer in card.layers)]
    raise ModelError(f"{card.arch} has no layer {text!r}. {nearest(text, names)} `layers` lists them all.")


def paper_names(card: Card) -> dict[str, Layer]:
    """conv5_3 and the like (block between pools, place in it), conv4 by count, fc1 or fc6 to fc8 -> layer.

    Convolutions and pools have such names in plain nets alone: where paths part, blocks between pools mean nothing.
    """
    names: dict[str, Layer] = {}
    plain = _is_plain(card)
    block, inside, convs = 1, 0, 0
    dense: list[Layer] = []
    for layer in numbered(card).values():
        if _CONV.search(layer.kind) and plain:
            inside, convs = inside + 1, convs + 1
            names[f"conv{block}_{inside}"] = layer
            names[f"conv{convs}"] = layer
        elif "Linear" in layer.kind:
            dense.append(layer)
            names[f"fc{len(dense)}"] = layer
        elif inside and "Pool" in layer.kind and "Adaptive" not in layer.kind:
            names[f"pool{block}"] = layer
            block, inside = block + 1, 0
    if len(dense) == 3:  # AlexNet and VGG, whose papers go on counting after five convolutions or blocks
        names |= {f"fc{number}": layer for number, layer in enumerate(dense, 6)}
    return names


def _is_plain(card: Card) -> bool:
    """Whether all convolutions lie side by side in one module, as in AlexNet and VGG; several modules may branch."""
    convs = [layer.name for layer in numbered(card).values() if _CONV.search(layer.kind)]
    return len({name.rpartition(".")[0] for name in convs}) <= 1


def rectified(card: Card, layer: Layer) -> str:
    """The ReLU that belongs to a layer of a sequence (perhaps after a batch norm), else the layer itself.

    In a residual block the next ReLU has the shortcut in it; there the layer stands for itself.
    """
    parent, _, place = layer.name.rpartition(".")
    if "Pool" in layer.kind or not place.isdigit():
        return layer.name
    by_name = {other.name: other for other in card.layers}
    for step in (1, 2):
        after = by_name.get(f"{parent}.{int(place) + step}" if parent else str(int(place) + step))
        if after is None or after.shape != layer.shape:
            break
        if after.kind in _RECTIFIED:
            return after.name
        if "Norm" not in after.kind:
            break
    return layer.name


def find_units(words: str) -> Any:
    """The choice of units that words mean, as a spec has it: 9, [15], {random: 9} or all.

    An ordinal counts from one ("16th" is unit 15), a bare number is the unit's own, as in a spec. Raises SpecError.
    """
    text = words.strip().lower()
    if text == "all":
        return "all"
    if match := re.fullmatch(r"(?:strongest(?: (\d+))?|(?:the )?(\d+) strongest)", text):
        return int(match[1] or match[2] or 9) or _unclear(words)
    if match := re.fullmatch(r"random(?: (\d+))?(?: seed (\d+))?", text):
        return {"random": int(match[1] or 9)} | ({"seed": int(match[2])} if match[2] else {})
    parts = [part for part in re.split(r"[\s,;]+|\band\b", text.strip("[]")) if part and part != "the"]
    found = [_unit(part, words) for part in parts]
    return found or _unclear(words)


def _unit(text: str, words: str) -> int:
    if text in _FIRST:
        return _FIRST.index(text)
    if match := _ORDINAL.fullmatch(text):
        return int(match[1]) - 1 if int(match[1]) else _unclear(words)
    return int(text) if text.isdigit() and text.isascii() else _unclear(words)


def _unclear(words: str) -> Any:
    raise SpecError(
        f"Which units are {words!r}? Right would be `filter 15` (the units' own numbers, from 0), `16th filter`, "
        "`filters 3, 17`, `strongest 9`, `random 9` or `all`."
    )


def units_in_words(units: Any) -> str:
    """A choice of units as people read it."""
    if units is None:
        return "the method's own choice of units"
    if isinstance(units, dict):
        return f"{units['random']} random units"
    if isinstance(units, list):
        one = f" (the {th(units[0] + 1)})" if len(units) == 1 else ""
        return f"unit{'s' if len(units) > 1 else ''} {', '.join(str(unit) for unit in units)}{one}"
    return "all units" if units == "all" else f"the {units} strongest units"


def th(number: int) -> str:
    """A number as an ordinal: 16th."""
    if 10 < number % 100 < 14:
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"


def _holds_others(card: Card, layer: Layer) -> bool:
    return any(other.name.startswith(f"{layer.name}.") for other in card.layers)
