"""Folders and .zip files of pictures are data sets, whatever their layout; what is none is one clear sentence."""

import os
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import reportgen
from reportgen import dataset_files, datasets
from reportgen.datasets import fingerprint, open_dataset
from reportgen.errors import ImageError

DATA = Path(__file__).parents[2] / "shared" / "data"


def picture(path, colour=(0, 0, 0), size=(3, 2)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def zipped(folder, top=""):
    """A folder as a .zip beside it; `top` goes before every name."""
    path = folder.with_name(f"{folder.name}.zip")
    with zipfile.ZipFile(path, "w") as made:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                made.write(file, f"{top}{file.relative_to(folder)}")
    return path


def opened(path, **asked):
    return open_dataset(path.name, base=path.parent, **asked)


@pytest.fixture
def folder(tmp_path):
    for number, name in enumerate(["dog/1.png", "cat/b.png", "cat/a.png"]):
        picture(tmp_path / "val" / name, (number, 0, 0))
    (tmp_path / "val" / "notes.txt").write_text("no class")
    (tmp_path / "val" / "cat" / "notes.txt").write_text("no picture")
    picture(tmp_path / "val" / ".hidden" / "1.png")
    return tmp_path / "val"


@pytest.fixture
def archive(folder):
    return zipped(folder, "val/")


@pytest.fixture
def masked(tmp_path):
    """Two classes; the upper row of each picture is the object."""
    for name in ("cat/a.jpg", "dog/sub/b.png"):
        picture(tmp_path / "set" / name)
        mask = tmp_path / "set" / "masks" / Path(name).with_suffix(".png")
        mask.parent.mkdir(parents=True)
        Image.fromarray(np.array([[1, 255, 7], [0, 0, 0]], np.uint8)).save(mask)
    return tmp_path / "set"


@pytest.fixture
def tiny(tmp_path):
    """Tiny ImageNet's layout with two classes."""
    root = tmp_path / "tiny-imagenet-200"
    picture(root / "train" / "n02" / "images" / "n02_0.JPEG")
    picture(root / "test" / "images" / "test_0.JPEG")
    for number in range(3):
        picture(root / "val" / "images" / f"val_{number}.JPEG", (number, 0, 0))
    (root / "wnids.txt").write_text("n00000002\nn00000001\nn00000003\n")
    (root / "words.txt").write_text("n00000001\tgoldfish, Carassius auratus\nn00000002\tcrane\nn00000003\tcrane\n")
    lines = [f"val_{number}.JPEG\tn0000000{1 + number % 2}\t0\t0\t9\t9\n" for number in (2, 0, 1)]
    (root / "val" / "val_annotations.txt").write_text("".join(lines))
    return root


def test_classes_and_pictures_come_sorted(folder, archive):
    for source in (folder, archive):
        made = opened(source)
        assert (made.name, len(made)) == (source.name, 3)
        assert made.classes == ("cat", "dog")
        assert made.labels == (0, 0, 1)
        assert made.names == ("cat/a.png", "cat/b.png", "dog/1.png")
        assert (made.masks, made.points) == (False, False)


def test_pictures_are_read_when_asked_for(folder, archive):
    for source in (folder, archive):
        example = opened(source).load(1)
        assert np.rint(example.picture * 255).tolist() == [[[1, 0, 0]] * 3] * 2
        assert example.mask is None


def test_pictures_are_read_from_many_threads_and_a_zip_is_opened_once_in_each(archive, monkeypatch):
    made, opens = opened(archive), []
    known = zipfile.ZipFile
    monkeypatch.setattr(dataset_files.zipfile, "ZipFile", lambda path: opens.append(path) or known(path))
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(made.load, [0, 1, 2] * 40))
    assert [int(example.picture[0, 0, 0] * 255 + 0.5) for example in found] == [2, 1, 0] * 40
    assert 1 <= len(opens) <= 3


