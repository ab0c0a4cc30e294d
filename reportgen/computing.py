"""One method on one net and some pictures, from Python: what `reportgen.compute` does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast, overload

from reportgen import cells
from reportgen.errors import MethodError, NotApplicable, nearest
from reportgen.keys import digest
from reportgen.methods import methods
from reportgen.records import Artifact, Input, Method, Net, Picture
from reportgen.spec_params import make_params
from reportgen.store import Store


@overload
def compute(
    method: str,
    net: Net,
    pictures: Picture | None = None,
    *,
    label: str | Sequence[str] = (),
    seed: int = 0,
    store: Store | None = None,
    **params: Any,
) -> Artifact: ...
@overload
def compute(
    method: str,
    net: Net,
    pictures: Sequence[Picture],
    *,
    label: str | Sequence[str] = (),
    seed: int = 0,
    store: Store | None = None,
    **params: Any,
) -> list[Artifact]: ...
def compute(
    method: str,
    net: Net,
    pictures: Picture | Sequence[Picture] | None = None,
    *,
    label: str | Sequence[str] = (),
    seed: int = 0,
    store: Store | None = None,
    **params: Any,
) -> Artifact | list[Artifact]:
    """What a method gives for a picture (H x W x 3, 0..1), or a list of artifacts for a list of pictures.

    `params` are the method's own, such as target, layer and units; `label` names what the pictures show. A store is
    used only when one is given. Raises MethodError for a wrong param, NotApplicable where the method has no meaning
    on this net.
    """
    found = _method(method)
    filled = _params(found, net, params)
    labels = (label,) if isinstance(label, str) else tuple(label)
    many = isinstance(pictures, list | tuple)
    given: Sequence[Picture | None]
    if found.scope == "net":
        given = [None]
    elif pictures is None:
        raise MethodError(f"{method} needs a picture, and none was given: compute({method!r}, net, picture).")
    else:
        given = cast("Sequence[Picture]", pictures) if many else [cast("Picture", pictures)]
    artifacts = [
        one for chunk in cells.chunks(given, 16) for one in _chunk(found, net, chunk, labels, filled, seed, store)
    ]
    return artifacts if many else artifacts[0]


def _chunk(
    method: Method,
    net: Net,
    pictures: Sequence[Picture | None],
    labels: tuple[str, ...],
    params: Any,
    seed: int,
    store: Store | None,
) -> list[Artifact]:
    """The artifacts of at most sixteen pictures; what the store holds is not computed again."""
    documents = [_document(method, net, picture, labels, params, seed) for picture in pictures]
    found = [_stored(store, document) for document in documents]
    missing = [index for index, artifact in enumerate(found) if artifact is None]
    if missing:
        used: list[dict[str, Artifact]] = [{} for _ in missing]
        for name in method.uses:
            other = methods()[name]
            chunk = _chunk(other, net, [pictures[i] for i in missing], labels, other.params(), seed, store)
            for entry, artifact in zip(used, chunk, strict=True):
                entry[name] = artifact
        inputs = [Input(pictures[i], labels, entry) for i, entry in zip(missing, used, strict=True)]
        rngs = [cells.random_numbers(documents[i]) for i in missing]
        for i, artifact in zip(missing, method.run(net, inputs, params, rngs), strict=True):
            cells.check_artifact(method, artifact)
            found[i] = artifact
            if store is not None:
                blobs = {cells.BLOB: cells.to_bytes(artifact.arrays)}
                store.put(digest(documents[i]), kind="cell", document=documents[i], meta=artifact.numbers, blobs=blobs)
    return [artifact for artifact in found if artifact is not None]


def _stored(store: Store | None, document: Mapping[str, Any]) -> Artifact | None:
    record = store.get(digest(document)) if store is not None else None
    if store is None or record is None or not record.blobs:
        return None
    return Artifact(cells.from_bytes(store.read(record, cells.BLOB)), record.meta)


def _document(
    method: Method, net: Net, picture: Picture | None, labels: tuple[str, ...], params: Any, seed: int
) -> dict[str, Any]:
    image = None
    if picture is not None:
        import hashlib

        import numpy as np

        pixels = np.ascontiguousarray(picture, dtype=np.float32)
        image = {"pixels": hashlib.sha256(pixels.tobytes()).hexdigest(), "shape": pixels.shape, "labels": labels}
    return cells.key_document(method, params, net.card, image=image, uses={}, precision=net.precision, seed=seed)


def _method(name: str) -> Method:
    known = methods()
    if name not in known:
        raise MethodError(f"There is no method {name!r}. {nearest(name, known)}")
    return known[name]


def _params(method: Method, net: Net, given: Mapping[str, Any]) -> Any:
    """The method's params, checked, with the layer's own name in place of a stage or alias."""
    if reason := cells.unfit(method, net.card):
        raise NotApplicable(reason)
    params = make_params(method, given)
    return replace(params, layer=net.card.resolve(params.layer).name) if hasattr(params, "layer") else params
