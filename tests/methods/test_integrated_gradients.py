"""Integrated gradients are Captum's, sum to the difference of the scores, and are exact where the slope is a line."""

import numpy as np
import pytest
import torch
from torch import nn

import reportgen
from reportgen.errors import MethodError
from reportgen.methods import method
from tests import families, tiny

MEAN, STD = (
    torch.tensor(c, dtype=torch.float64)[:, None, None] for c in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
)


class Energy(nn.Module):
    """Class 0 scores half the sum of squares; the gradient grows in a line from the baseline to the photo."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1, bias=False)
        self.conv.weight.data = torch.eye(3).reshape(3, 3, 1, 1)

    def forward(self, x):
        half = (self.conv(x) ** 2).flatten(1).sum(1) / 2
        return torch.stack([half, -half], 1)


def explain(net, pictures, **params):
    return reportgen.compute("integrated_gradients", net, pictures, **params)


@pytest.mark.parametrize("baseline", ["mean", 0.25], ids=str)
@pytest.mark.parametrize("arch", families.ARCHS)
def test_in_double_precision_it_equals_captum_with_the_same_steps(arch, baseline):
    from captum.attr import IntegratedGradients

    net, pictures = families.net(arch), [tiny.photo(1), tiny.photo(5)]
    x = net.preprocess(pictures)
    start = torch.zeros_like(x) if baseline == "mean" else ((baseline - MEAN) / STD).expand_as(x)
    found = explain(net, pictures, baseline=baseline, steps=6)
    target = [one.numbers["target"] for one in found]
    captum = IntegratedGradients(net.module).attribute(
        x, start, torch.tensor(target), n_steps=6, method="gausslegendre", internal_batch_size=4
    )
    for one, truth in zip(found, captum.detach().numpy(), strict=True):
        assert families.relative(one.arrays["attribution"], truth) < 1e-6
        assert families.relative(one.arrays["map"], truth.sum(axis=0)) < 1e-6


@pytest.mark.parametrize("arch", families.ARCHS)
def test_single_precision_agrees_with_double(arch):
    double = explain(families.net(arch), tiny.photo(1), target=7, steps=4)
    single = explain(families.net(arch, "fp32"), tiny.photo(1), target=7, steps=4)
    assert families.cosine(double.arrays["attribution"], single.arrays["attribution"]) > 0.999


@pytest.mark.parametrize("baseline", ["mean", "black", "white", 0.5])
def test_where_the_slope_is_a_line_both_rules_have_a_closed_form(baseline):
    net = tiny.net_of(Energy().eval().requires_grad_(False), classes=("much", "little"))
    x = net.preprocess([tiny.photo(1)])[0]
    start = {"mean": 0 * STD, "black": -MEAN / STD, "white": (1 - MEAN) / STD, 0.5: (0.5 - MEAN) / STD}[baseline]
    exact = explain(net, tiny.photo(1), target="much", steps=2, baseline=baseline)
    assert families.relative(exact.arrays["attribution"], ((x**2 - start**2) / 2).numpy()) < 1e-6
    assert exact.numbers["residual_share"] < 1e-9
    # Right ends of 4 equal steps: their mean is 5/8 of the way, where Gauss and Legendre have 1/2.
    right = explain(net, tiny.photo(1), target="much", steps=4, baseline=baseline, rule="riemann")
    truth = (x - start) * (start + 5 / 8 * (x - start))
    assert families.relative(right.arrays["attribution"], truth.numpy()) < 1e-6
    missing = float((truth - (x**2 - start**2) / 2).sum())
    assert right.numbers["residual"] == pytest.approx(missing, rel=1e-6)


def test_with_more_steps_the_attributions_become_complete_and_what_is_missing_is_printed():
    net = tiny.tiny_net("plain", "fp64")
    x = net.preprocess([tiny.photo(3)])
    coarse, fine = (explain(net, tiny.photo(3), target=1, steps=steps) for steps in (2, 400))
    difference = float((net.module(x) - net.module(0 * x))[0, 1])
    for one in (coarse, fine):
        numbers = one.numbers
        assert numbers["logit"] - numbers["logit_baseline"] == pytest.approx(difference, rel=1e-9)
        assert numbers["sum"] == pytest.approx(float(one.arrays["attribution"].astype(float).sum()), rel=1e-4)
        assert numbers["residual"] == pytest.approx(numbers["sum"] - difference, rel=1e-9)
        assert numbers["residual_share"] == pytest.approx(abs(numbers["residual"] / difference), rel=1e-9)
        assert f"{numbers['residual_share']:.1%} off" in method("integrated_gradients").panels(one)[0].caption
    assert fine.numbers["residual_share"] < 1e-3 < coarse.numbers["residual_share"]


def test_a_picture_that_is_the_baseline_gets_nothing():
    white = np.ones((64, 64, 3), np.float32)
    found = explain(tiny.tiny_net("plain", "fp64"), white, baseline="white", steps=2)
    assert abs(found.arrays["attribution"]).max() < 1e-9
    assert found.numbers["residual"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"baseline": "grey"}, {"baseline": 1.5}, {"baseline": float("nan")}, {"rule": "simpson"}]
)
def test_steps_baselines_and_rules_that_are_none_are_refused(wrong):
    with pytest.raises(MethodError, match=f"^{next(iter(wrong))}: .* Right would be"):
        method("integrated_gradients").params(**wrong)
    if wrong.get("baseline") == 1.5:
        with pytest.raises(MethodError, match=r"baseline: 1\.5"):
            explain(tiny.tiny_net("plain"), tiny.photo(1), **wrong)
