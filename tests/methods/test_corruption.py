"""Corruption is the net, and its class map, called by hand on the damaged picture; curves and words follow from it."""

import numpy as np
import pytest
import torch
from torch import nn

from reportgen import corrupt, images, keys
from reportgen.errors import MethodError
from reportgen.methods import method
from reportgen.records import Input
from reportgen.spec_params import make_params, section_problems
from tests import families, reference, tiny

FOUND = method("corruption")
SOME = {"corruptions": ("grey", "blur:3:0.8", "salt_pepper:0.01"), "lambdas": (0.01, 0.1), "sigmas": (1.0,)}


def corruption(net, pictures, labels=(), seed=0, **params):
    inputs = [Input(picture, labels) for picture in pictures]
    predictions = method("prediction").run(net, inputs, method("prediction").params(), [])
    inputs = [Input(one.picture, labels, {"prediction": p}) for one, p in zip(inputs, predictions, strict=True)]
    return FOUND.run(net, inputs, FOUND.params(**params), [np.random.default_rng(seed + n) for n in range(len(inputs))])


def normalised(net, seen):
    mean, std = (np.array(part)[None, :, None, None] for part in (net.card.preprocess.mean, net.card.preprocess.std))
    return torch.from_numpy((seen.astype(np.float64) - mean) / std)


def class_map(net, x, target):
    """Grad-CAM by its definition, from an own forward pass and loops over channels."""
    layer = net.card.aliases["last_conv"]
    kept = []
    with torch.enable_grad():
        handle = net.module.get_submodule(layer).register_forward_hook(
            lambda m, i, out: kept.append(out.clone().requires_grad_()) or kept[0].clone()
        )
        logits = net.module(x)
        handle.remove()
        gradient = torch.autograd.grad(logits[0, target], kept[0])[0][0]  # C h w
    value = kept[0].detach()[0]
    out = torch.zeros_like(value[0])
    for channel in range(len(value)):
        out += gradient[channel].sum() / gradient[channel].numel() * value[channel]
    return out.numpy()


@pytest.mark.parametrize("arch", families.ARCHS)
def test_in_double_precision_it_is_the_net_and_its_class_map_by_hand_on_each_picture(arch):
    net = families.net(arch)
    (artifact,) = corruption(net, [tiny.photo(1)], **SOME)
    target = artifact.numbers["target"]
    for seen, found, coarse in zip(
        *(artifact.arrays[name] for name in ("pictures", "probabilities", "maps")), strict=True
    ):
        x = normalised(net, seen[None])
        with torch.no_grad():
            by_hand = net.module(x)[0].softmax(0).numpy()
        assert families.relative(found, by_hand) < 1e-6
        assert families.relative(coarse, class_map(net, x, target)) < 1e-6
    assert artifact.arrays["probabilities"].shape == (4, 1000)


@pytest.mark.parametrize("arch", families.ARCHS)
def test_single_precision_agrees_with_double(arch):
    (double,) = corruption(families.net(arch), [tiny.photo(1)], target=7, **SOME)
    (single,) = corruption(families.net(arch, "fp32"), [tiny.photo(1)], target=7, **SOME)
    assert families.relative(single.arrays["probabilities"], double.arrays["probabilities"]) < 1e-3
    assert families.cosine(single.arrays["maps"], double.arrays["maps"]) > 0.999


def test_the_first_picture_is_untouched_and_the_others_are_damaged_as_they_are_called():
    net = tiny.tiny_net("plain", "fp64")
    photo = tiny.photo(1)
    (artifact,) = corruption(net, [photo], corruptions=("grey", "brg", "blur:5:1.1"), lambdas=(), sigmas=())
    seen = images.view(photo, net.card.preprocess)
    expected = [seen, corrupt.grey(seen), corrupt.reordered(seen, "brg"), corrupt.gaussian_blur(seen, 5, 1.1)]
    assert np.array_equal(artifact.arrays["pictures"], np.stack(expected).transpose(0, 3, 1, 2))
    (prediction,) = method("prediction").run(net, [Input(photo)], method("prediction").params(), [])
    assert np.allclose(artifact.arrays["probabilities"][0], prediction.arrays["probabilities"], atol=1e-7)
    numbers, probabilities = artifact.numbers, artifact.arrays["probabilities"]
    assert numbers["words"] == ["untouched", "grey", "channels BRG", "blur 5 x 5, sigma 1.1"]
    for k, own in enumerate(probabilities):
        assert [entry["index"] for entry in numbers["top5"][k]] == sorted(range(6), key=lambda c: -own[c])[:5]
        assert numbers["change"][k] == pytest.approx(own[numbers["target"]] - probabilities[0, numbers["target"]])
        assert numbers["flips"][k] == (own.argmax() != probabilities[0].argmax())
    assert numbers["flipped"] == sum(numbers["flips"])


def test_a_curve_goes_through_the_point_that_is_shown_because_its_noise_is_the_same():
    net = tiny.tiny_net("branching", "fp64")
    (artifact,) = corruption(net, [tiny.photo(1)], corruptions=["salt_pepper:0.05"], lambdas=(0.05, 0.01), sigmas=())
    target = artifact.numbers["target"]
    assert artifact.arrays["lambda"].tolist() == [0.01, 0.05]
    assert artifact.arrays["lambda_probability"][1] == pytest.approx(artifact.arrays["probabilities"][1, target])
    (blurred,) = corruption(net, [tiny.photo(1)], corruptions=["blur:7:1"], lambdas=(), sigmas=(1.0,))
    assert blurred.arrays["sigma_probability"][0] == pytest.approx(blurred.arrays["probabilities"][1, target])
    assert [panel.name for panel in FOUND.panels(blurred)] == ["confidence", "pictures", "answers", "blur"]


