"""Strongest patches on real photos against a plain loop, and where the time of a pass goes.

    python -m tests.benchmarks.patches_check [check] [share] [bf16]

`check`: 300 photos, every stage of two nets, the method (lean net, batches, parts) against single pictures through the
net as it was built, in double precision. `share`: CPU seconds of a pass on one thread, in its parts. `bf16`: how much
of the nine the pass in bfloat16 finds. Needs `../shared/data/photos-val.zip`.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import reportgen
from reportgen import cells, hooks, passes, strongest_places
from reportgen.datasets import open_dataset
from reportgen.lean import lean
from reportgen.methods import top_patches
from reportgen.store import Store

PHOTOS = Path(__file__).parents[3] / "shared" / "data" / "photos-val.zip"


def found_by(net, data, stages):
    """The artifacts of the stages from one pass."""
    method = top_patches.METHOD
    jobs = []
    for stage in stages:
        params = method.params(layer=net.card.resolve(stage).name, units=(0,))
        key = {"image": None, "dataset": data.digest(), "uses": {}, "precision": net.precision, "seed": 0}
        jobs.append(passes.Job(method, params, cells.key_document(method, params, net.card, **key)))
    with tempfile.TemporaryDirectory() as folder:
        found = passes.scan(net, data, jobs, Store(Path(folder)), lambda _: None)
    for outcome in found.values():
        if isinstance(outcome.result, Exception):
            raise outcome.result
    return [found[job.key].result for job in jobs]


def check(count=300):
    """Every unit of every stage: the same pictures, the same positions, the same values."""
    data = open_dataset(str(PHOTOS), base=Path(), n=count)
    for name in ("resnet_mini", "vgg_mini"):
        net = reportgen.load_net(name, precision="fp64")
        stages = list(net.card.stages)
        artifacts = found_by(net, data, stages)
        values = {stage: [] for stage in stages}
        places = {stage: [] for stage in stages}
        worst = dict.fromkeys(stages, 0.0)
        for number in range(len(data)):
            x = net.preprocess([data.load(number).picture])
            maps = hooks.run_to(net.module, x, [net.card.resolve(stage).name for stage in stages])
            for stage in stages:
                own = maps[net.card.resolve(stage).name][0].numpy()
                flat = own.reshape(len(own), -1)
                values[stage].append(flat.max(axis=1))
                places[stage].append(np.stack(np.divmod(flat.argmax(axis=1), own.shape[2]), axis=1))
                arrays = artifacts[stages.index(stage)].arrays
                for unit, p in np.argwhere(arrays["images"] == number):  # what stands at the position that was found
                    y, x = arrays["positions"][unit, p]
                    worst[stage] = max(worst[stage], (flat[unit].max() - own[unit, y, x]) / flat.max())
        for stage, artifact in zip(stages, artifacts, strict=True):
            value, place = np.array(values[stage]), np.array(places[stage])  # N U (2)
            order = np.argsort(-value, axis=0, kind="stable")[:9]  # P U
            units = np.arange(value.shape[1])
            wanted = np.take_along_axis(value, order, axis=0).T
            far = np.abs(artifact.arrays["activations"] - wanted).max() / wanted.max()
            pictures = (artifact.arrays["images"] == order.T).mean()
            positions = (artifact.arrays["positions"] == place[order, units].transpose(1, 0, 2)).all(axis=2).mean()
            mean = np.abs(artifact.arrays["mean"] - value.mean(axis=0)).max() / value.mean(axis=0).max()
            print(
                f"{name} {stage}: {len(units)} units x 9: pictures {pictures:.2%}, positions {positions:.2%} the same; "
                f"values within {far:.1e}, means within {mean:.1e} of the largest; where a position is another one, "
                f"{worst[stage]:.1e} less stands there"
            )


def share(count=320, names=("vgg_mini", "resnet_mini", "alexnet_mini")):
    """CPU milliseconds per picture: reading, what the net sees, the forward pass to the last stage, the top nine."""
    torch.set_num_threads(1)
    data = open_dataset(str(PHOTOS), base=Path(), n=count)
    for name in names:
        net = reportgen.load_net(name)
        layers = [net.card.resolve(stage).name for stage in net.card.stages]
        quick = lean(net, layers)
        spent = dict.fromkeys(("decode", "view", "forward", "top nine"), 0.0)
        hooks.run_to(quick, net.preprocess([data.load(0).picture] * 16), layers)
        partials = []
        for first in range(0, count, 16):
            clock = [time.process_time()]
            pictures = [data.load(place).picture for place in range(first, first + 16)]
            clock.append(time.process_time())
            x = net.preprocess(pictures)
            clock.append(time.process_time())
            values = hooks.run_to(quick, x, layers)
            clock.append(time.process_time())
            places = range(first, first + 16)
            partials.append([strongest_places.of_batch(values[layer], places, 9, layer) for layer in layers])
            if len(partials) == 8:
                partials = [[strongest_places.joined(own) for own in zip(*partials, strict=True)]]
            clock.append(time.process_time())
            for part, seconds in zip(spent, np.diff(clock), strict=True):
                spent[part] += seconds
        total = sum(spent.values())
        words = ", ".join(f"{part} {1000 * s / count:.2f} ms ({s / total:.0%})" for part, s in spent.items())
        print(f"{name}, {len(layers)} stages: {1000 * total / count:.2f} ms a picture: {words}")


def bf16(count=300):
    """The share of the nine pictures that a pass in bfloat16 finds too."""
    data = open_dataset(str(PHOTOS), base=Path(), n=count)
    for name in ("resnet_mini", "vgg_mini"):
        stages = list(reportgen.load_net(name).card.stages)
        single, half = (found_by(reportgen.load_net(name, precision=p), data, stages) for p in ("fp32", "bf16"))
        for stage, one, other in zip(stages, single, half, strict=True):
            pairs = zip(one.arrays["images"], other.arrays["images"], strict=True)
            both = np.mean([len(set(a) & set(b)) / len(a) for a, b in pairs])
            print(f"{name} {stage}: {both:.1%} of the nine in bf16 are among the nine in fp32")


if __name__ == "__main__":
    if not PHOTOS.exists():
        sys.exit(f"{PHOTOS} is missing")
    for asked in sys.argv[1:] or ["check", "share"]:
        {"check": check, "share": share, "bf16": bf16}[asked]()
