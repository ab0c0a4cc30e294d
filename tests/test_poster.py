"""The poster: one sheet of exactly the wanted size, with all its words, the same bytes every time."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from dataclasses import replace

import pytest

from reportgen import poster, poster_plan, typesetter
from reportgen.errors import RenderError
from reportgen.poster_layout import Contents, LineSize, Piece, RowSize, Sheet, arrange
from reportgen.spec_models import PosterOutput
from tests.poster_report import make_report

FEW = "intro saliency filters conclusion"  # sections of a poster that is quickly made
SMALL = "210x297mm"  # everything scales with the sheet, and small pictures are quickly drawn


@pytest.fixture(autouse=True)
def few_sizes(monkeypatch):
    """Fewer sizes of type are tried than for a real sheet: each is a layout of everything."""
    for name, sizes in {"TYPE": (1.0,), "LARGE": (1.12,), "SMALL": (0.91,), "SMALLEST": (0.79, 0.72)}.items():
        monkeypatch.setattr(poster_plan, f"{name}_SIZES", sizes)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def four(tmp_path_factory, store):
    return _made(tmp_path_factory.mktemp("four"), store, 4)


def _made(folder, store, nets, html=None, only="", **changes):
    """The findings on a poster of so many nets, and its file."""
    report, blocks = make_report(store, nets=nets, only=only, **changes)
    if html:
        blocks = [replace(block, html=html.get(block.section, block.html)) for block in blocks]
    findings = poster.make_poster(report, blocks, PosterOutput(size=SMALL), folder)
    return findings, folder / "poster.pdf"


def _words(pdf):
    found = subprocess.run(["pdftotext", "-raw", str(pdf), "-"], capture_output=True, text=True, check=True).stdout
    return re.sub(r"\s+", " ", found)


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
    from pypdf import PdfReader

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
    content = poster._content(report, blocks)
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
    assert any("points where a poster wants 28" in finding for finding in findings)
    assert _size(pdf)[0] == 1


def test_texts_too_long_for_any_sheet_are_an_error(tmp_path, store):
    with pytest.raises(RenderError, match=r"do not fit on the sheet.*outputs\.poster\.sections"):
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
    with pytest.raises(RenderError, match="not part of the report"):
        typesetter.typeset(page, tmp_path / "x.pdf", tmp_path / "job")


def test_a_layout_that_never_ends_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(typesetter, "SECONDS", 0.05)
    with pytest.raises(RenderError, match=r"more than 0\.05 seconds"):
        typesetter.measure(["<p>x</p>"], tmp_path)


def test_a_section_without_pictures_keeps_its_words(tmp_path, store):
    report, blocks = make_report(store, nets=1, only="saliency")
    content = poster._content(report, [replace(block, rows=(), html="<p>Only words.</p>") for block in blocks])
    assert content.results == ()
    assert "Only words." in content.words.texts[1].html  # after the abstract


def test_sections_are_chosen_and_ordered_by_the_spec(tmp_path, store):
    _, blocks = make_report(store, nets=1)
    chosen = poster._chosen(blocks, ("saliency", "intro"))
    assert [block.section for block in chosen] == ["saliency", "intro"]


def test_no_two_pieces_come_nearer_than_12_mm(tmp_path, store):
    report, blocks = make_report(store, nets=4)
    sheet = Sheet(841, 1189)
    content = poster._content(report, blocks)
    poster._lay_out_files(report, content, tmp_path)
    plan = poster_plan.plan_sheet(sheet, content, tmp_path)
    places = [place for place in plan.places if place.name != "byline"]  # which goes with the title
    for one in places:
        assert one.x >= 29.9
        assert one.y + one.height <= 1189 - 29.9
        for other in places:
            apart = max(other.x - one.x - one.width, other.y - one.y - one.height,
                        one.x - other.x - other.width, one.y - other.y - other.height)  # fmt: skip
            assert one is other or apart >= 12


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


def _root():
    from pathlib import Path

    return Path(__file__).resolve().parent.parent
