"""What could follow what is typed: commands, methods, nets, layers, params, files."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from reportgen.explore import naming
from reportgen.explore.state import State
from reportgen.explore.words import HELP
from reportgen.images import SUFFIXES
from reportgen.methods import methods
from reportgen.nets.archs import known_archs

WEIGHTS = (".safetensors", ".pt", ".pth", ".pt2", ".onnx", ".h5", ".hdf5", ".keras")


def completions(state: State, text: str) -> list[str]:
    """The words that could stand where the last one of the text begins, in the order to offer them."""
    head, _, word = text.lstrip().rpartition(" ")
    return [found for found in _known(state, head.strip(), word) if found.lower().startswith(word.lower())]


def _known(state: State, head: str, word: str) -> list[str]:
    first = head.partition(" ")[0].lower()
    if not first:
        return [*HELP, "nets", *methods(), *known_archs(), *_layers(state)]
    if first in methods() or first == "set":
        return _params(first if first in methods() else state.method)
    if first in ("layer", "of") or head.endswith((" of", " of layer", " in")):
        return _layers(state)
    if first == "net":
        return (
            list(known_archs()) if head == "net" else ["weights=", "seed=", "classes=", *_files(state, word, WEIGHTS)]
        )
    if first in ("help", "params"):
        return list(methods())
    if first == "show":
        return list(state.figures)
    endings = {"image": SUFFIXES, "data": (), "spec": (".yaml", ".yml"), "save": (".png",)}
    if first in endings:
        return _files(state, word, endings[first])
    if first in naming.UNIT_WORDS:
        return ["of", "strongest", "random", "all", "none"]
    return ["of", "layer", "filter"] if first[0].isdigit() else []


def _layers(state: State) -> list[str]:
    card = state.card
    if card is None:
        return []
    return [*card.stages, *card.aliases, *naming.paper_names(card), *(layer.name for layer in card.layers)]


def _params(method: str) -> list[str]:
    return [f"{entry.name}=" for entry in fields(methods()[method].params)] if method in methods() else []


def _files(state: State, word: str, endings: tuple[str, ...]) -> list[str]:
    """Folders and files of these endings that lie where the word points."""
    head, slash, _ = word.rpartition("/")
    try:
        inside = sorted((state.folder / Path(head + slash).expanduser()).iterdir())[:500]
    except (OSError, RuntimeError):
        return []
    shown = [path for path in inside if not path.name.startswith(".")]
    folders = [f"{head}{slash}{path.name}/" for path in shown if path.is_dir()]
    return folders + [f"{head}{slash}{path.name}" for path in shown if path.name.lower().endswith(endings or ("",))]
