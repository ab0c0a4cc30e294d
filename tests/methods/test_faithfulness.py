"""Deletion and insertion on a linear net equal sums by hand, and no order of pixels beats the true one."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import nn

import reportgen
from reportgen import removing
from reportgen.errors import MethodError
from reportgen.methods import method
from tests import tiny

SIZE, STEPS = 16, 8


class _Linear(nn.Module):
    """Two classes: a weighted sum of the pixels, and zero."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, SIZE)

    def forward(self, x):
        return self.conv(x).flatten(1)


@pytest.fixture(scope="module")
def linear():
    net = tiny.net_of(tiny.seeded(_Linear, 1, SIZE), SIZE, ("tabby", "nothing"))
    net.module.conv.weight[1], net.module.conv.bias[:] = 0, 0
    net.module.conv.weight[0] *= 4  # so that the probability moves
    return net


@pytest.fixture(scope="module")
def found(linear):
    """The method on that net, with the pictures as it sees them and what each pixel adds to the score."""
    from reportgen.examples import Dataset, Example

    pictures = [tiny.photo(seed, SIZE) for seed in range(5)]
    data = Dataset(
        "photos", ("tabby",), tuple("abcde"), (0,) * 5, lambda place: Example(pictures[place]), lambda: "photos"
    )
    names = ("integrated_gradients", "saliency")
    artifact = reportgen.compute("faithfulness", linear, data, methods=names, steps=STEPS)
    x = linear.preprocess(pictures).numpy()
    weight = linear.module.conv.weight[0].numpy()
    return artifact, x, weight


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def counts():
    return [round(step * SIZE * SIZE / STEPS) for step in range(STEPS + 1)]


def test_deletion_in_the_true_order_equals_sums_by_hand_and_is_least_of_all(found):
    artifact, x, weight = found
    rng = np.random.default_rng(0)
    for n in range(5):
        added = (weight * x[n]).sum(axis=0).ravel()
        largest = np.sort(added)[::-1]
        truth = [sigmoid(added.sum() - largest[:count].sum()) for count in counts()]
        assert np.allclose(artifact.arrays["deletion"][0, n], truth, atol=1e-6)
        for _ in range(200):
            order = rng.permutation(added)
            other = np.array([sigmoid(added.sum() - order[:count].sum()) for count in counts()])
            assert (artifact.arrays["deletion"][0, n] <= other + 1e-6).all()
        assert (artifact.arrays["deletion"][0, n] <= artifact.arrays["deletion"][1:, n] + 1e-6).all()


def test_insertion_begins_with_a_blurred_picture_and_puts_pixels_back_in_order(found):
    artifact, x, weight = found
    for n in range(5):
        soft = gaussian_filter(x[n], (0, 0.05 * SIZE, 0.05 * SIZE), mode="nearest", radius=(0, 2, 2))
        for m, values in enumerate([(weight * x[n]).sum(axis=0), abs(weight).max(axis=0)]):
            order = np.argsort(-values.astype(np.float32).ravel(), kind="stable")
            truth = []
            for count in counts():
                now = soft.reshape(3, -1).copy()
                now[:, order[:count]] = x[n].reshape(3, -1)[:, order[:count]]
                truth.append(sigmoid((weight.reshape(3, -1) * now).sum()))
            assert np.allclose(artifact.arrays["insertion"][m, n], truth, atol=1e-6)


def test_areas_and_ratios_by_hand(found):
    artifact, _, _ = found
    numbers = artifact.numbers
    assert numbers["methods"] == ["integrated_gradients", "saliency", "random"]
    for test in ("deletion", "insertion"):
        curves = artifact.arrays[test]
        areas = ((curves[..., :-1] + curves[..., 1:]) / 2).sum(axis=2) / STEPS
        for m, name in enumerate(numbers["methods"]):
            assert numbers["scores"][name][test][0] == pytest.approx(areas[m].mean())
            ratio, error = numbers["scores"][name][f"{test}_ratio"]
            assert ratio == pytest.approx(areas[m].mean() / areas[-1].mean())
            assert (error == pytest.approx(0, abs=1e-9)) == (name == "random")
    assert numbers["scores"]["integrated_gradients"]["deletion_ratio"][0] < 0.8


def test_the_blur_equals_scipys():
    x = torch.rand(2, 3, 20, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    truth = gaussian_filter(x.numpy(), (0, 0, 1.7, 1.7), mode="nearest", radius=(0, 0, 5, 5))
    assert np.allclose(removing.blurred(x, 1.7).numpy(), truth, atol=1e-12)


def test_pixels_stand_in_the_order_of_the_map_and_equal_ones_in_that_of_their_draw():
    values = np.array([[1.0, 5.0], [-2.0, 1.0]])
    assert removing.ranks_of(values, np.array([0.9, 0.1, 0.2, 0.3])).tolist() == [[2, 0], [3, 1]]
    assert removing.ranks_of(values, np.array([0.1, 0.1, 0.2, 0.3])).tolist() == [[1, 0], [3, 2]]


def test_the_random_order_is_even_and_the_same_in_every_net():
    draws = np.random.default_rng(0).random((500, 64))
    ranks = np.stack([removing.ranks_of(np.zeros((8, 8)), draw) for draw in draws])
    assert sorted(ranks[0].ravel()) == list(range(64))
    assert abs(ranks.mean(axis=0) - 31.5).max() < 4 * (64**2 / 12 / 500) ** 0.5


def test_a_picture_gets_the_same_curves_in_any_company_and_what_cannot_be_had_is_left_out():
    net = tiny.tiny_net("plain", "fp64")
    names = ("saliency", "cam", "grad_cam")
    both = reportgen.compute("faithfulness", net, tiny.dataset(7), methods=names, steps=3)
    alone = reportgen.compute("faithfulness", net, tiny.dataset(7, broken=(0, 1, 3, 5)), methods=names, steps=3)
    assert alone.arrays["places"].tolist() == [2, 4, 6]
    assert both.numbers["methods"] == ["saliency", "grad_cam", "random"]
    assert "global average pooling" in both.numbers["left_out"]["cam"]
    assert np.isfinite(both.arrays["insertion"]).all()
    assert both.numbers["by_label"] == 6
    found = method("faithfulness").panels(both)
    assert [panel.name for panel in found] == ["areas", "deletion", "insertion"]
    assert found[1].row_labels == ("saliency", "Grad-CAM", "random order")


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"methods": ("random",)}, "always taken"),
        ({"methods": ("salience",)}, "'saliency'"),
        ({"steps": 0}, "1 or more"),
        ({"blur": 0}, "above 0"),
        ({"target": 3.5}, "target"),
    ],
)
def test_params_that_mean_nothing_are_refused(params, match):
    with pytest.raises(MethodError, match=match):
        reportgen.compute("faithfulness", tiny.tiny_net("plain"), tiny.dataset(3), **params)
