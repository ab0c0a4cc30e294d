"""The encoder-decoder: any of its backbones, maps of classes that do not see one another, trained like other nets."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import reportgen
from reportgen import lean
from reportgen.errors import ModelError, NotApplicable, SpecError
from reportgen.nets import archs, encdec, fields, stages
from reportgen.nets.trace import trace
from reportgen.nets.weights import resolve
from reportgen.training import export, load_recipe, make_recipe, train
from reportgen.training.progress import Progress
from tests import tiny

ZOO = Path(__file__).parents[2] / "specs" / "zoo"
SMALL = {"backbone_kwargs": {"widths": [8, 8, 12, 16], "blocks": [1, 1, 1, 1]}}


def built(classes=5, seed=0, **kwargs):
    """A net whose every weight is random, batch norm's too, so that nothing is hidden by a zero."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = tiny.calibrated(encdec.build(classes, **kwargs), seed)
        with torch.no_grad():
            for part in (net.scores, net.up1, net.norm, net.up2):
                for value in part.parameters():
                    value.copy_(torch.randn_like(value))
            net.up2.bias.abs_()
    return net.double()


def maps_of(net, x):
    with torch.no_grad():
        return net.maps(net.up2(net.norm(net.up1(net.scores(net.backbone(x))))))


@pytest.mark.parametrize("grouped", [1, 2])
@pytest.mark.parametrize("backbone", encdec.BACKBONES)
def test_64_pixels_become_2_x_2_scores_and_8_x_8_maps_whose_means_are_the_logits(backbone, grouped):
    net = encdec.build(7, backbone=backbone, grouped=grouped).eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        scores = net.scores(net.backbone(x))
        side = 1 if backbone == "alexnet_mini" else 2  # its first layers take more
        assert scores.shape == (2, 7, side, side)
        assert net.up1(scores).shape == (2, 7, 2 * side, 2 * side)
        maps = maps_of(net, x)
        assert maps.shape == (2, 7, 4 * side, 4 * side)
        assert torch.allclose(net(x), maps.mean((2, 3)), atol=1e-6)
        assert float(maps.min()) == 0 < float(maps.max())
        if backbone != "alexnet_mini":
            assert maps_of(net, torch.randn(1, 3, 128, 128)).shape == (1, 7, 16, 16)
    assert not any(isinstance(module, nn.Linear) for module in net.modules())
    convolutions = (net.up1, net.up2)
    assert [conv.groups for conv in convolutions] == [7 if grouped == 2 else 1, 7]
    assert net.dropout.p == 0.3


@pytest.mark.parametrize("backbone", encdec.BACKBONES)
def test_the_backbone_is_the_net_up_to_its_pooling(backbone):
    torch.manual_seed(3)
    cut, channels = encdec.encoder(backbone, {})
    torch.manual_seed(3)
    whole = archs.build(backbone, None, {})
    given = []
    whole.avgpool.register_forward_pre_hook(lambda module, inputs: given.append(inputs[0]))
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        whole(x)
        assert torch.equal(cut.eval()(x), given[0])
    assert given[0].shape[1] == channels


@pytest.mark.parametrize("part", ["scores", "up1", "norm", "up2", "all"])
def test_changing_one_classs_weights_changes_no_other_classs_map(part):
    net, x = built(**SMALL), torch.randn(3, 3, 64, 64, dtype=torch.float64)
    before = maps_of(net, x)
    with torch.no_grad():
        for name in ("scores", "up1", "norm", "up2") if part == "all" else (part,):
            for value in getattr(net, name).parameters():
                value[2] = value[2] * -1.5 + 0.7
    after = maps_of(net, x)
    others = [0, 1, 3, 4]
    assert torch.equal(before[:, others], after[:, others])
    assert not torch.allclose(before[:, 2], after[:, 2])


def test_with_one_grouped_convolution_only_the_last_keeps_classes_apart():
    net, x = built(grouped=1, **SMALL), torch.randn(3, 3, 64, 64, dtype=torch.float64)
    before = maps_of(net, x)
    with torch.no_grad():
        net.up2.weight[2] *= 2
    after = maps_of(net, x)
    assert torch.equal(before[:, [0, 1, 3, 4]], after[:, [0, 1, 3, 4]])
    with torch.no_grad():
        net.scores.weight[2] += 1
    mixed = maps_of(net, x)
    assert all(not torch.allclose(mixed[:, k], after[:, k]) for k in range(5))


def test_an_untrained_map_is_the_bilinear_enlargement_of_the_scores():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = encdec.build(4, **SMALL).double().eval()  # batch norm at rest: mean 0, variance 1
        x = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    net.scores.weight.data /= encdec.FAINT
    with torch.no_grad():
        scores = net.scores(net.backbone(x))
        once = nn.functional.interpolate(nn.functional.pad(scores, [1] * 4), scale_factor=2, mode="bilinear")[
            ..., 2:-2, 2:-2
        ]
        twice = nn.functional.interpolate(nn.functional.pad(once, [1] * 4), scale_factor=2, mode="bilinear")[
            ..., 2:-2, 2:-2
        ]
    assert torch.allclose(maps_of(net, x), twice.clamp(min=0) * encdec.SPREAD / (1 + 1e-5) ** 0.5, atol=1e-4)
    assert float(twice.max()) > 1


