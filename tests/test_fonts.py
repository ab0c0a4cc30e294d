"""The typefaces: whole enough for the texts we print, the same bytes everywhere, made once."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
from fontTools.ttLib import TTFont

from reportgen import fonts
from reportgen.errors import RenderError
from reportgen.store import Store

NEEDED = "Ada Müller Łukasiewicz-Šimić ß – — “quoted” … × − ≤ ≥ → ∑ µ μ α Ω ± ≈ ² ³ · 0123456789 %"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def printed(store):
    return fonts.print_fonts(store)


def test_every_face_becomes_a_file(printed):
    assert sorted(printed) == sorted(f"{face.name}.ttf" for face in fonts.FACES)


@pytest.mark.parametrize("face", [face for face in fonts.FACES if face.style == "normal"], ids=lambda face: face.name)
def test_upright_faces_have_the_letters_and_signs_that_reports_use(printed, face):
    known = TTFont(io.BytesIO(printed[f"{face.name}.ttf"])).getBestCmap()
    assert [letter for letter in NEEDED if ord(letter) not in known] == []


def test_a_font_does_not_carry_the_time_of_its_making(printed):
    face = fonts.FACES[0]
    made = TTFont(io.BytesIO(printed[f"{face.name}.ttf"]))
    assert made["head"].modified == TTFont(fonts.font_file(face))["head"].modified


def test_two_processes_make_the_same_bytes(printed):
    program = (
        "import hashlib; from reportgen import fonts; f = fonts.FACES[0];"
        "print(hashlib.sha256(fonts._subset(fonts.font_file(f), 'ttf', fonts._PRINT)).hexdigest())"
    )
    digest = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
    import hashlib

    assert digest == hashlib.sha256(printed["sans-regular.ttf"]).hexdigest()


def test_the_web_gets_woff2(monkeypatch):
    monkeypatch.setattr(fonts, "FACES", fonts.FACES[:1])
    made = fonts.web_fonts()
    assert list(made) == ["sans-regular.woff2"]
    assert made["sans-regular.woff2"][:4] == b"wOF2"
    assert len(made["sans-regular.woff2"]) < 40_000


def test_fonts_in_the_store_are_not_made_again(store, printed, monkeypatch):
    monkeypatch.setattr(fonts, "_subset", lambda *_: pytest.fail("made again"))
    assert fonts.print_fonts(store) == printed


def test_a_damaged_font_in_the_store_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr(fonts, "FACES", fonts.FACES[:1])
    store = Store(tmp_path)
    made = fonts.print_fonts(store)
    (blob,) = (path for path in (tmp_path / "blobs").rglob("*") if path.is_file())
    blob.write_bytes(b"x" * blob.stat().st_size)
    assert fonts.print_fonts(store) == made


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(fonts, "find_spec", lambda name: None)
    with pytest.raises(RenderError, match="pip install font-source-sans-pro"):
        fonts.print_fonts()


def test_the_style_sheet_names_every_file():
    css = fonts.font_faces("../fonts/", "woff2")
    assert all(f'url("../fonts/{face.name}.woff2")' in css for face in fonts.FACES)
