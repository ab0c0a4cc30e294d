"""The four mini nets: each keeps what makes its family itself, and trains on two cores in half an hour.

Module names and the order of calls follow torchvision's, so that what finds its way in the big net finds it here.
Like nothing else in the package, this module imports torch at the top: only code that builds a net imports it.
Forward passes use nothing that torch.jit.script cannot compile (typing.cast is one), so that the nets can be exported.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from reportgen.errors import ModelError, nearest

MINI_INPUT_SIZE = 128  # all four take N x 3 x 128 x 128


class AlexNetMini(nn.Module):
    """AlexNet's look: large strided first filters, overlapping pools, three dense layers, no batch norm."""

    def __init__(
        self,
        num_classes: int = 15,
        widths: Sequence[int] = (48, 128, 192, 144, 128),
        dense: int = 384,
        dropout: float = 0.4,
        kernel: int = 11,
        stride: int = 4,
    ) -> None:
        super().__init__()
        w1, w2, w3, w4, w5 = widths
        # Kernels, strides and padding are torchvision's, hence the receptive fields too: 11 51 99 131 163. What a
        # finer first layer (Zeiler and Fergus, section 4.1: 7 x 7, stride 2) gains in places, the second steps over.
        self.features = nn.Sequential(
            nn.Conv2d(3, w1, kernel, stride=stride, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(w1, w2, 5, stride=4 // stride, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(w2, w3, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(w3, w4, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(w4, w5, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(3)  # does nothing at 128 pixels; keeps other sizes working
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(w5 * 9, dense),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(dense, dense),
            nn.ReLU(inplace=True),
            nn.Linear(dense, num_classes),
        )
        _he_initialise(self, "fan_in")
        _start_undecided(self.classifier)
        # So little that what a filter learns is not drowned in where it began: decay has no time to take that away.
        nn.init.normal_(cast(nn.Conv2d, self.features[0]).weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits N x K."""
        x = self.avgpool(self.features(x))  # N C 3 3
        logits: Tensor = self.classifier(torch.flatten(x, 1))  # N K
        return logits


class VGGMini(nn.Module):
    """VGG's look: stacks of 3 x 3 convolutions between 2 x 2 max pools, then three dense layers."""

    def __init__(
        self,
        num_classes: int = 15,
        stacks: Sequence[Sequence[int]] = ((16,), (32,), (64, 64), (128, 128), (192, 192)),
        dense: int = 256,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width_in = 3
        for stack in stacks:
            for width in stack:
                layers += [
                    nn.Conv2d(width_in, width, 3, padding=1),
                    nn.BatchNorm2d(width),
                    nn.ReLU(inplace=True),
                ]
                width_in = width
            layers.append(nn.MaxPool2d(2, stride=2))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(4)  # does nothing at 128 pixels; keeps other sizes working
        self.classifier = nn.Sequential(
            nn.Linear(width_in * 16, dense),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(dense, dense),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(dense, num_classes),
        )
        _he_initialise(self, "fan_in")
        _start_undecided(self.classifier)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits N x K."""
        x = self.avgpool(self.features(x))  # N C 4 4
        logits: Tensor = self.classifier(torch.flatten(x, 1))  # N K
        return logits


class BasicConv2d(nn.Module):
    """Convolution, batch norm and a functional in-place ReLU, as in torchvision's GoogLeNet."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, padding: int = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride=stride, padding=padding, bias=False)
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """Return the rectified, normalised convolution."""
        return functional.relu(self.bn(self.conv(x)), inplace=True)


class Inception(nn.Module):
    """Four branches over one input, joined along the channels; widths are those of GoogLeNet's table 1."""

    def __init__(self, in_channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        one, three_reduce, three, five_reduce, five, pool = widths
        self.branch1 = BasicConv2d(in_channels, one, 1)
        self.branch2 = nn.Sequential(
            BasicConv2d(in_channels, three_reduce, 1), BasicConv2d(three_reduce, three, 3, padding=1)
        )
        # torchvision's "5 x 5" branch is a 3 x 3 one, by a known slip; the paper's 5 x 5 is kept here.
        self.branch3 = nn.Sequential(
            BasicConv2d(in_channels, five_reduce, 1), BasicConv2d(five_reduce, five, 5, padding=2)
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1, ceil_mode=True), BasicConv2d(in_channels, pool, 1)
        )
        self.out_channels = one + three + five + pool

    def forward(self, x: Tensor) -> Tensor:
        """Return the four branches, concatenated along C."""
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)  # N C H W


# One row per inception module: 1 x 1, 3 x 3 reduce, 3 x 3, 5 x 5 reduce, 5 x 5, pool projection.
GOOGLENET_WIDTHS: dict[str, tuple[int, ...]] = {
    "3a": (32, 48, 64, 8, 16, 16),
    "3b": (64, 64, 96, 16, 32, 32),
    "4a": (96, 64, 128, 16, 32, 32),
    "4b": (80, 64, 128, 16, 40, 40),
    "4c": (80, 80, 160, 16, 48, 48),
    "5a": (128, 96, 192, 24, 64, 64),
    "5b": (160, 112, 224, 24, 64, 64),
}


class GoogLeNetMini(nn.Module):
    """GoogLeNet's look: inception modules of four branches, functional ReLU, global average pool."""

    def __init__(self, num_classes: int = 15, stem: Sequence[int] = (40, 40, 96), dropout: float = 0.2) -> None:
        super().__init__()
        widths = GOOGLENET_WIDTHS
        self.conv1 = BasicConv2d(3, stem[0], 7, stride=2, padding=3)
        self.maxpool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.conv2 = BasicConv2d(stem[0], stem[1], 1)
        self.conv3 = BasicConv2d(stem[1], stem[2], 3, padding=1)
        self.maxpool2 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception3a = Inception(stem[2], widths["3a"])
        self.inception3b = Inception(self.inception3a.out_channels, widths["3b"])
        self.maxpool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception4a = Inception(self.inception3b.out_channels, widths["4a"])
        self.inception4b = Inception(self.inception4a.out_channels, widths["4b"])
        self.inception4c = Inception(self.inception4b.out_channels, widths["4c"])
        self.maxpool4 = nn.MaxPool2d(2, stride=2, ceil_mode=True)
        self.inception5a = Inception(self.inception4c.out_channels, widths["5a"])
        self.inception5b = Inception(self.inception5a.out_channels, widths["5b"])
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(self.inception5b.out_channels, num_classes)
        _he_initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits N x K."""
        x = self.maxpool1(self.conv1(x))  # N C H/4 W/4
        x = self.maxpool2(self.conv3(self.conv2(x)))  # N C H/8 W/8
        x = self.maxpool3(self.inception3b(self.inception3a(x)))  # N C H/16 W/16
        x = self.inception4c(self.inception4b(self.inception4a(x)))
        x = self.inception5b(self.inception5a(self.maxpool4(x)))  # N C H/32 W/32
        x = torch.flatten(self.avgpool(x), 1)  # N C
        logits: Tensor = self.fc(self.dropout(x))  # N K
        return logits


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut; one in-place ReLU serves twice, as in torchvision's ResNet."""

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride=stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return the rectified sum of the block and its shortcut."""
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))  # N C H W, halved by a stride of 2
        out = self.bn2(self.conv2(out))
        out += shortcut
        rectified: Tensor = self.relu(out)
        return rectified


class ResNetMini(nn.Module):
    """ResNet's look: residual blocks in four layers, batch norm, global average pool."""

    def __init__(
        self,
        num_classes: int = 15,
        widths: Sequence[int] = (32, 64, 112, 208),
        blocks: Sequence[int] = (2, 2, 2, 2),
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _residual_layer(widths[0], widths[0], blocks[0], 1)
        self.layer2 = _residual_layer(widths[0], widths[1], blocks[1], 2)
        self.layer3 = _residual_layer(widths[1], widths[2], blocks[2], 2)
        self.layer4 = _residual_layer(widths[2], widths[3], blocks[3], 2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(widths[3], num_classes)
        _he_initialise(self)
        for module in self.modules():  # each block starts as the identity (Goyal et al. 2017, section 5.1)
            if isinstance(module, BasicBlock):
                nn.init.zeros_(module.bn2.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits N x K."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))  # N C H/4 W/4
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))  # N C H/32 W/32
        logits: Tensor = self.fc(torch.flatten(self.avgpool(x), 1))  # N K
        return logits


def _residual_layer(width_in: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    first = BasicBlock(width_in, width, stride)
    return nn.Sequential(first, *(BasicBlock(width, width) for _ in range(blocks - 1)))


def _he_initialise(net: nn.Module, mode: Literal["fan_in", "fan_out"] = "fan_out") -> None:
    """Scale the weights so that values (fan in) or gradients (fan out) keep their variance (He et al. 2015)."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode=mode, nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)


def _start_undecided(classifier: nn.Sequential) -> None:
    """Draw the last layer small: max pools have made values large, and large first losses kill rectifiers."""
    last = classifier[-1]
    if isinstance(last, nn.Linear):
        nn.init.normal_(last.weight, std=0.01)


ARCHES: dict[str, Callable[..., nn.Module]] = {
    "alexnet_mini": AlexNetMini,
    "googlenet_mini": GoogLeNetMini,
    "resnet_mini": ResNetMini,
    "vgg_mini": VGGMini,
}


def build(arch: str, num_classes: int = 15, **kwargs: Any) -> nn.Module:
    """Return a mini net with fresh weights, drawn from torch's global generator."""
    if arch not in ARCHES:
        raise ModelError(f"No mini net is called {arch!r}. {nearest(arch, ARCHES)}")
    try:
        return ARCHES[arch](num_classes=num_classes, **kwargs)
    except TypeError as error:
        raise ModelError(f"The kwargs {kwargs} do not fit {arch}: {error}.") from error
