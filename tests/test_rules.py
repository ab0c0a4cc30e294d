"""Backward along a tape: each rule's formula, every way to call, the pools by loops, windows, and the audit."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from reportgen import backward, rules, tape, windows
from reportgen.errors import MethodError
from reportgen.windows import Window, pair
from tests import reference, tiny

RELUS = {
    "F.relu": functional.relu,
    "F.relu inplace": lambda x: functional.relu(x, inplace=True),
    "F.relu_": functional.relu_,
    "torch.relu": torch.relu,
    "torch.relu_": torch.relu_,
    "Tensor.relu": lambda x: x.relu(),
    "Tensor.relu_": lambda x: x.relu_(),
    "nn.ReLU": nn.ReLU(),
    "nn.ReLU inplace": nn.ReLU(inplace=True),
}
POOLS = [
    {"kernel_size": 2},
    {"kernel_size": 3, "stride": 2},
    {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": 3, "stride": 2, "ceil_mode": True},
    {"kernel_size": 2, "stride": 2, "padding": 1, "ceil_mode": True},
    {"kernel_size": 3, "stride": 1, "padding": 1},
    {"kernel_size": (3, 2), "stride": (1, 2), "dilation": 2, "padding": (1, 0)},
    {"kernel_size": 2, "stride": 3},
]


def _noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _conv(*args, **kwargs):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        return nn.Conv2d(*args, **kwargs, dtype=torch.float64).requires_grad_(False)


class _Calling(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x * 1)  # the input itself stays as it is


def _rule(function, x, seed, *asked):
    """What the seed on a function's value becomes at x, picture by picture; one tape serves all rules."""
    found = {rule: [] for rule in asked}
    for own, start in zip(x.split(1), seed.split(1), strict=True):
        recorded = tape.record_module(_Calling(function), own)
        zero = np.zeros(1, dtype=np.int64)
        down = backward.project(recorded, recorded.output, Window(zero, zero, start), asked)
        for rule, window in down.items():
            found[rule].append(windows.placed(window, (zero, zero), tuple(x.shape[-2:])))
    return tuple(torch.cat(parts) for parts in found.values())


@pytest.mark.parametrize("call", RELUS)
def test_each_rule_has_its_formula_whichever_way_relu_is_called(call):
    x, g = _noise(2, 3, 4, 4), _noise(2, 3, 4, 4, seed=1)
    expected = {
        "gradient": g * (x > 0),
        "guided": g * (g > 0) * (x > 0),
        "deconvnet": g * (g > 0),
        "no_switches": g * (g > 0),
    }
    for found, (rule, wanted) in zip(_rule(RELUS[call], x, g, *expected), expected.items(), strict=True):
        assert torch.equal(found, wanted), rule


@pytest.mark.parametrize("call", ["F.relu_", "Tensor.relu_", "F.relu inplace"])
def test_an_in_place_relu_whose_result_is_dropped_still_rectifies(call):
    def net(x):
        y = x + 1
        RELUS[call](y)
        return y * 2

    x = _noise(1, 2, 3, 3)
    (found,) = _rule(net, x, torch.ones_like(x), "gradient")
    assert torch.equal(found, 2.0 * (x + 1 > 0))


@pytest.mark.parametrize("pool", POOLS, ids=str)
@pytest.mark.parametrize("call", [functional.max_pool2d, lambda x, **k: nn.MaxPool2d(**k)(x), torch.max_pool2d])
def test_pools_hand_down_what_loops_over_their_windows_hand_down(pool, call):
    x = _noise(2, 3, 9, 8)
    y = functional.max_pool2d(x, **pool)
    g = _noise(*y.shape, seed=1)
    shape = (pair(pool["kernel_size"]), pair(pool.get("stride", pool["kernel_size"])))
    shape += (pair(pool.get("padding", 0)), pair(pool.get("dilation", 1)))
    for rule, found in zip(rules.RULES, _rule(lambda x: call(x, **pool), x, g, *rules.RULES), strict=True):
        wanted = reference.unpool(g, x, *shape, switches=rule != "no_switches")
        assert torch.allclose(found, wanted, rtol=0, atol=1e-12), rule


def test_without_switches_it_does_not_matter_where_in_its_window_a_maximum_sat():
    conv = _conv(3, 4, 3, padding=1)
    x = _noise(1, 3, 8, 8)
    hidden = conv(x).relu()
    turned = hidden.unfold(2, 2, 2).unfold(3, 2, 2).flip(-1, -2)  # N C h w 2 2: each window turned by half a circle
    turned = turned.permute(0, 1, 2, 4, 3, 5).reshape(hidden.shape)
    found = {}
    for rule in ("no_switches", "deconvnet"):
        found[rule] = []
        for value in (hidden, turned):  # the same maxima at other places of their windows

            def net(x, value=value):
                return functional.max_pool2d(functional.relu(conv(x) + (value - conv(x).detach())), 2)

            seed = functional.max_pool2d(value, 2)
            found[rule] += _rule(net, x, seed, rule)
    assert torch.equal(*found["no_switches"])
    assert not torch.allclose(*found["deconvnet"])


def test_one_tape_serves_all_rules_in_any_order():
    net = nn.Sequential(_conv(3, 4, 3), nn.ReLU(True), nn.MaxPool2d(3, 2), _conv(4, 5, 3), nn.ReLU(True))
    x = _noise(1, 3, 16, 16)
    seed = net(x)
    alone = {rule: _rule(net, x, seed, rule)[0] for rule in rules.RULES}
    for order in (rules.RULES, tuple(reversed(rules.RULES))):
        for rule, found in zip(order, _rule(net, x, seed, *order), strict=True):
            assert torch.allclose(found, alone[rule], rtol=1e-12, atol=1e-15), rule
    plain = x.clone().requires_grad_()
    truth = torch.autograd.grad(net(plain), plain, seed)[0]
    assert torch.allclose(alone["gradient"], truth, rtol=1e-12, atol=1e-15)


