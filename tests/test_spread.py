"""Some of many, spread evenly."""

import numpy as np
import pytest

from reportgen.spread import evenly


@pytest.mark.parametrize("count", [0, 1, 2, 5, 12, 40])
@pytest.mark.parametrize("most", [0, 1, 2, 7, 40])
def test_what_is_chosen_is_spread_as_an_even_scale_is(count, most):
    chosen = evenly(count, most)
    expected = np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist()
    assert chosen == sorted(set(chosen)) == expected
