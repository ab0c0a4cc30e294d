"""Activity is what the layer returned, and its panels sort the channels by strength."""

import numpy as np
import pytest

from reportgen.methods import method
from reportgen.records import Input
from tests import tiny


def activity(net, **params):
    found = method("activity")
    return found.run(net, [Input(tiny.photo(1)), Input(tiny.photo(2))], found.params(**params), [])


def test_the_activation_is_the_modules_value_before_a_later_in_place_relu():
    net = tiny.tiny_net("plain")
    x = net.preprocess([tiny.photo(1)])
    (artifact, _) = activity(net, layer="features.3", units=4)
    wanted = net.module.features[3](net.module.features[:3](x))[0].numpy()
    assert wanted.min() < 0
    assert np.allclose(artifact.arrays["activation"], wanted, atol=1e-6)
    assert artifact.numbers["units"] == list(np.argsort(-wanted.max(axis=(1, 2)), kind="stable")[:4])


def test_maps_get_an_overlay_a_sheet_and_one_channel_large():
    (artifact, _) = activity(tiny.tiny_net("residual"), layer="layer1", units=5)
    overlay, channels, unit = method("activity").panels(artifact)
    maps = artifact.arrays["activation"]
    assert np.allclose(overlay.values, maps.mean(axis=0))
    assert channels.values.shape == (2, 3, *maps.shape[1:])
    assert np.isnan(channels.values[1, 2]).all()
    best = artifact.numbers["units"][0]
    assert np.array_equal(channels.values[0, 0], maps[best])
    assert np.array_equal(unit.values, maps[best])
    assert maps[best].max() == maps.max()


def test_neurons_get_bars():
    (artifact, _) = activity(tiny.tiny_net("plain"), layer="classifier.2", units=3)
    (bars,) = method("activity").panels(artifact)
    neurons = artifact.arrays["activation"]
    assert neurons.shape == (16,)
    assert np.array_equal(bars.values, np.sort(neurons)[::-1][:3])
    assert artifact.numbers["silent"] == pytest.approx((neurons <= 0).mean())
