"""Generators: the published shapes, both public layouts of its file, what is wrong with others, and our own files."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from reportgen import generator_nets, generators
from reportgen.errors import MethodError, ModelError, NotApplicable

XDREAM = {
    "defc7": "fc7", "defc6": "fc6", "defc5": "fc5", "deconv5": "tconv5_0", "conv5_1": "tconv5_1",
    "deconv4": "tconv4_0", "conv4_1": "tconv4_1", "deconv3": "tconv3_0", "conv3_1": "tconv3_1",
    "deconv2": "tconv2", "deconv1": "tconv1", "deconv0": "tconv0",
}  # fmt: skip
SIDES = {"deconv5": 8, "conv5_1": 8, "deconv4": 16, "conv4_1": 16, "deconv3": 32, "conv3_1": 32}
SIDES |= {"deconv2": 64, "deconv1": 128, "deconv0": 256}


@pytest.fixture(scope="module")
def state():
    """Weights of the published shape, drawn small; the convolutions' biases are zero, as in the released file."""
    net = generator_nets.published()
    numbers = torch.Generator().manual_seed(0)
    drawn = {name: torch.randn(value.shape, generator=numbers) * 0.02 for name, value in net.state_dict().items()}
    return {
        name: torch.zeros_like(value) if name.endswith("bias") and "conv" in name else value
        for name, value in drawn.items()
    }


def in_xdreams_names(state):
    names = {name: name.rpartition(".") for name in state}
    return {
        f"{XDREAM[layer]}.{part}": state[name]
        for name, (layer, _, part) in names.items()
        if not ("conv" in layer and part == "bias")
    }


def test_the_published_generator_has_the_parameters_and_shapes_of_the_paper():
    net = generator_nets.published()
    shapes = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    dense = 3 * (4096 * 4096 + 4096)
    convolutions = {
        "deconv5": (256, 256, 4), "conv5_1": (256, 512, 3), "deconv4": (512, 256, 4), "conv4_1": (256, 256, 3),
        "deconv3": (256, 128, 4), "conv3_1": (128, 128, 3), "deconv2": (128, 64, 4), "deconv1": (64, 32, 4),
        "deconv0": (32, 3, 4),
    }  # fmt: skip
    for name, (width_in, width, kernel) in convolutions.items():
        assert shapes[f"{name}.weight"] == (width_in, width, kernel, kernel)
        assert isinstance(net.get_submodule(name), torch.nn.ConvTranspose2d)
    counted = sum(a * b * k * k + b for a, b, k in convolutions.values())
    assert sum(value.numel() for value in net.state_dict().values()) == dense + counted
    assert abs(counted / 1e6 - 5.75) < 0.01
    assert abs((dense + counted) / 1e6 - 56.1) < 0.05
    assert len([1 for child in net if isinstance(child, torch.nn.LeakyReLU) and child.negative_slope == 0.3]) == 11
    assert not isinstance(list(net)[-1], torch.nn.LeakyReLU)


def test_every_layer_of_the_published_generator_has_the_side_of_the_paper():
    net, value, sides = generator_nets.published().eval(), torch.zeros(1, 4096), {}
    with torch.no_grad():
        for name, child in net.named_children():
            value = child(value)
            sides[name] = value.shape[-1]
    assert {name: sides[name] for name in SIDES} == SIDES
    assert sides["reshape"] == 4
    assert value.shape == (1, 3, 256, 256)


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
@pytest.mark.parametrize("layout", ["xdream", "lucent", "caffe"])
def test_a_published_file_loads_in_both_public_layouts(layout, suffix, state, tmp_path):
    named = {
        "xdream": in_xdreams_names(state),
        "lucent": {f"G.{name}": value for name, value in state.items()},
        "caffe": state,
    }[layout]
    path = tmp_path / f"fc6.{suffix}"
    torch.save(named, path) if suffix == "pt" else save_file(named, path)
    found = generators.load_generator(str(path))
    own = found.module.state_dict()
    assert all(torch.equal(own[name], value) for name, value in state.items())
    assert (found.width, found.size, found.source) == (4096, 256, path.name)
    assert "fc6" in found.inverts
    assert "CaffeNet" in found.inverts
    assert len(found.digest) == 64
    assert found.scale == 1.0
    assert found.autoencoder is None


