"""The parts of a build: plan, fill, draw, publish."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from reportgen import __version__, models, trained
from reportgen.building import Built, Options, Progress, Quiet
from reportgen.errors import ModelError, RenderError, SpecError, nearest
from reportgen.housekeeping import verify
from reportgen.plan import Plan, make_plan
from reportgen.prints import keep_prints, make_prints, print_files
from reportgen.publish import new_folder
from reportgen.publishing import GENERATOR
from reportgen.records import Cell, Filled, Net
from reportgen.remembered import has_torch
from reportgen.spec import Spec, check_files, read_spec
from reportgen.store import Corrupt, Store
from reportgen.templating import beside
from reportgen.unchanged import recheck, remember

if TYPE_CHECKING:
    from reportgen.pages import Block
    from reportgen.report import Report

log = logging.getLogger(__name__)


def assemble(
    path: Path, folder: Path, store: Store, options: Options, watcher: Progress, started: float, *, listed: bool
) -> Built:
    """A build that has something to do; `listed` says that the list of reports beside the folder is ours too."""
    spec = read_spec(path)
    if problems := check_files(spec):
        raise SpecError("\n".join(problems))
    recheck(folder, store)  # first of all: a plan reads what was trained
    plan = prepare(spec, store, options, watcher)
    built = _compute_and_publish(plan, store, options, watcher, folder, started)
    if built.published and not built.failed and not built.without_prints:
        remember(plan, path, folder, store, options.only, options.device)
    if listed and built.published:
        _refresh_list(folder.parent)
    return built


def prepare(
    spec: Spec, store: Store, options: Options, progress: Progress | None = None, *, train: bool = True
) -> Plan:
    """The plan of a spec: which net each model is, their cards, and every cell.

    Models with a recipe are trained first where that has not been done; without `train` the plan has untrained nets in
    their place, and keys of its own for their cells.
    """
    watcher = progress or Quiet()
    courses = trained.courses(spec, store, options.device)
    plan = _plan(spec, store, options, watcher, courses)
    if train and any(course.missing for course in courses.values()):  # only once all else is known to be right
        from reportgen.training.into_store import train_missing

        train_missing(spec, courses, options.device, options.threads, watcher.say)
        plan = _plan(spec, store, options, watcher, courses)
    trained.note_trained(spec, courses)
    return plan


def _plan(spec: Spec, store: Store, options: Options, watcher: Progress, courses: Mapping[str, trained.Course]) -> Plan:
    from reportgen.methods import methods

    offline, allow_code = options.offline, options.allow_code
    chosen = models.choose(spec, store.root, courses, offline=offline, allow_code=allow_code, say=watcher.say)
    cards = {name: models.card(choice, store) for name, choice in chosen.items()}
    plan = make_plan(spec, methods(), chosen, cards, store.root)
    if options.only and not any(_is_asked(cell.id, options.only) for cell in plan.cells):
        known = {section.id for section in spec.sections} | {cell.id for cell in plan.cells if cell.section}
        raise SpecError(f"--only {options.only}: no section or cell has this id. {nearest(options.only, known)}")
    return plan


def _compute_and_publish(
    plan: Plan, store: Store, options: Options, watcher: Progress, folder: Path, started: float
) -> Built:
    for _ in range(3):
        try:
            return _attempt(plan, store, options, watcher, folder, started)
        except Corrupt as damage:
            # Where one file is damaged others may be: look at all of them now, then fill the plan again.
            log.warning("%s was damaged in the cache; the cache is checked, and what is damaged is made again", damage)
            verify(store)
    raise RenderError(
        f"The cache {store.root} is damaged again and again while it is read. Its disk may be failing: name another "
        "folder with --cache."
    )


def _attempt(plan: Plan, store: Store, options: Options, watcher: Progress, folder: Path, started: float) -> Built:
    """One pass of filling and publishing. Raises Corrupt where the store held a damaged file; it is set aside then."""
    filled = fill_plan(plan, store, options, watcher)
    failed = tuple(f for f in filled if f.status == "failed" and _is_asked(f.cell.id, options.only))
    computed = sum(not f.cached and f.status == "ok" for f in filled)
    cached = sum(f.cached for f in filled)
    built = Built(folder, computed, cached, failed, (), _fallbacks(plan), _since(started), published=False)
    if options.strict and failed:
        return built
    findings = _publish(plan, filled, store, options, watcher, folder, started)
    published = not (options.strict and findings)
    lacking = published and not options.prints and bool(print_files(plan.spec))
    return replace(built, findings=findings, published=published, seconds=_since(started), without_prints=lacking)


def fill_plan(plan: Plan, store: Store, options: Options, watcher: Progress) -> tuple[Filled, ...]:
    """Every cell with its outcome; nothing that computes is imported where the store holds them all."""
    from reportgen.run import fill

    asked = plan
    if options.only:
        wanted = [c for c in plan.cells if c.section and _is_asked(c.id, options.only)]
        also = {other.id for cell in wanted for other in (*cell.uses.values(), *cell.beside.values())}
        kept = also | {cell.id for cell in wanted}
        asked = replace(plan, cells=tuple(c for c in plan.cells if c.id in kept))
    lacking = _lacking(asked, store)
    missing = {c.key for c in lacking}
    if missing and not has_torch():
        raise ModelError(_needs_torch([c.id.lstrip(".") for c in lacking]))
    threads = options.threads

    def load(model: str) -> Net:
        watcher.say(f"{model}: {plan.models[model].source}")
        return models.load(plan.models[model], options.device, plan.spec.precision, threads)

    watcher.start(len(missing))
    try:
        filled = fill(asked, store, load, watcher.step, watcher.say)
    finally:
        watcher.stop()
    return filled if asked is plan else _with_left_out(plan, filled, store, options.only)


def _lacking(plan: Plan, store: Store) -> list[Cell]:
    """The cells that would have to be computed."""
    return [c for c in plan.cells if c.id not in plan.excluded and store.get(c.key) is None]


def _needs_torch(cells: Sequence[str]) -> str:
    """What is to be said where something is to be computed and torch is missing."""
    shown = ", ".join(cells[:8]) + (f" and {len(cells) - 8} more" if len(cells) > 8 else "")
    return (
        f"torch is not installed here, and {len(cells)} cells are not in the cache: {shown}. A report is drawn anew "
        "without torch where all its cells are there. Build it where torch is installed and bring its cache here "
        "(--cache), or install torch."
    )


def _with_left_out(plan: Plan, filled: tuple[Filled, ...], store: Store, only: str) -> tuple[Filled, ...]:
    """The cells that --only left out, from the store where they are there."""
    from reportgen.records import Artifact
    from reportgen.run import from_record

    known = {outcome.cell.id: outcome for outcome in filled}
    for cell in plan.cells:
        if cell.id in known:
            continue
        if cell.id in plan.excluded:
            known[cell.id] = Filled(cell, "not_applicable", plan.excluded[cell.id], {}, lambda: Artifact({}))
        elif (record := store.get(cell.key)) is not None:
            known[cell.id] = from_record(cell, record, store, cached=True)
        else:
            reason = f"Not computed yet: this build was asked for --only {only}."
            known[cell.id] = Filled(cell, "failed", reason, {}, lambda: Artifact({}))
    return tuple(known[cell.id] for cell in plan.cells)


def _publish(
    plan: Plan,
    filled: tuple[Filled, ...],
    store: Store,
    options: Options,
    watcher: Progress,
    folder: Path,
    started: float,
) -> tuple[str, ...]:
    """Draw site and poster and put them in place; the poster's findings. With --strict findings publish nothing."""
    from reportgen.pages import make_blocks
    from reportgen.site import write_site

    report = report_of(plan, filled, store)
    findings: list[str] = []
    try:
        with new_folder(folder) as fresh, beside(plan.spec.path):
            watcher.say("drawing the site")
            blocks = make_blocks(report)
            write_site(report, blocks, fresh)
            if options.prints:
                findings = make_prints(report, blocks, watcher, fresh)
            else:
                keep_prints(plan.spec, folder, fresh)
            if options.strict and findings:
                raise _Withheld
            _write_build_json(fresh, filled, _device(plan, filled, options), _since(started))
    except _Withheld:
        pass
    return tuple(findings)


