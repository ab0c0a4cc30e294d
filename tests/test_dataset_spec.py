"""What is wrong with a spec's data sets is said with its place; `reportgen fetch` brings those of torchvision."""

import hashlib
import http.server
import io
import pickle
import tarfile
import threading
import zipfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reportgen import dataset_fetch
from reportgen.datasets import open_dataset, published_file
from reportgen.errors import SpecError
from reportgen.records import Method
from reportgen.spec import check_files, read_spec


@dataclass(frozen=True)
class Nothing:
    pass


SPEC = """\
title: Nets
models: {vgg: {arch: vgg_mini}}
images: {cat: {source: "skimage:chelsea", label: cat}}
sections:
  - {id: one, method: score, dataset: val}
datasets:
  val: {source: data}
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    methods = {
        name: Method(name, name, "caption", "key2020", scope, 1, Nothing, lambda _: [], {})
        for name, scope in (("score", "dataset"), ("gaze", "image"), ("table", "net"), ("match", "images"))
    }
    monkeypatch.setattr("reportgen.methods.methods", lambda: methods)
    monkeypatch.chdir(tmp_path)
    for name in ("data/cat/1.png", "data/dog/2.png", "heap/1.png", "heap/2.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (3, 2)).save(tmp_path / name)

    def written(old="", new="", text=SPEC):
        Path("spec.yaml").write_text(text.replace(old, new) if old else text)
        return Path("spec.yaml")

    return written


def test_a_good_data_set_is_read_with_its_settings(write):
    new = "{source: 'rendered:objects', n: 20, seed: 3, size: 64, title: World}"
    spec = read_spec(write("{source: data}", new))
    made = spec.datasets["val"]
    assert (made.n, made.seed, made.size, made.labels, made.title) == (20, 3, 64, None, "World")
    assert check_files(spec) == []
    assert check_files(read_spec(write())) == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("{source: data}", "{source: 'rendered:object'}", "7:17: there is no rendered world 'object'. Did you mean"),
        ("{source: data}", "{source: 'torchvsion:cifar10'}", "7:17: there is no kind of data set 'torchvsion:'. Did"),
        ("{source: data}", "{source: data, size: 64}", "7:23: the data set data takes no size; only rendered:"),
        (
            "{source: data}",
            "{source: 'images:', labels: a.txt}",
            "7:28: the data set images: takes no labels file; only",
        ),
        ("{source: data}", "{source: data, label: a}", "7:23: unknown key 'label'. Did you mean 'labels'?"),
        ("{source: data}", "{source: data, n: 0}", "7:26: n should be greater than or equal to 1, not 0."),
        ("{source: data}", "{source: data, labels: 3}", "7:31: labels should be text, not 3; put it in quotes."),
        ("dataset: val", "dataset: vall", "5:39: unknown dataset 'vall'. Did you mean 'val'?"),
        (", dataset: val", "", "5:23: score looks at a data set; give the section `dataset:`. Known: val."),
        ("score", "gaze", "5:29: gaze takes no dataset; it looks at photos."),
        ("score", "match", "5:30: match takes no dataset; it looks at photos."),
        ("score", "table", "5:30: table takes no dataset; it looks at the net alone."),
    ],
)
def test_a_mistake_is_named_with_its_place(write, old, new, problem):
    with pytest.raises(SpecError) as caught:
        read_spec(write(old, new))
    assert str(caught.value).startswith(f"spec.yaml:{problem}")
    assert "\n" not in str(caught.value)


def test_patches_want_images(write):
    text = SPEC.replace("{source: data}", "{source: 'patches:'}").replace(
        'images: {cat: {source: "skimage:chelsea", label: cat}}\n', ""
    )
    with pytest.raises(SpecError, match=r"spec\.yaml:6:17: patches: means the spec's own images; name at least one"):
        read_spec(write(text=text))


@pytest.mark.parametrize(
    ("new", "problem"),
    [
        ("{source: gone}", "7:17: there is no folder or .zip gone."),
        ("{source: heap}", "7:17: the data heap holds no pictures in class folders, such as cat/1.jpg; 2 lie"),
        ("{source: heap, labels: gone.txt}", "7:31: the labels file gone.txt cannot be read: No such file"),
        ("{source: heap, labels: one.txt}", "7:31: the labels file one.txt has 1 labels for the 2 pictures of heap"),
        ("{source: 'torchvision:cifar10'}", "7:17: the data set torchvision:cifar10 is not here: cifar10-test.zip"),
        ("{source: 'rendered:objects', size: 7}", "7:17: the rendered world 'objects' cannot be drawn with 7 pixels"),
    ],
)
def test_check_opens_the_sets(write, monkeypatch, tmp_path, new, problem):
    monkeypatch.setenv("REPORTGEN_CACHE", str(tmp_path / "cache"))
    (tmp_path / "one.txt").write_text("cat\n")
    (found,) = check_files(read_spec(write("{source: data}", new)))
    assert found.startswith(f"spec.yaml:{problem}")


def tar(path, members):
    """A .tgz with these files, and its MD5."""
    with tarfile.open(path, "w:gz") as made:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            made.addfile(info, io.BytesIO(content))
    return path.name, hashlib.md5(path.read_bytes()).hexdigest()


def cifar(batch):
    """The files of a small CIFAR-10 with this test batch, pickled as by Python 2."""
    files = {"test_batch": pickle.dumps(batch, 2), "batches.meta": pickle.dumps({"label_names": ["plane", "cat"]}, 2)}
    return files, {name: hashlib.md5(content).hexdigest() for name, content in files.items()}


@pytest.fixture
def server(tmp_path):
    """The address of the test's own folder."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path)))
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{made.server_port}"
    made.shutdown()
    made.server_close()
    thread.join()


