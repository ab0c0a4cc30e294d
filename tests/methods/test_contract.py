"""What every method promises, over the registry, on four tiny nets."""

import copy
from dataclasses import asdict, replace
from types import ModuleType

import numpy as np
import pytest
import torch

from reportgen import cells, compute, keys
from reportgen.errors import MethodError, NotApplicable
from reportgen.methods import _check_neighbours, _checked, _of_module, method, methods
from reportgen.records import Input
from tests import tiny

CASES = [(name, kind) for name in methods() for kind in tiny.KINDS]


def inputs_of(found, net, pictures=2):
    """What the runner would hand over: pictures with the artifacts the method uses, a set of them, or nothing."""
    if found.scope == "images":
        points = {"left_eye": (20.0, 24.0), "nose": (30.5, 40.0)}
        return [Input(tiny.photo(seed), ("church",), points=points, name=f"photo {seed}") for seed in (1, 2, 3)]
    if found.scope == "training":
        training = tiny.training_run(net, net.card.arch)
        return [Input(tiny.photo(seed), name=f"photo {seed}", training=training) for seed in (1, 2, 3)]
    if found.scope != "image":
        return [Input()]
    inputs = [Input(tiny.photo(seed), ("church",)) for seed in range(1, 1 + pictures)]
    used = {}
    for name in found.uses:
        other = method(name)
        used[name] = other.run(net, inputs_of(other, net, pictures), other.params(), rngs_of(inputs))
    return [
        Input(one.picture, one.labels, {name: artifacts[i] for name, artifacts in used.items()})
        for i, one in enumerate(inputs)
    ]


def rngs_of(inputs):
    return [np.random.default_rng(i) for i in range(len(inputs))]


def run(found, net):
    before = {"before": tiny.before(net)} if "before" in found.needs else {}
    if found.scope == "dataset":
        return [compute(found.name, net, tiny.dataset(), **before, **found.tiny)]
    net = replace(net, **before)
    inputs = inputs_of(found, net)
    artifacts = found.run(net, inputs, found.params(**found.tiny), rngs_of(inputs))
    assert len(artifacts) == (1 if found.scope in ("images", "training") else len(inputs))
    return artifacts


def fits(shape, documented, sizes):
    """Whether a shape is one of the documented ones ("C x H x W | D"); a letter means one size in all arrays."""
    for axes in documented.split(" | "):
        letters = axes.split(" x ")
        trial = dict(sizes)
        if len(letters) == len(shape) and all(
            int(letter) == size if letter.isdigit() else trial.setdefault(letter, size) == size
            for letter, size in zip(letters, shape, strict=True)
        ):
            sizes.update(trial)
            return True
    return False


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_method_gives_what_it_documents_twice_the_same_and_leaves_the_net_alone(name, kind):
    found, net = method(name), tiny.tiny_net(kind)
    if cells.unfit(found, net.card):
        with pytest.raises(NotApplicable):
            run(found, net)
        return
    before = copy.deepcopy(net.module.state_dict())
    artifacts = run(found, net)
    again = run(found, net)
    for artifact, second in zip(artifacts, again, strict=True):
        if found.scope == "dataset":
            assert artifact.numbers["pictures"] == len(tiny.dataset())
        assert set(artifact.arrays) == set(found.arrays)
        sizes = {}
        for array, documented in found.arrays.items():
            values = artifact.arrays[array]
            assert fits(values.shape, documented, sizes), (array, values.shape, documented)
            assert np.isfinite(values).all(), array
            assert values.dtype != object
            assert values.tobytes() == second.arrays[array].tobytes(), array
        assert keys.canonical(artifact.numbers) == keys.canonical(second.numbers)
    assert all(torch.equal(value, before[key]) for key, value in net.module.state_dict().items())
    for module in net.module.modules():
        assert not module.training
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._backward_hooks
    assert all(p.grad is None and not p.requires_grad for p in net.module.parameters())
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_panels_have_names_captions_alt_texts_and_values_that_fit_their_kind(name, kind):
    axes = {"image": {3}, "heatmap": {2}, "grid": {4, 5}, "bars": {1}, "curves": {2}, "scatter": {2}}
    found, net = method(name), tiny.tiny_net(kind)
    for artifact in [] if cells.unfit(found, net.card) else run(found, net):
        panels = found.panels(artifact)
        assert len({panel.name for panel in panels}) == len(panels) > 0
        assert sum(panel.featured for panel in panels) == 1
        for panel in panels:
            assert panel.title
            assert panel.caption.count(". ") >= 1, "the first sentence says what one sees, the second how to read it"
            assert panel.caption.endswith(".")
            assert 80 <= len(panel.alt) <= 170, panel.alt
            if panel.kind == "table":
                assert all(len(row) == len(panel.columns) for row in panel.rows)
                continue
            assert panel.values.ndim in axes[panel.kind]
            if panel.kind == "bars":
                assert len(panel.row_labels) == len(panel.values)
            if panel.boxes is not None:
                assert panel.boxes.shape == (len(panel.values), 4)
            assert (panel.scale == "fixed") == (panel.limits is not None)


