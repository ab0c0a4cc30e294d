"""The spec's own pictures are a data set, and so are random squares of them, and worlds that are rendered."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from reportgen import dataset_own, datasets, images
from reportgen.datasets import open_dataset
from reportgen.errors import ImageError
from reportgen.examples import Dataset
from reportgen.spec_models import DatasetSpec, ImageSpec

WIDTH, HEIGHT = 40, 30


@pytest.fixture
def shown(tmp_path):
    """Three images whose pixels say where they are: red is x, green is y, blue is which."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    for number in range(3):
        Image.fromarray(np.stack([x, y, x * 0 + number], 2).astype(np.uint8)).save(tmp_path / f"{number}.png")
    return {
        "one": ImageSpec(source="0.png", label=("cat", "tabby"), points={"eye": (12.0, 3.0)}, crop=(10, 0, 40, 30)),
        "two": ImageSpec(source="1.png"),
        "three": ImageSpec(source="2.png", label=("Cat", "tiger cat")),
        "four": ImageSpec(source="0.png", label=("ant",)),
    }


@pytest.fixture
def opened(shown, tmp_path):
    return lambda source, **asked: open_dataset(source, base=tmp_path, **{"spec_images": shown, **asked})


def bytes_of(example):
    return np.rint(example.picture * 255).astype(int)


def test_labelled_images_are_a_set_with_their_points(opened):
    made = opened("images:")
    assert made.names == ("one", "three", "four")
    assert made.classes == ("cat, tabby, Cat, tiger cat", "ant")
    assert made.labels == (0, 0, 1)
    assert made.points
    assert not made.masks
    first = made.load(0)
    assert first.picture.shape == (30, 30, 3)
    assert first.points == {"eye": (2.0, 3.0)}
    assert bytes_of(first)[3, 2].tolist() == [12, 3, 0]
    assert made.load(1).points == {}
    some = opened("images:", n=2)
    assert some.names in (("one", "four"), ("three", "four"))
    assert bytes_of(some.load(1))[0, 0].tolist() == [0, 0, 0]
    assert len({made.digest(), some.digest()}) == 2


def test_every_change_of_an_image_changes_the_digest_of_the_set(opened, shown):
    digests = {opened("images:").digest()}
    for change in ({"crop": None}, {"label": ("dog",)}, {"points": {}}, {"source": "1.png"}):
        changed = {**shown, "one": shown["one"].model_copy(update=change)}
        digests.add(opened("images:", spec_images=changed).digest())
    assert len(digests) == 5
    retitled = {**shown, "one": shown["one"].model_copy(update={"title": "One"})}
    assert opened("images:", spec_images=retitled).digest() in digests


def test_patches_are_squares_of_every_image_between_a_quarter_and_the_whole_short_side(opened):
    made = opened("patches:", n=203)
    assert len(made) == len(set(made.names)) == 203
    assert [sum(name.startswith(f"{image}-") for name in made.names) for image in ("one", "two", "three", "four")] == [
        51,
        51,
        51,
        50,
    ]
    assert made.names[0] == "one-0001"
    assert made.classes == ("cat, tabby, Cat, tiger cat", "ant")
    assert {made.names[place].split("-")[0]: label for place, label in enumerate(made.labels)} == {
        "one": 0,
        "two": -1,
        "three": 0,
        "four": 1,
    }
    sides, lefts, tops = [], [], []
    for place in range(51, 102):  # of the image two: 40 x 30 pixels
        pixels = bytes_of(made.load(place))
        side = len(pixels)
        assert pixels.shape == (side, side, 3)
        left, top = pixels[0, 0, :2].tolist()
        assert pixels[-1, -1].tolist() == [left + side - 1, top + side - 1, 1]
        sides.append(side)
        lefts.append(left / (WIDTH - side))
        tops.append(top / max(1, HEIGHT - side))
    assert min(sides) < 11
    assert min(sides) > 7
    assert 28 < max(sides) <= 30
    for places in (lefts, tops):
        assert min(places) < 0.1
        assert max(places) > 0.9


