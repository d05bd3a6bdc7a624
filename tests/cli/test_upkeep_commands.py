from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.test_app import call
from tests.upkeep.filled_store import FilledStore


@pytest.fixture
def store(tmp_path: Path) -> FilledStore:
    return FilledStore.make(tmp_path / "kv")


def test_check_then_repair_by_the_command_line(store: FilledStore) -> None:
    at = ("--store", str(store.folder))
    status, out, _ = call("check", "--deep", *at)
    assert status == 0 and out.startswith("sound: 8 documents, 24 pages, 24 pages read")
    path = store.page("doc1", 1)
    data = bytearray(path.read_bytes())
    data[5000] ^= 1
    path.write_bytes(data)
    status, out, _ = call("check", "--deep", *at)
    assert status == 1 and out.splitlines()[0].startswith("FAULT  pages: page ") and "1 faults" in out
    status, out, _ = call("check", "--json", *at)
    assert status == 1 and json.loads(out)["sound"] is False
    status, out, _ = call("repair", *at)
    assert status == 0 and "mended  pages: page " in out and "1 pages dropped" in out
    assert call("check", "--deep", *at)[0] == 0


def test_a_store_in_use_and_no_store_at_all(store: FilledStore, tmp_path: Path) -> None:
    with store.open():
        for command in ("check", "repair"):
            status, _, err = call(command, "--store", str(store.folder))
            assert status == 2 and "in use by another kvproxy" in err
    status, _, err = call("check", "--store", str(tmp_path / "nowhere"))
    assert status == 2 and "there is no store" in err
