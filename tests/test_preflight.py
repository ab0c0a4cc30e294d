"""The preflight finds what a print shop, or a reader, would send back."""

from __future__ import annotations

import re
from dataclasses import replace
from html import escape

import numpy as np
import pytest
from PIL import Image
from pypdf import PdfWriter

from reportgen import fonts, poster, poster_plan, preflight
from reportgen.poster_draw import draw_all
from reportgen.poster_files import lay_out, lay_out_attached
from reportgen.poster_layout import Sheet
from reportgen.poster_sheet import compose
from reportgen.preflight import Expected
from reportgen.spec_models import PosterOutput
from reportgen.store import Store
from reportgen.typesetter import Typesetter
from tests.poster_report import fonts_store, make_report, with_files

SIZE = (105.0, 148.0)
LONG = "many words that nobody asked for " * 40


# -------------------------------------------------------------------------------------------------------- one sheet


@pytest.fixture(scope="module")
def setter(tmp_path_factory):
    """One child process for all sheets of this file, with our fonts and a picture of noise in its folder."""
    folder = tmp_path_factory.mktemp("sheet")
    (folder / "fonts").mkdir()
    for name, data in fonts.print_fonts(Store(fonts_store(tmp_path_factory))).items():
        (folder / "fonts" / name).write_bytes(data)
    (folder / "fonts.css").write_text(fonts.font_faces("fonts/", "ttf"))
    with Typesetter(folder) as started:
        yield started


def _found(setter, body, expected=None, size=SIZE, pixels=600, **asked):
    """The findings on a sheet with this body; picture.jpg is noise, so many pixels wide."""
    noise = np.random.default_rng(0).integers(0, 255, (pixels, pixels, 3), dtype=np.uint8)
    Image.fromarray(noise).save(setter.folder / "picture.jpg", quality=50)
    page = (
        '<!DOCTYPE html><html lang="en"><head><title>Sheet</title><link rel="stylesheet" href="fonts.css"><style>'
        f"@page {{ size: {size[0]}mm {size[1]}mm; margin: 10mm }} img {{ image-rendering: crisp-edges }}"
        f'body {{ font: 18pt "Source Sans" }}</style></head><body>{body}</body></html>'
    )
    said = setter.typeset(page, setter.folder / "sheet.pdf", **asked)
    return preflight.preflight(setter.folder / "sheet.pdf", expected or _expected(), said)


def _expected(**changes):
    return Expected(width=SIZE[0], height=SIZE[1], **changes)


def test_a_good_sheet_has_no_findings(setter):
    body = '<p>The first and the last words.</p><img src="picture.jpg" alt="noise" style="width: 80mm; height: 80mm">'
    assert _found(setter, body, _expected(endings={"text": "the last words."})) == []


def test_another_size_and_a_second_page_are_found(setter):
    findings = " ".join(_found(setter, "<p>one</p><p style='break-before: page'>two</p>", size=(100, 148)))
    assert "2 pages" in findings
    assert "100.0 x 148.0 mm, not 105.0 x 148.0 mm" in findings


def test_text_off_the_page_is_found(setter):
    body = f"<div style='position: absolute; top: 0; height: 50mm'>{'word ' * 3000} the very end</div>"
    (finding,) = _found(setter, body, _expected(endings={"introduction": "the very end"}))
    assert "'introduction'" in finding
    assert "does not fit" in finding


def test_ligatures_signs_accents_and_directions_are_no_lost_text(setter):
    texts = ["fine fluffy offices", "naïve Łódź", "a−b ≤ c×d", "<&> “quoted”", "one\u200e, two"]
    body = "".join(f"<p>{escape(text)}</p>" for text in texts)
    assert _found(setter, body, _expected(endings=dict(enumerate(texts)))) == []


def test_letters_that_no_font_has_are_named(setter):
    (finding,) = _found(setter, "<p>深い 😀 שלום and words</p>")
    assert "深 (U+6DF1, cjk unified ideograph-6df1)" in finding
    assert "😀 (U+1F600, grinning face)" in finding
    assert "ש (U+05E9, hebrew letter shin)" in finding
    assert "`fonts:`" in finding


def test_missing_tools_are_named_with_their_package(setter, monkeypatch, tmp_path):
    said = setter.typeset("<html lang='en'><title>t</title><p>text</p></html>", tmp_path / "x.pdf")
    monkeypatch.setenv("PATH", str(tmp_path))
    finding = preflight.preflight(tmp_path / "x.pdf", _expected(smallest_type=0, least_contrast=0), said)[-1]
    assert "pdftotext" in finding
    assert "apt-get install poppler-utils" in finding


