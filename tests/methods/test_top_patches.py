"""Strongest patches: against a plain loop over the pictures, the pictures' own pixels, and the method deconvnet."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import reportgen
from reportgen import images, passes, patch_blocks, strongest_places
from reportgen.errors import ImageError, MethodError
from reportgen.methods import method, top_patches
from reportgen.records import Artifact
from tests import families, reference, tiny

LAYERS = {"plain": "features.4", "residual": "layer1", "branching": "last"}
ROUNDING = 1e-6


def brute(net, data, layer, count):
    """Every unit's strongest places by a loop over single pictures with the net as it was built."""
    values, positions = [], []
    for place in range(len(data)):
        x = net.preprocess([data.load(place).picture])
        value = reference.value_of(net.module, x, layer)[0]  # C H W, or D
        maps = value.reshape(len(value), -1)
        width = value.shape[-1] if value.ndim == 3 else 1
        best = [int(own.argmax()) for own in maps]
        values.append([float(own[at]) for own, at in zip(maps, best, strict=True)])
        positions.append([divmod(at, width) for at in best])
    found = []
    for unit in range(len(values[0])):
        ranked = sorted(range(len(data)), key=lambda place, unit=unit: (-values[place][unit], place))[:count]
        found.append([(place, values[place][unit], positions[place][unit]) for place in ranked])
    return found, np.mean(values, axis=0)


@pytest.mark.parametrize(
    ("kind", "layer"), [("plain", "features.4"), ("residual", "layer1"), ("plain", "classifier.2")]
)
def test_it_equals_a_plain_loop_over_the_pictures(kind, layer):
    net, data = tiny.tiny_net(kind, "fp64"), tiny.dataset(60)
    found = reportgen.compute("top_patches", net, data, layer=layer, units=[0]).arrays
    wanted, mean = brute(net, data, layer, 9)
    for unit, own in enumerate(wanted):
        if own[0][1] > 0:  # silent units have ties from one end to the other, which rounding decides
            assert found["images"][unit].tolist() == [place for place, _, _ in own]
            assert found["positions"][unit].tolist() == [list(position) for _, _, position in own]
        assert found["activations"][unit] == pytest.approx([value for _, value, _ in own], rel=ROUNDING, abs=1e-9)
    assert found["mean"] == pytest.approx(mean, rel=ROUNDING, abs=1e-9)
    assert found["images"].shape[1] == 9


def some_partials(rng, sizes, units=5, most=9):
    """What batches of these sizes give where values are so few that many are equal."""
    partials, first = [], 0
    for size in sizes:
        value = torch.from_numpy(rng.integers(0, 4, (size, units, 2, 3)).astype(np.float64))
        partials.append(strongest_places.of_batch(value, range(first, first + size), most, "a layer"))
        first += size
    return partials


def same(one, other):
    assert set(one) == set(other)
    for name, array in one.items():
        assert np.array_equal(array, other[name]), name


def test_parts_joined_in_any_way_give_what_one_pass_gives():
    whole = some_partials(np.random.default_rng(0), [40])[0]
    for sizes in ([16, 16, 8], [1] * 40, [3, 30, 7], [39, 1]):
        partials = some_partials(np.random.default_rng(0), sizes)  # the same numbers, cut in another way
        same(strongest_places.joined(partials), whole)
        cut = len(partials) // 2
        nested = [strongest_places.joined(partials[:cut]), strongest_places.joined(partials[cut:])]
        same(strongest_places.joined(nested), whole)
    assert (np.diff(whole["activations"], axis=1) <= 0).all()
    equal = np.diff(whole["activations"], axis=1) == 0
    assert equal.any()
    assert (np.diff(whole["images"], axis=1)[equal] > 0).all(), "of equal ones the earlier picture comes first"


def test_the_cut_of_a_pass_makes_no_difference(monkeypatch):
    net, data, found = tiny.tiny_net("residual", "fp64"), tiny.dataset(30), []
    for batch, part in ((16, 128), (4, 8), (7, 7)):
        monkeypatch.setattr(passes, "BATCH", batch)
        monkeypatch.setattr(passes, "PART", part)
        found.append(reportgen.compute("top_patches", net, data, layer="layer1", units=3))
    for other in found[1:]:
        for name, array in found[0].arrays.items():
            assert np.allclose(array, other.arrays[name], rtol=ROUNDING, atol=1e-12), name


