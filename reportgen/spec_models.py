"""The parts of a spec as frozen values; what is wrong with raw values is found by `reportgen.spec`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date as calendar_date
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, model_validator

from reportgen.records import Precision
from reportgen.yamlpos import Key, Place

ID = r"[a-z0-9_-]+"  # ids are words of file names and of report ids
PAGES = {"A0": (841, 1189), "A1": (594, 841), "A2": (420, 594), "A3": (297, 420), "A4": (210, 297)}
_CUSTOM_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?x ?(\d+(?:\.\d+)?) ?(mm|cm|in)")
_LENGTH = re.compile(r"(\d+(?:\.\d+)?) ?(mm|cm|in)")
_MILLIMETRES = {"mm": 1.0, "cm": 10.0, "in": 25.4}
MOST_BLEED = 20.0  # mm; print shops ask for 3 to 5


def page_size(text: str) -> tuple[float, float] | None:
    """Width and height in mm of a page size, `A0` or `36x48in` or `841x1189mm`; None for what is no size."""
    if text.upper() in PAGES:
        return PAGES[text.upper()]
    match = _CUSTOM_SIZE.fullmatch(text)
    if match is None:
        return None
    width, height = (float(side) * _MILLIMETRES[match[3]] for side in match.group(1, 2))
    return (width, height) if min(width, height) >= 50 and max(width, height) <= 5000 else None


def length(text: str) -> float | None:
    """A length in mm, `3mm` or `0.125in`; None for what is none."""
    match = _LENGTH.fullmatch(text)
    return float(match[1]) * _MILLIMETRES[match[2]] if match else None


def _one_or_many(value: Any) -> Any:
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


def _checked_date(value: str) -> str:
    try:
        calendar_date.fromisoformat(value)
    except ValueError as error:
        raise ValueError("should be a date, such as 2026-11-20") from error
    return value


def _checked_links(links: dict[str, str]) -> dict[str, str]:
    for name, address in links.items():
        if not re.match(r"(https?://|mailto:)\S+$", address):  # no javascript:, no data:
            raise ValueError(f"the link {name!r} should begin with https://, http:// or mailto:, not {address!r}")
    return links


def _checked_site_url(value: str) -> str:
    if value and not re.fullmatch(r"https?://[\w.-]+(:\d+)?(/[\w.~%-]+)*/?", value, re.ASCII):
        raise ValueError("should be the address of the report's front page, such as https://example.org/report/")
    return f"{value.rstrip('/')}/" if value else ""


def _checked_size(value: str) -> str:
    if page_size(value) is None:
        raise ValueError(
            f"unknown page size {value!r}. Known: {', '.join(PAGES)}, or width x height such as 36x48in or 841x1189mm."
        )
    return value


def _checked_length(value: str) -> str:
    if (found := length(value)) is None or found > MOST_BLEED:
        raise ValueError(f"should be a length such as 3mm, 0.5cm or 0.125in, at most {MOST_BLEED:.0f}mm")
    return value


Many = Annotated[tuple[str, ...], BeforeValidator(_one_or_many)]
"""A list of texts, or one text that stands for a list of one."""
IsoDate = Annotated[str, AfterValidator(_checked_date)]
Links = Annotated[dict[str, str], AfterValidator(_checked_links)]
SiteUrl = Annotated[str, AfterValidator(_checked_site_url)]
Size = Annotated[str, AfterValidator(_checked_size)]
Length = Annotated[str, AfterValidator(_checked_length)]


class Part(BaseModel):
    """A frozen part of a spec that knows all its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ModelSpec(Part):
    """One net: what builds it and where its weights come from."""

    arch: str  # torchvision's name, one of our mini nets, timm:NAME, a model file, or module:callable
    weights: str | None = None  # torchvision's enum, a file below the spec's folder, or random
    training: str | dict[str, Any] | None = None  # in place of weights: a recipe (read_spec puts it for its path)
    fallback: str | None = None  # arch to take where the weights cannot be had
    kwargs: dict[str, Any] = {}
    classes: tuple[str, ...] | Path | None = None  # names, or a file of one name per line
    seed: int = Field(0, ge=0)
    preprocess: dict[str, Any] | str | None = None  # torch, tf, caffe, or what differs: fields of PreprocessSpec
    before: str | None = None  # another model of the spec: what this net was before something was done to it


