"""Gradient ascent as a method: what it gives, what it refuses, and that it drives units further than photos do."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

import reportgen
from reportgen import hooks
from reportgen.errors import MethodError, ModelError, NotApplicable
from reportgen.images import decode
from reportgen.methods import method
from reportgen.records import Artifact, Input
from tests import tiny

DATA = Path(__file__).parents[3] / "shared" / "data"
WEIGHTS = DATA / "squeezenet1_0-imagenet1k.safetensors"
PHOTOS = {"squeezenet1_0": DATA / "imagenet-500.zip"}
LAYERS = {"squeezenet1_0": ("stage3", "last_conv")}


def ascend(net, **params):
    return reportgen.compute("gradient_ascent", net, **{"layer": "last_conv", "units": [1, 5], "steps": 3, **params})


def photos(arch):
    """500 photos of the kind the net was trained on, evenly spread over their classes; skips where they are missing."""
    file = PHOTOS.get(arch, DATA / "photos-val.zip")
    if not file.is_file():
        pytest.skip(f"not compared with real photos on {arch}: {file} is missing")
    with zipfile.ZipFile(file) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        names = names[:: max(1, len(names) // 500)][:500]
        return [decode(io.BytesIO(archive.read(name)), name) for name in names]


@pytest.mark.parametrize("arch", ["squeezenet1_0", "alexnet_mini", "vgg_mini", "googlenet_mini", "resnet_mini"])
def test_units_are_driven_further_than_by_any_position_of_500_real_photos(arch):
    pictures = photos(arch)
    net = reportgen.load_net(arch, device="cpu", **({} if arch.endswith("_mini") else {"weights": str(WEIGHTS)}))
    layers = LAYERS.get(arch, ("stage3", "stage5"))
    best = dict.fromkeys(layers, -np.inf)
    for i in range(0, len(pictures), 10):  # the net as it is, by its own preprocessing
        for layer, value in hooks.run_to(net, net.preprocess(pictures[i : i + 10]), layers).items():
            best[layer] = np.maximum(best[layer], value.amax(dim=(0, 2, 3)).numpy())
    steps, count = (48, 2) if arch == "squeezenet1_0" else (96, 3)
    for layer in layers:
        artifact = reportgen.compute("gradient_ascent", net, layer=layer, units=count, steps=steps)
        reached, units = artifact.arrays["reached"], artifact.arrays["units"]
        assert (reached > best[layer][units]).all(), (layer, reached / best[layer][units])
        spread = artifact.arrays["images"].std(axis=(2, 3))  # U 3
        assert (spread > 0.05).all(), "no picture is a flat grey"


def test_it_gives_a_picture_per_unit_and_the_same_bytes_for_the_same_seed_only():
    net = tiny.tiny_net("branching")
    one, again, other = ascend(net, seed=1), ascend(net, seed=1), ascend(net, seed=2)
    assert one.arrays["images"].shape == (2, 3, 64, 64)
    assert one.arrays["activation"].shape == (2, 3)
    assert one.arrays["units"].tolist() == one.numbers["units"] == [1, 5]
    assert one.arrays["reached"].tolist() == one.arrays["activation"][:, -1].tolist() == one.numbers["reached"]
    assert all(one.arrays[name].tobytes() == again.arrays[name].tobytes() for name in one.arrays)
    assert not np.allclose(one.arrays["images"], other.arrays["images"])
    assert one.numbers["names"] == ["unit 1", "unit 5"]


@pytest.mark.parametrize("precision", ["fp64", "bf16"])
def test_a_net_of_another_precision_is_climbed_in_its_own(precision):
    artifact = ascend(tiny.tiny_net("residual", precision), steps=20)
    assert artifact.arrays["images"].dtype == np.float32
    assert (artifact.arrays["reached"] > artifact.numbers["start"]).all()


def test_a_number_is_a_seeded_choice_and_lists_and_all_work_too():
    net = tiny.tiny_net("plain")  # ten channels
    chosen = ascend(net, units=3).numbers["units"]
    assert chosen == ascend(net, units={"random": 3}).numbers["units"]
    assert len(set(chosen)) == 3
    assert ascend(net, units=[7, 2]).numbers["units"] == [7, 2]
    assert ascend(net, units="all").numbers["units"] == list(range(10)) == ascend(net, units=99).numbers["units"]


def test_units_of_the_logits_carry_the_names_of_their_classes():
    artifact = ascend(tiny.tiny_net("plain"), layer="logits", units=[2, 0])
    assert artifact.numbers["names"] == ["church", "tabby, tabby cat"]
    assert artifact.arrays["activation"].shape == (2, 3)
    labels = method("gradient_ascent").panels(artifact)[0].row_labels
    assert labels[0].startswith("church: ")


def test_pictures_have_the_size_asked_for_and_one_that_the_net_cannot_take_is_refused():
    assert ascend(tiny.tiny_net("plain"), layer="logits", size=80).arrays["images"].shape[-1] == 80  # adaptive pooling
    net = tiny.tiny_net("functional")  # its dense layer wants 64 pixels
    assert ascend(net, layer="conv3", size=80).arrays["images"].shape == (2, 3, 80, 80)
    with pytest.raises(MethodError, match=r"size: functional cannot be run to fc .* 80 x 80 .* is 64"):
        ascend(net, layer="fc", size=80)
    with pytest.raises(MethodError, match="size: 8 pixels are too few; at least 16"):
        ascend(net, size=8)


@pytest.mark.parametrize(
    ("params", "error", "words"),
    [
        ({"units": [1, 10]}, MethodError, "has no unit 10: its 10 units are numbered from 0 to 9"),
        ({"units": [-1]}, MethodError, "is no choice of units"),
        ({"steps": 0}, MethodError, "steps: 0 is too few"),
        ({"preset": "lucid"}, MethodError, "preset should be one of fourier, erhan, simonyan, yosinski"),
        ({"objective": "mean"}, MethodError, "objective should be one of strongest, channel, neuron"),
        ({"layer": "feature.6"}, ModelError, "has no layer 'feature.6'"),
        ({"layer": "stage7"}, NotApplicable, "has no stage7"),
    ],
    ids=str,
)
def test_what_cannot_be_climbed_is_refused_in_a_sentence(params, error, words):
    with pytest.raises(error, match=words):
        ascend(tiny.tiny_net("plain"), **params)


def test_a_damaged_net_is_an_error_and_not_a_picture():
    net = tiny.tiny_net("plain")
    net.module.features[3].weight[0] = float("nan")
    with pytest.raises(MethodError, match="NaN"):
        ascend(net)


def beside(artifact, activations, names=("cat", "dog")):
    arrays = {"activations": np.array(activations, np.float32), "pictures": np.arange(len(activations)) % 2}
    return Artifact(artifact.arrays, artifact.numbers, {"strongest": Artifact(arrays, {"names": list(names)})})


def test_the_panels_put_the_strongest_real_picture_beside_each_unit_where_it_is_known():
    found = method("gradient_ascent")
    net = tiny.tiny_net("plain")
    artifact = found.run(net, [Input()], found.params(layer="last_conv", units=[1, 5], steps=40), [rng()])[0]
    sheet, table, climb = found.panels(artifact)
    assert sheet.values.shape == (1, 2, 3, 64, 64)
    assert "(" not in sheet.row_labels[0]
    assert table.columns == ("unit", "activation reached", "at the start")
    assert climb.values.shape == (2, 40)
    reached = artifact.numbers["reached"]
    shown = beside(artifact, [9.0, reached[0] / 2, 9.0, 9.0, 9.0, reached[1] * 4])
    sheet, table, _ = found.panels(shown)
    assert [line.split(":")[0] for line in sheet.row_labels[0].splitlines()] == ["1", "5"]
    assert sheet.row_labels[0].count("(") == 2
    assert "1 of 2 go further than on any picture of this report" in sheet.caption
    assert table.columns[3:] == ("strongest picture of the report", "times as far")
    assert [row[-1] for row in table.rows] == ["2.0", "0.2"]
    assert all("(dog)" in row[3] for row in table.rows)


def rng():
    return np.random.default_rng(0)


def test_a_sheet_of_five_has_one_empty_tile_and_says_which_unit_is_where():
    found = method("gradient_ascent")
    net = tiny.tiny_net("residual")
    artifact = found.run(
        net, [Input()], found.params(layer="layer2", units=[0, 1, 2, 3, 4], steps=1, size=32), [rng()]
    )[0]
    sheet = found.panels(artifact)[0]
    assert sheet.values.shape == (2, 3, 3, 32, 32)
    assert np.isnan(sheet.values[1, 2]).all()
    assert not np.isnan(sheet.values[1, 1]).any()
    assert [label.split(":")[0] for label in sheet.row_labels] == ["0", "3"]
