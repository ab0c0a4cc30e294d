"""What a unit looks for among pictures that a generator can paint: as far as a code's picture drives it.

One sees objects and scenes with the colours and shapes of photos, where gradient ascent on pixels shows textures. What
looks natural is the generator's doing, though: it inverts one layer of one net, and paints only what it learned from
that net's photos; a unit of another net is looked at through the same glasses. Compare units through one generator, not
nets through several. The picture shows one way to drive the unit; no photo is used while climbing.

A code $h$ is moved so that the unit's activation $\\phi$ at the picture $G(h)$ grows:
$h \\leftarrow h + \\gamma\\, g / \\mathrm{mean}|g|$ with $g = \\partial \\phi(G(h)) / \\partial h$, a rate
$\\gamma$ that falls to zero in a straight line, every feature of the code kept between zero and its mean plus three
standard deviations, and the code shrunk a little after each step. A unit of a map is climbed at its strongest places,
ever fewer of them, so that the picture fills with what it answers to. The last picture is shown, not the strongest
(Nguyen and others, 2016, whose rates are told in units of fc6; here a unit of code is a twelfth of the mean bound).
Where a generator's file tells the centres of groups of photos with like codes, as ours does, $h$ begins near one, else
as noise as in the paper. Each of a unit's `chains` begins at the best of its share of the `tries`; the chain that gets
furthest is shown. A picture's layout may still be its group's.

Checked against the same steps written out in NumPy in double precision on a linear generator and a small net.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reportgen import generators, units, wording
from reportgen.errors import MethodError
from reportgen.records import Artifact, Input, Method, Net, Panel

if TYPE_CHECKING:
    import numpy as np

STEPS, RATES = (50, 80), (0.01, 0.05)  # of classes, which all reach high soon, and of hidden units
CHAINS = (1, 4)  # of the same; a hidden unit's climb may end on a low hill
MOST_TILES = 25  # on the sheet
MOST_LINES = 6  # more curves cannot be told apart


@dataclass(frozen=True)
class Params:
    """Which units are climbed, through which generator, and how."""

    layer: str = field(default="logits", metadata={"doc": "a stage, an alias or a module path; logits for classes"})
    units: Any = field(
        default="all",
        metadata={"doc": "all; 9 or {random: 9}: a seeded choice of nine; [3, 17]: those (of logits: classes)"},
    )
    generator: str = field(default=generators.DEFAULT, metadata={"doc": generators.DOC, "path": True})
    steps: int | None = field(
        default=None,
        metadata={"doc": "steps up the gradient; default: 50 for classes, 80 for hidden units (the paper: 200)"},
    )
    rate: float | None = field(
        default=None,
        metadata={
            "doc": "length of the first step, in units of fc6's code; default: 0.01 for classes, so that pictures stay "
            "near those of photos' codes, 0.05 for hidden units (the paper, from noise: 2 or 8)"
        },
    )
    decay: float = field(
        default=0.999, metadata={"doc": "what the code is multiplied with after each step (the paper: 0.99)"}
    )
    tries: int = field(
        default=128, metadata={"doc": "codes drawn to start from, of which the best is climbed; the paper draws one"}
    )
    chains: int | None = field(
        default=None,
        metadata={
            "doc": "climbs of each unit, each from the best of its share of the tries, of which the furthest is shown; "
            "default: 1 for classes, 4 for hidden units (the paper: 1)"
        },
    )
    digest: str = field(
        init=False, default="", metadata={"doc": "not to be given: the SHA-256 of the generator's file"}
    )

    def __post_init__(self) -> None:
        """Bring the choice of units into its one form, and refuse what cannot be climbed."""
        object.__setattr__(self, "units", units.canonical(self.units))
        object.__setattr__(self, "digest", generators.file_digest(self.generator))
        if self.tries < 1:
            raise MethodError(f"tries: {self.tries} is too few; at least one code is needed to start from.")
        if self.chains is not None and not 1 <= self.chains <= self.tries:
            raise MethodError(f"chains: {self.chains} is out of range; right would be 1 to the {self.tries} tries.")
        if self.steps is not None and self.steps < 1:
            raise MethodError(f"steps: {self.steps} is too few; at least 1 is needed, and 80 do for most units.")
        if not ((self.rate is None or self.rate > 0) and 0 < self.decay <= 1):
            raise MethodError(
                f"rate and decay: {self.rate} and {self.decay} do not fit; a rate is over 0, a decay 0..1."
            )


def run(net: Net, inputs: Sequence[Input], params: Params, rngs: Sequence[np.random.Generator]) -> list[Artifact]:
    """The pictures of all units, climbed together; no picture is needed, and one empty input gives one artifact."""
    return [_artifact(net, params, rng) for rng in rngs[: len(inputs)]]


def _artifact(net: Net, params: Params, rng: np.random.Generator) -> Artifact:
    import numpy as np

    from reportgen import ascent, sampler, seeing

    layer, generator = net.card.resolve(params.layer), generators.load_generator(params.generator)
    width = ascent.width(net, layer, net.card.preprocess.size)
    chosen = units.unseen(params.units, width, layer.name)
    base = int(rng.integers(2**63))
    classes = layer.name == net.card.aliases.get("logits") and width == len(net.classes)
    steps, rate = params.steps or STEPS[not classes], params.rate or RATES[not classes]
    chains = params.chains or min(CHAINS[not classes], params.tries)
    how = sampler.Walk(steps, (rate, 1e-10), decay=params.decay, tries=params.tries // chains)
    # A unit's picture does not depend on its company.
    rngs = [np.random.default_rng([base, unit, chain]) for unit in chosen for chain in range(chains)]
    climbed = sampler.walk(net, layer, [unit for unit in chosen for _ in range(chains)], generator, how, rngs)
    best = climbed.activation[:, -1].reshape(-1, chains).argmax(1) + chains * np.arange(len(chosen))  # U
    found = climbed.only(best)
    images = found.images[:, 0]  # U 3 H W
    said = seeing.judged(net, layer, chosen, images)
    numbers = {
        "layer": layer.name,
        "stage": net.card.depth_name(layer.name),
        "width": width,
        "units": chosen,
        "names": [net.classes[unit] for unit in chosen] if classes else [f"unit {unit}" for unit in chosen],
        "reached": [float(value) for value in said.activation],
        "start": [float(value) for value in found.start],
        "probability": [float(value) for value in said.probability] if classes else None,
        "generator": {"inverts": generator.inverts, "source": generator.source, "digest": generator.digest},
        "steps": steps,
        "rate": rate,
    }
    arrays = {"units": np.array(chosen), "images": images, "codes": found.codes[:, 0], "activation": found.activation}
    return Artifact(arrays | {"reached": said.activation}, numbers)


def panels(artifact: Artifact) -> list[Panel]:
    """The pictures on a sheet, the numbers that belong to them, and the way up."""
    return [_pictures(artifact), _table(artifact), _curves(artifact)]


def _pictures(artifact: Artifact) -> Panel:
    import numpy as np

    images, numbers = artifact.arrays["images"][:MOST_TILES], artifact.numbers
    columns = int(np.ceil(np.sqrt(len(images))))
    rows = -(-len(images) // columns)
    sheet = np.full((rows * columns, *images.shape[1:]), np.nan, dtype=images.dtype)
    sheet[: len(images)] = images
    sure = numbers["probability"]
    told = [f"{value:.2f}" for value in sure] if sure else [f"{value:.3g}" for value in numbers["reached"]]
    names = [wording.short(name).removeprefix("unit ") for name in numbers["names"][: len(images)]]
    labels = [f"{name}: {value}" for name, value in zip(names, told, strict=False)]
    kind = f"classes ({numbers['layer']})" if sure else f"units of {numbers['stage']} ({numbers['layer']})"
    beside = "probability the net gives the class" if sure else "activation reached"
    return Panel(
        name="pictures",
        kind="grid",
        title=f"Through a generator: {numbers['stage']}",
        caption=f"Pictures that a generator paints, each from the code that drives one of {len(images)} {kind} far. "
        f"The generator inverts {numbers['generator']['inverts']}: whatever net is looked at, it paints what it "
        f"learned there, and shapes are the unit's choice among those. Beside each row stands the {beside} when "
        "the finished picture is seen like a photo.",
        alt=f"{len(images)} generated pictures for {kind}; the first, {wording.short(numbers['names'][0])}, reaches "
        + (f"a probability of {sure[0]:.2f}." if sure else f"an activation of {numbers['reached'][0]:.3g}."),
        values=sheet.reshape(rows, columns, *images.shape[1:]),  # rows columns 3 H W
        scale="none",
        row_labels=tuple("\n".join(labels[i : i + columns]) for i in range(0, len(labels), columns)),
        featured=True,
    )


def _table(artifact: Artifact) -> Panel:
    numbers, sure = artifact.numbers, artifact.numbers["probability"]
    photos = artifact.beside.get("strongest")
    rows: list[tuple[str, ...]] = []
    for i, (name, unit) in enumerate(zip(numbers["names"], numbers["units"], strict=True)):
        best = f"{float(photos.arrays['activations'][unit]):.3g}" if photos else None
        row = (name, f"{numbers['reached'][i]:.3g}", f"{numbers['start'][i]:.3g}")
        rows.append(row + ((f"{sure[i]:.3f}",) if sure else ()) + ((best,) if best else ()))
    return Panel(
        name="numbers",
        kind="table",
        title=f"How far units of {numbers['stage']} were driven through the generator",
        caption=f"The strongest activation of each unit of {numbers['layer']} on its finished picture, seen through "
        "the net's own preprocessing, and on the picture of the first code. "
        + ("Where it stands, the last column is the strongest of the report's own pictures." if photos else
           "A probability close to one says that the net takes the picture for the class."),
        alt=f"Table of {len(rows)} units of {numbers['layer']} with the activation reached through the generator; the "
        f"first, {wording.short(numbers['names'][0])}, reaches {numbers['reached'][0]:.3g}.",
        rows=tuple(rows),
        columns=("unit", "activation reached", "at the start")
        + (("probability",) if sure else ()) + (("strongest picture of the report",) if photos else ()),
    )  # fmt: skip


def _curves(artifact: Artifact) -> Panel:
    numbers, lines = artifact.numbers, artifact.arrays["activation"][:MOST_LINES]
    return Panel(
        name="climb",
        kind="curves",
        title="The way up",
        caption=f"The strongest activation of {len(lines)} units of {numbers['layer']} after each step of the code. "
        "Steps shrink to nothing, so that lines level off; the last point is the finished picture.",
        alt=f"Curves of the activation of {len(lines)} units of {numbers['layer']} over {numbers['steps']} steps of "
        f"the code; {wording.short(numbers['names'][0])} ends at {float(lines[0, -1]):.3g}.",
        values=lines,
        unit="activation",
        row_labels=tuple(wording.short(name) for name in numbers["names"][: len(lines)]),
        columns=("step",),
    )


METHOD = Method(
    name="dgn",
    title="Pictures through a generator",
    caption="The picture a generator paints for the code that drives a unit far.",
    citation="nguyen2016",
    scope="net",
    version=2,
    params=Params,
    run=run,
    panels=panels,
    arrays={"units": "U", "images": "U x 3 x H x W", "codes": "U x D", "activation": "U x steps", "reached": "U"},
    needs=frozenset({"gradient", "generator"}),
    beside=("strongest",),
    tiny={"layer": "logits", "units": [1, 4], "steps": 3, "generator": "random"},
)
