"""Spec -> Plan: the ordered list of cells, what does not apply and why, and what the store already holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from reportgen import images
from reportgen.cells import key_document, unfit
from reportgen.errors import ModelError, NotApplicable, SpecError, nearest
from reportgen.keys import digest
from reportgen.models import Choice
from reportgen.records import Card, Cell, Method
from reportgen.spec import SectionSpec, Spec, params_for
from reportgen.store import Store


@dataclass(frozen=True, eq=False)
class Plan:
    """Every cell a spec asks for; it can be printed and compared before anything is computed."""

    spec: Spec
    methods: Mapping[str, Method]
    models: Mapping[str, Choice]
    cards: Mapping[str, Card]
    cells: tuple[Cell, ...]  # what others use first; each id once
    excluded: Mapping[str, str]  # cell id -> why the method does not apply to that net


def make_plan(
    spec: Spec, methods: Mapping[str, Method], models: Mapping[str, Choice], cards: Mapping[str, Card]
) -> Plan:
    """The plan of a spec on nets with these cards.

    Raises SpecError with all layers and classes that no net of their section has.
    """
    _check_names(spec, methods, cards)
    digests = {name: _image_document(spec, name) for name in spec.images}
    cells: dict[str, Cell] = {}
    excluded: dict[str, str] = {}
    for section, model, image, asked, layer in _wanted(spec, methods):
        params = asked
        method = methods[section.method or ""]
        name = _cell_id(section, model, image, layer, params)
        reason = unfit(method, cards[model])
        if layer is not None and not reason:
            try:
                params = replace(params, layer=cards[model].resolve(layer).name)
            except (NotApplicable, ModelError) as error:
                reason = str(error)
        uses: dict[str, Cell] = {}
        for used in method.uses if not reason else ():
            uses[used] = _used_cell(spec, methods[used], cards[model], model, image, digests)
            cells.setdefault(uses[used].id, uses[used])
        document = key_document(
            method,
            params,
            cards[model],
            image=digests[image] if image else None,
            uses={used: cell.key for used, cell in uses.items()},
            precision=spec.precision,
            seed=spec.seed,
        )
        cells[name] = Cell(name, section.id, method.name, model, image, params, layer, digest(document), document, uses)
        if reason:
            excluded[name] = reason
    return Plan(spec, methods, models, cards, tuple(cells.values()), excluded)


def why(cell: Cell, store: Store) -> str:
    """One line on a missing cell: which fields of its key differ from the nearest stored cell of the method."""
    best: tuple[int, list[str]] | None = None
    for record in store.records():
        other = record.document
        if record.kind != "cell" or other["method"]["name"] != cell.method:
            continue
        changed = sorted(_differences(cell.document, other))
        if best is None or len(changed) < best[0]:
            best = (len(changed), changed)
    if best is None:
        return f"no cell of {cell.method} is stored yet"
    return "changed since the nearest stored cell: " + ", ".join(best[1])


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


def _used_cell(
    spec: Spec,
    method: Method,
    card: Card,
    model: str,
    image: str | None,
    digests: Mapping[str, Mapping[str, Any]],
) -> Cell:
    """A cell that another takes as input; it has no section, unless a section asks for the same thing."""
    params = method.params()
    document = key_document(
        method,
        params,
        card,
        image=digests[image] if image else None,
        uses={},
        precision=spec.precision,
        seed=spec.seed,
    )
    name = ".".join(["", method.name, model, *([image] if image else [])])
    return Cell(name, "", method.name, model, image, params, None, digest(document), document)


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


def _differences(new: Any, old: Any, path: str = "") -> Iterator[str]:
    if isinstance(new, Mapping) and isinstance(old, Mapping):
        for key in sorted({*new, *old}):
            yield from _differences(new.get(key), old.get(key), f"{path}.{key}" if path else key)
    elif (list(new) if isinstance(new, tuple) else new) != old:
        yield path
