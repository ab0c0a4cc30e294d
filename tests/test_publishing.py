"""Publishing a finished site: to a folder in one step, to a git branch as one commit; twice is once."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap

import pytest
from typer.testing import CliRunner

from reportgen import publish_git, publishing
from reportgen.cli import app
from reportgen.errors import RenderError, ReportError, SpecError
from reportgen.publish_git import to_branch
from reportgen.publishing import to_folder

HEAD = '<!DOCTYPE html><meta name="generator" content="reportgen">'


def make_site(folder, words="one", title="A report"):
    (folder / "assets").mkdir(parents=True)
    (folder / ".reportgen").write_text("{}")
    (folder / "index.html").write_text(f"{HEAD}{words}")
    (folder / "report.json").write_text(json.dumps({"title": title, "words": words}))
    (folder / "build.json").write_text('{"built": "now"}')
    (folder / "assets" / "a b.bin").write_bytes(bytes(range(256)) + b"\r\n\n")
    return folder


@pytest.fixture
def site(tmp_path):
    return make_site(tmp_path / "site")


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ------------------------------------------------------------------------------------------------------------ a folder


def test_a_folder_gets_the_site_without_its_clock_and_what_hosts_want(site, tmp_path):
    to_folder(site, tmp_path / "www")
    found = tree(tmp_path / "www")
    assert found.pop(".nojekyll") == b""
    assert b"There is no such page" in found.pop("404.html")
    found.pop(".reportgen")
    expected = tree(site)
    expected.pop("build.json")
    expected.pop(".reportgen")
    assert found == expected


def test_publishing_twice_gives_the_same_bytes_and_changes_nothing(site, tmp_path):
    first = to_folder(site, tmp_path / "www")
    before = tree(tmp_path / "www")
    (site / "build.json").write_text('{"built": "later"}')
    second = to_folder(site, tmp_path / "www")
    assert tree(tmp_path / "www") == before
    assert (first.changed, second.changed) == (first.files, 0)


def test_what_the_host_keeps_beside_a_site_stays(site, tmp_path):
    www = tmp_path / "www"
    (www / ".well-known").mkdir(parents=True)
    (www / "CNAME").write_text("cnn.example.org\n")
    (www / ".well-known" / "security.txt").write_text("mail me")
    for _ in range(2):
        to_folder(site, www)
    assert (www / "CNAME").read_text() == "cnn.example.org\n"
    assert (www / ".well-known" / "security.txt").read_text() == "mail me"


@pytest.mark.parametrize("moment", [0, 2])
def test_a_failure_in_the_middle_leaves_the_old_site_byte_for_byte(site, tmp_path, monkeypatch, moment):
    www = tmp_path / "www"
    to_folder(site, www)
    before = tree(www)
    (site / "index.html").write_text(f"{HEAD}two")
    copied = []

    def full_disk(source, target):
        copied.append(target)
        if len(copied) > moment:
            raise OSError(28, "No space left on device")
        target.write_bytes(source.read_bytes())

    monkeypatch.setattr(publishing.shutil, "copyfile", full_disk)
    with pytest.raises(RenderError, match="No space left"):
        to_folder(site, www)
    assert tree(www) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["site", "www"]


def test_whoever_is_killed_while_publishing_leaves_the_old_site(site, tmp_path):
    www = tmp_path / "www"
    to_folder(site, www)
    before = tree(www)
    (site / "index.html").write_text(f"{HEAD}two")
    code = f"""
        import os, signal
        from pathlib import Path
        from reportgen import publishing
        publishing._changed = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # all is copied, nothing exchanged
        publishing.to_folder(Path({str(site)!r}), Path({str(www)!r}))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert tree(www) == before
    to_folder(site, www)
    assert (www / "index.html").read_text() == f"{HEAD}two"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["site", "www"]


