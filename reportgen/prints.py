"""What is made for paper and mail beside the site: poster, handout and the report as one file."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reportgen.building import Progress
    from reportgen.pages import Block
    from reportgen.report import Report
    from reportgen.spec import Spec


def make_prints(report: Report, blocks: Sequence[Block], watcher: Progress, fresh: Path) -> list[str]:
    """Poster, handout and the one-file report, where they are asked for; what their preflights found."""
    from reportgen.handout import make_handout
    from reportgen.poster import make_poster
    from reportgen.single import make_single

    asked, findings = report.spec.outputs, list[str]()
    if asked.poster is not None:
        watcher.say("setting the poster")
        findings += make_poster(report, blocks, asked.poster, fresh)
    if asked.handout is not None:
        watcher.say("setting the handout")
        findings += [f"The handout: {finding}" for finding in make_handout(report, blocks, asked.handout, fresh)]
    if asked.single is not None:
        watcher.say("writing the report as one file")
        make_single(report, blocks, asked.single, fresh)
    return findings


def print_files(spec: Spec) -> list[str]:
    """The files that are made for paper and mail."""
    asked = spec.outputs
    files = {"poster.pdf": asked.poster, "handout.pdf": asked.handout, "single.html": asked.single}
    return [name for name, output in files.items() if output is not None]


def keep_prints(spec: Spec, old: Path, fresh: Path) -> None:
    """What an earlier build made for paper and mail, in the new folder."""
    for name in print_files(spec):
        if (old / name).is_file():
            shutil.copyfile(old / name, fresh / name)
