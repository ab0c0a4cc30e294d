import io
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from reportgen import palettes, site_compare, site_differences, site_quiz
from reportgen.pages import make_blocks
from tests.browser.sample import sample_report
from tests.site_report import EVIL


def data_of(folder, name):
    """The value that a script assigns, which must be one statement without anything that ends a script."""
    text = (folder / f"assets/{name}-data.js").read_text("ascii")
    assert not set("<>&") & set(text)
    start, value = text.removesuffix(";\n").split(" = ", 1)
    assert start == f"var REPORTGEN_{name.upper()}"
    return json.loads(value)


def written(report, folder):
    (folder / "assets").mkdir(parents=True)
    site_compare.write_compare(report, make_blocks(report), folder)
    return data_of(folder, "compare")


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return sample_report(tmp_path_factory.mktemp("compare"))


@pytest.fixture(scope="module")
def folder(report, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    written(report, folder)
    return folder


@pytest.fixture(scope="module")
def data(folder):
    return data_of(folder, "compare")


def row_of(data, **asked):
    sections = [section["id"] for section in data["sections"]]
    images = [image["id"] for image in data["images"]]
    found = [
        row
        for row in data["rows"]
        if sections[row["section"]] == asked["section"]
        and row["panel"] == asked["panel"]
        and images[row["image"]] == asked.get("image", "cat")
        and row["label"] == asked.get("label", "stage1")
    ]
    assert len(found) == 1
    return found[0]


def test_a_difference_is_one_map_minus_the_other_of_the_arrays_in_colours_around_white(report, data, folder):
    row = row_of(data, section="every", panel="over")
    maps = {
        f.cell.model: f.load().arrays["map"].astype(np.float64)
        for f in report.filled
        if f.cell.id in ("every.a.cat.stage1", "every.b.cat.stage1")
    }
    truth = maps["a"] - maps["b"]
    top = np.percentile(np.abs(truth), 99)
    assert row["limits"][1] == f"{top:.3f}"
    assert row["limits"][0] == f"−{top:.3f}"
    assert list(row["differences"]) == ["0-1"]
    shown = row["differences"]["0-1"]
    assert shown["alt"].startswith("Net a minus Net b: from ")
    photo = report.photo("cat", "a")
    grey = np.asarray(
        Image.fromarray(np.round(photo * 255).astype(np.uint8)).resize((448, 448), Image.Resampling.LANCZOS)
    )
    grey = grey @ np.array([0.299, 0.587, 0.114])
    index = np.clip(np.floor((truth + top) / (2 * top) * 256), 0, 255).astype(int)
    colors = palettes.colormap("signed")[index].repeat(56, 0).repeat(56, 1)
    expected = colors * 0.55 + grey[:, :, None] * 0.45
    drawn = np.asarray(Image.open(folder / shown["file"]).convert("RGB")).astype(float)
    assert np.abs(drawn - expected).mean() < 6  # the encoder is lossy
    assert palettes.colormap("signed")[127:129].min() > 250  # zero is white


def test_maps_of_unequal_sizes_are_subtracted_square_by_square_and_what_is_unknown_stays_so():
    coarse = np.array([[1.0, 2.0], [3.0, np.nan]])
    fine = np.zeros((4, 4))
    found = site_differences.difference(coarse, fine)
    assert found.shape == (4, 4)
    assert found[0].tolist() == [1, 1, 2, 2]
    assert np.isnan(found[2:, 2:]).all()
    assert (site_differences.difference(fine, coarse)[:2] == -found[:2]).all()


def test_only_numbers_that_can_be_compared_are_subtracted_or_drawn_on_another_scale(data):
    for row in data["rows"]:
        tiles = row.get("tiles", {}).values()
        comparable = any("own" in tile for tile in tiles)
        assert ("differences" in row) <= comparable
        for tile in tiles:
            assert ("own" in tile) == (tile.get("rule") in ("shared scale", "fixed scale") and "map" in tile), tile
    assert "differences" not in row_of(data, section="every", panel="beside")  # each on its own scale
    assert "differences" not in row_of(data, section="ways", panel="label")  # names


def test_nets_that_explain_different_classes_have_no_difference_but_the_reason(report, tmp_path):
    def renamed(filled):
        numbers = {**filled.numbers, "target_name": "cat" if filled.cell.model == "a" else "dog"}
        return replace(filled, cell=replace(filled.cell, key=f"{filled.cell.key}-named"), numbers=numbers)

    other = replace(report, filled=tuple(renamed(f) if f.cell.section == "every" else f for f in report.filled))
    row = row_of(written(other, tmp_path), section="every", panel="over")
    assert row["differences"] == {"0-1": {"reason": "The two nets explain different classes here (cat and dog)."}}


def test_nets_that_see_different_parts_of_the_photo_have_no_difference(report, tmp_path):
    card = report.cards["b"]
    wider = replace(card, preprocess=replace(card.preprocess, resize=48))
    filled = tuple(replace(f, cell=replace(f.cell, key=f"{f.cell.key}-wide")) for f in report.filled)
    row = row_of(
        written(replace(report, cards={**report.cards, "b": wider}, filled=filled), tmp_path),
        section="every",
        panel="over",
    )
    assert row["differences"] == {"0-1": {"reason": "The two nets see different parts of the photo."}}


def test_the_pictures_of_the_page_keep_to_their_budget_and_say_what_was_left_out(report, tmp_path, monkeypatch):
    monkeypatch.setattr(site_differences, "MOST_PICTURES", 4)
    data = written(report, tmp_path)
    extra = [path for path in (tmp_path / "assets").glob("*.webp") if path.name.endswith((".own.webp", ".minus.webp"))]
    assert len(extra) == 4  # a row of two nets: two own scales and a difference; a row of one net: its own scale
    reasons = [d["reason"] for row in data["rows"] for d in row.get("differences", {}).values() if "reason" in d]
    assert reasons
    assert all("not drawn" in reason for reason in reasons)


def test_every_file_of_the_data_is_there_and_every_row_with_a_picture_can_be_chosen(report, data, folder):
    named = [t[key] for row in data["rows"] for t in row.get("tiles", {}).values() for key in ("file",) if key in t]
    drawn = {file for block in make_blocks(report) for file in block.files}
    assert set(named) <= drawn
    own = [t["own"]["file"] for row in data["rows"] for t in row.get("tiles", {}).values() if "own" in t]
    minus = [d["file"] for row in data["rows"] for d in row.get("differences", {}).values() if "file" in d]
    assert own
    assert minus
    assert all((folder / file).is_file() for file in own + minus)
    assert len(set(own + minus)) == len(own + minus)
    pictured = [
        row
        for block in make_blocks(report)
        for row in block.rows
        if any(s.figure and s.figure.files for s in row.slots)
    ]
    assert len(data["rows"]) == len(pictured)
    assert any(row["image"] == -1 for row in data["rows"])
    assert data["images"][0]["outside"] == [1]  # net b knows no cat
    assert EVIL in json.dumps(data, ensure_ascii=False).replace('\\"', '"')


def test_the_same_report_gives_the_same_data_and_pictures_drawn_or_kept(report, folder, tmp_path):
    written(report, tmp_path / "kept")
    fresh = sample_report(tmp_path / "fresh")
    written(fresh, tmp_path / "drawn")
    for path in (tmp_path / "drawn/assets").iterdir():
        assert path.read_bytes() == (tmp_path / "kept/assets" / path.name).read_bytes()
        assert path.read_bytes() == (folder / "assets" / path.name).read_bytes()


# ------------------------------------------------------------------------------------------------------------- the quiz


def test_the_quiz_asks_the_worst_damage_of_every_photo_first_and_hides_the_answer_in_no_name(report, tmp_path):
    asked = site_quiz.questions(report)
    assert [(one.image, one.words.partition(" ")[0], one.first) for one in asked] == [
        ("cat", "noise", True), ("cup", "noise", True), ("cat", "grey", False), ("cup", "grey", False),
    ]  # fmt: skip
    assert [one.file for one in asked] == [f"assets/quiz.{k}.webp" for k in (1, 2, 3, 4)]
    assert [(said.net, said.name, said.right) for said in asked[1].said] == [
        ("Net a", "cat", False), ("Net b", "cup", True),
    ]  # fmt: skip
    assert [said.right for said in asked[0].said] == [True, None]  # net b has no class for a cat
    (tmp_path / "assets").mkdir()
    site_quiz.write_quiz(report, asked, tmp_path)
    data = data_of(tmp_path, "quiz")
    assert data["questions"][0]["accepted"] == ["cat"]
    assert data["names"] == ["cat", "cup"]
    for one in asked:
        assert Image.open(io.BytesIO((tmp_path / one.file).read_bytes())).size == (448, 448)


def test_a_photo_without_a_label_is_not_asked_and_a_report_without_damage_has_no_quiz(report):
    images = {name: image.model_copy(update={"label": ()}) for name, image in report.spec.images.items()}
    assert site_quiz.questions(replace(report, spec=report.spec.model_copy(update={"images": images}))) == ()
    undamaged = tuple(f for f in report.filled if f.cell.method != "corruption")
    assert site_quiz.questions(replace(report, filled=undamaged)) == ()


def test_parts_of_a_class_name_are_right_answers_and_questions_keep_to_their_budget(report, monkeypatch):
    card = report.cards["a"]
    long = replace(report, cards={**report.cards, "a": replace(card, classes=("cat, tabby_cat", "cup"))})
    assert site_quiz.questions(long)[0].accepted == ("cat", "cat, tabby cat", "tabby cat")
    monkeypatch.setattr(site_quiz, "MOST_QUESTIONS", 3)
    assert len(site_quiz.questions(report)) == 3


def test_the_same_damage_in_two_sections_is_asked_once(report):
    again = tuple(
        replace(f, cell=replace(f.cell, section="more", id=f"more.{f.cell.model}.{f.cell.image}"))
        for f in report.filled
        if f.cell.section == "damage"
    )
    assert len(site_quiz.questions(replace(report, filled=(*report.filled, *again)))) == 4


def test_a_script_of_data_holds_any_text():
    text = site_compare.script("X", {"a": f"{EVIL}</script>\u2028"})
    assert json.loads(text.removeprefix("var X = ").removesuffix(";\n"))["a"] == f"{EVIL}</script>\u2028"
    assert "<" not in text
    assert text.isascii()
