"""What stands on the poster, before anybody knows where: texts, the table of models, and blocks of tiles.

A block shows one panel of its method, the featured one. Where that panel is one picture, a row of tiles is an image and
the columns are the nets, with the photo first; where it is a sheet with named columns (the rules of a deconvnet), each
net has a line of its own and the columns are the sheet's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from markupsafe import Markup

from reportgen import palettes
from reportgen.categories import colors_of_row
from reportgen.categories import legend as legend_of
from reportgen.figures import joint_scale, joint_series, scales
from reportgen.pages import image_name, model_colors, model_name, outside
from reportgen.poster_tiles import (
    MOST_KEYS,
    Drawing,
    Group,
    Head,
    Line,
    Tile,
    Tiles,
    aspect,
    bars,
    caption,
    legend,
    scale_limits,
    short,
    spaced,
)
from reportgen.poster_words import directed
from reportgen.records import Panel, Scale
from reportgen.rows import artifacts_of_row

if TYPE_CHECKING:
    from reportgen.pages import Block, Row, Slot
    from reportgen.report import Report

MOST_ROWS = 7  # of a block; more are for the site
MOST_PLOTS = 3  # that all nets share: as wide as the block
STRIP_GROUPS = 4  # units, each of another image or layer, and each with a line per net


def make_tiles(report: Report, block: Block) -> Tiles | None:
    """A section's block of tiles, or None where no net has anything to show."""
    rows = _chosen_rows(block)
    if not rows or block.method is None:
        return None
    figure = next(slot.figure for slot in rows[0].slots if slot.figure)
    in_strips = figure.kind == "grid" and bool(figure.columns)
    joint = any(row.joint for row in rows)
    rows = _middle_first(rows)[:STRIP_GROUPS] if in_strips else rows[: MOST_PLOTS if joint else MOST_ROWS]
    shown = [(row, own) for row in rows if (own := _panels(report, row))]
    if not shown:
        return None
    first = next(iter(shown[0][1].values()))
    if in_strips:
        groups = [_strip(report, row, own) for row, own in shown]
        heads = tuple(Head(text) for text in (*(("patch",) if first.boxes is not None else ()), *first.columns))
    elif joint:
        groups, heads = [_plot(report, row, own) for row, own in shown], ()
    else:
        groups = [_tile_row(report, block, row, own) for row, own in shown]
        heads = _net_heads(report, block.models)
        if len(groups[0].lines[0].tiles) > len(block.models):
            heads = (Head("photo"), *heads)
    return Tiles(
        name=block.section,
        title=_title(report, block),
        html=Markup(directed(block.html)),
        caption=caption(
            block.method, [p for _, own in shown for p in own.values()], scales(list(shown[0][1].values()))[0]
        ),
        heads=heads,
        groups=tuple(groups),
        across=len(groups[0].lines[0].tiles),
        legend=legend(first),
    )


def make_featured(report: Report, block: Block, bands: int) -> Tiles | None:
    """The large figure: what each net has at each depth, photo by photo; None where the section has no depths."""
    if block.method is None:
        return None
    rows = _chosen_rows(block)
    layers = list(dict.fromkeys(row.layer for row in rows if row.layer))
    images = list(dict.fromkeys(row.image for row in rows if row.image))
    if len(layers) < 3 or not images:
        return None
    groups, seen = [], list[Panel]()
    for image in images[:bands]:
        by_layer = {row.layer: row for row in rows if row.image == image}
        drawn = {layer: _panels(report, row) for layer, row in by_layer.items()}
        seen += [panel for own in drawn.values() for panel in own.values()]
        lines = [
            _depths(report, block, model, [by_layer.get(layer) for layer in layers], drawn) for model in block.models
        ]
        groups.append(Group(tuple(lines), photo=photo_tile(report, image, block.models)))
    if not seen or seen[0].kind not in {"heatmap", "image"}:
        return None
    panel = seen[0]
    return Tiles(
        name=block.section,
        title=_title(report, block),
        html=Markup(directed(block.html)),
        caption=caption(block.method, seen, Scale(panel.scale, None, None)),
        heads=tuple(Head(spaced(layer)) for layer in layers),
        groups=tuple(groups),
        across=len(layers),
        legend=legend(panel),
        message=featured.caption if (featured := report.spec.featured) and featured.section == block.section else "",
    )


