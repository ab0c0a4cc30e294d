"""Scores of maps against masks equal sums by hand: 1 for the mask itself, its share for maps that know nothing."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

import reportgen
from reportgen import attribution, images, localizing
from reportgen.errors import MethodError, NotApplicable
from reportgen.examples import Example
from reportgen.methods import method
from tests import tiny

QUICK = {"samples": 1, "steps": 1, "examples": 1}


def disc(size=64, y=20.0, x=40.0, radius=9.5):
    rows, columns = np.mgrid[:size, :size]
    return (rows - y) ** 2 + (columns - x) ** 2 < radius**2


# ---------------------------------------------------------------------------------------------------- the scores


@pytest.mark.parametrize("strength", [1.0, 1e-20, 7.0])
def test_the_ideal_map_has_one_in_every_score_and_its_opposite_none(strength):
    mask = disc()
    assert localizing.scores(strength * mask, mask) == pytest.approx((1, 1, 1), rel=1e-12)
    assert localizing.scores(strength * ~mask, mask) == (0, 0, 0)


@pytest.mark.parametrize("value", [0.0, 3.0, -1.0])
def test_a_map_that_says_nothing_has_the_masks_share(value):
    mask = disc()
    share = mask.mean()
    found = localizing.scores(np.full(mask.shape, value), mask)
    assert found == pytest.approx((share, share, share / (2 - share)))


def test_a_random_map_has_the_masks_share_within_three_standard_errors():
    mask, rng, share = disc(), np.random.default_rng(3), disc().mean()
    found = np.array([localizing.scores(rng.random(mask.shape), mask) for _ in range(400)])
    # Of a hit, and of a weighted mean of as many uniform numbers, whose variance is a third of their squared mean.
    spread = np.sqrt(share * (1 - share) * np.array([1, 1 / 3 / mask.size]))
    assert (abs(found[:, :2].mean(axis=0) - share) < 3 * spread / 20).all()
    assert found[:, 1].std() == pytest.approx(spread[1], rel=0.15)
    inside = np.full(400, mask.sum() * share)  # pixels of a random choice that lie in the mask
    assert found[:, 2].mean() == pytest.approx((inside / (2 * mask.sum() - inside)).mean(), rel=0.02)


def test_scores_by_hand():
    mask = np.array([[1, 1, 0], [0, 0, 0], [0, 0, 1]], dtype=bool)
    values = np.array([[4.0, 1.0, -9.0], [2.0, 4.0, 0.0], [-1.0, 0.0, 1.0]])
    pointing, energy, overlap = localizing.scores(values, mask)
    assert pointing == 1 / 2, "one of the two largest values lies in the mask"
    assert energy == (4 + 1 + 1) / (4 + 1 + 2 + 4 + 1)
    assert overlap == 1 / 5, "4, 4 and 2: one of them lies in the mask of three"


def test_equal_values_that_compete_for_the_last_places_count_in_shares():
    mask = np.array([[1, 1, 1, 0], [0, 0, 0, 1]], dtype=bool)
    values = np.array([[5, 2, 2, 2], [2, 0, 1, 0]])
    tied = [1, 2, 3, 4]
    inside = [mask.ravel()[[0, *some]].sum() for some in combinations(tied, 3)]
    assert localizing.overlap(values, mask) == pytest.approx(np.mean(inside) / (8 - np.mean(inside)))


def test_the_tolerance_is_a_distance_to_the_mask():
    mask = np.zeros((30, 30), dtype=bool)
    mask[10:14, 12] = True
    for y, x in [(10, 12), (10, 15), (9, 16), (14, 12), (17, 16), (29, 29)]:
        values = np.zeros((30, 30))
        values[y, x] = 1
        distance = min(((y - a) ** 2 + (x - b) ** 2) ** 0.5 for a, b in np.argwhere(mask))
        for tolerance in (0, 1, 3, 5):
            assert localizing.pointing(values, mask, tolerance) == (distance <= tolerance)


def test_the_outline_is_the_masks_edge():
    mask = np.zeros((8, 8), dtype=bool)
    mask[2:6, 2:7] = True
    inner = np.zeros((8, 8), dtype=bool)
    inner[3:5, 3:6] = True
    assert np.array_equal(localizing.outline(mask), mask & ~inner)
    assert np.array_equal(localizing.outline(mask, 2), mask)


def test_means_over_classes_errors_and_ratios_by_hand():
    scores = np.array([[1.0, 0, 0, 0.5], [1, 1, 1, 1], [0, 0, 0, 1]])
    found = localizing.summary(scores, [2, 2, 2, 7])
    assert found["pointing"] == [0.375, pytest.approx(np.sqrt(0.6875 / 3 / 4))]
    assert found["pointing_of_classes"] == pytest.approx((1 / 3 + 0.5) / 2)
    assert found["iou_of_classes"] == 0.5
    assert localizing.mean_and_error(np.array([3.0])) == [3, None]
    above, below = np.random.default_rng(0).random((2, 4000)) + np.array([[1], [2]])
    ratio, error = localizing.ratio_and_error(above, below)
    again = [
        localizing.ratio_and_error(above[own], below[own])[0]
        for own in np.random.default_rng(1).integers(0, 4000, (300, 4000))
    ]
    assert ratio == above.mean() / below.mean()
    assert error == pytest.approx(np.std(again), rel=0.15), "as drawing the pictures again would give"
    assert localizing.ratio_and_error(above, 0 * below) == [None, None]


def test_pictures_to_show_are_spread_over_the_classes():
    labels = [0] * 20 + [1] * 3 + [2]
    drawn = localizing.spread(labels, 5, np.random.default_rng(0))
    assert sorted(labels[n] for n in drawn) == [0, 0, 1, 1, 2]
    assert len(set(localizing.spread(labels, 99, np.random.default_rng(0)))) == 24


# ---------------------------------------------------------------------------------------------------- the method


@pytest.mark.parametrize("kind", ["plain", "residual"])
def test_scores_are_those_of_a_plain_loop_over_the_methods_own_maps(kind):
    net, data = tiny.tiny_net(kind, "fp64"), tiny.dataset(18)
    names = ("saliency", "integrated_gradients", "grad_cam", "centre")
    found = reportgen.compute("localization", net, data, methods=names, steps=3, examples=2)
    truth = np.zeros((3, len(names), len(data)))
    centre = -np.hypot(*(np.mgrid[:64, :64] - 31.5))
    for place in range(len(data)):
        example = data.load(place)
        known = (0, 1, 2, None)[data.labels[place]]
        for m, name in enumerate(names):
            if name == "centre":
                values = centre - centre.min()
            else:
                params = {"steps": 3} if name == "integrated_gradients" else {}
                target = "predicted" if known is None else known
                artifact = reportgen.compute(name, net, example.picture, target=target, **params)
                values = artifact.arrays["map"]
                assert name == "centre" or found.arrays["targets"][place] == artifact.numbers["target"]
            truth[:, m, place] = localizing.scores(values, example.mask)
    for own, score in zip(truth, localizing.SCORES, strict=True):
        assert own.any()
        assert np.allclose(found.arrays[score], own, atol=1e-5), score
    assert found.numbers["by_label"] == 14
    predicted = [reportgen.compute("prediction", net, data.load(n).picture).numbers["index"] for n in range(18)]
    hits = [predicted[n] == data.labels[n] for n in range(18) if data.labels[n] < 3]
    assert found.numbers["agrees"] == pytest.approx(np.mean(hits))
    assert found.arrays["area"] == pytest.approx([data.load(n).mask.mean() for n in range(18)])
    mean = found.numbers["scores"]["saliency"]["energy"][0]
    assert mean == pytest.approx(truth[1, 0].mean(), abs=1e-5)
    gap = found.numbers["beats"]["saliency"]["centre"]["energy"]
    difference = truth[1, 0] - truth[1, 3]
    assert gap == pytest.approx([difference.mean(), difference.std(ddof=1) / 18**0.5], abs=1e-5)


def test_the_masks_themselves_as_maps_have_one_in_every_score(monkeypatch):
    data, net = tiny.dataset(20), tiny.tiny_net("plain")
    masks = {data.load(n).picture.tobytes(): data.load(n).mask for n in range(20)}
    view = images.view

    def ideal(_, x, targets, names, rngs, effort):
        return {"saliency": np.stack([masks[seen] for seen in waiting[-len(x) :]]).astype(np.float32)}, {}

    waiting = []
    monkeypatch.setattr(images, "view", lambda picture, pre: waiting.append(picture.tobytes()) or view(picture, pre))
    monkeypatch.setattr(attribution, "maps", ideal)
    found = reportgen.compute("localization", net, data, methods=("saliency",), examples=1)
    for score in localizing.SCORES:
        assert found.arrays[score].tolist() == [[1.0] * 20]


def test_random_maps_have_the_masks_share_over_a_set():
    found = reportgen.compute("localization", tiny.tiny_net("plain"), tiny.dataset(60), methods=("random",), **QUICK)
    gap = found.arrays["energy"][0] - found.arrays["area"]
    assert abs(gap.mean()) < 3 * gap.std(ddof=1) / 60**0.5
    hits = found.arrays["pointing"][0] - found.arrays["area"]
    assert abs(hits.mean()) < 3 * hits.std(ddof=1) / 60**0.5


def test_what_a_net_cannot_have_is_left_out_and_named():
    names = ("cam", "saliency", "untrained:cam")
    found = reportgen.compute("localization", tiny.tiny_net("plain"), tiny.dataset(4), methods=names, **QUICK)
    assert found.numbers["methods"] == ["saliency"]
    assert set(found.numbers["left_out"]) == {"cam", "untrained:cam"}
    assert "CAM" in next(p for p in method("localization").panels(found) if p.name == "scores").caption
    with pytest.raises(MethodError, match=r"None of the maps.*global average"):
        reportgen.compute("localization", tiny.tiny_net("plain"), tiny.dataset(4), methods=("cam",), **QUICK)


def test_pictures_whose_object_is_out_of_view_or_fills_it_are_left_out():
    net, data = tiny.tiny_net("plain"), tiny.dataset(6)
    whole = {1: np.zeros((64, 64), bool), 4: np.ones((64, 64), bool)}

    def load(place):
        return Example(tiny.example(place).picture, whole.get(place, tiny.example(place).mask))

    found = reportgen.compute("localization", net, replace(data, load=load), methods=("saliency",), **QUICK)
    assert found.arrays["places"].tolist() == [0, 2, 3, 5]
    assert found.numbers["scored"] == 4
    assert found.numbers["pictures"] == 6
    nothing = replace(data, load=lambda place: Example(tiny.example(place).picture, whole[1]))
    with pytest.raises(MethodError, match="No object of discs"):
        reportgen.compute("localization", net, nothing, methods=("saliency",), **QUICK)


def test_masks_of_another_size_and_sets_without_masks_are_refused():
    net, data = tiny.tiny_net("plain"), tiny.dataset(3)
    small = replace(data, load=lambda place: Example(tiny.example(place).picture, np.ones((8, 8), bool)))
    with pytest.raises(MethodError, match=r"Picture 1 of the set \(64 x 64 pixels\) has a mask of 8 x 8"):
        reportgen.compute("localization", net, small)
    with pytest.raises(NotApplicable, match="without masks"):
        reportgen.compute("localization", net, tiny.dataset(3, masks=False))


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"methods": ("gradcam",)}, "'grad_cam'"),
        ({"methods": ()}, "nothing"),
        ({"target": "church"}, "label or predicted"),
        ({"tolerance": -1}, "0 or more"),
        ({"steps": 0}, "1 or more"),
    ],
)
def test_params_that_mean_nothing_are_refused(params, match):
    with pytest.raises(MethodError, match=match):
        reportgen.compute("localization", tiny.tiny_net("plain"), tiny.dataset(3), **params)
