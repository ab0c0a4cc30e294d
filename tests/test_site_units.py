"""Pages of units and layers, figures, search: from a report whose cells have units."""

import csv
import json
import re
from io import BytesIO, StringIO
from xml.etree import ElementTree

import html5lib
import numpy as np
import pytest
from PIL import Image
from pypdf import PdfReader

from reportgen import print_pdf, site, site_search, unit_sheets, unit_stats, vector_charts
from reportgen.records import Panel, Scale
from reportgen.site_method import doc_parts
from reportgen.texts import render_text
from tests.site_pages import Elements, written
from tests.site_report import EVIL
from tests.unit_report import make_unit_report

FIRST_VIEW = 1_000_000  # bytes


pytestmark = pytest.mark.usefixtures("fonts_made_once")


def made(folder, *args, **kwargs):
    return written(make_unit_report(folder, *args, **kwargs), folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return made(tmp_path_factory.mktemp("units"))


def page(folder, path):
    return (folder / path).read_text("utf-8")


def links(folder, path):
    """The files and anchors that a page leads to."""
    for attrs in Elements(page(folder, path)).all("a"):
        if not attrs["href"].startswith(("http", "#", "mailto")):
            yield (folder / path).parent / attrs["href"].partition("#")[0]


def test_every_unit_asked_for_has_a_page_and_json_beside_it(folder):
    for model in ("a", "b"):
        pages = {path.stem for path in (folder / f"net/{model}/stage1").glob("*.html")}
        assert pages == {"0", "1", "2", "3", "4", "6", "8"}  # five of most methods, every other one of the maps
    facts = json.loads(page(folder, "net/a/stage1/2.json"))
    assert (facts["net"], facts["layer"], facts["unit"]) == ("a", "conv", 2)
    assert [one["kind"] for one in facts["shown"]] == ["made", "samples", "patches", "projection", "projection",
                                                       "activity", "activity", "silenced", "silenced"]  # fmt: skip
    assert all((folder / one["file"]).is_file() for one in facts["shown"] if one["file"])
    assert facts["statistics"]["places"] == 50
    assert sum(facts["statistics"]["histogram"]["counts"]) == 50


def test_a_units_page_is_valid_shows_all_it_has_and_leads_on(folder):
    html = page(folder, "net/a/stage1/2.html")
    html5lib.HTMLParser(strict=True).parse(html)
    for words in ("How strongly it answers", "On the report&#39;s photos", "When it is silent", "Its neighbours"):
        assert words.replace("&#39;", "'") in html.replace("&#39;", "'")
    assert "previous" in html
    assert "next" in html
    assert "alike: correlation" in html
    assert all(path.resolve().is_file() for path in links(folder, "net/a/stage1/2.html"))
    assert "<script>alert" not in html
    last = page(folder, "net/a/stage1/8.html")
    assert "next</small>" not in last
    assert 'class="look m0 only"' in last  # nothing was made for it


def test_the_same_picture_is_one_file(folder):
    names = [path.name for path in (folder / "assets").glob("unit.*.webp")]
    units = [json.loads(path.read_text("utf-8")) for path in folder.glob("net/*/stage1/*.json")]
    assert len(names) == len({one["file"] for unit in units for one in unit["shown"] if one["file"]})


def test_a_layers_page_has_a_link_for_each_unit_over_its_sheets(folder):
    html = page(folder, "net/a/stage1.html")
    html5lib.HTMLParser(strict=True).parse(html)
    sheets = re.findall(r'<nav class="sheet-of c(\d)"[^>]*>(.*?)</nav>', html, re.DOTALL)
    assert [block.count("<a ") for _, block in sheets] == [5, 2]
    sizes = [re.search(r'src="([^"]+)" width="(\d+)" height="(\d+)"', block).groups() for _, block in sheets]
    for (columns, block), (file, width, height) in zip(sheets, sizes, strict=True):
        with Image.open((folder / "net/a" / file).resolve()) as opened:
            assert opened.size == (int(width), int(height))
        assert int(width) == int(columns) * (unit_sheets.TILE + unit_sheets.GAP)
        rows = -(-block.count("<a ") // int(columns))
        assert int(height) == rows * (unit_sheets.TILE + unit_sheets.LABEL + unit_sheets.GAP)
    assert all(path.resolve().is_file() for path in links(folder, "net/a/stage1.html"))


def test_a_nets_page_has_the_drawing_with_links_to_layers_and_sections(folder):
    html = page(folder, "net/a.html")
    drawing = html[html.index('<svg class="netmap"') : html.index("</svg>", html.index('<svg class="netmap"')) + 6]
    ElementTree.fromstring(drawing)
    assert 'href="../net/a/stage1.html"' in drawing
    assert drawing.count('href="../section/') == 6
    assert "20 × 16 × 16" in drawing


def test_a_site_of_three_thousand_units_builds_within_its_budgets(tmp_path):
    """Shows 3: 2 nets x 3 layers x 500 units."""
    out = made(tmp_path, 500, 3, methods=("climb",))
    units = list(out.glob("net/*/*/*.json"))
    assert len(units) == 3000
    for path in ["net/a/stage1.html", "net/a/stage1/page-2.html", "search.html", "index.html", "net/a.html"]:
        html = page(out, path)
        assert site.fits(html), path
        assert first_view(out, path) < FIRST_VIEW, path
    assert sum(page(out, path).count("<a href") > 480 for path in ("net/a/stage1.html",)) == 1


def first_view(out, path):
    """Bytes of a page with all that it loads at once: style, scripts, typefaces in use, pictures that do not wait."""
    html = page(out, path)
    elements = Elements(html)
    here = (out / path).parent
    files = {here / a["src"] for a in elements.all("img") if a.get("loading") != "lazy"}
    files |= {here / a["src"] for a in elements.all("script")}
    files |= {here / a["href"] for a in elements.all("link") if a.get("rel") == "stylesheet"}
    files |= set((out / "assets").glob("*.woff2"))
    return len(html.encode()) + sum(file.resolve().stat().st_size for file in files)


def test_the_first_view_of_every_page_is_under_a_megabyte(folder):
    for path in folder.rglob("*.html"):
        assert first_view(folder, str(path.relative_to(folder))) < FIRST_VIEW, path


def test_every_figure_has_a_page_with_downloads_citation_and_trace(folder):
    report = json.loads(page(folder, "report.json"))
    ids = {figure["id"] for figure in report["figures"]}
    assert ids == {path.stem for path in (folder / "figure").glob("*.html")}
    name = "back.a.cat.stage1.sheet"
    html = page(folder, f"figure/{name}.html")
    html5lib.HTMLParser(strict=True).parse(html)
    for ending in ("svg", "csv", "json"):
        assert (folder / f"figure/{name}.{ending}").is_file()
    assert f"Figure {name}." in html
    for trace in ("back, version 3", "aaaaaaaa", "digest of cat", "fp32", "key-back.a.cat.stage1-5"):
        assert trace in html
    assert all(path.resolve().is_file() for path in links(folder, f"figure/{name}.html"))
    assert f'href="../figure/{name}.html"' in page(folder, "section/back.html")
    facts = json.loads(page(folder, f"figure/{name}.json"))
    assert facts["cells"][0]["document"]["image"]["digest"] == "digest of cat"


def test_a_map_of_points_has_data_for_its_script_and_a_picture_without(folder):
    stem = folder / "figure/points.a.map"
    data = json.loads(stem.with_suffix(".map.js").read_text("utf-8").removeprefix("window.reportgenMap=").rstrip(";\n"))
    assert len(data["points"]) == 80
    assert max(data["points"]) == data["side"]
    with Image.open(f"{stem}.atlas.webp") as atlas:
        assert atlas.size == (32 * 32, 2 * 32)
    html = stem.with_suffix(".map.html").read_text("utf-8")
    assert 'src="points.a.map.js"' in html
    assert 'src="../assets/points.a.map.webp"' in html
    rows = list(csv.reader(StringIO(page(folder, "figure/points.a.map.csv"))))
    assert rows[0] == ["x", "y", "class"]
    assert len(rows) == 41


def test_the_index_finds_everything_and_cannot_end_its_script(folder):
    text = page(folder, site_search.FILE)
    assert "</script" not in text.lower()
    data = json.loads(text.removeprefix("window.reportgenIndex=").rstrip(";\n"))
    kinds = {data["kinds"][entry[0]] for entry in data["entries"]}
    assert kinds == {"section", "net", "layer", "method", "image", "class"}
    for entry in data["entries"]:
        assert (folder / entry[3]).is_file(), entry
    for layer in data["units"]:
        assert all((folder / f"{layer['at']}{unit}.html").is_file() for unit in layer["units"])
    html = page(folder, "search.html")
    html5lib.HTMLParser(strict=True).parse(html)
    assert all(path.resolve().is_file() for path in links(folder, "search.html"))


def test_a_script_with_data_is_safe_whatever_the_words():
    evil = "</script>\u2028\u2029<!--&"
    text = site_search.script("x", {"a": evil})
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text.removeprefix("window.x=").rstrip(";\n")) == {"a": evil}


def test_the_same_units_give_the_same_bytes(folder, tmp_path):
    again = made(tmp_path)
    for path in sorted(file for file in folder.rglob("*") if file.is_file()):
        assert path.read_bytes() == (again / path.relative_to(folder)).read_bytes(), path


# ----------------------------------------------------------------------------------------------------------- the parts


def test_a_pdf_for_print_holds_the_picture_whole_at_300_dpi():
    from skimage import data as photos

    photo = np.asarray(Image.fromarray(photos.chelsea()).resize((1004, 668)))
    data = print_pdf.pdf(photo, f"Title {EVIL}")
    assert data == print_pdf.pdf(photo, f"Title {EVIL}")
    opened = PdfReader(BytesIO(data), strict=True)
    box = opened.pages[0].mediabox
    assert opened.metadata.title == f"Title {EVIL}"
    assert float(box.width) == pytest.approx(85 / 25.4 * 72, abs=0.01)
    (image,) = opened.pages[0].images
    assert image.image.width / (float(box.width) / 72) >= 299.9
    assert np.abs(np.asarray(image.image).astype(int) - photo).mean() < 2  # of 255
    assert len(data) < 130_000


@pytest.mark.parametrize("count", [1, 2, 256])
def test_a_pdf_for_print_keeps_every_pixel_of_a_map_of_few_colours(count):
    rng = np.random.default_rng(count)
    colors = rng.integers(0, 255, (count, 3)).astype(np.uint8)
    squares = colors[rng.integers(0, count, (14, 14))].repeat(70, 0).repeat(71, 1)
    data = print_pdf.pdf(squares, "x")
    (image,) = PdfReader(BytesIO(data), strict=True).pages[0].images
    assert np.array_equal(np.asarray(image.image.convert("RGB")), squares)
    assert len(data) < 12_000  # a pixel costs nothing where the one above is the same


def test_charts_for_print_are_well_formed_and_drawn_to_scale():
    words = {"caption": "", "alt": EVIL, "title": EVIL}
    panel = Panel("p", "curves", **words, values=np.array([[0.0, 1.0], [1.0, 0.0]]), row_labels=("a", EVIL), unit=EVIL)
    text = vector_charts.lines(vector_charts.strokes_of(panel, None), panel, Scale("own", 0.0, 1.0))
    ElementTree.fromstring(text)
    top, bottom = vector_charts.TOP, vector_charts.HEIGHT - vector_charts.BOTTOM
    left, right = vector_charts.LEFT, vector_charts.WIDTH - vector_charts.RIGHT
    assert f'd="M{left:.1f} {bottom:.1f}L{right:.1f} {top:.1f}"' in text
    bars = Panel("p", "bars", **words, values=np.array([0.25, 1.0]), row_labels=("low", "high"))
    text = vector_charts.bars(bars, Scale("fixed", 0.0, 1.0), "#112233")
    ElementTree.fromstring(text)
    ends = [float(end) for end in re.findall(r'd="M120.0 [\d.]+H([\d.]+)v14H120.0z" fill="#112233"', text)]
    assert [(end - 120) / (298 - 120) for end in ends] == pytest.approx([1.0, 0.25], abs=1e-3)


def test_ticks_are_round_and_inside():
    assert vector_charts.ticks(0, 1) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert vector_charts.ticks(-3, 7) == [-2.0, 0.0, 2.0, 4.0, 6.0]
    assert vector_charts.ticks(0, 0) == [0]


def test_a_histogram_has_a_bar_for_each_bin_that_is_not_empty():
    path = unit_stats.histogram({"histogram": {"counts": [4, 0, 1]}}, width=30, height=10)
    assert path == "M0.0 10v-10.0h9.0v10.0zM20.0 10v-5.0h9.0v5.0z"
    assert unit_stats.histogram({}) == ""


def test_formulas_of_texts_are_set_and_prices_are_not():
    html = render_text(r"The slope $\partial S_c / \partial x^2$, for $5 and $6; `$a$`", {}, "x")
    assert "∂ <i>S</i><sub><i>c</i></sub>" in html.replace("\u202f", " ")
    assert "$5 and $6" in html
    assert "<code>$a$</code>" in html
    assert "<script>" not in render_text("$<script>alert(1)</script>$", {}, "x")


def test_a_docstring_has_its_parts():
    doc = "What.\n\nOne sees $x$.\n\nThe rule.\n\nChecked by hand in double precision."
    assert [title for title, _ in doc_parts(doc)] == ["", "What one sees, and what it cannot tell", "How it works",
                                                      "How it was checked"]  # fmt: skip
    assert [title for title, _ in doc_parts("What.")] == [""]
