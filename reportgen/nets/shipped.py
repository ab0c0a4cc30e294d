"""How the embedded nets were trained: a log of each, and of some the weights on the way, as they came with reportgen.

`reportgen.training.export_checkpoints` writes these files. Weights on the way are those of all layers but the dense
ones, in float16, without the end: that is the embedded net itself.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from reportgen.errors import ImageError, ModelError
from reportgen.examples import Dataset, TrainingRun, epochs_of
from reportgen.keys import digest
from reportgen.nets.archs import MINIS
from reportgen.records import Net

FOLDER = Path(__file__).parent / "checkpoints"
LOG = "log.json"


@dataclass(frozen=True, eq=False)
class Shipped:
    """The training of an embedded net; made by `shipped`."""

    folder: Path
    told: Mapping[str, Any]  # what its log says

    @property
    def keys(self) -> tuple[str, ...]:
        """What a cell that looks at it is known by: the log has the digests of weights before and at the end."""
        return (digest(self.told),)

    @property
    def kept(self) -> tuple[int, ...]:
        """The epochs whose weights are there, ascending; the last is the end of training."""
        return (*(one["epoch"] for one in self.told["checkpoints"]), self.told["numbers"]["epochs"])

    def seen(self, net: Net, data: Dataset | None) -> TrainingRun:
        """The training as methods meet it; `net` is the one it ended in. They have `data` to look at, or nothing."""

        def at(epoch: int) -> Net:
            return net if epoch == self.kept[-1] else self._net(net, epoch)

        classes, logs = tuple(self.told["classes"]), (epochs_of(self.told["rows"]),)
        pictures = Dataset("no pictures", classes, (), (), _none, lambda: "") if data is None else data
        return TrainingRun(classes, logs, self.kept, at, pictures, self.told["numbers"])

    def _net(self, net: Net, epoch: int) -> Net:
        """The net as it was after a kept epoch, up to the first layer whose weights were not kept."""
        import torch
        from safetensors.torch import load

        known = next((one for one in self.told["checkpoints"] if one["epoch"] == epoch), None)
        if known is None:
            raise ModelError(f"The weights of epoch {epoch} were not kept; those of {self.kept} were.")
        path = self.folder / known["file"]
        raw = path.read_bytes() if path.is_file() else b""
        if hashlib.sha256(raw).hexdigest() != known["sha256"]:
            what = "damaged" if raw else "missing from this installation"
            raise ModelError(f"The weights of {net.card.arch} after epoch {epoch} ({path.name}) are {what}. Reinstall.")
        state, module = load(raw), copy.deepcopy(net.module)
        own = module.state_dict()  # its tensors are the module's, not copies
        for name, tensor in own.items():
            if name in state:
                tensor.copy_(state[name])
            elif tensor.is_floating_point():
                tensor.fill_(torch.nan)  # whatever would ask for it has no answer, instead of one by chance
        unknown = {name.rpartition(".")[0] for name in own if name not in state}
        names = [layer.name for layer in net.card.layers]
        end = next((place for place, name in enumerate(names) if name.partition("#")[0] in unknown), len(names))
        there = names[:end]
        card = replace(
            net.card,
            weights=known["sha256"],
            weights_source=f"epoch {epoch}",
            layers=net.card.layers[:end],
            stages={stage: name for stage, name in net.card.stages.items() if name in there},
            aliases={alias: name for alias, name in net.card.aliases.items() if name in there},
            numbers={},
        )
        return replace(net, module=module, card=card)


def _none(place: int) -> NoReturn:
    raise ImageError(f"There is no picture {place}.")


def shipped(arch: str, weights: str) -> Shipped | None:
    """The training that ended in these weights (the digest of their tensors), where it came with reportgen."""
    path = FOLDER / arch / LOG
    if arch not in MINIS or not path.is_file():
        return None
    told = json.loads(path.read_text(encoding="utf-8"))
    return Shipped(path.parent, told) if told["weights"] == weights else None
