"""changed_units: correlations and CKA against NumPy over all values at once, and silenced channels found first."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

import reportgen
from reportgen import alignment, change, hooks, unit_change
from reportgen.errors import MethodError, ModelError, NotApplicable
from reportgen.methods import method
from tests import tiny


@pytest.fixture(scope="module")
def resnet():
    return reportgen.load_net("resnet_mini", device="cpu")


@pytest.fixture(scope="module")
def pictures():
    return reportgen.load_dataset("rendered:objects", n=12, seed=3)


def changed(net, **more):
    """A copy of a net; what happens to the copy's module leaves the net alone."""
    return replace(net, module=copy.deepcopy(net.module), card=replace(net.card, weights="c" * 64, **more))


def test_a_silenced_channel_is_found_first(resnet, pictures):
    """Three ways to silence: a norm inside a block, one before a residual sum, a convolution with its norm."""
    cases = (
        ("layer1.1.bn1", 5, ["layer1.1.bn1"]),
        ("layer3.0.bn2", 101, ["layer3.0.bn2"]),
        ("layer2.1.conv1", 17, ["layer2.1.conv1", "layer2.1.bn1"]),
    )
    for layer, channel, modules in cases:
        cut = changed(resnet)
        for name in modules:
            for tensor in cut.module.get_submodule(name).parameters():
                tensor[channel] = 0
            if name.endswith("bn1") and len(modules) > 1:
                cut.module.get_submodule(name).running_mean[channel] = 0
        first, second = reportgen.compute("changed_units", cut, pictures, before=resnet).numbers["most"][:2]
        assert (first["layer"], first["unit"], first["state"], first["correlation"]) == (layer, channel, "silenced", 0)
        assert second["state"] == ("silenced" if len(modules) > 1 else ""), "what comes later changes in its wake"
        back = reportgen.compute("changed_units", resnet, pictures, before=cut).numbers["most"][0]
        assert (back["layer"], back["unit"], back["state"]) == (layer, channel, "woken")


def test_the_same_weights_did_not_change_at_all(resnet, pictures):
    found = reportgen.compute("changed_units", changed(resnet), pictures, before=resnet)
    assert (found.arrays["correlation"] == 1).all()
    assert (found.arrays["change"] == 0).all()
    assert np.allclose(found.arrays["cka"], 1, atol=1e-12)
    assert found.numbers["all"]["untouched"] == len(found.arrays["unit"])
    assert not len(found.arrays["shown"])
    assert not any(panel.name == "patches" for panel in method("changed_units").panels(found))


def test_weights_rounded_to_eight_bits_change_almost_every_unit_and_hardly_any_much(resnet, pictures):
    rounded = changed(resnet)
    for tensor in rounded.module.parameters():
        step = tensor.abs().max() / 127
        tensor.copy_((tensor / step).round() * step)
    found = reportgen.compute("changed_units", rounded, pictures, before=resnet)
    counted = found.numbers["all"]
    assert counted["untouched"] == 0
    assert counted["changed"] < 0.001 * counted["units"], "filters that are smaller than one step"
    assert 0.98 < counted["median"] < 1
    assert (found.arrays["cka"] > 0.98).all()
    assert (found.arrays["cka"] < 1).all()


def whole(net, before, data, layer):
    """A layer's values on all pictures of a set in both nets, each U x N, in their order."""
    values = []
    for one in (before, net):
        x = one.preprocess([data.load(place).picture for place in range(len(data))])
        value = hooks.run_to(one, x, [layer])[layer].double()
        values.append(value.transpose(0, 1).flatten(1).numpy())
    return values


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_correlations_are_those_of_all_values_at_once_however_the_set_is_cut(kind, monkeypatch):
    net, data = tiny.tiny_net(kind, "fp64"), tiny.dataset(19)
    before = tiny.before(net)
    found = reportgen.compute("changed_units", net, data, before=before)
    monkeypatch.setattr("reportgen.passes.BATCH", 5)
    monkeypatch.setattr("reportgen.passes.PART", 10)
    cut = reportgen.compute("changed_units", net, data, before=before)
    for name in ("correlation", "change", "mean", "spread", "cka", "partner_correlation"):
        assert np.allclose(found.arrays[name], cut.arrays[name], rtol=0, atol=1e-9), name
    for number, layer in enumerate(found.numbers["layers"]):
        a, b = whole(net, before, data, layer)
        own = found.arrays["layer"] == number
        for unit, r, mean in zip(*(found.arrays[name][own] for name in ("unit", "correlation", "mean")), strict=True):
            if np.ptp(a[unit]) and np.ptp(b[unit]):
                assert r == pytest.approx(np.corrcoef(a[unit], b[unit])[0, 1], abs=1e-9)
                rms = np.sqrt(np.mean((a[unit] - b[unit]) ** 2)) / max(a[unit].std(), b[unit].std())
                assert found.arrays["change"][own][unit] == pytest.approx(rms, abs=1e-9)
            else:
                assert r == float(np.array_equal(a[unit], b[unit]))
            assert mean == pytest.approx([a[unit].mean(), b[unit].mean()], abs=1e-9)


