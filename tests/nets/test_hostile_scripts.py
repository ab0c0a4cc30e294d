"""TorchScript files made to do harm, or damaged: nothing runs, nothing is written, one paragraph says what is wrong."""

import io
import pickle
import struct
import zipfile

import numpy as np
import pytest
import torch

from reportgen import load_net
from tests.nets import model_files
from tests.nets.test_hostile_files import changed

HEAD = """class Net(Module):
  __parameters__ = ["weight", ]
  __buffers__ = []
  weight : Tensor
  training : bool
  def forward(self: __torch__.net.Net, x: Tensor) -> Tensor:
"""
HONEST = "y = torch.conv2d(x, self.weight)\nreturn torch.mean(torch.relu(y), [2, 3])"


class _Touching:
    """Unpickling it would make a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


# --- a TorchScript file byte by byte, so that each may be wrong


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def number(value):
    raw = value.to_bytes(9, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def numbers(values):
    return b"(" + b"".join(number(value) for value in values) + b"t"


def tensor(key="0", sizes=(4, 3, 3, 3), strides=(27, 9, 3, 1), start=0, kind="torch\nFloatStorage"):
    storage = b"(" + text("storage") + b"c" + kind.encode() + b"\n" + text(key) + text("cpu") + number(108) + b"tQ"
    hooks = b"ccollections\nOrderedDict\n)R"
    inner = storage + number(start) + numbers(sizes) + numbers(strides) + b"\x89" + hooks
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + inner + b"tR"


def net(weight=None, more=b""):
    state = text("weight") + (weight or tensor()) + text("training") + b"\x89" + more
    return b"\x80\x02c__torch__.net\nNet\n)\x81}(" + state + b"ub."


def archive(body=HONEST, data=None, code=None, **entries):
    """The file; `body` is what its forward does."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    inside = {
        "data.pkl": data or net(),
        "code/__torch__/net.py": code or HEAD + lines,
        "constants.pkl": b"\x80\x02).",
        "version": "3\n",
        "data/0": np.linspace(-1, 1, 108, dtype="<f4").tobytes(),
        **entries,
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name, entry in inside.items():
            file.writestr(f"net/{name}", entry)
    return out.getvalue()


def test_the_honest_file_that_the_others_are_made_of_is_opened(tmp_path):
    (tmp_path / "net.pt").write_bytes(archive())
    found = load_net(str(tmp_path / "net.pt"), device="cpu", preprocess={"size": 64})
    weight = torch.linspace(-1, 1, 108).reshape(4, 3, 3, 3)
    x = model_files.picture_batch(2)
    expected = torch.nn.functional.conv2d(x, weight).relu().mean((2, 3))
    np.testing.assert_allclose(found.module(x), expected, atol=1e-6)


def test_forms_that_only_older_pytorch_wrote_are_known(tmp_path):
    body = """y = torch._convolution(x, self.weight, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1, False, False, True)
n = ops.prim.NumToTensor(torch.size(y, 0))
z = torch.adaptive_avg_pool2d(torch.relu_(y), annotate(List[int], [1, 1]))
return torch.reshape(torch._unwrap_optional(z), [int(n), 4])"""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    (tmp_path / "net.pt").write_bytes(archive(code=f"op_version_set = 1\n{HEAD}{lines}", version="2\n"))
    (tmp_path / "new.pt").write_bytes(archive())
    old, new = (
        load_net(str(tmp_path / f"{name}.pt"), device="cpu", preprocess={"size": 64}).module for name in ("net", "new")
    )
    x = model_files.picture_batch(3)
    np.testing.assert_allclose(old(x), new(x), atol=1e-6)


