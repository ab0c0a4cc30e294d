"""Model files made to do harm, or damaged: nothing runs, nothing is written, and one paragraph says what is wrong."""

import io
import json
import pickle
import zipfile

import pytest

from reportgen import load_net
from reportgen.errors import ModelError
from tests.nets import model_files


class _Touching:
    """Unpickling it would make a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("good") / "net.pt2"
    model_files.export_pt2("alexnet_mini", path)
    return path.read_bytes()


def changed(data, change=lambda name, entry: entry, more=(), compression=zipfile.ZIP_STORED):
    """The archive with its entries changed (None: left out), and with others beside them."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", compression) as new:
        for name in old.namelist():
            if (entry := change(name, old.read(name))) is not None:
                new.writestr(name, entry)
        for name, entry in more:
            new.writestr(name, entry)
    return out.getvalue()


def edited(data, ending, key, edit):
    """The archive with one part of its JSON edited in place: what stands at a key, in the entry of this ending."""

    def change(name, entry):
        if not name.endswith(ending):
            return entry
        told = json.loads(entry)
        edit(told[key])
        return json.dumps(told).encode()

    return changed(data, change)


def graph(data, edit):
    """The archive with its program edited in place."""
    return edited(data, "models/model.json", "graph_module", edit)


def config(data, edit):
    """The archive with its list of tensors edited in place."""
    return edited(data, "model_weights_config.json", "config", edit)


@pytest.mark.parametrize(
    "target",
    [
        "torch.os.system",
        "torch.ops.aten.from_file.default",
        "torch.ops.aten.relu.default.__globals__",
        "_operator.attrgetter",
        "torch.hub.load",
        "builtins.eval",
    ],
)
def test_an_operation_that_is_none_of_a_net_is_refused(exported, refused, target):
    def edit(module):
        module["graph"]["nodes"][1]["target"] = target

    assert "is not among those that reportgen rebuilds" in refused(graph(exported, edit))


def test_arguments_that_are_no_data_are_refused(exported, refused):
    def edit(module):
        module["graph"]["nodes"][0]["inputs"][0]["arg"] = {"as_custom_obj": {"name": "x", "class_fqn": "os"}}

    assert "gives an operation a 'as_custom_obj'" in refused(graph(exported, edit))


def test_formulas_of_sizes_are_never_evaluated(exported, refused, tmp_path):
    code = f"__import__('pathlib').Path('{tmp_path / 'ran'}').write_text('')"

    def edit(module):
        for value in module["graph"]["tensor_values"].values():
            value["sizes"] = [{"as_expr": {"expr_str": code, "hint": None}} for _ in range(4)]
        module["graph"]["nodes"][0]["inputs"][3]["arg"] = {"as_sym_ints": [{"as_expr": {"expr_str": code}}]}

    assert "damaged" in refused(graph(exported, edit))


def test_pickles_in_a_program_are_not_opened(exported, refused, tmp_path):
    payload = pickle.dumps(_Touching(tmp_path / "ran"))

    def edit(told):
        entry = next(iter(told.values()))
        entry["use_pickle"] = True

    data = changed(exported, lambda name, entry: payload if "sample_inputs" in name or "weight_0" in name else entry)
    assert "is a pickle, which could run code" in refused(config(data, edit))


def test_a_pickle_in_place_of_an_archive_is_not_opened(refused, tmp_path):
    assert "no zip archive" in refused(pickle.dumps(_Touching(tmp_path / "ran")))


def test_a_tensor_elsewhere_on_the_disk_is_not_read(exported, refused, tmp_path):
    (tmp_path / "secret").write_bytes(bytes(1 << 20))

    def edit(told):
        next(iter(told.values()))["path_name"] = "../../../secret"

    assert "has no entry 'data/weights/../../../secret'" in refused(config(exported, edit))


def test_names_that_lead_out_of_an_archive_write_nothing(exported, refused, tmp_path):
    data = changed(exported, more=[("../../outside", b"x"), (f"{tmp_path}/outside", b"x")])
    assert "one folder at the top" in refused(data)


def test_a_name_that_stands_twice_is_refused(exported, refused):
    with pytest.warns(UserWarning, match="Duplicate name"):
        data = changed(exported, more=[("net/models/model.json", b"{}")])
    assert "every name once" in refused(data)


def test_an_archive_that_swells_is_refused(exported, refused):
    data = changed(exported, more=[("net/data/weights/weight_bomb", bytes(1 << 30))], compression=zipfile.ZIP_DEFLATED)
    assert len(data) < 1 << 25
    assert "made to fill the memory" in refused(data)


def test_a_small_file_that_claims_three_gigabytes_is_refused(exported, refused):
    claimed = bytearray(exported)
    place = claimed.rfind(b"PK\x01\x02")  # of the last entry in the list of entries: its sizes stand 20 bytes on
    claimed[place + 20 : place + 28] = (3 << 30).to_bytes(4, "little") * 2
    assert "made to fill the memory" in refused(bytes(claimed))


