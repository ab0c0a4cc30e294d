"""Data for the scripts of pages, as JSON that a script can hold."""

from __future__ import annotations

import json
from typing import Any

_UNSAFE = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}


def literal(value: Any, *, ascii_only: bool = False, sort_keys: bool = False) -> str:
    """A value as JSON for a script; no text in it can end the script or a line, or start markup."""
    text = json.dumps(value, ensure_ascii=ascii_only, sort_keys=sort_keys, allow_nan=False, separators=(",", ":"))
    return text.translate(_UNSAFE)
