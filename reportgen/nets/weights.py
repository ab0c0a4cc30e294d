"""Which weights a net is to have: found, described and digested, without loading them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from reportgen.errors import ModelError, nearest
from reportgen.keys import digest
from reportgen.nets import archs, timm_nets, views
from reportgen.nets.files import GUESSED_SIZE, check_arguments, describe_file, resize_for
from reportgen.nets.hub import MissingWeights, Published, Unreachable, fetch_hub, hub_folder, missing, published
from reportgen.nets.tensors import SUFFIXES, describe, read_state, tensor_digest, weights_digest
from reportgen.records import Preprocess

__all__ = [
    "MissingWeights",
    "Published",
    "Resolved",
    "Unreachable",
    "fetch_hub",
    "hub_folder",
    "read_state",
    "resolve",
    "tensor_digest",
    "weights_digest",
]

EMBEDDED = Path(__file__).parent / "weights"
IMAGENET = Preprocess(256, 224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_SIZES = {"inception_v3": (342, 299)}  # resize and crop where torchvision's nets were not made for 256 and 224
Kind = Literal["embedded", "hub", "file", "random", "program"]


@dataclass(frozen=True)
class Resolved:
    """A net and its weights, known without building it: enough for keys, plans and messages."""

    arch: str
    builder: str  # what makes the module, for keys
    kind: Kind
    path: Path | None  # the weights file
    digest: str  # SHA-256 of the tensors; of the recipe where they are random
    source: str  # for people: "IMAGENET1K_V1", "embedded", "random, seed 5", a file's name
    seed: int
    kwargs: Mapping[str, Any]  # arguments of the builder, without num_classes
    num_classes: int | None  # where it is known before the file is opened
    preprocess: Preprocess  # the net's own
    classes: tuple[str, ...]  # the names that come with the weights, if any
    numbers: Mapping[str, float] = field(default_factory=dict)  # measured by us: top1
    basis: Mapping[str, str] = field(default_factory=dict)  # where size and colours of `preprocess` come from


def resolve(
    arch: str,
    weights: str | Path | None = None,
    seed: int = 0,
    kwargs: Mapping[str, Any] | None = None,
    *,
    base: Path | None = None,
    memo_dir: Path | None = None,
) -> Resolved:
    """The weights that `weights` means for a net: its default, an enum's name, a file below `base`, or "random".

    The default is the embedded weights for a mini net and IMAGENET1K_V1 from the hub cache for torchvision's (see
    `hub.published`). Digests are remembered in `memo_dir`. Raises ModelError for what does not exist, MissingWeights
    for published weights that are not on this machine.
    """
    arguments = dict(kwargs or {})
    if archs.origin(arch) == "file":
        check_arguments(arch, weights, arguments)
        return _program(arch, (base or Path()) / arch, memo_dir)
    kind = _kind(arch, weights, base)
    # A callable of the user's gets its arguments as they are; the number of outputs is then what it makes of them.
    num_classes = None if archs.origin(arch) == "code" else _class_count(arguments.pop("num_classes", None))
    if kind == "random":
        made_by = archs.builder(arch, arguments)
        source, recipe = f"random, seed {seed}", random_digest(made_by, num_classes, seed)
        view = _default_view(arch)
        basis = _basis(arch, {}) if archs.origin(arch) == "timm" else {}  # nobody trained it: any view is as good
        return Resolved(arch, made_by, kind, None, recipe, source, seed, arguments, num_classes, view, (), basis=basis)
    if kind == "hub":
        return _hub(arch, weights, arguments, num_classes, memo_dir)
    path = _embedded(arch) if kind == "embedded" else (base or Path()) / str(weights)
    known = describe(path, memo_dir)
    said = known.metadata if known.metadata.get("arch", arch) == arch else {}
    arguments = {**_json(said, "kwargs", {}), **arguments}
    return Resolved(
        arch=arch,
        builder=archs.builder(arch, arguments),
        kind=kind,
        path=path,
        digest=known.digest,
        source="embedded" if kind == "embedded" else path.name,
        seed=seed,
        kwargs=arguments,
        num_classes=num_classes or _json(said, "num_classes", None),
        preprocess=_said_view(said, arch),
        classes=tuple(_json(said, "classes", ())),
        numbers={"top1": float(said["top1"])} if "top1" in said else {},
        basis=_basis(arch, said),
    )


def _program(arch: str, path: Path, memo_dir: Path | None) -> Resolved:
    """A model file: what it says about its input, and ImageNet's colours where nothing in it tells any."""
    known = describe_file(path, memo_dir)
    size = known.size or GUESSED_SIZE
    own = Preprocess(resize_for(size), size, IMAGENET.mean, IMAGENET.std)
    asked, colours = known.colours or (None, views.GUESS)
    view, _ = views.view_of(own, asked, {})
    return Resolved(
        arch=path.name,  # pages carry no path of the machine
        builder=known.builder,
        kind="program",
        path=path,
        digest=known.digest,
        source=path.name,
        seed=0,
        kwargs={},
        num_classes=None,
        preprocess=view,
        classes=(),
        basis={"size": views.FILE if known.size else views.GUESS, "colours": colours},
    )


