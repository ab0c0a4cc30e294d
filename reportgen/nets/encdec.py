"""An encoder-decoder of class maps: a backbone, one channel per class, two transposed convolutions, no dense layer.

The logit of a class is the mean of its map, so that the map is what the net decides by, not an explanation of it. Like
`mini`, this module imports torch at the top: only code that builds a net imports it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from reportgen.errors import ModelError, nearest
from reportgen.nets import mini

BACKBONES = (*sorted(mini.ARCHES), "resnet18")
STARTS = ("bilinear", "random")
# Of the scores' first weights, small for the sake of Adam, whose steps are of one size whatever the weights are: at a
# rate of 1e-4 weights of the usual size (0.07) hardly turn in a few epochs. Batch norm makes up for the size. Measured
# with resnet_mini's frozen features of 64 x 64 photos, four epochs: top-1 0.55 from 0.07 on, 0.73 from 0.01, 0.74 so.
FAINT = 0.003
# Batch norm's first factor: means of maps of spread 1 are logits too close to each other for 15 classes.
SPREAD = 3.0
POOLING = "avgpool"  # what all of them call the layer that the backbone is cut before


class ClassMaps(nn.Module):
    """Backbone, 1 x 1 convolution to K channels, twice doubled, rectified: K maps, whose means are the logits.

    With `grouped: 2` both transposed convolutions have one group per class: from the 1 x 1 convolution's row on, a
    class sees nothing of another's. With `grouped: 1` only the last has, and the first may mix.

    Both start as a bilinear enlargement of each channel (Long et al. 2015, section 3.3), so that a map that comes to
    look like its class alone has learned to. With `start: random` each class has weights of its own between 0 and
    twice the mean of those: every class has a pattern of its own before it is trained. Either way no map starts below
    zero everywhere, where the rectification would let nothing be learned.
    """

    def __init__(
        self,
        num_classes: int = 15,
        backbone: str = "resnet_mini",
        backbone_kwargs: Mapping[str, Any] | None = None,
        grouped: int = 2,
        dropout: float = 0.3,
        start: str = "bilinear",
    ) -> None:
        super().__init__()
        if grouped not in (1, 2):
            raise ModelError(f"encdec: grouped is {grouped!r}; it should be 1 (the last) or 2 (both convolutions).")
        if start not in STARTS:
            raise ModelError(f"encdec: start is {start!r}. {nearest(start, STARTS)} There are {' and '.join(STARTS)}.")
        groups = num_classes if grouped == 2 else 1
        self.backbone, channels = encoder(backbone, backbone_kwargs or {})
        self.scores = nn.Conv2d(channels, num_classes, 1)
        self.up1 = nn.ConvTranspose2d(num_classes, num_classes, 4, stride=2, padding=1, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(num_classes)
        self.dropout = nn.Dropout(dropout)
        self.up2 = nn.ConvTranspose2d(num_classes, num_classes, 4, stride=2, padding=1, groups=num_classes)
        self.maps = nn.ReLU()  # its value: the K maps
        self.pool = nn.AdaptiveAvgPool2d(1)
        nn.init.normal_(self.scores.weight, std=FAINT)
        nn.init.zeros_(cast(Tensor, self.scores.bias))
        nn.init.constant_(self.norm.weight, SPREAD)
        for layer in (self.up1, self.up2):
            _begin(layer, start)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits N x K."""
        x = self.scores(self.backbone(x))  # N K h w
        x = self.dropout(self.norm(self.up1(x)))  # N K 2h 2w
        x = self.maps(self.up2(x))  # N K 4h 4w
        return torch.flatten(self.pool(x), 1)  # N K


def encoder(name: str, kwargs: Mapping[str, Any]) -> tuple[nn.Sequential, int]:
    """A net cut before its pooling, with its own module names, and how many channels it ends in."""
    if name not in BACKBONES:
        raise ModelError(f"encdec has no backbone {name!r}. {nearest(name, BACKBONES)}")
    try:
        whole = mini.build(name, **kwargs) if name in mini.ARCHES else _theirs(name, kwargs)
    except TypeError as error:
        raise ModelError(f"The backbone_kwargs {dict(kwargs)} do not fit {name}: {error}.") from error
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    for part, module in whole.named_children():  # in the order of their calls
        if part == POOLING:
            break
        parts[part] = module
    dense = next(module for module in whole.modules() if isinstance(module, nn.Linear))
    pooled = getattr(whole, POOLING).output_size  # a number, or a pair
    side = pooled if isinstance(pooled, int) else pooled[0]
    return nn.Sequential(parts), dense.in_features // side**2


def _theirs(name: str, kwargs: Mapping[str, Any]) -> nn.Module:
    from reportgen.nets.archs import vision_models

    return cast(nn.Module, getattr(vision_models(), name)(weights=None, **kwargs))


def _begin(layer: nn.ConvTranspose2d, start: str) -> None:
    """Give an enlarging layer its first weights: each channel by itself, in sum as large as what it was given."""
    tap = torch.tensor([0.25, 0.75, 0.75, 0.25])
    with torch.no_grad():
        layer.weight.zero_()  # K K/G 4 4
        for channel in range(layer.in_channels):
            own = layer.weight[channel, channel % layer.weight.shape[1]]  # 4 4
            own.copy_(tap[:, None] * tap) if start == "bilinear" else own.uniform_(0, 0.5)
        if layer.bias is not None:
            layer.bias.zero_()


def build(num_classes: int = 15, **kwargs: Any) -> nn.Module:
    """Return an encoder-decoder with fresh weights, drawn from torch's global generator."""
    try:
        return ClassMaps(num_classes=num_classes, **kwargs)
    except TypeError as error:
        raise ModelError(f"The kwargs {kwargs} do not fit encdec: {error}.") from error
