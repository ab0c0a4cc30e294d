"""The transfer experiment on Caltech-101, printed: python -m tests.benchmarks.probe_check [CLASSES [TRAIN [POOL]]]

Classes that the mini nets were trained on are left out; so many of the others are taken, evenly over their list (all
where the number is 0). For each net the accuracy at every stage, and the seconds that the pass and the fits took.
"""

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

import reportgen

DATA = Path(__file__).parents[2].parent / "shared" / "data"
KNOWN = ("face", "motorbike", "airplane", "sunflower", "lotus", "water_lil")
NETS = ("squeezenet1_0", "vgg_mini", "resnet_mini")


def caltech(count):
    """The data set with so many classes, none of which the mini nets know."""
    data = reportgen.load_dataset(DATA / "caltech101.zip")
    fit = [k for k, name in enumerate(data.classes) if not name.lower().startswith(KNOWN)]
    count = min(count or len(fit), len(fit))
    return only(data, [fit[i] for i in np.linspace(0, len(fit) - 1, count).round().astype(int)])


def only(data, classes):
    """The pictures of some classes."""
    places = [place for place, label in enumerate(data.labels) if label in classes]
    return replace(
        data,
        classes=tuple(data.classes[k] for k in classes),
        names=tuple(data.names[place] for place in places),
        labels=tuple(classes.index(data.labels[place]) for place in places),
        load=lambda place: data.load(places[place]),
        digest=lambda: f"{data.digest()} {classes}",
    )


def load(name):
    weights = {"weights": str(DATA / "squeezenet1_0-imagenet1k.safetensors")} if name == "squeezenet1_0" else {}
    return reportgen.load_net(name, **weights)


def main(classes=20, train=15, pool=2):
    data = caltech(classes)
    print(f"{len(data):,} pictures of {len(data.classes)} classes: {', '.join(data.classes)}")
    for name in NETS:
        start = time.perf_counter()
        found = reportgen.compute("probe", load(name), data, train=train, pool=pool)
        seconds, numbers = time.perf_counter() - start, found.numbers
        print(f"{name}: {seconds:.0f} s; the picture alone {numbers['picture']:.1%}, chance {numbers['chance']:.1%}")
        for row in zip(*(numbers[key] for key in ("layers", "widths", "means", "spreads", "on_training")), strict=True):
            print("  {:12} {:6,} features  {:6.1%} ± {:.1%}  (training pictures {:.0%})".format(*row))


if __name__ == "__main__":
    main(*(int(value) for value in sys.argv[1:]))
