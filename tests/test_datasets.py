"""A folder of class folders, or a .zip of one, is a list of pictures with their classes."""

import zipfile

import numpy as np
import pytest
from PIL import Image

from reportgen.datasets import open_dataset
from reportgen.errors import ImageError


@pytest.fixture
def folder(tmp_path):
    for number, name in enumerate(["dog/1.png", "cat/b.png", "cat/a.png"]):
        path = tmp_path / "val" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (3, 2), (number, 0, 0)).save(path)
    (tmp_path / "val" / "notes.txt").write_text("no class")
    (tmp_path / "val" / "cat" / "notes.txt").write_text("no picture")
    return tmp_path / "val"


@pytest.fixture
def archive(folder):
    path = folder.parent / "val.zip"
    with zipfile.ZipFile(path, "w") as made:
        for file in sorted(folder.rglob("*.*")):
            if file.suffix == ".png":
                made.write(file, f"val/{file.relative_to(folder)}")
    return path


def test_classes_and_files_come_sorted(folder, archive):
    for source, top in ((folder, ""), (archive, "val/")):
        made = open_dataset(source)
        assert made.classes == ("cat", "dog")
        assert made.labels == (0, 0, 1)
        assert made.files == tuple(f"{top}{name}" for name in ("cat/a.png", "cat/b.png", "dog/1.png"))
        assert len(made) == 3


def test_pictures_are_read_when_asked_for(folder, archive):
    for source in (folder, archive):
        assert np.rint(open_dataset(source).load(1) * 255).tolist() == [[[1, 0, 0]] * 3] * 2


def test_the_digest_is_that_of_the_content_wherever_it_lies(folder, archive):
    digest = open_dataset(folder).digest()
    assert digest == open_dataset(archive).digest()
    Image.new("RGB", (3, 2), "red").save(folder / "dog" / "1.png")
    assert digest != open_dataset(folder).digest()


def test_a_damaged_picture_is_named(folder, archive):
    (folder / "cat" / "a.png").write_bytes(b"\x89PNG")
    with pytest.raises(ImageError, match=r"cat/a\.png of val"):
        open_dataset(folder).load(0)
    made = open_dataset(archive)
    archive.write_bytes(b"gone")
    with pytest.raises(ImageError, match=r"val/cat/a\.png of val\.zip"):
        made.load(0)


def test_what_is_no_data_set_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.zip").write_text("no zip")
    for name in ("empty", "text.zip", "gone"):
        with pytest.raises(ImageError, match=name):
            open_dataset(tmp_path / name)
