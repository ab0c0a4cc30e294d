"""Recipes of generators: which code is inverted, by what net, on which pictures, how long and how."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError, model_validator

from reportgen.errors import SpecError, nearest
from reportgen.training.recipe import Data, Strict

KEY = "generator"  # what tells a recipe of a generator from one of a net


class Shape(Strict):
    """The generator: what it inverts, and how it is built."""

    net: str = "resnet_mini"  # a net of ours with embedded weights, or any arch together with `weights`
    weights: str | None = None  # a file, or random; default: the embedded ones
    layer: str = "stage5"  # whose rectified features are the code
    size: int = Field(default=64, ge=16)  # side of the pictures it makes
    dense: int = Field(default=384, ge=1)
    widths: tuple[int, ...] = Field(default=(256, 192, 96, 48), min_length=1)
    refined: tuple[int, ...] = (16,)  # sides at which a 3 x 3 convolution follows


class Losses(Strict):
    """What the generator is measured by, and with which weight."""

    pixel: float = Field(default=1.0, ge=0)  # squared difference of the pictures
    feature: float = Field(default=0.4, ge=0)  # of the comparator's features, by the size of the photo's own
    code: float = Field(default=1.5, ge=0)  # of the code that the net finds: its gradient, as a share of the others'
    adversarial: float = Field(default=0.3, ge=0)  # of the judge: in the same way
    comparator: tuple[str, ...] = ("stage1", "stage2")  # layers of the net whose features are compared


class Judge(Strict):
    """The net that learns to tell photos from generated pictures, and when it joins in."""

    widths: tuple[int, ...] = Field(default=(32, 64, 128), min_length=1)
    starts: float = Field(default=2.0, ge=0)  # epochs before it speaks
    every: int = Field(default=2, ge=1)  # steps of the generator for one of the judge


class Code(Strict):
    """The denoising autoencoder of the code, which tells likely codes from others."""

    widths: tuple[int, ...] = Field(default=(192, 96), min_length=1)
    noise: float = Field(default=0.5, gt=0)  # standard deviation, in the spread of each feature
    steps: int = Field(default=4000, ge=1)
    batch: int = Field(default=128, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)


class GeneratorRecipe(Strict):
    """Everything that decides a trained generator, apart from the device's arithmetic."""

    generator: Shape
    data: Data
    losses: Losses = Losses()
    judge: Judge = Judge()
    autoencoder: Code = Code()
    epochs: int = Field(default=10, ge=1)
    batch: int = Field(default=32, ge=1)
    learning_rate: float = Field(default=3e-4, gt=0)
    noise: float = Field(default=0.25, ge=0)  # on the codes while learning, in each feature's spread
    centres: int = Field(default=128, ge=1)  # groups of photos with like codes: walks start at their centres
    average: float = Field(default=0.998, ge=0, lt=1)  # the shipped weights are a running mean of this memory
    precision: str = Field(default="auto", pattern="^(auto|fp32|bf16)$")
    seed: int = Field(default=0, ge=0)
    out: str | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> GeneratorRecipe:
        halvings = max(len(self.generator.widths), len(self.judge.widths))
        if self.generator.size % 2**halvings:
            raise ValueError(f"generator.size: {self.generator.size} cannot be halved {halvings} times")
        return self


def is_generator_recipe(path: Path) -> bool:
    """Whether a recipe's file is one of a generator; a file that cannot be read is not."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return False
    return isinstance(values, dict) and KEY in values


def load_generator_recipe(path: Path, train: list[str] | None = None, val: list[str] | None = None) -> GeneratorRecipe:
    """The recipe of a YAML file; `train` and `val` take the place of its own pictures.

    Paths in the file are relative to its folder, those given here to the working folder.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"The recipe {path} cannot be read: {error.strerror or error}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SpecError(f"The recipe {path} is not valid YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(values, dict):
        raise SpecError(f"The recipe {path} should be `key: value` lines, such as `generator: {{net: resnet_mini}}`.")
    recipe = make_generator_recipe(values, where=str(path))
    data = Data(
        train=tuple(train or _resolved(recipe.data.train, path.parent)),
        val=tuple(val or _resolved(recipe.data.val, path.parent)),
    )
    own_out = None if recipe.out is None else _resolved([recipe.out], path.parent)[0]
    weights = recipe.generator.weights
    if weights not in (None, "random", "embedded"):
        weights = _resolved([weights], path.parent)[0]
    shape = recipe.generator.model_copy(update={"weights": weights})
    return recipe.model_copy(update={"data": data, "out": own_out, "generator": shape})


def make_generator_recipe(values: dict[str, Any], where: str = "The recipe") -> GeneratorRecipe:
    """A recipe from plain values; every problem is named in one SpecError."""
    try:
        return GeneratorRecipe.model_validate(values)
    except ValidationError as error:
        problems = [_problem(dict(item)) for item in error.errors()]
        raise SpecError(f"{where}: " + "; ".join(problems) + ".") from error


def _resolved(sources: list[str] | tuple[str, ...], folder: Path) -> list[str]:
    return [source if ":" in source else str((folder / source).resolve()) for source in sources]


def _problem(item: dict[str, Any]) -> str:
    place = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        owner: Any = GeneratorRecipe
        for part in item["loc"][:-1]:
            owner = owner.model_fields[part].annotation
        return f"unknown key {place!r}. {nearest(str(item['loc'][-1]), owner.model_fields)}".rstrip(".")
    if item["type"] == "missing":
        return f"the key {place!r} is missing"
    message = str(item["msg"]).removeprefix("Value error, ")
    return f"{place}: {message[:1].lower()}{message[1:]}" if place else message
