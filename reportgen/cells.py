"""What makes a cell the cell it is: its key document, its random numbers, and its artifact as bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from reportgen import change, keys, patterns
from reportgen.errors import MethodError
from reportgen.records import Artifact, Card, Method, Precision, Preprocess

if TYPE_CHECKING:
    import numpy as np

    from reportgen.examples import Dataset

BLOB = "arrays.safetensors"
OF_SETS = ("images", "training")  # scopes whose cells have a set of pictures each, and are a call of their own


def key_document(
    method: Method,
    params: Any,
    card: Card,
    *,
    image: Mapping[str, Any] | None,
    images: Sequence[Mapping[str, Any] | None] | None = None,
    dataset: str | None = None,
    uses: Mapping[str, str],
    precision: Precision,
    seed: int,
    training: Sequence[str] = (),
    before: Card | None = None,
) -> dict[str, Any]:
    """Everything that can change a cell's result, and nothing that cannot (device, threads, batch size, paths).

    `images` are the pictures of a method that looks at a set of them, `dataset` the digest of a data set; `image` is
    None then. `training` are the keys of the runs that a method of that scope looks at, `before` is the card of the
    net that a method compares this one with.
    """
    document = {
        "schema": keys.KEY_SCHEMA,
        "kind": "cell",
        "numerics_epoch": keys.NUMERICS_EPOCH,
        "method": {"name": method.name, "version": method.version},
        "params": _telling(params),
        "net": _net(card),
        "image": image,
        "uses": uses,
        "precision": precision,
        "seed": seed,
    }
    if dataset is not None:
        document["dataset"] = dataset
    if training:
        document["training"] = list(training)
    if before is not None:
        document["before"] = _net(before)
    if methods := _named_methods(params):
        document["methods"] = methods
    return document if images is None else {**document, "images": list(images)}


def _net(card: Card) -> dict[str, Any]:
    """What a key says of a net."""
    return {
        "builder": card.builder,
        "weights": card.weights,
        "classes": keys.digest(card.classes),
        "preprocess": _preprocessing(card.preprocess),
        # what a method prints about the net without running it
        "facts": keys.digest({"facts": card.facts, "numbers": card.numbers}),
    }


def unfit(method: Method, card: Card) -> str:
    """Why a net lacks what the method needs, or an empty text."""
    if "relu" in method.needs and not card.rectified:
        return (
            f"{card.facts.title or card.arch} has activation functions that are not rectifications (such as GELU or "
            f"SiLU), so there is nothing for the rules of {method.title} to act on."
        )
    if "global_pooling" in method.needs and not card.global_pooling:
        return f"{card.facts.title or card.arch} does not end in global average pooling and one dense layer."
    if "class_maps" in method.needs and patterns.map_layer(card) is None:
        return (
            f"{card.facts.title or card.arch} has no layer of one map per class whose means are its logits, as the "
            "encoder-decoder (arch: encdec) and SqueezeNet have."
        )
    return ""


def unfit_before(method: Method, card: Card, before: Card | None) -> str:
    """Why a net cannot be compared with what it was before, where the method does that, or an empty text."""
    if "before" not in method.needs:
        return ""
    if before is None:
        return (
            f"{card.facts.title or card.arch} is not said to have come from another net, so there is nothing to "
            "compare it with; right would be `before:` with the name of another model, at this one."
        )
    return change.unlike(before, card)


def _named_methods(params: Any) -> dict[str, int]:
    """The versions of the methods that params name, such as that whose maps are compared: their results are in here."""
    named = [getattr(params, field.name) for field in fields(params) if field.metadata.get("method")]
    if not named:
        return {}
    from reportgen.methods import method

    return {name: method(name).version for name in named}


def _telling(params: Any) -> dict[str, Any]:
    """The params but for paths, which say where a file lies: the digest beside them says what it holds."""
    paths = paths_of(params)
    return {name: value for name, value in asdict(params).items() if name not in paths}


def paths_of(params: Any) -> dict[str, str]:
    """The params that may name a file, by name; a value may also be a word such as `embedded`."""
    return {field.name: getattr(params, field.name) for field in fields(params) if field.metadata.get("path")}


def unfit_set(method: Method, data: Dataset) -> str:
    """Why a data set lacks what the method needs, or an empty text."""
    for what in ("masks", "points"):
        if what in method.needs and not getattr(data, what):
            return f"The pictures of {data.name} come without {what}, which {method.title} needs."
    return ""


def random_numbers(document: Mapping[str, Any]) -> np.random.Generator:
    """The cell's own generator, seeded by method, params, image and the user's seed: all nets see the same noise.

    The layer does not count: the same depth goes by another name in every net.
    """
    import numpy as np

    params = {name: value for name, value in document["params"].items() if name != "layer"}
    shown = document.get("images", document.get("dataset", document["image"]))
    parts = [document["method"]["name"], params, shown, document["seed"]]
    return np.random.default_rng(int(keys.digest(parts)[:16], 16))


def check_artifact(method: Method, artifact: Artifact) -> None:
    """Nothing, or MethodError where an artifact lacks a documented array or holds NaN or infinity."""
    import numpy as np

    if missing := [name for name in method.arrays if name not in artifact.arrays]:
        raise MethodError(f"{method.name} did not give the array {missing[0]!r} it documents.")
    for name, array in artifact.arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise MethodError(
                f"{method.name} gave NaN or infinity in {name!r}: the net's values overflow on this picture. "
                "Check the weights and the preprocessing, or ask for precision: fp64."
            )


def to_bytes(arrays: Mapping[str, Any]) -> bytes:
    """The arrays as one safetensors file: equal arrays, equal bytes."""
    import numpy as np
    from safetensors.numpy import save

    return save({name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)})


def from_bytes(data: bytes) -> dict[str, Any]:
    """The arrays of a safetensors file."""
    from safetensors.numpy import load

    return dict(load(data))


def chunks(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    """The items in their order, in pieces of at most `size`."""
    return [items[i : i + size] for i in range(0, len(items), size)]


def _preprocessing(view: Preprocess) -> dict[str, Any]:
    """What a key says of the preprocessing: the order of channels only where it is not the usual one."""
    said = {**asdict(view), "decoder": "pillow"}
    return said if view.order != "rgb" else {key: value for key, value in said.items() if key != "order"}
