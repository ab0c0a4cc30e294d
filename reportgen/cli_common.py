"""What all commands share: their options, the bar of their progress, and what they say of a build in the end."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from reportgen.building import Built

SpecFile = Annotated[Path, typer.Argument(help="the spec, a YAML file", show_default=False)]
Cache = Annotated[Path | None, typer.Option(help="folder of the store (default: $REPORTGEN_CACHE, else the user's)")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps")]
Threads = Annotated[int | None, typer.Option(min=1, help="threads that compute (default: torch's own choice)")]
AllowCode = Annotated[bool, typer.Option("--allow-code", help="let arch: module:callable run the user's code")]
Offline = Annotated[bool, typer.Option("--offline", help="never ask the network")]
Strict = Annotated[bool, typer.Option("--strict", help="publish nothing if a cell failed or a check complains")]

state: dict[str, bool] = {"quiet": False, "verbose": False}  # of this process' command line


def progress() -> Any:
    """What shows how far a build is: a bar on a terminal, plain lines elsewhere."""
    from reportgen.building import Quiet
    from reportgen.progress import Bar, Lines

    if state["quiet"]:
        return Quiet()
    return Bar() if sys.stderr.isatty() and os.environ.get("TERM") != "dumb" else Lines()


def tell(built: Built) -> None:
    """Print what a build did."""
    for model, reason in built.fallbacks.items():
        typer.echo(f"{model}: {reason}", err=True)
    for outcome in built.failed:
        typer.echo(f"failed: {outcome.cell.id}: {outcome.reason}", err=True)
    for finding in built.findings:
        typer.echo(f"poster: {finding}", err=True)
    if state["quiet"]:
        return
    if not built.published:
        typer.echo("nothing was published, because of --strict; the old report is untouched", err=True)
    elif built.unchanged:
        typer.echo(f"{built.folder}: nothing to do ({built.seconds:.2f} s)")
    else:
        counts = f"{built.computed} computed, {built.cached} cached, {len(built.failed)} failed"
        typer.echo(f"{built.folder / 'index.html'}: {counts} ({built.seconds:.1f} s)")
