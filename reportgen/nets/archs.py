"""Which architectures there are, found without importing torch or torchvision, and how one is built."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from reportgen.errors import ModelError, nearest
from reportgen.keys import canonical
from reportgen.nets import timm_nets
from reportgen.nets.files import UNREAD, is_file, unread

if TYPE_CHECKING:
    from torch import nn

MINIS = ("alexnet_mini", "googlenet_mini", "resnet_mini", "vgg_mini")
BARE = ("encdec",)  # ours too, but no weights of theirs are embedded
OURS = (*MINIS, *BARE)  # what a recipe can train
Origin = Literal["mini", "bare", "torchvision", "timm", "file", "code"]

# Side outputs for training only: never run in eval mode, and their random weights would take seconds to draw.
_WITHOUT_AUXILIARY = {"aux_logits": False, "init_weights": False}
_QUIET = {"googlenet": _WITHOUT_AUXILIARY, "inception_v3": _WITHOUT_AUXILIARY}
_REGISTERED = re.compile(r"^@register_model\(\)\n(?:(?!def ).*\n)*?def (\w+)\(", re.MULTILINE)


@lru_cache(maxsize=1)
def known_archs() -> tuple[str, ...]:
    """The names of all nets that need no code of the user's: ours, then torchvision's classifiers."""
    return (*OURS, *torchvision_archs())


@lru_cache(maxsize=1)
def torchvision_archs() -> tuple[str, ...]:
    """The classification nets of the torchvision that is installed, read from its source text."""
    found = find_spec("torchvision")
    folders = found.submodule_search_locations if found else None
    names: set[str] = set()
    for folder in folders or ():
        for path in Path(folder, "models").glob("*.py"):  # its subfolders hold detection, segmentation, video ...
            names.update(_REGISTERED.findall(path.read_text(encoding="utf-8")))
    return tuple(sorted(names))


def origin(arch: str) -> Origin:
    """Where an architecture comes from. Raises ModelError with the nearest names for one that is unknown."""
    if arch in MINIS:
        return "mini"
    if arch in BARE:
        return "bare"
    if arch in torchvision_archs():
        return "torchvision"
    if is_file(arch):
        return "file"
    if arch.startswith(timm_nets.PREFIX):
        return "timm"
    if ":" in arch:
        return "code"
    if arch.lower().endswith(UNREAD):
        raise unread(arch)
    raise ModelError(f"There is no net called {arch!r}. {nearest(arch, known_archs())}")


def builder(arch: str, kwargs: Mapping[str, Any]) -> str:
    """What makes the net, for keys: "torchvision.alexnet", with its arguments where there are any."""
    prefix = {"mini": "reportgen.", "bare": "reportgen.", "torchvision": "torchvision."}.get(origin(arch), "")
    try:
        return f"{prefix}{arch}{canonical(kwargs) if kwargs else ''}"
    except (TypeError, ValueError) as error:
        raise ModelError(f"The arguments of {arch} must be plain JSON values: {error}.") from error


def build(arch: str, num_classes: int | None, kwargs: Mapping[str, Any], allow_code: bool = False) -> nn.Module:
    """A net with fresh weights, on torch's default device, from torch's global random numbers.

    `num_classes` goes to our and torchvision's builders where it is given; a callable of the user's takes kwargs only.
    """
    where = origin(arch)
    asked = dict(kwargs)
    if where != "code" and num_classes is not None:
        asked = {"num_classes": num_classes, **asked}
    make = _maker(arch, where, allow_code)
    try:
        made = make(**{**_QUIET.get(arch, {}), **asked})
    except Exception as error:  # whatever a builder does with arguments it does not want
        shown = ", ".join(f"{key}={value!r}" for key, value in asked.items())
        raise ModelError(f"{arch}({shown}) cannot be built: {type(error).__name__}: {error}") from error
    import torch

    if not isinstance(made, torch.nn.Module):
        raise ModelError(f"{arch} gave a {type(made).__name__}; a net must be a torch.nn.Module.")
    return made.eval()


def vision_models() -> Any:
    """The module torchvision.models, or a ModelError that says what to install."""
    try:
        from torchvision import models
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision built for another torch
        raise ModelError(
            f"torchvision cannot be imported ({error}). Install torch and torchvision of the same release from the "
            "same index; the mini nets work without torchvision."
        ) from error
    return models


def _maker(arch: str, where: Origin, allow_code: bool) -> Callable[..., Any]:
    if where == "code":
        return cast(Callable[..., Any], _callable(arch, allow_code))
    if where == "timm":
        return timm_nets.maker(arch)
    return ours(arch) if arch in OURS else cast(Callable[..., Any], _theirs(arch))


def ours(arch: str) -> Callable[..., nn.Module]:
    """What builds one of our nets: called with num_classes and its own arguments."""
    from reportgen.nets import encdec, mini

    if arch in BARE:
        return encdec.build
    return lambda **kwargs: mini.build(arch, **kwargs)


def _theirs(arch: str) -> Any:
    return getattr(vision_models(), arch)


def _callable(arch: str, allow_code: bool) -> Any:
    if not allow_code:
        raise ModelError(
            f"{arch!r} is code of yours, and a spec runs no code by itself. If you trust it, pass --allow-code (in "
            "Python: allow_code=True)."
        )
    from importlib import import_module

    module, _, name = arch.partition(":")
    try:
        return cast(Any, getattr(import_module(module), name))
    except ImportError as error:
        raise ModelError(f"{arch}: the module {module!r} cannot be imported ({error}). Is it on PYTHONPATH?") from error
    except AttributeError as error:
        known = [key for key, value in vars(import_module(module)).items() if callable(value)]
        raise ModelError(f"The module {module} has no {name!r}. {nearest(name, known)}") from error
