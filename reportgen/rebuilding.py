"""What `reportgen serve` does all the time: build, wait for a change, build again; pages first, paper afterwards.

The process stays warm, so that a changed text is on the page after a second or two. Poster and handout take longer:
they are made by a process of their own, which is given up as soon as something else changes.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from reportgen import templating
from reportgen.building import Built, Options, Progress, Quiet, build, report_folder
from reportgen.errors import ReportError
from reportgen.serving import Server, Shown
from reportgen.watching import Watch

log = logging.getLogger(__name__)

CALM = 3.0  # seconds without a change after which paper is worth its while

Say = Callable[[str], None]
Told = Callable[[Built], None]


def serve(
    spec: Path, out: Path | None, port: int | None, options: Options, progress: Progress, told: Told, say: Say
) -> None:
    """Shows the report of a spec on a port of 127.0.0.1 and keeps it up to date, until interrupted."""
    if not spec.is_file():
        raise ReportError(f"There is no spec {spec}. `reportgen new NAME` starts one.")
    folder, shown = report_folder(spec, out), Shown()
    with Server(folder, shown, port) as server, Paper(spec, out, options, say) as paper:
        say(f"{server.address} shows {folder}; Ctrl-C ends it")
        watch = Watch(spec, (templating.templates_dir(),))
        watcher = _Telling(progress, shown)
        while True:
            seen = watch.stamps()
            templating.forget()
            _once(spec, out, replace(options, prints=False), watcher, shown, told, say, paper)
            watch.changed(seen, paper.tend)
            paper.give_up()


def _once(
    spec: Path, out: Path | None, options: Options, watcher: _Telling, shown: Shown, told: Told, say: Say, paper: Paper
) -> None:
    """One build, whatever becomes of it."""
    try:
        built = build(spec, out, options=options, progress=watcher)
    except ReportError as error:
        say(f"reportgen: {error}")
        shown.broken(str(error))
        return
    except Exception as error:  # the server must outlive a fault of ours: the terminal has it whole
        log.error("the build failed", exc_info=error)
        shown.broken(f"{type(error).__name__}: {error}. This is a fault of reportgen; the terminal says where.")
        return
    told(built)
    if not built.published:
        cells = "\n".join(f"{one.cell.id}: {one.reason}" for one in built.failed)
        shown.broken(f"Nothing was published, because of --strict.\n{cells}")
        return
    shown.built()
    if built.without_prints:
        paper.wanted()


class _Telling(Quiet):
    """Tells the terminal how far a build is, and the page that waits for it."""

    def __init__(self, progress: Progress, shown: Shown) -> None:
        self.progress, self.shown = progress, shown
        self.total = self.done = 0

    def say(self, text: str) -> None:
        """One line about what happens now."""
        self.progress.say(text)
        self.shown.working(text)

    def start(self, total: int) -> None:
        """So many cells are to be computed."""
        self.total, self.done = total, 0
        self.progress.start(total)

    def step(self, text: str) -> None:
        """One cell is done."""
        self.done += 1
        self.progress.step(text)
        self.shown.working(f"{self.done} of {self.total} cells computed")

    def stop(self) -> None:
        """No more cells."""
        self.progress.stop()


class Paper:
    """The process that makes what is slow to make, once nobody types any more: poster, handout, one-file report."""

    def __init__(self, spec: Path, out: Path | None, options: Options, say: Say) -> None:
        self.command = [sys.executable, "-m", "reportgen", "-q", "build", str(spec), "--device", options.device]
        given = {"--out": out, "--cache": options.cache, "--threads": options.threads}
        for name, value in given.items():
            self.command += [name, str(value)] if value is not None else []
        flags = {"--offline": options.offline, "--strict": options.strict, "--allow-code": options.allow_code}
        self.command += [name for name, wanted in flags.items() if wanted]
        self.say = say
        self._due: float | None = None  # when to begin
        self._child: subprocess.Popen[str] | None = None

    def __enter__(self) -> Paper:
        """Itself; nothing is made yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Gives up what is being made."""
        self.give_up()

    def wanted(self) -> None:
        """It is to be made soon; whoever looks at the poster meanwhile sees the old one."""
        self._due = time.monotonic() + CALM

    def tend(self) -> None:
        """Begins what is due, and tells what became of what was begun; never waits."""
        if self._due is not None and time.monotonic() >= self._due:
            self._due = None
            # a session of its own: Ctrl-C in the terminal is for us, and we end it
            self._child = subprocess.Popen(self.command, stderr=subprocess.PIPE, text=True, start_new_session=True)
            with contextlib.suppress(OSError, AttributeError):  # what somebody waits for comes first
                os.setpriority(os.PRIO_PROCESS, self._child.pid, 10)
        if self._child is not None and self._child.poll() is not None:
            _, said = self._child.communicate()
            self._child = None
            for line in said.splitlines():
                self.say(line)
            self.say("what is for paper is up to date")

    def give_up(self) -> None:
        """End it, whatever it is doing; the report stays whole."""
        self._due = None
        if self._child is None:
            return
        self._child.terminate()
        self._child.communicate()
        self._child = None
