"""Maps of points: every point where it belongs, in its class's colour and shape, the same in all nets of a row."""

import numpy as np
import pytest

from reportgen import embedding, figures, palettes, poster_tiles, scatter
from reportgen.errors import RenderError
from reportgen.records import Panel, Scale

NONE = Scale("none", None, None)
CORNERS = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])


def panel(values=CORNERS, groups=(0, 1, 2, 3), categories=("cat", "dog", "golf_ball, ball", "tench"), **changes):
    groups = np.array(groups)
    return Panel("p", "scatter", "title", "caption", "alt", values, groups=groups, categories=categories, **changes)


def drawn(asked, width=448):
    return figures.draw(asked, photo=None, scale=figures.scales([asked])[0], width=width)


def count(pixels, group):
    """How many pixels have exactly a class's colour."""
    color = np.round(np.array(palettes.rgb(embedding.color(group))) * 255)
    return int((pixels == color).all(axis=-1).sum())


def spread(groups, seed=0):
    return np.random.default_rng(seed).normal(size=(len(groups), 2))


def test_points_lie_in_their_corner_with_y_upwards_and_one_scale_for_both_axes():
    wide = np.repeat(CORNERS * (2, 1), 9, axis=0)
    wide += 0.2 * np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1]), axis=-1).reshape(-1, 2)[np.tile(np.arange(9), 4)]
    pixels = drawn(panel(wide, np.repeat(np.arange(4), 9)))[:448]
    quarters = {0: pixels[224:, :224], 1: pixels[224:, 224:], 2: pixels[:224, 224:], 3: pixels[:224, :224]}
    for group, quarter in quarters.items():
        assert count(quarter, group) > 50
        assert count(pixels, group) == count(quarter, group)
    used = np.argwhere((pixels < 255).any(axis=2))
    height, width = np.ptp(used, axis=0)
    assert width / height == pytest.approx(4.4 / 2.4, rel=0.05)


def test_twice_the_same_bytes_at_the_width_asked_for_and_the_aspect_that_is_told():
    asked = panel(spread(range(60)), np.arange(60) % 4)
    for width in (300, 448, 1700):
        one, two = drawn(asked, width), drawn(asked, width)
        assert one.tobytes() == two.tobytes()
        assert one.shape[1] == width
        assert one.shape[0] / width == pytest.approx(scatter.aspect(asked), abs=0.01)
    assert poster_tiles.aspect(asked) == scatter.aspect(asked)


def test_a_class_looks_the_same_in_every_net_and_the_legend_has_all_names():
    one = panel(spread(range(40)), np.arange(40) % 4)
    other = panel(spread(range(40), 1), np.where(np.arange(40) % 4 == 1, 0, np.arange(40) % 4))  # no dogs
    first, second = drawn(one), drawn(other)
    assert first.shape == second.shape
    assert (first[448:] == second[448:]).all()
    assert count(second[:448], 1) == 0
    assert count(second[448:], 1) > 10


def test_no_two_classes_share_colour_and_shape():
    looks = {(embedding.color(i), scatter.SHAPES[i % len(scatter.SHAPES)]) for i in range(embedding.MOST_NAMES)}
    assert len(looks) == embedding.MOST_NAMES
    assert {embedding.color(i) for i in range(11)} == set(palettes.CATEGORY_COLORS)


def test_no_class_hides_another_where_they_mix():
    groups = np.repeat([0, 1], 2000)  # one after the other
    pixels = drawn(panel(spread(groups), groups, ("a", "b")))[:448]
    assert 0.7 < count(pixels, 0) / count(pixels, 1) < 1.5


def test_classes_beyond_the_legend_and_points_without_a_class_are_grey():
    many = tuple(f"class {i}" for i in range(500))
    pixels = drawn(panel(spread(many), np.arange(500), many))
    assert count(pixels, 499) > 500
    assert embedding.color(499) == embedding.color(-1) == palettes.OTHERS
    legend = scatter._entries(panel(spread(many), np.arange(500), many), np.arange(500))
    assert legend[-1] == (embedding.MOST_NAMES, "476 more")
    assert scatter._entries(panel(groups=(0, 1, -1, 2)), np.array([0, 1, -1, 2]))[-1] == (-1, "class unknown")
    bare = drawn(Panel("p", "scatter", "t", "c", "a", values=CORNERS))
    assert bare.shape == (448, 448, 3)
    assert count(bare, -1) > 10


def test_numbers_of_classes_never_lie_over_each_other():
    places = np.array([[10.0, 10.0], [10.0, 10.0], [11.0, 10.0], [60.0, 60.0]])
    found = scatter._apart(places, 8)
    gaps = np.linalg.norm(found[:, None] - found[None], axis=2)[np.triu_indices(4, 1)]
    assert gaps.min() > 7.9
    assert np.abs(found - places)[3].max() < 0.01
    assert np.abs(found - places).max() < 12


def test_one_point_and_equal_points_are_drawn():
    assert drawn(panel(np.zeros((1, 2)), (0,), ("a",))).shape[1] == 448
    assert drawn(panel(np.zeros((4, 2)))).shape[1] == 448


def test_values_that_do_not_fit_are_an_error():
    for wrong in (
        panel(np.zeros((4, 3))),
        panel(np.full((4, 2), np.nan)),
        panel(groups=(0, 1)),
        panel(groups=(0, 1, 2, 4)),
        panel(np.zeros((0, 2)), ()),
    ):
        with pytest.raises(RenderError, match="scatter"):
            drawn(wrong)
    assert figures.scales([panel()]) == [NONE]
