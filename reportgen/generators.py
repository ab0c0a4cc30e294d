"""Generators: nets that make a picture from a code, ours or the published one, read from a file without running it.

A generator inverts one layer of one net: its codes are that layer's features, whatever net's unit is looked at through
it. The published DeePSiM files come in two layouts, XDream's and lucent's; ours say in their metadata what they are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reportgen import generator_nets
from reportgen.errors import MethodError, NotApplicable, nearest
from reportgen.nets.tensors import describe, read_state, tensor_digest
from reportgen.nets.weights import EMBEDDED

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

SHIPPED = EMBEDDED / "generator.safetensors"
DEFAULT = "embedded"  # the generator that comes with the package
RANDOM = "random"  # an untrained one: what a method shows without anything learned about pictures
DOC = "embedded (comes with the package), random (untrained), or a file: one of ours or DeePSiM's for fc6"
FORMAT = "reportgen-generator-1"
CODE = ("low", "high", "spread", "centres")  # what our files tell of their codes
BGR_MEAN = (104.0, 117.0, 123.0)  # what CaffeNet's pictures lack
PAPER_BOUND = 12.0  # mean over the 4096 units of fc6 of their mean plus three standard deviations
XDREAM = {
    "fc7": "defc7",
    "fc6": "defc6",
    "fc5": "defc5",
    "tconv5_0": "deconv5",
    "tconv5_1": "conv5_1",
    "tconv4_0": "deconv4",
    "tconv4_1": "conv4_1",
    "tconv3_0": "deconv3",
    "tconv3_1": "conv3_1",
    "tconv2": "deconv2",
    "tconv1": "deconv1",
    "tconv0": "deconv0",
}


@dataclass(frozen=True, eq=False)
class Generator:
    """A net that makes a picture from a code, and what is known about its codes."""

    module: Any  # codes N x D -> pictures N x 3 x S x S in levels of its own
    width: int  # D
    size: int  # S
    layer: str  # the layer it inverts, in words
    net: str  # the net it inverts, in words
    paint: Callable[[Tensor], Tensor]  # its levels -> RGB, which may leave 0..1
    low: NDArray[np.float32]  # D: codes are kept at or above this,
    high: NDArray[np.float32]  # D: and at or below this
    digest: str  # of its tensors
    source: str  # "embedded", a file's name, "random"
    autoencoder: Any = None  # R: codes N x D -> likelier codes N x D; None where there is none
    spread: NDArray[np.float32] | None = None  # D: standard deviation of the codes of photos, where known
    centres: NDArray[np.float32] | None = None  # K D: means of groups of photos with like codes

    @property
    def scale(self) -> float:
        """What one unit of fc6 is in this code: steps of the papers are told in it."""
        return float(self.high.mean()) / PAPER_BOUND

    @property
    def inverts(self) -> str:
        """What it was trained to invert, in words."""
        return f"{self.layer} of {self.net}"


def load_generator(source: str = DEFAULT) -> Generator:
    """The generator of the package (`embedded`), an untrained one (`random`) or that of a file, in single precision.

    Raises NotApplicable where the package has none, MethodError or ModelError for a file that holds none.
    """
    if source == RANDOM:
        return untrained()
    path = _file(source)
    if not path.is_file():
        raise NotApplicable(
            "This installation comes without a generator. `generator: FILE` takes the published DeePSiM fc6 generator "
            "or one made by `reportgen train specs/zoo/generator.yaml`; `generator: random` is an untrained one."
        )
    status = path.stat()
    return _loaded(path.resolve(), status.st_size, status.st_mtime_ns, DEFAULT if source == DEFAULT else path.name)


def _file(source: str) -> Path:
    """Where a generator lies. Raises MethodError where a file was named that is not there."""
    if source == DEFAULT:
        return SHIPPED
    path = Path(source)
    if not path.is_file():
        raise MethodError(
            f"generator: there is no file {source}. Right: embedded, random, or a .pt, .pth or .safetensors file."
        )
    return path


@lru_cache(maxsize=2)
def _loaded(path: Path, _size: int, _changed: int, source: str) -> Generator:
    state = read_state(path)
    said = describe(path, None).metadata if path.suffix == ".safetensors" else {}
    if said.get("format") == FORMAT:
        return _ours(state, said, source)
    return published(state, source)


def file_digest(source: str) -> str:
    """The SHA-256 of a generator's file, for keys; empty where the package has none. Needs no torch.

    Raises MethodError where a file was named that is not there.
    """
    if source == RANDOM:
        return RANDOM
    path = _file(source)
    if not path.is_file():
        return ""
    status = path.stat()
    return _file_digest(path.resolve(), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=16)
def _file_digest(path: Path, _size: int, _changed: int) -> str:
    whole = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 22):
            whole.update(part)
    return whole.hexdigest()


# -------------------------------------------------------------------------------------------------------- published


def published(state: Mapping[str, Tensor], source: str) -> Generator:
    """The DeePSiM generator for fc6 with the weights of a state dict in XDream's or lucent's names."""
    import numpy as np

    module = generator_nets.published()
    _fill(module, caffe_names(state, source), source)
    width = generator_nets.PUBLISHED_WIDTH
    return Generator(
        module=module.eval().requires_grad_(False),
        width=width,
        size=generator_nets.PUBLISHED_SIZE,
        layer="fc6 (4,096 rectified features)",
        net="CaffeNet trained on ImageNet",
        paint=_from_bgr,
        low=np.zeros(width, np.float32),
        high=np.full(width, PAPER_BOUND, np.float32),
        digest=tensor_digest(state),
        source=source,
    )


def caffe_names(state: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """The tensors under Caffe's names, whichever of the two public layouts they come in; biases may be missing."""
    import torch

    names = [*generator_nets.PUBLISHED_DENSE, *generator_nets.PUBLISHED_CONVS]
    plain = {name.removeprefix("G."): name for name in state}
    wanted = {f"{name}.{part}" for name in names for part in ("weight", "bias")}
    alias = {f"{name}.{part}": f"{caffe}.{part}" for name, caffe in XDREAM.items() for part in ("weight", "bias")}
    renamed: dict[str, Tensor] = {}
    for name, original in plain.items():
        caffe = alias.get(name, name)
        if caffe not in wanted:
            raise MethodError(
                f"generator: {source} is no DeePSiM fc6 generator: its key {original!r} is none of one. "
                f"{nearest(name, [*alias, *wanted])}"
            )
        if caffe in renamed:
            raise MethodError(f"generator: {source} holds {original!r} twice, under both of its names.")
        renamed[caffe] = state[original]
    for name, (_, width, *_) in generator_nets.PUBLISHED_CONVS.items():
        if f"{name}.weight" in renamed:  # all zero in the published weights, and left out of XDream's
            renamed.setdefault(f"{name}.bias", torch.zeros(width))
    return renamed


