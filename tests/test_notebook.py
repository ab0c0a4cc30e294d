"""Artifacts and nets that show themselves: HTML that a parser reads, files that hold what is shown."""

import io
import sys
import types

import html5lib
import numpy as np
import pytest
from PIL import Image

import reportgen
from reportgen.errors import RenderError
from reportgen.records import Artifact

SPACE = "{http://www.w3.org/1999/xhtml}"


@pytest.fixture(scope="module")
def net():
    return reportgen.load_net("resnet_mini", device="cpu")


@pytest.fixture(scope="module")
def picture():
    rng = np.random.default_rng(0)
    return np.kron(rng.random((6, 8, 3)), np.ones((20, 20, 1))).astype(np.float32)


def parsed(html):
    return html5lib.HTMLParser(strict=True).parseFragment(html)


def test_a_net_shows_its_card(net):
    tree = parsed(net._repr_html_())
    words = " ".join(tree.itertext())
    assert f"{net.card.parameters:,}" in words
    cells = {cell.text for cell in tree.iter(f"{SPACE}td")}
    assert {layer.name for layer in net.card.layers} <= cells
    assert set(net.stages) <= cells


def test_an_artifact_shows_its_panels_with_their_words(net, picture):
    artifact = reportgen.compute("prediction", net, picture)
    tree = parsed(artifact._repr_html_())
    (shown,) = tree.iter(f"{SPACE}img")
    assert shown.get("src").startswith("data:image/png;base64,")
    assert len(shown.get("alt")) > 20
    assert "logits" in " ".join(tree.itertext())


def test_names_of_classes_are_text_and_never_markup(picture):
    hostile = reportgen.load_net(
        "resnet_mini", weights="random", classes=["<script>alert(1)</script>", "b"], device="cpu"
    )
    tree = parsed(hostile._repr_html_() + reportgen.compute("prediction", hostile, picture)._repr_html_())
    assert not list(tree.iter(f"{SPACE}script"))


def test_the_saved_picture_is_the_one_that_is_shown(net, picture, tmp_path):
    artifact = reportgen.compute("saliency", net, picture)
    artifact.save(tmp_path / "x.png")
    artifact.save(tmp_path / "again.png")
    assert (tmp_path / "x.png").read_bytes() == (tmp_path / "again.png").read_bytes()
    saved = np.asarray(Image.open(tmp_path / "x.png"))
    assert saved.shape[1] >= 448
    assert len(np.unique(saved.reshape(-1, 3), axis=0)) > 16
    artifact.save(tmp_path / "x.png")  # a cell of a notebook is run again


def test_the_saved_arrays_are_the_artifacts(net, picture, tmp_path):
    artifact = reportgen.compute("saliency", net, picture)
    artifact.save(tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz") as saved:
        assert set(saved) == set(artifact.arrays)
        assert (saved["map"] == artifact.arrays["map"]).all()


def test_a_chart_is_saved_as_a_drawing_and_any_picture_as_a_page(net, picture, tmp_path):
    from xml.etree import ElementTree

    from pypdf import PdfReader

    artifact = reportgen.compute("prediction", net, picture)
    for _ in range(2):  # a cell of a notebook is run again
        artifact.save(tmp_path / "x.svg")
        artifact.save(tmp_path / "x.pdf")
    words = " ".join(ElementTree.parse(tmp_path / "x.svg").getroot().itertext())
    best = net.classes[int(artifact.arrays["probabilities"].argmax())]
    assert best.replace("_", " ") in words
    (page,) = PdfReader(tmp_path / "x.pdf").pages
    assert page.mediabox.width == pytest.approx(85 / 25.4 * 72, abs=0.1)  # a column of most journals
    assert [one.image.width for one in page.images] == [1004]  # at 300 dpi
    with pytest.raises(RenderError, match="made of pixels"):
        reportgen.compute("saliency", net, picture).save(tmp_path / "map.svg")
    for name in ("mine.svg", "mine.pdf"):
        (tmp_path / name).write_text("mine")
        with pytest.raises(RenderError, match="not written by reportgen"):
            artifact.save(tmp_path / name)
        assert (tmp_path / name).read_text() == "mine"


def test_a_prompt_shows_names_and_shapes(net, picture):
    assert repr(net) == f"Net(resnet_mini, embedded: {net.card.parameters:,} parameters, 15 classes; cpu, fp32)"
    artifact = reportgen.compute("saliency", net, picture)
    assert repr(artifact).startswith("Artifact(saliency: gradient 3 x 128 x 128, map 128 x 128; ")
    assert repr(Artifact({})) == "Artifact(no arrays; 0 numbers)"


def test_works_are_cited_by_name_and_year(net, capsys):
    artifact = reportgen.compute("architecture", net)
    assert "(He et al. 2016)" in artifact._repr_html_()
    artifact.show()
    assert "(He et al. 2016)" in capsys.readouterr().out
    assert "[@" not in artifact._repr_html_()


def test_what_cannot_be_saved_is_told(net, picture, tmp_path):
    artifact = reportgen.compute("saliency", net, picture)
    photo = tmp_path / "photo.png"
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(photo)
    before = photo.read_bytes()
    with pytest.raises(RenderError, match="not written by reportgen"):
        artifact.save(photo)
    assert photo.read_bytes() == before
    with pytest.raises(RenderError, match="npz"):
        artifact.save(tmp_path / "x.gif")
    with pytest.raises(RenderError, match="no panel 'mapp'"):
        artifact.save(tmp_path / "x.png", "mapp")
    with pytest.raises(RenderError, match="which method made it"):
        Artifact({}).save(tmp_path / "x.png")


def test_show_writes_words_where_there_is_no_terminal(net, picture, capsys):
    reportgen.compute("prediction", net, picture).show()
    shown = capsys.readouterr().out
    assert "Bar chart" in shown
    assert "artifact.save(" in shown  # what would show it
    assert "\x1b" not in shown


@pytest.mark.parametrize("colab", [False, True])
def test_show_displays_in_a_notebook(colab, net, picture, monkeypatch):
    displayed = []

    class ZMQInteractiveShell:  # the class of a notebook's kernel
        pass

    class Shell(ZMQInteractiveShell):  # Colab's
        pass

    shell = Shell if colab else ZMQInteractiveShell
    notebook, display = types.ModuleType("IPython"), types.ModuleType("IPython.display")
    notebook.get_ipython = shell
    display.HTML, display.display = str, displayed.append
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    reportgen.compute("prediction", net, picture).show()
    (html,) = displayed
    assert list(parsed(html).iter(f"{SPACE}img"))


def test_a_table_shows_as_a_table_and_as_lines(net, capsys):
    artifact = reportgen.compute("architecture", net)
    assert list(parsed(artifact._repr_html_()).iter(f"{SPACE}table"))
    artifact.show("facts")
    assert f"{net.card.parameters / 1e6:.2f} million" in capsys.readouterr().out


def test_a_terminal_gets_the_picture(net, picture, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm-kitty")
    monkeypatch.delenv("NO_COLOR", raising=False)
    reportgen.compute("prediction", net, picture).show()
    assert terminal.getvalue().startswith("\x1b_Ga=T")
