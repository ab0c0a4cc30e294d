"""Trainings that came with reportgen: what is written of a run, what comes back, and what methods make of it."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import reportgen
from reportgen.assembly import fill_plan, prepare
from reportgen.building import Options, Quiet
from reportgen.errors import ModelError, NotApplicable, SpecError
from reportgen.methods import methods
from reportgen.nets import archs, shipped
from reportgen.nets.tensors import tensor_digest
from reportgen.nets.weights import resolve
from reportgen.project import forward
from reportgen.spec import read_spec
from reportgen.store import Store
from reportgen.training import export, export_checkpoints, make_recipe, train
from reportgen.training.checkpoints import half, load_state
from tests import tiny
from tests.test_end_to_end import write_spec

KEPT = (0, 1, 3)
SECTIONS = [
    {"id": "curves", "method": "training_curves"},
    {"id": "classes", "method": "learning"},
    {"id": "forms", "method": "evolution", "layers": ["stage3", "penultimate"], "units": 2, "dataset": "squares"},
    {"id": "photos", "method": "evolution", "layers": ["last_conv"], "units": 2},
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run of a small alexnet_mini, and its weights as `reportgen train` writes them."""
    root, rng = tmp_path_factory.mktemp("run"), np.random.default_rng(0)
    for part, count in (("train", 8), ("val", 3)):
        for label, colour in (("dark_things", 60), ("light", 190)):
            (root / part / label).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(colour - 60, colour + 60, (64, 64, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(root / part / label / f"{number}.png")
    recipe = {
        "arch": "alexnet_mini",
        "kwargs": {"widths": [6, 8, 8, 8, 6], "dense": 12, "dropout": 0.0},
        "data": {"train": str(root / "train"), "val": str(root / "val")},
        **{"size": 64, "resize": 64, "epochs": 3, "batch": 8, "validate_every": 2},
        "checkpoints": KEPT,
        "precision": "fp32",
    }
    train(make_recipe(recipe), root / "out", "cpu", 1, quiet=True)
    export(root / "out", root / "net.safetensors", "cpu")
    return root


@pytest.fixture(scope="module")
def files(trained):
    """What is shipped of it: a folder of folders, one for each arch."""
    export_checkpoints(trained / "out", trained / "checkpoints/alexnet_mini")
    return trained / "checkpoints"


@pytest.fixture
def net(trained, files, monkeypatch):
    monkeypatch.setattr(shipped, "FOLDER", files)
    return reportgen.load_net("alexnet_mini", weights=trained / "net.safetensors", device="cpu")


def known(net):
    return shipped.shipped(net.card.arch, net.card.weights)


def test_files_hold_the_log_and_the_convolutions_on_the_way(trained, files):
    folder = files / "alexnet_mini"
    assert sorted(path.name for path in folder.iterdir()) == [
        "epoch-000.safetensors",
        "epoch-001.safetensors",
        "log.json",
    ]
    whole = load_file(trained / "out/epoch-001.safetensors")
    part = load_file(folder / "epoch-001.safetensors")
    assert set(part) == {name for name in whole if name.startswith("features")}
    assert all(torch.equal(value, whole[name].half()) for name, value in part.items())
    text = (folder / "log.json").read_text()
    assert str(trained) not in text
    told = json.loads(text)
    assert told["weights"] == resolve("alexnet_mini", trained / "net.safetensors").digest
    assert told["numbers"]["training_pictures"] == 16
    assert told["numbers"]["validation_pictures"] == 6
    rows = torch.load(trained / "out/state.pt", weights_only=True)["rows"]
    assert [row["val_loss"] for row in told["rows"]] == [
        pytest.approx(row["val_loss"], rel=1e-5) if row["val_loss"] else None for row in rows
    ]


def test_a_net_on_the_way_is_the_runs_own_up_to_its_dense_layers(trained, net):
    training = known(net).seen(net, None)
    assert training.kept == KEPT
    assert training.net(3) is net
    early = training.net(1)
    state = {name: value.half() for name, value in load_file(trained / "out/epoch-001.safetensors").items()}
    whole = archs.ours("alexnet_mini")(num_classes=2, widths=(6, 8, 8, 8, 6), dense=12)
    whole.load_state_dict(state)
    x = net.preprocess([tiny.photo(1), tiny.photo(2)])
    layers = ["features.1", "features.11"]
    found, before = forward(early, x, layers), {name: value.clone() for name, value in net.module.state_dict().items()}
    with torch.no_grad():
        assert torch.allclose(found["features.11"], whole.features[:12](x), atol=1e-5)
        assert torch.allclose(found["features.1"], whole.features[:2](x), atol=1e-5)
    assert found["logits"].isnan().all(), "what is not known is no number"
    assert early.card.layers[-1].parameters == 0
    assert "logits" not in early.card.aliases
    assert "penultimate" not in early.card.aliases
    with pytest.raises(ModelError, match="no layer"):
        early.card.resolve("classifier.1")
    assert all(torch.equal(value, before[name]) for name, value in net.module.state_dict().items())


def test_only_these_weights_have_this_training(net):
    assert shipped.shipped("alexnet_mini", "0" * 64) is None
    assert shipped.shipped("resnet_mini", net.card.weights) is None
    assert shipped.shipped("../alexnet_mini", net.card.weights) is None
    with pytest.raises(ModelError, match=r"epoch 2 were not kept"):
        known(net).seen(net, None).net(2)


def test_a_damaged_or_missing_file_is_named(net, tmp_path, monkeypatch, files):
    import shutil

    shutil.copytree(files, tmp_path / "copy")
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "copy")
    path = tmp_path / "copy/alexnet_mini/epoch-001.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(ModelError, match=r"epoch-001.safetensors\) are damaged. Reinstall"):
        known(net).seen(net, None).net(1)
    path.unlink()
    with pytest.raises(ModelError, match="missing from this installation"):
        known(net).seen(net, None).net(1)


