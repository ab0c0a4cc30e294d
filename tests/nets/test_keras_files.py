"""Whole files of Keras: those of older versions, what a card says of them, and what becomes of a softmax."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

import reportgen
from reportgen import load_net
from reportgen.nets.weights import resolve
from reportgen.site_text import card_facts
from tests import tiny
from tests.nets import model_files
from tests.nets.files import make_keras
from tests.nets.keras_twins import keras

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras 3.15, NumPy 2
L = keras.layers
OLD = Path(make_keras.__file__).parent
SIDE = 32
WHOLE = [("keras-2.15.zip", "net.h5"), *((f"keras-{version}.zip", "net.keras") for version in ("2.13", "2.15", "3.0"))]


def saved(folder, *parts, name="mine", size=SIDE, ending=".keras"):
    """The path of a small net that begins with these layers, and the net."""
    entry = x = keras.Input((size, size, 3))
    for part in (*parts, L.Conv2D(4, 3, activation="relu", name="conv"), L.GlobalAveragePooling2D()):
        x = part(x)
    path = folder / f"net{ending}"
    model = keras.Model(entry, L.Dense(3, activation="softmax", name="scores")(x), name=name)
    model.save(path)
    return str(path), model


def card_of(made):
    return load_net(made[0], device="cpu").card


@pytest.mark.parametrize(("version", "name"), WHOLE)
def test_a_file_of_an_older_keras_gives_the_logits_of_that_keras(version, name, tmp_path):
    with zipfile.ZipFile(OLD / version) as file:
        file.extract(name, tmp_path)
        truth = np.load(io.BytesIO(file.read("logits.npy")))
    net = load_net(str(tmp_path / name), device="cpu")
    with torch.no_grad():
        found = net.module(torch.from_numpy(make_keras.pictures().transpose(0, 3, 1, 2).copy()))
    np.testing.assert_allclose(found, truth, atol=1e-4)
    layers = [layer.name for layer in net.card.layers]
    assert {"rescaling", "backbone.inner_conv", "backbone.inner_conv_relu", "dense_relu", "scores"} <= set(layers)
    assert net.card.basis["colours"] == "read from the file"


@pytest.mark.parametrize("ending", [".h5", ".keras"])
def test_a_file_keeps_keras_names_and_both_sides_of_a_fused_relu(ending, tmp_path):
    path, _ = saved(tmp_path, L.Conv2D(5, 3, activation="relu", name="block1_conv1"), ending=ending)
    net = load_net(path, device="cpu")
    before, after = ({layer.name: layer for layer in net.card.layers}[f"block1_conv1{end}"] for end in ("", "_relu"))
    assert (before.kind, after.kind, before.shape) == ("Conv2d", "ReLU", after.shape)
    shown = [
        reportgen.compute("deconvnet", net, tiny.photo(), layer=name, units=[1]) for name in ("block1_conv1", "conv")
    ]
    assert all(np.isfinite(artifact.arrays["guided"]).all() for artifact in shown)


# ------------------------------------------------------------------------------------------------- a softmax at the end


def ended(*last):
    body = [torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()]
    return tiny.seeded(lambda: torch.nn.Sequential(*body, torch.nn.Linear(4, 6), *last), size=SIDE)


def write(module, path):
    x = model_files.picture_batch(1, SIDE)
    if path.suffix == ".pt2":
        torch.export.save(torch.export.export(module, (x,)), path)
    else:
        pytest.importorskip("onnx", reason="the extra onnx is not installed")
        pytest.importorskip("onnxscript", reason="PyTorch's ONNX exporter needs onnxscript")
        torch.onnx.export(module, (x,), path, verbose=False)


@pytest.mark.parametrize("last", [torch.nn.Softmax(1), torch.nn.Softmax(-1), torch.nn.LogSoftmax(1)])
@pytest.mark.parametrize("name", ["net.pt2", "net.onnx"])
def test_a_softmax_at_the_end_of_any_model_file_is_left_out_and_the_card_says_so(name, last, tmp_path):
    module = ended(last)
    write(module, tmp_path / name)
    net, x = load_net(str(tmp_path / name), device="cpu"), model_files.picture_batch(2, SIDE)
    with torch.no_grad():
        np.testing.assert_allclose(net.module(x), module[:-1](x), atol=1e-6)
    assert net.card.basis["logits"].startswith("the softmax at the end of the file's net was left out")
    assert ("Logits", net.card.basis["logits"]) in card_facts(net.card)


def test_a_net_without_a_softmax_is_left_as_it_is_and_nothing_is_said(tmp_path):
    write(ended(), tmp_path / "net.pt2")
    assert "logits" not in load_net(str(tmp_path / "net.pt2"), device="cpu").card.basis


class _Gated(torch.nn.Module):
    """A net whose probabilities are used for something else too."""

    def __init__(self):
        super().__init__()
        self.body = ended()

    def forward(self, x):
        p = self.body(x).softmax(1)
        return p * p.amax(1, keepdim=True)


def test_a_softmax_that_more_is_made_of_is_kept(tmp_path):
    module = tiny.seeded(_Gated, size=SIDE)
    write(module, tmp_path / "net.pt2")
    net, x = load_net(str(tmp_path / "net.pt2"), device="cpu"), model_files.picture_batch(2, SIDE)
    with torch.no_grad():
        np.testing.assert_allclose(net.module(x), module(x), atol=1e-6)
    assert "logits" not in net.card.basis


def test_a_softmax_of_maps_that_become_a_vector_behind_it_is_left_out(tmp_path):
    entry = keras.Input((SIDE, SIDE, 3))
    x = L.Conv2D(5, 1, name="scores")(L.GlobalAveragePooling2D(keepdims=True)(L.Conv2D(4, 3, activation="relu")(entry)))
    scores = L.Reshape((5,))(x)
    keras.Model(entry, L.Reshape((5,))(L.Activation("softmax")(x))).save(tmp_path / "net.keras")
    net, pictures = load_net(str(tmp_path / "net.keras"), device="cpu"), model_files.picture_batch(2, SIDE)
    truth = keras.Model(entry, scores).predict(pictures.permute(0, 2, 3, 1).numpy(), verbose=0)
    with torch.no_grad():
        np.testing.assert_allclose(net.module(pictures), truth, atol=1e-5)


# ----------------------------------------------------------------------------------------------- what pictures it wants


def learned():
    layer = L.Normalization()
    layer.adapt(np.random.default_rng(0).normal((100, 120, 140), (50, 60, 70), (64, 3)))
    return layer


BYTES = {
    "divided": lambda: [L.Rescaling(1 / 255)],
    "to both sides of zero": lambda: [L.Rescaling(1 / 127.5, offset=-1)],
    "normalised": lambda: [learned()],
    "behind augmentation": lambda: [keras.Sequential([L.RandomFlip(), L.RandomZoom(0.1)]), L.Rescaling(1 / 255)],
    "within the backbone": lambda: [keras.Sequential([L.RandomFlip(), L.Rescaling(1 / 255), L.Conv2D(3, 1)])],
    "by an operation": lambda: [lambda x: x / 127.5 - 1.0],
}


@pytest.mark.filterwarnings("ignore:.*numpy.core.*:DeprecationWarning")
@pytest.mark.parametrize("ending", [".keras", ".h5"])
@pytest.mark.parametrize("kind", BYTES)
def test_a_net_that_scales_for_itself_is_given_what_it_scales(kind, ending, tmp_path):
    path, model = saved(tmp_path, *BYTES[kind](), ending=ending)
    net, picture = load_net(path, device="cpu"), tiny.photo(0, SIDE)
    assert net.card.basis == {**net.card.basis, "size": "read from the file", "colours": "read from the file"}
    assert (net.card.preprocess.mean, net.card.preprocess.order) == ((0, 0, 0), "rgb")
    with torch.no_grad():
        fed = net.preprocess([picture])  # 1 C H W
        found = net.module(fed).softmax(1)
    assert 100 < fed.max() <= 255
    truth = model.predict(fed.permute(0, 2, 3, 1).numpy(), verbose=0)
    np.testing.assert_allclose(found, truth, atol=1e-5)


def test_a_range_from_0_to_1_is_read_where_the_first_layer_tells(tmp_path):
    for number, first in enumerate(([L.Rescaling(2.0, offset=-1)], [L.Normalization(mean=0.5, variance=0.1)])):
        (tmp_path / str(number)).mkdir()
        card = card_of(saved(tmp_path / str(number), *first))
        assert (card.preprocess.mean, card.preprocess.std) == ((0, 0, 0), (1, 1, 1))
        assert card.basis["colours"] == "read from the file"


def test_what_nothing_tells_is_a_guess_and_keras_own_nets_are_guessed_by_name(tmp_path):
    card = card_of(saved(tmp_path))
    assert card.basis["colours"] == "a guess: the file does not say"
    assert card.preprocess.mean == (0.485, 0.456, 0.406)
    path, model = saved(tmp_path, L.ZeroPadding2D(1), name="resnet50")
    net, x = load_net(path, device="cpu"), model_files.picture_batch(1, SIDE)
    assert net.card.preprocess.order == "bgr"
    assert net.card.basis["colours"] == "a guess, as Keras' own resnet50 was trained so: the file does not say"
    truth = model.predict(x.flip(1).permute(0, 2, 3, 1).numpy(), verbose=0)
    with torch.no_grad():  # fed RGB, it does what Keras' does with BGR, for all that zeros are put around the picture
        np.testing.assert_allclose(net.module(x).softmax(1), truth, atol=1e-5)
    said = load_net(path, device="cpu", preprocess="tf").card
    assert (said.preprocess.order, said.basis["colours"]) == ("rgb", "given by the user")


def test_what_is_known_of_a_file_is_remembered_without_reading_it_again(tmp_path, monkeypatch):
    path, _ = saved(tmp_path, L.Rescaling(1 / 255))
    first = resolve(path, memo_dir=tmp_path / "memo")
    monkeypatch.setattr("reportgen.nets.hdf5.find_spec", lambda name: None)
    assert resolve(path, memo_dir=tmp_path / "memo") == first
    assert first.basis["colours"] == "read from the file"


def test_a_net_for_pictures_of_any_size_takes_the_size_that_is_given(tmp_path):
    path, _ = made = saved(tmp_path, size=None)
    card = load_net(path, device="cpu", preprocess={"size": 40}).card
    assert (card.preprocess.size, card.basis["size"]) == (40, "given by the user")
    assert card_of(made).basis["size"] == "a guess: the file does not say"


def test_padding_before_layers_is_no_stage_of_its_own(tmp_path):
    parts = [L.Rescaling(1 / 255), L.Conv2D(4, 3, strides=2, padding="same", activation="relu", name="first")]
    then = L.Conv2D(4, 3, strides=2, activation="relu", name="second")
    card = card_of(saved(tmp_path, *parts, L.ZeroPadding2D(1, name="pad"), then))
    assert card.stages == {"stage1": "first_relu", "stage2": "conv_relu"}
    assert {"first_pad", "first", "pad"} <= {layer.name for layer in card.layers}


def test_a_report_on_a_keras_file_shows_what_was_read(tmp_path, monkeypatch):
    monkeypatch.setenv("REPORTGEN_CACHE", str(tmp_path / "cache"))
    saved(tmp_path, L.Rescaling(1 / 255))
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "title: A file\nmodels: {mine: {arch: net.keras}}\nimages: {cat: {source: 'skimage:chelsea'}}\n"
        "sections: [{id: saliency, title: Saliency, method: saliency}]\n"
    )
    reportgen.build(spec, out=tmp_path / "out")
    page = (tmp_path / "out" / "net" / "mine.html").read_text()
    assert "32 × 32 pixels (read from the file)" in page
    assert "the softmax at the end of the file&#39;s net was left out" in page
