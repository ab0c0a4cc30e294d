"""`reportgen.compute`: pictures, sets of pictures, points, and the store."""

from __future__ import annotations

import numpy as np
import pytest

import reportgen
from reportgen.errors import MethodError, NotApplicable
from reportgen.store import Store
from tests import tiny

POINTS = [{"nose": (20, 30)}, {"nose": (33, 30)}]


@pytest.fixture(scope="module")
def net():
    return tiny.tiny_net("plain")


def pictures(*seeds):
    return [tiny.photo(seed) for seed in seeds]


def test_a_set_of_pictures_gives_one_artifact_and_one_picture_is_a_set_too(net):
    found = reportgen.compute("strongest", net, pictures(1, 2, 3), layer="last_conv")
    assert found.numbers["names"] == ["picture 1", "picture 2", "picture 3"]
    alone = reportgen.compute("strongest", net, tiny.photo(2), layer="last_conv")
    assert set(alone.arrays["pictures"]) == {0}
    assert (found.arrays["activations"] > alone.arrays["activations"] - 1e-6).all()


def test_points_come_as_one_mapping_for_each_picture(net):
    found = reportgen.compute("correspondence", net, pictures(1, 2), points=POINTS, random=2)
    assert [row["part"] for row in found.numbers["rows"]] == ["nose", "random places"]
    with pytest.raises(NotApplicable, match="None of the pictures has points"):
        reportgen.compute("correspondence", net, pictures(1, 2))
    with pytest.raises(NotApplicable, match="No two"):
        reportgen.compute("correspondence", net, tiny.photo(1), points=POINTS[0])
    with pytest.raises(MethodError, match="1 mappings for 2 pictures"):
        reportgen.compute("correspondence", net, pictures(1, 2), points=POINTS[:1])
    with pytest.raises(
        MethodError, match=r"nose \(64, 3\) lies outside its picture of 64 x 64 pixels; .* from 0 to 63"
    ):
        reportgen.compute("correspondence", net, tiny.photo(1), points={"nose": (64, 3)})


def test_a_set_comes_from_the_store_and_depends_on_order_and_on_points_where_these_count(net, tmp_path):
    store = Store(tmp_path)

    def count(method, seeds, points=(), **params):
        reportgen.compute(method, net, pictures(*seeds), points=points, store=store, **params)
        return sum(1 for _ in store.records())

    assert count("strongest", (1, 2)) == 1
    assert count("strongest", (1, 2), POINTS) == 1
    assert count("strongest", (2, 1)) == 2
    assert count("correspondence", (1, 2), POINTS, random=2) == 3
    assert count("correspondence", (1, 2), POINTS, random=2) == 3
    assert count("correspondence", (1, 2), POINTS[::-1], random=2) == 4
    first, again = (
        reportgen.compute("correspondence", net, pictures(1, 2), points=POINTS, random=2, store=which)
        for which in (None, store)
    )
    assert all(np.array_equal(first.arrays[name], again.arrays[name]) for name in first.arrays)
    assert first.numbers == again.numbers


def test_a_list_of_pictures_gives_a_list_of_artifacts_from_methods_of_one_picture(net):
    found = reportgen.compute("prediction", net, pictures(1, 2))
    assert len(found) == 2
    alone = reportgen.compute("prediction", net, tiny.photo(2))
    assert np.allclose(found[1].arrays["logits"], alone.arrays["logits"], atol=1e-5)