def _fill(module: Any, tensors: Mapping[str, Tensor], source: str) -> None:
    """Load the tensors; MethodError names the first key that is missing, strange or of another shape."""
    own = module.state_dict()
    for name, value in own.items():
        if name not in tensors:
            raise MethodError(f"generator: {source} lacks the key {name!r} ({' x '.join(map(str, value.shape))}).")
        if tensors[name].shape != value.shape:
            raise MethodError(
                f"generator: the key {name!r} of {source} has the shape {' x '.join(map(str, tensors[name].shape))}; "
                f"{' x '.join(map(str, value.shape))} is wanted."
            )
    if strange := [name for name in tensors if name not in own]:
        raise MethodError(f"generator: {source} holds a key {strange[0]!r} that the generator does not have.")
    module.load_state_dict({name: value.float() for name, value in tensors.items()})


def _from_bgr(levels: Tensor) -> Tensor:
    """Caffe's BGR levels without their mean, N 3 H W, as RGB around 0..1."""
    mean = levels.new_tensor(BGR_MEAN).view(1, 3, 1, 1)
    return (levels + mean).flip(1) / 255


# -------------------------------------------------------------------------------------------------------------- ours


def _ours(state: Mapping[str, Tensor], said: Mapping[str, str], source: str) -> Generator:
    try:
        shape = generator_nets.Small.of(json.loads(said["shape"]))
        inverts, middle = json.loads(said["inverts"]), json.loads(said["autoencoder"])
        low, high, spread, centres = (state[f"code.{name}"].float().numpy() for name in CODE)
        colours = json.loads(said["mean"]), json.loads(said["std"])
    except (KeyError, TypeError, ValueError) as error:
        raise MethodError(f"generator: {source} does not say all about itself that a generator's file does.") from error
    for name, value in zip(CODE, (low, high, spread, centres), strict=True):
        if value.shape[-1] != shape.width:
            raise MethodError(
                f"generator: code.{name} of {source} is told for {value.shape[-1]} features, and the generator takes "
                f"codes of {shape.width}."
            )
    module, prior = generator_nets.small(shape), generator_nets.autoencoder(shape.width, middle)
    for part, prefix in ((module, "generator."), (prior, "autoencoder.")):
        own = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        _fill(part, own, source)
    return Generator(
        module=module.eval().requires_grad_(False),
        width=shape.width,
        size=shape.size,
        layer=inverts["layer"],
        net=inverts["net"],
        paint=_from_normalised(*colours),
        low=low,
        high=high,
        digest=tensor_digest(state),
        source=source,
        autoencoder=prior.eval().requires_grad_(False),
        spread=spread,
        centres=centres,
    )


def untrained(seed: int = 0) -> Generator:
    """A small generator that has seen no picture: the base line for what a trained one adds."""
    import numpy as np
    import torch

    shape = generator_nets.Small(width=64, size=64, dense=64, widths=(64, 48, 32, 16), refined=())
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        module = generator_nets.small(shape).eval().requires_grad_(False)
    from reportgen.nets.weights import IMAGENET

    return Generator(
        module=module,
        width=shape.width,
        size=shape.size,
        layer="no layer",
        net="any net: it is untrained",
        paint=_from_normalised(IMAGENET.mean, IMAGENET.std),
        low=np.zeros(shape.width, np.float32),
        high=np.full(shape.width, 3, np.float32),
        digest=tensor_digest(module.state_dict()),
        source=RANDOM,
        autoencoder=torch.nn.Identity(),  # it takes every code for likely
    )


def _from_normalised(mean: Any, std: Any) -> Callable[[Tensor], Tensor]:
    def paint(x: Tensor) -> Tensor:
        return x * x.new_tensor(std).view(1, 3, 1, 1) + x.new_tensor(mean).view(1, 3, 1, 1)

    return paint
