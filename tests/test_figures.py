import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from reportgen import charts, encode, figures, palettes, tiles
from reportgen.errors import RenderError
from reportgen.pages import model_colors
from reportgen.records import Panel, Scale
from tests.site_report import METHODS, make_report

NONE = Scale("none", None, None)
TILE = Scale("tile", None, None)


def panel(kind, values=None, **changes):
    return Panel("p", kind, "title", "caption", "alt", values=values, **changes)


def test_a_small_map_is_enlarged_by_a_whole_number_without_smoothing():
    values = np.arange(49.0).reshape(7, 7)
    drawn = figures.draw(panel("heatmap", values), photo=None, scale=Scale("own", 0, 48), width=100)
    assert drawn.shape == (105, 105, 3)  # the first whole number that reaches the width
    expected = palettes.colorize(values, 0, 48, palettes.colormap(palettes.ONE_SIDED))
    assert (drawn.reshape(7, 15, 7, 15, 3) == expected[:, None, :, None]).all()


def test_a_signed_map_shows_zero_as_white_and_a_signed_tile_as_grey():
    drawn = figures.draw(
        panel("heatmap", np.zeros((2, 2)), signed=True), photo=None, scale=Scale("own", -1, 1), width=8
    )
    assert (drawn >= 254).all()
    sheet = figures.draw(
        panel("grid", np.zeros((1, 1, 3, 4, 4)), signed=True, scale="tile"), photo=None, scale=TILE,
        width=8,
    )  # fmt: skip
    assert (sheet == 128).all()


def test_every_tile_has_its_own_scale_and_missing_tiles_stay_empty():
    values = np.stack(
        [np.linspace(0, 1, 16).reshape(4, 4), np.linspace(0, 9, 16).reshape(4, 4), np.full((4, 4), np.nan)]
    )
    drawn = figures.draw(panel("grid", values[None], scale="tile"), photo=None, scale=TILE, width=28)
    assert drawn.shape == (8, 28, 3)  # 3 tiles of 8 pixels, 2 between them
    assert (drawn[:, :8] == drawn[:, 10:18]).all()
    assert (drawn[:, 20:] == 255).all()
    assert (drawn[:, 8:10] == 255).all()


def test_a_sheet_with_boxes_begins_with_the_photo_and_grey_where_the_box_leaves_it():
    photo = np.zeros((16, 16, 3), dtype=np.float32)
    photo[:8] = 1.0
    values = np.ones((1, 1, 8, 8))
    drawn = figures.draw(
        panel("grid", values, boxes=np.array([[-4, 0, 4, 8]])), photo=photo, scale=Scale("own", 0, 1), width=18
    )
    assert drawn.shape == (8, 18, 3)
    assert (drawn[:4, :8] == 128).all()
    assert (drawn[4:, :8] == 255).all()


def test_a_map_over_the_photo_mixes_grey_photo_and_color():
    photo = np.full((8, 8, 3), 0.5, dtype=np.float32)
    drawn = figures.draw(
        panel("heatmap", np.ones((2, 2)), photo="under"), photo=photo, scale=Scale("own", 0, 1), width=8
    )
    top = palettes.colormap(palettes.ONE_SIDED)[255]
    assert (drawn == np.round(top * tiles.HEAT + 128 * (1 - tiles.HEAT))).all()


def test_limits_are_the_99th_percentile_or_the_largest_where_nearly_all_is_zero():
    assert tiles.limit(np.arange(101.0)) == 99
    assert tiles.limit(-np.arange(101.0)) == 99
    sparse = np.zeros(1000)
    sparse[0] = 4
    assert tiles.limit(sparse) == 4
    assert tiles.limit(np.zeros(5)) == 0
    assert tiles.limit(np.full(5, np.nan)) == 0


def test_a_row_shares_limits_only_where_its_panels_say_so():
    one, two = np.full((4, 4), 2.0), np.full((4, 4), 6.0)
    shared = figures.scales([panel("heatmap", one, scale="shared"), panel("heatmap", two, scale="shared")])
    assert shared == [Scale("shared", 0, 6), Scale("shared", 0, 6)]
    own = figures.scales([panel("heatmap", one), panel("heatmap", two, signed=True)])
    assert own == [Scale("own", 0, 2), Scale("own", -6, 6)]
    fixed = panel("bars", np.ones(2), scale="fixed", limits=(0, 1))
    assert figures.scales([fixed, replace(fixed, scale="tile"), replace(fixed, scale="none")]) == [
        Scale("fixed", 0, 1),
        Scale("tile", None, None),
        NONE,
    ]
    with pytest.raises(RenderError, match="fixed scale"):
        figures.scales([replace(fixed, limits=None)])


