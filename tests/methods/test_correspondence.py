"""Correspondence is Zeiler and Fergus' formula: as plain loops over pictures, pairs and features have it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import reportgen
from reportgen import images
from reportgen.errors import MethodError, NotApplicable
from reportgen.examples import Dataset, Example
from reportgen.methods import method
from reportgen.records import Input
from tests import families, tiny

POINTS = ({"left_eye": (20, 24), "nose": (31.5, 40)}, {"left_eye": (9, 30), "nose": (25, 63)}, {"left_eye": (50, 12)})


def faces(points=POINTS):
    return [Input(tiny.photo(seed), (), points=own, name=f"face {seed}") for seed, own in enumerate(points)]


def correspondence(net, inputs, **params):
    found = method("correspondence")
    (artifact,) = found.run(net, inputs, found.params(**params), [np.random.default_rng(7)])
    return artifact


def features(net, layer, x):
    """The layer's value of one picture, from the net as it is, with a hook of our own."""
    seen = []
    path = net.card.resolve(layer).name
    handle = dict(net.module.named_modules())[path].register_forward_hook(
        lambda m, i, value: seen.append(value.clone())
    )
    with torch.no_grad():
        net.module(x)
    handle.remove()
    return seen[-1].flatten().tolist()


def change(net, layer, picture, top, left, side):
    """The change of every feature when a square is set to zero after normalisation; rounding is no change."""
    x = net.preprocess([picture])
    hidden = x.clone()
    for y in range(max(top, 0), min(top + side, families.SIZE)):
        for column in range(max(left, 0), min(left + side, families.SIZE)):
            hidden[0, :, y, column] = 0
    pairs = list(zip(features(net, layer, x), features(net, layer, hidden), strict=True))
    least = 1e-12 * max(abs(value) for value, _ in pairs)
    return [0.0 if abs(a - b) < least else a - b for a, b in pairs]


def sign(value):
    return (value > 0) - (value < 0)


def share(first, second, only_changed=False):
    differ = there = 0
    for a, b in zip(first, second, strict=True):
        if only_changed and (a == 0 or b == 0):
            continue
        there += 1
        differ += sign(a) != sign(b)
    return differ / there if there else None


def ordered_pairs(changes, **how):
    shares = [share(a, b, **how) for i, a in enumerate(changes) for j, b in enumerate(changes) if i != j]
    return [one for one in shares if one is not None]


@pytest.mark.parametrize("arch", families.ARCHS)
def test_in_double_precision_every_measure_equals_plain_loops(arch):
    net, side, inputs = families.net(arch), 11, faces()
    found = correspondence(net, inputs, patch=side, random=2)
    corners = [{part: (int(y - 5 + 0.5), int(x - 5 + 0.5)) for part, (x, y) in own.items()} for own in POINTS]
    groups = []
    for part in ("left_eye", "nose"):
        some = [
            change(net, "last_conv", one.picture, *own[part], side)
            for one, own in zip(inputs, corners, strict=True)
            if part in own
        ]
        groups.append([some])
    anywhere = found.arrays["random_corners"]
    groups.append(
        [
            [change(net, "last_conv", one.picture, *anywhere[n, k], side) for n, one in enumerate(inputs)]
            for k in range(2)
        ]
    )
    plain = [np.concatenate([ordered_pairs(own) for own in group]) for group in groups]
    shared = [np.concatenate([ordered_pairs(own, only_changed=True) for own in group]) for group in groups]
    delta = np.array([values.mean() for values in plain])
    assert delta.min() > 0
    for name, truth in {
        "delta": delta,
        "spread": [values.std() for values in plain],
        "ratio": delta / delta[-1],
        "restricted": [values.mean() for values in shared],
    }.items():
        assert np.allclose(found.arrays[name], truth, rtol=0, atol=1e-9), name
    assert found.arrays["pairs"].tolist() == [3, 1, 6]
    assert found.arrays["left_out"].tolist() == [
        len(all_) // 2 - len(own) // 2 for all_, own in zip(plain, shared, strict=True)
    ]
    assert found.numbers["features"] == len(groups[0][0][0])


def linear(weight):
    """A net whose one layer sums the colours of the whole picture into six numbers, with these weights."""
    module = nn.Sequential(nn.Conv2d(3, 4, 4, stride=4), nn.Flatten(), nn.Linear(4 * 256, len(tiny.CLASSES)))
    with torch.no_grad():
        module[0].weight.fill_(weight)
        module[2].weight.normal_(generator=torch.Generator().manual_seed(1))
    return tiny.net_of(module.eval().requires_grad_(False))


