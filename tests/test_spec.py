"""A spec is read into frozen values; all that is wrong with it is said at once, each with its place."""

import sys
from dataclasses import FrozenInstanceError, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pydantic
import pytest
from PIL import Image

from reportgen.errors import MethodError, SpecError
from reportgen.records import Method
from reportgen.spec import check_files, params_for, read_spec


@dataclass(frozen=True)
class Gaze:
    target: int | str = "predicted"
    samples: int = 25
    noise: float = 0.1
    sizes: tuple[int, ...] = (3, 5)
    preset: Literal["sharp", "soft"] = "sharp"


@dataclass(frozen=True)
class Depth:
    layer: str = "stage3"
    units: Any = 9
    start: Any = "strongest"

    def __post_init__(self):
        if self.start not in ("strongest", "map"):
            raise MethodError(f"start: {self.start!r} is no start.")


@dataclass(frozen=True)
class Nothing:
    pass


def method(name, scope, params):
    return Method(name, name.title(), "caption", "key2020", scope, 1, params, lambda _: [], {}, lambda *_: [], tiny={})


METHODS = {
    made.name: made
    for made in (
        method("gaze", "image", Gaze),
        method("depth", "image", Depth),
        method("table", "net", Nothing),
        method("score", "dataset", Nothing),
        method("match", "images", Nothing),
    )
}

GOOD = """\
title: Nets
models:
  alex: {arch: alexnet, weights: IMAGENET1K_V1, fallback: alexnet_mini}
  vgg:
    arch: vgg_mini
images:
  cat: {source: "skimage:chelsea", label: [cat, tabby]}
  china: {source: "sklearn:china", label: church, crop: [0, 0, 100, 100], points: {door: [10, 20.5]}}
sections:
  - id: intro
    title: Introduction
    text: |
      Hello
  - id: look
    method: gaze
    params: {target: label, noise: 1, sizes: [7]}
    images: [china]
  - id: deep
    method: depth
    layers: [stage1, stage2]
    units: {random: 9}
"""


@pytest.fixture(autouse=True)
def _registries(monkeypatch):
    monkeypatch.setattr("reportgen.methods.methods", lambda: METHODS)
    known = SimpleNamespace(known_archs=lambda: ["alexnet", "alexnet_mini", "vgg16", "vgg_mini", "resnet50"])
    monkeypatch.setitem(sys.modules, "reportgen.nets.archs", known)


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def written(text, name="spec.yaml"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text, encoding="utf-8")
        return Path(name)

    return written


@pytest.fixture
def problems(write):
    def found(text, name="spec.yaml"):
        with pytest.raises(SpecError) as caught:
            read_spec(write(text, name))
        return str(caught.value).splitlines()

    return found


def test_a_good_spec_is_read_with_its_defaults(write):
    spec = read_spec(write(GOOD))
    assert (spec.title, spec.precision, spec.seed, spec.outputs.poster) == ("Nets", "fp32", 0, None)
    assert spec.outputs.site is not None
    assert spec.path == Path("spec.yaml").absolute()
    assert spec.models["alex"].fallback == "alexnet_mini"
    assert spec.images["china"].label == ("church",)
    assert spec.images["china"].crop == (0, 0, 100, 100)
    intro, look, deep = spec.sections
    assert (intro.method, intro.models, intro.text) == (None, (), "Hello\n")
    assert (look.title, look.models, look.images) == ("Gaze", ("alex", "vgg"), ("china",))
    assert (deep.images, deep.layers, deep.units) == (("cat", "china"), ("stage1", "stage2"), {"random": 9})
    assert check_files(spec) == []
    assert check_files(spec, decode=True) == []


def test_a_spec_is_frozen_and_knows_its_places(write):
    spec = read_spec(write(GOOD))
    with pytest.raises(pydantic.ValidationError):
        spec.title = "other"
    assert spec.place("sections", 2, "layers", 1) == "spec.yaml:20:22"
    assert spec.place("models", "vgg", "arch") == "spec.yaml:5:11"
    assert spec.place("sections", 1, "units") == spec.place("sections", 1) == "spec.yaml:14:5"
    assert spec.place("nowhere") == "spec.yaml:1:1"


