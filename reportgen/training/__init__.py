"""Training of nets by recipe: `load_recipe`, `train`, `export`, `evaluate` and the like; torch comes in when used."""

from __future__ import annotations

from reportgen.training.checkpoints import export, export_checkpoints
from reportgen.training.loop import TrainResult, train
from reportgen.training.measure import evaluate
from reportgen.training.progress import Progress
from reportgen.training.recipe import Recipe, load_recipe, make_recipe

__all__ = [
    "Progress",
    "Recipe",
    "TrainResult",
    "evaluate",
    "export",
    "export_checkpoints",
    "load_recipe",
    "make_recipe",
    "train",
]
