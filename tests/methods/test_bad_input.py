"""What people get wrong, over all methods: extreme pictures work, impossible wishes get a sentence that helps."""

from dataclasses import fields

import numpy as np
import pytest

import reportgen
from reportgen.cells import unfit
from reportgen.errors import MethodError, ModelError, NotApplicable, ReportError
from reportgen.methods import methods
from tests import tiny

PICTURES = [name for name, found in methods().items() if found.scope == "image"]
ON_MAPS = {"grad_cam"}  # these need a layer whose values lie on the picture
KIND = "branching"  # ends in global pooling, so that every method applies


def params_of(name):
    return {field.name for field in fields(methods()[name].params)}


def before(name, net):
    """What the net was, for methods that compare the two."""
    return {"before": tiny.before(net)} if "before" in methods()[name].needs else {}


@pytest.fixture(scope="module")
def net():
    found = tiny.tiny_net(KIND)
    assert not any(unfit(methods()[name], found.card) for name in PICTURES)
    return found


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("shape", [(1, 1, 3), (3000, 4000, 3), (2, 600, 3)], ids=str)
def test_pictures_of_any_size_and_shape_work(net, name, shape):
    picture = np.random.default_rng(0).random(shape, dtype=np.float32)
    artifact = reportgen.compute(name, net, picture, **methods()[name].tiny, **before(name, net))
    assert all(np.isfinite(array).all() for array in artifact.arrays.values())
    assert methods()[name].panels(artifact)


@pytest.mark.parametrize("name", [name for name in PICTURES if "target" in params_of(name)])
@pytest.mark.parametrize(("target", "words"), [("zebra finch", "no class 'zebra finch'"), (4711, "no class 4711")])
def test_a_class_that_the_net_does_not_have(net, name, target, words):
    params = {**methods()[name].tiny, "target": target}
    with pytest.raises(MethodError, match=words):
        reportgen.compute(name, net, tiny.photo(1), **params, **before(name, net))


@pytest.mark.parametrize(
    "name", [n for n, found in methods().items() if "units" in params_of(n) and found.scope != "training"]
)
def test_units_out_of_range(net, name):
    params = {**methods()[name].tiny, "units": [3, 99]}
    shown = tiny.dataset(6) if methods()[name].scope == "dataset" else tiny.photo(1)
    with pytest.raises(MethodError, match=r"no unit 99.*numbered from 0 to 11"):
        reportgen.compute(name, net, shown, **params | {"layer": "last"})


@pytest.mark.parametrize("name", [name for name in PICTURES if "layer" in params_of(name)])
def test_a_layer_that_there_is_not(net, name):
    with pytest.raises(ModelError, match="has no layer 'conv77'"):
        reportgen.compute(name, net, tiny.photo(1), **{**methods()[name].tiny, "layer": "conv77"})


@pytest.mark.parametrize("name", [name for name in PICTURES if "layer" in params_of(name)])
def test_a_layer_without_places_works_or_says_what_would_be_right(net, name):
    params = {**methods()[name].tiny, "layer": "fc"}
    if name in ON_MAPS:
        with pytest.raises(NotApplicable, match=r"fc .*no *places.*Right would be"):
            reportgen.compute(name, net, tiny.photo(1), **params)
    else:
        assert methods()[name].panels(reportgen.compute(name, net, tiny.photo(1), **params))


def test_a_patch_larger_than_the_picture(net):
    faces, points = [tiny.photo(1), tiny.photo(2)], [{"nose": (30.0, 30.0)}] * 2
    with pytest.raises(MethodError, match=r"patch\b.* 65 .*64"):
        reportgen.compute("occlusion", net, faces[0], patch=65)
    with pytest.raises(MethodError, match=r"patch\b.* 65 .*64"):
        reportgen.compute("correspondence", net, faces, points=points, patch=65)


@pytest.mark.parametrize("picture", [np.zeros((4, 4)), np.full((4, 4, 3), np.nan), np.full((4, 4, 3), 255.0)], ids=str)
@pytest.mark.parametrize("name", PICTURES)
def test_what_is_no_picture(net, name, picture):
    with pytest.raises(ReportError):
        reportgen.compute(name, net, picture, **methods()[name].tiny, **before(name, net))
