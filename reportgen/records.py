"""The nouns of reportgen, as frozen dataclasses: what travels from the spec to the page, and nothing that acts.

Nothing here imports torch. Axes: N pictures, C channels, H W pixels, R x C grid positions, K classes, D features,
U units.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from reportgen.errors import ModelError, NotApplicable, nearest

if TYPE_CHECKING:  # a build with nothing to do imports neither
    from pathlib import Path

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from reportgen.examples import Batch, Dataset, Partial, TrainingRun

    Picture = NDArray[np.float32]
    """H x W x 3, RGB, 0..1."""
    Array = NDArray[Any]
else:
    Picture = Array = Any

Status = Literal["ok", "failed", "not_applicable"]
Precision = Literal["fp32", "tf32", "bf16", "fp64"]


# ---------------------------------------------------------------------------------------------------------------- nets


@dataclass(frozen=True)
class Preprocess:
    """How a picture becomes a net's input: resize the short side, crop the middle, normalise."""

    resize: int  # short side in pixels before the crop
    size: int  # side of the square crop: the net's input
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: Literal["bilinear", "bicubic", "nearest"] = "bilinear"  # always with antialiasing, on 8-bit pixels
    order: Literal["rgb", "bgr"] = "rgb"  # what the net was made for; a loaded net takes RGB, as mean and std are


@dataclass(frozen=True)
class Layer:
    """One module's value: its name, shape, and where its units look in the input."""

    name: str  # module path; "name#2" for the second call of the same module
    kind: str  # class of the module, such as Conv2d
    shape: tuple[int, ...]  # without N: C H W, or D
    stride: tuple[int, int] | None  # input pixels per step (y, x); None where positions mean nothing any more
    field: tuple[int, int] | None  # side of the receptive field (y, x) in input pixels; None: the whole picture
    start: tuple[int, int] | None  # where the field of position 0 begins (y, x), often negative
    parameters: int
    flops: int  # multiply-adds counted as two

    def box(self, position: Sequence[int], size: int) -> tuple[int, int, int, int]:
        """The receptive field of a position as (y0, x0, y1, x1) in the input; it may reach outside the picture."""
        if self.field is None or self.stride is None or self.start is None:
            return (0, 0, size, size)
        y, x = (int(p) * s + b for p, s, b in zip(position, self.stride, self.start, strict=True))
        return (y, x, y + self.field[0], x + self.field[1])

    def places(self, size: int) -> tuple[tuple[float, float], tuple[float, float]]:
        """Where position 0 of a map looks, the middle of its field as (y, x), and the input pixels per step.

        Padding moves the fields: ResNet's last positions look half a step further up and left than an even spread
        over the input has it. Where the field is the whole picture, an even spread is all there is.
        """
        if self.field is None or self.start is None or self.stride is None:
            steps = (size / self.shape[-2], size / self.shape[-1])
            return ((steps[0] - 1) / 2, (steps[1] - 1) / 2), steps
        middle = (self.start[0] + (self.field[0] - 1) / 2, self.start[1] + (self.field[1] - 1) / 2)
        return middle, (float(self.stride[0]), float(self.stride[1]))


@dataclass(frozen=True)
class Facts:
    """What the literature says about an architecture; every number with its source."""

    family: str = ""
    title: str = ""  # how the net is called on pages: "AlexNet"
    year: int | None = None
    citation: str = ""  # key in reportgen's own bibliography
    top5_error: float | None = None  # per cent on ImageNet's validation set
    source: str = ""  # where the error rate was published


