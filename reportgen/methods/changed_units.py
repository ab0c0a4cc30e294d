"""Which units of a net do something else than before: after tuning, pruning, rounding its weights, or another start.

One sees, layer by layer, how well each unit's values over a set of pictures still follow those it had before, the units
that changed most with the patches that excited them most then and now, and how alike whole layers are. A correlation
of 1 means that the unit answers to the same things, whatever its scale and offset; a unit that is constant in one of
the two nets is silenced (or woken) and counts as 0. Those lead the order, from the first layer on: there a change
begins, while what comes later changes in its wake. What one cannot tell is whether a change matters for the answers
(see the method changed_classes), nor why it came about; nor does a low correlation of units mean that a layer knows
less: in a net from another start the same features sit in other units, and in other mixtures. Then the alignment of the
whole layer can stay high, and units have partners elsewhere in their layer (Li et al., 2016).

The sample is every position of every picture: with $a_i$ before and $b_i$ after,
$r = \\sum_i (a_i - \\bar a)(b_i - \\bar b) / \\sqrt{\\sum_i (a_i - \\bar a)^2 \\sum_i (b_i - \\bar b)^2}$, from sums in
double precision; of equal $r$ the larger change goes first, the root of the mean of $(a_i - b_i)^2$ over the larger
standard deviation. A unit constant in both nets has $r = 1$ where the constant is the same, else 0. Whole layers are
compared by linear centred kernel alignment (Kornblith et al., 2019), with columns centred,
$\\mathrm{CKA} = \\lVert Y^T X \\rVert_F^2 / (\\lVert X^T X \\rVert_F \\lVert Y^T Y \\rVert_F)$; its examples are the
means of the four quarters of a map, of at most `limit` pictures. With few examples for many units CKA is high for no
reason: `chance` is what comes out where the pictures of the one net are shuffled, quarters kept. A unit's partner is
the one of its layer, in the net after, with the highest correlation on the same examples.

Compared are all layers that have weights, in which a change can begin, and those that end a stage; CKA and partners are
for the ends of stages, the penultimate layer and the logits. Both nets must have the same layers; the number of classes
may differ. Checked against NumPy over all values at once, on resnet_mini with channels silenced by hand, which come
first, and CKA against permuted, turned and scaled features, which it does not see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reportgen import change, change_panels
from reportgen.errors import MethodError
from reportgen.records import Artifact, Method, Net, Panel, Scan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from reportgen.examples import Batch, Dataset, Partial

STRONGEST = 3  # pictures of a unit, before and after
MOST_LOST = 3  # of the units shown may have fallen silent: of those there is little to see
MOST_ROWS = 24  # of a table


@dataclass(frozen=True)
class Params:
    """Which layers are compared, how many pictures for whole layers, and how many units are shown."""

    layers: str | tuple[str, ...] = field(
        default="weights",
        metadata={"doc": "weights: all that have some, and the stages; stages: their ends; or names, as a list"},
    )
    limit: int = field(
        default=500, metadata={"doc": "pictures at most, spread evenly over the set, for CKA and partners; 4 or more"}
    )
    shown: int = field(default=6, metadata={"doc": "so many of the most changed units with their patches, 1 to 24"})

    def __post_init__(self) -> None:
        """Bring one layer's name into the form of several, refuse numbers that are none."""
        if isinstance(self.layers, str) and self.layers not in change.EVERY:
            object.__setattr__(self, "layers", (self.layers,))
        if not self.layers:
            raise MethodError("layers: none is named; right would be weights, stages or a list of names.")
        if self.limit < 4:
            raise MethodError(f"limit: {self.limit} pictures are too few for an alignment; right would be 4 or more.")
        if not 1 <= self.shown <= MOST_ROWS:
            raise MethodError(f"shown: {self.shown} is out of range; right would be 1 to {MOST_ROWS}.")


def layers(net: Net, params: Params) -> Sequence[str]:
    """All layers whose units are compared."""
    return [layer.name for layer in change.compared(net, params.layers)[0]]


