"""A child process that lays HTML out with WeasyPrint: `python -m reportgen.typesetter job.json`.

It has limits on memory and time, because layout of hostile or unlucky pages may never end, and reads nothing but files
below the job's own folder. The job names one or several pages to measure, or one to print; the answer is a JSON file
beside it.
"""

from __future__ import annotations

import json
import logging
import math
import mimetypes
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from reportgen.errors import RenderError

MEMORY = 6 * 2**30  # bytes of address space; an A0 sheet takes 0.2 GB, most of the rest is libraries mapped
SECONDS = 240  # an A0 sheet takes 5
_MM = 25.4 / 96  # CSS pixels are 1/96 inch
_BASE = "file:///report/"  # stands for the job's folder, whose own name would get into the PDF


def measure(pages: Sequence[str], folder: Path) -> list[dict[str, float]]:
    """The height in mm of every element with an id, per page. Raises RenderError."""
    answers: list[dict[str, float]] = _ask({"do": "measure", "pages": list(pages)}, folder)["heights"]
    return answers


def typeset(page: str, pdf: Path, folder: Path, *, variant: str = "pdf/a-3a") -> dict[str, Any]:
    """Write the PDF of one HTML page; how many sheets it took, their size, where each box lies. Raises RenderError."""
    return _ask({"do": "print", "pages": [page], "pdf": str(pdf), "variant": variant}, folder)


def _ask(job: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    file = folder / "job.json"
    file.write_text(json.dumps(job), encoding="utf-8")
    answer = folder / "answer.json"
    answer.unlink(missing_ok=True)
    root = str(Path(__file__).resolve().parent.parent)  # the child must find the reportgen that asks
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    try:
        ran = subprocess.run(
            [sys.executable, "-m", "reportgen.typesetter", str(file)],
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise RenderError(f"The poster was given up: its layout took more than {SECONDS} seconds.") from error
    if answer.exists():
        said: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
        if "error" not in said:
            return said
        raise RenderError(f"The poster cannot be made: {said['error']}")
    last = ran.stderr.strip().splitlines()[-1:] or [f"its process ended with code {ran.returncode}"]
    raise RenderError(f"The poster cannot be made: {last[0]}.")


def main(file: Path) -> None:
    """Do one job, and write the answer beside it."""
    _limit()
    job = json.loads(file.read_text(encoding="utf-8"))
    try:
        answer = _print(job, file.parent) if job["do"] == "print" else _measure(job, file.parent)
    except MemoryError:
        answer = {"error": f"its layout takes more than {MEMORY >> 30} GiB of memory."}
    except BaseException as error:  # WeasyPrint's fatal errors are not Exceptions
        if not _fatal(error):
            raise
        answer = {"error": str(error)}
    (file.parent / "answer.json").write_text(json.dumps(answer), encoding="utf-8")


def _limit() -> None:
    try:
        import resource
    except ImportError:  # not on Windows
        return
    for what, limit in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CPU, SECONDS)):
        hard = resource.getrlimit(what)[1]
        resource.setrlimit(what, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def _measure(job: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    heights = []
    for page in job["pages"]:
        sheet = _render(page, folder).pages[0]
        heights.append({name: box.border_height() * _MM for name, box in _named(sheet)})
    return {"heights": heights}


def _print(job: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    warnings = _collect_warnings()
    document = _render(job["pages"][0], folder, variant=job["variant"])
    document.write_pdf(job["pdf"], pdf_variant=job["variant"])
    sheet = document.pages[0]
    sizes = [(size, text) for size, text in _type(sheet) if text.strip()]
    return {
        "sheets": len(document.pages),
        "size": [sheet.width * _MM, sheet.height * _MM],
        "boxes": {name: [v * _MM for v in _rectangle(box)] for name, box in _named(sheet)},
        "smallest_type": min(sizes, default=[math.inf, ""]),
        "warnings": warnings,
    }


def _render(page: str, folder: Path, variant: str | None = None) -> Any:
    from weasyprint import HTML
    from weasyprint.text.fonts import FontConfiguration

    html = HTML(string=page, base_url=_BASE, url_fetcher=_fetcher(folder))
    return html.render(font_config=FontConfiguration(), pdf_variant=variant)


def _fetcher(folder: Path) -> Any:
    from weasyprint.urls import FatalURLFetchingError, URLFetcher, URLFetcherResponse

    class OwnFiles(URLFetcher):  # type: ignore[misc]
        """Opens files below the job's folder, and stops the job at anything else."""

        def fetch(self, url: str, headers: Any = None) -> Any:
            path = (folder / unquote(urlsplit(url).path).removeprefix("/report/")).resolve()  # sees through links
            if not url.startswith(_BASE) or not path.is_relative_to(folder.resolve()):
                raise FatalURLFetchingError(
                    f"{url[:200]} is not part of the report; a poster loads nothing from elsewhere."
                )
            kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
            return URLFetcherResponse(url, path.open("rb"), {"Content-Type": kind})

    return OwnFiles(allowed_protocols={"file"})


def _fatal(error: BaseException) -> bool:
    from weasyprint.urls import FatalURLFetchingError

    return isinstance(error, FatalURLFetchingError)


def _named(sheet: Any) -> Iterator[tuple[str, Any]]:
    for box in sheet._page_box.descendants():  # the only way to where things lie
        if box.element is not None and (name := box.element.get("id")) and hasattr(box, "border_height"):
            yield name, box


def _rectangle(box: Any) -> tuple[float, float, float, float]:
    return (box.border_box_x(), box.border_box_y(), box.border_width(), box.border_height())


def _type(sheet: Any) -> Iterator[tuple[float, str]]:
    for box in sheet._page_box.descendants():
        if text := getattr(box, "text", ""):
            yield box.style["font_size"] * 0.75, text  # px -> pt


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
