"""`reportgen new`: what it begins can be checked and built as it stands, and nothing is ever overwritten."""

from __future__ import annotations

import re

import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from reportgen.building import Options, build
from reportgen.cli import app
from reportgen.errors import SpecError
from reportgen.spec import check_files, read_spec
from reportgen.starting import LISTED, MOST, start


def picture(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (72, 96, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, "PNG")


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "my photos"
    names = ("a.png", 'A "quoted": name, {x} #1.png', "漢字.png", "cat/one.png", "golf ball/one.png")
    for seed, name in enumerate(names):
        picture(folder / name, seed)
    (folder / "broken.jpg").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("no picture either")
    return folder


def test_what_is_begun_passes_the_check_and_names_the_pictures(photos, tmp_path):
    started = start(tmp_path / "report", photos)
    spec = read_spec(started.spec)
    assert check_files(spec, decode=True) == []
    found = {(tmp_path / "report" / image.source).resolve(): image.label for image in spec.images.values()}
    assert found == {
        photos / "a.png": (),
        photos / 'A "quoted": name, {x} #1.png': (),
        photos / "漢字.png": (),
        photos / "cat/one.png": ("cat",),
        photos / "golf ball/one.png": ("golf ball",),
    }
    assert started.pictures == 5
    assert "broken.jpg" in started.skipped[0]


def test_what_is_begun_can_be_built(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    started = start(tmp_path / "report", photos / "cat")
    text = started.spec.read_text(encoding="utf-8")
    value = yaml.safe_load(text)
    assert value["outputs"]["poster"]["size"] == "A1"
    value["outputs"].pop("poster")  # which takes long
    for name in ("alexnet", "vgg"):
        value["models"].pop(name)
    (started.spec.parent / "texts/introduction.md").write_text("{{ models.resnet.top1 | percent }}")
    started.spec.write_text(yaml.safe_dump(value, sort_keys=False), encoding="utf-8")
    built = build(started.spec, options=Options(cache=tmp_path / "cache", threads=1))
    assert built.published
    assert built.failed == ()
    assert (tmp_path / "site/report/index.html").is_file()


def test_without_a_folder_there_are_photos_to_begin_with(tmp_path):
    spec = read_spec(start(tmp_path / "report").spec)
    assert check_files(spec, decode=True) == []
    assert all(image.credit for image in spec.images.values())


def test_of_many_pictures_some_are_shown_and_more_stand_there_as_comments(tmp_path):
    for number in range(MOST + 5):
        picture(tmp_path / "photos" / f"{number:02}.png", number)
    started = start(tmp_path / "report", tmp_path / "photos")
    assert len(read_spec(started.spec).images) == started.pictures == MOST
    text = started.spec.read_text(encoding="utf-8")
    assert text.count("photos/") - text.count("photos/val") == MOST + 5
    with_all = text.replace("  # more of the folder; take the # away:\n", "").replace("  # picture-", "  picture-")
    started.spec.write_text(with_all, encoding="utf-8")
    assert len(read_spec(started.spec).images) == MOST + 5 <= MOST + LISTED


def test_names_that_yaml_reads_as_something_else_become_words(tmp_path):
    for seed, name in enumerate(["01", "1e5", "2020-01-01", "no", "Null", "y", "日本", "on_7"]):
        picture(tmp_path / "photos" / f"{name}.png", seed)
    text = start(tmp_path / "report", tmp_path / "photos").spec.read_text(encoding="utf-8")
    listed = re.findall(r"^  (?:# )?([a-z0-9-]+): \{source", text, re.MULTILINE)
    assert sorted(listed) == sorted(yaml.safe_load(f"[{', '.join(listed)}]"))
    assert {"picture-01", "picture-no", "picture-2020-01-01", "picture", "on-7"} <= set(listed)


def test_nothing_is_overwritten(photos, tmp_path):
    (tmp_path / "report/texts").mkdir(parents=True)
    (tmp_path / "report/texts/methods.md").write_text("my words")
    with pytest.raises(SpecError, match=r"methods\.md would be overwritten"):
        start(tmp_path / "report", photos)
    assert [path.name for path in (tmp_path / "report").rglob("*.*")] == ["methods.md"]
    assert (tmp_path / "report/texts/methods.md").read_text() == "my words"


@pytest.mark.parametrize("name", ["My Report", "résumé", "-x", "a.b", ".."])
def test_a_name_that_cannot_be_an_id_is_told(name, tmp_path):
    with pytest.raises(SpecError, match="my-report"):
        start(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_pictures_is_told(tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "nowhere"):
        with pytest.raises(SpecError, match="--images"):
            start(tmp_path / "report", folder)
    assert not (tmp_path / "report").exists()


def test_the_command_says_what_to_do_next(photos, tmp_path):
    result = CliRunner().invoke(app, ["new", str(tmp_path / "report"), "--images", str(photos)])
    assert result.exit_code == 0
    assert "reportgen serve" in result.stdout
