"""Pictures in one heap get their classes from a labels file that fits, or from names that say them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reportgen.dataset_labels import LabelsError
from reportgen.datasets import open_dataset
from tests.test_datasets import DATA, zipped

NAMES = ("a b.jpg", "c.JPEG", "sub/d.png")


@pytest.fixture
def heap(tmp_path):
    """Three pictures in a folder, and what writes a labels file beside it and opens both."""
    for number, name in enumerate(NAMES):
        path = tmp_path / "heap" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (3, 2), (number * 9, 0, 0)).save(path)

    def opened(text, source="heap", **asked):
        (tmp_path / "labels.txt").write_text(text, encoding="utf-8")
        return open_dataset(source, base=tmp_path, labels="labels.txt", **asked)

    return opened


@pytest.mark.parametrize(
    "text",
    [
        "tabby cat\ndog\ntabby cat\n",
        "\ufefftabby cat\r\ndog\r\n\r\ntabby cat",
        "c.JPEG dog\na b.jpg tabby cat\nsub/d.png tabby cat\n",
        "file,label\nsub/d.png,tabby cat\nc.JPEG,dog\na b.jpg,tabby cat\n",
        '"d.png";"tabby cat"\n"c.JPEG";"dog"\n"./a b.jpg";"tabby cat"\n',
        "d.png\ttabby cat\nc.JPEG\tdog\na b.jpg\ttabby cat\nd.png\ttabby cat\n",
    ],
)
def test_labels_come_in_order_or_with_their_files(heap, tmp_path, text):
    zipped(tmp_path / "heap", "heap/")
    for source in ("heap", "heap.zip"):
        made = heap(text, source)
        assert made.names == NAMES
        assert made.classes == ("dog", "tabby cat")
        assert made.labels == (1, 0, 1)
        assert int(made.load(1).picture[0, 0, 0] * 255 + 0.5) in range(7, 12)  # a JPEG's nine


def test_whole_numbers_are_the_nets_own_classes(heap):
    made = heap("3\n0\n-1\n")
    assert made.classes == ("0", "1", "2", "3")
    assert made.labels == (3, 0, -1)
    assert heap("3\n0\nx\n").classes == ("0", "3", "x")


def test_labels_count_in_the_digest_and_in_a_choice(heap):
    assert heap("a\nb\na\n").digest() != heap("a\nb\nb\n").digest()
    assert sorted(heap("a\nb\na\n", n=2).labels) == [0, 1]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a\nb\n", r"The labels file labels\.txt has 2 labels for the 3 pictures of heap; give one line"),
        ("a\nb\na\nb\n", r"has 4 labels for the 3 pictures of heap"),
        ("", r"has 0 labels for the 3 pictures"),
        ("c.JPEG a\nx.jpg b\n../y.jpg c\n", r"names 2 pictures that are not in heap, the first 'x\.jpg'\."),
        ("c.JPEG a\nother/d.png b\n", r"names a picture that is not in heap, the first 'other/d\.png'\."),
        ("c.JPEG a\n", r"has no label for 2 of the 3 pictures of heap, the first 'a b\.jpg'\."),
        ("c.JPEG a\nc.JPEG b\n", r"gives c\.JPEG two labels, 'a' and 'b'\."),
        ("c.JPEG a\nnothing\n", r"has the line 'nothing'; `file\.jpg label` is wanted\."),
        ("3\n0\n100000\n", r"has the label 100000; a number should be the index of a class"),
    ],
)
def test_labels_that_do_not_fit_are_counted_and_the_first_is_named(heap, text, problem):
    with pytest.raises(LabelsError, match=problem):
        heap(text)


def test_a_labels_file_that_cannot_be_read_is_one_sentence(heap, tmp_path):
    heap("a\nb\nc\n")
    for name, reason in (("gone.txt", "No such file or directory"), ("heap", "Is a directory")):
        with pytest.raises(LabelsError, match=f"The labels file {name} cannot be read: {reason}"):
            open_dataset("heap", base=tmp_path, labels=name)
    (tmp_path / "latin.txt").write_bytes(b"\xe9\n")
    with pytest.raises(LabelsError, match=r"latin\.txt is no text in UTF-8"):
        open_dataset("heap", base=tmp_path, labels=Path("latin.txt"))


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        (["n00000002_hammer_head.jpg", "n00000001_crane.jpg", "n00000003_crane.jpg"], ["crane", "hammer head"]),
        (["n00000001_1.jpg", "n00000001_2.jpg", "n00000002_7.jpg"], ["n00000001", "n00000002"]),
    ],
)
def test_names_of_wordnet_are_labels(tmp_path, names, classes):
    for name in names:
        (tmp_path / "flat").mkdir(exist_ok=True)
        (tmp_path / "flat" / name).touch()
    made = open_dataset("flat", base=tmp_path)
    assert made.classes[:2] == tuple(classes)
    assert made.classes[2:] in ((), ("crane (n00000003)",))
    assert made.names == tuple(sorted(names))
    assert list(made.labels) == sorted(made.labels)
    assert open_dataset(zipped(tmp_path / "flat").name, base=tmp_path).classes == made.classes


def test_a_class_folder_says_more_than_a_count(tmp_path):
    (tmp_path / "set" / "tench").mkdir(parents=True)
    for number in (7, 8):
        (tmp_path / "set" / "tench" / f"n00000001_{number}.jpg").touch()
    assert open_dataset("set", base=tmp_path).classes == ("tench",)


def test_a_heap_in_a_zip_with_a_folder_above_is_no_class(tmp_path):
    if not (DATA / "imagenet-500.zip").is_file():
        pytest.skip(f"THE REAL PHOTOS {DATA / 'imagenet-500.zip'} ARE NOT HERE: this promise is not checked")
    made = open_dataset("imagenet-500.zip", base=DATA)
    assert made.labels == tuple(range(500))
    assert made.names[1] == "n01484850_great_white_shark.jpg"
    assert made.classes[1] == "great white shark"
    (tmp_path / "val.txt").write_text("".join(f"{name} {2 * i}\n" for i, name in enumerate(made.names)))
    numbered = open_dataset(str(DATA / "imagenet-500.zip"), base=tmp_path, labels="val.txt", n=50)
    assert len(numbered.classes) == 999
    assert all(np.array(numbered.labels) % 2 == 0)
