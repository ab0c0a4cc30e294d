"""Artifacts and nets that show themselves: as HTML in a notebook, in the terminal elsewhere, as files."""

from __future__ import annotations

import base64
import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from reportgen import palettes
from reportgen.errors import RenderError, nearest
from reportgen.palettes import Colors
from reportgen.records import Artifact, Card, Panel, Picture, Scale

MOST_NUMBERS = 40  # of an artifact's numbers on its page in a notebook
MOST_WIDE = 896  # pixels of a picture in a notebook


@dataclass(frozen=True, eq=False)
class Seen:
    """A panel of an artifact, drawn as a page of a report would have it; a table has no pixels."""

    panel: Panel
    pixels: Colors | None
    scale: Scale


def panels_of(artifact: Artifact) -> list[Panel]:
    """The panels of an artifact that `reportgen.compute` gave, the one that stands for the method first.

    Raises RenderError for an artifact of unknown origin.
    """
    from reportgen.methods import method

    if artifact.origin is None:
        raise RenderError(
            "This artifact does not say which method made it, so it cannot be drawn; those that reportgen.compute "
            "gives do. Its arrays are in `artifact.arrays`."
        )
    made = method(artifact.origin.method).panels(artifact)
    return sorted(made, key=lambda panel: (not panel.featured, panel.kind == "table"))


def drawn(artifact: Artifact, panel: Panel) -> Seen:
    """One panel of an artifact as pixels, as a report of this one net would show it."""
    from dataclasses import replace

    from reportgen.figures import JOINT_WIDTH, SHEET_WIDTH, WIDTH, draw, joint_scale, joint_series, scales

    if panel.kind == "table":
        return Seen(panel, None, scales([panel])[0])
    color = palettes.model_color(0)
    if panel.joint:
        from reportgen import curves

        scale = joint_scale([panel])
        return Seen(
            panel, curves.joint(joint_series([panel], ["net"], {"net": ""}, {"net": color}), scale, JOINT_WIDTH), scale
        )
    scale = scales([panel])[0]
    if panel.kind == "heatmap" and panel.photo == "beside":  # pages hang the photo elsewhere
        panel = replace(panel, photo="none")
    photo = _photo(artifact) if panel.photo != "none" or panel.boxes is not None else None
    width = SHEET_WIDTH if panel.kind == "grid" else WIDTH
    return Seen(panel, draw(panel, photo=photo, scale=scale, width=width, color=color), scale)


def show(artifact: Artifact, panel: str = "") -> None:
    """Show a panel: displayed in a notebook, else written to standard output as its terminal shows pictures."""
    seen = drawn(artifact, _chosen(panels_of(artifact), panel))
    if _in_notebook():
        shown_by = importlib.import_module("IPython.display")
        shown_by.display(shown_by.HTML(_panel_html(seen)))
        return
    from reportgen.explore.pictures import shown
    from reportgen.explore.terminal import best_way, room

    if seen.pixels is not None:
        columns, cell = room(sys.stdout, *seen.pixels.shape[:2])
        way = best_way(os.environ, sys.stdin, sys.stdout)
        sys.stdout.write(shown(seen.pixels, way, columns, cell))
    rows = (seen.panel.columns, *seen.panel.rows) if seen.panel.rows else ()
    lines = [f"{seen.panel.title}. {seen.panel.alt}", *("  ".join(_text(value) for value in row) for row in rows)]
    sys.stdout.write("\n".join(lines) + "\n")


def save(artifact: Artifact, path: str | Path, panel: str = "") -> None:
    """Write a panel as PNG, or all arrays as .npz. Raises RenderError for other endings and files of others."""
    from reportgen.saving import write_npz, write_png

    target = Path(path)
    if target.suffix == ".npz" and not panel:
        write_npz(artifact.arrays, target)
        return
    if target.suffix.lower() != ".png":
        raise RenderError(f"{target.name}: pictures are written as .png, all arrays of an artifact as .npz.")
    made = panels_of(artifact)
    pictures = [one for one in made if one.kind != "table"]
    if not pictures:
        raise RenderError(
            f"{target.name}: this artifact has tables only, and no picture to write; .npz has its arrays."
        )
    seen = drawn(artifact, _chosen(made if panel else pictures, panel))
    if seen.pixels is None:
        raise RenderError(f"{target.name}: the panel {panel!r} is a table and no picture.")
    write_png(seen.pixels, target)


