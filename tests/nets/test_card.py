"""Cards: stages, aliases, receptive fields, FLOPs and depth of any classification net."""

import json
from functools import cache
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional

from reportgen import hooks, load_net
from reportgen.errors import ModelError
from reportgen.nets import archs, stages
from reportgen.nets.card import card_from_json, card_to_json
from reportgen.nets.facts import facts
from reportgen.nets.loading import load, skeleton
from reportgen.nets.trace import trace
from reportgen.nets.weights import resolve
from tests import tiny

SIZES = {"inception_v3": 299}

STAGES = {
    # DESIGN 6
    "alexnet": {2: "features.1", 3: "features.4", 4: "features.11", 5: "features.12"},
    "vgg16": {
        0: "features.3",
        1: "features.8",
        2: "features.15",
        3: "features.22",
        4: "features.29",
        5: "features.30",
    },
    "googlenet": {1: "conv1", 2: "conv3", 3: "inception3b", 4: "inception4e", 5: "inception5b"},
    "resnet50": {1: "relu", 2: "layer1", 3: "layer2", 4: "layer3", 5: "layer4"},
    # printed and checked by hand against torchvision's source
    "resnet18": {1: "relu", 2: "layer1", 3: "layer2", 4: "layer3", 5: "layer4"},
    "densenet121": {
        1: "features.relu0",
        2: "features.transition1.conv",
        3: "features.transition2.conv",
        4: "features.transition3.conv",
        5: "features.norm5",
    },
    "mobilenet_v3_small": {
        1: "features.0",
        2: "features.2.block.0",
        3: "features.4.block.0",
        4: "features.9.block.0",
        5: "features.12",
    },
    "efficientnet_b0": {
        1: "features.2.0.block.0",
        2: "features.3.0.block.0",
        3: "features.4.0.block.0",
        4: "features.6.0.block.0",
        5: "features.8",
    },
    "convnext_tiny": {2: "features.2.0", 3: "features.4.0", 4: "features.6.0", 5: "features.7"},
    "squeezenet1_0": {1: "features.1", 2: "features.5", 3: "features.10", 4: "classifier.2"},
    "shufflenet_v2_x1_0": {1: "conv1", 2: "maxpool", 3: "stage2#1", 4: "stage3#1", 5: "conv5"},
    "alexnet_mini": {2: "features.1", 3: "features.4", 4: "features.11", 5: "features.12"},
    "googlenet_mini": {1: "conv1", 2: "conv3", 3: "inception3b", 4: "inception4c", 5: "inception5b"},
    "vgg_mini": {level: f"features.{n}" for level, n in enumerate((2, 6, 13, 20, 27, 28))},
    "resnet_mini": {1: "relu", 2: "layer1", 3: "layer2", 4: "layer3", 5: "layer4"},
}
LAST_CONV = {
    "vgg_mini": "features.27",
    "mobilenet_v2": "features.18",
    "alexnet": "features.11",
    "vgg16": "features.29",
    "googlenet": "inception5b",
    "resnet50": "layer4",
}
PENULTIMATE = {"alexnet": "classifier.5", "googlenet": "avgpool", "resnet50": "avgpool", "densenet121": "classifier@in"}
DEPTHS = {"alexnet": 8, "vgg16": 16, "googlenet": 22, "resnet18": 18, "resnet50": 50, "densenet121": 121}


def module_of(arch):
    return skeleton(resolve(arch, "random"), None)


@cache
def graph_of(arch):
    return trace(module_of(arch), SIZES.get(arch, 128 if arch in archs.MINIS else 224))


@pytest.mark.parametrize("arch", sorted(STAGES))
def test_stages_and_aliases(arch):
    graph = graph_of(arch)
    assert stages.stages(graph) == {f"stage{level}": name for level, name in STAGES[arch].items()}
    names = {layer.name: layer for layer in stages.layers(graph)}
    found = stages.aliases(graph)
    assert set(found) == {"first_conv", "last_conv", "penultimate", "logits"}
    assert set(found.values()) <= set(names)
    assert found["last_conv"] == LAST_CONV.get(arch, found["last_conv"])
    assert found["penultimate"] == PENULTIMATE.get(arch, found["penultimate"])
    for level, name in STAGES[arch].items():
        assert names[name].stride == (2**level, 2**level)


@pytest.mark.parametrize("arch", sorted(DEPTHS))
def test_depth_is_the_longest_path_of_layers_with_weights(arch):
    graph = graph_of(arch)
    assert graph.nodes[graph.output].depth == DEPTHS[arch]