def test_from_python_a_path_is_below_the_working_directory(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    made = reportgen.load_dataset("val", n=2)
    monkeypatch.chdir("/")
    assert made.load(0).picture.shape == (2, 3, 3)
    assert reportgen.load_dataset(folder).names == opened(folder).names


def test_the_digest_is_that_of_the_content_wherever_it_lies(folder, archive):
    digest = opened(folder).digest()
    assert digest == opened(archive).digest() == opened(folder, seed=3, n=7).digest()
    assert digest != opened(folder, n=2).digest()
    Image.new("RGB", (3, 2), "red").save(folder / "dog" / "1.png")
    changed = opened(folder).digest()
    assert changed != digest
    (folder / "dog").rename(folder / "wolf")
    assert opened(folder).digest() not in (digest, changed)


def test_digests_are_remembered_until_a_file_changes(folder, archive, tmp_path, monkeypatch):
    memo, reads = tmp_path / "memo", []
    for kind in (dataset_files.Folder, dataset_files.Archive):
        known = kind.read
        monkeypatch.setattr(kind, "read", lambda self, name, known=known: reads.append(name) or known(self, name))
    for source in (folder, archive):
        first = opened(source, memo_dir=memo).digest()
        assert len(reads) == 3
        assert opened(source, memo_dir=memo).digest() == first == opened(source).digest()
        assert len(reads) == 6  # the one without a memo
        reads.clear()
    Image.new("RGB", (3, 2), "red").save(folder / "dog" / "1.png")
    assert opened(folder, memo_dir=memo).digest() == opened(folder).digest() != first
    assert reads[0] == "dog/1.png"
    assert len(reads) == 4


def test_a_fingerprint_tells_a_change_without_reading(folder, archive, monkeypatch):
    monkeypatch.setattr(dataset_files.Folder, "read", None)
    marks = [fingerprint(source.name, base=folder.parent) for source in (folder, archive)]
    assert marks == [fingerprint(source.name, base=folder.parent) for source in (folder, archive)]
    picture(folder / "dog" / "2.png")
    archive.write_bytes(archive.read_bytes() + b" ")
    assert all(a != fingerprint(s.name, base=folder.parent) for a, s in zip(marks, (folder, archive), strict=True))
    assert fingerprint("gone", base=folder.parent) != marks[0]
    assert fingerprint("rendered:objects", base=folder) == "rendered:objects"


def test_a_choice_is_even_over_the_classes_seeded_and_in_the_order_of_the_set(tmp_path):
    for name, count in (("ant", 20), ("bee", 3), ("cat", 20)):
        for number in range(count):
            path = tmp_path / "set" / name / f"{number:02d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    made = opened(tmp_path / "set", n=13, seed=1)
    assert [made.labels.count(label) for label in range(3)] == [5, 3, 5]
    assert list(made.names) == sorted(made.names)
    assert made.names == opened(tmp_path / "set", n=13, seed=1).names
    assert made.names != opened(tmp_path / "set", n=13, seed=2).names
    assert len(opened(tmp_path / "set", n=99)) == 43
    few = opened(tmp_path / "set", n=2)
    assert len(set(few.labels)) == 2
    assert few.classes == ("ant", "bee", "cat")


def test_masks_lie_beside_the_class_folders(masked):
    for source in (masked, zipped(masked, "top/")):
        made = opened(source)
        assert made.masks
        assert made.classes == ("cat", "dog")
        assert made.names == ("cat/a.jpg", "dog/sub/b.png")
        for place in (0, 1):
            assert made.load(place).mask.tolist() == [[True] * 3, [False] * 3]


def test_masks_of_any_kind_of_png_are_where_they_are_not_zero(masked):
    wanted = np.array([[1, 1, 0], [0, 0, 1]], bool)
    palette = Image.fromarray(wanted.astype(np.uint8)).convert("P")
    palette.putpalette([9, 9, 9, 0, 0, 0])  # the colours do not count
    see_through = np.zeros((2, 3, 4), np.uint8)
    see_through[..., 3], see_through[..., 1] = 255, wanted
    deep = Image.fromarray(wanted.astype(np.uint16) * 256)
    for made in (Image.fromarray(wanted), palette, Image.fromarray(see_through), deep):
        made.save(masked / "masks" / "cat" / "a.png")
        assert opened(masked).load(0).mask.tolist() == wanted.tolist()


def test_a_mask_counts_in_the_digest_and_a_set_with_one_missing_has_no_masks(masked):
    digest = opened(masked).digest()
    Image.new("L", (3, 2)).save(masked / "masks" / "cat" / "a.png")
    assert opened(masked).digest() != digest
    (masked / "masks" / "cat" / "a.png").unlink()
    made = opened(masked)
    assert not made.masks
    assert made.classes == ("cat", "dog")
    assert made.load(0).mask is None
    assert made.load(1).mask is not None


def test_a_mask_of_another_size_or_a_damaged_one_is_named(masked):
    Image.new("L", (4, 2)).save(masked / "masks" / "cat" / "a.png")
    with pytest.raises(ImageError, match=r"masks/cat/a\.png of set has 4 x 2 pixels; its picture cat/a\.jpg has 3 x 2"):
        opened(masked).load(0)
    (masked / "masks" / "cat" / "a.png").write_bytes(b"\x89PNG")
    with pytest.raises(ImageError, match=r"masks/cat/a\.png of set is no PNG"):
        opened(masked).load(0)


def test_a_class_may_be_called_masks(tmp_path):
    for name in ("masks/1.png", "hats/2.png"):
        picture(tmp_path / "set" / name)
    assert opened(tmp_path / "set").classes == ("hats", "masks")


def test_tiny_imagenets_validation_pictures_are_found_by_its_notes(tiny):
    for source in (tiny, zipped(tiny, "tiny-imagenet-200/"), tiny / "val"):
        made = opened(source)
        assert made.names == ("val_0.JPEG", "val_1.JPEG", "val_2.JPEG")
        assert [made.classes[label] for label in made.labels] == [
            "goldfish, Carassius auratus",
            "crane",
            "goldfish, Carassius auratus",
        ]
        assert made.load(2).picture[0, 0, 0] > made.load(0).picture[0, 0, 0]
    assert opened(tiny).classes[2] == "crane (n00000003)"
    (tiny / "words.txt").unlink()
    assert opened(tiny).classes == ("n00000001", "n00000002", "n00000003")
    picture(tiny / "val" / "images" / "new.JPEG")
    with pytest.raises(ImageError, match=r"no label for 1 of the 4 pictures of tiny-imagenet-200, the first 'val/im"):
        opened(tiny)


def test_class_folders_of_wordnet_get_their_words(tiny):
    (tiny / "train" / "n02").rename(tiny / "train" / "n00000001")
    picture(tiny / "train" / "n00000009" / "images" / "n09_0.JPEG")
    assert opened(tiny / "train").classes == ("goldfish, Carassius auratus", "n00000009")
    assert opened(tiny / "train").names == ("n00000001/images/n02_0.JPEG", "n00000009/images/n09_0.JPEG")


def test_caltechs_clutter_and_numbers_are_left_out(tmp_path):
    for name in ("BACKGROUND_Google", "Faces", "ant"):
        picture(tmp_path / "caltech101" / name / "1.png")
    for name in ("001.ak47", "002.american-flag", "257.clutter"):
        picture(tmp_path / "256" / name / "1.png")
    assert opened(tmp_path / "caltech101").classes == ("Faces", "ant")
    made = opened(tmp_path / "256")
    assert made.classes == ("ak47", "american-flag")
    assert made.names == ("001.ak47/1.png", "002.american-flag/1.png")
    picture(tmp_path / "256" / "other" / "1.png")
    assert opened(tmp_path / "256").classes == ("001.ak47", "002.american-flag", "other")


def test_links_are_followed_but_not_in_circles(folder):
    (folder / "cat" / "again").symlink_to(folder)
    (folder / "wolf").symlink_to(folder / "dog")
    made = opened(folder)
    assert made.classes == ("cat", "dog", "wolf")
    assert len(made) == 4


def test_one_picture_is_a_set_too(tmp_path):
    picture(tmp_path / "set" / "cat" / "1.png")
    made = opened(tmp_path / "set", n=5)
    assert (made.classes, made.labels) == (("cat",), (0,))


def test_ten_thousand_classes_open_in_two_seconds(tmp_path):
    folder = tmp_path / "many"
    for number in range(10_000):
        (folder / f"c{number:05d}").mkdir(parents=True)
        (folder / f"c{number:05d}" / "1.png").touch()
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as made:
        for number in range(10_000):
            made.writestr(f"many/c{number:05d}/1.png", b"")
    for source in (folder, tmp_path / "many.zip"):
        started = time.process_time()
        found = opened(source, n=9_000)
        assert time.process_time() - started < 2
        assert (len(found.classes), len(found)) == (10_000, 9_000)


def test_unreadable_pictures_open_and_are_named_when_they_are_read(folder, archive):
    (folder / "cat" / "a.png").write_bytes(b"\x89PNG")
    (folder / "cat" / "b.png").write_bytes(b"")
    made = opened(folder)
    for place, text in ((0, r"cat/a\.png of val is not a picture"), (1, r"cat/b\.png of val is empty")):
        with pytest.raises(ImageError, match=text):
            made.load(place)
    (folder / "dog" / "1.png").unlink()
    with pytest.raises(ImageError, match=r"dog/1\.png of val is no longer there"):
        made.load(2)
    digest = made.digest()  # of what can be read
    assert digest != opened(folder.parent / "val.zip").digest()
    made = opened(archive)
    archive.write_bytes(b"gone")
    with pytest.raises(ImageError, match=r"val/cat/a\.png of val\.zip cannot be read: File is not a zip file\."):
        made.load(0)


def test_a_damaged_member_and_a_bomb_are_named(archive, monkeypatch):
    content = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as made:
        (first,) = (info for info in made.infolist() if info.filename == "val/cat/a.png")
    content[first.header_offset + 60] ^= 255
    archive.write_bytes(content)
    with pytest.raises(ImageError, match=r"val/cat/a\.png of val\.zip cannot be read: Bad CRC-32"):
        opened(archive).load(0)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("cat/1.png", bytes(5000))
    monkeypatch.setattr(dataset_files, "LARGEST", 4999)
    with pytest.raises(ImageError, match=r"cat/1\.png of val\.zip would take 5,000 bytes, more than the 4,999"):
        opened(archive).load(0)


def test_a_lie_about_the_size_does_not_get_around_the_limit(tmp_path):
    path = tmp_path / "liar.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("cat/1.png", bytes(100_000))
    size = (100_000).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(size, (10).to_bytes(4, "little")))
    with pytest.raises(ImageError, match=r"cat/1\.png of liar\.zip cannot be read"):
        opened(path).load(0)


