"""Whether the first layer is cut right: its filters, what the second makes of them, and what falls between its places.

One sees, above, all filters of the first layer, from low to high frequency and dead ones last, and below what units of
the second layer project back from the picture of a data set that excites them most. Two nets that differ in their first
layer alone, side by side, show what its size and stride cost: Zeiler and Fergus (2014, section 4.1 and Fig. 6) found in
AlexNet's 11 x 11 filters of stride 4 a mixture of very high and very low frequencies with little between, some dead
ones, and aliasing in the second layer; filters of 7 x 7 and stride 2 cured it. What one cannot tell is whether a
difference is the first layer's doing where more than it differs, or how much of it another training would give.

Second is the next convolution wider than one place; both layers are taken with the batch norm and the rectification
that follow. Frequencies are in cycles per pixel, low below 0.1 (waves longer than ten pixels), high over 0.25 (shorter
than four); shares are of a filter's energy, over all directions and the three colours, and means over the filters that
are not dead (whose root mean square is at least 5 % of the median). The aliased share of a layer is the share of its
answers' energy, around their mean, at frequencies that its grid of one place every $s$ pixels cannot carry: beyond
$1/(2s)$ down or across. That is how far the answers lie, on average over all ways to lay the grid, from those of an
ideal sampler, and what makes them change in kind when the picture moves by less than $s$ pixels (the sampling theorem;
Zhang, 2019, on nets). To measure it the net runs on 16 pictures moved by 0 to $s - 1$ pixels each way, which gives the
answers at every pixel; the share is taken unit by unit, and its mean over the units that answer. For white noise in
place of pictures the first layer's share before rectification follows from its weights alone and is exact.

Checked against closed forms (waves, Gaussians, single pixels), and the answers at every pixel against the same layers
built without strides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reportgen.errors import NotApplicable
from reportgen.records import Artifact, Method, Net, Panel, Scan
from reportgen.spread import evenly

if TYPE_CHECKING:
    import numpy as np

    from reportgen.examples import Batch, Dataset, Partial
    from reportgen.rules import Rule

LOW, HIGH = 0.1, 0.25  # cycles per pixel
RINGS = 20  # of frequencies from 0 to 1/2
PICTURES = 16  # on which aliasing is measured, evenly spread over the set
UNITS = 24  # of the second layer on the sheet


@dataclass(frozen=True)
class Params:
    """Nothing to choose."""


def layers(net: Net, params: Params) -> Sequence[str]:
    """The first layer, the second, and the answer."""
    from reportgen.first_layer import first_and_second

    return [*(layer.name for layer in first_and_second(net)), "logits"]


def chunk(net: Net, batch: Batch, params: Params) -> Partial:
    """Which units of the first layer fire, the second's strongest places, and how many pictures are told right."""
    import numpy as np

    from reportgen import strongest_places

    first, second, logits = (batch.values[name] for name in layers(net, params))
    answers, targets = logits.flatten(1).argmax(dim=1).cpu().numpy(), np.array(batch.targets)  # N
    return {
        **strongest_places.of_batch(second, batch.places, 1, "the second layer"),
        "fires": (first.flatten(2).amax(dim=(0, 2)) > 0).cpu().numpy()[None],  # 1 C
        "places": np.array(batch.places),  # N
        "right": (answers == targets)[targets >= 0],  # of those whose class the net has
    }


def merge(partials: Sequence[Partial]) -> Partial:
    """What several batches gave as one."""
    import numpy as np

    from reportgen import strongest_places

    own = {name: np.concatenate([one[name] for one in partials]) for name in ("fires", "places", "right")}
    return {**strongest_places.joined(partials), **own, "fires": own["fires"].any(axis=0, keepdims=True)}


