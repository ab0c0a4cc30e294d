"""Passes over data sets: one for all methods, in parts that are kept, whatever breaks or is interrupted."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from reportgen import passes
from reportgen.cells import key_document
from reportgen.errors import ImageError, MethodError, NotApplicable
from reportgen.passes import Job, scan
from reportgen.records import Artifact, Method, Scan
from reportgen.store import Corrupt, Store
from tests import tiny


@dataclass(frozen=True)
class Params:
    """A layer, and whether chunk breaks at a place."""

    layer: str = field(default="last_conv", metadata={"doc": "a layer"})
    breaks: int = field(default=-1, metadata={"doc": "a place"})


def chunk(net, batch, params):
    if params.breaks in batch.places:
        raise MethodError(f"It broke at {params.breaks}.")
    value = batch.values[params.layer]
    return {
        "place": np.array(batch.places),
        "label": np.array(batch.labels),
        "target": np.array(batch.targets),
        "strongest": value.flatten(1).amax(1).float().numpy(),
        "noise": np.array([rng.random() for rng in batch.rngs]),
        "dark": np.array([float(example.mask.mean()) for example in batch.examples]),
    }


def finish(net, data, partial, params, rng):
    return Artifact(dict(partial), {"classes": list(data.classes)})


def method(name="look", **more):
    made = Scan(chunk, finish, layers=lambda net, params: [params.layer], **more)
    return Method(name, name, "", "k", "dataset", 1, Params, lambda artifact: [], {"place": "N"}, scan=made)


def job(net, data, made=None, **params):
    made, params = made or method(), Params(**params)
    document = key_document(
        made, params, net.card, image=None, dataset=data.digest(), uses={}, precision="fp32", seed=0
    )
    return Job(made, params, document)


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch):
    monkeypatch.setattr(passes, "BATCH", 4)
    monkeypatch.setattr(passes, "PART", 8)


def look(net, data, jobs, store, said=None):
    found = scan(net, data, jobs, store, lambda text: said.append(text) if said is not None else None)
    assert all(found[one.key].seconds > 0 for one in jobs)
    return [found[one.key].result for one in jobs]


def test_a_pass_gives_what_a_plain_loop_gives_in_the_order_of_the_set(tmp_path):
    net, data = tiny.tiny_net("plain"), tiny.dataset(21)
    (artifact,) = look(net, data, [job(net, data)], Store(tmp_path))
    assert artifact.arrays["place"].tolist() == list(range(21))
    assert artifact.arrays["label"].tolist() == [place % 4 for place in range(21)]
    assert artifact.arrays["target"].tolist() == [(0, 1, 2, -1)[place % 4] for place in range(21)]
    assert artifact.numbers["pictures"] == 21
    layer = net.card.resolve("last_conv").name
    for place in (0, 7, 20):
        x = net.preprocess([data.load(place).picture])
        assert artifact.arrays["dark"][place] == data.load(place).mask.mean()
        from reportgen import hooks

        truth = hooks.run_to(net, x, [layer])[layer].max().item()
        assert artifact.arrays["strongest"][place] == pytest.approx(truth, rel=1e-5)


def test_however_it_is_cut_the_artifact_is_the_same(tmp_path, monkeypatch):
    net, data = tiny.tiny_net("plain"), tiny.dataset(21)
    cut = []
    for number, (batch, part) in enumerate([(4, 8), (2, 6), (7, 21), (8, 64)]):
        monkeypatch.setattr(passes, "BATCH", batch)
        monkeypatch.setattr(passes, "PART", part)
        cut.append(look(net, data, [job(net, data)], Store(tmp_path / str(number)))[0])
    for other in cut[1:]:
        for name, array in cut[0].arrays.items():
            assert np.allclose(array, other.arrays[name], rtol=1e-5), name
        assert other.arrays["noise"].tolist() == cut[0].arrays["noise"].tolist()


def test_an_interrupted_pass_goes_on_where_it_stood_and_ends_with_the_same_bytes(tmp_path, monkeypatch):
    net, data = tiny.tiny_net("plain"), tiny.dataset(30)
    seen = []

    def watched(place, fail=None):
        seen.append(place)
        if place == fail:
            raise KeyboardInterrupt
        return tiny.example(place)

    whole = look(net, data, [job(net, data)], Store(tmp_path / "whole"))[0]
    store = Store(tmp_path / "cut")
    with pytest.raises(KeyboardInterrupt):
        look(net, replace(data, load=lambda place: watched(place, fail=25)), [job(net, data)], store)
    seen.clear()
    again = look(net, replace(data, load=watched), [job(net, data)], store)[0]
    assert min(seen) == 24, "three parts of eight were kept"
    assert all(array.tobytes() == whole.arrays[name].tobytes() for name, array in again.arrays.items())
    seen.clear()
    look(net, replace(data, load=watched), [job(net, data)], store)
    assert seen == [], "what is known is not looked at again"


def test_pictures_that_cannot_be_read_are_left_out_counted_and_named(tmp_path):
    net, data = tiny.tiny_net("plain"), tiny.dataset(20, broken=(0, 8, 9, 10, 11, 12, 13, 14, 15))
    (artifact,) = look(net, data, [job(net, data)], Store(tmp_path))
    assert artifact.arrays["place"].tolist() == [1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19]
    assert artifact.numbers["pictures"] == 11
    assert artifact.numbers["skipped"] == 9
    assert artifact.numbers["unreadable"][0] == ["0.png", "The image 0 cannot be read."]
    data = tiny.dataset(5, broken=range(5))
    (error,) = look(net, data, [job(net, data)], Store(tmp_path))
    assert isinstance(error, MethodError)
    assert "None of the 5 pictures of discs can be read. The first says: The image 0" in str(error)


def test_one_pass_serves_all_methods_and_one_that_breaks_breaks_alone(tmp_path, monkeypatch):
    net, data = tiny.tiny_net("plain"), tiny.dataset(12)
    loaded, passed = [], []
    run_to = passes.hooks.run_to
    monkeypatch.setattr(passes.hooks, "run_to", lambda *given: passed.append(given[2]) or run_to(*given))
    counted = replace(data, load=lambda place: loaded.append(place) or tiny.example(place))
    jobs = [job(net, data), job(net, data, layer="stage2"), job(net, data, method("other"), breaks=6)]
    one, two, three = look(net, counted, jobs, Store(tmp_path))
    assert loaded == list(range(12))
    assert [len(names) for names in passed] == [2, 2, 2], "both layers from one pass per batch"
    assert not np.allclose(one.arrays["strongest"], two.arrays["strongest"])
    assert isinstance(three, MethodError)
    alone = look(net, data, [job(net, data, layer="stage2")], Store(tmp_path / "alone"))[0]
    assert np.allclose(alone.arrays["strongest"], two.arrays["strongest"], rtol=1e-6)


def test_a_merge_of_its_own_is_used_and_a_damaged_part_is_noticed(tmp_path):
    def strongest(partials):
        return {name: np.concatenate([p[name] for p in partials])[-3:] for name in partials[0]}

    net, data, store = tiny.tiny_net("plain"), tiny.dataset(20), Store(tmp_path)
    made = job(net, data, method(merge=strongest))
    (artifact,) = look(net, data, [made], store)
    assert artifact.arrays["place"].tolist() == [17, 18, 19]
    record = store.get(passes.digest(made.part(1)))
    path = store.blob_path(record.blobs[passes.cells.BLOB])
    path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(Corrupt):
        look(net, data, [made], store)
    (again,) = look(net, data, [made], store)
    assert again.arrays["place"].tolist() == [17, 18, 19]


def test_memory_that_does_not_suffice_halves_the_batch(tmp_path):
    import torch

    sizes = []

    def hungry(net, batch, params):
        sizes.append(len(batch.places))
        if len(batch.places) > 2:
            raise torch.OutOfMemoryError("no memory")
        return chunk(net, batch, params)

    net, data = tiny.tiny_net("plain"), tiny.dataset(8)
    made = replace(method(), scan=replace(method().scan, chunk=hungry))
    (artifact,) = look(net, data, [job(net, data, made)], Store(tmp_path))
    assert sizes == [4, 2, 2, 4, 2, 2]
    assert artifact.arrays["place"].tolist() == list(range(8))


def test_a_class_goes_by_any_of_its_names():
    net = tiny.tiny_net("plain")
    assert passes.class_of(net, "Tabby Cat") == 0
    assert passes.class_of(net, "tench, Tinca tinca") == 5
    assert passes.class_of(net, "Tinca tinca, tench") == 5
    assert passes.class_of(net, "zebra") == -1


def test_compute_looks_over_a_set_and_says_what_is_wrong(monkeypatch):
    import reportgen
    from reportgen import computing

    net, made = tiny.tiny_net("plain"), method()
    monkeypatch.setattr(
        computing, "methods", lambda: {"look": made, "masked": replace(made, needs=frozenset({"masks"}))}
    )
    artifact = reportgen.compute("look", net, tiny.dataset(9))
    assert artifact.numbers["pictures"] == 9
    with pytest.raises(MethodError, match="looks over a data set"):
        reportgen.compute("look", net, tiny.photo())
    with pytest.raises(NotApplicable, match="without masks"):
        reportgen.compute("masked", net, tiny.dataset(4, masks=False))
    with pytest.raises(ImageError):
        tiny.dataset(3, broken=(1,)).load(1)
