"""Where in a picture which concept is, on a coarse grid: objects and parts by masks, colours and textures by rule.

A concept is named "kind:name": "object:3" (the class with that index), "part:wheel" (of whatever object), "colour:red",
"texture:rough". Axes: N pictures, S S pixels of the net's view, G G cells of the grid.

Colours follow the eleven basic colour words, by hue, saturation and value of a cell's mean colour. Textures follow the
structure tensor of the grey picture, averaged over a sixteenth of the side: smooth where there is hardly any slope,
lines where one direction of slope prevails (stripes, or a single edge), rough where none does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from reportgen.examples import Batch, Mask
from reportgen.records import Net

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

KINDS = ("object", "part", "colour", "texture")
COLOURS = ("black", "grey", "white", "red", "orange", "brown", "yellow", "green", "blue", "purple", "pink")
HUES = ((15, "red"), (45, "orange"), (70, "yellow"), (170, "green"), (255, "blue"), (290, "purple"), (345, "pink"))
DARK, BRIGHT, PALE = 0.2, 0.8, 0.18  # value below which all is black, and above which what is pale is white
BROWN = 0.65  # value below which orange is brown
TEXTURES = ("vertical lines", "rising lines", "horizontal lines", "falling lines", "rough", "smooth")
SMOOTH = 3.0  # slope in units of the whole range per side of the picture: 0.013 per pixel of 224
LINES = 0.6  # coherence above which there is one direction: 0 for none, 1 for a single one
WINDOW = 16  # the structure tensor's window is a side over this


def of_batch(net: Net, batch: Batch, grid: int) -> dict[str, NDArray[np.bool_]]:
    """Where each concept is that any of the pictures has, by its name: N G G."""
    import torch

    pre = net.card.preprocess
    mean, std = (torch.tensor(values, device=batch.x.device).view(1, 3, 1, 1) for values in (pre.mean, pre.std))
    rgb = (batch.x.float() * std + mean).clamp(0, 1)  # N 3 S S
    colours, textures = colour(rgb, grid), texture(rgb, grid)  # N G G
    found = {f"colour:{name}": colours == i for i, name in enumerate(COLOURS)}
    found |= {f"texture:{name}": textures == i for i, name in enumerate(TEXTURES)}
    found |= _masked(net, batch, grid)
    return {name: where for name, where in sorted(found.items()) if where.any()}


def _masked(net: Net, batch: Batch, grid: int) -> dict[str, NDArray[np.bool_]]:
    """Objects and parts, where more than half of a cell is theirs."""
    import numpy as np

    found: dict[str, NDArray[np.bool_]] = {}
    for n, (example, label) in enumerate(zip(batch.examples, batch.labels, strict=True)):
        own: dict[str, Mask] = {f"part:{part}": mask for part, mask in example.parts.items()}
        if example.mask is not None and label >= 0:
            own[f"object:{label}"] = example.mask
        for name, where in _on_grid(net, own, grid).items():
            found.setdefault(name, np.zeros((len(batch.labels), grid, grid), dtype=np.bool_))[n] = where
    return found


def _on_grid(net: Net, masks: Mapping[str, Mask], grid: int) -> dict[str, NDArray[np.bool_]]:
    """A picture's masks as the net sees them, G G each."""
    import numpy as np
    import torch
    from torch.nn import functional

    from reportgen import images

    if not masks:
        return {}
    seen = np.stack([images.view_mask(mask, net.card.preprocess) for mask in masks.values()])  # K S S
    shares = functional.adaptive_avg_pool2d(torch.from_numpy(seen).float(), grid)  # K G G
    return dict(zip(masks, (shares > 0.5).numpy(), strict=True))


def colour(rgb: Tensor, grid: int) -> NDArray[Any]:
    """The index in COLOURS of each cell's mean colour, N G G; `rgb` is N 3 S S, 0..1."""
    import numpy as np
    from torch.nn import functional

    cells = functional.adaptive_avg_pool2d(rgb, grid).cpu().numpy()  # N 3 G G
    value, low = cells.max(axis=1), cells.min(axis=1)  # N G G
    span = np.maximum(value - low, 1e-9)
    red, green, blue = cells.transpose(1, 0, 2, 3)  # N G G each
    sector = np.select(
        [value == red, value == green], [(green - blue) / span % 6, (blue - red) / span + 2], (red - green) / span + 4
    )
    hue, pale = 60 * sector, value - low < PALE * value  # degrees
    names = [name for _, name in HUES]
    found = np.select([hue < end for end, _ in HUES], [COLOURS.index(name) for name in names], COLOURS.index("red"))
    found = np.where((found == COLOURS.index("orange")) & (value < BROWN), COLOURS.index("brown"), found)
    found = np.where(pale, np.where(value > BRIGHT, COLOURS.index("white"), COLOURS.index("grey")), found)
    return np.where(value < DARK, COLOURS.index("black"), found)


def texture(rgb: Tensor, grid: int) -> NDArray[Any]:
    """The index in TEXTURES of each cell, N G G; `rgb` is N 3 S S, 0..1."""
    import torch
    from torch.nn import functional

    side = rgb.shape[-1]
    grey = functional.pad(rgb.mean(dim=1, keepdim=True), (1, 1, 1, 1), mode="replicate")  # N 1 S+2 S+2
    right = (grey[:, :, 1:-1, 2:] - grey[:, :, 1:-1, :-2]) * side / 2  # N 1 S S
    down = (grey[:, :, 2:, 1:-1] - grey[:, :, :-2, 1:-1]) * side / 2
    tensor = torch.cat([right * right, down * down, right * down], dim=1)  # N 3 S S
    window = side // WINDOW // 2 * 2 + 1
    blurred = tensor
    for way in ((window, 1), (1, window)):
        padding = (way[0] // 2, way[1] // 2)
        blurred = functional.avg_pool2d(blurred, way, stride=1, padding=padding, count_include_pad=False)
    xx, yy, xy = functional.adaptive_avg_pool2d(blurred, grid).unbind(1)  # N G G each
    coherence = ((xx - yy) ** 2 + 4 * xy**2).sqrt() / (xx + yy).clamp(min=1e-12)
    slope = torch.rad2deg(torch.atan2(2 * xy, xx - yy)) / 2  # direction of the slope, -90..90; lines run across it
    direction = (slope / 45).round().long() % 4  # 0: slope to the right, so vertical lines
    found = torch.where(coherence > LINES, direction, TEXTURES.index("rough"))
    return torch.where((xx + yy).sqrt() < SMOOTH, TEXTURES.index("smooth"), found).cpu().numpy()
