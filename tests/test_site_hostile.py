"""Words of a spec that mean harm or are hard to set come out safe and right: on pages, in data, in file names."""

import csv
import json
import re

import html5lib
import pytest

from tests.browser.sample import sample_report
from tests.site_pages import written
from tests.site_report import EVIL

SCRIPTS = {"theme.js", "site.js", "explore.js", "map.js", "search.js", "search-index.js", "compare.js",
           "compare-data.js", "quiz.js", "quiz-data.js"}  # fmt: skip


@pytest.fixture(scope="module")
def folder(fonts_made_once, tmp_path_factory):
    root = tmp_path_factory.mktemp("hostile")
    return written(sample_report(root), root)


@pytest.fixture(scope="module")
def trees(folder):
    """Every page as a tree of elements."""
    return {
        str(path.relative_to(folder)): html5lib.parse(path.read_text("utf-8"), namespaceHTMLElements=False)
        for path in sorted(folder.rglob("*.html"))
    }


def words(element):
    return "".join(element.itertext())


def test_no_name_of_a_file_holds_more_than_plain_letters(folder):
    names = [part for path in folder.rglob("*") for part in path.relative_to(folder).parts]
    assert [name for name in names if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*", name)] == []
    assert {path.name for path in folder.parent.iterdir()} == {"site", "store"}  # nothing has got out


def test_pages_show_the_words_as_they_stand_and_hold_no_code_of_theirs(trees):
    for path, tree in trees.items():
        assert EVIL in words(tree.find(".//title")), path
        for element in tree.iter():
            for name, value in element.attrib.items():
                assert not str(name).startswith("on"), path
                if name in ("href", "src"):
                    assert re.match(r"https://|#|[\w./-]+$|[\w./-]+#", value), (path, value)
            if element.tag == "script":
                source = element.attrib["src"].rpartition("/")[2]
                assert source in SCRIPTS or re.fullmatch(r"points\.a\.map\.js", source), path
                assert not words(element), path
    shown = words(trees["section/every.html"].find(".//main"))
    assert f"Failed: It broke: {EVIL}" in shown
    assert f"Title {EVIL}" in shown
    front = trees["index.html"]
    assert words(front.find(".//h1")) == EVIL
    alts = {image.attrib["alt"] for image in front.iter("img")}
    assert f"Alt {EVIL}" in alts
    unit = words(trees["net/a/stage1/2.html"].find(".//main"))
    assert f"climb {EVIL}" in unit


def test_json_and_scripts_of_data_tell_the_same_words(folder):
    report = json.loads((folder / "report.json").read_text("utf-8"))
    assert report["title"] == EVIL
    assert report["authors"] == [EVIL]
    assert report["images"]["cat"]["credit"] == EVIL
    assert f"It broke: {EVIL}" in {cell["reason"] for cell in report["cells"]}
    assert EVIL in {figure["caption"] for figure in report["figures"]}
    found = {}
    for path in [*folder.glob("assets/*-data.js"), *folder.glob("assets/*-index.js"), *folder.glob("figure/*.js")]:
        text = path.read_text("utf-8")
        assert not set("<>&\u2028\u2029") & set(text), path.name
        match = re.fullmatch(r"(?:var |window\.)\w+ ?= ?(.*);\n", text)
        found[path.name] = json.loads(match[1])
    assert set(found) == {"compare-data.js", "quiz-data.js", "search-index.js", "points.a.map.js"}
    assert EVIL in json.dumps(found["compare-data.js"], ensure_ascii=False).replace('\\"', '"')
    assert f"noise {EVIL}" in {question["words"] for question in found["quiz-data.js"]["questions"]}
    assert EVIL in found["points.a.map.js"]["names"]


def test_a_spreadsheet_takes_no_word_for_a_formula(folder):
    for path in folder.rglob("*.csv"):
        for row in csv.reader(path.read_text("utf-8").splitlines()):
            for value in row:
                assert value[:1] not in ("=", "@", "\t"), path.name
                assert value[:1] not in ("+", "-") or re.fullmatch(r"[-+][\d.e+-]+", value), path.name
    assert EVIL in (folder / "figure/facts.a.facts.csv").read_text("utf-8").replace('""', '"')


def test_text_of_another_direction_is_set_in_its_own(folder):
    css = (folder / "assets/style.css").read_text("utf-8")
    assert "unicode-bidi: plaintext" in css
