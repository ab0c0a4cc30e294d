"""reportgen shows what convolutional networks learned: one spec, every visualization, a site and a poster.

The names below are the public API; they import torch only when they are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reportgen.building import build
    from reportgen.computing import compute
    from reportgen.datasets import load_dataset
    from reportgen.images import load_image
    from reportgen.nets import load_net

__version__ = "0.1.0"
__all__ = ["build", "compute", "load_dataset", "load_image", "load_net"]

_HOMES = {
    "build": "reportgen.building",
    "compute": "reportgen.computing",
    "load_dataset": "reportgen.datasets",
    "load_image": "reportgen.images",
    "load_net": "reportgen.nets",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'reportgen' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
