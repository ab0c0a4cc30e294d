"""changed_classes: counts by hand, McNemar's test against SciPy, and nothing at all where nothing changed."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

import reportgen
from reportgen import scoring
from reportgen.errors import MethodError
from reportgen.methods import method
from tests import tiny


def answers(net, data):
    with torch.no_grad():
        x = net.preprocess([data.load(place).picture for place in range(len(data))])
        return net.module(x).double().softmax(1).numpy()  # N K


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_changes_are_those_counted_by_hand(kind):
    net, data = tiny.tiny_net(kind, "fp64"), tiny.dataset(30)
    before = tiny.before(net)
    found = reportgen.compute("changed_classes", net, data, before=before, shown=4)
    old, new = answers(before, data), answers(net, data)
    target = [{0: 0, 1: 1, 2: 2}.get(place % 4, -1) for place in range(30)]  # the nets know three of four classes
    a, b = old.argmax(1), new.argmax(1)
    counts = {"changed": 0, "broken": 0, "mended": 0, "other": 0, "unknown": 0}
    for n, true in enumerate(target):
        if a[n] != b[n]:
            how = "unknown" if true < 0 else "broken" if a[n] == true else "mended" if b[n] == true else "other"
            counts[how] += 1
            counts["changed"] += 1
    assert {name: found.numbers[name] for name in counts} == counts
    known = [n for n, true in enumerate(target) if true >= 0]
    tops = [np.mean([which[n] == target[n] for n in known]) for which in (a, b)]
    assert found.numbers["top1"] == pytest.approx(tops)
    assert np.allclose(found.arrays["distance"], np.abs(old - new).sum(1) / 2)
    followed = [true if true >= 0 else a[n] for n, true in enumerate(target)]
    moved = [abs(new[n, k] - old[n, k]) for n, k in enumerate(followed)]
    assert found.arrays["shown"].tolist() == np.argsort(-np.array(moved), kind="stable")[:4].tolist()
    first = found.numbers["shown"][0]
    assert first["probabilities"] == pytest.approx([both[found.arrays["shown"][0], followed[found.arrays["shown"][0]]]
                                                    for both in (old, new)])  # fmt: skip
    assert sum(one["pictures"] for one in found.numbers["transitions"]) == counts["changed"]
    assert sum(one["broken"] for one in found.numbers["transitions"]) == counts["broken"]
    assert sum(one["mended"] for one in found.numbers["transitions"]) == counts["mended"]


def test_the_same_weights_change_no_answer():
    before = tiny.tiny_net("branching")
    net = replace(before, module=copy.deepcopy(before.module))
    found = reportgen.compute("changed_classes", net, tiny.dataset(), before=before)
    assert found.numbers["changed"] == 0
    assert found.numbers["p"] == 1
    assert (found.arrays["distance"] == 0).all()
    assert not found.numbers["shown"]
    shown = method("changed_classes").panels(found)
    assert [panel.name for panel in shown] == ["summary"]
    assert shown[0].featured


def test_a_set_without_a_class_that_the_nets_know_counts_answers_only():
    net, data = tiny.tiny_net("branching"), tiny.dataset(12, classes=("nothing", "nobody"))
    found = reportgen.compute("changed_classes", net, data, before=tiny.before(net), shown=2)
    assert found.numbers["unknown"] == found.numbers["changed"] > 0
    assert found.numbers["broken"] == found.numbers["mended"] == found.numbers["counted"] == 0
    table = next(panel for panel in method("changed_classes").panels(found) if panel.name == "summary")
    assert not any("right" in row[0] for row in table.rows)
    assert "right" not in table.alt


@pytest.mark.parametrize(
    ("broken", "mended"), [(0, 0), (1, 0), (0, 5), (3, 3), (2, 9), (17, 4), (40, 61), (600, 700), (0, 3000)]
)
def test_mcnemar_is_the_exact_binomial_test(broken, mended):
    p = stats.binomtest(broken, broken + mended).pvalue if broken + mended else 1.0
    assert scoring.mcnemar(broken, mended) == pytest.approx(p, rel=1e-9)
    assert scoring.mcnemar(broken, mended) == scoring.mcnemar(mended, broken)


def test_a_number_of_pictures_out_of_range():
    net = tiny.tiny_net("plain")
    with pytest.raises(MethodError, match="shown: 17 is out of range"):
        reportgen.compute("changed_classes", net, tiny.dataset(), before=tiny.before(net), shown=17)