@pytest.mark.parametrize("name", methods())
def test_a_method_says_what_it_is_and_its_params_can_be_hashed_and_stored(name):
    found = method(name)
    assert found.title
    assert found.caption
    assert found.citation
    assert found.version >= 1
    assert len(found.doc) > 200, "the docstring becomes the method's page"
    params = found.params(**found.tiny)
    assert hash(params) == hash(found.params(**found.tiny))
    keys.canonical(asdict(params))
    assert all(other in methods() for other in (*found.uses, *found.beside))


def test_an_unknown_method_is_an_error_with_the_nearest_name():
    with pytest.raises(MethodError, match="'saliency'"):
        method("salliency")


def test_the_registry_refuses_a_file_without_a_method_or_with_one_of_another_name():
    with pytest.raises(MethodError, match="has no METHOD"):
        _of_module(ModuleType("reportgen.methods.empty"))
    with pytest.raises(MethodError, match="not a reportgen"):
        _checked(object(), "mine", "methods/mine.py")
    with pytest.raises(MethodError, match="calls itself 'saliency'"):
        _checked(method("saliency"), "mine", "methods/mine.py")


def test_the_registry_refuses_methods_that_lean_on_others_in_a_way_no_plan_can_serve():
    known = dict(methods())
    one, net, many = (
        next(m for m in known.values() if m.scope == s and not m.uses) for s in ("image", "net", "images")
    )
    for wrong in (
        replace(many, uses=(many.name,)),  # a set of images has no one prediction
        replace(one, uses=(many.name,)),
        replace(one, uses=("nothing",)),
        replace(one, beside=("nothing",)),
        replace(net, beside=(one.name,)),  # of which image?
        replace(net, beside=("saliency",)),  # uses another
    ):
        with pytest.raises(MethodError, match=rf"^{wrong.name} "):
            _check_neighbours(wrong, known)
    for right in (replace(net, beside=(many.name,)), replace(one, beside=(many.name, one.name, net.name))):
        _check_neighbours(right, known)


def test_a_layer_that_a_net_lacks_does_not_apply_and_a_damaged_net_fails():
    net = tiny.tiny_net("plain")
    for name in ("activity", "deconvnet"):
        found = method(name)
        with pytest.raises(NotApplicable, match="stage5"):
            found.run(net, inputs_of(found, net), found.params(layer="stage5"), [])
    net.module.features[3].weight[0] = float("nan")
    with pytest.raises(MethodError, match="NaN"):
        run(method("prediction"), net)
    with pytest.raises(MethodError, match="NaN"):
        run(method("deconvnet"), net)
    with pytest.raises(MethodError, match="NaN"):
        run(method("activity"), net)
