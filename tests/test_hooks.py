"""Recording, replacing and stopping: values are what modules returned, and the net stays as it was."""

from collections import namedtuple

import pytest
import torch
from torch import nn

from reportgen import hooks, load_net
from reportgen.errors import ModelError, NotApplicable
from tests import tiny

Outputs = namedtuple("Outputs", ["logits", "extra"])


def hook_count(module):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in module.modules())


@pytest.fixture(scope="module")
def resnet():
    net = load_net("resnet_mini", weights="random", device="cpu")
    for module in net.module.modules():
        if hasattr(module, "bn2"):
            module.bn2.weight.fill_(1)  # fresh blocks are the identity: nothing would depend on what is inside
    tiny.calibrated(net.module)
    return net


@pytest.fixture
def x():
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


class Counting(nn.Module):
    """A module that counts its calls and returns a tuple."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return Outputs(x * 2, None)


def test_a_recorded_value_is_not_overwritten_by_a_later_in_place_call(x):
    conv, relu = nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True)
    net = nn.Sequential(conv, nn.Identity(), relu)
    with hooks.recorded(net, ["0", "1", "2"]) as values, torch.no_grad():
        net(x)
    assert torch.equal(values["0"], conv(x))
    assert torch.equal(values["1"], conv(x))
    assert torch.equal(values["2"], conv(x).relu())


def test_recorded_values_take_part_in_autograd_upwards_and_downwards(resnet, x):
    x.requires_grad_(True)
    with hooks.recorded(resnet, ["layer1.0.bn1", "stage3"]) as values:
        logits = resnet.module(x)
    up = torch.autograd.grad(logits[:, 3].sum(), values["layer1.0.bn1"], retain_graph=True)[0]
    down = torch.autograd.grad(values["stage3"].sum(), x)[0]
    assert up.abs().sum() > 0
    assert down.abs().sum() > 0


def test_recording_changes_nothing_in_the_result_and_leaves_no_hook(resnet, x):
    with torch.no_grad():
        plain = resnet.module(x)
        with hooks.recorded(resnet, [layer.name for layer in resnet.card.layers]):
            recorded = resnet.module(x)
    assert torch.equal(plain, recorded)
    assert hook_count(resnet.module) == 0


def test_run_to_stops_behind_the_deepest_layer(x):
    parts = [nn.Conv2d(3, 4, 3), nn.ReLU(), Counting()]
    net = nn.Sequential(*parts)
    values = hooks.run_to(net, x, ["0#1", "1#1"])
    assert set(values) == {"0#1", "1#1"}
    assert parts[2].calls == 0
    assert not values["1#1"].requires_grad
    assert hook_count(net) == 0


def test_run_to_stops_at_plain_names_where_the_card_knows_the_number_of_calls(resnet, x):
    seen = []
    with hooks.watched(resnet.module, lambda *_: None, lambda path, *_: seen.append(path)):
        hooks.run_to(resnet, x, ["stage1", "layer1.0.relu"])
    assert seen[-1] == "layer1.0.relu"


def test_the_number_names_the_call_and_the_plain_name_the_last(resnet, x):
    names = ["layer1.0.relu#1", "layer1.0.relu#2", "layer1.0.relu", "layer1.0"]
    values = hooks.run_to(resnet, x, names)
    assert torch.equal(values["layer1.0.relu"], values["layer1.0"])
    assert torch.equal(values["layer1.0.relu#2"], values["layer1.0"])
    block = resnet.module.layer1[0]
    stem = hooks.run_to(resnet, x, ["maxpool"])["maxpool"]
    assert torch.equal(values["layer1.0.relu#1"], block.bn1(block.conv1(stem)).relu())


def test_the_input_of_a_module_is_a_layer(resnet, x):
    with torch.no_grad():
        expected = torch.flatten(hooks.run_to(resnet, x, ["avgpool"])["avgpool"], 1)
    assert torch.equal(hooks.run_to(resnet.module, x, ["fc@in"])["fc@in"], expected)


def test_a_replaced_value_goes_on_and_the_net_is_restored(resnet, x):
    with torch.no_grad():
        plain = resnet.module(x)
        with (
            hooks.replaced(resnet, "layer1.0.relu#1", torch.zeros_like),
            hooks.recorded(resnet, ["layer1.0.conv2"]) as v,
        ):
            changed = resnet.module(x)
        assert v["layer1.0.conv2"].abs().max() == 0
        assert not torch.equal(plain, changed)
        assert torch.equal(plain, resnet.module(x))


def test_tuples_keep_their_type_and_their_first_tensor_is_the_value(x):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Counting()

        def forward(self, x):
            out = self.inner(x)
            assert isinstance(out, Outputs)
            return out.logits + 1

    net = Net()
    with hooks.recorded(net, ["inner"]) as values:
        net(x)
    assert torch.equal(values["inner"], x * 2)
    with hooks.replaced(net, "inner", lambda value: value * 0):
        assert torch.equal(net(x), torch.ones_like(x))


def test_hooks_are_gone_after_an_error(resnet, x):
    def broken(value):
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"), hooks.replaced(resnet, "layer2", broken):
        resnet.module(x)
    assert hook_count(resnet.module) == 0


def test_unknown_layers_are_named_with_the_nearest(resnet, x):
    with pytest.raises(ModelError, match=r"layer1\.0"):
        hooks.run_to(resnet, x, ["layer1.O"])
    with pytest.raises(ModelError, match=r"no module 'layerl'\. Did you mean 'layer"):
        hooks.run_to(resnet.module, x, ["layerl"])
    with pytest.raises(NotApplicable, match="stage0"):
        hooks.run_to(resnet, x, ["stage0"])
    with pytest.raises(ModelError, match="more than once"), hooks.replaced(resnet.module, "layer1.0.relu", torch.neg):
        resnet.module(x)
