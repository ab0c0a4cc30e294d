"""Attribution maps of several methods for one batch, raw, as each method itself draws them, and maps to hold against.

| name                   | map, H x W at the size of the net's input                                                 |
|------------------------|-------------------------------------------------------------------------------------------|
| `saliency`             | largest absolute slope of the three colours, as the method of that name                   |
| `smoothgrad`           | the same of the mean slope over noisy copies                                              |
| `integrated_gradients` | sum of the three colours' shares of the score, with its sign                              |
| `guided`               | largest absolute value of the three colours that the class score becomes in the input when |
|                        | every ReLU on the way down lets through what is positive, from 1 at the logit             |
| `grad_cam`, `cam`      | of the last convolution, enlarged; CAM with its sign                                      |
| `centre`               | how much nearer to the centre than the corners are, in pixels: looks at no picture        |
| `random`               | uniform noise, other for every picture                                                    |
| `untrained:NAME`       | NAME of the same net with random weights (`untrained`)                                    |

What a net cannot have (CAM without global pooling) is left out and named with the reason.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reportgen import project, rules
from reportgen.errors import MethodError, NotApplicable, nearest
from reportgen.lean import lean
from reportgen.tape import operator_name
from reportgen.untrained import untrained

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from reportgen.examples import Batch
    from reportgen.records import Net

    Maps = NDArray[np.float32]
    """N x H x W."""
else:
    Maps = Any

METHODS = ("saliency", "smoothgrad", "integrated_gradients", "guided", "grad_cam", "cam")
BLIND = ("centre", "random")  # these do not look at the net
UNTRAINED = "untrained:"
NAMES = (*METHODS, *BLIND, *(f"{UNTRAINED}{name}" for name in METHODS))
LABELS = {"smoothgrad": "SmoothGrad", "grad_cam": "Grad-CAM", "cam": "CAM", "guided": "guided backprop"}
SHORT = {"guided": "guided", "integrated_gradients": "integrated grad."}
RECTIFIED = "ReluBackward0"  # what autograd calls the way back through a ReLU, in place or not
MET = frozenset({"relu", "max_pool2d", "max_pool2d_with_indices"})  # operators whose way back is that of the rule


@dataclass(frozen=True)
class Effort:
    """How much is spent on a map, and which random weights an untrained net has."""

    samples: int = 8  # noisy copies of smoothgrad
    noise: float = 0.15  # their standard deviation, as a share of the normalised picture's range
    steps: int = 16  # of integrated gradients, by Gauss and Legendre
    seed: int = 0  # of random weights


@dataclass(frozen=True, eq=False)
class _Asked:
    """What a map is made of."""

    net: Net
    x: Tensor  # N 3 H W
    targets: Sequence[int]
    rngs: Sequence[np.random.Generator]
    effort: Effort


def checked_names(names: Sequence[str] | str, param: str) -> tuple[str, ...]:
    """The names of maps in their one form; MethodError for none, for one that is unknown, and for one given twice."""
    given = (names,) if isinstance(names, str) else tuple(names)
    for name in given:
        if name not in NAMES:
            raise MethodError(f"{param}: there is no attribution map {name!r}. {nearest(name, NAMES)}")
    if not given or len(set(given)) < len(given):
        raise MethodError(
            f"{param}: {', '.join(given) or 'nothing'} was asked for; each map is wanted once, at least one."
        )
    return given


def label(name: str, short: bool = False) -> str:
    """What pages call a map; `short` where there is little room."""
    base = name.removeprefix(UNTRAINED)
    plain = (SHORT if short else LABELS).get(base) or LABELS.get(base, base.replace("_", " "))
    return plain if base == name else f"{plain}, {'untr.' if short else 'untrained'}"


def targets_of(batch: Batch, which: str) -> tuple[list[int], NDArray[np.bool_]]:
    """The class each picture is explained for, and whether the net would say so too, from the layer `logits`.

    `label` is the class of the data set where the net knows it, else the predicted one, `predicted` always that.
    """
    import numpy as np

    predicted = batch.values["logits"].flatten(1).argmax(1).tolist()  # N
    if which == "predicted":
        return predicted, np.ones(len(predicted), dtype=bool)
    targets = [known if known >= 0 else own for known, own in zip(batch.targets, predicted, strict=True)]
    return targets, np.array(targets) == np.array(predicted)


def own_classes(known: NDArray[np.bool_], agrees: NDArray[np.bool_], which: str) -> dict[str, Any]:
    """How many pictures were explained for the data set's class, and in which share of these the net predicts it."""
    own = agrees[known] if which == "label" else known[:0]
    return {"by_label": len(own), "agrees": float(own.mean()) if len(own) else None}


def maps(
    net: Net,
    x: Tensor,
    targets: Sequence[int],
    names: Sequence[str],
    rngs: Sequence[np.random.Generator],
    effort: Effort | None = None,
) -> tuple[dict[str, Maps], dict[str, str]]:
    """The maps by name, and why some are left out; the generators are left as they were.

    Every map draws from the beginning of its picture's generator: what it shows does not hang on what else is asked.
    """
    import numpy as np

    effort = effort or Effort()
    found: dict[str, Maps] = {}
    left_out: dict[str, str] = {}
    for name in names:
        base = name.removeprefix(UNTRAINED)
        own = untrained(net, effort.seed) if base != name else net
        try:
            made = _MAKERS[base](_Asked(own, x, targets, copy.deepcopy(list(rngs)), effort))
        except NotApplicable as error:
            left_out[name] = str(error)
            continue
        if not np.isfinite(made).all():
            raise MethodError(
                f"The map {name} of {net.card.arch} holds NaN or infinity: its weights or values overflow."
            )
        found[name] = made
    return found, left_out