def report_of(plan: Plan, filled: tuple[Filled, ...], store: Store) -> Report:
    """The report of a plan whose cells are filled, ready to be drawn."""
    from reportgen.report import Report

    shown = tuple(f for f in filled if f.cell.section)
    others = tuple(f for f in filled if not f.cell.section)
    return Report(plan.spec, plan.methods, plan.cards, _fallbacks(plan), shown, store, others)


def redrawn(path: Path, store: Store, options: Options) -> tuple[Report, tuple[Block, ...]]:
    """The report of a spec that has been built, and its blocks, once more from the store: for other forms of it."""
    return _drawn(prepare(read_spec(path), store, options), store, options)


def stored(path: Path, store: Store, options: Options) -> tuple[Report, tuple[Block, ...]] | None:
    """The report of a spec and its blocks where the store holds every cell; None where something is to be computed."""
    spec = read_spec(path)
    if problems := check_files(spec):
        raise SpecError("\n".join(problems))
    plan = prepare(spec, store, options, train=False)
    untrained = any(choice.course is not None and choice.course.missing for choice in plan.models.values())
    return None if untrained or _lacking(plan, store) else _drawn(plan, store, options)


def _drawn(plan: Plan, store: Store, options: Options) -> tuple[Report, tuple[Block, ...]]:
    from reportgen.pages import make_blocks

    report = report_of(plan, fill_plan(plan, store, options, Quiet()), store)
    return report, make_blocks(report)


