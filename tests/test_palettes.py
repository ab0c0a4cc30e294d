import matplotlib
import numpy as np
import pytest

from reportgen import palettes
from reportgen.errors import RenderError


@pytest.mark.parametrize("name", ["viridis", "cividis"])
def test_tables_are_those_of_matplotlib(name):
    expected = matplotlib.colormaps[name](np.arange(256), bytes=True)[:, :3].astype(int)
    assert np.abs(palettes.colormap(name).astype(int) - expected).max() <= 1


def test_the_signed_map_is_white_in_the_middle_and_equally_light_on_both_sides():
    table = palettes.colormap("signed").astype(float) / 255
    assert (table[127:129] > 0.985).all()
    assert table[0, 2] > table[0, 0]  # blue below zero
    assert table[255, 0] > table[255, 2]  # red above
    linear = np.where(table <= 0.04045, table / 12.92, ((table + 0.055) / 1.055) ** 2.4)
    to_lms = [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
              [0.0883024619, 0.2817188376, 0.6299787005]]  # fmt: skip
    lightness = np.cbrt(linear @ np.array(to_lms).T) @ [0.2104542553, 0.793617785, -0.0040720468]
    assert np.abs(lightness - lightness[::-1]).max() < 0.03


def test_an_unknown_map_names_the_nearest():
    with pytest.raises(RenderError, match="'viridis'"):
        palettes.colormap("virdis")


def test_colors_of_values_meet_the_ends_and_survive_limits_without_a_distance():
    table = palettes.colormap("grey")
    drawn = palettes.colorize(np.array([[-5.0, 0.0, 0.5, 1.0, 9.0, np.nan]]), 0, 1, table)[0, :, 0]
    assert drawn.tolist() == [0, 0, 128, 255, 255, 255]
    assert (palettes.colorize(np.zeros((2, 2)), 0, 0, table) == 0).all()
    assert (palettes.colorize(np.zeros((2, 2)), -0.0, 0.0, table) == 0).all()


def test_every_color_of_a_model_can_be_read_on_both_papers():
    for index in range(12):
        color = palettes.model_color(index)
        for paper in (palettes.PAPER, palettes.PAPER_DARK):
            assert palettes.contrast_ratio(palettes.text_color(color, paper), paper) >= 4.5
    assert palettes.contrast_ratio("#000000", "#ffffff") == pytest.approx(21)
    assert palettes.contrast_ratio(palettes.LINK, palettes.PAPER) >= 4.5
    assert palettes.contrast_ratio(palettes.LINK_DARK, palettes.PAPER_DARK) >= 4.5


def test_flat_colors_can_be_told_apart_by_readers_with_any_color_vision():
    # Machado, Oliveira and Fernandes 2009: full protanopia, deuteranopia, tritanopia, in linear RGB
    visions = np.array([
        np.eye(3),
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
    ])  # fmt: skip
    to_lms = [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
              [0.0883024619, 0.2817188376, 0.6299787005]]  # fmt: skip
    to_lab = [[0.2104542553, 0.793617785, -0.0040720468], [1.9779984951, -2.428592205, 0.4505937099],
              [0.0259040371, 0.7827717662, -0.808675766]]  # fmt: skip
    colors = [*palettes.CATEGORY_COLORS, palettes.OTHERS, palettes.PAPER]
    assert len(set(colors)) == len(colors) >= 12
    coded = np.array([palettes.rgb(color) for color in colors])
    linear = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ visions.transpose(0, 2, 1), 0, 1)  # vision, color, RGB
    lab = np.cbrt(seen @ np.array(to_lms).T) @ np.array(to_lab).T
    apart = np.linalg.norm(lab[:, :, None] - lab[:, None], axis=-1) + np.eye(len(colors))
    assert apart.min() > 0.06  # in OKLab: three times what is just seen side by side


def test_no_two_of_ten_nets_look_alike_on_a_plot():
    assert len({(palettes.model_color(i), palettes.marker(i)) for i in range(10)}) == 10
    assert len({(palettes.model_color(i), palettes.dash(i)) for i in range(10)}) == 10


def test_the_largest_categories_have_colors_of_their_own_and_the_rest_is_grey():
    areas = {f"name {i}": float(i) for i in range(20)}
    colors = palettes.category_colors(areas)
    assert colors["name 19"] == palettes.CATEGORY_COLORS[0]
    assert colors["name 0"] == palettes.OTHERS
    assert len(set(colors.values())) == len(palettes.CATEGORY_COLORS) + 1
    assert palettes.category_colors(dict(reversed(areas.items()))) == colors