@pytest.fixture
def offer_cifar(monkeypatch, tmp_path, server):
    """Puts a small CIFAR-10 where torchvision looks for the real one."""
    from torchvision.datasets import CIFAR10

    monkeypatch.setenv("REPORTGEN_CACHE", str(tmp_path / "cache"))

    def offered(batch):
        files, sums = cifar(batch)
        url, md5 = tar(tmp_path / CIFAR10.filename, {f"cifar-10-batches-py/{name}": c for name, c in files.items()})
        monkeypatch.setattr(CIFAR10, "url", f"{server}/{url}")
        monkeypatch.setattr(CIFAR10, "tgz_md5", md5)
        monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
        monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": sums["batches.meta"]})

    return offered


def fetched(spec):
    said = []
    return dataset_fetch.fetch(spec, said.append), said


def left(folder):
    return sorted(path.name for path in Path(folder).rglob("*") if path.is_file())


def test_cifar10_is_fetched_once_and_read_as_it_was(write, offer_cifar, tmp_path):
    data = np.random.default_rng(0).integers(0, 256, (3, 3072), np.uint8)
    offer_cifar({"data": data, "labels": [1, 0, 1], "batch_label": "x"})
    spec = read_spec(write("{source: data}", "{source: 'torchvision:cifar10'}"))
    problems, said = fetched(spec)
    assert problems == []
    assert said[0] == "val: downloading CIFAR-10 (test)"
    assert said[1].startswith("val: fetched CIFAR-10 (test), 3 pictures")
    assert fetched(spec) == ([], ["val: CIFAR-10 (test) is here"])
    assert left(tmp_path / "cache") == ["cifar10-test.zip"]
    assert check_files(spec) == []
    made = open_dataset("torchvision:cifar10", base=tmp_path)
    assert made.classes == ("cat", "plane")
    assert made.names == ("cat/00000.png", "cat/00002.png", "plane/00001.png")
    wanted = data[2].reshape(3, 32, 32).transpose(1, 2, 0)
    assert np.array_equal(np.rint(made.load(1).picture * 255), wanted)


class Evil:
    def __reduce__(self):
        return (Path.touch, (Path("run"),))


def test_a_pickle_that_would_run_code_runs_none(write, offer_cifar, tmp_path):
    offer_cifar({"data": Evil(), "labels": []})
    spec = read_spec(write("{source: data}", "{source: 'torchvision:cifar10'}"))
    (problem,), _ = fetched(spec)
    assert problem.startswith("val: CIFAR-10 (test) could not be fetched: it asks for ")
    assert not Path("run").exists()
    assert left(tmp_path / "cache") == []


def test_a_wrong_hash_and_a_dead_host_are_told(write, offer_cifar, tmp_path, monkeypatch):
    from torchvision.datasets import CIFAR10

    offer_cifar({"data": np.zeros((1, 3072), np.uint8), "labels": [1]})
    monkeypatch.setattr(CIFAR10, "tgz_md5", "0" * 32)
    spec = read_spec(write("{source: data}", "{source: 'torchvision:cifar10'}"))
    (problem,), _ = fetched(spec)
    assert problem.startswith("val: CIFAR-10 (test) could not be fetched: ")
    monkeypatch.setattr(CIFAR10, "url", "http://127.0.0.1:9/x.tgz")
    (problem,), _ = fetched(spec)
    assert "could not reach 127.0.0.1" in problem
    assert left(tmp_path / "cache") == []


def test_imagenette_is_fetched_with_all_names_of_its_classes(write, tmp_path, monkeypatch, server):
    from torchvision.datasets import Imagenette

    monkeypatch.setenv("REPORTGEN_CACHE", str(tmp_path / "cache"))
    made = io.BytesIO()
    Image.new("RGB", (9, 9)).save(made, "JPEG")
    names = [f"imagenette2-320/{split}/{wnid}/{wnid}_1.JPEG" for split in ("train", "val") for wnid in ("n01440764",)]
    files = dict.fromkeys([*names, names[1].replace("_1", "_2")], made.getvalue())
    url, md5 = tar(tmp_path / "imagenette2-320.tgz", files)
    monkeypatch.setattr(Imagenette, "_ARCHIVES", {**Imagenette._ARCHIVES, "320px": (f"{server}/{url}", md5)})
    spec = read_spec(write("{source: data}", "{source: 'torchvision:imagenette', n: 1}"))
    problems, said = fetched(spec)
    assert problems == []
    assert said[-1].startswith("val: fetched Imagenette (validation), 2 pictures")
    assert left(tmp_path / "cache") == [published_file("imagenette").name]
    assert zipfile.ZipFile(published_file("imagenette")).testzip() is None
    found = open_dataset("torchvision:imagenette", base=tmp_path)
    assert found.classes == ("tench, Tinca tinca",)
    assert found.load(1).picture.shape == (9, 9, 3)


def test_fetch_tells_what_it_did(write, offer_cifar, monkeypatch):
    from typer.testing import CliRunner

    from reportgen.cli import app

    offer_cifar({"data": np.zeros((2, 3072), np.uint8), "labels": [0, 1]})
    done = CliRunner().invoke(app, ["fetch", str(write("{source: data}", "{source: 'torchvision:cifar10'}"))])
    assert done.exit_code == 0
    assert "val: fetched CIFAR-10 (test), 2 pictures" in done.output
    assert "vgg: vgg_mini is here" in done.output
