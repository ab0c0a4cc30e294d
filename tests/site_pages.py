"""A report written as a site into a folder, and what a page is made of, for tests that look at pages."""

from html.parser import HTMLParser

from reportgen import site
from reportgen.pages import make_blocks


def written(report, root):
    """The folder of a report's site, new in `root`."""
    out = root / "site"
    out.mkdir()
    site.write_site(report, make_blocks(report), out)
    return out


class Elements(HTMLParser):
    """All start tags of a page as (name, attributes)."""

    def __init__(self, html):
        super().__init__()
        self.found = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def all(self, name):
        return [attrs for tag, attrs in self.found if tag == name]
