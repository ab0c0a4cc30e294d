"""Spec -> Plan: the ordered list of cells, what does not apply and why, and what the store already holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from reportgen import images
from reportgen.cells import OF_SETS, key_document, unfit, unfit_before, unfit_set
from reportgen.errors import ModelError, NotApplicable, SpecError, nearest
from reportgen.examples import Dataset
from reportgen.keys import digest
from reportgen.models import Choice
from reportgen.nets.shipped import Shipped
from reportgen.records import Card, Cell, Method
from reportgen.spec import SectionSpec, Spec, params_for
from reportgen.trained import Course


@dataclass(frozen=True, eq=False)
class Plan:
    """Every cell a spec asks for; it can be printed and compared before anything is computed."""

    spec: Spec
    methods: Mapping[str, Method]
    models: Mapping[str, Choice]
    cards: Mapping[str, Card]
    cells: tuple[Cell, ...]  # what others use first; each id once
    excluded: Mapping[str, str]  # cell id -> why the method does not apply to that net
    datasets: Mapping[str, Dataset] = field(default_factory=dict)  # by their id in the spec


def make_plan(
    spec: Spec,
    methods: Mapping[str, Method],
    models: Mapping[str, Choice],
    cards: Mapping[str, Card],
    memo: Path | None = None,
) -> Plan:
    """The plan of a spec on nets with these cards; `memo` is a folder that remembers the digests of data sets' files.

    Raises SpecError with all layers and classes that no net of their section has.
    """
    _check_names(spec, methods, cards)
    datasets = open_datasets(spec, memo)
    digests = {name: data.digest() for name, data in datasets.items()}
    maker = _Maker(spec, methods, cards, {name: _image_document(spec, name) for name in spec.images}, digests)
    cells: dict[str, Cell] = {}
    excluded: dict[str, str] = {}
    for section, model, image, asked, layer in _wanted(spec, methods):
        method = methods[section.method or ""]
        name = _cell_id(section, model, image, layer, asked)
        params, reason = _settled(method, asked, cards[model])
        training = getattr(models[model], "training", None) if method.scope == "training" else None
        dataset = section.dataset if method.scope == "dataset" or training else None
        reason = reason or unfit_before(method, cards[model], maker.before(method, model))
        reason = reason or (unfit_set(method, datasets[dataset]) if dataset else "")
        reason = reason or (_unfit_run(method, training) if method.scope == "training" else "")
        uses = {} if reason else maker.used(method, model, image)
        beside = {} if reason else maker.beside(method, model, image, params)
        for other in (*uses.values(), *beside.values()):
            cells.setdefault(other.id, other)
        shown = section.images if method.scope in OF_SETS else ()
        runs = training.keys if training else ()
        cell = maker.cell(
            name, method, model, params, image=image, images=shown, dataset=dataset, uses=uses, training=runs
        )
        cells[name] = replace(cell, section=section.id, layer=layer, beside=beside)
        if reason:
            excluded[name] = reason
    return Plan(spec, methods, models, cards, tuple(cells.values()), excluded, datasets)


def open_datasets(spec: Spec, memo: Path | None = None) -> dict[str, Dataset]:
    """The data sets that sections of a spec look at, opened; no picture is read.

    `memo` is a folder that remembers the digests of files.
    """
    from reportgen.datasets import from_spec

    used = {section.dataset for section in spec.sections}
    return {
        name: from_spec(asked, base=spec.path.parent, images=spec.images, memo_dir=memo)
        for name, asked in spec.datasets.items()
        if name in used
    }


def _unfit_run(method: Method, training: Course | Shipped | None) -> str:
    """Why a net's training has nothing that the method could show, or an empty text."""
    if training is None:
        return "Not trained by this report, so how it came to its weights is unknown."
    if "checkpoints" in method.needs and len(training.kept) < 2:
        if isinstance(training, Shipped):
            return "Of its training the log alone has come with reportgen, no weights on the way to the embedded ones."
        return "No weights were kept while it was trained; `checkpoints:` in its recipe says at which epochs."
    return ""


def _wanted(
    spec: Spec, methods: Mapping[str, Method]
) -> Iterator[tuple[SectionSpec, str, str | None, Any, str | None]]:
    """Section, model, image, params and layer of each cell, in the order of the spec."""
    for section in spec.sections:
        if section.method is None:
            continue
        method = methods[section.method]
        takes_layer = any(field.name == "layer" for field in fields(method.params))
        layers: Sequence[str | None] = section.layers or (None,)
        for model in section.models:
            for image in section.images if method.scope == "image" else (None,):
                for target in _targets(section):
                    for layer in layers if takes_layer else (None,):
                        params = params_for(method, section, layer=layer, target=target)
                        asked = layer or (params.layer if takes_layer else None)
                        yield section, model, image, params, asked


def _targets(section: SectionSpec) -> Sequence[Any]:
    target = section.params.get("target")
    return target if isinstance(target, list | tuple) else (target,)


def _cell_id(section: SectionSpec, model: str, image: str | None, layer: str | None, params: Any) -> str:
    """The id on pages and in report.json: words of [a-z0-9_-] joined by dots."""
    words = [section.id, model]
    if image:
        words.append(image)
    if layer and section.layers:
        words.append(_word(layer))
    if len(_targets(section)) > 1:
        words.append(_word(str(params.target)))
    return ".".join(words)


