"""Nets in files of other formats: the same net as from a state dict, whatever it is looked at with."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch

import reportgen
from reportgen import load_net
from reportgen.errors import ModelError
from reportgen.images import view
from reportgen.nets import onnx_files, timm_nets, views
from reportgen.nets.weights import resolve
from reportgen.records import Preprocess
from reportgen.spec import check_files, read_spec
from tests import tiny
from tests.families import cosine
from tests.nets import model_files

ENDINGS = tuple(model_files.WRITERS)
RULES = ("switches", "no_switches", "guided", "gradient")


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """The net from its state dict and the same one from a file of another format; made once for all tests."""
    known = {}

    def load(arch, ending):
        folder = tmp_path_factory.getbasetemp() / "model_files"
        folder.mkdir(exist_ok=True)
        if (arch, ending) not in known:
            path = folder / f"{arch}{ending}"
            model_files.WRITERS[ending](arch, path)
            known[arch, ending] = load_net(str(path), device="cpu", preprocess={"size": model_files.size(arch)})
        if arch not in known:
            known[arch] = model_files.by_state_dict(arch, folder)
        return known[arch], known[arch, ending]

    return load


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("arch", model_files.NETS)
def test_a_file_gives_the_logits_of_the_state_dict_for_any_number_of_pictures(pair, arch, ending):
    true, found = pair(arch, ending)
    x = model_files.picture_batch(3, model_files.size(arch))
    with torch.no_grad():
        np.testing.assert_allclose(found.module(x), true.module(x), atol=1e-4)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("arch", model_files.NETS)
def test_a_file_gives_the_same_projections_saliency_and_grad_cam(pair, arch, ending):
    true, found = pair(arch, ending)
    picture = tiny.photo(2, model_files.size(arch))
    deepest = [max(set(true.card.stages) & set(found.card.stages))]
    asked = {"saliency": {}, "grad_cam": {"layer": "last_conv"}, "deconvnet": {"layer": deepest[0], "units": [1, 4]}}
    for method, params in asked.items():
        one, other = (reportgen.compute(method, net, picture, **params) for net in (true, found))
        for name in RULES if method == "deconvnet" else ("map",):
            assert np.abs(one.arrays[name]).max() > 0
            assert cosine(one.arrays[name], other.arrays[name]) > 0.999, (method, name)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("arch", model_files.NETS)
def test_a_file_has_the_stages_depth_and_receptive_fields_of_the_net(pair, arch, ending):
    true, found = (net.card for net in pair(arch, ending))
    assert found.stages.keys() == true.stages.keys()
    for stage in (*true.stages, "first_conv", "last_conv"):
        one, other = true.resolve(stage), found.resolve(stage)
        assert (one.shape, one.stride, one.field, one.start) == (other.shape, other.stride, other.field, other.start)
    assert (found.depth, found.flops) == (true.depth, true.flops)
    folded = sum(layer.parameters for layer in true.layers if layer.kind == "BatchNorm2d") if "onnx" in ending else 0
    assert found.parameters <= true.parameters <= found.parameters + folded
    assert (found.global_pooling, found.rectified) == (true.global_pooling, true.rectified)
    assert len(found.classes) == len(true.classes)


@pytest.mark.parametrize("arch", model_files.FAMILIES)
def test_an_exported_program_keeps_every_layer_with_its_name(pair, arch):
    true, found = (net.card for net in pair(arch, ".pt2"))
    assert [asdict(layer) for layer in found.layers] == [asdict(layer) for layer in true.layers]
    assert (found.stages, found.aliases) == (true.stages, true.aliases)


@pytest.mark.parametrize("kind", sorted(tiny.KINDS))
def test_a_program_with_functions_in_place_is_the_net(kind, tmp_path):
    module = tiny.seeded(tiny.KINDS[kind])
    x = model_files.picture_batch(2)
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(module, (x,), dynamic_shapes=({0: batch},))
    torch.export.save(program, tmp_path / "net.pt2")
    net = load_net(str(tmp_path / "net.pt2"), device="cpu", precision="fp64", classes=tiny.CLASSES)
    with torch.no_grad():
        np.testing.assert_allclose(net.module(x.double()), module.double()(x.double()), rtol=1e-9)
    assert reportgen.compute("deconvnet", net, tiny.photo(), layer="last_conv", units=[0]).arrays["guided"].any()


def test_the_size_is_read_from_the_file_and_what_is_guessed_is_called_a_guess(tmp_path):
    path = tmp_path / "net.pt2"
    model_files.export_pt2("resnet_mini", path)
    card = load_net(str(path), device="cpu").card
    assert (card.preprocess.size, card.basis["size"]) == (64, "read from the file")
    assert card.basis["colours"].startswith("a guess")
    assert (card.arch, card.weights_source) == ("net.pt2", "net.pt2")  # and no path of the machine
    said = load_net(str(path), device="cpu", preprocess="tf").card
    assert (said.preprocess.mean, said.preprocess.std) == ((0.5,) * 3, (0.5,) * 3)
    assert said.basis == {"size": "read from the file", "colours": "given by the user"}


def test_weights_beside_a_model_file_are_refused(tmp_path):
    path = tmp_path / "net.pt2"
    path.write_bytes(b"PK")
    with pytest.raises(ModelError, match="holds net and weights: weights and kwargs mean nothing beside it"):
        load_net(str(path), weights="random", device="cpu")


def test_a_program_exported_in_training_mode_is_refused(tmp_path):
    module = tiny.residual().train()
    torch.export.save(torch.export.export(module, (model_files.picture_batch(2),)), tmp_path / "net.pt2")
    with pytest.raises(ModelError, match="written in training mode"):
        load_net(str(tmp_path / "net.pt2"), device="cpu")


def test_a_tensor_file_beside_an_onnx_file_counts_into_its_digest(tmp_path):
    path = tmp_path / "net.onnx"
    model_files.export_onnx("googlenet_mini", path)
    first = resolve(str(path), memo_dir=tmp_path / "memo").digest
    assert resolve(str(path), memo_dir=tmp_path / "memo").digest == first
    beside = tmp_path / "net.onnx.data"
    beside.write_bytes(bytes(reversed(beside.read_bytes())))
    assert resolve(str(path), memo_dir=tmp_path / "memo").digest != first


@pytest.mark.parametrize(("arch", "extra"), [("net.onnx", "onnx"), ("timm:resnet18", "timm")])
def test_an_extra_that_is_not_installed_is_named_in_one_line(arch, extra, tmp_path, monkeypatch):
    for module in (onnx_files, timm_nets):
        monkeypatch.setattr(module, "find_spec", lambda name: None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.onnx").write_bytes(b"x")
    with pytest.raises(ModelError) as caught:
        load_net(arch, weights=None if extra == "onnx" else "random", device="cpu")
    assert (
        str(caught.value) == f"{arch} needs the extra {extra}, which is not installed: pip install 'reportgen[{extra}]'"
    )


def test_a_net_of_timm_has_its_size_and_colours_and_fetches_nothing():
    timm = pytest.importorskip("timm", reason="the extra timm is not installed")
    net = load_net("timm:resnet18", weights="random", device="cpu", preprocess={"size": 64})
    told = timm.get_pretrained_cfg("resnet18")
    assert (net.card.preprocess.mean, net.card.preprocess.std) == (told.mean, told.std)
    assert "timm" in net.card.basis["colours"]
    assert list(net.card.stages) == ["stage1", "stage2", "stage3", "stage4", "stage5"]
    with pytest.raises(ModelError, match="timm has no net called 'resnet81'"):
        load_net("timm:resnet81", weights="random", device="cpu")
    with pytest.raises(ModelError, match="pretrained means nothing here"):
        load_net("timm:resnet18", weights="random", device="cpu", kwargs={"pretrained": True})
    with pytest.raises(ModelError, match="say which weights"):
        load_net("timm:resnet18", device="cpu")


def test_a_timm_net_takes_its_weights_from_a_file(tmp_path):
    timm = pytest.importorskip("timm", reason="the extra timm is not installed")
    true = tiny.seeded(lambda: timm.create_model("resnet10t", num_classes=5))
    torch.save(true.state_dict(), tmp_path / "net.pth")
    net = load_net("timm:resnet10t", weights=tmp_path / "net.pth", device="cpu", preprocess={"size": 64})
    x = model_files.picture_batch(2)
    with torch.no_grad():
        np.testing.assert_array_equal(net.module(x), true(x))


@pytest.mark.parametrize("name", ["net.pt", "net.torchscript"])
def test_a_format_that_is_not_opened_is_said_to_be_none_and_the_way_out_is_named(name):
    with pytest.raises(ModelError, match=r"no model file that reportgen opens; those end in .pt2, .onnx.*torch.export"):
        load_net(name, device="cpu")


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_caffes_preprocessing_is_what_caffe_does(order):
    true = load_net("vgg_mini", weights="random", seed=4, device="cpu", preprocess={"size": 64})
    asked = {"size": 64, "range": [0, 255], "order": order, "mean": [104, 117, 123], "std": [1, 2, 3]}
    found = load_net("vgg_mini", weights="random", seed=4, device="cpu", preprocess=asked)
    picture = tiny.photo(1, 73)
    seen = view(picture, true.card.preprocess).astype(np.float64) * 255  # S S 3, of 0 to 255
    fed = ((seen if order == "rgb" else seen[:, :, ::-1]) - [104, 117, 123]) / [1, 2, 3]  # as the net was trained
    x = torch.from_numpy(fed.copy()).float().permute(2, 0, 1)[None]  # 1 3 S S
    with torch.no_grad():
        np.testing.assert_allclose(found.module(found.preprocess([picture])), true.module(x), rtol=1e-3, atol=1e-4)
    assert found.card.basis == {"size": "given by the user", "colours": "given by the user"}


def test_named_preprocessing_is_that_of_the_frameworks():
    own = Preprocess(256, 224, (0.5,) * 3, (0.5,) * 3)
    caffe, _ = views.view_of(own, "caffe", {})
    np.testing.assert_allclose(np.array(caffe.mean) * 255, [123.68, 116.779, 103.939])
    assert (caffe.order, caffe.std) == ("bgr", (1 / 255,) * 3)
    assert views.view_of(own, "tf", {})[0] == own
    assert views.view_of(own, "torch", {})[0].mean == (0.485, 0.456, 0.406)
    assert views.view_of(own, {"range": [-1, 1]}, {})[0] == own
    assert "BGR" not in views.words(own)
    assert "BGR" in views.words(caffe)
    with pytest.raises(ModelError, match="no preprocessing called 'kaffe'"):
        views.view_of(own, "kaffe", {})
    with pytest.raises(ModelError, match="order must be rgb or bgr"):
        views.view_of(own, {"order": "grb"}, {})


def test_a_report_on_a_model_file_says_what_was_read_and_what_is_a_guess(tmp_path, monkeypatch):
    monkeypatch.setenv("REPORTGEN_CACHE", str(tmp_path / "cache"))
    model_files.export_pt2("resnet_mini", tmp_path / "mine.pt2")
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "title: A file\nmodels: {mine: {arch: mine.pt2}, other: {arch: mine.pt2, preprocess: caffe}}\n"
        "images: {cat: {source: 'skimage:chelsea'}}\n"
        "sections: [{id: saliency, title: Saliency, method: saliency}]\n"
    )
    assert check_files(read_spec(spec)) == []
    reportgen.build(spec, out=tmp_path / "out")
    page, other = ((tmp_path / "out" / "net" / f"{name}.html").read_text() for name in ("mine", "other"))
    assert "64 × 64 pixels (read from the file)" in page
    assert "(a guess: the file does not say)" in page
    assert "the net was made for BGR" in other
    assert "a guess" not in other
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert {cell["status"] for cell in report["cells"]} == {"ok"}
    assert len({cell["key"] for cell in report["cells"] if cell["method"] == "saliency"}) == 2
    (tmp_path / "mine.pt2").unlink()
    assert [line.partition(": ")[2] for line in check_files(read_spec(spec))] == [
        "there is no model file mine.pt2."
    ] * 2
