"""Methods and nets as JSON: what other programs read is complete and true."""

import json
from dataclasses import fields

import pytest
from typer.testing import CliRunner

from reportgen.cli import app
from reportgen.methods import methods
from reportgen.nets import load_net
from reportgen.spec_params import make_params

METHOD = {
    "name": str, "title": str, "caption": str, "citation": str, "scope": str, "version": int, "needs": list,
    "uses": list, "params": dict, "arrays": dict, "doc": str,
}  # fmt: skip
NET = {
    "arch": str, "builder": str, "parameters": int, "flops": int, "depth": int, "weights": dict, "preprocess": dict,
    "classes": list, "stages": dict, "aliases": dict, "global_pooling": bool, "rectified": bool, "facts": dict,
    "numbers": dict, "layers": list,
}  # fmt: skip


def told(*arguments):
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    return json.loads(done.stdout)


def test_every_method_is_told_with_all_its_params():
    listed = told("methods", "--json")
    assert [one["name"] for one in listed] == list(methods())
    for one in listed:
        assert {key: type(value) for key, value in one.items()} == METHOD
        known = methods()[one["name"]]
        assert list(one["params"]) == [entry.name for entry in fields(known.params) if entry.init]
        for param in one["params"].values():
            assert set(param) <= {"type", "doc", "default"}
            assert isinstance(param["type"], dict)
            assert param["doc"]
    assert told("methods", "deconvnet", "--json") in listed


@pytest.mark.parametrize("name", list(methods()))
def test_the_defaults_that_are_told_are_the_methods_own(name):
    one = told("methods", name, "--json")
    given = {key: param["default"] for key, param in one["params"].items() if "default" in param}
    if set(given) == set(one["params"]):
        assert make_params(methods()[name], given) == methods()[name].params()


def test_types_are_schemas_that_name_what_fits():
    params = told("methods", "deconvnet", "--json")["params"]
    assert params["layer"] == {"type": {"type": "string"}, "default": "stage3", "doc": params["layer"]["doc"]}
    assert told("methods", "smoothgrad", "--json")["params"]["samples"]["type"]["type"] == "integer"


def test_a_net_is_told_with_its_layers_stages_and_receptive_fields():
    one, card = told("nets", "resnet_mini", "--json"), load_net("resnet_mini", device="cpu").card
    assert {key: type(value) for key, value in one.items()} == NET
    assert one["classes"] == list(card.classes)
    assert one["stages"] == dict(card.stages)
    for layer, known in zip(one["layers"], card.layers, strict=True):
        assert layer["name"] == known.name
        assert layer["shape"] == list(known.shape)
        assert layer["field"] == (None if known.field is None else list(known.field))
    assert one["layers"][0]["field"] == [7, 7]  # of a first convolution of 7 x 7


def test_the_nets_are_listed_with_where_they_come_from():
    listed = {one["arch"]: one["origin"] for one in told("nets", "--json")}
    assert listed["vgg_mini"] == "mini"
    assert listed["vgg16"] == "torchvision"