@pytest.mark.parametrize("arch", [*DEPTHS, "mobilenet_v3_small", "efficientnet_b0", "convnext_tiny", "squeezenet1_0"])
def test_parameters_and_flops_are_those_torchvision_publishes(arch):
    meta = torchvision.models.get_model_weights(arch).IMAGENET1K_V1.meta
    graph = graph_of(arch)
    assert graph.flops / 2e9 == pytest.approx(meta["_ops"], abs=6e-4)
    assert sum(c.flops for c in graph.calls if c.kind in ("Conv2d", "Linear")) == graph.flops
    module = module_of(arch)
    published = {"googlenet": 6_624_904}.get(arch, meta["num_params"])  # torchvision's figure counts no side outputs
    assert sum(p.numel() for p in module.parameters()) == published


def test_alexnets_receptive_fields():
    layers = {layer.name: layer for layer in stages.layers(graph_of("alexnet"))}
    fields = [layers[f"features.{i}"].field for i in (0, 3, 6, 8, 10)]
    assert fields == [(11, 11), (51, 51), (99, 99), (131, 131), (163, 163)]


def test_what_ends_in_global_pooling_and_what_rectifies():
    pooled = {arch: stages.ends_in_global_pooling(graph_of(arch)) for arch in STAGES}
    rectified = {arch: stages.is_rectified(graph_of(arch)) for arch in STAGES}
    assert {arch for arch, yes in pooled.items() if not yes} == {
        "alexnet", "alexnet_mini", "vgg16", "vgg_mini", "squeezenet1_0", "mobilenet_v3_small", "convnext_tiny",
    }  # fmt: skip
    assert {arch for arch, yes in rectified.items() if not yes} == {
        "mobilenet_v3_small", "efficientnet_b0", "convnext_tiny",
    }  # fmt: skip


def test_every_net_of_torchvision_has_a_card():
    names = torchvision.models.list_models(module=torchvision.models)
    assert set(archs.torchvision_archs()) == set(names)
    for arch in ("vit_b_16", "swin_t", "regnet_y_400mf", "mnasnet0_5", "inception_v3", "mobilenet_v2"):
        graph = graph_of(arch)
        assert stages.stages(graph)
        assert set(stages.aliases(graph)) == {"first_conv", "last_conv", "penultimate", "logits"}
        assert facts(arch).year


# --------------------------------------------------------------------- fields against the support of the gradient


class Functional(nn.Module):
    """Branches, functions, in-place sums, dilation, asymmetric kernels, overlapping and average pools."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, (3, 5), stride=(2, 1), padding=(1, 0))
        self.wide = nn.Conv2d(4, 4, 3, padding=2, dilation=2)
        self.tall = nn.Conv2d(4, 4, (5, 1), padding=(2, 0))
        self.one = nn.Conv2d(4, 4, 1)
        self.join = nn.Identity()
        self.down = nn.Conv2d(12, 4, 3, stride=2)
        self.short = nn.Conv2d(12, 4, 1, stride=2)
        self.last = nn.Identity()
        self.shifted = nn.Identity()
        self.fc = nn.Linear(4, 5)

    def forward(self, x):
        x = functional.relu(self.stem(functional.pad(x, (3, 0, 0, 1))), inplace=True)
        x = functional.max_pool2d(x, (3, 2), stride=(1, 2))
        x = self.join(torch.cat([self.wide(x), self.tall(x), self.one(x)], 1))
        y = self.down(functional.pad(x, (1, 1, 1, 1)))
        y += self.short(x)
        x = self.last(functional.avg_pool2d(y.relu_(), 3, stride=2))
        x = self.shifted(x[:, :, 1:, ::2])
        return self.fc(x.mean([2, 3]))


class Gated(nn.Module):
    """Squeeze and excitation, batch norm, channel shuffle."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.squeeze = nn.Conv2d(4, 4, 1)
        self.shuffle = nn.Identity()
        self.fc = nn.Linear(4, 5)

    def forward(self, x):
        x = self.norm(self.conv(x))
        gate = torch.sigmoid(self.squeeze(functional.adaptive_avg_pool2d(x, 1)))
        x = (x * gate.detach()).view(-1, 2, 2, *x.shape[2:]).transpose(1, 2).flatten(1, 2)
        return self.fc(self.shuffle(x).flatten(2).mean(2))


