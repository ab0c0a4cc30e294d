"""Class maps are what the net decides by; likeness, sharpness and ROC area are what slow loops and scikit-learn say."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import roc_auc_score
from torch import nn

import reportgen
from reportgen import cells, keys, mapping, patterns
from reportgen.errors import MethodError, NotApplicable
from reportgen.methods import method
from reportgen.nets import encdec
from tests import families, tiny

KWARGS = {"backbone_kwargs": {"widths": [8, 8, 12, 16], "blocks": [1, 1, 1, 1]}}


def net_of_maps(precision="fp64", seed=0):
    """A small encoder-decoder whose maps all say something."""

    def build():
        net = encdec.build(len(tiny.CLASSES), **KWARGS)
        nn.init.constant_(net.up2.bias, 0.2)
        nn.init.normal_(net.scores.weight, std=0.1)  # not as faint as before training
        return net

    return tiny.net_of(tiny.seeded(build, seed), precision=precision, arch="encdec")


def answered(net, picture):
    """Maps and probabilities of one picture, by the net's modules called one after the other."""
    own, x = net.module, net.preprocess([picture])
    with torch.no_grad():
        maps = own.maps(own.up2(own.norm(own.up1(own.scores(own.backbone(x))))))[0]
        return maps.numpy(), maps.mean((1, 2)).softmax(0).numpy()


def test_it_counts_and_measures_what_a_loop_over_single_pictures_does():
    net, data = net_of_maps(), tiny.dataset(23, broken=(4,))
    found = reportgen.compute("class_maps", net, data)
    known = [place for place in range(23) if place != 4 and place % 4 != 3]
    assert found.arrays["places"].tolist() == known
    right1 = right5 = 0
    maps, own = {}, {}
    for n, place in enumerate(known):
        maps[place], own[place] = answered(net, data.load(place).picture)
        order = sorted(range(6), key=lambda k: -own[place][k])
        right1, right5 = right1 + (order[0] == place % 4), right5 + (place % 4 in order[:5])
        assert found.arrays["confidence"][n] == pytest.approx(own[place].max(), rel=1e-6)
        assert found.arrays["correct"][n] == (order[0] == place % 4)
        values = sorted(maps[place][order[0]].ravel(), reverse=True)
        assert found.arrays["sharpness"][n] == pytest.approx(sum(values[:16]) / sum(values), rel=1e-6)
    assert found.numbers["top1"] == pytest.approx(right1 / len(known))
    assert found.numbers["top5"] == pytest.approx(right5 / len(known))
    assert found.numbers["known"] == pytest.approx(len(known) / 22)
    correct = found.arrays["correct"]
    if 0 < correct.sum() < len(correct):
        assert found.numbers["auroc_confidence"] == pytest.approx(roc_auc_score(correct, found.arrays["confidence"]))
    pairs = {}
    for i in known:
        for j in known:
            if i != j:
                value = np.corrcoef(maps[i][i % 4].ravel(), maps[j][j % 4].ravel())[0, 1]
                pairs.setdefault((i % 4, j % 4), []).append(value)
    assert found.numbers["pattern_classes"] == ["tabby", "golf ball", "church"]
    for (a, b), values in pairs.items():
        assert found.arrays["patterns"][a, b] == pytest.approx(np.mean(values), abs=1e-6)
    assert found.numbers["within"] == pytest.approx(np.mean([np.mean(pairs[k, k]) for k in range(3)]), abs=1e-6)
    for k in range(3):
        mean = np.mean([maps[p][k] / maps[p][k].max() for p in known if p % 4 == k], axis=0)
        assert np.allclose(found.arrays["mean_maps"][k], mean, atol=1e-6)
    entry = found.numbers["classes"][1]
    assert entry["between"] == pytest.approx((np.mean(pairs[1, 0]) + np.mean(pairs[1, 2])) / 2, abs=1e-6)