def chunk(net: Net, batch: Batch, params: Params) -> Partial:
    """The sums of all units over a batch, where they fire most in either net, and the features of depths."""
    import numpy as np

    from reportgen import strongest_places, unit_change

    every, depths = change.compared(net, params.layers)
    found: dict[str, list[Mapping[str, Any]]] = {"sums": [], "top0": [], "top1": []}
    for layer in every:
        both = batch.before[layer.name], batch.values[layer.name]
        found["sums"].append(unit_change.sums(*both, layer.name))
        for number, value in enumerate(both):
            top = strongest_places.of_batch(value, batch.places, STRONGEST, layer.name)
            found[f"top{number}"].append(top)
    partial: dict[str, Any] = {"places": np.array(batch.places, np.int64), "limit": np.array([params.limit])}
    for name, parts in found.items():
        for key, first in parts[0].items():  # the units of all layers in a row
            whole = first if key in ("most", "pictures") else np.concatenate([part[key] for part in parts])
            partial[f"{name}.{key}"] = whole
    for number, layer in enumerate(depths):
        for which, values in enumerate((batch.before, batch.values)):
            partial[f"features{which}.{number}"] = _quarters(values[layer.name])
    return partial


def _quarters(value: Any) -> NDArray[Any]:
    """The means of a map's quarters, N Q U; a neuron's value is its one quarter."""
    from torch.nn import functional

    from reportgen import project

    own = project.exact(value)
    if own.ndim == 4:
        own = functional.adaptive_avg_pool2d(own, (min(2, own.shape[2]), min(2, own.shape[3]))).flatten(2)  # N U Q
    else:
        own = own[:, :, None]  # N U 1
    found: NDArray[Any] = own.transpose(1, 2).contiguous().cpu().numpy()  # N Q U
    return found


def merge(partials: Sequence[Partial]) -> Partial:
    """What several batches gave as one, with the features of no more pictures than are compared."""
    import numpy as np

    from reportgen import embedding, strongest_places, unit_change

    made: dict[str, Any] = {}
    for name, join in (
        ("sums", unit_change.joined),
        ("top0", strongest_places.joined),
        ("top1", strongest_places.joined),
    ):
        made |= {f"{name}.{key}": value for key, value in join([_part(one, name) for one in partials]).items()}
    rest = [key for key in partials[0] if key == "places" or key.startswith("features")]
    whole = {key: np.concatenate([one[key] for one in partials]) for key in rest}
    kept = embedding.evenly(whole["places"], int(partials[0]["limit"][0]))
    return made | {key: value[kept] for key, value in whole.items()} | {"limit": partials[0]["limit"]}


def _part(partial: Partial, name: str) -> Partial:
    return {key.partition(".")[2]: value for key, value in partial.items() if key.startswith(f"{name}.")}


def finish(net: Net, data: Dataset, partial: Partial, params: Params, rng: np.random.Generator) -> Artifact:
    """The units in the order of their change, the likeness of whole layers, and patches of the most changed units."""
    import numpy as np

    from reportgen import changed_patches, unit_change

    found = merge([partial])
    if len(found["places"]) < 4:
        raise MethodError(f"{data.name} has {len(found['places'])} pictures that can be read; 4 or more are wanted.")
    every, depths = change.compared(net, params.layers)
    widths = [layer.shape[0] for layer in every]
    of_layer = np.repeat(np.arange(len(every)), widths)  # U
    unit = np.concatenate([np.arange(width) for width in widths])  # U
    seen = unit_change.changes(_part(found, "sums"))
    order = unit_change.ranking(seen, of_layer)
    tops = [_part(found, name) for name in ("top0", "top1")]
    shown = _worth_seeing(seen, _once(order, unit, tops), params.shown)
    patches = changed_patches.patches(net, data, [(every[of_layer[u]], u) for u in shown], tops)
    alike, arrays = _alike(found, depths, rng.permutation(len(found["places"])))
    for entry in alike:
        own = of_layer == [layer.name for layer in every].index(entry["layer"])
        entry |= {"title": _depth(net, entry["layer"]), **_counted(seen, own)}
    named = [layer.name for layer in every]
    arrays |= {
        "correlation": seen.correlation,
        "state": seen.states,
        "change": seen.size,
        "mean": seen.mean,
        "spread": seen.spread,
        "layer": of_layer,
        "unit": unit,
        "order": order,
        "shown": np.array(shown, dtype=np.int64),
        "fires": np.stack([top["activations"][shown] for top in tops], 1).astype(np.float32),  # S 2 P
        "patches": patches,
    }
    numbers = {
        "layers": named,
        "before": net.before.card.weights_source if net.before is not None else "",
        "set": data.name,
        "compared": len(found["places"]),
        "depths": alike,
        "all": _counted(seen, of_layer >= 0),
        "most": [_row(seen, int(u), named[of_layer[u]], int(unit[u])) for u in order[:MOST_ROWS]],
    }
    return Artifact(arrays, numbers)