class PreprocessSpec(Part):
    """What a spec may say about preprocessing; what it leaves out comes from the net."""

    resize: int | None = Field(None, ge=1)
    size: int | None = Field(None, ge=1)
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    range: tuple[float, float] | None = None  # what 0..1 is stretched to before mean and std: [0, 255], [-1, 1]
    order: Literal["rgb", "bgr"] | None = None  # of the net's channels, and of mean and std
    interpolation: Literal["bilinear", "bicubic", "nearest"] | None = None


class ImageSpec(Part):
    """One photo."""

    source: str  # a path below the spec's folder, or skimage:NAME, sklearn:NAME, matplotlib:NAME
    label: Many = ()  # names for what it shows; several names mean the same thing
    credit: str = ""
    title: str = ""
    alt: str = ""
    points: dict[str, tuple[float, float]] = {}  # named places, x y in pixels of the source; whole numbers are centres
    crop: tuple[int, int, int, int] | None = None  # x0 y0 x1 y1 in pixels of the source

    def name(self, identifier: str) -> str:
        """What to call the image on pages: its title, else its id in words."""
        return self.title or identifier.replace("_", " ").replace("-", " ")

    def points_in_crop(self) -> dict[str, tuple[float, float]]:
        """The points in pixels of what the crop leaves."""
        x0, y0 = self.crop[:2] if self.crop else (0, 0)
        return {point: (x - x0, y - y0) for point, (x, y) in self.points.items()}


class DatasetSpec(Part):
    """Many photos with classes."""

    source: str  # a folder of class folders, a .zip of one, or rendered:, torchvision:, patches:, images:
    n: int | None = Field(None, ge=1)  # so many of them, evenly over the classes; so many patches, rendered pictures
    seed: int = Field(0, ge=0)
    size: int | None = Field(None, ge=1)  # pixels of the sides of rendered pictures
    labels: str | None = None  # of pictures in no class folders: a file of one label per line, or of file and label
    title: str = ""


class SectionSpec(Part):
    """One section: text, and what one method shows."""

    id: str
    title: str = ""
    text: str = ""  # Markdown with placeholders
    method: str | None = None
    params: dict[str, Any] = {}  # as written; `params_for` makes the method's own params of them
    models: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    dataset: str | None = None
    layers: Many = ()
    units: Any = None  # 9, [3, 17], {random: 9} or all


class SiteOutput(Part):
    """The site; nothing to choose yet."""


class PrintOutput(Part):
    """What every output for print has."""

    sections: Many = ()  # ids of sections, or cells of them, where * is any word: saliency, deconvnet.*.cat.stage3
    logos: Many = ()  # picture files below the spec's folder, SVG or of pixels
    fonts: Many = ()  # font files for letters that our typefaces lack


class PosterOutput(PrintOutput):
    """The poster's sheet and what is on it."""

    size: Size = "A0"
    orientation: Literal["portrait", "landscape"] = "portrait"
    template: Literal["classic", "billboard"] = "classic"
    message: str = ""  # the one sentence of a billboard; else the featured caption, else the first of the summary
    bleed: Length = "0mm"  # paper beyond each edge, with crop marks: 3mm

    @model_validator(mode="before")
    @classmethod
    def _turn_as_written(cls, values: Any) -> Any:
        """A sheet of 48x36in lies on its long side, though nothing is said about its orientation."""
        if isinstance(values, dict) and "orientation" not in values and isinstance(values.get("size"), str):
            width, height = page_size(values["size"]) or (0, 0)
            return values | {"orientation": "landscape" if width > height else "portrait"}
        return values

    @property
    def millimetres(self) -> tuple[float, float]:
        """Width and height of the sheet."""
        short, long = sorted(page_size(self.size) or PAGES["A0"])
        return (short, long) if self.orientation == "portrait" else (long, short)

    @property
    def bleed_millimetres(self) -> float:
        """How far what is printed may reach beyond each edge."""
        return length(self.bleed) or 0.0