def artifact_html(artifact: Artifact) -> str:
    """The panels of an artifact, then its numbers and arrays; only these where it does not say how it was made."""
    made = panels_of(artifact) if artifact.origin is not None else []
    parts = [_panel_html(drawn(artifact, panel)) for panel in made]
    numbers = [
        (name, _text(value)) for name, value in artifact.numbers.items() if not isinstance(value, list | dict | tuple)
    ]
    arrays = [
        (name, f"{' x '.join(str(side) for side in a.shape) or 'one number'}, {a.dtype}")
        for name, a in artifact.arrays.items()
    ]
    parts.append(_details("Numbers", _table(("Name", "Value"), numbers[:MOST_NUMBERS])))
    parts.append(_details("Arrays", _table(("Name", "Shape"), arrays)))
    return f"<div>{''.join(parts)}</div>"


def net_html(card: Card) -> str:
    """The card of a net: what it is, what it takes and gives, its stages, its layers."""
    view = card.preprocess
    facts = [
        ("Weights", card.weights_source),
        ("Parameters", f"{card.parameters:,}"),
        ("FLOPs", f"{card.flops / 1e9:.2f} G"),
        ("Depth", f"{card.depth}"),
        ("Input", f"{view.size} x {view.size} RGB, short side {view.resize} before the crop"),
        ("Classes", f"{len(card.classes)}: {', '.join(card.classes[:5])}{', ...' if len(card.classes) > 5 else ''}"),
    ]
    named = [(name, layer) for name, layer in {**card.stages, **card.aliases}.items()]
    layers = [
        (
            layer.name,
            layer.kind,
            " x ".join(str(side) for side in layer.shape),
            _field(layer.field),
            f"{layer.parameters:,}",
        )
        for layer in card.layers
    ]
    columns = ("Layer", "Kind", "Shape", "Receptive field", "Parameters")
    title = escape(f"{card.facts.title or card.arch} ({card.arch})")
    body = _table(("", ""), facts) + _details("Stages and aliases", _table(("Name", "Layer"), named))
    return f"<div><strong>{title}</strong>{body}{_details(f'{len(layers)} layers', _table(columns, layers))}</div>"


def _field(field: tuple[int, int] | None) -> str:
    return "whole picture" if field is None else f"{field[0]} x {field[1]}"


def _chosen(panels: Sequence[Panel], name: str) -> Panel:
    if not name:
        return panels[0]
    found = {panel.name: panel for panel in panels}
    if name not in found:
        raise RenderError(f"There is no panel {name!r}. {nearest(name, found)}")
    return found[name]


def _photo(artifact: Artifact) -> Picture | None:
    """The picture as the net saw it."""
    from reportgen import images

    origin = artifact.origin
    return None if origin is None or origin.picture is None else images.view(origin.picture, origin.preprocess)


def _panel_html(seen: Seen) -> str:
    from reportgen.saving import png

    panel = seen.panel
    if seen.pixels is None:
        body = _table(panel.columns, panel.rows)
    else:
        data = base64.b64encode(png(seen.pixels)).decode()
        wide = min(seen.pixels.shape[1], MOST_WIDE)
        body = (
            f'<img src="data:image/png;base64,{data}" alt="{escape(panel.alt)}" style="width:{wide}px;max-width:100%">'
        )
    caption = f"<figcaption><strong>{escape(panel.title)}</strong> {escape(panel.caption)}</figcaption>"
    return f'<figure style="margin:0 0 1em">{body}{caption}</figure>'


def _details(summary: str, body: str) -> str:
    return f"<details><summary>{escape(summary)}</summary>{body}</details>" if body else ""


def _table(columns: Sequence[Any], rows: Sequence[Sequence[Any]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{escape(str(column))}</th>" for column in columns)
    lines = "".join(f"<tr>{''.join(f'<td>{escape(_text(value))}</td>' for value in row)}</tr>" for row in rows)
    return f"<table>{f'<thead><tr>{head}</tr></thead>' if any(columns) else ''}<tbody>{lines}</tbody></table>"


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _in_notebook() -> bool:
    """Whether a notebook's kernel runs this; IPython is never imported to find out."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"
