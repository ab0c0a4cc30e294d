"""The files that a site's pages lean on: style sheet, scripts, typefaces, pictures and the spec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from reportgen import encode, fonts, palettes, tiles
from reportgen.figures import WIDTH
from reportgen.pages import Block, image_name
from reportgen.templating import file_of, own_extras

if TYPE_CHECKING:
    from reportgen.report import Report
    from reportgen.store import Store

PLAIN_FILES = (
    "site.js",
    "theme.js",
    "compare.js",
    "compare.css",
    "quiz.js",
    "quiz.css",
    "search.js",
    "explore.js",
    "map.js",
    "icon.svg",
)


@dataclass(frozen=True)
class Photo:
    """A photo of the spec as a site shows it."""

    id: str
    title: str
    files: tuple[str, str]  # the picture and its thumbnail
    width: int
    height: int
    alt: str
    caption: str
    credit: str


def write_assets(report: Report, blocks: Sequence[Block], folder: Path) -> None:
    """The folder assets/ of a site but for the photos: figures, style sheet, scripts, typefaces, the spec."""
    assets = folder / "assets"
    assets.mkdir(parents=True, exist_ok=True)
    write_style(report.store, assets)
    for name in PLAIN_FILES:
        (assets / name).write_bytes(file_of("site", name).read_bytes())
    for path in own_extras("site"):  # a logo, say, that the user's templates name
        (assets / path.name).write_bytes(path.read_bytes())
    if report.spec.path.is_file():
        (assets / "spec.yaml").write_bytes(report.spec.path.read_bytes())
    else:  # a spec made in Python has no file
        (assets / "spec.yaml").write_text(f"title: {report.spec.title!r}\n", encoding="utf-8")
    for block in blocks:
        for file, (record, blob) in block.files.items():
            (folder / file).write_bytes(report.store.read(record, blob))


def write_style(store: Store | None, assets: Path) -> None:
    """The style sheet with the typefaces it names."""
    faces = fonts.web_fonts(store)
    for name, data in faces.items():
        (assets / name).write_bytes(data)
    style = file_of("site", "style.css").read_text(encoding="utf-8")
    parts = [fonts.font_faces("", "woff2"), style, mark_rules()]
    (assets / "style.css").write_text("\n".join(parts), encoding="utf-8")


def mark_rules() -> str:
    """The style rules of the nets' colours: the mark itself, and the same hue as readable text on either paper."""
    rules = []
    for index, color in enumerate(palettes.MODEL_COLORS):
        light, dark = palettes.text_color(color), palettes.text_color(color, palettes.PAPER_DARK)
        rules.append(f".m{index} {{ --mark: {color}; --mark-text: light-dark({light}, {dark}); }}")
    return "\n".join(rules) + "\n"


def write_photos(report: Report, folder: Path | None) -> Mapping[str, Photo]:
    """The photos as the first net sees them (square, like the maps beside them) and whole, by the image's id.

    Without a folder nothing is written: the pages alone are wanted.
    """
    photos = {}
    first = next(iter(report.spec.models))
    for name in report.spec.images:
        square = tiles.resize(tiles.to_bytes(report.photo(name, first)), WIDTH)
        photos[name] = _photo(report, name, square, f"assets/photo.{name}", folder)
        whole = tiles.to_bytes(report.picture(name))
        large = tiles.resize(whole, min(1200, whole.shape[1]))
        photos[f"{name}/whole"] = _photo(report, name, large, f"assets/whole.{name}", folder)
    return photos


def _photo(report: Report, name: str, pixels: palettes.Colors, stem: str, folder: Path | None) -> Photo:
    asked = report.spec.images[name]
    files = (f"{stem}.webp", f"{stem}.thumb.webp")
    if folder is not None:
        (folder / files[0]).write_bytes(encode.webp(pixels))
        (folder / files[1]).write_bytes(encode.thumbnail(pixels))
    title = image_name(report, name)
    alt = asked.alt or f"Photo: {title}" + (f", a {asked.label[0]}" if asked.label and asked.label[0] != title else "")
    flaw = report.flaw(name)
    alt = flaw or alt
    caption = ". ".join(part for part in (title[:1].upper() + title[1:], asked.credit, flaw) if part)
    return Photo(name, title, files, pixels.shape[1], pixels.shape[0], alt, caption, asked.credit)