def finish(net: Net, data: Dataset, partial: Partial, params: Params, rng: np.random.Generator) -> Artifact:
    """The filters' frequencies, both layers' aliasing on some pictures, and some of the second's units projected."""
    import numpy as np

    from reportgen import first_layer, sampling
    from reportgen.strongest_places import Places, looked_at

    read, (first, second) = first_layer.first_layer(net), first_layer.first_and_second(net)
    filters = read.folded.cpu().numpy()  # C 3 k k
    measured = first_layer.measure(filters)
    places = np.sort(partial["places"])
    places = places[evenly(len(places), PICTURES)]
    pictures = [data.load(int(place)).picture for place in places]
    aliased = [sampling.aliased_shares(net, pictures, layer) for layer in (first, second)]  # C, U
    fires = partial["activations"][:, 0] > 0  # U
    if not fires.any():
        raise NotApplicable(f"No unit of {second.name} fires on any picture of {data.name}.")
    units = np.sort(rng.permutation(np.flatnonzero(fires))[:UNITS])  # S
    rule: Rule = "deconvnet" if net.card.rectified else "gradient"
    shown = Places(second, units.tolist(), partial["images"][units], partial["positions"][units])
    patches, projections = looked_at(net, data, shown, rule)[:2]
    arrays = {
        "filters": filters.astype(np.float32),
        "frequency": measured["frequency"],
        "dead": measured["dead"],
        "spectrum": sampling.rings(filters, RINGS).astype(np.float32),
        "aliased": np.nan_to_num(aliased[0]).astype(np.float32),
        "second_aliased": np.nan_to_num(aliased[1]).astype(np.float32),
        "units": units,
        "patches": patches[:, 0],
        "projections": projections[:, 0],
    }
    right = partial["right"]
    numbers = {
        "layer": read.name,
        "kernel": list(filters.shape[-2:]),
        "stride": list(read.stride),
        "filters": len(filters),
        **_frequency_numbers(filters[np.logical_not(measured["dead"])], read.stride),
        "dead": int(measured["dead"].sum()),
        "silent": int(np.logical_not(partial["fires"]).sum()),  # of the first layer's units, on all pictures
        "aliased": float(np.nanmean(aliased[0])),
        "second": second.name,
        "second_step": list(second.stride or ()),
        "second_units": len(fires),
        "second_silent": int(np.logical_not(fires).sum()),
        "second_aliased": float(np.nanmean(aliased[1])),
        "rule": rule,
        "moved": len(places),  # pictures on which aliasing was measured
        "set": data.name,
        "top1": float(right.mean()) if len(right) else None,
        "counted": len(right),
    }
    return Artifact(arrays, numbers)


def _frequency_numbers(live: np.ndarray, stride: Sequence[int]) -> dict[str, float]:
    """How filters share out their energy, and what of it their stride cannot carry; means over filters."""
    from reportgen import sampling

    low, up_to_high = (float(sampling.energy_below(live, radius).mean()) for radius in (LOW, HIGH))
    noise = float(sampling.beyond_grid(live, stride).mean())
    return {"low": low, "middle": up_to_high - low, "high": 1 - up_to_high, "aliased_noise": noise}


# --------------------------------------------------------------------------------------------------------------- panels


def panels(artifact: Artifact) -> list[Panel]:
    """Filters above and second-layer features below on one sheet, the filters' frequencies, and all numbers."""
    return [_sheet(artifact), _frequencies(artifact), _table(artifact.numbers)]


def _sheet(artifact: Artifact) -> Panel:
    import numpy as np

    from reportgen.layers_sheet import sheet

    arrays, numbers = artifact.arrays, artifact.numbers
    order = np.lexsort((arrays["frequency"], arrays["dead"]))  # dead ones last
    values = sheet(arrays["filters"][order], arrays["projections"], arrays["patches"])
    units = len(arrays["units"])
    kernel, step = _times(numbers["kernel"]), numbers["stride"][0]
    rule = "the deconvnet" if numbers["rule"] == "deconvnet" else "the gradient"
    return Panel(
        name="sheet",
        kind="grid",
        title=f"A first layer of {kernel} pixels, stride {step}",
        caption=f"Above, the {numbers['filters']} filters of {numbers['layer']}, from low to high frequency"
        f"{_dead(numbers)}; below, for {units} of {numbers['second_units']} units of {numbers['second']}, chosen "
        f"by chance, what {rule} projects back from the patch that excites each most, and that patch. Grey is zero, "
        f"and each tile has its own scale; of the energy of the first layer's answers {numbers['aliased']:.0%} is "
        f"aliased, of the second's {numbers['second_aliased']:.0%}.",
        alt=f"{numbers['filters']} first-layer filters of {kernel} pixels, {numbers['dead']} of them dead, above what "
        f"{units} second-layer units project back, beside their patches.",
        values=values[None, None],  # 1 1 3 H W
        scale="none",
        featured=True,
    )


