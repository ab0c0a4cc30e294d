"""Files of Keras made to do harm, or damaged: nothing runs, nothing else is read, one paragraph says what is wrong."""

import io
import json
import marshal
import pickle
import zipfile
from base64 import b64encode

import numpy as np
import pytest

from reportgen import load_net
from reportgen.errors import ModelError
from tests.nets.test_hostile_files import changed

h5py = pytest.importorskip("h5py", reason="the extra keras is not installed")

SIDE = 8


def layer(kind, name, **settings):
    return {"class_name": kind, "config": {"name": name, **settings}}


def conv(**settings):
    return layer("Conv2D", "conv", **{"filters": 4, "kernel_size": [3, 3], "activation": "relu", **settings})


def net(*middle):
    """A sequential config: a convolution, what a test puts in, and a dense layer."""
    ends = [layer("GlobalAveragePooling2D", "pool"), layer("Dense", "scores", units=5, activation="softmax")]
    first = layer("InputLayer", "pictures", batch_input_shape=[None, SIDE, SIDE, 3])
    return {"class_name": "Sequential", "config": {"name": "net", "layers": [first, *(middle or [conv()]), *ends]}}


def weights():
    rng = np.random.default_rng(0)
    shapes = {"conv": {"kernel:0": (3, 3, 3, 4), "bias:0": (4,)}, "scores": {"kernel:0": (4, 5), "bias:0": (5,)}}
    return {name: {key: rng.normal(size=shape) for key, shape in parts.items()} for name, parts in shapes.items()}


def hdf5(config=None, edit=lambda file: None, **options):
    """An HDF5 model file as Keras 2 writes it, edited."""
    out = io.BytesIO()
    with h5py.File(out, "w", **options) as file:
        file.attrs["keras_version"] = "2.15.0"
        file.attrs["model_config"] = json.dumps(config or net()) if not isinstance(config, str) else config
        for name, parts in weights().items():
            group = file.create_group(f"model_weights/{name}")
            group.attrs["weight_names"] = [f"{name}/{key}".encode() for key in parts]
            for key, array in parts.items():
                group[f"{name}/{key}"] = array.astype(np.float32)
        edit(file)
    return out.getvalue()


def archive(config=None, edit=lambda file: None, more=()):
    """A .keras file, edited."""
    inner, out = io.BytesIO(), io.BytesIO()
    with h5py.File(inner, "w") as file:
        for name, parts in {"conv2d": "conv", "dense": "scores"}.items():
            for number, array in enumerate(weights()[parts].values()):
                file[f"layers/{name}/vars/{number}"] = array.astype(np.float32)
        edit(file)
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("metadata.json", '{"keras_version": "3.0.5"}')
        file.writestr("config.json", json.dumps(config or net()))
        file.writestr("model.weights.h5", inner.getvalue())
        for name, entry in more:
            file.writestr(name, entry)
    return out.getvalue()


WRITERS = {"net.h5": hdf5, "net.keras": archive}
KERNELS = {"net.h5": "model_weights/conv/conv/kernel:0", "net.keras": "layers/conv2d/vars/0"}
both = pytest.mark.parametrize("name", WRITERS)


@both
def test_the_files_that_tests_damage_are_sound(name, tmp_path):
    (tmp_path / name).write_bytes(WRITERS[name]())
    assert load_net(str(tmp_path / name), device="cpu").card.preprocess.size == SIDE


# --------------------------------------------------------------------------------------------------- code in a config


@both
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_lambda_layer_is_refused_unopened(refused, tmp_path, name, wrapped):
    code = compile(f"open({str(tmp_path / 'ran')!r}, 'w')", "x", "exec")
    body = b64encode(marshal.dumps(code)).decode()
    function = {"class_name": "__lambda__", "config": {"code": body, "defaults": None, "closure": None}}
    settings = {"function": function} if wrapped else {"function": [body, None, None], "function_type": "lambda"}
    text = refused(WRITERS[name](net(conv(), layer("Lambda", "mine", **settings))), name)
    assert "'mine' of the class 'Lambda' is Python code that was compiled into the file" in text
    assert "arch: module:callable" in text


