"""A headless Chromium, driven through its own protocol, and a site for it to look at: from a folder and served.

REPORTGEN_SITE names a folder with a built report to look at in place of the sample; the tests of whole pages then hold
for it too, those of walks through the sample do not.
"""

from __future__ import annotations

import functools
import http.server
import os
import re
import shutil
import threading
from collections import defaultdict
from pathlib import Path

import pytest

from tests.browser.sample import sample_report
from tests.site_pages import written

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
)
PATIENCE = 300_000  # milliseconds; the machine may be busy


@pytest.fixture(scope="session")
def chromium():
    """The browser."""
    driver = pytest.importorskip("playwright.sync_api", reason="NO BROWSER TEST RUNS: playwright is not installed.")
    with driver.sync_playwright() as playwright:
        found = CHROMIUM or playwright.chromium.executable_path
        if not Path(found).is_file():
            pytest.skip("NO BROWSER TEST RUNS: there is no Chromium here. On Debian: apt-get install chromium")
        try:
            browser = playwright.chromium.launch(executable_path=found, args=list(FLAGS), timeout=PATIENCE)
        except driver.Error as error:
            if CHROMIUM:
                raise
            pytest.skip(f"NO BROWSER TEST RUNS: playwright's own Chromium does not start: {str(error).splitlines()[0]}")
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def axe():
    """axe-core as a script."""
    bundled = pytest.importorskip("axe_playwright_python", reason="NO AXE TEST RUNS: axe-playwright-python is missing.")
    return (Path(bundled.__file__).parent / "axe.min.js").read_text("utf-8")


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """The site as files."""
    if "REPORTGEN_SITE" in os.environ:
        return Path(os.environ["REPORTGEN_SITE"]).resolve()
    root = tmp_path_factory.mktemp("browser")
    return written(sample_report(root), root)


@pytest.fixture
def sample(folder):
    """The same, where it is the sample."""
    if "REPORTGEN_SITE" in os.environ:
        pytest.skip("A walk through the sample.")
    return folder


@pytest.fixture(scope="session")
def served(folder):
    """The address at which the same files are served."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="session")
def pages(folder):
    """All pages: path -> HTML."""
    return {str(path.relative_to(folder)): path.read_text("utf-8") for path in sorted(folder.rglob("*.html"))}


@pytest.fixture(scope="session")
def kinds(pages):
    """One page of every kind, the largest: kind -> path. A kind is a page's folder, or its name where it is alone."""
    found = defaultdict(list)
    for path, html in pages.items():
        kind = re.sub(r"(?<=/)[^/]+", "*", path) if "/" in path else path
        found[kind].append((len(html), path))
    return {kind: max(paths)[1] for kind, paths in sorted(found.items())}


@pytest.fixture
def tab(chromium):
    """An empty tab that says everything on the console and every request to whoever asks: `said`, `asked`."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.said, page.asked = [], []
    page.on("console", lambda message: page.said.append(f"{page.url}: {message.text}"))
    page.on("pageerror", lambda error: page.said.append(f"{page.url}: {error}"))
    page.on("request", lambda request: page.asked.append(request.url))
    yield page
    context.close()