def test_compute_finds_the_training_of_a_net(net, tmp_path):
    store = Store(tmp_path)
    curves = reportgen.compute("training_curves", net, store=store)
    assert curves.arrays["val_epochs"].tolist() == [0, 2, 3]
    assert curves.arrays["train_epochs"].tolist() == [1, 2, 3]
    (record,) = store.records()
    assert record.document["training"] == list(known(net).keys)
    learned = reportgen.compute("learning", net)
    assert learned.numbers["classes"] == ["dark things", "light"]
    assert learned.numbers["every"] == 2
    data = tiny.dataset(12)
    found = reportgen.compute("evolution", net, data, layer="stage3", units=4, store=store)
    assert found.arrays["epochs"].tolist() == list(KEPT)
    assert found.arrays["patches"].shape[:2] == (4, 3)
    assert found.arrays["answer_epochs"].tolist() == [3], "no answer is made up for epochs without dense layers"
    assert found.numbers["set"] == data.name
    own = reportgen.compute("evolution", net, [tiny.photo(1), tiny.photo(2)], layer="last_conv", units=3)
    assert own.numbers["names"] == ["picture 1", "picture 2"]
    assert own.numbers["pictures"] == 2
    words = methods()["evolution"].panels(own)[-1].caption
    assert "not known" in words
    with pytest.raises(NotApplicable, match="right would be a `dataset:` or `images:`"):
        reportgen.compute("evolution", net, layer="last_conv")
    with pytest.raises(NotApplicable, match=r"classifier.5 was after epoch 0 is not known.*up to classifier.0"):
        reportgen.compute("evolution", net, data, layer="penultimate")


@pytest.fixture
def plan_of(trained, net, tmp_path):
    """The plan of a report on the net and one of other weights, and its cells."""
    (tmp_path / "net.safetensors").write_bytes((trained / "net.safetensors").read_bytes())
    for number in (1, 2):
        Image.fromarray((tiny.photo(number) * 255).astype(np.uint8)).save(tmp_path / f"{number}.png")
    spec = {
        "title": "Shipped",
        "models": {
            "known": {"arch": "alexnet_mini", "weights": "net.safetensors"},
            "other": {"arch": "alexnet_mini", "weights": "random"},
        },
        "images": {"one": {"source": "1.png"}, "two": {"source": "2.png"}},
        "datasets": {"squares": {"source": "patches:", "n": 8}},
        "sections": SECTIONS,
        "outputs": {"site": {}},
    }
    path = write_spec(tmp_path, spec)

    def made():
        options = Options(cache=tmp_path / "cache", device="cpu", threads=1)
        store = Store(tmp_path / "cache")
        plan = prepare(read_spec(path), store, options, Quiet())
        return plan, lambda: {filled.cell.id: filled for filled in fill_plan(plan, store, options, Quiet())}

    return made


