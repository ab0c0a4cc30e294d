"""Which class is explained, and which units are shown."""

import numpy as np
import pytest

from reportgen import units
from reportgen.errors import MethodError, NotApplicable
from reportgen.records import Artifact
from reportgen.targets import label_index, resolve_target

CLASSES = ("tench", "tabby, tabby cat", "golf_ball", "Egyptian cat", "cat-o'-nine-tails", "tabby")
PREDICTION = Artifact({}, {"index": 3})


@pytest.mark.parametrize(
    ("target", "labels", "index"),
    [
        ("predicted", (), 3),
        ("label", ("cat", "egyptian_cat", "tabby"), 3),
        ("label", ("Tabby Cat",), 1),
        ("label", ("tabby",), 5),  # a whole name goes before a part of one
        ("golf-ball", (), 2),
        ("GOLF  BALL", (), 2),
        ("tabby, tabby cat", (), 1),
        (4, (), 4),
        ("4", (), 4),
    ],
)
def test_a_target_is_the_predicted_class_the_first_known_label_a_name_or_an_index(target, labels, index):
    assert resolve_target(target, PREDICTION, CLASSES, labels) == index


@pytest.mark.parametrize("labels", [(), ("flower", "rose")])
def test_a_label_that_the_net_does_not_know_does_not_apply(labels):
    with pytest.raises(NotApplicable, match=labels[0] if labels else "no label"):
        resolve_target("label", PREDICTION, CLASSES, labels)


@pytest.mark.parametrize(
    ("target", "said"), [("golfball", "'golf_ball'"), (6, "0 to 5"), (-1, "0 to 5"), ("17", "0 to 5")]
)
def test_a_class_that_is_not_there_is_an_error_that_names_the_nearest(target, said):
    with pytest.raises(MethodError, match=said):
        resolve_target(target, PREDICTION, CLASSES, ())


def test_label_index_is_none_for_a_picture_outside_the_classes():
    assert label_index(CLASSES, ("coffee", "espresso")) is None
    assert label_index(CLASSES, ("coffee", "tench")) == 0


STRENGTH = np.array([1.0, 5.0, 3.0, 5.0, -1.0])


def test_a_number_of_units_means_the_strongest_equal_ones_in_their_order():
    assert units.choose(3, STRENGTH, "conv") == [1, 3, 2]
    assert units.choose(9, STRENGTH, "conv") == [1, 3, 2, 0, 4]
    assert units.choose([4, 0, 4], STRENGTH, "conv") == [4, 0]
    assert units.choose("all", STRENGTH, "conv") == [0, 1, 2, 3, 4]


def test_a_random_choice_depends_on_the_width_the_count_and_the_seed_only():
    first = units.choose({"random": 3}, STRENGTH, "conv")
    assert first == units.choose({"random": 3}, -STRENGTH, "another layer")
    assert first == units.choose("random:3:0", STRENGTH, "conv")
    assert len(set(first)) == 3
    wide = np.zeros(500)
    assert units.choose({"random": 9, "seed": 1}, wide, "conv") != units.choose({"random": 9}, wide, "conv")


@pytest.mark.parametrize("wrong", [0, -1, True, [], [1.5], [-1], "many", {"random": "x"}, {"weakest": 3}, None])
def test_a_choice_of_units_that_is_none_is_an_error(wrong):
    with pytest.raises(MethodError, match=r"units: .* \{random: 9\}"):
        units.canonical(wrong)


def test_a_unit_outside_the_layer_is_an_error_that_says_how_many_there_are():
    with pytest.raises(MethodError, match="conv has no unit 5: its 5 units are numbered from 0 to 4"):
        units.choose([0, 5], STRENGTH, "conv")
