"""The pages somebody looks at, drawn before all others: what `reportgen serve` shows of a report of many pages.

A whole site of a thousand pages takes seconds to write; the two or three that are open take a fraction of one.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from pathlib import Path

from reportgen.assembly import stored
from reportgen.building import Options
from reportgen.site import Site
from reportgen.site_assets import write_photos
from reportgen.store import Store
from reportgen.templating import beside

LONGEST = 1.0  # seconds after which pages that have not come up yet are left to the build


def preview(spec: Path, store: Store, options: Options, wanted: Collection[str]) -> dict[str, str] | None:
    """The HTML of these pages by their paths, as a build would write it; None where something is to be computed.

    Raises SpecError and RenderError as a build does.
    """
    with beside(spec.absolute()):
        found = stored(spec, store, options)
        if found is None:
            return None
        report, blocks = found
        pages: dict[str, str] = {}
        begun = time.monotonic()
        for path, html in Site(report, blocks, write_photos(report, None)).pages():
            if path in wanted:
                pages[path] = html
            if len(pages) == len(wanted) or (pages and time.monotonic() - begun > LONGEST):
                break
        return pages