def test_a_tensor_larger_than_its_bytes_is_refused(exported, refused):
    def edit(told):
        meta = next(iter(told.values()))["tensor_meta"]
        meta["sizes"][0] = {"as_int": 1 << 40}

    assert "is to lie in" in refused(config(exported, edit))


def test_a_tensor_that_begins_before_its_bytes_is_refused(exported, refused):
    def edit(told):
        next(iter(told.values()))["tensor_meta"]["storage_offset"] = {"as_int": -64}

    assert "is to lie in" in refused(config(exported, edit))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.999])
def test_a_truncated_file_is_called_so(exported, refused, share):
    text = refused(exported[: int(len(exported) * share)])
    assert "truncated" in text or "empty" in text


def test_a_flipped_bit_in_a_tensor_is_noticed(exported, refused):
    flipped = bytearray(exported)
    flipped[exported.index(b"data/weights/weight_1") + 200] ^= 1
    assert "cannot be read" in refused(bytes(flipped))


@pytest.mark.parametrize("text", [b"{}", b"[]", b"[" * 100_000, b"null", b'{"graph_module": 3}', b"\xff\xfe"])
def test_a_program_that_is_no_program_is_called_damaged(exported, refused, text):
    data = changed(exported, lambda name, entry: text if name.endswith("models/model.json") else entry)
    assert "damaged, or no program of torch.export" in refused(data)


def test_wrong_magic_is_said(refused):
    assert "begins with PK" in refused(b"\x89HDF\r\n\x1a\n" + bytes(100))


def test_a_program_that_makes_nothing_of_its_input_is_refused(exported, refused):
    def edit(module):
        del module["graph"]["nodes"][2:]

    assert "nothing makes its output" in refused(graph(exported, edit))


def test_a_value_made_of_itself_is_refused_and_looked_for_no_longer(exported, refused):
    def edit(module):
        node = next(node for node in module["graph"]["nodes"] if node["target"].startswith("torch.ops.aten.flatten"))
        own = {"as_tensor": {"name": node["outputs"][0]["as_tensor"]["name"]}}
        node["inputs"][0]["arg"] = module["signature"]["output_specs"][-1]["user_output"]["arg"] = own

    assert "not made" in refused(graph(exported, edit))


# --------------------------------------------------------------------------------------------------------------- ONNX


def onnx_net(onnx, **tensor):
    """A net of one convolution, its weights as the test says."""
    weight = onnx.TensorProto(name="w", data_type=1, dims=[4, 3, 3, 3], **tensor)
    node = onnx.helper.make_node("Conv", ["x", "w"], ["y"])
    info = onnx.helper.make_tensor_value_info
    ends = [info("x", 1, [1, 3, 8, 8])], [info("y", 1, [1, 4, 6, 6])]
    return onnx.helper.make_model(onnx.helper.make_graph([node], "g", *ends, [weight]))


def outside(onnx, location):
    said = [onnx.StringStringEntryProto(key="location", value=location)]
    return onnx_net(onnx, data_location=1, external_data=said).SerializeToString()


@pytest.mark.parametrize("location", ["/etc/hostname", "../secret", "..", "a/../../secret", "sub\\secret", ""])
def test_a_tensor_of_an_onnx_file_that_lies_elsewhere_is_not_read(refused, tmp_path, location):
    onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
    (tmp_path / "secret").write_bytes(bytes(1000))
    assert "in files of the same folder" in refused(outside(onnx, location), "net.onnx")


def test_a_link_to_a_tensor_elsewhere_is_not_followed(tmp_path):
    onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
    (tmp_path / "secret").write_bytes(bytes(1000))
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "w.bin").symlink_to(tmp_path / "secret")
    (tmp_path / "models" / "net.onnx").write_bytes(outside(onnx, "w.bin"))
    with pytest.raises(ModelError, match="in files of the same folder"):
        load_net(str(tmp_path / "models" / "net.onnx"), device="cpu")


def test_onnx_files_that_claim_more_than_they_hold_are_refused(refused):
    onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
    model = onnx_net(onnx, raw_data=bytes(100))
    model.graph.initializer[0].dims[0] = 1 << 40
    assert "damaged" in refused(model.SerializeToString(), "net.onnx")


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x04cos\nsystem\n.",
        b"PK\x03\x04" + bytes(50),
        b"\x3a" + b"\xff" * 8 + b"\x7f",
        b"\x0a\xff\xff\xff\xff\x0b",
    ],
)
def test_what_is_no_onnx_file_is_said_to_be_none(refused, data):
    pytest.importorskip("onnx", reason="the extra onnx is not installed")
    assert "no ONNX file" in refused(data, "net.onnx")


def test_operations_of_the_makers_own_are_refused(refused):
    onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
    model = onnx_net(onnx, raw_data=bytes(432))
    model.graph.node[0].domain = "com.example"
    assert "of its maker's own" in refused(model.SerializeToString(), "net.onnx")


def test_an_onnx_operation_that_is_not_known_is_named(refused):
    onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
    model = onnx_net(onnx, raw_data=bytes(432))
    model.graph.node[0].op_type = "Loop"
    assert "has the operation 'Loop'" in refused(model.SerializeToString(), "net.onnx")
