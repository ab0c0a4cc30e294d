"""The command line: the only place that prints or exits."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from reportgen import cli_catalogue, cli_explore, cli_publish
from reportgen.cli_common import AllowCode, Cache, Device, Offline, SpecFile, Strict, Threads, progress, state, tell
from reportgen.errors import Interrupted, ReportError, SpecError

if TYPE_CHECKING:
    from reportgen.building import Options
    from reportgen.plan import Plan

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Show what convolutional networks learned: one spec, every visualization, a site and a poster.",
    rich_markup_mode=None,
)
cache_app = typer.Typer(no_args_is_help=True, help="The store of what was computed: ls, gc, verify.")
app.add_typer(cache_app, name="cache")


def _version(wanted: bool) -> None:
    if wanted:
        from reportgen import __version__

        typer.echo(f"reportgen {__version__}")
        raise typer.Exit


@app.callback()
def common(
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="only errors")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="also tracebacks and what the cache does")] = False,
    version: Annotated[
        bool, typer.Option("-V", "--version", help="print the version and stop", is_eager=True, callback=_version)
    ] = False,
) -> None:
    """Settings of every command."""
    level = logging.ERROR if quiet else logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(message)s", stream=sys.stderr)
    for noisy in ("fontTools", "weasyprint", "matplotlib", "PIL"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    state["quiet"], state["verbose"] = quiet, verbose


@app.command()
def build(
    specs: Annotated[list[Path], typer.Argument(help="one or more specs", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="folder of the report (one spec only; default: site/NAME)")] = None,
    cache: Cache = None,
    device: Device = "auto",
    threads: Threads = None,
    offline: Offline = False,
    strict: Strict = False,
    only: Annotated[str, typer.Option(help="compute only this section or cell, by its id")] = "",
    allow_code: AllowCode = False,
) -> None:
    """Compute what is missing, and write the site and the poster."""
    from reportgen.building import Options
    from reportgen.building import build as build_report

    if out is not None and len(specs) > 1:
        raise SpecError("--out names the folder of one report, but several specs were given. Build them one by one.")
    options = Options(cache, device, threads, offline, strict, only, allow_code)
    codes = []
    for spec in specs:
        built = build_report(spec, out, options=options, progress=progress())
        tell(built)
        codes.append(built.exit_code)
    raise typer.Exit(max(codes))


@app.command()
def plan(
    spec: SpecFile,
    explain: Annotated[bool, typer.Option("--why", help="say for each missing cell what changed")] = False,
    cache: Cache = None,
    device: Device = "auto",
    offline: Offline = False,
    allow_code: AllowCode = False,
) -> None:
    """Print what would run, what is cached, and what does not apply."""
    from reportgen.building import Options
    from reportgen.why import why, why_trained

    made, store = _prepared(spec, Options(cache=cache, device=device, offline=offline, allow_code=allow_code))
    for name, choice in made.models.items():
        if choice.course is not None and choice.course.missing:
            changed = f"; {why_trained(choice.course, store)}" if explain else ""
            typer.echo(f"{'to be trained':15}{name}  ({choice.course.words(made.cards[name].flops)}{changed})")
    counts = {"cached": 0, "to run": 0, "not applicable": 0}
    for cell in made.cells:
        if not cell.section:
            continue
        missing = cell.id not in made.excluded and store.get(cell.key) is None
        state = "not applicable" if cell.id in made.excluded else "to run" if missing else "cached"
        counts[state] += 1
        note = made.excluded.get(cell.id) or (why(cell, store) if explain and missing else "")
        typer.echo(f"{state:15}{cell.id}{'  (' + note + ')' if note else ''}")
    typer.echo(", ".join(f"{count} {state}" for state, count in counts.items()))


@app.command()
def check(spec: SpecFile, allow_code: AllowCode = False, cache: Cache = None, device: Device = "auto") -> None:
    """Read the spec and its files, and report every problem."""
    from reportgen.building import Options

    made, _ = _prepared(spec, Options(cache=cache, device=device, allow_code=allow_code))
    untrained = sum(choice.course is not None and choice.course.missing > 0 for choice in made.models.values())
    models = f"{len(made.spec.models)} models{f' ({untrained} to be trained)' if untrained else ''}"
    typer.echo(f"{spec}: {len(made.spec.sections)} sections, {models}, no problems")


@app.command()
def fetch(spec: SpecFile, cache: Cache = None) -> None:
    """Download the weights and data sets that a spec names; an unreachable host is given up after 5 seconds."""
    from reportgen import dataset_fetch, models
    from reportgen.building import store_at
    from reportgen.spec import read_spec

    def say(text: str) -> None:
        typer.echo(text, err=True)

    read = read_spec(spec)
    if problems := models.fetch(read, store_at(cache).root, say) + dataset_fetch.fetch(read, say):
        raise SpecError("\n".join(problems))


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="a recipe, such as specs/zoo/resnet_mini.yaml", show_default=False)],
    data: Annotated[
        list[Path] | None, typer.Option("--data", help="folder or .zip of class folders to train on")
    ] = None,
    val: Annotated[
        list[Path] | None, typer.Option("--val", help="folder or .zip of class folders to measure on")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="folder of the run (default: the recipe's, else runs/NAME)")] = None,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Train a net, or a generator, as a recipe says; an interrupted run goes on where it stood.

    Checkpoints, the log and the finished weights land in the run's folder.
    """
    from reportgen.training import export, load_recipe
    from reportgen.training import train as train_net
    from reportgen.training.generator_recipe import is_generator_recipe, load_generator_recipe

    pictures = [str(path) for path in data or []], [str(path) for path in val or []]
    if is_generator_recipe(recipe):
        from reportgen.training.generator_export import train_and_export

        wanted = load_generator_recipe(recipe, *pictures)
        folder = out or Path(wanted.out or f"runs/{recipe.stem}")
        with _goes_on(folder):
            typer.echo(train_and_export(wanted, folder, device, threads, quiet=state["quiet"]))
        return
    asked = load_recipe(recipe, *pictures)
    folder = out or Path(asked.out or f"runs/{recipe.stem}")
    with _goes_on(folder):
        result = train_net(asked, folder, device, threads, quiet=state["quiet"])
    weights = folder / f"{asked.arch}.safetensors"
    top1 = export(folder, weights, device)
    typer.echo(f"{weights}: {len(result.classes)} classes, top-1 {100 * top1:.1f} % on the validation pictures")


