"""The mini nets: each is small, is itself, and knows its classes."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import nn

from reportgen import compute, load_image, load_net
from reportgen.errors import ModelError
from reportgen.nets.mini import ARCHES, MINI_INPUT_SIZE, build
from reportgen.training import evaluate
from reportgen.training.data import load_photos

WEIGHTS = Path(__file__).parents[1] / "reportgen" / "nets" / "weights"
PHOTOS = Path(__file__).parents[2] / "shared" / "data" / "photos-val.zip"
LOWEST_TOP1 = {"alexnet_mini": 0.80, "googlenet_mini": 0.87, "resnet_mini": 0.87, "vgg_mini": 0.87}
KNOWN = {  # photos that no net was trained on: how many of the four should know them
    "skimage:chelsea": ("cat", 4),
    "sklearn:china.jpg": ("church", 4),
    "skimage:motorcycle_left": ("motorbike", 4),
    "sklearn:flower.jpg": ("flower", 2),  # the others take its round head for a golf ball
    "skimage:astronaut": ("face", 2),
}
HEAD = (150, 40, 300, 190)  # of the astronaut: the face class shows heads and shoulders
EACH = pytest.mark.parametrize("arch", sorted(ARCHES))


def of_kind(net: nn.Module, kind: type[nn.Module]) -> list[nn.Module]:
    return [module for module in net.modules() if isinstance(module, kind)]


@EACH
def test_a_net_is_small_and_gives_logits(arch: str) -> None:
    net = build(arch).eval()
    assert sum(parameter.numel() for parameter in net.parameters()) <= 2_400_000
    with torch.inference_mode():
        assert net(torch.zeros(2, 3, MINI_INPUT_SIZE, MINI_INPUT_SIZE)).shape == (2, 15)


@EACH
def test_the_same_seed_gives_the_same_net(arch: str) -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(1)
        states.append(build(arch, 4).state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_alexnet_has_large_strided_filters_overlapping_pools_and_no_batch_norm() -> None:
    net = build("alexnet_mini")
    first = of_kind(net, nn.Conv2d)[0]
    assert (first.kernel_size, first.stride) == ((11, 11), (4, 4))
    assert all(pool.kernel_size > pool.stride for pool in of_kind(net, nn.MaxPool2d))
    assert len(of_kind(net, nn.Linear)) == 3
    assert len(of_kind(net, nn.Dropout)) == 2
    assert not of_kind(net, nn.BatchNorm2d)


def test_vgg_has_only_small_filters_and_three_dense_layers() -> None:
    net = build("vgg_mini")
    assert {conv.kernel_size for conv in of_kind(net, nn.Conv2d)} == {(3, 3)}
    assert {(pool.kernel_size, pool.stride) for pool in of_kind(net, nn.MaxPool2d)} == {(2, 2)}
    assert len(of_kind(net, nn.MaxPool2d)) == 5
    assert len(of_kind(net, nn.Linear)) == 3


def test_googlenet_has_modules_of_four_branches_functional_relu_and_global_pooling() -> None:
    net = build("googlenet_mini")
    inceptions = [module for name, module in net.named_children() if name.startswith("inception")]
    assert len(inceptions) == 7
    for module in inceptions:
        assert [name for name, _ in module.named_children()] == [f"branch{k}" for k in (1, 2, 3, 4)]
    assert not of_kind(net, nn.ReLU)
    assert net.avgpool.output_size == 1
    assert len(of_kind(net, nn.Linear)) == 1


def test_resnet_has_residual_blocks_and_global_pooling() -> None:
    net = build("resnet_mini").eval()
    blocks = [block for k in (1, 2, 3, 4) for block in getattr(net, f"layer{k}")]
    assert len(blocks) == 8
    assert net.avgpool.output_size == 1
    block = blocks[1]
    nn.init.zeros_(block.bn2.weight)  # the branch gives nothing: what is left is the shortcut
    value = torch.rand(1, block.conv1.in_channels, 6, 6)
    assert torch.equal(block(value), value)


def test_names_of_modules_are_torchvisions() -> None:
    names = {arch: [name for name, _ in build(arch).named_children()] for arch in ARCHES}
    assert names["alexnet_mini"] == names["vgg_mini"] == ["features", "avgpool", "classifier"]
    assert names["resnet_mini"] == [
        "conv1",
        "bn1",
        "relu",
        "maxpool",
        "layer1",
        "layer2",
        "layer3",
        "layer4",
        "avgpool",
        "fc",
    ]
    assert names["googlenet_mini"][:6] == ["conv1", "maxpool1", "conv2", "conv3", "maxpool2", "inception3a"]
    assert names["googlenet_mini"][-4:] == ["inception5b", "avgpool", "dropout", "fc"]


def test_wrong_names_are_refused() -> None:
    with pytest.raises(ModelError, match=r"'resnet_min'.*'resnet_mini'"):
        build("resnet_min")
    with pytest.raises(ModelError, match="depth"):
        build("vgg_mini", depth=3)


def test_shipped_weights_are_small() -> None:
    files = sorted(WEIGHTS.glob("*.safetensors"))
    assert [path.stem for path in files] == sorted([*ARCHES, "generator"])
    sizes = {path.stem: path.stat().st_size for path in files}
    assert sizes.pop("generator") <= 12_000_000
    assert sum(sizes.values()) <= 20_000_000


@EACH
def test_shipped_weights_reach_their_accuracy(arch: str) -> None:
    if not PHOTOS.exists():
        pytest.skip(f"the validation photos are not here: {PHOTOS}")
    with safe_open(WEIGHTS / f"{arch}.safetensors", "pt") as opened:
        described = opened.metadata()
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (it is no dictionary)
    net = build(described["arch"], int(described["num_classes"]), **json.loads(described["kwargs"]))
    net.load_state_dict(tensors)
    photos = load_photos([PHOTOS], int(described["resize"]), json.loads(described["classes"]))
    assert photos.classes == tuple(sorted(photos.classes))
    assert len(photos) == 4395
    net.to(memory_format=torch.channels_last)
    _, top1 = evaluate(net, photos, int(described["input_size"]))
    assert top1 >= LOWEST_TOP1[arch]
    assert top1 == pytest.approx(float(described["top1"]), abs=0.003)  # processors round differently


@pytest.mark.parametrize("source", KNOWN)
def test_shipped_nets_know_photos_from_elsewhere(source: str) -> None:
    name, least = KNOWN[source]
    picture = load_image(source, crop=HEAD if name == "face" else None)
    found = []
    for arch in sorted(ARCHES):
        net = load_net(arch, device="cpu")
        found.append(net.classes[int(compute("prediction", net, picture).arrays["probabilities"].argmax())])
    assert found.count(name) >= least, found