def test_patches_are_seeded_and_do_not_depend_on_other_images(opened, shown):
    first, again, other = (opened("patches:", n=8, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first.load(3).picture, again.load(3).picture)
    assert first.digest() == again.digest() != other.digest()
    assert first.load(3).picture.shape != other.load(3).picture.shape
    alone = opened("patches:", n=2, spec_images={"two": shown["two"]})
    assert np.array_equal(alone.load(1).picture, first.load(3).picture)
    assert len(opened("patches:")) == dataset_own.PATCHES


def test_a_picture_is_read_once_for_its_patches(opened, monkeypatch):
    made, reads = opened("patches:", n=40), []
    known = images.load_image
    monkeypatch.setattr(images, "load_image", lambda *args, **more: reads.append(args) or known(*args, **more))
    for place in range(40):
        made.load(place)
    assert len(reads) == 4


def test_own_pictures_that_are_not_there_are_told(opened, shown):
    for source, given in (("images:", {"two": shown["two"]}), ("patches:", {}), ("images:", None)):
        with pytest.raises(ImageError, match=f"The data set {source} means"):
            opened(source, spec_images=given)
    gone = {"one": ImageSpec(source="gone.png", label=("cat",))}
    with pytest.raises(ImageError, match=r"no image file gone\.png"):
        opened("images:", spec_images=gone).load(0)


def test_a_rendered_world_gets_number_size_and_seed(opened, monkeypatch):
    asked = []

    def world(name, n, size, seed):
        asked.append((name, n, size, seed))
        return Dataset("world", (), (), (), None, str, masks=True)

    monkeypatch.setitem(sys.modules, "reportgen.rendered", SimpleNamespace(world=world, NAMES=("objects", "dots")))
    monkeypatch.setattr("reportgen.rendered", sys.modules["reportgen.rendered"], raising=False)
    assert opened("rendered:dots").masks
    opened("rendered:objects", n=7, size=64, seed=3)
    assert asked == [("dots", 1000, 128, 0), ("objects", 7, 64, 3)]


def test_the_rendered_world_of_this_version_opens(opened):
    made = opened("rendered:objects", n=20, size=64)
    assert (len(made), made.masks, made.points) == (20, True, True)


@pytest.mark.parametrize(
    ("source", "asked", "problem"),
    [
        ("rendered:object", {}, "no rendered world 'object'. Did you mean 'rendered:objects'?"),
        ("torchvision:imagenet", {}, "no data set of torchvision 'imagenet'. Did you mean 'torchvision:imagenette'"),
        ("torchvision:mnist", {}, "no data set of torchvision 'mnist'. Did you mean 'torchvision:"),
        ("render:objects", {}, "no kind of data set 'render:'. Did you mean 'rendered:objects'?"),
        ("image:", {}, "no kind of data set 'image:'. Did you mean 'images:'"),
        ("patches:500", {}, "The source patches: takes no name; it means the spec's own images."),
        ("data/val", {"size": 64}, "The data set data/val takes no size; only rendered:"),
        ("images:", {"size": 64}, "The data set images: takes no size"),
        ("rendered:objects", {"labels": "l.txt"}, "The data set rendered:objects takes no labels file"),
        ("data/val", {"n": 0}, "n should be 1 or more, not 0."),
    ],
)
def test_a_wrong_source_is_one_sentence_with_the_nearest_right_one(opened, source, asked, problem):
    assert problem in datasets.source_problem(source, **asked)
    with pytest.raises(ImageError, match=r"The data set|There is no|The source"):
        opened(source, **asked)


def test_an_entry_of_a_spec_is_opened_under_its_title(shown, tmp_path):
    made = datasets.from_spec(DatasetSpec(source="images:", n=2, title="My photos"), base=tmp_path, images=shown)
    assert (made.name, len(made)) == ("My photos", 2)
    assert datasets.from_spec(DatasetSpec(source="images:"), base=tmp_path, images=shown).name == (
        "the report's own photos"
    )
