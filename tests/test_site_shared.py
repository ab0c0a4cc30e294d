"""What a site says of itself where it is published, and that it says nothing where it is not."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from io import BytesIO
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
from PIL import Image
from pydantic import ValidationError

from reportgen.pages import make_blocks
from reportgen.site_card import card
from reportgen.site_shared import not_found
from reportgen.spec_models import Spec
from tests.site_pages import written
from tests.site_report import EVIL, make_report

URL = "https://example.org/my%20report/"


def published(report, **changes):
    spec = report.spec.model_dump() | {"site_url": URL.rstrip("/")} | changes
    return replace(report, spec=Spec.model_validate(spec, strict=False))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("published")
    report = published(make_report(root), featured={"section": "every", "caption": EVIL})
    return written(report, root)


class Head(HTMLParser):
    """The meta tags and the canonical link of a page."""

    def __init__(self, path):
        super().__init__()
        self.meta, self.canonical = {}, []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if tag == "meta":
            self.meta[values.get("property") or values.get("name")] = values.get("content")
        if tag == "link" and values["rel"] == "canonical":
            self.canonical.append(values["href"])


def pages(folder):
    return {str(p.relative_to(folder)): p for p in sorted(folder.rglob("*.html")) if p.name != "404.html"}


def test_every_page_names_its_own_address_and_a_card_that_is_there(folder):
    for path, file in pages(folder).items():
        head = Head(file)
        expected = URL + ("" if path == "index.html" else path)
        assert head.canonical == [expected]
        assert head.meta["og:url"] == expected
        assert head.meta["og:title"]
        assert head.meta["og:description"]
        assert head.meta["og:image"].startswith(URL)
        picture = folder / unquote(head.meta["og:image"].removeprefix(URL))
        with Image.open(picture) as opened:
            assert opened.size == (1200, 630)
            assert [head.meta["og:image:width"], head.meta["og:image:height"]] == ["1200", "630"]
        assert head.meta["og:image:alt"].startswith(EVIL)
    assert Head(folder / "index.html").meta["og:title"] == EVIL


def test_the_map_lists_every_page_once(folder):
    found = ElementTree.parse(folder / "sitemap.xml").getroot()
    space = "{http://www.sitemaps.org/schemas/sitemap/0.9}"
    assert found.tag == f"{space}urlset"
    listed = [entry.findtext(f"{space}loc") for entry in found]
    assert sorted(listed) == sorted(URL + ("" if path == "index.html" else path) for path in pages(folder))


def test_the_page_404_leads_to_the_front_page_from_any_depth(folder):
    html = (folder / "404.html").read_text(encoding="utf-8")
    links = [unescape(link) for link in re.findall(r'href="([^"]*)"', html)]
    assert links
    assert all(link.startswith("/my%20report/") for link in links)
    assert "<script>alert" not in html


def test_without_an_address_a_page_404_climbs_up_and_leans_on_nothing():
    html = not_found(EVIL)
    assert re.findall(r'(?:href|src)="([^"]*)"', html) == ["./", "../"]
    assert "<script>alert" not in html


def test_without_an_address_there_is_nothing_of_all_this(tmp_path):
    folder = written(make_report(tmp_path), tmp_path)
    names = {path.name for path in folder.rglob("*")}
    assert not names & {"sitemap.xml", "404.html", "card.jpg"}
    for file in pages(folder).values():
        head = Head(file)
        assert head.canonical == []
        assert not any((name or "").startswith(("og:", "twitter:")) for name in head.meta)


def test_a_card_is_the_same_bytes_twice_and_has_no_metadata(tmp_path):
    report = published(make_report(tmp_path), title="A title that all have letters for")
    blocks = make_blocks(report)
    first, words = card(report, blocks)
    assert card(report, blocks) == (first, words)
    plain, _ = card(report, blocks, title=False)
    assert plain != first
    with Image.open(BytesIO(first)) as picture:
        assert not picture.getexif()
        assert set(picture.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


@pytest.mark.parametrize("title", ["word " * 60, "W" * 300, "漢字 עברית 🙂", "Short"])
def test_any_title_gives_a_card_of_the_right_size(tmp_path, title):
    report = published(make_report(tmp_path), title=title)
    with Image.open(BytesIO(card(report, make_blocks(report))[0])) as picture:
        assert picture.size == (1200, 630)
        edges = [
            picture.crop(box).getextrema() for box in ((0, 0, 1200, 20), (1170, 0, 1200, 630), (0, 610, 1200, 630))
        ]
    assert all(low > 250 for edge in edges for low, _ in edge)  # nothing reaches into the margin


@pytest.mark.parametrize(
    "address",
    ["example.org", "javascript:alert(1)", "https://x/?q=1", "https://x/#a", 'https://x/"><script>', "https://x/ y"],
)
def test_an_address_that_cannot_be_one_is_told(tmp_path, address):
    with pytest.raises(ValidationError, match="address of the report's front page"):
        published(make_report(tmp_path), site_url=address)