def slow_cka(x, y):
    """Kornblith et al. (2019), eq. 1 to 3, through the kernels of examples."""
    centre = np.eye(len(x)) - 1 / len(x)
    k, el = (centre @ part @ part.T @ centre for part in (x, y))
    return np.trace(k @ el) / np.sqrt(np.trace(k @ k) * np.trace(el @ el))


@pytest.mark.parametrize("shape", [(40, 7), (12, 30)])
def test_cka_is_that_of_the_paper_and_sees_neither_turns_nor_scale(shape):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal(shape) + 3, rng.standard_normal(shape) ** 2
    assert alignment.cka(x, y) == pytest.approx(slow_cka(x, y), abs=1e-12)
    turn = np.linalg.qr(rng.standard_normal((shape[1], shape[1])))[0]
    assert alignment.cka(x, x @ turn * 0.01 + 7) == pytest.approx(1, abs=1e-9)
    assert alignment.cka(x @ turn, y * 50) == pytest.approx(alignment.cka(x, y), abs=1e-9)
    assert alignment.cka(x, x * np.linspace(0.1, 10, shape[1])) < 0.99, "it does see what each axis is stretched by"
    assert alignment.cka(x, np.ones(shape)) == 0
    assert alignment.cka(np.zeros(shape), np.ones(shape)) == 1


def test_units_in_another_order_have_partners_and_a_layer_that_is_alike():
    """The middle layer of a net, permuted together with what reads it: the same function in other units."""
    before, data = tiny.tiny_net("plain", "fp64"), tiny.dataset(20)
    net = changed(before)
    order = torch.from_numpy(np.roll(np.arange(12), 5))
    middle, after = net.module.features[3], net.module.features[6]
    middle.weight.copy_(middle.weight[order])
    middle.bias.copy_(middle.bias[order])
    after.weight.copy_(after.weight[:, order])
    found = reportgen.compute("changed_units", net, data, before=before, layers=["features.3", "features.7"])
    assert [one["layer"] for one in found.numbers["depths"]] == ["features.3", "features.7"]
    first, second = found.numbers["depths"]
    assert first["cka"] == pytest.approx(1, abs=1e-9)
    assert first["median"] < 0.5
    assert first["own_partner"] == 0
    assert found.arrays["partner"][:12].tolist() == np.argsort(order.numpy()).tolist()
    assert np.allclose(found.arrays["partner_correlation"][:12], 1)
    assert second["median"] == pytest.approx(1)
    assert second["own_partner"] == 1


def test_constants_are_told_apart_and_lost_units_come_first_from_the_first_layer_on():
    base = torch.linspace(-1, 1, 24).reshape(6, 1, 2, 2)
    wave, flat = torch.sin(9 * base), torch.full_like(base, 0.1)
    before = torch.cat([base, flat, flat, flat, base, base], 1)
    after = torch.cat([-base, flat, flat + 1, wave, flat, base + wave / 50], 1)
    parts = [unit_change.sums(a, b, "a layer") for a, b in zip(before.split(4), after.split(4), strict=True)]
    found = unit_change.changes(unit_change.joined(parts))
    assert [unit_change.STATES[state] for state in found.states] == ["", "constant", "moved", "woken", "silenced", ""]
    assert found.correlation[:5].tolist() == [-1, 1, 0, 0, 0]
    assert found.correlation[5] == pytest.approx(np.corrcoef(before[:, 5].flatten(), after[:, 5].flatten())[0, 1])
    assert unit_change.ranking(found, np.array([0, 0, 0, 2, 1, 3])).tolist() == [4, 3, 0, 2, 5, 1]


