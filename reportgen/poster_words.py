"""The words of the poster: its head, its texts, the table of models, references and thanks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import unescape
from typing import TYPE_CHECKING, Any
from unicodedata import bidirectional

from markupsafe import Markup, escape

from reportgen import palettes
from reportgen.bibliography import format_reference
from reportgen.nets.facts import facts as published
from reportgen.pages import image_name, main_link, model_name
from reportgen.templating import environment

if TYPE_CHECKING:
    from reportgen.pages import Block
    from reportgen.report import Report
    from reportgen.spec_models import Spec
    from reportgen.texts import Texts

HUMAN = ("A human", "5.1 %")
HUMAN_SOURCE = "Russakovsky et al. 2015"  # section 6.4: annotator A1 on 1500 test images
ORIGINALS = {"AlexNet": "alexnet", "VGG": "vgg16", "GoogLeNet": "googlenet", "ResNet": "resnet50"}  # of the mini nets
_CONCLUSION = ("conclusion", "conclusions", "take-home", "takehome")
_METHODS = ("methods", "method")
TABLE = "architecture"  # the method whose section is the table of nets


@dataclass(frozen=True)
class Text:
    """A piece without pictures, as HTML."""

    name: str
    html: Markup
    kind: str = ""


@dataclass(frozen=True)
class Author:
    """Who made the report, and the numbers of where."""

    name: str
    numbers: str = ""


@dataclass(frozen=True)
class Words:
    """All pieces of text, in reading order."""

    title: str
    authors: tuple[Author, ...]
    affiliations: tuple[tuple[str, str], ...]  # number (none where there is only one) and name
    address: str  # where the QR code leads; "" without one
    texts: tuple[Text, ...]
    foot: tuple[Text, ...]
    conclusion: Text | None
    description: str = ""
    keywords: tuple[str, ...] = ()
    message: str = ""  # of a billboard: the one sentence to take home

    @property
    def direction(self) -> str:
        """How the title runs."""
        return direction(self.title)


def make_words(report: Report, blocks: Sequence[Block], texts: Texts, message: str = "") -> Words:
    """The poster's words, from a report's rendered texts and the blocks that are to be on the sheet."""
    spec, summary = report.spec, texts.summary
    titles = {section.id: section.title for section in spec.sections}
    plain = [block for block in blocks if block.method is None and block.html.strip()]
    pieces = [prose("abstract", "Abstract", summary, "lead")] if summary.strip() else []
    conclusion = None
    for block in plain:
        title = titles[block.section] or block.section.replace("-", " ").replace("_", " ").capitalize()
        if block.section in _CONCLUSION and conclusion is None:
            html = _piece().conclusion(title, _claims(loosened(block.html)), Markup(directed(block.html)))
            conclusion = Text(block.section, html, "conclusion")
        else:
            pieces.append(prose(block.section, title, block.html))
    if not any(block.section in _METHODS for block in plain):
        pieces.extend(_methods(blocks, texts))
    table = next((block for block in blocks if block.method and block.method.name == TABLE), None)
    pieces.append(_models(report, titles[table.section] if table else "", table.html if table else ""))
    works = cited(report, blocks, summary, texts)
    foot = [_references(works)] if works else []
    if thanks := texts.acknowledgements + _credits(report, words_of(texts.acknowledgements)):
        foot.append(Text("acknowledgement", prose("", "Acknowledgement", thanks, "small").html, "minor"))
    return Words(
        title=spec.title,
        authors=_authors(spec),
        affiliations=_affiliations(spec),
        address=main_link(spec) or spec.site_url,
        texts=tuple(pieces),
        foot=tuple(foot),
        conclusion=conclusion,
        description=words_of(summary),
        keywords=tuple(spec.tags),
        message=message or (spec.featured.caption if spec.featured else "") or _first_sentence(words_of(summary)),
    )


def _authors(spec: Spec) -> tuple[Author, ...]:
    """The authors, each with the numbers of the affiliations that name them."""
    several = len(spec.affiliations) > 1
    places: dict[str, list[str]] = {name: [] for name in spec.authors}
    for number, members in enumerate(spec.affiliations.values() if several else (), start=1):
        for member in members:
            places[member].append(str(number))
    return tuple(Author(_isolated(name), ",".join(places.get(name, ()))) for name in spec.authors)


def _affiliations(spec: Spec) -> tuple[tuple[str, str], ...]:
    if len(spec.affiliations) > 1:
        return tuple((str(number), _isolated(name)) for number, name in enumerate(spec.affiliations, start=1))
    return (("", spec.affiliation),) if spec.affiliation else ()


def _isolated(name: str) -> str:
    """A name after which the line goes on from left to right, whichever way the name itself is written."""
    return f"{name}\u200e" if any(bidirectional(letter) in {"R", "AL"} for letter in name) else name


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[.!?])\s", text, maxsplit=1)[0]


def prose(name: str, title: str, html: str, kind: str = "") -> Text:
    """A heading with clean HTML below it."""
    return Text(name, _piece().prose(title, Markup(directed(html)), kind))


def words_of(html: str) -> str:
    """The text of a piece of HTML, one space between words."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


