"""TorchScript files of other nets than our own, and what of them cannot be rebuilt."""

import hashlib
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional

from reportgen import load_net
from reportgen.errors import ModelError
from reportgen.nets.files import REBUILT
from reportgen.nets.weights import resolve
from tests import tiny
from tests.nets import model_files


def opened(module, path, how, size=tiny.SIZE, **asked):
    """A module written as TorchScript, and opened by us."""
    model_files.save_script(module, path, size, how)
    return load_net(str(path), device="cpu", preprocess={"size": size}, **asked)


def slim(arch, **kwargs):
    """A net of torchvision's with its own forward; the dense layers of the two largest are narrowed."""
    net = getattr(torchvision.models, arch)(weights=None, num_classes=7, **kwargs)
    if arch in ("alexnet", "vgg11_bn"):
        places = [place for place, part in enumerate(net.classifier) if isinstance(part, nn.Linear)]
        widths = [net.classifier[places[0]].in_features, 32, 32, 7]
        for place, width_in, width in zip(places, widths[:-1], widths[1:], strict=True):
            net.classifier[place] = nn.Linear(width_in, width)
    return net


TORCHVISION = {
    "alexnet": {},
    "vgg11_bn": {},
    "googlenet": {"init_weights": False, "transform_input": True},  # gives a named tuple when scripted
    "resnet18": {},
    "mobilenet_v2": {},
    "densenet121": {},  # lists that grow, branches that raise
    "shufflenet_v2_x0_5": {},  # reshapes by sizes of the input
}


@pytest.mark.parametrize("how", ["traced", "scripted"])
@pytest.mark.parametrize("arch", TORCHVISION)
@pytest.mark.filterwarnings("ignore:Scripted GoogleNet always returns:UserWarning")
def test_torchvisions_nets_give_their_logits(arch, how, tmp_path):
    true = tiny.seeded(lambda: slim(arch, **TORCHVISION[arch]))
    found = opened(true, tmp_path / "net.pt", how)
    x = model_files.picture_batch(3)
    with torch.no_grad():
        expected = true(x)
        np.testing.assert_allclose(found.module(x), expected, atol=1e-4 * float(expected.abs().max()))
    assert found.card.parameters == sum(p.numel() for name, p in true.named_parameters() if "aux" not in name)


def test_a_transformer_is_refused_by_the_operation_that_is_not_known(tmp_path):
    with pytest.raises(ModelError, match=r"asks for the operation '(torch|ops)\.[\w.]+'.* Nothing of it was run"):
        opened(torchvision.models.VisionTransformer(64, 16, 1, 2, 16, 32).eval(), tmp_path / "net.pt", "scripted")


class Reshaping(nn.Module):
    """Sizes are taken from the input, and computed with."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, 2, 1)
        self.fc = nn.Linear(8, 5)

    def forward(self, x):
        x = functional.relu(self.conv(x))
        n, c, h, w = x.shape
        x = x.view(n, 2, c // 2, h * w).transpose(1, 2).reshape(n, c, h, w)  # N C H W
        x = functional.max_pool2d(x, 2)
        return self.fc(x.view(x.size(0), x.size(1), -1).mean(2))


@pytest.mark.parametrize("how", ["traced", "scripted"])
def test_sizes_that_are_computed_hold_for_pictures_of_any_size_and_number(how, tmp_path):
    true = tiny.seeded(Reshaping)
    found = opened(true, tmp_path / "net.pt", how)
    with torch.no_grad():
        for shape in ((1, 64), (3, 64), (2, 48)):
            x = model_files.picture_batch(*shape)
            np.testing.assert_allclose(found.module(x), true(x), atol=1e-6)


class OnePicture(nn.Module):
    """A reshape for one picture alone."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 8, 8)
        self.fc = nn.Linear(4 * 64, 5)

    def forward(self, x):
        return self.fc(self.conv(x).relu().reshape(1, 256))


