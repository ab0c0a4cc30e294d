"""Weights: found, digested, fitted and refused, without running what is in a file and without any download."""

import dataclasses
import hashlib
import http.server
import json
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from reportgen import load_net
from reportgen.errors import ModelError
from reportgen.nets import archs, hub, weights
from reportgen.nets.loading import skeleton
from reportgen.nets.tensors import read_state
from reportgen.nets.weights import MissingWeights, fetch_hub, resolve, tensor_digest, weights_digest

ARCH = "alexnet_mini"


@pytest.fixture(scope="module")
def state():
    module = load_net(ARCH, weights="random", seed=3, device="cpu").module
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


@pytest.fixture
def saved(state, tmp_path):
    save_file(state, tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors"


@pytest.fixture
def hub_home(tmp_path, monkeypatch):
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return folder


def same(net, state):
    return all(torch.equal(tensor, state[name]) for name, tensor in net.module.state_dict().items())


# --------------------------------------------------------------------------------------------------- digests, memo


def test_the_digest_does_not_depend_on_the_file_format(state, saved, tmp_path):
    torch.save(state, tmp_path / "net.pth")
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}, "epoch": 3}, tmp_path / "parallel.pt")
    digest = tensor_digest(state)
    assert weights_digest(saved, None) == digest
    assert weights_digest(tmp_path / "net.pth", None) == digest
    assert weights_digest(tmp_path / "parallel.pt", None) == digest
    assert len(digest) == 64


def test_the_digest_sees_names_types_shapes_and_numbers():
    base = {"a": torch.arange(6.0).view(2, 3), "n": torch.tensor(3)}
    others = [
        {**base, "a": base["a"].view(3, 2)},
        {**base, "a": base["a"].view(torch.int32)},
        {"b": base["a"], "n": base["n"]},
        {**base, "n": torch.tensor(4)},
        {**base, "h": torch.zeros(2, dtype=torch.bfloat16)},
    ]
    assert len({tensor_digest(state) for state in [base, *others]}) == 6
    assert tensor_digest(dict(reversed(base.items()))) == tensor_digest(base)


def test_a_digest_is_remembered_until_the_file_changes(saved, tmp_path):
    memo = tmp_path / "memo"
    first = weights_digest(saved, memo)
    content, times = saved.read_bytes(), (saved.stat().st_atime_ns, saved.stat().st_mtime_ns)
    saved.write_bytes(content[:-4] + b"\0\0\0\0")
    os.utime(saved, ns=times)
    assert weights_digest(saved, memo) == first  # same path, size, time and inode: the file was not read
    os.utime(saved, ns=(times[0], times[1] + 1))
    assert weights_digest(saved, memo) != first


def test_a_damaged_memo_is_written_anew_and_an_unwritable_one_does_no_harm(saved, tmp_path):
    memo = tmp_path / "memo"
    first = weights_digest(saved, memo)
    for note in memo.rglob("*.json"):
        note.write_text("garbage")
    assert weights_digest(saved, memo) == first
    (tmp_path / "file").write_text("not a folder")
    assert weights_digest(saved, tmp_path / "file") == first


def test_describing_nets_imports_no_torch_the_second_time(saved, tmp_path):
    checkpoints = tmp_path / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    torch.save({"w": torch.zeros(2)}, checkpoints / "alexnet-owt-7be5be79.pth")
    code = f"""
import sys
from pathlib import Path
from reportgen.nets.archs import known_archs
from reportgen.nets.weights import resolve
assert "alexnet" in known_archs()
memo = Path({str(tmp_path / "memo")!r})
print(resolve("alexnet", "IMAGENET1K_V1", memo_dir=memo).digest)
print(resolve("alexnet_mini", {str(saved)!r}, memo_dir=memo).digest)
print(resolve("vgg16", "random", 5).digest)
print(sorted({{"torch", "torchvision"}} & set(sys.modules)))
"""
    env = {**os.environ, "TORCH_HOME": str(tmp_path), "PYTHONPATH": str(Path(weights.__file__).parents[2])}
    first, second = (
        subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout.split(
            "\n"
        )
        for _ in range(2)
    )
    assert first[:3] == second[:3]
    assert second[3] == "[]"


# ----------------------------------------------------------------------------------------------------------- random


def test_random_weights_depend_on_the_seed_alone_and_leave_torchs_random_numbers():
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    one = load_net(ARCH, weights="random", seed=5, device="cpu")
    torch.rand(3)
    torch.random.set_rng_state(before)
    two = load_net(ARCH, weights="random", seed=5, device="cpu")
    other = load_net(ARCH, weights="random", seed=6, device="cpu")
    assert torch.equal(before, torch.random.get_rng_state())
    assert same(one, two.module.state_dict())
    assert not same(one, other.module.state_dict())
    assert one.card.weights == two.card.weights != other.card.weights
    assert one.card.weights_source == "random, seed 5"


