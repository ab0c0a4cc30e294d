"""What the models of a spec turned out to be, noted at each build, for machines that lack torch.

Which net `{arch: resnet50}` is, and which training a recipe asks for, is asked of torch and torchvision. A store that
was filled elsewhere knows the answer, and with it a report can be drawn anew where neither is installed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, fields, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reportgen.errors import StoreError
from reportgen.keys import digest
from reportgen.records import Preprocess
from reportgen.store import write_atomically

if TYPE_CHECKING:
    from reportgen.nets.weights import Resolved
    from reportgen.spec import ModelSpec

SCHEMA = "remembered-2"
FOLDER = "models"  # of the store


def has_torch() -> bool:
    """Whether torch is installed; it is not imported to find out."""
    return find_spec("torch") is not None


def note(memo: Path, asked: ModelSpec, facts: Mapping[str, Any]) -> None:
    """Note what a model of a spec turned out to be; a store that cannot be written is no reason to stop."""
    path, data = _path(memo, asked), json.dumps(facts).encode()
    with suppress(OSError, StoreError):
        if not path.is_file() or path.read_bytes() != data:
            write_atomically(path, data)


def recall(memo: Path, asked: ModelSpec) -> dict[str, Any] | None:
    """What was noted of a model of a spec; None where nothing was."""
    try:
        found: dict[str, Any] = json.loads(_path(memo, asked).read_text(encoding="utf-8"))
        return found
    except (OSError, ValueError):
        return None


def resolved_to_json(resolved: Resolved) -> dict[str, Any]:
    """Weights as JSON knows them."""
    return {**asdict(resolved), "path": str(resolved.path) if resolved.path else None}


def resolved_from_json(facts: Mapping[str, Any]) -> Resolved:
    """What `resolved_to_json` wrote."""
    from reportgen.nets.weights import Resolved

    shape: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in facts["preprocess"].items()
    }
    known = {field.name: facts[field.name] for field in fields(Resolved)}
    made = Resolved(**known)
    path = Path(facts["path"]) if facts["path"] else None
    return replace(made, path=path, classes=tuple(facts["classes"]), preprocess=Preprocess(**shape))


def _path(memo: Path, asked: ModelSpec) -> Path:
    from reportgen.spec_models import file_digest

    classes = file_digest(asked.classes) if isinstance(asked.classes, Path) else asked.classes
    said = asked.model_dump(mode="json", exclude={"classes", "before"})
    return memo / FOLDER / f"{digest([SCHEMA, said, classes])[:40]}.json"
