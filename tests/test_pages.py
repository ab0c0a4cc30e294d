import pytest

from reportgen import pages, wall_words, walls
from reportgen.records import Figure, Scale
from tests.site_report import make_report


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return make_report(tmp_path_factory.mktemp("pages"))


@pytest.fixture(scope="module")
def blocks(report):
    return pages.make_blocks(report)


def test_sections_become_blocks_in_the_order_of_the_spec(report, blocks):
    assert [block.section for block in blocks] == [section.id for section in report.spec.sections]
    assert blocks[0].rows == ()
    assert blocks[0].method is None
    assert "<script" not in blocks[0].html


def test_a_row_has_one_slot_per_net_and_rows_go_by_image_then_panel_then_layer(blocks):
    rows = blocks[2].rows
    assert all([slot.model for slot in row.slots] == ["a", "b"] for row in rows)
    assert [row.image for row in rows] == ["cat"] * 12 + ["cup"] * 12
    assert [(row.panel, row.layer) for row in rows[:4]] == [
        ("over", "stage1"),
        ("over", "stage2"),
        ("beside", "stage1"),
        ("beside", "stage2"),
    ]


def test_what_failed_and_what_does_not_apply_keeps_its_place_and_its_reason(blocks):
    slots = {
        (row.image, row.layer): row.slots[1] for row in blocks[2].rows if row.panel == "over" and row.layer == "stage2"
    }
    assert slots["cat", "stage2"].status == "failed"
    assert slots["cat", "stage2"].reason.startswith("It broke")
    assert slots["cup", "stage2"].status == "not_applicable"
    assert slots["cup", "stage2"].figure is None


def test_every_figure_has_its_files_and_every_file_its_figure(report, blocks):
    named = {file for row in blocks[2].rows for slot in row.slots if slot.figure for file in slot.figure.files}
    assert named == set(blocks[2].files)
    for record, blob in blocks[2].files.values():
        assert report.store.read(record, blob).startswith(b"RIFF")


def test_badges_say_where_a_net_has_no_class_for_a_photo(report):
    assert [pages.outside(report, "cat", model) for model in "ab"] == [False, True]
    assert not pages.outside(report, "cup", "b")


def test_scales_are_said_in_plain_words():
    assert wall_words.scale_words(Scale("own", 0.0, 0.31)) == "0 to 0.310, own scale"
    assert wall_words.scale_words(Scale("shared", -2.0, 2.0)) == "−2 to 2, shared scale"
    assert wall_words.scale_words(Scale("tile", None, None)) == "every tile on its own scale"
    assert wall_words.scale_words(Scale("none", None, None)) == ""


def test_the_title_of_a_wall_is_what_its_figures_titles_share():
    def title(*titles):
        return wall_words.general(
            [Figure("f", "s", (), "p", one, "", "", Scale("none", None, None), ()) for one in titles]
        )

    assert title("Where stage1 is active", "Where stage2 is active") == "Where … is active"
    assert title("Channels of stage1", "Channels of stage2") == "Channels"
    assert title("VGG in numbers", "AlexNet in numbers") == ""
    assert title("Same", "Same") == "Same"
    assert title() == ""


def test_the_row_that_stands_for_a_section_is_the_one_where_most_nets_have_something(blocks):
    row = walls.telling(blocks[2], "cat")
    assert (row.panel, row.layer) == ("over", "stage1")
    assert walls.telling(blocks[0]) is None


def test_a_joint_row_shares_one_figure_and_keeps_the_reasons_of_those_who_lack(tmp_path):
    block = {block.section: block for block in pages.make_blocks(make_report(tmp_path, more=True))}["ways"]
    rows = {(row.image, row.layer): row for row in block.rows if row.panel == "distance"}
    both, one = rows["cat", "stage1"], rows["cat", "stage2"]
    assert both.joint is not None
    assert [slot.figure for slot in both.slots] == [both.joint, both.joint]
    assert both.joint.id == "ways.joint.cat.stage1.distance"
    assert one.slots[1].figure is None
    assert one.slots[1].reason.startswith("It broke")
    assert all(row.joint is None for row in block.rows if row.panel != "distance")


def test_names_of_rows_are_said_briefly():
    assert wall_words.told("from the top", ("unit 5", "unit 17")) == "from the top: unit 5, 17"
    assert wall_words.told("from the top", ("noise (cat 3%)", "blur")) == "from the top: noise (cat 3%), blur"
    assert wall_words.told("from the top", ("unit 5",)) == "from the top: unit 5"
    assert wall_words.told("from the top", ("a, b", "c")) == "from the top: a, b; c"
    assert wall_words.told("from the top", ()) == ""
