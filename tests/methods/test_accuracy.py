"""Accuracy is what plain loops over the pictures count: answers, crops, damage, calibration, several nets as one."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

import reportgen
from reportgen import answering, images, scoring
from reportgen.errors import MethodError, NotApplicable
from reportgen.examples import Dataset, Example
from reportgen.methods import method
from reportgen.passes import class_of
from reportgen.records import Artifact
from tests import families, tiny

PHOTOS = families.SQUEEZENET.parent / "imagenet-500.zip"
PLAIN = {"corrupted": 0, "mistakes": 0}


def photos(count=12, height=90, width=120, classes=("tabby", "church", "gas pump")):
    """A set of pictures that are no squares."""

    def load(place):
        picture = np.asarray(Image.fromarray(np.uint8(tiny.photo(place) * 255)).resize((width, height)))
        return Example((picture / 255).astype(np.float32))

    names = tuple(f"{place}.png" for place in range(count))
    labels = tuple(place % len(classes) for place in range(count))
    return Dataset("photos", classes, names, labels, load, lambda: f"photos {count} {height} {width} {classes}")


def by_hand(net, picture):
    """The probabilities of one picture, by the net as it is."""
    with torch.no_grad():
        return net.module(net.preprocess([picture])).flatten(1).softmax(1)[0].double().numpy()


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_it_counts_what_a_loop_over_single_pictures_counts(kind):
    net, data = tiny.tiny_net(kind, "fp64"), tiny.dataset(23, broken=(4,))
    found = reportgen.compute("accuracy", net, data, **PLAIN)
    right1 = right5 = 0
    matrix = np.zeros((4, 4), dtype=int)  # the three classes that the net knows, then all others
    known = [place for place in range(23) if place != 4 and place % 4 != 3]
    for place in range(23):
        if place == 4:
            continue
        own = by_hand(net, data.load(place).picture)
        order, target = sorted(range(6), key=lambda k: -own[k]), (0, 1, 2, -1)[place % 4]
        matrix[place % 4, order[0] if order[0] < 3 else 3] += 1
        if target >= 0:
            right1, right5 = right1 + (order[0] == target), right5 + (target in order[:5])
            n = known.index(place)
            assert found.arrays["confidence"][n] == pytest.approx(own[order[0]], rel=1e-6)
            assert found.arrays["correct"][n] == (order[0] == target)
            assert found.arrays["answers"][n].tolist() == order
            assert np.allclose(found.arrays["probabilities"][n], own[order], rtol=1e-6)
    assert found.arrays["places"].tolist() == known
    assert found.numbers["top1"] == pytest.approx(right1 / len(known))
    assert found.numbers["top5"] == pytest.approx(right5 / len(known))
    assert found.numbers["known"] == pytest.approx(len(known) / 22)
    assert found.arrays["confusion"].tolist() == matrix.tolist()
    assert found.numbers["confusion_classes"] == ["tabby", "golf ball", "church", "other classes"]
    for entry, k in zip(found.numbers["per_class"], range(3), strict=True):
        assert entry["top1"] == pytest.approx(matrix[k, k] / matrix[k].sum())
    assert sum(entry["pictures"] for entry in found.numbers["confusions"]) <= len(known) - right1


def test_squeezenet_on_imagenet_photos_is_right_as_often_as_a_plain_loop_says():
    if not PHOTOS.is_file():
        pytest.skip(f"not checked on real photos: {PHOTOS} is missing")
    net = reportgen.load_net("squeezenet1_0", weights=str(families.SQUEEZENET), device="cpu")
    whole = reportgen.load_dataset(PHOTOS)
    places = range(0, 480, 8)
    data = replace(
        whole,
        names=tuple(whole.names[place] for place in places),
        labels=tuple(whole.labels[place] for place in places),
        load=lambda n: whole.load(places[n]),
        digest=lambda: "sixty",
    )
    found = reportgen.compute("accuracy", net, data, **PLAIN)
    pipeline = transforms.Compose(
        [
            transforms.Resize(256),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    hits = []
    for place in places:  # every second of the thousand classes is there: a photo's class is twice its rank
        photo = Image.fromarray(np.uint8(np.rint(whole.load(place).picture * 255)))
        with torch.no_grad():
            hits.append(int(net.module(pipeline(photo)[None])[0].argmax()) == 2 * place)
    assert len(hits) == len(found.arrays["correct"]) == 60
    assert found.arrays["correct"].tolist() == hits
    assert found.numbers["top1"] == pytest.approx(np.mean(hits))
    assert 0.45 < found.numbers["top1"] < 0.75  # 61 % on all thousand
    assert found.arrays["answers"].shape == (60, 32)


def test_ten_crops_are_torchvisions_of_the_central_square_and_their_mean_counts():
    net, data = tiny.tiny_net("branching", "fp64"), photos()
    net = replace(net, card=replace(net.card, preprocess=replace(net.card.preprocess, resize=81)))
    wanted, truth = net.card.preprocess, []
    crops = transforms.Compose([transforms.Resize(81), transforms.CenterCrop(81), transforms.TenCrop(64)])
    for place in range(len(data)):
        photo = Image.fromarray(np.uint8(np.rint(data.load(place).picture * 255)))
        x = torch.stack([transforms.ToTensor()(crop) for crop in crops(photo)]).double()  # 10 3 S S
        x = (x - torch.tensor(wanted.mean).view(3, 1, 1)) / torch.tensor(wanted.std).view(3, 1, 1)
        with torch.no_grad():
            truth.append(net.module(x).softmax(1).mean(0).numpy())
    found = answering.ten_crops(net, [data.load(place).picture for place in range(len(data))])
    assert families.relative(found, np.array(truth)) < 1e-6
    numbers = reportgen.compute("accuracy", net, data, ten_crop=True, **PLAIN).numbers
    targets = [class_of(net, data.classes[label]) for label in data.labels]
    right = [int(own.argmax()) == target for own, target in zip(truth, targets, strict=True)]
    assert numbers["top1_ten_crop"] == pytest.approx(np.mean(right))
    assert "top1_ten_crop" not in reportgen.compute("accuracy", net, data, **PLAIN).numbers


def test_damaged_pictures_are_those_that_the_net_sees_and_spread_over_the_set():
    net, data = tiny.tiny_net("residual", "fp64"), photos(24)
    kinds = ["bgr", "grey", "salt_pepper:1"]
    found = reportgen.compute("accuracy", net, data, corruptions=kinds, corrupted=8, mistakes=0).numbers["corruptions"]
    chosen = [round(i * 23 / 7) for i in range(8)]
    targets = [class_of(net, data.classes[place % 3]) for place in chosen]
    views = [images.view(data.load(place).picture, net.card.preprocess) for place in chosen]  # S S 3
    grey = [np.repeat((view @ np.array([0.299, 0.587, 0.114]))[:, :, None], 3, axis=2) for view in views]

    def share(pictures):
        # a picture of the net's input size would lose its last digits on the way through 8 bits: normalise by hand
        x = torch.from_numpy(np.stack(pictures)).double().permute(0, 3, 1, 2)
        wanted = net.card.preprocess
        x = (x - torch.tensor(wanted.mean).view(1, 3, 1, 1)) / torch.tensor(wanted.std).view(1, 3, 1, 1)
        with torch.no_grad():
            return float((net.module(x).argmax(1).numpy() == np.array(targets)).mean())

    assert found["pictures"] == 8
    assert found["untouched"] == pytest.approx(share(views))
    shares = {entry["name"]: entry["top1"] for entry in found["rows"]}
    assert list(shares) == kinds
    assert shares["bgr"] == pytest.approx(share([np.ascontiguousarray(view[:, :, ::-1]) for view in views]))
    assert shares["grey"] == pytest.approx(share(grey))
    assert reportgen.compute("accuracy", net, data, corruptions=[], mistakes=0).numbers["corruptions"]["rows"] == []


def test_the_most_confident_mistakes_come_with_the_class_maps_of_grad_cam():
    net, data = tiny.tiny_net("residual", "fp64"), photos()
    found = reportgen.compute("accuracy", net, data, corrupted=0, mistakes=3)
    own = {place: by_hand(net, data.load(place).picture) for place in range(len(data))}
    targets = {place: class_of(net, data.classes[place % 3]) for place in own}
    wrong = sorted((p for p in own if own[p].argmax() != targets[p]), key=lambda p: -own[p].max())
    assert found.arrays["mistakes"].tolist() == wrong[:3]
    assert len(wrong) >= 3
    for n, place in enumerate(wrong[:3]):
        told, picture = found.numbers["mistakes"][n], data.load(place).picture
        assert told["confidence"] == pytest.approx(own[place].max(), rel=1e-6)
        assert told["true_probability"] == pytest.approx(own[place][targets[place]], rel=1e-6)
        assert told["true"] == data.classes[place % 3]
        for axis, target in enumerate((targets[place], int(own[place].argmax()))):
            layer = found.numbers["map_layer"]
            truth = reportgen.compute("grad_cam", net, picture, target=target, layer=layer).arrays["coarse"]
            assert families.relative(found.arrays["mistake_maps"][n, axis], truth) < 1e-6
        seen = images.view(picture, net.card.preprocess)
        assert np.array_equal(found.arrays["mistake_pictures"][n], np.uint8(np.rint(seen * 255)))


def test_reliability_by_hand():
    confidence = np.array([0.05, 0.1, 0.95, 1.0, 0.91, 0.55])
    correct = np.array([True, False, True, True, False, True])
    found = scoring.reliability(confidence, correct, bins=10)  # 0.1 belongs to the first tenth, 1.0 to the last
    assert found.pictures.tolist() == [2, 1, 3]
    assert found.confidence.tolist() == pytest.approx([0.075, 0.55, (0.95 + 1.0 + 0.91) / 3])
    assert found.accuracy.tolist() == pytest.approx([1 / 2, 1, 2 / 3])
    gaps = 2 * (0.5 - 0.075) + 1 * (1 - 0.55) + 3 * abs(2 / 3 - 2.86 / 3)
    assert found.error == pytest.approx(gaps / 6)
    rng = np.random.default_rng(0)
    sure = rng.random(200_000)
    assert scoring.reliability(sure, rng.random(200_000) < sure).error < 0.01
    assert scoring.reliability(np.ones(50), np.zeros(50)).error == 1


def test_a_class_that_goes_by_one_name_in_the_set_twice_is_counted_in_its_own_column():
    labels, targets = np.array([0, 1, 1, 2, 3]), np.array([5, 5, 5, 7, -1])
    matrix, rows = scoring.confusion(labels, targets, np.array([5, 5, 7, 8, 7]), 5)
    assert rows == [0, 1, 2, None]
    assert matrix.tolist() == [[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 1, 0]]
    matrix, rows = scoring.confusion(labels[:3], targets[:3], np.array([5, 5, 5]), 5)
    assert (rows, matrix.tolist()) == ([0, 1], [[1, 0], [0, 2]])


def shown(net="net", classes="same", places=(0, 1), dense=((0.6, 0.3, 0.1), (0.2, 0.3, 0.5)), targets=(1, 2)):
    answers, given = scoring.strongest(np.array(dense))
    arrays = {"places": np.array(places), "targets": np.array(targets), "answers": answers, "probabilities": given}
    return Artifact(arrays, {"net": net, "net_classes": classes})


def test_the_ensemble_is_the_mean_of_the_nets_probabilities_where_they_can_be_averaged():
    row = {"a": shown(), "b": shown(dense=((0.1, 0.6, 0.3), (0.1, 0.8, 0.1)))}
    together = scoring.ensemble(row)  # means (.35 .45 .2) and (.15 .55 .3): right, wrong
    assert together == (2, 0.5, 1.0)
    assert scoring.ensemble({"a": shown()}) is None
    assert scoring.ensemble({"a": shown(), "b": shown(places=(0, 2))}) is None
    assert scoring.ensemble({"a": shown(), "b": shown(classes="others")}) is None


def test_the_ensemble_of_two_nets_equals_one_by_hand_and_stands_in_each_nets_table():
    data, nets = photos(24), {kind: tiny.tiny_net(kind, "fp64") for kind in ("residual", "plain")}
    found = {kind: reportgen.compute("accuracy", net, data, **PLAIN) for kind, net in nets.items()}
    right = 0
    for place in range(24):
        mean = sum(by_hand(net, data.load(place).picture) for net in nets.values()) / 2
        right += mean.argmax() == class_of(nets["plain"], data.classes[place % 3])
    for place, artifact in enumerate(found.values()):
        panels = {panel.name: panel for panel in method("accuracy").panels(replace(artifact, row=found))}
        rows = dict(panels["summary"].rows)
        assert rows["top-1, all 2 nets as one"] == f"{right / 24:.1%}"
        assert len(panels["reliability"].values) == (2 if place == 0 else 1), "the diagonal is drawn once"


def test_many_classes_have_no_matrix_and_few_pictures_no_bars_per_class():
    classes = tuple(f"class {k}" for k in range(70))
    net = tiny.net_of(tiny.seeded(lambda: _wide(70)), classes=classes, arch="wide")
    artifact = reportgen.compute("accuracy", net, photos(140, 64, 64, classes), corrupted=0, mistakes=2)
    assert artifact.arrays["answers"].shape == (140, scoring.MOST_ANSWERS)
    assert {panel.name for panel in method("accuracy").panels(artifact)} == {
        "reliability",
        "summary",
        "confusions",
        "mistakes",
    }


def _wide(count):
    net = tiny.plain()
    net.classifier[3] = torch.nn.Linear(16, count)
    return net


def test_what_makes_no_sense_is_said():
    net = tiny.tiny_net("plain")
    with pytest.raises(NotApplicable, match=r"knows none of the classes of discs \(zebra, moose \.\.\.\)"):
        reportgen.compute("accuracy", net, tiny.dataset(8, classes=("zebra", "moose")))
    with pytest.raises(MethodError, match="mistakes: 40 is out of range"):
        reportgen.compute("accuracy", net, tiny.dataset(8), mistakes=40)
    with pytest.raises(MethodError, match="corrupted: -1"):
        reportgen.compute("accuracy", net, tiny.dataset(8), corrupted=-1)
    with pytest.raises(MethodError, match="no corruption 'bluur'"):
        reportgen.compute("accuracy", net, tiny.dataset(8), corruptions=["bluur"])
    net.module.features[3].weight[0] = float("nan")
    with pytest.raises(MethodError, match="NaN"):
        reportgen.compute("accuracy", net, tiny.dataset(8))


def test_a_net_that_is_always_right_has_no_mistakes_to_show():
    data = tiny.dataset(12)
    net = tiny.tiny_net("plain")
    answers = [int(by_hand(net, data.load(place).picture).argmax()) for place in range(12)]
    data = replace(data, classes=tiny.CLASSES, labels=tuple(answers))
    artifact = reportgen.compute("accuracy", net, data, corrupted=0)
    assert artifact.numbers["top1"] == 1
    assert artifact.numbers["confusions"] == artifact.numbers["mistakes"] == []
    assert "mistakes" not in {panel.name for panel in method("accuracy").panels(artifact)}
