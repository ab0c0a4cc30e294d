"""A finished site as the only content of a git branch, such as gh-pages; the files one works on are left alone.

The commit is made of git's own parts (hash-object, write-tree, commit-tree), so that nothing is checked out, the bytes
are those of the site whatever filters a repository has, and an unchanged site, known by its tree, makes no commit.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from reportgen.errors import RenderError, ReportError
from reportgen.publishing import KEPT, check_site, stage, title_of

NOTHING = "0" * 40  # what git calls a ref that is not there


@dataclass(frozen=True)
class Committed:
    """What became of a branch."""

    commit: str
    changed: bool  # whether there is a new commit
    pushed: bool


def to_branch(
    site: Path, branch: str, *, remote: str = "origin", push: bool = False, at: Path | None = None
) -> Committed:
    """The site as a commit on a branch of the repository at `at` (or the working directory), pushed where asked.

    Raises ReportError before anything is written, RenderError where git refuses later; the branch is moved in one step.
    """
    check_site(site)
    git = Git(at or Path.cwd())
    git.check(branch)
    if push:
        git.fetch(remote, branch)
    local, parent = git.parent(branch, remote)
    with tempfile.TemporaryDirectory(prefix="reportgen-publish-") as scratch:
        folder = Path(scratch) / "site"
        folder.mkdir()
        stage(site, folder)
        tree = git.tree(folder, Path(scratch) / "index", parent)
    commit = parent
    if not parent or tree != git.run("rev-parse", f"{parent}^{{tree}}"):
        message = f"Publish {' '.join(title_of(site).split())}"
        commit = git.run("commit-tree", tree, *(["-p", parent] if parent else []), "-m", message)
    if commit != local:
        git.run("update-ref", f"refs/heads/{branch}", commit, local or NOTHING)
    if push:
        git.push(remote, branch)
    return Committed(commit, commit != parent, push)


class Git:
    """The repository that a folder lies in."""

    def __init__(self, at: Path) -> None:
        self.at = at
        # a hook of git's, from which we may be run, names a repository and an index that are not meant here
        foreign = ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE")
        self.environment = {key: value for key, value in os.environ.items() if key not in foreign}
        self.environment["GIT_DIR"] = self._ask("rev-parse", "--absolute-git-dir")

    def run(self, *words: str, given: bytes = b"", index: Path | None = None) -> str:
        """What git answers. Raises RenderError with its own words where it refuses."""
        done = self._call(words, given, index)
        if done.returncode:
            raise RenderError(
                f"git {words[0]} failed, and nothing was published: {_said(done)} What was built is untouched; mend "
                "this and publish again."
            )
        return done.stdout.decode().strip()

    def check(self, branch: str) -> None:
        """Nothing, where a site may become the content of this branch. Raises ReportError."""
        if branch.startswith("-") or self._call(("check-ref-format", "--branch", branch)).returncode:
            raise ReportError(f"--branch {branch!r} is no name that git takes for a branch. Name one such as gh-pages.")
        if f"branch refs/heads/{branch}" in self.run("worktree", "list", "--porcelain").splitlines():
            raise ReportError(
                f"--branch {branch}: this branch is checked out, and publishing replaces all that is on it. Name one "
                "that holds nothing but published sites, such as gh-pages."
            )

    def fetch(self, remote: str, branch: str) -> None:
        """Learn where the branch stands on a remote. Raises ReportError for one that is unknown or does not answer."""
        if remote not in self.run("remote").split():
            raise ReportError(
                f"--remote {remote}: the repository has no remote of this name. Known: {self._remotes()}."
            )
        there = self._call(("ls-remote", "--exit-code", "--heads", "--", remote, f"refs/heads/{branch}"))
        if there.returncode == 2:  # git's own word for: no such branch
            return
        if there.returncode:
            raise ReportError(f"--remote {remote}: git cannot look at it: {_said(there)}")
        self.run("fetch", "--quiet", "--", remote, f"+refs/heads/{branch}:refs/remotes/{remote}/{branch}")

    def parent(self, branch: str, remote: str) -> tuple[str, str]:
        """Where the branch stands here, and the commit that the new one follows: the later of here and the remote."""
        local, there = self._commit(f"refs/heads/{branch}"), self._commit(f"refs/remotes/{remote}/{branch}")
        if not local or not there or local == there:
            return local, local or there
        if not self._call(("merge-base", "--is-ancestor", there, local)).returncode:
            return local, local
        if not self._call(("merge-base", "--is-ancestor", local, there)).returncode:
            return local, there
        raise ReportError(
            f"--branch {branch}: here and on {remote} it holds commits that the other lacks. Nothing was published. If "
            f"those here are not wanted, `git branch -D {branch}` and publish again."
        )

    def tree(self, folder: Path, index: Path, parent: str) -> str:
        """The tree of a folder's files, with what the branch keeps for its host."""
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        names = [path.relative_to(folder).as_posix() for path in files]
        paths = "\n".join(map(str, files)).encode()
        hashes = self.run("hash-object", "-w", "--no-filters", "--stdin-paths", given=paths).split()
        lines = [f"100644 {sha}\t{name}" for name, sha in zip(names, hashes, strict=True)]
        if parent:
            kept = self.run("ls-tree", "-r", "-z", parent, "--", *KEPT).split("\0")
            lines += [line.replace(" blob ", " ") for line in kept if line and line.partition("\t")[2] not in names]
        self.run(
            "update-index", "-z", "--index-info", given="".join(f"{line}\0" for line in lines).encode(), index=index
        )
        return self.run("write-tree", index=index)

    def push(self, remote: str, branch: str) -> None:
        """The branch on the remote. Raises RenderError; it stays as it is here."""
        done = self._call(("push", "--quiet", "--", remote, f"refs/heads/{branch}:refs/heads/{branch}"))
        if done.returncode:
            raise RenderError(
                f"The branch {branch} holds the site here, but could not be pushed to {remote}: {_said(done)} Publish "
                "again, or push it by hand."
            )

    def _commit(self, ref: str) -> str:
        return self._call(("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")).stdout.decode().strip()

    def _remotes(self) -> str:
        return ", ".join(self.run("remote").split()) or "no remote at all"

    def _ask(self, *words: str) -> str:
        done = self._call(words)
        if done.returncode:
            raise ReportError(
                f"--branch: {self.at} lies in no git repository ({_said(done)}) Run it inside the one whose branch is "
                "to hold the site, or name a folder with --to."
            )
        return done.stdout.decode().strip()

    def _call(
        self, words: tuple[str, ...], given: bytes = b"", index: Path | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        more = {"GIT_INDEX_FILE": str(index)} if index else {}
        try:
            return subprocess.run(
                ["git", *words], cwd=self.at, env=self.environment | more, input=given, capture_output=True, check=False
            )
        except FileNotFoundError as error:
            raise ReportError("--branch needs git, which is not installed here. Use --to FOLDER instead.") from error


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    text = " ".join(done.stderr.decode(errors="replace").split()) or f"it ended with code {done.returncode}"
    return text if text.endswith(".") else f"{text}."
