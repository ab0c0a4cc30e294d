"""Damaged pictures are what slow loops, SciPy and binomial bounds say; descriptions have one form and clear errors."""

import numpy as np
import pytest
from PIL import Image

from reportgen import corrupt, images
from reportgen.corrupt import Corruption, canonical, parse
from reportgen.errors import MethodError
from reportgen.records import Preprocess

PREPROCESS = Preprocess(72, 64, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def picture(height=21, width=34, seed=0):
    return np.random.default_rng(seed).random((height, width, 3))


def rng(seed=0):
    return np.random.default_rng(seed)


def blurred_by_loops(image, kernel, sigma):
    """The definition: one two-dimensional kernel, normalised as a whole, the border mirrored by index arithmetic."""
    half, (height, width) = kernel // 2, image.shape[:2]
    weights = [
        (i, j, np.exp(-(i * i + j * j) / (2 * sigma**2)))
        for i in range(-half, half + 1)
        for j in range(-half, half + 1)
    ]
    total = sum(weight for _, _, weight in weights)
    out = np.zeros_like(image)
    for y in range(height):
        for x in range(width):
            for i, j, weight in weights:
                row, column = abs(y + i), abs(x + j)
                row = 2 * (height - 1) - row if row >= height else row
                column = 2 * (width - 1) - column if column >= width else column
                out[y, x] += weight / total * image[row, column]
    return out


@pytest.mark.parametrize(("kernel", "sigma"), [(3, 0.8), (5, 1.1), (7, 0.5)])
def test_blur_equals_a_loop_over_pixels_and_kernel_and_a_convolution_of_scipy(kernel, sigma):
    from scipy import ndimage

    image = picture()
    found = corrupt.gaussian_blur(image, kernel, sigma)
    np.testing.assert_allclose(found, blurred_by_loops(image, kernel, sigma), atol=1e-12)
    by_scipy = ndimage.gaussian_filter(image, sigma, mode="mirror", radius=kernel // 2, axes=(0, 1))
    np.testing.assert_allclose(found, by_scipy, atol=1e-12)


def test_a_blur_keeps_plain_pictures_and_blurs_pictures_smaller_than_its_kernel():
    np.testing.assert_allclose(corrupt.gaussian_blur(np.full((9, 5, 3), 0.3), 17, 5.6), 0.3)
    assert corrupt.gaussian_blur(picture(2, 1), 5, 1.0).shape == (2, 1, 3)


def test_grey_is_the_luma_that_pillow_has_and_the_same_in_all_channels():
    pixels = np.random.default_rng(1).integers(0, 256, (16, 9, 3), dtype=np.uint8)
    found = corrupt.grey(pixels.astype(np.float32) / 255)
    assert found.dtype == np.float32
    assert np.array_equal(found[:, :, 0], found[:, :, 1])
    assert np.array_equal(found[:, :, 0], found[:, :, 2])
    by_pillow = np.asarray(Image.fromarray(pixels).convert("L")).astype(float)
    assert abs(found[:, :, 0] * 255 - by_pillow).max() <= 0.51  # Pillow rounds to whole levels
    assert corrupt.grey(np.array([[[1.0, 0.0, 0.0]]]))[0, 0, 1] == pytest.approx(0.299)


@pytest.mark.parametrize("order", corrupt.ORDERS)
def test_channel_orders_put_the_channel_of_each_letter_where_it_stands(order):
    image = picture()
    found = corrupt.corrupt(image, parse(order), rng())
    for place, letter in enumerate(order):
        assert np.array_equal(found[:, :, place], image[:, :, {"r": 0, "g": 1, "b": 2}[letter]])


@pytest.mark.parametrize("share", [0.0005, 0.005, 0.1])
def test_salt_and_pepper_hits_the_share_of_pixels_half_black_half_white_in_all_channels(share):
    from scipy.stats import binom

    image = np.full((512, 512, 3), 0.5)
    found = corrupt.salt_and_pepper(image, share, rng(3))
    hit = (found != image).any(axis=2)
    assert (found[hit] == found[hit][:, :1]).all()
    assert set(np.unique(found)) == {0.0, 0.5, 1.0}
    low, high = binom.interval(0.9999, hit.size, share)
    assert low <= hit.sum() <= high
    low, high = binom.interval(0.9999, int(hit.sum()), 0.5)
    assert low <= (found[hit][:, 0] == 1).sum() <= high


def test_more_salt_and_pepper_from_the_same_seed_damages_the_same_pixels_alike_and_more():
    image = np.full((64, 64, 3), 0.5)
    little, much = (corrupt.salt_and_pepper(image, share, rng(5)) for share in (0.02, 0.2))
    hit = little != 0.5
    assert np.array_equal(little[hit], much[hit])
    assert (much != 0.5).sum() > 5 * hit.sum()
    assert np.array_equal(corrupt.salt_and_pepper(image, 0, rng()), image)
    assert set(np.unique(corrupt.salt_and_pepper(image, 1, rng()))) == {0.0, 1.0}


@pytest.mark.parametrize("name", ["grey", "bgr", "blur:3:0.8", "salt_pepper:0.5"])
def test_the_given_picture_is_left_as_it_was(name):
    image = picture()
    before = image.copy()
    found = corrupt.corrupt(image, parse(name), rng())
    assert np.array_equal(image, before)
    assert not np.shares_memory(found, image)
    assert found.shape == image.shape


def test_descriptions_have_one_form():
    given = [
        " Grey",
        {"blur": {"kernel": 3, "sigma": 0.80}},
        "blur:3",
        {"blur": [5, 1.1]},
        "blur:5:1.10",
        {"salt_pepper": {"lambda": 5e-3}},
        {"salt_pepper": 0.005},
        {"brg": None},
    ]
    assert canonical(given) == ("grey", "blur:3:0.8", "blur:5:1.1", "salt_pepper:0.005", "brg")
    assert canonical("bgr") == ("bgr",)
    assert canonical(canonical(given)) == canonical(given)
    assert parse("blur:5:1.1") == Corruption("blur", kernel=5, sigma=1.1)
    assert parse("blur:5:1.1").words == "blur 5 x 5, sigma 1.1"
    assert parse("salt_pepper:0.0005").words == "salt and pepper, lambda 0.0005"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("blurr:3", "'blurr'.*Did you mean 'blur'"),
        ("gray", "Did you mean 'grey'"),
        ("salt_pepper", "lambda between 0 and 1"),
        ("salt_pepper:1.5", "lambda between 0 and 1"),
        ({"salt_pepper": {"lambda": -0.1}}, "lambda between 0 and 1"),
        ("salt_pepper:nan", "lambda between 0 and 1"),
        ("blur:4:1", "odd kernel"),
        ("blur:1:1", "odd kernel"),
        ("blur:3.5:1", "odd kernel"),
        ("blur", "odd kernel"),
        ("blur:3:0", "sigma above 0"),
        ("blur:3:-1", "sigma above 0"),
        ("blur:3:inf", "sigma above 0"),
        ("blur:3:wide", "sigma above 0"),
        ("grey:3", "takes no parameters"),
        ("blur:3:1:2", "takes kernel and sigma only"),
        ({"blur": {"kernel": 3, "width": 2}}, "takes kernel and sigma only"),
        ({"grey": None, "bgr": None}, "no corruption"),
        (7, "no corruption"),
    ],
)
def test_what_describes_nothing_is_one_clear_sentence_that_names_the_param(given, words):
    with pytest.raises(MethodError, match=words) as error:
        canonical([given], "damage")
    assert str(error.value).startswith("damage: ")
    assert "\n" not in str(error.value)


