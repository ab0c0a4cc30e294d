"""A finished site copied to where people find it: a folder that a web server shows, in one step.

What is published is the site without build.json, the only file with a clock, so that the same report gives the same
bytes; with an empty .nojekyll, since GitHub's pages leave out folders they take for their own, and a page 404.
"""

from __future__ import annotations

import filecmp
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reportgen.errors import SpecError
from reportgen.publish import MARKER, guard, new_folder

KEPT = ("CNAME", "robots.txt", ".well-known")  # what hosts want beside a site: the domain, and who may look
LEFT_OUT = (MARKER, "build.json")
GENERATOR = b'<meta name="generator" content="reportgen'  # in every page we write


@dataclass(frozen=True)
class Copied:
    """What a publication did."""

    files: int
    changed: int  # how many of them are new or have other bytes, and how many are gone


def check_site(site: Path) -> None:
    """Nothing, where the folder is a report of ours or the list of some. Raises SpecError."""
    index = site / "index.html"
    ours = (site / MARKER).is_file() or (index.is_file() and GENERATOR in index.read_bytes()[:4096])
    if not ours or not index.is_file():
        raise SpecError(
            f"{site} is no report: it has no index.html that reportgen wrote. Name a spec, or the folder that "
            "`reportgen build` wrote, such as site/poster."
        )


def to_folder(site: Path, target: Path) -> Copied:
    """The site in another folder, which holds the old site whole until the new one takes its place in one step."""
    check_site(site)
    here, there = site.resolve(), target.absolute().resolve()
    if here == there or here in there.parents or there in here.parents:
        raise SpecError(f"--to {target} and the site {site} lie in each other. Name a folder beside it, or elsewhere.")
    guard(there, "--to", KEPT)
    with new_folder(there) as fresh:
        stage(here, fresh)
        for name in KEPT:
            _copy_kept(there / name, fresh / name)
        return Copied(len(list(_files(fresh))), _changed(fresh, there))


def stage(site: Path, folder: Path) -> None:
    """Everything that is to be published of a site, in a folder."""
    for path in published_files(site):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(site / path, target)
    (folder / ".nojekyll").touch()
    if not (folder / "404.html").exists():
        from reportgen.site_shared import not_found

        (folder / "404.html").write_text(not_found(title_of(site)), encoding="utf-8")


def published_files(site: Path) -> list[Path]:
    """The files of a report that are published, or of all reports in a folder and the list of them."""
    if (site / MARKER).is_file():
        return [path.relative_to(site) for path in _files(site) if path.name not in LEFT_OUT]
    reports = sorted(marker.parent for marker in site.glob(f"*/{MARKER}"))
    return [
        Path("index.html"),
        *(report.relative_to(site) / file for report in reports for file in published_files(report)),
    ]


def title_of(site: Path) -> str:
    """What a site is called."""
    try:
        return str(json.loads((site / "report.json").read_text(encoding="utf-8"))["title"])
    except (OSError, ValueError, KeyError):
        return "Reports"


def _copy_kept(old: Path, new: Path) -> None:
    if new.exists():
        return
    if old.is_dir():
        shutil.copytree(old, new)
    elif old.is_file():
        shutil.copyfile(old, new)


def _changed(fresh: Path, old: Path) -> int:
    names = {path.relative_to(fresh) for path in _files(fresh)}
    gone = {path.relative_to(old) for path in _files(old)} - names
    other = [name for name in names if not ((old / name).is_file() and filecmp.cmp(fresh / name, old / name, False))]
    return len(other) + len(gone)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())
