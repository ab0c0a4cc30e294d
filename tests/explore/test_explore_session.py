"""A session from end to end: by script, interrupted, and in a terminal, as somebody would sit there."""

import io
import json
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from reportgen import build
from reportgen.building import Options, Quiet
from reportgen.errors import ReportError
from reportgen.explore.desk import MARK, Desk
from reportgen.explore.loop import Screen, Session
from reportgen.explore.state import State
from reportgen.store import Store
from tests.explore.sitting import environment
from tests.nets import model_files


class Watch:
    """A step's progress that can be made to be interrupted."""

    interrupt = False

    def __enter__(self):
        if self.interrupt:
            raise KeyboardInterrupt
        return Quiet()

    def __exit__(self, *_):
        return None


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def talk(tmp_path, store):
    """A session in a folder with a photo, and what it said, complained of and showed."""
    rng = np.random.default_rng(3)
    pixels = np.kron(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8), np.ones((16, 16, 1), np.uint8))
    Image.fromarray(pixels).save(tmp_path / "squares.png")
    said, complaints, pictures, watch = [], [], [], Watch()
    screen = Screen(said.append, complaints.append, pictures.append, lambda: watch, patient=True)
    session = Session(State(tmp_path), Desk(Options(cache=store, device="cpu")), screen)
    session.start("resnet_mini", ["squares.png"])
    session.said, session.complaints, session.pictures, session.watch = said, complaints, pictures, watch
    return session


def hear(session, *lines):
    for line in lines:
        session.hear(line)


def shown_by_build(spec, store, tmp_path, figure):
    """The pixels that the report of a spec shows of a figure."""
    built = build(spec, tmp_path / "report", options=Options(cache=store, device="cpu"))
    told = json.loads((built.folder / "report.json").read_text())
    (found,) = [one for one in told["figures"] if re.fullmatch(figure, one["id"])]
    with Image.open(built.folder / found["files"][0]) as opened:
        return np.asarray(opened.convert("RGB")), built


def test_a_session_shows_saves_and_writes_the_spec_that_builds_the_same_picture(talk, store, tmp_path):
    hear(talk, "6th filter of stage3", "deconvnet", "save deconv.png", "spec specs.yaml", "quit")
    assert talk.complaints == []
    assert talk.ended
    assert (tmp_path / "specs.yaml").read_text().startswith(MARK)
    drawn, built = shown_by_build(tmp_path / "specs.yaml", store, tmp_path, r"deconvnet\..*projections")
    assert (talk.pictures[-1] == drawn).all()
    assert (np.asarray(Image.open(tmp_path / "deconv.png")) == drawn).all()
    assert (built.computed, built.cached) == (0, 1)  # a build takes what the session has computed


def test_what_the_store_holds_is_shown_without_loading_the_net(talk, store):
    hear(talk, "prediction")
    again = Session(talk.state, Desk(Options(cache=store, device="cpu")), talk.screen)
    again.hear("prediction")
    assert (talk.pictures[-1] == talk.pictures[-2]).all()
    assert again.desk._loaded is None


def test_a_wrong_line_costs_nothing(talk):
    before = talk.state
    hear(talk, "layer nowhere", "image missing.png", "net alexnett", "prediction target=x", "save", "grad_cam layer=fc")
    assert len(talk.complaints) == talk.failures == 6
    assert all("\n" not in text for text in talk.complaints)
    assert not any("explore.yaml:" in text for text in talk.complaints)  # places in a file that nobody has written
    assert (talk.state.model, talk.state.layer, talk.state.shown) == (before.model, before.layer, before.shown)


def test_an_interrupt_ends_the_step_and_not_the_session(talk):
    hear(talk, "saliency")
    talk.watch.interrupt = True
    hear(talk, "smoothgrad samples=3")
    talk.watch.interrupt = False
    assert "stopped" in talk.complaints[-1]
    assert [one["method"] for one in talk.state.shown] == ["saliency"]
    hear(talk, "prediction")
    assert [one["method"] for one in talk.state.shown] == ["saliency", "prediction"]


def test_an_interrupt_ends_a_script(talk):
    nobody = Session(talk.state, talk.desk, Screen(print, print, print, talk.screen.watch, patient=False))
    talk.watch.interrupt = True
    with pytest.raises(KeyboardInterrupt):
        nobody.hear("saliency")


def test_a_bug_is_told_and_the_session_goes_on(talk, monkeypatch):
    monkeypatch.setattr(talk.desk, "draw", lambda *_: 1 / 0)
    hear(talk, "saliency")
    assert "ZeroDivisionError" in talk.complaints[-1]


def test_files_of_others_are_not_overwritten_and_own_ones_are(talk, tmp_path):
    (tmp_path / "mine.yaml").write_text("title: mine\n")
    hear(talk, "prediction", "save squares.png", "spec mine.yaml")
    assert len(talk.complaints) == 2
    assert (tmp_path / "mine.yaml").read_text() == "title: mine\n"
    hear(talk, "save a.png", "save a.png", "spec a.yaml", "spec a.yaml")
    assert len(talk.complaints) == 2


def test_tables_are_told_as_text_and_other_panels_by_name(talk):
    hear(talk, "architecture")
    tables = [name for name in talk.state.figures if name not in talk.result.pixels]
    assert tables
    hear(talk, f"show {tables[0]}")
    assert talk.complaints == []
    assert "18 layers with weights" in "\n".join(talk.said)


