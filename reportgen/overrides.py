"""Where a user's own templates lie: a folder `templates` beside the spec. Light to import, unlike what fills them."""

from __future__ import annotations

from pathlib import Path

KINDS = ("site", "poster", "single")  # what can be overridden, each in a folder of its own
OWN_FOLDER = "templates"  # beside the spec


def own_templates(spec: Path) -> Path | None:
    """The folder of a user's templates beside the spec, if there is one."""
    folder = spec.absolute().parent / OWN_FOLDER
    return folder if any((folder / kind).is_dir() for kind in KINDS) else None


def own_files(own: Path | None) -> list[Path]:
    """Every file of a user's that may stand for one of ours, or beside them; none that is hidden."""
    if own is None:
        return []
    found = [path for kind in KINDS for path in (own / kind).rglob("*") if path.is_file()]
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(own).parts))
