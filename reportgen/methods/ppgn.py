"""Several pictures that a unit takes for its own: samples drawn through a generator, not one best picture.

One sees how varied the pictures are that a net takes for a class: chains of samples change pose, colour and setting
where the unit does not care, and keep what it insists on. As with DGN, what looks natural is the generator's doing: it
inverts one layer of one net. Samples that hardly differ say that the generator, or the chain, knows few pictures of the
kind, not that the unit does.

A code $h$ walks by $h \\leftarrow h + \\gamma\\, d / \\mathrm{mean}|d|$, where $d$ is
$\\epsilon_1 (R(h) - h) + \\epsilon_2\\, \\partial \\log p(y | G(h)) / \\partial h + \\mathcal N(0, \\epsilon_3^2)$:
the prior, towards what a denoising autoencoder makes of the code; the condition, towards the class, of whose logarithm
the released sampler takes the part through the class's own logit, $(1 - p)$ times its slope; and noise (Nguyen and
others, 2017). Codes stay within the generator's bounds. For a hidden unit $p$ is its share in the softmax over all
units at the place where it is strongest. Without prior and noise it is DGN without decay. Each chain begins as DGN
does, but at the best of fewer centres, so that chains set out from groups of photos that differ.

Checked against the same steps written out in NumPy in double precision, and against DGN.
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
    from numpy.typing import NDArray

MOST_ROWS = 15  # units on a sheet
MOST_COLUMNS = 10  # samples beside each other
ALONG = 8  # pictures of one walk, from its first steps to its last


@dataclass(frozen=True)
class Params:
    """Which units are sampled, through which generator, and how."""

    layer: str = field(default="logits", metadata={"doc": "a stage, an alias or a module path; logits for classes"})
    units: Any = field(
        default="all",
        metadata={"doc": "all; 9 or {random: 9}: a seeded choice of nine; [3, 17]: those (of logits: classes)"},
    )
    generator: str = field(default=generators.DEFAULT, metadata={"doc": generators.DOC, "path": True})
    samples: int = field(default=20, metadata={"doc": "pictures of each unit, over all chains"})
    chains: int = field(default=10, metadata={"doc": "walks of each unit; each gives samples / chains pictures"})
    steps: int = field(default=40, metadata={"doc": "steps of a chain; samples are kept from its second half"})
    rate: float = field(default=0.15, metadata={"doc": "length of each step, in units of fc6's code"})
    tries: int = field(default=32, metadata={"doc": "codes drawn to start a chain from, of which the best is taken"})
    prior: float = field(
        default=3e-4,
        metadata={"doc": "epsilon 1: pull to what the autoencoder makes of a code (the paper's net: 1e-5)"},
    )
    condition: float = field(default=1.0, metadata={"doc": "epsilon 2: pull towards the unit"})
    noise: float = field(
        default=3e-3, metadata={"doc": "epsilon 3: standard deviation of the noise (the paper's net: 1e-17)"}
    )
    digest: str = field(
        init=False, default="", metadata={"doc": "not to be given: the SHA-256 of the generator's file"}
    )

    def __post_init__(self) -> None:
        """Bring the choice of units into its one form, and refuse what cannot be sampled."""
        object.__setattr__(self, "units", units.canonical(self.units))
        object.__setattr__(self, "digest", generators.file_digest(self.generator))
        if self.chains < 1 or self.samples < 1 or self.samples % self.chains:
            raise MethodError(
                f"samples: {self.samples} cannot be shared among {self.chains} chains; 20 samples of 5 chains can."
            )
        if self.steps < 2 * self.samples // self.chains:
            raise MethodError(
                f"steps: {self.steps} is too few for {self.samples // self.chains} samples from the second half of a "
                f"chain; at least {2 * self.samples // self.chains} are needed, and 40 do for most units."
            )
        if self.tries < 1:
            raise MethodError(f"tries: {self.tries} is too few; at least one code is needed to start from.")
        if not (self.rate > 0 and min(self.prior, self.condition, self.noise) >= 0):
            raise MethodError("rate should be over 0, and prior, condition and noise not below it.")


def run(net: Net, inputs: Sequence[Input], params: Params, rngs: Sequence[np.random.Generator]) -> list[Artifact]:
    """The samples of all units, walked together; no picture is needed, and one empty input gives one artifact."""
    return [_artifact(net, params, rng) for rng in rngs[: len(inputs)]]


def _artifact(net: Net, params: Params, rng: np.random.Generator) -> Artifact:
    import numpy as np

    from reportgen import ascent, sampler, seeing

    layer, generator = net.card.resolve(params.layer), generators.load_generator(params.generator)
    width = ascent.width(net, layer, net.card.preprocess.size)
    chosen = units.unseen(params.units, width, layer.name)
    base, each = int(rng.integers(2**63)), params.samples // params.chains
    repeated = [unit for unit in chosen for _ in range(params.chains)]
    rngs = [np.random.default_rng([base, unit, chain]) for unit in chosen for chain in range(params.chains)]
    how = sampler.Walk(
        params.steps, (params.rate, params.rate), likelihood=True,
        prior=params.prior, condition=params.condition, noise=params.noise, tries=params.tries,
    )  # fmt: skip
    kept = [params.steps - (params.steps // 2 // each) * back for back in range(each)][::-1]
    along = sorted({max(1, params.steps * part // ALONG) for part in range(1, ALONG + 1)})
    steps = sorted({*kept, *along})
    found = sampler.walk(net, layer, repeated, generator, how, rngs, steps)
    shape, samples = (len(chosen), params.samples), [steps.index(step) for step in kept]
    images = found.images[:, samples].reshape(*shape, *found.images.shape[2:])  # U S 3 H W
    asked = [unit for unit in chosen for _ in range(params.samples)]
    said = seeing.judged(net, layer, asked, images.reshape(-1, *images.shape[2:]))
    features = said.features.reshape(*shape, -1)  # U S D
    classes = layer.name == net.card.aliases.get("logits") and width == len(net.classes)
    sure = said.probability.reshape(shape)  # U S
    numbers = {
        "layer": layer.name,
        "stage": net.card.depth_name(layer.name),
        "units": chosen,
        "names": [net.classes[unit] for unit in chosen] if classes else [f"unit {unit}" for unit in chosen],
        "reached": [float(value) for value in said.activation.reshape(shape).mean(1)],
        "probability": [float(value) for value in sure.mean(1)] if classes else None,
        "first": [float(value) for value in said.first.reshape(shape).mean(1)],
        "distance": [_spread(own) for own in features],
        "generator": {"inverts": generator.inverts, "source": generator.source, "digest": generator.digest},
        "samples": params.samples,
        "chains": params.chains,
        "kept": kept,
        "along": along,
    }
    arrays = {
        "units": np.array(chosen),
        "images": images,
        "walk": found.images[:: params.chains, [steps.index(step) for step in along]],  # U L 3 H W
        "codes": found.codes[:, samples].reshape(*shape, -1),  # U S D
        "activation": said.activation.reshape(shape),
    }
    return Artifact(arrays, numbers)


def _spread(features: NDArray[np.float32]) -> float:
    """The mean distance of all pairs of samples, S x D; zero where there is one alone."""
    import numpy as np

    pairs = [np.linalg.norm(features[i] - features[j]) for i in range(len(features)) for j in range(i)]
    return float(np.mean(pairs)) if pairs else 0.0


def panels(artifact: Artifact) -> list[Panel]:
    """Samples of all chains, one chain step by step, and the numbers."""
    numbers, (count, chains) = artifact.numbers, (artifact.numbers["samples"], artifact.numbers["chains"])
    each = count // chains
    across = [chain * each + each - 1 - turn for turn in range(each) for chain in range(chains)][:MOST_COLUMNS]
    steps = tuple(str(step) for step in numbers["along"])
    featured = _sheet(
        artifact, "samples", artifact.arrays["images"][:, across], "Samples through a generator", (),
        f"Pictures that the net takes for {_kind(numbers)}: one row each, {len(across)} of {count} samples "
        f"from {chains} walks over a generator's codes. The generator inverts {numbers['generator']['inverts']}: "
        "whatever net is looked at, it paints what it learned there. What stays the same along a row is what the unit "
        "insists on; what changes leaves it cold, or is not known to the generator.",
    )  # fmt: skip
    strip = _sheet(
        artifact, "chain", artifact.arrays["walk"], "Along one walk", steps,
        f"The first walk of each row at steps {', '.join(steps)}. Neighbours are alike because a walk has a memory; "
        "far ones show how much it has moved on.",
    )  # fmt: skip
    return [featured, strip, _table(artifact)]


def _sheet(
    artifact: Artifact, name: str, images: NDArray[np.float32], title: str, heads: tuple[str, ...], caption: str
) -> Panel:
    numbers, images = artifact.numbers, images[:MOST_ROWS]  # rows columns 3 H W
    labels = tuple(wording.short(name) for name in numbers["names"][: len(images)])
    sure = numbers["probability"]
    said = f"mean probability {sure[0]:.2f}" if sure else f"mean activation {numbers['reached'][0]:.3g}"
    return Panel(
        name=name,
        kind="grid",
        title=f"{title}: {numbers['stage']}",
        caption=caption,
        alt=f"Sheet of {len(images)} rows of {images.shape[1]} generated pictures for {_kind(numbers)}; the first row, "
        f"{labels[0]}, has a {said}.",
        values=images,
        scale="none",
        row_labels=labels,
        columns=heads,
        featured=name == "samples",
    )


def _table(artifact: Artifact) -> Panel:
    numbers, sure, rows = artifact.numbers, artifact.numbers["probability"], []
    for i, name in enumerate(numbers["names"]):
        row = (name, f"{numbers['reached'][i]:.3g}", *((f"{sure[i]:.3f}",) if sure else ()))
        rows.append((*row, f"{100 * numbers['first'][i]:.0f} %", f"{numbers['distance'][i]:.3g}"))
    return Panel(
        name="numbers",
        kind="table",
        title="How sure the net is, and how varied the samples are",
        caption=f"Means over {numbers['samples']} samples of each unit of {numbers['layer']}, seen through the net's "
        "own preprocessing, and the share of samples to which no other unit answers more. The distance is that of "
        "pairs of samples in the net's penultimate features: zero would mean that all are one picture to it.",
        alt=f"Table of {len(rows)} units of {numbers['layer']} with the mean activation and distance of their samples; "
        f"the first, {wording.short(numbers['names'][0])}, reaches {numbers['reached'][0]:.3g}.",
        rows=tuple(rows),
        columns=("unit", "mean activation", *(("mean probability",) if sure else ()), "first of all", "mean distance"),
    )


def _kind(numbers: Any) -> str:
    kind = "classes" if numbers["probability"] else f"units of {numbers['stage']}"
    return f"{len(numbers['units'])} {kind} ({numbers['layer']})"


METHOD = Method(
    name="ppgn",
    title="Samples through a generator",
    caption="Several pictures that a net takes for a class, drawn through a generator.",
    citation="nguyen2017",
    scope="net",
    version=1,
    params=Params,
    run=run,
    panels=panels,
    arrays={
        "units": "U",
        "images": "U x S x 3 x H x W",
        "walk": "U x T x 3 x H x W",
        "codes": "U x S x D",
        "activation": "U x S",
    },
    needs=frozenset({"gradient", "generator"}),
    tiny={"layer": "logits", "units": [1, 4], "steps": 4, "samples": 4, "chains": 2, "generator": "random"},
)
