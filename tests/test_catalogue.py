"""Methods and nets as JSON: what other programs read is complete and true."""

import json
import subprocess
import sys
from dataclasses import fields

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from reportgen.cli import app
from reportgen.errors import ReportError
from reportgen.methods import methods
from reportgen.nets import load_net
from reportgen.spec_params import make_params

METHOD = {
    "name": str, "title": str, "caption": str, "citation": str, "scope": str, "takes": list, "version": int,
    "needs": list, "uses": list, "params": dict, "arrays": dict, "doc": str,
}  # fmt: skip
NET = {
    "arch": str, "builder": str, "parameters": int, "flops": int, "depth": int, "weights": dict, "preprocess": dict,
    "basis": dict, "classes": list, "stages": dict, "aliases": dict, "global_pooling": bool,
    "rectified": bool, "facts": dict, "numbers": dict, "layers": list,
}  # fmt: skip


def told_text(*arguments):
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def told(*arguments):
    return json.loads(told_text(*arguments))


def test_every_method_is_told_with_all_its_params():
    listed = told("methods", "--json")
    assert [one["name"] for one in listed] == list(methods())
    for one in listed:
        assert {key: type(value) for key, value in one.items()} == METHOD
        known = methods()[one["name"]]
        assert list(one["params"]) == [entry.name for entry in fields(known.params) if entry.init]
        for param in one["params"].values():
            shape = {"type": dict, "in": str, "choices": list, "limits": dict, "doc": str}
            assert {key: type(value) for key, value in param.items() if key != "default"} == shape
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
    known = {"type": {"type": "string"}, "in": "layers", "choices": [], "limits": {}, "default": "stage3"}
    assert params["layer"] == known | {"doc": params["layer"]["doc"]}
    assert told("methods", "smoothgrad", "--json")["params"]["samples"]["type"]["type"] == "integer"


def test_choices_and_limits_are_those_that_the_documentation_tells():
    params = {one["name"]: one["params"] for one in told("methods", "--json")}
    assert params["deconvnet"]["start"]["choices"] == ["strongest", "map"]
    assert params["integrated_gradients"]["rule"]["choices"] == ["gauss-legendre", "riemann"]
    assert params["tsne"]["grid"]["choices"] == [True, False]
    assert params["saliency"]["target"]["choices"] == []  # any class
    assert params["probe"]["repeats"]["limits"] == {"minimum": 1, "maximum": 20}  # "1 to 20"
    assert params["faithfulness"]["blur"]["limits"] == {"exclusiveMinimum": 0, "maximum": 0.25}
    assert params["tsne"]["pca"]["limits"] == {}  # 0 means something else than a number of axes
    assert params["ppgn"]["samples"]["limits"] == {}  # multiples of the chains


@pytest.mark.parametrize("name", list(methods()))
def test_limits_are_where_the_method_begins_to_refuse(name):
    for key, param in told("methods", name, "--json")["params"].items():
        whole = any("integer" in kind.values() for kind in (param["type"], *param["type"].get("anyOf", ())))
        for keyword, bound in param["limits"].items():
            beyond = (1 if whole else 1e-3) * (-1 if "inimum" in keyword else 1)
            if keyword.startswith("exclusive"):
                make_params(methods()[name], {key: bound - beyond * 1e-2})
            else:
                make_params(methods()[name], {key: bound})
            with pytest.raises(ReportError):
                make_params(methods()[name], {key: bound if keyword.startswith("exclusive") else bound + beyond})


def section_from(entry):
    """What another program writes who knows nothing but the JSON of a method and docs/json.md."""
    section = {"id": entry["name"], "title": entry["title"], "text": entry["caption"], "method": entry["name"]}
    section |= {"images": ["a", "b"]} if "images" in entry["takes"] else {}
    section |= {"dataset": "own"} if "dataset" in entry["takes"] else {}
    for key, param in entry["params"].items():
        if param.get("default") is None:
            continue
        if param["in"] == "params":
            section.setdefault("params", {})[key] = param["default"]
        else:
            section[param["in"]] = [param["default"]] if param["in"] == "layers" else param["default"]
    return section


def test_another_program_can_write_sections_of_every_method_from_the_json_alone(tmp_path):
    listed = json.loads(told_text("methods", "--json"))
    for name in ("a", "b"):
        Image.fromarray(np.full((64, 64, 3), 99, np.uint8)).save(tmp_path / f"{name}.png")
    points = {"left": [10, 10], "right": [40, 40]}
    spec = {
        "title": "From JSON",
        "models": {"old": {"arch": "vgg_mini", "weights": "random"}, "net": {"arch": "vgg_mini", "before": "old"}},
        "images": {name: {"source": f"{name}.png", "label": "cat", "points": points} for name in ("a", "b")},
        "datasets": {"own": {"source": "rendered:objects", "n": 20}},
        "sections": [section_from(entry) for entry in listed],
    }
    (tmp_path / "spec.yaml").write_text(json.dumps(spec))  # which is YAML
    done = CliRunner().invoke(
        app, ["check", str(tmp_path / "spec.yaml"), "--cache", str(tmp_path / "store"), "--device", "cpu"]
    )
    assert done.exit_code == 0, done.output + str(done.exception)
    assert f"{len(listed)} sections" in done.output


def test_the_same_is_told_twice_in_the_same_order():
    assert told_text("methods", "--json") == told_text("methods", "--json")
    assert list(told("nets", "resnet_mini", "--json")) == list(NET)
    assert list(told("methods", "saliency", "--json")) == list(METHOD)


def test_methods_are_told_without_torch():
    code = "import sys; sys.modules['torch'] = sys.modules['torchvision'] = None\n"
    code += "sys.argv = ['reportgen', 'methods', '--json']\nfrom reportgen.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [one["name"] for one in json.loads(done.stdout)] == list(methods())


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
