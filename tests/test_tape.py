"""A recorded pass run again is the net's own pass: for batches, from any value, with nothing written by the way."""

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional

from reportgen import lean, tape
from tests import families, tiny

# torchvision's families: replayed as they are ...
FITS = (
    "densenet121", "efficientnet_b0", "inception_v3", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small",
    "regnet_y_400mf", "resnet18", "resnext50_32x4d", "shufflenet_v2_x0_5", "convnext_tiny",
)  # fmt: skip
# ... and those whose pass holds the number of pictures in a shape
UNFIT = ("vit_b_16", "swin_t", "maxvit_t")
SIDES = {"inception_v3": 96, "vit_b_16": 224, "swin_t": 64, "maxvit_t": 224}


def randoms(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def family(arch):
    """A torchvision net in double precision with random weights and batch norm statistics that are not the default."""
    extra = {"inception_v3": {"aux_logits": False, "init_weights": False}}.get(arch, {})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = getattr(torchvision.models, arch)(weights=None, **extra).double().eval().requires_grad_(False)
        for child in module.modules():
            if isinstance(child, nn.BatchNorm2d):
                child.running_mean.normal_(0, 0.1)
                child.running_var.uniform_(0.5, 1.5)
    return module


def close(found, truth, tolerance=1e-9):
    return float((found - truth).abs().max()) <= tolerance * float(truth.abs().max())


@pytest.mark.parametrize("arch", FITS)
def test_torchvisions_convolutional_families_are_replayed_for_a_batch(arch):
    module, side = family(arch), SIDES.get(arch, 64)
    x, batch = randoms(1, 3, side, side), randoms(3, 3, side, side, seed=1)
    recorded = tape.record_module(module, x)
    assert close(recorded.value(recorded.output), module(x))
    found = tape.resume(recorded, {0: batch}, [recorded.output])[recorded.output]
    assert close(found, module(batch))


@pytest.mark.parametrize("arch", UNFIT)
def test_a_net_that_cannot_be_replayed_for_a_batch_raises_and_never_gives_something_else(arch):
    module, side = family(arch), SIDES[arch]

    def replayed():
        recorded = tape.record_module(module, randoms(1, 3, side, side))
        return tape.resume(recorded, {0: randoms(2, 3, side, side)}, [recorded.output])

    with pytest.raises((tape.UnfitError, RuntimeError)):
        replayed()


@pytest.mark.parametrize("arch", families.ARCHS)
def test_the_lean_nets_tape_gives_the_plain_nets_values(arch):
    net = families.net(arch)
    x, batch = randoms(1, 3, families.SIZE, families.SIZE), randoms(3, 3, families.SIZE, families.SIZE, seed=1)
    layers = [*net.card.stages, "first_conv", "last_conv"]
    names = [net.card.resolve(layer).name for layer in layers]
    recorded = tape.record(net, x, layers)
    kept = {}
    handles = [
        net.module.get_submodule(name).register_forward_hook(lambda _, __, v, name=name: kept.update({name: v.clone()}))
        for name in names
    ]
    logits = net.module(batch)
    numbers = [recorded.layer(name) for name in names]
    found = tape.resume(recorded, {0: batch}, [*numbers, recorded.output])
    assert families.relative(found[recorded.output].numpy(), logits.numpy()) < 1e-6
    for name, number in zip(names, numbers, strict=True):
        assert families.relative(found[number].numpy(), kept[name].numpy()) < 1e-6, name
    net.module(x)
    for name, number in zip(names, numbers, strict=True):
        assert families.relative(recorded.value(number).numpy(), kept[name].numpy()) < 1e-6, name
    for handle in handles:
        handle.remove()


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_from_any_layer_on_only_what_hangs_on_it_runs_again(kind, monkeypatch):
    net = tiny.tiny_net(kind, "fp64")
    x = net.preprocess([tiny.photo(1)])
    for one in net.card.layers:
        if one.name.endswith("@in") or one.kind in ("Value", "Identity"):
            continue  # what an Identity returns is what it was given: one value, which others may read too
        recorded = tape.record(net, x, [one.name])
        number = recorded.layer(one.name)
        clean = recorded.value(number)
        steps = _watched(monkeypatch)
        changed = torch.cat([clean, clean * 0, clean + 0.1])
        before = changed.clone()
        found = tape.resume(recorded, {number: changed}, [recorded.output])[recorded.output]
        monkeypatch.undo()
        assert torch.equal(changed, before), "what is given is not written to"
        assert all(made > number for step in steps for made in step.makes)
        for row, value in enumerate(changed):
            truth = _replaced(lean.lean(net, [one.name]).module, x, one.name, value[None])
            assert close(found[row : row + 1].expand(truth.shape), truth), (one.name, row)


def _watched(monkeypatch):
    """The steps that are run again from now on."""
    steps, true = [], tape.run_step
    monkeypatch.setattr(tape, "run_step", lambda own, step, *rest: steps.append(step) or true(own, step, *rest))
    return steps


def _replaced(module, x, name, value):
    """The module's output with one call of a layer answered by `value`; a plain name means the last call."""
    path, _, number = name.partition("#")
    calls, count = [], []
    child = module.get_submodule(path)
    counter = child.register_forward_hook(lambda *_: calls.append(1))
    module(x.clone())
    counter.remove()
    wanted = int(number or len(calls))

    def only(_, __, out):
        count.append(1)
        return value.clone() if len(count) == wanted else out

    handle = child.register_forward_hook(only)
    try:
        return module(x.clone())
    finally:
        handle.remove()


def test_a_value_that_hangs_on_nothing_changed_stays_as_it_was():
    net = tiny.tiny_net("plain", "fp64")
    recorded = tape.record(net, net.preprocess([tiny.photo(1)]), ["features.0", "features.6"])
    early, late = recorded.layer("features.0"), recorded.layer("features.6")
    found = tape.resume(recorded, {late: recorded.value(late).repeat(4, 1, 1, 1)}, [early, late, recorded.output])
    assert found[early] is recorded.value(early)
    assert len(found[late]) == len(found[recorded.output]) == 4


def test_a_layer_is_its_value_before_a_later_in_place_call_and_a_call_can_be_named_by_number():
    net = tiny.tiny_net("residual", "fp64")
    x = net.preprocess([tiny.photo(1)])
    recorded = tape.record(net, x, ["conv1", "layer1.relu#1", "layer1.relu"])
    assert recorded.value(recorded.layer("conv1")).min() < 0
    first, last = recorded.layer("layer1.relu#1"), recorded.layer("layer1.relu")
    assert first < last
    assert recorded.layer("layer1.relu#2") == last
    assert (recorded.value(first) >= 0).all()
    with pytest.raises(tape.UnfitError, match="nothing"):
        recorded.layer("nothing")


def test_a_recording_leaves_the_input_and_the_net_as_they_were_and_holds_one_picture():
    net = tiny.tiny_net("residual", "fp64")
    x = net.preprocess([tiny.photo(1)])
    before, logits = x.clone(), net.module(x)
    recorded = tape.record(net, x)
    tape.resume(recorded, {0: torch.cat([x, x])}, [recorded.output])
    assert torch.equal(x, before)
    assert torch.equal(net.module(x), logits)
    assert not any(child._forward_hooks or child._forward_pre_hooks for child in lean.lean(net).module.modules())
    with pytest.raises(ValueError, match="one picture, not 2"):
        tape.record(net, torch.cat([x, x]))


def test_a_recording_that_stops_ends_with_the_deepest_layer_asked_for():
    net = tiny.tiny_net("plain", "fp64")
    x = net.preprocess([tiny.photo(1)])
    whole, part = tape.record(net, x, ["stage2"]), tape.record(net, x, ["stage2"], stop=True)
    assert len(part.steps) < len(whole.steps)
    assert torch.equal(part.value(part.output), whole.value(whole.layer(net.card.stages["stage2"])))


class Steps(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.function = function

    def forward(self, x):
        return self.function(self.conv(x))


def _into_a_view(x):
    x[:, 1:3].mul_(2)
    return x.mean((2, 3))


def _through_a_view(x):
    flat = x.flatten(2)
    flat.add_(1)
    return x.mean((2, 3))


def _into_an_item(x):
    x[0, 0, 0, 0] = 0
    return x.mean((2, 3))


def _with_out(x):
    y = torch.empty_like(x)
    torch.mul(x, 2, out=y)
    return y.mean((2, 3))


def _into_a_constant(x):
    y = torch.ones_like(x)
    y += x
    y *= 2
    return y.mean((2, 3))


def _round_the_edges(x):
    return functional.pad(x, (1, 1, 1, 1), mode="circular").mean((2, 3))


REFUSED = [_into_a_view, _through_a_view, _into_an_item, _with_out, _into_a_constant, _round_the_edges]


@pytest.mark.parametrize("function", REFUSED)
def test_a_net_that_writes_into_a_part_of_a_tensor_or_through_out_is_refused_and_never_replayed_wrongly(function):
    module = Steps(function).double().eval().requires_grad_(False)
    with pytest.raises(tape.UnfitError, match="writes"):
        tape.record_module(module, randoms(1, 3, 8, 8))


def test_a_net_that_does_not_look_at_its_input_is_refused():
    module = Steps(lambda x: torch.zeros(1, 4, dtype=x.dtype)).double().eval()
    with pytest.raises(tape.UnfitError, match="does not depend on its input"):
        tape.record_module(module, randoms(1, 3, 8, 8))


def _in_place_chain(x):
    return functional.relu_(x.mul_(2).add_(0.3)).mean((2, 3))


def _read_before_it_is_overwritten(x):
    kept = x * 1
    x.relu_()
    return (x + kept + functional.max_pool2d(kept, 1)).mean((2, 3))


def _summed_with_itself(x):
    x += x
    x += x.mean()
    return x.mean((2, 3))


@pytest.mark.parametrize("function", [_in_place_chain, _read_before_it_is_overwritten])
def test_writing_in_place_is_replayed_without_a_trace(function):
    module = Steps(function).double().eval().requires_grad_(False)
    x, batch = randoms(1, 3, 8, 8), randoms(3, 3, 8, 8, seed=1)
    recorded = tape.record_module(module, x)
    number = recorded.calls["conv", 1]
    conv = module.conv(batch)
    for changed, given in ((0, batch), (number, conv)):
        for _ in range(2):
            before = given.clone()
            found = tape.resume(recorded, {changed: given}, [recorded.output, number])
            assert close(found[recorded.output], module(batch))
            assert torch.equal(given, before)
            assert close(found[number], conv)
    assert close(recorded.value(recorded.output), module(x))


def test_a_mean_over_pictures_is_not_mistaken_for_one_of_a_picture():
    """`x.mean()` of one picture is a number of that picture; of a batch it would mix them."""
    module = Steps(_summed_with_itself).double().eval().requires_grad_(False)
    x, batch = randoms(1, 3, 8, 8), randoms(3, 3, 8, 8, seed=1)
    truth = torch.cat([module(one[None].clone()) for one in batch])
    try:
        recorded = tape.record_module(module, x)
        found = tape.resume(recorded, {0: batch}, [recorded.output])[recorded.output]
    except (tape.UnfitError, RuntimeError, TypeError):
        return
    assert close(found, truth)


def test_dropout_at_rest_is_not_on_the_tape():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout(), nn.Dropout2d(inplace=True), nn.ReLU(inplace=True))
    recorded = tape.record_module(module.double().eval().requires_grad_(False), randoms(1, 3, 8, 8))
    assert [step.name for step in recorded.steps] == ["conv2d", "relu"]
