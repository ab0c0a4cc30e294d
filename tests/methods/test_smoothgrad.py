"""SmoothGrad is the plain mean of gradients at noisy copies that anybody can draw again."""

import numpy as np
import pytest
import torch
from torch import nn

from reportgen import project
from reportgen.errors import MethodError
from reportgen.methods import method
from reportgen.records import Input
from tests import families, tiny


def explain(name, net, pictures, seed=0, **params):
    """The method's artifacts; the noise of picture i comes from default_rng([seed, i])."""
    inputs = [Input(picture) for picture in pictures]
    predictions = method("prediction").run(net, inputs, method("prediction").params(), [])
    inputs = [Input(one.picture, (), {"prediction": p}) for one, p in zip(inputs, predictions, strict=True)]
    rngs = [np.random.default_rng([seed, i]) for i in range(len(inputs))]
    return method(name).run(net, inputs, method(name).params(**params), rngs)


def noise_of(i, samples, size=families.SIZE, seed=0):
    return torch.from_numpy(np.random.default_rng([seed, i]).standard_normal((samples, 3, size, size)))


class Energy(nn.Module):
    """Class 0 scores half the sum of squares, so that its gradient is the input itself; class 1 its negative."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1, bias=False)
        self.conv.weight.data = torch.eye(3).reshape(3, 3, 1, 1)

    def forward(self, x):
        half = (self.conv(x) ** 2).flatten(1).sum(1) / 2
        return torch.stack([half, -half], 1)


def energy():
    return tiny.net_of(Energy().eval().requires_grad_(False), classes=("much", "little"))


@pytest.mark.parametrize("arch", families.ARCHS)
def test_in_double_precision_it_equals_the_mean_of_captums_saliency_over_the_same_copies(arch):
    from captum.attr import Saliency

    net = families.net(arch)
    pictures = [tiny.photo(1), tiny.photo(5)]
    for i, artifact in enumerate(explain("smoothgrad", net, pictures, samples=3, noise=0.2)):
        x = net.preprocess([pictures[i]])
        sigma = 0.2 * float(x.max() - x.min())
        assert artifact.numbers["sigma"] == pytest.approx(sigma, rel=1e-12)
        noisy = (x + sigma * noise_of(i, 3)).requires_grad_()
        captum = Saliency(net.module).attribute(noisy, target=artifact.numbers["target"], abs=False)
        truth = captum.detach().mean(0).numpy()
        assert families.relative(artifact.arrays["attribution"], truth) < 1e-6
        assert families.relative(artifact.arrays["map"], abs(truth).max(axis=0)) < 1e-6


@pytest.mark.parametrize("arch", families.ARCHS)
def test_single_precision_agrees_with_double(arch):
    (double,) = explain("smoothgrad", families.net(arch), [tiny.photo(1)], target=7, samples=3)
    (single,) = explain("smoothgrad", families.net(arch, "fp32"), [tiny.photo(1)], target=7, samples=3)
    assert families.cosine(double.arrays["attribution"], single.arrays["attribution"]) > 0.999


def test_where_the_gradient_is_the_input_the_result_is_the_input_and_the_mean_noise():
    (found,) = explain("smoothgrad", energy(), [tiny.photo(1)], target="much", samples=5, noise=0.3)
    x, noise = energy().preprocess([tiny.photo(1)])[0], noise_of(0, 5)
    sigma = 0.3 * float(x.max() - x.min())
    truth = (x + sigma * noise.mean(0)).numpy()
    assert families.relative(found.arrays["attribution"], truth) < 1e-6
    even, odd = noise[::2].mean(0), noise[1::2].mean(0)
    error = sigma * float((even - odd).norm()) * (3 * 2 / 25) ** 0.5 / np.linalg.norm(truth)
    assert found.numbers["standard_error"] == pytest.approx(error, rel=1e-6)
    # The noise of 12 288 values has length sigma * sqrt(12 288), its mean over 5 samples 1 / sqrt(5) of that.
    assert error == pytest.approx(sigma * (3 * 64 * 64 / 5) ** 0.5 / np.linalg.norm(truth), rel=0.03)


def test_without_noise_it_is_saliency_and_one_sample_has_no_error():
    net = tiny.tiny_net("branching", "fp64")
    (plain,) = explain("saliency", net, [tiny.photo(1)])
    (calm,) = explain("smoothgrad", net, [tiny.photo(1)], noise=0, samples=4)
    (one,) = explain("smoothgrad", net, [tiny.photo(1)], samples=1)
    assert families.relative(calm.arrays["attribution"], plain.arrays["gradient"]) < 1e-6
    assert calm.numbers["standard_error"] == pytest.approx(0, abs=1e-12)
    assert one.numbers["standard_error"] is None
    assert "standard error" not in method("smoothgrad").panels(one)[0].caption


def test_chunks_make_no_difference_and_every_sample_costs_one_gradient(monkeypatch):
    net, pictures = tiny.tiny_net("residual", "fp64"), [tiny.photo(1), tiny.photo(2)]
    passes = []

    def counted(net, x, targets, real=project.input_gradient):
        passes.append(len(x))
        return real(net, x, targets)

    monkeypatch.setattr(project, "input_gradient", counted)
    together = explain("smoothgrad", net, pictures, samples=10)
    assert passes == [16, 4]
    monkeypatch.setattr(project, "CHUNK", 3)
    for one, two in zip(together, explain("smoothgrad", net, pictures, samples=10), strict=True):
        assert families.relative(one.arrays["attribution"], two.arrays["attribution"]) < 1e-6


@pytest.mark.parametrize("wrong", [{"samples": 0}, {"noise": -0.1}, {"noise": float("nan")}, {"noise": float("inf")}])
def test_samples_and_noise_that_mean_nothing_are_refused(wrong):
    with pytest.raises(MethodError, match=f"^{next(iter(wrong))}: .* Right would be"):
        method("smoothgrad").params(**wrong)


def test_a_net_that_overflows_is_an_error():
    net = tiny.tiny_net("plain")
    (prediction,) = method("prediction").run(net, [Input(tiny.photo(1))], None, [])
    inputs, params = [Input(tiny.photo(1), (), {"prediction": prediction})], method("smoothgrad").params(target=0)
    net.module.classifier[3].weight[0] = float("inf")
    with pytest.raises(MethodError, match="NaN or infinity"):
        method("smoothgrad").run(net, inputs, params, [np.random.default_rng(0)])