@both
@pytest.mark.parametrize(
    "entry",
    [
        {"class_name": "Attention2D", "config": {"name": "mine"}},
        {"class_name": "Custom>Conv2D", "config": {"name": "mine"}},
        {"class_name": "Conv2D", "registered_name": "my_package>Conv2D", "config": {"name": "mine"}},
        {"class_name": "Conv2D", "module": "my_package.layers", "config": {"name": "mine"}},
        {"class_name": "system", "module": "os", "config": {"name": "mine", "command": "touch ran"}},
        {"class_name": "Dense", "module": "keras_evil.layers", "config": {"name": "mine"}},
        {"class_name": "function", "module": "builtins", "config": {"name": "mine"}},
    ],
)
def test_a_class_that_is_none_of_keras_own_is_refused_by_its_name(refused, name, entry):
    text = refused(WRITERS[name](net(conv(), entry)), name)
    assert "'mine'" in text
    assert "is not among those that reportgen rebuilds" in text


@both
@pytest.mark.parametrize(
    "activation",
    [
        "os.system",
        {"class_name": "function", "config": "steal", "registered_name": "function", "module": "builtins"},
        {"class_name": "__lambda__", "config": {"code": "4wAAAA=="}},
        {"class_name": "Custom>Swish", "config": {}},
    ],
)
def test_an_activation_of_the_makers_own_is_refused(refused, name, activation):
    assert "'conv' (Conv2D), its activation is" in refused(WRITERS[name](net(conv(activation=activation))), name)


@both
def test_a_net_of_the_makers_own_class_is_refused(refused, name):
    config = {"class_name": "MyModel", "module": "my_package", "config": {"layers": []}}
    assert "holds a net of the class 'my_package>MyModel'" in refused(WRITERS[name](config), name)


def test_two_layers_of_one_name_are_called_damaged(refused):
    assert "two layers of 'net' have the same name" in refused(hdf5(net(conv(), conv())), "net.h5")


def test_a_build_config_and_a_compile_config_are_not_looked_at(tmp_path):
    config = net(conv())
    evil = {"module": "os", "class_name": "system", "config": {"command": "touch ran"}}
    config |= {"build_config": evil, "compile_config": {"optimizer": evil, "loss": evil}}
    config["config"]["layers"][1]["build_config"] = evil
    config["config"]["layers"][1]["config"] |= {"kernel_initializer": evil, "kernel_regularizer": evil}
    (tmp_path / "net.keras").write_bytes(archive(config))
    load_net(str(tmp_path / "net.keras"), device="cpu")
    assert [path.name for path in tmp_path.iterdir()] == ["net.keras"]


# ------------------------------------------------------------------------------------------------ HDF5 that leads away


def replaced(name, put):
    """The file with its first kernel replaced by what `put` writes at that place."""

    def edit(file):
        shape = file[KERNELS[name]].shape
        del file[KERNELS[name]]
        put(file, KERNELS[name], shape)

    return WRITERS[name](edit=edit)


@both
@pytest.mark.parametrize("kind", ["external link", "soft link", "external storage", "virtual"])
def test_weights_that_lie_elsewhere_are_not_read(refused, tmp_path, name, kind):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.zeros((3, 3, 3, 4), np.float32)

    def put(file, place, shape):
        if kind == "external link":
            file[place] = h5py.ExternalLink(str(tmp_path / "other.h5"), "x")
        elif kind == "soft link":
            file["secret"] = np.zeros(shape, np.float32)
            file[place] = h5py.SoftLink("/secret")
        elif kind == "virtual":
            layout = h5py.VirtualLayout(shape, np.float32)
            layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "x", shape)
            file.create_virtual_dataset(place, layout)
        else:
            file.create_dataset(place, shape, np.float32, external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])

    text = refused(replaced(name, put), name)
    assert {"external storage": "in another file", "virtual": "from other files"}.get(kind, "a link, which may") in text


