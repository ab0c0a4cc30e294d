"""The import rules of the design: the publishing half and every name stand without torch; methods stay apart."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "reportgen"
HEAVY = ("torch", "torchvision", "matplotlib", "weasyprint", "sklearn", "scipy")
# Made of nn.Modules; only code that builds a net imports them.
NETS_OF_OURS = tuple(f"reportgen.nets.{name}" for name in ("mini", "encdec", "rebuild", "leaves", "same"))
# what a method must not know: what plans and runs it, what keeps results, what draws and publishes them
FORBIDDEN_IN_METHODS = {
    "store", "plan", "run", "passes", "computing", "building", "assembly", "cells", "keys", "unchanged", "spec", "cli",
    "methods", "report", "pages", "rows", "figures", "tiles", "charts", "curves", "categories", "scatter", "encode",
    "walls", "site", "poster", "preflight", "publish", "texts", "models", "datasets", "training",
}  # fmt: skip


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(("reportgen", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
        if name not in ("reportgen.__main__", *NETS_OF_OURS):
            yield name


def test_every_module_can_be_imported_where_the_heavy_packages_are_blocked():
    code = f"""
import importlib, sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {HEAVY!r}:
            raise ImportError(name + " is blocked")
sys.meta_path.insert(0, Block())
for name in {list(modules())!r}:
    importlib.import_module(name)
import reportgen.methods
assert reportgen.methods.methods()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", sorted((PACKAGE / "methods").glob("[!_]*.py")), ids=lambda path: path.stem)
def test_a_method_imports_only_shared_helpers(path):
    ours = {name.split(".")[1] for name in imported(path) if name.startswith("reportgen.")}
    assert not ours & FORBIDDEN_IN_METHODS


@pytest.mark.parametrize(
    "name", ["pages", "figures", "charts", "tiles", "site", "poster", "preflight", "report", "texts"]
)
def test_the_publishing_half_never_imports_the_computing_half(name):
    computing = {"run", "rules", "hooks", "project", "computing"}
    ours = {found.split(".")[1] for found in imported(PACKAGE / f"{name}.py") if found.startswith("reportgen.")}
    assert not ours & computing
    assert not any(found.split(".")[0] in ("torch", "torchvision") for found in imported(PACKAGE / f"{name}.py"))


def test_only_hooks_registers_hooks_and_only_the_command_line_prints():
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if path.name != "hooks.py":
            assert "register_forward" not in text, path
            assert "register_full_backward" not in text, path
        if path.name not in ("cli.py", "progress.py"):
            calls = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Call)]
            names = [call.func.id for call in calls if isinstance(call.func, ast.Name)]
            assert "print" not in names, path