@cache_app.command("ls")
def cache_ls(cache: Cache = None) -> None:
    """Count what the store holds, by kind and method."""
    from reportgen.building import store_at
    from reportgen.housekeeping import contents

    store = store_at(cache)
    total = 0
    for kind, (count, size) in sorted(contents(store).items()):
        typer.echo(f"{kind:24}{count:8}{size / 1e6:10.1f} MB")
        total += size
    typer.echo(f"{store.root}: {total / 1e6:.1f} MB")


@cache_app.command("gc")
def cache_gc(
    cache: Cache = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would go")] = False,
    grace_hours: Annotated[float, typer.Option(min=0, help="keep what is younger")] = 24.0,
) -> None:
    """Remove what no report that still lies in its folder needs."""
    from reportgen.building import store_at
    from reportgen.housekeeping import collect

    count, size = collect(store_at(cache), dry_run=dry_run, grace_hours=grace_hours)
    typer.echo(f"{'would remove' if dry_run else 'removed'} {count} files, {size / 1e6:.1f} MB")


@cache_app.command("verify")
def cache_verify(cache: Cache = None) -> None:
    """Read every file of the store and check it against its digest; damaged ones are set aside."""
    from reportgen.building import store_at
    from reportgen.housekeeping import verify

    sound, damaged = verify(store_at(cache))
    typer.echo(f"{sound} records sound, {damaged} damaged and set aside")
    raise typer.Exit(1 if damaged else 0)


cli_catalogue.add_to(app)
cli_publish.add_to(app)
app.command()(cli_explore.explore)


def main() -> NoReturn:
    """Run the command line and exit: 0 done, 1 something failed, 2 nothing was started, 130 interrupted."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = app(standalone_mode=False)
        if code == Interrupted.exit_code:
            raise KeyboardInterrupt  # which typer has turned into this code
    except ReportError as error:
        typer.echo(f"reportgen: {error}", err=True)
        code = error.exit_code
    except KeyboardInterrupt:
        text = "reportgen: interrupted; what was finished is kept, and the next build goes on from there"
        typer.echo(text, err=True)
        code = Interrupted.exit_code
    except typer.Abort:
        code = 130
    except Exception as error:
        code = _usage(error)
    sys.exit(code if isinstance(code, int) else 0)


def _usage(error: Exception) -> int:
    """Print a wrong command line as typer would; anything else is a bug and keeps its traceback."""
    show = getattr(error, "show", None)
    if show is None:
        raise error
    show()
    return int(getattr(error, "exit_code", 2))


def _interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


@contextlib.contextmanager
def _goes_on(folder: Path) -> Iterator[None]:
    """Whoever is interrupted in here is told how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        text = f"interrupted; the same command goes on in {folder} after the last whole epoch"
        raise Interrupted(text) from None


def _prepared(spec: Path, options: Options) -> tuple[Plan, Any]:
    from reportgen.assembly import prepare
    from reportgen.building import store_at
    from reportgen.spec import check_files, read_spec

    read = read_spec(spec)
    if problems := check_files(read, decode=True):
        raise SpecError("\n".join(problems))
    store = store_at(options.cache)
    return prepare(read, store, options, progress(), train=False), store
