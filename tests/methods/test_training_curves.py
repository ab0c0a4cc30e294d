"""The curves are the log's own numbers, and the spread is that of the repeats."""

from dataclasses import replace

import numpy as np
import pytest

from reportgen import compute, figures
from reportgen.errors import NotApplicable
from reportgen.examples import Epoch
from reportgen.methods.training_curves import METHOD
from reportgen.records import Input
from tests import tiny


def found(training, net=None):
    (artifact,) = METHOD.run(net or tiny.tiny_net("plain"), [Input(training=training)], METHOD.params(), [None])
    return artifact


def test_curves_are_the_numbers_of_the_log():
    net = tiny.tiny_net("plain")
    training = tiny.training_run(net, "plain", repeats=3)
    arrays = found(training, net).arrays
    for number, log in enumerate(training.logs):
        assert arrays["val_loss"][number].tolist() == [row.val_loss for row in log]
        assert arrays["val_top1"][number].tolist() == [row.val_top1 for row in log]
        assert arrays["train_loss"][number].tolist() == [row.train_loss for row in log[1:]]
        assert arrays["train_top1"][number].tolist() == [row.train_top1 for row in log[1:]]
    assert arrays["val_epochs"].tolist() == [0, 1, 2]
    assert arrays["train_epochs"].tolist() == [1, 2]


def test_epochs_without_validation_are_bridged_and_the_band_is_the_spread_of_the_repeats():
    def log(level):
        rows = [Epoch(0, 0.0, None, None, 2.0, 0.1, None), Epoch(1, 0.1, 1.5, 0.3, None, None, None)]
        return (*rows, Epoch(2, 0.1, 1.0, 0.5, 1.0, level, None))

    training = tiny.training_run(tiny.tiny_net("plain"), "plain")
    artifact = found(replace(training, logs=(log(0.4), log(0.8)), numbers={**training.numbers, "repeats": 2}))
    accuracy = METHOD.panels(artifact)[0]
    assert accuracy.values[1] == pytest.approx([0.1, 0.35, 0.6])
    assert accuracy.band[1].tolist() == [pytest.approx([0.1, 0.25, 0.4]), pytest.approx([0.1, 0.45, 0.8])]
    assert np.isnan(accuracy.values[0][0]), "nothing was learned before the first epoch"
    assert artifact.numbers["val_top1_spread"] == [0.4, 0.8]
    assert artifact.numbers["val_top1"] == pytest.approx(0.6)
    scale = figures.scales([accuracy])[0]
    with_band = figures.draw(accuracy, photo=None, scale=scale, width=300)
    without = figures.draw(replace(accuracy, band=None), photo=None, scale=scale, width=300)
    assert (with_band != without).any()


def test_one_run_has_no_band_and_a_net_that_was_not_trained_here_does_not_apply():
    net = tiny.tiny_net("plain")
    panels = METHOD.panels(found(tiny.training_run(net, "plain", repeats=1), net))
    assert all(panel.band is None for panel in panels)
    with pytest.raises(NotApplicable, match="run of training"):
        compute("training_curves", net)
    with pytest.raises(NotApplicable, match="nothing is known"):
        METHOD.run(net, [Input()], METHOD.params(), [None])


def test_words_of_a_plot_that_nets_share_are_about_all_of_them():
    net = tiny.tiny_net("plain")
    once, thrice = (found(tiny.training_run(net, "plain", repeats=repeats), net) for repeats in (1, 3))
    other = replace(once, numbers={**once.numbers, "validation": ["1" * 64], "label_smoothing": 0.0, "val_top1": 0.123})
    panels = METHOD.panels(replace(other, row={"A": other, "B": thrice, "C": once}))
    for panel in panels[:2]:
        assert "Lines with a shade are means of runs" in panel.caption
        assert "measured on different pictures" in panel.caption
    assert "A 12%, B 60%, C 60%" in panels[0].alt
    assert "with label smoothing" in panels[1].caption
    alone = METHOD.panels(replace(thrice, row={"B": thrice}))[0].caption
    assert "Lines are means of 3 runs" in alone
    assert "different pictures" not in alone
    many = METHOD.panels(replace(once, row=dict.fromkeys("ABCDE", once)))[0].alt
    assert many.endswith("A 60%, B 60% and others.")
    assert METHOD.row