# ------------------------------------------------------------------------------------------------------- one map each


def _saliency(asked: _Asked) -> Maps:
    gradient, _ = project.input_gradient(asked.net, asked.x, asked.targets)  # N 3 H W
    return project.to_numpy(gradient.abs().amax(1))  # N H W


def _smoothgrad(asked: _Asked) -> Maps:
    import torch

    effort, x = asked.effort, asked.x

    def points() -> Iterator[tuple[Tensor, int, int, float]]:
        for n, (own, rng) in enumerate(zip(x, asked.rngs, strict=True)):
            sigma = effort.noise * float(own.max() - own.min())
            for _ in range(effort.samples):
                noise = torch.from_numpy(rng.standard_normal(tuple(own.shape)))  # 3 H W
                yield own + sigma * noise.to(own.dtype).to(own.device), n, n, 1.0

    sums = project.gradient_sums(asked.net, x, asked.targets, points(), len(x))  # N 3 H W
    return project.to_numpy((sums / effort.samples).abs().amax(1))  # N H W


def _integrated_gradients(asked: _Asked) -> Maps:
    import numpy as np

    nodes, weights = np.polynomial.legendre.leggauss(asked.effort.steps)  # on -1..1
    way = list(zip(((1 + nodes) / 2).tolist(), (weights / 2).tolist(), strict=True))
    # From the mean colour, which is zero after normalisation.
    points = ((share * own, n, n, weight) for n, own in enumerate(asked.x) for share, weight in way)
    slopes = project.gradient_sums(asked.net, asked.x, asked.targets, points, len(asked.x))  # N 3 H W
    return project.to_numpy((project.exact(asked.x) * slopes).sum(1))  # N H W


def _guided(asked: _Asked) -> Maps:
    import torch

    if not asked.net.card.rectified:
        raise NotApplicable(f"{asked.net.card.arch} bends its values by other functions than ReLU.")
    x = asked.x.detach().clone().requires_grad_()
    with torch.enable_grad(), _audited(asked.net.card.arch):
        logits = lean(asked.net).module(x)  # N K
        rows = torch.arange(len(x), device=x.device)
        total = logits[rows, torch.as_tensor(asked.targets, device=x.device)].sum()
        # The rule acts where autograd comes back through a ReLU: that takes a batch at once, however it was called.
        for node in _nodes(total.grad_fn):
            if node.name() == RECTIFIED:
                node.register_prehook(lambda handed: (handed[0].relu(),))
        signal = torch.autograd.grad(total, x)[0]
    return project.to_numpy(signal.abs().amax(1))  # N H W


@contextmanager
def _audited(arch: str) -> Iterator[None]:
    """NotApplicable where a forward pass made inside the `with` rectifies or pools in a way the rule does not meet."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    class Mode(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            name = operator_name(func)
            if name not in MET and (found := rules.unmet(name, args, kwargs or {}, torch)):
                raise NotApplicable(f"{arch} calls {found}, which the rule of guided backprop does not meet.")
            return func(*args, **(kwargs or {}))

    with Mode():  # type: ignore[no-untyped-call]
        yield


def _nodes(root: Any) -> list[Any]:
    """Every step of a way back that autograd wrote down."""
    found, waiting = {root}, [root]
    while waiting:
        below = {node for node, _ in waiting.pop().next_functions if node is not None} - found
        found |= below
        waiting.extend(below)
    return list(found)


def _grad_cam(asked: _Asked) -> Maps:
    layer = asked.net.card.resolve("last_conv")
    if layer.stride is None or len(layer.shape) != 3 or layer.shape[1] * layer.shape[2] == 1:
        raise NotApplicable(f"{layer.name} of {asked.net.card.arch} has no places on the picture.")
    value, gradient, _ = project.layer_gradient(asked.net, asked.x, asked.targets, layer.name)  # N C h w both
    alpha = project.exact(gradient).mean(dim=(2, 3))  # N C
    coarse = (alpha[:, :, None, None] * project.exact(value)).sum(dim=1).clamp(min=0)  # N h w
    size = asked.x.shape[-1]
    return project.enlarged(project.to_numpy(coarse), size, layer.places(size))  # N H W


def _cam(asked: _Asked) -> Maps:
    if not asked.net.card.global_pooling:
        raise NotApplicable(f"{asked.net.card.arch} does not end in global average pooling and one dense layer.")
    values, weights, _ = project.class_weights(asked.net, asked.x, asked.targets)  # N C h w, N C
    coarse = (project.exact(weights)[:, :, None, None] * project.exact(values)).sum(dim=1)  # N h w
    size = asked.x.shape[-1]
    return project.enlarged(project.to_numpy(coarse), size, asked.net.card.resolve("last_conv").places(size))  # N H W


def _centre(asked: _Asked) -> Maps:
    import numpy as np

    along = np.arange(asked.x.shape[-1]) - (asked.x.shape[-1] - 1) / 2
    distance = np.hypot(along[:, None], along)  # H W
    return np.repeat((distance.max() - distance)[None], len(asked.x), axis=0).astype(np.float32)  # N H W


def _random(asked: _Asked) -> Maps:
    import numpy as np

    return np.stack([rng.random(asked.x.shape[-2:]) for rng in asked.rngs]).astype(np.float32)  # N H W


_MAKERS: Mapping[str, Callable[[_Asked], Maps]] = {
    "saliency": _saliency,
    "smoothgrad": _smoothgrad,
    "integrated_gradients": _integrated_gradients,
    "guided": _guided,
    "grad_cam": _grad_cam,
    "cam": _cam,
    "centre": _centre,
    "random": _random,
}