class _Withheld(Exception):
    """The report is finished, but --strict keeps it from being published."""


def _device(plan: Plan, filled: tuple[Filled, ...], options: Options) -> str:
    """Where this build computed, in words."""
    if all(outcome.cached or outcome.status != "ok" for outcome in filled):
        return "none: everything was in the cache"
    from reportgen.nets.device import pick_device

    return pick_device(options.device, plan.spec.precision)


def _write_build_json(fresh: Path, filled: tuple[Filled, ...], device: str, seconds: float) -> None:
    """The only file with a clock: device, versions, seconds and cache hits of this build."""
    import platform

    packages = ("torch", "torchvision", "numpy", "pillow", "matplotlib", "weasyprint")
    facts = {
        "reportgen": __version__,
        "python": platform.python_version(),
        "versions": {package: found for package in packages if (found := _version(package))},
        "device": device,
        "built": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seconds": round(seconds, 2),
        "cells": {
            "computed": sum(not f.cached and f.status == "ok" for f in filled),
            "cached": sum(f.cached for f in filled),
            "failed": sum(f.status == "failed" for f in filled),
        },
        "seconds_by_cell": {f.cell.id: round(f.seconds, 4) for f in filled if not f.cached and f.seconds},
    }
    (fresh / "build.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def _version(package: str) -> str:
    """The version of a package, or an empty text where it is not installed, as torch need not be to draw anew."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _refresh_list(root: Path) -> None:
    """Write site/index.html anew: the list of the reports that lie there. A page that is not ours is left alone."""
    from reportgen.site_list import write_list

    index = root / "index.html"
    if index.is_file() and GENERATOR not in index.read_bytes():
        log.warning("%s is not a list that reportgen wrote; it is left as it is", index)
        return
    reports = []
    for path in sorted(root.glob("*/report.json")):
        try:
            reports.append((path.parent.name, json.loads(path.read_text(encoding="utf-8"))))
        except (OSError, ValueError) as error:
            log.warning("%s is left out of the list of reports: %s", path.parent.name, error)
    write_list(root, reports)


def _is_asked(cell_id: str, only: str) -> bool:
    return not only or cell_id == only or cell_id.startswith(f"{only}.")


def _fallbacks(plan: Plan) -> dict[str, str]:
    return {name: choice.fallback for name, choice in plan.models.items() if choice.fallback}


def _since(started: float) -> float:
    return time.perf_counter() - started
