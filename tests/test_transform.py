"""Pictures are moved, enlarged and turned as slices, rot90, a slow loop and torch's grid sampling have it."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from reportgen.transform import KINDS, as_input, resized, rotated, scaled, translated
from tests import tiny

FILLS = ("reflect", "edge", (0.2, 0.4, 0.6))


def picture(height=12, width=12, seed=0):
    return np.random.default_rng(seed).random((height, width, 3))


def padded(image, by, fill):
    if isinstance(fill, str):
        return np.pad(image, ((by, by), (by, by), (0, 0)), mode=fill)
    out = np.empty((image.shape[0] + 2 * by, image.shape[1] + 2 * by, 3))
    out[:] = fill
    out[by:-by, by:-by] = image
    return out


def by_loops(image, source, fill):
    """Bilinear interpolation written out, pixel by pixel, in the picture with a wide border around it."""
    height, width = image.shape[:2]
    around = 20
    wide = padded(image, around, fill)
    out = np.zeros_like(image)
    for y in range(height):
        for x in range(width):
            v, u = source(y - (height - 1) / 2, x - (width - 1) / 2)
            v, u = v + (height - 1) / 2 + around, u + (width - 1) / 2 + around
            i, j = math.floor(v), math.floor(u)
            for k in (0, 1):
                for m in (0, 1):
                    out[y, x] += (1 - abs(v - i - k)) * (1 - abs(u - j - m)) * wide[i + k, j + m]
    return out


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize(("down", "right"), [(0, 0), (3, 0), (-4, 0), (2, -5)])
def test_whole_pixels_are_moved_exactly(down, right, fill):
    image = picture(9, 14)
    wide = padded(image, 6, fill)
    expected = wide[6 - down : 6 - down + 9, 6 - right : 6 - right + 14]
    assert np.array_equal(translated(image, down, right, fill), expected)


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("factor", [1.0, 1.05, 1.8, 0.93, 3.0])
def test_scaling_equals_a_slow_bilinear_loop(factor, fill):
    image = picture(12, 9)
    found = scaled(image, factor, fill)
    if factor < 1:  # two by two points per pixel, whose mean is taken
        shifts = [(i, j) for i in (-0.25, 0.25) for j in (-0.25, 0.25)]
        parts = [by_loops(image, lambda y, x, i=i, j=j: ((y + i) / factor, (x + j) / factor), fill) for i, j in shifts]
        np.testing.assert_allclose(found, np.mean(parts, axis=0), atol=1e-12)
    else:
        np.testing.assert_allclose(found, by_loops(image, lambda y, x: (y / factor, x / factor), fill), atol=1e-12)
    if factor == 1:
        assert np.array_equal(found, image)


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("side", [11, 12])
def test_quarter_turns_of_a_square_are_exact_and_counter_clockwise(side, fill):
    image = picture(side, side)
    for turns in range(-4, 9):
        assert np.array_equal(rotated(image, 90.0 * turns, fill), np.rot90(image, turns))


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("degrees", [10.0, 45.0, 200.0, -33.0])
def test_other_turns_equal_a_slow_bilinear_loop(degrees, fill):
    image = picture(13, 10)
    a = math.radians(degrees)
    expected = by_loops(
        image, lambda y, x: (math.cos(a) * y + math.sin(a) * x, math.cos(a) * x - math.sin(a) * y), fill
    )
    np.testing.assert_allclose(rotated(image, degrees, fill), expected, atol=1e-12)


@pytest.mark.parametrize(("degrees", "factor"), [(30.0, None), (None, 1.4)])
def test_torchs_grid_sampling_on_black_gives_the_same(degrees, factor):
    image = picture(16, 16)
    a = math.radians(degrees or 0.0)
    turn = [[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0]]
    matrix = torch.tensor(turn, dtype=torch.float64) / (factor or 1.0)
    x = torch.from_numpy(image).permute(2, 0, 1)[None]
    grid = functional.affine_grid(matrix[None], list(x.shape), align_corners=False)
    expected = functional.grid_sample(x, grid, padding_mode="zeros", align_corners=False)[0].permute(1, 2, 0).numpy()
    black = (0.0, 0.0, 0.0)
    found = rotated(image, degrees, black) if degrees is not None else scaled(image, factor, black)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_a_small_scale_keeps_the_mean_of_fine_stripes():
    stripes = np.zeros((64, 64, 3))
    stripes[:, ::2] = 1
    inner = scaled(stripes, 0.25, (0.5, 0.5, 0.5))[26:38, 26:38]
    np.testing.assert_allclose(inner, 0.5, atol=1e-12)


def test_number_type_and_original_are_kept():
    image = picture().astype(np.float32)
    before = image.copy()
    for found in (translated(image, 1.5), scaled(image, 1.2), rotated(image, 20)):
        assert found.dtype == np.float32
        assert found.shape == image.shape
    assert np.array_equal(image, before)


def test_a_kind_knows_where_it_leaves_the_picture_alone_and_moves_by_whole_pixels():
    shift, scale, turn = (KINDS[name] for name in ("translation", "scale", "rotation"))
    image = picture(20, 20)
    for kind, alone in ((shift, 0.0), (scale, 1.0), (turn, 0.0), (turn, 360.0)):
        assert kind.extent(alone) == 0
        assert np.array_equal(kind.apply(image, alone), image)
    assert turn.extent(350.0) == turn.extent(-10.0) == 10
    assert scale.extent(0.5) == scale.extent(2.0) == 1
    assert shift.settled(0.11, 20) == 0.1
    assert np.array_equal(shift.apply(image, 0.11), translated(image, 2))
    assert [len(kind.values) for kind in (shift, scale, turn)] == [25, 17, 36]


def test_resizing_is_pillows_and_the_inputs_are_those_of_the_net():
    from PIL import Image

    from reportgen import images

    image = picture(16, 16).astype(np.float32)
    levels = np.rint(image * 255).astype(np.uint8)
    by_pillow = np.asarray(Image.fromarray(levels).resize((40, 40), Image.Resampling.BILINEAR)) / 255
    assert abs(resized(image, 40) - by_pillow).max() < 1.5 / 255
    assert resized(image, 16) is image
    bicubic = resized(np.kron([[0, 1], [1, 0]], np.ones((8, 8)))[:, :, None].repeat(3, 2), 64, "bicubic")
    assert bicubic.min() >= 0
    assert bicubic.max() <= 1
    net = tiny.tiny_net("plain", "fp64")
    photos = [tiny.photo(1), tiny.photo(2)]
    views = [images.view(photo, net.card.preprocess) for photo in photos]
    assert torch.equal(as_input(net, views), net.preprocess(photos))
