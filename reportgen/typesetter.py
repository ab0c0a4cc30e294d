"""A child process that lays HTML out with WeasyPrint: `python -m reportgen.typesetter FOLDER`.

It has limits on memory and time, because layout of hostile or unlucky pages may never end, and reads nothing but files
below the job's own folder. It sees none of the machine's fonts, so that lines break alike everywhere: a letter that the
report's own fonts lack is told, not drawn by whatever is installed. A job names one or several pages to measure, or one
to print; it lies in the folder as job.json, the answer beside it. For each line that it reads the child does the job
and says "done": one child serves a whole poster, for it takes a second to start.
"""

from __future__ import annotations

import json
import logging
import math
import mimetypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from reportgen.errors import RenderError
from reportgen.laid_out import MM, facts, named, too_wide

MEMORY = 6 * 2**30  # bytes of address space; an A0 sheet takes 0.2 GB, most of the rest is libraries mapped
SECONDS = 240  # of computing; an A0 sheet takes 5
PATIENCE = 5  # times as long by the clock, on a busy machine
_POINT = 72 / 25.4
_EPOCH = "1980-01-01"  # of attachments to a report without a date: no clock in the output
_BASE = "file:///report/"  # stands for the job's folder, whose own name would get into the PDF


@dataclass(frozen=True)
class Attached:
    """A file that travels inside the PDF."""

    name: str  # of the file in the job's folder, and in the PDF
    description: str
    relationship: str = "Source"  # to the page: Source, Data, Supplement