def test_started_at_random_every_class_has_a_pattern_of_its_own_and_all_speak():
    torch.manual_seed(0)
    net = encdec.build(4, start="random", grouped=1, **SMALL).requires_grad_(False)
    assert float(net.up2.weight.min()) >= 0
    assert not torch.equal(net.up2.weight[0], net.up2.weight[1])
    assert float(net.up2.weight.sum((2, 3)).mean()) == pytest.approx(4, rel=0.2)  # as bilinear: 16 taps of a quarter
    assert float(net.up1.weight[0, 1:].abs().max()) == 0
    own = encdec.build(4, **SMALL).requires_grad_(False)
    assert torch.equal(own.up2.weight[0], own.up2.weight[3])
    assert float(own.up2.weight[0].sum()) == 4


def test_the_card_names_the_maps_and_keeps_the_encoders_stages():
    net = reportgen.load_net("encdec", weights="random", device="cpu", kwargs={**SMALL, "num_classes": 5})
    card = net.card
    assert card.stages == {
        "stage1": "backbone.relu",
        "stage2": "backbone.layer1",
        "stage3": "backbone.layer2",
        "stage4": "backbone.layer3",
        "stage5": "scores",
    }
    assert card.aliases["last_conv"] == "maps"
    assert card.resolve("maps").shape == (5, 8, 8)
    assert card.resolve("maps").stride == (8, 8)
    assert (card.global_pooling, card.rectified, card.preprocess.size) == (False, True, 64)
    assert card.facts.title == "Encoder-decoder"
    picture = tiny.photo(1)
    with pytest.raises(NotApplicable, match="one dense layer"):
        reportgen.compute("cam", net, picture)


def test_other_methods_work_on_it_and_grad_cam_is_its_class_map():
    module = built(len(tiny.CLASSES), **SMALL)
    net = tiny.net_of(module)
    picture = tiny.photo(1)
    x = net.preprocess([picture])
    maps = maps_of(module, x)[0].numpy()
    found = reportgen.compute("grad_cam", net, picture, target=3)
    assert found.numbers["layer"] == "maps"
    assert np.allclose(found.arrays["coarse"], maps[3] / 64, atol=1e-6)
    assert torch.allclose(lean.lean(net).module(x), module(x))
    activity = reportgen.compute("activity", net, picture, layer="maps", units=2)
    assert np.allclose(activity.arrays["activation"], maps, atol=1e-5)
    for rule in reportgen.compute("deconvnet", net, picture, layer="maps", units=2).arrays.values():
        assert np.isfinite(rule).all()


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"), [(4, 2, 1, 1), (3, 2, 0, 1), (2, 2, 0, 1), (3, 1, 2, 2)]
)
def test_positions_of_a_transposed_convolution_see_nothing_beyond_what_the_card_says(kernel, stride, padding, dilation):
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.down = nn.Conv2d(3, 2, 5, stride=4, padding=2)
            self.up = nn.ConvTranspose2d(2, 2, kernel, stride, padding, dilation=dilation)

        def forward(self, x):
            return self.up(self.down(x)).mean((2, 3))

    net = Both().double()
    for value in net.parameters():
        value.data.abs_()
    layers = {layer.name: layer for layer in stages.layers(trace(net, 48))}
    own = layers["up"]
    assert own.stride == (4 // stride, 4 // stride)
    x = torch.zeros(1, 3, 48, 48, dtype=torch.float64, requires_grad=True)
    value = net.up(net.down(x))
    assert tuple(value.shape[1:]) == own.shape
    edges = []
    middle = value.shape[2] // 2  # away from the border
    for y in range(middle - 2, middle + 2):
        seen = torch.autograd.grad(value[0, 0, y, middle], x, retain_graph=True)[0][0].sum((0, 2)).nonzero()
        y0, _, y1, _ = own.box((y, middle), 48)
        assert y0 <= int(seen.min())
        assert int(seen.max()) < y1
        edges.append((int(seen.min()) - y0, y1 - 1 - int(seen.max())))
    nearest = np.array(edges).min(axis=0)
    assert nearest.tolist() == [0, 0], "no position sees up to the edge: it lies too far out"


def test_positions_that_are_no_whole_step_are_none():
    grid = fields.Grid((2, 3), (2, 2), (0, 0), (3, 3))
    assert fields.spread(grid, (3, 3), (3, 3), (0, 0), (1, 1)) == fields.NOWHERE
    assert fields.spread(fields.blind(grid), (3, 3), (2, 2), (0, 0), (1, 1)) == fields.Grid((2, 3), (1, 1))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"backbone": "resnet_mni"}, "no backbone 'resnet_mni'.*resnet_mini"),
        ({"grouped": 3}, "grouped is 3"),
        ({"start": "randm"}, "start is 'randm'.*'random'"),
        ({"backbone_kwargs": {"width": 3}}, "width"),
        ({"depth": 3}, "depth"),
    ],
)
def test_what_cannot_be_built_is_said(kwargs, message):
    with pytest.raises(ModelError, match=message):
        archs.build("encdec", 4, kwargs)


