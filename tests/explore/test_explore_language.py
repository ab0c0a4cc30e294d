"""The language of a session: what lines mean, without a disk, a net or a terminal."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from reportgen.errors import ReportError
from reportgen.explore import actions, laying, naming
from reportgen.explore.completing import completions
from reportgen.explore.desk import yaml_text
from reportgen.explore.language import opened, take
from reportgen.explore.state import State, document, drawn
from reportgen.nets.files import BUILDERS
from reportgen.records import Card, Layer, Preprocess

CONV = {"stride": None, "field": None, "start": None, "parameters": 0, "flops": 0}


def vgg16():
    """The card of torchvision's VGG-16, as far as names and shapes go, from the configuration of its paper."""
    layers, place = [], 0
    blocks = [(64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3]
    for number, widths in enumerate(blocks):
        side = 224 >> number
        for width in widths:
            layers.append(Layer(f"features.{place}", "Conv2d", (width, side, side), **CONV))
            layers.append(Layer(f"features.{place + 1}", "ReLU", (width, side, side), **CONV))
            place += 2
        layers.append(Layer(f"features.{place}", "MaxPool2d", (widths[0], side // 2, side // 2), **CONV))
        place += 1
    layers += [Layer("features", "Sequential", (512, 7, 7), **CONV)]
    layers += [Layer("avgpool", "AdaptiveAvgPool2d", (512, 7, 7), **CONV)]
    dense = [("0", "Linear", 4096), ("1", "ReLU", 4096), ("3", "Linear", 4096), ("4", "ReLU", 4096)]
    layers += [Layer(f"classifier.{name}", kind, (width,), **CONV) for name, kind, width in dense]
    layers += [Layer("classifier.6", "Linear", (1000,), **CONV)]
    view = Preprocess(256, 224, (0, 0, 0), (1, 1, 1))
    stages, aliases = {"stage4": "features.29"}, {"logits": "classifier.6"}
    return Card("vgg16", "b", "w", "s", view, ("cat",), 0, 0, 16, tuple(layers), stages, aliases, False, True)


@pytest.fixture
def state(tmp_path):
    known = State(tmp_path)
    for line in ("net vgg16", "image skimage:chelsea"):
        known = take(known, line).state
    return opened(known, vgg16()).state


def after(state, *lines):
    for line in lines:
        state = take(state, line).state
    return state


@pytest.mark.parametrize(
    ("words", "layer"),
    [
        ("17", "features.29"),  # counted as Keras does: the last convolution of five blocks
        ("layer 17", "features.29"),
        ("the 17th layer", "features.29"),
        ("conv5_3", "features.29"),
        ("Conv1_2", "features.3"),
        ("features.28", "features.28"),  # a path means what it says, without its ReLU
        ("pool5", "features.30"),
        ("18", "features.30"),
        ("fc6", "classifier.1"),
        ("fc8", "classifier.6"),
        ("stage4", "stage4"),
        ("logits", "logits"),
    ],
)
def test_a_layer_goes_by_number_by_its_papers_name_and_by_its_path(state, words, layer):
    assert take(state, f"layer {words}").state.layer == layer


def test_the_sixteenth_filter_of_layer_17_is_unit_15_of_conv5_3(state):
    for line in ("16th filter of layer 17", "the 16th filter of conv5_3", "filter 15 of layer 17", "16th unit in 17"):
        chosen = take(state, line).state
        assert (chosen.units, chosen.layer) == ([15], "features.29"), line


@pytest.mark.parametrize(
    ("words", "units"),
    [
        ("filters 3, 17 and 20", [3, 17, 20]),
        ("strongest 4", 4),
        ("filter strongest", 9),
        ("5 strongest filters", 5),
        ("random 3", {"random": 3}),
        ("units random 3 seed 7", {"random": 3, "seed": 7}),
        ("filters all", "all"),
        ("third filter", [2]),
        ("channel 5", [5]),
        ("filter none", None),
    ],
)
def test_units_go_by_number_by_place_by_strength_and_by_chance(state, words, units):
    assert take(state, words).state.units == units


def test_a_methods_name_draws_it_with_what_is_chosen(state):
    step = take(after(state, "16th filter of layer 17"), "deconvnet start=map")
    wanted = {"method": "deconvnet", "models": ["vgg16"], "params": {"start": "map"}, "images": ["chelsea"]}
    assert step.do == actions.Draw(wanted | {"layers": ["features.29"], "units": [15]})
    assert "layers" not in take(step.state, "saliency").do.section


def test_layer_and_units_may_stand_among_the_params(state):
    step = take(state, "deconvnet layer=conv4_1 units=[3, 5]")
    assert (step.state.layer, step.state.units) == ("features.18", [3, 5])
    assert "params" not in step.do.section


def test_a_word_that_is_a_method_and_a_choice_of_units_is_told_by_what_follows(state):
    assert take(state, "filters").do.section["method"] == "filters"
    assert take(state, "filters 3").do is None
    assert take(state, "strongest").do.section["method"] == "strongest"
    assert take(state, "strongest 4").do is None


def test_params_are_set_kept_for_their_method_and_taken_back(state):
    set_up = after(state, "smoothgrad samples=5", "saliency", "smoothgrad")
    assert set_up.params["smoothgrad"] == {"samples": 5}
    assert after(set_up, "unset samples").params["smoothgrad"] == {}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("layer 99", "counted from 1 to 22"),
        ("layer conv5_4", "conv5_3"),
        ("600th filter of layer 17", "numbered from 0 to 511"),
        ("filter lots", "16th filter"),
        ("filter 0th", "16th filter"),
        ("deconvnett", "deconvnet"),
        ("saliency sampels=3", "no param"),
        ("smoothgrad samples=many", "whole number"),
        ("smoothgrad 12", "NAME=VALUE"),
        ("smoothgrad samples=[1", "cannot be read"),
        ("accuracy", "data SOURCE"),
        ("save a.jpg", "nothing was drawn"),
        ("spec", "nothing was drawn"),
        ("show", "Nothing was drawn"),
        ("set a=1", "No method"),
        ("image cat.jpg lable=cat", "label"),
        ("!!", "no command"),
    ],
)
def test_what_means_nothing_is_told_in_one_paragraph(state, line, told):
    with pytest.raises(ReportError, match=r"(?s).+") as error:
        take(state, line)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_no_command_but_a_layer_a_net_or_a_picture_is_chosen(state):
    assert take(state, "conv5_3").state.layer == "features.29"
    assert take(state, "resnet_mini").state.model == "resnet_mini"
    assert take(state, "photos/Dog.JPG").state.images["dog"] == {"source": str(state.folder / "photos/Dog.JPG")}


def test_another_net_keeps_a_layer_that_it_has_too_and_leaves_others(state):
    smaller = replace(vgg16(), layers=vgg16().layers[:-9], stages={}, aliases={})
    assert opened(after(state, "layer features.3"), smaller).state.layer == "features.3"
    assert opened(after(state, "layer features.29", "filter 500"), smaller).state.layer is None


def test_the_spec_holds_what_was_shown_with_paths_seen_from_its_folder(state):
    chosen = after(state, "image photos/dog.jpg label=dog", "16th filter of layer 17", "net vgg16 weights=runs/a.pth")
    for line in ("net vgg_mini", "gradient_ascent units=2", "deconvnet", "deconvnet start=map"):
        step = take(replace(chosen, card=vgg16()), line)
        chosen = drawn(step.state, step.do.section, ("one",)) if step.do != actions.OpenNet() else step.state
    home = Path(state.folder, "specs")
    made = yaml.safe_load(yaml_text(document(chosen, chosen.shown, home)))
    assert made["images"] == {"dog": {"source": "../photos/dog.jpg", "label": "dog"}}
    assert list(made["models"]) == ["vgg_mini"]
    assert [one["id"] for one in made["sections"]] == ["gradient_ascent", "deconvnet", "deconvnet-2"]
    with_weights = document(
        after(chosen, "net vgg16 weights=runs/a.pth"), ({"method": "x", "models": ["vgg16-2"]},), home
    )
    assert with_weights["models"] == {"vgg16-2": {"arch": "vgg16", "weights": "../runs/a.pth"}}


def test_a_data_set_of_the_specs_own_images_brings_them_all(state):
    step = take(after(state, "image dog.jpg label=dog", "data images:"), "accuracy")
    made = document(step.state, (step.do.section,), state.folder)
    assert made["datasets"] == {"images": {"source": "images:"}}
    assert list(made["images"]) == ["chelsea", "dog"]


def test_what_was_drawn_twice_stands_once_and_what_is_dropped_not_at_all(state):
    for line in ("saliency", "deconvnet", "saliency"):
        step = take(state, line)
        state = drawn(step.state, step.do.section, ())
    assert [one["method"] for one in state.shown] == ["saliency", "deconvnet"]
    assert [one["method"] for one in take(state, "drop").state.shown] == ["deconvnet"]


def test_words_are_completed_by_what_can_follow(state):
    Path(state.folder, "dog.png").touch()
    assert "deconvnet" in completions(state, "dec")
    assert "conv5_3" in completions(state, "layer conv5")
    assert "conv5_3" in completions(state, "16th filter of conv5")
    assert completions(state, "deconvnet st") == ["start="]
    assert completions(state, "image do") == ["dog.png"]
    assert "resnet_mini" in completions(state, "net resnet_m")
    for name in ("mine.pt", "mine.onnx", "mine.pth", "mine.txt"):
        Path(state.folder, name).touch()
    assert completions(state, "net mine") == ["mine.onnx", "mine.pt", "mine.pth"]
    assert completions(state, "net resnet18 weights=mine") == ["weights=mine.pt", "weights=mine.pth"]
    assert completions(state, "help salie") == ["saliency"]


def test_model_files_are_offered_by_the_endings_that_nets_know(state):
    for ending in (*BUILDERS, ".txt"):
        Path(state.folder, f"mine{ending}").touch()
    assert set(completions(state, "net mine")) == {f"mine{ending}" for ending in BUILDERS}
    for ending in BUILDERS:
        path = str(state.folder / f"mine{ending}")
        assert take(state, f"net mine{ending}").state.models[f"mine{ending}".replace(".", "-")]["arch"] == path


def test_values_are_completed_too(state):
    Path(state.folder, "names.txt").touch()
    assert completions(state, "gradient_ascent preset=si") == ["preset=simonyan"]
    assert completions(state, "tsne grid=") == ["grid=true", "grid=false"]
    assert completions(state, "deconvnet layer=conv5_3") == ["layer=conv5_3"]
    assert completions(state, "saliency target=pre") == ["target=predicted"]
    assert completions(after(state, "saliency"), "set targ") == ["target="]
    assert completions(state, "net vgg16 cl") == ["classes="]
    assert completions(state, "net vgg16 classes=n") == ["classes=names.txt"]
    assert completions(state, "net vgg16 weights=ra") == ["weights=random"]
    assert "skimage:chelsea" in completions(state, "image sk")
    assert "label=" in completions(state, "image dog.png la")
    assert completions(after(state, "smoothgrad samples=5"), "unset ") == ["samples"]


def test_what_a_method_finds_out_itself_is_not_offered(state):
    assert "digest" not in take(state, "params dgn").say
    assert completions(state, "dgn dig") == []


def refusal(state, line):
    try:
        take(state, line)
    except ReportError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    "line", ["", "layer ", "layers ", "help ", "params ", "saliency target=", "gradient_ascent preset="]
)
def test_what_is_offered_is_taken(state, line):
    """What needs another word says what it needs, as `set` does; nothing is said to be unknown."""
    for word in completions(state, line):
        said = refusal(state, line.rpartition(" ")[0] + " " + word)
        assert not re.search(r"is no command|has no|There is no|should be", said), word


def test_the_tree_has_every_layer_with_its_number_and_its_papers_name(state):
    lines = take(state, "layers").say.splitlines()
    (line,) = [line for line in lines if "features.28 " in line]
    assert line.split() == ["17", "features.28", "Conv2d", "512", "x", "14", "x", "14", "conv5_3"]
    assert [line.split()[0] for line in lines[1:] if line.split()[0].isdigit()] == [str(n) for n in range(1, 23)]
    assert all(any(layer.name in line.split() for line in lines) for layer in state.card.layers)


def deep(blocks=30):
    """The card of a net with so many blocks of two layers in two modules, in which paths may part."""
    names = [("stem", "Conv2d")]
    for block in range(blocks):
        inside = f"layer{1 + block // (blocks // 2)}.{block}"
        names += [(f"{inside}.conv", "Conv2d"), (f"{inside}.bn", "BatchNorm2d"), (inside, "Block")]
    layers = tuple(Layer(name, kind, (8, 4, 4), **CONV) for name, kind in [*names, ("fc", "Linear")])
    return replace(vgg16(), layers=layers, stages={"stage1": "layer1.3"}, aliases={})


def test_a_large_net_is_folded_and_its_parts_are_opened(state):
    state = opened(state, deep()).state
    lines = take(state, "layers").say.splitlines()
    assert len(lines) == 1 + 2 + 2 + 30 + 1  # headings, stem and fc, two modules, their blocks, what opens them
    (block,) = [line for line in lines if " layer1.3 +" in line]
    assert block.split() == ["5", "layer1.3", "+", "Block", "8", "x", "4", "x", "4", "stage1"]
    assert "`layers layer1.0`" in lines[-1]
    part = take(state, "layers layer1.3").say.splitlines()
    assert [line.split()[:2] for line in part[1:]] == [["5", "conv"], ["bn", "BatchNorm2d"]]
    assert len(take(state, "layers all").say.splitlines()) == 1 + 2 + 2 + 90
    with pytest.raises(ReportError, match="layer1"):
        take(state, "layers layer9")
    assert {"all", "layer1", "layer1.3"} <= set(completions(state, "layers "))


def test_papers_names_are_kept_to_nets_whose_convolutions_lie_in_one_module():
    assert not [name for name in naming.paper_names(deep()) if name.startswith(("conv", "pool"))]


def test_lines_are_broken_between_words_and_go_on_below_their_last_column(state):
    text = "filter 15                 choose units by their own numbers, from nought"
    gap = " " * 26
    told = f"filter 15                 choose units by\n{gap}their own numbers,\n{gap}from nought"
    assert laying.broken(text, 44) == told
    assert laying.broken("a-long-path/that/has/no/room.png is here", 20) == "a-long-path/that/has/no/room.png\nis here"
    assert laying.broken("short\n\nlines", 40) == "short\n\nlines"
    assert max(map(len, laying.broken(take(state, "layers").say, 40).split("\n"))) <= 40


def test_a_layer_of_a_residual_block_stands_for_itself():
    """The next ReLU there has the shortcut in it."""
    names = [("conv1", "Conv2d"), ("relu", "ReLU"), ("layer1.0.conv1", "Conv2d"), ("layer1.0.relu", "ReLU")]
    layers = tuple(Layer(name, kind, (8, 4, 4), **CONV) for name, kind in names)
    card = replace(vgg16(), layers=layers, stages={}, aliases={})
    assert naming.find_layer(card, "layer 2") == "layer1.0.conv1"
