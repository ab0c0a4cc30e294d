"""Nets of timm, an extra: `timm:resnet18`. Nothing is downloaded: weights are a file, or random."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from reportgen.errors import ModelError, nearest
from reportgen.records import Preprocess

PREFIX = "timm:"
# Arguments that make timm look for weights: what it finds would be neither asked for nor known by its digest.
_FETCHING = ("pretrained", "checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir")


def maker(arch: str) -> Callable[..., Any]:
    """What builds the net: called with num_classes and its own arguments. Raises ModelError for names timm lacks."""
    timm, name = _timm(arch), arch.removeprefix(PREFIX)
    if not timm.is_model(name) or "/" in name:
        raise ModelError(f"timm has no net called {name!r}. {nearest(name, timm.list_models())}")

    def make(**kwargs: Any) -> Any:
        if found := [key for key in _FETCHING if key in kwargs]:
            raise ValueError(f"{found[0]} means nothing here: give the weights as a file")
        return timm.create_model(name, pretrained=False, **kwargs)

    return make


def view(arch: str) -> Preprocess:
    """The preprocessing that timm publishes for the net's own weights."""
    maker(arch)
    told: Mapping[str, Any] = _timm(arch).get_pretrained_cfg(arch.removeprefix(PREFIX)).to_dict()
    size = int(told["input_size"][-1])
    interpolation = told.get("interpolation", "bilinear")
    return Preprocess(
        resize=int(size / told.get("crop_pct", 0.875)),
        size=size,
        mean=tuple(told["mean"]),
        std=tuple(told["std"]),
        interpolation=interpolation if interpolation in ("bilinear", "bicubic", "nearest") else "bicubic",
    )


def check_installed(arch: str) -> None:
    """Raise ModelError where the extra is missing."""
    if find_spec("timm") is None:
        raise ModelError(f"{arch} needs the extra timm, which is not installed: pip install 'reportgen[timm]'")


def _timm(arch: str) -> Any:
    check_installed(arch)
    return import_module("timm")