def test_a_net_written_for_one_picture_takes_several(tmp_path):
    true = OnePicture().eval().requires_grad_(False)
    found = opened(true, tmp_path / "net.pt", "traced")
    x = model_files.picture_batch(3)
    with torch.no_grad():
        np.testing.assert_allclose(found.module(x), torch.cat([true(one[None]) for one in x]), atol=1e-6)


def test_a_net_for_one_size_says_so_where_another_is_asked_for(tmp_path):
    model_files.save_script(tiny.seeded(tiny.functions), tmp_path / "net.pt", 64, "traced")
    with pytest.raises(ModelError, match=r"cannot take pictures of 224 x 224 pixels .*give preprocess: \{size"):
        load_net(str(tmp_path / "net.pt"), device="cpu")
    card = load_net(str(tmp_path / "net.pt"), device="cpu", preprocess={"size": 64}).card
    assert card.basis["size"] == "given by the user"


class OldDense(nn.Module):
    """A dense layer as traces of older PyTorch have it, and one tensor under two names."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, bias=False)
        self.again = nn.Conv2d(3, 4, 3, bias=False)
        self.again.weight = self.conv.weight
        self.weight, self.bias = nn.Parameter(torch.randn(5, 4)), nn.Parameter(torch.randn(5))

    def forward(self, x):
        x = (self.conv(x) + self.again(x * 2)).relu().mean((2, 3))
        return torch.addmm(self.bias, x, self.weight.t())


@pytest.mark.parametrize("how", ["traced", "scripted"])
def test_a_transposed_weight_is_a_dense_layer_and_a_shared_one_counts_once(how, tmp_path):
    true = tiny.seeded(OldDense)
    found = opened(true, tmp_path / "net.pt", how)
    x = model_files.picture_batch(2)
    with torch.no_grad():
        np.testing.assert_allclose(found.module(x), true(x), rtol=1e-5, atol=1e-5)
    assert found.card.parameters == sum(p.numel() for p in true.parameters())
    assert found.card.depth == 2


def test_half_precision_is_widened(tmp_path):
    true = tiny.seeded(tiny.plain).half()
    found = opened(true, tmp_path / "net.pt", "scripted")
    x = model_files.picture_batch(2)
    with torch.no_grad():
        np.testing.assert_allclose(found.module(x), true.float()(x), atol=1e-6)


class Choosing(nn.Module):
    def forward(self, x):
        if bool(x.sum() > 0):
            x = x * 2
        return x.relu()


class Looping(nn.Module):
    def forward(self, x):
        for _ in range(x.size(2)):
            x = x.relu()
        return x


class Two(nn.Module):
    def forward(self, x, y):
        return (x + y).relu()


class Deconvolving(nn.Module):
    def __init__(self):
        super().__init__()
        self.up = nn.ConvTranspose2d(3, 4, 2, 2)

    def forward(self, x):
        return self.up(x)


class Checking(nn.Module):
    """Branches that only raise are left out."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        if x.size(2) < 16:
            raise ValueError("too small")
        assert x.dim() == 4
        return self.conv(x).relu().mean([2, 3])


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: Choosing().eval(), "takes one way or another, by what is in the picture"),
        (lambda: Looping().eval(), "has a loop that is as long as the picture is large"),
        (lambda: Two().eval(), "takes 2 inputs; one batch of pictures"),
        (lambda: Deconvolving().eval(), "asks for the operation 'torch.conv_transpose2d'"),
        (lambda: tiny.residual().train(), "written in training mode"),
    ],
)
def test_what_is_no_fixed_list_of_operations_is_refused_with_its_reason(build, says, tmp_path):
    with pytest.raises(ModelError, match=says):
        opened(build(), tmp_path / "net.pt", "scripted")


