"""The runner: failures stay alone, what is done is kept, nothing is done twice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from reportgen import run
from reportgen.errors import MethodError, NotApplicable
from reportgen.plan import Plan
from reportgen.records import Artifact, Cell, Method
from reportgen.store import Corrupt, Store


@dataclass(frozen=True)
class Params:
    limit: int = 0


class Machine:
    """A method that notes how it was called and fails as a picture's name says."""

    def __init__(self):
        self.calls = []

    def __call__(self, net, inputs, params, rngs):
        names = [one.labels[0] for one in inputs]
        self.calls.append(names)
        if params.limit and len(names) > params.limit:
            raise MemoryError("out of memory")
        for name in names:
            if name == "bad":
                raise MethodError("this picture cannot be done")
            if name == "bug":
                raise ZeroDivisionError("division by zero")
            if name == "unfit":
                raise NotApplicable("no meaning here")
        values = [np.float32("nan") if name == "nan" else np.float32(len(name)) for name in names]
        return [
            Artifact({"x": np.array([value])}, {"draw": float(rng.random())})
            for value, rng in zip(values, rngs, strict=True)
        ]


@pytest.fixture
def machine():
    return Machine()


@pytest.fixture(autouse=True)
def no_files(monkeypatch):
    monkeypatch.setattr(run.images, "load_image", lambda source, base, crop: np.zeros((2, 2, 3), np.float32))


def make_plan(machine, names, limit=0, models=("net",)):
    method = Method("m", "M", "c", "k", "image", 1, Params, lambda artifact: [], {"x": "1"}, machine)
    images = {name: SimpleNamespace(source=name, crop=None, label=(name,)) for name in names}
    spec = SimpleNamespace(images=images, path=Path("spec.yaml"))
    cells = []
    for model in models:
        for name in names:
            document = {"method": {"name": "m"}, "params": {}, "image": name, "seed": 0, "net": model}
            key = f"{len(cells):064x}"
            cells.append(Cell(f"s.{model}.{name}", "s", "m", model, name, Params(limit), None, key, document))
    return Plan(spec, {"m": method}, dict.fromkeys(models), {}, tuple(cells), {})


def fill(plan, store, load=lambda model: SimpleNamespace(device="cpu")):
    steps = []
    return run.fill(plan, store, load, steps.append), steps


def test_cells_of_one_method_run_as_one_chunk_and_are_not_run_again(machine, tmp_path):
    plan, store = make_plan(machine, ["a", "bb", "ccc"]), Store(tmp_path)
    first, steps = fill(plan, store)
    second, none = fill(plan, store)
    assert machine.calls == [["a", "bb", "ccc"]]
    assert [outcome.load().arrays["x"][0] for outcome in second] == [1, 2, 3]
    assert [(outcome.cached, outcome.status) for outcome in first] == [(False, "ok")] * 3
    assert all(outcome.cached for outcome in second)
    assert len(steps) == 3
    assert not none


def test_one_bad_picture_fails_alone_and_is_tried_again(machine, tmp_path):
    plan, store = make_plan(machine, ["a", "bad", "c", "bug"]), Store(tmp_path)
    outcomes, _ = fill(plan, store)
    assert [outcome.status for outcome in outcomes] == ["ok", "failed", "ok", "failed"]
    assert outcomes[1].reason == "this picture cannot be done"
    assert outcomes[3].reason.startswith("ZeroDivisionError: division by zero")
    machine.calls.clear()
    fill(plan, store)
    assert sorted(name for call in machine.calls for name in call if len(call) == 1) == ["bad", "bug"]


def test_nan_is_a_failure_that_says_so(machine, tmp_path):
    outcomes, _ = fill(make_plan(machine, ["nan"]), Store(tmp_path))
    assert outcomes[0].status == "failed"
    assert "NaN" in outcomes[0].reason


def test_what_does_not_apply_is_kept_and_not_tried_again(machine, tmp_path):
    plan, store = make_plan(machine, ["unfit"]), Store(tmp_path)
    fill(plan, store)
    outcomes, _ = fill(plan, store)
    assert (outcomes[0].status, outcomes[0].reason) == ("not_applicable", "no meaning here")
    assert len(machine.calls) == 1


def test_out_of_memory_halves_the_chunk(machine, tmp_path):
    outcomes, _ = fill(make_plan(machine, [*"abcdefgh"], limit=2), Store(tmp_path))
    assert {outcome.status for outcome in outcomes} == {"ok"}
    assert [len(call) for call in machine.calls] == [8, 4, 2, 2, 4, 2, 2]


def test_a_net_that_cannot_be_loaded_fails_its_own_cells_only(machine, tmp_path):
    def load(model):
        if model == "broken":
            raise MethodError("no such weights")
        return SimpleNamespace(device="cpu")

    outcomes, _ = fill(make_plan(machine, ["a"], models=("broken", "net")), Store(tmp_path), load)
    assert [(outcome.status, outcome.reason) for outcome in outcomes] == [("failed", "no such weights"), ("ok", "")]


def test_all_nets_see_the_same_random_numbers(machine, tmp_path):
    outcomes, _ = fill(make_plan(machine, ["a", "b"], models=("one", "two")), Store(tmp_path))
    draws = [outcome.numbers["draw"] for outcome in outcomes]
    assert draws[:2] == draws[2:]
    assert draws[0] != draws[1]


def test_a_damaged_artifact_is_never_given_out(machine, tmp_path):
    plan, store = make_plan(machine, ["a"]), Store(tmp_path)
    outcomes, _ = fill(plan, store)
    blob = next((tmp_path / "blobs").glob("*/*"))
    blob.write_bytes(bytes(blob.stat().st_size))
    with pytest.raises(Corrupt):
        outcomes[0].load()
    again, _ = fill(plan, store)
    assert again[0].load().arrays["x"][0] == 1


def test_an_interruption_goes_through_and_keeps_what_was_done(machine, tmp_path):
    plan, store = make_plan(machine, [str(number) for number in range(run.CHUNK + 1)]), Store(tmp_path)

    def interrupt(name):
        if name.endswith(f".{run.CHUNK - 1}"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.fill(plan, store, lambda model: SimpleNamespace(device="cpu"), interrupt)
    outcomes, _ = fill(plan, store)
    assert sum(outcome.cached for outcome in outcomes) == run.CHUNK
