"""Dissection is network dissection's IoU: as a brute force over pictures and cells has it, and on a planted unit."""

import numpy as np
import pytest
import torch
from torch import nn

import reportgen
from reportgen import concepts, dissecting, hooks, passes
from reportgen.errors import MethodError, NotApplicable
from reportgen.examples import Batch, Dataset, Example
from reportgen.methods import method
from tests import tiny


def batch_of(net, data, places):
    """What a pass would hand over, with the layer's value from the net as it is."""
    examples = [data.load(place) for place in places]
    x = net.preprocess([one.picture for one in examples])
    return Batch(tuple(places), examples, tuple(data.labels[p] for p in places), (-1,) * len(places), x, {}, ())


def brute_force(net, data, layer, grid, quantile):
    """Exact thresholds, and IoU of every unit with every concept by name, picture by picture and cell by cell."""
    found = net.card.resolve(layer)
    size = net.card.preprocess.size
    (first_y, first_x), (step_y, step_x) = found.places(size)
    middles = (np.arange(grid) + 0.5) * size / grid - 0.5
    coarse, drawn, where = [], [], []
    for place in range(len(data)):
        batch = batch_of(net, data, [place])
        maps = hooks.run_to(net, batch.x, [layer])[layer][0].double().numpy()  # C h w
        coarse.append(maps)
        rows = np.arange(maps.shape[1]) * step_y + first_y
        columns = np.arange(maps.shape[2]) * step_x + first_x
        own = np.zeros((len(maps), grid, grid))
        for unit, one in enumerate(maps):
            across = np.stack([np.interp(middles, columns, line) for line in one])  # h G
            own[unit] = np.stack([np.interp(middles, rows, line) for line in across.T], axis=1)
        drawn.append(own)
        where.append({name: mask[0] for name, mask in concepts.of_batch(net, batch, grid).items()})
    values = np.sort(np.stack(coarse, axis=1).reshape(len(coarse[0]), -1), axis=1)[:, ::-1]  # C, largest first
    at = values[:, round(quantile * values.shape[1])]
    threshold = np.maximum(at, values[:, 0] / 32)
    iou = {}
    for name in sorted({name for own in where for name in own}):
        having = [n for n, own in enumerate(where) if name in own]
        for unit, limit in enumerate(threshold):
            areas = [drawn[n][unit] > limit for n in having]
            both = sum((area & where[n][name]).sum() for area, n in zip(areas, having, strict=True))
            any_ = sum((area | where[n][name]).sum() for area, n in zip(areas, having, strict=True))
            iou[name, unit] = both / any_ if values[unit, 0] > 0 else 0.0
    return threshold, iou, values[:, 0] > 0


@pytest.mark.parametrize("kind", tiny.KINDS)
@pytest.mark.parametrize("quantile", [0.005, 0.05])
def test_iou_and_threshold_equal_a_brute_force_with_exact_quantiles_up_to_the_bins(kind, quantile):
    net, data, grid = tiny.tiny_net(kind, "fp64"), tiny.dataset(24), 32
    artifact = reportgen.compute("dissection", net, data, layer="stage2", grid=grid, quantile=quantile, least=1)
    threshold, truth, fires = brute_force(net, data, "stage2", grid, quantile)
    assert fires.sum() >= len(fires) / 2
    found = artifact.arrays["threshold"]
    assert np.allclose(found[fires], threshold[fires], rtol=0.03), "a bin is under 1 %, and so far lie two values"
    names = list(zip(artifact.numbers["kinds"], artifact.numbers["concepts"], strict=True))
    assert len(names) == len({name for name, _ in truth})
    for (name, unit), iou in truth.items():
        group, _, own = name.partition(":")
        k = names.index((group, data.classes[int(own)] if group == "object" else own))
        assert abs(artifact.arrays["iou"][unit, k] - iou) < (0.01 if quantile == 0.005 else 0.015), (name, unit)
    assert max(truth.values()) > 3 * quantile, "there is something to be wrong about"


