"""Pictures become what torchvision would make of them, whatever the file, and errors name the file."""

import hashlib
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from reportgen import images
from reportgen.errors import ImageError
from reportgen.images import (
    find_image,
    find_images,
    image_digest,
    image_size,
    is_pattern,
    load_image,
    place_in_view,
    view,
    view_mask,
)
from reportgen.records import Preprocess

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def noise(height, width, channels=3, seed=0):
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
@pytest.mark.parametrize(
    ("height", "width", "resize", "size"),
    [
        (300, 451, 256, 224),
        (451, 300, 146, 128),
        (37, 53, 256, 224),
        (128, 128, 128, 128),
        (1, 1, 146, 128),
        (64, 99, 100, 128),
        (301, 217, 224, 229),
        (2, 31, 8, 9),
        (129, 131, 128, 127),
    ],
)
def test_view_equals_torchvision(height, width, resize, size, interpolation):
    from torchvision.transforms import functional

    pixels = noise(height, width)
    mode = functional.InterpolationMode(interpolation)
    expected = functional.resize(Image.fromarray(pixels), resize, interpolation=mode, antialias=True)
    expected = functional.convert_image_dtype(functional.pil_to_tensor(functional.center_crop(expected, size)))
    seen = view(pixels.astype(np.float32) / 255, Preprocess(resize, size, MEAN, STD, interpolation))
    assert seen.dtype == np.float32
    np.testing.assert_array_equal(seen, expected.permute(1, 2, 0).numpy())


