"""The quiz page: damaged pictures that a person names before seeing what the nets said.

Made from the cells of the method `corruption`, of images with a label. Each photo comes damaged worst first, all photos
in turns, because who has seen a photo once knows it again: only the first look at each is a fair match.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reportgen import encode, keys, tiles, wording
from reportgen.figures import WIDTH
from reportgen.records import Filled
from reportgen.site_compare import script
from reportgen.targets import label_index, normal
from reportgen.walls import Hanger

if TYPE_CHECKING:
    from reportgen.report import Report
    from reportgen.store import Record

METHOD = "corruption"
DRAWING = ("site_quiz", "tiles", "encode")  # modules whose change means drawing again
MOST_QUESTIONS = 40
MOST_NAMES = 1500  # offered while one writes
DATA_FILE = "assets/quiz-data.js"


@dataclass(frozen=True)
class Said:
    """What one net said to a picture."""

    net: str  # what pages call it
    mark: int
    name: str  # the most probable class
    probability: float
    right: bool | None  # None where the net has no class for what the picture shows


@dataclass(frozen=True)
class Question:
    """One damaged picture, what it shows and what the nets said."""

    number: int
    image: str
    words: str  # what was done to the picture
    truth: str
    accepted: tuple[str, ...]  # normalised names that are right
    first: bool  # the first look at this photo
    said: tuple[Said, ...]
    width: int
    height: int
    source: tuple[Record, str]  # record of the store and the blob of the picture

    @property
    def file(self) -> str:
        """Its file; the name does not tell what it shows."""
        return f"assets/quiz.{self.number}.webp"


def questions(report: Report) -> tuple[Question, ...]:
    """The questions in the order in which they are asked; none where no labelled image was damaged."""
    hanger = Hanger(report)
    found: dict[tuple[str, str], Question] = {}
    damage: dict[tuple[str, str], float] = {}
    for cells in _groups(report):
        shown = max(cells, key=lambda filled: report.cards[filled.cell.model].preprocess.size)
        record = _pictures(report, shown)
        for place, name in enumerate(shown.numbers["names"]):
            image = shown.cell.image or ""
            key = (image, f"{name} {shown.numbers['resolution']}")
            if place and key not in found:  # the first is the untouched picture
                found[key] = _question(report, hanger, cells, place, record)
                damage[key] = record.meta["damage"][place]
    rounds: dict[str, int] = {}
    ordered = []
    images = list(report.spec.images)
    for key in sorted(found, key=lambda one: (images.index(one[0]), -damage[one], one[1])):
        turn = rounds[key[0]] = rounds.get(key[0], -1) + 1
        ordered.append((turn, images.index(key[0]), replace(found[key], first=turn == 0)))
    ordered.sort(key=lambda one: one[:2])
    return tuple(replace(one[2], number=number) for number, one in enumerate(ordered[:MOST_QUESTIONS], start=1))


def page_values(report: Report, asked: Sequence[Question]) -> dict[str, Any]:
    """What the page's template needs."""
    hanger = Hanger(report)
    nets = [
        hanger.net_head(model) for model in report.spec.models if any(_has(one, hanger.names[model]) for one in asked)
    ]
    return {"questions": asked, "nets": nets}


def write_quiz(report: Report, asked: Sequence[Question], folder: Path) -> None:
    """The pictures of the quiz, and its data as a script that assigns one variable."""
    for one in asked:
        (folder / one.file).write_bytes(report.store.read(*one.source))
    shown = [_json(one) for one in asked]
    names = dict.fromkeys(wording.short(name) for card in report.cards.values() for name in card.classes)
    data = {
        "id": keys.digest(shown)[:16],  # answers to other questions are kept apart
        "names": sorted(names, key=str.casefold)[:MOST_NAMES],
        "questions": shown,
    }
    (folder / DATA_FILE).write_text(script("REPORTGEN_QUIZ", data), encoding="utf-8")


def _json(one: Question) -> dict[str, Any]:
    said = [{"net": s.net, "name": s.name, "probability": round(s.probability, 4), "right": s.right} for s in one.said]
    return {
        "file": one.file, "size": [one.width, one.height], "words": one.words, "truth": one.truth,
        "accepted": list(one.accepted), "first": one.first, "said": said,
    }  # fmt: skip


def _has(one: Question, net: str) -> bool:
    return any(said.net == net for said in one.said)


def _groups(report: Report) -> Iterator[list[Filled]]:
    """The filled cells about one labelled image and the same damages, one per net."""
    groups: dict[tuple[Any, ...], list[Filled]] = {}
    for filled in report.filled:
        cell = filled.cell
        if cell.method == METHOD and filled.status == "ok" and cell.image and report.spec.images[cell.image].label:
            key = (cell.section, cell.image, tuple(filled.numbers["names"]))
            groups.setdefault(key, []).append(filled)
    yield from groups.values()


def _question(report: Report, hanger: Hanger, cells: Sequence[Filled], place: int, record: Record) -> Question:
    image = cells[0].cell.image or ""
    labels = report.spec.images[image].label
    accepted = {normal(label) for label in labels}
    said = []
    for filled in cells:
        model, best = filled.cell.model, filled.numbers["top5"][place][0]
        classes = report.cards[model].classes
        right = label_index(classes, labels)
        if right is not None:
            accepted |= {normal(part) for part in (classes[right], *classes[right].split(","))}
        known = None if right is None else best["index"] == right
        said.append(
            Said(
                hanger.names[model], hanger.marks[model], wording.short(best["name"]), float(best["probability"]), known
            )
        )
    return Question(
        number=0,
        image=image,
        words=cells[0].numbers["words"][place],
        truth=wording.short(labels[0]),
        accepted=tuple(sorted(accepted)),
        first=False,
        said=tuple(said),
        width=record.meta["size"][0],
        height=record.meta["size"][1],
        source=(record, f"{place}.webp"),
    )


def _pictures(report: Report, filled: Filled) -> Record:
    """The damaged pictures of a cell as files, and how far each is from the untouched one; kept in the store."""
    import numpy as np

    document = {"schema": "quiz-1", "cell": filled.cell.key, "source": keys.source_digest(DRAWING), "width": WIDTH}
    key = keys.digest(document)
    record = report.store.get(key)
    if record is not None:
        return record
    pictures = np.asarray(filled.load().arrays["pictures"], dtype=np.float64)  # P 3 S S
    damage = np.sqrt(((pictures - pictures[:1]) ** 2).mean(axis=(1, 2, 3)))  # P
    drawn = [tiles.resize(tiles.to_bytes(picture.transpose(1, 2, 0)), WIDTH) for picture in pictures]
    meta: Mapping[str, Any] = {
        "damage": [round(float(value), 6) for value in damage],
        "size": [drawn[0].shape[1], drawn[0].shape[0]],
    }
    blobs = {f"{place}.webp": encode.webp(pixels) for place, pixels in enumerate(drawn)}
    return report.store.put(key, kind="figure", document=document, meta=dict(meta), blobs=blobs)
