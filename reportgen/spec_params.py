"""Raw params -> a method's own params: names, types and defaults, with errors in plain words."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from functools import lru_cache
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from reportgen.errors import MethodError, ReportError, nearest
from reportgen.records import Method
from reportgen.spec_models import SectionSpec
from reportgen.yamlpos import Key

BESIDE = ("layer", "units")  # fields that a section fills with its own keys `layers:` and `units:`
WANTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping of `key: value`",
    "mapping_type": "a mapping of `key: value`",
    "model_type": "a mapping of `key: value`",
    "model_attributes_type": "a mapping of `key: value`",
    "none_required": "null",
    "path_type": "a path",
}


def params_for(method: Method, section: SectionSpec, layer: str | None = None, target: Any = None) -> Any:
    """The method's params for one cell of a section: defaults filled in, lists as tuples.

    Raises MethodError where a value does not fit, which `read_spec` has ruled out for a spec.
    """
    values = {name: value for name, value in section.params.items() if name != "target"}
    if target is not None:
        values["target"] = target
    if layer is not None:
        values["layer"] = layer
    if section.units is not None:
        values["units"] = section.units
    return make_params(method, values)


def make_params(method: Method, values: Mapping[str, Any]) -> Any:
    """The method's frozen params from plain values; raises MethodError with everything that does not fit."""
    problems = [text for _, text in wrong_values(method, values)]
    if not problems:
        try:
            return method.params(**_converted(method, values))
        except (ValueError, TypeError, ReportError) as error:
            problems = [str(error)]
    raise MethodError(f"The params of {method.name} do not fit: {'; '.join(p.rstrip('.') for p in problems)}.")


def wrong_values(method: Method, values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is wrong with values for a method's params, as pairs of a name and a sentence."""
    known = _adapters(method.params)
    problems = []
    for name, value in values.items():
        if name not in known:
            problems.append((name, f"{method.name} has no param {name!r}. {_nearest_param(name, known)}"))
        elif text := _misfit(known[name], value):
            problems.append((name, f"{name} {text}"))
    for needed in fields(method.params):
        if _required(needed) and needed.name not in values:
            problems.append((needed.name, f"{method.name} needs the param {needed.name!r}."))
    return problems


def section_problems(method: Method, section: Mapping[str, Any]) -> list[tuple[Key, str]]:
    """What is wrong with the params, layers and units of a raw section, as pairs of a way below it and a sentence."""
    names = _adapters(method.params)
    params, layers, units = (section.get(key) for key in ("params", "layers", "units"))
    problems: list[tuple[Key, str]] = []
    values = dict(params) if isinstance(params, dict) else {}
    for name in BESIDE:
        if name in values and name in names:
            key = "layers" if name == "layer" else name
            problems.append((("params", name), f"{name} does not stand in params; give the section `{key}:`."))
            del values[name]
    for name, key, value in (("layer", "layers", layers), ("units", "units", units)):
        if value is not None and name not in names:
            problems.append(((key,), f"{method.name} takes no {key}."))
        elif value is None and name in names and _required(_field(method, name)):
            problems.append(((), f"{method.name} needs `{key}:` in its section."))
    if units is not None and "units" in names and (text := _misfit(names["units"], units)):
        problems.append((("units",), f"units {text}"))
    for number, target in enumerate(values.pop("target") if isinstance(values.get("target"), list) else ()):
        if "target" in names and (text := _misfit(names["target"], target)):
            problems.append((("params", "target", number), f"target {text}"))
    for name, text in wrong_values(method, values):
        if name not in BESIDE:
            problems.append((("params", name), text))
    return problems or _refused_together(method, values, layers, units)


def _refused_together(method: Method, values: dict[str, Any], layers: Any, units: Any) -> list[tuple[Key, str]]:
    """What the params class itself has against values of the right types."""
    if units is not None:
        values["units"] = units
    if isinstance(layers, list) and layers and isinstance(layers[0], str):
        values["layer"] = layers[0]
    try:
        method.params(**_converted(method, values))
    except (ValueError, TypeError, ReportError) as error:
        text = str(error)
        if text.startswith("units"):
            return [(("units",), text)]
        named = [name for name in values if text.startswith(name)]
        return [(("params", *named[:1]), text)]
    return []


def describe(errors: Iterable[Any], value: Any) -> str:
    """Pydantic's complaints about one value as one sentence without a subject: "should be a whole number, not 'x'."."""
    wanted: list[str] = []
    choices: list[str] = []
    for error in errors:
        context = error.get("ctx", {})
        if error["type"] == "literal_error":
            choices += [part.strip("'") for part in str(context["expected"]).replace(" or ", ", ").split(", ")]
        elif error["type"] in WANTED:
            wanted.append(WANTED[error["type"]])
        elif error["type"] in ("missing", "too_long"):  # of a tuple
            count = context.get("max_length") or error["loc"][-1] + 1
            wanted = [f"a list of {count} values"]
        elif error["type"] == "value_error":
            return str(context.get("error", error["msg"]))
        else:
            message = str(error["msg"]).replace("Input should", "should")
            wanted.append(message.removeprefix("should be ").removeprefix("should "))
    wanted += [f"one of {', '.join(choices)}"] if choices else []
    text = f"should be {' or '.join(dict.fromkeys(wanted))}, not {_short(value)}."
    if wanted == ["text"] and isinstance(value, int | float):
        text = text[:-1] + "; put it in quotes."
    return f"{text} {nearest(value, choices)}" if choices and isinstance(value, str) and len(choices) > 4 else text


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _misfit(adapter: TypeAdapter[Any], value: Any) -> str:
    try:
        _validated(adapter, value)
    except ValidationError as error:
        return describe(error.errors(include_url=False), value)
    return ""


def _validated(adapter: TypeAdapter[Any], value: Any) -> Any:
    """The value in the type of its annotation: by JSON, where a list may become a tuple but "5" never a number."""
    return adapter.validate_json(json.dumps(value), strict=True)


def _converted(method: Method, values: Mapping[str, Any]) -> dict[str, Any]:
    known = _adapters(method.params)
    return {name: _validated(known[name], value) for name, value in values.items()}


def _adapters(params: Any) -> dict[str, TypeAdapter[Any]]:
    """A validator for each field of a params class."""
    return _made_adapters(params)


@lru_cache(maxsize=256)  # making one takes longer than using it on all cells of a plan
def _made_adapters(params: Any) -> dict[str, TypeAdapter[Any]]:
    hints = get_type_hints(params, include_extras=True)
    return {field.name: TypeAdapter(hints[field.name]) for field in fields(params) if field.init}


def _nearest_param(name: str, known: Iterable[str]) -> str:
    names: Sequence[str] = [param for param in known if param not in BESIDE]
    return nearest(name, names) if names else "It has no params."


def _field(method: Method, name: str) -> Field[Any]:
    return next(field for field in fields(method.params) if field.name == name)


def _required(param: Field[Any]) -> bool:
    return param.init and param.default is MISSING and param.default_factory is MISSING