def test_a_report_shows_it_and_says_what_is_missing(plan_of):
    plan, fill = plan_of()
    found = fill()
    status = {name: filled.status for name, filled in found.items()}
    assert [name for name in status if status[name] == "ok"] == [
        "curves.known",
        "classes.known",
        "forms.known.stage3",
        "photos.known.last_conv",
    ]
    assert "classifier.5 was after epoch 0 is not known" in found["forms.known.penultimate"].reason
    assert "how it came to its weights is unknown" in found["curves.other"].reason
    assert found["forms.known.stage3"].numbers["set"] == "squares of the report's own photos"
    assert found["forms.known.stage3"].numbers["names"] == ["one", "two"]
    assert found["photos.known.last_conv"].numbers["set"] == "the photos"
    assert len(plan.cells[0].document["training"]) == 1


def test_a_run_without_weights_on_the_way_and_a_changed_log(trained, plan_of, files, tmp_path, monkeypatch):
    before, _ = plan_of()
    assert export_checkpoints(trained / "out", tmp_path / "logs/alexnet_mini", epochs=()) == ()
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "logs")
    plan, _ = plan_of()
    assert "the log alone has come with reportgen" in plan.excluded["photos.known.last_conv"]
    assert "curves.known" not in plan.excluded
    keys = [{cell.id: cell.key for cell in made.cells}["curves.known"] for made in (before, plan)]
    assert keys[0] != keys[1]


def test_two_runs_of_which_one_began_where_the_other_ended_are_told_as_one(trained, tmp_path):
    first = json.loads(load_state(trained / "out")["recipe"])
    second = {**first, "start": str(trained / "net.safetensors"), "epochs": 2, "checkpoints": [1], "seed": 7}
    train(make_recipe(second), tmp_path / "second", "cpu", 1, quiet=True)
    assert export_checkpoints(tmp_path / "second", tmp_path / "log", before=[trained / "out"]) == (1,)
    told = json.loads((tmp_path / "log/log.json").read_text())
    assert [row["epoch"] for row in told["rows"]] == [0, 1, 2, 3, 4, 5]
    assert (told["numbers"]["epochs"], told["numbers"]["seed"]) == (5, first["seed"])
    assert [one["epoch"] for one in told["checkpoints"]] == [4]
    assert told["weights"] == tensor_digest(half(load_state(tmp_path / "second")["net"]))
    with pytest.raises(SpecError, match="did not begin from the weights in which the one"):
        export_checkpoints(trained / "out", tmp_path / "log", before=[trained / "out"])


def test_what_a_run_has_not_kept_cannot_be_shipped(trained, tmp_path):
    with pytest.raises(SpecError, match="kept no weights of epoch 2"):
        export_checkpoints(trained / "out", tmp_path, epochs=(0, 2))
    with pytest.raises(SpecError, match="holds no training"):
        export_checkpoints(tmp_path, tmp_path)


@pytest.mark.skipif(not shipped.FOLDER.is_dir(), reason="the final nets are not trained yet")
@pytest.mark.parametrize("arch", archs.MINIS)
def test_every_embedded_net_has_brought_its_own_log(arch):
    found = shipped.shipped(arch, resolve(arch).digest)
    assert found is not None, "the log is that of another run than the embedded weights"
    assert found.told["rows"][-1]["val_top1"] == pytest.approx(resolve(arch).numbers["top1"], abs=0.01)
    assert len(found.told["rows"]) == found.told["numbers"]["epochs"] + 1
    size = sum(path.stat().st_size for path in found.folder.iterdir())
    assert size < (12e6 if arch == "alexnet_mini" else 1e5)
    if arch == "alexnet_mini":
        assert found.kept[:-1] == (0, 1, 2, 5, 10, 20, 40)
        seen = found.seen(reportgen.load_net(arch, device="cpu"), None)
        weights = [seen.net(epoch).module.features[0].weight for epoch in found.kept]
        steps = [float((weight - weights[-1]).norm()) for weight in weights]
        assert steps[0] == max(steps), "the filters came nearer to what they are"