@pytest.mark.parametrize("values", [np.zeros((3, 3)), np.full((3, 3), -2.0), np.full((3, 3), np.nan), np.ones((1, 1))])
@pytest.mark.parametrize("signed", [True, False])
def test_constant_and_empty_maps_are_drawn_without_warnings(values, signed):
    asked = panel("heatmap", values, signed=signed)
    assert figures.draw(asked, photo=None, scale=figures.scales([asked])[0], width=6).shape == (6, 6, 3)


def test_bars_end_where_their_number_says_and_long_lists_say_what_they_leave_out():
    asked = panel("bars", np.array([0.5, 1.0]), row_labels=("a", "b"))
    drawn = charts.bars(asked, Scale("fixed", 0, 1), 672, "#0072B2")
    blue = (drawn == (0, 0x72, 0xB2)).all(axis=2)
    first, second = blue[: drawn.shape[0] // 2].any(axis=0).sum(), blue[drawn.shape[0] // 2 :].any(axis=0).sum()
    assert second == pytest.approx(first / 2, abs=2)  # the larger one is on top
    many = charts.bars(panel("bars", np.arange(40.0)), NONE, 336)
    assert many.shape[0] == (charts.MOST_BARS + 1) * charts.LINE


def test_numbers_are_written_for_people():
    said = [charts.number(x) for x in (0, 1, 2012, 12345.6, 0.123456, 0.0123, -3.14159, 42.42, 1e-9, float("nan"))]
    assert said == ["0", "1", "2012", "12,346", "0.123", "0.0123", "−3.14", "42.4", "1.0e−9", "–"]


def test_a_kind_that_cannot_be_drawn_and_values_of_the_wrong_shape_are_errors_that_name_the_panel():
    with pytest.raises(RenderError, match=r"'p'.*'table'"):
        figures.draw(panel("table"), photo=None, scale=NONE, width=8)
    with pytest.raises(RenderError, match="'p'"):
        figures.draw(panel("heatmap", np.zeros(3)), photo=None, scale=NONE, width=8)
    with pytest.raises(RenderError, match="'p'"):
        figures.draw(panel("heatmap", np.zeros((0, 3))), photo=None, scale=NONE, width=8)


def test_curves_fill_their_width_twice_alike():
    asked = panel("curves", np.array([[1.0, 3.0, 2.0], [0.0, 1.0, 4.0]]), row_labels=("a", "b"), unit="loss")
    drawn = [figures.draw(asked, photo=None, scale=NONE, width=448) for _ in range(2)]
    assert drawn[0].shape == (278, 448, 3)
    assert (drawn[0] == drawn[1]).all()


def test_few_colors_are_kept_exactly_and_no_file_says_who_made_it():
    pixels = tiles.enlarge(
        palettes.colorize(np.random.default_rng(0).random((7, 7)), 0, 1, palettes.colormap("viridis")), 70
    )
    data = encode.webp(pixels)
    with Image.open(io.BytesIO(data)) as opened:
        assert (np.asarray(opened.convert("RGB")) == pixels).all()
        assert not opened.info.get("exif")
    assert data == encode.webp(pixels)
    with Image.open(io.BytesIO(encode.thumbnail(np.zeros((100, 448, 3), dtype=np.uint8)))) as opened:
        assert opened.size == (224, 50)


def test_a_row_is_drawn_once_and_its_words_do_not_need_the_arrays(tmp_path, monkeypatch):
    report = make_report(tmp_path)
    cells = [f for f in report.filled if f.cell.image == "cat" and f.cell.layer == "stage1"]
    draw = {"photo": lambda model: report.photo("cat", model), "colors": model_colors(report)}
    first = figures.figures_of_row(report.store, METHODS["every"], cells, **draw)
    monkeypatch.setattr(figures, "draw", lambda *_, **__: pytest.fail("drawn again"))
    unread = [replace(f, load=lambda: pytest.fail("read again")) for f in cells]
    again = figures.figures_of_row(report.store, METHODS["every"], unread, **draw)
    assert [one.figure for one in again] == [one.figure for one in first]
    assert len(first) == 12
    shared = [one.figure.scale for one in first if one.figure.panel == "over"]
    assert shared[0] == shared[1]


def test_changed_limits_colors_or_method_versions_draw_again(tmp_path):
    report = make_report(tmp_path)
    cells = [f for f in report.filled if f.cell.image == "cat" and f.cell.layer == "stage1"]
    draw = {"photo": lambda model: report.photo("cat", model), "colors": model_colors(report)}
    figures.figures_of_row(report.store, METHODS["every"], cells, **draw)
    count = len(list(report.store.records()))
    newer = replace(METHODS["every"], version=2)
    figures.figures_of_row(report.store, newer, cells, **draw)
    figures.figures_of_row(report.store, newer, cells[:1], **draw)
    figures.figures_of_row(report.store, newer, cells, **draw | {"colors": {"a": "#000000", "b": "#111111"}})
    assert len(list(report.store.records())) == count + 3
