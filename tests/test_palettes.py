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