@dataclass(frozen=True)
class Card:
    """Everything known about a net without running it again; kept in the store."""

    arch: str
    builder: str  # what made the module, for keys: "torchvision.alexnet", "reportgen.resnet_mini", "pkg.mod:fn"
    weights: str  # SHA-256 of the tensors
    weights_source: str  # what to tell people: "IMAGENET1K_V1", "embedded", "random, seed 5", a file's name
    preprocess: Preprocess
    classes: tuple[str, ...]  # K names
    parameters: int
    flops: int  # of one forward pass of one picture, multiply-adds counted as two
    depth: int  # layers with weights on the longest path: convolutions and dense layers
    layers: tuple[Layer, ...]  # in the order in which they are computed
    stages: Mapping[str, str]  # "stage3" -> layer name, ascending
    aliases: Mapping[str, str]  # first_conv, last_conv, penultimate, logits -> layer name
    global_pooling: bool  # ends with global average pooling and one dense layer
    rectified: bool  # has rectifications (ReLU) and no other activation function before the logits
    facts: Facts = field(default_factory=Facts)
    numbers: Mapping[str, float] = field(default_factory=dict)  # measured by us, such as the mini nets' top1
    basis: Mapping[str, str] = field(default_factory=dict)  # where size and colours of `preprocess` come from

    def resolve(self, name: str) -> Layer:
        """The layer of a module path, an alias or a stage.

        Raises NotApplicable for a stage this net does not have, ModelError for a name that is none.
        """
        path = self.stages.get(name) or self.aliases.get(name) or name
        for layer in self.layers:
            if layer.name == path:
                return layer
        module, _, number = path.partition("#")
        earlier = sum(layer.name.startswith(f"{module}#") for layer in self.layers)
        if earlier and number == str(earlier + 1):
            return self.resolve(module)  # the last call, by its number
        if name.startswith("stage") and name[5:].isdigit():
            has = ", ".join(self.stages) or "none"
            raise NotApplicable(f"{self.arch} has no {name}: it has no tensor at that stride (it has {has}).")
        known = [*self.stages, *self.aliases, *(layer.name for layer in self.layers)]
        raise ModelError(f"{self.arch} has no layer {name!r}. {nearest(name, known)}")

    def depth_name(self, layer: str) -> str:
        """What pages call a layer: its stage where it ends one, else its own name."""
        return next((stage for stage, name in self.stages.items() if name == layer), layer)


@dataclass(frozen=True, eq=False)
class Net:
    """A loaded model with its card: in eval mode, weights frozen, on one device in one precision."""

    module: Any  # torch.nn.Module
    card: Card
    device: str
    precision: Precision
    before: Net | None = field(default=None, repr=False)  # what it came from, for methods that need it

    def __repr__(self) -> str:
        """What a prompt shows: no list of all modules."""
        told = f"{self.card.parameters:,} parameters, {len(self.card.classes)} classes"
        return f"Net({self.card.arch}, {self.card.weights_source}: {told}; {self.device}, {self.precision})"

    def _repr_html_(self) -> str:
        """What notebooks show of a net: its card."""
        from reportgen import notebook

        return notebook.net_html(self.card)

    @property
    def classes(self) -> tuple[str, ...]:
        """The K class names."""
        return self.card.classes

    @property
    def stages(self) -> tuple[str, ...]:
        """The names of the stages this net has."""
        return tuple(self.card.stages)

    @property
    def dtype(self) -> torch.dtype:
        """The number type the net computes in."""
        import torch

        return {"fp64": torch.float64, "bf16": torch.bfloat16}.get(self.precision, torch.float32)

    def preprocess(self, pictures: Sequence[Picture]) -> torch.Tensor:
        """The normalised network input, N x 3 x H x W, on the net's device and in its number type."""
        import numpy as np
        import torch

        from reportgen import images

        views = np.stack([images.view(picture, self.card.preprocess) for picture in pictures])
        x = torch.from_numpy(views).to(self.dtype).permute(0, 3, 1, 2)  # N C H W
        mean = torch.tensor(self.card.preprocess.mean, dtype=self.dtype).view(1, 3, 1, 1)
        std = torch.tensor(self.card.preprocess.std, dtype=self.dtype).view(1, 3, 1, 1)
        return ((x - mean) / std).contiguous().to(self.device)


# ------------------------------------------------------------------------------------------------------------- methods


@dataclass(frozen=True, eq=False)
class Origin:
    """What an artifact of `reportgen.compute` was made of, so that it can show itself."""

    method: str
    picture: Picture | None  # as it was given; None where several were, or none
    preprocess: Preprocess  # of the net