# --------------------------------------------------------------------------------------------------- broken posters


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A poster before it is printed: its typesetter, its page, what it should be."""
    build = tmp_path_factory.mktemp("build")
    only = "intro activity saliency conclusion"
    report, blocks = make_report(fonts_store(tmp_path_factory), nets=2, images=1, only=only)
    sheet = Sheet(210, 297)
    with pytest.MonkeyPatch.context() as patch, Typesetter(build) as started:
        patch.setattr(poster_plan, "TYPE_SIZES", (1.0,))  # one layout in place of four
        patch.setattr(poster_plan, "LARGE_SIZES", ())
        content = poster.make_content(report, blocks)
        lay_out(report, PosterOutput(), content.words.address, build)
        attached = lay_out_attached(with_files(tmp_path_factory.mktemp("report")), build)
        plan = poster_plan.plan_sheet(sheet, content, started)
        files = draw_all(report, poster._sized(content, plan), 2.0, build)
        expected = replace(poster._expected(plan, content), attached=("spec.yaml", "report.json"))
        yield started, compose(plan, content, files), expected, attached


def _broken(good, change, expected=None, **asked):
    started, page, known, attached = good
    changed = change(page)
    assert changed != page or asked or expected
    said = started.typeset(changed, started.folder / "poster.pdf", **{"attached": attached, **asked})
    return " ".join(preflight.preflight(started.folder / "poster.pdf", expected or known, said))


def _within(place, html):
    """A change of the page that puts this into a piece, after all that stands there."""

    def change(page):
        start = page.index(f'id="{place}"')
        following = page.find('<div class="placed', start)
        around = page.rindex("</div>", start, following if following > 0 else page.index("</body>"))
        end = page.rindex("</div>", start, around)
        return page[:end] + html + page[end:]

    return change


def test_the_poster_that_is_broken_below_is_whole(good):
    assert _broken(good, lambda page: page + "\n") == ""


@pytest.mark.parametrize(
    ("place", "called"),
    [
        ("title", "'title'"),
        ("byline", "'the authors'"),
        ("abstract", "'abstract'"),
        ("intro", "'intro'"),
        ("methods", "'methods'"),
        ("models", "'models'"),
        ("large-figure", "'activity'"),
        ("section-saliency", "'saliency'"),
        ("conclusion", "'conclusion'"),
        ("references", "'references'"),
    ],
)
def test_too_much_text_is_found_in_each_block_and_measured(good, place, called):
    found = _broken(good, _within(place, f"<p>{LONG}</p>"))
    match = re.search(rf"{called} is (\d+) mm higher than the (\d+) mm it was given", found)
    assert match, found
    assert int(match[1]) > 5


def _sub(pattern, text, count=1):
    return lambda page: re.sub(pattern, text, page, count=count)


BROKEN = {
    "a long word": (_within("intro", f"<p style='overflow-wrap: normal'>{'w' * 90}</p>"), "sticks out of its column"),
    "a letter of no font": (_within("intro", "<p>深</p>"), r"No font has the letters 深 \(U\+6DF1"),
    "no description": (_sub(r'alt="[^"]*"', 'alt=""'), "A picture has no description"),
    "a description left out": (_sub(r' alt="[^"]*"', ""), "A picture has no description"),
    "pale type": (_within("intro", "<p style='color: #999'>pale</p>"), "“pale” has a contrast of 2.8"),
    "small type": (_within("intro", "<p style='font-size: 2pt'>tiny</p>"), r"2.0 points \(“tiny”\)"),
    "a lost picture": (_sub("tile-0.jpg", "lost.jpg"), "lost.jpg"),
    "another size": (_sub(r"size: 210(\.0)?mm", "size: 200mm"), r"The sheet is 200.0 x 297.0 mm, not 210.0 x"),
    "two sheets": (_sub("</body>", "<p>one</p><p style='break-before: page'>two</p></body>"), "2 pages, not one"),
    "two in one place": (
        _sub(r'left: [\d.]+(mm[^>]*>\s*<div class="piece tiles" id="section-saliency")', r"left: 10\g<1>"),
        "lie over each other",
    ),
    "off the sheet": (
        _sub(r'(id="references" style="top: )[\d.]+', r"\g<1>400"),
        "'references' is not",
    ),
    "left out": (_sub('id="references"', 'id="other"'), "'references' is not on the sheet"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_poster_is_found(good, name):
    change, wanted = BROKEN[name]
    assert re.search(wanted, _broken(good, change))


def test_a_coarse_picture_is_found(good):
    file = good[0].folder / "tile-0.jpg"
    whole = file.read_bytes()
    try:
        Image.open(file).resize((20, 20)).save(file)
        assert "One picture is printed at less than 150 dots per inch; the coarsest (20 x 20 pixels)" in _broken(
            good, lambda page: page + "\n"
        )
    finally:
        file.write_bytes(whole)


def test_a_missing_attachment_is_found(good):
    assert "report.json is not attached" in _broken(good, lambda page: page + "\n", attached=good[3][:1])


def test_a_font_that_is_not_embedded_is_found(good, monkeypatch):
    def without_a_font(pdf, expected):  # between the typesetter and the preflight
        writer = PdfWriter(clone_from=pdf)
        found = [one for one in writer._objects if isinstance(one, dict) and one.get("/Type") == "/FontDescriptor"]
        found[0].pop("/FontFile2")
        writer.write(pdf)
        return page(pdf, expected)

    page = preflight._page
    monkeypatch.setattr(preflight, "_page", without_a_font)
    found = _broken(good, lambda page: page + "\n")
    assert re.search(r"The font \S+ is not embedded in the PDF; a print shop may replace it\.", found)


def test_missing_tags_are_found(good):
    assert "has no tags" in _broken(good, lambda page: page + "\n", variant="pdf/a-3u")


def test_missing_bleed_is_found(good):
    found = _broken(good, lambda page: page + "\n", replace(good[2], bleed=3.0, beyond=10.0))
    assert "The sheet with its bleed is 210.0 x 297.0 mm, not 216.0 x 303.0 mm" in found