def test_the_shown_are_the_most_confident_right_and_wrong_answers_with_both_maps():
    net, data = net_of_maps(), tiny.dataset(24, classes=("tabby", "golf ball", "church", "tench"))
    found = reportgen.compute("class_maps", net, data, examples=2)
    own = {place: answered(net, data.load(place).picture) for place in range(24)}
    targets = (0, 1, 2, 5)
    wanted = []
    for label, target in enumerate(targets):
        places = sorted(range(label, 24, 4), key=lambda place: -own[place][1].max())
        right = [place for place in places if own[place][1].argmax() == target]
        wanted += right[:2] + [place for place in places if place not in right][:2]
    assert found.arrays["shown"].tolist() == wanted
    for n, place in enumerate(wanted):
        maps, given = own[place]
        target, told = targets[place % 4], found.numbers["shown"][n]
        other = max((k for k in range(6) if k != target), key=lambda k: given[k])
        assert np.allclose(found.arrays["shown_maps"][n], maps[[target, other]], atol=1e-6)
        assert told["other"] == tiny.CLASSES[other].partition(",")[0].replace("_", " ")
        assert told["probability"] == pytest.approx(given[target], rel=1e-5)
        assert told["right"] == (given.argmax() == target)
        assert told["picture"] == data.names[place]


def test_one_classs_weights_are_in_its_own_map_alone():
    net, data = net_of_maps(), tiny.dataset(8)
    before = [answered(net, data.load(place).picture)[0] for place in range(8)]
    with torch.no_grad():
        net.module.up1.weight[2] *= -2
        net.module.up2.weight[2] += 0.5
    for place in range(8):
        after, _ = answered(net, data.load(place).picture)
        changed = [k for k in range(6) if not np.array_equal(after[k], before[place][k])]
        assert changed == [2]


def test_it_gives_what_it_documents_twice_the_same_and_panels_to_read():
    found, net = method("class_maps"), net_of_maps("fp32")
    params = {**found.tiny}
    first, second = (reportgen.compute("class_maps", net, tiny.dataset(30), **params) for _ in range(2))
    assert set(first.arrays) == set(found.arrays)
    sizes = {}
    for name, documented in found.arrays.items():
        shape, letters = first.arrays[name].shape, documented.split(" x ")
        assert len(shape) == len(letters)
        for letter, size in zip(letters, shape, strict=True):
            assert int(letter) == size if letter.isdigit() else sizes.setdefault(letter, size) == size
        assert first.arrays[name].tobytes() == second.arrays[name].tobytes()
    assert keys.canonical(first.numbers) == keys.canonical(second.numbers)
    panels = found.panels(first)
    names = [panel.name for panel in panels]
    assert names == ["maps", "summary", "likeness", "classes", "sharpness", "class_1", "class_2", "class_3"]
    assert [panel.name for panel in panels if panel.featured] == ["maps"]
    for panel in panels:
        assert 80 <= len(panel.alt) <= 170, panel.alt
        assert panel.caption.count(". ") >= 1
        assert panel.caption.endswith(".")
        if panel.kind == "table":
            assert all(len(row) == len(panel.columns) for row in panel.rows)
    drawn = next(panel for panel in panels if panel.name == "class_2").values  # rows 3 3 S S
    assert drawn.shape[1:] == (3, 3, 64, 64)
    assert np.array_equal(
        drawn[0, 0], first.arrays["shown_pictures"][_row(first, "golf ball")].transpose(2, 0, 1) / np.float32(255)
    )
    assert float(drawn.min()) >= 0
    assert float(drawn.max()) <= 1


def _row(artifact, name):
    return next(row for row, told in enumerate(artifact.numbers["shown"]) if told["class"] == name)


