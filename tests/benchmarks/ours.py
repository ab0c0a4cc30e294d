"""reportgen in the run of the peers: `peers.py --extra tests/benchmarks/ours.py --threads 1` of the shared bench.

Every adapter does what the method of that name does to a normalised input, without reading pictures (but in W5) and
without pages.
The net is loaded once (its card, the folding of batch norm), as a report does; everything else is inside the time.
Read the numbers as ratios to the other tools of the same run. Run it with the repository's root in PYTHONPATH.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from peers import ASCENT_SIDE, FIVE, LAST, MID, TOP_K, jpeg_folder, occlusion_grids, tool

from reportgen import ascent, hooks, passes, project, regions, strongest_places, tape
from reportgen.dataset_stream import stream
from reportgen.datasets import open_dataset
from reportgen.lean import lean
from tests import tiny

_nets = {}


def net_of(ctx):
    """The shared network as we run it: frozen, with its card."""
    ctx.model.requires_grad_(False)
    if ctx.name not in _nets:
        _nets.clear()
        _nets[ctx.name] = tiny.net_of(ctx.model, 224, [str(k) for k in range(1000)], "fp32", ctx.name)
    return _nets[ctx.name]


@tool("W1", "reportgen saliency")
def saliency(ctx):
    n = ctx.size["images"]
    x, targets = ctx.images(n), ctx.targets(n)
    return lambda k: project.input_gradient(net_of(ctx), x[:k], targets[:k])[0][0].abs(), n


def projections(kind, rule):
    @tool(f"W2-{kind}", "reportgen deconvnet")
    def build(ctx):
        n, x = ctx.size["channels"], ctx.images(1)
        units = ctx.strongest(n)

        def run(k):
            layer = net_of(ctx).card.resolve(MID[ctx.name])
            recorded, _ = project.record(net_of(ctx), x, layer.name)
            places = [(y, c) for _, y, c in units[:k]]
            boxes = [layer.box(place, 224) for place in places]
            found = project.projections(recorded, [unit for unit, _, _ in units[:k]], places, boxes, [rule])[rule]
            whole = torch.zeros(3, 224, 224)
            y0, x0, y1, x1 = boxes[0]
            top, left = max(0, y0), max(0, x0)
            inner = found[0, :, top - y0 : 224 - y0, left - x0 : 224 - x0]
            whole[:, top:y1, left:x1] = torch.from_numpy(inner)
            return whole

        return run, n


projections("deconv", "deconvnet")
projections("guided", "guided")


@tool("W3", "reportgen occlusion")
def occlusion(ctx):
    x, grids = ctx.images(1), occlusion_grids(ctx)

    def run(k):
        patch, stride = grids[k]
        steps = range(0, 224 - patch + 1, stride)
        recorded = tape.record(net_of(ctx), x)
        for corners in regions.chunks([(i, j) for i in steps for j in steps], regions.CHUNK):
            regions.changed(recorded, corners, torch.zeros(3, patch, patch), [recorded.output])

    return run, max(grids)


@tool("W4", "reportgen gradient_ascent")
def gradient_ascent(ctx):
    channels, steps = ctx.size["ascent"]

    def run(k):
        net = net_of(ctx)
        n, todo = (channels, steps) if k == channels * steps else (k, 1)
        how = {"preset": "fourier", "objective": "channel", "steps": todo, "size": ASCENT_SIDE}
        ascent.climb(net, net.card.resolve(MID[ctx.name]), range(n), rng=np.random.default_rng(0), **how)

    return run, channels * steps


@tool("W5", "reportgen top_patches")
def top_patches(ctx):
    """With reading pictures, as the others of W5; without the projections that they do not make."""
    n, names = ctx.size["dataset"], FIVE[ctx.name]
    data = open_dataset(str(jpeg_folder()), base=Path())

    def run(k):
        net, first = net_of(ctx), {name: [] for name in names}
        quick = lean(net, names)
        for read in stream(replace(data, names=data.names[:k]), size=passes.BATCH):
            places, examples = zip(*read, strict=True)
            values = hooks.run_to(quick, net.preprocess([one.picture for one in examples]), names)
            for name in names:
                first[name].append(strongest_places.of_batch(values[name], places, TOP_K, name))
        return {name: strongest_places.joined(partials) for name, partials in first.items()}

    return run, n


@tool("W6", "reportgen grad_cam")
def grad_cam(ctx):
    n = ctx.size["images"]
    x, targets = ctx.images(n), ctx.targets(n)

    def run(k):
        value, gradient, _ = project.layer_gradient(net_of(ctx), x[:k], targets[:k], LAST[ctx.name])
        coarse = (gradient.mean(dim=(2, 3), keepdim=True) * value).sum(dim=1)  # N h w
        project.enlarged(coarse.clamp(min=0), 224, net_of(ctx).card.resolve(LAST[ctx.name]).places(224))

    return run, n


def sums(workload, label, points):
    @tool(workload, label)
    def build(ctx):
        n, x, targets = ctx.size["samples"], ctx.images(1), ctx.targets(1)
        rng = np.random.default_rng(0)

        def run(k):
            project.gradient_sums(net_of(ctx), x, targets, points(x[0], k, rng), 1)

        return run, n


def noisy(x, k, rng):
    for _ in range(k):
        yield x + 0.5 * torch.from_numpy(rng.standard_normal(tuple(x.shape))).float(), 0, 0, 1.0


def on_the_way(x, k, rng):
    for step in range(k):
        yield x * ((step + 0.5) / k), 0, 0, 1 / k


sums("W8-smoothgrad", "reportgen smoothgrad", noisy)
sums("W8-ig", "reportgen integrated_gradients", on_the_way)
