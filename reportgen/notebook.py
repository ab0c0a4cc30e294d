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
from reportgen.bibliography import cited_in_words
from reportgen.errors import RenderError, nearest
from reportgen.palettes import Colors
from reportgen.records import Artifact, Card, Panel, Picture, Scale

MOST_NUMBERS = 40  # of an artifact's numbers on its page in a notebook
MOST_WIDE = 896  # pixels of a picture in a notebook
CHARTS = ("bars", "curves", "scatter")  # whose letters reach to the edge of their white ground
MARGIN = ";box-sizing:border-box;background:#fff;padding:8px"
MARK = "<!-- written by reportgen -->"  # in SVG files


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


def drawn(artifact: Artifact, panel: Panel, wide: int = 0) -> Seen:
    """One panel of an artifact as pixels, as a report of this one net would show it, or so many pixels wide."""
    from dataclasses import replace

    from reportgen.figures import JOINT_WIDTH, SHEET_WIDTH, WIDTH, draw, joint_scale, joint_series, scales

    if panel.kind == "table":
        return Seen(panel, None, scales([panel])[0])
    color = palettes.model_color(0)
    if panel.joint:
        from reportgen import curves

        scale = joint_scale([panel])
        return Seen(
            panel,
            curves.joint(joint_series([panel], ["net"], {"net": ""}, {"net": color}), scale, wide or JOINT_WIDTH),
            scale,
        )
    scale = scales([panel])[0]
    if panel.kind == "heatmap" and panel.photo == "beside":  # pages hang the photo elsewhere
        panel = replace(panel, photo="none")
    photo = _photo(artifact) if panel.photo != "none" or panel.boxes is not None else None
    width = wide or (SHEET_WIDTH if panel.kind == "grid" else WIDTH)
    return Seen(panel, draw(panel, photo=photo, scale=scale, width=width, color=color), scale)


def show(artifact: Artifact, panel: str = "") -> None:
    """Show a panel: displayed in a notebook, else written to standard output as its terminal shows pictures."""
    seen = drawn(artifact, _chosen(panels_of(artifact), panel))
    if _in_notebook():
        shown_by = importlib.import_module("IPython.display")
        shown_by.display(shown_by.HTML(_panel_html(seen)))
        return
    from reportgen.explore.laying import aligned
    from reportgen.explore.pictures import shown
    from reportgen.explore.terminal import best_way, room

    hint = []
    if seen.pixels is not None:
        columns, cell = room(sys.stdout, *seen.pixels.shape[:2])
        way = best_way(os.environ, sys.stdin, sys.stdout)
        sys.stdout.write(shown(seen.pixels, way, columns, cell))
        hint = [] if way != "none" else ['No terminal is here to show the picture; artifact.save("x.png") writes it.']
    rows = [
        [_text(value) for value in row] for row in ((seen.panel.columns, *seen.panel.rows) if seen.panel.rows else ())
    ]
    lines = [f"{seen.panel.title}. {cited_in_words(seen.panel.alt)}", *aligned(rows), *hint]
    sys.stdout.write("\n".join(lines) + "\n")


def save(artifact: Artifact, path: str | Path, panel: str = "") -> None:
    """Write a panel as .png, .pdf (a column wide, for print) or .svg (charts), or all arrays as .npz.

    Raises RenderError for other endings, for what has no such form, and for files that are not ours.
    """
    from reportgen import saving

    target = Path(path)
    ending = target.suffix.lower()
    if ending == ".npz" and not panel:
        saving.write_npz(artifact.arrays, target)
        return
    if ending not in (".png", ".pdf", ".svg"):
        raise RenderError(
            f"{target.name}: pictures are written as .png, .pdf or (charts) .svg, all arrays of an artifact as .npz."
        )
    made = panels_of(artifact)
    pictures = [one for one in made if one.kind != "table"]
    if not pictures:
        raise RenderError(
            f"{target.name}: this artifact has tables only, and no picture to write; .npz has its arrays."
        )
    chosen = _chosen(made if panel else pictures, panel)
    if chosen.kind == "table":
        raise RenderError(f"{target.name}: the panel {panel!r} is a table and no picture.")
    if ending == ".png":
        saving.write_png(_pixels(artifact, chosen), target)
    elif ending == ".pdf":
        from reportgen import print_pdf

        data = print_pdf.pdf(_pixels(artifact, chosen, print_pdf.PIXELS), chosen.title)
        saving.write_marked(data, b"/Producer (reportgen)", target)
    else:
        saving.write_marked(f"{MARK}\n{_svg(chosen, target)}".encode(), MARK.encode(), target)


def _pixels(artifact: Artifact, panel: Panel, wide: int = 0) -> Colors:
    pixels = drawn(artifact, panel, wide).pixels
    assert pixels is not None  # which tables alone lack
    return pixels


def _svg(panel: Panel, target: Path) -> str:
    """A chart as a drawing of lines and letters. Raises RenderError for panels that are pixels."""
    from reportgen import vector_charts
    from reportgen.figures import joint_scale, scales

    color = palettes.model_color(0)
    if panel.kind == "bars":
        return vector_charts.bars(panel, scales([panel])[0], color)
    if panel.kind == "curves":
        scale = joint_scale([panel]) if panel.joint else scales([panel])[0]
        return vector_charts.lines(vector_charts.strokes_of(panel, color), panel, scale)
    raise RenderError(
        f"{target.name}: {panel.title} is made of pixels, and only charts are drawn as SVG; .png and .pdf hold it."
    )


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
            f'<img src="data:image/png;base64,{data}" alt="{escape(cited_in_words(panel.alt))}" '
            f'style="width:{wide}px;max-width:100%{MARGIN if panel.kind in CHARTS else ""}">'
        )
    words = escape(cited_in_words(panel.caption))
    caption = f"<figcaption><strong>{escape(panel.title)}</strong> {words}</figcaption>"
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
    return f"{value:.4g}" if isinstance(value, float) else cited_in_words(str(value))


def _in_notebook() -> bool:
    """Whether a notebook's kernel runs this; IPython is never imported to find out."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return any(kind.__name__ == "ZMQInteractiveShell" for kind in type(shell).__mro__)  # Colab's is one of them
