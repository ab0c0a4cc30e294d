"""Seconds and memory of a poster with 200 pictures: python -m tests.benchmarks.poster_time [TEMPLATE [SIZE]]

Made of the tests' report with thirteen nets and four photos, on A0 unless told otherwise; a billboard has less room. It
measures the whole of `make_poster` (layout at several sizes of type, drawing, PDF, preflight), and the most memory that
this process and any of its children held. Issue 6 asks for 10 s and 500 MB.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

from reportgen import poster
from reportgen.poster_draw import draw_all
from reportgen.spec_models import PosterOutput
from tests.poster_report import NETS, make_report, with_files

MORE_NETS = {f"more{number}": (f"Net {number}", 2018, 50, 25_000_000, None, "") for number in range(7, 14)}
SECTIONS = (
    {"id": "intro", "title": "Introduction"},
    *({"id": f"saliency{number}", "title": "Saliency maps", "method": "saliency"} for number in range(7)),
    {"id": "filters", "title": "First-layer filters", "method": "filters"},
)


def main(template="classic", size="A0"):
    """Print what it took."""
    folder = Path(tempfile.mkdtemp(prefix="poster-time-"))
    NETS.update(MORE_NETS)
    report, blocks = make_report(folder / "store", nets=13, images=4, sections=SECTIONS)
    counted = []

    def counting(asked, sized, label, build):
        tiles = list(sized)
        counted.append(len(tiles))
        return draw_all(asked, tiles, label, build)

    poster.draw_all = counting
    small = PosterOutput(size="A4", sections=("intro",))
    poster.make_poster(report, blocks, small, with_files(folder / "first"))  # cuts the fonts, once for a store
    options = PosterOutput(size=size, template=template)
    started, computing = time.perf_counter(), _computing()
    findings = poster.make_poster(report, blocks, options, with_files(folder / "second"))
    seconds, computing = time.perf_counter() - started, _computing() - computing
    own, child = (resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    written = (folder / "second" / "poster.pdf").stat().st_size / 1e6
    print(
        f"{template} {size}: {counted[-1]} pictures, {seconds:.1f} s ({computing:.1f} s of computing), "
        f"{own:.0f} + {child:.0f} MB; {written:.1f} MB PDF"
    )
    for finding in findings:
        print(f"  {finding}")


def _computing():
    """Seconds of processor time so far, those of ended children too: what a busy machine leaves as it is."""
    return sum(
        one.ru_utime + one.ru_stime for one in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
