"""How the answer changes when the picture is damaged: grey, blurred, colours exchanged, salt and pepper.

One sees the picture as the net got it, what it takes it for then, and where the evidence for the class lies: its class
map at the last convolution, as in Grad-CAM. A class that hangs on colour falls with the colours, one that hangs on fine
texture with the blur. What one picture cannot tell is how robust the net is: that is its accuracy over a data set. And
kernels and sigmas are counted in pixels, so equal damage is milder for a net of larger input.

Grey is the luma of Rec. 601 (0.299 R + 0.587 G + 0.114 B) in all channels. Blur is a normalised k x k Gaussian of the
stated sigma, mirrored at the border; the curve takes kernels of three sigmas to each side. BGR and BRG name what the
net finds in its red, green and blue. Salt and pepper makes each pixel, with probability lambda, black or white in all
channels, half each; a larger lambda damages the same pixels and more, and nets of one input size see the same noise.
It is done at `resolution`, by default to what the net sees; at another one the untouched picture takes the same way.
The class map is $\\sum_k \\alpha_k A_k$ with $\\alpha_k$ the spatial mean of $\\partial S_c / \\partial A_k$, signed
and raw; a net without a convolution on a grid has none, and `maps` is then empty (P x 0 x 0).

These are among the simplest corruptions of Hendrycks and Dietterich (2019). Checked against loops over pixels and
kernels, the binomial bounds of the noise, and the net and its gradient called by hand on the damaged picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reportgen import corrupt, patterns, transform
from reportgen.corrupt import Corruption
from reportgen.errors import MethodError
from reportgen.records import Artifact, Input, Method, Net, Panel, Picture
from reportgen.targets import resolve_target

if TYPE_CHECKING:
    import numpy as np

DEFAULT = ("grey", "blur:3:0.8", "blur:5:1.1", "bgr", "brg", "salt_pepper:0.0005", "salt_pepper:0.005")
LAMBDAS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
SIGMAS = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6)


@dataclass(frozen=True)
class Params:
    """Which class is followed, what is done to the picture and at which size."""

    target: str | int = field(
        default="predicted", metadata={"doc": "predicted, label (the picture's own), or the name or index of a class"}
    )
    corruptions: Any = field(default=DEFAULT, metadata={"doc": f"a list of: {corrupt.DOC}"})
    resolution: str | int = field(default="input", metadata={"doc": corrupt.RESOLUTION_DOC})
    lambdas: tuple[float, ...] = field(
        default=LAMBDAS, metadata={"doc": "of salt and pepper, for its curve: above 0, at most 1; []: no curve"}
    )
    sigmas: tuple[float, ...] = field(
        default=SIGMAS, metadata={"doc": "of the blur in pixels, for its curve: above 0, at most 16; []: no curve"}
    )

    def __post_init__(self) -> None:
        """Bring the choices into their one form, refuse what is none."""
        corrupt.check_resolution(self.resolution)
        for name, most in (("lambdas", 1.0), ("sigmas", 16.0)):
            values = tuple(sorted({float(value) for value in getattr(self, name)}))
            if wrong := [value for value in values if not 0 < value <= most]:
                raise MethodError(f"{name}: {wrong[0]:g} is out of range; each should be above 0 and at most {most:g}.")
            object.__setattr__(self, name, values)
        object.__setattr__(self, "corruptions", corrupt.canonical(self.corruptions))

    @property
    def severities(self) -> list[Corruption]:
        """What the curves go through: first all lambdas, then all sigmas."""
        blurs = [Corruption("blur", kernel=corrupt.blur_kernel(sigma), sigma=sigma) for sigma in self.sigmas]
        return [Corruption("salt_pepper", share=share) for share in self.lambdas] + blurs


def run(net: Net, inputs: Sequence[Input], params: Params, rngs: Sequence[np.random.Generator]) -> list[Artifact]:
    """Every picture under every corruption, in passes over several; those that are shown go backward for their map."""
    import numpy as np

    targets = [resolve_target(params.target, one.used["prediction"], net.classes, one.labels) for one in inputs]
    shown: list[Corruption | None] = [None, *(corrupt.parse(name) for name in params.corruptions)]
    artifacts, count = [], len(params.lambdas)
    for one, target, rng in zip(inputs, targets, rngs, strict=True):
        if one.picture is None:
            raise MethodError("corruption looks at pictures, and was given none.")
        wanted, at, seed = net.card.preprocess, params.resolution, int(rng.integers(2**63))
        pictures = list(corrupt.views(one.picture, wanted, shown, at, seed))
        probabilities, maps = _answers(net, pictures, target, with_maps=True)
        curves, _ = _answers(net, list(corrupt.views(one.picture, wanted, params.severities, at, seed)), target)
        arrays = {
            "probabilities": probabilities,
            "maps": maps,
            "pictures": np.stack(pictures).transpose(0, 3, 1, 2),  # P 3 S S
            "lambda": np.array(params.lambdas),
            "lambda_probability": curves[:count, target],
            "sigma": np.array(params.sigmas),
            "sigma_probability": curves[count:, target],
        }
        numbers = _numbers(probabilities, target, net.classes) | {
            "net": net.card.facts.title or net.card.arch,
            "names": ["untouched", *params.corruptions],
            "words": [corruption.words if corruption else "untouched" for corruption in shown],
            "short": [corruption.short if corruption else "untouched" for corruption in shown],
            "places": net.card.resolve("last_conv").places(wanted.size) if maps.size else None,
            "resolution": corrupt.resolution_words(at, wanted, one.picture),
        }
        artifacts.append(Artifact(arrays, numbers))
    return artifacts


def _answers(
    net: Net, pictures: Sequence[Picture], target: int, with_maps: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """The probabilities, P x K, and the target's class maps, P x h x w: P x 0 x 0 where there are none."""
    import numpy as np

    from reportgen import project

    layer = net.card.aliases.get("last_conv", "")
    with_maps = with_maps and bool(layer) and len(net.card.resolve(layer).shape) == 3
    found = [np.zeros((0, len(net.classes)), dtype=np.float32)]
    maps = [] if with_maps and pictures else [np.zeros((len(pictures), 0, 0), dtype=np.float32)]
    for at in range(0, len(pictures), project.CHUNK):
        x = transform.as_input(net, pictures[at : at + project.CHUNK])  # B 3 S S
        if with_maps:
            value, gradient, logits = project.layer_gradient(net, x, [target] * len(x), layer)  # B C h w, same, B K
            alpha = project.exact(gradient).mean((2, 3), keepdim=True)  # B C 1 1
            maps.append(project.to_numpy((alpha * project.exact(value)).sum(1)))  # B h w
        else:
            logits = project.forward(net, x)["logits"]  # B K
        if not bool(logits.isfinite().all()):
            raise MethodError(f"The net gives NaN or infinity ({net.card.arch}): its weights or values overflow.")
        found.append(project.to_numpy(project.exact(logits).softmax(1)))
    return np.concatenate(found), np.concatenate(maps)


