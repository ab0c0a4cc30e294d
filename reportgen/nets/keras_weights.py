"""Where the weights of each layer lie in a Keras file: by its name, or by its class and number, in Keras' own order.

HDF5 model files list the weights of a layer by name, those of a net within it first the trained ones, then the others.
A .keras file numbers them, below a group for each layer, called by the layer's class and how many there were before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from reportgen.errors import ModelError
from reportgen.nets.hdf5 import Hdf5
from reportgen.nets.keras_config import KerasNet, Layer
from reportgen.nets.keras_layers import slots

Path = tuple[str, ...]  # names of nets and of a layer, outermost first
Places = Mapping[Path, Mapping[str, str]]  # where in the file each weight of a layer lies
_CONTAINERS = ("layers", "_layer_checkpoint_dependencies")  # the second in files of Keras 2.12 and 2.13


def by_names(file: Hdf5, net: KerasNet) -> Places:
    """The places of all weights in an HDF5 model file."""
    root = "model_weights" if file.has("model_weights") else ""
    found: dict[Path, dict[str, str]] = {}
    for layer in net.layers:
        wanted = _in_order(layer)
        if not wanted:
            continue
        names = file.texts(f"{root}/{layer.name}", "weight_names") or []
        if len(names) != len(wanted):
            raise ModelError(
                f"The model file {file.path} is damaged: it has {len(names)} weights for the layer "
                f"{layer.name[:60]!r}, whose settings ask for {len(wanted)}."
            )
        for (path, slot), name in zip(wanted, names, strict=True):
            _check(file, path, slot, name, {place[-1] for place, _ in wanted})
            found.setdefault(path, {})[slot] = f"{root}/{layer.name}/{name}"
    return found


def _in_order(layer: Layer) -> list[tuple[Path, str]]:
    """The weights of a layer, or of the net that it is, as Keras lists them."""
    every = [(path, slot, flag) for path, leaf in _leaves(layer, ()) for slot, flag in _flagged(leaf)]
    return [(path, slot) for flag in (True, False) for path, slot, own in every if own is flag]


def _flagged(layer: Layer) -> list[tuple[str, bool]]:
    free = bool(layer.settings.get("trainable", True))
    return [(slot, flag and free) for slot, flag in slots(layer)]


def _leaves(layer: Layer, above: Path) -> Iterator[tuple[Path, Layer]]:
    path = (*above, layer.name)
    if layer.net is None:
        yield path, layer
        return
    for inner in layer.net.layers:
        yield from _leaves(inner, path)


def _check(file: Hdf5, path: Path, slot: str, name: str, layers: set[str]) -> None:
    """Raise ModelError where a weight's name speaks of another weight or of another layer than its place does."""
    words = name.partition(":")[0].split("/")
    kind = re.sub(r"_\d+$", "", words[-1])
    owner = words[-2] if len(words) > 1 else ""
    if (not slot.endswith(kind) and not kind.endswith(slot)) or (owner in layers and owner != path[-1]):
        raise ModelError(
            f"The model file {file.path} is damaged: where its settings have {'/'.join((*path, slot))[:80]!r}, its "
            f"weights have {name[:80]!r}."
        )


def by_numbers(file: Hdf5, net: KerasNet, place: str = "", above: Path = ()) -> Places:
    """The places of all weights in the HDF5 file within a .keras file."""
    within = next((f"{place}/{name}" for name in _CONTAINERS if file.has(f"{place}/{name}")), "")
    groups = _groups(file, within, net)
    found: dict[Path, Mapping[str, str]] = {}
    for layer in net.layers:
        path, group = (*above, layer.name), groups.get(layer.name, "")
        if layer.net is not None:
            found.update(by_numbers(file, layer.net, group, path))
        elif wanted := slots(layer):
            if not group or len(file.names(f"{group}/vars")) != len(wanted):
                raise ModelError(
                    f"The model file {file.path} is damaged: it has not the {len(wanted)} weights that the settings of "
                    f"{'/'.join(path)[:80]!r} ask for."
                )
            found[path] = {slot: f"{group}/vars/{number}" for number, (slot, _) in enumerate(wanted)}
    return found


def _groups(file: Hdf5, within: str, net: KerasNet) -> dict[str, str]:
    """The group of each layer: which says the layer's name, where the file has such, else the one with its number."""
    if not within:
        return {}
    inside = file.names(within)
    said = {file.marked(f"{within}/{name}/vars", "name"): f"{within}/{name}" for name in inside}
    if all(layer.name in said for layer in net.layers if slots(layer) or layer.net is not None):
        return said
    counts: dict[str, int] = {}
    found = {}
    for layer in net.layers:
        kind = _snake(layer.kind)
        number = counts.get(kind, 0)
        # Keras 2.12 and 2.13 have layers with weights in their list twice, and count the second as another.
        counts[kind] = number + (2 if within.endswith(_CONTAINERS[1]) and _in_order(layer) else 1)
        name = f"{kind}_{number}" if number else kind
        found[layer.name] = f"{within}/{name}" if name in inside else ""
    return found


def _snake(kind: str) -> str:
    """A class as Keras calls its groups: SeparableConv2D is separable_conv2d, ReLU re_lu."""
    words = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", kind))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()


def read_all(file: Hdf5, places: Mapping[str, str]) -> dict[str, Any]:
    """A layer's weights as arrays."""
    return {slot: file.numbers(place) for slot, place in places.items()}
