"""Formulas of docstrings as HTML."""

import re

import pytest

from reportgen.formulas import WORDS, formula
from reportgen.methods import methods


@pytest.mark.parametrize(
    ("tex", "html"),
    [
        ("z_k^2", "<i>z</i><sub><i>k</i></sub><sup>2</sup>"),
        (r"\max_{ij} |\partial S|", "max <sub><i>i</i><i>j</i></sub> |∂ <i>S</i>|"),
        (r"\frac{n_b}{n}", "<i>n</i><sub><i>b</i></sub> / <i>n</i>"),
        (r"\frac{a + b}{2}", "(<i>a</i> + <i>b</i>) / 2"),
        (r"\mathrm{acc}(b)", "acc(<i>b</i>)"),
        (r"\hat{M}, \tilde x", "M\u0302, x\u0303"),
        (r"\lVert x' - x \rVert \ne \sqrt{2}", "‖ <i>x</i>′ − <i>x</i> ‖ ≠ √2"),
        ("e^{z_k}", "<i>e</i><sup><i>z</i><sub><i>k</i></sub></sup>"),
        (r"h \leftarrow h + \gamma\, g", "<i>h</i> ← <i>h</i> + γ\u202f <i>g</i>"),
        ("a < b & c", "<i>a</i> &lt; <i>b</i> &amp; <i>c</i>"),
    ],
)
def test_a_formula_is_set(tex, html):
    assert formula(tex) == html


@pytest.mark.parametrize("name", methods())
def test_no_method_has_a_command_that_pages_cannot_show(name):
    for tex in re.findall(r"\$([^$]+)\$", methods()[name].doc):
        shown = re.sub(r"<[^>]+>", "", formula(tex))
        assert "\\" not in shown
        for word in re.findall(r"\\([a-zA-Z]+)", tex):
            assert word in WORDS or word not in shown, (tex, shown)