def test_where_a_spec_lies_does_not_count(write):
    here, there = read_spec(write(GOOD)), read_spec(write("# moved\n" + GOOD, "far/away.yaml"))
    assert here == there
    assert here.content() == there.content()
    assert here != read_spec(write(GOOD + "seed: 1\n"))
    assert str(Path.cwd()) not in str(here.content())


def test_params_take_the_types_of_the_method(write):
    _, look, deep = read_spec(write(GOOD)).sections
    params = params_for(METHODS["gaze"], look, target="label")
    assert params == Gaze(target="label", noise=1.0, sizes=(7,))
    assert isinstance(params.noise, float)
    assert params_for(METHODS["depth"], deep, layer="stage2") == Depth(layer="stage2", units={"random": 9})
    with pytest.raises(FrozenInstanceError):
        params.noise = 2.0
    with pytest.raises(MethodError, match=r"gaze.*target should be a whole number or text, not 1\.5"):
        params_for(METHODS["gaze"], look, target=1.5)


LINES = len(GOOD.splitlines())


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("title: Nets", "titel: Nets", "1:1: unknown key 'titel'. Did you mean 'title' or 'site_url'?"),
        ("arch: alexnet,", "arch: alexnte,", "3:16: unknown arch 'alexnte'. Did you mean 'alexnet' or 'alexnet_mini'?"),
        (
            "alexnet_mini",
            "alexnet_mimi",
            "3:59: unknown arch 'alexnet_mimi'. Did you mean 'alexnet_mini' or 'alexnet'?",
        ),
        ("weights:", "wieghts:", "3:25: unknown key 'wieghts'. Did you mean 'weights'?"),
        ("method: gaze", "method: gase", "15:13: unknown method 'gase'. Did you mean 'gaze'?"),
        ("noise: 1", "nosie: 1", "16:29: gaze has no param 'nosie'. Did you mean 'noise' or 'sizes'?"),
        ("noise: 1", "noise: loud", "16:36: noise should be a number, not 'loud'."),
        ("noise: 1", "samples: 2.5", "16:38: samples should be a whole number, not 2.5."),
        ("sizes: [7]", "sizes: 7", "16:46: sizes should be a list, not 7."),
        ("noise: 1", "preset: soft_", "16:37: preset should be one of sharp, soft, not 'soft_'."),
        ("target: label", "target: [1, 1.5]", "16:26: target should be a whole number or text, not 1.5."),
        ("images: [china]", "images: [chian]", "17:14: unknown image 'chian'. Did you mean 'china' or 'cat'?"),
        ("images: [china]", "models: [alexx]", "17:14: unknown model 'alexx'. Did you mean 'alex'?"),
        ("images: [china]", "layers: [stage1]", "17:13: gaze takes no layers."),
        ("images: [china]", "units: 3", "17:12: gaze takes no units."),
        ("images: [china]", "images: []", "15:13: gaze looks at photos; name at least one under `images:`."),
        ("images: [china]", "dataset: val", "17:14: unknown dataset 'val'. There is nothing of a similar name."),
        (
            "layers: [stage1, stage2]",
            "params: {layer: x}",
            "20:21: layer does not stand in params; give the section `layers:`.",
        ),
        ("layers: [stage1, stage2]", "params: {start: x}", "20:21: start: 'x' is no start."),
        (
            "method: gaze",
            "method: score",
            "15:13: score looks at a data set; give the section `dataset:`. Name one under `datasets:` first.",
        ),
        ("title: Introduction", "params: {a: 1}", "11:5: params means nothing in a section without a method."),
        ("title: Introduction", "title: 2026", "11:12: title should be text, not 2026; put it in quotes."),
        (
            "id: intro",
            "id: In/tro",
            "10:9: the id 'In/tro' should be made of a-z, 0-9, _ and - only, at most 64 of them.",
        ),
        ("id: intro", "id: ../x", "10:9: the id '../x' should be made of a-z, 0-9, _ and - only, at most 64 of them."),
        ("id: deep", "id: look", "18:9: the section id 'look' stands here twice; first on line 14."),
        ("  vgg:", "  V gg:", "4:3: the id 'V gg' should be made of a-z, 0-9, _ and - only, at most 64 of them."),
        ("[0, 0, 100, 100]", "[0, 0, 100]", "8:57: crop should be a list of 4 values, not [0, 0, 100]."),
        ("  - id: intro\n    title", "  - title", "10:5: the key 'id' is missing."),
        ("title: Nets\n", "", "1:1: the key 'title' is missing."),
        ("    arch: vgg_mini", "    seed: 3", "4:3: the key 'arch' is missing."),
        ("    arch: vgg_mini", "    arch: vgg_mini\n    seed: no", "6:11: seed should be a whole number, not 'no'."),
        (
            "    arch: vgg_mini",
            "    arch: vgg_mini\n    arch: vgg16",
            "6:5: the key 'arch' stands here twice; first on line 5",
        ),
        ("    arch: vgg_mini", "    arch: vgg_mini\n    classes: 3", "6:14: classes should be a list or text, not 3."),
        (
            "    arch: vgg_mini",
            "    arch: vgg_mini\n    preprocess: {sise: 3}",
            "6:18: unknown key 'sise'. Did you mean 'size' or 'resize'?",
        ),
        (
            "    arch: vgg_mini",
            "    arch: vgg_mini\n    preprocess: kaffe",
            "6:17: there is no preprocessing called 'kaffe'. Did you mean 'caffe'?",
        ),
        (
            "    arch: vgg_mini",
            "    arch: vgg_mini\n    preprocess: {order: gbr}",
            "6:25: order should be",
        ),
        ("points: {door: [10, 20.5]}", "points: {door: [10]}", "8:90: door should be a list of 2 values, not [10]."),
        (
            "points: {door",
            "points: {The door",
            "8:84: the point 'The door' should be a word of a-z, 0-9, _ and - only, such as left_eye.",
        ),
        ("units: {random: 9}", "units: .inf", "21:12: .inf is not a finite number"),
    ],
)
def test_a_mistake_is_named_with_its_place_and_the_nearest_right_name(problems, old, new, problem):
    assert GOOD.count(old) == 1
    found = problems(GOOD.replace(old, new))
    assert any(line.startswith(f"spec.yaml:{problem}") for line in found), found


