"""Four tiny nets that between them call everything the big ones call; seeded, calibrated, in eval mode."""

from collections import OrderedDict

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from reportgen.errors import ImageError
from reportgen.examples import Dataset, Epoch, Example, TrainingRun

SIZE = 64
CLASSES = ("tabby, tabby cat", "golf_ball", "church", "garbage truck", "gas pump", "tench")


def plain():
    """AlexNet's kind: in-place modules, overlapping pools, dense layers, no batch norm."""
    parts = OrderedDict(
        features=nn.Sequential(
            nn.Conv2d(3, 8, 7, stride=2, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(8, 12, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(12, 10, 3, padding=1),
            nn.ReLU(inplace=True),
        ),
        avgpool=nn.AdaptiveAvgPool2d(3),
        flatten=nn.Flatten(),
        classifier=nn.Sequential(nn.Dropout(), nn.Linear(90, 16), nn.ReLU(inplace=True), nn.Linear(16, len(CLASSES))),
    )
    return nn.Sequential(parts)


class _Branching(nn.Module):
    """GoogLeNet's kind: branches joined by concatenation, ReLU as a function in place, ceil-mode pools."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 7, stride=2, padding=3, bias=False)
        self.norm1 = nn.BatchNorm2d(8, eps=0.001)
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.one = nn.Conv2d(8, 6, 1)
        self.three = nn.Conv2d(8, 6, 3, padding=1)
        self.fourth = nn.Conv2d(8, 4, 1)
        self.last = nn.Conv2d(16, 12, 3, padding=1)
        self.fc = nn.Linear(12, len(CLASSES))

    def forward(self, x):
        x = self.pool(functional.relu(self.norm1(self.conv1(x)), inplace=True))
        pooled = functional.max_pool2d(x, 3, stride=1, padding=1)
        branches = [self.one(x), self.three(x), self.fourth(pooled)]
        x = self.pool(torch.cat([functional.relu(branch, inplace=True) for branch in branches], 1))
        x = functional.relu(self.last(x), inplace=True)
        return self.fc(functional.adaptive_avg_pool2d(x, 1).flatten(1))


class _Block(nn.Module):
    def __init__(self, width_in, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)  # called twice
        same = stride == 1 and width_in == width
        self.short = nn.Identity() if same else nn.Conv2d(width_in, width, 1, stride, bias=False)

    def forward(self, x):
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += self.short(x)
        return self.relu(out)


def residual():
    """ResNet's kind: residual sums in place, batch norm, a ReLU module that is called twice."""
    parts = OrderedDict(
        conv1=nn.Conv2d(3, 8, 7, 2, 3, bias=False),
        bn1=nn.BatchNorm2d(8),
        relu=nn.ReLU(inplace=True),
        maxpool=nn.MaxPool2d(3, 2, 1),
        layer1=_Block(8, 8, 1),
        layer2=_Block(8, 12, 2),
        avgpool=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        fc=nn.Linear(12, len(CLASSES)),
    )
    return nn.Sequential(parts)


class _Functional(nn.Module):
    """Everything as a function: torch.relu, Tensor.relu, torch.max_pool2d."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 5, 2, 2)
        self.conv2 = nn.Conv2d(8, 10, 3, 1, 1)
        self.conv3 = nn.Conv2d(10, 10, 3, 1, 1)
        self.fc = nn.Linear(10 * 16, len(CLASSES))

    def forward(self, x):
        x = torch.max_pool2d(torch.relu(self.conv1(x)), 2)
        x = torch.max_pool2d(self.conv2(x).relu(), 2)
        x = self.conv3(x).relu_()
        return self.fc(functional.avg_pool2d(x, 2).flatten(1))


def branching():
    return _Branching()


def functions():
    return _Functional()


def calibrated(module, seed=0, size=SIZE):
    """The module with batch norm statistics of one batch of noise, frozen, in eval mode."""
    for child in module.modules():
        if isinstance(child, nn.BatchNorm2d):
            child.reset_running_stats()
            child.momentum = None  # the average over all batches, of which there is one
    x = torch.randn(4, 3, size, size, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        module.train()(x.to(next(module.parameters()).dtype))
    return module.eval().requires_grad_(False)


def seeded(build, seed=0, size=SIZE):
    """A calibrated net whose weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return calibrated(build(), seed, size)


KINDS = {"plain": plain, "branching": branching, "residual": residual, "functional": functions}


def net_of(module, size=SIZE, classes=CLASSES, precision="fp64", arch="tiny"):
    """A net with a true card around a module, for inputs of size x size, without weights being loaded."""
    from reportgen.nets import stages
    from reportgen.nets.trace import trace
    from reportgen.records import Card, Net, Preprocess

    module = module.to({"fp64": torch.float64, "bf16": torch.bfloat16}.get(precision, torch.float32))
    graph = trace(module, size)
    card = Card(
        arch=arch,
        builder=f"tests.{arch}",
        weights="0" * 64,  # no store looks at it
        weights_source="random, seed 0",
        preprocess=Preprocess(size, size, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        classes=tuple(classes),
        parameters=sum(p.numel() for p in module.parameters()),
        flops=graph.flops,
        depth=len([1 for call in graph.calls if call.kind in ("Conv2d", "Linear")]),
        layers=stages.layers(graph),
        stages=stages.stages(graph),
        aliases=stages.aliases(graph),
        global_pooling=stages.ends_in_global_pooling(graph),
        rectified=stages.is_rectified(graph),
    )
    return Net(module, card, "cpu", precision)


def tiny_net(kind, precision="fp32"):
    """One of the four tiny nets, with its card."""
    return net_of(seeded(KINDS[kind]), precision=precision, arch=kind)


def before(net):
    """A net of the same kind with other weights, as what a tiny net was before something was done to it."""
    return net_of(seeded(KINDS[net.card.arch], seed=1), precision=net.precision, arch=net.card.arch)


def photo(seed=0, size=SIZE):
    """A smooth random picture: blobs of colour, as photos have them."""
    noise = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    fine = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(seed + 1))
    smooth = functional.interpolate(noise, size=(size, size), mode="bilinear")
    return (0.8 * smooth + 0.2 * fine)[0].permute(1, 2, 0).numpy()  # H W 3


def example(place, size=SIZE):
    """A dark disc on a light picture, its upper half a part of it; where and how large it is depends on the place."""
    rng = np.random.default_rng(place)
    y, x = rng.uniform(0.35, 0.65, 2) * size
    rows, columns = np.mgrid[:size, :size]
    mask = (rows - y) ** 2 + (columns - x) ** 2 < (rng.uniform(0.15, 0.3) * size) ** 2
    picture = np.where(mask[:, :, None], 0.3, 1.0) * photo(place, size)
    top = mask & (rows < y)
    inside = np.argwhere(mask)
    box = (*inside.min(axis=0).tolist(), *(inside.max(axis=0) + 1).tolist())
    return Example(picture.astype(np.float32), mask, {"top": top, "bottom": mask & ~top}, {"middle": (x, y)}, box)


def dataset(count=20, broken=(), classes=("tabby", "golf ball", "church", "something else"), masks=True):
    """A labelled set of discs whose pictures of these places cannot be read; the nets know three of four classes."""

    def load(place):
        if place in broken:
            raise ImageError(f"The image {place} cannot be read.")
        return example(place) if masks else Example(example(place).picture)

    return Dataset(
        "discs",
        classes,
        tuple(f"{place}.png" for place in range(count)),
        tuple(place % len(classes) for place in range(count)),
        load,
        lambda: f"discs {count} {sorted(broken)} {classes} {masks}",
        masks,
        masks,
    )


def training_run(net, kind, repeats=2, data=None):
    """A made-up training of two epochs that ended at this net and began at one of its kind with other weights."""
    begin = net_of(seeded(KINDS[kind], seed=1), precision=net.precision, arch=kind)
    rng = np.random.default_rng(0)

    def log():
        first = Epoch(0, 0.0, None, None, 2.0, 0.2, tuple(rng.random(len(CLASSES))))
        rest = [Epoch(n, 0.1, 1 / n, 0.3 * n, 1.5 / n, 0.3 * n, tuple(rng.random(len(CLASSES)))) for n in (1, 2)]
        return (first, *rest)

    told = {"arch": kind, "epochs": 2, "batch": 4, "learning_rate": 0.1, "label_smoothing": 0.1, "size": SIZE}
    told |= {"seed": 0, "repeats": repeats, "training_pictures": 40, "validation_pictures": 20}
    told |= {"validation": ["0" * 64]}
    logs = tuple(log() for _ in range(repeats))
    nets = {0: begin, 2: net}
    return TrainingRun(CLASSES, logs, (0, 2), nets.__getitem__, dataset() if data is None else data, told)
