"""The same net with random weights, set up so that values and gradients keep their size from end to end.

The base line of a sanity check (Adebayo et al. 2018): what a picture of a net shows also where the net has learned
nothing is not what it learned.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

from reportgen.records import Net

if TYPE_CHECKING:
    from torch import Tensor, nn

PICTURES = 8  # of noise, from which batch norm takes its statistics

# module -> seed -> the same with random weights; a data set asks for it once a batch
_known: WeakKeyDictionary[Any, dict[int, Any]] = WeakKeyDictionary()


def untrained(net: Net, seed: int = 0) -> Net:
    """The net with fresh weights that depend on its architecture and the seed alone; kept until the net goes.

    Weights are drawn by He et al. (2015), biases are zero, batch norm has the statistics of one batch of smooth noise:
    with torch's own initialisation the gradients of deep nets without batch norm die out. The card is the trained
    net's own.
    """
    made = _known.setdefault(net.module, {})
    if seed not in made:
        made[seed] = _made(net, seed)
    return replace(net, module=made[seed])


def _made(net: Net, seed: int) -> nn.Module:
    import torch

    twin: nn.Module = copy.deepcopy(net.module).float().eval()
    generator = torch.Generator().manual_seed(seed)  # on the CPU: every device gets the same weights
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # for layers that draw their own
        for child in twin.modules():
            _draw(child, generator)
        _calibrate(twin, _smooth_noise(net.card.preprocess.size, generator).to(net.device))
    return twin.to(net.dtype).requires_grad_(False)


def _draw(child: nn.Module, generator: Any) -> None:
    """Fresh values for a module's own parameters."""
    import torch
    from torch import nn

    if isinstance(child, nn.Linear | nn.modules.conv._ConvNd):
        spread = (2 / child.weight[0].numel()) ** 0.5
        child.weight.copy_(torch.randn(child.weight.shape, generator=generator) * spread)
        if child.bias is not None:
            child.bias.zero_()
    elif hasattr(child, "reset_parameters"):
        cast("Any", child).reset_parameters()
    else:  # a bare parameter, such as a scale: what it has learned is undone by mixing its values
        for own in child.parameters(recurse=False):
            order = torch.randperm(own.numel(), generator=generator).to(own.device)
            own.copy_(own.flatten()[order].view_as(own))


def _calibrate(twin: nn.Module, x: Tensor) -> None:
    """Batch norm gets the statistics of one batch; nothing else learns of it."""
    from torch import nn

    norms = [child for child in twin.modules() if isinstance(child, nn.modules.batchnorm._BatchNorm)]
    norms = [norm for norm in norms if norm.track_running_stats]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches, of which there is one
        norm.train()
    if norms:
        twin(x)
    twin.eval()


def _smooth_noise(size: int, generator: Any) -> Tensor:
    """Noise of all coarsenesses, as photos have it, with mean 0 and variance 1: N 3 S S."""
    import torch
    from torch.nn import functional

    total = torch.zeros(PICTURES, 3, size, size)
    cells = 2
    while cells < 2 * size:
        noise = torch.randn(PICTURES, 3, min(cells, size), min(cells, size), generator=generator)
        total += functional.interpolate(noise, size=(size, size), mode="bilinear", align_corners=False)
        cells *= 2
    return (total - total.mean()) / total.std()  # N 3 S S
