"""What a layer sees as similar: the pictures of a data set on a plane, those with similar features side by side.

One sees whether a net's features already sort the pictures: classes that the layer tells apart form islands, classes it
confuses share one, and a stray picture shows what it was taken for. t-SNE (van der Maaten & Hinton 2008) keeps
neighbourhoods and nothing else: the axes, the size of an island and the distance between far islands mean nothing, and
islands can appear where there are none. How far the map can be trusted is therefore printed: `trustworthiness` (12
neighbours; Venna & Kaski 2001) and, in the space of all features and on the map, the share of a picture's 10 nearest
that are of its class. Compare nets by the numbers of the full space; those of the map hang on perplexity and luck.

The features are the layer's values, averaged over the positions of a map, without normalisation; PCA brings them to
`pca` axes, scikit-learn's t-SNE (Barnes-Hut) to two. It starts at the first two principal axes with a little noise of
the cell's own generator, so the same seed gives the same map. `limit` pictures are chosen evenly over the set by their
place alone. The grid gives each picture a cell of its own so that the sum of squared ways is least (linear
assignment). Maps of further nets are turned, mirrored and scaled onto the first one's (Procrustes), the grid by
quarter turns.

On scikit-learn's digits the trustworthiness is within 0.02 of its own t-SNE's; alignment undoes a known turn, and the
grid equals a search through all assignments of six points.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reportgen.errors import MethodError
from reportgen.records import Artifact, Method, Net, Panel, Scan

if TYPE_CHECKING:
    import numpy as np

    from reportgen.examples import Batch, Dataset, Partial

FEWEST = 5  # pictures
MOST_TILES = 2000  # on the grid: the assignment takes seconds beyond


@dataclass(frozen=True)
class Params:
    """Which layer, how many pictures, and how they are laid out."""

    layer: str = field(default="penultimate", metadata={"doc": "a stage, an alias or a module path"})
    perplexity: float = field(
        default=30, metadata={"doc": "how many neighbours count, about; below the number of pictures"}
    )
    limit: int = field(default=1000, metadata={"doc": "pictures at most, chosen evenly over the set"})
    pca: int = field(default=50, metadata={"doc": "principal axes that t-SNE starts from; 0: all features"})
    thumbnails: int = field(default=32, metadata={"doc": "side of the thumbnails in pixels; 0: none"})
    grid: bool = field(default=True, metadata={"doc": "whether thumbnails are also laid on a grid without overlaps"})

    def __post_init__(self) -> None:
        """Refuse what gives no map."""
        object.__setattr__(self, "perplexity", float(self.perplexity))
        if not 1 <= self.perplexity < math.inf:
            raise MethodError(f"perplexity: {self.perplexity:g} is no number of neighbours. Right would be 5 to 50.")
        if self.limit < FEWEST:
            raise MethodError(
                f"limit: {self.limit} pictures are no map. Right would be {FEWEST} or more, such as 1000."
            )
        if self.pca != 0 and self.pca < 2:
            raise MethodError(f"pca: {self.pca} axes are too few. Right would be 2 or more, such as 50, or 0 for all.")
        if not 0 <= self.thumbnails <= 256:
            raise MethodError(f"thumbnails: {self.thumbnails} is no side in pixels. Right would be 0 to 256.")


def chunk(net: Net, batch: Batch, params: Params) -> Partial:
    """The pictures' features, one vector each, and thumbnails of what the net sees."""
    import numpy as np

    from reportgen import mosaic, project

    value = batch.values[params.layer]
    features = value.float().flatten(2).mean(2) if value.ndim == 4 else value.flatten(1)  # N C, N D
    return {
        "features": project.to_numpy(features),
        "labels": np.array(batch.labels, dtype=np.int64),
        "places": np.array(batch.places, dtype=np.int64),
        "thumbnails": mosaic.thumbnails(net, batch.x, params.thumbnails),
        "limit": np.array([params.limit]),
    }


def merge(partials: Sequence[Partial]) -> Partial:
    """The findings together, of no more pictures than will be shown: memory does not grow with the set."""
    import numpy as np

    from reportgen import embedding

    limit = partials[0]["limit"]
    joined = {name: np.concatenate([part[name] for part in partials]) for name in partials[0] if name != "limit"}
    kept = embedding.evenly(joined["places"], int(limit[0]))
    return {name: array[kept] for name, array in joined.items()} | {"limit": limit}