def test_a_patch_holds_the_pixels_of_the_picture_at_its_box_and_grey_outside():
    net, data = tiny.tiny_net("plain", "fp64"), tiny.dataset(20)
    found = reportgen.compute("top_patches", net, data, layer="features.4", units="all").arrays
    layer, room = net.card.resolve("features.4"), 32
    outside = 0
    for s, unit in enumerate(found["units"]):
        for p in range(9):
            y0, x0, y1, x1 = (int(edge) for edge in found["boxes"][s, p])
            assert (y0, x0, y1, x1) == layer.box(found["positions"][unit, p], tiny.SIZE)
            picture = images.view(data.load(int(found["images"][unit, p])).picture, net.card.preprocess)
            wide = np.full((tiny.SIZE + 2 * room, tiny.SIZE + 2 * room, 3), 128.0)
            wide[room:-room, room:-room] = np.rint(picture * 255)
            wanted = wide[y0 + room : y1 + room, x0 + room : x1 + room].transpose(2, 0, 1)
            assert np.array_equal(found["patches"][s, p], wanted)
            outside += y0 < 0 or x0 < 0 or y1 > tiny.SIZE or x1 > tiny.SIZE
    assert outside, "some boxes reach outside, or grey was never looked at"


@pytest.mark.parametrize("projection", ["switches", "no_switches", "guided", "gradient"])
@pytest.mark.parametrize("kind", LAYERS)
def test_projections_are_those_of_the_method_deconvnet(kind, projection):
    equal_to_deconvnet(tiny.tiny_net(kind, "fp64"), LAYERS[kind], projection)


def test_projections_of_a_net_with_real_weights_and_of_neurons_are_those_of_the_method_deconvnet():
    equal_to_deconvnet(tiny.tiny_net("plain", "fp64"), "classifier.2", "switches")
    equal_to_deconvnet(families.net("squeezenet1_0"), "features.7", "switches")


def equal_to_deconvnet(net, layer, projection):
    data = tiny.dataset(12)
    artifact = reportgen.compute("top_patches", net, data, layer=layer, units=2, projection=projection)
    found, seen = artifact.arrays, 0
    for s, unit in enumerate(found["units"]):
        for p in range(0, 9, 3):
            picture = data.load(int(found["images"][unit, p])).picture
            start = found["positions"][unit, p].tolist()
            theirs = reportgen.compute("deconvnet", net, picture, layer=layer, units=[int(unit)], start=start).arrays
            wanted, mine = theirs[projection][0], found["projections"][s, p]
            if wanted.shape != mine.shape:  # a field larger than the picture: ours is cut to the picture
                assert found["boxes"][s, p].tolist() == [0, 0, tiny.SIZE, tiny.SIZE]
                y0, x0, _, _ = theirs["boxes"][0]
                wanted = wanted[:, -y0 : tiny.SIZE - y0, -x0 : tiny.SIZE - x0]
            else:
                assert found["boxes"][s, p].tolist() == theirs["boxes"][0].tolist()
            assert found["activations"][unit, p] == pytest.approx(theirs["activations"][0], rel=ROUNDING)
            assert families.relative(mine, wanted) < ROUNDING
            seen += 1
    assert seen == 6


def test_a_net_of_another_activation_function_gets_the_ordinary_gradient():
    module = nn.Sequential(nn.Conv2d(3, 6, 5, 2, 2), nn.SiLU(), nn.Conv2d(6, 4, 3), nn.Flatten(), nn.Linear(3600, 6))
    net, data = tiny.net_of(tiny.seeded(lambda: module)), tiny.dataset(5)
    assert not net.card.rectified
    artifact = reportgen.compute("top_patches", net, data, layer="2", units=2)
    found = artifact.arrays
    assert artifact.numbers["rule"] == "gradient"
    assert "the gradient projects back" in method("top_patches").panels(artifact)[0].caption
    for s, unit in enumerate(found["units"]):
        for p in range(5):
            x = net.preprocess([data.load(int(found["images"][unit, p])).picture]).requires_grad_()
            own = net.module[:3](x)[0, unit][tuple(found["positions"][unit, p])]
            whole = torch.autograd.grad(own * own.detach(), x)[0][0]
            wide = nn.functional.pad(whole, (16, 16, 16, 16))
            y0, x0, y1, x1 = (int(edge) + 16 for edge in found["boxes"][s, p])
            assert families.relative(found["projections"][s, p], wide[:, y0:y1, x0:x1].numpy()) < ROUNDING


