"""A class activation map is the dense layer's weights on the maps that the global pooling is given."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import reportgen
from reportgen.errors import NotApplicable
from reportgen.methods import method
from tests import families, reference, tiny


def explain(net, pictures, **params):
    return reportgen.compute("cam", net, pictures, **params)


class Pooled(nn.Module):
    """A net whose last maps no module returns, with the average taken in one of several ways, and one more before."""

    def __init__(self, average):
        super().__init__()
        self.average = average
        self.conv = nn.Conv2d(3, 6, 4, stride=4)
        self.squeeze = nn.Linear(6, 6)
        self.norm = nn.BatchNorm2d(6)
        self.fc = nn.Linear(6, len(tiny.CLASSES))

    def maps(self, x):
        x = self.conv(x)
        x = x * torch.sigmoid(self.squeeze(functional.adaptive_avg_pool2d(x, 1).flatten(1)))[:, :, None, None]
        return functional.relu(self.norm(x), inplace=True)

    def forward(self, x):
        return self.fc(self.average(self.maps(x)))


AVERAGES = {
    "mean": lambda x: x.mean([2, 3]),
    "mean with its axes kept": lambda x: x.mean((-1, -2), keepdim=True).flatten(1),
    "avg_pool2d": lambda x: functional.avg_pool2d(x, 16).flatten(1),
    "adaptive": lambda x: functional.adaptive_avg_pool2d(x, (1, 1)).flatten(1),
}


def test_the_map_peaks_at_the_planted_block():
    conv, dense = nn.Conv2d(3, 2, 4, stride=4, bias=False), nn.Linear(2, 2)
    conv.weight.data.zero_()
    conv.weight.data[0, 0] = conv.weight.data[1, 2] = 1.0  # red and blue
    dense.weight.data = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    module = nn.Sequential(conv, nn.AdaptiveAvgPool2d(1), nn.Flatten(), dense).eval().requires_grad_(False)
    net = tiny.net_of(module, classes=("red", "blue"))
    picture = np.zeros((64, 64, 3), np.float32)
    picture[8:12, 48:52, 0] = picture[40:44, 12:16, 2] = 1
    red, blue = (explain(net, picture, target=name) for name in ("red", "blue"))
    assert divmod(int(red.arrays["coarse"].argmax()), 16) == (2, 12)
    assert divmod(int(red.arrays["coarse"].argmin()), 16) == (10, 3)
    assert families.relative(red.arrays["coarse"], -blue.arrays["coarse"]) < 1e-6
    y, x = red.numbers["peak"]
    assert 8 <= y < 12
    assert 48 <= x < 52
    assert "upper right" in method("cam").panels(red)[0].alt
    assert "lower left" in method("cam").panels(blue)[0].alt


@pytest.mark.parametrize("arch", ["googlenet", "resnet50"])
def test_it_equals_the_weights_on_the_last_maps_and_grad_cam_by_the_number_of_positions(arch):
    net, pictures = families.net(arch), [tiny.photo(1), tiny.photo(5)]
    seen = []
    handle = net.module.avgpool.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    net.module(net.preprocess(pictures))
    handle.remove()
    gradients = reportgen.compute("grad_cam", net, pictures, target=9)
    for n, one in enumerate(explain(net, pictures, target=9)):
        truth = (net.module.fc.weight[9][:, None, None] * seen[0][n]).sum(0)  # h w
        assert families.relative(one.arrays["coarse"], truth.numpy()) < 1e-6
        places = net.card.resolve("last_conv").places(families.SIZE)
        assert families.relative(one.arrays["map"], reference.enlarged(truth.numpy(), families.SIZE, *places)) < 1e-6
        assert families.relative(one.arrays["coarse"], gradients[n].arrays["coarse"] * truth.numel()) < 1e-6
        assert one.numbers["bias"] == pytest.approx(float(net.module.fc.bias[9]), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("average", AVERAGES)
def test_the_maps_are_those_the_last_average_is_given_though_no_module_returned_them(average):
    module = tiny.seeded(lambda: Pooled(AVERAGES[average])).double()
    net = tiny.net_of(module)
    assert net.card.global_pooling
    found = explain(net, tiny.photo(1), target=2)
    truth = (module.fc.weight[2][:, None, None] * module.maps(net.preprocess([tiny.photo(1)]))[0]).sum(0)
    assert families.relative(found.arrays["coarse"], truth.numpy()) < 1e-6
    assert found.numbers["bias"] == pytest.approx(float(module.fc.bias[2]), rel=1e-6)


@pytest.mark.parametrize("arch", ["googlenet_mini", "resnet_mini"])
def test_on_the_trained_nets_the_mean_of_the_map_and_the_bias_are_the_logit(arch):
    net = reportgen.load_net(arch, device="cpu")
    found = explain(net, reportgen.load_image("skimage:chelsea"))
    bias = float(net.module.fc.bias[found.numbers["target"]])
    assert found.arrays["coarse"].mean() + bias == pytest.approx(found.numbers["logit"], rel=1e-4)


@pytest.mark.parametrize("arch", ["googlenet", "resnet50"])
def test_single_precision_agrees_with_double(arch):
    double = explain(families.net(arch), tiny.photo(1), target=7)
    single = explain(families.net(arch, "fp32"), tiny.photo(1), target=7)
    assert families.cosine(double.arrays["coarse"], single.arrays["coarse"]) > 0.999


@pytest.mark.parametrize("arch", ["alexnet", "vgg16", "squeezenet1_0"])
def test_nets_that_end_otherwise_have_no_such_map(arch):
    net = families.net(arch)
    with pytest.raises(NotApplicable, match="does not end in global average pooling"):
        explain(net, tiny.photo(1))
    with pytest.raises(NotApplicable, match="does not end in global average pooling"):
        method("cam").run(net, [], method("cam").params(), [])