@both
def test_a_group_that_is_a_link_is_not_followed(refused, tmp_path, name):
    def edit(file):
        group = KERNELS[name].split("/")[0]
        del file[group]
        file[group] = h5py.ExternalLink("/etc/passwd", "/")

    assert "a link, which may lead to another file" in refused(WRITERS[name](edit=edit), name)


@both
@pytest.mark.parametrize("filter_id", [1, 32015, 305])
def test_a_filter_is_never_loaded_or_run(refused, tmp_path, monkeypatch, name, filter_id):
    monkeypatch.setenv("HDF5_PLUGIN_PATH", str(tmp_path))

    def put(file, place, shape):
        how = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        how.set_chunk(shape)
        how.set_filter(filter_id, h5py.h5z.FLAG_OPTIONAL)
        file.require_group(place.rpartition("/")[0])
        space = h5py.h5s.create_simple(shape)
        h5py.h5d.create(file.id, place.encode(), h5py.h5t.NATIVE_FLOAT, space, how)

    assert "it is compressed" in refused(replaced(name, put), name)


@both
@pytest.mark.parametrize("kind", ["text", "reference", "region", "pickle"])
def test_what_is_no_number_is_not_read(refused, tmp_path, name, kind):
    def put(file, place, shape):
        if kind == "text":
            file.create_dataset(place, shape, h5py.string_dtype())
        elif kind == "pickle":
            file[place] = np.void(pickle.dumps(print))
        else:
            file.create_dataset(place, shape, h5py.ref_dtype if kind == "reference" else h5py.regionref_dtype)

    assert "where plain numbers are wanted" in refused(replaced(name, put), name)


@both
@pytest.mark.parametrize("chunks", [None, (3, 3, 3, 4)])
def test_a_small_file_that_claims_three_gigabytes_is_refused(refused, name, chunks):
    def put(file, place, shape):
        file.create_dataset(place, (3, 3, 3, 30_000_000), np.float32, chunks=chunks)

    assert "bytes, more than the file holds" in refused(replaced(name, put), name)


def test_names_of_weights_that_claim_gigabytes_are_not_read(refused):
    def edit(file):
        del file["model_weights/conv"].attrs["weight_names"]
        file["model_weights/conv"].attrs["weight_names"] = np.zeros(4000, "S16")

    data = hdf5(edit=edit)
    data = data.replace((4000).to_bytes(8, "little"), (1 << 31).to_bytes(8, "little"))
    assert "damaged" in refused(data, "net.h5")


def test_names_that_could_be_one_long_text_many_times_over_are_not_read(refused):
    def edit(file):
        del file["model_weights/conv"].attrs["weight_names"]
        file["model_weights/conv"].attrs["weight_names"] = np.array(["x"] * 600, dtype=h5py.string_dtype())

    config = json.dumps(net()) + " " * (4 << 20)
    assert "one and the same long one, many times over" in refused(hdf5(config, edit), "net.h5")


@pytest.mark.parametrize("size", [0, 8, (1 << 64) - 16, (1 << 64) - 8, 1 << 40])
def test_a_heap_whose_pieces_have_no_end_is_not_walked_by_the_library(refused, size):
    data = bytearray(hdf5())
    heap = data.rindex(b"GCOL\x01")
    data[heap + 5 : heap + 8] = b"any"  # the library does not look at these
    data[heap + 16 : heap + 18] = bytes(2)  # the first piece is free space ...
    data[heap + 24 : heap + 32] = size.to_bytes(8, "little")  # ... of this size
    assert "one piece runs into the next" in refused(bytes(data), "net.h5")