def photo_tile(report: Report, image: str, models: Sequence[str]) -> Tile:
    """The photo as the nets see it, cut from the picture at its full sharpness, with its badge."""
    drawing = Drawing(None, Scale("none", None, None), image, models[0], palettes.INK)
    name = image_name(report, image)
    strange = all(outside(report, image, model) for model in models)
    label = f"{name}\nclass unknown" if strange else name
    return Tile(drawing, label=label, alt=report.spec.images[image].alt or f"The photo {name}.")


def _chosen_rows(block: Block) -> list[Row]:
    """The rows of the method's featured panel, else of its first one."""
    drawn = [row for row in block.rows if any(slot.figure for slot in row.slots)]
    names = [row.panel for row in drawn if any(slot.figure and slot.figure.featured for slot in row.slots)]
    names = names or [row.panel for row in drawn]
    return [row for row in drawn if row.panel == names[0]] if names else []


def _panels(report: Report, row: Row) -> dict[str, Panel]:
    """The row's panel for each net that has it and whose values can be drawn."""
    cells = [slot.filled for slot in row.slots if slot.filled is not None and slot.status == "ok"]
    if not cells:
        return {}
    method = report.methods[cells[0].cell.method]
    names = {model: model_name(report, model) for model in report.spec.models}
    found = {}
    for filled, artifact in zip(cells, artifacts_of_row(method, cells, report.known, names), strict=True):
        for panel in method.panels(artifact):
            if panel.name == row.panel and panel.kind != "table":
                # the photo has a column of its own
                own = replace(panel, photo="none") if row.image and panel.photo == "beside" else panel
                found[filled.cell.model] = own
    return found


def _tile_row(report: Report, block: Block, row: Row, panels: dict[str, Panel]) -> Group:
    limits = dict(zip(panels, scales(list(panels.values())), strict=True))
    names = _category_colors(list(panels.values()))
    tiles = [_tile(report, row, slot, panels.get(slot.model), limits.get(slot.model), names) for slot in row.slots]
    if row.image is not None:
        tiles.insert(0, photo_tile(report, row.image, block.models))
        if row.layer and len({other.layer for other in block.rows}) > 1:
            tiles[0] = replace(tiles[0], label=f"{spaced(row.layer)}\n{tiles[0].label}")
    return Group((Line(tuple(tiles)),))


def _plot(report: Report, row: Row, panels: dict[str, Panel]) -> Group:
    """The lines of all nets in one plot, and in words which nets are not in it."""
    from reportgen.curves import TALL

    own, names = list(panels.values()), {slot.model: model_name(report, slot.model) for slot in row.slots}
    series = joint_series(own, list(panels), names, model_colors(report))
    first = next(iter(panels))
    drawing = Drawing(None, joint_scale(own), None, first, _color(report, first), series=tuple(series))
    missing = [slot for slot in row.slots if slot.model not in panels and slot.filled is not None]
    label = "\n".join(f"{names[slot.model]}: {short(slot.reason)}" for slot in missing)
    place = ", ".join(
        filter(None, [image_name(report, row.image) if row.image else "", row.layer and spaced(row.layer)])
    )
    return Group((Line((Tile(drawing, TALL, label, own[0].alt),), place),))


def _category_colors(panels: Sequence[Panel]) -> dict[str, str] | None:
    """The colours of the names on the maps of a row; None where they are no maps of names."""
    mapped = [panel for panel in panels if panel.kind == "heatmap" and panel.categories]
    return colors_of_row(mapped) if mapped else None


