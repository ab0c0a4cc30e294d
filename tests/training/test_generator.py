"""Generators by recipe: they learn, can be stopped and gone on with, are exported whole; what is wrong is said."""

import time

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.cluster import KMeans

import reportgen
from reportgen import generators
from reportgen.errors import ModelError, SpecError
from reportgen.training.data import MEAN, STD, load_photos
from reportgen.training.generator import STATE, likely_codes, train_generator
from reportgen.training.generator_begin import RIDGE, begin
from reportgen.training.generator_export import export_generator
from reportgen.training.generator_recipe import is_generator_recipe, load_generator_recipe, make_generator_recipe
from reportgen.training.generator_steps import _code_apart, _doubt, _features_apart, generator_step, normalised, shown
from reportgen.training.progress import line

TINY = {
    "generator": {"net": "resnet_mini", "weights": "random", "layer": "penultimate", "size": 32, "dense": 16,
                  "widths": [16, 12, 8], "refined": [16]},
    "data": {"train": "rendered:objects?n=48&seed=1", "val": "rendered:objects?n=16&seed=2"},
    "losses": {"comparator": ["stage2"]},
    "judge": {"widths": [4, 6, 8], "starts": 1},
    "autoencoder": {"widths": [24, 8], "steps": 30},
    "epochs": 2,
    "centres": 7,
    "batch": 8,
    "precision": "fp32",
}  # fmt: skip


def recipe(**changes):
    return make_generator_recipe({**TINY, **changes})


def trained(out, wanted=None, **how):
    return train_generator(wanted or recipe(), out, "cpu", **how)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    told = []
    studio = trained(tmp_path_factory.mktemp("run"), progress=told.append)
    return studio, told


def test_it_tells_each_epoch_and_writes_a_log(finished):
    studio, told = finished
    ends = [event for event in told if event.said]
    assert len(ends) == len(studio.rows) == 2
    assert line(ends[1]).startswith("generator: epoch 2/2: pixel ")
    assert [(event.epoch, event.step) for event in told if not event.said] == [
        (epoch, step) for epoch in (1, 2) for step in range(1, 7)
    ]
    assert (studio.out / "log.csv").read_text().splitlines()[0].startswith("epoch,pixel,feature,code,adversarial,judge")
    assert studio.rows[0]["adversarial"] == studio.rows[0]["judge"] == 0, "the judge has not begun to speak"
    assert studio.rows[1]["judge"] > 0
    assert not torch.are_deterministic_algorithms_enabled()


def test_it_learns_to_paint_the_picture_of_its_code(tmp_path):
    long = recipe(epochs=8, learning_rate=2e-3, average=0.5, judge={"widths": [4, 6, 8], "starts": 8})
    studio = trained(tmp_path, long)
    flat = np.float32(studio.photos.pictures).reshape(48, -1) / 255
    spread = ((flat - flat.mean(0)) ** 2).mean() / 0.226**2  # what painting the mean picture would cost
    assert studio.rows[0]["pixel"] < 0.5 * spread
    assert studio.rows[-1]["feature"] < 0.92 * studio.rows[0]["feature"]


def test_it_begins_with_the_pictures_of_ridge_regression(tmp_path):
    from sklearn.linear_model import Ridge

    wide = recipe(generator={**TINY["generator"], "dense": 100})  # as many directions as 48 pictures and mirrors have
    studio = begin(wide, tmp_path, "cpu")
    codes = ((studio.codes - studio.mean) / studio.spread).flatten(0, 1).double()
    pictures = load_photos(wide.data.train, studio.encoder.card.preprocess.resize).pictures
    rows = [np.asarray(Image.fromarray(one).resize((16, 16), Image.Resampling.BILINEAR)) for one in pictures]
    both = np.stack([(row, row[:, ::-1]) for row in rows]).reshape(96, 16, 16, 3) / 255
    wanted = ((both - MEAN) / STD).transpose(0, 3, 1, 2).reshape(96, -1)
    alone = Ridge(alpha=RIDGE * 96).fit(codes.numpy(), wanted).predict(codes.numpy())
    told = studio.generator.dense1(codes.float())
    assert np.abs(studio.generator.coarse(told).detach().numpy() - alone).max() < 0.02, "apart from 8 bits"
    with torch.no_grad():
        painted = studio.generator(codes.float()).numpy().reshape(96, 3, 16, 2, 16, 2).mean((3, 5)).reshape(96, -1)
    assert np.corrcoef(painted.ravel(), alone.ravel())[0, 1] > 0.95, "and few details"


