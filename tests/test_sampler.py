"""The walk over codes against the same steps written out in NumPy, and what a net sees of a generated picture."""

import numpy as np
import pytest
import torch
from torch import nn

from reportgen import generators, sampler, seeing
from reportgen.errors import MethodError
from tests import tiny

SIZE, WIDTH, CLASSES, FILTERS = 12, 7, 6, 4
NUMBERS = np.random.default_rng(3)
CONV, BIAS = NUMBERS.normal(size=(FILTERS, 3, 3, 3)) / 3, NUMBERS.normal(size=FILTERS) / 3
DENSE = NUMBERS.normal(size=(CLASSES, FILTERS))
PAINTER, COLOUR = NUMBERS.normal(size=(3 * SIZE**2, WIDTH)) / 5, NUMBERS.uniform(0.2, 0.8, 3 * SIZE**2)
LIKELY = NUMBERS.normal(size=(WIDTH, WIDTH)) / 4
MEAN, STD = np.array((0.485, 0.456, 0.406)), np.array((0.229, 0.224, 0.225))
HIGH = NUMBERS.uniform(2, 5, WIDTH)


def small_net(precision="fp64"):
    module = nn.Sequential(
        nn.Conv2d(3, FILTERS, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(FILTERS, CLASSES)
    )
    with torch.no_grad():
        for part, weight, bias in ((module[0], CONV, BIAS), (module[4], DENSE, np.zeros(CLASSES))):
            part.weight.copy_(torch.from_numpy(weight))
            part.bias.copy_(torch.from_numpy(bias))
        module.double()
        module[0].weight.copy_(torch.from_numpy(CONV))
        module[0].bias.copy_(torch.from_numpy(BIAS))
        module[4].weight.copy_(torch.from_numpy(DENSE))
    return tiny.net_of(module.eval().requires_grad_(False), SIZE, precision=precision)


def linear(weight, bias):
    part = nn.Linear(weight.shape[1], weight.shape[0]).double()
    with torch.no_grad():
        part.weight.copy_(torch.from_numpy(weight))
        part.bias.copy_(torch.from_numpy(bias))
    return part.requires_grad_(False)


def linear_generator(autoencoder=True, high=HIGH):
    return generators.Generator(
        module=nn.Sequential(linear(PAINTER, COLOUR), nn.Unflatten(1, (3, SIZE, SIZE))),
        width=WIDTH,
        size=SIZE,
        layer="nothing",
        net="no net",
        paint=lambda x: x,
        low=np.zeros(WIDTH),
        high=high,
        digest="",
        source="test",
        autoencoder=linear(LIKELY, np.zeros(WIDTH)) if autoencoder else None,
    )


# --------------------------------------------------------------------------------------------- the same without torch


def forward(code):
    """The net's input, the values before the rectifier and the logits for one code, position by position."""
    picture = (PAINTER @ code + COLOUR).reshape(3, SIZE, SIZE)
    x = (picture - MEAN[:, None, None]) / STD[:, None, None]
    side = SIZE - 2
    before = np.zeros((FILTERS, side, side))
    for row in range(side):
        for column in range(side):
            before[:, row, column] = (CONV * x[None, :, row : row + 3, column : column + 3]).sum((1, 2, 3)) + BIAS
    return before, DENSE @ np.maximum(before, 0).mean((1, 2))


def slope(before, weights):
    """The gradient of a weighted sum of the pooled features in the net's input, 3 x H x W."""
    side = SIZE - 2
    out = np.zeros((3, SIZE, SIZE))
    for row in range(side):
        for column in range(side):
            open_ = (before[:, row, column] > 0) * weights / side**2
            out[:, row : row + 3, column : column + 3] += (open_[:, None, None, None] * CONV).sum(0)
    return out


def to_code(gradient):
    return PAINTER.T @ (gradient / STD[:, None, None]).ravel()


def by_hand(unit, how, rng, high=HIGH):
    scale = high.mean() / 12
    code = scale * rng.normal(size=WIDTH)
    trace = []
    for step in range(how.steps):
        rate = how.rates[0] + (how.rates[1] - how.rates[0]) * step / how.steps
        before, logits = forward(code)
        trace.append(logits[unit])
        gradient = slope(before, DENSE[unit])
        if how.likelihood:
            shares = np.exp(logits - logits.max())
            gradient = (1 - shares[unit] / shares.sum()) * gradient
        else:
            gradient = rate / np.abs(gradient).mean() * gradient  # the paper's first normalisation, with its step
        direction = how.condition * scale * to_code(gradient)
        direction = direction + how.prior * (LIKELY @ code - code) / scale
        if how.noise:
            direction = direction + rng.normal(0, how.noise, WIDTH)
        code = code + rate * scale * direction / np.abs(direction).mean()
        if how.bounded:
            code = np.clip(code, 0, high)
        code = code * how.decay
    return code, np.array([*trace, forward(code)[1][unit]])


def walked(how, units=(2, 5), generator=None, net=None, kept=()):
    net = net or small_net()
    rngs = [np.random.default_rng([9, unit]) for unit in units]
    return sampler.walk(net, net.card.resolve("logits"), list(units), generator or linear_generator(), how, rngs, kept)


@pytest.mark.parametrize(
    "how",
    [
        sampler.Walk(25, (8.0, 1e-10), decay=0.99),  # DGN
        sampler.Walk(25, (2.0, 1e-10), bounded=False),
        sampler.Walk(25, (1.0, 1.0), likelihood=True, prior=0.3, noise=0.2),  # PPGN
        sampler.Walk(25, (1.0, 0.1), likelihood=True, prior=0.05, condition=2.0, noise=1e-17, bounded=False),
    ],
    ids=["dgn", "dgn without bounds", "ppgn", "ppgn without bounds"],
)
def test_every_step_is_the_one_written_out_by_hand(how):
    found = walked(how)
    for row, unit in enumerate((2, 5)):
        code, trace = by_hand(unit, how, np.random.default_rng([9, unit]))
        assert np.abs(found.codes[row, 0] - code).max() < 1e-6 * max(1, np.abs(code).max())
        told = np.array([found.start[row], *found.activation[row]])
        assert np.abs(told[:-1] - trace[:-1]).max() < 1e-5 * np.abs(trace).max()  # kept in single precision
        picture = np.clip((PAINTER @ code + COLOUR).reshape(3, SIZE, SIZE), 0, 1)
        assert np.abs(found.images[row, 0] - picture).max() < 1e-6


def test_without_prior_and_noise_the_sampler_is_dgn_without_bounds():
    plain = sampler.Walk(30, (1.5, 0.5), bounded=False)
    sampled = sampler.Walk(30, (1.5, 0.5), bounded=False, likelihood=True, prior=0.0, noise=0.0)
    assert np.abs(walked(plain).codes - walked(sampled).codes).max() < 1e-6
    assert np.abs(walked(plain).codes - walked(sampler.Walk(30, (1.5, 0.5), decay=0.99)).codes).max() > 0.1


def test_each_term_of_the_sampler_moves_the_code():
    base = {"steps": 5, "rates": (1.0, 1.0), "likelihood": True, "bounded": False}
    whole = walked(sampler.Walk(**base, prior=0.3, noise=0.2)).codes
    for left_out in ({"prior": 0.0, "noise": 0.2}, {"prior": 0.3, "noise": 0.0}):
        assert np.abs(walked(sampler.Walk(**base, **left_out)).codes - whole).max() > 0.01
    only_prior = walked(sampler.Walk(**base, prior=1.0, condition=0.0)).codes[:, 0]
    assert np.abs(only_prior[0] - by_hand(2, sampler.Walk(**base, prior=1.0, condition=0.0),
                                          np.random.default_rng([9, 2]))[0]).max() < 1e-6  # fmt: skip


def test_codes_stay_within_the_generators_bounds_at_every_step_kept():
    how = sampler.Walk(12, (40.0, 40.0))
    found = walked(how, kept=(3, 6, 12))
    assert found.codes.shape == (2, 3, WIDTH)
    assert found.images.shape == (2, 3, 3, SIZE, SIZE)
    assert (found.codes >= 0).all()
    assert (found.codes <= HIGH.astype(np.float32)).all()
    assert (found.codes == HIGH.astype(np.float32)).any(), "steps of this length reach the bounds"
    assert np.abs(walked(how).codes[:, 0] - found.codes[:, -1]).max() == 0


def test_a_chain_does_not_depend_on_its_company():
    how = sampler.Walk(6, (1.0, 1.0), likelihood=True, prior=0.1, noise=0.1)
    many = walked(how, units=list(range(6)) * 4)
    for unit in (0, 5):
        assert np.abs(walked(how, units=[unit]).codes[0] - many.codes[unit]).max() < 1e-6


def test_where_centres_of_photos_codes_are_known_chains_start_near_one_else_as_in_the_paper():
    from dataclasses import replace

    plain = linear_generator()
    rngs = [np.random.default_rng(seed) for seed in range(400)]
    assert np.abs(sampler.start(plain, rngs).std(0) - plain.scale).max() < 0.15 * plain.scale
    centres, spread = NUMBERS.uniform(0, 2, (3, WIDTH)), np.linspace(0.1, 0.3, WIDTH)
    codes = sampler.start(replace(plain, centres=centres, spread=spread), rngs)
    nearest = np.abs(codes[:, None] - centres).mean(2).argmin(1)
    assert np.bincount(nearest, minlength=3).min() > 100
    inside = (centres[0] > spread) & (centres[0] < HIGH - spread)
    assert np.abs(codes[nearest == 0].mean(0) - centres[0])[inside].max() < 0.02
    assert np.abs(codes[nearest == 0].std(0) / spread - 0.25)[inside].max() < 0.05
    assert codes.min() >= 0


def test_of_several_tries_the_one_at_which_the_unit_is_strongest_is_climbed():
    how = sampler.Walk(3, (0.1, 1e-10))
    one, best = (walked(sampler.Walk(3, (0.1, 1e-10), tries=tries)) for tries in (1, 30))
    assert walked(how).codes.tobytes() == one.codes.tobytes()
    for row, unit in enumerate((2, 5)):
        rng = np.random.default_rng([9, unit])
        drawn = [HIGH.mean() / 12 * rng.normal(size=WIDTH) for _ in range(30)]
        assert abs(best.start[row] - max(forward(code)[1][unit] for code in drawn)) < 1e-5
    assert (best.start >= one.start).all()
    assert (best.start > one.start).any()


def test_a_hidden_unit_is_climbed_by_its_activation_and_its_share_among_its_neighbours():
    net = small_net()
    layer = net.card.resolve("1")
    how = sampler.Walk(40, (2.0, 1e-10), decay=1.0)
    rngs = [np.random.default_rng(unit) for unit in range(FILTERS)]
    found = sampler.walk(net, layer, list(range(FILTERS)), linear_generator(), how, rngs)
    assert (found.activation[:, -1] > found.start).all()
    likely = sampler.Walk(40, (0.5, 0.5), likelihood=True)
    sampled = sampler.walk(net, layer, list(range(FILTERS)), linear_generator(), likely, rngs)
    assert np.isfinite(sampled.codes).all()


def test_a_unit_that_is_silent_at_every_place_is_pushed_up_all_the_same():
    net, how = small_net(), sampler.Walk(10, (1.0, 1e-10), bounded=False)
    with torch.no_grad():
        net.module[0].bias[1] = -40.0
    found = sampler.walk(net, net.card.resolve("1"), [1], linear_generator(), how, [np.random.default_rng(0)])
    assert found.start[0] == 0
    first = HIGH.mean() / 12 * np.random.default_rng(0).normal(size=WIDTH)
    was, now = (forward(code)[0][1, 1::4, 1::4].mean() for code in (first, found.codes[0, 0]))  # where it is climbed
    assert now > was + 0.5


def test_without_an_autoencoder_there_is_no_prior():
    how = sampler.Walk(3, (1.0, 1.0), likelihood=True, prior=0.1)
    with pytest.raises(MethodError, match=r"has no autoencoder .* leave the prior out"):
        walked(how, generator=linear_generator(autoencoder=False))
    walked(sampler.Walk(3, (1.0, 1.0), likelihood=True), generator=linear_generator(autoencoder=False))


def test_weights_that_overflow_are_told_in_a_sentence():
    generator = linear_generator()
    generator.module[0].weight[0, 0] = float("nan")
    with pytest.raises(MethodError, match="led to NaN or infinity"):
        walked(sampler.Walk(2, (1.0, 1.0)), generator=generator)


@pytest.mark.parametrize(("resize", "size", "side"), [(40, 32, 24), (40, 32, 64), (32, 32, 32), (28, 32, 30)])
def test_a_net_sees_a_generated_picture_as_it_sees_a_photo(resize, size, side):
    from dataclasses import replace

    net = tiny.tiny_net("branching")
    view = replace(net.card.preprocess, resize=resize, size=size)
    net = replace(net, card=replace(net.card, preprocess=view))
    picture = np.round(tiny.photo(4, side) * 255) / 255
    x = seeing.seen(net, torch.from_numpy(picture).float().permute(2, 0, 1)[None])
    wanted = net.preprocess([picture.astype(np.float32)])
    inside = slice(max(0, (size - resize) // 2), size - max(0, (size - resize) // 2))
    difference = (x - wanted).abs()[..., inside, inside].max() * 0.225
    assert x.shape == wanted.shape
    assert difference < 1.6 / 255, "apart from rounding to 8 bits"


def test_what_is_said_of_finished_pictures_is_what_the_net_says_of_photos():
    net = tiny.tiny_net("residual")
    pictures = np.stack([tiny.photo(seed).transpose(2, 0, 1) for seed in range(18)])
    asked = [seed % CLASSES for seed in range(18)]
    said = seeing.judged(net, net.card.resolve("logits"), asked, pictures)
    with torch.no_grad():
        logits = net.module(net.preprocess([one.transpose(1, 2, 0) for one in pictures]))
    own = logits[torch.arange(18), asked].numpy()
    assert np.abs(said.activation - own).max() < 1e-5
    assert np.abs(said.probability - torch.softmax(logits, 1)[torch.arange(18), asked].numpy()).max() < 1e-5
    assert said.first.tolist() == (logits.argmax(1).numpy() == asked).tolist()
    hidden = seeing.judged(net, net.card.resolve("last_conv"), asked, pictures)
    assert np.isnan(hidden.probability).all()
    assert hidden.features.shape == said.features.shape == (18, 12)