def test_an_empty_list_and_a_resolution_that_is_none_are_errors():
    with pytest.raises(MethodError, match="empty"):
        canonical([])
    for wrong in (7, 0, True, 5000, "big", 64.0, None):
        with pytest.raises(MethodError, match="8 to 4096 pixels"):
            corrupt.check_resolution(wrong)
    for right in (8, 64, "input", "source"):
        corrupt.check_resolution(right)


def test_at_the_resolution_of_the_input_the_view_itself_is_damaged():
    image = picture(90, 120).astype(np.float32)
    seen = images.view(image, PREPROCESS)
    untouched, mixed = corrupt.views(image, PREPROCESS, [None, parse("brg")], "input", 0)
    assert np.array_equal(untouched, seen)
    assert np.array_equal(mixed, seen[:, :, [2, 0, 1]])


def test_at_a_smaller_resolution_the_noise_is_as_coarse_as_its_pixels_and_the_untouched_goes_the_same_way():
    image = np.full((90, 120, 3), 128 / 255, dtype=np.float32)
    noise = Corruption("salt_pepper", share=0.02)
    untouched, noisy = corrupt.views(image, PREPROCESS, [None, noise], 16, 4)
    assert untouched.shape == noisy.shape == (64, 64, 3)
    assert noisy.dtype == np.float32
    np.testing.assert_allclose(untouched, 128 / 255, atol=1e-6)
    damaged = corrupt.salt_and_pepper(np.full((16, 16, 3), 128 / 255, dtype=np.float32), 0.02, rng(4))
    # Pillow's bilinear resizing of each channel, computed in another way: on whole levels
    levels = np.rint(damaged[:, :, 0] * 255).astype(np.uint8)
    by_pillow = np.asarray(Image.fromarray(levels).resize((64, 64), Image.Resampling.BILINEAR)) / 255
    assert (damaged != damaged[0, 0]).any()
    assert abs(noisy[:, :, 0] - by_pillow).max() < 1.5 / 255


def test_at_the_resolution_of_the_source_the_picture_is_damaged_before_the_net_sees_it():
    image = picture(90, 120).astype(np.float32)
    (found,) = corrupt.views(image, PREPROCESS, [parse("salt_pepper:0.1")], "source", 9)
    expected = images.view(corrupt.salt_and_pepper(image, 0.1, rng(9)), PREPROCESS)
    assert np.array_equal(found, expected)
    assert corrupt.resolution_words("source", PREPROCESS, image) == "the source's 120 x 90 pixels"
    assert corrupt.resolution_words("input", PREPROCESS, image) == "64 x 64 pixels"
    assert corrupt.resolution_words(32, PREPROCESS) == "32 x 32 pixels"
