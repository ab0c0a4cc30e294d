"""Context: planted nets get the share they must, and what is blanked is what a loop over pixels blanks."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import reportgen
from reportgen import blanking, passes
from reportgen.errors import MethodError, NotApplicable
from reportgen.examples import Dataset, Example
from reportgen.methods import method
from tests import tiny

MEAN = (0.485, 0.456, 0.406)


def coded(place):
    """The background's class stands in its red, the object's in its green: above or below the mean colour."""
    rng = np.random.default_rng(place)
    sign = 1 if place % 2 == 0 else -1
    mask = np.zeros((64, 64), dtype=bool)
    top, left, height, width = (*rng.integers(4, 24, 2), *rng.integers(12, 30, 2))
    mask[top : top + height, left : left + width] = True
    picture = np.tile(np.float32(MEAN), (64, 64, 1))
    picture[~mask, 0] += sign * 0.3
    picture[mask, 1] += sign * 0.3
    return Example(picture, mask)


def coded_set(count=12):
    names, labels = tuple(f"{n}.png" for n in range(count)), tuple(n % 2 for n in range(count))
    return Dataset("coded", ("church", "tench"), names, labels, coded, lambda: "coded", masks=True)


def looking_at(colour, only="garbage truck"):
    """A net that tells church from tench by the mean of one colour, and says something else where it is grey."""
    dense = nn.Linear(3, len(tiny.CLASSES))
    classes = [tiny.CLASSES.index(name) for name in ("church", "tench", only)]
    with torch.no_grad():
        dense.weight.zero_()
        dense.bias.fill_(-1)
        dense.weight[classes[0], colour], dense.weight[classes[1], colour] = 10, -10
        dense.bias[classes] = torch.tensor([0, 0, 0.2])
    same = nn.Conv2d(3, 3, 1, bias=False)
    with torch.no_grad():
        same.weight.copy_(torch.eye(3)[:, :, None, None])
    module = nn.Sequential(same, nn.AdaptiveAvgPool2d(1), nn.Flatten(), dense)
    return tiny.net_of(module.eval().requires_grad_(False))


def test_a_net_that_looks_at_the_background_only_is_all_context_and_one_that_looks_at_the_object_only_none():
    for colour, context, accuracies in ((0, 1.0, [1, 1, 0, 1]), (1, 0.0, [1, 0, 1, 1])):
        found = reportgen.compute("context", looking_at(colour), coded_set())
        assert [row["accuracy"] for row in found.numbers["rows"]] == accuracies
        assert [row["error"] for row in found.numbers["rows"]] == [0] * 4
        assert found.numbers["context"] == context
        assert found.numbers["counted"] == 12
        assert found.numbers["empty"] == "garbage truck"
        bars, _, classes, _ = method("context").panels(found)
        assert f"is {context:.0%}" in bars.caption
        assert classes.rows[0][1:] == (6, *accuracies)


def test_pictures_of_the_class_of_an_empty_picture_do_not_count_for_context():
    """Said of whatever is grey, that class would be right for pictures without background for no reason."""
    found = reportgen.compute("context", looking_at(0, only="tench"), coded_set())
    assert found.numbers["empty"] == "tench"
    assert [row["accuracy"] for row in found.numbers["rows"]] == [1, 1, 0.5, 1]
    assert found.numbers["counted"] == 6
    assert found.numbers["context"] == 1.0


def by_hand(x, mask, grow, shift):
    """The four pictures, pixel by pixel: 4 3 S S."""
    out = x.repeat(4, 1, 1, 1)
    side = len(mask)
    for y in range(side):
        for column in range(side):
            if not mask[y, column]:
                out[2, :, y, column] = 0
            if mask[max(0, y - grow) : y + grow + 1, max(0, column - grow) : column + grow + 1].any():
                out[1, :, y, column] = 0
                moved = (y + shift[0]) % side, (column + shift[1]) % side
                if not mask[moved]:
                    out[3, :, moved[0], moved[1]] = 0
    return out


@pytest.mark.parametrize(("kind", "grow"), [("plain", 2), ("branching", 0), ("residual", 5)])
def test_probabilities_are_those_of_pictures_blanked_by_hand(kind, grow):
    net, data = tiny.tiny_net(kind, "fp64"), tiny.dataset(12)
    found = reportgen.compute("context", net, data, grow=grow)
    places = [place for place in range(12) if place % 4 != 3]
    assert found.arrays["places"].tolist() == places, "the class 'something else' is unknown to the net"
    assert (found.numbers["unknown"], found.numbers["used"]) == (3, 9)
    for i, place in enumerate(places):
        example = data.load(place)
        x = by_hand(net.preprocess([example.picture]), example.mask, grow, found.arrays["shift"][i].tolist())
        truth = net.module(x).softmax(1)  # 4 K
        target = place % 4 if place % 4 < 3 else None
        assert np.allclose(found.arrays["probability"][:, i], truth[:, target].numpy(), rtol=0, atol=1e-6)
        assert found.arrays["correct"][:, i].tolist() == (truth.argmax(1) == target).tolist()
        assert np.allclose(found.arrays["hidden"][:, i], (x == 0).all(1).double().mean((1, 2)).numpy())
        assert found.arrays["area"][i] == example.mask.mean()
    row = found.numbers["rows"][0]
    share = found.arrays["correct"][0].mean()
    assert row["accuracy"] == share
    assert row["error"] == pytest.approx(np.sqrt(share * (1 - share) / 9))
    assert row["probability"] == pytest.approx(found.arrays["probability"][0].mean())


def test_the_control_lies_where_it_covers_least_of_the_object_and_hides_as_much_as_it_can():
    rng = np.random.default_rng(3)
    small, large = np.zeros((2, 24, 24), dtype=bool)
    small[3:9, 10:20] = True
    large[2:20, 1:23] = True
    for mask in (small, large):
        shift = blanking.elsewhere(mask, 2, rng)
        wide = blanking.grown(mask, 2)
        covered = [(np.roll(wide, (y, x), (0, 1)) & mask).sum() for y in range(24) for x in range(24)]
        assert (np.roll(wide, shift, (0, 1)) & mask).sum() == min(covered)
        _, thing, around, control = blanking.holes(mask, 2, shift)
        assert not (control & mask).any()
        assert control.sum() == thing.sum() - min(covered)
        assert (around == ~mask).all()
    chosen = {blanking.elsewhere(small, 2, rng) for _ in range(20)}
    assert len(chosen) > 10, "by lot among all that are as good"


def test_the_sheet_shows_what_the_net_got_those_that_need_their_surroundings_first():
    net = tiny.tiny_net("plain")
    found = reportgen.compute("context", net, tiny.dataset(20))
    assert found.arrays["examples"].dtype == np.uint8
    assert found.arrays["examples"].shape[1:] == (4, 3, 64, 64)
    whole, thing, around, _ = found.arrays["examples"][0] / 255
    blank = np.rint(np.array(MEAN) * 255) / 255
    assert np.allclose(around[:, 0, 0], blank)
    y, x = np.argwhere((thing == blank[:, None, None]).all(axis=0)).mean(axis=0).astype(int)
    assert np.allclose(around[:, y, x], whole[:, y, x])
    sheet = method("context").panels(found)[3]
    assert sheet.row_labels[0].count("·") == 3
    lean = found.arrays["probability"][1] - found.arrays["probability"][2]
    named = [i for i in np.argsort(-lean, kind="stable") if found.arrays["correct"][0, i]]
    first = found.arrays["probability"][:, named[0] if named else int(np.argmax(lean))]
    assert sheet.row_labels[0].endswith(" · ".join(f"{share:.0%}" for share in first))


def test_however_the_set_is_cut_the_pictures_are_blanked_alike(monkeypatch):
    net, data, found = tiny.tiny_net("residual", "fp64"), tiny.dataset(14), []
    for batch, part in ((16, 128), (3, 6)):
        monkeypatch.setattr(passes, "BATCH", batch)
        monkeypatch.setattr(passes, "PART", part)
        found.append(reportgen.compute("context", net, data))
    assert found[0].arrays["shift"].tolist() == found[1].arrays["shift"].tolist()
    assert np.allclose(found[0].arrays["probability"], found[1].arrays["probability"], atol=1e-6)
    assert found[0].numbers["rows"][1]["accuracy"] == found[1].numbers["rows"][1]["accuracy"]


def test_pictures_without_an_object_or_without_anything_else_are_counted_and_left_out():
    def load(place):
        mask = np.full((64, 64), place == 0)
        return coded(place) if place > 1 else Example(coded(place).picture, mask)

    found = reportgen.compute("context", looking_at(0), replace(coded_set(), load=load))
    assert (found.numbers["outside"], found.numbers["filled"], found.numbers["used"]) == (1, 1, 10)
    assert "1 without an object in its view and 1 with nothing else" in method("context").panels(found)[1].caption


def test_what_cannot_be_asked_is_said_in_a_sentence():
    net = tiny.tiny_net("plain")
    with pytest.raises(MethodError, match=r"knows none of the classes of discs \(zebra, lion"):
        reportgen.compute("context", net, tiny.dataset(8, classes=("zebra", "lion")))
    with pytest.raises(NotApplicable, match="without masks"):
        reportgen.compute("context", net, tiny.dataset(8, masks=False))
    full = replace(coded_set(), load=lambda place: Example(coded(place).picture, np.ones((64, 64), dtype=bool)))
    with pytest.raises(MethodError, match="12 nothing else"):
        reportgen.compute("context", net, full)
    with pytest.raises(MethodError, match="grow"):
        method("context").params(grow=-1)
    net.module.classifier[1].weight[0] = float("nan")
    with pytest.raises(MethodError, match="NaN"):
        reportgen.compute("context", net, tiny.dataset(8))
