"""The probe's classifiers are scikit-learn's on features taken by hand, whatever the set is cut into."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import reportgen
from reportgen import linear_probe, passes
from reportgen.errors import MethodError, NotApplicable
from reportgen.examples import Dataset, Example
from reportgen.methods import method
from reportgen.methods.probe import Params, layers, merge
from tests import reference, tiny


def tinted(counts=(14, 14, 14), classes=("red", "green", "blue"), strength=0.1):
    """Pictures of three classes that differ a little in their tint, in mixed order."""
    labels = [k for k, count in enumerate(counts) for _ in range(count)]
    order = np.random.default_rng(5).permutation(len(labels))
    labels = [labels[i] for i in order]

    def load(place):
        picture = tiny.photo(place) * (1 - strength)
        picture[:, :, labels[place] % 3] += strength
        return Example(picture.astype(np.float32))

    names = tuple(f"{place}.png" for place in range(len(labels)))
    return Dataset("tints", classes, names, tuple(labels), load, lambda: f"tints {counts} {classes} {strength}")


def pooled_by_hand(value, most):
    """The mean of each field of one picture's value, by loops; fields are cut as evenly as they can be."""
    if value.ndim == 1:
        return value.tolist()
    found = []
    for own in value:
        sides = [min(most, side) for side in own.shape]
        for i in range(sides[0]):
            for j in range(sides[1]):
                rows = slice(i * own.shape[0] // sides[0], -(-(i + 1) * own.shape[0] // sides[0]))
                columns = slice(j * own.shape[1] // sides[1], -(-(j + 1) * own.shape[1] // sides[1]))
                found.append(float(own[rows, columns].mean()))
    return found


@pytest.mark.parametrize("kind", ["plain", "residual"])
def test_it_equals_scikit_learn_on_features_taken_by_hand(kind, monkeypatch):
    from sklearn.linear_model import LogisticRegression

    parted, made = [], linear_probe.splits
    monkeypatch.setattr(linear_probe, "splits", lambda *given: parted.extend(made(*given)) or iter(parted))
    net, data = tiny.tiny_net(kind, "fp64"), tinted(strength=0.05)
    found = reportgen.compute("probe", net, data, train=5, test=9, repeats=2, pool=3)  # all of each class are kept
    labels, numbers = np.array(data.labels), found.numbers
    assert numbers["layers"] == [*net.stages, "penultimate"]
    assert len(parted) == 2
    for at, name in enumerate(numbers["layers"]):
        layer = net.card.resolve(name).name
        features = []
        for place in range(len(data)):
            with torch.no_grad():
                value = reference.value_of(net.module, net.preprocess([data.load(place).picture]), layer)[0]
            features.append(pooled_by_hand(value.numpy(), 3))
        features = np.array(features)  # N D
        assert features.shape[1] == numbers["widths"][at]
        for repeat, (train, test) in enumerate(parted):
            assert not set(train) & set(test)
            assert np.bincount(labels[train]).tolist() == [5, 5, 5]
            assert np.bincount(labels[test]).tolist() == [9, 9, 9]
            spread = features[train].std(axis=0)
            own = (features - features[train].mean(axis=0)) / np.where(spread > 1e-12, spread, 1)
            # another solver than the probe's: the optimum is one
            truth = LogisticRegression(C=1.0, solver="newton-cg", tol=1e-8, max_iter=1000)
            right = truth.fit(own[train], labels[train]).predict(own[test]) == labels[test]
            share = np.mean([right[labels[test] == k].mean() for k in range(3)])
            assert found.arrays["accuracy"][at, repeat] == pytest.approx(share, abs=0.01)
    assert found.arrays["accuracy"].mean(axis=1).tolist() == pytest.approx(numbers["means"])
    assert found.arrays["per_class"].mean(axis=1).tolist() == pytest.approx(numbers["means"])
    assert 0.34 < max(numbers["means"]) < 1, "a set on which all or nothing is right tests nothing"


def test_features_that_separate_give_all_right_and_noise_gives_chance():
    rng = np.random.default_rng(3)
    labels = np.repeat(np.arange(4), 60)
    split = list(linear_probe.splits(labels, range(4), 20, 40, 3, rng))
    apart = rng.normal(size=(240, 6)) * 0.01
    apart[np.arange(240), labels] += 1
    assert linear_probe.probe(apart, labels, range(4), split).accuracy.tolist() == [1, 1, 1]
    noise = linear_probe.probe(rng.normal(size=(240, 40)), labels, range(4), split)
    assert abs(noise.accuracy.mean() - 0.25) < 0.06
    assert noise.on_training > 0.9, "forty features of noise are enough to learn eighty pictures by heart"
    assert linear_probe.probe(np.ones((240, 3)), labels, range(4), split).accuracy.tolist() == [0.25] * 3


def test_accuracy_is_the_mean_over_classes_however_many_pictures_each_has():
    labels = np.array([0] * 10 + [1] * 40)
    features = np.zeros((50, 1))
    features[:10, 0] = 5.0
    features[5:10, 0] = 0.0  # half of the small class looks like the large one
    split = linear_probe.Split(np.array([0, 1, 10, 11]), np.array([3, 4, 5, 6, *range(12, 50)]))
    found = linear_probe.probe(features, labels, (0, 1), [split])
    assert found.per_class.tolist() == [0.5, 1.0]
    assert found.accuracy.tolist() == [0.75]


def test_of_large_classes_the_same_pictures_are_kept_however_the_set_is_cut(monkeypatch):
    rng = np.random.default_rng(0)
    labels, priorities = rng.integers(0, 5, 200), rng.random(200)
    part = {"labels": labels, "priorities": priorities, "features": np.arange(200.0)[:, None]}
    truth = []
    for k in range(5):
        own = sorted((i for i in range(200) if labels[i] == k), key=lambda i: priorities[i])
        truth += own[:7]
    for cuts in ([200], [1, 17, 150, 200], list(range(10, 201, 10))):
        parts = [
            {name: values[a:b] for name, values in part.items()} | {"most": np.array([7])}
            for a, b in zip([0, *cuts[:-1]], cuts, strict=True)
        ]
        merged = parts[0]
        for more in parts[1:]:
            merged = merge([merged, more])
        assert merge([merged])["features"][:, 0].tolist() == sorted(truth)
        assert merge(parts)["features"][:, 0].tolist() == sorted(truth)
    net, data = tiny.tiny_net("plain", "fp64"), tinted()
    whole = reportgen.compute("probe", net, data, train=3, test=4)
    monkeypatch.setattr(passes, "PART", 6)
    monkeypatch.setattr(passes, "BATCH", 3)
    monkeypatch.setattr(passes, "JOINED", 2)
    cut = reportgen.compute("probe", net, data, train=3, test=4)
    assert np.array_equal(whole.arrays["accuracy"], cut.arrays["accuracy"])
    assert np.array_equal(whole.arrays["per_class"], cut.arrays["per_class"])


def test_all_nets_are_tested_on_the_same_pictures(monkeypatch):
    seen = []
    made = linear_probe.splits

    def watched(labels, *rest):
        seen.append((labels.tolist(), [part.tolist() for split in made(labels, *rest) for part in split]))
        return made(labels, *rest)

    monkeypatch.setattr(linear_probe, "splits", watched)
    for kind in ("plain", "residual"):
        reportgen.compute("probe", tiny.tiny_net(kind), tinted(), train=3, test=4)
    assert seen[0][0] == seen[1][0]
    assert [len(part) for part in seen[0][1]] == [9, 12] * 3


def test_small_classes_are_left_out_and_named_and_fewer_than_two_are_an_error():
    net = tiny.tiny_net("plain")
    numbers = reportgen.compute("probe", net, tinted((9, 4, 8)), train=5, test=None).numbers
    assert (numbers["classes"], numbers["left_out"]) == (["red", "blue"], ["green"])
    assert numbers["tested_on"] == 4 + 3
    assert numbers["chance"] == 0.5
    panel = method("probe").panels(reportgen.compute("probe", net, tinted((9, 4, 8)), train=5))[0]
    assert "Left out for want of pictures: green." in panel.caption
    with pytest.raises(MethodError, match=r"two classes with more than 8 pictures .* tints has 1 \(red 9, green 4"):
        reportgen.compute("probe", net, tinted((9, 4, 8)), train=8)
    unknown = replace(tinted(), labels=(-1,) * 42)
    with pytest.raises(MethodError, match="tints has 0"):
        reportgen.compute("probe", net, unknown)
    for name, value in (("train", 0), ("test", 0), ("repeats", 21), ("pool", 9)):
        with pytest.raises(MethodError, match=f"{name}: {value} is out of range"):
            reportgen.compute("probe", net, tinted(), **{name: value})


def test_layers_that_a_net_lacks_are_left_out_and_depths_are_common_to_all_nets():
    net = tiny.tiny_net("plain")
    assert "stage5" not in net.stages
    assert layers(net, Params(layers=("stage2", "stage5", "penultimate"))) == ("stage2", "penultimate")
    with pytest.raises(NotApplicable, match="stage5"):
        layers(net, Params(layers=("stage5",)))
    found = reportgen.compute("probe", net, tinted(), train=3, layers=["stage2", "stage5", "penultimate"])
    assert found.numbers["depths"] == [2, 6]
    assert "6: penultimate" in found.numbers["axis"]
    found = reportgen.compute("probe", net, tinted(), train=3, layers=["features.3", "stage3"])
    assert found.numbers["depths"] == [1, 2]
    assert found.numbers["axis"] == "layer: features.3, stage3"


def test_a_net_with_nan_in_its_weights_is_refused():
    net = tiny.tiny_net("plain")
    net.module.features[3].weight[0] = float("nan")
    with pytest.raises(MethodError, match="NaN"):
        reportgen.compute("probe", net, tinted(), train=3)