def test_deconvnet_is_a_chain_of_transposed_convolutions_unpooling_and_rectification():
    one, two, three = _conv(3, 6, 5, stride=2, padding=2), _conv(6, 8, 3, padding=1), _conv(8, 4, 3)
    net = nn.Sequential(one, nn.ReLU(True), nn.MaxPool2d(3, 2), two, nn.ReLU(True), nn.MaxPool2d(2), three, nn.ReLU())
    x = _noise(1, 3, 33, 33)
    first, second = net[:2](x), net[:5](x)
    top = net(x)
    seed = torch.zeros_like(top)
    seed[top == top.max()] = top.max()
    assert seed.any()
    for rule in ("deconvnet", "no_switches"):
        kept = rule == "deconvnet"
        down = functional.conv_transpose2d(seed.clamp(min=0), three.weight)
        down = reference.unpool(down, second, (2, 2), (2, 2), switches=kept).clamp(min=0)
        down = functional.conv_transpose2d(down, two.weight, padding=1)
        down = reference.unpool(down, first, (3, 3), (2, 2), switches=kept).clamp(min=0)
        down = functional.conv_transpose2d(down, one.weight, stride=2, padding=2)
        (found,) = _rule(net, x, seed, rule)
        assert torch.allclose(found, down, rtol=1e-9, atol=1e-15), rule


@pytest.mark.parametrize(
    ("arch", "relus"), [("alexnet", 7), ("vgg16", 15), ("googlenet", 57), ("resnet50", 49), ("densenet121", 121)]
)
def test_the_tape_meets_every_relu_call_of_torchvisions_nets(arch, relus):
    import torchvision

    extra = {"aux_logits": False, "init_weights": False} if arch == "googlenet" else {}
    with torch.device("meta"):
        net = getattr(torchvision.models, arch)(weights=None, **extra).eval()
        recorded = tape.record_module(net, torch.zeros(1, 3, 224, 224))
    assert sum(step.name == "relu" for step in recorded.steps) == relus


@pytest.mark.parametrize(
    ("op", "function"),
    [
        ("clamp", lambda x: x.clamp(min=0)),
        ("clip", lambda x: torch.clip(x, 0, 6)),
        ("clamp_min", lambda x: x.clamp_min(0)),
        ("clamp_min", lambda x: x.clamp_min_(0)),
        ("threshold", lambda x: functional.threshold(x, 0, 0)),
        ("relu6", functional.relu6),
        ("hardtanh", functional.hardtanh),
        ("leaky_relu", functional.leaky_relu),
        ("maximum", lambda x: torch.maximum(x, torch.zeros_like(x))),
        ("max", lambda x: torch.max(x, torch.zeros(1, dtype=x.dtype))),
        ("mul", lambda x: x * (x > 0)),
        ("where", lambda x: torch.where(x > 0, x, 0.0)),
        ("masked_fill", lambda x: x.masked_fill(x < 0, 0)),
        ("gelu", functional.gelu),
        ("silu", functional.silu),
        ("max_pool2d_with_indices", lambda x: functional.max_pool2d(x, 2, return_indices=True)[0]),
        ("adaptive_max_pool2d", lambda x: functional.adaptive_max_pool2d(x, 2)),
    ],
)
def test_the_audit_stops_on_a_rectification_that_the_rules_do_not_meet_and_names_it(op, function):
    x = _noise(1, 2, 4, 4)
    with pytest.raises(MethodError, match=rf"\b{op}\b"):
        _rule(function, x, torch.ones_like(function(x * 1)), "deconvnet")


@pytest.mark.parametrize("kind", ["plain", "branching", "residual"])  # relu_by_hand misses Tensor.relu
def test_windows_at_every_corner_of_a_map_hold_what_the_whole_gradient_holds(kind):
    """Every rule, from places in the middle and at all borders, equals the whole net with each relu done by hand."""
    net = tiny.tiny_net(kind, "fp64")
    x = _noise(1, 3, tiny.SIZE, tiny.SIZE)
    often = {layer.name.partition("#")[0] for layer in net.card.layers if "#" in layer.name}
    for layer in net.card.layers:
        if layer.stride is None or len(layer.shape) != 3 or layer.name.partition("#")[0] in often:
            continue  # the reference knows a module's first call only
        recorded = tape.record(net, x, [layer.name], stop=True)
        value = recorded.value(recorded.output)
        _, channels, height, width = value.shape
        places = [(y, c) for y in (0, height // 2, height - 1) for c in (0, width // 2, width - 1)]
        seeds = torch.zeros(len(places), channels, 1, 1, dtype=torch.float64)
        seeds[:, 1] = 1
        ys, xs = np.array(places).T
        down = backward.project(recorded, recorded.output, Window(ys, xs, seeds), ("gradient", "deconvnet", "guided"))
        for rule, window in down.items():
            found = windows.placed(window, (ys * 0, xs * 0), (tiny.SIZE, tiny.SIZE))
            for n, (y, c) in enumerate(places):

                def one(value, y=y, c=c):
                    start = torch.zeros_like(value)
                    start[0, 1, y, c] = 1
                    return start

                truth = reference.projection(net.module, x, layer.name, one, rule)[0]
                assert (found[n] - truth).abs().max() <= 1e-12 * max(1.0, float(truth.abs().max())), (layer.name, rule)
