"""How much quicker a site of many pages is than one page with the same tiles, in headless Chromium from file://.

`python -m tests.benchmarks.site_pages [FOLDER]` builds a site of 3,000 units (or takes the one in FOLDER), writes one
page with a picture for each of its units beside it, and loads both and the site's largest page in turn, five times
each, every time in a fresh window: until everything that the page loads at once is there and painted. Prints
milliseconds and their ratio, and keeps them in results/site/pages.json where the site was built here.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import tempfile
import time
from itertools import count
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "site" / "pages.json"
UNITS, LAYERS = 500, 3  # of each of two nets
RUNS = 5
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]


def build(root: Path) -> Path:
    """The site, in a folder of this one."""
    import tests.unit_report as made
    from reportgen import site
    from reportgen.pages import make_blocks

    made.SIDE = 112  # pixels of a picture, as a small net makes them
    seeds, artifact_of = count(), made.artifact_of  # every unit has a picture of its own, as in a real report
    made.artifact_of = lambda method, units, width, _: artifact_of(method, units, width, next(seeds))
    report = made.make_unit_report(root, UNITS, LAYERS, methods=("climb",))
    out = root / "site"
    out.mkdir()
    started = time.perf_counter()
    site.write_site(report, make_blocks(report), out)
    seconds = time.perf_counter() - started
    print(f"built in {seconds:.1f} s, {sum(1 for _ in out.rglob('*.html'))} pages")
    return out


def one_page(out: Path) -> Path:
    """A page with the picture of every unit, as report generators make them."""
    tiles = "".join(
        f'<img src="assets/{path.name}" width="112" height="112" alt="a unit">\n'
        for path in sorted((out / "assets").glob("unit.*.webp"))
    )
    page = out / "all.html"
    head = '<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>All</title>'
    page.write_text(f"{head}<body>{tiles}</body></html>")
    return page


def largest(out: Path) -> Path:
    """The heaviest page of the site, by its bytes."""
    return max((path for path in out.rglob("*.html") if path.name != "all.html"), key=lambda path: path.stat().st_size)


def loaded(browser, page: Path) -> float:
    """Milliseconds until everything is loaded and painted once."""
    window = browser.new_context(viewport={"width": 1280, "height": 900})
    tab = window.new_page()
    started = time.perf_counter()
    tab.goto(page.as_uri(), wait_until="load", timeout=600_000)
    tab.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    took = 1000 * (time.perf_counter() - started)
    window.close()
    return took


def main(folder: str = "") -> None:
    """Both pages in turn, and what came of it."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as spare:
        out = Path(folder).absolute() if folder else build(Path(spare))
        pages = {"one page": one_page(out), "largest page of the site": largest(out)}
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
            loaded(browser, out / "index.html")  # warms the browser, not the pages
            times: dict[str, list[float]] = {name: [] for name in pages}
            for _ in range(RUNS):
                for name, page in pages.items():
                    times[name].append(loaded(browser, page))
            version = browser.version
            browser.close()
        middle = {name: statistics.median(own) for name, own in times.items()}
        found = {
            name: {
                "page": page.relative_to(out).as_posix(),
                "kilobytes": round(page.stat().st_size / 1000),
                "milliseconds": [round(took) for took in times[name]],
                "median": round(middle[name]),
            }
            for name, page in pages.items()
        }
        ratio = round(middle["one page"] / middle["largest page of the site"], 1)
        facts = {
            "tiles": len(list((out / "assets").glob("unit.*.webp"))),
            "browser": f"Chromium {version}, headless, from file://",
            **found,
        }
        text = json.dumps({**facts, "ratio": ratio}, indent=1)
        print(text)
        pages["one page"].unlink()
        if not folder:
            RESULTS.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