def _once(order: NDArray[Any], unit: NDArray[Any], tops: Sequence[Partial]) -> list[int]:
    """The order without units that are the same as one before: a convolution's, seen again after its batch norm."""
    kept: dict[tuple[Any, ...], int] = {}
    for u in order.tolist():
        kept.setdefault((int(unit[u]), *(tuple(top["images"][u].tolist()) for top in tops)), u)
    return list(kept.values())


def _worth_seeing(seen: Any, order: Sequence[int], most: int) -> list[int]:
    """The units to show: the most changed ones, of which few may be constant unless there are no others."""
    changed = [u for u in order if seen.size[u] > 0]
    lost = [u for u in changed if seen.states[u]]
    room = max(MOST_LOST, most - (len(changed) - len(lost)))
    left_out = set(lost[room:])
    return [u for u in changed if u not in left_out][:most]


def _alike(
    found: Partial, depths: Sequence[Any], shuffled: NDArray[Any]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The alignment of each depth with what it was, with pictures shuffled too, and its units' partners."""
    import numpy as np

    from reportgen import alignment

    told, partners, strengths = [], [], []
    for number, layer in enumerate(depths):
        old, new = (found[f"features{which}.{number}"] for which in (0, 1))  # N Q U
        x, y, other = (part.reshape(-1, part.shape[-1]) for part in (old, new, new[shuffled]))  # E U
        best, strength = alignment.partners(x, y)
        cka, chance = alignment.cka(x, y), alignment.cka(x, other)
        own = float((best == np.arange(len(best))).mean())
        entry = {"layer": layer.name, "cka": cka, "chance": chance, "examples": len(x), "own_partner": own}
        told.append(entry | {"partner": float(np.median(strength))})
        partners.append(best)
        strengths.append(strength)
    arrays = {
        "cka": np.array([entry["cka"] for entry in told]),
        "chance": np.array([entry["chance"] for entry in told]),
        "partner": np.concatenate(partners) if partners else np.zeros(0, np.int64),
        "partner_correlation": np.concatenate(strengths) if strengths else np.zeros(0),
    }
    return told, arrays


def _counted(seen: Any, own: NDArray[np.bool_]) -> dict[str, Any]:
    """How much some units changed, in numbers."""
    import numpy as np

    r, states = seen.correlation[own], seen.states[own]
    return {
        "units": int(own.sum()),
        "median": float(np.median(r)),
        "changed": int((r < change_panels.CHANGED).sum()),
        "silenced": int((states == 1).sum()),
        "woken": int((states == 2).sum()),
        "constant": int((states == 3).sum()),
        "untouched": int((seen.size[own] == 0).sum()),
    }


def _row(seen: Any, u: int, layer: str, unit: int) -> dict[str, Any]:
    from reportgen.unit_change import STATES

    means = [float(value) for value in seen.mean[u]]
    values = {"correlation": float(seen.correlation[u]), "change": float(seen.size[u]), "mean": means}
    return {"layer": layer, "unit": unit, "state": STATES[seen.states[u]], **values}


def _depth(net: Net, layer: str) -> str:
    """What a depth is called: its stage, else its alias, else its own name."""
    named = {path: name for name, path in net.card.aliases.items() if name in ("penultimate", "logits")}
    return net.card.depth_name(layer) if layer in net.card.stages.values() else named.get(layer, layer)


# -------------------------------------------------------------------------------------------------------------- panels


def panels(artifact: Artifact) -> list[Panel]:
    """All correlations, the most changed units with patches and in a table, and the likeness of whole layers."""
    found = [change_panels.sheet(artifact), change_panels.table(artifact)]
    if len(artifact.arrays["shown"]):
        found.insert(1, change_panels.patches(artifact))
    if artifact.numbers["depths"]:
        found += [change_panels.curve(artifact), change_panels.depths(artifact)]
    return found


METHOD = Method(
    name="changed_units",
    title="Changed units",
    caption="Which units answer to something else than before, and how alike whole layers still are.",
    citation="kornblith2019",
    scope="dataset",
    version=1,
    params=Params,
    panels=panels,
    arrays={"correlation": "U", "state": "U", "change": "U", "mean": "U x 2", "spread": "U x 2", "layer": "U"}
    | {"unit": "U", "order": "U", "cka": "L", "chance": "L", "partner": "V", "partner_correlation": "V"}
    | {"shown": "S", "fires": "S x 2 x P", "patches": "S x 2 x P x 3 x h x w"},
    scan=Scan(chunk=chunk, finish=finish, layers=layers, merge=merge),
    needs=frozenset({"before"}),
    tiny={"shown": 3},
)
