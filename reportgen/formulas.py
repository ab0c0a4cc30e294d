"""Short formulas of docstrings as HTML: letters slanted, indices below, powers above; what a page can show offline.

Enough of TeX for one line: commands for signs, groups in braces, `_` and `^`, fractions, roots, accents, upright words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from markupsafe import Markup, escape

SIGNS = {
    **{"partial": "∂", "sum": "∑", "prod": "∏", "int": "∫", "cdot": "·", "times": "×", "infty": "∞", "in": "∈"},
    **{"ne": "≠", "le": "≤", "ge": "≥", "approx": "≈", "cap": "∩", "cup": "∪", "lVert": "‖", "rVert": "‖", "to": "→"},
    **{"leftarrow": "←"},
    **{"lfloor": "⌊", "rfloor": "⌋", "lceil": "⌈", "rceil": "⌉", "odot": "⊙", "ldots": "…", "nabla": "∇", "pm": "±"},
    **{"alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "lambda": "λ", "mu": "μ", "rho": "ρ"},
    **{"sigma": "σ", "tau": "τ", "theta": "θ", "phi": "φ", "pi": "π", "eta": "η", "Delta": "Δ", "Sigma": "Σ"},
}
WORDS = ("max", "min", "log", "exp", "arg", "sin", "cos")  # upright, as in print
UPRIGHT = ("mathrm", "mathcal", "operatorname", "text")
ACCENTS = {"hat": "\u0302", "tilde": "\u0303", "bar": "\u0304"}
SPACES = {",": "\u202f", ";": " ", " ": " ", "!": ""}
_TOKEN = re.compile(r"\\([a-zA-Z]+)|\\(.)|(.)", re.DOTALL)


def formula(tex: str) -> Markup:
    """The formula as HTML: `z_k^2` is z with a small k below and a small 2 above."""
    return Markup(_row(_tokens(" ".join(tex.split())), upright=False))


def _tokens(tex: str) -> Iterator[str]:
    """Commands with their backslash, all other signs one by one."""
    return (match[0] for match in _TOKEN.finditer(tex))


def _row(tokens: Iterator[str], upright: bool) -> str:
    """All that comes up to the end, or to the brace that closes this group."""
    parts = []
    for token in tokens:
        if token == "}":
            break
        parts.append(_part(token, tokens, upright))
    return "".join(parts)


def _group(tokens: Iterator[str], upright: bool = False) -> str:
    """The next group in braces, or the next sign alone."""
    token = next((one for one in tokens if one != " "), "")
    return _row(tokens, upright) if token == "{" else _part(token, tokens, upright)


def _part(token: str, tokens: Iterator[str], upright: bool) -> str:
    if token.startswith("\\"):
        return _command(token[1:], tokens)
    if token == "{":
        return _row(tokens, upright)
    if token in ("_", "^"):
        tag = "sub" if token == "_" else "sup"
        return f"<{tag}>{_group(tokens, upright)}</{tag}>"
    if token.isalpha() and not upright:
        return f"<i>{token}</i>"
    return {"-": "−", "'": "′", "/": " / "}.get(token) or str(escape(token))


def _command(name: str, tokens: Iterator[str]) -> str:
    if name in SIGNS:
        return SIGNS[name]
    if name in SPACES:
        return SPACES[name]
    if name in UPRIGHT:
        return _group(tokens, upright=True)
    if name in ACCENTS:
        return _group(tokens, upright=True) + ACCENTS[name]
    if name == "frac":
        return f"{_closed(_group(tokens))} / {_closed(_group(tokens))}"
    if name == "sqrt":
        return f"√{_closed(_group(tokens))}"
    return f"{name} " if name in WORDS else name


def _closed(html: str) -> str:
    """In parentheses, where it is more than one thing."""
    return html if len(re.sub(r"<sub>.*?</sub>|<[^>]+>", "", html)) == 1 else f"({html})"
