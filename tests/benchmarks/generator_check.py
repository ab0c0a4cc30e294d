"""How far do pictures of the embedded generator drive the mini nets? DGN of classes and hidden units, PPGN of classes.

`OMP_NUM_THREADS=1 python -m tests.benchmarks.generator_check FOLDER [NET ...] [--only classes,hidden,samples]`, about
15 minutes a net on one core; contact sheets land in FOLDER. All is measured on finished pictures, seen through the
net's own preprocessing. Classes: probabilities over 0.9, and activations over that of the median validation photo of
the class. Hidden units: activations over the strongest of 500 photos, over all positions. Samples: share that the net
takes for the class asked for, and the mean distance of pairs in penultimate features, as a share of that of photos.
"""

from __future__ import annotations

import argparse
import io
import time
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

import reportgen
from reportgen import seeing
from reportgen.images import decode
from tests.benchmarks.ascent_check import DATA, photos, strongest

NETS = ("alexnet_mini", "vgg_mini", "googlenet_mini", "resnet_mini")
HIDDEN = ("stage3", "stage4", "stage5", "penultimate")  # eight units of each
EACH = 20  # photos of each class


def of_classes(net: reportgen.Net) -> dict[str, seeing.Judged]:
    """What a net says of some photos of each class, each looked at for its own class."""
    with zipfile.ZipFile(DATA / "photos-val.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        found = {}
        for number, label in enumerate(net.classes):
            own = [name for name in names if Path(name).parent.name == label]
            own = own[:: max(1, len(own) // EACH)][:EACH]
            pictures = [decode(io.BytesIO(archive.read(name)), name).transpose(2, 0, 1) for name in own]
            found[label] = seeing.judged(net, net.card.resolve("logits"), [number] * len(own), np.stack(pictures))
    return found


def apart(features: np.ndarray) -> float:
    """The mean distance of all pairs."""
    return float(np.mean([np.linalg.norm(a - b) for i, a in enumerate(features) for b in features[:i]]))


def sheet(images: np.ndarray, columns: int, path: Path) -> None:
    """Pictures N 3 H W as a sheet, twice their size."""
    height, width = images.shape[2:]
    whole = np.ones((-(-len(images) // columns) * (height + 2), columns * (width + 2), 3))
    for i, image in enumerate(images):
        top, left = i // columns * (height + 2), i % columns * (width + 2)
        whole[top : top + height, left : left + width] = image.transpose(1, 2, 0)
    picture = Image.fromarray((whole * 255).round().astype(np.uint8))
    picture.resize((2 * picture.width, 2 * picture.height), Image.Resampling.BICUBIC).save(path)


def classes(net: reportgen.Net, real: dict[str, seeing.Judged], folder: Path) -> None:
    """DGN of every class."""
    artifact = reportgen.compute("dgn", net)
    sure, reached = (np.array(artifact.numbers[name]) for name in ("probability", "reached"))
    median = np.array([np.median(real[name].activation) for name in artifact.numbers["names"]])
    sheet(artifact.arrays["images"], 5, folder / f"dgn_{net.card.arch}.png")
    weak = [
        name for name, low in zip(artifact.numbers["names"], (sure <= 0.9) | (reached <= median), strict=True) if low
    ]
    print(
        f"  classes: probability over 0.9 for {(sure > 0.9).sum()} of {len(sure)} (least {sure.min():.3f}), activation "
        f"over the median photo's for {(reached > median).sum()} (median ratio {np.median(reached / median):.2f}) "
        + (f"not both: {', '.join(weak)}" if weak else "")
    )


def hidden(net: reportgen.Net, _: dict[str, seeing.Judged], folder: Path) -> None:
    """DGN of hidden units."""
    best, over, pictures = strongest(net, photos("photos-val.zip"), HIDDEN), [], []
    for layer in HIDDEN:
        artifact = reportgen.compute("dgn", net, layer=layer, units=8)
        ratio = artifact.arrays["reached"] / np.maximum(best[layer][artifact.arrays["units"]], 1e-9)
        over += (ratio > 1).tolist()
        pictures.append(artifact.arrays["images"])
        print(f"  {layer:12}{np.round(ratio, 2)}", flush=True)
    sheet(np.concatenate(pictures), 8, folder / f"hidden_{net.card.arch}.png")
    print(f"  hidden units: over the strongest of 500 photos for {np.mean(over):.0%} of {len(over)}")


def samples(net: reportgen.Net, real: dict[str, seeing.Judged], folder: Path) -> None:
    """PPGN of every class."""
    artifact = reportgen.compute("ppgn", net, samples=20)
    images = artifact.arrays["images"]
    flat, right = images.reshape(-1, *images.shape[2:]), np.array(artifact.numbers["first"])
    varied = np.array(artifact.numbers["distance"]) / [apart(real[name].features) for name in artifact.numbers["names"]]
    sheet(flat, 20, folder / f"ppgn_{net.card.arch}.png")
    print(
        f"  samples: {right.mean():.1%} taken for the class asked for (least {right.min():.0%}); distance of pairs "
        f"{varied.mean():.2f} of that of photos ({varied.min():.2f} to {varied.max():.2f})"
    )


PARTS = {"classes": classes, "hidden": hidden, "samples": samples}


def main() -> None:
    """Some lines per net."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("nets", nargs="*")
    parser.add_argument("--only", default=",".join(PARTS))
    given = parser.parse_args()
    for arch in given.nets or NETS:
        net = reportgen.load_net(arch, device="cpu")
        real, began = of_classes(net), time.process_time()
        print(arch)
        for part in given.only.split(","):
            PARTS[part](net, real, given.folder)
            print(f"  {time.process_time() - began:.0f} s so far", flush=True)


if __name__ == "__main__":
    main()
