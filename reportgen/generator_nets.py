"""The nets behind generators: the published one, our own small one, the judge it is trained against, the autoencoder.

A generator takes codes, N x D, and gives pictures, N x 3 x S x S, in levels of its own. All are plain chains of
modules, so that a state dict's names are those of the layers.
"""

from __future__ import annotations

import itertools
import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from reportgen.errors import ModelError

if TYPE_CHECKING:
    from torch import nn

SLOPE = 0.3  # of every leaky ReLU in a generator, as in DeePSiM
PUBLISHED_WIDTH = 4096  # fc6 of CaffeNet
PUBLISHED_SIZE = 256
# Caffe's names, in order: features in and out, kernel, stride, padding; all are transposed convolutions
PUBLISHED_CONVS: dict[str, tuple[int, int, int, int, int]] = {
    "deconv5": (256, 256, 4, 2, 1),
    "conv5_1": (256, 512, 3, 1, 1),
    "deconv4": (512, 256, 4, 2, 1),
    "conv4_1": (256, 256, 3, 1, 1),
    "deconv3": (256, 128, 4, 2, 1),
    "conv3_1": (128, 128, 3, 1, 1),
    "deconv2": (128, 64, 4, 2, 1),
    "deconv1": (64, 32, 4, 2, 1),
    "deconv0": (32, 3, 4, 2, 1),
}
PUBLISHED_DENSE = ("defc7", "defc6", "defc5")


@dataclass(frozen=True)
class Small:
    """The shape of our own generator: a dense layer, from which a coarse picture and, by transposed convolutions that
    double the side, its details are painted."""

    width: int  # D: features of the code
    size: int  # side of the pictures
    dense: int = 384
    widths: tuple[int, ...] = (256, 192, 96, 48)  # channels, from the smallest side up; the last gives RGB
    refined: tuple[int, ...] = (16,)  # sides at which a 3 x 3 convolution follows
    coarse: int = 16  # side of the coarse picture

    @property
    def first(self) -> int:
        """The side at which the convolutions start. Raises ModelError where the size cannot be reached by doubling."""
        side, rest = divmod(self.size, 1 << len(self.widths))
        if rest or not side:
            raise ModelError(
                f"A generator of {len(self.widths)} widths doubles as often, and {self.size} pixels cannot be halved "
                f"{len(self.widths)} times. Right would be a multiple of {2 ** len(self.widths)}."
            )
        return side

    @classmethod
    def of(cls, described: dict[str, Any]) -> Small:
        """The shape from plain values, as `described` gives them."""
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in described.items()}
        return cls(**values)

    def described(self) -> dict[str, Any]:
        """The shape as plain values."""
        return asdict(self)


def published() -> nn.Sequential:
    """The DeePSiM generator for fc6 of CaffeNet: codes N x 4096 -> BGR N x 3 x 256 x 256 in levels, mean removed."""
    from torch import nn

    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for name in PUBLISHED_DENSE:
        layers[name] = nn.Linear(PUBLISHED_WIDTH, PUBLISHED_WIDTH)
        layers[f"relu_{name}"] = nn.LeakyReLU(SLOPE)
    layers["reshape"] = nn.Unflatten(1, (256, 4, 4))  # N 256 4 4
    for name, (width_in, width, kernel, stride, padding) in PUBLISHED_CONVS.items():
        # conv5_1 and its like are transposed too: a plain convolution takes the same weights and gives another picture
        layers[name] = nn.ConvTranspose2d(width_in, width, kernel, stride, padding)
        layers[f"relu_{name}"] = nn.LeakyReLU(SLOPE)
    del layers["relu_deconv0"]  # nothing squashes the picture
    return nn.Sequential(layers)


