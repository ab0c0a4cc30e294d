"""Every size of sheet in both templates, looked at with tools that did not make it."""

from __future__ import annotations

import re
import subprocess

import pytest
from pypdf import PdfReader

from reportgen import poster, poster_plan
from reportgen.poster_words import words_of
from reportgen.spec_models import PosterOutput
from tests.pdf_tree import alternative_texts
from tests.poster_report import fonts_store, make_report, with_files

MILLIMETRES = {"A0": (841, 1189), "A1": (594, 841), "A2": (420, 594), "36x48in": (914.4, 1219.2)}
SHEETS = [(size, turned) for size in MILLIMETRES for turned in ("portrait", "landscape")]
MESSAGE = "Early layers see edges, later ones see things."


@pytest.fixture(scope="module", params=["classic", "billboard"])
def template(request):
    return request.param


@pytest.fixture(scope="module", params=SHEETS, ids="-".join)
def made(request, template, tmp_path_factory):
    """A poster's report, its sections, its options, the findings, and its file made twice."""
    size, orientation = request.param
    report, blocks = make_report(
        fonts_store(tmp_path_factory), nets=2, images=1, only="intro activity saliency conclusion"
    )
    bleed = "3mm" if orientation == "landscape" else "0mm"
    options = PosterOutput(size=size, orientation=orientation, template=template, message=MESSAGE, bleed=bleed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(poster_plan, "TYPE_SIZES", (1.0,))  # fewer are tried than for a real sheet
        patch.setattr(poster_plan, "LARGE_SIZES", ())
        folders = [with_files(tmp_path_factory.mktemp("sheet")) for _ in range(2)]
        findings = [poster.make_poster(report, blocks, options, folder) for folder in folders]
    return report, blocks, options, findings[0], [folder / "poster.pdf" for folder in folders]


def test_it_is_right_to_the_last_letter(made):
    report, blocks, options, findings, (pdf, again) = made
    assert findings == []
    assert pdf.read_bytes() == again.read_bytes()
    _check_page(pdf, options)
    _check_words(pdf, report, blocks, options)
    _check_type(pdf, options)
    _check_contrast(pdf)
    _check_pictures(pdf)
    _check_tags(pdf, report)


def _check_page(pdf, options):
    """One page of exactly the size, with 10 mm of paper around it where a bleed of 3 mm is asked for, and all fonts."""
    short, long = MILLIMETRES[options.size]
    wide, high = (short, long) if options.orientation == "portrait" else (long, short)
    bleed, beyond = (3, 10) if options.bleed == "3mm" else (0, 0)
    (page,) = PdfReader(pdf).pages
    for box, more in ((page.trimbox, 0), (page.bleedbox, bleed), (page.mediabox, beyond)):
        edges = [edge * 25.4 / 72 for edge in (box.left, box.bottom, box.right, box.top)]
        assert edges == pytest.approx([-more, -more, wide + more, high + more], abs=0.05)
    table = [line.split() for line in _run("pdffonts", pdf).splitlines()[2:]]
    assert table
    assert all(line[-5:-2] == ["yes", "yes", "yes"] for line in table)  # embedded, a subset, with its letters' names


def _check_words(pdf, report, blocks, options):
    found = "".join(_run("pdftotext", "-raw", pdf, "-").split())  # names may break after a hyphen
    said = [report.spec.title, *report.spec.authors, report.spec.affiliation, report.spec.summary]
    said += [words_of(block.html) for block in blocks] + ["VGG-16", "15.3 %", "5.1 %"]
    said += [MESSAGE] if options.template == "billboard" else []
    assert {word for text in said for word in text.split() if word not in found} == set()


def _check_type(pdf, options):
    """No type is smaller than it should be for this size of sheet, as the PDF itself has it."""
    width, height = options.millimetres
    least = 18 * min(1, (width * height / (841 * 1189)) ** 0.5)
    sizes = []

    def seen(text, cm, tm, font, size):
        if text.strip():
            sizes.append(abs(size * tm[3] * cm[3]))

    PdfReader(pdf).pages[0].extract_text(visitor_text=seen)
    assert min(sizes) >= least - 0.1


def _check_contrast(pdf):
    """All type stands out from the white paper, by the colours that the PDF itself sets before it."""
    color, kept, used = (0, 0, 0), [], set()
    for given, operator in PdfReader(pdf).pages[0].get_contents().operations:
        if operator == b"rg":
            color = tuple(map(float, given))
        elif operator == b"q":
            kept.append(color)
        elif operator == b"Q":
            color = kept.pop()
        elif operator in {b"TJ", b"Tj"}:
            used.add(color)
    assert len(used) >= 3  # text, quiet text, the names of nets
    assert min(1.05 / (_luminance(one) + 0.05) for one in used) >= 4.5


def _luminance(color):
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in color]
    return sum(weight * one for weight, one in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _check_pictures(pdf):
    table = [line.split() for line in _run("pdfimages", "-list", pdf).splitlines()[2:]]
    assert len(table) >= 12
    assert min(float(cell) for line in table for cell in line[12:14]) >= 150


def _check_tags(pdf, report):
    """PDF/A-3a with a title, bookmarks, a text for each picture, and the spec and the numbers attached."""
    read = PdfReader(pdf)
    root = read.trailer["/Root"]
    xmp = root["/Metadata"].get_object().get_data().decode()
    assert re.search(r"pdfaid:part\W+3\b", xmp)
    assert re.search(r"pdfaid:conformance\W+A\b", xmp)
    assert root["/MarkInfo"]["/Marked"]
    assert root["/Lang"] == "en"
    assert "/OutputIntents" in root
    assert read.metadata.title == report.spec.title
    alts = alternative_texts(read)
    assert len(alts) >= 12
    assert all(alts)
    titles = {entry.title for entry in _flat(read.outline)}
    assert {report.spec.title, "Introduction", "Saliency maps", "What each depth looks at", "Conclusion"} <= titles
    assert read.attachments == {"spec.yaml": [b"title: made up\n"], "report.json": [b'{"cells": []}\n']}
    assert len(root["/AF"]) == 2


def _flat(outline):
    for entry in outline:
        if isinstance(entry, list):
            yield from _flat(entry)
        else:
            yield entry


def _run(*command):
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True).stdout
