"""changed_maps: both maps are those of the method itself, and nothing differs where no weight does."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest

import reportgen
from reportgen.errors import MethodError, NotApplicable
from reportgen.methods import method, methods
from tests import tiny

MAPS = ("cam", "grad_cam", "integrated_gradients", "occlusion", "saliency", "smoothgrad")


@pytest.fixture(scope="module")
def nets():
    net = tiny.tiny_net("branching")
    return net, tiny.before(net)


@pytest.mark.parametrize("name", MAPS)
def test_both_maps_are_those_that_the_method_gives_by_itself(nets, name):
    net, before = nets
    found = reportgen.compute("changed_maps", net, tiny.photo(3), before=before, map=name, target=1)
    settings = {"target": 1} if "target" in method(name).params.__dataclass_fields__ else {}
    maps = [reportgen.compute(name, one, tiny.photo(3), **settings).arrays["map"] for one in (before, net)]
    if name != "smoothgrad":  # whose noise hangs on the cell
        assert np.array_equal(found.arrays["before"], maps[0])
        assert np.array_equal(found.arrays["after"], maps[1])
    assert np.array_equal(found.arrays["difference"], found.arrays["after"] - found.arrays["before"])
    a, b = (found.arrays[key].astype(float).ravel() for key in ("before", "after"))
    length = np.linalg.norm(a) * np.linalg.norm(b)
    assert found.numbers["cosine"] == (pytest.approx(a @ b / length) if length else None)
    assert found.numbers["target_name"] == "golf_ball"


@pytest.mark.parametrize("name", MAPS)
def test_the_same_weights_give_no_difference(nets, name):
    net = replace(nets[0], module=copy.deepcopy(nets[0].module))
    found = reportgen.compute("changed_maps", net, [tiny.photo(3), tiny.photo(4)], before=nets[0], map=name)
    for one in found:
        assert (one.arrays["difference"] == 0).all()
        assert one.numbers["largest"] == 0
        assert "the same" in method("changed_maps").panels(one)[0].caption


def test_the_methods_own_params_are_handed_on_and_filled_in(nets):
    net, before = nets
    asked = {"map": "occlusion", "settings": {"patch": 16, "stride": 16}}
    found = reportgen.compute("changed_maps", net, tiny.photo(3), before=before, target="church", **asked)
    alone = reportgen.compute("occlusion", net, tiny.photo(3), target="church", patch=16, stride=16)
    assert np.array_equal(found.arrays["after"], alone.arrays["map"])
    params = method("changed_maps").params
    assert dict(params("occlusion", {"patch": 16}).settings).items() >= {"patch": 16, "fill": "mean"}.items()
    assert params("grad_cam") == params("grad_cam", {"layer": "last_conv"})


def test_both_maps_explain_the_class_that_is_predicted_after(nets):
    net, before = nets
    answers = [reportgen.compute("prediction", one, tiny.photo(5)).numbers["index"] for one in (net, before)]
    found = reportgen.compute("changed_maps", net, tiny.photo(5), before=before, map="saliency")
    alone = reportgen.compute("saliency", before, tiny.photo(5), target=answers[0])
    assert found.numbers["target"] == answers[0]
    assert np.array_equal(found.arrays["before"], alone.arrays["map"])


def test_what_gives_no_map_is_refused(nets):
    net, before = nets
    for params, words in (
        ({"map": "prediction"}, "'prediction' gives no map of a picture"),
        ({"map": "salliency"}, "'salliency' is no method.*'saliency'"),
        ({"map": "saliency", "settings": {"layer": "conv1"}}, "saliency has no param 'layer'"),
        ({"map": "saliency", "settings": {"target": 3}}, "target is said beside the map"),
    ):
        with pytest.raises(MethodError, match=words):
            reportgen.compute("changed_maps", net, tiny.photo(3), before=before, **params)
    plain = tiny.tiny_net("plain")
    with pytest.raises(NotApplicable, match="does not end in global average pooling"):
        reportgen.compute("changed_maps", plain, tiny.photo(3), before=tiny.before(plain), map="cam")


def test_every_method_that_gives_a_map_of_a_picture_can_be_compared():
    given = {name for name, own in methods().items() if own.scope == "image" and "map" in own.arrays}
    assert given == set(MAPS)