def test_a_mean_far_above_the_spread_costs_no_digits():
    x = torch.randn(8, 1, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = x + torch.randn(8, 1, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    parts = [unit_change.sums(1e7 + a, 1e7 - b, "a layer") for a, b in zip(x.split(3), y.split(3), strict=True)]
    r = unit_change.changes(unit_change.joined(parts)).correlation[0]
    assert r == pytest.approx(-np.corrcoef(x.flatten(), y.flatten())[0, 1], abs=1e-7)


def test_nets_that_differ_are_refused_with_the_first_layer_that_does():
    net, other = tiny.tiny_net("plain"), tiny.tiny_net("residual")
    with pytest.raises(NotApplicable, match=r"plain .*residual.* has features\.0 \(8 x .*the other has conv1 \(8 x"):
        reportgen.compute("changed_units", net, tiny.dataset(), before=other)
    assert change.unlike(net.card, net.card) == ""
    shorter = replace(net.card, layers=net.card.layers[:-1])
    assert "the other has no further layer" in change.unlike(shorter, net.card)
    with pytest.raises(MethodError, match=r"compute\('changed_units', net, \.\.\., before=other\)"):
        reportgen.compute("changed_units", net, tiny.dataset())
    with pytest.raises(MethodError, match="looks at one net"):
        reportgen.compute("accuracy", net, tiny.dataset(), before=net)
    with pytest.raises(MethodError, match=r"on cpu in fp64, this one on cpu in fp32"):
        reportgen.compute("changed_units", net, tiny.dataset(), before=tiny.tiny_net("plain", "fp64"))


def test_a_net_tuned_to_other_classes_is_compared_up_to_its_last_layer():
    before = tiny.tiny_net("residual")
    module = copy.deepcopy(before.module)
    module.fc = torch.nn.Linear(12, 3)
    net = tiny.net_of(module.eval().requires_grad_(False), classes=("tabby", "church", "tench"), precision="fp32")
    found = reportgen.compute("changed_units", net, tiny.dataset(), before=before)
    assert "fc" not in found.numbers["layers"]
    assert (found.arrays["correlation"] == 1).all()
    with pytest.raises(NotApplicable, match=r"has 3 classes and had 6 before \('tabby, tabby cat' became 'tabby'\)"):
        reportgen.compute("changed_classes", net, tiny.dataset(), before=before)
    with pytest.raises(NotApplicable, match="fc of tiny has no units, or not as many"):
        reportgen.compute("changed_units", net, tiny.dataset(), before=before, layers="fc")


def test_wishes_that_mean_nothing():
    net, data = tiny.tiny_net("plain"), tiny.dataset(6)
    more = {"before": tiny.before(net)}
    with pytest.raises(ModelError, match=r"no layer .features\.33"):
        reportgen.compute("changed_units", net, data, layers=["features.33"], **more)
    for params, words in (({"limit": 3}, "limit: 3"), ({"shown": 0}, "shown: 0"), ({"layers": []}, "layers:")):
        with pytest.raises(MethodError, match=words):
            reportgen.compute("changed_units", net, data, **params, **more)
    broken = changed(net)
    broken.module.features[3].weight[0] = float("nan")
    with pytest.raises(MethodError, match=r"NaN or infinity in features\.3, before or after"):
        reportgen.compute("changed_units", broken, data, **more)
    with pytest.raises(MethodError, match="has 3 pictures that can be read"):
        reportgen.compute("changed_units", net, tiny.dataset(5, broken=(1, 2)), **more)


def test_half_of_the_pruned_units_shown_still_vary():
    before = tiny.tiny_net("residual")
    net = changed(before)
    for tensor in net.module.bn1.parameters():
        tensor[:6] = 0
    found = reportgen.compute("changed_units", net, tiny.dataset(), before=before, shown=6)
    states = found.arrays["state"][found.arrays["shown"]].tolist()
    assert states == [1, 1, 1, 0, 0, 0]
    assert found.numbers["all"]["silenced"] >= 6
    assert (found.arrays["fires"][:3, 1] == 0).all()