def test_the_published_generator_is_the_chain_of_functions_that_the_paper_describes(state):
    found = generators.published(state, "fc6.pt")
    code = torch.rand(2, 4096, generator=torch.Generator().manual_seed(1)) * 5
    x = code
    for name in ("defc7", "defc6", "defc5"):
        x = functional.leaky_relu(functional.linear(x, state[f"{name}.weight"], state[f"{name}.bias"]), 0.3)
    x = x.view(2, 256, 4, 4)
    for name in SIDES:
        stride = 1 if name.startswith("conv") else 2
        x = functional.conv_transpose2d(x, state[f"{name}.weight"], stride=stride, padding=1)
        x = x if name == "deconv0" else functional.leaky_relu(x, 0.3)
    levels = x.numpy()
    with torch.no_grad():
        rgb = found.paint(found.module(code)).numpy()
    for colour, (channel, mean) in enumerate(((2, 123), (1, 117), (0, 104))):
        assert np.abs(rgb[:, colour] - (levels[:, channel] + mean) / 255).max() < 1e-5


def broken(state, **changes):
    return {name: value for name, value in {**in_xdreams_names(state), **changes}.items() if value is not None}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tconv3_1.weight": None}, r"lacks the key 'conv3_1\.weight' \(128 x 128 x 3 x 3\)"),
        ({"tconv3_2.weight": torch.zeros(1)}, r"its key 'tconv3_2\.weight' is none of one.*tconv3_1"),
        ({"tconv3_1.weight": torch.zeros(128, 3)}, r"'conv3_1\.weight' of fc6\.pt has the shape 128 x 3; 128 x 128"),
        ({"fc7.weight": torch.zeros(4096, 1000)}, r"'defc7\.weight' of fc6\.pt has the shape 4096 x 1000; 4096 x 4096"),
        ({"conv3_1.weight": torch.zeros(1)}, r"holds 'conv3_1\.weight' twice"),
    ],
)
def test_a_wrong_file_says_which_key_is_wrong(changes, words, state):
    with pytest.raises(MethodError, match=words):
        generators.published(broken(state, **changes), "fc6.pt")


def test_what_is_no_generators_file_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(MethodError, match=r"there is no file .*nowhere\.pt"):
        generators.load_generator(str(tmp_path / "nowhere.pt"))
    with pytest.raises(MethodError, match=r"there is no file .*nowhere\.pt"):
        generators.file_digest(str(tmp_path / "nowhere.pt"))
    save_file({"fc.weight": torch.zeros(2, 2)}, tmp_path / "net.safetensors")
    with pytest.raises(MethodError, match=r"no DeePSiM fc6 generator: its key 'fc\.weight'"):
        generators.load_generator(str(tmp_path / "net.safetensors"))
    torch.save({"run": print}, tmp_path / "code.pt")
    with pytest.raises(ModelError, match="was refused"):
        generators.load_generator(str(tmp_path / "code.pt"))


def test_where_no_generator_is_installed_that_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(generators, "SHIPPED", tmp_path / "none.safetensors")
    with pytest.raises(NotApplicable, match="comes without a generator"):
        generators.load_generator()
    assert generators.file_digest("embedded") == ""


