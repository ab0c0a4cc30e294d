"""Prediction is the net's own softmax, its top five and the label's rank."""

import numpy as np
import pytest
import torch

from reportgen.methods import method
from reportgen.records import Input
from tests import families, tiny


def predict(net, inputs):
    found = method("prediction")
    return found.run(net, inputs, found.params(), [])


def test_logits_and_probabilities_are_those_of_the_module_called_by_hand():
    net = families.net("squeezenet1_0")
    pictures = [tiny.photo(seed) for seed in (1, 2, 3)]
    artifacts = predict(net, [Input(picture) for picture in pictures])
    for picture, artifact in zip(pictures, artifacts, strict=True):
        logits = net.module(net.preprocess([picture]))[0]
        wanted = (logits.exp() / logits.exp().sum()).numpy()
        assert np.allclose(artifact.arrays["logits"], logits.numpy(), rtol=1e-5)
        assert np.allclose(artifact.arrays["probabilities"], wanted, rtol=1e-4, atol=1e-9)
        assert [entry["index"] for entry in artifact.numbers["top5"]] == logits.topk(5).indices.tolist()
        assert artifact.numbers["index"] == int(logits.argmax())


def test_the_label_has_a_probability_and_a_rank_where_the_net_knows_it():
    net = tiny.tiny_net("plain")
    known, unknown = predict(net, [Input(tiny.photo(1), ("nave", "Church")), Input(tiny.photo(1), ("coffee",))])
    order = np.argsort(-known.arrays["logits"])
    assert known.numbers["label"] == "church"
    assert known.numbers["label_rank"] == 1 + list(order).index(2)
    assert known.numbers["label_probability"] == pytest.approx(float(known.arrays["probabilities"][2]))
    assert known.numbers["correct"] == (order[0] == 2)
    assert unknown.numbers["label"] is None
    assert unknown.numbers["correct"] is None


def test_probabilities_of_a_half_precision_net_still_sum_to_one():
    net = tiny.tiny_net("plain", "bf16")
    (artifact,) = predict(net, [Input(tiny.photo(1))])
    assert artifact.arrays["probabilities"].sum() == pytest.approx(1, abs=1e-5)
    assert torch.is_grad_enabled()