def test_the_cut_of_the_set_changes_nothing_and_maps_of_few_pictures_are_kept():
    net, data = net_of_maps("fp32"), tiny.dataset(40)
    found = reportgen.compute("class_maps", net, data, limit=12)
    assert found.numbers["compared"] + found.numbers["even"] == 12
    assert len(found.arrays["confidence"]) == 30
    rows = np.arange(200)
    whole = {
        "places": rows, "maps": rows[:, None, None] * np.ones((1, 2, 2)), "map_places": rows, "map_targets": rows % 3,
        "limit": np.array([20]),
    }  # fmt: skip

    def part(a, b):
        return {name: values if name == "limit" else values[a:b] for name, values in whole.items()}

    at_once = mapping.joined([whole])
    for cuts in ((0, 16, 32, 200), (0, 101, 102, 200)):
        pieces = [part(a, b) for a, b in pairwise(cuts)]
        merged = mapping.joined([mapping.joined(pieces[:2]), *pieces[2:]])
        assert all(np.array_equal(merged[name], at_once[name]) for name in at_once)
    assert len(at_once["maps"]) == 20
    assert len(at_once["places"]) == 200


# ---------------------------------------------------------------------------------------------------------- arithmetic


@pytest.mark.parametrize("ties", [False, True])
def test_the_roc_area_is_scikit_learns(ties):
    rng = np.random.default_rng(int(ties))
    for count in (2, 3, 10, 200):
        right = rng.random(count) < 0.6
        right[:2] = True, False
        scores = rng.integers(0, 4, count) / 4 if ties else rng.random(count)
        assert patterns.auroc(scores, right) == pytest.approx(roc_auc_score(right, scores), abs=1e-12)
        by_hand = np.mean([(a > b) + 0.5 * (a == b) for a in scores[right] for b in scores[~right]])
        assert patterns.auroc(scores, right) == pytest.approx(by_hand, abs=1e-12)
    assert patterns.auroc(np.arange(3.0), np.ones(3, bool)) is None
    assert patterns.auroc(np.arange(3.0), np.zeros(3, bool)) is None


def test_ranks_and_their_correlation_are_scipys():
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 9, 50) / 3, rng.integers(0, 5, 50) * 1.0
    assert patterns.ranks(one).tolist() == stats.rankdata(one).tolist()
    assert patterns.rank_correlation(one, other) == pytest.approx(stats.spearmanr(one, other).statistic)
    assert patterns.rank_correlation(one, np.ones(50)) is None


def test_likeness_is_the_mean_over_pairs_and_even_maps_have_none():
    rng = np.random.default_rng(0)
    maps, classes = rng.random((14, 3, 4)).astype(np.float32), np.array([5, 5, 5, 5, 2, 2, 2, 9, 9, 7, 7, 7, 2, 5])
    maps[4] = 0.3  # even
    maps[9:12] = 0  # a class of nothing
    found = patterns.likeness(maps, classes)
    assert found.classes == (2, 5, 9)
    assert found.maps == (3, 5, 2)
    for i, a in enumerate(found.classes):
        for j, b in enumerate(found.classes):
            pairs = [
                np.corrcoef(maps[m].ravel(), maps[n].ravel())[0, 1]
                for m in np.flatnonzero(classes == a)
                for n in np.flatnonzero(classes == b)
                if m != n and 4 not in (m, n)
            ]
            assert found.correlations[i, j] == pytest.approx(np.mean(pairs), abs=1e-6)
    assert found.between == pytest.approx(found.correlations[[0, 0, 1], [1, 2, 2]].mean())
    alone = patterns.likeness(maps[:4], classes[:4])
    assert (alone.within is None, alone.between) == (False, None)
    nothing = patterns.likeness(np.zeros((3, 2, 2)), np.zeros(3))
    assert (nothing.classes, nothing.within, nothing.correlations.shape) == ((), None, (0, 0))


def test_sharpness_by_hand():
    even, one = np.ones((4, 4)), np.zeros((4, 4))
    one[2, 1] = 3
    steps = np.arange(16.0).reshape(4, 4)
    below = np.where(steps > 13, steps, -5.0)
    found = patterns.sharpness(np.stack([even, one, steps, below, np.zeros((4, 4))]))
    assert found.tolist() == pytest.approx([0.25, 1, (15 + 14 + 13 + 12) / 120, 1, 0.25])