# ----------------------------------------------------------------------------------------------------------- pickles


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("entry", ["data.pkl", "constants.pkl"])
def test_a_pickle_that_would_run_code_is_not_carried_out(refused, tmp_path, entry, protocol):
    payload = pickle.dumps(_Touching(tmp_path / "ran"), protocol)
    said = refused(archive(**{entry: payload}), "net.pt")
    assert "its pickle asks to call" in said or "has the instruction" in said


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\x80\x02cos\nsystem\n" + text("touch ran") + b"\x85R.", "asks to call 'os.system'"),
        (b"\x80\x02cos\nsystem\n)\x81.", "asks to call 'os.system'"),
        (b"\x80\x02ctorch\nload\n" + text("x") + b"\x85R.", "asks to call 'torch.load'"),
        (b"\x80\x02cbuiltins\nobject\n)\x81}b.", "asks to call 'builtins.object'"),
        (net(more=text("x") + b"c__torch__.net\nNet\n" + text("x") + b"\x85R"), "asks to call '__torch__.net.Net'"),
        (net(more=text("x") + b"c__torch__.net\nNet\n" + text("x") + b"\x85\x81"), "asks to call '__torch__.net.Net'"),
        (b"\x80\x02]}b.", "asks to call 'a list'"),
        (net(more=text("x") + b"ctorch._utils\n_rebuild_qtensor\n)R"), "holds a quantised net"),
        (net(tensor(kind="torch\nQInt8Storage")), "holds a quantised net"),
        (net(more=b"cos\nsystem\n" + text("x")), "a key that is a Named"),
        (b"\x80\x02(ios\nsystem\n.", "has the instruction INST"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "has the instruction SHORT_BINUNICODE"),
        (b"\x80\x02h\x07.", "damaged, or no TorchScript file"),
        (b"\x80\x02", "damaged, or no TorchScript file"),
        (b"\x80\x02X\xff\xff\xff\x7f.", "damaged, or no TorchScript file"),
        (b"\x80\x02" + b"]" + b"q\x00h\x00a" * 50 + b".", "no module is in it"),
        (b"\x80\x02)" + b"\x85" * 200_000 + b"q\x00}h\x00Ns.", "a key that is a tuple"),
        (b"\x80\x02c__torch__.net\nNet\n)\x81.", "asks for 'weight', which is not there"),
        (b"\x80\x02c__torch__.net\nNet\n)\x81]b.", r"a way of its own (__setstate__)"),
        (b"\x80\x02c__torch__.other\nNet\n)\x81}b.", "has no entry 'code/__torch__/other.py'"),
        (b"\x80\x02c__torch__.net\nOther\n)\x81}b.", "has no 'Other'"),
        (b"\x80\x02c__torch__...net\nNet\n)\x81}b.", "is no name of a class"),
        (b"\x80\x02c__torch__.net.x/../../y\nNet\n)\x81}b.", "is no name of a class"),
    ],
)
def test_instructions_of_a_pickle_that_no_net_needs_are_refused(refused, data, says):
    assert says in refused(archive(data=data), "net.pt")


def test_a_pickle_of_lists_in_lists_is_not_unfolded(refused):
    doubling = b"".join(b"]q%c(h%ch%ce" % (place + 1, place, place) for place in range(60))
    assert "no module is in it" in refused(archive(data=b"\x80\x02]q\x00" + doubling + b"."), "net.pt")


def test_a_module_that_sets_its_own_state_is_not_asked_to(refused):
    code = HEAD + "    return torch.relu(x)\n  def __setstate__(self, state: Tensor) -> NoneType:\n    torch.save(x)\n"
    assert "(__setstate__), which would have to be run" in refused(archive(code=code), "net.pt")


# ----------------------------------------------------------------------------------------------------------- tensors


@pytest.mark.parametrize(
    ("weight", "says"),
    [
        (tensor(key="../../secret"), "are to lie in '../../secret'"),
        (tensor(key="/etc/passwd"), "are to lie in '/etc/passwd'"),
        (tensor(key="1"), "has no entry 'data/1'"),
        (tensor(kind="os\nsystem"), "as 'os system'"),
        (tensor(sizes=(1 << 40, 3, 3, 3)), "is to lie in 432 bytes"),
        (tensor(sizes=(1 << 20, 1 << 20, 3, 3), strides=(0, 0, 0, 0)), "is to lie in 432 bytes"),
        (tensor(strides=(-27, 9, 3, 1), start=81), "is to lie in 432 bytes"),
        (tensor(strides=(1000, 9, 3, 1)), "is to lie in 432 bytes"),
        (tensor(start=-1), "is to lie in 432 bytes"),
        (tensor(start=1), "is to lie in 432 bytes"),
        (tensor(sizes=(4, 3, 3)), "a tensor of 3 axes and 4 strides"),
        (tensor(sizes=(-4, 3, 3, 3)), "damaged"),
    ],
)
def test_tensors_that_lie_where_they_cannot_are_refused(refused, tmp_path, weight, says):
    (tmp_path / "secret").write_bytes(bytes(1000))
    assert says in refused(archive(data=net(weight)), "net.pt")


