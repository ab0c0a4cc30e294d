"""Where a session stands, as one frozen value, and the spec that makes what it has shown."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from reportgen.catalogue import takes
from reportgen.records import Card, Method

Entry = Mapping[str, Any]  # a model, image, data set or section as a spec has it
OF_IMAGES = ("images:", "patches:")  # data sets that are made of the spec's own images
PATHS = {"models": ("arch", "weights", "classes"), "images": ("source",), "datasets": ("source", "labels")}


@dataclass(frozen=True)
class State:
    """What was chosen and what was shown; paths in it are absolute."""

    folder: Path  # the working directory: relative paths of the user's lie below it
    models: Mapping[str, Entry] = field(default_factory=dict)  # by their id in the spec
    images: Mapping[str, Entry] = field(default_factory=dict)
    datasets: Mapping[str, Entry] = field(default_factory=dict)
    model: str = ""
    image: str = ""
    dataset: str = ""
    card: Card | None = None  # of the current net
    layer: str | None = None
    units: Any = None
    method: str = ""
    params: Mapping[str, Entry] = field(default_factory=dict)  # by method
    shown: tuple[Entry, ...] = ()  # the sections that were drawn, in their order
    last: Entry | None = None  # the one drawn last
    figures: tuple[str, ...] = ()  # its panels

    def named(self, kind: str, entry: Entry, wanted: str) -> tuple[State, str]:
        """The state that knows an entry of `models`, `images` or `datasets`, and its id: the old one if equal."""
        known: dict[str, Entry] = dict(getattr(self, kind))
        same = next((name for name, old in known.items() if old == entry), None)
        if same is not None:
            return self, same
        plain = "-".join(re.findall(r"[a-z0-9_]+", wanted.lower()))[:40] or kind[:-1]
        name, number = plain, 2
        while name in known:
            name, number = f"{plain}-{number}", number + 1
        changed: dict[str, Any] = {kind: known | {name: entry}}
        return replace(self, **changed), name


def section(state: State, method: Method) -> Entry:
    """The section of a spec that draws a method with what is chosen; its id is given when it has been drawn."""
    own = {entry.name for entry in fields(method.params)}
    made: dict[str, Any] = {"method": method.name, "models": [state.model]}
    if params := {name: value for name, value in state.params.get(method.name, {}).items() if name in own}:
        made["params"] = params
    looks_at = takes(method)
    if "images" in looks_at:
        made["images"] = [state.image] if method.scope == "image" else list(state.images)
    if state.dataset and "dataset" in looks_at:
        made["dataset"] = state.dataset
    if state.layer is not None and "layer" in own:
        made["layers"] = [state.layer]
    if state.units is not None and "units" in own:
        made["units"] = state.units
    return made


def drawn(state: State, made: Entry, figures: tuple[str, ...]) -> State:
    """The state after a section was drawn; one that was drawn before keeps its place."""
    shown = state.shown if made in state.shown else (*state.shown, made)
    return replace(state, shown=shown, last=made, figures=figures)


def document(
    state: State, sections: tuple[Entry, ...], home: Path | None = None, before: tuple[Entry, ...] = ()
) -> dict[str, Any]:
    """The spec of these sections with the nets and pictures they need; paths are relative to `home` where it is given.

    Nets come in the order of their first use, those of sections that were drawn `before` too: it decides their colours.
    """
    used = {
        "models": [name for one in (*before, *sections) for name in one["models"]],
        "images": [name for one in sections for name in one.get("images", ())],
        "datasets": [one["dataset"] for one in sections if "dataset" in one],
    }
    if any(state.datasets[name]["source"] in OF_IMAGES for name in used["datasets"]):
        used["images"] += list(state.images)
    made: dict[str, Any] = {"title": "Explored at the terminal"}
    for kind, names in used.items():
        if names:
            known = getattr(state, kind)
            made[kind] = {name: _told(known[name], kind, home) for name in dict.fromkeys(names)}
    made["sections"] = [
        {"id": name, **_told_section(one, home)} for name, one in zip(_ids(sections), sections, strict=True)
    ]
    return made


def _ids(sections: tuple[Entry, ...]) -> list[str]:
    counts: dict[str, int] = {}
    found = []
    for one in sections:
        name = one["method"]
        counts[name] = counts.get(name, 0) + 1
        found.append(name if counts[name] == 1 else f"{name}-{counts[name]}")
    return found


def _told_section(one: Entry, home: Path | None) -> dict[str, Any]:
    """A section with the paths among its params as seen from the spec's folder."""
    params = {name: _seen_from(value, home) for name, value in one.get("params", {}).items()}
    return {**one, **({"params": params} if params else {})}


def _told(entry: Entry, kind: str, home: Path | None) -> dict[str, Any]:
    """An entry with its paths as seen from the spec's folder."""
    told = dict(entry)
    for key in PATHS[kind]:
        if key in told:
            told[key] = _seen_from(told[key], home)
    return told


def _seen_from(value: Any, home: Path | None) -> Any:
    """An absolute path as one relative to `home`; any other value as it is."""
    if home is None or not isinstance(value, str) or not Path(value).is_absolute():
        return value
    try:
        return Path(os.path.relpath(value, home)).as_posix()
    except ValueError:  # on another drive
        return Path(value).as_posix()
