"""Where templates are and how they are filled; every page of site and poster goes through here.

A folder `templates` beside the spec overrides ours file by file: `templates/site/base.html` stands for our file of that
name, and can still build on it: `{% extends "ours/base.html" %}`. The user's templates run in a sandbox.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path

from jinja2 import (
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    PrefixLoader,
    StrictUndefined,
    TemplateError,
    TemplateNotFound,
    TemplateSyntaxError,
)
from jinja2.sandbox import ImmutableSandboxedEnvironment

from reportgen.errors import RenderError, nearest
from reportgen.overrides import own_files, own_templates

OURS = "ours"  # prefix of our templates in those of a user
PAGES = (".html", ".xml")  # what Jinja fills; everything else is taken as it is

# The user's folder while one report is drawn: every piece of site and poster asks for templates, many without a report.
_own: ContextVar[Path | None] = ContextVar("own_templates", default=None)


def templates_dir() -> Path:
    """The folder of templates: in the package, else beside it in the repository. Raises RenderError."""
    package = Path(__file__).parent
    for folder in (package / "templates", package.parent / "templates"):
        if (folder / "site").is_dir():
            return folder
    raise RenderError("The templates are missing from this installation. Install reportgen again.")


def file_of(kind: str, name: str) -> Path:
    """The style sheet, script or drawing of this name: the user's, else ours."""
    own = _own.get()
    theirs = own / kind / name if own else None
    return theirs if theirs is not None and theirs.is_file() else templates_dir() / kind / name


def files_of(kind: str, *suffixes: str) -> dict[str, Path]:
    """All files of a kind with these endings by their names, the user's before ours."""
    folders = [templates_dir() / kind, *([own / kind] if (own := _own.get()) else [])]
    found = {path.name: path for folder in folders for end in suffixes for path in folder.glob(f"*{end}")}
    return dict(sorted(found.items()))


def own_extras(kind: str) -> list[Path]:
    """The user's files of a kind that are no templates and stand for none of ours: pictures, more style sheets."""
    own = _own.get()
    files = own_files(own) if own else []
    here = [path for path in files if own and path.parent == own / kind and path.suffix not in PAGES]
    return [path for path in here if not (templates_dir() / kind / path.name).is_file()]


def environment(kind: str) -> Environment:
    """The templates of "site" or "poster", the user's before ours: values are escaped, an undefined name is an error.

    What a user wrote runs in a sandbox: a spec that came from elsewhere runs no code by its templates either.
    """
    return _environment(kind, _own.get())


def forget() -> None:
    """Look at all templates anew, for a program that outlives a change of them."""
    _environment.cache_clear()


@lru_cache(maxsize=8)
def _environment(kind: str, own: Path | None) -> Environment:
    ours = FileSystemLoader(templates_dir() / kind)
    made = ImmutableSandboxedEnvironment if own else Environment
    return made(
        loader=ChoiceLoader([FileSystemLoader(own / kind), ours, PrefixLoader({OURS: ours})]) if own else ours,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def problems(own: Path | None) -> list[str]:
    """What is wrong with a user's templates before anything is filled in, one line each with its place."""
    found = []
    for path in own_files(own):
        if own is None or path.suffix not in PAGES:
            continue
        kind, name = path.relative_to(own).parts[0], "/".join(path.relative_to(own).parts[1:])
        try:
            _environment(kind, own).get_template(name)
        except TemplateSyntaxError as error:
            found.append(f"{_place(path, own)}:{error.lineno}: the template cannot be read: {_sentence(error.message)}")
        except (TemplateNotFound, UnicodeDecodeError):
            found.append(f"{_place(path, own)}: the template cannot be read: it is not text in UTF-8.")
    return found


@contextmanager
def beside(spec: Path) -> Iterator[None]:
    """In here the templates beside the spec override ours.

    Whatever goes wrong in one of them is a RenderError of one paragraph, with its file and line.
    """
    own = own_templates(spec)
    token = _own.set(own)
    try:
        yield
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        if own is None or (place := _where(error, own)) is None:
            raise
        words = f"there is no template {error.name!r}" if isinstance(error, TemplateNotFound) else str(error)
        if isinstance(error, TemplateNotFound):
            words += f". {nearest(str(error.name), files_of(Path(place).parts[1], *PAGES))}"
        raise RenderError(
            f"{place}: this template of yours cannot be filled: {_sentence(words)} Mend it, or take the file away: "
            "then ours is used again."
        ) from error
    finally:
        _own.reset(token)


def _where(error: Exception, own: Path) -> str | None:
    """File and line of the innermost frame that a user's template has in an error, or None."""
    files = {str(path): path for path in own_files(own)}
    if isinstance(error, TemplateSyntaxError) and error.filename in files:
        return f"{_place(files[error.filename], own)}:{error.lineno}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in files]
    return f"{_place(files[frames[-1].filename], own)}:{frames[-1].lineno}" if frames else None


def _place(path: Path, own: Path) -> str:
    return path.relative_to(own.parent).as_posix()


def _sentence(text: str | None) -> str:
    text = (text or "it is empty").strip()
    return text if text.endswith((".", "?")) else f"{text}."
