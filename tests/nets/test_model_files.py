"""Nets in files of other formats: the same net as from a state dict, whatever it is looked at with."""

from dataclasses import asdict

import numpy as np
import pytest
import torch

import reportgen
from reportgen import load_net
from reportgen.errors import ModelError
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
            known[arch, ending] = load_net(str(path), device="cpu", preprocess={"size": model_files.SIZE})
        if arch not in known:
            known[arch] = model_files.by_state_dict(arch, folder)
        return known[arch], known[arch, ending]

    return load


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("arch", model_files.NETS)
def test_a_file_gives_the_logits_of_the_state_dict_for_any_number_of_pictures(pair, arch, ending):
    true, found = pair(arch, ending)
    x = model_files.picture_batch(3)
    with torch.no_grad():
        np.testing.assert_allclose(found.module(x), true.module(x), atol=1e-4)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("arch", model_files.NETS)
def test_a_file_gives_the_same_projections_saliency_and_grad_cam(pair, arch, ending):
    true, found = pair(arch, ending)
    picture = tiny.photo(2)
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
    assert (found.depth, found.flops, found.parameters) == (true.depth, true.flops, true.parameters)
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