def test_a_zip_that_leads_outside_is_read_without_that_and_nothing_is_written(tmp_path):
    path = tmp_path / "in" / "set.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as made:
        for name in ("../evil/1.png", "cat/../../1.png", "/abs/1.png", "cat/1.png"):
            made.writestr(name, b"x")
    made = opened(path)
    assert made.names == ("cat/1.png",)
    made.digest()
    assert [file.name for file in tmp_path.rglob("*")] == ["in", "set.zip"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("empty", r"The data empty holds no pictures in class folders, such as cat/1\.jpg\."),
        ("flat", r"The data flat holds no pictures in class folders, such as cat/1\.jpg; 2 lie in no folder\. Give"),
        ("gone", r"There is no folder or \.zip gone\."),
        ("text.zip", r"text\.zip should be a folder, or a \.zip that can be read: File is not a zip file\."),
        ("cut.zip", r"cut\.zip should be a folder, or a \.zip that can be read"),
        ("both", r"The data both has its class folders in train and val; name one of them, such as both/val\."),
        ("bad\0name", r"There is no folder or \.zip"),
    ],
)
def test_what_is_no_data_set_is_one_sentence(folder, archive, name, text):
    base = folder.parent
    (base / "empty").mkdir()
    for path in ("flat/1.png", "flat/2.png", "both/train/cat/1.png", "both/val/cat/1.png"):
        picture(base / path)
    (base / "text.zip").write_text("no zip")
    (base / "cut.zip").write_bytes(archive.read_bytes()[:-30])
    with pytest.raises(ImageError, match=text):
        open_dataset(name, base=base)


