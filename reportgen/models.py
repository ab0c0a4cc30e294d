"""Which net each model of a spec is: found without loading it, so that a build with nothing to do needs no torch."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from reportgen.errors import ModelError, SpecError
from reportgen.keys import KEY_SCHEMA, digest
from reportgen.nets.shipped import Shipped, shipped
from reportgen.nets.weights import MissingWeights, Resolved, Unreachable, resolve
from reportgen.records import Card, Net, Precision
from reportgen.remembered import has_torch, note, recall, resolved_from_json, resolved_to_json
from reportgen.spec import ModelSpec, Spec
from reportgen.store import Store
from reportgen.trained import Course

CARD_VERSION = 4

Say = Callable[[str], None]


@dataclass(frozen=True)
class Choice:
    """The net that a model of the spec stands for here."""

    name: str  # id in the spec
    asked: ModelSpec  # what to load: the fallback's entry where the fallback stands in
    resolved: Resolved
    classes: tuple[str, ...] | None  # as the spec gives them
    fallback: str  # why the fallback stands in, or nothing
    missing: Path | None  # the weights file that was looked for in vain
    allow_code: bool
    course: Course | None = None  # its training, where the report trains it

    @property
    def training(self) -> Course | Shipped | None:
        """How the net came to its weights: by the report's own training, or as reportgen's nets did; None: unknown."""
        return self.course or shipped(self.resolved.arch, self.resolved.digest)

    @property
    def source(self) -> str:
        """The net and where its weights come from, for people."""
        return f"{self.asked.arch} ({self.resolved.source})"


def choose(
    spec: Spec, memo: Path, courses: Mapping[str, Course], *, offline: bool, allow_code: bool, say: Say
) -> dict[str, Choice]:
    """The net of every model of a spec, by id; `courses` are those of the models that the report trains.

    A model that is still to be trained stands there untrained, so that a plan can be made of it. Weights that are not
    here are replaced by the model's fallback, else downloaded unless `offline`. Raises ModelError where neither can
    be, SpecError with the place of a model that is wrong in itself.
    """
    found = {}
    for name, asked in spec.models.items():
        try:
            if (course := courses.get(name)) is not None:
                resolved = course.resolved(memo)
                found[name] = Choice(name, asked, resolved, _classes(asked), "", None, allow_code, course)
                continue
            found[name] = _choose(spec, name, asked, memo, offline=offline, allow_code=allow_code, say=say)
        except MissingWeights:
            raise
        except ModelError as error:
            raise SpecError(f"{spec.place('models', name)}: {error}") from error
    return found


def _choose(
    spec: Spec, name: str, asked: ModelSpec, memo: Path, *, offline: bool, allow_code: bool, say: Say
) -> Choice:
    try:
        choice = _look_for(spec, name, asked, memo, offline=offline, allow_code=allow_code, say=say)
    except ModelError as error:
        if has_torch():
            raise
        return _remembered(name, asked, memo, allow_code, error)
    if has_torch():
        facts = {"resolved": resolved_to_json(choice.resolved), "fallback": choice.fallback}
        note(memo, asked, facts | {"missing": str(choice.missing) if choice.missing else None})
    return choice


def _remembered(name: str, asked: ModelSpec, memo: Path, allow_code: bool, error: ModelError) -> Choice:
    """The net that a model was when the store was filled. Raises ModelError where the store never met it."""
    if (facts := recall(memo, asked)) is None:
        raise ModelError(
            f"which net this is cannot be told without torch ({error}) The cache has not met it either: build the "
            "report where torch is installed, and bring its cache here, or install torch."
        ) from error
    entry = ModelSpec(arch=asked.fallback) if facts["fallback"] and asked.fallback else asked
    missing = Path(facts["missing"]) if facts["missing"] else None
    resolved = resolved_from_json(facts["resolved"])
    return Choice(name, entry, resolved, _classes(entry), facts["fallback"], missing, allow_code)


def _look_for(
    spec: Spec, name: str, asked: ModelSpec, memo: Path, *, offline: bool, allow_code: bool, say: Say
) -> Choice:
    base = spec.path.parent

    def found(entry: ModelSpec, fallback: str = "", missing: Path | None = None) -> Choice:
        resolved = resolve(entry.arch, entry.weights, entry.seed, entry.kwargs, base=base, memo_dir=memo)
        return Choice(name, entry, resolved, _classes(entry), fallback, missing, allow_code)

    try:
        return found(asked)
    except MissingWeights as missing:
        if asked.fallback is not None:
            reason = f"{asked.arch}'s weights {missing.filename} are not here: {asked.fallback} stands in"
            return found(ModelSpec(arch=asked.fallback), reason, missing.folder / missing.filename)
        if offline:
            raise
        _download(name, asked, say)
        return found(asked)


def fetch(spec: Spec, memo: Path, say: Say) -> list[str]:
    """Download every weights file a spec names that is not here yet; what could not be had, one line each.

    A host that cannot be reached is not asked again for the other models.
    """
    problems: list[str] = []
    unreachable: set[str] = set()
    for name, asked in spec.models.items():
        if asked.training is not None:
            continue
        try:
            resolve(asked.arch, asked.weights, asked.seed, asked.kwargs, base=spec.path.parent, memo_dir=memo)
            say(f"{name}: {asked.arch} is here")
            continue
        except MissingWeights as missing:
            host, filename = urlsplit(missing.url).netloc, missing.filename
        if host in unreachable:
            problems.append(f"{name}: {filename} was not asked for: {host} cannot be reached.")
            continue
        try:
            _download(name, asked, say)
        except ModelError as error:
            problems.append(f"{name}: {error}")
            if isinstance(error, Unreachable):
                unreachable.add(host)
    return problems


def _download(name: str, asked: ModelSpec, say: Say) -> None:
    """Bring a model's weights to the hub cache, telling every few seconds how far it is."""
    from reportgen.nets.weights import fetch_hub

    started = told = time.monotonic()

    def progress(done: int, total: int | None) -> None:
        nonlocal told
        now = time.monotonic()
        if total and now - told >= 5:
            told = now
            left = (now - started) / done * (total - done)
            say(f"{name}: {done / 1e6:.0f} of {total / 1e6:.0f} MB, {left:.0f} s left")

    say(f"{name}: downloading the weights of {asked.arch}")
    fetch_hub(asked.arch, asked.weights, progress=progress)