def test_places_of_another_width_are_refused(refused):
    data = bytearray(hdf5())
    assert (data[8], data[13:15]) == (0, b"\x08\x08")
    data[14] = 4
    assert "not of 8 bytes" in refused(bytes(data), "net.h5")


def test_a_config_of_endless_letters_is_refused(refused):
    assert "letters long" in refused(hdf5(json.dumps(net()) + " " * (17 << 20)), "net.h5")


def test_one_kernel_many_times_over_is_not_read_again_and_again(refused):
    many = [{**conv(), "config": {**conv()["config"], "name": f"conv{i}"}} for i in range(400)]

    def edit(file):
        big = file.create_dataset("big", (3, 3, 4, 20_000), np.float32, data=np.zeros((3, 3, 4, 20_000)))
        for i in range(400):
            group = file.create_group(f"model_weights/conv{i}")
            group.attrs["weight_names"] = [b"conv/kernel:0", b"conv/bias:0"]
            group["conv/kernel:0"] = big
            group["conv/bias:0"] = file["model_weights/conv/conv/bias:0"]

    for entry in many:
        entry["config"]["filters"] = 20_000
    assert "more than the file holds" in refused(hdf5(net(conv(), *many), edit), "net.h5")


# -------------------------------------------------------------------------------------------------------- damaged files


@both
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_called_so(refused, name, share):
    data = WRITERS[name]()
    text = refused(data[: int(len(data) * share)], name)
    assert "truncated" in text or "empty" in text or "damaged" in text


@both
@pytest.mark.parametrize("data", [pickle.dumps(print), b"GGUF" + bytes(100), b"<html>"])
def test_wrong_magic_is_said(refused, name, data):
    assert "truncated or no file of Keras: HDF5 begins with \\x89HDF, a .keras file with PK" in refused(data, name)


NO_CONFIGS = (
    "null",
    "[]",
    "{",
    '{"class_name": "Sequential"}',
    '{"class_name": "Functional", "config": {"layers": 3}}',
)


@both
@pytest.mark.parametrize("config", [*NO_CONFIGS, "[" * 100_000, '{"a":' * 100_000])
def test_a_config_that_is_none_is_called_damaged(refused, name, config):
    data = hdf5(config) if name == "net.h5" else changed(archive(), lambda n, e: config if n == "config.json" else e)
    assert "damaged" in refused(data, name)


def test_nets_within_nets_without_end_are_refused(refused):
    config = net()
    for _ in range(30):
        config = {"class_name": "Sequential", "config": {"name": "net", "layers": [config]}}
    assert "nets within nets, 20 deep" in refused(hdf5(config), "net.h5")


@pytest.mark.parametrize("kind", ["ReLU", "Dropout"])
def test_few_nets_that_make_endless_calls_are_refused(refused, kind):
    def shared(inside, level):
        """A net that calls another one twice."""
        calls = [[[["entry", 0, 0, {}]]], [[[f"n{level}", 0, 0, {}]]]]
        layers = [{"class_name": "InputLayer", "name": "entry", "config": {}, "inbound_nodes": []}]
        layers.append({**inside, "name": f"n{level}", "inbound_nodes": [calls[0][0], calls[1][0]]})
        ends = {"input_layers": [["entry", 0, 0]], "output_layers": [[f"n{level}", 1, 0]]}
        return {"class_name": "Functional", "config": {"name": f"m{level}", "layers": layers, **ends}}

    config = layer(kind, "innermost")
    for level in range(18):
        config = shared(config, level)
    assert "endless operations" in refused(hdf5(net(conv(), config)), "net.h5")


def test_layers_that_wait_for_one_another_are_refused(refused):
    def entry(name, source):
        return {"class_name": "ReLU", "name": name, "config": {}, "inbound_nodes": [[[source, 0, 0, {}]]]}

    first = {"class_name": "InputLayer", "name": "in", "config": {"batch_input_shape": [None, 8, 8, 3]}}
    layers = [{**first, "inbound_nodes": []}, entry("a", "b"), entry("b", "a")]
    ends = {"input_layers": [["in", 0, 0]], "output_layers": [["b", 0, 0]]}
    config = {"class_name": "Functional", "config": {"name": "net", "layers": layers, **ends}}
    assert "nothing makes the output" in refused(hdf5(config), "net.h5")


