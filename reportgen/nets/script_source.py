"""The code of a TorchScript archive: its classes and functions, parsed as text. None of it is compiled or run."""

from __future__ import annotations

import ast
import sys
import warnings
from dataclasses import dataclass

from reportgen.errors import ModelError
from reportgen.nets.archive import Archive
from reportgen.nets.script_pickle import MODULES

# Bytes of code; parsed, a text takes up to 600 times its own memory. A frozen densenet121 has 65,000 in one file; where
# Python is older than 3.11, 100,000 dots in a row end the process.
_MOST_FILE = (512 if sys.version_info >= (3, 11) else 64) << 10
_MOST_CODE = 2 << 20  # of all files that are read; a traced densenet121 has 270,000

Definition = ast.FunctionDef | ast.ClassDef


@dataclass(frozen=True)
class _Class:
    methods: dict[str, ast.FunctionDef]
    parameters: frozenset[str]


class Source:
    """The definitions in an archive's code by their full names, read when they are asked for."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self._files: dict[str, dict[str, Definition]] = {}
        self._classes: dict[str, _Class] = {}
        self._read = 0

    def find(self, name: str) -> Definition:
        """A class or a function: `__torch__.torch.nn.functional.relu`."""
        words = name.split(".")
        if not name.startswith(MODULES) or not all(word.isidentifier() for word in words):
            raise ValueError(f"{name[:80]!r} is no name of a class")
        entry = f"code/{'/'.join(words[:-1])}.py"
        if entry not in self._files:
            self._files[entry] = self._parsed(entry)
        found = self._files[entry].get(words[-1])
        if found is None:
            raise ModelError(f"The model file {self.archive.path} is damaged: {entry} has no {words[-1][:80]!r}.")
        return found

    def method(self, kind: str, name: str) -> ast.FunctionDef:
        """A method of one of the file's classes."""
        found = self._class(kind).methods.get(name)
        if found is None:
            raise ModelError(
                f"The model file {self.archive.path} is damaged: its class {kind[:80]} has no {name[:40]!r}."
            )
        return found

    def has_own_state(self, kind: str) -> bool:
        """Whether code of the class sets the attributes of its objects."""
        return "__setstate__" in self._class(kind).methods

    def parameters(self, kind: str) -> frozenset[str]:
        """Which attributes of a class are parameters."""
        return self._class(kind).parameters

    def fields(self, kind: str) -> list[str] | None:
        """The fields of a class that is a named tuple; None for any other."""
        found = self.find(kind)
        if not isinstance(found, ast.ClassDef) or [ast.unparse(base) for base in found.bases] != ["NamedTuple"]:
            return None
        return [ast.unparse(part.target) for part in found.body if isinstance(part, ast.AnnAssign)]

    def _class(self, kind: str) -> _Class:
        if kind not in self._classes:
            found = self.find(kind)
            if not isinstance(found, ast.ClassDef):
                raise ValueError(f"{kind[:80]} is no class")
            self._classes[kind] = _class_of(found)
        return self._classes[kind]

    def _parsed(self, entry: str) -> dict[str, Definition]:
        text = self.archive.read(entry, _MOST_FILE)
        self._read += len(text)
        if self._read > _MOST_CODE:
            raise ModelError(f"The model file {self.archive.path} was refused: it has far more code than any net.")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd escapes in its texts
            tree = ast.parse(text.decode())
        return {part.name: part for part in tree.body if isinstance(part, ast.FunctionDef | ast.ClassDef)}


def _class_of(found: ast.ClassDef) -> _Class:
    """What is in a class; the names of its parameters stand in `__parameters__ = ["weight", "bias", ]`."""
    methods = {part.name: part for part in found.body if isinstance(part, ast.FunctionDef)}
    said = [part for part in found.body if isinstance(part, ast.Assign) and isinstance(part.targets[0], ast.Name)]
    told = [ast.literal_eval(part.value) for part in said if ast.unparse(part.targets[0]) == "__parameters__"]
    return _Class(methods, frozenset(str(name) for names in told for name in names))
