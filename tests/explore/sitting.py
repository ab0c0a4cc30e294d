"""The environment of sessions in tests: a cache and a history of their own, no published weights, no colours."""

import os
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def environment(home, store, **more):
    """What a session sees: nothing of whoever runs the tests."""
    own = {"TORCH_HOME": str(home / "none"), "REPORTGEN_CACHE": str(store), "XDG_STATE_HOME": str(home / "state")}
    outside = ("NO_COLOR", "COLORTERM", "TMUX", "TERM_PROGRAM", "KITTY_WINDOW_ID", "LC_TERMINAL")
    kept = {key: value for key, value in os.environ.items() if key not in outside}
    here = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PROMPT_TOOLKIT_NO_CPR": "1", "PYTHONUTF8": "1"}
    return kept | own | here | more