@both
@pytest.mark.parametrize(
    "settings", [{"filters": 9}, {"kernel_size": [5, 5]}, {"use_bias": False}, {"strides": [0, 1]}]
)
def test_settings_that_do_not_fit_the_weights_are_called_damaged(refused, name, settings):
    assert "damaged" in refused(WRITERS[name](net(conv(**settings))), name)


@both
def test_names_with_paths_lead_nowhere(refused, tmp_path, name):
    config = net({**conv(), "config": {**conv()["config"], "name": "../../../etc/passwd"}})
    data = WRITERS[name](config)
    if name == "net.keras":  # weights are found by class and number there: the name is a name
        (tmp_path / name).write_bytes(data)
        layers = [entry.name for entry in load_net(str(tmp_path / name), device="cpu").card.layers]
        assert layers[0] == "_________etc_passwd"
    else:
        assert "damaged" in refused(data, name)


def test_an_archive_with_names_that_lead_out_of_it_writes_nothing(tmp_path):
    (tmp_path / "models").mkdir()
    path = tmp_path / "models" / "net.keras"
    path.write_bytes(archive(more=[("../../outside", b"x"), (f"{tmp_path}/outside", b"x"), ("assets/../../x", b"x")]))
    load_net(str(path), device="cpu")
    assert [found.name for found in sorted(tmp_path.rglob("*"))] == ["models", "net.keras"]


def test_an_archive_that_swells_is_refused(refused):
    data = changed(archive(), more=[("assets/bomb", bytes(1 << 28))], compression=zipfile.ZIP_DEFLATED)
    assert len(data) < 1 << 25
    assert "made to fill the memory" in refused(data, "net.keras")


def test_pickles_among_the_assets_are_not_opened(tmp_path):
    payload = b"cos\nsystem\n(S'touch " + str(tmp_path / "ran").encode() + b"'\ntR."
    (tmp_path / "net.keras").write_bytes(archive(more=[("assets/x.pkl", payload), ("model.weights.npz", payload)]))
    load_net(str(tmp_path / "net.keras"), device="cpu")
    assert not (tmp_path / "ran").exists()


def test_weights_in_another_form_are_said_to_be_missing(refused):
    data = changed(archive(), lambda name, entry: None if name == "model.weights.h5" else entry)
    assert "has no model.weights.h5" in refused(data, "net.keras")


def test_a_file_of_weights_alone_is_told_what_it_lacks(refused):
    def edit(file):
        del file.attrs["model_config"]

    text = refused(hdf5(edit=edit), "net.weights.h5")
    assert "holds weights alone" in text
    assert "model.load_weights" in text


def test_a_quantised_net_is_refused(refused):
    policy = {"class_name": "QuantizedDTypePolicy", "config": {"mode": "int8", "source_name": "float32"}}
    assert "is quantised" in refused(archive(net(conv(dtype=policy))), "net.keras")


def test_a_net_without_a_size_of_pictures_is_refused(refused):
    config = net(conv())
    del config["config"]["layers"][0]
    assert "takes an input of an unknown size" in refused(hdf5(config), "net.h5")


def test_the_extra_that_reads_hdf5_is_named_where_it_is_missing(tmp_path, monkeypatch):
    from reportgen.nets import hdf5 as reader

    monkeypatch.setattr(reader, "find_spec", lambda name: None)
    for name, write in WRITERS.items():
        (tmp_path / name).write_bytes(write())
        with pytest.raises(ModelError) as caught:
            load_net(str(tmp_path / name), device="cpu")
        said = f"{name} needs the extra keras, which is not installed: pip install 'reportgen[keras]'"
        assert str(caught.value) == said
