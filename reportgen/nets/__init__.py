"""Nets: which there are, where their weights are, what is in them. torch is imported when a net is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reportgen.records import Net, Precision, Preprocess

__all__ = ["load_net"]


def load_net(
    arch: str,
    weights: str | Path | None = None,
    *,
    device: str = "auto",
    precision: Precision = "fp32",
    seed: int = 0,
    kwargs: Mapping[str, Any] | None = None,
    classes: Sequence[str] | str | Path | None = None,
    preprocess: Preprocess | Mapping[str, Any] | str | None = None,
    allow_code: bool = False,
    memo_dir: Path | None = None,
) -> Net:
    """A net with its card, ready to be looked at.

    `arch` is a mini net, a classification net of torchvision, "timm:NAME" (an extra), a model file (.pt2; .onnx, .keras
    and .h5 with an extra), or "module:callable" with allow_code. A model file holds its weights; it is rebuilt from
    known operations, and nothing in it runs. For the others `weights` is the name of a torchvision enum, a file
    (.safetensors, or a state dict), or "random" with `seed`; without it a mini net takes its embedded weights,
    torchvision's net IMAGENET1K_V1 from the hub cache. Nothing is ever downloaded here. The number of classes is the
    file's where kwargs do not say. `classes` are names, or a file of one name per line; `preprocess` is what differs
    from the net's own, or "torch", "tf" or "caffe" (see `nets.views`). Digests of files are remembered in `memo_dir`.
    """
    from reportgen.nets.loading import load
    from reportgen.nets.weights import resolve

    resolved = resolve(arch, weights, seed, kwargs, memo_dir=memo_dir)
    return load(
        resolved, device=device, precision=precision, classes=classes, preprocess=preprocess, allow_code=allow_code
    )
