import json
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import html5lib
import numpy as np
import pytest

from reportgen import site, site_data, site_front, site_list, site_text
from reportgen.pages import make_blocks
from reportgen.records import Artifact
from reportgen.texts import report_texts
from reportgen.walls import Hanger
from tests.site_pages import Elements, written
from tests.site_report import EVIL, make_report

pytestmark = pytest.mark.usefixtures("fonts_made_once")


def made(folder, **changes):
    return written(make_report(folder, **changes), folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return made(tmp_path_factory.mktemp("site"), more=True)


@pytest.fixture(scope="module")
def pages(folder):
    return {str(path.relative_to(folder)): path.read_text("utf-8") for path in sorted(folder.rglob("*.html"))}


def test_the_pages_of_the_design_are_there(folder, pages):
    assert set(pages) >= {
        "index.html", "section/intro.html", "section/facts.html", "section/every.html", "net/a.html", "net/b.html",
        "image/cat.html", "image/cup.html", "method/every.html", "method/facts.html",
    }  # fmt: skip
    assert (folder / "report.json").is_file()
    assert (folder / "assets/style.css").is_file()


def test_every_page_is_valid_html(pages):
    for html in pages.values():
        html5lib.HTMLParser(strict=True).parse(html)


def test_links_lead_to_files_and_anchors_of_the_report_and_nothing_is_loaded_from_elsewhere(folder, pages):
    ids = {name: {attrs["id"] for _, attrs in Elements(html).found if "id" in attrs} for name, html in pages.items()}
    for name, html in pages.items():
        elements = Elements(html)
        loaded = [attrs[key] for tag, attrs in elements.found for key in ("src",) if key in attrs]
        loaded += [attrs["href"] for attrs in elements.all("link")]
        loaded += [
            part.split()[0] for attrs in elements.all("img") for part in attrs.get("srcset", "").split(",") if part
        ]
        for address in loaded + [attrs["href"] for attrs in elements.all("a")]:
            parts = urlsplit(address)
            if parts.scheme:
                assert address not in loaded
                assert parts.scheme in ("http", "https", "mailto")
                continue
            target = (folder / name).parent / parts.path if parts.path else folder / name
            assert target.resolve().is_file(), (name, address)
            if parts.fragment:
                assert parts.fragment in ids[str(target.resolve().relative_to(folder.resolve()))], (name, address)
    css = (folder / "assets/style.css").read_text("utf-8")
    for address in re.findall(r'url\("([^"]+)"\)', css):
        assert (folder / "assets" / address).is_file()
    assert "http" not in css


def test_every_picture_has_its_size_and_words_and_waits_unless_it_is_on_the_first_screen(pages):
    for name, html in pages.items():
        images = Elements(html).all("img")
        assert all(int(image["width"]) > 0 and int(image["height"]) > 0 for image in images)
        assert all(image["alt"].strip() for image in images)
        assert sum("loading" not in image for image in images) <= 8, name


def test_of_large_sheets_only_the_first_is_loaded_at_once(pages):
    """Four of a net's made pictures would be two megabytes."""
    sheets = [image for image in Elements(pages["section/set.html"]).all("img") if ".sheet." in image["src"]]
    assert len(sheets) == 2
    assert ["loading" in image for image in sheets] == [False, True]


def test_every_page_has_one_heading_a_skip_link_a_policy_and_no_code_or_style_inside(pages):
    for name, html in pages.items():
        elements = Elements(html)
        assert len(elements.all("h1")) == 1, name
        assert elements.all("a")[0]["href"] == "#main"
        policies = [attrs for attrs in elements.all("meta") if attrs.get("http-equiv") == "Content-Security-Policy"]
        assert policies[0]["content"].startswith("default-src 'none'")
        assert "unsafe" not in policies[0]["content"]
        assert all("src" in attrs for attrs in elements.all("script"))
        assert not elements.all("style")
        for _, attrs in elements.found:
            assert not any(key == "style" or key.startswith("on") for key in attrs)
        assert all("scope" in attrs for attrs in elements.all("th"))
        ids = [attrs["id"] for _, attrs in elements.found if "id" in attrs]
        assert len(ids) == len(set(ids)), name
        levels = [int(tag[1]) for tag, _ in elements.found if re.fullmatch(r"h[1-6]", tag)]
        assert all(b - a <= 1 for a, b in pairwise(levels)), (name, levels)


def test_words_that_mean_harm_are_shown_and_never_run(pages):
    for html in pages.values():
        assert "<script>alert" not in html
        assert "<b>cat</b>" not in html
    assert "&lt;script&gt;alert" in pages["index.html"]
    assert "漢字 עברית 🙂" in pages["index.html"]


def test_cells_that_failed_or_do_not_apply_say_why_and_badges_are_worn(pages):
    assert "Failed: It broke" in pages["section/every.html"]
    assert "b has no stage2" in pages["section/every.html"]
    assert "not among this net" in pages["image/cat.html"]
    assert "b stands in for c" in pages["net/b.html"]
    assert "standing in" in pages["index.html"]
    assert "15.3 %" not in pages["index.html"].split("Net b")[-1].split("</th>")[0]


def test_works_are_cited_by_their_number_and_listed_on_the_page(pages):
    for name in ("section/intro.html", "section/facts.html", "method/every.html"):
        assert 'id="ref-zeiler2014"' in pages[name], name
    assert '<a href="#ref-zeiler2014">[1]</a>' in pages["section/facts.html"]


def test_report_json_names_every_cell_and_figure_and_their_files(folder):
    report = json.loads((folder / "report.json").read_text("utf-8"))
    assert report["title"] == EVIL
    assert report["models"]["b"]["fallback"] is True
    assert set(report["models"]["a"]) >= {"arch", "fallback", "weights", "parameters", "flops", "input_size", "classes",
                                          "stages"}  # fmt: skip
    assert report["images"]["cat"]["size"] == [451, 300]
    words = "id section method model image images dataset layer units status reason key arrays numbers"
    assert all(set(cell) == set(words.split()) for cell in report["cells"])
    ids = {cell["id"] for cell in report["cells"]}
    for cell in report["cells"]:
        assert (cell["arrays"] is None) == (cell["status"] != "ok")
        if cell["arrays"]:
            with np.load(folder / cell["arrays"]) as arrays:
                assert arrays["map"].dtype == np.float16
    for figure in report["figures"]:
        assert set(figure) == {"id", "section", "cells", "files", "caption", "alt", "scale"}
        assert set(figure["scale"]) == {"rule", "min", "max"}
        assert set(figure["cells"]) <= ids
        assert all((folder / file).is_file() for file in figure["files"])


def test_a_plot_that_all_nets_share_is_one_figure_of_all_their_cells(folder, pages):
    report = json.loads((folder / "report.json").read_text("utf-8"))
    joint = {figure["id"]: figure for figure in report["figures"] if ".joint." in figure["id"]}
    assert set(joint) == {f"ways.joint.{i}.stage{k}.distance" for i in ("cat", "cup") for k in (1, 2)}
    assert joint["ways.joint.cat.stage1.distance"]["cells"] == ["ways.a.cat.stage1", "ways.b.cat.stage1"]
    assert joint["ways.joint.cat.stage2.distance"]["cells"] == ["ways.a.cat.stage2"]  # it failed on b
    ids = [figure["id"] for figure in report["figures"]]
    assert len(ids) == len(set(ids))
    file = "assets/ways.joint.cat.stage1.distance.webp"
    for page in ("section/ways.html", "net/a.html", "net/b.html", "image/cat.html"):
        images = [image for image in Elements(pages[page]).all("img") if image["src"] == f"../{file}"]
        assert len(images) == 1, page
        assert int(images[0]["width"]) >= 900, page


def test_a_plot_that_all_nets_share_says_whom_it_lacks_and_takes_the_width_of_the_front_page(pages):
    for page in ("section/ways.html", "image/cat.html", "net/a.html"):
        assert "Failed: Net b: It broke" in pages[page], page
    assert "Net b: b has no stage2" in pages["image/cup.html"]
    cells = [attrs for attrs in Elements(pages["index.html"]).all("td") if attrs.get("class") == "joint"]
    assert [attrs["colspan"] for attrs in cells] == ["2"]


def test_cells_about_a_set_of_images_name_them_in_the_json_and_on_their_pages(folder, pages):
    report = json.loads((folder / "report.json").read_text("utf-8"))
    cells = {cell["id"]: cell for cell in report["cells"]}
    assert (cells["set.a"]["image"], cells["set.a"]["images"]) == (None, ["cat", "cup"])
    assert (cells["ways.a.cat.stage1"]["image"], cells["ways.a.cat.stage1"]["images"]) == ("cat", None)
    assert (
        'Made from 2 photos: <a href="../image/cat.html">cat</a>, <a href="../image/cup.html">cup</a>.'
        in (pages["section/set.html"])
    )
    assert "../assets/set.b.sheet.webp" in pages["image/cup.html"]


def test_a_sheet_names_its_columns_above_and_its_rows_beside(pages):
    html = pages["section/set.html"]
    assert "<span>dreamt</span><span>found</span>" in html
    assert html.count("<ol><li>unit 5</li><li>unit 17</li><li>unit 9</li></ol>") == 2


def test_tables_of_many_columns_stand_one_by_one_under_the_name_of_their_net(pages):
    html = pages["section/set.html"]
    assert html.count('<th scope="col">photo</th>') == 2
    assert html.count('<tr><th scope="row">7</th><td>cat</td><td>0.123</td></tr>') == 2
    assert '<caption class="m1"><a href="../net/b.html">Net b</a></caption>' in html


def test_a_table_that_is_the_same_for_all_layers_of_a_net_hangs_once(tmp_path):
    report = make_report(tmp_path, more=True)
    rows = [row for block in make_blocks(report) if block.section == "set" for row in block.rows]
    slots = [slot for row in rows for slot in row.slots if slot.figure and slot.figure.kind == "table"]
    layered = [
        replace(slot, filled=replace(slot.filled, cell=replace(slot.filled.cell, layer=layer)))
        for layer in ("stage1", "stage2")
        for slot in slots
    ]
    other = replace(layered[-1], figure=replace(slots[-1].figure, rows=(("8", "cup", 0.5),)))
    tables = Hanger(report)._tables([*layered[:-1], other])
    assert [(table.head.label, table.head.note) for table in tables] == [
        ("Net a", ""),
        ("Net b", "stage1"),
        ("Net b", "stage2"),
    ]


def test_maps_of_names_have_no_limits_and_cells_without_a_section_no_place(folder, pages):
    report = json.loads((folder / "report.json").read_text("utf-8"))
    scales = [figure["scale"] for figure in report["figures"] if figure["id"].endswith(".label")]
    assert scales
    assert all(scale == {"rule": "none", "min": None, "max": None} for scale in scales)
    assert not any(cell["section"] == "" for cell in report["cells"])
    assert (folder / "assets/ways.a.cat.stage1.besides.webp").is_file()  # shown beside, from a cell of no section


def test_the_same_report_gives_the_same_bytes(folder, tmp_path):
    again = made(tmp_path, more=True)
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    for file in files:
        assert (folder / file).read_bytes() == (again / file).read_bytes(), file


def test_arrays_keep_more_digits_where_float16_would_lose_them():
    small = site_data.small(np.full(10, 1e-9))
    large = site_data.small(np.array([1e6, 1.0]))
    assert (small.dtype, large.dtype) == (np.float32, np.float32)
    assert site_data.small(np.array([0.5])).dtype == np.float16
    assert site_data.small(np.array([3])).dtype == np.int64
    assert site_data.small(np.zeros((0, 3))).shape == (0, 3)
    data = {"map": np.eye(3)}
    assert site_data.npz(Artifact(data)) == site_data.npz(Artifact(data))


def test_a_section_too_heavy_for_one_page_is_split_by_image(tmp_path, monkeypatch):
    monkeypatch.setattr(site, "MOST_TILES", 20)
    folder = made(tmp_path)
    main = (folder / "section/every.html").read_text("utf-8")
    assert "every-cat.html" in main
    assert site.fits(main)
    assert "Numbers" in (folder / "section/every-cat.html").read_text("utf-8")
    assert "section/every-cup.html" in {str(path.relative_to(folder)) for path in folder.rglob("*.html")}


def test_the_list_of_reports_links_them_newest_first_with_what_lies_there(tmp_path):
    old = {
        "title": "Old", "date": "2020-01-02", "summary": "*Words* & <b>more</b>", "authors": ["A", "B"],
        "models": {"a": {}}, "images": {"cat": {}, "cup": {}},
        "cells": [{"id": "x.a.cat", "image": "cat"}, {"id": "x.a.cup", "image": "cup"}],
        "figures": [
            {"id": id, "section": section, "cells": [cell], "files": [f"assets/{file}.webp", f"{thumb}.thumb.webp"]}
            for id, section, cell, file, thumb in (
                ("bars", "w", "x.a.cat", "two", "assets/two"),
                ("cup", "x", "x.a.cup", "cup", "assets/cup"),
                ("one", "x", "x.a.cat", "one", "assets/one"),
                ("out", "x", "x.a.cat", "one", "../../outside"),
                ("two", "y", "x.a.cat", "two", "assets/two"),
            )
        ],
    }  # fmt: skip
    (tmp_path / "old/figure").mkdir(parents=True)
    for name in ("bars", "cup", "one", "out", "two"):
        kind = "bars" if name == "bars" else "heatmap"
        (tmp_path / f"old/figure/{name}.json").write_text(json.dumps({"kind": kind}))
    (tmp_path / "old/assets").mkdir(parents=True)
    for name in ("photo.cat.thumb", "cup.thumb", "one.thumb", "two.thumb"):
        (tmp_path / f"old/assets/{name}.webp").write_bytes(b"")
    for name in ("poster.pdf", "handout.pdf", "single.html"):
        (tmp_path / "old" / name).write_bytes(b"")
    site_list.write_list(tmp_path, [("old", old), ("new", {"title": EVIL, "date": "2026-01-02"})])
    html = (tmp_path / "index.html").read_text("utf-8")
    html5lib.HTMLParser(strict=True).parse(html)
    links = [attrs["href"] for attrs in Elements(html).all("a")]
    assert links == ["new/index.html", "old/index.html", "old/poster.pdf", "old/handout.pdf", "old/single.html"]
    faces = [attrs["src"] for attrs in Elements(html).all("img")]
    assert faces == ["old/assets/photo.cat.thumb.webp", "old/assets/one.thumb.webp"]
    about = re.search(r'<p class="by">(.*A, B.*)</p>', html)[1]
    assert re.sub("</?bdi>", "", about) == "A, B · 2 January 2020 · 1 net · 2 photos · 5 figures"
    assert "<script>" not in html
    site_list.write_list(tmp_path, [])
    html5lib.HTMLParser(strict=True).parse((tmp_path / "index.html").read_text("utf-8"))


def test_the_list_of_reports_takes_what_a_real_report_tells(folder):
    site_list.write_list(folder.parent, [("site", json.loads((folder / "report.json").read_text("utf-8")))])
    faces = Elements((folder.parent / "index.html").read_text("utf-8")).all("img")
    assert len(faces) > 2
    assert all((folder.parent / attrs["src"]).is_file() for attrs in faces)


def test_the_front_page_links_every_file_that_the_spec_asks_for(tmp_path):
    report = make_report(tmp_path)
    outputs = type(report.spec.outputs).model_validate({"poster": {}, "handout": {}, "single": {}}, strict=False)
    report = replace(report, spec=report.spec.model_copy(update={"outputs": outputs}))
    blocks = {block.section: block for block in make_blocks(report)}
    texts = report_texts(report)
    links = site_front.Front(report, blocks, Hanger(report, texts.number), texts).values()["links"]
    assert [link.href for link in links] == [
        "poster.pdf", "handout.pdf", "single.html", "assets/spec.yaml", "report.json", "https://example.org/",
    ]  # fmt: skip


def test_formulas_lose_their_tex():
    assert site_text.doc_paragraphs("One $x^2$\nline & `name`.\n\nTwo <b>.") == [
        "One <i>x</i><sup>2</sup> line &amp; <code>name</code>.", "Two &lt;b&gt;.",
    ]  # fmt: skip


def test_a_net_that_is_left_out_of_a_section_has_an_empty_place_on_the_front_page(tmp_path):
    report = make_report(tmp_path)
    sections = [section.model_copy(update={"models": ("a",)}) for section in report.spec.sections]
    filled = tuple(f for f in report.filled if f.cell.model == "a")
    spec = report.spec.model_copy(update={"sections": tuple(sections)})
    fewer = replace(report, spec=spec, filled=filled)
    out = Path(tmp_path / "out")
    out.mkdir()
    site.write_site(fewer, make_blocks(fewer), out)
    html5lib.HTMLParser(strict=True).parse((out / "index.html").read_text("utf-8"))
