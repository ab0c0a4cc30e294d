"""A state in words, and what is said of commands."""

from __future__ import annotations

from dataclasses import fields

from reportgen.errors import SpecError
from reportgen.explore import naming
from reportgen.explore.state import State
from reportgen.methods import methods
from reportgen.records import Card, Method

HELP = {
    "net": "net ARCH [weights=FILE] [seed=N] [classes=FILE]   choose a net; `nets` lists them",
    "image": "image FILE [label=cat]   choose a picture: a file, or skimage:chelsea and the like",
    "data": "data SOURCE [n=500]   choose a data set, for methods that look over one",
    "layers": "layers   the tree of layers with numbers, shapes, stages",
    "layer": "layer 17 | conv5_3 | stage4 | features.29   choose a layer; `layer none` takes the choice back",
    "filter": "filter 15 | 16th filter of layer 17 | filters 3, 17 | strongest 9 | all   choose units",
    "methods": "methods   what there is to see; a method's name draws it",
    "params": "params [METHOD]   a method's params: defaults, meanings, what is set",
    "set": "set NAME=VALUE ...   set params of the method chosen last; `METHOD NAME=VALUE ...` does so and draws",
    "unset": "unset [NAME ...]   back to defaults",
    "show": "show [PANEL]   draw again, or show another panel of the last result",
    "save": "save [FILE.png]   write the picture that is shown",
    "spec": "spec [FILE.yaml]   write the YAML that makes the same figures (default: explore.yaml)",
    "drop": "drop   leave the last result out of the spec",
    "state": "state   what is chosen, and what the spec will hold",
    "help": "help [METHOD]   this, or what a method shows and how to read it",
    "quit": "quit   end the session (also Ctrl-D)",
}


def params_in_words(state: State, method: Method, changed: bool = False) -> str:
    """A method's params line by line; with `changed` those that were set, in one line."""
    own = state.params.get(method.name, {})
    if changed:
        told = ", ".join(f"{name} = {value!r}" for name, value in own.items())
        return f"{method.name}: {told or 'all params at their defaults'}"
    lines = []
    for entry in fields(method.params):
        value = f"{own[entry.name]!r} (set)" if entry.name in own else f"{entry.default!r}"
        lines.append(f"  {entry.name} = {value}: {entry.metadata.get('doc', '')}")
    return "\n".join(lines) or f"{method.name} has no params"


def about_net(state: State) -> str:
    """The current net in a line."""
    card = card_of(state)
    counted = f"{len(naming.numbered(card))} layers, {card.parameters:,} parameters, {len(card.classes)} classes"
    return f"{card.facts.title or card.arch} ({card.arch}, {card.weights_source}): {counted}"


def layer_in_words(state: State) -> str:
    """The chosen layer by its path, its kind and shape."""
    layer = card_of(state).resolve(state.layer or "")
    called = f" ({state.layer})" if state.layer != layer.name else ""
    return f"{layer.name}{called}, {layer.kind}, {' x '.join(str(side) for side in layer.shape)}"


def card_of(state: State) -> Card:
    """The card of the current net. Raises SpecError where none is chosen."""
    if state.card is None:
        raise SpecError("No net is chosen: `net vgg_mini` chooses one, `nets` lists them.")
    return state.card


def method_of(state: State) -> Method:
    """The method chosen last. Raises SpecError where there is none."""
    if not state.method:
        raise SpecError("No method is chosen: the name of one chooses and draws it; `methods` lists them.")
    return methods()[state.method]