def test_checks_of_the_input_are_left_out(tmp_path):
    true = tiny.seeded(Checking)
    found = opened(true, tmp_path / "net.pt", "scripted")
    x = model_files.picture_batch(2)
    with torch.no_grad():
        np.testing.assert_allclose(found.module(x), true(x), atol=1e-6)


class OwnState(nn.Module):
    """A module whose state is set by code of its own."""

    def __init__(self):
        super().__init__()
        self.factor = 2.0

    @torch.jit.export
    def __getstate__(self):
        return (self.factor, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[float, bool]):
        self.factor = state[0]
        self.training = state[1]

    def forward(self, x):
        return (x * self.factor).relu()


def test_a_module_that_sets_its_own_state_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"sets up OwnState in a way of its own \(__setstate__\)"):
        opened(OwnState().eval(), tmp_path / "net.pt", "scripted")


def test_a_net_made_for_one_processor_is_refused(tmp_path):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated", FutureWarning)
        made = torch.jit.optimize_for_inference(torch.jit.script(tiny.seeded(tiny.residual)))
        torch.jit.save(made, tmp_path / "net.pt")
    if "mkldnn" not in made.code:
        pytest.skip("this PyTorch has no mkldnn to prepare a net for")
    with pytest.raises(ModelError, match="optimize_for_inference"):
        load_net(str(tmp_path / "net.pt"), device="cpu")


# ------------------------------------------------------------------------------------------------ what a .pt file is


def test_the_digest_and_the_guessed_size_are_known_without_torch(tmp_path):
    path = tmp_path / "net.pt"
    model_files.save_script(tiny.seeded(tiny.plain), path, 64, "scripted")
    known = resolve(str(path))
    assert (known.digest, known.builder) == (hashlib.sha256(path.read_bytes()).hexdigest(), f"torchscript {REBUILT}")
    assert (known.preprocess.size, known.basis["size"]) == (224, known.basis["colours"])
    code = (
        f"import sys; sys.modules['torch'] = None\nfrom reportgen.nets.weights import resolve\nresolve({str(path)!r})"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def save_state(net, path):
    torch.save(net.state_dict(), path)


def save_old_state(net, path):
    torch.save(net.state_dict(), path, _use_new_zipfile_serialization=False)


def save_module(net, path):
    torch.save(net, path)


def save_old_module(net, path):
    torch.save(net, path, _use_new_zipfile_serialization=False)


def save_program(net, path):
    torch.export.save(torch.export.export(net, (model_files.picture_batch(1),)), path.with_suffix(".pt2"))
    path.with_suffix(".pt2").rename(path)


@pytest.mark.parametrize("suffix", [".pt", ".pth"])
@pytest.mark.parametrize(
    ("save", "says"),
    [
        (save_state, "no TorchScript file, but a state dict, .*name the arch that built the net"),
        (save_old_state, "no TorchScript file, but a state dict, .*name the arch that built the net"),
        (save_module, r"a pickle of whole objects \(torch.nn.modules.container.Sequential is in it\).* runs code"),
        (save_old_module, r"a pickle of whole objects \(torch.nn.modules.container.Sequential is in it\).* runs code"),
        (save_program, "but a program of torch.export: name it with the ending .pt2"),
        (lambda net, path: path.write_bytes(b"\x89HDF"), "nothing that PyTorch writes"),
    ],
)
def test_a_pt_file_that_is_something_else_is_called_what_it_is(save, says, suffix, tmp_path):
    save(tiny.seeded(tiny.plain), tmp_path / f"net{suffix}")
    with pytest.raises(ModelError, match=says):
        load_net(str(tmp_path / f"net{suffix}"), device="cpu")


def test_a_torchscript_file_as_weights_is_called_what_it_is(tmp_path):
    model_files.save_script(tiny.seeded(tiny.plain), tmp_path / "net.pt", 64, "scripted")
    with pytest.raises(ModelError, match="is a TorchScript file, which holds net and weights: name it as arch"):
        load_net("resnet_mini", weights=tmp_path / "net.pt", device="cpu")
