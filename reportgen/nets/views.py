"""How a picture becomes a net's input where the user says it: by a name, or by what differs from the net's own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from reportgen.errors import ModelError, nearest
from reportgen.records import Preprocess

# What frameworks do to pictures; `range` is what the values 0..1 are stretched to before mean and std.
NAMED: dict[str, Mapping[str, Any]] = {
    "torch": {"range": (0, 1), "order": "rgb", "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)},
    "tf": {"range": (-1, 1), "order": "rgb", "mean": (0, 0, 0), "std": (1, 1, 1)},
    "caffe": {"range": (0, 255), "order": "bgr", "mean": (103.939, 116.779, 123.68), "std": (1, 1, 1)},
}
KEYS = ("size", "resize", "mean", "std", "range", "order", "interpolation")
FILE, SPEC, PUBLISHED = "read from the file", "given by the user", "published with the weights"
GUESS = "a guess: the file does not say"
TIMM = "timm's for its own weights: the file does not say"
Asked = Preprocess | Mapping[str, Any] | str


def view_of(own: Preprocess, asked: Asked | None, basis: Mapping[str, str]) -> tuple[Preprocess, dict[str, str]]:
    """The net's own preprocessing with what the user says differently, and where its size and colours come from.

    A new size keeps the crop's margin. Mean and std are in the net's order of channels and in its range; kept are
    those of RGB values from 0 to 1.
    """
    if asked is None:
        return own, dict(basis)
    if isinstance(asked, Preprocess):
        return asked, {"size": SPEC, "colours": SPEC}
    if isinstance(asked, str):
        if asked not in NAMED:
            raise ModelError(f"There is no preprocessing called {asked!r}. {nearest(asked, NAMED)}")
        asked = NAMED[asked]
    for key in asked:
        if key not in KEYS:
            raise ModelError(f"preprocess has no {key!r}. {nearest(key, KEYS)}")
    given: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in asked.items() if v is not None}
    said = dict(basis)
    if "size" in given:
        said["size"] = SPEC
        given.setdefault("resize", round(given["size"] * own.resize / own.size))
    if {"mean", "std", "range", "order"} & set(given):
        said["colours"] = SPEC
        given |= _colours(own, given)
    given.pop("range", None)
    return replace(own, **given), said


def words(view: Preprocess) -> str:
    """The preprocessing in words: the order of channels, and what is taken off and divided by."""
    mean, std = (" ".join(f"{value:.4g}" for value in part) for part in (view.mean, view.std))
    turned = "; the net was made for BGR, its first layer is turned to RGB" if view.order == "bgr" else ""
    return f"RGB from 0 to 1, less {mean}, divided by {std}{turned}"


def _colours(own: Preprocess, given: Mapping[str, Any]) -> dict[str, Any]:
    """Mean, std and order for RGB values from 0 to 1: what (stretched - mean) / std comes to."""
    order = given.get("order", own.order)
    low, high = given.get("range", (0, 1))
    if order not in ("rgb", "bgr"):
        raise ModelError(f"order must be rgb or bgr, not {order!r}.")
    if "range" in given and not {"mean", "std"} & set(given):
        given = {"mean": (0, 0, 0), "std": (1, 1, 1), **given}  # a range alone is all the net wants
    pairs = [given.get("mean"), given.get("std")]
    if any(pair is not None and len(pair) != 3 for pair in pairs) or not math.isfinite(high - low) or high <= low:
        raise ModelError("preprocess: mean and std are three numbers each, range is [low, high], such as [0, 255].")
    mean, std = pairs
    found: dict[str, Any] = {"order": order}
    if mean is not None:
        found["mean"] = _turned(tuple((value - low) / (high - low) for value in mean), order)
    if std is not None:
        if min(std) <= 0:
            raise ModelError(f"preprocess: std must be above zero, not {list(std)}.")
        found["std"] = _turned(tuple(value / (high - low) for value in std), order)
    return found


def _turned(values: tuple[float, ...], order: str) -> tuple[float, ...]:
    return values[::-1] if order == "bgr" else values
