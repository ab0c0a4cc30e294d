"""Which units of a net do something else than before: after tuning, pruning, rounding its weights, or another start.

One sees, layer by layer, how well each unit's values over a set of pictures still follow those it had before, the units
that changed most with the patches that excited them most then and now, and how alike whole layers are. A correlation
of 1 means that the unit answers to the same things, whatever its scale and offset; a unit that is constant in one of the
two nets is silenced (or woken) and counts as 0. Those lead the order, from the first layer on: there a change begins,
while what comes later changes in its wake. What one cannot tell is whether a change matters for the answers (see the
method changed_classes), nor why it came about; nor does a low correlation of units mean that a layer knows less: in a
net from another start the same features sit in other units, and in other mixtures. Then the alignment of the whole
layer stays high, and units have partners elsewhere in their layer (Li et al., 2016).

The sample is every position of every picture: with $a_i$ before and $b_i$ after,
$r = \\sum_i (a_i - \\bar a)(b_i - \\bar b) / \\sqrt{\\sum_i (a_i - \\bar a)^2 \\sum_i (b_i - \\bar b)^2}$, from sums in
double precision; of equal $r$ the larger change goes first, the root of the mean of $(a_i - b_i)^2$ over the larger
standard deviation. A unit constant in both nets has $r = 1$ where the constant is the same, else 0. Whole layers are
compared by linear centred kernel alignment (Kornblith et al., 2019), with columns centred,
$\\mathrm{CKA} = \\|Y^T X\\|_F^2 / (\\|X^T X\\|_F \\|Y^T Y\\|_F)$; its examples are the means of the four quarters of each
map, of at most `pictures` pictures. With few examples for many units CKA is high for no reason: `chance` is what comes
out where the pictures of the one net are set against other pictures of the other. A unit's partner is the one of its
layer, in the net after, with the highest correlation on the same examples.

Compared are all layers that have weights, in which a change can begin, and those that end a stage; CKA and partners are
for the ends of stages, the penultimate layer and the logits. Both nets must have the same layers; the number of classes
may differ. Checked against NumPy over all values at once, on resnet_mini with channels silenced by hand, which come
first, and CKA against permuted, turned and scaled features, which it does not see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reportgen import change, wording
from reportgen.errors import MethodError
from reportgen.records import Artifact, Method, Net, Panel, Scan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from reportgen.examples import Batch, Dataset, Partial

STRONGEST = 3  # pictures of a unit, before and after
MOST_LOST = 3  # of the units shown may have fallen silent: of those there is little to see
CHANGED = 0.5  # correlation below which a unit is counted as changed: half of what it did is less than that shared
MOST_ROWS = 24  # of a table
COLUMNS = 128  # of the sheet of correlations
WORDS = {"silenced": "constant now", "woken": "was constant", "moved": "another constant", "": ""}


@dataclass(frozen=True)
class Params:
    """Which layers are compared, how many pictures for whole layers, and how many units are shown."""

    layers: str | tuple[str, ...] = field(
        default="weights",
        metadata={"doc": "weights: all that have some, and the stages; stages: their ends; or names, as a list"},
    )
    pictures: int = field(default=500, metadata={"doc": "at most so many, spread evenly, for CKA and partners; 4 on"})
    shown: int = field(default=6, metadata={"doc": "so many of the most changed units with their patches, 1 to 24"})

    def __post_init__(self) -> None:
        """Bring one layer's name into the form of several, refuse numbers that are none."""
        if isinstance(self.layers, str) and self.layers not in change.EVERY:
            object.__setattr__(self, "layers", (self.layers,))
        if not self.layers:
            raise MethodError("layers: none is named; right would be weights, stages or a list of names.")
        if self.pictures < 4:
            raise MethodError(f"pictures: {self.pictures} are too few for an alignment; right would be 4 or more.")
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
    partial: dict[str, Any] = {"places": np.array(batch.places, np.int64), "limit": np.array([params.pictures])}
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
        own = functional.adaptive_avg_pool2d(own, [min(2, side) for side in own.shape[2:]]).flatten(2)  # N U Q
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
    shown = _worth_seeing(seen, order, params.shown)
    tops = [_part(found, name) for name in ("top0", "top1")]
    patches = changed_patches.patches(net, data, [(every[of_layer[u]], u) for u in shown], tops)
    alike, arrays = _alike(found, depths)
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
        "before": _said(net.before) if net.before is not None else "",
        "after": _said(net),
        "set": data.name,
        "examples": [int(n) for n in (len(found["places"]), found["features0.0"].shape[1])] if depths else [0, 0],
        "depths": alike,
        "all": _counted(seen, of_layer >= 0),
        "most": [_row(seen, int(u), named[of_layer[u]], int(unit[u])) for u in order[:MOST_ROWS]],
    }
    return Artifact(arrays, numbers)


