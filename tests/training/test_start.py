"""Weights to begin from: those that fit are taken, the others are fresh, and the run is known by what they are."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from reportgen.errors import ModelError, SpecError
from reportgen.nets import encdec, mini
from reportgen.store import Store
from reportgen.trained import courses
from reportgen.training import export, load_recipe, make_recipe, train
from reportgen.training.loop import build_net
from reportgen.training.start import begin_from
from tests.test_end_to_end import write_spec
from tests.test_trained import RECIPE, spec_with

SMALL = {"widths": [8, 8, 8, 8], "blocks": [1, 1, 1, 1]}


def weights(path, seed=0, net="resnet_mini", **kwargs):
    torch.manual_seed(seed)
    save_file(mini.build(net, 5, **(kwargs or SMALL)).state_dict(), path)
    return str(path)


def test_a_backbone_takes_over_what_fits_and_the_head_is_as_fresh_as_without(tmp_path):
    file = weights(tmp_path / "plain.safetensors")
    recipe = make_recipe({**RECIPE, "arch": "encdec", "kwargs": {"backbone_kwargs": SMALL}})
    net, fresh = build_net(recipe, 5), build_net(recipe, 5).state_dict()
    said = begin_from(net, file)
    given, own = load_file(file), net.state_dict()
    backbone = [name for name in own if name.startswith("backbone.")]
    assert all(torch.equal(own[name], given[name.removeprefix("backbone.")]) for name in backbone)
    assert all(torch.equal(own[name], fresh[name]) for name in own if name not in backbone)
    counted = [name for name in own if not name.endswith("num_batches_tracked")]
    taken = [name for name in counted if name in backbone]
    assert said == f"begun from plain.safetensors: {len(taken)} of {len(counted)} tensors, the others fresh"


def test_a_plain_net_takes_over_a_backbone_and_other_shapes_stay_fresh(tmp_path):
    file = tmp_path / "maps.safetensors"
    save_file(encdec.build(5, backbone_kwargs=SMALL).state_dict(), file)
    net = mini.build("resnet_mini", 5, **{**SMALL, "widths": [8, 8, 8, 12]})
    before = {name: value.clone() for name, value in net.state_dict().items()}
    begin_from(net, str(file))
    given, own = load_file(file), net.state_dict()
    assert torch.equal(own["layer3.0.conv1.weight"], given["backbone.layer3.0.conv1.weight"])
    assert torch.equal(own["layer4.0.conv1.weight"], before["layer4.0.conv1.weight"])
    assert torch.equal(own["fc.weight"], before["fc.weight"])


def test_the_name_of_a_mini_net_means_its_embedded_weights():
    net = encdec.build(15)
    assert begin_from(net, "resnet_mini").startswith("begun from resnet_mini.safetensors: 100 of 109 tensors")


def test_a_file_of_which_nothing_fits_is_an_error(tmp_path):
    file = weights(tmp_path / "vgg.safetensors", net="alexnet_mini", widths=[8] * 5, dense=16)
    with pytest.raises(ModelError, match=r"start: of the \d+ tensors of vgg.safetensors none has the name and shape"):
        begin_from(mini.build("resnet_mini", 5, **SMALL), file)


def test_a_run_says_what_it_begins_from_and_goes_on_only_from_the_same(tmp_path, capsys):
    file = weights(tmp_path / "a.safetensors")
    recipe = make_recipe({**RECIPE, "arch": "resnet_mini", "start": file})
    train(recipe, tmp_path / "run", "cpu")
    told = "begun from a.safetensors: 60 of 62 tensors"
    assert told in capsys.readouterr().err
    export(tmp_path / "run", tmp_path / "out.safetensors", "cpu")
    with safe_open(tmp_path / "out.safetensors", "pt") as opened:
        described = opened.metadata()
    assert json.loads(described["recipe"])["start"] == "a.safetensors"
    assert "; begun from weights of sha256 " in described["data"]
    moved = recipe.model_copy(update={"start": weights(tmp_path / "b.safetensors")})  # the same tensors
    before = (tmp_path / "run" / "state.pt").read_bytes()
    train(moved, tmp_path / "run", "cpu", quiet=True)
    assert (tmp_path / "run" / "state.pt").read_bytes() == before
    for start in (weights(tmp_path / "c.safetensors", 1), None):
        with pytest.raises(SpecError, match=r"another recipe.*the pictures"):
            train(recipe.model_copy(update={"start": start}), tmp_path / "run", "cpu", quiet=True)


def test_a_report_knows_a_run_by_the_tensors_it_begins_from_not_by_their_place(tmp_path):
    files = {name: weights(tmp_path / f"{name}.safetensors", seed) for name, seed in (("a", 0), ("b", 0), ("c", 1))}
    keys = {}
    for name in (*files, None):
        start = {"start": f"{name}.safetensors"} if name else {}
        spec = spec_with(tmp_path, **start)
        course = courses(spec, Store(tmp_path / "cache"), "cpu")["tiny"]
        assert course.recipe.start == (files[name] if name else None)
        keys[name] = course.keys[0]
    assert keys["a"] == keys["b"]
    assert len(set(keys.values())) == 3
    spec = spec_with(tmp_path, start="lost.safetensors")
    with pytest.raises(SpecError, match=r"yaml:\d+.*lost.safetensors cannot be read"):
        courses(spec, Store(tmp_path / "cache"), "cpu")


def test_paths_are_relative_to_the_recipe_and_names_are_not(tmp_path):
    path = write_spec(tmp_path, {**RECIPE, "arch": "resnet_mini", "start": "a.safetensors"}, "recipe.yaml")
    assert load_recipe(path).start == str(Path(tmp_path / "a.safetensors").resolve())
    path = write_spec(tmp_path, {**RECIPE, "arch": "resnet_mini", "start": "vgg_mini"}, "recipe.yaml")
    assert load_recipe(path).start == "vgg_mini"