def test_a_folder_that_may_not_be_listed_is_named(folder, monkeypatch):
    known = os.scandir

    def refuse(path):
        if str(path).endswith("dog"):
            raise PermissionError(13, "Permission denied")
        return known(path)

    monkeypatch.setattr(dataset_files.os, "scandir", refuse)
    with pytest.raises(ImageError, match=r"The folder dog/ cannot be listed: Permission denied\."):
        opened(folder)


def test_names_that_are_no_text_are_spelled_out(tmp_path):
    (tmp_path / "set" / "cat").mkdir(parents=True)
    raw = os.fsencode(tmp_path / "set" / "cat") + b"/\xff.png"
    try:
        os.close(os.open(raw, os.O_CREAT | os.O_WRONLY))
    except OSError:
        pytest.skip("this file system takes no such names")
    made = opened(tmp_path / "set", memo_dir=tmp_path / "memo")
    assert made.names == ("cat/\\udcff.png",)
    assert made.digest()
    assert fingerprint("set", base=tmp_path)


@pytest.mark.parametrize("name", ["photos-val.zip", "caltech101.zip", "imagenet-500.zip"])
def test_real_sets_open_and_are_digested_quickly(name):
    if not (DATA / name).is_file():
        pytest.skip(f"THE REAL PHOTOS {DATA / name} ARE NOT HERE: this promise is not checked")
    made = opened(DATA / name)
    count, classes = {"photos-val.zip": (4395, 15), "caltech101.zip": (8242, 100), "imagenet-500.zip": (500, 500)}[name]
    assert len(made) == count
    assert len(made.classes) == classes
    started = time.process_time()
    assert made.digest() == made.digest()
    assert time.process_time() - started < 5
    assert min(made.load(len(made) // 2).picture.shape[:2]) >= 128


def test_the_published_sets_lie_in_the_users_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("REPORTGEN_CACHE", str(tmp_path))
    for name in datasets.PUBLISHED:
        with pytest.raises(ImageError, match=rf"torchvision:{name} is not here: .* `reportgen fetch SPEC` brings"):
            open_dataset(f"torchvision:{name}", base=tmp_path)
    path = datasets.published_file("cifar10")
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("cat/00001.png", b"x")
    found = open_dataset("torchvision:cifar10", base=Path("/nowhere"))
    assert (found.name, found.classes) == ("CIFAR-10 (test)", ("cat",))
