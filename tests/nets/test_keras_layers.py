"""Every kind of Keras layer, as Keras itself computes it."""

import numpy as np
import pytest
import torch

from reportgen.errors import ModelError
from reportgen.nets import keras_files
from reportgen.nets.rebuild import rebuild
from tests.nets.keras_twins import keras

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras 3.15, NumPy 2
L = keras.layers
SIDES = (13, 10)  # odd and even, neither square nor a multiple of a stride


def lively(model, seed=0):
    """The model with weights that show every mistake: none zero, none alike, variances above zero."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        if "seed" not in weight.name and "count" not in weight.name:
            values = rng.normal(0, 0.5, weight.shape)
            weight.assign(np.abs(values) + 0.5 if "variance" in weight.name or weight.name == "gamma" else values)
    return model


def opened(model, folder, ending=".keras"):
    path = folder / f"net{ending}"
    model.save(path)
    return rebuild(keras_files.read(path, path.read_bytes()), path.name)


def same_values(model, folder, ending=".keras", low=-2.0, high=2.0, sides=SIDES):
    """Whether the file's net and Keras make the same of random pictures; gives the net."""
    net = opened(lively(model), folder, ending)
    x = np.random.default_rng(1).uniform(low, high, (2, *sides, 3)).astype(np.float32)  # N H W C
    first = model.inputs[0].shape[1] == 3
    fed = x.transpose(0, 3, 1, 2) if first else x
    truth = model.predict(fed, verbose=0)
    with torch.no_grad():
        found = net(torch.from_numpy(x.transpose(0, 3, 1, 2).copy())).numpy()
    if truth.ndim == 4 and not first:
        truth = truth.transpose(0, 3, 1, 2)  # N C H W
    assert found.shape == truth.shape
    np.testing.assert_allclose(found, truth, rtol=1e-5, atol=1e-5)
    assert np.ptp(truth) > 1e-3
    return net


def one(*parts):
    """A net of layers one after another."""

    def make():
        x = entry = keras.Input((*SIDES, 3), name="pictures")
        for part in parts:
            x = part(x) if callable(part) else part
        return keras.Model(entry, x)

    return make


def both(join):
    """A net that joins two convolutions of its input."""
    return one(lambda x: join([L.Conv2D(4, 3, padding="same")(x), L.Conv2D(4, 1)(x)]))


