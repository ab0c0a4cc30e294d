"""Nets of torch rebuilt in Keras, layer by layer with their weights, so that Keras can write them to files."""

import os

import pytest
from torch import fx, nn

os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras", reason="Keras, which writes the files that are read, is not installed")
layers = keras.layers


def twin(module, size):
    """The net in Keras: N x H x W x 3 in, probabilities out, as users save them."""
    graph, made = fx.symbolic_trace(module).graph, {}
    for node in graph.nodes:
        if node.op == "placeholder":
            made[node] = keras.Input((size, size, 3), name="pictures")
        elif node.op == "call_module":
            made[node] = _module(module.get_submodule(node.target), node, made)
        elif node.op == "output":
            out = made[node.args[0]]
        else:
            made[node] = _function(node, made)
    probabilities = layers.Activation("softmax", name="probabilities")(out)
    return keras.Model(next(iter(made.values())), probabilities, name="twin")


def _module(child, node, made):
    x, name = made[node.args[0]], node.name
    if isinstance(child, nn.Conv2d):
        return _conv(child, node, x)
    if isinstance(child, nn.BatchNorm2d):
        layer = layers.BatchNormalization(epsilon=child.eps, name=name)
        x = layer(x)
        layer.set_weights([child.weight, child.bias, child.running_mean, child.running_var])
    elif isinstance(child, nn.Linear):
        layer = layers.Dense(child.out_features, name=name)
        x, shape = layer(x), getattr(x, "before_flattening", None)
        weight = child.weight.detach()  # D D, or D CHW
        if shape is not None:  # Keras flattens y, x, channel
            weight = weight.unflatten(1, (shape[3], shape[1], shape[2])).permute(0, 2, 3, 1).flatten(1)  # D HWC
        layer.set_weights([weight.T, child.bias.detach()])
    elif isinstance(child, nn.ReLU):
        x = x if _fused(node) else layers.ReLU(name=name)(x)
    elif isinstance(child, nn.MaxPool2d):
        x = _pool(child, name, x)
    elif isinstance(child, nn.AdaptiveAvgPool2d):
        x = layers.GlobalAveragePooling2D(keepdims=True, name=name)(x) if child.output_size in (1, (1, 1)) else x
    else:
        assert isinstance(child, nn.Dropout)
        shape = getattr(x, "before_flattening", None)
        x = layers.Dropout(child.p, name=name)(x)
        x.before_flattening = shape
    return x


def _conv(child, node, x):
    """A convolution; a ReLU that is all that follows it becomes its activation."""
    followed = len(node.users) == 1 and _fused(next(iter(node.users)))
    pad, same = child.padding[0], child.padding[0] * 2 + 1 == child.kernel_size[0] and child.stride == (1, 1)
    if pad and not same:
        x = layers.ZeroPadding2D(pad, name=f"{node.name}_pad")(x)
    layer = layers.Conv2D(
        child.out_channels,
        child.kernel_size,
        child.stride,
        padding="same" if same else "valid",
        use_bias=child.bias is not None,
        activation="relu" if followed else None,
        name=node.name,
    )
    x = layer(x)
    weights = [child.weight.detach().permute(2, 3, 1, 0)]  # H W I O
    layer.set_weights([*weights, *([] if child.bias is None else [child.bias.detach()])])
    return x


def _fused(node):
    """Whether a node is a ReLU on a convolution alone."""
    is_relu = node.op == "call_module" and isinstance(node.graph.owning_module.get_submodule(node.target), nn.ReLU)
    if not is_relu or node.args[0].op != "call_module" or len(node.args[0].users) != 1:
        return False
    return isinstance(node.graph.owning_module.get_submodule(node.args[0].target), nn.Conv2d)


def _pool(child, name, x):
    pad, side = child.padding, x.shape[1]
    if child.stride == 1:
        return layers.MaxPooling2D(child.kernel_size, 1, padding="same", name=name)(x)
    if pad:  # values behind a ReLU are not below the zeros around them
        x = layers.ZeroPadding2D(pad, name=f"{name}_pad")(x)
        side += 2 * pad
    out = child.ceil_mode and (side - child.kernel_size) % child.stride
    return layers.MaxPooling2D(child.kernel_size, child.stride, padding="same" if out else "valid", name=name)(x)


def _function(node, made):
    name, kind = node.name, node.target if isinstance(node.target, str) else node.target.__name__
    if kind == "relu":
        return layers.ReLU(name=name)(made[node.args[0]])
    if kind in ("add", "iadd"):
        return layers.Add(name=name)([made[part] for part in node.args])
    if kind == "cat":
        return layers.Concatenate(name=name)([made[part] for part in node.args[0]])
    assert kind == "flatten"
    x = made[node.args[0]]
    flat = layers.Flatten(name=name)(x)
    flat.before_flattening = tuple(x.shape)
    return flat