def card(choice: Choice, store: Store) -> Card:
    """The card of a model: from the store, or by loading the net and walking it once."""
    from reportgen.nets.card import card_from_json, card_to_json

    document = _card_document(choice)
    key = digest(document)
    if (record := store.get(key)) is not None:
        return card_from_json(record.meta)
    if not has_torch():
        raise ModelError(
            f"{choice.name}: the layers of {choice.asked.arch} are not in the cache, and torch, which would find them, "
            "is not installed here. Build the report where it is, and bring its cache here, or install torch."
        )
    made = load(choice, "cpu", "fp32", None).card
    store.put(key, kind="card", document=document, meta=card_to_json(made))
    return made


def load(choice: Choice, device: str, precision: Precision, threads: int | None) -> Net:
    """The net of a model on a device; `threads` is how many may compute, None for torch's own choice."""
    import torch

    from reportgen.nets import loading

    if threads:
        torch.set_num_threads(threads)
    return loading.load(
        choice.resolved,
        device=device,
        precision=precision,
        classes=choice.classes,
        preprocess=choice.asked.preprocess,
        allow_code=choice.allow_code,
    )


def _card_document(choice: Choice) -> Mapping[str, Any]:
    resolved = choice.resolved
    return {
        "schema": KEY_SCHEMA,
        "kind": "card",
        "version": CARD_VERSION,
        "arch": resolved.arch,
        "builder": resolved.builder,
        "weights": resolved.digest,
        "source": resolved.source,
        "classes": choice.classes,
        "preprocess": choice.asked.preprocess,
    }


def _classes(asked: ModelSpec) -> tuple[str, ...] | None:
    from reportgen.nets.loading import class_names

    return None if asked.classes is None else class_names(asked.classes)