def test_maps_lie_where_their_fields_have_their_middle_unless_that_is_outside_the_picture():
    from reportgen.records import Layer

    def layer(start, field=(40, 40), stride=(8, 8)):
        return Layer("maps", "ReLU", (5, 8, 8), stride, field, start, 0, 0)

    inside = layer((-16, -16))  # middles from 3.5 to 59.5
    assert patterns.places(inside, 64) == inside.places(64) == ((3.5, 3.5), (8.0, 8.0))
    outside = layer((-32, -32))  # from -12.5 to 43.5
    assert outside.places(64)[0] == (-12.5, -12.5)
    assert patterns.places(outside, 64) == ((3.5, 3.5), (8.0, 8.0))
    assert patterns.places(layer(None, None, (8, 8)), 64) == ((3.5, 3.5), (8.0, 8.0))


# ---------------------------------------------------------------------------------------------------- where it applies


def test_squeezenet_has_class_maps_too_and_they_are_those_of_its_last_rectifier():
    net = families.net("squeezenet1_0", "fp32")
    assert patterns.map_layer(net.card).name == "classifier.2"
    data = replace(tiny.dataset(4), classes=("class 3", "class 8"), labels=(0, 1, 0, 1))
    found = reportgen.compute("class_maps", net, data, examples=1)
    assert found.numbers["layer"] == "classifier.2"
    for n, place in enumerate(found.arrays["shown"]):
        x = net.preprocess([data.load(int(place)).picture])
        with torch.no_grad():
            maps = net.module.classifier[:3](net.module.features(x))[0]
        assert np.allclose(found.arrays["shown_maps"][n, 0], maps[(3, 8)[place % 2]].numpy(), atol=1e-4)


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_nets_with_dense_layers_have_none_and_the_plan_knows(kind):
    net = tiny.tiny_net(kind)
    assert "no layer of one map per class" in cells.unfit(method("class_maps"), net.card)
    with pytest.raises(NotApplicable, match="no layer of one map per class"):
        reportgen.compute("class_maps", net, tiny.dataset(4))


def test_maps_whose_means_are_not_the_logits_are_refused():
    def build():
        return nn.Sequential(nn.Conv2d(3, 6, 5, 4), nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten())

    net = tiny.net_of(tiny.seeded(build))
    with pytest.raises(NotApplicable, match="their means are not the logits"):
        reportgen.compute("class_maps", net, tiny.dataset(4))


def test_what_makes_no_sense_is_said():
    net = net_of_maps()
    with pytest.raises(NotApplicable, match=r"knows none of the classes of discs \(zebra, moose \.\.\.\)"):
        reportgen.compute("class_maps", net, tiny.dataset(8, classes=("zebra", "moose")))
    for name, value in (("classes", 0), ("examples", 9), ("limit", 1)):
        with pytest.raises(MethodError, match=f"{name}: {value} is out of range"):
            reportgen.compute("class_maps", net, tiny.dataset(8), **{name: value})
    net.module.scores.weight[0] = float("nan")
    with pytest.raises(MethodError, match="NaN"):
        reportgen.compute("class_maps", net, tiny.dataset(8))


def test_a_net_that_is_always_right_or_says_nothing_has_its_panels():
    data, net = tiny.dataset(12), net_of_maps("fp32")
    answers = [int(answered(net, data.load(place).picture)[1].argmax()) for place in range(12)]
    artifact = reportgen.compute("class_maps", net, replace(data, classes=tiny.CLASSES, labels=tuple(answers)))
    assert artifact.numbers["top1"] == 1
    assert artifact.numbers["auroc_confidence"] is artifact.numbers["sharpness_wrong"] is None
    assert method("class_maps").panels(artifact)
    net.module.up2.bias.fill_(-100.0)  # every map is zero everywhere
    silent = reportgen.compute("class_maps", net, data)
    assert silent.numbers["pattern_classes"] == []
    assert silent.numbers["even"] == 9
    assert "likeness" not in {panel.name for panel in method("class_maps").panels(silent)}
