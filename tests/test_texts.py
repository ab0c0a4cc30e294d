"""Texts become clean HTML with true numbers and numbered citations, or say what is missing and where."""

import re
from types import SimpleNamespace

import pytest

from reportgen.bibliography import Citations, format_reference, parse, read_bibliography
from reportgen.errors import SpecError
from reportgen.texts import fill, grouped, percent, plain_text, render_text, report_texts, si

VALUES = {
    "models": {"vgg": {"top1": 0.84123, "parameters": 61100840, "title": "VGG <16>"}},
    "cells": {"saliency.vgg.cat": {"numbers": {"share": 0.25}}},
}
WORKS = read_bibliography()


def render(source, citations=None):
    return render_text(source, VALUES, "spec.yaml:7:11", citations)


def test_placeholders_are_filled_with_the_reports_numbers():
    text = "Top-1 {{ models.vgg.top1 | percent }}, {{ models.vgg.parameters | si }}, "
    text += '{{ cells["saliency.vgg.cat"].numbers.share }}'
    assert render(text) == "<p>Top-1 84.1\u00a0%, 61.1\u00a0M, 0.25</p>".replace("\u00a0", "&nbsp;")


def test_values_are_escaped_and_unformatted_numbers_are_short():
    assert fill("{{ models.vgg.title }} {{ models.vgg.top1 }}", VALUES, "x") == "VGG &lt;16&gt; 0.8412"


@pytest.mark.parametrize(
    ("value", "text"),
    [(61100840, "61.1 M"), (15.5e9, "15.5 G"), (999_999, "1.00 M"), (999.6, "1.00 k"), (123, "123"), (0.5, "0.5")],
)
def test_si_keeps_three_digits(value, text):
    assert si(value) == text.replace(" ", "\u00a0")


def test_number_filters():
    assert percent(0.05, 0) == "5\u00a0%"
    assert grouped(61100840) == "61,100,840"
    assert fill("{{ models.vgg.top1 | round(2) }}", VALUES, "x") == "0.84"


@pytest.mark.parametrize(
    ("source", "line", "words"),
    [
        ("one\ntwo {{ models.vgg.top2 }}", 2, r"no 'top2' to fill in\. Did you mean 'top1'\?"),
        ("{{ models.vvg.top1 }}", 1, r"no 'vvg' to fill in\. Did you mean 'vgg'\?"),
        ("a\n\n{{ modles.vgg }}", 3, r"no 'modles' to fill in\. Did you mean 'models'\?"),
        ('{{ cells["saliency.vgg.dog"].numbers.x }}', 1, r"no 'saliency\.vgg\.dog'.*'saliency\.vgg\.cat'"),
        ("{{ models.vgg.top2 | percent }}", 1, "no 'top2'"),
        ("a\n{{ models.vgg.title | percent }}", 2, "a number is wanted here, not 'VGG <16>'"),
        ("a\n{{ models.vgg }}", 2, "stands for several values"),
        ("a\n{{ models.vgg", 2, "cannot be read"),
        ("a {{ models.vgg.top1 | precent }}", 1, "cannot be read: No filter named 'precent'"),
        ("{{ 1 / 0 }}", 1, "division by zero"),
        ("{{ models.__class__.__mro__ }}", 1, "unsafe|__class__"),
        ("{{ range(9) }}", 1, "no 'range'"),
    ],
)
def test_a_missing_number_is_named_with_its_place(source, line, words):
    with pytest.raises(SpecError, match=rf"(?s)^spec\.yaml:7:11: line {line} of the text: .*({words}).*(?<=[.?])$"):
        render(source)


def test_a_text_can_ask_whether_a_number_is_there():
    assert render("{% if models.vgg.top5 is defined %}yes{% else %}no{% endif %}") == "<p>no</p>"


def test_markdown_becomes_html_below_the_sections_heading():
    html = render("# Head\n\nSome *words*, `code`\n\n- a\n- b\n\n| x | y |\n|---|--:|\n| 1 | 2 |\n")
    assert "<h3>Head</h3>" in html
    for piece in ("<em>words</em>", "<code>code</code>", "<li>a</li>", "<th>x</th>", "<td>2</td>"):
        assert piece in html


@pytest.mark.parametrize(
    "source",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "![a](http://evil.example/x.png)",
        "[a](javascript:alert(1))",
        '<a href="data:text/html,x" onclick="y()">a</a>',
        "<iframe src='http://evil.example'></iframe>",
        '<p style="position:fixed" id="main" class="big">a</p>',
        "<svg><use href='http://evil.example'/></svg>",
        "<style>@import 'http://evil.example'</style>",
    ],
)
def test_nothing_that_acts_or_loads_survives(source):
    html = render(source)
    assert not re.search(r"script|<img|onerror|onclick|iframe|style|svg|data:|src=|id=|class=|@import", html), html


def test_links_to_the_web_survive():
    assert render("[a](https://example.org/x)") == (
        '<p><a href="https://example.org/x" rel="noopener noreferrer">a</a></p>'
    )


def test_citations_are_numbered_in_the_order_of_the_text():
    citations = Citations(WORKS)
    html = render("First [@zeiler2014], then [@he2016; @zeiler2014].\n\n- in a list [@tan2019]", citations)
    assert plain_text(html) == "First [1], then [2, 1]. in a list [3]"
    assert 'href="#ref-zeiler2014"' in html
    assert plain_text(render("Later [@liu2022] and [@he2016]", citations)) == "Later [4] and [2]"
    assert [work.key for work in citations.references()] == ["zeiler2014", "he2016", "tan2019", "liu2022"]