MODELS = {
    "conv valid": one(L.Conv2D(5, 3)),
    "conv same": one(L.Conv2D(5, 3, padding="same")),
    "conv same, even kernel": one(L.Conv2D(5, (4, 2), padding="same")),
    "conv same, stride 2": one(L.Conv2D(5, 3, strides=2, padding="same")),
    "conv same, stride 3, kernel 5": one(L.Conv2D(5, 5, strides=(3, 2), padding="same")),
    "conv same, stride over kernel": one(L.Conv2D(5, 1, strides=3, padding="same")),
    "conv dilated": one(L.Conv2D(5, 3, dilation_rate=(2, 1), padding="same")),
    "conv in groups, no bias": one(L.Conv2D(6, 3, groups=3, use_bias=False)),
    "conv with relu": one(L.Conv2D(5, 3, activation="relu")),
    "depthwise": one(L.DepthwiseConv2D(3, depth_multiplier=2, padding="same", strides=2)),
    "depthwise dilated": one(L.DepthwiseConv2D(3, dilation_rate=2, activation="tanh")),
    "separable": one(L.SeparableConv2D(5, 3, depth_multiplier=2, padding="same", strides=2, activation="elu")),
    "dense over channels": one(L.Dense(4, activation="relu")),
    "dense after flatten": one(L.Conv2D(3, 3, strides=3), L.Flatten(), L.Dense(4)),
    "dense without bias": one(L.Flatten(), L.Dense(4, use_bias=False)),
    "dense over rows": one(L.Reshape((13, 30)), L.Dense(4)),
    "batch norm": one(L.BatchNormalization(epsilon=0.01)),
    "batch norm, no scale": one(L.BatchNormalization(scale=False)),
    "batch norm, no center": one(L.BatchNormalization(center=False, axis=3)),
    "batch norm of vectors": one(L.Flatten(), L.Dense(6), L.BatchNormalization(), L.Dense(3)),
    "max pool": one(L.MaxPooling2D(3, 2)),
    "max pool same": one(L.MaxPooling2D(3, 2, padding="same")),
    "max pool same, stride 1": one(L.MaxPooling2D(2, 1, padding="same")),
    "max pool same, uneven": one(L.MaxPooling2D((3, 4), (2, 3), padding="same")),
    "average pool": one(L.AveragePooling2D((3, 2), (2, 1))),
    "average pool same, stride 1": one(L.AveragePooling2D(3, 1, padding="same")),
    "global average": one(L.Conv2D(5, 3), L.GlobalAveragePooling2D(), L.Dense(3)),
    "global average, axes kept": one(L.GlobalAveragePooling2D(keepdims=True), L.Conv2D(4, 1), L.Flatten()),
    "global maximum": one(L.GlobalMaxPooling2D()),
    "zero padding": one(L.ZeroPadding2D(((0, 1), (2, 3)))),
    "cropping": one(L.Cropping2D(((1, 0), (2, 3)))),
    "up sampling": one(L.UpSampling2D((2, 3))),
    "up sampling, bilinear": one(L.UpSampling2D(2, interpolation="bilinear")),
    "add": both(L.Add()),
    "subtract": both(L.Subtract()),
    "multiply": both(L.Multiply()),
    "average": both(L.Average()),
    "maximum": both(L.Maximum()),
    "minimum": both(L.Minimum()),
    "concatenate": both(L.Concatenate()),
    "concatenate rows": both(L.Concatenate(axis=1)),
    "operations": both(lambda two: (two[0] + two[1] * 0.5 - 2.0) / 3.0 + (1.5 * two[0] + 1.0) * two[1]),
    "gate": one(lambda x: x * L.Dense(3, activation="sigmoid")(L.Reshape((1, 1, 3))(L.GlobalAveragePooling2D()(x)))),
    "flatten": one(L.Flatten()),
    "reshape to maps": one(L.Reshape((5, 26, 3))),
    "reshape to vectors and back": one(L.Reshape((-1, 6)), L.Reshape((13, 5, 6)), L.Conv2D(2, 3)),
    "permute": one(L.Permute((2, 1, 3))),
    "permute channels": one(L.Permute((3, 1, 2)), L.Flatten()),
    "rescaling": one(L.Rescaling(1 / 127.5, offset=-1)),
    "rescaling by channel": one(L.Rescaling([1.0, 2.0, 3.0], offset=[0.1, 0.2, 0.3])),
    "normalization": one(L.Normalization(mean=[0.4, 0.5, 0.6], variance=[0.1, 0.2, 0.3])),
    "normalization, learned": one(L.Normalization()),
    "softmax over channels": one(L.Softmax()),
    "softmax over columns": one(L.Softmax(axis=2)),
    "relu to 6": one(L.ReLU(6.0)),
    "relu to 1, sloped": one(L.ReLU(1.0, negative_slope=0.1)),
    "relu above a threshold": one(L.ReLU(threshold=0.5)),
    "leaky": one(L.LeakyReLU()),
    "leaky, given": one(L.LeakyReLU(negative_slope=0.05)),
    "leaky by name": one(L.Activation("leaky_relu")),
    "prelu of channels": one(L.PReLU(shared_axes=[1, 2])),
    "prelu of places": one(L.PReLU()),
    "prelu of vectors": one(L.Flatten(), L.PReLU()),
    "elu": one(L.ELU(0.5)),
    "layer as activation": one(L.Conv2D(4, 3, activation=L.LeakyReLU(negative_slope=0.2))),
    "dropout": one(L.Dropout(0.5), L.Conv2D(3, 1), L.SpatialDropout2D(0.3), L.GaussianNoise(0.2)),
    "augmentation": one(L.RandomFlip(), L.RandomZoom(0.2), L.RandomContrast(0.3), L.Conv2D(3, 1)),
}
ACTIVATIONS = ("relu", "relu6", "sigmoid", "tanh", "silu", "swish", "mish", "selu", "softplus", "exponential", "elu")
ACTIVATIONS += ("log_sigmoid", "softmax", "log_softmax", "gelu", "hard_sigmoid", "hard_silu", "hard_swish")


@pytest.mark.parametrize("name", MODELS)
def test_a_layer_computes_what_keras_computes(name, tmp_path):
    same_values(MODELS[name](), tmp_path)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_computes_what_keras_computes(name, tmp_path):
    same_values(one(L.Conv2D(4, 3, activation=name), L.Activation(name))(), tmp_path)


