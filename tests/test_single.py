"""The report as one file: whole, safe, and never larger than can be mailed."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace

import html5lib
import pytest

from reportgen import single
from reportgen.errors import RenderError
from reportgen.spec_models import SingleOutput
from tests.poster_report import fonts_store, make_report

ODD = "<script>alert(1)</script> & “Łódź” <b> 深い 😀 שרה ../../etc"


@pytest.fixture
def made(tmp_path, tmp_path_factory):
    """What makes a page in a folder of the test's own."""
    return lambda asked=None, **changes: _made(tmp_path, fonts_store(tmp_path_factory), asked, **changes)


def _made(folder, store, asked=None, **changes):
    """The page of a report whose figures have a picture each."""
    report, blocks = make_report(store, nets=2, images=2, only="intro filters saliency conclusion", **changes)
    kept = report.store.put(
        hashlib.sha256(b"picture").hexdigest(),
        kind="figure",
        document={"what": "picture"},
        blobs={"x.webp": b"RIFF" * 99},
    )
    blocks = [replace(block, files={"x.webp": (kept, "x.webp")}) for block in blocks]
    single.make_single(report, blocks, SingleOutput(**(asked or {})), folder)
    return (folder / "single.html").read_text(encoding="utf-8")


def test_everything_is_in_the_one_file(made):
    page = made()
    html5lib.HTMLParser(strict=True).parse(page)
    assert page.count("data:image/webp;base64,") == 2 * 1 + 2 * 2  # two nets: filters, and saliency of two photos
    assert page.count("data:font/woff2;base64,") == 6
    for text in ("Zoë Łukasiewicz-Šimić", "last words of the introduction.", "AlexNet", "15.3 %", "Saliency maps"):
        assert text in page
    loaded = re.findall(r'(?:src|srcset|data|poster)="([^"]*)"|url\("([^"]*)"\)|@import', page)
    assert all((one or other).startswith("data:") for one, other in loaded)
    assert "<script" not in page


def test_its_policy_lets_nothing_in_but_its_own_style(made):
    page = made()
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"default-src 'none'; img-src data:; font-src data:; style-src 'sha256-{digest}'" in page
    assert not re.search(r"\sstyle=|\son\w+=", re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL))


def test_every_picture_has_a_text_and_every_link_a_target(made):
    page = made()
    pictures = re.findall(r"<img[^>]*>", page)
    assert all(re.search(r'alt="[^"]+"', picture) for picture in pictures)
    anchors = set(re.findall(r'\bid="([^"]*)"', page))
    assert set(re.findall(r'href="#([^"]*)"', page)) <= anchors


def test_odd_names_are_text(made):
    page = made(title=ODD, authors=(ODD,), affiliation=ODD, tags=('"><x>',))
    html5lib.HTMLParser(strict=True).parse(page)
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; “Łódź” &lt;b&gt; 深い 😀 שרה" in page


def test_sections_can_be_chosen(made):
    page = made({"sections": ("saliency",)})
    assert 'id="section-saliency"' in page
    assert 'id="section-filters"' not in page


def test_what_is_too_large_says_by_how_much_and_what_to_leave_out(made, monkeypatch):
    whole = len(made().encode())
    monkeypatch.setattr(single, "LARGEST", whole - 100)
    with pytest.raises(
        RenderError, match=r"would have 0\.\d MB.*Without saliency \(0\.0 MB\).*outputs\.single\.sections"
    ):
        made()


def test_the_same_report_gives_the_same_bytes(made):
    assert made() == made()