def test_a_net_is_frozen_in_eval_mode_and_in_its_number_type():
    for precision, dtype in (("fp32", torch.float32), ("fp64", torch.float64), ("bf16", torch.bfloat16)):
        net = load_net(ARCH, weights="random", device="cpu", precision=precision)
        assert not net.module.training
        assert all(not p.requires_grad and p.dtype == dtype for p in net.module.parameters())
        assert net.dtype == dtype
    assert not torch.backends.cudnn.allow_tf32
    load_net(ARCH, weights="random", device="cpu", precision="tf32")
    assert torch.backends.cudnn.allow_tf32
    load_net(ARCH, weights="random", device="cpu")
    assert not torch.backends.cuda.matmul.allow_tf32


# ------------------------------------------------------------------------------------------------------------ files


def test_a_file_is_loaded_and_its_classes_are_counted(tmp_path, hub_home):
    module = archs.build("squeezenet1_0", 7, {})
    save_file(module.state_dict(), tmp_path / "seven.safetensors")
    (tmp_path / "names.txt").write_text("a\nb\nc\n\nd\ne\nf\ng\n")
    net = load_net(
        "squeezenet1_0", weights=tmp_path / "seven.safetensors", device="cpu", classes=tmp_path / "names.txt"
    )
    assert same(net, module.state_dict())
    assert net.classes == tuple("abcdefg")
    assert load_net("squeezenet1_0", weights=str(tmp_path / "seven.safetensors"), device="cpu").classes[6] == "class 6"
    with pytest.raises(ModelError, match="2 class names were given for squeezenet1_0, which has 7 outputs"):
        load_net("squeezenet1_0", weights=tmp_path / "seven.safetensors", device="cpu", classes=["a", "b"])


def test_a_file_of_our_training_brings_classes_preprocessing_arguments_and_accuracy(tmp_path):
    module = archs.build("resnet_mini", 3, {"widths": [8, 8, 8, 8], "blocks": [1, 1, 1, 1]})
    said = {
        "arch": "resnet_mini", "kwargs": json.dumps({"widths": [8, 8, 8, 8], "blocks": [1, 1, 1, 1]}),
        "num_classes": "3", "classes": json.dumps(["cat", "dog", "eel"]), "input_size": "64", "resize": "72",
        "mean": "[0.5, 0.5, 0.5]", "std": "[0.2, 0.2, 0.2]", "top1": "0.8123",
    }  # fmt: skip
    half = {k: v.half() if v.is_floating_point() else v for k, v in module.state_dict().items()}
    save_file(half, tmp_path / "mine.safetensors", said)
    net = load_net("resnet_mini", weights=tmp_path / "mine.safetensors", device="cpu")
    assert net.classes == ("cat", "dog", "eel")
    assert (net.card.preprocess.size, net.card.preprocess.resize, net.card.preprocess.mean) == (64, 72, (0.5, 0.5, 0.5))
    assert net.card.numbers == {"top1": 0.8123}
    assert next(net.module.parameters()).dtype == torch.float32
    changed = load_net(
        "resnet_mini", weights=tmp_path / "mine.safetensors", device="cpu", preprocess={"size": 128, "mean": [0, 0, 0]}
    )
    assert (changed.card.preprocess.size, changed.card.preprocess.resize) == (128, 144)
    with pytest.raises(ModelError, match=r"no 'sise'. Did you mean 'size'"):
        load_net("resnet_mini", weights=tmp_path / "mine.safetensors", device="cpu", preprocess={"sise": 3})


@pytest.mark.parametrize("arch", archs.MINIS)
def test_embedded_weights_are_the_default_of_the_mini_nets(arch):
    if not (weights.EMBEDDED / f"{arch}.safetensors").is_file():
        pytest.skip("the weights are not trained yet")
    net = load_net(arch, device="cpu")
    assert len(net.classes) == 15
    assert net.card.weights_source == "embedded"
    assert net.card.preprocess.size == 128
    assert net.card.numbers["top1"] > 0.5
    assert net.card.weights == tensor_digest(read_state(weights.EMBEDDED / f"{arch}.safetensors"))


