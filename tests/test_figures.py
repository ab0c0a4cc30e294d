import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from reportgen import categories, charts, curves, encode, figures, palettes, rows, tiles
from reportgen.errors import RenderError
from reportgen.pages import model_colors
from reportgen.records import Panel, Scale
from reportgen.rows import figures_of_row
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
    assert drawn[0].shape == (296, 448, 3)
    assert (drawn[0] == drawn[1]).all()


def names_of(values, **changes):
    return panel("heatmap", np.array(values), categories=("cat", "dog", "cup, mug"), **changes)


def rgb(color):
    return tuple(int(color[i : i + 2], 16) for i in (1, 3, 5))


def test_a_name_has_one_color_in_all_nets_of_a_row_and_the_largest_come_first():
    one, two = names_of([[1, 1], [1, 0]]), names_of([[0, 2], [1, 1]])
    colors = categories.colors_of_row([one, two])
    assert colors == dict(zip(("dog", "cat", "cup, mug"), palettes.CATEGORY_COLORS, strict=False))
    drawn = [figures.draw(p, photo=None, scale=NONE, width=80, names=colors) for p in (one, two)]
    assert tuple(drawn[0][0, 0]) == tuple(drawn[1][79, 0]) == rgb(colors["dog"])
    assert tuple(drawn[0][79, 79]) == tuple(drawn[1][0, 0]) == rgb(colors["cat"])
    assert tuple(drawn[1][0, 79]) == rgb(colors["cup, mug"])


def test_a_map_of_names_has_its_legend_below_with_the_largest_first():
    asked = names_of([[1, 1, 2], [1, 1, 0], [1, 0, np.nan]])
    colors = categories.colors_of_row([asked])
    assert [text for _, text in categories.legend(asked, colors)] == ["dog", "cat", "cup"]
    drawn = figures.draw(asked, photo=None, scale=NONE, width=447)
    assert drawn.shape[1] == 447
    assert (drawn[298:447, 298:447] == 255).all()  # no name there
    for color in colors.values():  # a swatch of at least 15 pixels each
        assert (drawn[447:] == rgb(color)).all(axis=2).sum() >= 15**2


def test_more_names_than_colors_are_grey_and_counted():
    many = panel("heatmap", np.arange(16).reshape(4, 4), categories=tuple(f"name {i:02}" for i in range(16)))
    colors = categories.colors_of_row([many])
    assert sum(color == palettes.OTHERS for color in colors.values()) == 16 - len(palettes.CATEGORY_COLORS)
    entries = categories.legend(many, colors)
    assert [text for _, text in entries] == [*(f"name {i:02}" for i in range(6)), "10 more"]
    assert entries[-1][0] == palettes.OTHERS


def test_a_map_of_names_over_the_photo_shows_both_and_its_legend_the_mixture():
    photo = np.full((8, 8, 3), 128 / 255, dtype=np.float32)
    asked = names_of([[1, 1], [1, 1]], photo="under")
    drawn = figures.draw(asked, photo=photo, scale=NONE, width=80)
    mixed = np.round(np.array(rgb(palettes.CATEGORY_COLORS[0])) * tiles.HEAT + 128 * (1 - tiles.HEAT))
    assert (drawn[:80] == mixed).all()
    assert categories.legend(asked, categories.colors_of_row([asked]))[0][0] == "#" + bytes(mixed.astype("u1")).hex()


@pytest.mark.parametrize("value", [3, 0.5])
def test_a_value_that_is_no_name_is_an_error(value):
    with pytest.raises(RenderError, match="whole numbers below 3"):
        figures.draw(names_of([[0, value]]), photo=None, scale=NONE, width=8)


def curve(level, **changes):
    return panel("curves", np.full((1, 20), float(level)), joint=True, scale="shared", columns=("shift",), **changes)


def test_a_joint_plot_draws_every_net_in_its_own_color_at_its_own_height():
    panels, colors = [curve(1), curve(2), curve(3)], {m: palettes.model_color(i) for i, m in enumerate("abc")}
    series = figures.joint_series(panels, list("abc"), {m: f"Net {m}" for m in "abc"}, colors)
    scale = figures.joint_scale(panels)
    assert scale == Scale("shared", 0, 3)
    drawn = curves.joint(series, scale, figures.JOINT_WIDTH)
    assert drawn.shape[1] == figures.JOINT_WIDTH >= 900
    heights = []
    for color in colors.values():
        line = (drawn == rgb(color)).all(axis=2)
        rows = np.flatnonzero(line[:, 400:].sum(axis=1) > 300)  # right of the legend
        assert rows.size, color
        heights.append(rows.mean())
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2], abs=2)
    assert heights[0] > heights[1] > heights[2]


