"""Section texts: Markdown with placeholders for the report's own numbers -> safe HTML with numbered citations."""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import unescape
from typing import TYPE_CHECKING, Any

from reportgen.bibliography import Citations, Entry, read_bibliography
from reportgen.errors import SpecError, nearest
from reportgen.formulas import formula

if TYPE_CHECKING:
    from jinja2 import Environment, Undefined

    from reportgen.report import Report

NO_BREAK = "\u00a0"  # between a number and its unit
TAGS = {
    *("h3", "h4", "h5", "h6", "p", "hr", "br", "blockquote", "pre", "div", "span", "a"),
    *("ul", "ol", "li", "dl", "dt", "dd", "table", "thead", "tbody", "tr", "th", "td"),
    *("em", "strong", "i", "b", "s", "small", "sub", "sup", "code", "kbd", "samp", "var", "q", "cite", "abbr"),
    *("del", "ins"),
}
_CITATION = re.compile(r"\[(@[\w:./+-]+(?:\s*;\s*@[\w:./+-]+)*)\]")
_FORMULA = r"\$(?=\S)([^$\n]+?)(?<=\S)\$(?!\d)"  # $z_k^2$, but not the prices $5 and $6
_MARK = re.compile(
    "\ue000([^\ue000\ue001]*)\ue001"
)  # where a citation stood; private characters, taken from texts first


# --------------------------------------------------------------------------------------------------------- one text


def render_text(source: str, values: Mapping[str, Any], place: str, citations: Citations | None = None) -> str:
    """A text as clean HTML: placeholders filled, Markdown translated, `[@key]` turned into `[1]`, all else removed.

    Raises SpecError with the place and the line within the text for a placeholder without a value, or a key that is
    in no bibliography.
    """
    filled = fill(source.replace("\ue000", "").replace("\ue001", ""), values, place)
    marked = _markdown(filled)
    known = citations or Citations({})
    return _clean(_MARK.sub(lambda match: _links(match[1].split(";"), known, source, place), marked))


def fill(source: str, values: Mapping[str, Any], place: str) -> str:
    """A text with its placeholders filled; values are escaped. Raises SpecError with the place."""
    from jinja2 import TemplateError, TemplateSyntaxError

    try:
        return _environment(values).from_string(source).render(values)
    except TemplateSyntaxError as error:
        raise _wrong(place, error.lineno, f"the placeholder cannot be read: {error.message}") from error
    except (TemplateError, TypeError, ValueError, ArithmeticError, KeyError, AttributeError) as error:
        raise _wrong(place, _line_of(error), str(error)) from error


def plain_text(html: str) -> str:
    """The words of HTML on one line, for alt texts and meta tags."""
    blocks = re.sub(r"</?(p|li|h\d|td|th|tr|dt|dd|br|div|blockquote|pre)\b[^>]*>", " ", html)
    return " ".join(unescape(re.sub(r"<[^>]*>", "", blocks)).split())


def percent(value: float, digits: int = 1) -> str:
    """A share of 1 in per cent: 0.8412 -> "84.1 %"."""
    return f"{100 * _number(value):.{digits}f}{NO_BREAK}%"


def si(value: float, digits: int = 3) -> str:
    """A number with its thousands as a letter: 61100840 -> "61.1 M"."""
    number = _number(value)
    for factor, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        scaled = number / factor
        if abs(float(f"{scaled:.{digits}g}")) >= 1:
            return f"{_digits(scaled, digits)}{NO_BREAK}{letter}"
    return _digits(number, digits)


def fixed(value: float, digits: int = 0) -> str:
    """A number with so many digits behind the point: 3.14159 | round(2) -> "3.14"."""
    return f"{_number(value):.{digits}f}"


def grouped(value: float) -> str:
    """A whole number in groups of three: 61100840 -> "61,100,840"."""
    return f"{round(_number(value)):,}"


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"a number is wanted here, not {str(value)!r}")  # str() of what is missing says so
    return value


def _digits(value: float, digits: int) -> str:
    """So many significant digits, never with an exponent."""
    rounded = float(f"{value:.{digits}g}")
    before = len(str(int(abs(rounded))))
    return f"{rounded:.{max(0, digits - before)}f}" if abs(rounded) >= 1 else f"{rounded:.{digits}g}"


def _environment(values: Mapping[str, Any]) -> Environment:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        autoescape=True, undefined=_undefined(values), finalize=_shown, keep_trailing_newline=True
    )
    environment.globals.clear()  # no range() of a thousand million
    environment.filters |= {"percent": percent, "si": si, "round": fixed, "group": grouped}
    return environment


def _undefined(values: Mapping[str, Any]) -> type[Undefined]:
    """Jinja's strict undefined value, which also names the nearest right name."""
    from jinja2 import StrictUndefined
    from jinja2.utils import missing

    class Unknown(StrictUndefined):
        __slots__ = ()

        @property
        def _undefined_message(self) -> str:
            if self._undefined_hint:
                return self._undefined_hint
            inside = values if self._undefined_obj is missing else self._undefined_obj
            known = [str(key) for key in inside] if isinstance(inside, Mapping) else []
            return f"there is no {self._undefined_name!r} to fill in. {nearest(str(self._undefined_name), known)}"

    return Unknown


