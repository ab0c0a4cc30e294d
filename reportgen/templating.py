"""Where templates are and how they are filled; every page of site and poster goes through here."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from reportgen.errors import RenderError


def templates_dir() -> Path:
    """The folder of templates: in the package, else beside it in the repository. Raises RenderError."""
    package = Path(__file__).parent
    for folder in (package / "templates", package.parent / "templates"):
        if (folder / "site").is_dir():
            return folder
    raise RenderError("The templates are missing from this installation. Install reportgen again.")


@lru_cache(maxsize=4)
def environment(kind: str) -> Environment:
    """The templates of "site" or "poster": values are escaped, an undefined name is an error."""
    return Environment(
        loader=FileSystemLoader(templates_dir() / kind),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