def test_nets_within_nets_keep_their_weights_and_are_called_as_in_the_file(tmp_path):
    inside = keras.Input((None, None, 4))
    deep = keras.Sequential([L.Conv2D(4, 1, name="mix"), L.BatchNormalization(name="norm")], name="deep")
    body = keras.Model(
        inside, deep(L.Conv2D(4, 3, padding="same", activation="relu", name="conv")(inside)), name="body"
    )
    body.trainable = False
    entry = keras.Input((*SIDES, 3))
    x = keras.Sequential([L.RandomFlip()], name="augment")(entry)
    x = L.Conv2D(4, 3, name="conv")(x)
    again = L.BatchNormalization(name="norm")
    x = body(body(again(x)) + again(x))
    model = keras.Model(entry, L.Dense(3, name="scores")(L.Flatten()(x)))
    for ending in (".keras", ".h5"):
        names = [name for name, _ in same_values(model, tmp_path, ending).named_modules()]
        assert {"conv", "norm", "body.conv", "body.conv_relu", "body.deep.mix", "body.deep.norm", "scores"} <= set(
            names
        )
        assert names.count("norm") == 1


def test_a_frozen_layer_beside_trained_ones_keeps_its_weights_in_an_hdf5_file(tmp_path):
    parts = [L.Conv2D(4, 3), L.BatchNormalization(), L.Conv2D(4, 3), L.BatchNormalization(), L.PReLU()]
    parts[1].trainable = parts[2].trainable = False
    same_values(one(keras.Sequential(parts, name="body"), L.Flatten(), L.Dense(3))(), tmp_path, ".h5")


def test_a_backbone_at_the_begin_of_a_sequential_net_is_opened(tmp_path):
    body = keras.Sequential(
        [keras.Input((*SIDES, 3)), L.Conv2D(4, 3, activation="relu"), L.MaxPooling2D()], name="body"
    )
    for ending in (".keras", ".h5"):
        model = keras.Sequential([body, L.GlobalAveragePooling2D(), L.Dense(3)])
        same_values(model, tmp_path, ending)


def test_a_net_of_channels_first_computes_what_keras_computes(tmp_path):
    first = {"data_format": "channels_first"}
    entry = keras.Input((3, *SIDES))
    x = L.Conv2D(4, 3, padding="same", strides=2, activation="relu", **first)(entry)
    x = L.BatchNormalization(axis=1)(x)
    x = L.Concatenate(axis=1)([x, L.Conv2D(4, 1, **first)(x)])
    x = L.MaxPooling2D(3, 2, padding="same", **first)(x)
    maps = L.SeparableConv2D(5, 3, **first)(x)
    same_values(keras.Model(entry, L.Dense(3)(L.Flatten(**first)(maps))), tmp_path)
    same_values(keras.Model(entry, L.Dense(3)(L.Flatten()(maps))), tmp_path)
    same_values(keras.Model(entry, L.Softmax()(x)), tmp_path)


@pytest.mark.parametrize("kind", ["float16", "mixed_float16", "bfloat16"])
def test_weights_of_half_precision_become_single(kind, tmp_path):
    entry = keras.Input((*SIDES, 3), dtype="float32")
    model = lively(keras.Model(entry, L.Dense(3, dtype=kind)(L.Flatten()(L.Conv2D(4, 3, dtype=kind)(entry)))))
    net = opened(model, tmp_path)
    kernel = model.layers[-1].kernel.value.detach().float().numpy()
    *_, dense = net.children()
    assert dense.weight.dtype == torch.float32
    np.testing.assert_array_equal(dense.weight.numpy(), kernel.T)


def test_a_net_with_two_outputs_is_refused(tmp_path):
    entry = keras.Input((*SIDES, 3))
    x = L.Conv2D(4, 3, name="used")(entry)
    model = keras.Model(entry, [x, L.Conv2D(2, 1, name="unused")(x)])
    with pytest.raises(ModelError, match="inputs: 1, outputs: 2"):
        opened(model, tmp_path)


@pytest.mark.parametrize(
    ("layer", "why"),
    [
        (lambda: L.Conv2DTranspose(3, 2), "'Conv2DTranspose', which is not among those that reportgen rebuilds"),
        (lambda: L.Resizing(4, 4), "'Resizing', which is not among"),
        (lambda: L.BatchNormalization(axis=1), "normalises something other than channels"),
        (lambda: L.UpSampling2D(2, interpolation="bicubic"), "its interpolation is 'bicubic'"),
        (lambda: L.Activation("softsign"), "its activation is 'softsign'"),
        (lambda: L.ReLU(2.0, threshold=0.5), "threshold goes with"),
        (lambda: L.Conv2D(3, 3, data_format="channels_first"), "other than maps in the net's own data format"),
    ],
)
def test_a_layer_that_is_not_rebuilt_is_named_with_the_reason(layer, why, tmp_path):
    with pytest.raises(ModelError, match=why):
        opened(one(layer())(), tmp_path)