@dataclass(frozen=True)
class Artifact:
    """What a cell holds when filled: named arrays and numbers (anything JSON can hold)."""

    arrays: Mapping[str, Array]
    numbers: Mapping[str, Any] = field(default_factory=dict)
    beside: Mapping[str, Artifact] = field(default_factory=dict)  # for panels only: by method name, as in Method.beside
    row: Mapping[str, Artifact] = field(default_factory=dict)  # for panels only: by net's name, as in Method.row
    origin: Origin | None = field(default=None, repr=False, compare=False)  # of those that `reportgen.compute` gave

    def __repr__(self) -> str:
        """What a prompt shows: names and shapes, no numbers of arrays."""
        made = f"{self.origin.method}: " if self.origin else ""
        shapes = ", ".join(f"{name} {' x '.join(map(str, array.shape))}".strip() for name, array in self.arrays.items())
        return f"Artifact({made}{shapes or 'no arrays'}; {len(self.numbers)} numbers)"

    def show(self, panel: str = "") -> None:
        """Show a panel, by default the one that stands for the method: in a notebook, else in the terminal."""
        from reportgen import notebook

        notebook.show(self, panel)

    def save(self, path: str | Path, panel: str = "") -> None:
        """Write a panel (.png, .pdf, charts as .svg), or all arrays (.npz). Raises RenderError where that cannot be."""
        from reportgen import notebook

        notebook.save(self, path, panel)

    def _repr_html_(self) -> str:
        """What notebooks show of an artifact: its panels and numbers."""
        from reportgen import notebook

        return notebook.artifact_html(self)


@dataclass(frozen=True)
class Input:
    """One picture for a method (none for methods that look at the net alone), and what earlier cells found on it."""

    picture: Picture | None = None
    labels: tuple[str, ...] = ()  # names of what the picture shows; several names mean the same thing
    used: Mapping[str, Artifact] = field(default_factory=dict)  # by method name, as in Method.uses
    points: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # part -> (x, y) in pixels of the picture
    name: str = ""  # how the report calls the picture; empty outside a report
    training: TrainingRun | None = None  # how the net was trained, for methods of that scope


PanelKind = Literal["image", "heatmap", "grid", "bars", "curves", "scatter", "frames", "table"]
ScaleRule = Literal["shared", "own", "tile", "fixed", "none"]


@dataclass(frozen=True)
class Panel:
    """How an artifact is to be drawn.

    kind      values                                         drawn as
    image     H x W x 3, 0..1                                the picture
    heatmap   H x W                                          colours; over the photo where `photo` is "under".
                                                             With `categories` a flat colour per name and a legend;
                                                             a name has one colour in all nets of the row
    grid      rows x cols x h x w or rows x cols x 3 x h x w sheet of tiles; row_labels, columns name them. NaN tiles
                                                             stay empty. With `boxes` (rows x 4) a first column shows
                                                             the photo cut to the box
    bars      N                                              horizontal bars named by row_labels, largest first
    curves    lines x points, x in `x`                       lines named by row_labels. With `joint` all nets of the row
                                                             share one plot: colour = net, dash = line
    scatter   N x 2, y upwards                               points in the colour, shape and number of their category;
                                                             `groups` has its index for each point, -1 for none
    table     none                                           `rows` under `columns`

    scale: "shared" = one pair of limits for all nets in the row, because the numbers can be compared; "own" = this
    panel's own 99th percentile; "tile" = every tile of a grid by its own 99th percentile; "fixed" = `limits`;
    "none" = nothing to scale. Signed values are drawn around zero.
    """

    name: str  # unique within the method: part of the figure's id
    kind: PanelKind
    title: str  # a few words
    caption: str  # one sentence: what one sees; a second: how to read it
    alt: str  # what is shown and the finding, 80 to 150 characters
    values: Array | None = None
    scale: ScaleRule = "own"
    signed: bool = False
    limits: tuple[float, float] | None = None
    unit: str = ""  # of the values: "probability", "activation"
    photo: Literal["none", "under", "beside"] = "none"
    boxes: Array | None = None  # rows x 4: y0 x0 y1 x1 in the net's input
    row_labels: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()  # of a table
    x: Array | None = None
    featured: bool = False  # the panel that stands for the method where there is room for one
    categories: tuple[str, ...] = ()  # heatmap of whole numbers: values[y, x] is an index into these names
    groups: Array | None = None  # scatter: N whole numbers, the category of each point; -1 where it has none
    joint: bool = False  # curves: the lines of all nets of the row in one plot, one colour per net
    band: Array | None = None  # curves: lines x 2 x points, the lowest and highest around each line, shaded


Scope = Literal["image", "net", "images", "dataset", "training"]


def _not_run(*_: Any) -> list[Artifact]:
    raise TypeError("a method that looks at a data set is scanned, not run")


