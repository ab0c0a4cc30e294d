"""Training on a few drawn pictures: it learns, it can be stopped at any time, and it says what it made."""

import csv
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

from reportgen.errors import ImageError, ModelError, SpecError
from reportgen.training import Recipe, TrainResult, export, load_recipe, make_recipe, train
from reportgen.training.checkpoints import packed
from reportgen.training.data import MEAN, STD, augment, centre_crop, load_photos
from reportgen.training.generator_recipe import is_generator_recipe
from reportgen.training.log import EpochLog
from reportgen.training.loop import epoch_order, learning_rate
from reportgen.training.progress import Progress, duration
from reportgen.training.recipe import Augment

SIDE = 36
ZOO = Path(__file__).parents[2] / "specs" / "zoo"


def draw(label: str, rng: np.random.Generator) -> Image.Image:
    """Upright bars, or a chess board, in random colours."""
    rows, columns = np.indices((SIDE, SIDE)) // 4
    pattern = columns % 2 if label == "bars" else (rows + columns) % 2
    dark, light = rng.integers(0, 100, 3), rng.integers(150, 256, 3)
    return Image.fromarray(np.where(pattern[..., None], light, dark).astype(np.uint8))


def tiny_recipe(folder: Path, **changes: object) -> Recipe:
    values = {
        "arch": "resnet_mini",
        "kwargs": {"widths": [8, 8, 8, 8], "blocks": [1, 1, 1, 1]},
        "data": {"train": str(folder / "train"), "val": str(folder / "val")},
        "size": 32,
        "train_size": {0: 24, 2: 32},
        "resize": SIDE,
        "epochs": 6,
        "batch": 12,
        "augment": {"scale": [0.6, 1.0]},
        "precision": "fp32",
        "checkpoints": [0, 3],
        "seed": 3,
    }
    return make_recipe(values | changes)


def without_seconds(result: TrainResult) -> list[EpochLog]:
    return [replace(row, seconds=0.0) for row in result.log]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    root = tmp_path_factory.mktemp("photos")
    for part, count in (("train", 24), ("val", 8)):
        for label in ("bars", "checks"):
            place = root / part / label
            place.mkdir(parents=True)
            for index in range(count):
                draw(label, rng).save(place / f"{index:02d}.png")
    return root


@pytest.fixture(scope="module")
def finished(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """A training that nothing interrupted."""
    return train(tiny_recipe(folder), tmp_path_factory.mktemp("run"), "cpu", quiet=True)


def test_the_loss_falls_and_the_classes_are_learned(finished: TrainResult) -> None:
    losses = [row.train_loss for row in finished.log[1:]]
    assert losses[-1] < 0.8 * losses[0]
    assert finished.top1 >= 0.9
    assert finished.classes == ("bars", "checks")


@pytest.mark.parametrize("stop", [(1, 2), (2, 4), (3, 1)])  # epoch, step
def test_a_stopped_run_goes_on_to_the_same_weights(
    folder: Path, finished: TrainResult, tmp_path: Path, stop: tuple[int, int]
) -> None:
    def interrupt(event: Progress) -> None:
        if (event.epoch, event.step) == stop and event.finished is None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tiny_recipe(folder), tmp_path, "cpu", progress=interrupt)
    again = train(tiny_recipe(folder), tmp_path, "cpu", quiet=True)
    assert without_seconds(again) == without_seconds(finished)
    whole = torch.load(finished.out / "state.pt", weights_only=True)
    pieces = torch.load(tmp_path / "state.pt", weights_only=True)
    assert all(torch.equal(value, pieces["net"][name]) for name, value in whole["net"].items())


def test_a_finished_run_is_left_as_it_is(folder: Path, finished: TrainResult) -> None:
    before = (finished.out / "state.pt").read_bytes()
    again = train(tiny_recipe(folder), finished.out, "cpu", quiet=True)
    assert again == finished
    assert (finished.out / "state.pt").read_bytes() == before


def test_training_leaves_the_callers_random_numbers_alone(folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(tiny_recipe(folder, epochs=1, checkpoints=[]), tmp_path, "cpu", quiet=True)
    assert torch.equal(torch.rand(3), expected)


def test_a_folder_of_another_recipe_is_refused(folder: Path, finished: TrainResult) -> None:
    with pytest.raises(SpecError, match=r"another recipe.*batch"):
        train(tiny_recipe(folder, batch=8), finished.out, "cpu", quiet=True)
    other = {"train": str(folder / "val"), "val": str(folder / "val")}
    with pytest.raises(SpecError, match=r"another recipe.*the pictures"):
        train(tiny_recipe(folder, data=other), finished.out, "cpu", quiet=True)


def test_a_damaged_state_is_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "state.pt").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(SpecError, match=r"state\.pt is damaged"):
        train(tiny_recipe(folder), tmp_path, "cpu", quiet=True)


