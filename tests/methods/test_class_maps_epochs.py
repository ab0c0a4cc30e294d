"""Class maps at every kept epoch are those of that epoch's net, taken module by module."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from reportgen import compute
from reportgen.errors import MethodError, NotApplicable
from reportgen.examples import TrainingRun
from reportgen.methods.class_maps_epochs import METHOD
from reportgen.records import Input
from tests import tiny
from tests.methods.test_class_maps import answered, net_of_maps


def run_of(nets, data=None):
    """A made-up training that kept these nets after epochs 0, 3, 6 ..."""
    kept = tuple(3 * n for n in range(len(nets)))
    told = {"arch": "encdec", "epochs": kept[-1]}
    return TrainingRun(tiny.CLASSES, (), kept, lambda epoch: nets[epoch // 3], data or tiny.dataset(12), told)


def found(training, net, inputs=None, **params):
    inputs = [replace(one, training=training) for one in inputs or [Input()]]
    (artifact,) = METHOD.run(net, inputs, METHOD.params(**params), [np.random.default_rng(0)])
    return artifact


def test_maps_answers_and_agreement_are_those_of_each_epochs_net():
    nets = [net_of_maps(seed=seed) for seed in range(3)]
    for net in nets:
        net.module.up2.bias.data.fill_(3.0)  # no map is even
    photos = [tiny.photo(seed) for seed in (1, 2, 3)]
    labels = [("golf ball",), ("nothing it knows",), ("church",)]
    inputs = [Input(one, own, name=f"photo {n}") for n, (one, own) in enumerate(zip(photos, labels, strict=True))]
    artifact = found(run_of(nets), nets[-1], inputs)
    arrays, numbers = artifact.arrays, artifact.numbers
    last = int(answered(nets[-1], photos[1])[1].argmax())
    assert numbers["true"] == [1, last, 2]
    assert arrays["epochs"].tolist() == [0, 3, 6]
    for p, photo in enumerate(photos):
        own = [answered(net, photo) for net in nets]
        true = numbers["true"][p]
        for e, (maps, given) in enumerate(own):
            assert np.allclose(arrays["maps"][p, e, 0], maps[true], atol=1e-6)
            assert np.allclose(arrays["maps"][p, e, 1], maps[given.argmax()], atol=1e-6)
            assert np.allclose(arrays["probabilities"][p, e], given, atol=1e-6)
            wanted = np.corrcoef(maps[true].ravel(), own[-1][0][true].ravel())[0, 1]
            assert arrays["settled"][p, e] == pytest.approx(wanted, abs=1e-6)
            values = sorted(maps[true].ravel(), reverse=True)
            assert arrays["sharpness"][p, e] == pytest.approx(sum(values[:16]) / sum(values), rel=1e-6)
    panels = METHOD.panels(artifact)
    assert [panel.name for panel in panels] == ["maps", "answers", "settling"]
    assert panels[0].values.shape == (6, 4, 3, 64, 64)
    assert np.isnan(panels[0].values[1, 0]).all()
    for panel in panels:
        assert 80 <= len(panel.alt) <= 170, panel.alt
        assert panel.caption.count(". ") >= 1
    assert all(len(row) == len(panels[1].columns) for row in panels[1].rows)


def test_without_images_it_takes_one_readable_picture_of_each_of_some_classes():
    net = net_of_maps("fp32")
    training = run_of([net_of_maps("fp32", 1), net], tiny.dataset(12, broken=(0, 3)))
    artifact = found(training, net, limit=2)
    assert artifact.numbers["names"] == ["tabby", "something else"]
    assert artifact.numbers["true"][0] == 0
    photo = training.data.load(4).picture  # the first of tabby that can be read
    assert np.allclose(artifact.arrays["maps"][0, 1, 0], answered(net, photo)[0][0], atol=1e-5)
    broken = run_of([net, net], tiny.dataset(4, broken=range(4)))
    with pytest.raises(MethodError, match="None of the pictures of discs can be read"):
        found(broken, net)


def test_a_map_of_nothing_agrees_with_nothing():
    net, silent = net_of_maps("fp32"), net_of_maps("fp32", 1)
    with torch.no_grad():
        silent.module.up2.bias.fill_(-100.0)
    artifact = found(run_of([silent, net]), net)
    assert (artifact.arrays["settled"][:, 0] == 0).all()
    assert METHOD.panels(artifact)


def test_where_it_does_not_apply_is_said():
    net = net_of_maps("fp32")
    with pytest.raises(NotApplicable, match="No weights were kept"):
        found(run_of([net]), net)
    with pytest.raises(NotApplicable):
        compute("class_maps_epochs", net)
    with pytest.raises(NotApplicable, match="no layer of one map per class"):
        found(run_of([net, net]), tiny.tiny_net("plain"))
    with pytest.raises(MethodError, match="limit: 9 is out of range"):
        METHOD.params(limit=9)