def test_code_is_no_citation():
    citations = Citations(WORKS)
    assert "[@zeiler2014]" in render("`[@zeiler2014]`", citations)
    assert citations.references() == []


def test_an_unknown_work_is_named_with_its_place():
    with pytest.raises(SpecError, match=r"spec\.yaml:7:11: line 3 of the text: no work 'zeiler2015'.*'zeiler2014'"):
        render("a\n\nb [@zeiler2015]", Citations(WORKS))


def test_plain_text_has_words_only():
    assert plain_text("<p>a <em>b</em>c &amp; d</p>\n<ul><li>e</li><li>f</li></ul>") == "a bc & d e f"


def test_our_own_bibliography_has_what_methods_and_nets_cite():
    wanted = "zeiler2014 simonyan2014 springenberg2015 krizhevsky2012 simonyan2015 szegedy2015 he2016 russakovsky2015"
    wanted += " iandola2016 huang2017 howard2019 tan2019 liu2022"
    assert set(wanted.split()) <= set(WORKS)
    for work in WORKS.values():
        assert re.fullmatch(r".+\. .+\. .+, \d{4}\. <a href=\"https://.+\">.+</a>", format_reference(work)), work.key


def test_bibtex_is_read_with_its_usual_habits():
    works = parse(
        r"""
        % a comment line
        @comment{@article{no, title={no}}}
        @string{eccv = "Conf. on Vision"}
        @Article{a:1, Author = {G{\"o}del, Kurt and M\"uller, J{\'e}r{\^o}me and \'{E}mile Zola and others},
          title = "The {CNN} \& its ``quotes'', pages 1--2", year = 1999, month = may # " 3", journal={X}, volume=7,
        }
        @inproceedings{b, title={Na{\"\i}ve {\O}re}, booktitle = eccv # ", part 2", url = {https://x.org/a_b},
          year={2001}}
        """
    )
    assert list(works) == ["a:1", "b"]
    assert works["a:1"].fields["author"] == "Gödel, Kurt and Müller, Jérôme and Émile Zola and others"
    assert works["a:1"].fields["title"] == "The CNN & its ``quotes'', pages 1–2"
    assert works["a:1"].fields["month"] == "May 3"
    assert works["b"].fields["title"] == "Naïve Øre"
    assert works["b"].fields["booktitle"] == "Conf. on Vision, part 2"
    assert format_reference(works["a:1"]).startswith("K. Gödel, J. Müller, É. Zola et al. The CNN &amp; its")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("@article{a,\n title = {x\n}", "refs.bib:2: this is never closed|refs.bib:.*wanted here"),
        ("@article{a, title = {x}}\n@book{a, title={y}}", "refs.bib:2: the key 'a' stands here twice"),
        ("@article{a,\n title {x}}", "refs.bib:2: `=` behind title is wanted here"),
        ("@article{, title={x}}", "refs.bib:1: a key, as in"),
        ("@article{a, year = 1 title = {x}}", "refs.bib:1: a comma or the closing brace is wanted here"),
    ],
)
def test_broken_bibtex_is_named_with_its_line(tmp_path, text, problem):
    (tmp_path / "refs.bib").write_text(text)
    with pytest.raises(SpecError, match=problem):
        read_bibliography(tmp_path / "refs.bib")


def test_a_users_bibliography_lies_over_ours(tmp_path):
    (tmp_path / "refs.bib").write_text("@misc{he2016, title={Mine}} @misc{new, title={New}, url={javascript:x}}")
    works = read_bibliography(tmp_path / "refs.bib")
    assert works["he2016"].fields["title"] == "Mine"
    assert format_reference(works["new"]) == "New."
    assert "zeiler2014" in works


def report(sections, **spec):
    known = {"summary": "", "acknowledgements": "", "references": None, "title": "T", "images": {}, "models": {}}
    sections = [SimpleNamespace(id=name, text=text, method=method) for name, text, method in sections]
    made = SimpleNamespace(**known | spec, sections=sections)
    made.place = lambda *way: "spec.yaml:" + ".".join(map(str, way))
    methods = {"saliency": SimpleNamespace(citation="simonyan2014"), "other": SimpleNamespace(citation="unknown")}
    return SimpleNamespace(spec=made, methods=methods, cards={}, fallbacks={}, filled=())


def test_a_report_numbers_its_works_in_the_order_of_the_spec():
    sections = [("a", "x [@he2016]", None), ("b", "", "saliency"), ("c", "[@tan2019]", "other")]
    made = report_texts(report(sections, summary="[@zeiler2014]", acknowledgements="Thanks, {{ title }}"))
    assert [work.key for work in made.references] == ["zeiler2014", "he2016", "simonyan2014", "tan2019"]
    assert (made.sections["b"], made.acknowledgements) == ("", "<p>Thanks, T</p>")
    assert (made.number("simonyan2014"), made.number("unknown")) == (3, None)


def test_all_wrong_texts_of_a_report_are_said_at_once():
    with pytest.raises(SpecError) as caught:
        report_texts(report([("a", "{{ x }}", None), ("b", "ok", None), ("c", "[@y]", None)]))
    first, second = str(caught.value).splitlines()
    assert first.startswith("spec.yaml:sections.0.text: line 1 of the text: there is no 'x'")
    assert second.startswith("spec.yaml:sections.2.text: line 1 of the text: no work 'y'")
