"""Seconds and memory of a poster with 200 pictures: python -m tests.benchmarks.poster_time [TEMPLATE [SIZE]]

Made of the tests' report with six nets and four photos, on A0 unless told otherwise. Measured are the whole of
`make_poster` (layout at several sizes of type, drawing, PDF, preflight) and the most memory that this process and any
of its children held. Issue 6 asks for 10 s and 500 MB.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

from reportgen import poster
from reportgen.poster_draw import draw_all
from reportgen.spec_models import PosterOutput
from tests.poster_report import make_report, with_files

SALIENCY = [{"id": f"saliency{letter}", "title": "Saliency maps", "method": "saliency"} for letter in "abc"]
SECTIONS = (
    {"id": "intro", "title": "Introduction"},
    {"id": "activity", "title": "What each depth looks at", "method": "activity"},
    *SALIENCY,
    {"id": "deconvnet", "title": "Back to the pixels", "method": "deconvnet"},
    {"id": "filters", "title": "First-layer filters", "method": "filters"},
    {"id": "conclusion", "title": "Conclusion"},
)


def main(template="classic", size="A0"):
    """Print what it took."""
    folder = Path(tempfile.mkdtemp(prefix="poster-time-"))
    report, blocks = make_report(folder / "store", nets=6, images=4, sections=SECTIONS)
    counted = []

    def counting(asked, sized, label, build):
        tiles = list(sized)
        counted.append(len(tiles))
        return draw_all(asked, tiles, label, build)

    poster.draw_all = counting
    small = PosterOutput(size="A4", sections=("intro",))
    poster.make_poster(report, blocks, small, with_files(folder / "first"))  # cuts the fonts, once for a store
    options = PosterOutput(size=size, template=template)
    started = time.perf_counter()
    findings = poster.make_poster(report, blocks, options, with_files(folder / "second"))
    seconds = time.perf_counter() - started
    own, child = (resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    written = (folder / "second" / "poster.pdf").stat().st_size / 1e6
    print(
        f"{template} {size}: {counted[-1]} pictures, {seconds:.1f} s, {own:.0f} + {child:.0f} MB; {written:.1f} MB PDF"
    )
    for finding in findings:
        print(f"  {finding}")


if __name__ == "__main__":
    main(*sys.argv[1:])
