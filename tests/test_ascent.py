"""Gradient ascent's parts against sums written out by hand: waves, colours, views, objectives, steps, dead starts."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import nn
from torch.nn import functional

from reportgen import ascent, fourier, hooks, presets, rules
from reportgen.errors import MethodError
from tests import tiny
from tests.test_rules import RELUS

SIZE = 32
WEIGHTS = np.random.default_rng(0).normal(size=(4, 3, 5, 5))


def filter_net(bias=0.0, then=()):
    """A net whose first layer is one bank of known filters, in double precision."""
    conv = nn.Conv2d(3, 4, 5)
    with torch.no_grad():
        conv.weight.copy_(torch.from_numpy(WEIGHTS))
        conv.bias.fill_(bias)
    module = nn.Sequential(conv, *then, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 6))
    return tiny.net_of(module.eval().requires_grad_(False), SIZE)


def climbed(net, layer="0", units=(1, 3), **how):
    how = {"preset": "fourier", "objective": "neuron", "steps": 3, "size": SIZE, **how}
    return ascent.climb(net, net.card.resolve(layer), list(units), rng=np.random.default_rng(5), **how)


def slope(unit):
    """The gradient of one unit of `filter_net` at its middle position in the normalised input, by hand."""
    middle = (SIZE - 4) // 2
    out = np.zeros((3, SIZE, SIZE))
    out[:, middle : middle + 5, middle : middle + 5] = WEIGHTS[unit]
    return out


def starts(units):
    """The generators that the climb of `climbed` gives its units."""
    base = int(np.random.default_rng(5).integers(2**63))
    return [np.random.default_rng([base, unit]) for unit in units]


# ---------------------------------------------------------------------------------------------- waves, colours, views


@pytest.mark.parametrize("size", [16, 21])
def test_a_picture_is_the_sum_of_its_scaled_waves_in_mixed_colours_through_a_sigmoid(size):
    spectrum = fourier.start(size, np.random.default_rng(1)) * 30
    found = fourier.painter(size, "cpu", torch.float64)(torch.from_numpy(spectrum)[None])[0].numpy()
    rows, columns = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    parts = np.zeros((3, size, size))
    for fy in range(size):
        for fx in range(size // 2 + 1):
            frequency = np.hypot(min(fy, size - fy), fx) / size
            wave = np.exp(2j * np.pi * (fy * rows + fx * columns) / size)
            twin = 1 if fx == 0 or 2 * fx == size else 2  # the mirrored half of the spectrum is not kept
            for part in range(3):
                value = complex(*spectrum[part, fy, fx]) / max(frequency, 1 / size)
                parts[part] += twin * (value * wave).real / size / 4
    rgb = np.zeros_like(parts)
    for colour, row in enumerate([(0.26, 0.09, 0.02), (0.27, 0.0, -0.05), (0.27, -0.09, 0.03)]):
        for part in range(3):
            rgb[colour] += row[part] / np.sqrt(0.26**2 + 0.27**2 + 0.27**2) * parts[part]
    assert np.abs(found - 1 / (1 + np.exp(-rgb))).max() < 1e-12
    assert found.std() > 0.05, "the sum is of something"


def test_the_picture_equals_numpys_inverse_transform():
    spectrum = fourier.start(24, np.random.default_rng(2))
    scaled = (spectrum[..., 0] + 1j * spectrum[..., 1]) * fourier.falloff(24).numpy()
    parts = np.fft.irfft2(scaled, s=(24, 24), norm="ortho") / 4
    wanted = 1 / (1 + np.exp(-np.einsum("dc,chw->dhw", fourier.mixing().numpy(), parts)))
    found = fourier.painter(24, "cpu", torch.float64)(torch.from_numpy(spectrum)[None])[0].numpy()
    assert np.abs(found - wanted).max() < 1e-12


def dots(*places, size=41):
    """Grey pictures with one white pixel each, at (y, x) from the middle."""
    out = torch.full((len(places), 3, size, size), fourier.GREY, dtype=torch.float64)
    for picture, (y, x) in zip(out, places, strict=True):
        picture[:, size // 2 + y, size // 2 + x] = 1
    return out


def centre(picture):
    """Where the white of a picture lies, as (y, x) from the middle."""
    weight = (picture[0] - fourier.GREY).numpy()
    rows, columns = np.indices(weight.shape) - weight.shape[0] // 2
    return np.array([(weight * rows).sum(), (weight * columns).sum()]) / weight.sum()


def matrix(zoom=1.0, degrees=0.0, dx=0.0, dy=0.0):
    c, s = np.cos(np.radians(degrees)) / zoom, np.sin(np.radians(degrees)) / zoom
    return [[c, -s, dx], [s, c, dy]]


def test_a_view_moves_a_dot_where_it_should_and_each_picture_its_own_way():
    views = torch.tensor([matrix(dx=2 * 4 / 41), matrix(zoom=1.1), matrix(degrees=90), matrix(dy=-2 * 3 / 41)])
    seen = fourier.view(dots((0, 6), (10, -10), (0, 8), (5, 0)), views.double())
    wanted = [(0, 2), (11, -11), (-8, 0), (8, 0)]  # looking further right brings the dot left, and so on
    assert [np.round(centre(one), 6).tolist() for one in seen] == [list(map(float, place)) for place in wanted]


def test_a_view_that_changes_nothing_gives_the_picture_back_and_outside_is_grey():
    picture = torch.rand(1, 3, 20, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.allclose(fourier.view(picture, torch.tensor([matrix()]).double()), picture, atol=1e-12)
    shifted = fourier.view(picture, torch.tensor([matrix(dx=1.0)]).double())
    assert torch.allclose(shifted[..., :10], picture[..., 10:], atol=1e-12)
    assert torch.equal(shifted[..., 11:], torch.full_like(shifted[..., 11:], fourier.GREY))


def test_chance_views_stay_within_their_limits_and_differ_between_pictures_and_steps():
    one, other = (fourier.askew(np.random.default_rng(seed), 2000) for seed in (0, 1))
    assert one.shape == (2000, 2, 3)
    zoom = 1 / np.hypot(one[:, 0, 0], one[:, 1, 0])
    turn = np.degrees(np.arctan2(one[:, 1, 0], one[:, 0, 0]))
    shift = one[:, :, 2] / 2 * 128  # pixels of 128
    for values, limit in ((zoom - 1, 0.1), (turn, 10), (shift, 12)):
        assert 0.97 * limit < np.abs(values).max() <= limit + 1e-9
        assert abs(values.mean()) < 0.05 * limit
    assert 0.15 < (turn == 0).mean() < 0.24
    assert not np.isclose(one, other).all(axis=(1, 2)).any()


# ----------------------------------------------------------------------------------------------------- what is climbed


def test_objectives_are_the_mean_the_middle_and_the_strongest_places_ever_fewer():
    maps = torch.arange(1.0, 13.0).view(1, 3, 4)
    assert ascent.objective_values(maps, "channel", 0.9).item() == 6.5
    assert ascent.objective_values(maps, "neuron", 0.0).item() == maps[0, 1, 2].item()
    for done, wanted in ((0.0, 6.5), (0.5, 9.5), (0.75, 11.0), (0.99, 12.0)):
        assert ascent.objective_values(maps, "strongest", done).item() == wanted, done
    neuron = torch.tensor([[[-3.0]], [[2.0]]])
    for objective in ("strongest", "channel", "neuron"):
        assert ascent.objective_values(neuron, objective, 0.5).tolist() == [-3.0, 2.0]


def test_a_silent_map_is_climbed_on_a_lattice_and_a_live_one_beside_it_is_not():
    maps = torch.zeros(2, 10, 9, dtype=torch.float64, requires_grad=True)
    with torch.no_grad():
        maps[1, 4, 4] = 1
    down = torch.autograd.grad(ascent.objective_values(maps * 1, "channel", 0.0).sum(), maps)[0]
    places = {(int(y), int(x)) for y, x in down[0].nonzero()}
    assert places == {(y, x) for y in (1, 5, 9) for x in (0, 4, 8)}
    assert torch.allclose(down[1], torch.full((10, 9), 1 / 90, dtype=torch.float64))


def test_the_last_activation_is_that_of_the_finished_picture_and_the_first_comes_after_one_step():
    net = filter_net()
    view = net.card.preprocess
    for preset in presets.PRESETS:
        found = climbed(net, preset=preset, objective="strongest")
        x = torch.from_numpy(found.images).double()
        mean, std = (torch.tensor(v).view(1, 3, 1, 1).double() for v in (view.mean, view.std))
        maps = hooks.run_to(net, (x - mean) / std, ["0"])["0"]
        wanted = [maps[0, 1].max().item(), maps[1, 3].max().item()]
        assert np.allclose(found.activation[:, -1], wanted, rtol=1e-6), preset
        assert found.activation.shape == (2, 3)
        longer = climbed(net, preset=preset, objective="channel", steps=4)
        shorter = climbed(net, preset=preset, objective="channel", steps=3)
        assert np.allclose(longer.activation[:, :2], shorter.activation[:, :2]), preset
        assert not np.allclose(longer.start, longer.activation[:, 0]), preset
        assert 0 <= found.images.min() <= found.images.max() <= 1


# -------------------------------------------------------------------------------------------------------- the presets


def test_the_first_step_of_adam_moves_every_wave_by_its_rate_up_the_gradient():
    net = filter_net()
    preset = presets.waves(net, SIZE, 2, starts([1]))
    variable = preset.start.clone().requires_grad_()
    before = variable.detach().clone()
    x = preset.seen(variable, 0)
    value = functional.conv2d(x, torch.from_numpy(WEIGHTS))[0, 1, 14, 14]
    gradient = torch.autograd.grad(value, variable)[0]
    after = preset.step(variable.detach(), gradient, 0)
    felt = gradient.abs() > 1e-6
    assert felt.float().mean() > 0.9
    assert torch.allclose((after - before)[felt], 0.05 * gradient.sign()[felt], rtol=1e-2)


def by_hand(preset, unit, steps):
    """The finished variable of a preset on `filter_net` at its middle, in NumPy, one pixel rule after the other."""
    rng = starts([unit])[0]
    mean = np.array([0.485, 0.456, 0.406])[:, None, None]
    std = np.array([0.229, 0.224, 0.225])[:, None, None]
    length = np.sqrt(3 * SIZE * SIZE)
    g = slope(unit)
    if preset == "erhan":
        rho = 0.7 * length
        x = rng.normal(size=(3, SIZE, SIZE))
        x *= rho / np.sqrt((x**2).sum())
        for _ in range(steps):
            x = x + 0.05 * rho * g / np.sqrt((g**2).sum())
            x *= rho / np.sqrt((x**2).sum())
        return x * std + mean
    if preset == "simonyan":
        x = np.zeros((3, SIZE, SIZE))
        for _ in range(steps):
            x = x + 0.05 * (length * g / np.sqrt((g**2).sum()) - 2 * 0.4 * x)
        return x * std + mean
    v = rng.normal(0, 10, (3, SIZE, SIZE))
    g = g / (255 * std)
    for step in range(steps):
        v = np.minimum(np.maximum(v + 255 * mean, 0), 255) - 255 * mean
        v = v + 5.0 * length * g / np.sqrt((g**2).sum())
        v = v * (1 - 1e-4)
        if step % 4 == 0:
            v = np.stack([gaussian_filter(one, 1.0, mode="mirror", truncate=4.0) for one in v])
        norms = np.sqrt((v**2).sum(axis=0))
        v[:, norms < np.percentile(norms, 20)] = 0
    return v / 255 + mean


@pytest.mark.parametrize("preset", ["erhan", "simonyan", "yosinski"])
@pytest.mark.parametrize("steps", [1, 6])
def test_the_steps_of_the_papers_presets_are_those_written_out_by_hand(preset, steps):
    found = climbed(filter_net(), preset=preset, steps=steps, units=(2,))
    wanted = by_hand(preset, 2, steps)
    assert np.abs(found.images[0] - wanted.clip(0, 1)).max() < 1e-6
    assert wanted.std() > 0.01


def test_on_a_filter_alone_erhan_reaches_the_norm_times_the_filter_and_simonyan_the_filter_by_twice_lambda():
    net = filter_net()
    for preset, length in (("erhan", 0.7), ("simonyan", 1 / 0.8)):
        made = presets.PRESETS[preset](net, SIZE, 400, starts([2]))
        x, g = made.start, torch.from_numpy(slope(2))[None]
        for step in range(400):
            x = made.step(x, g, step)
        wanted = length * np.sqrt(3) * SIZE * g / g.norm()
        assert torch.allclose(x, wanted, atol=1e-5 * wanted.abs().max().item()), preset
    found = climbed(net, preset="erhan", steps=400, units=(2,))
    rho, w = 0.7 * np.sqrt(3) * SIZE, np.sqrt((WEIGHTS[2] ** 2).sum())
    assert found.activation[0, -2] == pytest.approx(rho * w, rel=1e-6), "the largest value under this norm"


@pytest.mark.parametrize("preset", presets.PRESETS)
def test_a_units_picture_does_not_depend_on_its_company_or_the_size_of_a_chunk(preset, monkeypatch):
    net = tiny.tiny_net("residual", "fp64")
    alone = climbed(net, "layer2", (7,), preset=preset, objective="strongest", steps=20)
    company = climbed(net, "layer2", (3, 7, 0, 5, 1), preset=preset, objective="strongest", steps=20)
    monkeypatch.setattr(ascent, "CHUNK", 1)  # fours: the fifth unit has a chunk of its own
    chunks = climbed(net, "layer2", (3, 0, 5, 1, 7), preset=preset, objective="strongest", steps=20)
    for one, many in ((company.images[1], chunks.images[4]), (alone.images[0], company.images[1])):
        assert np.abs(one - many).max() < 1e-6
    assert np.abs(company.images[0] - company.images[1]).max() > 1e-3


# ---------------------------------------------------------------------------------------------------------- dead starts


@pytest.mark.parametrize("call", RELUS)
def test_a_redirected_relu_hands_down_only_where_an_item_would_get_nothing(call):
    x = torch.tensor([[-1.0, -2.0, 3.0], [-1.0, -2.0, 3.0], [-1.0, -2.0, 3.0]])
    g = torch.tensor([[4.0, -5.0, 0.0], [4.0, -5.0, 6.0], [4.0, -5.0, 0.0]])
    leaf = x.clone().requires_grad_()
    with rules.redirected(torch.tensor([True, True, False])):
        value = RELUS[call](leaf * 1)
    assert torch.equal(value, x.clamp(min=0))
    down = torch.autograd.grad(value, leaf, g)[0]
    assert down.tolist() == [[4.0, 0.0, 0.0], [0.0, 0.0, 6.0], [0.0, 0.0, 0.0]]
    assert torch.autograd.grad(RELUS[call](leaf * 1), leaf, g)[0].tolist()[0] == [0.0, 0.0, 0.0], "the mode is gone"


@pytest.mark.parametrize("objective", ["strongest", "channel", "neuron"])
def test_a_unit_that_is_silent_at_the_start_is_woken_by_the_redirected_relu(objective, monkeypatch):
    net = filter_net(bias=-6.0, then=[nn.ReLU(inplace=True)])
    woken = climbed(net, "1", preset="simonyan", objective=objective, steps=40)
    assert (woken.start == 0).all()
    assert (woken.activation[:, -1] > 1).all()

    @contextmanager
    def plain(_):
        yield

    monkeypatch.setattr(rules, "redirected", plain)
    assert (climbed(net, "1", preset="simonyan", objective=objective, steps=40).activation == 0).all()


def test_a_silent_unit_does_not_change_the_way_of_a_live_one_beside_it():
    net = filter_net(then=[nn.ReLU()])
    net.module[0].bias[3] = -1e4  # silent for ever
    alone = climbed(net, "1", (1,), objective="channel", steps=24)
    both = climbed(net, "1", (1, 3), objective="channel", steps=24)
    assert (both.activation[1] == 0).all()
    assert np.abs(both.images[0] - alone.images[0]).max() < 1e-6


# ------------------------------------------------------------------------------------------------------ what goes wrong


def test_nan_on_the_way_is_an_error_and_the_hooks_are_gone_after_it():
    net = filter_net()
    net.module[0].weight[1, 0, 0, 0] = float("inf")
    with pytest.raises(MethodError, match="NaN or infinity"):
        climbed(net)
    net = tiny.tiny_net("plain")
    with pytest.raises(MethodError, match=r"size: .* 8 x 8 .* own size is 64"):
        ascent.width(net, net.card.resolve("last_conv"), 4 * 2)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.module.modules())
    with torch.no_grad():
        climbed(filter_net())
        assert not torch.is_grad_enabled()