@pytest.mark.parametrize(
    ("height", "width", "resize", "size"),
    [(60, 90, 30, 20), (61, 97, 31, 30), (90, 60, 30, 31), (20, 31, 41, 38), (33, 33, 33, 20), (30, 47, 30, 37)],
)
def test_a_dot_is_seen_where_the_place_in_the_view_says(height, width, resize, size):
    preprocess = Preprocess(resize, size, MEAN, STD)
    scale = resize / min(height, width)
    ys, xs = np.mgrid[:size, :size]
    inside = 0
    for x, y in [(width // 2, height // 2), (2, 3), (width - 3, height - 4), (width // 2 + 5, height // 3), (0, 0)]:
        picture = np.zeros((height, width, 3), np.float32)
        picture[y, x] = 1
        place = place_in_view((x, y), (width, height), preprocess)
        seen = view(picture, preprocess)[:, :, 0].astype(float)
        if place is None:
            assert seen.max() < 0.7 * min(1, scale) ** 2, "only the dot's edge may reach into the view"
            continue
        at = [axis for axis in place if 2 * max(1, scale) < axis < size - 2 * max(1, scale)]
        if resize == min(height, width):
            assert seen[round(place[1]), round(place[0])] == 1
            assert place == (round(place[0]), round(place[1]))
        elif len(at) == 2:  # far from the edge of the view: the whole of the dot's blur is in it
            found = (float((xs * seen).sum() / seen.sum()), float((ys * seen).sum() / seen.sum()))
            assert found == pytest.approx(place, abs=0.15)
        inside += 1
    assert inside >= 2


def test_the_edges_of_the_view_are_the_edges_of_what_has_a_place():
    preprocess = Preprocess(8, 4, MEAN, STD)
    places = [place_in_view((x, 4), (8, 8), preprocess) for x in range(8)]
    assert places == [None, None, (0, 2), (1, 2), (2, 2), (3, 2), None, None]
    assert place_in_view((0.5, 0.5), (4, 4), Preprocess(8, 8, MEAN, STD)) == (1.5, 1.5)


@pytest.mark.parametrize(
    ("height", "width", "resize", "size"),
    [(60, 90, 30, 20), (61, 97, 31, 30), (90, 60, 30, 31), (20, 31, 41, 38), (33, 33, 33, 20), (30, 47, 30, 37)],
)
def test_a_mask_is_seen_where_its_picture_is(height, width, resize, size):
    rows, columns = np.mgrid[:height, :width]
    mask = (rows - 0.4 * height) ** 2 + (columns - 0.6 * width) ** 2 < (0.25 * min(height, width)) ** 2
    picture = np.repeat(mask[:, :, None], 3, axis=2).astype(np.float32)
    preprocess = Preprocess(resize, size, MEAN, STD)
    seen, bright = view_mask(mask, preprocess), view(picture, preprocess)
    assert seen.dtype == bool
    assert seen.shape == (size, size)
    assert 0.05 < seen.mean() < 0.5
    assert seen[bright[:, :, 0] == 1].all()
    assert not seen[bright[:, :, 0] == 0].any()
    np.testing.assert_array_equal(seen, view(picture, Preprocess(resize, size, MEAN, STD, "nearest"))[:, :, 0] == 1)


@pytest.mark.parametrize("mask", [np.ones((4, 4)), np.ones((4, 4, 1), bool), np.ones((0, 4), bool)])
def test_arrays_that_are_no_masks_are_refused(mask):
    with pytest.raises(ImageError, match="mask"):
        view_mask(mask, Preprocess(8, 8, MEAN, STD))


def test_a_line_too_narrow_to_resize_is_refused():
    with pytest.raises(ImageError, match="too narrow"):
        view(np.zeros((1, 100_000, 3), np.float32), Preprocess(256, 224, MEAN, STD))


@pytest.mark.parametrize(
    "array", [np.zeros((4, 4)), np.zeros((4, 4, 4)), np.full((4, 4, 3), 255.0), np.full((4, 4, 3), np.nan)]
)
def test_arrays_that_are_no_pictures_are_refused(array):
    with pytest.raises(ImageError, match="picture"):
        view(array, Preprocess(8, 8, MEAN, STD))


def test_an_rgb_file_comes_back_exactly(tmp_path):
    Image.fromarray(noise(5, 7)).save(tmp_path / "a.png")
    picture = load_image(tmp_path / "a.png")
    assert picture.dtype == np.float32
    np.testing.assert_array_equal(np.rint(picture * 255), noise(5, 7))


@pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK", "YCbCr"])
def test_other_colour_modes_are_converted_as_pillow_does(tmp_path, mode):
    image = Image.fromarray(noise(6, 8)).convert(mode)
    path = tmp_path / ("a.tif" if mode in ("CMYK", "YCbCr") else "a.png")
    image.save(path)
    np.testing.assert_array_equal(np.rint(load_image(path) * 255), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_laid_on_white(tmp_path, mode):
    pixels = noise(6, 8, 4)
    pixels[0, 0, 3], pixels[0, 1, 3] = 0, 255
    image = Image.fromarray(pixels).convert(mode)
    image.save(tmp_path / "a.png")
    picture = load_image(tmp_path / "a.png")
    colour = np.asarray(image.convert("RGBA")).astype(float)
    alpha = colour[:, :, 3:] / 255
    np.testing.assert_allclose(picture * 255, colour[:, :, :3] * alpha + 255 * (1 - alpha), atol=1.01)
    assert (picture[0, 0] == 1).all()


def test_transparent_palette_entries_become_white(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "a.png", transparency=0)
    assert np.rint(load_image(tmp_path / "a.png") * 255).tolist() == [[[255, 255, 255], [40, 50, 60]]]


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bit_grey_keeps_its_depth(tmp_path, suffix):
    values = np.array([[0, 1, 32768, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / f"a{suffix}")
    np.testing.assert_allclose(load_image(tmp_path / f"a{suffix}")[:, :, 1], values / 65535, rtol=1e-6)


def test_float_files_must_lie_between_0_and_1(tmp_path):
    Image.fromarray(np.array([[0.25, 1.0]], np.float32)).save(tmp_path / "fits.tif")
    Image.fromarray(np.array([[0.25, 3.5]], np.float32)).save(tmp_path / "wide.tif")
    Image.fromarray(np.array([[0.25, np.nan]], np.float32)).save(tmp_path / "nan.tif")
    assert load_image(tmp_path / "fits.tif")[0, 0].tolist() == [0.25] * 3
    for name in ("wide.tif", "nan.tif"):
        with pytest.raises(ImageError, match=name):
            load_image(tmp_path / name)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(tmp_path, orientation):
    pixels = noise(4, 6)
    upright = np.asarray(pixels)
    steps = {2: [Image.Transpose.FLIP_LEFT_RIGHT], 3: [Image.Transpose.ROTATE_180]}
    steps |= {4: [Image.Transpose.FLIP_TOP_BOTTOM], 5: [Image.Transpose.TRANSPOSE]}
    steps |= {
        6: [Image.Transpose.ROTATE_270],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_90],
    }
    undo = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}  # the others are their own inverse
    stored = Image.fromarray(pixels)
    for step in steps.get(orientation, []):
        stored = stored.transpose(undo.get(orientation, step))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(np.rint(load_image(tmp_path / "a.png") * 255), upright)
    assert image_size("a.png", tmp_path) == (6, 4)


def test_a_crop_counts_pixels_after_rotation(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise(4, 6)).save(tmp_path / "a.png", exif=exif)  # 4 wide and 6 high when upright
    whole = load_image(tmp_path / "a.png")
    np.testing.assert_array_equal(load_image(tmp_path / "a.png", crop=[1, 2, 4, 6]), whole[2:6, 1:4])
    for crop in ([0, 0, 5, 6], [-1, 0, 2, 2], [2, 0, 2, 2], [3, 0, 1, 2]):
        with pytest.raises(ImageError, match=r"crop .*a\.png.* 4 x 6"):
            load_image(tmp_path / "a.png", crop=crop)


def test_an_animation_gives_its_first_frame(tmp_path):
    frames = [Image.new("RGB", (3, 2), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert load_image(tmp_path / "a.gif")[0, 0].tolist() == [1, 0, 0]


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "RGBA", "I;16"])
def test_one_pixel_is_a_picture(tmp_path, mode):
    Image.new(mode, (1, 1)).save(tmp_path / "a.png")
    assert load_image(tmp_path / "a.png").shape == (1, 1, 3)


def png_of_size(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [10_000, 50_000])  # where Pillow warns, and where it refuses
def test_a_decompression_bomb_is_refused_with_the_limit(tmp_path, side):
    (tmp_path / "bomb.png").write_bytes(png_of_size(side, side))
    with pytest.raises(ImageError, match=r"bomb\.png.*89,478,485 pixels"):
        load_image(tmp_path / "bomb.png")


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP", "GIF", "TIFF"])
def test_a_truncated_file_is_refused(tmp_path, format_):
    path = tmp_path / "cut.img"
    Image.fromarray(noise(64, 64)).save(path, format=format_)
    whole = path.read_bytes()
    for part in (len(whole) // 2, 20):
        path.write_bytes(whole[:part])
        with pytest.raises(ImageError, match=r"cut\.img"):
            load_image(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"hello, I am text\n", "not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not a picture"),
    ],
)
def test_files_that_are_no_pictures_are_refused(tmp_path, content, words):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(ImageError, match=rf"a\.jpg.*{words}"):
        load_image("a.jpg", base=tmp_path)


def test_a_missing_file_is_named_with_its_nearest_neighbours(tmp_path):
    (tmp_path / "cat.jpg").touch()
    with pytest.raises(ImageError, match=r"no image file cta\.jpg\. Did you mean 'cat\.jpg'\?"):
        find_image("cta.jpg", tmp_path)
    with pytest.raises(ImageError, match=r"no image file photos/cat\.jpg\. There is no folder photos"):
        find_image("photos/cat.jpg", tmp_path)
    with pytest.raises(ImageError, match="is a folder"):
        find_image(".", tmp_path)


@pytest.mark.parametrize(
    ("source", "end"),
    [
        ("skimage:chelsea", "skimage/data/chelsea.png"),
        ("skimage:motorcycle_left.png", "skimage/data/motorcycle_left.png"),
        ("sklearn:china.jpg", "sklearn/datasets/images/china.jpg"),
        ("matplotlib:grace_hopper", "mpl-data/sample_data/grace_hopper.jpg"),
    ],
)
def test_photos_of_packages_are_found(source, end):
    assert find_image(source).as_posix().endswith(end)
    assert load_image(source).shape[2] == 3


@pytest.mark.parametrize("name", ["chelsae", "../data/chelsea.png", "README.txt", ""])
def test_packages_give_nothing_but_their_photos(name):
    with pytest.raises(ImageError, match="skimage ships no image"):
        find_image(f"skimage:{name}")


def test_finding_and_digesting_imports_no_heavy_package():
    code = (
        "import sys; from reportgen.images import find_image, image_digest\n"
        "for name in ('skimage:chelsea', 'sklearn:china'): image_digest(find_image(name))\n"
        "heavy = {'numpy', 'PIL', 'skimage', 'sklearn', 'matplotlib', 'torch', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_pattern_gives_sorted_pictures_and_nothing_else(tmp_path):
    (tmp_path / "photos").mkdir()
    for name in ("b.jpg", "a.JPG", "notes.txt"):
        (tmp_path / "photos" / name).touch()
    assert is_pattern("photos/*", tmp_path)
    assert [path.name for path in find_images("photos/*", tmp_path)] == ["a.JPG", "b.jpg"]
    with pytest.raises(ImageError, match=r"No picture files match photos/\*\.png"):
        find_images("photos/*.png", tmp_path)
    (tmp_path / "cat[1].jpg").touch()
    assert not is_pattern("cat[1].jpg", tmp_path)


def test_the_digest_is_that_of_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 3_000_000)
    assert image_digest(tmp_path / "a") == hashlib.sha256(b"x" * 3_000_000).hexdigest()


def test_every_gallery_is_known_by_one_word():
    assert all(package.isidentifier() for package in images.GALLERIES)
