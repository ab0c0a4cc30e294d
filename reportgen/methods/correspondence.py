"""Whether hiding the same part of different faces changes what a net sees in the same way.

One sees, for each named part (an eye, the nose), how much the change in the features differs from picture to picture
when a square is laid over that part, compared with squares at random places. Clearly less than at random places means
that the net treats the part as one thing in all pictures, although nobody told it that parts exist. What one cannot
tell is which unit does it, or whether the class hangs on the part; a few pictures give a wide spread, and a part that
lies at the same place in all pictures would look consistent for that reason alone.

After Zeiler and Fergus (2014), section 4.3. With the features $x_i$ of picture i at a layer and $\\tilde x_i$ of the
picture with the part hidden, $\\epsilon_i = x_i - \\tilde x_i$, and
$\\Delta = \\mathrm{mean}_{i \\ne j} H(\\mathrm{sign}\\,\\epsilon_i, \\mathrm{sign}\\,\\epsilon_j) / D$: the share of
the D features whose signs (-1, 0 or 1) differ. Most features after a ReLU stay zero, so sparsity alone makes Δ small:
nets are compared by the ratio to Δ of random places (the k-th place of one picture with the k-th of the other), and by
a restricted Δ over the features that change in both pictures, where chance is one half. The spread is the standard
deviation over pairs of pictures, for random places over pairs and places; the paper does not define its own. The
paper's layer 5 is AlexNet's `stage5`. Checked in double precision against plain loops over pictures, pairs and features
on AlexNet, VGG-16, GoogLeNet, ResNet-50 and SqueezeNet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reportgen import corresponding
from reportgen.records import Artifact, Input, Method, Net

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Params(corresponding.How):
    """Which parts are hidden, how, and where in the net one looks."""


def run(net: Net, inputs: Sequence[Input], params: Params, rngs: Sequence[np.random.Generator]) -> list[Artifact]:
    """One artifact for the set: how much the signs of the change differ between pictures, for each part."""
    return [corresponding.compare(net, inputs, params, rngs[0])]


METHOD = Method(
    name="correspondence",
    title="Correspondence",
    caption="Whether hiding the same part of different pictures changes the features alike.",
    citation="zeiler2014",
    scope="images",
    version=1,
    params=Params,
    run=run,
    panels=corresponding.panels,
    arrays={**corresponding.ARRAYS, "strip": "I x P x 3 x H x W"},
    needs=frozenset({"points"}),
    tiny={"random": 2},
)
