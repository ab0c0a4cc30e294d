"""What could follow what is typed: commands, methods, nets, layers, params and their values, files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from reportgen.explore import naming, tree
from reportgen.explore.state import State
from reportgen.explore.words import COMMANDS
from reportgen.images import SUFFIXES
from reportgen.methods import methods
from reportgen.nets import tensors
from reportgen.nets.archs import known_archs
from reportgen.nets.files import BUILDERS
from reportgen.spec_models import DatasetSpec, ImageSpec, ModelSpec

PHOTOS = ("skimage:chelsea", "skimage:astronaut", "skimage:coffee", "sklearn:china.jpg", "sklearn:flower.jpg")
SETS = ("images:", "patches:", "rendered:objects")
MOST_FILES = 500  # of a folder


def completions(state: State, text: str) -> list[str]:
    """The words that could stand where the last one of the text begins, in the order to offer them."""
    head, _, word = text.lstrip().rpartition(" ")
    found = (one for one in _known(state, head.strip(), word) if one.lower().startswith(word.lower()))
    return list(dict.fromkeys(found))


def _known(state: State, head: str, word: str) -> list[str]:
    first = head.partition(" ")[0].lower()
    if not first:
        return [*COMMANDS, *methods(), *known_archs(), *_layers(state)]
    if first in ("layer", "of") or head.endswith((" of", " of layer", " in")):
        return [*_layers(state), *(["none"] if first == "layer" else [])]
    if first in (*methods(), "set", "unset") and first != "filters":
        return _params(state, first if first in methods() else state.method, word, first)
    if first in ("net", "image", "data") or first in known_archs():
        return _things(state, "net" if first in known_archs() else first, head == first and first == "net", head, word)
    if first in naming.UNIT_WORDS:
        return ["of", "strongest", "random", "all", "none"]
    known = {
        "help": [*COMMANDS, *methods()], "params": [*methods()], "show": [*state.figures],
        "layers": ["all", *(tree.parts(state.card) if state.card else ())],
        "spec": _files(state, word, (".yaml", ".yml")), "save": _files(state, word, (".png",)),
    }  # fmt: skip
    return known.get(first, ["of", "layer", "filter"] if first[0].isdigit() else [])


def _layers(state: State) -> list[str]:
    card = state.card
    if card is None:
        return []
    return [*card.stages, *card.aliases, *naming.paper_names(card), *(layer.name for layer in card.layers)]


def _params(state: State, method: str, word: str, first: str) -> list[str]:
    """The params of a method, or what may stand behind `name=` where one is typed."""
    if method not in methods():
        return []
    if first == "unset":
        return [*state.params.get(method, {})]
    names = {entry.name: entry for entry in fields(methods()[method].params) if entry.init}
    name, equals, value = word.partition("=")
    if not equals:
        return [f"{known}=" for known in names]
    return [f"{name}={one}" for one in _values(state, method, name, value)] if name in names else []


def _values(state: State, method: str, name: str, value: str) -> Iterator[str]:
    from reportgen.accepted import choices
    from reportgen.catalogue import schema_of

    if name == "layer":
        yield from _layers(state)
    elif name == "target":
        yield from ("predicted", "label")
        yield from (one for one in (state.card.classes if state.card else ()) if " " not in one)
    elif name == "units":
        yield from ("all", "random", "strongest")
    entry = next(one for one in fields(methods()[method].params) if one.name == name)
    found = choices(methods()[method], name, schema_of(methods()[method], name))
    yield from (_yaml(one) for one in (*found, entry.default) if isinstance(one, str | bool))
    if entry.metadata.get("path"):
        yield from _files(state, value, tensors.SUFFIXES)


def _yaml(value: str | bool) -> str:
    return value if isinstance(value, str) else str(value).lower()


def _things(state: State, first: str, alone: bool, head: str, word: str) -> list[str]:
    """Nets, pictures and data sets, then what an entry of theirs may say beside."""
    kind: Any = {"net": ModelSpec, "image": ImageSpec, "data": DatasetSpec}[first]
    if alone:
        return [*known_archs(), *_files(state, word, tuple(BUILDERS))]
    name, equals, value = word.partition("=")
    if equals:
        endings = {"weights": tensors.SUFFIXES, "classes": (".txt",), "labels": ()}.get(name)
        found = [] if endings is None else _files(state, value, endings)
        return [f"{name}={one}" for one in (["random", *found] if name == "weights" else found)]
    beside = [f"{key}=" for key in kind.model_fields if key not in ("arch", "source")]
    if head != first:
        return beside
    sources = {"image": [*PHOTOS, *_files(state, word, SUFFIXES)], "data": [*SETS, *_files(state, word, ())]}
    return sources.get(first, beside)


def _files(state: State, word: str, endings: tuple[str, ...]) -> list[str]:
    """Folders and files of these endings that lie where the word points."""
    head, slash, _ = word.rpartition("/")
    try:
        inside = sorted((state.folder / Path(head + slash).expanduser()).iterdir())[:MOST_FILES]
    except (OSError, RuntimeError):
        return []
    shown = [path for path in inside if not path.name.startswith(".")]
    folders = [f"{head}{slash}{path.name}/" for path in shown if path.is_dir()]
    return folders + [f"{head}{slash}{path.name}" for path in shown if path.name.lower().endswith(endings or ("",))]
