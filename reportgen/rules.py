"""Backward rules: what a ReLU and a max pool hand down when an activation is projected back to the pixels.

| rule          | ReLU hands down        | max pool hands down                                   |
|---------------|------------------------|-------------------------------------------------------|
| `gradient`    | g where x > 0          | g to the maximum's place (its switch), shared: summed |
| `guided`      | g where x > 0 and g > 0| the same                                              |
| `deconvnet`   | g where g > 0          | the same: unpooling with switches                     |
| `no_switches` | g where g > 0          | g spread evenly over its window, padding left out     |

Convolutions, dense layers, batch norm in eval mode, average pools and sums keep their ordinary gradient: a transposed
convolution without bias is just that.

The rules act on the operators that a pass was recorded with (`backward`): GoogLeNet and Inception call ReLU as a
function, and a rule hung on modules silently gives the plain gradient there. The audit knows the operators that rectify
or max-pool in other ways: meeting one is an error, never a wrong picture.

For climbing (`ascent`) there is one rule more, the redirected ReLU.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    from torch import Tensor

Rule = Literal["gradient", "guided", "deconvnet", "no_switches"]
RULES: tuple[Rule, ...] = get_args(Rule)


# ------------------------------------------------------------------------------------------------------------ the audit

# Operators that rectify, or bend in a way that the rules say nothing about. Underscored ones work in place.
_BENT = frozenset(
    """
    relu relu6 threshold leaky_relu rrelu rrelu_with_noise _prelu_kernel prelu elu selu celu gelu silu mish
    hardswish hardsigmoid hardtanh softplus clamp_min max_pool2d max_pool2d_with_indices mkldnn_max_pool2d
    adaptive_max_pool2d max_pool3d_with_indices fractional_max_pool2d
    """.split()  # noqa: SIM905 -- a list of 25 quoted names reads worse
)


def unmet(name: str, args: Sequence[Any], kwargs: Mapping[str, Any], torch: Any) -> str:
    """The name of an operator that rectifies or max-pools in a way the rules do not meet, or nothing."""
    plain = name.removesuffix("_")
    if plain in _BENT:
        return f"aten.{name}"
    if plain in {"clamp", "clip"}:
        low = args[1] if len(args) > 1 else kwargs.get("min")
        return f"aten.{name}" if low is not None else ""
    tensors = [arg for arg in args if isinstance(arg, torch.Tensor)]
    if plain in {"maximum", "max", "fmax"} and any(_is_zero(tensor) for tensor in tensors):
        return f"aten.{name} with zeros"
    if plain == "mul" and any(tensor.dtype == torch.bool for tensor in tensors):
        return f"aten.{name} with a mask"
    if plain == "where" and any(_is_zero(arg) for arg in args[1:]):
        return f"aten.{name} with zeros"
    if plain == "masked_fill":
        return f"aten.{name}"
    return ""


def _is_zero(value: Any) -> bool:
    import torch

    if isinstance(value, torch.Tensor):
        return not value.requires_grad and not bool(value.detach().any())
    return isinstance(value, int | float) and value == 0


# -------------------------------------------------------------------------------------------------- for dead starts


@contextmanager
def redirected(items: Tensor) -> Iterator[None]:
    """Forward passes made inside the `with` whose way back, while a value is climbed, does not die out in a ReLU.

    Where a ReLU hands down nothing at all for an item of the batch, the part of the gradient that pushes its
    negative inputs up goes through instead (Lucid's redirected ReLU); `items` (N, true or false) says for which items
    this may be. The gradient is taken to be of a value that shall grow. What is no call of relu is left alone.
    """
    with _redirecting()(items):
        yield


@lru_cache(maxsize=1)
def _redirecting() -> Any:
    """The mode that puts a ReLU with a redirected gradient in place of the calls of relu."""
    import torch
    from torch.overrides import TorchFunctionMode

    class Redirected(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, items: Tensor, inplace: bool) -> Tensor:
            value = x.relu_() if inplace else x.relu()
            if inplace:
                ctx.mark_dirty(x)
            ctx.save_for_backward(value, items)
            return value

        @staticmethod
        def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
            (grad,) = grads
            value, items = ctx.saved_tensors
            own = torch.ops.aten.threshold_backward(grad, value, 0)
            # sums of absolute values: no copy of a map laid out channels last, and nothing small is squared away
            dead = items & (torch.linalg.vector_norm(own, 1, dim=tuple(range(1, own.ndim))) == 0)  # N
            if bool(dead.any()):
                own[dead] = grad[dead].relu()  # where the input is positive the gradient is zero anyway
            return own, None, None

    def relu(items: Tensor, input: Tensor, inplace: bool = False) -> Any:
        return Redirected.apply(input, items, inplace)

    calls = dict.fromkeys(_relus(), relu) | dict.fromkeys(_in_place_relus(), partial(relu, inplace=True))

    class RedirectingMode(TorchFunctionMode):
        def __init__(self, items: Tensor) -> None:
            super().__init__()
            self.items = items

        def __torch_function__(
            self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
        ) -> Any:
            kwargs = kwargs or {}
            return calls[func](self.items, *args, **kwargs) if func in calls else func(*args, **kwargs)

    return RedirectingMode


def _relus() -> list[Any]:
    import torch

    return [torch.nn.functional.relu, torch.relu, torch.Tensor.relu]


def _in_place_relus() -> list[Any]:
    import torch

    return [torch.relu_, torch.Tensor.relu_, torch.nn.functional.relu_]
