"""Keys: equal meanings give equal keys, different ones do not, and what has no one meaning is refused."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

import pytest

from reportgen.keys import canonical, digest

DOCUMENT = {"b": [1, 2.5, None], "a": {"é": "é", "x": True}}


def test_canonical_form_sorts_keys_and_composes_accents():
    assert canonical(DOCUMENT) == '{"a":{"x":true,"é":"é"},"b":[1,2.5,null]}'


def test_digest_is_the_same_in_every_process_and_with_every_hash_seed():
    code = f"from reportgen.keys import digest; print(digest({DOCUMENT!r}))"
    for seed in ("0", "1"):
        out = subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert out.stdout.strip() == digest(DOCUMENT)


def test_digest_has_not_changed_since_the_first_release():
    # sha256 of the canonical text above, computed with sha256sum
    assert digest({"a": 1}) == "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1: 2}, {"a", "b"}, b"bytes", object()])
def test_what_has_no_one_meaning_is_refused(value):
    with pytest.raises((TypeError, ValueError)):
        digest(value)


def test_a_dataclass_and_tuples_mean_what_their_dict_and_lists_mean():
    @dataclass(frozen=True)
    class Params:
        sides: tuple[int, int] = (1, 2)

    assert digest(Params()) == digest({"sides": [1, 2]})


@pytest.mark.parametrize("other", [{"a": 2}, {"b": 1}, {"a": "1"}, {"a": 1.0}, {"a": [1]}, {"a": True}])
def test_a_different_document_has_a_different_digest(other):
    assert digest(other) != digest({"a": 1})
