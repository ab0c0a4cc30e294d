"""The handout: the poster's figures and texts on sheets of A4."""

from __future__ import annotations

import hashlib
import subprocess

import pytest
from pypdf import PdfReader

from reportgen import handout
from reportgen.poster_words import words_of
from reportgen.spec_models import HandoutOutput
from tests.poster_report import fonts_store, make_report, with_files

ONLY = "intro activity saliency deconvnet conclusion"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    report, blocks = make_report(fonts_store(tmp_path_factory), nets=2, images=2, only=ONLY)
    folders = [with_files(tmp_path_factory.mktemp("handout")) for _ in range(2)]
    findings = [handout.make_handout(report, blocks, HandoutOutput(), folder) for folder in folders]
    return report, blocks, findings[0], [folder / "handout.pdf" for folder in folders]


def test_it_has_several_pages_of_a4_and_no_findings(made):
    _, _, findings, (pdf, again) = made
    assert findings == []
    pages = PdfReader(pdf).pages
    assert len(pages) >= 2
    for page in pages:
        assert (page.mediabox.width, page.mediabox.height) == pytest.approx((595.3, 841.9), abs=0.1)
    assert hashlib.sha256(pdf.read_bytes()).digest() == hashlib.sha256(again.read_bytes()).digest()


def test_all_words_and_figures_of_the_report_are_in_it(made):
    report, blocks, _, (pdf, _) = made
    found = "".join(
        subprocess.run(["pdftotext", "-raw", str(pdf), "-"], capture_output=True, text=True, check=True).stdout.split()
    )
    said = [report.spec.title, *report.spec.authors, report.spec.summary, *(words_of(block.html) for block in blocks)]
    assert {word for text in said for word in text.split() if word not in found} == set()
    table = subprocess.run(["pdfimages", "-list", str(pdf)], capture_output=True, text=True, check=True).stdout
    pictures = [line.split() for line in table.splitlines()[2:]]
    assert len(pictures) >= 20
    assert min(float(cell) for line in pictures for cell in line[12:14]) >= 150


def test_it_is_tagged_and_carries_the_spec_and_the_numbers(made):
    read = PdfReader(made[3][0])
    assert read.root_object["/MarkInfo"]["/Marked"]
    assert set(read.attachments) == {"spec.yaml", "report.json"}


def test_a_heading_is_never_the_last_thing_on_a_page(made):
    _, _, _, (pdf, _) = made
    titles = {"Saliency maps", "Back to the pixels", "What each depth looks at", "Conclusion", "References"}
    for number in range(1, len(PdfReader(pdf).pages) + 1):
        page = ["pdftotext", "-f", str(number), "-l", str(number), "-layout", str(pdf), "-"]
        text = subprocess.run(page, capture_output=True, text=True, check=True).stdout
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        assert lines[-2] not in titles  # the last line is the foot of the page


def test_it_shows_the_posters_sections_where_it_names_none(tmp_path, tmp_path_factory):
    poster = {"poster": {"sections": ("conclusion",)}}
    report, blocks = make_report(fonts_store(tmp_path_factory), nets=1, only="intro conclusion", outputs=poster)
    handout.make_handout(report, blocks, HandoutOutput(), tmp_path)
    text = subprocess.run(["pdftotext", str(tmp_path / "handout.pdf"), "-"], capture_output=True, text=True, check=True)
    assert "Conclusion" in text.stdout
    assert "last words of the introduction" not in text.stdout


def test_odd_names_are_text_and_letters_without_a_shape_are_told(tmp_path, tmp_path_factory):
    odd = "<script>alert(1)</script> & “Łódź” <b> 深い 😀 ../../etc"
    report, blocks = make_report(
        fonts_store(tmp_path_factory), nets=1, only="intro conclusion", title=odd, authors=("<i>A</i>", "שרה לוי")
    )
    (finding,) = handout.make_handout(report, blocks, HandoutOutput(), tmp_path)
    assert finding.startswith("No font has the letters ")
    assert all(f"{letter} (U+{ord(letter):04X}" in finding for letter in "深い😀ש")
    text = subprocess.run(["pdftotext", str(tmp_path / "handout.pdf"), "-"], capture_output=True, text=True, check=True)
    assert "<script>alert(1)</script> & “Łódź” <b>" in text.stdout
    assert "<i>A</i>" in text.stdout
    assert PdfReader(tmp_path / "handout.pdf").metadata.title == odd
