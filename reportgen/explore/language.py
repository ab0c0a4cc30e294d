"""The language of a session: a state and a line -> the state after it, what to say, and what is to be done.

Nothing here touches the disk, loads a net or draws; `reportgen.explore.desk` does what a step asks for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from reportgen.errors import MethodError, ReportError, SpecError, nearest
from reportgen.explore import naming, values, words
from reportgen.explore.actions import Draw, OpenImage, OpenNet, Quit, Save, ShowPanel, Step, WriteSpec
from reportgen.explore.laying import aligned
from reportgen.explore.state import State, section
from reportgen.explore.tree import tree
from reportgen.images import GALLERIES, SUFFIXES
from reportgen.methods import methods
from reportgen.nets.archs import known_archs
from reportgen.records import Method
from reportgen.spec_models import DatasetSpec, ImageSpec, ModelSpec
from reportgen.spec_params import wrong_values

METHODS_TOO = ("filters", "strongest")  # alone they are methods; `filters 3, 17` and `strongest 9` choose units
ALIASES = {"exit": "quit", "?": "help", **dict.fromkeys(naming.UNIT_WORDS, "filter")}
_UNITS_OF = re.compile(rf"(?:the )?(?P<units>.+?) (?:{'|'.join(naming.UNIT_WORDS)})(?: (?:of|in) (?P<layer>.+))?")
_OF_LAYER = re.compile(r"(?P<units>.+?)(?: (?:of|in) (?P<layer>.+))")


def take(state: State, line: str) -> Step:
    """What a line means after all that went before. Raises ReportError, in one paragraph, for what means nothing."""
    text = line.strip()
    if not text or text.startswith("#"):
        return Step(state)
    first, _, rest = text.partition(" ")
    word, rest = ALIASES.get(first.lower(), first.lower()), rest.strip()
    both = first in METHODS_TOO and rest and not values.is_assignment(rest)
    if first in methods() and first not in words.HELP and not both:
        return _draw(state, first, rest)
    if word in COMMANDS:
        return COMMANDS[word](state, rest)
    if word in ("strongest", "random", "all"):
        return _choose_units(state, text)
    if match := _UNITS_OF.fullmatch(text.lower()):
        return _choose_units(state, match["units"], match["layer"] and text[match.start("layer") :])
    if text.partition(" ")[0] in known_archs():
        return _net(state, text)
    if text.lower().endswith(SUFFIXES) or text.partition(":")[0] in GALLERIES:
        return _image(state, text)
    if state.card is not None and (layer := _layer_or_none(state, text)):
        return _layer(state, layer)
    known = [*words.COMMANDS, *methods(), *known_archs()]
    raise SpecError(f"{text!r} is no command, method, net, layer or picture. {nearest(word, known)} `help` lists them.")


def _layer_or_none(state: State, text: str) -> str:
    try:
        return naming.find_layer(words.card_of(state), text)
    except ReportError:
        return ""


# --------------------------------------------------------------------------------------------- what to look at


def _net(state: State, rest: str) -> Step:
    if not rest:
        return Step(state, words.about_net(state))
    arch, entry = values.entry_of(rest, ModelSpec, "net ARCH [weights=FILE] [seed=N]")
    made = {"arch": arch, **entry}
    made = values.absolute(state.folder, "models", made)
    name_of = Path(arch).stem if "/" in arch or "\\" in arch else arch
    state, name = state.named("models", made, name_of)
    return Step(replace(state, model=name, card=None), do=OpenNet())


def _image(state: State, rest: str) -> Step:
    if not rest:
        chosen = state.images.get(state.image, {}).get("source", "none")
        return Step(state, f"picture: {chosen}; `image FILE` chooses another")
    source, entry = values.entry_of(rest, ImageSpec, "image FILE [label=cat]")
    made = values.absolute(state.folder, "images", {"source": source, **entry})
    stem = source.partition(":")[2] if source.partition(":")[0] in GALLERIES else Path(source).stem
    state, name = state.named("images", made, stem)
    return Step(replace(state, image=name), do=OpenImage())


def _data(state: State, rest: str) -> Step:
    if not rest:
        return Step(state, f"data set: {state.datasets.get(state.dataset, {}).get('source', 'none')}")
    source, entry = values.entry_of(rest, DatasetSpec, "data SOURCE [n=500]")
    made = values.absolute(state.folder, "datasets", {"source": source, **entry})
    state, name = state.named("datasets", made, Path(source.rstrip("/:")).stem)
    return Step(replace(state, dataset=name), f"data set: {source}")


def _layer(state: State, rest: str) -> Step:
    if not rest:
        return Step(state, f"layer: {state.layer or 'each method has its own'}; `layers` lists them")
    if rest.lower() == "none":
        return Step(replace(state, layer=None), "layer: each method's own")
    layer = naming.find_layer(words.card_of(state), rest)
    after = replace(state, layer=layer)
    _check_units(after)
    return Step(after, words.layer_in_words(after))


def _filter(state: State, rest: str) -> Step:
    if not rest:
        return Step(state, f"units: {naming.units_in_words(state.units)}")
    if rest.lower() in ("none", "default"):
        return Step(replace(state, units=None), "units: each method's own choice")
    match = _OF_LAYER.fullmatch(rest)
    return _choose_units(state, match["units"], match["layer"]) if match else _choose_units(state, rest)


def _choose_units(state: State, told: str, layer: str | None = None) -> Step:
    told = re.sub(rf"\b({'|'.join(naming.UNIT_WORDS)})\b", " ", told)
    after = replace(state, units=naming.find_units(told))
    if layer:
        after = replace(after, layer=naming.find_layer(words.card_of(state), layer))
    _check_units(after)
    where = f" of {words.layer_in_words(after)}" if after.layer else ""
    return Step(after, naming.units_in_words(after.units) + where)


def _check_units(state: State) -> None:
    """Raise SpecError where the chosen layer has not got the chosen units."""
    if state.layer is None or state.card is None or not isinstance(state.units, list):
        return
    layer = state.card.resolve(state.layer)
    width = layer.shape[0]
    if wrong := [unit for unit in state.units if unit >= width]:
        raise SpecError(
            f"{layer.name} has no unit {wrong[0]}: it has {width} units, numbered from 0 to {width - 1} (the first to "
            f"the {naming.th(width)})."
        )


# ------------------------------------------------------------------------------------------------ what to show


def _draw(state: State, name: str, rest: str) -> Step:
    method = methods()[name]
    after = _assigned(replace(state, method=name), method, rest) if rest else replace(state, method=name)
    lacking = {"image": "image", "dataset": "dataset"}.get(method.scope)
    if lacking and not getattr(after, lacking):
        what, command = {"image": ("a picture", "image FILE"), "dataset": ("a data set", "data SOURCE")}[lacking]
        raise MethodError(f"{method.title} looks at {what}, and none is chosen: `{command}` chooses one.")
    return Step(after, do=Draw(section(after, method)))


def _set(state: State, rest: str) -> Step:
    method = words.method_of(state)
    after = _assigned(state, method, rest)
    return Step(after, words.params_in_words(after, method, changed=True))


def _unset(state: State, rest: str) -> Step:
    method = words.method_of(state)
    own = dict(state.params.get(method.name, {}))
    for name in rest.replace(",", " ").split() or list(own):
        if name not in own:
            raise MethodError(f"{name} of {method.name} is not set. {nearest(name, own) if own else 'Nothing is.'}")
        del own[name]
    after = replace(state, params={**state.params, method.name: own})
    return Step(after, words.params_in_words(after, method, changed=True))


def _assigned(state: State, method: Method, text: str) -> State:
    """The state with params of a method set by `name=value ...`; layer and units are those of the session."""
    given = values.values_of(text, f"{method.name} NAME=VALUE")
    takes = {entry.name for entry in fields(method.params)}
    if "layer" in given and "layer" in takes:
        state = replace(state, layer=naming.find_layer(words.card_of(state), str(given.pop("layer"))))
    if "units" in given and "units" in takes:
        units = given.pop("units")
        state = replace(state, units=units if isinstance(units, int | list | dict) else naming.find_units(str(units)))
    own = {**state.params.get(method.name, {}), **_paths_of_params(state, method, given)}
    tried = own | ({"layer": state.layer or "stage3"} if "layer" in takes else {})
    if problems := [text for _, text in wrong_values(method, tried)]:
        raise MethodError(" ".join(problems))
    _check_units(state)
    return replace(state, params={**state.params, method.name: own})


def _paths_of_params(state: State, method: Method, given: Mapping[str, Any]) -> dict[str, Any]:
    paths = {entry.name for entry in fields(method.params) if entry.metadata.get("path")}
    return {
        name: str(state.folder / Path(value).expanduser()) if name in paths and "/" in str(value) else value
        for name, value in given.items()
    }


def _show(state: State, rest: str) -> Step:
    if rest:
        if rest not in state.figures:
            raise SpecError(f"The last result has no panel {rest!r}. {nearest(rest, state.figures)}")
        return Step(state, do=ShowPanel(rest))
    if not state.method:
        raise SpecError("Nothing was drawn yet: the name of a method draws it, such as `deconvnet`; `methods` lists.")
    return _draw(state, state.method, "")


# ------------------------------------------------------------------------------------------------- what is kept


def _save(state: State, rest: str) -> Step:
    _shown(state, "save")
    if rest and not rest.lower().endswith(".png"):
        raise SpecError(f"save {rest}: pictures are written as PNG; right would be `save {Path(rest).stem}.png`.")
    return Step(state, do=Save(state.folder / Path(rest).expanduser() if rest else None))


def _spec(state: State, rest: str) -> Step:
    _shown(state, "spec")
    path = Path(rest or "explore.yaml").expanduser()
    if path.suffix.lower() not in (".yaml", ".yml"):
        raise SpecError(f"spec {rest}: a spec's file ends in .yaml; right would be `spec {path.stem}.yaml`.")
    return Step(state, do=WriteSpec(state.folder / path))


def _drop(state: State, rest: str) -> Step:
    _shown(state, "drop")
    last = state.last or state.shown[-1]
    left = tuple(one for one in state.shown if one != last)
    return Step(replace(state, shown=left, last=None, figures=()), f"left out {last['method']}; {len(left)} are left")


def _shown(state: State, command: str) -> None:
    if not state.shown:
        raise SpecError(f"{command}: nothing was drawn yet; the name of a method draws it, such as `deconvnet`.")


# ------------------------------------------------------------------------------------------------------ words


def _help(state: State, rest: str) -> Step:
    if not rest:
        return Step(state, words.help_in_words())
    if (command := ALIASES.get(rest, rest)) in words.HELP:
        return Step(state, "\n".join(words.HELP[command]))
    if rest not in methods():
        raise SpecError(f"There is no help on {rest!r}. {nearest(rest, [*words.HELP, *methods()])}")
    method = methods()[rest]
    return Step(
        state, f"{method.title} ({method.citation})\n\n{method.doc.strip()}\n\n{words.params_in_words(state, method)}"
    )


def _params(state: State, rest: str) -> Step:
    if rest and rest not in methods():
        raise MethodError(f"There is no method {rest!r}. {nearest(rest, methods())}")
    return Step(state, words.params_in_words(state, methods()[rest] if rest else words.method_of(state)))


def _methods(state: State, rest: str) -> Step:
    return Step(state, "\n".join(aligned([(m.name, m.scope, m.caption) for m in methods().values()])))


def _nets(state: State, rest: str) -> Step:
    return Step(state, ", ".join(known_archs()))


def _layers(state: State, rest: str) -> Step:
    return Step(state, tree(words.card_of(state), rest))


def _state(state: State, rest: str) -> Step:
    lines = [words.about_net(state), f"picture: {state.images.get(state.image, {}).get('source', 'none')}"]
    lines += [f"data set: {state.datasets[state.dataset]['source']}"] if state.dataset else []
    lines += [f"layer: {words.layer_in_words(state) if state.layer else 'each method has its own'}"]
    lines += [f"units: {naming.units_in_words(state.units)}"]
    lines += [f"method: {words.params_in_words(state, methods()[state.method], True)}"] if state.method else []
    lines += [f"in the spec: {', '.join(str(one['method']) for one in state.shown) or 'nothing yet'}"]
    return Step(state, "\n".join(lines))


def opened(state: State, card: Any) -> Step:
    """The state once the card of its net is known; a layer that this net has not got is left."""
    after = replace(state, card=card)
    dropped = ""
    try:
        if state.layer is not None:
            card.resolve(state.layer)
            _check_units(after)
    except ReportError:  # another net's layer or units
        after, dropped = replace(after, layer=None, units=None), f"; {state.layer} is not here, so choose a layer anew"
    return Step(after, words.about_net(after) + dropped)


COMMANDS: dict[str, Callable[[State, str], Step]] = {
    "net": _net, "nets": _nets, "image": _image, "data": _data, "layers": _layers, "layer": _layer, "filter": _filter,
    "methods": _methods, "params": _params, "set": _set, "unset": _unset, "show": _show, "save": _save, "spec": _spec,
    "drop": _drop, "state": _state, "help": _help, "quit": lambda state, rest: Step(state, do=Quit()),
}  # fmt: skip
