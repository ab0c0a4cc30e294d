"""Which class a picture is explained for: the predicted one, the picture's label, a name or an index."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from reportgen.errors import MethodError, NotApplicable, nearest
from reportgen.records import Artifact


def resolve_target(target: str | int, prediction: Artifact, classes: Sequence[str], labels: Sequence[str]) -> int:
    """The index of the class that is meant.

    `predicted` is what the prediction's artifact says, `label` the first of the picture's labels among the classes
    (NotApplicable where none is), anything else the name or the index of a class (MethodError where there is none).
    """
    if target == "predicted":
        return int(prediction.numbers["index"])
    if target == "label":
        return _label(classes, labels)
    if isinstance(target, int) or target.isdigit():
        if not 0 <= int(target) < len(classes):
            raise MethodError(
                f"target: there is no class {target}: the classes are numbered from 0 to {len(classes) - 1}."
            )
        return int(target)
    found = label_index(classes, (target,))
    if found is None:
        raise MethodError(f"target: the net has no class {target!r}. {nearest(target, classes)}")
    return found


def label_index(classes: Sequence[str], labels: Sequence[str]) -> int | None:
    """The index of the first label that is among the classes, or None: the net does not know what the picture shows."""
    known = _known(tuple(classes))
    return next((known[normal(label)] for label in labels if normal(label) in known), None)


def normal(name: str) -> str:
    """The name as it is compared: case, underscores, hyphens and runs of spaces make no difference."""
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()


def _label(classes: Sequence[str], labels: Sequence[str]) -> int:
    if not labels:
        raise NotApplicable("The picture has no label, so there is no class of that name to explain.")
    found = label_index(classes, labels)
    if found is None:
        names = " or ".join(labels)
        raise NotApplicable(
            f"The net knows no class {names}: what the picture shows is not among its {len(classes)} classes."
        )
    return found


@lru_cache(maxsize=64)
def _known(classes: tuple[str, ...]) -> dict[str, int]:
    """Normalised name -> index; whole names go before parts of names such as "tabby, tabby cat", early before late."""
    known: dict[str, int] = {}
    for index, name in enumerate(classes):
        known.setdefault(normal(name), index)
    for index, name in enumerate(classes):
        for part in name.split(","):
            known.setdefault(normal(part), index)
    return known
