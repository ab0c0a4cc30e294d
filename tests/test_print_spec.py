"""What a spec may ask of poster, handout and the one-file report, and what it is told when it asks for what is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reportgen.errors import SpecError
from reportgen.spec import check_files, read_spec

BASE = {
    "title": "A report",
    "authors": ["Ada", "Bob"],
    "models": {"a": {"arch": "alexnet_mini"}},
    "images": {"cat": {"source": "skimage:chelsea"}},
    "sections": [{"id": "says", "method": "prediction"}],
}


def _read(folder: Path, **changes):
    file = folder / "spec.yaml"
    file.write_text(json.dumps(BASE | changes), encoding="utf-8")
    return read_spec(file)


def test_everything_can_be_asked_for(tmp_path):
    poster = {"template": "billboard", "size": "36x48in", "bleed": "0.125in", "message": "One.", "logos": "a.svg"}
    outputs = {"poster": poster, "handout": {"sections": ["says.*.cat"]}, "single": {}}
    spec = _read(tmp_path, outputs=outputs, affiliations={"X": "Ada", "Y": ["Ada", "Bob"]})
    assert spec.outputs.poster.bleed_millimetres == pytest.approx(3.175)
    assert spec.outputs.poster.millimetres == pytest.approx((914.4, 1219.2))
    assert spec.outputs.poster.sections == ("says",)
    assert spec.outputs.handout.sections == ("says.*.cat",)
    assert spec.affiliation == "X; Y"
    (problem,) = check_files(spec)
    assert problem.endswith("there is no file a.svg.")


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        ({"poster": {"bleed": "3"}}, "bleed should be a length such as 3mm"),
        ({"poster": {"bleed": "5cm"}}, "at most 20mm"),
        ({"poster": {"template": "wall"}}, "classic"),
        ({"poster": {"sections": ["sais.a.cat"]}}, "unknown section 'sais'"),
        ({"handout": {"size": "A4"}}, "unknown key 'size'"),
        ({"single": {"sections": ["nothing"]}}, "unknown section 'nothing'"),
    ],
)
def test_what_cannot_be_is_named(tmp_path, outputs, said):
    with pytest.raises(SpecError) as raised:
        _read(tmp_path, outputs=outputs)
    assert said in str(raised.value)


def test_an_affiliation_names_authors_only(tmp_path):
    with pytest.raises(SpecError, match=r"affiliations names 'Eve' at 'X', who is no author\. Known: Ada, Bob\."):
        _read(tmp_path, affiliations={"X": ["Eve"]})


def test_paths_of_an_extended_spec_lead_from_its_own_folder(tmp_path):
    (tmp_path / "sub").mkdir()
    _read(tmp_path, outputs={"poster": {"logos": ["pictures/logo.svg"]}})
    file = tmp_path / "sub" / "own.yaml"
    file.write_text("extends: ../spec.yaml\ntitle: Other\n", encoding="utf-8")
    assert read_spec(file).outputs.poster.logos == ("../pictures/logo.svg",)