def test_a_file_of_ours_is_known_by_its_metadata_and_a_damaged_one_is_refused(tmp_path):
    shape = generator_nets.Small(5, 32, 6, (8, 4), (32,))
    net, prior = generator_nets.small(shape), generator_nets.autoencoder(5, (4, 2))
    tensors = {f"generator.{name}": value.half() for name, value in net.state_dict().items()}
    tensors |= {f"autoencoder.{name}": value.half() for name, value in prior.state_dict().items()}
    tensors |= {"code.low": torch.zeros(5), "code.high": torch.arange(1.0, 6.0)}
    tensors |= {"code.centres": torch.ones(7, 5).half(), "code.spread": torch.ones(5) / 2}
    said = {
        "format": generators.FORMAT, "shape": json.dumps(shape.described()), "autoencoder": "[4, 2]",
        "inverts": json.dumps({"layer": "avgpool (5 rectified features)", "net": "a tiny net"}),
        "mean": "[0.5, 0.5, 0.5]", "std": "[0.25, 0.25, 0.25]",
    }  # fmt: skip
    save_file(tensors, tmp_path / "own.safetensors", said)
    found = generators.load_generator(str(tmp_path / "own.safetensors"))
    assert found.inverts == "avgpool (5 rectified features) of a tiny net"
    assert (found.width, found.size, found.scale) == (5, 32, 3 / 12)
    assert found.high.tolist() == [1, 2, 3, 4, 5]
    assert (found.centres.tolist(), found.spread.tolist()) == ([[1.0] * 5] * 7, [0.5] * 5)
    code = torch.rand(3, 5)
    assert torch.allclose(found.module(code), net(code), atol=2e-2)
    assert found.paint(torch.zeros(1, 3, 2, 2)).unique().tolist() == [0.5]
    assert found.autoencoder(code).shape == code.shape
    save_file(tensors, tmp_path / "short.safetensors", {name: said[name] for name in ("format", "shape")})
    with pytest.raises(MethodError, match=r"short\.safetensors does not say all about itself"):
        generators.load_generator(str(tmp_path / "short.safetensors"))
    save_file({**tensors, "code.high": torch.ones(4)}, tmp_path / "narrow.safetensors", said)
    with pytest.raises(MethodError, match=r"code\.high of narrow\.safetensors is told for 4 features, .* codes of 5\."):
        generators.load_generator(str(tmp_path / "narrow.safetensors"))
    del tensors["generator.fine.deconv32.weight"]
    save_file(tensors, tmp_path / "less.safetensors", said)
    with pytest.raises(MethodError, match=r"lacks the key 'fine\.deconv32\.weight'"):
        generators.load_generator(str(tmp_path / "less.safetensors"))


def test_an_untrained_generator_is_the_same_every_time():
    one, other = generators.load_generator("random"), generators.load_generator("random")
    assert one.digest == other.digest
    assert one.module(torch.ones(1, one.width)).shape == (1, 3, one.size, one.size)


@pytest.mark.parametrize("size", [40, 8])
def test_a_size_that_doubling_does_not_reach_is_refused(size):
    with pytest.raises(ModelError, match=f"{size} pixels cannot be halved 4 times"):
        generator_nets.small(generator_nets.Small(4, size, 4, (4, 4, 4, 4)))


def test_a_picture_is_the_coarse_one_enlarged_and_what_convolutions_add():
    shape = generator_nets.Small(5, 32, 6, (8, 4), (16,), coarse=8)
    net, code = generator_nets.small(shape), torch.rand(2, 5)
    parts = {name: value.detach() for name, value in net.state_dict().items()}
    told = functional.linear(code, parts["dense1.weight"], parts["dense1.bias"])
    coarse = functional.linear(told, parts["coarse.weight"], parts["coarse.bias"]).view(2, 3, 8, 8)
    x = functional.leaky_relu(told, 0.3)
    x = functional.linear(x, parts["fine.dense2.weight"], parts["fine.dense2.bias"])
    x = functional.leaky_relu(x, 0.3).view(2, 8, 8, 8)
    for name, stride in (("deconv16", 2), ("conv16", 1), ("deconv32", 2)):
        weight, bias = parts[f"fine.{name}.weight"], parts[f"fine.{name}.bias"]
        x = functional.conv_transpose2d(x, weight, bias, stride, 1)
        x = x if name == "deconv32" else functional.leaky_relu(x, 0.3)
    large = functional.interpolate(coarse, scale_factor=4, mode="bilinear", align_corners=False)
    assert (net(code) - x - large).abs().max() < 1e-5


@pytest.mark.skipif(not generators.SHIPPED.is_file(), reason="no generator is embedded")
def test_the_embedded_generator_is_small_and_says_what_it_inverts():
    found = generators.load_generator()
    assert generators.SHIPPED.stat().st_size < 12e6
    assert found.source == "embedded"
    assert found.autoencoder is not None
    assert "rectified features" in found.inverts
    assert (found.high > found.low).all()
    assert (found.low == 0).all()
