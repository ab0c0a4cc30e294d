"""What the maps are worth, as a table: python -m tests.benchmarks.localization_table N NET [NET ...] [--set SOURCE]

NET is an architecture with weights of its own (vgg_mini), or ARCH:FILE for one trained on the classes of the set. The
set is the rendered world of 128 pixels, or any source that has masks. Printed is Markdown: the scores of every map and
net, then by how much maps beat those of the same net with random weights, and how much alike the two are (rank
correlation over pixels): a map that hardly changes with the weights shows the picture, not the net.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

import reportgen
from reportgen import attribution, localizing
from reportgen.datasets import open_dataset
from reportgen.rendered import world

TWINS = ("saliency", "guided", "grad_cam")


def net_of(name, data):
    arch, _, weights = name.partition(":")
    if not weights:
        return reportgen.load_net(arch, device="cpu")
    return reportgen.load_net(arch, weights=weights, classes=list(data.classes), device="cpu")


def likeness(artifact):
    """The rank correlation of trained and untrained maps of the shown pictures, by method."""
    names, maps = artifact.numbers["methods"], artifact.arrays["maps"]
    found = {}
    for name in TWINS:
        twin = f"{attribution.UNTRAINED}{name}"
        if name in names and twin in names:
            pairs = [(own[names.index(name)], own[names.index(twin)]) for own in maps]
            found[name] = [spearmanr(a, b, axis=None).statistic for a, b in pairs if a.any() and b.any()]
    return found


def report(name, artifact, seconds):
    numbers = artifact.numbers
    area = numbers["area"][0]
    print(f"\n### {name}: {numbers['scored']} pictures, {seconds:.0f} s; masks cover {area:.1%}; ", end="")
    print(
        f"{numbers['by_label']} explained for their own class, which the net agrees with in {numbers['agrees']:.0%}\n"
    )
    print("| map | pointing | energy | IoU |\n|---|---|---|---|")
    for one in numbers["methods"]:
        scores = [numbers["scores"][one][score] for score in localizing.SCORES]
        print(f"| {attribution.label(one)} | {' | '.join(f'{mean:.3f} ± {error:.3f}' for mean, error in scores)} |")
    print(f"| share of the masks | {area:.3f} | {area:.3f} | {area / (2 - area):.3f} |\n")
    for one, same in likeness(artifact).items():
        gain = numbers["beats"][one][f"{attribution.UNTRAINED}{one}"]
        words = [f"{score} {gain[score][0]:+.3f} ({gain[score][0] / gain[score][1]:+.1f} errors)" for score in gain]
        alike = f"{np.mean(same):.2f} over {len(same)} pictures" if same else "nowhere to be had"
        print(f"- {attribution.label(one)} beyond random weights: {', '.join(words)}; rank correlation {alike}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("count", type=int)
    parser.add_argument("nets", nargs="+")
    parser.add_argument("--set", dest="source")
    given = parser.parse_args()
    data = world("objects", given.count) if not given.source else open_dataset(given.source, base=Path(), n=given.count)
    for name in given.nets:
        start = time.perf_counter()
        artifact = reportgen.compute("localization", net_of(name, data), data, examples=min(40, given.count))
        report(name, artifact, time.perf_counter() - start)


if __name__ == "__main__":
    main()
