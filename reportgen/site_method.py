"""The page of a method, from its own docstring: what one sees, how it works, the paper, how it was checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from reportgen.site_front import Link
from reportgen.site_text import doc_paragraphs
from reportgen.walls import Hanger, telling

if TYPE_CHECKING:
    from reportgen.pages import Block
    from reportgen.report import Report

CHECKED = re.compile(r"\b(checked|double precision|captum|agree|equals?)\b", re.IGNORECASE)
SEEN, WORKS, TESTED = "What one sees, and what it cannot tell", "How it works", "How it was checked"


def method_values(report: Report, blocks: Mapping[str, Block], hanger: Hanger, name: str) -> dict[str, Any]:
    """What the method's page shows, but for the work it cites."""
    method = report.methods[name]
    sections = [section for section in report.spec.sections if section.method == name]
    block = blocks[sections[0].id]
    row = telling(block)
    return {
        "method": method,
        "parts": doc_parts(method.doc),
        "params": [(f.name, f"{f.metadata.get('doc', '')}") for f in fields(method.params)],
        "sections": [Link(s.title or s.id, f"section/{s.id}.html") for s in sections],
        "walls": hanger.by_net([row], block.models, "example") if row else [],
        "cite": method.citation,
    }


def doc_parts(doc: str) -> list[tuple[str, list[Markup]]]:
    """A docstring's paragraphs under headings: the second says what one sees, a last one how it was checked."""
    lead, *rest = doc_paragraphs(doc) or [Markup("")]
    parts: list[tuple[str, list[Markup]]] = [("", [lead])]
    if rest:
        parts.append((SEEN, rest[:1]))
    tested = rest[-1:] if len(rest) > 1 and CHECKED.search(rest[-1]) else []
    if works := rest[1 : len(rest) - len(tested)]:
        parts.append((WORKS, works))
    return [*parts, *([(TESTED, tested)] if tested else [])]
