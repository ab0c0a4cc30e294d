"""Backward rules: what a ReLU and a max pool hand down when an activation is projected back to the pixels.

| rule          | ReLU hands down        | max pool hands down                                   |
|---------------|------------------------|-------------------------------------------------------|
| `gradient`    | g where x > 0          | g to the maximum's place (its switch), shared: summed |
| `guided`      | g where x > 0 and g > 0| the same                                              |
| `deconvnet`   | g where g > 0          | the same: unpooling with switches                     |
| `no_switches` | g where g > 0          | g spread evenly over its window, padding left out     |

Convolutions, dense layers, batch norm in eval mode, average pools and sums keep their ordinary gradient: a transposed
convolution without bias is just that.

The rules act where relu and max_pool2d are *called*: GoogLeNet and Inception call them as functions, and a rule hung on
modules silently gives the plain gradient there. One forward pass serves all rules, because each looks up at backward
time which of them is meant. An audit watches the operators underneath: a rectification or a max pool that the rules did
not meet is an error, never a wrong picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from reportgen.errors import MethodError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Rule = Literal["gradient", "guided", "deconvnet", "no_switches"]
RULES: tuple[Rule, ...] = get_args(Rule)


class Recording:
    """What one forward pass left behind: how many calls the rules met, and which rule its backward passes follow."""

    def __init__(self) -> None:
        self.rule: Rule = "gradient"
        self.relus = 0
        self.pools = 0
        self.own = False  # true while one of our own functions runs its operators

    def backward(self, value: Tensor, x: Tensor, seed: Tensor, rule: Rule) -> Tensor:
        """What `seed`, laid on `value`, becomes at x under the rule; the recording can be asked again."""
        import torch

        self.rule = rule
        try:
            return torch.autograd.grad(value, x, seed, retain_graph=True)[0]
        finally:
            self.rule = "gradient"


@contextmanager
def recording() -> Iterator[Recording]:
    """A recording of the forward pass made inside the `with`; go backward after it, under any rule.

    Raises MethodError, in the forward pass, at a rectification or max pool that the rules do not meet.
    """
    tape = Recording()
    function_mode, audit_mode = _modes()
    with audit_mode(tape), function_mode(tape):
        yield tape


# ---------------------------------------------------------------------------------- the two functions and their rules


@lru_cache(maxsize=1)
def _functions() -> tuple[Any, Any]:
    """ReLU and max pool as autograd functions; made late, because torch is imported late."""
    import torch

    pool_backward = torch.ops.aten.max_pool2d_with_indices_backward

    class Relu(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, tape: Recording, inplace: bool) -> Tensor:
            # The mask is kept, not x or y: whatever the net later does to them in place cannot reach it.
            ctx.save_for_backward(x > 0)
            ctx.tape = tape
            if inplace:
                ctx.mark_dirty(x)
                return x.relu_()
            return x.relu()

        @staticmethod
        def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
            (grad,) = grads
            (fired,) = ctx.saved_tensors
            rule = ctx.tape.rule
            if rule != "gradient":
                grad = grad.relu()
            if rule in {"gradient", "guided"}:
                grad = grad * fired
            return grad, None, None

    class MaxPool(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, tape: Recording, window: tuple[Any, ...]) -> Tensor:
            y, indices = torch.ops.aten.max_pool2d_with_indices(x, *window)  # N C H W -> N C h w, twice
            ctx.save_for_backward(x, indices)
            ctx.tape, ctx.window = tape, window
            return cast("Tensor", y)

        @staticmethod
        def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
            (grad,) = grads
            x, indices = ctx.saved_tensors
            kernel, stride, padding, dilation, ceil_mode = ctx.window
            if ctx.tape.rule == "no_switches":
                return spread(grad, x.shape[-2:], kernel, stride, padding, dilation), None, None
            down = pool_backward(grad, x, kernel, stride, padding, dilation, ceil_mode, indices)  # N C h w -> N C H W
            return down, None, None

    return Relu, MaxPool


def spread(
    grad: Tensor,
    size: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> Tensor:
    """Each value of a pooled map laid in equal shares over its window's cells inside the picture; sums add up.

    `size` is the pooled map's input (H, W). Cells in the padding, or cut off in ceil mode, get no share.
    """
    import torch

    steps = [(n - 1) * s + 1 for n, s in zip(grad.shape[-2:], stride, strict=True)]
    reach = [n + (k - 1) * d for n, k, d in zip(steps, kernel, dilation, strict=True)]
    canvas = [max(p + n, r) for p, n, r in zip(padding, size, reach, strict=True)]  # padding before, cut-off after
    top, left = padding
    inner = (slice(top, top + size[0]), slice(left, left + size[1]))
    cells = [
        (slice(dy, dy + steps[0], stride[0]), slice(dx, dx + steps[1], stride[1]))
        for dy in range(0, kernel[0] * dilation[0], dilation[0])
        for dx in range(0, kernel[1] * dilation[1], dilation[1])
    ]  # per cell of the window: where it lies for all windows at once
    inside = torch.zeros(canvas, dtype=grad.dtype, device=grad.device)
    inside[inner] = 1
    count = torch.stack([inside[cell] for cell in cells]).sum(0)  # h w
    share = grad / count.clamp(min=1)  # N C h w
    out = grad.new_zeros(*grad.shape[:-2], *canvas)  # N C H+ W+
    for rows, columns in cells:
        out[..., rows, columns] += share
    return out[..., inner[0], inner[1]]  # N C H W


# ----------------------------------------------------------------------------------------------- where they are called


@lru_cache(maxsize=1)
def _modes() -> tuple[Any, Any]:
    """The mode that puts our functions in place of the calls, and the one that audits the operators."""
    import torch
    from torch.overrides import TorchFunctionMode
    from torch.utils._python_dispatch import TorchDispatchMode

    calls = _calls()

    class FunctionMode(TorchFunctionMode):
        def __init__(self, tape: Recording) -> None:
            super().__init__()
            self.tape = tape

        def __torch_function__(
            self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
        ) -> Any:
            call = calls.get(func)
            kwargs = kwargs or {}
            if call is None or (result := call(self.tape, *args, **kwargs)) is None:
                return func(*args, **kwargs)
            return result

    class AuditMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __init__(self, tape: Recording) -> None:
            super().__init__()  # type: ignore[no-untyped-call]
            self.tape = tape

        def __torch_dispatch__(
            self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
        ) -> Any:
            kwargs = kwargs or {}
            if not self.tape.own and (found := _unmet(func._schema.name.split("::")[-1], args, kwargs, torch)):
                raise MethodError(
                    f"The net calls {found}, which the backward rules do not meet: guided and deconvnet pictures "
                    "of it would be wrong. Write it as torch.relu or torch.max_pool2d, or use saliency, which "
                    "needs no rule."
                )
            return func(*args, **kwargs)

    return FunctionMode, AuditMode


def _calls() -> dict[Any, Callable[..., Any]]:
    """Every way to call relu and max_pool2d, with what stands in for it; None from it means: leave the call alone."""
    import torch
    from torch.nn import functional

    def relu(tape: Recording, input: Tensor, inplace: bool = False) -> Tensor:
        tape.relus += 1
        return _run(tape, _functions()[0], input, tape, inplace)

    def relu_(tape: Recording, input: Tensor) -> Tensor:
        return relu(tape, input, True)

    def max_pool2d(
        tape: Recording,
        input: Tensor,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Tensor | None:
        if return_indices:
            return None  # the net unpools by itself; the audit says so
        tape.pools += 1
        kernel = _pair(kernel_size)
        step = kernel if stride is None or (isinstance(stride, list | tuple) and not stride) else _pair(stride)
        window = (kernel, step, _pair(padding), _pair(dilation), ceil_mode)
        return _run(tape, _functions()[1], input, tape, window)

    relus: list[Any] = [functional.relu, torch.relu, torch.Tensor.relu]
    in_place: list[Any] = [torch.relu_, torch.Tensor.relu_, functional.relu_]
    pools: list[Any] = [functional.max_pool2d, torch.max_pool2d]
    return dict.fromkeys(relus, relu) | dict.fromkeys(in_place, relu_) | dict.fromkeys(pools, max_pool2d)


def _run(tape: Recording, function: Any, *args: Any) -> Tensor:
    tape.own = True
    try:
        return cast("Tensor", function.apply(*args))
    finally:
        tape.own = False


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, list | tuple):
        return (int(value[0]), int(value[-1]))  # one number stands for both, as in torch
    return (int(value), int(value))


# ------------------------------------------------------------------------------------------------------------ the audit

# Operators that rectify, or bend in a way that the rules say nothing about. Underscored ones work in place.
_BENT = frozenset(
    """
    relu relu6 threshold leaky_relu rrelu rrelu_with_noise _prelu_kernel prelu elu selu celu gelu silu mish
    hardswish hardsigmoid hardtanh softplus clamp_min max_pool2d max_pool2d_with_indices mkldnn_max_pool2d
    adaptive_max_pool2d max_pool3d_with_indices fractional_max_pool2d
    """.split()  # noqa: SIM905 -- a list of 25 quoted names reads worse
)


def _unmet(name: str, args: Sequence[Any], kwargs: Mapping[str, Any], torch: Any) -> str:
    """The name of an operator that rectifies or max-pools outside our functions, or nothing."""
    plain = name.removesuffix("_")
    if plain in _BENT:
        return f"aten.{name}"
    if plain == "clamp":
        low = args[1] if len(args) > 1 else kwargs.get("min")
        return f"aten.{name}" if low is not None else ""
    tensors = [arg for arg in args if isinstance(arg, torch.Tensor)]
    if plain in {"maximum", "fmax"} and any(_is_zero(tensor) for tensor in tensors):
        return f"aten.{name} with zeros"
    if plain == "mul" and any(tensor.dtype == torch.bool for tensor in tensors):
        return f"aten.{name} with a mask"
    if plain == "where" and len(tensors) == 3 and any(_is_zero(tensor) for tensor in tensors[1:]):
        return f"aten.{name} with zeros"
    if plain == "masked_fill":
        return f"aten.{name}"
    return ""


def _is_zero(tensor: torch.Tensor) -> bool:
    return not tensor.requires_grad and not bool(tensor.detach().any())
