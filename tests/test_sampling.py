"""Frequencies against grids: closed forms, quadrature, and the same layers built without strides."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from reportgen import sampling
from reportgen.errors import NotApplicable
from reportgen.first_layer import first_and_second
from tests import tiny

EXACT = 1e-6


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def spectrum(filters, size=512):
    """The energy of filters (F c k k) on a fine grid of frequencies, and how far each is from zero, down and across."""
    power = (np.abs(np.fft.fft2(filters, s=(size, size))) ** 2).sum(axis=1)  # F size size
    away = np.abs(np.fft.fftfreq(size))
    return power, away[:, None], away[None]


def without_strides():
    """A first layer with an answer for every pixel, as in VGG."""
    layers = [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, len(tiny.CLASSES)))


def test_a_single_pixel_has_its_energy_everywhere_alike():
    pixel = np.zeros((1, 3, 7, 7))
    pixel[0, 1, 2, 5] = 4.0
    for radius in (0.1, 0.25, 0.5):
        assert sampling.energy_below(pixel, radius) == pytest.approx(np.pi * radius**2, abs=EXACT)
    for step in ((1, 1), (2, 2), (4, 4), (2, 3)):
        assert sampling.beyond_grid(pixel, step) == pytest.approx(1 - 1 / (step[0] * step[1]), abs=EXACT)


def test_a_pure_wave_has_its_energy_in_one_band():
    y, x = np.mgrid[:65, :65]
    fade = np.outer(np.hanning(65), np.hanning(65)) ** 2
    for cycles, low, middle in ((0.04, 1, 0), (0.17, 0, 1), (0.4, 0, 0)):
        wave = (fade * np.cos(2 * np.pi * cycles * (0.6 * x + 0.8 * y)))[None, None]
        up_to_low, up_to_high = sampling.energy_below(wave, 0.1)[0], sampling.energy_below(wave, 0.25)[0]
        assert up_to_low == pytest.approx(low, abs=EXACT)
        assert up_to_high - up_to_low == pytest.approx(middle, abs=EXACT)


def test_a_finely_sampled_gaussian_is_not_aliased_and_a_coarsely_sampled_one_as_theory_says():
    from scipy.special import erf

    wide = np.exp(-((np.arange(41) - 20.0) ** 2) / (2 * 3.0**2))
    blur = np.outer(wide, wide)[None, None]
    assert sampling.beyond_grid(blur, (2, 2))[0] < EXACT
    # the energy of a Gaussian of deviation s is itself Gaussian in frequency, of deviation 1 / (2 sqrt(2) pi s)
    within = erf(np.pi * 2 * 3.0 / (2 * 8))
    assert sampling.beyond_grid(blur, (8, 8))[0] == pytest.approx(1 - within**2, abs=EXACT)
    assert sampling.energy_below(blur, 0.05)[0] == pytest.approx(
        1 - np.exp(-((2 * np.pi * 3.0 * 0.05) ** 2)), abs=EXACT
    )


def test_filters_of_noise_agree_with_a_fine_spectrum_and_rings_add_up():
    filters = noise(4, 3, 11, 11)
    power, down, across = spectrum(filters)
    total = power.sum(axis=(1, 2))
    for radius in (0.1, 0.25, 0.5):
        inside = (power * (np.hypot(down, across) < radius)).sum(axis=(1, 2)) / total
        assert sampling.energy_below(filters, radius) == pytest.approx(inside, abs=2e-3)
    inside = (power * (down < 1 / 8) * (across < 1 / 4)).sum(axis=(1, 2)) / total
    assert sampling.beyond_grid(filters, (4, 2)) == pytest.approx(1 - inside, abs=5e-3)
    rings = sampling.rings(filters, 20)
    assert rings.shape == (4, 20)
    assert (rings >= 0).all()
    assert rings.sum(axis=1) == pytest.approx(sampling.energy_below(filters, 0.5), abs=EXACT)
    assert sampling.energy_below(np.zeros((1, 3, 5, 5)), 0.25)[0] == sampling.beyond_grid(
        np.zeros((1, 3, 5, 5)), (2, 2)
    )


def test_of_two_waves_the_share_of_the_quick_one_is_aliased_and_a_constant_counts_for_nothing():
    y, x = np.mgrid[:64, :96]
    slow = 2.0 * np.cos(2 * np.pi * (3 * y / 64 + 4 * x / 96))
    for quick in (np.sin(2 * np.pi * 20 * x / 96), np.sin(2 * np.pi * 14 * y / 64)):
        beyond, total = sampling.energies(np.stack([slow + quick, slow + 100, 0 * slow + 7, slow - 3 * quick]), (4, 4))
        assert beyond[[0, 1, 3]] / total[[0, 1, 3]] == pytest.approx([1 / 5, 0, 9 / 13], abs=EXACT)
        assert beyond[2] == total[2] == 0
    assert sampling.energies(np.stack([slow + quick]), (1, 1))[0] == pytest.approx(0, abs=EXACT)


def test_noise_is_aliased_but_for_the_share_of_frequencies_that_the_grid_carries():
    beyond, total = sampling.energies(noise(50, 96, 96), (4, 2))
    assert (beyond / total).mean() == pytest.approx(1 - 1 / 8, abs=0.02)


def test_answers_at_every_pixel_are_those_of_the_layers_built_without_strides():
    net = tiny.tiny_net("plain", "fp64")
    features, x = net.module.features, net.preprocess([tiny.photo(3)])
    first, second = first_and_second(net)
    assert (first.name, second.name) == ("features.1", "features.4")
    dense = functional.relu(torch.conv2d(x, features[0].weight, features[0].bias))  # 1 C H W, field 0 begins at 0
    found = sampling.at_every_pixel(net, x, first)
    skip = -(first.start[0] // first.stride[0]) * first.stride[0] + first.start[0]
    height, width = found.shape[1:]
    assert height >= tiny.SIZE - 12
    truth = dense[0, :, skip : skip + height, skip : skip + width].numpy()
    assert np.abs(found - truth).max() < EXACT

    pooled = functional.max_pool2d(dense, 3, stride=1, dilation=2)
    dense = functional.relu(torch.conv2d(pooled, features[3].weight, features[3].bias, dilation=4))
    found = sampling.at_every_pixel(net, x, second)
    skip = -(second.start[0] // second.stride[0]) * second.stride[0] + second.start[0]
    height, width = found.shape[1:]
    assert height >= tiny.SIZE // 2
    assert np.abs(found - dense[0, :, skip : skip + height, skip : skip + width].numpy()).max() < EXACT


def test_the_aliased_share_is_that_of_the_stride_and_zero_without_one():
    pictures = [tiny.photo(seed) for seed in range(3)]
    dense = tiny.net_of(tiny.seeded(without_strides))
    assert sampling.aliased_shares(dense, pictures, first_and_second(dense)[0]) == pytest.approx(0, abs=EXACT)
    net = tiny.tiny_net("plain", "fp64")
    first, _ = first_and_second(net)
    answers = [sampling.at_every_pixel(net, net.preprocess([picture]), first) for picture in pictures]
    parts = np.sum([sampling.energies(own, (2, 2)) for own in answers], axis=0)
    assert sampling.aliased_shares(net, pictures, first) == pytest.approx(parts[0] / parts[1], abs=EXACT)
    assert 0.01 < np.mean(parts[0] / parts[1]) < 0.9


def test_layers_without_a_grid_and_answers_that_are_constant_have_no_aliasing_to_measure():
    net = tiny.tiny_net("plain", "fp64")
    x = net.preprocess([tiny.photo()])
    with pytest.raises(NotApplicable, match="has no grid"):
        sampling.at_every_pixel(net, x, net.card.resolve("classifier.1"))
    with pytest.raises(NotApplicable, match="fewer than 4 x 4"):
        sampling.at_every_pixel(net, x, net.card.resolve("features.7"))
    net.module.features[0].weight.zero_()
    with pytest.raises(NotApplicable, match="alike everywhere"):
        sampling.aliased_shares(net, [tiny.photo()], net.card.resolve("features.1"))