def direction(text: str) -> str:
    """How a text runs, by its first letter that says so: "rtl" for Arabic or Hebrew, else "ltr"."""
    strong = (bidirectional(letter) for letter in text)
    return "rtl" if next((kind for kind in strong if kind in {"L", "R", "AL"}), "L") != "L" else "ltr"


def directed(html: str) -> str:
    """Clean HTML whose paragraphs and items run as their words do; the typesetter does not find out by itself.

    Its lines are mended too, see `loosened`.
    """

    def turned(match: re.Match[str]) -> str:
        return f'<{match[1]} dir="rtl">{match[2]}' if direction(words_of(match[2])) == "rtl" else match[0]

    return re.sub(r"<(p|li|h3|h4|td|th|blockquote)>(.*?)(?=</\1>)", turned, loosened(html), flags=re.DOTALL)


def loosened(html: str) -> str:
    """Clean HTML in which the space before a link or an emphasis is a box of its own.

    WeasyPrint 70 breaks a line after its first word where the text before a link fits, but for its last space.
    """
    return re.sub(r"(?<=[^\s>])\s+(?=<(?:a|em|strong|code)\b)", "<span> </span>", html)


def ending(html: str) -> str:
    """The last letters of a piece, without spaces: what must be found on the sheet."""
    return re.sub(r"\s+", "", words_of(html))[-24:]


def pieces_of(words: Words) -> list[Text]:
    """Every piece of text."""
    return [*words.texts, *words.foot, *([words.conclusion] if words.conclusion else [])]