def small(shape: Small) -> nn.Module:
    """Our own generator: codes N x D, measured in the code's spread, -> normalised RGB N x 3 x S x S."""
    from torch import Tensor, nn
    from torch.nn import functional

    class Painter(nn.Module):
        """A coarse picture, linear in the code, and what convolutions add to it."""

        def __init__(self) -> None:
            super().__init__()
            self.shape = shape
            self.dense1 = nn.Linear(shape.width, shape.dense)
            self.coarse = nn.Linear(shape.dense, 3 * shape.coarse**2)
            self.fine = _fine(shape)
            initialise(self, SLOPE)

        def forward(self, code: Tensor) -> Tensor:
            """The pictures of codes."""
            told = self.dense1(code)  # N dense
            coarse = self.coarse(told).unflatten(1, (3, shape.coarse, shape.coarse))  # N 3 c c
            whole = functional.interpolate(coarse, (shape.size, shape.size), mode="bilinear")  # N 3 S S
            painted: Tensor = self.fine(told) + whole
            return painted

    return Painter()


def _fine(shape: Small) -> nn.Sequential:
    """From what the first dense layer tells, N x dense, to details N x 3 x S x S."""
    from torch import nn

    side, widths = shape.first, (*shape.widths, 3)
    layers: OrderedDict[str, nn.Module] = OrderedDict(relu_dense1=nn.LeakyReLU(SLOPE))
    layers["dense2"], layers["relu_dense2"] = nn.Linear(shape.dense, widths[0] * side**2), nn.LeakyReLU(SLOPE)
    layers["reshape"] = nn.Unflatten(1, (widths[0], side, side))  # N C s s
    for width_in, width in itertools.pairwise(widths):
        side *= 2
        layers[f"deconv{side}"] = nn.ConvTranspose2d(width_in, width, 4, 2, 1)  # N C 2s 2s
        if side == shape.size:
            break
        layers[f"relu_deconv{side}"] = nn.LeakyReLU(SLOPE)
        if side in shape.refined:
            layers[f"conv{side}"] = nn.ConvTranspose2d(width, width, 3, 1, 1)
            layers[f"relu_conv{side}"] = nn.LeakyReLU(SLOPE)
    return nn.Sequential(layers)


def autoencoder(width: int, widths: Sequence[int]) -> nn.Sequential:
    """Dense layers from a code to a narrow middle and back: code N x D, in its own spread, -> the same."""
    from torch import nn

    sides = [width, *widths, *reversed(widths[:-1]), width]
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number, (width_in, out) in enumerate(itertools.pairwise(sides), 1):
        layers[f"dense{number}"] = nn.Linear(width_in, out)
        if number < len(sides) - 1:
            layers[f"relu{number}"] = nn.LeakyReLU(SLOPE)
    net = nn.Sequential(layers)
    initialise(net, SLOPE)
    return net


def judge(size: int, widths: Sequence[int], width: int) -> nn.ModuleDict:
    """The net that tells photos from generated pictures: patches of a picture, and how well it fits its code."""
    from torch import nn

    layers: list[nn.Module] = []
    for width_in, out in zip((3, *widths[:-1]), widths, strict=True):
        layers += [nn.Conv2d(width_in, out, 4, 2, 1), nn.LeakyReLU(0.2)]
    parts = {
        "features": nn.Sequential(*layers),
        "patches": nn.Conv2d(widths[-1], 1, 3, 1, 1),
        "code": nn.Linear(width, widths[-1]),
    }
    for part in parts.values():
        initialise(part, 0.2)
    if size % 2 ** len(widths):
        raise ModelError(f"The judge halves pictures {len(widths)} times, and {size} pixels cannot be.")
    return nn.ModuleDict(parts)


def initialise(net: nn.Module, slope: float) -> None:
    """Draw weights so that values keep their variance behind leaky ReLUs (He et al. 2015)."""
    from torch import nn

    gain = math.sqrt(2 / (1 + slope**2))
    for module in net.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            fan = module.weight[0].numel()
            if isinstance(module, nn.ConvTranspose2d):  # what one output pixel gathers
                fan = module.in_channels * module.kernel_size[0] ** 2 // module.stride[0] ** 2
            nn.init.normal_(module.weight, std=gain / math.sqrt(fan))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