def random_digest(builder: str, num_classes: int | None, seed: int) -> str:
    """What stands for the tensors of a net with random weights: the recipe they are drawn by."""
    return digest(["random", builder, num_classes, seed])


def _kind(arch: str, weights: str | Path | None, base: Path | None) -> Kind:
    where = archs.origin(arch)
    if weights is None or weights == "embedded":
        if where == "timm":
            timm_nets.check_installed(arch)
        if where in ("code", "bare", "timm"):
            raise ModelError(f"{arch}: say which weights: a .safetensors or .pth file, or random.")
        if weights is not None and where != "mini":
            raise ModelError(f"No weights of {arch} are embedded, only those of {', '.join(archs.MINIS)}.")
        return "embedded" if where == "mini" else "hub"
    if weights == "random":
        return "random"
    text = str(weights)
    if text.endswith(SUFFIXES) or "/" in text or "\\" in text or ((base or Path()) / text).exists():
        return "file"
    if where == "torchvision":
        return "hub"
    raise ModelError(
        f"{arch} has no weights {text!r}. {nearest(text, ['embedded', 'random'] if where == 'mini' else ['random'])} "
        f"A file ends in {', '.join(SUFFIXES)}."
    )


def _hub(
    arch: str, enum: str | Path | None, kwargs: dict[str, Any], num_classes: int | None, memo_dir: Path | None
) -> Resolved:
    found = published(arch, None if enum is None else str(enum), memo_dir)
    path = hub_folder() / found.filename
    if not path.is_file():
        raise missing(arch, found)
    if arch in ("googlenet", "inception_v3"):
        kwargs = {"transform_input": True, **kwargs}  # weights from TensorFlow, made for inputs between -1 and 1
    return Resolved(
        arch=arch,
        builder=archs.builder(arch, kwargs),
        kind="hub",
        path=path,
        digest=describe(path, memo_dir).digest,
        source=found.enum,
        seed=0,
        kwargs=kwargs,
        num_classes=num_classes,
        preprocess=found.preprocess,
        classes=found.classes,
        basis={"size": views.PUBLISHED, "colours": views.PUBLISHED},
    )


def _embedded(arch: str) -> Path:
    path = EMBEDDED / f"{arch}.safetensors"
    if not path.is_file():
        raise ModelError(f"The embedded weights of {arch} are missing from this installation: {path.name}. Reinstall.")
    return path


def _basis(arch: str, said: Mapping[str, str]) -> dict[str, str]:
    """Where the view of a weights file comes from: itself, what timm publishes for the net, or nowhere."""
    if archs.origin(arch) == "timm":
        return dict.fromkeys(("size", "colours"), views.TIMM)
    return {
        "size": views.FILE if "input_size" in said else views.GUESS,
        "colours": views.FILE if {"input_size", "mean", "std"} <= set(said) else views.GUESS,
    }


def _default_view(arch: str) -> Preprocess:
    if archs.origin(arch) == "timm":
        return timm_nets.view(arch)
    if archs.origin(arch) == "bare":
        return Preprocess(72, 64, IMAGENET.mean, IMAGENET.std)  # 9/8, as recipes have it
    if archs.origin(arch) == "mini":
        return Preprocess(146, 128, IMAGENET.mean, IMAGENET.std)  # the same margin as 256 for 224
    resize, size = _SIZES.get(arch, (256, 224))
    return Preprocess(resize, size, IMAGENET.mean, IMAGENET.std)


def _said_view(said: Mapping[str, str], arch: str) -> Preprocess:
    """The preprocessing a file written by `reportgen train` asks for, else the net's default."""
    default = _default_view(arch)
    if "input_size" not in said:
        return default
    size = int(said["input_size"])
    return Preprocess(
        resize=int(said.get("resize", size)),
        size=size,
        mean=tuple(_json(said, "mean", default.mean)),
        std=tuple(_json(said, "std", default.std)),
    )


def _json(said: Mapping[str, str], key: str, default: Any) -> Any:
    try:
        return json.loads(said[key]) if key in said else default
    except ValueError as error:
        raise ModelError(f"The weights file's own description is damaged: {key} is {said[key]!r}.") from error


def _class_count(value: Any) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return value
    raise ModelError(f"num_classes must be a positive whole number, not {value!r}.")
