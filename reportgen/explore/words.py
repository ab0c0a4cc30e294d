"""A state in words, and what is said of commands."""

from __future__ import annotations

from dataclasses import fields

from reportgen.errors import SpecError
from reportgen.explore import naming
from reportgen.explore.laying import aligned, explained
from reportgen.explore.state import State
from reportgen.methods import methods
from reportgen.records import Card, Method

HELP = {  # command -> how it is written, what it does
    "net": (
        "net ARCH [weights=FILE]",
        "choose a net: a name, or a model file; also seed=N, classes=FILE, preprocess=...",
    ),
    "nets": ("nets", "the names of nets"),
    "image": ("image FILE [label=cat]", "choose a picture: a file, or skimage:chelsea and the like"),
    "data": ("data SOURCE [n=500]", "choose a data set, for methods that look over one"),
    "layers": ("layers [PART | all]", "the tree of layers with numbers, shapes and names; of one part; unfolded"),
    "layer": ("layer 17", "choose a layer: by number, conv5_3, stage4 or features.29; `layer none` takes it back"),
    "filter": ("16th filter of layer 17", "choose units; also filter 15, filters 3, 17, strongest 9, random 9, all"),
    "methods": ("methods", "what there is to see; a method's name draws it"),
    "METHOD": ("METHOD [NAME=VALUE ...]", "draw: deconvnet, saliency, gradient_ascent steps=50 ..."),
    "params": ("params [METHOD]", "a method's params: defaults, meanings, what is set"),
    "set": ("set NAME=VALUE ...", "set params of the method chosen last"),
    "unset": ("unset [NAME ...]", "back to defaults"),
    "show": ("show [PANEL]", "draw again, or show another panel of the last result"),
    "save": ("save [FILE.png]", "write the picture that is shown"),
    "spec": ("spec [FILE.yaml]", "write the YAML that makes the same figures (default: explore.yaml)"),
    "drop": ("drop", "leave the last result out of the spec"),
    "state": ("state", "what is chosen, and what the spec will hold"),
    "help": ("help [WORD]", "this, or what a method shows and how to read it"),
    "quit": ("quit", "end the session (also Ctrl-D)"),
}
COMMANDS = tuple(name for name in HELP if name != "METHOD")


def help_in_words() -> str:
    """All commands with what they do."""
    return "\n".join(explained(HELP.values(), 26))


def params_in_words(state: State, method: Method, changed: bool = False) -> str:
    """A method's params line by line; with `changed` those that were set, in one line."""
    own = state.params.get(method.name, {})
    if changed:
        told = ", ".join(f"{name} = {value!r}" for name, value in own.items())
        return f"{method.name}: {told or 'all params at their defaults'}"
    rows = []
    for entry in (one for one in fields(method.params) if one.init):  # others are found, not given
        value = f"{own[entry.name]!r} (set)" if entry.name in own else f"{entry.default!r}"
        rows.append((f"  {entry.name} = {value}", entry.metadata.get("doc", "")))
    return "\n".join(aligned(rows)) or f"{method.name} has no params"


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