def test_weights_of_another_net_name_keys_and_shapes(state, tmp_path):
    wrong = {k: v for k, v in state.items() if k != "features.3.bias"} | {"extra.weight": torch.zeros(2)}
    wrong["features.0.weight"] = torch.zeros(64, 3, 7, 7)
    save_file(wrong, tmp_path / "wrong.safetensors")
    with pytest.raises(ModelError) as error:
        load_net(ARCH, weights=tmp_path / "wrong.safetensors", device="cpu")
    message = str(error.value)
    rows = state["features.0.weight"].shape[0]
    assert f"features.0.weight (file 64 x 3 x 7 x 7, net {rows} x 3 x 11 x 11)" in message
    assert "1 missing in the file: features.3.bias" in message
    assert "1 unknown to the net: extra.weight" in message
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match="and 10 more"):
        load_net(ARCH, weights=tmp_path / "other.safetensors", device="cpu")


class Bomb:
    def __reduce__(self):
        return (os.mkdir, ("exploded",))


def _bomb(path):
    path.write_bytes(pickle.dumps({"w": Bomb()}))


def _truncated(path):
    torch.save({"w": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:1500])


BAD = {
    "bomb.pth": (_bomb, "could run code"),
    "cut.pth": (_truncated, "damaged"),
    "empty.pth": (lambda path: path.write_bytes(b""), "0 bytes"),
    "empty.safetensors": (lambda path: path.write_bytes(b""), "0 bytes"),
    "text.safetensors": (lambda path: path.write_text("hello, these are no weights"), "damaged"),
    "folder.pth": (lambda path: path.mkdir(), "folder"),
    "absent.pth": (lambda path: None, "No such file"),
    "list.pth": (lambda path: torch.save([1, 2], path), "state dict"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_one_paragraph_that_names_it(name, tmp_path, monkeypatch):
    make, says = BAD[name]
    make(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=says) as error:
        load_net(ARCH, weights=tmp_path / name, device="cpu")
    assert name in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "exploded").exists()


def test_a_truncated_safetensors_file_is_noticed(saved):
    saved.write_bytes(saved.read_bytes()[:-100])
    with pytest.raises(ModelError, match="damaged: it has"):
        load_net(ARCH, weights=saved, device="cpu")


def test_weights_that_are_not_numbers_still_load(state, tmp_path):
    save_file(
        {**state, "features.0.bias": torch.full_like(state["features.0.bias"], torch.nan)}, tmp_path / "n.safetensors"
    )
    assert load_net(ARCH, weights=tmp_path / "n.safetensors", device="cpu").module.features[0].bias.isnan().all()


# ------------------------------------------------------------------------------------------------ torchvision's hub


def test_published_weights_come_from_the_hub_cache_with_their_preprocessing(hub_home):
    with pytest.raises(MissingWeights) as error:
        load_net("squeezenet1_1", device="cpu")
    assert error.value.filename == "squeezenet1_1-b8a52dc0.pth"
    assert error.value.folder == hub_home
    assert error.value.url.endswith(error.value.filename)
    assert "reportgen fetch" in str(error.value)
    module = archs.build("squeezenet1_1", None, {})
    torch.save(module.state_dict(), hub_home / error.value.filename)
    net = load_net("squeezenet1_1", weights="IMAGENET1K_V1", device="cpu")
    assert same(net, module.state_dict())
    assert (net.classes[0], net.classes[281]) == ("tench", "tabby")
    assert net.card.weights_source == "IMAGENET1K_V1"
    assert (net.card.preprocess.resize, net.card.preprocess.size) == (256, 224)
    with pytest.raises(ModelError, match="IMAGENET1K_V1"):
        resolve("squeezenet1_1", "IMAGENET1K_V7")


def test_googlenet_drops_its_side_outputs_and_densenet_takes_its_old_names(hub_home):
    import torchvision

    with torch.device("meta"):
        full = torchvision.models.googlenet(aux_logits=True, init_weights=False).state_dict()
    torch.save({k: torch.zeros(v.shape, dtype=v.dtype) for k, v in full.items()}, hub_home / "googlenet-1378be20.pth")
    net = load_net("googlenet", device="cpu")
    assert net.module.transform_input
    assert not net.module.aux_logits
    assert "transform_input" in net.card.builder
    assert net.stages == ("stage1", "stage2", "stage3", "stage4", "stage5")
    plain = skeleton(resolve("densenet121", "random"), None).state_dict()
    old = {k.replace("norm1", "norm.1").replace("conv2.", "conv.2."): torch.zeros(v.shape, dtype=v.dtype)
           for k, v in plain.items() if not k.endswith("num_batches_tracked")}  # fmt: skip
    assert any("norm.1.weight" in name for name in old)
    torch.save(old, hub_home / "densenet121-a639ec97.pth")
    assert load_net("densenet121", device="cpu").card.parameters == 7_978_856


def test_without_a_name_v1_is_taken_and_other_preprocessing_is_read():
    assert hub.published("resnet50", None).enum == "IMAGENET1K_V1"
    assert hub.published("regnet_y_128gf", None).enum.startswith("IMAGENET1K_SWAG")
    found = hub.published("efficientnet_b4", "DEFAULT")
    assert (found.preprocess.size, found.preprocess.interpolation) == (380, "bicubic")
    assert resolve("inception_v3", "random").preprocess.size == 299


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A host of weights files on this machine, and torchvision's enum pointing at it."""
    content = b"weights" * 1000
    name = f"net-{hashlib.sha256(content).hexdigest()[:8]}.pth"

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if "net-" in self.path else 404)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content if name in self.path else content[::-1])

        def log_message(self, *_):
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    base = hub.published("alexnet", None)

    def point(filename, port=running.server_port):
        url = f"http://127.0.0.1:{port}/{filename}"
        entry = dataclasses.replace(base, url=url, filename=filename)
        monkeypatch.setattr(hub, "published", lambda *_: entry)

    point(name)
    yield point, content
    running.shutdown()
    running.server_close()


