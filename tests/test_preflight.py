"""The preflight finds what a print shop would send back."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from reportgen import preflight, typesetter
from reportgen.preflight import Expected

SIZE = (105.0, 148.0)


def _pdf(folder, body, size=SIZE, pixels=600, variant="pdf/a-3a"):
    """A sheet with this body; picture.jpg is noise, so many pixels wide."""
    noise = np.random.default_rng(0).integers(0, 255, (pixels, pixels, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "picture.jpg", quality=50)
    page = (
        '<!DOCTYPE html><html lang="en"><head><title>Sheet</title><style>'
        f"@page {{ size: {size[0]}mm {size[1]}mm; margin: 10mm }} img {{ image-rendering: crisp-edges }}"
        f"</style></head><body>{body}</body></html>"
    )
    said = typesetter.typeset(page, folder / "sheet.pdf", folder, variant=variant)
    return folder / "sheet.pdf", said


def _expected(**changes):
    return Expected(width=SIZE[0], height=SIZE[1], **changes)


def test_a_good_sheet_has_no_findings(tmp_path):
    body = '<p>The first and the last words.</p><img src="picture.jpg" alt="noise" style="width: 80mm; height: 80mm">'
    pdf, _ = _pdf(tmp_path, body)
    assert preflight.preflight(pdf, _expected(endings={"text": "the last words."})) == []


def test_another_size_and_a_second_page_are_found(tmp_path):
    pdf, _ = _pdf(tmp_path, "<p>one</p><p style='break-before: page'>two</p>", size=(100, 148))
    findings = " ".join(preflight.preflight(pdf, _expected()))
    assert "2 pages" in findings
    assert "100.0 x 148.0 mm, not 105.0 x 148.0 mm" in findings


def test_text_off_the_page_is_found(tmp_path):
    body = f"<div style='position: absolute; top: 0; height: 50mm'>{'word ' * 3000} the very end</div>"
    pdf, _ = _pdf(tmp_path, body)
    (finding,) = preflight.preflight(pdf, _expected(endings={"introduction": "the very end"}))
    assert "'introduction'" in finding
    assert "does not fit" in finding


@pytest.mark.parametrize("text", ["fine fluffy offices", "naïve Łódź", "a−b ≤ c×d", "<&> “quoted”"])
def test_ligatures_signs_and_accents_are_no_lost_text(tmp_path, text):
    from html import escape

    pdf, _ = _pdf(tmp_path, f"<p>{escape(text)}</p>")
    assert preflight.preflight(pdf, _expected(endings={"text": text})) == []


def test_a_coarse_picture_is_found(tmp_path):
    body = '<img src="picture.jpg" alt="noise" style="width: 80mm; height: 80mm">'
    pdf, _ = _pdf(tmp_path, body, pixels=300)
    (finding,) = preflight.preflight(pdf, _expected())
    assert "less than 150 dots per inch" in finding
    assert "at 95" in finding


def test_small_type_is_found(tmp_path):
    pdf, said = _pdf(tmp_path, "<p>large</p><p style='font-size: 5pt'>tiny words</p>")
    (finding,) = preflight.preflight(pdf, _expected(smallest_type=6.0, found_type=tuple(said["smallest_type"])))
    assert "5.0 points (“tiny words”)" in finding


def test_missing_tools_are_named_with_their_package(tmp_path, monkeypatch):
    pdf, _ = _pdf(tmp_path, "<p>text</p>")
    monkeypatch.setenv("PATH", str(tmp_path))
    (finding,) = preflight.preflight(pdf, _expected())
    assert "pdftotext" in finding
    assert "apt-get install poppler-utils" in finding


def test_a_font_that_is_not_embedded_is_found(monkeypatch, tmp_path):
    table = (
        "name                 type              encoding         emb sub uni object ID\n"
        "-------------------- ----------------- ---------------- --- --- --- ---------\n"
        "ABCDEF+Source        CID TrueType      Identity-H       yes yes yes      5  0\n"
        "Helvetica            Type 1            Standard         no  no  no       6  0\n"
    )
    monkeypatch.setattr(preflight, "_run", lambda *command: table)
    assert list(preflight._fonts(tmp_path)) == [
        "The font Helvetica is not embedded in the PDF; a print shop may replace it."
    ]
