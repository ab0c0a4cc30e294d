"""What `reportgen serve` does all the time: build, wait for a change, build again; what one looks at comes first.

The process stays warm, so that a changed text is on the page after a second or two. What takes longer, poster and
handout and the pages of a large site that are not open, is made by a process of its own, which is given up as soon as
something else changes.
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
from reportgen.building import Built, Options, Progress, Quiet, build, report_folder, store_at
from reportgen.errors import RenderError, ReportError
from reportgen.serving import Server, Shown
from reportgen.watching import Watch

log = logging.getLogger(__name__)

QUICK = 1.0  # seconds that a whole site may take to be built at each change
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
    with Server(folder, shown, port) as server, Paper(spec, out, options, say, shown) as paper:
        say(f"{server.address} shows {folder}; Ctrl-C ends it")
        watch = Watch(spec, (templating.templates_dir(),))
        builder = Builder(spec, out, replace(options, prints=False), _Telling(progress, shown), told)
        while True:
            seen = watch.stamps()
            templating.forget()
            _once(builder, shown, say, paper)
            watch.changed(seen, paper.tend)
            paper.give_up()


def _once(builder: Builder, shown: Shown, say: Say, paper: Paper) -> None:
    """Pages anew, whatever becomes of it."""
    try:
        rest = builder.renew(shown)
    except ReportError as error:
        say(f"reportgen: {error}")
        shown.broken(str(error))
    except Exception as error:  # the server must outlive a fault of ours: the terminal has it whole
        log.error("the build failed", exc_info=error)
        shown.broken(f"{type(error).__name__}: {error}. This is a fault of reportgen; the terminal says where.")
    else:
        if rest:
            paper.wanted()


class Builder:
    """Makes pages anew: all of them where that is quick, else first those that somebody looks at."""

    def __init__(self, spec: Path, out: Path | None, options: Options, progress: Progress, told: Told) -> None:
        self.spec, self.out, self.options, self.progress, self.told = spec, out, options, progress, told
        self.slow = False  # whether a whole site takes longer than one likes to wait

    def renew(self, shown: Shown) -> bool:
        """Whether something is left to be made that takes longer; `shown` has the rest. Raises ReportError."""
        if self.slow:
            from reportgen.previewing import preview

            pages = preview(self.spec, store_at(self.options.cache), self.options, shown.looked_at())
            if pages is not None:
                shown.previewed(pages)
                return True
        started = time.monotonic()
        built = build(self.spec, self.out, options=self.options, progress=self.progress)
        self.slow = time.monotonic() - started > QUICK or built.unchanged
        self.told(built)
        if not built.published:
            cells = "; ".join(f"{one.cell.id}: {one.reason}" for one in built.failed)
            raise RenderError(f"Nothing was published. {cells}")
        shown.built()
        return built.without_prints


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
    """The process that makes what is slow to make, once nobody types any more: paper, and pages nobody looks at."""

    def __init__(self, spec: Path, out: Path | None, options: Options, say: Say, shown: Shown) -> None:
        self.command = [sys.executable, "-m", "reportgen", "-q", "build", str(spec), "--device", options.device]
        given = {"--out": out, "--cache": options.cache, "--threads": options.threads}
        for name, value in given.items():
            self.command += [name, str(value)] if value is not None else []
        flags = {"--offline": options.offline, "--strict": options.strict, "--allow-code": options.allow_code}
        self.command += [name for name, wanted in flags.items() if wanted]
        self.say, self.shown = say, shown
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
            code, self._child = self._child.returncode, None
            for line in said.splitlines():
                self.say(line)
            if code not in (0, 1):
                self.shown.broken(said.removeprefix("reportgen: "))
                return
            if self.shown.state.pages:
                self.shown.built()
            self.say("everything is up to date")

    def give_up(self) -> None:
        """End it, whatever it is doing; the report stays whole."""
        self._due = None
        if self._child is None:
            return
        self._child.terminate()
        self._child.communicate()
        self._child = None
