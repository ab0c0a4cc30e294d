"""What all tests share: one thread for torch, memory that is given back, fonts that are cut once."""

import ctypes
import gc
import os
import sys
from contextlib import suppress
from functools import cache

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is first imported, by whichever test comes first


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="module", autouse=True)
def _memory_goes_back():
    """What a module leaves behind goes with it: prepared copies of nets that live on, and nets in cycles."""
    yield
    if lean := sys.modules.get("reportgen.lean"):
        lean._known.clear()
        gc.collect()
    with suppress(OSError, AttributeError):  # another C library has other means
        ctypes.CDLL(None).malloc_trim(0)


@pytest.fixture(scope="session")
def _web_fonts():
    from reportgen import fonts

    return cache(fonts.web_fonts)


@pytest.fixture(scope="module")
def fonts_made_once(_web_fonts):
    """Sites have the same typefaces without cutting them anew for each store."""
    from reportgen import site_assets

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(site_assets.fonts, "web_fonts", lambda store=None: _web_fonts())
        yield