def test_a_joint_plot_tells_lines_by_dash_where_nets_have_several():
    two = replace(curve(1), values=np.stack([np.full(20, 1.0), np.full(20, 2.0)]), row_labels=("here", "there"))
    series = figures.joint_series([two], ["a"], {"a": "Net"}, {"a": "#0072B2"})
    drawn = curves.joint(series, figures.joint_scale([two]), 1120)
    blue = (drawn[:, 400:] == rgb("#0072B2")).all(axis=2).sum(axis=1)
    solid, dashed = np.flatnonzero(blue > 600), np.flatnonzero((blue > 200) & (blue < 600))
    assert dashed.max() < solid.min()  # the second line lies higher


def test_nothing_of_a_plot_is_cut_off():
    long = curve(1e-7, unit="mean squared distance of the features", row_labels=("a_rather_long_name",))
    series = figures.joint_series([long] * 4, list("abcd"), {m: f"A net with a long name {m}" for m in "abcd"},
                                  {m: palettes.model_color(i) for i, m in enumerate("abcd")})  # fmt: skip
    for drawn in (curves.joint(series, NONE, 1120), figures.draw(long, photo=None, scale=NONE, width=448)):
        edge = np.concatenate([drawn[0], drawn[-1], drawn[:, 0], drawn[:, -1]])
        assert (edge == 255).all()


def test_only_curves_can_be_joint_and_points_must_fit():
    with pytest.raises(RenderError, match="cannot be joint"):
        figures.joint_series([panel("bars", np.ones(2))], ["a"], {"a": "A"}, {"a": "#000000"})
    with pytest.raises(RenderError, match="lines x points"):
        figures.draw(replace(curve(1), x=np.arange(3)), photo=None, scale=NONE, width=100)


def test_plain_pictures_of_a_sheet_are_drawn_as_they_are():
    values = np.random.default_rng(0).random((2, 3, 3, 8, 8))
    values[1, 2] = np.nan
    drawn = figures.draw(panel("grid", values, scale="none"), photo=None, scale=NONE, width=28)
    assert drawn.shape == (18, 28, 3)
    assert (drawn[:8, 10:18] == np.round(values[0, 1].transpose(1, 2, 0) * 255)).all()
    assert (drawn[10:, 20:] == 255).all()


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
    first = figures_of_row(report.store, METHODS["every"], cells, **draw)
    monkeypatch.setattr(rows, "draw", lambda *_, **__: pytest.fail("drawn again"))
    unread = [replace(f, load=lambda: pytest.fail("read again")) for f in cells]
    again = figures_of_row(report.store, METHODS["every"], unread, **draw)
    assert [one.figure for one in again] == [one.figure for one in first]
    assert len(first) == 12
    shared = [one.figure.scale for one in first if one.figure.panel == "over"]
    assert shared[0] == shared[1]


def test_what_is_shown_beside_a_cell_reaches_its_panels_and_draws_again_when_it_changes(tmp_path):
    report = make_report(tmp_path, more=True)
    cells = [f for f in report.filled if f.cell.section == "ways" and f.cell.image == "cup" and f.status == "ok"]
    first = [f for f in cells if f.cell.layer == "stage1"]
    draw = {"photo": lambda model: report.photo("cup", model), "colors": model_colors(report)}

    def drawn(known):
        return [one.figure for one in figures_of_row(report.store, METHODS["ways"], first, **draw, known=known)]

    beside = report.unlisted[0]
    names = [figure.panel for figure in drawn(report.known)]
    assert names.count("besides") == 2
    assert "besides" not in {figure.panel for figure in drawn({})}
    failed = replace(beside, status="failed")
    assert "besides" not in {figure.panel for figure in drawn({beside.cell.key: failed})}


def test_changed_limits_colors_or_method_versions_draw_again(tmp_path):
    report = make_report(tmp_path)
    cells = [f for f in report.filled if f.cell.image == "cat" and f.cell.layer == "stage1"]
    draw = {"photo": lambda model: report.photo("cat", model), "colors": model_colors(report)}
    figures_of_row(report.store, METHODS["every"], cells, **draw)
    count = len(list(report.store.records()))
    newer = replace(METHODS["every"], version=2)
    figures_of_row(report.store, newer, cells, **draw)
    figures_of_row(report.store, newer, cells[:1], **draw)
    figures_of_row(report.store, newer, cells, **draw | {"colors": {"a": "#000000", "b": "#111111"}})
    assert len(list(report.store.records())) == count + 3
