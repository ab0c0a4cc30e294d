"""The architecture's table is the card's, and pages name the sources of error rates."""

from dataclasses import replace

from reportgen.methods import method
from reportgen.records import Facts, Input, Net
from tests import families, tiny


def architecture(net):
    found = method("architecture")
    return found.run(net, [Input()], found.params(), [])[0]


def test_the_table_has_alexnets_receptive_fields_shapes_and_parameters():
    alexnet = families.whole("alexnet").eval().requires_grad_(False)
    artifact = architecture(tiny.net_of(alexnet, families.SIZE, precision="fp32"))
    rows = dict(zip(artifact.numbers["names"], artifact.arrays["layers"].tolist(), strict=True))
    convs = [rows[f"features.{i}"] for i in (0, 3, 6, 8, 10)]
    assert [row[4] for row in convs] == [11, 51, 99, 131, 163]
    assert [row[3] for row in convs] == [4, 8, 16, 16, 16]
    assert [row[0] for row in convs] == [64, 192, 384, 256, 256]
    assert convs[0][5] == 64 * 3 * 11 * 11 + 64
    assert rows["classifier.1"][5] == 9216 * 4096 + 4096
    assert artifact.numbers["parameters"] == 61_100_840


def test_the_page_names_published_and_human_error_with_source_and_our_own_measurement():
    net = tiny.tiny_net("plain")
    facts = Facts("alexnet", "AlexNet", 2012, "krizhevsky2012", 15.3, "Krizhevsky et al. 2012")
    card = replace(net.card, facts=facts, numbers={"top1": 0.7251})
    artifact = architecture(Net(net.module, card, "cpu", "fp32"))
    table, curve = method("architecture").panels(artifact)
    text = {row[0]: str(row[1]) for row in table.rows}
    assert text["Year"] == "2012"
    assert text["Top-5 error, published"] == "15.3 % (Krizhevsky et al. 2012)"
    assert text["Top-5 error of a human"].startswith("5.1 % (Russakovsky")
    assert text["Top-1 accuracy, measured by us"] == "72.5 %"
    assert text["Paper"] == "[@krizhevsky2012]"
    assert list(curve.values[0]) == sorted(curve.values[0])


def test_a_net_without_published_figures_says_so():
    table, _ = method("architecture").panels(architecture(tiny.tiny_net("branching")))
    text = {row[0]: str(row[1]) for row in table.rows}
    assert text["Top-5 error, published"] == "none"
    assert text["Top-1 accuracy, measured by us"] == "not measured"