def marked(place):
    """A bright red mark of 4 x 4 pixels, which is half of the object, among darker reds and blues."""
    rng = np.random.default_rng(place)
    picture = np.zeros((64, 64, 3), dtype=np.float32)
    picture[:, :32, 0] = 0.4
    picture[:, 32:, 2] = rng.uniform(0.3, 0.6)
    top, left = 2 * rng.integers(2, 28, 2)
    part, mask = np.zeros((2, 64, 64), dtype=bool)
    part[top : top + 4, left : left + 4] = True
    mask[top : top + 4, left : left + 8] = True
    picture[part] = (1, 0, 0)
    return Example(picture, mask, {"red_mark": part, "nothing": np.zeros_like(part)}, {}, None)


def marks(count=20):
    names = tuple(f"{place}.png" for place in range(count))
    labels = tuple(place % 2 for place in range(count))
    return Dataset("marks", ("church", "tench, fish"), names, labels, marked, lambda: "marks", masks=True)


def seeing_red():
    """Unit 0 fires for bright red alone, unit 1 for blue, unit 2 for nothing."""
    convolution = nn.Conv2d(3, 3, 1)
    scale, mean = (0.229, 0.224, 0.225), (0.485, 0.456, 0.406)
    with torch.no_grad():
        convolution.weight.zero_()
        for unit, colour, threshold in ((0, 0, 0.7), (1, 2, 0.1)):
            convolution.weight[unit, colour, 0, 0] = scale[colour]
            convolution.bias[unit] = mean[colour] - threshold
        convolution.bias[2] = -1
    module = nn.Sequential(convolution, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 6))
    return tiny.net_of(module.eval().requires_grad_(False))


def test_a_unit_that_is_a_parts_mask_has_an_iou_of_one_with_it_and_a_silent_one_none():
    found = reportgen.compute("dissection", seeing_red(), marks(), layer="1", grid=32)
    numbers = found.numbers
    assert numbers["best"][0] == {"unit": 0, "concept": "red mark", "kind": "part", "iou": 1.0}
    both = found.arrays["iou"][0, numbers["concepts"].index("church")]
    assert both == pytest.approx(0.5), "the object is twice the mark"
    assert "tench" in numbers["concepts"]
    assert "nothing" not in numbers["concepts"]
    assert numbers["silent"] == 1
    assert not found.arrays["iou"][2].any()
    assert found.arrays["places"][2].tolist() == [-1] * 4
    assert numbers["unique"]["part"] == 1
    tile, example = found.arrays["examples"][0, 0] / 255, marked(int(found.arrays["places"][0, 0]))
    shown = np.where(example.parts["red_mark"][:, :, None], 1, 0.25) * example.picture
    assert np.allclose(tile.transpose(1, 2, 0), shown, atol=0.005)
    first = method("dissection").panels(found)[3].row_labels[0]
    assert first == "unit 0: red mark 1.00"


def test_however_the_set_is_cut_the_counts_are_the_same(monkeypatch):
    net, data, found = tiny.tiny_net("plain", "fp64"), tiny.dataset(21), []
    for batch, part, joined in ((16, 128, 8), (3, 6, 2), (7, 7, 3)):
        for name, value in {"BATCH": batch, "PART": part, "JOINED": joined}.items():
            monkeypatch.setattr(passes, name, value)
        found.append(reportgen.compute("dissection", net, data, layer="stage2", grid=16, quantile=0.02, least=1))
    for other in found[1:]:
        for name, values in found[0].arrays.items():
            assert np.array_equal(values, other.arrays[name]), name
        assert other.numbers == found[0].numbers


