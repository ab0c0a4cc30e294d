"""Whether hiding the same part of different objects changes what a net sees alike, with parts that a data set names.

One sees what `correspondence` shows for a few pictures of the report, on up to `limit` pictures of one class of a data
set whose pictures come with points: for each part, how much the change in the features differs from picture to
picture when a square is laid over it, compared with squares at random places. Clearly less than at random places means
that the net treats the part as one thing in all pictures. More pictures make the spread smaller in which an
accident could hide; what one cannot tell stays the same: which unit does it, or whether the class hangs on the part.
Where all pictures of a class show the object in one place and pose, any place of the picture corresponds to itself.

After Zeiler and Fergus (2014), section 4.3, with the computation of `correspondence`: Δ is the share of features whose
change has another sign in another picture. The class is `of`, or the one whose pictures have most points in the net's
view (a class of many parts in many pictures); taken are the pictures that have most of them, in the order of the
set. It is a method of its own because it looks over a set and finds its pictures there, while `correspondence` is
handed them. Checked to equal `correspondence` on the same pictures, points and random places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from reportgen import corresponding
from reportgen.errors import MethodError, NotApplicable, nearest
from reportgen.examples import Batch, Dataset, Partial
from reportgen.records import Artifact, Input, Method, Net, Panel, Scan
from reportgen.targets import label_index

if TYPE_CHECKING:
    import numpy as np

STRIPS = 8  # pictures on the sheet of hidden parts


@dataclass(frozen=True)
class Params(corresponding.How):
    """Which class and parts, how they are hidden, and where in the net one looks."""

    of: str = field(
        default="", metadata={"doc": "name of a class of the data set; none: that with most points in view"}
    )
    limit: int = field(default=24, metadata={"doc": "pictures at most; each takes a pass per part and random place"})
    least: int = field(default=4, metadata={"doc": "pictures that must have a part, or it is left out"})

    def __post_init__(self) -> None:
        """Refuse numbers of pictures that give no pair."""
        super().__post_init__()
        if self.limit < 2 or not 2 <= self.least <= self.limit:
            raise MethodError(
                f"limit, least: {self.limit} and {self.least} pictures make no pairs. Right would be a limit of 24 "
                "and at least 4 of them with the part."
            )


def chunk(net: Net, batch: Batch, params: Params) -> Partial:
    """How many points of each picture lie in the net's view."""
    import numpy as np

    inputs = [Input(one.picture, points=one.points) for one in batch.examples]
    counts = [len(corresponding.seen_points(one, net)) for one in inputs]
    return {"places": np.array(batch.places), "labels": np.array(batch.labels), "points": np.array(counts)}  # N each


def finish(net: Net, data: Dataset, partial: Partial, params: Params, rng: np.random.Generator) -> Artifact:
    """The pictures of the class are looked at again, with their parts hidden in turn."""
    import numpy as np

    label = _class(data, partial, params)
    places = _fullest(partial, label, params.limit)
    if len(places) < 2:
        raise NotApplicable(f"{data.name} has fewer than two pictures of {data.classes[label]} with points in view.")
    inputs = []
    for place in places:
        one = data.load(place)
        inputs.append(Input(one.picture, points=one.points, name=data.names[place]))
    seen = [corresponding.seen_points(one, net) for one in inputs]
    often = {part: sum(part in own for own in seen) for part in sorted({part for own in seen for part in own})}
    parts = params.parts or tuple(part for part, count in often.items() if count >= params.least)
    if not parts:
        most = max(often.values())
        raise NotApplicable(
            f"No part is seen in {params.least} of the {len(places)} pictures of {data.classes[label]}; the most "
            f"frequent is in {most}."
        )
    artifact = corresponding.compare(net, inputs, replace(params, parts=parts), rng, STRIPS)
    strip = np.rint(artifact.arrays["strip"] * 255).astype(np.uint8)  # J P 3 S S, in bytes: many parts, many pictures
    return Artifact({**artifact.arrays, "strip": strip}, {**artifact.numbers, "of": data.classes[label]})


def _class(data: Dataset, partial: Partial, params: Params) -> int:
    """The class that is asked for, or the first of those whose fullest pictures have most points together."""
    if params.of:
        found = label_index(data.classes, (params.of,))
        if found is None:
            raise MethodError(f"of: {data.name} has no class {params.of!r}. {nearest(params.of, data.classes)}")
        return found
    counts = dict(zip(partial["places"].tolist(), partial["points"].tolist(), strict=True))
    sums = [sum(counts[place] for place in _fullest(partial, k, params.limit)) for k in range(len(data.classes))]
    if not max(sums, default=0):
        raise NotApplicable(f"No picture of {data.name} has a point in the middle that the net looks at.")
    return sums.index(max(sums))


def _fullest(partial: Partial, label: int, limit: int) -> Sequence[int]:
    """The places of a class's pictures that have most points in view, at most `limit`, in the order of the set."""
    import numpy as np

    own = np.flatnonzero((partial["labels"] == label) & (partial["points"] > 0))
    order = own[np.argsort(-partial["points"][own], kind="stable")[:limit]]
    found: list[int] = sorted(partial["places"][order].tolist())
    return found


def panels(artifact: Artifact) -> list[Panel]:
    """Those of `correspondence`, with the class in their titles."""
    import numpy as np

    of = artifact.numbers["of"].partition(",")[0].replace("_", " ")
    strip = artifact.arrays["strip"].astype(np.float32) / 255
    drawn = corresponding.panels(replace(artifact, arrays={**artifact.arrays, "strip": strip}))
    return [replace(panel, title=f"{of}: {panel.title}") for panel in drawn]


METHOD = Method(
    name="part_correspondence",
    title="Correspondence of parts",
    caption="Whether hiding the same part of a data set's objects changes the features alike.",
    citation="zeiler2014",
    scope="dataset",
    version=1,
    params=Params,
    scan=Scan(chunk=chunk, finish=finish),
    panels=panels,
    arrays={**corresponding.ARRAYS, "strip": "J x P x 3 x H x W"},
    needs=frozenset({"points"}),
    tiny={"random": 2, "limit": 4},
)