def test_the_log_has_a_row_per_epoch_and_a_plot(finished: TrainResult) -> None:
    with (finished.out / "log.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3", "4", "5", "6"]
    assert float(rows[6]["val_top1"]) == pytest.approx(finished.top1)
    assert rows[0]["train_loss"] == ""
    with Image.open(finished.out / "log.png") as plot:
        assert plot.width > 500


def test_weights_of_chosen_epochs_are_kept(finished: TrainResult) -> None:
    kept = sorted(path.name for path in finished.out.glob("*.safetensors"))
    assert kept == ["epoch-000.safetensors", "epoch-003.safetensors"]
    untrained, trained = (load_file(finished.out / name) for name in kept)
    assert not torch.equal(untrained["fc.weight"], trained["fc.weight"])


def test_an_export_says_all_about_itself_but_no_path(finished: TrainResult, tmp_path: Path) -> None:
    target = tmp_path / "weights" / "net.safetensors"
    top1 = export(finished.out, target, "cpu")
    with safe_open(target, "pt") as opened:
        described = opened.metadata()
        kinds = {opened.get_tensor(name).dtype for name in opened.keys()}  # noqa: SIM118 (it is no dictionary)
    assert kinds == {torch.float16, torch.int64}
    assert float(described["top1"]) == pytest.approx(top1, abs=1e-4)
    assert top1 >= 0.9
    assert (described["arch"], described["num_classes"], described["epochs"]) == ("resnet_mini", "2", "6")
    assert (described["input_size"], described["resize"]) == ("32", "36")
    assert json.loads(described["classes"]) == ["bars", "checks"]
    assert json.loads(described["kwargs"])["widths"] == [8, 8, 8, 8]
    assert json.loads(described["mean"]) == list(MEAN)
    assert json.loads(described["std"]) == list(STD)
    assert json.loads(described["recipe"])["data"] == {"train": ["train"], "val": ["val"]}
    assert described["data"].startswith("48 pictures, sha256 ")
    assert str(Path.home()) not in str(described)
    assert not any("/" in value for value in described.values())


def test_an_unfinished_run_is_not_exported(folder: Path, tmp_path: Path) -> None:
    def interrupt(event: Progress) -> None:
        if event.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tiny_recipe(folder), tmp_path, "cpu", progress=interrupt)
    with pytest.raises(SpecError, match="at epoch 1 of 6"):
        export(tmp_path, tmp_path / "net.safetensors")
    with pytest.raises(SpecError, match="holds no training"):
        export(tmp_path / "nowhere", tmp_path / "net.safetensors")