class Typesetter:
    """Lays out pages whose files lie in one folder; its process ends with the block."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()

    def __enter__(self) -> Typesetter:
        """Start the process."""
        root = str(Path(__file__).resolve().parent.parent)  # the child must find the reportgen that asks
        path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        config = self.folder / "fonts.conf"  # names no folder: only what the page brings is there
        config.write_text('<?xml version="1.0"?><fontconfig></fontconfig>', encoding="utf-8")
        self._errors = (self.folder / "stderr.txt").open("w+", encoding="utf-8")
        self._child = subprocess.Popen(
            [sys.executable, "-m", "reportgen.typesetter", str(self.folder)],
            env={**os.environ, "PYTHONPATH": path, "FONTCONFIG_FILE": str(config)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        """End the process, whatever it is doing."""
        self._child.kill()
        self._child.communicate()
        self._errors.close()

    def measure(self, pages: Sequence[str]) -> list[dict[str, float]]:
        """The height in mm of every element with an id, per page. Raises RenderError.

        It is endless for an element of class "fitted" with a word that sticks out.
        """
        answers: list[dict[str, float]] = self._ask({"do": "measure", "pages": list(pages)})["heights"]
        return answers

    def typeset(
        self,
        page: str,
        pdf: Path,
        *,
        variant: str = "pdf/a-3a",
        bleed: float = 0.0,
        attached: Sequence[Attached] = (),
        date: str | None = None,
    ) -> dict[str, Any]:
        """Write the PDF of one HTML page; what a preflight wants to know of its layout. Raises RenderError.

        The answer: `sheets`, how many; `size` of the first in mm; `boxes` and `ink`, where each element with an id lies
        and how far its words and pictures reach (x, y, width, height in mm); `smallest_type` in points and its text;
        the least `contrast` and its text; `missing`, the letters that no font has; `no_alt`, pictures without a
        description; and the typesetter's `warnings`. `bleed` is how many mm beyond the sheet are printed.
        """
        job = {"do": "print", "pages": [page], "pdf": str(pdf.resolve()), "variant": variant, "bleed": bleed}
        return self._ask(job | {"attached": [asdict(one) for one in attached], "date": date or _EPOCH})

    def _ask(self, job: Mapping[str, Any]) -> dict[str, Any]:
        (self.folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        answer = self.folder / "answer.json"
        answer.unlink(missing_ok=True)
        late = threading.Timer(PATIENCE * SECONDS, self._child.kill)
        late.start()
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        try:
            self._child.stdin.write("job\n")
            self._child.stdin.flush()
            self._child.stdout.readline()
        except BrokenPipeError:
            pass
        finally:
            in_time = late.is_alive()
            late.cancel()
        if answer.exists():
            said: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
            if "error" not in said:
                return said
            raise RenderError(f"The poster cannot be made: {said['error']}")
        code = self._child.wait()
        if not in_time or code == -signal.SIGXCPU:
            raise RenderError(f"The poster was given up: its layout took more than {SECONDS} seconds.")
        self._errors.seek(0)
        last = self._errors.read().strip().splitlines()[-1:] or [f"its process ended with code {code}"]
        raise RenderError(f"The poster cannot be made: {last[0]}.")


def main(folder: Path) -> None:
    """Do jobs as long as somebody asks."""
    import weasyprint  # noqa: F401  # half a second, while the parent prepares the first job

    for _ in sys.stdin:
        _limit()
        answer = _answer(json.loads((folder / "job.json").read_text(encoding="utf-8")), folder)
        (folder / "answer.json").write_text(json.dumps(answer), encoding="utf-8")
        sys.stdout.write("done\n")
        sys.stdout.flush()


def _answer(job: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    try:
        return _print(job, folder) if job["do"] == "print" else _measure(job, folder)
    except MemoryError:
        return {"error": f"its layout takes more than {MEMORY >> 30} GiB of memory."}
    except BaseException as error:  # WeasyPrint's fatal errors are not Exceptions
        if not _fatal(error):
            raise
        return {"error": str(error)}


def _limit() -> None:
    """No more than so much memory, and so much time from now on."""
    try:
        import resource
    except ImportError:  # not on Windows
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    until = math.ceil(used.ru_utime + used.ru_stime + SECONDS)
    for what, limit in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CPU, until)):
        hard = resource.getrlimit(what)[1]
        resource.setrlimit(what, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


@lru_cache(maxsize=1)
def _fonts() -> Any:
    from weasyprint.text.fonts import FontConfiguration

    return FontConfiguration()  # all pages of a child have the same fonts


def _measure(job: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    heights = []
    for page in job["pages"]:
        sheet = _render(page, folder, []).pages[0]
        heights.append({name: math.inf if too_wide(box) else box.border_height() * MM for name, box in named(sheet)})
    return {"heights": heights}


def _print(job: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    warnings, refused = _collect_warnings(), list[str]()
    document = _render(job["pages"][0], folder, refused, variant=job["variant"])
    document.write_pdf(
        job["pdf"],
        pdf_variant=job["variant"],
        attachments=[_attachment(one, job["date"], folder) for one in job["attached"]],
        finisher=lambda _, pdf: _finish(pdf, job["bleed"] * _POINT),
    )
    if refused:  # inside a drawing, where WeasyPrint goes on after any error
        return {"error": refused[0]}
    return facts(document, folder) | {"warnings": warnings}


def _attachment(asked: Mapping[str, str], date: str, folder: Path) -> Any:
    from weasyprint import Attachment

    when = datetime.fromisoformat(date).replace(tzinfo=timezone.utc)
    return Attachment(
        file_obj=(folder / asked["name"]).open("rb"),
        name=asked["name"],
        description=asked["description"],
        relationship=asked["relationship"],
        created=when,
        modified=when,
    )


def _finish(pdf: Any, bleed: float) -> None:
    """Say how far the bleed reaches, at which WeasyPrint guesses; name each attachment once, which it names twice."""
    for page in (one for one in pdf.objects if isinstance(one, dict) and one.get("Type") == "/Page"):
        left, low, right, high = page["TrimBox"]
        page["BleedBox"][:] = [left - bleed, low - bleed, right + bleed, high + bleed]
    if "AF" in pdf.catalog:
        pdf.catalog["AF"][:] = list(dict.fromkeys(pdf.catalog["AF"]))


def _render(page: str, folder: Path, refused: list[str], variant: str | None = None) -> Any:
    from weasyprint import HTML

    html = HTML(string=page, base_url=_BASE, url_fetcher=_fetcher(folder, refused))
    return html.render(font_config=_fonts(), pdf_variant=variant)


def _fetcher(folder: Path, refused: list[str]) -> Any:
    from weasyprint.urls import FatalURLFetchingError, URLFetcher, URLFetcherResponse

    class OwnFiles(URLFetcher):  # type: ignore[misc]
        """Opens files below the job's folder, and stops the job at anything else."""

        def fetch(self, url: str, headers: Any = None) -> Any:
            path = (folder / unquote(urlsplit(url).path).removeprefix("/report/")).resolve()  # sees through links
            if not url.startswith(_BASE) or not path.is_relative_to(folder.resolve()):
                refused.append(f"{url[:200]} is not part of the report; a poster loads nothing from elsewhere.")
                raise FatalURLFetchingError(refused[-1])
            kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
            return URLFetcherResponse(url, path.open("rb"), {"Content-Type": kind})

    return OwnFiles(allowed_protocols={"file"})


def _fatal(error: BaseException) -> bool:
    from weasyprint.urls import FatalURLFetchingError

    return isinstance(error, FatalURLFetchingError)


def _collect_warnings() -> list[str]:
    warnings: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            warnings.append(record.getMessage())

    logger = logging.getLogger("weasyprint")
    logger.handlers = [Collector(logging.WARNING)]
    return warnings


if __name__ == "__main__":
    main(Path(sys.argv[1]))