def _shown(value: Any) -> Any:
    """A value as a text shows it: numbers with at most four digits, and nothing that is no word or number."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if value is None or isinstance(value, Mapping | list | tuple):
        what = "nothing" if value is None else "several values"
        raise ValueError(f"a placeholder stands for {what}; a number or text is wanted")
    return value


def _line_of(error: BaseException) -> int:
    """The line of the text where filling it in failed; Jinja puts it into the traceback."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == "<template>"]
    return lines[-1] or 1 if lines else 1


def _wrong(place: str, line: int, problem: str) -> SpecError:
    problem = problem if problem.endswith((".", "?")) else f"{problem}."
    return SpecError(f"{place}: line {line} of the text: {problem}")


def _markdown(source: str) -> str:
    """Markdown as HTML in which every citation is a mark; headings begin at the third level."""
    from xml.etree.ElementTree import Element

    from markdown import Markdown
    from markdown.extensions.toc import TocExtension
    from markdown.inlinepatterns import InlineProcessor

    class Cited(InlineProcessor):
        def handleMatch(self, m: re.Match[str], data: str) -> tuple[Element, int, int]:  # type: ignore[override]  # noqa: N802
            span = Element("span", {"class": "citation"})
            span.text = "\ue000" + ";".join(key.strip().removeprefix("@") for key in m[1].split(";")) + "\ue001"
            return span, m.start(0), m.end(0)

    class Formula(InlineProcessor):
        def handleMatch(self, m: re.Match[str], data: str) -> tuple[str, int, int]:  # type: ignore[override]  # noqa: N802
            return self.md.htmlStash.store(formula(m[1])), m.start(0), m.end(0)

    translator = Markdown(extensions=["tables", "sane_lists", "fenced_code", "def_list", TocExtension(baselevel=3)])
    # before links (170), after code and escaped characters (190, 180)
    translator.inlinePatterns.register(Cited(_CITATION.pattern, translator), "citation", 175)
    # after code, before escaped characters: a backslash begins a command there
    translator.inlinePatterns.register(Formula(_FORMULA, translator), "formula", 185)
    return translator.convert(source)


def _links(keys: Sequence[str], citations: Citations, source: str, place: str) -> str:
    links = []
    for key in keys:
        try:
            number = citations.number(key)
        except SpecError as error:
            line = source[: max(0, source.find(f"@{key}"))].count("\n") + 1
            raise _wrong(place, line, str(error)) from error
        links.append(f'<a href="#{citations.entries[key].anchor}">{number}</a>')
    return f"[{', '.join(links)}]"


def _clean(html: str) -> str:
    """HTML with harmless tags only: no scripts, styles, pictures, ids or addresses but of the web and mail."""
    import nh3

    return nh3.clean(
        html,
        tags=TAGS,
        attributes={"a": {"href", "title"}, "abbr": {"title"}, "ol": {"start"}},
        allowed_classes={"span": {"citation"}},
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer",
    ).strip()


# -------------------------------------------------------------------------------------------- all texts of a report


@dataclass(frozen=True)
class Texts:
    """A report's texts as clean HTML, with the references that they, the methods and the nets cite."""

    summary: str
    sections: Mapping[str, str]  # by the section's id; "" without a text
    acknowledgements: str
    references: tuple[Entry, ...]  # in the order of their numbers, from 1

    def number(self, key: str) -> int | None:
        """The number of a work in the references, or None."""
        return next((i for i, entry in enumerate(self.references, start=1) if entry.key == key), None)


def report_texts(report: Report) -> Texts:
    """All texts of a report; works are numbered in the order of the spec. Raises SpecError with all problems."""
    spec = report.spec
    citations = Citations(read_bibliography(spec.references))
    values = placeholders(report)
    problems: list[str] = []

    def rendered(text: str, *way: str | int) -> str:
        try:
            return render_text(text, values, spec.place(*way), citations) if text else ""
        except SpecError as error:
            problems.append(str(error))
            return ""

    summary = rendered(spec.summary, "summary")
    sections = {}
    for number, section in enumerate(spec.sections):
        sections[section.id] = rendered(section.text, "sections", number, "text")
        if section.method is not None:
            _cite(citations, report.methods[section.method].citation)
    for model in spec.models:
        _cite(citations, report.cards[model].facts.citation)
    thanks = rendered(spec.acknowledgements, "acknowledgements")
    if problems:
        raise SpecError("\n".join(problems))
    return Texts(summary, sections, thanks, tuple(citations.references()))


def placeholders(report: Report) -> dict[str, Any]:
    """What texts can name: `models.ID.top1`, `cells["saliency.vgg.cat"].numbers.x`, `images.ID.credit`, `title`."""
    models = {}
    for name, card in report.cards.items():
        facts = {"title": card.facts.title or card.arch, "family": card.facts.family, "year": card.facts.year}
        measured = {key: getattr(card, key) for key in ("arch", "parameters", "flops", "depth", "weights_source")}
        published = {"top5_error": card.facts.top5_error, "source": card.facts.source}
        counted = {"classes": len(card.classes), "size": card.preprocess.size, "fallback": name in report.fallbacks}
        models[name] = _given({**facts, **measured, **published, **counted, **card.numbers})
    cells = {f.cell.id: {"numbers": _given(f.numbers), "status": f.status} for f in report.filled}
    images = {name: _given(image.model_dump()) for name, image in report.spec.images.items()}
    return {"title": report.spec.title, "models": models, "cells": cells, "images": images}


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is unknown: a text that names it is wrong."""
    return {key: value for key, value in values.items() if value is not None and value != ""}


def _cite(citations: Citations, key: str) -> None:
    if key in citations.entries:  # a method of another package may cite what no bibliography has
        citations.number(key)
