"""The bundle for academic Hugo sites: read back as TOML and as Markdown, whatever the spec's words are."""

from __future__ import annotations

import re
from dataclasses import replace
from io import BytesIO

import pytest
from PIL import Image

from reportgen import hugo
from reportgen.errors import ReportError
from reportgen.pages import make_blocks
from reportgen.texts import report_texts
from tests.site_report import EVIL, make_report

tomllib = pytest.importorskip("tomllib", reason="TOML is read by Python from 3.11 on.")
HOSTILE = 'Line one\nline "two" \\ +++ \x7f \x01 \t {{< evil >}} 漢字 🙂'

WORDS = """# Heading

Words [@zeiler2014] with $x_k^2$, <script>alert(1)</script>, <https://example.org/> and [here](javascript:alert(1)),
[there](https://example.org/a), ![no](picture.png), [x](java&#115;cript:y). In code: `<b>code</b>`, out of it
{{ title }}.

[ref]: javascript:alert(2)
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    made = make_report(tmp_path_factory.mktemp("hugo"))
    sections = [one.model_dump() for one in made.spec.sections]
    sections[0]["text"] = WORDS
    changes = {
        "title": HOSTILE,
        "sections": sections,
        "authors": (EVIL, "B. Name"),
        "tags": ("deep learning", 'a "quoted" tag'),
        "links": {"code": "https://example.org/code", "lab notes": "https://example.org/notes"},
        "featured": {"section": "every", "caption": EVIL, "focal_point": "Top"},
        "site_url": "https://example.org/report",
        "outputs": {"site": {}, "poster": {}},
    }
    spec = type(made.spec).model_validate(made.spec.model_dump() | changes, strict=False)
    return replace(made, spec=spec)


@pytest.fixture
def bundle(report, tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "poster.pdf").write_bytes(b"%PDF-1.7 a poster")
    target = tmp_path / "content" / "project" / "cnn"
    hugo.export(report, make_blocks(report), tmp_path / "site", target)
    return target


def parts(bundle):
    text = (bundle / "index.md").read_text(encoding="utf-8")
    match = re.fullmatch(r"\+\+\+\n(.*?)\n\+\+\+\n(.*)", text, re.DOTALL)
    return tomllib.loads(match[1]), match[2]


def test_the_front_matter_says_what_the_spec_says_whatever_its_letters(bundle, report):
    facts, _ = parts(bundle)
    assert facts["title"] == HOSTILE
    assert facts["date"].isoformat() == "2026-11-20"
    assert facts["authors"] == [EVIL, "B. Name"]
    assert facts["tags"] == ["deep learning", 'a "quoted" tag']
    assert facts["summary"].startswith("A summary")
    assert facts["url_report"] == "https://example.org/report/"
    assert facts["url_poster"] == "https://example.org/report/poster.pdf"
    assert facts["url_code"] == "https://example.org/code"
    assert facts["links"] == [{"name": "lab notes", "url": "https://example.org/notes"}]
    assert facts["image"]["focal_point"] == "Top"
    assert facts["image"]["caption"].startswith('<script>alert("1")</script>')
    assert facts["math"] is True


def test_the_body_is_markdown_in_which_nothing_else_means_anything(bundle):
    _, text = parts(bundle)
    prose = re.sub(r"`[^`]*`", "", text)
    assert re.search(r"<(?!https://example\.org/>)", prose) is None
    assert "{{" not in text
    assert "![" not in text
    assert re.search(r"\]\(\s*(?!https://|#|poster\.pdf)", prose) is None
    assert "javascript:alert(2)" not in text
    assert "[there](https://example.org/a)" in text
    assert "`<b>code</b>`" in text
    assert "$x_k^2$" in text
    assert "### Heading" in text
    assert "\\[1\\]" in text
    assert "## References" in text
    assert "(poster.pdf)" in text


def test_the_picture_and_the_poster_lie_beside_it(bundle):
    assert sorted(path.name for path in bundle.iterdir()) == ["featured.jpg", "index.md", "poster.pdf"]
    with Image.open(BytesIO((bundle / "featured.jpg").read_bytes())) as picture:
        assert (picture.format, picture.size) == ("JPEG", (1200, 630))
        assert len(picture.getcolors(1 << 24)) > 50
    assert (bundle / "poster.pdf").read_bytes() == b"%PDF-1.7 a poster"


def test_twice_gives_the_same_bytes_and_keeps_what_else_lies_there(bundle, report, tmp_path):
    (bundle / "gallery.jpg").write_bytes(b"mine")
    before = {path.name: path.read_bytes() for path in bundle.iterdir()}
    hugo.export(report, make_blocks(report), tmp_path / "site", bundle)
    assert {path.name: path.read_bytes() for path in bundle.iterdir()} == before


def test_a_page_of_the_users_is_left_alone(report, tmp_path):
    (tmp_path / "index.md").write_text("+++\ntitle = 'Mine'\n+++\n")
    with pytest.raises(ReportError, match="not written by reportgen"):
        hugo.export(report, make_blocks(report), tmp_path, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["index.md"]


def test_without_poster_address_or_date_the_page_says_nothing_of_them(report, tmp_path):
    spec = report.spec.model_dump() | {"site_url": "", "date": None, "outputs": {"site": {}}, "links": {}}
    plain = replace(report, spec=type(report.spec).model_validate(spec, strict=False))
    (tmp_path / "poster.pdf").write_bytes(b"of an earlier build")
    hugo.export(plain, make_blocks(plain), tmp_path, tmp_path / "bundle")
    facts, text = parts(tmp_path / "bundle")
    assert not {"url_poster", "url_report", "date", "links"} & set(facts)
    assert "poster" not in text


@pytest.mark.parametrize("code", ["`{{< evil >}}`", "```\n{{% evil %}}\n```"])
def test_code_runs_no_shortcodes_either(code):
    assert "{{" not in hugo.markdown(code, lambda key: None)


def test_texts_number_what_the_report_numbers(report):
    texts = report_texts(report)
    number = texts.number("zeiler2014")
    assert hugo.markdown("See [@zeiler2014].", texts.number) == f"See \\[{number}\\]."