def test_many_tensors_of_one_storage_do_not_fill_the_memory(refused):
    size = 1 << 18
    names = [f"w{number}" for number in range(100)]
    more = b"".join(
        text(name) + tensor(sizes=(size - place,), strides=(1,), start=place) for place, name in enumerate(names)
    )
    body = "\n".join(f"y{name} = torch.mul(torch.sum(self.{name}), x)" for name in names)
    body += "\ny = " + "torch.add(" * 99 + "yw0, " + "), ".join(f"y{name}" for name in names[1:]) + ")\nreturn y"
    data = archive(body, net(more=more), **{"data/0": bytes(4 * size)})
    assert "its tensors claim far more bytes" in refused(data, "net.pt")


# -------------------------------------------------------------------------------------------------------------- code


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("import os\nreturn x", "says 'import os'"),
        ("return os.system('touch ran')", "asks for the operation 'os'"),
        ("return __import__('os').system('touch ran')", "asks for the operation '__import__'"),
        ("return eval('1')", "asks for the operation 'eval'"),
        ("return open('ran', 'w')", "asks for the operation 'open'"),
        ("return torch.os.system('touch ran')", "asks for the operation 'torch.os.system'"),
        ("return getattr(torch, 'save')(x, 'ran')", "asks for the operation 'torch.save'"),
        ("torch.save(x, 'ran')\nreturn x", "asks for the operation 'torch.save'"),
        ("return torch.from_file('/etc/passwd', False, 10)", "asks for the operation 'torch.from_file'"),
        ("return torch.relu.__globals__", "returns no tensor"),
        ("ops.aten.save(x, 'ran')\nreturn x", "asks for the operation 'ops.aten.save'"),
        ("return ops.prim.PythonOp(x)", "asks for the operation 'ops.prim.PythonOp'"),
        ("return ops.mylib.run(x)", "asks for the operation 'ops.mylib.run'"),
        ("return fork(self.forward, x)", "asks for the operation 'fork'"),
        ("return (lambda: x)()", "which is not followed here"),
        ("return [x for _ in range(3)][0]", "which is not followed here"),
        ("return (y := torch.relu(x))", "which is not followed here"),
        ("return f'{x}'", "which is not followed here"),
        ("with x:\n  return x", "which is not followed here"),
        ("try:\n  return x\nexcept:\n  pass", "which is not followed here"),
        ("del x\nreturn x", "which is not followed here"),
        ("self.weight = x\nreturn x", "which is not followed here"),
        ("return self.__class__", "asks for '__class__', which is not there"),
        ("return (self).__reduce__()", "has no '__reduce__'"),
        ("return __torch__.os.system('touch ran')", "has no entry 'code/__torch__/os.py'"),
        ("return __torch__.net.Net()", "makes objects of a class of its own"),
        ("torch.unsqueeze_(x, 0)\nreturn x", "changes the shape of a value in place"),
        ("torch.add_(self.weight, 1)\nreturn torch.conv2d(x, self.weight)", "changes a tensor of its own"),
        ("return torch.relu(y)", "asks for the operation 'y'"),
        ("return CONSTANTS.c7", "damaged, or no TorchScript file"),
        ("return self.weight", "returns no tensor that depends on the picture"),
        ("ops.prim.RaiseException('no')\nreturn x", "ends with an error of its own for such pictures: 'no'"),
        ("return torch.relu(x", "damaged, or no TorchScript file"),
        ("return x\x00", "damaged, or no TorchScript file"),
    ],
)
def test_code_that_does_more_than_a_net_is_refused(refused, body, says):
    assert says in refused(archive(body), "net.pt")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("while True:\n  pass\nreturn x", "goes on without an end"),
        ("for i in range(999999999999):\n  pass\nreturn x", "goes on without an end"),
        ("return (self).forward(x, )", "calls itself"),
        ("return __torch__.net.again(x, )", "calls itself"),
        ("a = [x]\nwhile True:\n  a = torch.add(a, a)", "a list of more than"),
        ("a = [x]\nwhile True:\n  b = torch.append(a, x)", "a list of more than"),
        ("a = 3\nwhile True:\n  a = torch.mul(a, a)", "numbers that no size has"),
        ("a = torch.size(x, 0)\nfor i in range(60):\n  a = torch.add(a, a)\nreturn torch.view(x, [a])", "operations"),
        ("a = torch.size(x, 0)\nfor i in range(99999):\n  a = torch.add(a, 1)\nreturn torch.view(x, [a])", "damaged"),
        (
            "a = torch.size(x, 0)\nfor i in range(60):\n  a = torch.add(a, a)\nops.prim.RaiseException(a)",
            "error of its",
        ),
        ("return torch.mul([None], 999999999999)", "calls torch.mul with arguments that are not known"),
        ("return torch.add('a', 'b')", "calls torch.add with arguments that are not known"),
        (
            "a = [0]\nfor i in range(60):\n  a = [a, a]\nif torch.eq(a, a):\n  pass\nreturn x",
            "compares more than numbers",
        ),
        ("while True:\n  x = torch.neg(x)", "more than 5,000 operations"),
        ("while torch.gt(torch.size(x, 0), 0):\n  x = torch.relu(x)", "a loop that is ended by the size"),
        ("return torch.expand(torch.select(x, 0, 0), [99999, 999999, 3, -1, -1])", "far too large a one"),
        ("return torch.unbind(torch.expand(torch.sum(x), [999999]))[0]", "apart into more than"),
        ("return " + "-" * 50_000 + "1", "damaged, or no TorchScript file"),
        ("return x" + ".y" * 50_000, "damaged, or no TorchScript file"),
        ("return torch.relu(" * 150 + "x" + ")" * 150, "damaged, or no TorchScript file"),
        ("# " + "x" * (2 << 20), "locked or far too large"),
    ],
)
def test_code_without_an_end_is_left_in_time(refused, body, says):
    again = "def again(x: Tensor) -> Tensor:\n  return __torch__.net.again(x, )\n"
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    assert says in refused(archive(code=again + HEAD + lines), "net.pt")


