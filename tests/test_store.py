"""The store: whole files or none, damage noticed, many writers at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reportgen.errors import StoreError
from reportgen.housekeeping import collect, contents, verify
from reportgen.store import Corrupt, Store

KEY = "ab" * 32
BLOBS = {"one": b"first bytes", "two": b"second"}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def put(store, key=KEY, blobs=BLOBS):
    return store.put(key, kind="cell", document={"method": {"name": "m"}}, meta={"n": 1.5}, blobs=blobs)


def test_what_was_put_comes_back(store):
    put(store)
    record = store.get(KEY)
    assert record is not None
    assert record.meta == {"n": 1.5}
    assert {name: store.read(record, name) for name in record.blobs} == BLOBS


def test_a_record_is_the_same_when_put_and_when_read_down_to_the_order_of_its_numbers(store):
    new = store.put(KEY, kind="cell", document={}, meta={"z": (1, 2), "a": {"y": 1, "b": 2}})
    assert repr(store.get(KEY)) == repr(new)
    assert list(new.meta) == ["z", "a"]


def test_a_key_nobody_filled_is_none(store):
    assert store.get(KEY) is None


def test_the_first_record_of_a_key_stays(store):
    put(store)
    again = put(store, blobs={"one": b"other bytes"})
    assert store.read(again, "one") == BLOBS["one"]


@pytest.mark.parametrize("damage", [b"", b"first", b"garbage of some length", b"first bytez"])
def test_a_damaged_blob_is_noticed_set_aside_and_can_be_filled_again(store, damage):
    record = put(store)
    path = store.blob_path(record.blobs["one"])
    path.write_bytes(damage)
    found = store.get(KEY)
    if found is not None:
        with pytest.raises(Corrupt):
            store.read(found, "one")
    assert store.get(KEY) is None
    assert any((store.root / "damaged").iterdir())
    assert store.read(put(store), "one") == BLOBS["one"]


def test_filling_a_record_again_mends_all_its_blobs_not_only_the_one_that_was_read(store):
    record = put(store)
    for blob in record.blobs.values():
        path = store.blob_path(blob)
        path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(Corrupt):
        store.read(record, "one")
    again = put(store)
    assert {name: store.read(again, name) for name in again.blobs} == BLOBS


@pytest.mark.parametrize("damage", [b"", b"{}", b"garbage\n{}"])
def test_a_damaged_record_counts_as_missing(store, damage):
    put(store)
    path = next((store.root / "records").glob("*/*.json"))
    path.write_bytes(damage)
    assert store.get(KEY) is None
    assert put(store).blobs.keys() == BLOBS.keys()


def test_one_flipped_digit_in_a_record_is_noticed(store):
    put(store)
    path = next((store.root / "records").glob("*/*.json"))
    path.write_bytes(path.read_bytes().replace(b"1.5", b"1.6"))
    assert store.get(KEY) is None


def test_verify_counts_the_sound_and_the_damaged(store):
    put(store)
    record = put(store, key="cd" * 32, blobs={"x": b"other"})
    store.blob_path(record.blobs["x"]).write_bytes(b"wrong")
    assert verify(store) == (1, 1)


def test_gc_keeps_what_is_young_and_removes_the_rest(store):
    put(store)
    assert contents(store) == {"cell m": (1, len(b"first bytessecond"))}
    assert collect(store, dry_run=False, grace_hours=1)[0] == 0
    assert collect(store, dry_run=True, grace_hours=0)[0] == 3
    assert store.get(KEY) is not None
    collect(store, dry_run=False, grace_hours=0)
    assert store.get(KEY) is None


def test_a_store_that_cannot_be_written_says_so_in_one_paragraph(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot be written.*--cache"):
        put(Store(tmp_path / "file"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_loses_nothing_that_was_there(store, monkeypatch):
    put(store)

    def full(self, data):
        with Path("/dev/full").open("wb", buffering=0) as device:
            device.write(data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StoreError, match="No space left"):
        put(store, key="cd" * 32, blobs={"x": b"new"})
    monkeypatch.undo()
    assert store.get(KEY) is not None
    assert store.get("cd" * 32) is None


WRITER = """
import sys
from pathlib import Path
from reportgen.store import Store
store = Store(Path(sys.argv[1]))
for i in range(100000):
    store.put(f"{i % 200:064x}", kind="cell", document={}, blobs={"x": bytes([i % 200]) * 50000})
"""


def test_writers_killed_at_any_time_leave_only_whole_files(store):
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(store.root)]) for _ in range(3)]
    for number, writer in enumerate(writers):
        time.sleep(0.5 if number else 1.0)
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
    records = list(store.records())
    assert records
    for record in records:
        assert store.read(record, "x") == bytes([int(record.key, 16)]) * 50000
    assert verify(store)[1] == 0