def finish(net: Net, data: Dataset, partial: Partial, params: Params, rng: np.random.Generator) -> Artifact:
    """The map, the grid, and how far both can be trusted."""
    import numpy as np

    from reportgen import embedding

    layer = net.card.resolve(params.layer).name
    found = merge([partial])
    features = found["features"]
    _check(features, layer, params)
    dimensions = params.pca or min(features.shape)
    points = embedding.pca(features, dimensions)
    plane = embedding.settled(embedding.tsne(points, params.perplexity, rng)).astype(np.float32)
    tiled = embedding.evenly(found["places"], MOST_TILES)
    side = math.isqrt(len(tiled) - 1) + 1 if params.grid else 0
    grid = np.full(len(features), -1, dtype=np.int64)
    if params.grid:
        grid[tiled] = embedding.cells(plane[tiled], side)
    numbers = {
        "layer": layer,
        "stage": net.card.depth_name(layer),
        "perplexity": params.perplexity,
        "limit": params.limit,
        "pca": min(dimensions, *features.shape),
        "classes": list(data.classes),
        "shown": len(features),
        "side": side,
        **embedding.trust(features, plane, found["labels"]),
    }
    names = ("features", "labels", "places", "thumbnails")
    return Artifact({**{name: found[name] for name in names}, "embedding": plane, "grid": grid}, numbers)


def _check(features: np.ndarray, layer: str, params: Params) -> None:
    import numpy as np

    count = len(features)
    if count < FEWEST:
        raise MethodError(f"tsne needs {FEWEST} pictures or more that can be read; there are {count}.")
    if params.perplexity >= count:
        raise MethodError(
            f"perplexity: {params.perplexity:g} neighbours are asked for, but only {count} pictures are shown. Right "
            f"would be less than {count}, such as {max(1, min(30, count // 4))}."
        )
    if not np.isfinite(features).all():
        raise MethodError(f"The net gives NaN or infinity in {layer}: its weights are damaged or overflow.")
    if (features == features[0]).all():
        raise MethodError(
            f"All {count} pictures have the same features in {layer}, so there is nothing to lay out. Right would be a "
            "layer that answers to the pictures, or a set of pictures that differ."
        )


# -------------------------------------------------------------------------------------------------------------- panels


def panels(artifact: Artifact) -> list[Panel]:
    """The map of points, the thumbnails at their places and on a grid, and how far to trust them."""
    from reportgen import embedding

    plane, grid, words = artifact.arrays["embedding"], artifact.arrays["grid"], ""
    first = next(iter(artifact.row), "")
    onto = artifact.row[first].arrays if first else artifact.arrays
    turn = embedding.onto(plane, artifact.arrays["places"], onto["embedding"], onto["places"])
    if turn is not None and onto["embedding"] is not plane:
        plane, side = turn(plane), artifact.numbers["side"]
        grid = embedding.turned_cells(grid, side, turn.turn) if side else grid
        words = f" It is turned and mirrored to lie like that of {first} (correlation {turn.fit:.2f})."
    plane = embedding.drawn_together(plane)
    names, groups = _classes(artifact)
    shown = [_map(plane, names, groups, artifact.numbers, words)]
    if artifact.arrays["thumbnails"].size:
        shown.append(_pictures(artifact, plane, groups, words))
        shown += [_grid(artifact, grid, groups)] if artifact.numbers["side"] else []
    return [*shown, _table(artifact.numbers)]


def _classes(artifact: Artifact) -> tuple[tuple[str, ...], np.ndarray]:
    """The names of the classes that any net of the row shows, and each picture's place among them; -1 unknown."""
    import numpy as np

    row = [one.arrays["labels"] for one in artifact.row.values()] or [artifact.arrays["labels"]]
    labels, names = artifact.arrays["labels"], artifact.numbers["classes"]
    present = np.unique(np.concatenate(row))
    present = present[present >= 0]
    groups = np.where(labels >= 0, np.searchsorted(present, labels), -1)  # N
    return tuple(names[int(label)] for label in present), groups


