"""Every optional extra of the package, absent: one line names it and how to install it, wherever it is met."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy
import pytest

tomllib = pytest.importorskip("tomllib")  # of Python 3.11
REPOSITORY = Path(__file__).parent.parent
DECLARED = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
EXTRAS = sorted(set(DECLARED) - {"test"})  # which brings what our own tests need

# Extra -> nets that cannot be had without it. A new extra has its line here.
NEEDED_BY = {"onnx": ("mine.onnx",), "timm": ("timm:resnet18",), "keras": ("mine.h5",)}

LOAD = """
import sys
import reportgen
from reportgen.errors import ReportError
try:
    reportgen.load_net(sys.argv[1])
except ReportError as error:
    print(error)
"""


def imported_by(requirement):
    """The folder that a requirement installs, where it is named as the package is."""
    return re.match(r"[\w.-]+", requirement)[0].lower().replace("-", "_")


@pytest.fixture(scope="module", params=EXTRAS)
def without(request, tmp_path_factory):
    """An extra, and a folder of installed packages in which its own are absent, not merely blocked."""
    gone = tuple(imported_by(requirement) for requirement in DECLARED[request.param])
    folder = tmp_path_factory.mktemp("packages")
    for path in Path(numpy.__file__).parent.parent.iterdir():
        name = re.split(r"[-.]", path.name.lower())[0]
        if name not in gone and path.suffix != ".pth":
            (folder / path.name).symlink_to(path)
    return request.param, folder


def test_every_extra_of_the_package_is_tested_here():
    assert set(EXTRAS) <= set(NEEDED_BY), "a new extra: say in NEEDED_BY which net needs it"


def python(packages, folder, *words):
    own = {"PYTHONPATH": f"{REPOSITORY}{os.pathsep}{packages}", "REPORTGEN_CACHE": str(folder / "cache")}
    return subprocess.run(
        [sys.executable, "-S", *words], cwd=folder, env={**os.environ, **own}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


def test_an_absent_extra_is_named_with_how_to_install_it(without, tmp_path):
    extra, packages = without
    line = re.compile(rf"needs the extra {extra}, which is not installed: pip install 'reportgen\[{extra}\]'$", re.M)
    for arch in NEEDED_BY[extra]:
        (tmp_path / arch.replace(":", "-")).write_bytes(b"\x89HDF\r\n\x1a\n")  # as a file of Keras begins
        models = (
            f'models: {{mine: {{arch: "{arch}", weights: random}}}}'
            if ":" in arch
            else f"models: {{mine: {{arch: {arch}}}}}"
        )
        (tmp_path / "spec.yaml").write_text(f"title: t\n{models}\nsections: [{{id: a, method: architecture}}]\n")
        (tmp_path / "lines.txt").write_text(f"net {arch}{' weights=random' if ':' in arch else ''}\n")
        built = python(packages, tmp_path, "-m", "reportgen", "build", "spec.yaml", "--device", "cpu")
        loaded = python(packages, tmp_path, "-c", LOAD, arch)
        explored = python(packages, tmp_path, "-m", "reportgen", "explore", "resnet_mini", "--script", "lines.txt")
        assert (built.returncode, loaded.returncode, explored.returncode) == (2, 0, 1), built.stderr + loaded.stderr
        for told in (built.stderr, loaded.stdout, explored.stderr):
            (said,) = [text for text in told.splitlines() if "extra" in text]
            assert line.search(said), told
            assert "Traceback" not in told