@pytest.mark.parametrize("count", [1, 4])
def test_of_fewer_pictures_there_are_fewer_patches(count):
    artifact = reportgen.compute("top_patches", tiny.tiny_net("plain"), tiny.dataset(count), layer="stage2", units=2)
    assert artifact.arrays["images"].shape == (12, count)
    assert artifact.arrays["patches"].shape[:2] == (2, count)
    assert sorted(artifact.arrays["images"][0]) == list(range(count)), "a picture gives one patch at most"
    for panel in method("top_patches").panels(artifact):
        assert f"{count} " in panel.caption


@pytest.mark.parametrize(
    ("units", "words"), [(2, "whose strongest picture stands out most"), ("random:2", "chosen by chance"), ([3], "")]
)
def test_the_caption_says_how_units_were_chosen(units, words):
    artifact = reportgen.compute("top_patches", tiny.tiny_net("plain"), tiny.dataset(3), layer="stage2", units=units)
    name = artifact.numbers["layer"]
    assert (
        f"units of {name}{' ' if words else ''}{words}, one per row"
        in method("top_patches").panels(artifact)[1].caption
    )


def test_large_patches_are_kept_smaller_in_their_proportions():
    assert strongest_places.kept(107, 107) == (96, 96)
    assert strongest_places.kept(96, 11) == (96, 11)
    assert strongest_places.kept(50, 200) == (24, 96)
    tiles = np.zeros((1, 3, 192, 192))
    tiles[:, :, 96:] = 1
    small = strongest_places.shrunk(tiles)[0, 0]
    assert small.shape == (96, 96)
    assert small.mean() == pytest.approx(0.5, abs=1e-3)
    assert not small[:46].any()
    assert small[50:] == pytest.approx(1)
    assert strongest_places.shrunk(tiles[..., :90, :90]).shape == (1, 3, 90, 90)


def test_units_that_stand_out_come_first_and_those_that_hardly_fire_last():
    values = np.array([[8.0, 6.0], [9.0, 0.0], [0.001, 0.001], [6.0, 5.0], [0.0, 0.0]])  # U P
    mean = np.array([4.0, 0.1, 0.00001, 1.0, 0.0])
    order = np.argsort(-top_patches._standing_out(values, mean), kind="stable")
    assert order.tolist() == [3, 0, 2, 1, 4], "6 times its mean, 2 times; hardly; on one picture only; never"


def test_the_share_of_the_commonest_class_is_counted_and_set_against_chance():
    data = tiny.dataset(20, classes=("cat, tabby", "dog_rose"))
    values, pictures = np.ones((2, 2)), np.array([[0, 2], [1, 4]])  # classes 0 0, and 1 0
    found = top_patches._classes(data, values, pictures, [1, 0], np.random.default_rng(0))
    assert found["classes"] == [["cat", 1], ["cat", 2]]
    assert found["agreement"] == 0.75
    both = math.comb(10, 2) * 2 / math.comb(20, 2)  # two pictures taken by chance are of one class
    assert found["chance"] == pytest.approx(both + (1 - both) / 2, abs=0.02)
    unknown = replace(data, labels=(-1,) * 20)
    assert top_patches._classes(unknown, values, pictures, [0], np.random.default_rng(0))["agreement"] is None
    single = replace(data, classes=tuple(data.names), labels=tuple(range(20)))  # nine of a class cannot be had
    assert top_patches._classes(single, values, pictures, [0], np.random.default_rng(0))["classes"] is None


