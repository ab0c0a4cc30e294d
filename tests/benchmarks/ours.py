"""reportgen in the run of the peers: `peers.py --extra tests/benchmarks/ours.py --threads 1` of the shared bench.

W1 is the input gradient behind `saliency`; W2 the projections behind `deconvnet`: one forward pass to the layer serves
all units and both rules. Read the numbers as ratios to the other tools of the same run.
"""

from peers import MID, tool

from reportgen import hooks, project, rules
from reportgen.records import Net


def frozen(ctx):
    """The shared network as we run it: no gradients of weights."""
    return ctx.model.requires_grad_(False)


@tool("W1", "reportgen saliency, one batch")
def saliency(ctx):
    n = ctx.size["images"]
    x, targets = ctx.images(n), ctx.targets(n)

    def run(k):
        net = Net(frozen(ctx), None, "cpu", "fp32")
        return project.input_gradient(net, x[:k], targets[:k])[0][0].abs()

    return run, n


def projections(kind, rule):
    @tool(f"W2-{kind}", "reportgen deconvnet, one forward")
    def build(ctx):
        import torch

        n, x, layer = ctx.size["channels"], ctx.images(1), MID[ctx.name]
        units = ctx.strongest(n)

        def run(k):
            inputs = x.clone().requires_grad_()
            with rules.recording() as tape:
                value = hooks.run_to(frozen(ctx), inputs, [layer], grad=True)[layer]
            found = []
            for unit in units[:k]:
                seed = torch.zeros_like(value)
                seed[(0, *unit)] = 1
                found.append(tape.backward(value, inputs, seed, rule)[0])
            return found[0]

        return run, n


projections("deconv", "deconvnet")
projections("guided", "guided")