def test_a_folder_of_somebody_elses_is_never_written_to(site, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("precious")
    with pytest.raises(ReportError, match="did not write"):
        to_folder(site, tmp_path / "thesis")
    assert tree(tmp_path / "thesis") == {"thesis.tex": b"precious"}


def test_a_site_is_not_published_into_itself(site, tmp_path):
    for target in (site, site / "www", tmp_path):
        with pytest.raises(SpecError, match="lie in each other"):
            to_folder(site, target)


def test_what_is_no_site_is_refused(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "index.html").write_text("<h1>My page</h1>")
    with pytest.raises(SpecError, match="is no report"):
        to_folder(tmp_path / "mine", tmp_path / "www")


def test_the_list_of_reports_is_published_with_the_reports_and_nothing_else(tmp_path):
    root = tmp_path / "all"
    make_site(root / "a")
    make_site(root / "b")
    (root / "index.html").write_text(HEAD)
    (root / "README.md").write_text("a note")
    (root / "draft").mkdir()
    (root / "draft" / "notes.txt").write_text("private")
    to_folder(root, tmp_path / "www")
    names = {name for name in tree(tmp_path / "www") if not name.startswith(".")}
    own = {"404.html", "assets/a b.bin", "index.html", "report.json"}
    assert names == {"index.html", "404.html"} | {f"{report}/{n}" for report in "ab" for n in own - {"404.html"}}


# ------------------------------------------------------------------------------------------------------------ a branch


def git(at, *words):
    names = {
        "GIT_AUTHOR_NAME": "A",
        "GIT_AUTHOR_EMAIL": "a@b.c",
        "GIT_COMMITTER_NAME": "A",
        "GIT_COMMITTER_EMAIL": "a@b.c",
    }
    environment = {**os.environ, **names, "GIT_CONFIG_GLOBAL": os.devnull}
    done = subprocess.run(["git", *words], cwd=at, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with one commit on main, whose attributes would mangle bytes, and a remote for it."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    at = tmp_path / "repository"
    git(tmp_path, "init", "-q", "-b", "main", str(at))
    git(tmp_path, "init", "-q", "--bare", "-b", "main", str(tmp_path / "remote.git"))
    for key, value in (("user.name", "A"), ("user.email", "a@b.c"), ("core.autocrlf", "true")):
        git(at, "config", key, value)
    git(at, "remote", "add", "origin", str(tmp_path / "remote.git"))
    (at / ".gitignore").write_text("*.json\nassets/\n")
    (at / "work.txt").write_text("my work")
    git(at, "add", "work.txt", ".gitignore")
    git(at, "commit", "-q", "-m", "work")
    (at / "work.txt").write_text("my work, unfinished")
    return at


def on_branch(at, branch="gh-pages"):
    names = git(at, "ls-tree", "-r", "-z", "--name-only", branch).split("\0")
    show = ["git", "show"]
    return {
        n: subprocess.run([*show, f"{branch}:{n}"], cwd=at, capture_output=True, check=True).stdout for n in names if n
    }


def test_a_branch_holds_the_site_and_the_work_is_left_alone(site, repository):
    before, status = git(repository, "rev-parse", "HEAD"), git(repository, "status", "--porcelain")
    made = to_branch(site, "gh-pages", at=repository)
    expected = tree(site)
    for name in ("build.json", ".reportgen"):
        expected.pop(name)
    found = on_branch(repository)
    assert found.pop(".nojekyll") == b""
    assert b"There is no such page" in found.pop("404.html")
    assert found == expected
    assert made.changed
    assert git(repository, "log", "-1", "--format=%s", "gh-pages") == "Publish A report"
    assert (git(repository, "rev-parse", "HEAD"), git(repository, "status", "--porcelain")) == (before, status)
    assert (repository / "work.txt").read_text() == "my work, unfinished"


def test_an_unchanged_site_makes_no_commit_and_a_changed_one_makes_one(site, repository):
    first = to_branch(site, "gh-pages", at=repository)
    (site / "build.json").write_text('{"built": "later"}')
    second = to_branch(site, "gh-pages", at=repository)
    assert (second.commit, second.changed) == (first.commit, False)
    (site / "index.html").write_text(f"{HEAD}two")
    third = to_branch(site, "gh-pages", at=repository)
    assert third.changed
    assert git(repository, "rev-parse", f"{third.commit}^") == first.commit


def test_the_domain_on_a_branch_is_kept(site, repository):
    to_branch(site, "gh-pages", at=repository)
    git(repository, "worktree", "add", "-q", "../pages", "gh-pages")
    pages = repository.parent / "pages"
    (pages / "CNAME").write_text("cnn.example.org\n")
    (pages / "old.html").write_text("of yesterday")
    git(pages, "add", ".")
    git(pages, "commit", "-q", "-m", "domain")
    git(repository, "worktree", "remove", "--force", "../pages")
    to_branch(site, "gh-pages", at=repository)
    found = on_branch(repository)
    assert found["CNAME"] == b"cnn.example.org\n"
    assert "old.html" not in found


def test_pushing_brings_the_branch_to_the_remote_and_follows_what_is_there(site, repository, tmp_path):
    to_branch(site, "gh-pages", push=True, at=repository)
    other = tmp_path / "other"
    git(tmp_path, "clone", "-q", str(tmp_path / "remote.git"), str(other))
    for key, value in (("user.name", "B"), ("user.email", "b@b.c")):
        git(other, "config", key, value)
    (site / "index.html").write_text(f"{HEAD}by another")
    theirs = to_branch(site, "gh-pages", push=True, at=other)
    (site / "index.html").write_text(f"{HEAD}by us again")
    ours = to_branch(site, "gh-pages", push=True, at=repository)
    assert git(repository, "rev-parse", f"{ours.commit}^") == theirs.commit
    assert git(tmp_path / "remote.git", "rev-parse", "gh-pages") == ours.commit


def test_histories_that_went_apart_are_told_and_nothing_is_published(site, repository, tmp_path):
    to_branch(site, "gh-pages", push=True, at=repository)
    other = tmp_path / "other"
    git(tmp_path, "clone", "-q", str(tmp_path / "remote.git"), str(other))
    for key, value in (("user.name", "B"), ("user.email", "b@b.c")):
        git(other, "config", key, value)
    for at, words in ((repository, "ours"), (other, "theirs")):
        (site / "index.html").write_text(f"{HEAD}{words}")
        to_branch(site, "gh-pages", push=at == other, at=at)
    before = git(repository, "rev-parse", "gh-pages")
    with pytest.raises(ReportError, match="commits that the other lacks"):
        to_branch(site, "gh-pages", push=True, at=repository)
    assert git(repository, "rev-parse", "gh-pages") == before


def test_a_failure_of_git_leaves_the_branch_where_it_was(site, repository, monkeypatch):
    first = to_branch(site, "gh-pages", at=repository)
    (site / "index.html").write_text(f"{HEAD}two")
    call = publish_git.Git._call

    def refusing(self, words, given=b"", index=None):
        return call(self, ("cat-file", "-e", "nothing") if words[0] == "commit-tree" else words, given, index)

    monkeypatch.setattr(publish_git.Git, "_call", refusing)
    with pytest.raises(RenderError, match="nothing was published"):
        to_branch(site, "gh-pages", at=repository)
    assert git(repository, "rev-parse", "gh-pages") == first.commit


@pytest.mark.parametrize("branch", ["main", "../x", "-f", "a b"])
def test_a_branch_that_one_works_on_or_that_cannot_be_is_refused(site, repository, branch):
    before = git(repository, "rev-parse", "main")
    with pytest.raises(ReportError, match="gh-pages"):
        to_branch(site, branch, at=repository)
    assert git(repository, "rev-parse", "main") == before


def test_a_folder_in_no_repository_and_an_unknown_remote_are_told(site, repository, tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    (tmp_path / "nowhere").mkdir()
    with pytest.raises(ReportError, match="in no git repository"):
        to_branch(site, "gh-pages", at=tmp_path / "nowhere")
    with pytest.raises(ReportError, match=r"no remote of this name\. Known: origin"):
        to_branch(site, "gh-pages", remote="upstream", push=True, at=repository)


# ----------------------------------------------------------------------------------------------------- the command line


def test_the_command_wants_one_place_and_says_what_changed(site, tmp_path):
    runner = CliRunner()
    for words in ([], ["--to", "x", "--branch", "y"], ["--to", "x", "--push"]):
        result = runner.invoke(app, ["publish", str(site), *words])
        assert isinstance(result.exception, SpecError)
    said = [runner.invoke(app, ["publish", str(site), "--to", str(tmp_path / "www")]).stdout for _ in range(2)]
    assert "none changed" not in said[0]
    assert "none changed" in said[1]