def test_where_all_changes_have_one_sign_nothing_differs_and_a_different_place_shows():
    """Bright pictures and positive weights: hiding lowers every feature under the square, and no other."""
    net = linear(0.1)
    bright = np.full((64, 64, 3), 0.95, dtype=np.float32)
    same = [Input(bright, points={"eye": (30, 30)}), Input(bright * 0.99, points={"eye": (30, 30)})]
    found = correspondence(net, same, layer="0", patch=9, random=2)
    assert (found.arrays["delta"][0], found.arrays["restricted"][0], found.arrays["left_out"][0]) == (0, 0, 0)
    assert found.numbers["rows"][0]["ratio"] == 0
    elsewhere = [same[0], Input(bright, points={"eye": (50, 50)})]
    found = correspondence(net, elsewhere, layer="0", patch=8, random=1)
    assert found.arrays["corners"][:, 0].tolist() == [[27, 27], [47, 47]]
    # the square over pixels 27 to 34 changes 3 x 3 positions of 4 pixels, that over 47 to 54 as many others
    assert found.arrays["delta"][0] == pytest.approx(2 * 9 / 256)
    assert found.arrays["left_out"][0] == 1
    assert found.numbers["rows"][0]["restricted"] is None


def test_where_nothing_changes_at_random_places_there_is_no_ratio_and_the_bars_show_delta():
    found = correspondence(linear(0.0), faces(), layer="0", random=2)
    assert not found.arrays["delta"].any()
    assert [row["ratio"] for row in found.numbers["rows"]] == [None] * 3
    assert method("correspondence").panels(found)[0].values.tolist() == [0, 0, 0]


def test_the_strip_shows_the_view_with_the_square_over_the_part_and_nothing_where_a_picture_lacks_it():
    net = tiny.tiny_net("plain")
    inputs = faces()
    found = correspondence(net, inputs, patch=8, random=1)
    assert found.arrays["shown"].tolist() == [[True, True], [True, True], [True, False]]
    top, left = found.arrays["corners"][0, 0]
    assert (top, left) == (21, 17)  # of 24 and 20: the even square's centre lies half a pixel after the point
    tile = found.arrays["strip"][0, 0].transpose(1, 2, 0)
    mean = np.array(net.card.preprocess.mean)
    assert np.allclose(tile[top : top + 8, left : left + 8], mean, atol=1e-6)
    outside = np.ones((64, 64), dtype=bool)
    outside[top : top + 8, left : left + 8] = False
    assert np.allclose(tile[outside], images.view(inputs[0].picture, net.card.preprocess)[outside], atol=1e-6)
    sheet = method("correspondence").panels(found)[2]
    assert np.isnan(sheet.values[2, 1]).all()
    assert np.isfinite(sheet.values[2, 0]).all()
    grey = correspondence(net, inputs, patch=8, random=1, fill="grey").arrays["strip"][0, 0]
    assert np.allclose(grey[:, top, left], 0.5, atol=1e-6)


def test_random_places_lie_inside_and_at_the_same_shares_of_the_side_in_nets_of_other_inputs():
    small = tiny.tiny_net("branching")
    large = replace(small, card=replace(small.card, preprocess=replace(small.card.preprocess, resize=128, size=128)))
    found = [correspondence(net, faces(), random=40).arrays["random_corners"] for net in (small, large)]
    for corners, size, side in zip(found, (64, 128), (11, 21), strict=True):
        assert corners.min() >= 0
        assert corners.max() <= size - side
    shares = [corners / (size - side + 1) for corners, size, side in zip(found, (64, 128), (11, 21), strict=True)]
    assert abs(shares[0] - shares[1]).max() < 1 / 50
    assert not np.array_equal(found[0][0], found[0][1]), "every picture has places of its own"


def test_what_cannot_be_compared_is_said_in_a_sentence():
    net = tiny.tiny_net("residual")
    with pytest.raises(NotApplicable, match="None of the pictures has points"):
        correspondence(net, faces([{}, {}]))
    with pytest.raises(NotApplicable, match="No two of the pictures share a point"):
        correspondence(net, faces([{"left_eye": (20, 24)}, {"nose": (20, 24)}]))
    with pytest.raises(NotApplicable, match="Fewer than two pictures show the point nose"):
        correspondence(net, faces([{"nose": (20, 24), "ear": (1, 1)}, {"ear": (20, 24)}]), parts=("ear", "nose"))
    with pytest.raises(MethodError, match=r"no picture has the point 'nos'\. Did you mean 'nose'"):
        correspondence(net, faces(), parts=("nos",))
    with pytest.raises(MethodError, match="a square of 65 pixels is larger than the net's input of 64"):
        correspondence(net, faces(), patch=65)
    for wrong in ({"patch": -1}, {"random": 0}):
        with pytest.raises(MethodError, match=next(iter(wrong))):
            method("correspondence").params(**wrong)