def _worth_seeing(seen: Any, order: NDArray[Any], most: int) -> list[int]:
    """The units to show: the most changed ones, of which a few may have become constant."""
    import numpy as np

    changed = [int(u) for u in order if seen.size[u] > 0]
    lost = [u for u in changed if seen.states[u]]
    room = max(MOST_LOST, most - (len(changed) - len(lost)))
    left_out = set(lost[room:])
    return [u for u in changed if u not in left_out][: int(np.clip(most, 0, len(changed)))]


def _alike(found: Partial, depths: Sequence[Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The alignment of each depth with what it was, by chance too, and its units' partners."""
    import numpy as np

    from reportgen import alignment

    told, partners, strengths = [], [], []
    for number, layer in enumerate(depths):
        old, new = (found[f"features{which}.{number}"] for which in (0, 1))  # N Q U
        rolled = np.roll(new, len(new) // 2, axis=0)
        x, y, other = (part.reshape(-1, part.shape[-1]) for part in (old, new, rolled))  # E U
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
        "changed": int((r < CHANGED).sum()),
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


def _said(net: Net) -> str:
    return f"{net.card.facts.title or net.card.arch} ({net.card.weights_source})"


def _depth(net: Net, layer: str) -> str:
    """What a depth is called: its stage, else its alias, else its own name."""
    named = {path: name for name, path in net.card.aliases.items() if name in ("penultimate", "logits")}
    return net.card.depth_name(layer) if layer in net.card.stages.values() else named.get(layer, layer)


# -------------------------------------------------------------------------------------------------------------- panels


def panels(artifact: Artifact) -> list[Panel]:
    """All correlations, the most changed units with patches and in a table, and the likeness of whole layers."""
    found = [_sheet(artifact), _table(artifact)]
    if len(artifact.arrays["shown"]):
        found.insert(1, _patches(artifact))
    if artifact.numbers["depths"]:
        found += [_curve(artifact), _depths(artifact)]
    return found


def _finding(numbers: Mapping[str, Any]) -> str:
    """The most changed unit in words."""
    first, all_of_them = numbers["most"][0], numbers["all"]
    if all_of_them["untouched"] == all_of_them["units"]:
        return "not one unit changed"
    how = WORDS[first["state"]] if first["state"] in WORDS and first["state"] else f"r = {first['correlation']:.2f}"
    return f"first unit {first['unit']} of {first['layer']} ({how})"


def _sheet(artifact: Artifact) -> Panel:
    import numpy as np

    arrays, numbers = artifact.arrays, artifact.numbers
    rows = []
    for number in range(len(numbers["layers"])):
        own = np.sort(arrays["correlation"][arrays["layer"] == number])  # U
        at = np.minimum(np.linspace(0, len(own), COLUMNS, endpoint=False).astype(int), len(own) - 1)
        rows.append(np.repeat(own[at][None, None], 2, axis=1))  # 1 2 w
    counted = numbers["all"]
    gone = [f"{counted[state]} {word}" for state, word in (("silenced", "became constant"), ("woken", "no longer are"))
            if counted[state]]  # fmt: skip
    return Panel(
        name="correlations",
        kind="grid",
        title="Which units still do what they did",
        caption=f"Each line is a layer, from first to last, and in it every unit's correlation with itself before, the "
        f"most changed on the left: bright is 1, unchanged, dark is 0 and less. Of {counted['units']:,} units "
        f"{counted['changed']:,} are below {CHANGED:g}{', ' + ' and '.join(gone) if gone else ''}; "
        f"{_finding(numbers)}.",
        alt=f"{len(rows)} lines, one per layer: correlation of each unit with itself before; {counted['changed']:,} of "
        f"{counted['units']:,} below {CHANGED:g}, {_finding(numbers)}.",
        values=np.array(rows, dtype=np.float32),  # L 1 2 w
        scale="fixed",
        limits=(0.0, 1.0),
        unit="correlation",
        row_labels=tuple(numbers["layers"]),
        featured=True,
    )


def _patches(artifact: Artifact) -> Panel:
    from reportgen import patch_blocks

    arrays, numbers = artifact.arrays, artifact.numbers
    silent = arrays["state"][arrays["shown"]]  # S
    fires = arrays["fires"] > 0  # S 2 P
    fires[:, 1] &= (silent != 1)[:, None]
    fires[:, 0] &= (silent != 2)[:, None]
    tiles = patch_blocks.pictures(arrays["patches"], fires)  # S 2 P 3 T T
    names = [
        f"{numbers['layers'][arrays['layer'][u]]} {arrays['unit'][u]}, r = {arrays['correlation'][u]:.2f}"
        for u in arrays["shown"]
    ]
    grey = "" if fires.all() else " Where a unit fires nowhere, or is the same everywhere, it stays grey."
    return Panel(
        name="patches",
        kind="grid",
        title="What excites the most changed units",
        caption=f"{len(names)} of the most changed units, one per row: the {fires.shape[2]} patches of {numbers['set']} "
        f"that excited each most before (left) and after (right). A layer's receptive field is its patch.{grey}",
        alt=f"{len(names)} most changed units, a row each: strongest patches before and after; the first is unit "
        f"{arrays['unit'][arrays['shown'][0]]} of {numbers['layers'][arrays['layer'][arrays['shown'][0]]]}.",
        values=tiles.reshape(len(names), -1, *tiles.shape[3:]),  # S 2P 3 T T
        scale="none",
        row_labels=tuple(names),
        columns=(
            *(f"before, {n + 1}" for n in range(fires.shape[2])),
            *(f"after, {n + 1}" for n in range(fires.shape[2])),
        ),
    )


def _table(artifact: Artifact) -> Panel:
    numbers, first = artifact.numbers, artifact.numbers["most"][0]
    rows = tuple(
        (
            place,
            one["layer"],
            one["unit"],
            WORDS.get(one["state"], one["state"]) or f"{one['correlation']:.3f}",
            f"{one['change']:.3g}",
            *(wording.size(mean) for mean in one["mean"]),
        )
        for place, one in enumerate(numbers["most"], 1)
    )
    return Panel(
        name="most_changed",
        kind="table",
        title="The most changed units",
        caption=f"The {len(rows)} most changed of {numbers['all']['units']:,} units: those that became constant or "
        "ceased to be first, from the first layer on, then by correlation. Change is the root of the mean squared "
        "difference in standard deviations of the unit; means are over all pictures and positions.",
        alt=f"Table of the {len(rows)} most changed units with correlation, change and means; first stands unit "
        f"{first['unit']} of {first['layer']}.",
        scale="none",
        columns=("", "layer", "unit", "correlation", "change", "mean before", "mean after"),
        rows=rows,
    )


def _curve(artifact: Artifact) -> Panel:
    import numpy as np

    numbers = artifact.numbers
    told, titles = numbers["depths"], [one["title"] for one in numbers["depths"]]
    least = min(told, key=lambda one: float(one["cka"]))
    listed = ", ".join(f"{n} {title}" for n, title in enumerate(titles, 1))
    return Panel(
        name="alike",
        kind="curves",
        title="How alike whole layers are",
        caption="Linear centred kernel alignment of each depth with itself before: 1 is the same up to turns and scale. "
        "The second line is what other pictures give, which is chance: a value near it says nothing. Depths are "
        f"{listed}.",
        alt=f"Curve of the alignment of {len(told)} depths with what they were: least at {least['title']}, "
        f"{least['cka']:.2f}, where chance gives {least['chance']:.2f}.",
        values=np.array([[one["cka"] for one in told], [one["chance"] for one in told]]),  # 2 L
        x=np.arange(1, len(told) + 1),
        scale="fixed",
        limits=(0.0, 1.0),
        unit="CKA",
        columns=("depth",),
        row_labels=("with the same pictures", "with other pictures"),
        joint=True,
    )


def _depths(artifact: Artifact) -> Panel:
    numbers = artifact.numbers
    rows = tuple(
        (
            one["title"],
            one["units"],
            f"{one['median']:.3f}",
            f"{one['changed'] / one['units']:.0%}",
            one["silenced"],
            f"{one['cka']:.3f}",
            f"{one['chance']:.3f}",
            f"{one['own_partner']:.0%}",
            f"{one['partner']:.3f}",
        )
        for one in numbers["depths"]
    )
    last = numbers["depths"][-1]
    return Panel(
        name="depths",
        kind="table",
        title="Units and whole layers, depth by depth",
        caption=f"The median correlation of units with themselves before, the share below {CHANGED:g}, the alignment "
        f"of the whole layer (CKA) on {numbers['examples'][0]:,} pictures with what chance gives, the share of units "
        "whose best partner in the layer is themselves, and the median correlation with that partner. Few partners "
        "of one's own and a high CKA mean the same features in other units.",
        alt=f"Table of {len(rows)} depths with correlations, CKA and partners; at {last['title']} the median is "
        f"{last['median']:.2f} and CKA is {last['cka']:.2f}.",
        scale="none",
        columns=(
            "depth",
            "units",
            "median r",
            f"below {CHANGED:g}",
            "constant now",
            "CKA",
            "by chance",
            "own partner",
            "partner's r",
        ),  # fmt: skip
        rows=rows,
    )


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