def test_zip_and_folder_give_the_same_pictures(folder: Path, tmp_path: Path) -> None:
    archive = tmp_path / "photos.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        for path in sorted(folder.glob("train/*/*.png"), reverse=True):
            opened.write(path, path.relative_to(folder))  # train/bars/00.png
    plain, zipped = load_photos([folder / "train"], SIDE), load_photos([archive], SIDE)
    assert np.array_equal(plain.pictures, zipped.pictures)
    assert np.array_equal(plain.labels, zipped.labels)
    assert plain.digest == zipped.digest


def test_several_sources_are_joined_class_by_class(folder: Path) -> None:
    joined = load_photos([folder / "train", folder / "val"], SIDE)
    assert joined.classes == ("bars", "checks")
    assert np.bincount(joined.labels).tolist() == [32, 32]


def test_other_shapes_are_cut_to_their_central_square(tmp_path: Path) -> None:
    place = tmp_path / "tall"
    place.mkdir()
    tall = np.zeros((120, 40, 3), np.uint8)
    tall[40:80] = 255
    Image.fromarray(tall).save(place / "a.png")
    photos = load_photos([tmp_path], 20)
    assert photos.pictures.shape == (1, 20, 20, 3)
    assert photos.pictures[0, 2:-2].min() == 255


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n cut off"])
def test_a_broken_picture_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "bad.png").write_bytes(content)
    with pytest.raises(ImageError, match=r"cat/bad\.png"):
        load_photos([tmp_path], SIDE)


def test_data_that_are_no_class_folders_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="nowhere"):
        load_photos([tmp_path / "nowhere"], SIDE)
    with pytest.raises(ImageError, match="holds no pictures in class folders"):
        load_photos([folder / "train" / "bars"], SIDE)
    with pytest.raises(ImageError, match=r"does not know: checks\. It knows: bars"):
        load_photos([folder / "val"], SIDE, ["bars"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epoch": 3}, r"unknown key 'epoch'.*'epochs'"),
        ({"optimizer": {"learning_rat": 0.1}}, r"unknown key 'optimizer.learning_rat'.*'learning_rate'"),
        ({"epochs": "many"}, r"epochs: input should be a valid integer"),
        ({"augment": {"scale": [0.9, 0.2]}}, "smallest <= largest"),
        ({"resize": 16}, "no centre crop would fit"),
        ({"checkpoints": [9]}, "checkpoints: 9 is no epoch"),
        ({"precision": "fp8"}, "precision: input should be 'auto', 'fp32' or 'bf16'"),
    ],
)
def test_a_wrong_recipe_says_what_is_wrong(folder: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        tiny_recipe(folder, **changes)


def test_all_problems_of_a_recipe_are_told_at_once() -> None:
    with pytest.raises(SpecError, match=r"'arch' is missing.*'data' is missing.*unknown key 'model'"):
        make_recipe({"model": "x"})


def test_a_wrong_net_is_refused_before_pictures_are_read(tmp_path: Path) -> None:
    nowhere = tiny_recipe(tmp_path, arch="resnet_mni")
    with pytest.raises(SpecError, match=r"'resnet_mni'.*'resnet_mini'"):
        train(nowhere, tmp_path / "run", "cpu", quiet=True)
    with pytest.raises(ModelError, match="width"):
        train(tiny_recipe(tmp_path, kwargs={"width": 3}), tmp_path / "run", "cpu", quiet=True)


def test_paths_of_a_recipe_are_relative_to_its_file(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "recipe.yaml"
    path.parent.mkdir()
    path.write_text("arch: vgg_mini\ndata: {train: [../a.zip, ../b], val: ../c}\nout: runs/x\n")
    recipe = load_recipe(path)
    assert recipe.data.train == (str(tmp_path / "a.zip"), str(tmp_path / "b"))
    assert recipe.out == str(tmp_path / "deep" / "runs" / "x")
    pointed = load_recipe(path, train=[str(folder / "train")], val=[str(folder / "val")])
    assert pointed.data.val == (str(folder / "val"),)


@pytest.mark.parametrize("text", ["arch: [", "- a list", "\x00"])
def test_a_recipe_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(SpecError, match=r"recipe\.yaml"):
        load_recipe(path)
    with pytest.raises(SpecError, match=r"other\.yaml cannot be read"):
        load_recipe(tmp_path / "other.yaml")


NETS = [path for path in sorted(ZOO.glob("*.yaml")) if not is_generator_recipe(path)]  # test_generator has the other


@pytest.mark.parametrize("path", NETS, ids=lambda path: path.stem)
def test_the_zoos_recipes_are_valid(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.arch == path.stem
    assert {0, recipe.epochs} <= set(recipe.checkpoints)


def test_the_learning_rate_warms_up_then_falls_to_zero(folder: Path) -> None:
    recipe = tiny_recipe(folder, optimizer={"learning_rate": 0.2, "warmup": 0.1})
    rates = [learning_rate(recipe, step, 100) for step in range(100)]
    assert rates[:10] == sorted(rates[:10])
    assert rates[10] == pytest.approx(0.2)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[55] == pytest.approx(0.1)
    assert rates[-1] < 0.001


def test_rare_classes_are_shown_again(folder: Path) -> None:
    photos = load_photos([folder / "train"], SIDE)
    rare = replace(photos, labels=np.array([0] * 45 + [1] * 3))
    order = epoch_order(rare, 10, np.random.default_rng(0))
    assert np.bincount(rare.labels[order]).tolist() == [45, 10]
    assert np.bincount(order).min() == 1


def test_augmenting_by_nothing_is_the_plain_picture(folder: Path) -> None:
    nothing = Augment(scale=(1, 1), ratio=(1, 1), flip=0, brightness=0, contrast=0, saturation=0)
    pictures = torch.from_numpy(load_photos([folder / "val"], SIDE).pictures)
    rows = np.array([3, 0, 9])
    batch = augment(pictures, rows, SIDE, nothing, np.random.default_rng(0))
    assert batch.shape == (3, 3, SIDE, SIDE)
    torch.testing.assert_close(batch, centre_crop(pictures[rows], SIDE), atol=1e-4, rtol=1e-4)


def test_colour_changes_are_those_of_pillow(folder: Path) -> None:
    from PIL import ImageEnhance

    pictures = load_photos([folder / "val"], SIDE).pictures
    middling = torch.from_numpy(pictures // 2 + 60)  # far from black and white: Pillow clips there, we do not
    turned = augment(
        middling,
        np.array([0]),
        SIDE,
        Augment(scale=(1, 1), ratio=(1, 1), flip=1, brightness=0, contrast=0.4, saturation=0),
        np.random.default_rng(0),
    )
    rng = np.random.default_rng(0)
    rng.uniform(), rng.uniform(), rng.integers(0, 1, 1), rng.integers(0, 1, 1), rng.random(1), rng.uniform()
    factor = rng.uniform(0.6, 1.4)
    wanted = ImageEnhance.Contrast(Image.fromarray(middling[0].numpy()).transpose(0)).enhance(factor)
    wanted_batch = centre_crop(torch.from_numpy(np.array(wanted))[None], SIDE)
    assert float((turned - wanted_batch).abs().max()) < 0.03  # Pillow rounds the grey level to a whole number


@pytest.mark.parametrize(("seconds", "text"), [(44.6, "45 s"), (720, "12 min"), (5400, "1 h 30 min")])
def test_time_left_is_said_as_people_do(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_plain_lines_are_printed_unless_quiet(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(tiny_recipe(folder, epochs=1, checkpoints=[]), tmp_path / "a", "cpu", quiet=True)
    assert capsys.readouterr() == ("", "")
    train(tiny_recipe(folder, epochs=1, checkpoints=[]), tmp_path / "b", "cpu")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("resnet_mini epoch 1/1: loss ")
    assert err.count("\n") == 1


def test_a_rendered_world_can_be_trained_on_without_a_file() -> None:
    photos = load_photos(["rendered:objects?n=12&seed=4"], 48)
    assert photos.pictures.shape == (12, 48, 48, 3)
    assert photos.labels.tolist() == [place % 10 for place in range(12)]
    again = load_photos(["rendered:objects?n=12&seed=4"], 48, photos.classes)
    assert np.array_equal(again.pictures, photos.pictures)
    assert again.digest == photos.digest != load_photos(["rendered:objects?n=12&seed=5"], 48).digest
    for wrong, words in (
        (["rendered:objects?n=12", "photos"], "stands alone"),
        (["rendered:objects?size=9"], r"should look like rendered:objects\?n=4000&seed=1"),
        (["rendered:objetcs?n=9"], "objects"),
    ):
        with pytest.raises(ImageError, match=words):
            load_photos(wrong, 48)
    with pytest.raises(ImageError, match="classes the net does not know"):
        load_photos(["rendered:objects?n=12"], 48, ("cat", "dog"))
    recipe = load_recipe(ZOO / "rendered" / "resnet.yaml")
    assert recipe.data.train == ("rendered:objects?n=5000&seed=1",)


def test_salt_and_pepper_turn_a_share_of_the_pixels_black_or_white_and_nothing_else() -> None:
    pictures = torch.full((8, SIDE, SIDE, 3), 128, dtype=torch.uint8)
    rows = np.arange(8)
    plain = Augment(brightness=0, contrast=0, saturation=0)
    salted = plain.model_copy(update={"salt_pepper": 0.5})
    before = augment(pictures, rows, 32, plain, np.random.default_rng(1))
    after = augment(pictures, rows, 32, salted, np.random.default_rng(1))
    changed = (before != after).any(1)  # N S S
    shares = changed.float().mean((1, 2))
    assert 0.02 < shares.mean() < 0.5
    assert shares.max() <= 0.55
    assert shares.std() > 0.02, "each picture has a share of its own"
    colours = after.permute(0, 2, 3, 1)[changed] * torch.tensor(STD) + torch.tensor(MEAN)
    assert set(colours.round(decimals=4).abs().unique().tolist()) == {0.0, 1.0}
    assert colours.std(1).max() < 1e-5, "all three colours together"


def test_the_same_weights_are_the_same_file(folder: Path, finished: TrainResult) -> None:
    tensors = load_file(finished.out / "epoch-003.safetensors")
    with safe_open(finished.out / "epoch-003.safetensors", "pt") as opened:
        described = opened.metadata()
    backwards = dict(reversed(described.items()))
    assert packed(tensors, backwards) == (finished.out / "epoch-003.safetensors").read_bytes()
