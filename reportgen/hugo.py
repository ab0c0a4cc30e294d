"""A report as a project of a Hugo site for academics: front matter, a picture, introduction and methods, the poster.

The bundle is a folder below content/project/. Texts stay Markdown, since Hugo shows no HTML in it; what is no text in
Hugo's eyes (HTML, its shortcodes, addresses that are none of the web) is made text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING

from reportgen.bibliography import format_reference
from reportgen.errors import ReportError
from reportgen.site_card import card
from reportgen.store import write_atomically
from reportgen.texts import Texts, fill, placeholders, plain_text, report_texts

if TYPE_CHECKING:
    from reportgen.pages import Block
    from reportgen.report import Report

OURS = "# Written by reportgen; `reportgen export hugo` writes it anew."
BUTTONS = ("code", "dataset", "pdf", "slides", "source", "video")  # names of links that themes have buttons for
FENCE, QUOTE = chr(96) * 3, chr(96)
_CODE = re.compile(rf"({FENCE}.*?{FENCE}|{QUOTE}+[^{QUOTE}\n]+{QUOTE}+)", re.DOTALL)
_CITATION = re.compile(r"\[(@[\w:./+-]+(?:\s*;\s*@[\w:./+-]+)*)\]")
_AUTOLINK = re.compile(r"<(?!(?:https?://|mailto:)[^\s<>]+>)")
_TARGET = re.compile(r"(\]\(\s*<?|^\s*\[[^\]\n]+\]:\s*<?)([^\s)>]*)", re.MULTILINE)
_OF_THE_WEB = re.compile(r"(https?://|mailto:|#)")


def export(report: Report, blocks: Sequence[Block], site: Path, target: Path) -> list[str]:
    """The names of the files of the bundle, written to a folder; what else lies there stays. Raises ReportError.

    `site` is the finished report, which the poster is taken from.
    """
    index = target / "index.md"
    if index.is_file() and OURS not in index.read_text(encoding="utf-8", errors="replace"):
        raise ReportError(
            f"{index} was not written by reportgen, so it is left as it is. Name another folder with --to, such as "
            f"{target.parent / (target.name + '-2')}."
        )
    if target.exists() and not target.is_dir():
        raise ReportError(f"--to {target} is a file. Name a folder, such as content/project/{report.spec.path.stem}.")
    poster = site / "poster.pdf"
    picture, words = card(report, blocks, title=False)
    files = {"featured.jpg": picture}
    if report.spec.outputs.poster is not None and poster.is_file():
        files["poster.pdf"] = poster.read_bytes()
    texts = report_texts(report)
    # the page comes last: it leads to the others
    files["index.md"] = (front_matter(report, texts, words, files) + body(report, texts, files)).encode("utf-8")
    for name, data in files.items():
        write_atomically(target / name, data)
    return list(files)


def front_matter(report: Report, texts: Texts, caption: str, files: Sequence[str] | dict[str, bytes]) -> str:
    """What Hugo and its themes read: TOML between lines of plus signs."""
    spec = report.spec
    lines = [f"title = {quoted(spec.title)}"]
    lines += [f"date = {spec.date}"] if spec.date else []
    lines += [f"summary = {quoted(plain_text(texts.summary))}"] if texts.summary else []
    lines += [
        f"authors = {_list(spec.authors)}",
        f"tags = {_list(spec.tags)}",
        f"math = {str(_has_math(report)).lower()}",
    ]
    if "poster.pdf" in files:
        lines.append(f"url_poster = {quoted(spec.site_url + 'poster.pdf')}")
    if address := spec.site_url or spec.links.get("report", ""):
        lines.append(f"url_report = {quoted(address)}")
    others = {name: link for name, link in spec.links.items() if name != "report"}
    lines += [f"url_{name} = {quoted(link)}" for name, link in others.items() if name in BUTTONS]
    more = [f"{{name = {quoted(name)}, url = {quoted(link)}}}" for name, link in others.items() if name not in BUTTONS]
    lines += [f"links = [{', '.join(more)}]"] if more else []
    focus = spec.featured.focal_point if spec.featured else "Smart"
    lines.append(f"image = {{caption = {quoted(caption)}, focal_point = {quoted(focus)}}}")
    return "\n".join(["+++", OURS, *lines, "+++", ""])


def body(report: Report, texts: Texts, files: Sequence[str] | dict[str, bytes]) -> str:
    """The sections of text, the methods with what one sees, the works cited, and where the rest is."""
    return "\n".join(f"\n{part.strip()}\n" for part in _parts(report, texts, files) if part.strip())


def _parts(report: Report, texts: Texts, files: Sequence[str] | dict[str, bytes]) -> Iterator[str]:
    spec, values = report.spec, placeholders(report)
    for number, section in enumerate(spec.sections):
        if section.method is None and section.text:
            text = fill(section.text, values, spec.place("sections", number, "text"))
            yield f"## {escaped(section.title or section.id)}\n\n{markdown(text, texts.number)}"
    used = dict.fromkeys(section.method for section in spec.sections if section.method)
    lines = []
    for method in (report.methods[name] for name in used):
        cited = texts.number(method.citation)
        lines.append(f"- **{escaped(method.title)}**: {escaped(method.caption)}" + (f" \\[{cited}\\]" if cited else ""))
    if lines:
        yield "## How it was looked at\n\n" + "\n".join(lines)
    works = [escaped(plain_text(format_reference(entry))) for entry in texts.references]
    if works:
        yield "## References\n\n" + "\n".join(f"{place}. {work}" for place, work in enumerate(works, start=1))
    links = [f"[the whole report]({spec.site_url})"] if spec.site_url else []
    links += ["[the poster (PDF)](poster.pdf)"] if "poster.pdf" in files else []
    if links:
        words = " and ".join(links)
        yield f"{words[:1]}{words[1:2].upper()}{words[2:]}."


def markdown(text: str, number: Callable[[str], int | None]) -> str:
    """A text of the spec as Markdown in which nothing but Markdown means anything; citations are numbers."""
    pieces = _CODE.split(text)
    return "".join(_code(piece) if place % 2 else _prose(piece, number) for place, piece in enumerate(pieces))


def _code(text: str) -> str:
    """Code, in which Hugo would run its shortcodes all the same."""
    return text.replace("{{", "{\u200b{")


def _prose(text: str, number: Callable[[str], int | None]) -> str:
    def cited(match: re.Match[str]) -> str:
        keys = [key.strip().removeprefix("@") for key in match[1].split(";")]
        return f"\\[{', '.join(str(number(key) or key) for key in keys)}\\]"

    text = _CITATION.sub(cited, text)
    text = _AUTOLINK.sub("&lt;", text).replace("![", "[").replace("{{", "{&#123;")
    text = re.sub(r"^(#{1,4})(?=\s)", r"##\1", text, flags=re.MULTILINE)  # below the sections' own headings
    return _TARGET.sub(_checked_target, text)


def _checked_target(match: re.Match[str]) -> str:
    """A link to the web or within the page; any other leads nowhere, as on the report's own pages."""
    address = re.sub(r"[\x00-\x20]", "", unescape(match[2]))
    return match[0] if _OF_THE_WEB.match(address) else f"{match[1]}#"


def escaped(text: str) -> str:
    """Words without any meaning in Markdown, on one line."""
    text = re.sub(r"([\\`*_\[\]#|~$&])", r"\\\1", " ".join(text.split()))
    text = re.sub(r"^([-+]|\d+(?=[.)]))", r"\\\1" if text[:1] in "-+" else r"\1\\", text)  # no list begins here
    return text.replace("<", "&lt;").replace("{{", "{&#123;")


def quoted(text: str) -> str:
    """A TOML string; JSON's escapes are TOML's, but for one letter that TOML wants escaped too."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _list(items: Sequence[str]) -> str:
    return f"[{', '.join(map(quoted, items))}]"


def _has_math(report: Report) -> bool:
    texts = (section.text for section in report.spec.sections if section.method is None)
    return any(re.search(r"\$(?=\S)[^$\n]+?(?<=\S)\$(?!\d)", text) for text in texts)