def _numbers(probabilities: np.ndarray, target: int, classes: Sequence[str]) -> dict[str, Any]:
    """What the net says to the untouched picture and under each corruption."""
    import numpy as np

    order = [[int(k) for k in np.argsort(-own, kind="stable")[:5]] for own in probabilities]
    said = [float(own[target]) for own in probabilities]
    return {
        "target": target,
        "target_name": classes[target],
        "probability": said,
        "untouched": said[0],
        "lowest": min(said),
        "change": [value - said[0] for value in said],
        "flips": [row[0] != order[0][0] for row in order],  # another class than for the untouched picture
        "flipped": sum(row[0] != order[0][0] for row in order),
        "top5": [
            [{"index": k, "name": classes[k], "probability": float(own[k])} for k in row]
            for row, own in zip(order, probabilities, strict=True)
        ],
    }


def panels(artifact: Artifact) -> list[Panel]:
    """The target's probability as bars, the pictures with their class maps, the answers, and the two curves."""
    import numpy as np

    arrays, numbers = artifact.arrays, artifact.numbers
    found = [_bars(numbers), _pictures(arrays["pictures"], arrays["maps"], numbers), _table(numbers)]
    if len(arrays["lambda"]):
        label = f"log10 of lambda, at {numbers['resolution']} (−3: one pixel in a thousand is black or white)"
        found.append(_curve("noise", label, np.log10(arrays["lambda"]), arrays["lambda_probability"], numbers))
    if len(arrays["sigma"]):
        x, y = np.append(0.0, arrays["sigma"]), np.append(numbers["untouched"], arrays["sigma_probability"])
        found.append(_curve("blur", f"sigma of the blur in pixels, at {numbers['resolution']}", x, y, numbers))
    return found


def _finding(numbers: Any) -> str:
    """Which corruption costs the target most, as a clause."""
    if numbers["untouched"] - numbers["lowest"] < 0.01:
        return f"none of them takes as much as a hundredth from the {numbers['untouched']:.0%} of the untouched picture"
    worst = numbers["words"][numbers["probability"].index(numbers["lowest"])]
    return f"{worst} costs it most, {numbers['untouched']:.0%} fall to {numbers['lowest']:.0%}"


