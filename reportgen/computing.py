"""One method on one net and some pictures, from Python: what `reportgen.compute` does."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast, overload

from reportgen import cells
from reportgen.errors import MethodError, NotApplicable, nearest
from reportgen.examples import Dataset
from reportgen.keys import digest
from reportgen.methods import methods
from reportgen.nets.shipped import shipped
from reportgen.passes import Job, scan
from reportgen.records import Artifact, Input, Method, Net, Origin, Picture
from reportgen.spec_params import make_params
from reportgen.store import Store

Points = Mapping[str, tuple[float, float]]  # part -> (x, y) in pixels of the picture


@overload
def compute(
    method: str,
    net: Net,
    pictures: Picture | Dataset | None = None,
    *,
    label: str | Sequence[str] = (),
    points: Points | Sequence[Points] = (),
    seed: int = 0,
    store: Store | None = None,
    before: Net | None = None,
    **params: Any,
) -> Artifact: ...
@overload
def compute(
    method: str,
    net: Net,
    pictures: Sequence[Picture],
    *,
    label: str | Sequence[str] = (),
    points: Points | Sequence[Points] = (),
    seed: int = 0,
    store: Store | None = None,
    before: Net | None = None,
    **params: Any,
) -> Any: ...
def compute(
    method: str,
    net: Net,
    pictures: Picture | Sequence[Picture] | Dataset | None = None,
    *,
    label: str | Sequence[str] = (),
    points: Points | Sequence[Points] = (),
    seed: int = 0,
    store: Store | None = None,
    before: Net | None = None,
    **params: Any,
) -> Artifact | list[Artifact]:
    """What a method gives for a picture (H x W x 3, 0..1), or a list of artifacts for a list of pictures.

    A method that looks at a set of images gives one artifact for the whole list, one that looks over a data set
    (`reportgen.load_dataset`) one for the set; one that looks at a run of training (known of the embedded nets) takes
    either or neither. `params` are the method's own, such as target, layer and units; `label` names what the
    pictures show; `points` are named places as (x, y) in pixels, one mapping for each picture; `before` is what the
    net was, for methods that compare the two. A store is used only when one is given. Raises MethodError for a wrong
    param, NotApplicable where the method has no meaning on this net.
    """
    found = _method(method)
    net = _with_before(found, net, before)
    filled = _params(found, net, params)
    if found.scope == "dataset":
        return _told(_over_dataset(found, net, pictures, filled, seed, store), found, net)
    labels = (label,) if isinstance(label, str) else tuple(label)
    many = isinstance(pictures, list | tuple)
    if found.scope == "training":
        return _told(_of_training(found, net, pictures, filled, seed, store), found, net)
    if found.scope == "net":
        given = [Input()]
    elif pictures is None:
        raise MethodError(f"{method} needs a picture, and none was given: compute({method!r}, net, picture).")
    else:
        listed = cast("Sequence[Picture]", pictures) if many else [cast("Picture", pictures)]
        placed = _points(listed, points)
        if "points" not in found.needs:  # what is no part of the key is not handed over
            placed = [{} for _ in listed]
        given = [Input(picture, labels, points=own) for picture, own in zip(listed, placed, strict=True)]
    if found.scope == "images":
        return _told(_set(found, net, given, filled, seed, store), found, net)
    made = [one for chunk in cells.chunks(given, 16) for one in _chunk(found, net, chunk, filled, seed, store)]
    artifacts = [_told(artifact, found, net, one.picture) for artifact, one in zip(made, given, strict=True)]
    return artifacts if many else artifacts[0]


def _with_before(method: Method, net: Net, before: Net | None) -> Net:
    """The net with what it was, where the method compares the two; they must have met on one device."""
    if "before" not in method.needs:
        if before is not None:
            raise MethodError(f"{method.name} looks at one net, and `before` means nothing to it; leave it out.")
        return net
    if before is None:
        raise MethodError(
            f"{method.name} compares a net with what it was: compute({method.name!r}, net, ..., before=other)."
        )
    if reason := cells.unfit_before(method, net.card, before.card):
        raise NotApplicable(reason)
    if (before.device, before.precision) != (net.device, net.precision):
        raise MethodError(
            f"before: that net is on {before.device} in {before.precision}, this one on {net.device} in "
            f"{net.precision}; right would be both alike."
        )
    return replace(net, before=before)


def _told(artifact: Artifact, method: Method, net: Net, picture: Picture | None = None) -> Artifact:
    """The artifact with what it was made of, for those who want to see it."""
    return replace(artifact, origin=Origin(method.name, picture, net.card.preprocess))


def _over_dataset(method: Method, net: Net, data: Any, params: Any, seed: int, store: Store | None) -> Artifact:
    """The one artifact of a data set; without a store its parts are kept in a folder that goes with the call."""
    if not isinstance(data, Dataset):
        raise MethodError(
            f"{method.name} looks over a data set: compute({method.name!r}, net, reportgen.load_dataset(source))."
        )
    if reason := cells.unfit_set(method, data):
        raise NotApplicable(reason)
    document = _document(method, net, params, seed, dataset=data.digest())
    found = _stored(store, document)
    if found is None:
        with tempfile.TemporaryDirectory() as folder:
            job = Job(method, params, document)
            outcome = scan(net, data, [job], store or Store(Path(folder)), lambda _: None)[job.key].result
        if isinstance(outcome, Exception):
            raise outcome
        _keep(method, outcome, document, store)
        found = outcome
    return found


def _points(pictures: Sequence[Picture], points: Points | Sequence[Points]) -> list[Points]:
    """The points of each picture, checked: one mapping for one picture, a list of them for a list."""
    listed = [points] if isinstance(points, Mapping) else list(points) or [{} for _ in pictures]
    if len(listed) != len(pictures):
        raise MethodError(f"points: {len(listed)} mappings for {len(pictures)} pictures; give one for each picture.")
    for picture, own in zip(pictures, listed, strict=True):
        for name, (x, y) in own.items():
            height, width = picture.shape[:2]
            if not (0 <= x <= width - 1 and 0 <= y <= height - 1):
                raise MethodError(
                    f"points: {name} ({x:g}, {y:g}) lies outside its picture of {width} x {height} pixels; right would "
                    f"be x from 0 to {width - 1} and y from 0 to {height - 1}."
                )
    return listed


def _set(method: Method, net: Net, given: Sequence[Input], params: Any, seed: int, store: Store | None) -> Artifact:
    """The one artifact of a set of pictures."""
    images = [_image(method, one) for one in given]
    return _one(method, net, given, params, store, _document(method, net, params, seed, images=images))


def _of_training(method: Method, net: Net, pictures: Any, params: Any, seed: int, store: Store | None) -> Artifact:
    """The one artifact of the training that is known of an embedded net, on a data set or some pictures, if any."""
    known = shipped(net.card.arch, net.card.weights)
    if known is None:
        raise NotApplicable(
            f"{method.name} looks at a run of training, and none is known of these weights of {net.card.arch}: only "
            "those have one that a report trains (`training:`), and the embedded weights of the mini nets."
        )
    data = pictures if isinstance(pictures, Dataset) else None
    listed = pictures if isinstance(pictures, list | tuple) else [pictures] if pictures is not data else []
    training = known.seen(net, data)
    given = [Input(picture, name=f"picture {number}") for number, picture in enumerate(listed, 1)] or [Input()]
    images, digested = [_image(method, one) for one in given], None if data is None else data.digest()
    document = _document(method, net, params, seed, images=images, dataset=digested, training=known.keys)
    return _one(method, net, [replace(one, training=training) for one in given], params, store, document)


def _one(
    method: Method, net: Net, given: Sequence[Input], params: Any, store: Store | None, document: Mapping[str, Any]
) -> Artifact:
    """The one artifact of several inputs, from the store where it is there."""
    found = _stored(store, document)
    if found is None:
        (found,) = method.run(net, given, params, [cells.random_numbers(document)])
        _keep(method, found, document, store)
    return found


def _chunk(
    method: Method, net: Net, given: Sequence[Input], params: Any, seed: int, store: Store | None
) -> list[Artifact]:
    """The artifacts of at most sixteen pictures; what the store holds is not computed again."""
    documents = [_document(method, net, params, seed, image=_image(method, one)) for one in given]
    found = [_stored(store, document) for document in documents]
    missing = [index for index, artifact in enumerate(found) if artifact is None]
    if missing:
        used: list[dict[str, Artifact]] = [{} for _ in missing]
        for name in method.uses:
            other = methods()[name]
            chunk = _chunk(other, net, [given[i] for i in missing], other.params(), seed, store)
            for entry, artifact in zip(used, chunk, strict=True):
                entry[name] = artifact
        inputs = [replace(given[i], used=entry) for i, entry in zip(missing, used, strict=True)]
        rngs = [cells.random_numbers(documents[i]) for i in missing]
        for i, artifact in zip(missing, method.run(net, inputs, params, rngs), strict=True):
            _keep(method, artifact, documents[i], store)
            found[i] = artifact
    return [artifact for artifact in found if artifact is not None]


def _keep(method: Method, artifact: Artifact, document: Mapping[str, Any], store: Store | None) -> None:
    """The artifact checked, and put into the store where there is one."""
    cells.check_artifact(method, artifact)
    if store is not None:
        blobs = {cells.BLOB: cells.to_bytes(artifact.arrays)}
        store.put(digest(document), kind="cell", document=document, meta=artifact.numbers, blobs=blobs)


def _stored(store: Store | None, document: Mapping[str, Any]) -> Artifact | None:
    record = store.get(digest(document)) if store is not None else None
    if store is None or record is None or not record.blobs:
        return None
    return Artifact(cells.from_bytes(store.read(record, cells.BLOB)), record.meta)


def _document(
    method: Method,
    net: Net,
    params: Any,
    seed: int,
    *,
    image: Mapping[str, Any] | None = None,
    images: Sequence[Mapping[str, Any] | None] | None = None,
    dataset: str | None = None,
    training: Sequence[str] = (),
) -> dict[str, Any]:
    how: dict[str, Any] = {"image": image, "images": images, "dataset": dataset, "precision": net.precision}
    compared = net.before if "before" in method.needs else None
    how |= {"training": training, "before": compared.card if compared is not None else None}
    return cells.key_document(method, params, net.card, uses={}, seed=seed, **how)


def _image(method: Method, given: Input) -> dict[str, Any] | None:
    """What a key says about a picture."""
    if given.picture is None:
        return None
    import hashlib

    import numpy as np

    pixels = np.ascontiguousarray(given.picture, dtype=np.float32)
    image = {"pixels": hashlib.sha256(pixels.tobytes()).hexdigest(), "shape": pixels.shape, "labels": given.labels}
    return {**image, "points": given.points} if "points" in method.needs else image


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
