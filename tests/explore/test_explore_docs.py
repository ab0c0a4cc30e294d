"""The page about `reportgen explore` shows what really happens."""

import re
import subprocess
import sys
from pathlib import Path

from reportgen.explore.words import COMMANDS
from tests.explore import sitting

PAGE = (sitting.ROOT / "docs" / "explore.md").read_text(encoding="utf-8")


def blocks(kind):
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_transcript_is_what_the_script_says_and_its_spec_builds_from_the_same_cache(tmp_path):
    script, transcript = blocks("text")
    (spec,) = blocks("yaml")
    (tmp_path / "look.txt").write_text(script)
    (words,) = re.findall(r"`reportgen (explore [^`]*--script look\.txt)` says", PAGE)

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "reportgen", *arguments, "--device", "cpu"],
            capture_output=True, encoding="utf-8", cwd=tmp_path, env=sitting.environment(tmp_path, tmp_path / "store"),
            check=True,
        )  # fmt: skip

    assert run(*words.split()).stdout == transcript
    assert (tmp_path / "look.yaml").read_text(encoding="utf-8") == spec
    built = run("build", "look.yaml", "--out", "report").stdout
    assert "0 computed, 3 cached, 0 failed" in built


def test_every_command_is_on_the_page_or_in_the_help_that_it_names():
    assert "`help`" in PAGE
    for command in ("layer", "show", "save", "drop", "spec", "unset", "quit", "data"):
        assert command in COMMANDS
        assert f"`{command}" in PAGE


def test_links_of_the_page_lead_somewhere():
    for target in re.findall(r"\]\(([\w./-]+)\)", PAGE):
        assert Path(sitting.ROOT, "docs", target).is_file()
