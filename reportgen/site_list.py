"""The page that lists all reports of a folder: title, date, summary, a few pictures and the files of each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from reportgen.site_front import OUTPUTS, Link
from reportgen.site_text import calendar
from reportgen.templating import environment
from reportgen.texts import plain_text

MOST_FACES = 5  # pictures beside a report: a photo, and what nets make of it


def write_list(root: Path, reports: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """index.html in the folder of all reports, newest first. A report is its folder's name and its report.json."""
    root.mkdir(parents=True, exist_ok=True)
    shown = [
        {
            "title": facts["title"],
            "href": f"{name}/index.html",
            "about": [part for part in _about(facts) if part],
            "summary": plain_text(facts.get("summary") or ""),
            "files": [Link(words, f"{name}/{file}") for _, words, file in OUTPUTS if (root / name / file).is_file()],
            "faces": [f"{name}/{file}" for file in _faces(root / name, facts)],
        }
        for name, facts in sorted(reports, key=lambda one: (one[1].get("date") or "", one[0]), reverse=True)
    ]
    assets = next((f"{name}/assets" for name, _ in reports), "")
    html = environment("site").get_template("list.html").render(reports=shown, assets=assets)
    (root / "index.html").write_text(html, encoding="utf-8")


def _about(facts: Mapping[str, Any]) -> Iterator[str]:
    yield ", ".join(facts.get("authors") or ())
    yield calendar(facts.get("date"))
    for kind, one, many in (("models", "net", "nets"), ("images", "photo", "photos"), ("figures", "figure", "figures")):
        if count := len(facts.get(kind) or ()):
            yield f"{count:,} {one if count == 1 else many}"


def _faces(folder: Path, facts: Mapping[str, Any]) -> list[str]:
    """Thumbnails that stand for a report: its first photo, and the first maps that a section has of it."""
    image = next(iter(facts.get("images") or ()), "")
    about = {cell["id"] for cell in facts.get("cells") or () if image and cell.get("image") == image}
    figures = [one for one in facts.get("figures") or () if about & set(one["cells"]) and len(one["files"]) > 1]
    sections = dict.fromkeys(one["section"] for one in figures)
    maps = ([one for one in figures if one["section"] == name and _is_map(folder, one["id"])] for name in sections)
    own = [one["files"][1] for one in next(filter(None, maps), [])]
    wanted = [f"assets/photo.{image}.thumb.webp", *own]
    inside = [file for file in wanted if ".." not in PurePosixPath(file).parts and (folder / file).is_file()]
    return inside[:MOST_FACES]


def _is_map(folder: Path, figure: str) -> bool:
    """Whether a figure is a map over a photo: bars and curves tell nothing in so small a picture."""
    try:
        facts = json.loads((folder / "figure" / f"{figure}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(facts, dict) and facts.get("kind") == "heatmap"