def test_fetching_checks_the_hash_reports_progress_and_leaves_nothing_half_done(server, hub_home):
    point, content = server
    seen = []
    path = fetch_hub("alexnet", None, progress=lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == content
    assert seen[-1] == (len(content), len(content))
    point("net-00000000.pth")
    with pytest.raises(ModelError, match="other bytes than its name promises"):
        fetch_hub("alexnet", None)
    point("absent.pth")
    with pytest.raises(ModelError, match="answered 404"):
        fetch_hub("alexnet", None)
    point("net-00000000.pth", port=1)
    with pytest.raises(ModelError, match=r"could not reach 127\.0\.0\.1"):
        fetch_hub("alexnet", None)
    assert [entry.name for entry in hub_home.iterdir()] == [path.name]


# ---------------------------------------------------------------------------------------------------- wrong requests


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"arch": "alexnt"}, "Did you mean 'alexnet'"),
        ({"arch": "json:loads", "weights": "random"}, "--allow-code"),
        ({"arch": "nosuchmodule:f", "weights": "random", "allow_code": True}, "cannot be imported"),
        ({"arch": "json:laods", "weights": "random", "allow_code": True}, "Did you mean 'loads'"),
        ({"arch": "json:dumps", "weights": "random", "allow_code": True, "kwargs": {"obj": 1}}, "torch.nn.Module"),
        ({"arch": "json:dumps", "allow_code": True}, "say which weights"),
        ({"arch": "resnet18", "weights": "embedded"}, "embedded, only those of"),
        ({"arch": ARCH, "weights": "randm"}, "Did you mean 'random'"),
        ({"arch": ARCH, "weights": "random", "kwargs": {"depth": 3}}, "unexpected keyword argument"),
        ({"arch": ARCH, "weights": "random", "kwargs": {"num_classes": 0}}, "positive whole number"),
        ({"arch": ARCH, "weights": "random", "device": "gpu"}, "Known: auto, cpu, cuda"),
        ({"arch": ARCH, "weights": "random", "device": "cuda:99"}, "CUDA devices here"),
        ({"arch": ARCH, "weights": "random", "precision": "fp8"}, "Known: fp32"),
        ({"arch": ARCH, "weights": "random", "classes": "/nowhere/names.txt"}, "cannot be read"),
    ],
)
def test_a_wrong_request_says_what_would_be_right(arguments, says):
    with pytest.raises(ModelError, match=says):
        load_net(**{"device": "cpu", **arguments})


def test_code_is_built_where_it_is_allowed(tmp_path, monkeypatch):
    (tmp_path / "ours.py").write_text(
        "import torch\n"
        "def build(width, num_classes):\n"
        "    pool = [torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()]\n"
        "    return torch.nn.Sequential(torch.nn.Conv2d(3, width, 3), torch.nn.ReLU(), *pool,\n"
        "                               torch.nn.Linear(width, num_classes))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    net = load_net(
        "ours:build", weights="random", kwargs={"width": 4, "num_classes": 2}, classes=["a", "b"], device="cpu",
        allow_code=True,
    )  # fmt: skip
    assert net.classes == ("a", "b")
    assert net.card.builder == 'ours:build{"num_classes":2,"width":4}'
    assert net.card.global_pooling
    assert net.card.stages == {"stage0": "1"}
