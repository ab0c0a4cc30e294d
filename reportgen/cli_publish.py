"""The commands that bring a report to its readers: serve, publish, new, export."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reportgen.cli_common import AllowCode, Cache, Device, Offline, SpecFile, Strict, Threads, progress, state, tell
from reportgen.errors import SpecError

if TYPE_CHECKING:
    from reportgen.building import Options

export_app = typer.Typer(no_args_is_help=True, help="A report in the form that other programs want.")

Out = Annotated[Path | None, typer.Option(help="folder of the report (default: site/NAME)")]


def add_to(app: typer.Typer) -> None:
    """Make these commands part of the program."""
    for command in (new, serve, publish):
        app.command()(command)
    app.add_typer(export_app, name="export")


def new(
    name: Annotated[Path, typer.Argument(help="folder of the new report; its name is the spec's", show_default=False)],
    images: Annotated[
        Path | None, typer.Option(help="folder of the pictures (default: photos of scikit-image)")
    ] = None,
) -> None:
    """Start a report from a folder of pictures: a spec with comments, and texts to write on."""
    from reportgen.starting import start

    started = start(name, images)
    for reason in started.skipped:
        typer.echo(f"left out: {reason}", err=True)
    _say(f"{started.spec}: {started.pictures} pictures. `reportgen serve {started.spec}` shows it while you write.")


def serve(
    spec: SpecFile,
    port: Annotated[int | None, typer.Option(help="port of 127.0.0.1 (default: the first free one from 8000)")] = None,
    out: Out = None,
    cache: Cache = None,
    device: Device = "auto",
    threads: Threads = None,
    offline: Offline = False,
    allow_code: AllowCode = False,
) -> None:
    """Show the report on this machine, and build it anew when spec, texts, pictures or templates change."""
    from reportgen.building import Options
    from reportgen.rebuilding import serve as serve_report

    options = Options(cache, device, threads, offline, allow_code=allow_code)
    with contextlib.suppress(KeyboardInterrupt):
        serve_report(spec, out, port, options, progress(), tell, lambda text: typer.echo(text, err=True))
        return
    typer.echo("reportgen: no longer served", err=True)


def publish(
    target: Annotated[Path, typer.Argument(metavar="SPEC_OR_SITE", help="a spec, or a finished site")],
    to: Annotated[Path | None, typer.Option(help="folder that is to hold the site, and nothing else")] = None,
    branch: Annotated[str, typer.Option(help="git branch that is to hold the site, such as gh-pages")] = "",
    remote: Annotated[str, typer.Option(help="the remote that the branch follows")] = "origin",
    push: Annotated[bool, typer.Option("--push", help="push the branch to the remote")] = False,
    out: Out = None,
    cache: Cache = None,
    device: Device = "auto",
    threads: Threads = None,
    offline: Offline = False,
    strict: Strict = False,
    allow_code: AllowCode = False,
) -> None:
    """Copy a site to a folder that a web server shows, or to a git branch; a spec is built first.

    The old site stays whole until the new one takes its place in one step. A file CNAME there is kept.
    """
    from reportgen.building import Options
    from reportgen.publish_git import to_branch
    from reportgen.publishing import to_folder

    if (to is None) == (not branch):
        raise SpecError("publish needs one of --to FOLDER and --branch NAME: where is the site to be published?")
    if push and not branch:
        raise SpecError("--push goes with --branch NAME; a folder cannot be pushed.")
    site, code = target, 0
    if not target.is_dir():
        site, code = _built(target, out, Options(cache, device, threads, offline, strict, "", allow_code))
    if to is not None:
        copied = to_folder(site, to)
        _say(f"{to}: {copied.files} files, {copied.changed or 'none'} changed")
    else:
        made = to_branch(site, branch, remote=remote, push=push)
        pushed = f", pushed to {remote}" if made.pushed else ""
        _say(f"{branch}: {'commit ' + made.commit[:10] if made.changed else 'nothing changed'}{pushed}")
    raise typer.Exit(code)


@export_app.command()
def hugo(
    spec: SpecFile,
    to: Annotated[Path, typer.Option(help="folder of the bundle, such as content/project/NAME", show_default=False)],
    out: Out = None,
    cache: Cache = None,
    device: Device = "auto",
    threads: Threads = None,
    offline: Offline = False,
    allow_code: AllowCode = False,
) -> None:
    """Write the project page that academic Hugo sites show: front matter, picture, introduction, methods, poster."""
    from reportgen.assembly import redrawn
    from reportgen.building import Options, store_at
    from reportgen.hugo import export

    options = Options(cache, device, threads, offline, allow_code=allow_code)
    site, code = _built(spec, out, options)
    report, blocks = redrawn(spec, store_at(cache), options)
    _say(f"{to}: {', '.join(export(report, blocks, site, to))}")
    raise typer.Exit(code)


@export_app.callback()
def export() -> None:
    """A report in the form that other programs want."""


def _built(spec: Path, out: Path | None, options: Options) -> tuple[Path, int]:
    """The folder of a spec's report, built now, and the exit code of that. Ends the program where --strict kept it."""
    from reportgen.building import build

    built = build(spec, out, options=options, progress=progress())
    tell(built)
    if not built.published:
        raise typer.Exit(built.exit_code)
    return built.folder, built.exit_code


def _say(text: str) -> None:
    if not state["quiet"]:
        typer.echo(text)
