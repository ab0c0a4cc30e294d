"""Recipes: what to train on, how long and how, read from YAML and frozen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from reportgen.errors import SpecError, nearest
from reportgen.nets.archs import MINIS
from reportgen.yamlpos import load

RENDERED = "rendered:"  # how the name of a rendered world begins


class Strict(BaseModel):
    """A frozen record that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Data(Strict):
    """Where the pictures are: folders or zips of class folders, several joined class by class; or a rendered world.

    `rendered:objects?n=4000&seed=1` renders as many pictures of that world, of the size that the recipe needs.
    """

    train: tuple[str, ...] = Field(min_length=1)
    val: tuple[str, ...] = Field(min_length=1)

    @field_validator("train", "val", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value


class Optimizer(Strict):
    """SGD with Nesterov momentum, or Adam; a linear warm-up and a cosine down to zero."""

    kind: Literal["sgd", "adam"] = "sgd"
    learning_rate: float = Field(default=0.1, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)  # Adam's first moment
    weight_decay: float = Field(default=5e-4, ge=0)  # on weights of two and more axes; never on biases and norms
    warmup: float = Field(default=0.1, ge=0, lt=1)  # share of all steps
    clip: float = Field(default=2.0, ge=0)  # largest gradient norm; 0 = no limit


class Augment(Strict):
    """How much each training picture is changed before it is shown."""

    scale: tuple[float, float] = (0.25, 1.0)  # share of the picture's area that a crop takes
    ratio: tuple[float, float] = (0.75, 1.3333)  # width by height of a crop
    flip: float = Field(default=0.5, ge=0, le=1)  # chance of left and right exchanged
    brightness: float = Field(default=0.3, ge=0, lt=1)  # factors are drawn from 1 - value .. 1 + value
    contrast: float = Field(default=0.3, ge=0, lt=1)
    saturation: float = Field(default=0.3, ge=0, lt=1)
    salt_pepper: float = Field(default=0.0, ge=0, lt=1)  # at most this share of a picture's pixels black or white

    @model_validator(mode="after")
    def _ranges_in_order(self) -> Augment:
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError("scale: wants two shares of the picture's area, 0 < smallest <= largest <= 1")
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise ValueError("ratio: wants two ratios of width to height, 0 < smallest <= largest")
        return self


class Recipe(Strict):
    """Everything that decides the trained weights, apart from the device's arithmetic."""

    arch: str
    kwargs: dict[str, Any] = {}
    data: Data
    start: str | None = None  # begin from what fits of a weights file, or of the embedded weights of the mini net named
    size: int = Field(default=128, ge=16)  # pixels at the net's input
    train_size: dict[int, int] = {}  # from this epoch on (counted from 0) crops of this size; default: size
    resize: int | None = None  # short side of a picture before its centre is cut; default: 9/8 of size
    epochs: int = Field(default=20, ge=1)
    batch: int = Field(default=64, ge=1)
    optimizer: Optimizer = Optimizer()
    at_least: int = Field(default=0, ge=0)  # pictures of a class in an epoch; a rarer class is shown again
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    augment: Augment = Augment()
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # auto: bf16 where measured quicker
    checkpoints: tuple[int, ...] = ()  # epochs whose weights are kept; 0 = before training
    validate_every: int = Field(default=1, ge=1)  # epochs; the last is always validated
    repeats: int = Field(default=1, ge=1)  # in a report: so many runs, of seed, seed + 1 ...; one is made otherwise
    seed: int = Field(default=0, ge=0)
    out: str | None = None

    @property
    def short_side(self) -> int:
        """The short side, in pixels, to which every picture is brought before its centre is cut."""
        return self.resize or round(self.size * 9 / 8)

    def crop_size(self, epoch: int) -> int:
        """The size in pixels of the training crops in an epoch (counted from 0)."""
        started = [first for first in self.train_size if first <= epoch]
        return self.train_size[max(started)] if started else self.size

    @model_validator(mode="after")
    def _fits_together(self) -> Recipe:
        if self.short_side < self.size:
            raise ValueError(f"resize: is {self.resize}, less than size {self.size}: no centre crop would fit")
        late = [epoch for epoch in self.checkpoints if not 0 <= epoch <= self.epochs]
        if late:
            raise ValueError(f"checkpoints: {late[0]} is no epoch; they go from 0 (untrained) to {self.epochs}")
        return self


def load_recipe(path: Path, train: Sequence[str] = (), val: Sequence[str] = (), out: str | None = None) -> Recipe:
    """Return the recipe of a YAML file; `train`, `val` and `out` take the place of its own.

    Paths in the file are relative to its folder, those given here to the working folder.
    """
    document = load(path)
    if not isinstance(document.value, dict):
        raise SpecError(f"The recipe {path} should be `key: value` lines, such as `arch: resnet_mini`.")
    found = [(document.place(way, key), text) for way, text, key in problems(Recipe, document.value)]
    if wrong := sorted([*document.problems, *found]):
        raise SpecError("\n".join(f"{place}: {text}" for place, text in wrong))
    recipe = make_recipe(document.value)
    data = Data(
        train=resolved(train, Path()) or resolved(recipe.data.train, path.parent),
        val=resolved(val, Path()) or resolved(recipe.data.val, path.parent),
    )
    own_out = None if recipe.out is None else resolved([recipe.out], path.parent)[0]
    return recipe.model_copy(
        update={"data": data, "out": out or own_out, "start": start_below(recipe.start, path.parent)}
    )


def start_below(start: str | None, folder: Path) -> str | None:
    """Return the absolute path of weights to begin from; a mini net's name is left as it is."""
    return start if start is None or start in MINIS else resolved([start], folder)[0]


def resolved(sources: Sequence[str], folder: Path) -> tuple[str, ...]:
    """Return absolute paths of sources below a folder; a rendered world is left as it is."""
    return tuple(source if source.startswith(RENDERED) else str((folder / source).resolve()) for source in sources)


def make_recipe(values: dict[str, Any]) -> Recipe:
    """Return a recipe from plain values; every problem is named in one SpecError."""
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        found = [_problem(dict(item)) for item in error.errors()]
        raise SpecError("The recipe: " + "; ".join(found) + ".") from error


def problems(part: type[BaseModel], values: dict[str, Any]) -> list[tuple[tuple[str | int, ...], str, bool]]:
    """What is wrong with plain values: ways below them, each with a sentence and whether it is about the key."""
    try:
        part.model_validate(values)
    except ValidationError as error:
        return [
            (item["loc"], f"the recipe: {_problem(dict(item))}.", item["type"] == "extra_forbidden")
            for item in error.errors()
        ]
    return []


def _problem(item: dict[str, Any]) -> str:
    place = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        owners: dict[str, type[BaseModel]] = {"data": Data, "optimizer": Optimizer, "augment": Augment}
        owner = owners.get(str(item["loc"][0]), Recipe) if len(item["loc"]) > 1 else Recipe
        return f"unknown key {place!r}. {nearest(str(item['loc'][-1]), owner.model_fields)}".rstrip(".")
    if item["type"] == "missing":
        return f"the key {place!r} is missing"
    message = str(item["msg"]).removeprefix("Value error, ")
    return f"{place}: {message[:1].lower()}{message[1:]}" if place else message