def test_nets_of_one_input_size_see_the_same_noise_and_pictures_of_a_batch_do_not_mix():
    pictures = [tiny.photo(1), tiny.photo(2)]
    plain, branching = (corruption(tiny.tiny_net(kind), pictures, **SOME) for kind in ("plain", "branching"))
    for one, two in zip(plain, branching, strict=True):
        assert np.array_equal(one.arrays["pictures"], two.arrays["pictures"])
    (alone,) = corruption(tiny.tiny_net("plain"), pictures[1:], seed=1, **SOME)
    for name in FOUND.arrays:
        assert np.allclose(alone.arrays[name], plain[1].arrays[name], atol=1e-6), name


def test_another_resolution_is_printed_and_its_untouched_picture_takes_the_same_way():
    net = tiny.tiny_net("residual")
    (small,) = corruption(net, [tiny.photo(1)], resolution=16, **SOME)
    (whole,) = corruption(net, [tiny.photo(1, 200)], resolution="source", **SOME)
    assert small.numbers["resolution"] == "16 x 16 pixels"
    assert whole.numbers["resolution"] == "the source's 200 x 200 pixels"
    assert all("16 x 16 pixels" in panel.caption + "".join(panel.columns) for panel in FOUND.panels(small))
    seen = small.arrays["pictures"]
    assert abs(np.diff(seen[0], axis=2)).mean() < 0.5 * abs(np.diff(tiny.photo(1), axis=1)).mean()
    assert small.numbers["untouched"] == pytest.approx(
        seen_probability(net, seen[0], small.numbers["target"]), abs=1e-5
    )


def seen_probability(net, seen, target):
    with torch.no_grad():
        return float(net.module(normalised(net, seen[None]).float())[0].softmax(0)[target])


def test_a_net_without_a_convolution_has_answers_and_no_maps():
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, len(tiny.CLASSES)))
    net = tiny.net_of(tiny.seeded(lambda: module, size=8), size=8)
    (artifact,) = corruption(net, [tiny.photo(1, 8)], **SOME)
    assert artifact.arrays["maps"].shape == (4, 0, 0)
    pictures = FOUND.panels(artifact)[1]
    assert pictures.values.shape == (4, 1, 3, 8, 8)
    assert "class map" not in pictures.alt
    assert reference.value_of(net.module, normalised(net, artifact.arrays["pictures"]), "0").shape == (4, 192)


def test_the_overlay_is_the_grey_picture_where_nothing_speaks_for_the_class_and_peaks_where_most_does():
    from reportgen import project
    from reportgen.patterns import HEAT, over

    picture = np.full((3, 32, 32), 0.5)
    coarse = np.zeros((4, 4))
    coarse[3, 0] = 2.0
    enlarged = project.enlarged(coarse[None], 32, ((3.5, 3.5), (8.0, 8.0)))[0]
    drawn = over(picture, enlarged, high=2.0)
    assert drawn.shape == (3, 32, 32)
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    yellow, violet = np.array([253, 231, 37]) / 255, np.array([68, 1, 84]) / 255  # the ends of viridis
    np.testing.assert_allclose(drawn[:, 31, 0], HEAT * yellow + (1 - HEAT) * 0.5, atol=1e-9)
    nothing = drawn[:, enlarged == 0].T
    assert len(nothing) > 500
    np.testing.assert_allclose(nothing, np.tile(HEAT * violet + (1 - HEAT) * 0.5, (len(nothing), 1)), atol=1e-9)


def test_params_have_one_form_that_can_be_hashed():
    one = make_params(FOUND, {"corruptions": ["GREY", {"blur": {"kernel": 3, "sigma": 0.8}}], "lambdas": [0.1, 0.01]})
    two = FOUND.params(corruptions=("grey", "blur:3:0.80"), lambdas=(0.01, 0.1))
    assert one == two
    assert hash(one) == hash(two)
    assert FOUND.params().corruptions == corrupt.canonical(FOUND.params().corruptions)
    assert len(FOUND.params().corruptions) == 7
    assert keys.canonical(list(one.corruptions)) == keys.canonical(["grey", "blur:3:0.8"])


@pytest.mark.parametrize(
    ("param", "value", "words"),
    [
        ("corruptions", ["blurr:3"], "Did you mean 'blur'"),
        ("corruptions", [], "empty"),
        ("corruptions", ["salt_pepper:2"], "between 0 and 1"),
        ("resolution", 4, "8 to 4096 pixels"),
        ("resolution", "big", "input, source or a side"),
        ("lambdas", [0.1, 1.5], "above 0 and at most 1"),
        ("lambdas", [0.0], "above 0 and at most 1"),
        ("sigmas", [-1.0], "above 0 and at most 16"),
        ("sigmas", ["wide"], "a number"),
    ],
)
def test_a_wrong_param_is_found_when_the_spec_is_read(param, value, words):
    ((place, text),) = section_problems(FOUND, {"params": {param: value}})
    assert place[:2] == ("params", param)
    assert words in text
    with pytest.raises(MethodError):
        make_params(FOUND, {param: value})
