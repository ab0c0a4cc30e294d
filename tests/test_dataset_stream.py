"""Pictures of a set come in batches, in order, decoded ahead by threads, and never many of them at once."""

import gc
import threading
import time
import weakref

import numpy as np
import pytest
from PIL import Image

from reportgen import dataset_stream
from reportgen.dataset_stream import AHEAD, stream
from reportgen.datasets import open_dataset
from reportgen.errors import ImageError
from reportgen.examples import Dataset, Example


class Fake:
    """A set that counts what it gave and what is still alive."""

    def __init__(self, n, fails=None, side=2, seconds=0.0):
        self.asked, self.alive, self.most = [], 0, 0
        self.fails, self.side, self.seconds = fails or {}, side, seconds
        self.lock = threading.Lock()
        names = tuple(str(place) for place in range(n))
        self.data = Dataset("fake", ("a",), names, (0,) * n, self.load, str)

    def load(self, place):
        time.sleep(self.seconds)
        with self.lock:
            self.asked.append(place)
        if place in self.fails:
            raise self.fails[place]
        picture = np.full((self.side, self.side, 3), place, np.float32)
        with self.lock:
            self.alive += 1
            self.most = max(self.most, self.alive)
        weakref.finalize(picture, self.gone)
        return Example(picture)

    def gone(self):
        self.alive -= 1

    def settle(self):
        """Wait until the threads have nothing more to do."""
        count = -1
        while count != len(self.asked):
            count = len(self.asked)
            time.sleep(0.02)
        return count


def places(batches):
    return [[place for place, _ in batch] for batch in batches]


def test_batches_come_in_order_whatever_the_threads():
    for threads in (1, 4):
        fake = Fake(10)
        batches = list(stream(fake.data, size=4, threads=threads))
        assert places(batches) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
        assert all(example.picture[0, 0, 0] == place for batch in batches for place, example in batch)
        assert sorted(fake.asked) == list(range(10))


def test_a_stream_starts_anywhere():
    fake = Fake(10)
    assert places(stream(fake.data, start=6, size=3)) == [[6, 7, 8], [9]]
    assert sorted(fake.asked) == [6, 7, 8, 9]
    assert list(stream(fake.data, start=10)) == []
    assert list(stream(Fake(0).data)) == []


def test_the_next_batches_are_decoded_while_the_caller_works_but_no_more():
    fake = Fake(1000)
    batches = stream(fake.data, size=4)
    next(batches)
    assert fake.settle() == 4 + AHEAD * 4
    next(batches)
    assert fake.settle() == 8 + AHEAD * 4
    batches.close()


def test_memory_does_not_grow_with_the_set():
    most = []
    for n in (100, 1000):
        fake = Fake(n)
        for batch in stream(fake.data, size=4):
            del batch
        most.append(fake.most)
    gc.collect()
    assert max(most) <= 4 + AHEAD * 4 + 1  # what the caller holds, and what is ahead
    assert fake.alive == 0


def test_large_pictures_are_not_decoded_far_ahead(monkeypatch):
    monkeypatch.setattr(dataset_stream, "BUDGET", 5 * 100 * 100 * 12)
    fake = Fake(100, side=100)
    batches = stream(fake.data, size=4)
    next(batches)
    assert fake.settle() == 4 + 5
    next(batches)
    assert fake.settle() == 8 + 5
    batches.close()


def test_closing_stops_the_threads():
    fake = Fake(1000, seconds=0.002)
    before = threading.active_count()
    batches = stream(fake.data, size=4)
    next(batches)
    batches.close()
    count = len(fake.asked)
    assert threading.active_count() == before
    assert fake.settle() == count < 20
    for _ in stream(fake.data, size=4):
        break  # letting go of it closes it too
    gc.collect()
    assert threading.active_count() == before


def test_a_picture_that_cannot_be_read_is_told_in_its_place():
    fake = Fake(6, {2: ImageError("two"), 5: ImageError("five")})
    entries = [entry for batch in stream(fake.data, size=4) for entry in batch]
    assert [(place, str(entry)) for place, entry in entries if isinstance(entry, ImageError)] == [
        (2, "two"),
        (5, "five"),
    ]
    assert sum(isinstance(entry, Example) for _, entry in entries) == 4


def test_any_other_error_of_a_thread_reaches_the_caller():
    fake = Fake(100, {5: ZeroDivisionError("bug")})
    batches = stream(fake.data, size=4)
    assert places([next(batches)]) == [[0, 1, 2, 3]]
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError, match="bug"):
        next(batches)
    assert threading.active_count() < before


def test_a_set_that_shrinks_while_it_is_read_goes_on(tmp_path):
    for number in range(40):
        (tmp_path / "set" / "cat").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (2, 2)).save(tmp_path / "set" / "cat" / f"{number:02d}.png")
    found = []
    for batch in stream(open_dataset("set", base=tmp_path), size=4):
        if not found:
            for number in range(30, 40):
                (tmp_path / "set" / "cat" / f"{number}.png").unlink()
        found += batch
    assert len(found) == 40
    lost = [str(entry) for _, entry in found if isinstance(entry, ImageError)]
    assert len(lost) == 10
    assert lost[0] == "The image cat/30.png of set is no longer there."
