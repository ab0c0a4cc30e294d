"""Writes files of an older Keras for the tests: `python make_keras.py keras-2.15.zip`, run with that Keras installed.

Made with tensorflow-cpu 2.13.1 and 2.15.1 (Keras of the same number), and with Keras 3.0.5 on JAX 0.4.23. A zip holds
the logits of `pictures()` as that Keras computes them, net.keras, and net.h5 where that Keras can write one of nets
within nets; it was taken out of keras-2.13.zip, as 2.15 writes the same.
"""

import io
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np

SIDE = 24


def pictures():
    """Two pictures N H W C, of 0 to 255."""
    return np.random.default_rng(0).uniform(0, 255, size=(2, SIDE, SIDE, 3)).astype(np.float32)


def net(keras):
    """A net that has what the versions write differently: nets within nets, operations, slopes, hard sigmoids."""
    layers = keras.layers
    entry = layers.Input((11, 11, 4), name="inner_in")
    x = layers.Conv2D(5, 3, padding="same", strides=2, activation="relu", name="inner_conv")(entry)
    x = layers.BatchNormalization(name="inner_norm")(x)
    frozen = layers.SeparableConv2D(6, 3, padding="same", name="inner_separable", activation="swish")
    frozen.trainable = False
    inner = keras.Model(entry, frozen(x), name="backbone")
    entry = layers.Input((SIDE, SIDE, 3), name="pictures")
    x = keras.Sequential([layers.RandomFlip("horizontal")], name="augment")(entry)
    x = layers.Rescaling(1 / 127.5, offset=-1)(x)
    x = layers.ZeroPadding2D(((0, 1), (0, 1)), name="pad")(x)
    x = layers.Conv2D(4, 5, strides=2, use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    x = inner(layers.ReLU(6.0)(x))
    side = layers.DepthwiseConv2D(3, padding="same", activation="hard_sigmoid")(x)
    x = layers.Add()([x, side]) + side * 0.5 - 0.25
    x = layers.PReLU()(layers.LeakyReLU(0.2)(x))
    x = layers.Concatenate()(
        [layers.AveragePooling2D(3, 2, padding="same")(x), layers.MaxPooling2D(3, 2, padding="same")(x)]
    )
    x = layers.Dropout(0.5)(layers.Flatten()(x))
    x = layers.Dense(5, name="scores")(layers.Dense(6, activation="relu")(x))
    return keras.Model(entry, layers.Activation("softmax", name="probabilities")(x), name="small")


def fill(model):
    """Gives every weight a value of its own."""
    rng = np.random.default_rng(1)
    for weight in model.weights:
        if "seed" not in weight.name:
            values = rng.normal(0, 0.4, size=weight.shape).astype(np.float32)
            positive = "variance" in weight.name or "gamma" in weight.name
            weight.assign(np.abs(values) + 0.5 if positive else values)


def main(out):
    """Writes the zip."""
    try:
        from tensorflow import keras
    except ImportError:
        import keras
    model, folder = net(keras), Path(tempfile.mkdtemp())
    fill(model)
    logits = io.BytesIO()
    np.save(logits, keras.Model(model.input, model.get_layer("scores").output).predict(pictures(), verbose=0))
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("logits.npy", logits.getvalue())
        for name in ("net.keras", "net.h5"):
            try:
                model.save(folder / name)
            except ValueError:  # Keras 3.0 gives two weights of a net within a net the same name in HDF5
                continue
            file.write(folder / name, name)


if __name__ == "__main__":
    main(sys.argv[1])
