"""The first layer's filters: weights as they are, batch norm folded in, and measures checked with gratings."""

import numpy as np
import pytest
import torch

from reportgen.errors import NotApplicable
from reportgen.methods import method
from reportgen.methods.filters import measure
from reportgen.records import Input
from tests import tiny


def grating(cycles, degrees, side=11, colour=(1.0, 1.0, 1.0)):
    """One 3 x k x k wave of this many cycles per pixel, going in this direction."""
    y, x = np.mgrid[:side, :side]
    phase = 2 * np.pi * cycles * (x * np.cos(np.radians(degrees)) + y * np.sin(np.radians(degrees)))
    window = np.outer(np.hanning(side + 2)[1:-1], np.hanning(side + 2)[1:-1])
    return np.array(colour)[:, None, None] * (np.cos(phase) * window)[None]


@pytest.mark.parametrize("degrees", [0, 30, 45, 90, 135])
@pytest.mark.parametrize("cycles", [0.15, 0.25, 0.35])
def test_frequency_and_orientation_of_gratings_are_found(cycles, degrees):
    found = measure(grating(cycles, degrees)[None])
    assert found["frequency"][0] == pytest.approx(cycles, abs=0.03)
    turn = abs(found["orientation"][0] - degrees)
    assert min(turn, 180 - turn) < 8


def test_colour_is_the_share_that_is_not_grey_and_dead_filters_are_those_far_below_the_median():
    filters = np.stack(
        [
            grating(0.2, 0),
            grating(0.2, 0, colour=(1, -1, 0)),
            grating(0.2, 0, colour=(1, 0, 0)),
            0.01 * grating(0.2, 0),
            grating(0.2, 90),
        ]
    )
    found = measure(filters)
    assert found["colour"] == pytest.approx([0, 1, 2 / 3, 0, 0], abs=1e-6)
    assert found["dead"].tolist() == [False, False, False, True, False]


def test_folding_makes_convolution_and_batch_norm_one_convolution():
    net = tiny.tiny_net("residual")
    (artifact,) = method("filters").run(net, [Input()], method("filters").params(), [])
    conv, norm = net.module.conv1, net.module.bn1
    x = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    folded = torch.from_numpy(artifact.arrays["folded"])
    gain = norm(conv(x)) - norm(conv(torch.zeros_like(x)))
    assert torch.allclose(torch.conv2d(x, folded, stride=2, padding=3), gain, atol=1e-5)
    assert np.array_equal(artifact.arrays["weights"], conv.weight.numpy())
    assert artifact.numbers["batch_norm"]


def test_without_batch_norm_the_filters_are_the_weights():
    (artifact,) = method("filters").run(tiny.tiny_net("plain"), [], method("filters").params(), [])
    assert np.array_equal(artifact.arrays["folded"], artifact.arrays["weights"])
    (panel,) = method("filters").panels(artifact)
    assert panel.values.shape == (1, 8, 3, 7, 7)


def test_a_first_layer_that_does_not_see_colours_does_not_apply():
    net = tiny.tiny_net("plain")
    net.module.features[0] = torch.nn.Conv2d(1, 8, 7)
    with pytest.raises(NotApplicable, match="three colours"):
        method("filters").run(net, [Input()], method("filters").params(), [])