class HandoutOutput(PrintOutput):
    """The poster's figures and texts on sheets of A4; nothing said means what the poster has."""


class SingleOutput(Part):
    """The report as one HTML file, for mailing."""

    sections: Many = ()  # as those of outputs for print; all where none is named


class Outputs(Part):
    """What is made."""

    site: SiteOutput | None = SiteOutput()
    poster: PosterOutput | None = None
    handout: HandoutOutput | None = None
    single: SingleOutput | None = None


class Featured(Part):
    """The section whose picture stands for the report."""

    section: str
    caption: str = ""
    focal_point: Literal[
        "Smart", "Center", "Top", "Bottom", "Left", "Right", "TopLeft", "TopRight", "BottomLeft", "BottomRight"
    ] = "Smart"


class Spec(Part):
    """A whole spec, checked: every name in it is known, defaults are filled in."""

    title: str
    models: dict[str, ModelSpec]
    sections: tuple[SectionSpec, ...]
    authors: Many = ()
    affiliation: str = ""
    affiliations: dict[str, Many] = {}  # several, each with its authors; numbered in this order
    date: IsoDate | None = None
    summary: str = ""
    tags: Many = ()
    links: Links = {}
    site_url: SiteUrl = ""  # where the site will be published: for canonical links, cards of social media, sitemap.xml
    featured: Featured | None = None
    references: Path | None = None  # a BibTeX file
    acknowledgements: str = ""
    images: dict[str, ImageSpec] = {}
    datasets: dict[str, DatasetSpec] = {}
    outputs: Outputs = Outputs()
    precision: Precision = "fp32"
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _place_authors(self) -> Spec:
        """Whom `affiliations` names must be an author; where one line is wanted, all places stand in it."""
        for place, members in self.affiliations.items():
            for member in members:
                if member not in self.authors:
                    known = ", ".join(self.authors)
                    raise ValueError(f"affiliations names {member!r} at {place!r}, who is no author. Known: {known}.")
        if self.affiliations and not self.affiliation:
            object.__setattr__(self, "affiliation", "; ".join(self.affiliations))
        return self

    _path: Path = PrivateAttr(default_factory=lambda: Path("spec.yaml").absolute())
    _places: Mapping[Key, Place] = PrivateAttr(default_factory=dict)
    _files: tuple[Path, ...] = PrivateAttr(default=())

    @property
    def path(self) -> Path:
        """The spec's file, absolute; it counts neither in comparisons nor in keys."""
        return self._path

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that was read for this spec: itself, what it extends, its texts."""
        return self._files

    def place(self, *way: str | int) -> str:
        """Where a value stands, as file:line:column: `place("sections", 3, "layers", 0)`.

        A value that is not in the file (a default) has the place of what it would lie in.
        """
        key: Key = way
        while key and key not in self._places:
            key = key[:-1]
        return str(self._places.get(key, self._path.name))

    def content(self) -> dict[str, Any]:
        """Everything that decides the report but the models' and images' files, without a path of this machine."""
        values = self.model_dump(mode="json")
        values["references"] = file_digest(self.references)
        for name, model in self.models.items():
            if isinstance(model.classes, Path):
                values["models"][name]["classes"] = file_digest(model.classes)
        return values

    def __eq__(self, other: object) -> bool:
        """Whether two specs say the same, wherever they lie."""
        return isinstance(other, Spec) and self.content() == other.content()

    __hash__ = None  # type: ignore[assignment]


def file_digest(path: Path | None) -> str | None:
    """The SHA-256 of a file that a spec names; None where there is none."""
    return sha256(path.read_bytes()).hexdigest() if path is not None and path.is_file() else None