@pytest.mark.parametrize(
    ("end", "problem"),
    [
        ("outputs: {poster: {size: A9}}", "1:26: unknown page size 'A9'. Known: A0, A1, A2, A3, A4, or width x height"),
        (
            "outputs: {poster: {orientation: wide}}",
            "1:33: orientation should be one of portrait, landscape, not 'wide'.",
        ),
        ("outputs: {poster: {template: clasic}}", "1:30: template should be one of classic, billboard, not 'clasic'."),
        ("outputs: {poster: {sections: [intro, lok]}}", "1:38: unknown section 'lok'. Did you mean 'look'?"),
        ("outputs: {postr: {}}", "1:11: unknown key 'postr'. Did you mean 'poster'?"),
        ("outputs: 3", "1:10: outputs should be a mapping of `key: value`, not 3."),
        ("featured: {section: lok}", "1:21: unknown section 'lok'. Did you mean 'look'?"),
        ("featured: {section: look, focal_point: Tpo}", "1:40: focal_point should be one of Smart"),
        ("links: {code: 'javascript:alert(1)'}", "1:8: the link 'code' should begin with https://"),
        ("date: 20.11.2026", "1:7: date should be a date, such as 2026-11-20"),
        ("precision: fp16", "1:12: precision should be one of fp32, tf32, bf16, fp64, not 'fp16'."),
        ("seed: -1", "1:7: seed should be greater than or equal to 0, not -1."),
        ("authors: [1]", "1:11: each of authors should be text, not 1; put it in quotes."),
        ("summary: gone.md", "1:10: the text gone.md cannot be read: No such file or directory."),
        ("extends: gone.yaml", "1:10: there is no file gone.yaml to extend."),
        ("datasets: {val: {source: 3}}", "1:26: source should be text, not 3; put it in quotes."),
    ],
)
def test_a_mistake_at_the_top_is_named_with_its_place(problems, end, problem):
    line, _, rest = problem.partition(":")
    place = f"spec.yaml:{LINES + int(line)}:{rest}"
    found = problems(GOOD + end + "\n")
    assert [one[: len(place)] for one in found] == [place]


