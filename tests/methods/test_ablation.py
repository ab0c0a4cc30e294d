"""A silent unit is a filter whose weights and bias are zero, and a map that a hook of the test's own sets to zero."""

import copy

import numpy as np
import pytest
import torch

import reportgen
from reportgen import tape
from reportgen.errors import MethodError, NotApplicable
from reportgen.methods import method
from tests import families, tiny

# layer, and the parameters that are its filters
FILTERS = [
    ("alexnet", "features.3", ("features.3.weight", "features.3.bias")),
    ("alexnet", "classifier.1", ("classifier.1.weight", "classifier.1.bias")),
    ("vgg16", "features.7", ("features.7.weight", "features.7.bias")),
    ("googlenet", "inception3b.branch2.1.conv", ("inception3b.branch2.1.conv.weight",)),
    ("googlenet", "inception4a.branch1", ("inception4a.branch1.bn.weight", "inception4a.branch1.bn.bias")),
    ("resnet50", "layer2.1.conv2", ("layer2.1.conv2.weight",)),
    ("resnet50", "layer3.0.bn3", ("layer3.0.bn3.weight", "layer3.0.bn3.bias")),
    ("squeezenet1_0", "features.5.expand3x3", ("features.5.expand3x3.weight", "features.5.expand3x3.bias")),
]


def ablate(net, pictures, **params):
    return reportgen.compute("ablation", net, pictures, **params)


def softmax(logits):
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize(("arch", "layer", "names"), FILTERS)
def test_silencing_a_unit_is_the_net_with_its_filter_at_zero(arch, layer, names):
    net, picture = families.net(arch), tiny.photo(2)
    artifact = ablate(net, picture, layer=layer, units=[1, 7, 4])
    assert (artifact.numbers["incremental"], artifact.numbers["why"]) == (True, "")
    x = net.preprocess([picture])
    found = [*artifact.arrays["probabilities"], artifact.arrays["together"]]
    for units, probabilities in zip(([1], [7], [4], [1, 7, 4]), found, strict=True):
        without = copy.deepcopy(net.module)
        for name in names:
            without.get_parameter(name).data[units] = 0
        assert families.relative(probabilities, softmax(without(x).numpy()[0])) < 1e-6


def with_hook(net, x, layer, units, later):
    """Logits and later values of the plain net with maps set to zero, by hooks of the test's own."""
    values, handles = {}, []

    def silence(_, __, value):
        value = value.clone()
        value[:, units] = 0
        return value

    def keep(name):
        return lambda _, __, value: values.__setitem__(name, value.clone())

    handles.append(net.module.get_submodule(layer).register_forward_hook(silence))
    for title, name in later.items():
        handles.append(net.module.get_submodule(name).register_forward_hook(keep(title)))
    try:
        values["logits"] = net.module(x)
    finally:
        for handle in handles:
            handle.remove()
    return {name: value.flatten().numpy() for name, value in values.items()}


@pytest.mark.parametrize("arch", families.ARCHS)
def test_probabilities_and_the_spread_equal_those_of_a_plain_hook_at_the_end_of_a_stage(arch):
    net, picture = families.net(arch), tiny.photo(2)
    artifact = ablate(net, picture, layer="stage3", units=3)
    arrays, numbers = artifact.arrays, artifact.numbers
    assert numbers["incremental"]
    layer, x = net.card.stages["stage3"], net.preprocess([picture])
    stages = {name: net.card.resolve(name).name for name in numbers["later"] if name != "logits"}
    assert [*stages, "logits"] == numbers["later"]
    assert {"stage4", "logits"} <= set(numbers["later"])
    clean = with_hook(net, x, layer, [], stages)
    chosen = arrays["units"].tolist()
    own = {}
    handle = net.module.get_submodule(layer).register_forward_hook(lambda _, __, v: own.update(map=v.clone()))
    net.module(x)
    handle.remove()
    strongest = own["map"][0].amax(dim=(1, 2))
    assert chosen == sorted(range(len(strongest)), key=lambda unit: -strongest[unit])[:3]
    for row, unit in enumerate(chosen):
        truth = with_hook(net, x, layer, [unit], stages)
        assert families.relative(arrays["probabilities"][row], softmax(truth["logits"])) < 1e-6
        for place, name in enumerate(numbers["later"]):
            away, length = truth[name] - clean[name], np.linalg.norm(clean[name])
            assert arrays["change"][row, place] == pytest.approx(np.linalg.norm(away) / length, rel=1e-6, abs=1e-12)
            reached = (abs(away) > 1e-6 * abs(clean[name]).max()).mean()
            assert arrays["reached"][row, place] == pytest.approx(reached, abs=1e-3)
    truth = with_hook(net, x, layer, chosen, stages)
    assert families.relative(arrays["together"], softmax(truth["logits"])) < 1e-6
    target = numbers["target"]
    assert numbers["drops"][-1] == pytest.approx(
        softmax(clean["logits"])[target] - softmax(truth["logits"])[target], abs=1e-7
    )


def test_a_unit_that_is_silent_already_changes_nothing_at_all_and_its_hole_reaches_nothing():
    module = tiny.seeded(tiny.plain)
    module.features[3].weight[5] = 0
    module.features[3].bias[5] = -1
    net = tiny.net_of(module, precision="fp32")
    artifact = ablate(net, tiny.photo(1), layer="features.4", units=[5, 2])
    assert artifact.numbers["strengths"][0] == 0
    assert not artifact.arrays["change"][0].any()
    assert not artifact.arrays["reached"][0].any()
    assert artifact.arrays["change"][1].all()
    assert artifact.numbers["drops"][0] == pytest.approx(0, abs=1e-6)
    assert artifact.numbers["drops"][1] == pytest.approx(artifact.numbers["drops"][2], abs=1e-6)


