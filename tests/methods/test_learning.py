"""The epoch from which a class is recognised, on logs drawn up by hand; ranks against SciPy."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from reportgen.examples import Epoch
from reportgen.methods.learning import METHOD, rank_correlation, recognised
from reportgen.records import Input
from tests import tiny

EPOCHS = np.array([0, 1, 2, 4, 6])


@pytest.mark.parametrize(
    ("shares", "epoch"),
    [
        ([0.0, 0.1, 0.5, 0.7, 0.8], 2),
        ([0.0, 0.4, 0.5, 0.7, 0.8], 2),  # half is not over half
        ([0.9, 0.9, 0.1, 0.7, 0.8], 4),  # lost on the way
        ([0.5, 0.5, 0.5, 0.5, 0.5], 0),
        ([0.9, 0.9, 0.9, 0.9, 0.0], -1),
        ([0.0, 0.0, 0.0, 0.0, 0.1], 6),
    ],
)
def test_a_class_is_recognised_from_where_it_stays_over_half_of_the_end(shares, epoch):
    assert recognised(EPOCHS, np.array(shares), 0.05) == epoch


def test_what_ends_as_chance_has_it_was_never_recognised():
    shares = np.array([0.0, 0.4, 0.2, 0.1, 0.1])
    assert recognised(EPOCHS, shares, 0.1) == -1
    assert recognised(EPOCHS, shares, 0.09) == 1


def test_ranks_are_spearmans_with_ties():
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b = rng.integers(0, 5, 12), rng.random(12)
        assert rank_correlation(a, b) == pytest.approx(spearmanr(a, b).statistic)
    assert rank_correlation([1, 1, 1], [1, 2, 3]) is None
    assert rank_correlation([1, 2], [1, 2]) is None


def test_repeats_are_averaged_and_a_class_that_is_never_right_is_said():
    def log(*shares):
        return tuple(Epoch(n, 0.1, 1.0, 0.5, 1.0, 0.5, own) for n, own in enumerate(shares))

    net = tiny.tiny_net("plain")
    training = replace(
        tiny.training_run(net, "plain"),
        classes=("a, b", "c_d", "e"),
        logs=(log((0, 0, 0), (0.8, 0, 0), (1, 1, 0)), log((0, 0, 0), (0, 0, 0), (0.5, 0.8, 0))),
    )
    (artifact,) = METHOD.run(net, [Input(training=training)], METHOD.params(), [None])
    assert artifact.numbers["classes"] == ["a", "c d", "e"]
    assert artifact.numbers["epoch"] == [1.5, 2.0, None]
    assert artifact.numbers["final"] == [0.75, 0.9, 0.0]
    assert artifact.numbers["never"] == 1
    assert artifact.arrays["recognised"].tolist() == [[1, 2, -1], [2, 2, -1]]
    bars, courses, table = METHOD.panels(artifact)
    assert bars.row_labels == ("a", "c d")
    assert bars.values.tolist() == [1.5, 2.0]
    assert "1 of 3 classes is never recognised" in bars.caption
    assert courses.values[0, :, 0, 0] == pytest.approx([0.0, 0.4, 0.75])
    assert courses.row_labels == ("a", "c d", "e")
    assert table.rows[0] == ("a", "1.5", "75%", "1 to 2", "50% to 100%")
    assert table.rows[2] == ("e", "never", "0%", "–", "0% to 0%")


@pytest.mark.parametrize(
    ("rho", "words"), [(-0.7, "known worse"), (0.5, "known better"), (-0.05, "says little"), (None, "")]
)
def test_a_caption_claims_no_more_than_the_correlation_does(rho, words):
    net = tiny.tiny_net("plain")
    (artifact,) = METHOD.run(net, [Input(training=tiny.training_run(net, "plain"))], METHOD.params(), [None])
    caption = METHOD.panels(replace(artifact, numbers={**artifact.numbers, "rank_correlation": rho}))[0].caption
    assert words in caption
    assert ("rank correlation" in caption) == (rho is not None)