def test_bad_choices_damaged_nets_and_pictures_that_went_are_told():
    net, data = tiny.tiny_net("plain"), tiny.dataset(6)
    with pytest.raises(MethodError, match="count: a unit is shown with 1 to 25 patches, not 0"):
        reportgen.compute("top_patches", net, data, count=0)
    with pytest.raises(MethodError, match="projection"):
        reportgen.compute("top_patches", net, data, projection="mirror")
    with pytest.raises(MethodError, match="has no unit 99"):
        reportgen.compute("top_patches", net, data, layer="stage2", units=[99])
    seen = []

    def going(place):  # the set shrinks between the pass and the second look
        seen.append(place)
        if seen.count(place) > 1:
            raise ImageError(f"The image {place} cannot be read.")
        return tiny.example(place)

    with pytest.raises(ImageError, match="cannot be read"):
        reportgen.compute("top_patches", net, replace(data, load=going), layer="stage2")
    net.module.features[3].weight[0] = float("nan")
    with pytest.raises(MethodError, match="NaN or infinity"):
        reportgen.compute("top_patches", net, data, layer="stage3")


# --------------------------------------------------------------------------------------------------------------- panels


def planted(side=40, at=(30, 10), spread=3):
    """Projections of one unit that lie around one place."""
    y, x = np.mgrid[:side, :side]
    blob = np.exp(-((y - at[0]) ** 2 + (x - at[1]) ** 2) / spread)
    return np.broadcast_to(blob, (1, 4, 3, side, side)).copy()


def test_a_close_up_stands_around_what_is_there_and_is_left_out_where_all_is_full():
    corners, side = patch_blocks.close_ups(planted())
    assert side == 7
    assert corners[0].tolist() == [[27, 7]] * 4
    cut = patch_blocks.cut(planted(), (corners, side))
    assert cut.shape == (1, 4, 3, 7, 7)
    assert cut.sum() / planted().sum() > patch_blocks.SHARE
    assert patch_blocks.close_ups(planted(at=(0, 39)))[0][0, 0].tolist() == [0, 33], "never beyond the patch"
    assert patch_blocks.close_ups(np.ones((1, 4, 3, 40, 40))) is None
    assert patch_blocks.close_ups(np.zeros((1, 4, 3, 40, 40))) is None


def test_a_projection_lies_around_grey_by_its_own_99th_percentile():
    tile = np.zeros((1, 1, 3, 10, 10))
    tile[0, 0, :, :5] = 2.0
    tile[0, 0, :, 5:] = -1.0
    drawn = patch_blocks.around_grey(np.concatenate([tile, tile / 1000, tile * 0], axis=1))
    assert drawn[0, 0] == pytest.approx(drawn[0, 1])
    assert drawn[0, 0, 0, 0, 0] == 1
    assert drawn[0, 0, 0, 9, 0] == pytest.approx(0.25)
    assert (drawn[0, 2] == 0.5).all()


def test_blocks_have_the_tiles_in_lines_with_white_between_them():
    tiles = np.zeros((2, 4, 3, 5, 5))
    tiles[:, 1] = 1
    values = patch_blocks.sheet([tiles, tiles])
    side = 2 * patch_blocks.TILE + patch_blocks.GAP + 2 * patch_blocks.EDGE
    assert values.shape == (2, 2, 3, side, side)
    assert np.isnan(values[0, 0, 0, : patch_blocks.EDGE]).all()
    assert (values[0, 0, 0, 10, 10], values[0, 0, 0, 10, -10]) == (0, 1)
    assert np.isfinite(values).sum() == 2 * 2 * 4 * 3 * patch_blocks.TILE**2


def test_what_a_unit_does_not_fire_on_is_grey_and_the_caption_says_so():
    artifact = reportgen.compute("top_patches", tiny.tiny_net("residual"), tiny.dataset(12), layer="layer1", units=3)
    hierarchy, sheet, table = method("top_patches").panels(artifact)
    assert "stays grey" not in sheet.caption
    unit = int(artifact.arrays["units"][1])
    activations = artifact.arrays["activations"].copy()
    activations[unit, 4:] = 0
    silenced = Artifact({**artifact.arrays, "activations": activations}, artifact.numbers)
    _, sheet, _ = method("top_patches").panels(silenced)
    assert "stays grey" in sheet.caption
    middle = patch_blocks.EDGE + patch_blocks.TILE // 2
    step = patch_blocks.TILE + patch_blocks.GAP
    assert sheet.values[1, 0, :, middle + 2 * step, middle] == pytest.approx(0.5, abs=0.01)
    assert hierarchy.featured
    assert sheet.row_labels[0].startswith(f"unit {int(artifact.arrays['units'][0])}")
    assert len(table.rows) == 3