def test_what_a_hole_reaches_lies_inside_the_receptive_fields_of_what_it_left():
    """One lit position, after a 3 x 3 convolution, is felt in 3 x 3 positions of every map."""
    build = torch.nn.Sequential
    module = tiny.seeded(
        lambda: build(
            torch.nn.Conv2d(3, 2, 1), torch.nn.ReLU(), torch.nn.Conv2d(2, 4, 3, 1, 1), torch.nn.Flatten(),
            torch.nn.Linear(4 * 64, 6),
        ), size=8,
    )  # fmt: skip
    module[0].weight.zero_()
    module[0].weight[0] = 1.0
    module[0].bias[:] = torch.tensor([-3.0, 1.0])
    net = tiny.net_of(module, size=8)
    picture = np.zeros((8, 8, 3), np.float32)
    picture[4, 3] = 1.0
    artifact = ablate(net, picture, layer="1", units=[0])
    assert artifact.arrays["reached"][0, 0] == pytest.approx(9 / 64)


@pytest.mark.parametrize("kind", tiny.KINDS)
@pytest.mark.parametrize("layer", ["first_conv", "stage2", "last_conv", "penultimate", "logits"])
def test_every_kind_of_layer_can_be_ablated_and_drawn(kind, layer):
    net = tiny.tiny_net(kind, "fp64")
    if layer not in {**net.card.aliases, **net.card.stages}:
        with pytest.raises(NotApplicable):
            ablate(net, tiny.photo(1), layer=layer)
        return
    artifact = ablate(net, tiny.photo(1), layer=layer, units=[0, 3])
    later = len(artifact.numbers["later"])
    assert artifact.arrays["change"].shape == artifact.arrays["reached"].shape == (2, later)
    assert (later == 0) == (layer == "logits")
    assert len(method("ablation").panels(artifact)) == (4 if later > 1 else 2)
    if layer == "logits":
        clean = net.module(net.preprocess([tiny.photo(1)]))[0].numpy()
        clean[3] = 0
        assert families.relative(artifact.arrays["probabilities"][1], softmax(clean)) < 1e-6


def test_more_units_than_fit_into_one_pass_come_out_as_each_alone():
    net = tiny.tiny_net("residual", "fp64")
    every = ablate(net, [tiny.photo(1), tiny.photo(2)], layer="maxpool", units="all")[1]
    assert every.arrays["units"].tolist() == list(range(8))
    wide = ablate(tiny.tiny_net("plain", "fp64"), tiny.photo(2), layer="classifier.1", units="all")
    assert len(wide.arrays["probabilities"]) == 16
    for unit in (0, 14, 15):
        (alone,) = ablate(tiny.tiny_net("plain", "fp64"), [tiny.photo(2)], layer="classifier.1", units=[unit])
        assert np.allclose(alone.arrays["probabilities"][0], wide.arrays["probabilities"][unit], rtol=1e-6)
        assert np.allclose(alone.arrays["change"][0], wide.arrays["change"][unit], rtol=1e-6)


def test_a_unit_or_layer_that_does_not_exist_is_one_clear_sentence():
    net = tiny.tiny_net("plain")
    with pytest.raises(MethodError, match=r"features.3 has no unit 40: its 12 units are numbered from 0 to 11"):
        ablate(net, tiny.photo(1), layer="features.3", units=[40])
    with pytest.raises(NotApplicable, match="stage9"):
        ablate(net, tiny.photo(1), layer="stage9")
    net.module.features[3].weight[0] = float("nan")
    with pytest.raises(MethodError, match="NaN"):
        ablate(net, tiny.photo(1), layer="features.0")


def test_a_layer_that_hands_on_what_it_was_given_is_silenced_where_it_stands_and_not_for_others():
    """The shortcut of a residual block is the block's input, which the convolutions beside it read as well."""
    net = tiny.tiny_net("residual", "fp64")
    artifact = ablate(net, tiny.photo(1), layer="layer1.short", units=[1, 4])
    x = net.preprocess([tiny.photo(1)])
    for row, unit in enumerate((1, 4)):
        truth = with_hook(net, x, "layer1.short", [unit], {})
        assert families.relative(artifact.arrays["probabilities"][row], softmax(truth["logits"])) < 1e-6
    assert artifact.numbers["why"] == "a replayed pass and a full one disagree"


class _WritesIntoAView(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 5, 2)
        self.fc = torch.nn.Linear(4, 6)

    def forward(self, x):
        x = self.conv(x).relu()
        x[:, 1].mul_(2.0)
        return self.fc(x.mean((2, 3)))


def test_a_net_whose_pass_cannot_be_replayed_is_run_in_full_and_the_numbers_say_so(monkeypatch):
    net = tiny.net_of(tiny.seeded(_WritesIntoAView), precision="fp64")
    artifact = ablate(net, tiny.photo(1), layer="conv", units=[1, 2])
    assert not artifact.numbers["incremental"]
    assert "a view of another tensor" in artifact.numbers["why"]
    x = net.preprocess([tiny.photo(1)])
    truth = with_hook(net, x, "conv", [2], {})
    assert families.relative(artifact.arrays["probabilities"][1], softmax(truth["logits"])) < 1e-6

    net = tiny.tiny_net("branching", "fp64")
    right = ablate(net, tiny.photo(1), layer="one")
    true = tape.resume
    monkeypatch.setattr(tape, "resume", lambda *given: {n: v * 1.001 for n, v in true(*given).items()})
    found = ablate(net, tiny.photo(1), layer="one")
    assert found.numbers["why"] == "a replayed pass and a full one disagree"
    for name in ("probabilities", "change", "reached"):
        assert np.allclose(found.arrays[name], right.arrays[name], rtol=1e-6, atol=1e-9), name
