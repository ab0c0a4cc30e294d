"""Real ImageNet weights on real photos: the whole way from a file to a class name is right."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

import reportgen
from reportgen.images import decode

DATA = Path(__file__).parent.parent.parent / "shared" / "data"
PHOTOS, WEIGHTS = DATA / "imagenet-500.zip", DATA / "squeezenet1_0-imagenet1k.safetensors"


@pytest.mark.skipif(not PHOTOS.is_file(), reason=f"{PHOTOS.name} of the shared data is not here")
def test_squeezenet_names_at_least_60_of_100_imagenet_photos():
    net = reportgen.load_net("squeezenet1_0", weights=str(WEIGHTS), device="cpu")
    right = 0
    with zipfile.ZipFile(PHOTOS) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        pictures = [decode(io.BytesIO(archive.read(name)), name) for name in names]
    for rank, artifact in enumerate(reportgen.compute("prediction", net, pictures)):
        right += artifact.numbers["index"] == 2 * rank  # every second class, in the order of their wnids
    assert len(names) == 500
    assert right >= 0.6 * len(names)