def _bars(numbers: Any) -> Panel:
    import numpy as np

    name, count = numbers["target_name"], len(numbers["words"]) - 1
    return Panel(
        name="confidence",
        kind="bars",
        title=f"{name} in damaged pictures",
        caption=f"The probability of {name} for the untouched picture and {count} damaged ones, largest first; the "
        f"damage is done at {numbers['resolution']}, where the untouched picture passes too (σ in pixels; λ: share of "
        "pixels made black or white). All bars "
        "run from 0 to 1, so they can be compared between nets; the most probable class becomes another one in "
        f"{numbers['flipped']} of {count}.",
        alt=f"Bars: the probability of {name} under {count} corruptions; {_finding(numbers)}.",
        values=np.array(numbers["probability"]),
        scale="fixed",
        limits=(0.0, 1.0),
        unit="probability",
        row_labels=tuple(numbers["short"]),
        featured=True,
    )


def _pictures(pictures: np.ndarray, maps: np.ndarray, numbers: Any) -> Panel:
    import numpy as np

    from reportgen import project

    name, tiles, how = numbers["target_name"], pictures[:, None], ""  # P 1 3 S S
    if maps.size:
        top = float(np.percentile(np.clip(maps, 0, None), 99))
        large = project.enlarged(maps, pictures.shape[-1], numbers["places"])  # P S S
        over = [patterns.over(picture, own, high=top) for picture, own in zip(pictures, large, strict=True)]
        tiles = np.stack([pictures, np.stack(over)], axis=1)  # P 2 3 S S
        how = f"Right: where the last convolution finds what speaks for {name}, from 0 to {top:.2g} in all rows. "
    answers = [f"{row[0]['name']} {row[0]['probability']:.0%}" for row in numbers["top5"]]
    labels = [f"{words}: {answer}" for words, answer in zip(numbers["words"], answers, strict=True)]
    return Panel(
        name="pictures",
        kind="grid",
        title=f"Damaged pictures and their evidence for {name}",
        caption=f"The picture as the net got it, damaged at {numbers['resolution']}. {how}From the top, with the "
        f"answer: {'; '.join(labels)}.",
        alt=f"The untouched picture and {len(pictures) - 1} damaged ones{', each with its class map' if how else ''}; "
        f"for {name}, {_finding(numbers)}.",
        values=tiles,
        scale="none",
        row_labels=tuple(labels),
        columns=("as the net sees it", f"evidence for {name}")[: tiles.shape[1]],
    )


def _table(numbers: Any) -> Panel:
    rows = []
    for words, row, own in zip(numbers["words"], numbers["top5"], numbers["probability"], strict=True):
        said = [f"{entry['name']} {entry['probability']:.0%}" for entry in row[:3]]
        if numbers["target"] not in [entry["index"] for entry in row[:3]]:
            said.append(f"... {numbers['target_name']} {own:.1%}")
        rows.append((words, ", ".join(said)))
    return Panel(
        name="answers",
        kind="table",
        title="The answers",
        caption="The three most probable classes for the untouched and every damaged picture, and "
        f"{numbers['target_name']} where it is not among them. The damage is done at {numbers['resolution']}.",
        alt=f"Table of the most probable classes under {len(rows) - 1} corruptions; {_finding(numbers)}.",
        scale="none",
        columns=("Picture", "Most probable classes"),
        rows=tuple(rows),
    )


def _curve(damage: str, label: str, x: np.ndarray, y: np.ndarray, numbers: Any) -> Panel:
    """All nets share the plot: its words hold for each of them, or name the net."""
    words = {"noise": "salt and pepper", "blur": "blur"}[damage]
    return Panel(
        name=damage,
        kind="curves",
        title=f"More {words}",
        caption=f"The probability of the class followed as the {words} grows. The axis runs from 0 to 1; a line that "
        "falls early belongs to a net that hangs on the detail which this destroys first.",
        alt=f"Lines of the class probability against growing {words}; for {numbers['net']} and "
        f"{numbers['target_name']} it goes from {y[0]:.0%} to {y[-1]:.0%}.",
        values=y[None],  # 1 L
        x=x,
        scale="fixed",
        limits=(0.0, 1.0),
        unit="probability of the class",
        columns=(label,),
        row_labels=(numbers["target_name"],),
        joint=True,
    )


METHOD = Method(
    name="corruption",
    title="Corruptions",
    caption="How the answer and its evidence change when the picture is grey, blurred, miscoloured or noisy.",
    citation="hendrycks2019",
    scope="image",
    version=1,
    params=Params,
    run=run,
    panels=panels,
    arrays={"probabilities": "P x K", "maps": "P x h x w", "pictures": "P x 3 x S x S"}
    | {"lambda": "A", "lambda_probability": "A", "sigma": "B", "sigma_probability": "B"},
    needs=frozenset({"gradient"}),
    uses=("prediction",),
    tiny={"corruptions": ("grey", "salt_pepper:0.01"), "lambdas": (0.01,), "sigmas": (1.0, 2.0)},
)