def test_a_damaged_store_is_made_good(talk, store):
    hear(talk, "saliency")
    for record in Store(store).records():
        if record.kind == "figure":
            for blob in record.blobs.values():
                path = Store(store).blob_path(blob)
                path.write_bytes(b"x" * path.stat().st_size)
    hear(talk, "saliency")
    assert talk.complaints == []
    assert (talk.pictures[-1] == talk.pictures[-2]).all()


def test_a_net_that_cannot_be_had_is_an_error_before_anything_starts(talk):
    with pytest.raises(ReportError, match="resnet_mini"):
        talk.start("resnet_minn", [])


def test_a_script_in_a_pipe_says_what_it_does_and_fails_where_a_line_did(tmp_path, store):
    lines = "layer last_conv\ndeconvnet units=2\nnonsense\nspec\n"
    done = subprocess.run(
        [sys.executable, "-m", "reportgen", "explore"],
        input=lines, capture_output=True, text=True, cwd=tmp_path, env=environment(tmp_path, store), check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "\x1b" not in done.stdout + done.stderr
    assert "VGG mini" in done.stdout  # the default where the large one's weights are not here
    assert "> deconvnet units=2" in done.stdout
    assert "'nonsense' is no command" in done.stderr
    assert (tmp_path / "explore.yaml").is_file()


def test_somebody_at_a_terminal_chooses_looks_saves_and_leaves(tmp_path, store):
    """Shows 2 of issue 7: started without arguments; the written spec builds and shows the same picture."""
    pexpect = pytest.importorskip("pexpect")
    env = {**environment(tmp_path, store), "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    screen = io.StringIO()
    child = pexpect.spawn(
        sys.executable, ["-m", "reportgen", "explore"], cwd=tmp_path, env=env, timeout=45, encoding="utf-8",
        dimensions=(40, 100), logfile=screen,
    )  # fmt: skip
    child.expect("vgg_mini")
    child.expect("ends")  # the hint: the prompt is next
    for line, answer in [
        ("layer conv4_2", "features.20"),
        ("filter 15", "unit 15"),
        ("deconvnet", "Projections from"),
        ("nonsense", "no command"),
        ("save shown.png", "shown.png: [0-9]+ x"),
        ("spec looked.yaml", "looked.yaml: 1 section;"),
    ]:
        child.sendline(line)
        child.expect(answer)
    child.sendline("quit")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert "▀" in screen.getvalue()
    drawn, built = shown_by_build(tmp_path / "looked.yaml", store, tmp_path, r"deconvnet\.vgg_mini\..*projections")
    assert (built.computed, built.cached) == (0, 1)
    assert (np.asarray(Image.open(tmp_path / "shown.png")) == drawn).all()


def test_ctrl_c_at_a_terminal_stops_the_step_and_the_next_one_runs(tmp_path, store):
    pexpect = pytest.importorskip("pexpect")
    env = {**environment(tmp_path, store), "TERM": "dumb"}
    arguments = ["-m", "reportgen", "explore", "resnet_mini"]
    child = pexpect.spawn(sys.executable, arguments, cwd=tmp_path, env=env, timeout=45, encoding="utf-8")
    child.expect("resnet_mini > ")
    child.sendline("gradient_ascent steps=100000 units=1")
    child.expect("loading resnet_mini")
    child.kill(signal.SIGINT)
    child.expect("stopped; all that was chosen")
    child.sendline("prediction")
    child.expect("Bar chart")
    child.sendline("quit")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


@pytest.mark.parametrize("plain", [{"TERM": "dumb"}, {"TERM": "xterm-256color", "NO_COLOR": "1"}])
def test_a_narrow_terminal_without_colours_gets_lines_that_fit(tmp_path, store, plain):
    pexpect = pytest.importorskip("pexpect")
    screen = io.StringIO()
    child = pexpect.spawn(
        sys.executable, ["-m", "reportgen", "explore", "resnet_mini"], cwd=tmp_path, timeout=45, encoding="utf-8",
        env=environment(tmp_path, store, **plain), dimensions=(24, 40),
    )  # fmt: skip
    child.expect("ends")
    child.logfile_read = screen
    for line, answer in [("layers", "everything"), ("deconvnet units=2", "gradient\\."), ("quit", pexpect.EOF)]:
        child.sendline(line)
        child.expect(answer)
    child.close()
    assert child.exitstatus == 0
    told = screen.getvalue()
    assert not re.search(r"\x1b\[[0-9;]*[34]8;", told)  # no colours
    lines = [line for line in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", told).splitlines() if " > " not in line]
    assert max(map(len, lines)) <= 40
    assert any(len(set(line) & set("-=+*#%@")) > 2 for line in lines)  # the picture, in shades


@pytest.mark.parametrize("ending", list(model_files.WRITERS))
def test_a_model_file_is_looked_into_and_the_spec_names_it(tmp_path, store, ending):
    model_files.WRITERS[ending]("vgg_mini", tmp_path / f"mine{ending}")
    complaints, pictures = [], []
    screen = Screen(lambda _: None, complaints.append, pictures.append, Watch, patient=True)
    session = Session(State(tmp_path), Desk(Options(cache=store, device="cpu")), screen)
    session.start(f"mine{ending}", ["skimage:chelsea"])
    hear(session, "6th filter of stage3", "deconvnet", "spec specs.yaml")
    assert complaints == []
    assert f"arch: mine{ending}" in (tmp_path / "specs.yaml").read_text()
    drawn, built = shown_by_build(tmp_path / "specs.yaml", store, tmp_path, r"deconvnet\..*projections")
    assert (pictures[-1] == drawn).all()
    assert (built.computed, built.cached) == (0, 1)
