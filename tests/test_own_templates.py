"""A folder `templates` beside the spec stands for ours file by file; what is wrong in it is told with its place."""

from __future__ import annotations

import pytest

from reportgen import site, templating, unchanged
from reportgen.errors import RenderError
from reportgen.overrides import own_templates
from reportgen.pages import make_blocks
from reportgen.templating import beside, environment, file_of, problems
from tests.site_report import make_report


@pytest.fixture(autouse=True)
def _fresh():
    templating.forget()


@pytest.fixture
def spec(tmp_path):
    (tmp_path / "templates" / "site").mkdir(parents=True)
    (tmp_path / "templates" / "poster").mkdir()
    return tmp_path / "spec.yaml"


def put(spec, name, text):
    path = spec.parent / "templates" / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_users_file_stands_for_ours_and_can_build_on_it(spec, tmp_path):
    put(
        spec,
        "site/base.html",
        '{% extends "ours/base.html" %}{% block head %}<link rel="author" href="me">{% endblock %}',
    )
    put(spec, "site/theme.js", '"mine";\n')
    put(spec, "site/logo.svg", "<svg/>")
    report = make_report(tmp_path)
    ours, mine = tmp_path / "ours", tmp_path / "mine"
    ours.mkdir()
    mine.mkdir()
    site.write_site(report, make_blocks(report), ours)
    with beside(spec):
        site.write_site(report, make_blocks(report), mine)
    for path in ours.rglob("*.html"):
        other = (mine / path.relative_to(ours)).read_text(encoding="utf-8")
        assert other.count('<link rel="author" href="me">') == 1
        assert "</html>" in other
    assert (mine / "assets/theme.js").read_text() == '"mine";\n'
    assert (mine / "assets/site.js").read_bytes() == (ours / "assets/site.js").read_bytes()
    assert (mine / "assets/logo.svg").read_text() == "<svg/>"
    assert not (ours / "assets/logo.svg").exists()


def test_poster_and_style_sheets_are_overridden_too(spec):
    put(spec, "poster/sheet.css", "body { color: red }")
    with beside(spec):
        assert file_of("poster", "sheet.css").read_text() == "body { color: red }"
        assert templating.files_of("poster", ".css")["sheet.css"].parent == spec.parent / "templates" / "poster"
        assert templating.files_of("poster", ".css")["handout.css"].parent != spec.parent / "templates" / "poster"
    assert file_of("poster", "sheet.css").parent == templating.templates_dir() / "poster"


def test_without_such_a_folder_or_outside_of_the_report_ours_are_used(spec, tmp_path):
    put(spec, "site/404.html", "mine")
    with beside(spec):
        assert environment("site").get_template("404.html").render() == "mine"
    assert "There is no such page" in environment("site").get_template("404.html").render(title="x", home="")
    assert own_templates(tmp_path / "elsewhere" / "spec.yaml") is None


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("<p>\n{{ titel }}", 2, "'titel' is undefined"),
        ("<p>\n\n{{ title + 3 }}", 3, ""),
        ("{% if title %}\n<p>", 2, "endif"),
        ("\n{% include 'bsae.html' %}", 2, "Did you mean 'base.html' or"),
        ("\n\n\n{{ title.nothing.more }}", 4, "nothing"),
    ],
)
def test_a_broken_template_is_one_paragraph_with_its_file_and_line(spec, text, line, words):
    put(spec, "site/404.html", text)
    with pytest.raises(RenderError) as caught, beside(spec):
        environment("site").get_template("404.html").render(title="A report", home="")
    said = str(caught.value)
    assert said.startswith(f"templates/site/404.html:{line}: ")
    assert words in said
    assert "\n" not in said


def test_a_fault_of_ours_is_not_blamed_on_the_user(spec):
    put(spec, "site/theme.js", "mine")
    with pytest.raises(KeyError), beside(spec):
        raise KeyError("ours")


def test_what_cannot_be_read_is_found_before_anything_is_built(spec):
    put(spec, "site/base.html", "<p>\n{% if title %}")
    put(spec, "site/404.html", "{{ fine }}")
    (spec.parent / "templates" / "poster" / "sheet.html").write_bytes(b"\xff\xfe\x00")
    found = problems(own_templates(spec))
    assert [problem.partition(" ")[0] for problem in found] == [
        "templates/poster/sheet.html:",
        "templates/site/base.html:2:",
    ]


@pytest.mark.parametrize(
    "text", ["{{ ''.__class__.__mro__ }}", "{{ title.__init__.__globals__ }}", "{% include '../../secret.txt' %}"]
)
def test_a_template_runs_no_code_and_reads_no_file_outside(spec, tmp_path, text):
    (tmp_path / "secret.txt").write_text("secret")
    put(spec, "site/404.html", text)
    with pytest.raises(RenderError, match="templates/site/404"), beside(spec):
        environment("site").get_template("404.html").render(title="A report", home="")


def test_a_changed_or_new_template_makes_a_build_have_something_to_do(spec):
    empty = unchanged._templates(spec)
    path = put(spec, "site/base.html", "one")
    first = unchanged._templates(spec)
    path.write_text("two")
    second = unchanged._templates(spec)
    put(spec, "site/other.html", "two")
    assert len({empty, first, second, unchanged._templates(spec)}) == 4
    path.write_text("one")
    (path.parent / "other.html").unlink()
    assert unchanged._templates(spec) == first