def test_all_mistakes_are_said_at_once_in_the_order_of_the_file(problems):
    text = GOOD.replace("alexnet,", "alexnte,").replace("gaze", "gase").replace("title: Nets", "titel: Nets")
    text = text.replace("arch: vgg_mini", "arch: [x]")
    found = problems(text + "seed: x\n")
    lines = [int(line.split(":")[1]) for line in found]
    assert lines == sorted(lines)
    assert len(found) == 6  # titel, title missing, arch, arch, method, seed


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "spec.yaml:1:1: a spec is made of `key: value` lines"),
        ("- a\n", "spec.yaml:1:1: a spec is made of"),
        ("title: a\nmodels: {}\nsections: []\n", "spec.yaml:2:9: the spec should name at least one model."),
        ("title: [a\nb: c", "spec.yaml:2:2: this is not YAML"),
        ("title: a\nmodels: [x]\nsections: x\n", "spec.yaml:2:9: models should be a mapping of `key: value`"),
    ],
)
def test_what_is_no_spec_is_refused(problems, text, problem):
    assert problems(text)[0].startswith(problem)


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(SpecError, match="cannot be read: No such file"):
        read_spec(tmp_path / "gone.yaml")
    with pytest.raises(SpecError, match="cannot be read: Is a directory"):
        read_spec(tmp_path)


def test_code_from_a_module_is_left_to_the_loader(write):
    spec = read_spec(write(GOOD.replace("arch: vgg_mini", 'arch: "pkg.nets:build"')))
    assert spec.models["vgg"].arch == "pkg.nets:build"


def test_extends_inherits_and_overrides(write):
    write(GOOD + "references: refs.bib\n", "base/spec.yaml")
    child = read_spec(
        write("extends: base/spec.yaml\ntitle: Mine\nmodels: {alex: {weights: random}, new: {arch: resnet50}}\n")
    )
    assert (child.title, list(child.models)) == ("Mine", ["alex", "vgg", "new"])
    assert child.models["alex"].model_dump(include={"arch", "weights"}) == {"arch": "alexnet", "weights": "random"}
    assert child.sections[1].models == ("alex", "vgg", "new")
    assert child.references == Path("base/refs.bib").absolute()
    assert child.place("models", "alex", "weights") == "spec.yaml:3:26"
    assert child.place("models", "alex", "arch") == "base/spec.yaml:3:16"


def test_inherited_lists_are_replaced_and_nulls_take_away(write):
    write(GOOD + "summary: Words\noutputs: {poster: {}}\n", "base.yaml")
    child = read_spec(write("extends: base.yaml\nsummary:\noutputs: {poster: }\nsections: [{id: only, text: a}]\n"))
    assert [section.id for section in child.sections] == ["only"]
    assert child.summary == ""
    assert child.outputs.poster is None
    assert child.place("sections", 0, "id") == "spec.yaml:4:17"


def test_inherited_paths_stay_relative_to_the_parent(write):
    write("Text of the parent\n", "base/text.md")
    base = (
        GOOD.replace('"skimage:chelsea"', "photos/cat.png")
        .replace("Hello", "x")
        .replace("weights: IMAGENET1K_V1", "weights: w/a.safetensors")
    )
    write(base + "summary: text.md\n", "base/spec.yaml")
    child = read_spec(write("extends: ../base/spec.yaml\n", "mine/spec.yaml"))
    assert child.images["cat"].source == "../base/photos/cat.png"
    assert child.models["alex"].weights == "../base/w/a.safetensors"
    assert child.summary == "Text of the parent\n"
    assert child.place("summary") == "base/text.md:1:1"
    assert [line.split(": ")[0] for line in check_files(child)] == ["base/spec.yaml:3:34", "base/spec.yaml:7:17"]


def test_a_circle_of_extends_is_refused(write, problems):
    write("extends: spec.yaml\n", "other.yaml")
    assert problems("extends: other.yaml\n") == [
        "other.yaml:1:10: spec.yaml extends this spec in turn; break the circle."
    ]


def test_mistakes_in_a_parent_are_named_there(write, problems):
    write(GOOD.replace("gaze", "gase"), "base.yaml")
    assert problems("extends: base.yaml\nsed: 3\n") == [
        "spec.yaml:2:1: unknown key 'sed'. Did you mean 'seed'?",
        "base.yaml:15:13: unknown method 'gase'. Did you mean 'gaze'?",
    ]


