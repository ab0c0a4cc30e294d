"""The commands that tell what there is: methods, nets."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

AsJson = Annotated[bool, typer.Option("--json", help="everything as JSON, for other programs")]


def add_to(app: typer.Typer) -> None:
    """Make these commands part of the program."""
    for command in (methods, nets):
        app.command()(command)


def methods(
    name: Annotated[str, typer.Argument(help="one method", show_default=False)] = "", as_json: AsJson = False
) -> None:
    """List the methods, or tell all about one: params, arrays, citation."""
    from dataclasses import fields

    from reportgen.methods import method, methods

    if as_json:
        from reportgen.catalogue import method_entry

        _print_json(method_entry(method(name)) if name else [method_entry(one) for one in methods().values()])
        return
    if not name:
        for entry in methods().values():
            typer.echo(f"{entry.name:14}{entry.scope:9}{entry.caption}")
        return
    entry = method(name)
    typer.echo(f"{entry.title} ({entry.name}, version {entry.version}; per {entry.scope}; {entry.citation})\n")
    typer.echo(entry.doc.strip() + "\n")
    for field in fields(entry.params):
        typer.echo(f"  {field.name} = {field.default!r}: {field.metadata.get('doc', '')}")
    for array, axes in entry.arrays.items():
        typer.echo(f"  array {array}: {axes}")


def nets(
    arch: Annotated[str, typer.Argument(help="one architecture, or a model file", show_default=False)] = "",
    weights: Annotated[str, typer.Option(help="enum name, file or random (default: embedded or random)")] = "",
    as_json: AsJson = False,
) -> None:
    """List the architectures, or print the layers and stages of one."""
    from reportgen.nets import load_net
    from reportgen.nets.archs import known_archs, origin
    from reportgen.nets.files import is_file

    if not arch:
        if as_json:
            _print_json([{"arch": name, "origin": origin(name)} for name in known_archs()])
        else:
            typer.echo("\n".join(known_archs()))
        return
    default = None if arch.endswith("_mini") or is_file(arch) else "random"
    card = load_net(arch, weights=weights or default, device="cpu").card
    if as_json:
        from reportgen.catalogue import net_entry

        _print_json(net_entry(card))
        return
    typer.echo(f"{card.arch}: {card.parameters:,} parameters, {card.flops / 1e9:.2f} GFLOPs, depth {card.depth}")
    for stage, layer in {**card.stages, **card.aliases}.items():
        typer.echo(f"  {stage:12} = {layer}")
    for entry in card.layers:
        shape = " x ".join(str(side) for side in entry.shape)
        field = "whole picture" if entry.field is None else f"field {entry.field[0]} x {entry.field[1]}"
        typer.echo(f"  {entry.name:28}{entry.kind:20}{shape:18}{field}")


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False))
