"""Strongest pictures at every kept epoch against a plain loop over pictures, units and positions."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from reportgen import compute, hooks, images
from reportgen.errors import MethodError, NotApplicable
from reportgen.methods.evolution import METHOD
from reportgen.records import Input
from tests import tiny

LAYERS = {"plain": "features.7", "residual": "layer2", "functional": "conv3"}


def found(net, training, photos=(), **params):
    inputs = [Input(one, name=f"photo {n}", training=training) for n, one in enumerate(photos)]
    inputs = inputs or [Input(training=training)]
    (artifact,) = METHOD.run(net, inputs, METHOD.params(**params), [np.random.default_rng(3)])
    return artifact


@pytest.mark.parametrize("kind", LAYERS)
def test_strongest_pictures_and_settling_equal_a_plain_loop(kind):
    net, data = tiny.tiny_net(kind, "fp64"), tiny.dataset(20)
    training = tiny.training_run(net, kind, data=data)
    artifact = found(net, training, layer=LAYERS[kind], units=[1, 4, 6], limit=20)
    arrays, values = artifact.arrays, {}
    for column, epoch in enumerate(training.kept):
        own, maps = training.net(epoch), []
        for place in range(20):
            x = own.preprocess([data.load(place).picture])
            taken = []
            with torch.no_grad():
                handle = own.module.get_submodule(LAYERS[kind]).register_forward_hook(
                    lambda module, given, value, taken=taken: taken.append(value.clone())
                )
                own.module(x)
                handle.remove()
            maps.append(taken[-1][0].numpy())
        values[epoch] = np.stack([each.max(axis=(1, 2)) for each in maps])  # N U
        for row, unit in enumerate((1, 4, 6)):
            best = int(values[epoch][:, unit].argmax())
            assert arrays["images"][row, column] == best
            assert arrays["activations"][row, column] == pytest.approx(maps[best][unit].max(), rel=1e-6)
            y, x = arrays["positions"][row, column]
            assert maps[best][unit][y, x] == maps[best][unit].max()
    for column, epoch in enumerate(training.kept):
        pairs = [(a, b) for a, b in zip(values[epoch].T, values[training.kept[-1]].T, strict=True) if b.std() > 0]
        told = [np.corrcoef(a, b)[0, 1] if a.std() > 0 else 0.0 for a, b in pairs]
        assert arrays["settled"][column] == pytest.approx(np.mean(told), abs=1e-5)
    changed = np.mean([values[0][:, u].argmax() != values[2][:, u].argmax() for u in range(values[0].shape[1])])
    assert artifact.numbers["changes"] == [pytest.approx(changed)]


def test_patches_and_projections_are_those_of_that_epochs_net_and_picture():
    net, data = tiny.tiny_net("plain", "fp64"), tiny.dataset(12)
    training = tiny.training_run(net, "plain", data=data)
    artifact = found(net, training, layer="features.4", units=[2, 5], limit=12)
    assert artifact.arrays["activations"].min() > 0
    for column, epoch in enumerate(training.kept):
        for row, unit in enumerate((2, 5)):
            own = training.net(epoch)
            picture = data.load(int(artifact.arrays["images"][row, column])).picture
            alone = compute("deconvnet", own, picture, layer="features.4", units=[unit])
            assert artifact.arrays["boxes"][row, column].tolist() == alone.arrays["boxes"][0].tolist()
            shown = artifact.arrays["projections"][row, column]
            assert np.abs(shown - alone.arrays["switches"][0]).max() <= 1e-6 * np.abs(shown).max()
            y0, x0, y1, x1 = np.clip(alone.arrays["boxes"][0], 0, tiny.SIZE)
            seen = np.rint(images.view(picture, own.card.preprocess)[y0:y1, x0:x1].transpose(2, 0, 1) * 255)
            top, left = y0 - alone.arrays["boxes"][0][0], x0 - alone.arrays["boxes"][0][1]
            patch = artifact.arrays["patches"][row, column][:, top : top + y1 - y0, left : left + x1 - x0]
            assert np.abs(patch - seen).max() <= 1


def test_fixed_pictures_have_their_answer_at_every_epoch():
    net = tiny.tiny_net("residual")
    training = tiny.training_run(net, "residual")
    pictures = [tiny.photo(1), tiny.photo(2)]
    artifact = found(net, training, pictures, layer="last_conv", units=2)
    for column, epoch in enumerate(training.kept):
        own = training.net(epoch)
        expected = own.module(own.preprocess(pictures)).softmax(1).numpy()
        assert artifact.arrays["probabilities"][:, column] == pytest.approx(expected, abs=1e-5)
    table = METHOD.panels(artifact)[-1]
    assert [row[0] for row in table.rows] == ["photo 0", "photo 1"]
    last = artifact.arrays["probabilities"][0, -1]
    assert table.rows[0][-1] == f"{tiny.CLASSES[int(last.argmax())].split(',')[0].replace('_', ' ')} {last.max():.0%}"


@pytest.mark.parametrize("kind", LAYERS)
def test_fixed_pictures_have_the_map_of_the_unit_that_answers_best_in_the_end(kind):
    net, data = tiny.tiny_net(kind, "fp64"), tiny.dataset(12)
    training, photos = tiny.training_run(net, kind, data=data), [tiny.photo(5), tiny.photo(9)]
    artifact = found(net, training, photos, layer=LAYERS[kind], units=[1, 4, 6], limit=12)
    arrays = artifact.arrays
    for place, photo in enumerate(photos):
        maps = {
            epoch: hooks.run_to(own, own.preprocess([photo]), [LAYERS[kind]])[LAYERS[kind]][0].numpy()
            for epoch, own in ((epoch, training.net(epoch)) for epoch in training.kept)
        }
        tops = dict(zip((1, 4, 6), arrays["activations"][:, -1], strict=True))
        best = max(tops, key=lambda unit, last=maps[2]: last[unit].max() / tops[unit] if tops[unit] > 0 else 0)
        assert arrays["map_units"][place] == best
        for column, epoch in enumerate(training.kept):
            assert arrays["maps"][place, column] == pytest.approx(maps[epoch][best], rel=1e-5, abs=1e-6)
        seen = np.rint(images.view(photo, net.card.preprocess).transpose(2, 0, 1) * 255)
        assert np.abs(arrays["fixed"][place] - seen).max() <= 1
    sheet = next(panel for panel in METHOD.panels(artifact) if panel.name == "maps")
    assert sheet.values.shape[:2] == (2, 3)
    assert sheet.row_labels == tuple(f"photo {n}, unit {u}" for n, u in enumerate(arrays["map_units"]))
    strong = arrays["maps"][0, 1]
    y, x = np.unravel_index(strong.argmax(), strong.shape)
    (top, left), steps = artifact.numbers["map_places"]
    there = sheet.values[0, 2][:, round(top + y * steps[0]), round(left + x * steps[1])]
    assert there[0] > there[2], "where the unit answers most it is yellow"


def test_without_images_one_picture_of_each_class_is_fixed():
    net, data = tiny.tiny_net("plain"), tiny.dataset(20, broken=(0, 4, 8))
    artifact = found(net, tiny.training_run(net, "plain", data=data), layer="last_conv", units=2)
    names = artifact.numbers["names"]
    assert sorted(names[:4]) == sorted(data.classes), "each class once before any comes again"
    assert len(names) == 6
    assert all(" (" in name for name in names[4:])
    assert artifact.arrays["probabilities"].shape[0] == 6


def test_epochs_without_the_layers_that_answer_have_maps_and_no_answer():
    net = tiny.tiny_net("plain")
    training = tiny.training_run(net, "plain")
    early = training.net(0)
    part = {"layers": early.card.layers[:8], "aliases": {"last_conv": "features.7"}}
    begun = replace(early, card=replace(early.card, **part))
    training = replace(training, net={0: begun, 2: net}.__getitem__)
    artifact = found(net, training, [tiny.photo(1)], layer="features.7", units=2)
    assert artifact.arrays["maps"].shape[1] == 2
    assert artifact.arrays["answer_epochs"].tolist() == [2]
    table = METHOD.panels(artifact)[-1]
    assert table.columns == ("picture", "epoch 2")
    assert "what the net said then is not known" in table.caption
    with pytest.raises(NotApplicable, match=r"What classifier.1 was after epoch 0 is not known.*up to features.7"):
        found(net, training, [tiny.photo(1)], layer="classifier.1", units=2)


def test_where_no_other_pictures_are_there_the_sections_own_are_looked_over():
    net = tiny.tiny_net("plain")
    training = tiny.training_run(net, "plain", data=tiny.dataset(0))
    artifact = found(net, training, [tiny.photo(n) for n in range(4)], layer="last_conv", units=2)
    assert artifact.numbers["pictures"] == 4
    assert set(artifact.arrays["images"].ravel().tolist()) <= set(range(4))
    assert "settling" not in [panel.name for panel in METHOD.panels(artifact)], "four pictures make no correlation"
    with pytest.raises(NotApplicable, match="no others were given"):
        found(net, training, layer="last_conv", units=2)


def test_pictures_that_cannot_be_read_are_left_out_and_counted():
    net = tiny.tiny_net("plain")
    training = tiny.training_run(net, "plain", data=tiny.dataset(10, broken=(2, 3)))
    artifact = found(net, training, layer="last_conv", units=2)
    assert (artifact.numbers["pictures"], artifact.numbers["skipped"]) == (8, 2)
    assert not set(artifact.arrays["images"].ravel().tolist()) & {2, 3}
    training = replace(training, data=tiny.dataset(3, broken=(0, 1, 2)))
    with pytest.raises(MethodError, match="None of the 3 pictures"):
        found(net, training, layer="last_conv", units=2)


def test_what_does_not_fit_is_said():
    net = tiny.tiny_net("plain")
    training = tiny.training_run(net, "plain")
    with pytest.raises(NotApplicable, match="No weights were kept"):
        found(net, replace(training, kept=(2,)), layer="last_conv", units=2)
    with pytest.raises(MethodError, match="no unit 99"):
        found(net, training, layer="last_conv", units=[99])
    with pytest.raises(MethodError, match="right would be 1 or more"):
        METHOD.params(limit=0)