@dataclass(frozen=True)
class Scan:
    """How a method looks over a data set: batch by batch, in parts that are stored, then once at what came of it.

    `layers` names the layers (stages and aliases too) whose values `chunk` finds in `Batch.values`; one forward pass
    serves all methods that look over the same set. `chunk` gets at most sixteen pictures and gives named arrays,
    `merge` joins what several batches gave, in the order of the set, and must not care how they were cut (None: every
    array grows along its first axis). `finish` makes the artifact, and may look at single pictures again.
    """

    chunk: Callable[[Net, Batch, Any], Partial]
    finish: Callable[[Net, Dataset, Partial, Any, np.random.Generator], Artifact]
    layers: Callable[[Net, Any], Sequence[str]] | None = None
    merge: Callable[[Sequence[Partial]], Partial] | None = None


@dataclass(frozen=True)
class Method:
    """One way to look at a net. `params` is a frozen dataclass; a field `layer` means that cells have a layer.

    A method of scope "training" gets one net at a time and gives one artifact. `inputs` are the section's images where
    the method needs checkpoints, else (or without images) one input without a picture; all have `training`.
    """

    name: str
    title: str
    caption: str  # one line: what one sees
    citation: str  # key in reportgen's own bibliography
    scope: Scope
    version: int  # bump by hand when results change
    params: type[Any]
    panels: Callable[[Artifact], list[Panel]]
    arrays: Mapping[str, str]  # documented arrays: name -> axes, such as "U x 3 x h x w"
    run: Callable[[Net, Sequence[Input], Any, Sequence[np.random.Generator]], list[Artifact]] = _not_run
    scan: Scan | None = None  # in place of run, for methods that look at a data set
    needs: frozenset[str] = (
        frozenset()
    )  # gradient, relu, global_pooling, class_maps, generator, checkpoints, points, masks, before
    uses: tuple[str, ...] = ()  # methods whose artifacts on the same net and picture come in as Input.used
    beside: tuple[str, ...] = ()  # methods whose artifacts (same net and layer) panels finds in Artifact.beside; they
    # are no part of the key, so that what is shown beside a result can change without computing the result again
    row: bool = (
        False  # whether panels finds the artifacts of all nets of the row in Artifact.row; no part of the key either
    )
    tiny: Mapping[str, Any] = field(default_factory=dict)  # params for the contract test
    doc: str = ""  # the file's docstring


# ---------------------------------------------------------------------------------------------------- plan and results


@dataclass(frozen=True)
class Cell:
    """One job: a method with its params on a net and, by scope, on pictures or a data set."""

    id: str  # "deconvnet.vgg.cat.stage3"
    section: str
    method: str
    model: str  # id in the spec
    image: str | None  # id in the spec; None for methods that look at the net alone or at a set of images
    params: Any  # the method's params, an instance of Method.params
    layer: str | None  # as asked: "stage3"
    key: str
    document: Mapping[str, Any]  # the canonical key document
    uses: Mapping[str, Cell] = field(default_factory=dict)
    images: tuple[str, ...] = ()  # ids in the spec, for methods that look at a set of images
    dataset: str | None = None  # id in the spec, for methods that look at a data set
    beside: Mapping[str, Cell] = field(default_factory=dict)  # as in Method.beside


@dataclass(frozen=True)
class Filled:
    """A cell with its outcome. `load` reads the arrays from the store, checked against their digest."""

    cell: Cell
    status: Status
    reason: str  # why not, where it is not ok
    numbers: Mapping[str, Any]
    load: Callable[[], Artifact]
    seconds: float = 0.0
    cached: bool = False


@dataclass(frozen=True)
class Scale:
    """The limits a picture was drawn with, and the rule they come from."""

    rule: ScaleRule
    min: float | None
    max: float | None


@dataclass(frozen=True)
class Figure:
    """One drawn panel: files relative to the report's folder, and the words that go with it."""

    id: str  # "saliency.alexnet.cat.map"
    section: str
    cells: tuple[str, ...]
    panel: str
    title: str
    caption: str
    alt: str
    scale: Scale
    files: tuple[str, ...]  # the picture first, then its thumbnail; none for a table
    width: int = 0  # of the picture, in pixels
    height: int = 0
    unit: str = ""
    columns: tuple[str, ...] = ()  # of a table or a sheet of tiles
    rows: tuple[tuple[Any, ...], ...] = ()  # of a table
    kind: PanelKind = "image"
    row_labels: tuple[str, ...] = ()  # of a sheet of tiles
    photo: bool = False  # the sheet's first column shows the photo cut to what each row looked at
    featured: bool = False
