"""What the first layer looks for: its filters as little pictures.

One sees oriented edges, colour blobs and, in an ill-trained net, noise or filters that never came alive. Filters of
the first layer act on the pixels themselves, so their weights are the pattern they answer to most; those of later
layers act on other channels and cannot be read so. Filters of 3 x 3 pixels are too small to show more than a slope.

Where batch norm follows the convolution, a filter's real strength is
$w \\cdot \\gamma / \\sqrt{\\sigma^2 + \\epsilon}$; that is what is drawn and measured. Dead filters are those whose
root mean square is below 5 % of the median. Frequency and orientation are those of the peak of the Fourier spectrum of
the filter's luminance, in cycles per pixel, which can be compared between kernel sizes (after Zeiler and Fergus, 2014,
section 4.1, who found dead filters and a lack of middle frequencies in AlexNet's first layer). Colour is the share of a
filter's energy that is not grey. Checked with gratings of known frequency and orientation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reportgen.first_layer import first_layer, measure
from reportgen.records import Artifact, Input, Method, Net, Panel

if TYPE_CHECKING:
    import numpy as np

COLUMNS = 8


@dataclass(frozen=True)
class Params:
    """Nothing to choose."""


def run(net: Net, inputs: Sequence[Input], params: Params, rngs: Sequence[np.random.Generator]) -> list[Artifact]:
    """The first convolution's weights, as they are and with batch norm folded in, and what can be measured on them."""
    import numpy as np

    from reportgen import project

    first = first_layer(net)
    arrays = {"weights": project.to_numpy(first.weights), "folded": project.to_numpy(first.folded)}
    arrays |= measure(arrays["folded"])
    live = np.logical_not(arrays["dead"])
    numbers = {
        "layer": first.name,
        "kernel": list(first.weights.shape[-2:]),
        "stride": list(first.stride),
        "filters": len(first.weights),
        "batch_norm": first.norm,
        "dead_share": float(arrays["dead"].mean()),
        "rms": float(np.median(arrays["rms"])),
        "rms_spread": float(arrays["rms"].std() / max(float(arrays["rms"].mean()), 1e-30)),
        "frequency": float(np.median(arrays["frequency"][live])) if live.any() else None,
        "orientation": [int(n) for n in np.histogram((arrays["orientation"][live] + 22.5) % 180, 4, (0, 180))[0]],
        "colour": float(np.median(arrays["colour"][live])) if live.any() else None,
    }
    return [Artifact(arrays, numbers)] * max(1, len(inputs))


def panels(artifact: Artifact) -> list[Panel]:
    """All filters on one sheet, each by its own largest weight around grey."""
    import numpy as np

    filters, numbers = artifact.arrays["folded"], artifact.numbers
    tiles = np.full((-(-len(filters) // COLUMNS) * COLUMNS, *filters.shape[1:]), np.nan, dtype=filters.dtype)
    tiles[: len(filters)] = filters
    kernel = " x ".join(str(side) for side in numbers["kernel"])
    folded = ", with batch norm folded in" if numbers["batch_norm"] else ""
    middle = numbers["frequency"]
    frequency = "" if middle is None else f", median frequency {middle:.2f} cycles per pixel"
    return [
        Panel(
            name="filters",
            kind="grid",
            title="First-layer filters",
            caption=f"The {numbers['filters']} filters of {numbers['layer']}, {kernel} pixels, stride "
            f"{numbers['stride'][0]}{folded}; {numbers['dead_share']:.0%} are dead{frequency}. Grey is zero and each "
            "filter has its own scale, so patterns can be compared, strengths not.",
            alt=f"Sheet of {numbers['filters']} filters of {kernel} pixels in colour; {numbers['dead_share']:.0%} of "
            f"them are dead{frequency}.",
            values=tiles.reshape(-1, COLUMNS, *filters.shape[1:]),  # rows columns 3 k k
            scale="tile",
            signed=True,
            unit="weight",
            featured=True,
        )
    ]


METHOD = Method(
    name="filters",
    title="First-layer filters",
    caption="What the first layer looks for, as little pictures.",
    citation="zeiler2014",
    scope="net",
    version=1,
    params=Params,
    run=run,
    panels=panels,
    arrays={"weights": "C x 3 x k x k", "folded": "C x 3 x k x k"}
    | dict.fromkeys(("rms", "dead", "frequency", "orientation", "colour"), "C"),
)