def test_there_are_no_embedded_weights_and_a_spec_says_so():
    for weights in (None, "embedded"):
        with pytest.raises(ModelError, match="encdec: say which weights"):
            resolve("encdec", weights)
    with pytest.raises(ModelError, match="no weights 'IMAGENET1K_V1'"):
        resolve("encdec", "IMAGENET1K_V1")
    assert "encdec" in archs.known_archs()


# ------------------------------------------------------------------------------------------------------------ training


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A dark disc, or a bright square, somewhere on noise."""
    rng = np.random.default_rng(0)
    root = tmp_path_factory.mktemp("photos")
    rows, columns = np.indices((36, 36))
    for part, count in (("train", 20), ("val", 8)):
        for label in ("disc", "square"):
            place = root / part / label
            place.mkdir(parents=True)
            for index in range(count):
                y, x = rng.integers(10, 26, 2)
                inside = (rows - y) ** 2 + (columns - x) ** 2 < 50
                if label == "square":
                    inside = (abs(rows - y) < 7) & (abs(columns - x) < 7)
                picture = rng.integers(90, 160, (36, 36, 3)).astype(np.uint8)
                picture[inside] = 20 if label == "disc" else 240
                Image.fromarray(picture).save(place / f"{index:02d}.png")
    return root


def recipe_of(folder, **changes):
    values = {
        "arch": "encdec",
        "kwargs": SMALL,
        "data": {"train": str(folder / "train"), "val": str(folder / "val")},
        "size": 32,
        "resize": 36,
        "epochs": 16,
        "batch": 10,
        "optimizer": {"kind": "adam", "learning_rate": 0.01, "weight_decay": 0, "warmup": 0, "clip": 0},
        "label_smoothing": 0,
        "augment": {"scale": [0.8, 1.0], "salt_pepper": 0.01},
        "precision": "fp32",
    }
    return make_recipe(values | changes)


def test_it_trains_and_can_be_stopped_and_its_weights_load(folder, tmp_path):
    whole = train(recipe_of(folder), tmp_path / "whole", "cpu", quiet=True)
    losses = [row.train_loss for row in whole.log[1:]]
    assert losses[-1] < 0.6 * losses[0]
    assert whole.top1 >= 0.9

    def interrupt(event: Progress) -> None:
        if (event.epoch, event.step) == (4, 2) and event.finished is None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe_of(folder), tmp_path / "pieces", "cpu", progress=interrupt)
    train(recipe_of(folder), tmp_path / "pieces", "cpu", quiet=True)
    states = [torch.load(tmp_path / name / "state.pt", weights_only=True)["net"] for name in ("whole", "pieces")]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())

    top1 = export(tmp_path / "whole", tmp_path / "net.safetensors", "cpu")
    net = reportgen.load_net("encdec", weights=tmp_path / "net.safetensors", device="cpu")
    assert net.classes == ("disc", "square")
    assert (net.card.preprocess.size, net.card.preprocess.resize) == (32, 36)
    assert net.card.resolve("maps").shape == (2, 4, 4)
    data = reportgen.load_dataset(folder / "val")
    assert reportgen.compute("accuracy", net, data, corrupted=0, mistakes=0).numbers["top1"] == pytest.approx(top1)
    assert reportgen.compute("class_maps", net, data).numbers["top1"] == pytest.approx(top1)


def test_a_state_dict_without_a_description_tells_the_number_of_classes(tmp_path):
    torch.save(encdec.build(9).state_dict(), tmp_path / "bare.pth")
    net = reportgen.load_net("encdec", weights=tmp_path / "bare.pth", device="cpu")
    assert len(net.classes) == 9


def test_the_zoos_recipe_is_the_one_asked_for():
    recipe = load_recipe(ZOO / "encdec.yaml")
    assert (recipe.arch, recipe.size, recipe.batch, recipe.epochs) == ("encdec", 64, 100, 80)
    assert (recipe.optimizer.kind, recipe.optimizer.learning_rate) == ("adam", 1e-4)
    assert recipe.kwargs == {"backbone": "resnet_mini", "grouped": 2, "dropout": 0.3}


def test_a_wrong_arch_of_a_recipe_is_told_with_the_nearest(folder, tmp_path):
    with pytest.raises(SpecError, match=r"'encdc'.*'encdec'"):
        train(recipe_of(folder, arch="encdc", kwargs={}), tmp_path, "cpu", quiet=True)
