"""The first convolution of a net with a quick way back to the picture, for nets on the CPU.

Towards three colours the library's own gradient reaches a sixth of the machine's speed, and in small nets it takes
longer than everything else. The same sum can be had from one dense convolution: with stride s the pixels fall into
s x s classes, each of which meets only every sth weight, so that all classes together are the channels of a convolution
of stride one with a kernel an sth as wide. Measured here: 3.7 times as quick at AlexNet's 11 x 11 with stride 4, 2.6
times at the 7 x 7 with stride 2 of GoogLeNet and ResNet.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from torch import Tensor, nn

MOST_COLOURS = 4  # beyond that the library is quick enough


def fits(conv: nn.Conv2d) -> bool:
    """Whether a convolution reads pictures by steps of several pixels, alike both ways, on the CPU."""
    padded = isinstance(conv.padding, tuple) and len(set(conv.padding)) == 1 and conv.padding_mode == "zeros"
    return padded and quick(conv.weight, conv.stride, conv.dilation, conv.groups)


def quick(weight: Tensor, stride: Sequence[int], dilation: Sequence[int], groups: int) -> bool:
    """Whether `taken_back` is the quicker way through a convolution with these weights, O x C x k x k."""
    alike = all(len(set(pair)) == 1 for pair in (weight.shape[2:], stride, dilation))
    small = weight.shape[1] <= MOST_COLOURS and 1 < stride[0] <= weight.shape[2]
    return alike and small and groups == dilation[0] == 1 and weight.device.type == "cpu"


def with_quick_way_back(conv: nn.Conv2d) -> nn.Conv2d:
    """The same convolution, with the same weights, whose gradient towards its input takes less time."""
    made = _convolution()(conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding)
    made.weight, made.bias = conv.weight, conv.bias
    made.back = way_back(conv.weight.detach(), conv.stride[0])
    return cast("nn.Conv2d", made.eval())


def way_back(weight: Tensor, stride: int) -> Tensor:
    """The weights of the convolution that takes the gradient back: C s s x O x T x T, with T = k / s rounded up."""
    import torch
    from torch.nn import functional

    out, colours, side, _ = weight.shape
    steps = -(-side // stride)
    weight = functional.pad(weight, (0, steps * stride - side) * 2)  # O C Ts Ts
    weight = weight.view(out, colours, steps, stride, steps, stride).flip(2, 4)  # O C T s T s
    weight = weight.permute(1, 3, 5, 0, 2, 4).reshape(colours * stride**2, out, steps, steps)  # Css O T T
    return weight.contiguous(memory_format=torch.channels_last)


def taken_back(gradient: Tensor, back: Tensor, stride: int, padding: int, size: tuple[int, int]) -> Tensor:
    """The gradient towards a convolution's input of this height and width, N C H W; `back` is from `way_back`."""
    from torch.nn import functional

    found = functional.conv2d(gradient, back, padding=back.shape[-1] - 1)  # N Css h w
    found = functional.pixel_shuffle(found, stride)  # N C hs ws
    short = [max(0, padding + side - have) for side, have in zip(size, found.shape[2:], strict=True)]
    if any(short):  # rows and columns at the end that no window reaches
        found = functional.pad(found, (0, short[1], 0, short[0]))
    return found[:, :, padding : padding + size[0], padding : padding + size[1]]  # N C H W


@lru_cache(maxsize=1)
def _convolution() -> Any:
    """The class; made on first use, since torch is not imported before."""
    import torch
    from torch import nn
    from torch.nn import functional

    class _WayBack(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, conv: Any) -> Tensor:
            ctx.conv, ctx.size = conv, (x.shape[2], x.shape[3])
            return functional.conv2d(x, conv.weight, conv.bias, conv.stride, conv.padding)  # N O h w

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
            conv = ctx.conv
            return taken_back(gradients[0], conv.back, conv.stride[0], conv.padding[0], ctx.size), None

    class Conv2d(nn.Conv2d):  # the name that cards and errors know
        back: Tensor

        def forward(self, x: Tensor) -> Tensor:
            if torch.is_grad_enabled() and x.requires_grad:
                return cast("Tensor", _WayBack.apply(x, self))
            return super().forward(x)

    return Conv2d
