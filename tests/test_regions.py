"""A pass inside windows is a pass over the whole picture: every value, at every place, for every kind of operation."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from reportgen import regions, tape
from tests import families, tiny

HEIGHT, WIDTH = 13, 11


class Steps(nn.Module):
    """A net with two convolutions at hand, its forward pass given as a function of both and the picture."""

    def __init__(self, function, **layers):
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x):
        return self.function(self, x)


def conv(*args, **kwargs):
    return nn.Conv2d(*args, **{"padding": 1, **kwargs})


def _in_place_sum(net, x):
    out = net.a(x)
    out += net.b(x)
    return net.c(functional.relu(out, inplace=True))


def _unequal_windows(net, x):
    deep = net.b(net.a(x).relu())
    return net.c(torch.cat([x, deep, net.a(x) * 2, deep + net.a(x)], 1))


def _gate(net, x):
    x = net.a(x)
    return net.b(x * net.b(x).mean((2, 3), keepdim=True).sigmoid())


def _gate_in_place(net, x):
    x = net.a(x)
    gate = x.mean((2, 3), keepdim=True).sigmoid()
    x.mul_(gate)
    return net.b(x)


def _kept_before_it_is_overwritten(net, x):
    first = net.a(x)
    pooled = functional.max_pool2d(first, 2)
    functional.relu_(first)
    return net.b(first).flatten(1).sum(1, keepdim=True) + pooled.flatten(1).sum(1, keepdim=True)


def _shuffled_channels(net, x):
    x = net.a(x)
    n, c, h, w = x.shape
    x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
    return net.b(x[:, : c // 2]) + net.b(x[:, c // 2 :])


def _parts(net, x):
    one, two = net.a(x).chunk(2, 1)
    return net.b(one) * net.b(two)


def _constants(net, x):
    x = net.a(x) * torch.arange(1.0, 5, dtype=x.dtype).view(1, 4, 1, 1)
    x = x + torch.arange(4.0 * x.shape[-1], dtype=x.dtype).view(4, 1, -1)  # another number in every column
    return net.c(x)


def _comparison(net, x):
    x = net.a(x)
    return net.c(torch.where(x > 0, x, x * 0.1) * (x > -1))


def _across(net, x):
    x = net.a(x)
    return net.c(x - x.mean(3, keepdim=True) + x.amax(2, keepdim=True))


def _crop(net, x):
    return net.c(net.a(x)[:, :, 2:-3, 1:])


def _turned(net, x):
    return net.c(net.a(x).flip(3).transpose(2, 3))


def _stacked_rows(net, x):
    x = net.a(x)
    return net.c(torch.cat([x, x.relu()], 2))


def _tall_sum(net, x):
    """What a row and what a column of kernels change do not overlap in shape."""
    return net.c(net.a(x) + net.b(x))


def _in_place_on_the_picture(net, x):
    x.mul_(0.5).add_(0.1)
    return net.a(x)


def _norm_of_responses(net, x):
    return net.c(functional.local_response_norm(net.a(x).relu(), 3, alpha=0.1))


def _sequence(*layers):
    return lambda: nn.Sequential(*layers)


NETS = {
    "alexnet's kind": _sequence(
        conv(3, 4, 5, stride=2, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2), conv(4, 4, 3), nn.Flatten(),
        nn.Linear(4 * 3 * 2, 5),
    ),
    "never covers the map": _sequence(conv(3, 4, 1, padding=0), nn.ReLU(), conv(4, 3, 1, padding=0)),
    "skips pixels": _sequence(conv(3, 4, 1, stride=3, padding=0), conv(4, 3, 2, stride=2, padding=0)),
    "dilation, groups and sides of their own": _sequence(
        conv(3, 6, (3, 2), stride=(2, 1), padding=(1, 3), dilation=(1, 2), groups=3), nn.ReLU(),
        conv(6, 4, (2, 3), stride=(1, 2), padding=(2, 0), dilation=(2, 1), groups=2),
    ),
    "depthwise": _sequence(conv(3, 6, 3, groups=3), nn.Hardswish(inplace=True), conv(6, 6, 3, groups=6, stride=2)),
    "ceil mode": _sequence(conv(3, 4, 3), nn.MaxPool2d(3, 2, ceil_mode=True), nn.MaxPool2d(2, 3, ceil_mode=True)),
    "pools with padding and dilation": _sequence(
        conv(3, 4, 3), nn.MaxPool2d(3, 2, 1), nn.MaxPool2d(2, 1, dilation=2), nn.MaxPool2d((3, 1), 1, (1, 0))
    ),
    "average pools": _sequence(conv(3, 4, 3), nn.AvgPool2d(2, 1), conv(4, 3, 3, padding=0), nn.AvgPool2d((3, 2), 2)),
    "average pools with borders": _sequence(
        nn.AvgPool2d(3, 2, 1, count_include_pad=False), conv(3, 4, 3), nn.AvgPool2d(2, 2, ceil_mode=True)
    ),
    "average pool with another divisor": _sequence(nn.AvgPool2d(3, 2, divisor_override=2), conv(3, 4, 3)),
    "uneven padding": _sequence(nn.ZeroPad2d((1, 2, 0, 3)), conv(3, 4, 3, padding=0), nn.ReLU(), conv(4, 4, 3)),
    "padding by name": _sequence(conv(3, 4, 4, padding="same"), conv(4, 4, 3, padding="valid")),
    "mirrored padding": _sequence(conv(3, 4, 3, padding_mode="reflect"), conv(4, 4, 3)),
    "batch norm": _sequence(conv(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), conv(4, 4, 3), nn.BatchNorm2d(4)),
    "norms of other kinds": _sequence(conv(3, 4, 3), nn.GroupNorm(2, 4), conv(4, 4, 3), nn.InstanceNorm2d(4)),
    "activations": _sequence(
        conv(3, 4, 3), nn.GELU(), nn.LeakyReLU(0.1, inplace=True), nn.SiLU(), nn.PReLU(4), nn.Softmax(1), conv(4, 4, 3)
    ),
    "back up": _sequence(conv(3, 4, 3, stride=2), nn.ConvTranspose2d(4, 4, 3, 2), nn.Upsample(scale_factor=2)),
    "pixels as channels": _sequence(conv(3, 8, 3), nn.PixelShuffle(2), nn.PixelUnshuffle(2), conv(8, 2, 1)),
    "the whole picture at once": _sequence(nn.Flatten(), nn.Linear(3 * HEIGHT * WIDTH, 4), nn.ReLU(), nn.Linear(4, 2)),
    "global pooling": _sequence(conv(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)),
    "adaptive pooling": _sequence(conv(3, 4, 3), nn.AdaptiveAvgPool2d(4), nn.AdaptiveMaxPool2d(2), conv(4, 2, 1)),
    "sum in place": lambda: Steps(_in_place_sum, a=conv(3, 4, 3), b=conv(3, 4, 1, padding=0), c=conv(4, 2, 3)),
    "unequal windows": lambda: Steps(_unequal_windows, a=conv(3, 4, 3), b=conv(4, 4, 3), c=conv(15, 2, 3)),
    "gate": lambda: Steps(_gate, a=conv(3, 4, 3), b=conv(4, 4, 3)),
    "gate in place": lambda: Steps(_gate_in_place, a=conv(3, 4, 3), b=conv(4, 4, 3)),
    "overwritten": lambda: Steps(_kept_before_it_is_overwritten, a=conv(3, 4, 3), b=conv(4, 4, 3)),
    "shuffled channels": lambda: Steps(_shuffled_channels, a=conv(3, 4, 3), b=conv(2, 4, 3)),
    "parts": lambda: Steps(_parts, a=conv(3, 4, 3), b=conv(2, 4, 3)),
    "constants": lambda: Steps(_constants, a=conv(3, 4, 3), c=conv(4, 2, 3)),
    "comparison": lambda: Steps(_comparison, a=conv(3, 4, 3), c=conv(4, 2, 3)),
    "across": lambda: Steps(_across, a=conv(3, 4, 3), c=conv(4, 2, 3)),
    "crop": lambda: Steps(_crop, a=conv(3, 4, 3), c=conv(4, 2, 3)),
    "turned": lambda: Steps(_turned, a=conv(3, 4, 3), c=conv(4, 2, 3)),
    "stacked rows": lambda: Steps(_stacked_rows, a=conv(3, 4, 3), c=conv(4, 2, 3)),
    "tall and wide": lambda: Steps(
        _tall_sum, a=conv(3, 4, (5, 1), padding=(2, 0)), b=conv(3, 4, (1, 7), padding=(0, 3)), c=conv(4, 2, 3)
    ),
    "in place on the picture": lambda: Steps(_in_place_on_the_picture, a=conv(3, 4, 3)),
    "norm of responses": lambda: Steps(_norm_of_responses, a=conv(3, 4, 3), c=conv(4, 2, 3)),
}  # fmt: skip


def built(name, seed=0):
    """The net in double precision, and its values on a batch: the output and what every module returned."""
    torch.manual_seed(seed)
    module = NETS[name]().double().eval().requires_grad_(False)
    for child in module.modules():
        if isinstance(child, nn.BatchNorm2d):
            child.running_mean.normal_()
            child.running_var.uniform_(0.5, 2)

    def values(x):
        found, handles = {}, []
        for path, child in module.named_modules():
            if path:
                keep = lambda _, __, value, path=path: found.setdefault(path, []).append(value.clone())  # noqa: E731
                handles.append(child.register_forward_hook(keep))
        try:
            found[""] = [module(x.clone())]
        finally:
            for handle in handles:
                handle.remove()
        return found

    return module, values


def pasted(x, corners, patch):
    out = x.repeat(len(corners), 1, 1, 1)
    patches = patch.expand(len(corners), *patch.shape[-3:])
    for picture, (y, left), own in zip(out, corners, patches, strict=True):
        picture[:, y : y + patch.shape[-2], left : left + patch.shape[-1]] = own
    return out


def every_corner(height, width):
    return [(y, x) for y in range(HEIGHT - height + 1) for x in range(WIDTH - width + 1)]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("name", NETS)
def test_every_value_at_every_place_is_that_of_a_full_pass(name):
    module, values = built(name)
    x = torch.randn(1, 3, HEIGHT, WIDTH, dtype=torch.float64)
    recorded = tape.record_module(module, x)
    for height, width in ((1, 1), (3, 3), (4, 2), (1, WIDTH), (HEIGHT, WIDTH), (5, 6)):
        corners = every_corner(height, width)
        patch = torch.randn(3, height, width, dtype=torch.float64)
        truth = values(pasted(x, corners, patch))
        numbers = {
            (path, n): recorded.calls[path, n + 1] for path, calls in truth.items() if path for n in range(len(calls))
        }
        numbers["", 0] = recorded.output
        every = regions.changed(recorded, corners, patch, list(numbers.values()))
        for (path, n), number in numbers.items():
            expected = truth[path][n]
            found = every[number].expand(expected.shape)
            assert float((found - expected).abs().max()) < 1e-10 * (1 + float(expected.abs().max())), (path, height)
        # with nothing but the output wanted, values in between are overwritten and dropped on the way
        output = regions.changed(recorded, corners, patch, [recorded.output])[recorded.output]
        assert torch.allclose(output.expand(truth[""][0].shape), truth[""][0], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ["alexnet's kind", "sum in place", "unequal windows", "ceil mode"])
def test_each_place_can_have_a_patch_of_its_own_and_none_touches_the_others(name):
    module, values = built(name, seed=1)
    x = torch.randn(1, 3, HEIGHT, WIDTH, dtype=torch.float64)
    recorded = tape.record_module(module, x)
    corners = [(0, 0), (9, 8), (9, 0), (0, 8), (4, 4), (4, 4)]
    patch = torch.randn(6, 3, 4, 3, dtype=torch.float64)
    patch[4] = x[0, :, 4:8, 4:7]  # nothing is changed here
    before = patch.clone()
    found = regions.changed(recorded, corners, patch, [recorded.output])[recorded.output]
    assert torch.equal(patch, before)
    assert torch.allclose(found, values(pasted(x, corners, patch))[""][0], rtol=1e-10, atol=1e-10)
    assert torch.allclose(found[4:5], recorded.value(recorded.output), rtol=1e-10, atol=1e-10)
    alone = regions.changed(recorded, corners[1:2], patch[1:2], [recorded.output])[recorded.output]
    assert torch.allclose(alone, found[1:2], rtol=1e-10, atol=1e-10)
    again = regions.changed(recorded, corners, patch, [recorded.output])[recorded.output]
    assert torch.equal(found, again), "a tape can be used many times"


def test_the_callers_patch_is_not_written_to_where_the_net_works_in_place_on_its_input():
    module, _ = built("in place on the picture")
    x = torch.randn(1, 3, HEIGHT, WIDTH, dtype=torch.float64)
    recorded = tape.record_module(module, x)
    patch = torch.randn(1, 3, 4, 4, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    before = patch.clone()
    regions.changed(recorded, [(2, 2)], patch, [recorded.output])
    assert torch.equal(patch, before)


@pytest.mark.parametrize("seed", range(40))
def test_random_chains_of_layers_agree_with_full_passes(seed):
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    height, width, channels = (int(n) for n in (*rng.integers(9, 26, 2), 2))
    shape, layers = [height, width], []
    x = torch.randn(1, channels, height, width, dtype=torch.float64)
    for _ in range(int(rng.integers(2, 6))):
        layer, channels = _random_layer(rng, channels)
        try:
            with torch.no_grad():
                after = nn.Sequential(*layers, layer).double().eval()(x)
        except RuntimeError:  # the kernel is larger than what is left of the map
            continue
        layers.append(layer)
        channels, shape = after.shape[1], list(after.shape[2:])
        if min(shape) < 3:
            break
    module = nn.Sequential(*layers, nn.Flatten()).double().eval().requires_grad_(False)
    recorded = tape.record_module(module, x)
    tall, broad = int(rng.integers(1, height // 2 + 1)), int(rng.integers(1, width // 2 + 1))
    corners = [
        (int(rng.integers(0, height - tall + 1)), int(rng.integers(0, width - broad + 1))) for _ in range(12)
    ] + [(0, 0), (height - tall, width - broad), (0, width - broad), (height - tall, 0)]
    patch = torch.randn(2, tall, broad, dtype=torch.float64)
    truth = module(pasted(x, corners, patch))
    found = regions.changed(recorded, corners, patch, [recorded.output])[recorded.output]
    assert torch.allclose(found.expand(truth.shape), truth, rtol=1e-9, atol=1e-9), module


def _random_layer(rng, channels):
    kernel, stride = rng.integers(1, 6, 2).tolist(), rng.integers(1, 4, 2).tolist()
    if rng.random() < 0.6:
        wide = int(rng.integers(1, 3)) * channels
        padding, dilation = rng.integers(0, 4, 2).tolist(), rng.integers(1, 3, 2).tolist()
        groups = channels if rng.random() < 0.3 else 1
        return nn.Conv2d(channels, wide, kernel, stride, padding, dilation, groups), wide
    if rng.random() < 0.3:
        return nn.ReLU(inplace=bool(rng.random() < 0.5)), channels
    padding = [int(rng.integers(0, side // 2 + 1)) for side in kernel]
    ceil = bool(rng.random() < 0.5)
    if rng.random() < 0.7:
        return nn.MaxPool2d(kernel, stride, padding, ceil_mode=ceil), channels
    return nn.AvgPool2d(kernel, stride, padding, ceil_mode=ceil), channels


@pytest.mark.parametrize("arch", families.ARCHS)
def test_on_real_nets_logits_and_last_maps_are_those_of_the_plain_net(arch):
    net = families.net(arch)
    x = torch.randn(1, 3, families.SIZE, families.SIZE, generator=torch.Generator().manual_seed(2)).double()
    layer = net.card.resolve("last_conv").name
    recorded = tape.record(net, x, [layer])
    number = recorded.layer(layer)
    patch, side = torch.zeros(3, 9, 9).double(), families.SIZE - 9
    corners = [(0, 0), (3, 30), (20, 7), (side, side), (side - 1, 1), (0, side)]
    found = regions.changed(recorded, corners, patch, [recorded.output, number])
    kept = []
    handle = net.module.get_submodule(layer).register_forward_hook(lambda _, __, value: kept.append(value.clone()))
    truth = net.module(pasted(x, corners, patch))
    handle.remove()
    assert families.relative(found[recorded.output].numpy(), truth.numpy()) < 1e-6
    assert families.relative(found[number].numpy(), kept[0].numpy()) < 1e-6


def test_less_is_computed_than_in_a_full_pass(monkeypatch):
    """Only whole maps go through `run_step`: with small windows and a small net that is the end of it."""
    net = tiny.tiny_net("plain", "fp64")
    x = net.preprocess([tiny.photo(1)])
    recorded = tape.record(net, x)
    whole = []
    true = tape.run_step
    monkeypatch.setattr(tape, "run_step", lambda t, step, *rest: whole.append(step.name) or true(t, step, *rest))
    regions.changed(recorded, [(0, 0), (40, 50)], torch.zeros(3, 2, 2).double(), [recorded.output])
    assert whole
    assert "conv2d" not in whole
    whole.clear()
    regions.changed(recorded, [(0, 0), (4, 5)], torch.zeros(3, 56, 56).double(), [recorded.output])
    assert whole.count("conv2d") == 2, "once windows cover a map, the rest is run as a whole"


def test_corners_come_in_equal_pieces_of_at_least_the_size_asked_for():
    corners = [(n, n) for n in range(50)]
    for size in (1, 7, 16, 24, 50, 80):
        pieces = list(regions.chunks(corners, size))
        assert [corner for piece in pieces for corner in piece] == corners
        assert min(map(len, pieces)) >= min(size, 50)
        assert max(map(len, pieces)) - min(map(len, pieces)) <= 1
    assert list(regions.chunks([], 5)) in ([], [[]])
