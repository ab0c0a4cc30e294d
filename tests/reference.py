"""Independent truths: the rules with every relu call replaced by hand, and the path down written out step by step."""

from contextlib import contextmanager, suppress

import torch
from torch.nn import functional


class _ByHand(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, rule):
        ctx.save_for_backward(x)
        ctx.rule = rule
        return torch.where(x > 0, x, torch.zeros_like(x))

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        zero = torch.zeros_like(grad)
        if ctx.rule in ("gradient", "guided"):
            grad = torch.where(x > 0, grad, zero)
        if ctx.rule in ("deconvnet", "guided"):
            grad = torch.where(grad > 0, grad, zero)
        return grad, None


@contextmanager
def relu_by_hand(rule):
    """torch's relu functions exchanged for one with an explicit backward rule; nn.ReLU calls functional.relu."""
    kept = functional.relu, torch.relu
    functional.relu = lambda x, inplace=False: _ByHand.apply(x, rule)
    torch.relu = lambda x: _ByHand.apply(x, rule)
    try:
        yield
    finally:
        functional.relu, torch.relu = kept


class _Enough(Exception):
    pass


def value_of(module, x, layer):
    """What the layer returned, from a forward pass that ends there."""
    value = []

    def keep(_, __, out):
        value.append(out.clone())
        raise _Enough

    handle = module.get_submodule(layer).register_forward_hook(keep)
    try:
        with suppress(_Enough):
            module(x)
    finally:
        handle.remove()
    return value[0]


def projection(module, x, layer, seed_of, rule):
    """The input's share of a layer's value under a rule, one forward pass per call: 1 x 3 x H x W."""
    x = x.clone().requires_grad_()
    with relu_by_hand(rule):
        value = value_of(module, x, layer)
    return torch.autograd.grad(value, x, seed_of(value.detach()))[0]


def windows(size, kernel, stride, padding, dilation, out):
    """The input cells (y, x) of each pooling window, padding left out, by loops."""
    for i in range(out[0]):
        for j in range(out[1]):
            ys = [i * stride[0] - padding[0] + a * dilation[0] for a in range(kernel[0])]
            xs = [j * stride[1] - padding[1] + b * dilation[1] for b in range(kernel[1])]
            yield (i, j), [(y, x) for y in ys for x in xs if 0 <= y < size[0] and 0 <= x < size[1]]


def unpool(grad, x, kernel, stride, padding=(0, 0), dilation=(1, 1), switches=True):
    """Summing unpooling of one N C h w signal by loops: to the window's first maximum, or evenly over its cells."""
    out = torch.zeros_like(x)
    for (i, j), cells in windows(x.shape[-2:], kernel, stride, padding, dilation, grad.shape[-2:]):
        if not switches:
            for y, c in cells:
                out[:, :, y, c] += grad[:, :, i, j] / len(cells)
            continue
        values = torch.stack([x[:, :, y, c] for y, c in cells], dim=-1)  # N C cells
        best = values.argmax(dim=-1)  # N C
        for k, (y, c) in enumerate(cells):
            out[:, :, y, c] += torch.where(best == k, grad[:, :, i, j], 0.0)
    return out


def enlarged(coarse, size, first, step):
    """A map at the size of the input, by loops: bilinear between the places (y, x) of its values, constant outside."""
    out = torch.zeros(size, size, dtype=torch.float64)
    for y in range(size):
        for x in range(size):
            total = 0.0
            v, u = ((at - f) / s for at, f, s in zip((y, x), first, step, strict=True))
            v, u = min(max(v, 0), coarse.shape[0] - 1), min(max(u, 0), coarse.shape[1] - 1)
            for i in range(coarse.shape[0]):
                for j in range(coarse.shape[1]):
                    total += float(coarse[i, j]) * max(0, 1 - abs(v - i)) * max(0, 1 - abs(u - j))
            out[y, x] = total
    return out.numpy()