def test_a_pattern_becomes_one_image_per_file(write, problems):
    for name in ("b", "a", "c"):
        Path("photos").mkdir(exist_ok=True)
        Image.new("RGB", (4, 4)).save(f"photos/{name}.png")
    text = GOOD.replace('"skimage:chelsea"', '"photos/*.png"')
    spec = read_spec(write(text.replace("[china]", "[china, cat]")))
    assert list(spec.images) == ["cat-1", "cat-2", "cat-3", "china"]
    assert [spec.images[f"cat-{i}"].source for i in (1, 2, 3)] == ["photos/a.png", "photos/b.png", "photos/c.png"]
    assert spec.images["cat-2"].label == ("cat", "tabby")
    assert spec.sections[1].images == ("china", "cat-1", "cat-2", "cat-3")
    assert spec.place("images", "cat-2", "source") == "spec.yaml:7:17"
    assert problems(text.replace("*.png", "*.gif")) == ["spec.yaml:7:17: no picture files match photos/*.gif."]


def test_missing_files_are_found_before_anything_starts(write):
    Path("text.png").write_text("no picture")
    text = GOOD.replace('"skimage:chelsea"', "text.png").replace("sklearn:china", "skimage:chian")
    text = text.replace("weights: IMAGENET1K_V1", "weights: runs/best.pt") + "references: refs.bib\n"
    spec = read_spec(write(text + "datasets: {val: {source: data/val}, seen: {source: 'images:'}}\n"))
    quick, thorough = check_files(spec), check_files(spec, decode=True)
    assert [line.split(": ")[0] for line in quick] == [
        "spec.yaml:3:34",
        "spec.yaml:8:19",
        "spec.yaml:23:26",
        "spec.yaml:22:13",
    ]
    assert "no weights file runs/best.pt" in quick[0]
    assert "skimage ships no image 'chian'" in quick[1]
    (more,) = [line for line in thorough if line not in quick]
    assert more.startswith("spec.yaml:7:17: the file text.png is not a picture.")


def test_points_lie_within_the_picture_and_its_crop(write):
    spec = read_spec(write(GOOD.replace("[10, 20.5]", "[99, 0], lamp: [99.5, 3], roof: [3, -1]")))
    problems = check_files(spec)
    assert [line.split(": ")[0] for line in problems] == ["spec.yaml:8:105", "spec.yaml:8:122"]
    assert problems[0].endswith(
        "the point lamp [99.5, 3] lies outside the crop [0, 0, 100, 100] of china, which has 640 x 427 pixels; right "
        "would be x from 0 to 99 and y from 0 to 99, counted from the upper left corner."
    )
    spec = read_spec(write(GOOD.replace("crop: [0, 0, 100, 100], ", "").replace("[10, 20.5]", "[639, 427]")))
    (problem,) = check_files(spec)
    assert "the point door [639, 427] lies outside the picture of china" in problem
    assert "x from 0 to 639 and y from 0 to 426" in problem
    assert check_files(spec, decode=True) == [problem]


def test_a_damaged_photo_with_points_stops_only_a_thorough_check(write):
    Path("text.png").write_text("no picture")
    spec = read_spec(write(GOOD.replace('"sklearn:china"', "text.png").replace(" crop: [0, 0, 100, 100],", "")))
    assert check_files(spec) == []
    assert len(check_files(spec, decode=True)) == 1


@pytest.mark.parametrize(
    ("poster", "size", "orientation"),
    [
        ("{}", (841, 1189), "portrait"),
        ("{size: a1, orientation: landscape}", (841, 594), "landscape"),
        ("{size: 48x36in}", (1219.2, 914.4), "landscape"),
        ("{size: 36 x 48 in}", (914.4, 1219.2), "portrait"),
        ("{size: 70x100cm, orientation: portrait}", (700, 1000), "portrait"),
    ],
)
def test_a_poster_has_a_size_in_millimetres(write, poster, size, orientation):
    made = read_spec(write(GOOD + f"outputs: {{poster: {poster}}}\n")).outputs.poster
    assert made.millimetres == pytest.approx(size)
    assert (made.orientation, made.sections) == (orientation, ("intro", "look", "deep"))
