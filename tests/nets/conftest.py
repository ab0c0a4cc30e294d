"""What tests of model files share."""

import pytest

from reportgen import load_net
from reportgen.errors import ModelError


@pytest.fixture
def refused(tmp_path):
    """Loads bytes as a file; gives the paragraph, after making sure that nothing else came of it."""

    def attempt(data, name="net.pt2"):
        folder = tmp_path / "models"
        folder.mkdir()
        (folder / name).write_bytes(data)
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(ModelError) as caught:
            load_net(str(folder / name), device="cpu")
        assert sorted(tmp_path.rglob("*")) == before
        text = str(caught.value)
        assert "\n" not in text
        assert len(text) < 900
        return text

    return attempt