def _word(text: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "-" for c in text.lower())


def _settled(method: Method, params: Any, card: Card) -> tuple[Any, str]:
    """The params with the layer's own name in place of a stage or alias, and why the method does not apply, if so."""
    reason = unfit(method, card)
    if reason or getattr(params, "layer", None) is None:
        return params, reason
    try:
        return replace(params, layer=card.resolve(params.layer).name), ""
    except (NotApplicable, ModelError) as error:
        return params, str(error)


@dataclass(frozen=True)
class _Maker:
    """Makes cells with their keys; what all cells of a plan share."""

    spec: Spec
    methods: Mapping[str, Method]
    cards: Mapping[str, Card]
    documents: Mapping[str, Mapping[str, Any]]  # image id -> digest, crop and labels
    datasets: Mapping[str, str]  # data set id -> digest

    def cell(
        self,
        name: str,
        method: Method,
        model: str,
        params: Any,
        *,
        image: str | None = None,
        images: Sequence[str] = (),
        dataset: str | None = None,
        uses: Mapping[str, Cell] | None = None,
        training: Sequence[str] = (),
    ) -> Cell:
        """A cell of no section."""
        uses = uses or {}
        document = key_document(
            method,
            params,
            self.cards[model],
            image=self._document(method, image) if image else None,
            images=[self._document(method, one) for one in images] if method.scope in OF_SETS else None,
            dataset=self.datasets[dataset] if dataset else None,
            uses={used: cell.key for used, cell in uses.items()},
            precision=self.spec.precision,
            seed=self.spec.seed,
            training=training,
            before=self.before(method, model),
        )
        key, shown = digest(document), tuple(images)
        return Cell(name, "", method.name, model, image, params, None, key, document, uses, shown, dataset)

    def before(self, method: Method, model: str) -> Card | None:
        """The card of what a model was before, for methods that compare the two."""
        name = self.spec.models[model].before if "before" in method.needs else None
        return self.cards[name] if name else None

    def used(self, method: Method, model: str, image: str | None) -> dict[str, Cell]:
        """The cells that one of the method takes as input, by their method."""
        found = {}
        for name in method.uses:
            other = self.methods[name]
            words = ["", name, model, *([image] if image else [])]
            found[name] = self.cell(".".join(words), other, model, other.params(), image=image)
        return found

    def beside(self, method: Method, model: str, image: str | None, params: Any) -> dict[str, Cell]:
        """The cells that panels show beside one of the method: on the same net, and its layer where they have one."""
        found = {}
        for name in method.beside:
            other = self.methods[name]
            own = other.params()
            if hasattr(own, "layer") and hasattr(params, "layer"):
                own = replace(own, layer=params.layer)
            own, reason = _settled(other, own, self.cards[model])
            if reason or (other.scope == "images" and not self.spec.images):
                continue
            picture = image if other.scope == "image" else None
            words = ["", name, model, *([picture] if picture else [])]
            words += [_word(own.layer)] if hasattr(own, "layer") else []
            images = tuple(self.spec.images) if other.scope == "images" else ()
            cell = self.cell(".".join(words), other, model, own, image=picture, images=images)
            found[name] = replace(cell, layer=getattr(own, "layer", None))
        return found

    def _document(self, method: Method, image: str) -> dict[str, Any]:
        """What a key says about a picture: only what the method is given of it."""
        asked, document = self.spec.images[image], dict(self.documents[image])
        if method.scope in OF_SETS:
            document["name"] = asked.name(image)  # the results of a set call its pictures by name
        if "points" in method.needs:
            document["points"] = asked.points
        return document


def _image_document(spec: Spec, name: str) -> dict[str, Any]:
    asked = spec.images[name]
    path = images.find_image(asked.source, spec.path.parent)
    return {"digest": images.image_digest(path), "crop": asked.crop, "labels": asked.label}


def _check_names(spec: Spec, methods: Mapping[str, Method], cards: Mapping[str, Card]) -> None:
    """Raise SpecError with every layer and class that none of its section's nets knows."""
    problems = []
    for number, section in enumerate(spec.sections):
        if section.method is None:
            continue
        nets = [cards[model] for model in section.models]
        for index, layer in enumerate(section.layers or ()):
            if not any(_has_layer(card, layer) for card in nets):
                known = {name for card in nets for name in (*card.stages, *card.aliases)}
                known |= {entry.name for card in nets for entry in card.layers}
                place = spec.place("sections", number, "layers", index)
                problems.append(f"{place}: none of the section's nets has the layer {layer!r}. {nearest(layer, known)}")
        for target in _targets(section):
            if target in (None, "predicted", "label") or any(_has_class(card, target) for card in nets):
                continue
            known = {name for card in nets for name in card.classes}
            place = spec.place("sections", number, "params", "target")
            problems.append(
                f"{place}: none of the section's nets has the class {target!r}. {nearest(str(target), known)}"
            )
    if problems:
        raise SpecError("\n".join(problems))


def _has_layer(card: Card, layer: str) -> bool:
    try:
        card.resolve(layer)
    except (NotApplicable, ModelError):
        return False
    return True


def _has_class(card: Card, target: Any) -> bool:
    from reportgen.targets import label_index

    if isinstance(target, int) or str(target).isdigit():
        return 0 <= int(target) < len(card.classes)
    return label_index(card.classes, (str(target),)) is not None