def _frequencies(artifact: Artifact) -> Panel:
    import numpy as np

    numbers = artifact.numbers
    live = np.logical_not(artifact.arrays["dead"])
    shares = artifact.arrays["spectrum"][live].mean(axis=0)  # R
    edges = np.arange(RINGS + 1) / (2 * RINGS)
    split = f"{numbers['low']:.0%} low, {numbers['middle']:.0%} middle, {numbers['high']:.0%} high"
    return Panel(
        name="frequencies",
        kind="curves",
        title="Which frequencies the first filters carry",
        caption=f"The share of the first filters' energy in each of {RINGS} rings of spatial frequency, up to one wave "
        "in two pixels; the mean over filters that are not dead. Filters of pure noise, such as a net begins with, "
        f"carry more the higher the frequency; little in the middle, {LOW:g} to {HIGH:g} cycles per pixel, is what "
        "Zeiler and Fergus found in AlexNet.",
        alt=f"Curves of the first filters' energy over spatial frequency; those of the first net: {split} frequencies.",
        values=np.stack([shares, np.diff(np.pi * edges**2)]),
        x=(edges[1:] + edges[:-1]) / 2,
        scale="shared",
        unit="share of energy",
        columns=("cycles per pixel",),
        row_labels=("the filters", "pure noise"),
        joint=True,
    )


def _table(numbers: Any) -> Panel:
    import math

    noise = (math.pi * LOW**2, math.pi * (HIGH**2 - LOW**2), 1 - math.pi * HIGH**2)
    step = numbers["second_step"][0]
    rows = [
        ("filters of the first layer", f"{numbers['filters']} of {_times(numbers['kernel'])}"),
        ("stride", numbers["stride"][0]),
        ("dead filters, by their weights", numbers["dead"]),
        ("units that never fire", numbers["silent"]),
        (f"energy below {LOW:g} cycles per pixel (noise: {noise[0]:.0%})", f"{numbers['low']:.0%}"),
        (f"energy between (noise: {noise[1]:.0%})", f"{numbers['middle']:.0%}"),
        (f"energy over {HIGH:g} cycles per pixel (noise: {noise[2]:.0%})", f"{numbers['high']:.0%}"),
        ("aliased, first layer, noise, before rectification", f"{numbers['aliased_noise']:.1%}"),
        (f"aliased, first layer, {numbers['moved']} pictures", f"{numbers['aliased']:.1%}"),
        ("second layer", f"{numbers['second']}, {numbers['second_units']} units, one in {step} pixels"),
        ("units that never fire, second layer", numbers["second_silent"]),
        (f"aliased, second layer, {numbers['moved']} pictures", f"{numbers['second_aliased']:.1%}"),
    ]
    if numbers["top1"] is not None:
        rows.append((f"right answers (top-1) on {numbers['counted']:,} pictures", f"{numbers['top1']:.1%}"))
    return Panel(
        name="numbers",
        kind="table",
        title="The first layer in numbers",
        caption=f"What was measured on the first layer and on the second, over {numbers['set']}. Frequencies are in "
        "cycles per pixel; the aliased share is that of the answers' energy at frequencies that the layer's grid of "
        "places cannot carry, where small is better and a layer without stride has none.",
        alt=f"Table of the first layer's measures: {numbers['dead']} dead filters, {numbers['aliased']:.0%} of its "
        f"answers aliased, {numbers['second_aliased']:.0%} of the second's.",
        scale="none",
        columns=("Measured", "found"),
        rows=tuple(rows),
    )


def _dead(numbers: Any) -> str:
    if numbers["dead"] == 0:
        return ", none of them dead"
    return f", the last {numbers['dead']} dead" if numbers["dead"] > 1 else ", the last one dead"


def _times(sides: Sequence[int]) -> str:
    return " x ".join(str(side) for side in sides)


METHOD = Method(
    name="first_layers",
    title="The first two layers",
    caption="Whether the first layer's size and stride are well chosen: filters, features, frequencies and aliasing.",
    citation="zeiler2014",
    scope="dataset",
    version=1,
    params=Params,
    panels=panels,
    arrays={
        "filters": "C x 3 x k x k",
        "frequency": "C",
        "dead": "C",
        "spectrum": "C x R",
        "aliased": "C",
        "second_aliased": "U",
        "units": "S",
        "patches": "S x 3 x h x w",
        "projections": "S x 3 x h x w",
    },
    scan=Scan(chunk=chunk, finish=finish, layers=layers, merge=merge),
    needs=frozenset({"gradient"}),
)