def test_bins_move_up_with_the_largest_value_and_lose_only_what_lies_below_five_octaves():
    layer = tiny.tiny_net("plain").card.resolve("stage2")
    concept = {"part:all": np.ones((1, 15, 15), dtype=bool)}

    def partial(largest, place):
        value = torch.zeros(1, 1, 15, 15)
        value[0, 0, 3] = torch.linspace(largest / 2, largest, 15)
        return dissecting.count(value, layer, 64, concept, [place])

    small, large = partial(1.0, 0), partial(100.0, 1)
    joined = dissecting.merge([small, large])
    again = dissecting.merge([large, small])
    for name in set(joined) - {"strength", "places"}:
        assert np.array_equal(joined[name], again[name]), name
    assert joined["levels"].sum() == 15, "1 lies more than five octaves below 100"
    assert joined["positions"].tolist() == [450]
    assert joined["places"].tolist() == [[1, 0, -1, -1]]
    near = dissecting.merge([partial(16.0, 0), large])
    assert near["levels"].sum() == 30
    fifth, sixth = np.linspace(8, 16, 15)[[-5, -6]]
    assert sixth < dissecting.thresholds(near, 20 / 450)[0] < fifth


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((0.9, 0.1, 0.1), "red"), ((0.9, 0.1, 0.15), "red"), ((0.95, 0.55, 0.1), "orange"),
        ((0.45, 0.25, 0.1), "brown"), ((0.9, 0.9, 0.2), "yellow"), ((0.2, 0.7, 0.2), "green"),
        ((0.2, 0.3, 0.9), "blue"), ((0.55, 0.2, 0.8), "purple"), ((0.95, 0.4, 0.75), "pink"),
        ((0.95, 0.95, 0.95), "white"), ((0.5, 0.5, 0.5), "grey"), ((0.05, 0.02, 0.1), "black"),
    ],
)  # fmt: skip
def test_colours_are_called_by_their_names(rgb, name):
    picture = torch.tensor(rgb).view(1, 3, 1, 1).expand(1, 3, 16, 16)
    assert set(concepts.colour(picture, 4).ravel().tolist()) == {concepts.COLOURS.index(name)}


def test_textures_are_lines_by_their_direction_rough_or_smooth():
    rows, columns = torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="ij")
    waves = {
        "vertical lines": columns,
        "horizontal lines": rows,
        "rising lines": (rows + columns) / 2**0.5,  # equal along a line from lower left to upper right
        "falling lines": (rows - columns) / 2**0.5,
    }
    pictures = {name: 0.5 + 0.3 * torch.sin(wave * 0.8) for name, wave in waves.items()}
    pictures["smooth"] = 0.5 + rows / 1000
    pictures["rough"] = torch.rand(128, 128, generator=torch.Generator().manual_seed(1))
    for name, grey in pictures.items():
        found = concepts.texture(grey.expand(1, 3, 128, 128), 16)
        assert (found == concepts.TEXTURES.index(name)).mean() > 0.95, name


def test_a_part_of_two_classes_is_one_concept_and_pictures_without_a_class_have_no_object():
    net, data = tiny.tiny_net("plain"), tiny.dataset(8)
    unknown = Dataset("discs", data.classes, data.names, (-1,) * 8, data.load, data.digest, True, True)
    found = reportgen.compute("dissection", net, unknown, layer="stage2", grid=16, least=3)
    kinds = found.numbers["kinds"]
    assert "object" not in kinds
    tops = found.numbers["concepts"].index("top")
    assert found.arrays["pictures"][tops] == 8
    cells = sum(int((shares(data.load(n).parts["top"], 16) > 0.5).sum()) for n in range(8))
    assert found.arrays["pixels"][tops] == cells


def shares(mask, grid):
    side = mask.shape[0] // grid
    return mask.reshape(grid, side, grid, side).mean(axis=(1, 3))


def test_what_has_no_maps_or_concepts_is_said_in_a_sentence():
    net, data = tiny.tiny_net("plain"), tiny.dataset(8)
    with pytest.raises(NotApplicable, match="has no maps whose area"):
        reportgen.compute("dissection", net, data, layer="penultimate")
    with pytest.raises(MethodError, match="no concept is in 9 of the pictures of discs"):
        reportgen.compute("dissection", net, data, layer="stage2", least=9)
    with pytest.raises(NotApplicable, match="without masks"):
        reportgen.compute("dissection", net, tiny.dataset(8, masks=False))
    for wrong in ({"grid": 1}, {"quantile": 1.0}, {"detector": 0.0}, {"least": 0}):
        with pytest.raises(MethodError, match=next(iter(wrong))):
            method("dissection").params(**wrong)
    net.module.features[3].weight[0] = float("nan")
    with pytest.raises(MethodError, match="NaN"):
        reportgen.compute("dissection", net, data, layer="stage2")
