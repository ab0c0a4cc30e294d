"""BibTeX -> numbered references: what methods, facts and texts cite."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from reportgen.errors import SpecError, nearest

OWN = Path(__file__).parent / "references.bib"
MOST_AUTHORS = 6  # longer lists are cut to the first three
_ACCENTS = {"`": "\u0300", "'": "\u0301", "^": "\u0302", "~": "\u0303", '"': "\u0308", "=": "\u0304", ".": "\u0307"}
_ACCENTS |= {"c": "\u0327", "v": "\u030c", "u": "\u0306", "H": "\u030b", "k": "\u0328", "r": "\u030a"}
_LETTERS = {"ss": "ß", "o": "ø", "O": "Ø", "l": "ł", "L": "Ł", "ae": "æ", "AE": "Æ", "aa": "å", "AA": "Å", "i": "i"}
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]


@dataclass(frozen=True)
class Entry:
    """One work: its key and fields as plain text."""

    key: str
    kind: str  # article, inproceedings, book, misc ...
    fields: Mapping[str, str]

    @property
    def anchor(self) -> str:
        """The id of its place in a list of references."""
        return "ref-" + re.sub(r"[^a-z0-9_-]", "-", self.key.lower())


@dataclass
class Citations:
    """The works cited so far, numbered from 1 in the order in which they were first cited."""

    entries: Mapping[str, Entry]
    cited: list[str] = field(default_factory=list)

    def number(self, key: str) -> int:
        """The number of a work; raises SpecError, without a place, for a key that is in no bibliography."""
        if key not in self.entries:
            raise SpecError(f"no work {key!r} in the references. {nearest(key, self.entries)}")
        if key not in self.cited:
            self.cited.append(key)
        return self.cited.index(key) + 1

    def references(self) -> list[Entry]:
        """The works in the order of their numbers."""
        return [self.entries[key] for key in self.cited]


def read_bibliography(path: Path | None = None) -> dict[str, Entry]:
    """The works by key: reportgen's own, and over them those of a user's file. Raises SpecError with its place."""
    entries = _read(OWN, OWN.name)
    if path is not None:
        entries |= _read(path, path.name)
    return entries


def cited_in_words(text: str) -> str:
    """The text with `[@he2016]` as (He et al. 2016): for places that have no list of references."""
    if "[@" not in text:
        return text
    entries = read_bibliography()
    return re.sub(r"\[@([\w:./+-]+)\]", lambda match: _short_reference(entries.get(match[1]), match[1]), text)


def _short_reference(entry: Entry | None, key: str) -> str:
    if entry is None:
        return f"({key})"
    names = entry.fields.get("author", "").split(" and ")
    families = [name.partition(",")[0] if "," in name else name.rpartition(" ")[2] for name in names]
    shown = f"{families[0]} et al." if len(families) > 2 else " and ".join(families)
    return f"({shown} {entry.fields.get('year', '')})".replace(" )", ")")


def format_reference(entry: Entry) -> str:
    """A work as one line of HTML: authors, title, where it was published, year, and a link where there is one."""
    known = entry.fields
    parts = [_authors(known.get("author", "")), known.get("title", entry.key)]
    venue = known.get("journal") or known.get("booktitle") or known.get("publisher") or known.get("howpublished", "")
    if entry.kind == "techreport" and known.get("institution"):
        number = f" {known['number']}" if known.get("number") else ""
        venue = f"Technical report{number}, {known['institution']}"
    if known.get("journal") and known.get("volume"):
        venue += f" {known['volume']}" + (f"({known['number']})" if known.get("number") else "")
    parts.append(", ".join(part for part in (venue, known.get("year", "")) if part))
    line = " ".join(escape(part.rstrip(".")) + "." for part in parts if part)
    address = f"https://doi.org/{known['doi']}" if known.get("doi") else known.get("url", "")
    if re.match(r"https?://", address):
        shown = re.sub(r"https?://(www\.)?", "", address)
        line += f' <a href="{escape(address)}">{escape(shown)}</a>'
    return line


def parse(text: str, name: str = "references") -> dict[str, Entry]:
    """The works in BibTeX text: braces or quotes around values, `#` between parts, @string and @comment.

    Raises SpecError with file and line where it is not BibTeX, or holds one key twice.
    """
    entries: dict[str, Entry] = {}
    strings = {month: month.title() for month in _MONTHS}
    reader = _Reader(text, name)
    for start, kind in reader.starts():
        if kind in ("comment", "preamble"):
            reader.skip_braces()
            continue
        key = "" if kind == "string" else reader.key()
        fields = dict(reader.fields(strings))
        if kind == "string":
            strings |= fields
        elif key in entries:
            raise reader.error(f"the key {key!r} stands here twice", start)
        else:
            entries[key] = Entry(key, kind, {field: _plain(value) for field, value in fields.items()})
    return entries


def _read(path: Path, name: str) -> dict[str, Entry]:
    try:
        return parse(path.read_text(encoding="utf-8-sig"), name)
    except OSError as error:
        raise SpecError(f"The references {name} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise SpecError(f"The references {name} are not UTF-8 text. Save the file as UTF-8.") from error


@dataclass
class _Reader:
    """A place in BibTeX text that moves on as things are read."""

    text: str
    name: str
    at: int = 0

    def error(self, problem: str, at: int | None = None) -> SpecError:
        line = self.text.count("\n", 0, self.at if at is None else at) + 1
        return SpecError(f"{self.name}:{line}: {problem}.")

    def starts(self) -> Iterator[tuple[int, str]]:
        """Each `@kind{`, with the reader behind its brace."""
        while match := re.compile(r"@\s*(\w+)\s*[{(]").search(self.text, self.at):
            self.at = match.end()
            yield match.start(), match[1].lower()

    def take(self, pattern: str, wanted: str) -> str:
        """The text that matches here, with space before it; an error names what was wanted."""
        match = re.compile(rf"\s*({pattern})").match(self.text, self.at)
        if match is None:
            raise self.error(f"{wanted} is wanted here")
        self.at = match.end()
        return match[1]

    def key(self) -> str:
        key = self.take(r"[^\s,{}()\"#%=]+", "a key, as in @article{zeiler2014,")
        self.take(",|(?=[})])", "a comma behind the key")
        return key

    def fields(self, strings: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """Each `name = value`, up to the closing brace."""
        while self.take(r"[})]|(?=[^\s})])", "a closing brace") == "":
            name = self.take(r"[\w:.-]+", "a field such as `year = 2014`").lower()
            self.take("=", f"`=` behind {name}")
            value = self.value(strings)
            while self.take("#|(?=[^\\s#])", "a closing brace") == "#":
                value += self.value(strings)
            self.take(",|(?=[})])", "a comma or the closing brace")
            yield name, value

    def value(self, strings: Mapping[str, str]) -> str:
        opening = self.take(r"[{\"]|(?=\w)", "a value in braces or quotes, or a number")
        if opening == "{":
            return self.skip_braces()
        if opening == '"':
            return self.skip_braces(closing='"')
        word = self.take(r"[\w.-]+", "a number")
        return strings.get(word.lower(), word)

    def skip_braces(self, closing: str = "}") -> str:
        """The text up to the closing sign of this level; the reader stands behind it."""
        depth, start = 0, self.at
        for at in range(start, len(self.text)):
            sign = self.text[at]
            if sign == closing and depth == 0:
                self.at = at + 1
                return self.text[start:at]
            if self.text[at - 1] != "\\":
                depth += (sign == "{") - (sign == "}")
        raise self.error("this is never closed", start)


def _plain(text: str) -> str:
    """TeX's accents, letters and dashes as the characters they stand for, without braces."""

    def accented(match: re.Match[str]) -> str:
        return unicodedata.normalize("NFC", match[2] + _ACCENTS[match[1]])

    text = re.sub(r"\\([`'^~\"=.])\s*\{?\\?([A-Za-z])\}?", accented, text)
    text = re.sub(r"\\([cvuHkr])\s*\{([A-Za-z])\}", accented, text)
    text = re.sub(r"\\([cvuHkr]) ([A-Za-z])", accented, text)
    text = re.sub(r"\\(ss|ae|AE|aa|AA|o|O|l|L|i)(?![A-Za-z])\s*", lambda match: _LETTERS[match[1]], text)
    text = re.sub(r"\\([&%$#_])", r"\1", text)
    text = re.sub(r"\\[a-zA-Z]+\s*", "", text)
    text = text.replace("---", "—").replace("--", "–").replace("~", " ")
    return " ".join(text.replace("{", "").replace("}", "").split())


def _authors(names: str) -> str:
    """ "Zeiler, Matthew D. and Fergus, Rob" as "M. D. Zeiler and R. Fergus"."""
    authors = [_initials(name) for name in re.split(r"\s+and\s+", names) if name]
    if "others" in authors or len(authors) > MOST_AUTHORS:
        return ", ".join([name for name in authors if name != "others"][:3]) + " et al"
    return " and ".join(part for part in (", ".join(authors[:-1]), *authors[-1:]) if part)


def _initials(name: str) -> str:
    if name == "others":
        return name
    family, comma, given = (part.strip() for part in name.partition(","))
    if not comma:
        given, _, family = name.rpartition(" ")
    first = ["-".join(f"{part[0]}." for part in word.split("-") if part) for word in given.split()]
    return " ".join([*first, family])