def test_an_interrupted_training_goes_on_to_the_same_weights(finished, tmp_path):
    studio, _ = finished
    first = trained(tmp_path, until=time.monotonic() + 1e-9)
    assert len(first.rows) == 0
    half = []

    def stop(event):
        if event.epoch == 2:
            raise KeyboardInterrupt
        half.append(event)

    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, progress=stop)
    assert (tmp_path / STATE).is_file()
    whole = trained(tmp_path, progress=half.append)
    assert len([event for event in half if event.said]) == 2
    for name, value in studio.averaged.state_dict().items():
        assert torch.equal(value, whole.averaged.state_dict()[name]), name
    plain = [{k: v for k, v in row.items() if k != "seconds"} for row in whole.rows]
    assert plain == [{k: v for k, v in row.items() if k != "seconds"} for row in studio.rows]


def test_more_epochs_may_be_asked_of_a_run_later(finished, tmp_path):
    trained(tmp_path, recipe(epochs=1))
    whole = trained(tmp_path, recipe(epochs=2))
    for name, value in finished[0].averaged.state_dict().items():
        assert torch.equal(value, whole.averaged.state_dict()[name]), name


def test_a_run_of_another_recipe_or_of_a_net_is_not_gone_on_with(finished, tmp_path):
    studio, _ = finished
    with pytest.raises(SpecError, match=r"another recipe; these differ: batch, seed\."):
        trained(studio.out, recipe(batch=4, seed=3))
    torch.save({"net": {}}, tmp_path / STATE)
    with pytest.raises(SpecError, match="a training of a net, not of a generator"):
        trained(tmp_path)


def test_a_loss_that_becomes_nan_stops_with_the_epoch_and_the_rate(tmp_path):
    with pytest.raises(SpecError, match=r"NaN or infinite in epoch [12] at learning rate 1e\+30"):
        trained(tmp_path, recipe(learning_rate=1e30))


def test_a_code_that_is_not_rectified_is_refused(tmp_path):
    with pytest.raises(SpecError, match="code logits of resnet_mini has negative features"):
        trained(tmp_path, recipe(generator={**TINY["generator"], "layer": "logits"}))
    with pytest.raises(ModelError, match="has no layer 'penultima'"):
        trained(tmp_path, recipe(generator={**TINY["generator"], "layer": "penultima"}))


def test_a_picture_and_its_mirror_picture_are_shown_with_the_codes_the_net_gives_them(finished):
    studio, _ = finished
    side = studio.encoder.card.preprocess.resize
    pictures = load_photos(studio.recipe.data.train, side).pictures  # as large as the net wants photos
    rows, mirrored = np.array([3, 7, 3]), np.array([False, True, True])
    seen = [pictures[row][:, ::-1] if flip else pictures[row] for row, flip in zip(rows, mirrored, strict=True)]
    codes = reportgen.compute(
        "activity", studio.encoder, [one / np.float32(255) for one in seen], layer="penultimate", units="all"
    )
    wanted = np.stack([one.arrays["activation"].ravel() for one in codes])
    made, own = shown(studio, rows, mirrored)
    plain = (own * studio.spread + studio.mean).numpy()
    assert np.abs(plain - wanted).max() < 1e-4 * np.abs(wanted).max()
    assert made.shape == (3, 3, 32, 32)
    small = ((made * torch.tensor(STD).view(1, 3, 1, 1) + torch.tensor(MEAN).view(1, 3, 1, 1)) * 255).numpy()
    assert np.abs(small[0] - small[2][:, :, ::-1]).max() < 1e-3
    for one, picture in zip(small, seen, strict=True):
        shrunk = np.asarray(Image.fromarray(np.ascontiguousarray(picture)).resize((32, 32), Image.Resampling.BILINEAR))
        assert np.abs(one - shrunk.transpose(2, 0, 1)).max() < 1.6


def test_the_voices_are_silent_for_the_photos_themselves(finished):
    studio, _ = finished
    side = studio.encoder.card.preprocess.resize
    pictures = torch.from_numpy(load_photos(studio.recipe.data.train, side).pictures[:4])
    photos, codes = normalised(pictures), studio.standard(studio.codes[:4, 0])
    assert _code_apart(studio, photos, codes) < 1e-6
    assert _features_apart(studio, photos, photos) == 0
    assert _code_apart(studio, photos, codes.flip(0)) > 0.1
    assert _features_apart(studio, photos, photos.flip(0)) > 0.01


def test_each_voice_has_its_share_of_what_the_generator_learns_from(finished, tmp_path):
    studio = begin(recipe(judge={"widths": [4, 6, 8], "starts": 0}), tmp_path, "cpu")
    real, code = shown(studio, np.arange(8), np.zeros(8, bool))
    made = studio.generator(code).detach().requires_grad_()
    parts = {
        "own": _features_apart(studio, made, real) * 0.4 + (made - real).square().mean(),
        "code": _code_apart(studio, made, code),
        "judge": _doubt(studio, made, code),
    }
    own, found, judged = (torch.autograd.grad(part, made)[0] for part in parts.values())
    wanted = own + 1.5 * found * own.norm() / found.norm() + 0.3 * judged * own.norm() / judged.norm()
    before = [part.detach().clone() for part in studio.generator.parameters()]
    sums = torch.autograd.grad(studio.generator(code), list(studio.generator.parameters()), wanted)
    generator_step(studio, real, code, judged=True)
    for part, old, slope in zip(studio.generator.parameters(), before, sums, strict=True):
        strong = slope.abs() > 1e-6  # Adam's first step is the rate, against the slope's sign
        assert torch.equal((part - old)[strong].sign(), -slope[strong].sign())


