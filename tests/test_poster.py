"""The poster: one sheet of exactly the wanted size, with all its words, the same bytes every time."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pypdf import PdfReader

from reportgen import poster, poster_plan, typesetter
from reportgen.errors import RenderError
from reportgen.poster_files import jpeg, lay_out
from reportgen.poster_layout import Contents, LineSize, Piece, RowSize, Sheet, arrange
from reportgen.poster_words import directed
from reportgen.spec_models import PosterOutput
from reportgen.typesetter import Typesetter
from tests.pdf_tree import alternative_texts
from tests.poster_report import fonts_store, make_report

FEW = "intro saliency filters conclusion"  # sections of a poster that is quickly made
SMALL = "210x297mm"  # everything scales with the sheet, and small pictures are quickly drawn


@pytest.fixture(autouse=True)
def few_sizes(monkeypatch):
    """Fewer sizes of type are tried than for a real sheet: each is a layout of everything."""
    for name, sizes in {"TYPE": (1.0,), "LARGE": (), "SMALL": (0.91,), "SMALLEST": (0.79, 0.72)}.items():
        monkeypatch.setattr(poster_plan, f"{name}_SIZES", sizes)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return fonts_store(tmp_path_factory)


@pytest.fixture(scope="module")
def four(tmp_path_factory, store):
    return _made(tmp_path_factory.mktemp("four"), store, 4)


def _made(folder, store, nets, html=None, only="", asked=None, **changes):
    """The findings on a poster of so many nets, and its file."""
    report, blocks = make_report(store, nets=nets, only=only, **changes)
    report.spec._path = folder / "spec.yaml"
    if html:
        blocks = [replace(block, html=html.get(block.section, block.html)) for block in blocks]
    findings = poster.make_poster(report, blocks, PosterOutput(size=SMALL, **(asked or {})), folder)
    return findings, folder / "poster.pdf"


def _words(pdf):
    found = subprocess.run(["pdftotext", "-raw", str(pdf), "-"], capture_output=True, text=True, check=True).stdout
    return re.sub(r"\s+", " ", found)


def _font(letters):
    """A font that draws each of these letters as a square."""
    from fontTools.fontBuilder import FontBuilder
    from fontTools.pens.ttGlyphPen import TTGlyphPen

    pen = TTGlyphPen(None)
    for corner, draw in (
        ((0, 0), pen.moveTo),
        ((0, 700), pen.lineTo),
        ((700, 700), pen.lineTo),
        ((700, 0), pen.lineTo),
    ):
        draw(corner)
    pen.closePath()
    names = [".notdef", *(f"u{ord(letter):X}" for letter in letters)]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(letter): f"u{ord(letter):X}" for letter in letters})
    builder.setupGlyf(dict.fromkeys(names, pen.glyph()))
    builder.setupHorizontalMetrics(dict.fromkeys(names, (800, 50)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Squares", "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=800, usWinAscent=800, usWinDescent=200)
    builder.setupPost()
    out = BytesIO()
    builder.save(out)
    return out.getvalue()


def _size(pdf):
    found = subprocess.run(["pdfinfo", str(pdf)], capture_output=True, text=True, check=True).stdout
    pages, width, height = re.search(r"Pages:\s+(\d+).*Page size:\s+([\d.]+) x ([\d.]+)", found, re.DOTALL).groups()
    return int(pages), float(width) * 25.4 / 72, float(height) * 25.4 / 72


def test_the_poster_is_one_sheet_of_the_wanted_size_without_findings(four):
    findings, pdf = four
    assert findings == []
    assert _size(pdf) == (1, pytest.approx(210, abs=0.2), pytest.approx(297, abs=0.2))


def test_every_part_is_on_the_sheet(four):
    words = _words(four[1])
    for text in ("Ada Müller, Zoë Łukasiewicz-Šimić", "last words of the introduction.", "5.1 %", "References",
                 "Photos: cat: NASA", "GoogLeNet", "Egyptian cat 61%", "example.org/reportgen"):  # fmt: skip
        assert text in words, text


def test_a_published_error_stands_in_the_table_with_its_source(four):
    words = _words(four[1])
    assert "15.3 %" in words
    assert "Krizhevsky et al. 2012" in words


def test_the_reason_why_a_net_has_nothing_is_printed(four):
    assert "alexnet has no stage1" in _words(four[1])


def test_the_file_is_tagged_and_says_what_it_is(four):
    read = PdfReader(four[1])
    assert read.metadata.title.startswith("What does a deep CNN learn?")
    assert "Ada Müller" in read.metadata.author
    assert read.root_object["/Lang"] == "en"
    assert read.root_object["/MarkInfo"]["/Marked"]
    assert "/CreationDate" not in read.metadata  # no clock in what we write


@pytest.mark.parametrize("nets", [1, 6])
def test_any_number_of_nets_fits(tmp_path, nets, store):
    findings, pdf = _made(tmp_path, store, nets)
    assert [finding for finding in findings if "points where a poster wants" not in finding] == []
    assert _size(pdf)[0] == 1


def test_joint_plots_and_maps_of_names_stand_with_their_words(tmp_path, store):
    report, blocks = make_report(store, nets=2, images=1, only="intro invariance occlusion conclusion")
    content = poster.make_content(report, blocks)
    shift, names = content.results
    assert shift.across == 1
    plot = shift.groups[0].lines[0].tiles[0]
    assert [(one.name, one.marker) for one in plot.drawing.series] == [("VGG-16", "s")]
    assert plot.label == "AlexNet: alexnet has no line"
    maps = names.groups[0].lines[0].tiles[1:]
    colors = [{name: color for color, name in tile.keys} for tile in maps]
    shared = set(colors[0]) & set(colors[1])
    assert len(shared) >= 3
    assert all(colors[0][name] == colors[1][name] for name in shared if "more" not in name)
    assert poster.make_poster(report, blocks, PosterOutput(size=SMALL), tmp_path) == []
    words = _words(tmp_path / "poster.pdf")
    assert "alexnet has no line" in words
    assert "Egyptian cat" in words
    assert "own 99th" not in words  # names have no scale


def test_landscape_lies_on_its_side(tmp_path, store):
    report, blocks = make_report(store, nets=2, only=FEW)
    poster.make_poster(report, blocks, PosterOutput(size="A4", orientation="landscape"), tmp_path)
    assert _size(tmp_path / "poster.pdf") == (1, pytest.approx(297, abs=0.2), pytest.approx(210, abs=0.2))


def test_two_processes_write_the_same_bytes(tmp_path, store):
    program = (
        "import sys; from pathlib import Path; from reportgen.poster import make_poster;"
        "from reportgen.spec_models import PosterOutput; from tests.poster_report import make_report;"
        f"folder = Path(sys.argv[1]); report, blocks = make_report(Path({str(store)!r}), nets=2, only={FEW!r});"
        f"make_poster(report, blocks, PosterOutput(size={SMALL!r}), folder)"
    )
    digests = set()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        subprocess.run([sys.executable, "-c", program, str(tmp_path / name)], check=True, cwd=_root())
        digests.add(hashlib.sha256((tmp_path / name / "poster.pdf").read_bytes()).hexdigest())
    assert len(digests) == 1


def test_text_that_cannot_fit_is_named_and_shortened_sheets_still_come_out(tmp_path, store):
    findings, pdf = _made(tmp_path, store, 2, only=FEW, html={"saliency": "<p>" + "many words " * 1200 + "</p>"})
    assert any("There is no room for" in finding for finding in findings)
    assert any(
        re.search(r"type is 2\d points where a poster wants 28 .*about \d+ of \d+ words", text) for text in findings
    )
    assert _size(pdf)[0] == 1


def test_texts_too_long_for_any_sheet_are_an_error(tmp_path, store):
    much = r"not fit on the sheet.*\d+ mm of column too long, about \d+ of \d+ words.*outputs\.poster\.sections"
    with pytest.raises(RenderError, match=much):
        _made(tmp_path, store, 1, only="intro", html={"intro": "<p>" + "many words " * 3000 + "</p>"})


def test_odd_characters_and_tags_in_names_are_text(tmp_path, store):
    odd = "<script>alert(1)</script> & “Łódź” <b>"
    findings, pdf = _made(
        tmp_path, store, 1, only=FEW, title=odd, authors=("<i>A</i>",), affiliation="R&D", tags=('"><x>',)
    )
    words = _words(pdf)
    assert findings == []
    assert odd in words
    assert "<i>A</i>" in words
    assert "R&D" in words


def test_a_picture_from_the_net_stops_the_poster(tmp_path, store):
    with pytest.raises(RenderError, match=r"https://example\.org/x\.png is not part of the report"):
        _made(tmp_path, store, 1, only="intro", html={"intro": '<img src="https://example.org/x.png" alt="x">'})


@pytest.mark.parametrize("source", ["/etc/hostname", "link.jpg", "data:image/png;base64,AAAA", "../secret.txt"])
def test_nothing_outside_the_folder_is_read(tmp_path, source):
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "link.jpg").symlink_to("/etc/hostname")
    page = f'<!DOCTYPE html><html lang="en"><title>t</title><img src="{source}" alt="x"></html>'
    with Typesetter(tmp_path / "job") as setter, pytest.raises(RenderError, match="not part of the report"):
        setter.typeset(page, tmp_path / "x.pdf")


def test_a_layout_that_never_ends_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(typesetter, "SECONDS", 0.05)
    with Typesetter(tmp_path) as setter, pytest.raises(RenderError, match=r"more than 0\.05 seconds"):
        setter.measure(["<p>x</p>"])


def test_a_section_without_pictures_keeps_its_words(tmp_path, store):
    report, blocks = make_report(store, nets=1, only="saliency")
    content = poster.make_content(report, [replace(block, rows=(), html="<p>Only words.</p>") for block in blocks])
    assert content.results == ()
    assert "Only words." in content.words.texts[1].html  # after the abstract


def test_a_wider_column_never_has_more_lines(tmp_path, store):
    """WeasyPrint breaks too early where all but the space before a link fits."""
    text = (
        "<p>K. Simonyan and A. Zisserman. Very Deep Convolutional Networks for Large-Scale Image Recognition. "
        'International Conference on Learning Representations (ICLR), 2015. <a href="https://a.b">arxiv.org</a></p>'
    )
    report, _ = make_report(store, nets=1, only="intro")
    lay_out(report, PosterOutput(), "", tmp_path)
    widths = [307 + 0.25 * step for step in range(12)]
    pieces = "".join(f'<div id="w{mm}" style="width: {mm}mm">{directed(text)}</div>' for mm in widths)
    style = (
        '<link rel="stylesheet" href="fonts.css"><style>@page { size: 900mm } p { font: 24.08pt "Source Sans" }</style>'
    )
    with Typesetter(tmp_path) as setter:
        (heights,) = setter.measure([f'<!DOCTYPE html><html lang="en">{style}{pieces}</html>'])
    found = [round(heights[f"w{mm}"], 1) for mm in widths]
    assert found == sorted(found, reverse=True)


def test_sections_are_chosen_and_ordered_by_the_spec(tmp_path, store):
    _, blocks = make_report(store, nets=1)
    chosen = poster.chosen(blocks, ("saliency", "intro"))
    assert [block.section for block in chosen] == ["saliency", "intro"]


def test_the_code_in_the_corner_leads_to_the_link_named_or_to_where_the_site_is_published(store):
    report, blocks = make_report(store, nets=1)
    found = []
    for links in ({}, {"code": "https://example.org/code"}):
        report.spec = report.spec.model_copy(update={"links": links, "site_url": "https://example.org/cnn/"})
        found.append(poster.make_content(report, blocks).words.address)
    assert found == ["https://example.org/cnn/", "https://example.org/code"]


def test_no_two_pieces_come_nearer_than_12_mm(tmp_path, store):
    report, blocks = make_report(store, nets=4)
    sheet = Sheet(841, 1189)
    content = poster.make_content(report, blocks)
    lay_out(report, PosterOutput(), content.words.address, tmp_path)
    with Typesetter(tmp_path) as setter:
        plan = poster_plan.plan_sheet(sheet, content, setter)
    places = [place for place in plan.places if place.name != "byline"]  # which goes with the title
    for one in places:
        assert one.x >= 29.9
        assert one.y + one.height <= 1189 - 29.9
        for other in places:
            apart = max(other.x - one.x - one.width, other.y - one.y - one.height,
                        one.x - other.x - other.width, one.y - other.y - other.height)  # fmt: skip
            assert one is other or apart >= 12


# ------------------------------------------------------------------------------------- what users bring, and how odd


def test_several_affiliations_have_numbers_beside_their_authors(tmp_path, store):
    places = {"Institute for Looking": ("Ada Müller", "B. Name"), "Hall of Mirrors": ("B. Name",)}
    findings, pdf = _made(tmp_path, store, 1, only=FEW, affiliation="", affiliations=places)
    assert findings == []
    words = re.sub(r"\s", "", _words(pdf))
    assert "AdaMüller1,ZoëŁukasiewicz-Šimić,B.Name1,2" in words
    assert "1InstituteforLooking;2HallofMirrors" in words


def test_an_affiliation_of_a_stranger_is_refused():
    with pytest.raises(ValueError, match=r"names .Nobody. at .X., who is no author\. Known: Ada"):
        make_report(Path("nowhere"), nets=1, authors=("Ada",), affiliations={"X": ("Nobody",)})


def test_logos_stand_beside_the_title_and_a_coarse_one_is_told(tmp_path, store):
    (tmp_path / "sea lion.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 20 10"><path d="M0 0h20v10h-20z"/></svg>'
    )
    Image.new("RGB", (30, 30), "red").save(tmp_path / "coarse.png")
    findings, pdf = _made(tmp_path, store, 1, only=FEW, asked={"logos": ("sea lion.svg", "coarse.png")})
    assert [re.sub(r"\d+", "0", text) for text in findings] == [
        "One picture is printed at less than 0 dots per inch; the coarsest (0 x 0 pixels) at 0. "
        "Print it smaller, or give it more pixels."
    ]
    assert {"Logo: sea lion", "Logo: coarse"} <= set(alternative_texts(PdfReader(pdf)))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.svg", "<svg", "cannot be read as SVG"),
        ("b.svg", "<svg xmlns='http://www.w3.org/2000/svg'/>", "neither a viewBox"),
        ("c.svg", "<!DOCTYPE x [<!ENTITY a 'b'>]><svg viewBox='0 0 1 1'/>", "defines entities"),
        ("d.png", "no picture", "The logo cannot be used"),
        ("e.svg", "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 9 9'><image href='/etc/hostname'/></svg>",
         "not part of the report"),
    ],
)  # fmt: skip
def test_a_logo_that_cannot_be_used_is_an_error(tmp_path, store, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(RenderError, match=said):
        _made(tmp_path, store, 1, only="intro", asked={"logos": (name,)})


def test_figures_are_chosen_by_cell(store):
    _, blocks = make_report(store, nets=3)
    (block,) = poster.chosen(blocks, ("saliency.*.coffee", "saliency.vgg.cat"))
    assert [row.image for row in block.rows] == ["cat", "coffee"]
    assert block.models == ("alexnet", "vgg", "googlenet")
    (block,) = poster.chosen(blocks, ("activity.vgg",))
    assert block.models == ("vgg",)
    assert {slot.model for row in block.rows for slot in row.slots} == {"vgg"}
    (finding,) = poster.unknown(blocks, ("saliency.*.dog", "saliency.vgg.cat", "intro"))
    assert finding.startswith("saliency.*.dog was asked for, and no cell has such an id; one that has is ")


def test_letters_beyond_our_typefaces_are_told_or_taken_from_the_users_font(tmp_path, store):
    names = {"authors": ("שרה לוי", "محمد علي", "Ada 深い 😀"), "title": "深い"}
    findings, _ = _made(tmp_path, store, 1, only="intro conclusion", **names)
    (finding,) = findings
    assert "深 (U+6DF1" in finding
    assert "😀 (U+1F600)" in finding
    (tmp_path / "own.ttf").write_bytes(_font("深い😀"))
    fonts = ("own.ttf", str(Path(find_spec("matplotlib").origin).parent / "mpl-data/fonts/ttf/DejaVuSans.ttf"))
    findings, pdf = _made(tmp_path, store, 1, only="intro conclusion", asked={"fonts": fonts}, **names)
    assert findings == []
    words = _words(pdf)
    assert "深い" in words
    assert "שרה" in words


def test_pictures_of_noise_can_be_printed():
    noise = (np.random.default_rng(0).random((700, 700, 3)) > 0.5).astype(np.uint8) * 255
    assert Image.open(BytesIO(jpeg(noise))).size == (700, 700)


def test_a_font_that_is_none_is_an_error(tmp_path, store):
    (tmp_path / "own.ttf").write_text("no font")
    with pytest.raises(RenderError, match=r"The font own\.ttf cannot be used: it is no TrueType or OpenType font"):
        _made(tmp_path, store, 1, only="intro", asked={"fonts": ("own.ttf",)})


def test_bleed_adds_paper_and_crop_marks(tmp_path, store):
    findings, pdf = _made(tmp_path, store, 1, only=FEW, asked={"bleed": "3mm"})
    assert findings == []
    (page,) = PdfReader(pdf).pages
    for box, wide in ((page.trimbox, 210), (page.bleedbox, 216), (page.mediabox, 230)):
        assert box.width * 25.4 / 72 == pytest.approx(wide, abs=0.05)
    drawn = subprocess.run(["pdftoppm", "-r", "72", "-png", str(pdf)], capture_output=True, check=True).stdout
    edge = np.asarray(Image.open(BytesIO(drawn)).convert("L"))[:12]  # the paper's uppermost 4 mm
    assert (edge < 128).any()


def test_a_billboard_says_one_sentence_and_the_title_small(tmp_path, store):
    said = "Depth is where the nets part."
    asked = {"template": "billboard", "message": said}
    findings, pdf = _made(tmp_path, store, 2, only="intro activity saliency conclusion", asked=asked)
    assert findings == []
    sizes = {}

    def seen(text, cm, tm, font, size):
        for word in text.split():
            sizes[word] = max(sizes.get(word, 0), abs(size * tm[3] * cm[3]))

    PdfReader(pdf).pages[0].extract_text(visitor_text=seen)
    assert sizes["Depth"] >= 80 * 0.2497
    assert sizes["Depth"] >= 1.25 * sizes["CNN"]


@pytest.mark.parametrize(
    ("message", "caption", "said"),
    [("Mine.", "Theirs.", "Mine."), ("", "Theirs.", "Theirs."), ("", "", "A net that was trained")],
)
def test_the_sentence_is_the_billboards_own_or_the_featured_caption_or_the_first_of_the_summary(
    store, message, caption, said
):
    report, blocks = make_report(store, nets=1, featured={"section": "activity", "caption": caption})
    assert poster.make_content(report, blocks, message=message).words.message.startswith(said)


# ------------------------------------------------------------------------------------------------------- arithmetic


def _block(name, head, rows, picture=50.0):
    return Piece(name, head, tuple(RowSize(3.0, (LineSize(8.0, 8.0, picture),)) for _ in range(rows)))


def test_more_room_shows_more_rows():
    few = arrange(
        Sheet(841, 700), Contents(150, (Piece("intro", 100),), (), (_block("a", 100, 9), _block("b", 100, 9)))
    )
    many = arrange(
        Sheet(841, 1189), Contents(150, (Piece("intro", 100),), (), (_block("a", 100, 9), _block("b", 100, 9)))
    )
    assert sum(place.rows for place in many.places) > sum(place.rows for place in few.places)


def test_what_cannot_fit_is_none():
    assert arrange(Sheet(841, 1189), Contents(150, (Piece("intro", 4000),), (), ())) is None


def test_texts_move_on_where_the_first_column_is_full():
    texts = (Piece("intro", 600), Piece("methods", 500))
    found = arrange(Sheet(841, 1189), Contents(150, texts, (Piece("references", 100),), (_block("a", 100, 3),)))
    columns = {place.name: place.x for place in found.places}
    assert columns["intro"] < columns["methods"]
    assert columns["intro"] < columns["references"]


def test_results_stay_in_reading_order():
    blocks = tuple(_block(name, 120, 4) for name in "abcd")
    found = arrange(Sheet(841, 1189), Contents(150, (Piece("intro", 500),), (), blocks))
    places = {place.name: place for place in found.places}
    order = sorted("abcd", key=lambda name: (places[name].x, places[name].y))
    assert order == list("abcd")


@pytest.mark.parametrize(
    ("width", "height", "columns"), [(841, 1189, 3), (1189, 841, 4), (914.4, 1219.2, 3), (210, 297, 3)]
)
def test_columns_suit_the_sheet(width, height, columns):
    assert Sheet(width, height).columns == columns


@pytest.mark.parametrize("billboard", [False, True])
@pytest.mark.parametrize(("width", "height"), [(841, 1189), (594, 841), (420, 594), (914.4, 1219.2)])
def test_lines_have_45_to_70_letters(width, height, billboard):
    for sheet in (Sheet(width, height, billboard), Sheet(height, width, billboard)):
        letter = 0.46 * 28 / 72 * 25.4 * sheet.unit  # the mean width of a letter of Source Sans, by its own tables
        assert 45 <= sheet.column / letter <= 70


def _root():
    return Path(__file__).resolve().parent.parent