def _map(plane: np.ndarray, names: tuple[str, ...], groups: np.ndarray, numbers: Any, words: str) -> Panel:
    share, chance = numbers["agreement"], numbers["agreement_chance"]
    finding = (
        f"{share:.0%} of a picture's {numbers['neighbours']} nearest share its class ({chance:.0%} by chance)"
        if share is not None
        else f"{numbers['kept']:.0%} of the nearest neighbours in all features are so on the map"
    )
    return Panel(
        name="map",
        kind="scatter",
        title=f"What {numbers['stage']} sees as similar",
        caption=f"Each of the {len(plane)} points is a picture, coloured by its class; what has similar features in "
        f"{numbers['layer']} lies side by side.{words} Only neighbourhoods count: the axes, the size of an island and "
        "the distance between far islands mean nothing, so that empty bands between them are narrowed.",
        alt=f"t-SNE map of {len(plane)} pictures by their features in {numbers['stage']}: {finding}.",
        values=plane,
        scale="none",
        categories=names,
        groups=groups,
        featured=True,
    )


def _pictures(artifact: Artifact, plane: np.ndarray, groups: np.ndarray, words: str) -> Panel:
    from reportgen import mosaic

    numbers = artifact.numbers
    return Panel(
        name="pictures",
        kind="grid",
        title=f"The pictures where {numbers['stage']} puts them",
        caption="The same map with the pictures in place of the points, each in a frame of its class's colour."
        + words
        + " Follow one island from edge to edge, or see what a picture among strangers has in common with them.",
        alt=f"{len(plane)} thumbnails, each where t-SNE puts its features in {numbers['stage']}; "
        f"{numbers['kept']:.0%} of the nearest neighbours in all features are so here.",
        values=mosaic.scattered(artifact.arrays["thumbnails"], plane, groups),
        scale="none",
    )


def _grid(artifact: Artifact, grid: np.ndarray, groups: np.ndarray) -> Panel:
    from reportgen import mosaic

    numbers, count = artifact.numbers, int((grid >= 0).sum())
    return Panel(
        name="grid",
        kind="grid",
        title=f"The pictures of {numbers['stage']} side by side",
        caption=f"The {count} pictures on a grid, none over another, moved as little as that takes. Neighbours on the "
        "grid are mostly neighbours on the map, but the empty room between islands is gone.",
        alt=f"Grid of {count} thumbnails in {numbers['side']} rows, sorted by likeness in {numbers['stage']}, each in "
        "a frame of its class's colour.",
        values=mosaic.tiled(artifact.arrays["thumbnails"], grid, numbers["side"], groups),
        scale="none",
    )


def _table(numbers: Any) -> Panel:
    k, kept, count = numbers["neighbours"], numbers["kept"], numbers["shown"]
    rows: list[tuple[Any, ...]] = [
        (f"nearest {k} kept on the map", "", f"{kept:.0%}", f"{k / (count - 1):.0%}"),
        (f"trustworthiness, {numbers['trusted']} neighbours", "", f"{numbers['trustworthiness']:.3f}", "0.5"),
    ]
    if numbers["agreement"] is not None:
        shares = [f"{numbers[name]:.0%}" for name in ("agreement", "agreement_map", "agreement_chance")]
        rows.insert(0, (f"nearest {k} of the same class", *shares))
    said = (
        f"{numbers['agreement']:.0%} of neighbours share a class" if numbers["agreement"] is not None else "no classes"
    )
    return Panel(
        name="numbers",
        kind="table",
        title="How far to trust the map",
        caption=f"How much of the order in all features of {numbers['layer']} the map keeps, and how well either sorts "
        "the classes. Compare nets by the numbers of all features; those of the map hang on perplexity and luck.",
        alt=f"Table for {count} pictures and {numbers['stage']}: trustworthiness {numbers['trustworthiness']:.2f}, "
        f"{said} in all features.",
        scale="none",
        columns=("measure", "all features", "on the map", "by chance"),
        rows=tuple(rows),
    )


METHOD = Method(
    name="tsne",
    title="t-SNE",
    caption="Which pictures a layer sees as similar, on a map.",
    citation="vandermaaten2008",
    scope="dataset",
    version=1,
    params=Params,
    panels=panels,
    scan=Scan(chunk=chunk, finish=finish, layers=lambda net, params: [params.layer], merge=merge),
    arrays={
        "features": "N x D",
        "embedding": "N x 2",
        "labels": "N",
        "places": "N",
        "thumbnails": "N x h x w x 3",
        "grid": "N",
    },
    row=True,
    tiny={"perplexity": 5, "thumbnails": 12, "limit": 16},
)
