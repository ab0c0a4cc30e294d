"""Does gradient ascent drive units further than any real photo? 32 units of each net; about 15 minutes on one core.

`OMP_NUM_THREADS=1 python tests/benchmarks/ascent_check.py [NET ...]`. Per unit: the activation of the finished picture
against the strongest, over all positions, of 500 photos seen through the net's own preprocessing (SqueezeNet: ImageNet
photos; mini nets: every eighth photo of their validation set, so that all classes are among them). "as a photo" is the
finished picture in 8 bits, resized and cut like any other picture: a harder test than was climbed for.
"""

from __future__ import annotations

import io
import sys
import time
import zipfile
from pathlib import Path

import numpy as np

import reportgen
from reportgen import hooks
from reportgen.images import decode

DATA = Path(__file__).parents[3] / "shared" / "data"
PHOTOS = 500
NETS = {
    "squeezenet1_0": ("imagenet-500.zip", ("stage2", "stage3", "stage4", "logits")),
    **dict.fromkeys(
        ("alexnet_mini", "vgg_mini", "googlenet_mini", "resnet_mini"),
        ("photos-val.zip", ("stage2", "stage3", "stage5", "logits")),
    ),
}


def load(arch: str) -> reportgen.Net:
    """The net, on the CPU; SqueezeNet with its real weights."""
    if arch.endswith("_mini"):
        return reportgen.load_net(arch, device="cpu")
    return reportgen.load_net(arch, weights=str(DATA / f"{arch}-imagenet1k.safetensors"), device="cpu")


def photos(file: str, count: int = PHOTOS) -> list[np.ndarray]:
    """That many photos of a zip, evenly spread over its sorted names."""
    with zipfile.ZipFile(DATA / file) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        names = names[:: max(1, len(names) // count)][:count]
        return [decode(io.BytesIO(archive.read(name)), name) for name in names]


def strongest(net: reportgen.Net, pictures: list[np.ndarray], layers: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The strongest activation of every unit of each layer over pictures and positions, from the net as it is."""
    found: dict[str, list[np.ndarray]] = {layer: [] for layer in layers}
    for i in range(0, len(pictures), 10):
        for layer, value in hooks.run_to(net, net.preprocess(pictures[i : i + 10]), layers).items():
            found[layer].append(value.flatten(2).amax(2).numpy() if value.ndim == 4 else value.numpy())
    return {layer: np.concatenate(parts).max(axis=0) for layer, parts in found.items()}


def main(archs: list[str]) -> None:
    """A line per layer and a share per net."""
    for arch in archs:
        file, layers = NETS[arch]
        net = load(arch)
        best = strongest(net, photos(file), layers)
        ratios: list[float] = []
        again: list[float] = []
        for layer in layers:
            began = time.process_time()
            artifact = reportgen.compute("gradient_ascent", net, layer=layer, units=8)
            seconds = time.process_time() - began
            units, images = artifact.arrays["units"], artifact.arrays["images"]
            top = np.maximum(best[layer][units], 1e-9)
            ratio = artifact.arrays["reached"] / top
            seen = [np.round(image.transpose(1, 2, 0) * 255).astype(np.float32) / 255 for image in images]
            as_photo = np.array([strongest(net, [one], (layer,))[layer][u] for one, u in zip(seen, units, strict=True)])
            ratios += ratio.tolist()
            again += (as_photo / top).tolist()
            print(f"{arch:15} {layer:7} {np.round(ratio, 2)} as a photo {np.round(as_photo / top, 2)} {seconds:.0f} s")
        share, photo_share = np.mean(np.array(ratios) > 1), np.mean(np.array(again) > 1)
        print(f"{arch:15} further than {PHOTOS} photos: {share:.0%} of {len(ratios)} units", end="; ")
        print(f"median ratio {np.median(ratios):.2f}; as a photo {photo_share:.0%}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or list(NETS))