def test_a_point_that_the_central_crop_cuts_off_counts_as_lacking_and_a_dense_layer_is_fine():
    net = tiny.tiny_net("plain")
    wide = np.concatenate([tiny.photo(1), tiny.photo(2)], axis=1)  # 64 x 128: the view is its middle
    points = {"left_eye": (20, 20), "nose": (64, 30)}
    inputs = [Input(wide, points=points), Input(wide[:, ::-1].copy(), points={"nose": (70, 30)}), *faces()[:1]]
    found = correspondence(net, inputs, random=2, layer="penultimate")
    assert [row["part"] for row in found.numbers["rows"]] == ["nose", "random places"]
    assert found.numbers["cut"] == 1
    assert found.numbers["names"] == ["picture 1", "picture 2", "face 0"]
    assert found.numbers["features"] == 16
    assert "1 point lies outside" in method("correspondence").panels(found)[1].caption


# ------------------------------------------------------------------------------- with the points of a data set


CLASSES = ("church", "face", "tench")


def pointed(place):
    """A face at every third place, which has two points, or three; a church has one, a tench none."""
    x, y = np.random.default_rng(place).uniform(12, 50, 2).tolist()
    eyes = {"left_eye": (x, y), "nose": (x + 5, y + 8)} | ({"mouth": (x, y + 12)} if place % 2 else {})
    points = ({"spire": (x, y)}, eyes, {})[place % 3]
    return Example(tiny.photo(place), points=points)


def pointed_set(count=24, load=pointed):
    names = tuple(f"{CLASSES[n % 3]}/{n}.png" for n in range(count))
    return Dataset("pointed", CLASSES, names, tuple(n % 3 for n in range(count)), load, lambda: "pointed", points=True)


def test_on_a_data_set_it_is_what_it_is_on_the_same_pictures():
    net, data = tiny.tiny_net("residual", "fp64"), pointed_set()
    params = {"layer": "stage2", "random": 3, "limit": 6, "least": 3}
    found = reportgen.compute("part_correspondence", net, data, **params)
    faces = [1, 4, 7, 10, 13, 19]  # those with a mouth are 1, 7, 13, 19; then the first others
    assert found.numbers["of"] == "face"
    assert found.numbers["names"] == [f"face/{place}.png" for place in faces]
    assert [row["part"] for row in found.numbers["rows"]] == ["left_eye", "mouth", "nose", "random places"]
    assert found.arrays["shown"].sum(axis=0).tolist() == [6, 4, 6]
    one = method("correspondence")
    inputs = [Input(data.load(place).picture, points=data.load(place).points) for place in faces]
    size, side = 64, round(64 / 6)

    class Drawn:
        """Draws that give the random places of the data set's cell."""

        def random(self, shape):
            return (found.arrays["random_corners"].reshape(shape) + 0.5) / (size - side + 1)

    (truth,) = one.run(net, inputs, one.params(layer="stage2", random=3), [Drawn()])
    for name, values in truth.arrays.items():
        if name != "strip":
            assert np.array_equal(found.arrays[name], values), name
    assert found.arrays["strip"].dtype == np.uint8
    assert np.allclose(found.arrays["strip"] / 255, truth.arrays["strip"], atol=0.51 / 255)
    assert [panel.title.startswith("face: ") for panel in method("part_correspondence").panels(found)] == [True] * 3


def test_the_sheet_of_a_data_set_shows_its_first_pictures_and_the_class_can_be_asked_for():
    net = tiny.tiny_net("plain")
    found = reportgen.compute("part_correspondence", net, pointed_set(36), random=1, limit=12, of="Church")
    assert found.numbers["of"] == "church"
    assert len(found.numbers["names"]) == 12
    assert found.arrays["strip"].shape[:2] == (8, 1)
    sheet = method("part_correspondence").panels(found)[2]
    assert len(sheet.row_labels) == len(sheet.values) == 8
    assert len(found.arrays["shown"]) == 12


def test_a_data_set_in_which_nothing_corresponds_says_so():
    net = tiny.tiny_net("plain")

    def look(data, **params):
        return reportgen.compute("part_correspondence", net, data, random=1, **params)

    with pytest.raises(MethodError, match=r"has no class 'fase'\. Did you mean 'face'"):
        look(pointed_set(), of="fase")
    with pytest.raises(NotApplicable, match="fewer than two pictures of tench with points"):
        look(pointed_set(), of="tench")
    with pytest.raises(
        NotApplicable, match="No part is seen in 5 of the 4 pictures of face; the most frequent is in 4"
    ):
        look(pointed_set(12), limit=8, least=5)
    with pytest.raises(NotApplicable, match="No picture of pointed has a point"):
        look(pointed_set(load=lambda place: Example(tiny.photo(place))))
    with pytest.raises(NotApplicable, match="without points"):
        look(tiny.dataset(8, masks=False))
    with pytest.raises(MethodError, match="no picture has the point 'ear'"):
        look(pointed_set(), parts=("ear",))
    for wrong in ({"limit": 1}, {"least": 1}, {"least": 30}, {"patch": -1}):
        with pytest.raises(MethodError):
            method("part_correspondence").params(**wrong)
