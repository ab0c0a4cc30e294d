"""How the net is built: its depth, size and cost, how its receptive field grows, and what error it was published with.

One sees what the nets have in common and where they differ before any picture is looked at. FLOPs count a multiply and
an add as two. The receptive field is the theoretical one: the square of pixels that can change a unit at all; what does
change it noticeably is smaller and lies in the middle. Published error rates are those of the cited paper with the
paper's own weights and testing, on 1,000 classes; our own top-1 is measured on our own data, so the two cannot be
compared with each other. The human's 5.1 % is one trained annotator's top-5 error on 1,500 test pictures of ImageNet
(Russakovsky et al., 2015, section 6.4).

Everything comes from the net's card. Receptive fields were checked against the support of the gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reportgen.records import Artifact, Card, Input, Layer, Method, Net, Panel

if TYPE_CHECKING:
    import numpy as np

HUMAN_TOP5 = 5.1  # per cent
HUMAN_SOURCE = "Russakovsky et al. 2015"
COLUMNS = ("C", "H", "W", "stride", "field", "parameters", "flops")


@dataclass(frozen=True)
class Params:
    """Nothing to choose."""


def run(net: Net, inputs: Sequence[Input], params: Params, rngs: Sequence[np.random.Generator]) -> list[Artifact]:
    """The table of convolutions, pools and dense layers, and the card's facts and numbers."""
    import numpy as np

    card = net.card
    shown = [layer for layer in card.layers if is_step(layer)]
    table = np.array([_row(layer, card.preprocess.size) for layer in shown], dtype=np.float64)  # L 7
    artifact = Artifact({"layers": table.reshape(-1, len(COLUMNS))}, _numbers(card, [layer.name for layer in shown]))
    return [artifact] * max(1, len(inputs))


def is_step(layer: Layer) -> bool:
    """Whether the layer is a convolution, a pool or a dense layer itself, not a block of them."""
    return layer.kind.startswith(("Conv", "MaxPool", "AvgPool", "AdaptiveAvgPool", "Linear"))


def _row(layer: Layer, size: int) -> list[float]:
    """One line of the table; where a layer has no positions, one step and one field are the whole picture."""
    channels, height, width = (*layer.shape, 1, 1)[:3]
    stride = layer.stride[0] if layer.stride else size
    seen = layer.field[0] if layer.field else size
    return [channels, height, width, stride, seen, layer.parameters, layer.flops]


def _numbers(card: Card, names: list[str]) -> dict[str, Any]:
    facts = card.facts
    by_name = {layer.name: layer for layer in card.layers}
    stages = []
    for stage, name in card.stages.items():
        layer = by_name[name]
        shape, field, stride = (list(part) if part else None for part in (layer.shape, layer.field, layer.stride))
        stages.append({"stage": stage, "layer": name, "shape": shape, "field": field, "stride": stride})
    return {
        "title": facts.title or card.arch,
        "family": facts.family,
        "year": facts.year,
        "citation": facts.citation,
        "depth": card.depth,
        "parameters": card.parameters,
        "flops": card.flops,
        "input_size": card.preprocess.size,
        "classes": len(card.classes),
        "top5_error": facts.top5_error,
        "top5_source": facts.source,
        "human_top5_error": HUMAN_TOP5,
        "human_source": HUMAN_SOURCE,
        "top1": card.numbers.get("top1"),
        "weights": card.weights_source,
        "columns": list(COLUMNS),
        "names": names,
        "stages": stages,
    }


def panels(artifact: Artifact) -> list[Panel]:
    """The facts as a table, and the receptive field along the layers as a curve."""
    return [_facts(artifact.numbers), _field(artifact.arrays["layers"], artifact.numbers)]


def _facts(numbers: Any) -> Panel:
    title, error = numbers["title"], numbers["top5_error"]
    rows = (
        ("Year", numbers["year"] or "unknown"),
        ("Paper", f"[@{numbers['citation']}]" if numbers["citation"] else "none"),
        ("Layers with weights", numbers["depth"]),
        ("Parameters", _count(numbers["parameters"])),
        ("FLOPs per picture", _count(numbers["flops"])),
        ("Input", f"{numbers['input_size']} x {numbers['input_size']} pixels"),
        ("Classes", numbers["classes"]),
        ("Top-5 error, published", f"{error:.1f} % ({numbers['top5_source']})" if error is not None else "none"),
        ("Top-5 error of a human", f"{numbers['human_top5_error']:.1f} % ({numbers['human_source']})"),
        ("Top-1 accuracy, measured by us", "not measured" if numbers["top1"] is None else _percent(numbers["top1"])),
    )
    return Panel(
        name="facts",
        kind="table",
        title=f"{title} in numbers",
        caption=f"What {title} is made of and what it costs. Published errors are on ImageNet's 1,000 classes, our own "
        f"accuracy is on the {numbers['classes']} classes of the net at hand, so they cannot be compared.",
        alt=f"Table: {title} has {numbers['depth']} layers with weights, {_count(numbers['parameters'])} parameters "
        f"and takes {_count(numbers['flops'])} FLOPs per picture.",
        scale="none",
        columns=("", title),
        rows=rows,
        featured=True,
    )


def _field(layers: np.ndarray, numbers: Any) -> Panel:
    """The field along the layers that still have positions; those that see everything end the curve."""
    import numpy as np

    fields = layers[layers[:, 1] > 1, COLUMNS.index("field")]
    fields = np.maximum.accumulate(fields) if len(fields) else np.array([float(numbers["input_size"])])
    steps = np.arange(1, len(fields) + 1)
    size = numbers["input_size"]
    beyond = steps[fields >= size]
    reach = f"covers the whole input from layer {beyond[0]} on" if len(beyond) else f"ends at {fields[-1]:.0f} pixels"
    return Panel(
        name="field",
        kind="curves",
        title="Receptive field by depth",
        caption=f"The side of the square of pixels that one unit can see, by layer; it {reach} (input {size}). "
        "Convolutions and pools are counted in the order in which they are computed; in a branching net the widest "
        "field so far is drawn.",
        alt=f"Curve of the receptive field in pixels over {len(steps)} convolutions and pools of {numbers['title']}; "
        f"it {reach}.",
        values=fields[None],  # 1 L
        x=steps.astype(np.float64),
        scale="shared",
        unit="pixels",
        row_labels=(numbers["title"],),
    )


def _count(number: int) -> str:
    """A large number in words: "61.10 million"."""
    for size, word in ((1e9, "billion"), (1e6, "million")):
        if number >= size / 10:
            return f"{number / size:.2f} {word}"
    return f"{number:,}"


def _percent(share: float) -> str:
    return f"{share * 100 if share <= 1 else share:.1f} %"


METHOD = Method(
    name="architecture",
    title="Architecture",
    caption="How the net is built, what it costs, and what error it was published with.",
    citation="russakovsky2015",
    scope="net",
    version=1,
    params=Params,
    run=run,
    panels=panels,
    arrays={"layers": "L x 7"},
)
