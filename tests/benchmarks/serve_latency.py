"""Seconds from a saved text to the page that shows it, in a browser at `reportgen serve`; run by hand.

    python -m tests.benchmarks.serve_latency SPEC [--cache DIR] [--times 7]

The spec is copied with its folder, so that nothing of the user's is changed; its summary is what changes.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

PATIENCE = 300  # seconds for one build


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("spec", type=Path)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--times", type=int, default=7)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "copy"
        shutil.copytree(asked.spec.parent, folder, ignore=shutil.ignore_patterns("site", ".*", "out*"))
        spec = folder / asked.spec.name
        command = [sys.executable, "-m", "reportgen", "serve", str(spec), "--port", "0", "--threads", "1"]
        command += ["--out", f"{scratch}/site"] + (["--cache", str(asked.cache.absolute())] if asked.cache else [])
        server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            address = re.match(r"(http://\S+)", server.stderr.readline())[1]
            drain(server)
            seconds = [*measured(address, spec, asked.times)]
        finally:
            server.terminate()
            server.wait()
    load = os.getloadavg()[0]
    print(f"median {statistics.median(seconds):.2f} s, slowest {max(seconds):.2f} s of {len(seconds)}; load {load:.1f}")
    print("each:", " ".join(f"{one:.2f}" for one in seconds))


def drain(server: subprocess.Popen) -> None:
    """Reads what the server says, so that it never waits for us."""
    threading.Thread(target=lambda: [None for _ in server.stderr], daemon=True).start()


def measured(address: str, spec: Path, times: int) -> list[float]:
    found = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(address)
        page.wait_for_selector(".summary", timeout=PATIENCE * 1000)
        for number in range(times):
            words = f"Words of the {number}th kind."
            text = re.sub(r"(?ms)^summary:.*?(?=^\S|\Z)", "", spec.read_text(encoding="utf-8"))
            spec.write_text(f"summary: {words}\n{text}", encoding="utf-8")
            started = time.perf_counter()
            page.get_by_text(words).first.wait_for(timeout=PATIENCE * 1000)
            found.append(time.perf_counter() - started)
            time.sleep(1)
        browser.close()
    return found


if __name__ == "__main__":
    main()
