"""Training of nets by recipe: `load_recipe`, `train`, `export`, `evaluate`; torch is imported when used."""

from __future__ import annotations

from reportgen.training.checkpoints import export
from reportgen.training.loop import TrainResult, train
from reportgen.training.measure import evaluate
from reportgen.training.progress import Progress
from reportgen.training.recipe import Recipe, load_recipe, make_recipe

__all__ = ["Progress", "Recipe", "TrainResult", "evaluate", "export", "load_recipe", "make_recipe", "train"]
