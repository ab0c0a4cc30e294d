"""The strongest picture of each unit: as the maps of single pictures have it."""

import pytest
import torch

from reportgen.errors import MethodError
from reportgen.methods import method
from reportgen.records import Input
from tests import families, tiny


def strongest(net, pictures, **params):
    found = method("strongest")
    inputs = [Input(picture, name=f"photo {n}") for n, picture in enumerate(pictures)]
    (artifact,) = found.run(net, inputs, found.params(**params), [])
    return artifact


@pytest.mark.parametrize("arch", families.ARCHS)
def test_it_equals_a_loop_over_pictures_and_units_in_double_precision(arch):
    net = families.net(arch)
    pictures = [tiny.photo(seed) for seed in range(10)]  # more than one chunk
    found = strongest(net, pictures, layer="last_conv")
    seen = []
    module = dict(net.module.named_modules())[net.card.resolve("last_conv").name]
    handle = module.register_forward_hook(lambda m, i, value: seen.append(value[0].clone().numpy()))
    with torch.no_grad():
        for picture in pictures:
            net.module(net.preprocess([picture]))
    handle.remove()
    silent = 0
    for unit in range(len(seen[0])):
        best = max(float(own[unit].max()) for own in seen)
        silent += best <= 0
        assert found.arrays["activations"][unit] == pytest.approx(best, rel=1e-6, abs=1e-7)
        own = seen[found.arrays["pictures"][unit]][unit]
        assert own[tuple(found.arrays["positions"][unit])] == pytest.approx(best, rel=1e-6, abs=1e-7)
    assert found.numbers["silent"] == silent / len(seen[0])


def test_counts_leave_out_units_that_never_fire_and_panels_name_the_pictures():
    net = tiny.tiny_net("plain")
    with torch.no_grad():
        net.module.features[6].bias[:4] = -1e3
    found = strongest(net, [tiny.photo(seed) for seed in (1, 2, 3)], layer="features.7")
    assert found.numbers["silent"] >= 0.4
    assert sum(found.numbers["counts"]) == round((1 - found.numbers["silent"]) * 10)
    bars, table = method("strongest").panels(found)
    assert sorted(bars.row_labels) == ["photo 0", "photo 1", "photo 2"]
    assert list(bars.values) == sorted(bars.values, reverse=True)
    unit, name, value, place = table.rows[0]
    assert name == f"photo {found.arrays['pictures'][unit]}"
    assert value == pytest.approx(found.arrays["activations"].max(), rel=1e-3)
    assert place == "{} {}".format(*found.arrays["positions"][unit])


def test_neurons_have_one_position_and_a_damaged_net_is_an_error():
    net = tiny.tiny_net("functional")
    found = strongest(net, [tiny.photo(1), tiny.photo(2)], layer="logits")
    assert found.arrays["positions"].tolist() == [[0, 0]] * len(tiny.CLASSES)
    net = tiny.tiny_net("functional")
    net.module.conv1.weight[0] = float("nan")
    with pytest.raises(MethodError, match="NaN"):
        strongest(net, [tiny.photo(1)], layer="logits")