def _tile(
    report: Report, row: Row, slot: Slot, panel: Panel | None, scale: Scale | None, names: dict[str, str] | None = None
) -> Tile:
    color = _color(report, slot.model)
    if panel is None or scale is None:
        return Tile(note=short(slot.reason), color=color)
    if panel.kind == "bars":
        return Tile(bars=bars(panel, scale), color=color, alt=panel.alt)
    target = slot.filled.numbers.get("target_name", "") if slot.filled else ""
    ends = scale_limits(replace(panel, unit=""), scale).strip(" :") if panel.scale == "own" else ""
    label = "\n".join(filter(None, [str(target).replace("_", " "), ends]))
    drawing = Drawing(panel, scale, row.image, slot.model, color, names=names)
    keys = tuple(legend_of(panel, names, MOST_KEYS)) if panel.categories and names else ()
    return Tile(drawing, aspect(panel), label, panel.alt, color=color, keys=keys)


def _middle_first(rows: list[Row]) -> list[Row]:
    """Image by image, the middle layers first: the shallowest and the deepest tell least."""
    layers = list(dict.fromkeys(row.layer for row in rows))
    images = list(dict.fromkeys(row.image for row in rows))
    middle = (len(layers) - 1) / 2
    return sorted(rows, key=lambda row: (images.index(row.image), abs(layers.index(row.layer) - middle)))


def _strip(report: Report, row: Row, panels: dict[str, Panel]) -> Group:
    """The strongest unit of every net: a line with the patch and the sheet's columns."""
    limits = dict(zip(panels, scales(list(panels.values())), strict=True))
    image = image_name(report, row.image) if row.image else ""
    place = ", ".join(filter(None, [image, row.layer and spaced(row.layer)]))
    lines = []
    for slot in row.slots:
        name, color = model_name(report, slot.model), _color(report, slot.model)
        panel = panels.get(slot.model)
        if panel is None or panel.values is None or not len(panel.values):
            lines.append(Line((Tile(note=short(slot.reason)),), name, place, color))
            continue
        own = panel.row_labels[0] if panel.row_labels else ""
        tiles = _cut(panel, 0, limits[slot.model], row.image, slot.model, color)
        lines.append(Line(tiles, name, ", ".join(filter(None, [place, own])), color))
    return Group(tuple(lines))


def _cut(panel: Panel, unit: int, scale: Scale, image: str | None, model: str, color: str) -> tuple[Tile, ...]:
    """The tiles of one row of a sheet, each a picture of its own."""
    import numpy as np

    values = np.asarray(panel.values)
    tiles = []
    aspect = values.shape[-2] / values.shape[-1]
    if panel.boxes is not None:
        box = tuple(int(edge) for edge in np.asarray(panel.boxes)[unit])
        drawing = Drawing(None, scale, image, model, color, box=box)  # type: ignore[arg-type]
        tiles.append(Tile(drawing, aspect, alt="What the unit looked at."))
    for column, title in enumerate(panel.columns):
        one = replace(panel, values=values[unit : unit + 1, column : column + 1], boxes=None)
        tiles.append(Tile(Drawing(one, scale, image, model, color), aspect, alt=f"{panel.title}: {title}."))
    return tuple(tiles)


def _depths(
    report: Report, block: Block, model: str, rows: Sequence[Row | None], drawn: dict[str | None, dict[str, Panel]]
) -> Line:
    """A net's line of the large figure: one tile per depth."""
    tiles = []
    for row in rows:
        slot = next((slot for slot in row.slots if slot.model == model), None) if row else None
        panel = drawn[row.layer].get(model) if row else None
        scale = scales([panel])[0] if panel else None
        names = _category_colors(list(drawn[row.layer].values())) if row else None
        if row is None or slot is None:
            tiles.append(Tile(note="not computed"))
        else:
            tiles.append(_tile(report, row, slot, panel, scale, names))
    card = report.cards[model]
    facts = ", ".join(filter(None, [str(card.facts.year or ""), f"{card.depth} layers"]))
    return Line(tuple(tiles), model_name(report, model), facts, _color(report, model))


def _net_heads(report: Report, models: Sequence[str]) -> tuple[Head, ...]:
    return tuple(Head(model_name(report, model), _color(report, model)) for model in models)


def _color(report: Report, model: str) -> str:
    return palettes.model_color(list(report.spec.models).index(model))


def _title(report: Report, block: Block) -> str:
    section = next(section for section in report.spec.sections if section.id == block.section)
    return str(section.title or (block.method.title if block.method else section.id))