def listed(names: Sequence[str]) -> str:
    """Names with commas, and "and" before the last."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def figure_of(value: float) -> str:
    """A large number with three digits and its unit: "61.1 M"."""
    for size, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.{2 if value < 10 * size else 1 if value < 100 * size else 0}f} {sign}"
    return f"{value:.0f}"


def _piece() -> Any:
    return environment("poster").get_template("pieces.html").module


def _claims(html: str) -> list[Markup]:
    """The items of a text that is one list of two to four claims; none for any other text."""
    match = re.fullmatch(r"<(ol|ul)>\s*(.*?)\s*</\1>", html.strip(), re.DOTALL)
    if match is None or re.search(r"<(ol|ul)\b", match[2]):
        return []
    items = re.findall(r"<li>(.*?)</li>", match[2], re.DOTALL)
    paragraphs = [re.sub(r"^\s*<p>(.*)</p>\s*$", r"\1", item, flags=re.DOTALL) for item in items]
    return [Markup(item) for item in paragraphs] if 2 <= len(items) <= 4 else []


def _methods(blocks: Sequence[Block], texts: Texts) -> list[Text]:
    """One line per method that has pictures on the sheet: what one sees, and who had the idea."""
    used = {block.method.name: block.method for block in blocks if block.method and block.method.name != TABLE}
    if not used:
        return []
    lines = [
        {
            "title": method.title,
            "caption": method.caption.rstrip(".") + ".",
            "number": texts.number(method.citation),
        }
        for method in used.values()
    ]
    return [Text("methods", _piece().methods("Methods", lines))]


def _models(report: Report, title: str, html: str) -> Text:
    """The table of nets: what they are, what was published about them, what we measured."""
    columns, rows, under = nets_table(report)
    colors = [palettes.text_color(palettes.model_color(index)) for index in range(len(report.spec.models))]
    colored = [{"cells": row, "color": colors[i] if i < len(colors) else ""} for i, row in enumerate(rows)]
    return Text("models", _piece().models(title or "Models", Markup(directed(html)), columns, colored, under))


def nets_table(report: Report) -> tuple[list[str], list[list[str]], str]:
    """The names of columns, a row for each net (and one for people), and what is to be said below."""
    names = list(report.spec.models)
    cards = [report.cards[name] for name in names]
    measured = any("top1" in card.numbers for card in cards)
    error = any(card.facts.top5_error is not None for card in cards)
    columns = ["Net", "Year", "Layers", "Weights", "FLOPs"]
    columns += ["Top-5 error"] * error + ["Our top-1"] * measured
    rows = []
    for name, card in zip(names, cards, strict=True):
        cells = [model_name(report, name), str(card.facts.year or "–"), str(card.depth)]
        cells += [figure_of(card.parameters), figure_of(card.flops)]
        cells += [_percent(card.facts.top5_error)] * error
        top1 = card.numbers.get("top1")
        cells += [_percent(None if top1 is None else 100 * top1)] * measured
        rows.append(cells)
    if error:
        rows.append([HUMAN[0], "", "", "", "", HUMAN[1], *[""] * measured])
    return columns, rows, _under(report)


def _under(report: Report) -> str:
    """The lines below the table: where its numbers come from, and which nets stand in for others."""
    cards = report.cards.values()
    parts = ["FLOPs are those of one picture, a multiply-add counted as two."]
    own = {model_name(report, name): card.facts for name, card in report.cards.items()}
    known = [(name, facts) for name, facts in own.items() if facts.top5_error is not None]
    if known:
        cited = "; ".join(f"{name}: {facts.source}" for name, facts in known)
        parts.append(f"Top-5 error on ImageNet as published ({cited}; human: {HUMAN_SOURCE}).")
    families = dict.fromkeys(card.facts.family for card in cards if card.facts.top5_error is None)
    others = [(family, published(ORIGINALS[family])) for family in families if family in ORIGINALS]
    if others:
        told = "; ".join(f"{name} {_percent(facts.top5_error)} ({facts.source})" for name, facts in others)
        human = f"{HUMAN[0].lower()} {HUMAN[1]} ({HUMAN_SOURCE})"
        parts.append(f"Published top-5 error of the full-size originals: {told}; {human}.")
    if any("top1" in card.numbers for card in cards):
        parts.append("Our top-1 is the accuracy on validation photos of the net's own classes.")
    if report.fallbacks:
        asked = dict.fromkeys(report.spec.models[name].arch for name in report.fallbacks)
        stands = "stand" if len(report.fallbacks) > 1 else "stands"
        shown = listed([model_name(report, name) for name in report.fallbacks])
        parts.append(f"{shown} {stands} in for {listed(list(asked))}, whose weights are not here.")
    return " ".join(parts)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} %"


def cited(report: Report, blocks: Sequence[Block], summary: str, texts: Texts) -> list[dict[str, object]]:
    """The works that the sheet cites, with the numbers that they have in the whole report."""
    html = " ".join([summary, texts.acknowledgements, *(block.html for block in blocks)])
    keys = {block.method.citation for block in blocks if block.method}
    keys |= {card.facts.citation for card in report.cards.values()}
    return [
        {"number": number, "anchor": entry.anchor, "html": Markup(format_reference(entry))}
        for number, entry in enumerate(texts.references, start=1)
        if entry.key in keys or f'href="#{entry.anchor}"' in html
    ]


def _references(entries: Sequence[dict[str, object]]) -> Text:
    mended = [entry | {"html": Markup(loosened(str(entry["html"])))} for entry in entries]
    return Text("references", _piece().references("References", mended), "minor")


def _credits(report: Report, said: str) -> str:
    """Who took the photos, as HTML, but for those whom the acknowledgements name."""
    credits = [
        f"{image_name(report, name)}: {image.credit.rstrip('.')}"
        for name, image in report.spec.images.items()
        if image.credit and " ".join(image.credit.split()) not in said
    ]
    return f"<p>{escape('Photos: ' + '; '.join(credits) + '.')}</p>" if credits else ""
