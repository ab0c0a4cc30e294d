"""Keeping the store in order: what it holds, what nothing needs any more, what is damaged."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from pathlib import Path

from reportgen.run_lock import unless_under_way
from reportgen.store import Corrupt, Store


def contents(store: Store) -> dict[str, tuple[int, int]]:
    """Records and bytes by kind; cells by their method."""
    found: dict[str, tuple[int, int]] = {}
    for record in store.records():
        method = record.document.get("method")
        name = f"cell {method['name']}" if record.kind == "cell" and method else record.kind
        count, size = found.get(name, (0, 0))
        found[name] = (count + 1, size + sum(record.sizes.values()))
    return found


def verify(store: Store) -> tuple[int, int]:
    """How many records are sound, and how many were damaged and are now set aside."""
    paths = list((store.root / "records").glob("*/*.json"))
    sound = 0
    for path in paths:
        record = store.get(path.stem)
        try:
            if record is not None:
                for name in record.blobs:
                    store.read(record, name)
                sound += 1
        except Corrupt:
            continue
    return sound, len(paths) - sound


def collect(store: Store, *, dry_run: bool, grace_hours: float) -> tuple[int, int]:
    """Files and bytes removed (or that would be): cells of no report that still lies in its folder, and lone blobs.

    Cards, figures and fonts are small or quick to make again: they stay while younger than the grace time, as do
    trainings that were broken off; a training that is under way stays whatever its age. Records go before blobs, so
    that no record ever names a blob that is gone.
    """
    oldest = time.time() - grace_hours * 3600
    wanted = _wanted(store)
    kept_blobs: set[str] = set()
    doomed: list[Path] = []
    for path in sorted((store.root / "records").glob("*/*.json")):
        record = store.get(path.stem)
        if record is None:
            continue
        if record.key in wanted or path.stat().st_mtime > oldest:
            kept_blobs.update(record.blobs.values())
        else:
            doomed.append(path)
    for folder in ("blobs/*", "damaged"):
        for path in sorted(store.root.glob(f"{folder}/*")):
            if path.name not in kept_blobs and path.stat().st_mtime <= oldest:
                doomed.append(path)
    with ExitStack() as locks:  # nobody goes on with a training while it is cleared away
        for state in sorted(store.root.glob("runs/*/state.pt")):
            if locks.enter_context(unless_under_way(state.parent)) and _is_older(state, oldest):
                doomed += sorted(state.parent.iterdir())
        size = sum(path.stat().st_size for path in doomed)
        if not dry_run:
            for path in doomed:
                path.unlink(missing_ok=True)
    return len(doomed), size


def _is_older(state: Path, oldest: float) -> bool:
    """Whether a training is broken off for so long: each epoch writes its state anew, and the last takes it away."""
    return state.is_file() and state.stat().st_mtime <= oldest


def _wanted(store: Store) -> set[str]:
    """The keys of every report that the store knows of and that still lies in its folder."""
    keys: set[str] = set()
    for path in (store.root / "builds").glob("*.json"):
        known = json.loads(path.read_text(encoding="utf-8"))
        if Path(known["folder"]).is_dir():
            keys.update(known["keys"])
    return keys