def test_a_module_within_itself_is_not_walked_for_ever(refused):
    data = b"\x80\x02c__torch__.net\nNet\n)\x81q\x00}(" + text("weight") + tensor() + text("me") + b"h\x00ub."
    assert "modules within modules" in refused(archive("while True:\n  self = self.me", data), "net.pt")


def test_code_beside_the_functions_is_never_run(tmp_path):
    ran = tmp_path / "ran"
    code = f"import pathlib\npathlib.Path({str(ran)!r}).touch()\n{HEAD}    y = torch.conv2d(x, self.weight)\n"
    code += "    return torch.mean(torch.relu(y), [2, 3])\n"
    (tmp_path / "net.pt").write_bytes(archive(code=code))
    assert load_net(str(tmp_path / "net.pt"), device="cpu", preprocess={"size": 64}).card.rectified
    assert not ran.exists()


# ---------------------------------------------------------------------------------------------------------- archives


def test_names_that_lead_out_of_an_archive_write_nothing(refused, tmp_path):
    data = changed(archive(), more=[("../../outside", b"x"), (f"{tmp_path}/outside", b"x")])
    assert "one folder at the top" in refused(data, "net.pt")


def test_an_archive_that_swells_is_refused(refused):
    data = changed(archive(), more=[("net/data/1", bytes(1 << 29))], compression=zipfile.ZIP_DEFLATED)
    assert "made to fill the memory" in refused(data, "net.pt")


def test_a_small_file_that_claims_three_gigabytes_is_refused(refused):
    claimed = bytearray(archive())
    place = claimed.rfind(b"PK\x01\x02")  # of the last entry in the list of entries: its sizes stand 20 bytes on
    claimed[place + 20 : place + 28] = (3 << 30).to_bytes(4, "little") * 2
    assert "made to fill the memory" in refused(bytes(claimed), "net.pt")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.999])
def test_a_truncated_file_is_called_so(refused, share):
    data = archive()
    said = refused(data[: int(len(data) * share)], "net.pt")
    assert "truncated" in said or "empty" in said


def test_a_flipped_bit_in_a_tensor_is_noticed(refused):
    data = bytearray(archive())
    data[data.index(b"net/data/0") + 100] ^= 1
    assert "cannot be read" in refused(bytes(data), "net.pt")


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ({"byteorder": "big"}, "big-endian"),
        ({"constants.pkl": b""}, "damaged, or no TorchScript file"),
        ({"constants.pkl": b"\x80\x02}."}, "no module is in it"),
        ({"data/0": b""}, "is to lie in 0 bytes"),
    ],
)
def test_other_damage_is_said(refused, entries, says):
    assert says in refused(archive(**entries), "net.pt")


def test_files_of_the_mobile_interpreter_and_of_old_pytorch_are_called_so(refused):
    data = changed(archive(), lambda name, entry: None if "code/" in name or "constants" in name else entry)
    assert "before 1.4 and those for the mobile interpreter" in refused(
        changed(data, more=[("net/bytecode.pkl", b"")]), "net.pt"
    )