def positive(module):
    """Weights and inputs above zero: no ReLU is shut and no gradient cancels, so the support is the whole field."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.rand(p.shape, generator=generator) + 0.1)
    return module.double().eval()


def support(module, layer, size):
    """The box of input pixels whose change changes the middle position of a layer, and that position.

    The inputs rise smoothly, so that a maximum sits at a window's end; sums over many inputs reach all of it.
    """
    boxes = []
    for seed in range(12):  # which pixel wins a max pool depends on the input: the union of many is the window
        x = torch.rand(1, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        x.requires_grad_(True)
        value = hooks.run_to(module, x, [layer.name], grad=True)[layer.name]
        y, x_ = value.shape[2] // 2, value.shape[3] // 2
        gradient = torch.autograd.grad(value[0, :, y, x_].sum(), x)[0][0].abs().sum(0)
        boxes.append(gradient)
    touched = torch.stack(boxes).sum(0) > 0
    rows, columns = touched.any(1).nonzero().flatten(), touched.any(0).nonzero().flatten()
    return (y, x_), (int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)


KINDS = {**tiny.KINDS, "asymmetric": Functional, "gated": Gated}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_fields_are_the_support_of_the_gradient(kind):
    size = 64 if kind in ("plain", "functional") else 96  # dense layers are made for one size
    module = positive(KINDS[kind]())
    checked = 0
    for layer in stages.layers(trace(module, size)):
        if layer.field is None or layer.name.endswith("@in"):
            continue
        position, box = support(module, layer, size)
        y0, x0, y1, x1 = layer.box(position, size)
        assert box == (max(y0, 0), max(x0, 0), min(y1, size), min(x1, size)), layer
        checked += layer.field[0] < size
    assert checked >= 3


def test_what_has_seen_the_whole_picture_says_so():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3, stride=2)
            self.norm = nn.InstanceNorm2d(4)
            self.up = nn.Upsample(scale_factor=2)
            self.fc = nn.Linear(4, 5)

        def forward(self, x):
            x = self.norm(self.conv(x))
            return self.fc(self.up(x + x.mean([2, 3], keepdim=True)).mean([2, 3]))

    layers = {layer.name: layer for layer in stages.layers(trace(Net(), 32))}
    assert layers["conv"].field == (3, 3)
    assert (layers["norm"].stride, layers["norm"].field) == ((2, 2), None)
    assert (layers["up"].stride, layers["up"].field) == (None, None)


def test_writing_into_a_slice_reaches_the_whole():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3, padding=1)
            self.more = nn.Conv2d(4, 4, 3, padding=1)
            self.join = nn.Identity()
            self.fc = nn.Linear(8, 5)

        def forward(self, x):
            both = x.new_zeros(x.shape[0], 8, *x.shape[2:])
            both[:, :4] = self.conv(x)
            both[:, 4:] = self.more(self.conv(x))
            return self.fc(self.join(both).mean([2, 3]))

    layers = {layer.name: layer for layer in stages.layers(trace(Net(), 32))}
    assert layers["join"].field == (5, 5)


# -------------------------------------------------------------------------------------------------------- the card


def test_a_card_survives_json():
    card = load_net("googlenet_mini", weights="random", device="cpu", classes=["a", "b", "c"]).card
    again = card_from_json(json.loads(json.dumps(card_to_json(card), sort_keys=True)))
    assert again == card
    assert list(again.stages) == list(card.stages)
    assert card.classes == ("a", "b", "c")


def test_making_a_card_leaves_mode_hooks_and_random_numbers_alone():
    module = tiny.seeded(tiny.residual).train()
    before = torch.random.get_rng_state()
    statistics = module.bn1.running_mean.clone()
    trace(module, 64)
    assert module.training
    assert torch.equal(statistics, module.bn1.running_mean)
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in module.modules())


def test_a_net_that_is_no_classifier_is_refused(tmp_path, monkeypatch):
    (tmp_path / "theirs.py").write_text("import torch\ndef build():\n    return torch.nn.Conv2d(3, 4, 3)\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModelError, match="no classifier"):
        load(resolve("theirs:build", "random"), device="cpu", allow_code=True)


def test_facts_name_their_source_and_minis_claim_no_error_rate():
    assert (facts("alexnet").top5_error, facts("alexnet").year) == (15.3, 2012)
    bibliography = Path(archs.__file__).parents[1].joinpath("references.bib").read_text(encoding="utf-8")
    for arch in archs.known_archs():
        found = facts(arch)
        assert found.title
        assert f"{{{found.citation}," in bibliography or not found.citation
        assert (found.top5_error is None) == (not found.source)
    for arch in archs.MINIS:
        assert facts(arch).top5_error is None
        assert facts(arch).title.endswith(" mini")