def test_fewer_pictures_than_a_batch_are_refused(tmp_path):
    with pytest.raises(SpecError, match="48 pictures to train on are less than a batch of 64"):
        trained(tmp_path, recipe(batch=64))


def test_the_exported_file_takes_codes_as_the_net_gives_them(finished, tmp_path):
    studio, _ = finished
    export_generator(studio, tmp_path / "own.safetensors")
    found = generators.load_generator(str(tmp_path / "own.safetensors"))
    codes = studio.codes[:10, 1]
    wanted = studio.averaged(studio.standard(codes))
    assert (found.module(codes) - wanted).abs().max() < 0.02 * wanted.abs().max(), "apart from float16"
    likely = likely_codes(studio.standard(studio.codes.flatten(0, 1)), studio.recipe)
    wanted = likely(studio.standard(codes)) * studio.spread + studio.mean
    assert (found.autoencoder(codes) - wanted).abs().max() < 0.02 * wanted.abs().max()
    high = studio.codes.flatten(0, 1).numpy().astype(np.float64)
    assert np.abs(found.high - (high.mean(0) + 3 * high.std(0, ddof=1))).max() < 1e-4
    groups = KMeans(7, n_init=1, max_iter=20, random_state=0).fit(studio.standard(studio.codes[:, 0]).numpy())
    wanted = groups.cluster_centers_ * studio.spread.numpy() + studio.mean.numpy()
    assert np.abs(found.centres - wanted).max() < 1e-3 * wanted.max()
    assert "resnet_mini" in found.inverts
    assert "208 rectified features" in found.inverts
    export_generator(studio, tmp_path / "again.safetensors")
    again = generators.load_generator(str(tmp_path / "again.safetensors"))
    assert again.digest == found.digest
    assert str(tmp_path).encode() not in (tmp_path / "own.safetensors").read_bytes()


def test_the_autoencoder_brings_codes_back_to_the_likely_ones():
    numbers = np.random.default_rng(0)
    basis = numbers.normal(size=(2, 10))
    codes = torch.from_numpy(numbers.normal(size=(500, 2)) @ basis / np.sqrt((basis**2).sum(0))).float()
    wanted = recipe(autoencoder={"widths": [32, 8], "steps": 600, "noise": 0.5})
    net = likely_codes(codes, wanted)
    noisy = codes + 0.5 * torch.from_numpy(numbers.normal(size=codes.shape)).float()
    assert (net(noisy) - codes).square().mean() < 0.4 * (noisy - codes).square().mean()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"generator": {"size": 40}}, r"generator\.size: 40 cannot be halved 4 times"),
        ({"generator": {"layers": "x"}}, r"unknown key 'generator\.layers'\. Did you mean 'layer'"),
        ({"optimiser": 1}, "unknown key 'optimiser'"),
        ({"data": None}, "data: "),
        ({"epochs": 0}, "epochs: "),
    ],
)
def test_a_wrong_recipe_names_what_is_wrong(changes, words):
    with pytest.raises(SpecError, match=words):
        recipe(**changes)


def test_a_recipe_of_a_generator_is_told_by_its_key_and_its_paths_are_its_folders(tmp_path):
    path = tmp_path / "generator.yaml"
    path.write_text("generator: {net: resnet_mini}\ndata: {train: photos, val: more}\nout: here\n")
    assert is_generator_recipe(path)
    found = load_generator_recipe(path)
    assert found.data.train == (str(tmp_path / "photos"),)
    assert found.out == str(tmp_path / "here")
    assert load_generator_recipe(path, train=["other"]).data.train == ("other",)
    other = tmp_path / "net.yaml"
    other.write_text("arch: resnet_mini\n")
    assert not is_generator_recipe(other)
    assert not is_generator_recipe(tmp_path / "none.yaml")
    with pytest.raises(SpecError, match="cannot be read"):
        load_generator_recipe(tmp_path / "none.yaml")


def test_the_recipe_of_the_zoo_is_sound():
    from pathlib import Path

    path = Path(__file__).parents[2] / "specs" / "zoo" / "generator.yaml"
    assert is_generator_recipe(path)
    assert load_generator_recipe(path).generator.net == "resnet_mini"
