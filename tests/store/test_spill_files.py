from __future__ import annotations

import os
from io import FileIO
from pathlib import Path

import pytest

from kvproxy.errors import SetupError
from kvproxy.store.page_packing import PagePacking
from kvproxy.store.page_results import Loaded, Missing, Rejected
from kvproxy.store.page_store import PageStore
from kvproxy.store.spill_files import SpillFolder

KEY, PARENT, IDS, PAYLOAD = b"k" * 32, b"p" * 32, (1, 2, 3), bytes(range(256)) * 64


def opened(folder: Path, fingerprint: str = "f") -> SpillFolder:
    return SpillFolder(folder / "spill", max_size=2**30, packing=PagePacking(fingerprint))


def test_a_page_comes_back_as_it_was(tmp_path: Path) -> None:
    files = opened(tmp_path)
    files.put("1", KEY, PARENT, IDS, bytearray(PAYLOAD))
    loaded = files.get("1", KEY, PARENT, IDS)
    assert isinstance(loaded, Loaded) and bytes(loaded.payload) == PAYLOAD
    target = bytearray(len(PAYLOAD))
    assert isinstance(files.get("1", KEY, PARENT, IDS, target), Loaded) and target == PAYLOAD
    assert isinstance(files.get("1", KEY, PARENT, IDS, bytearray(9)), Rejected)
    files.delete("1")
    files.delete("1")
    assert isinstance(files.get("1", KEY, PARENT, IDS), Missing)


@pytest.mark.parametrize("asked", [(b"x" * 32, PARENT, IDS), (KEY, b"x" * 32, IDS), (KEY, PARENT, (1, 2))])
def test_a_page_is_given_for_what_it_is_alone(
    tmp_path: Path, asked: tuple[bytes, bytes, tuple[int, ...]]
) -> None:
    files = opened(tmp_path)
    files.put("1", KEY, PARENT, IDS, PAYLOAD)
    assert isinstance(files.get("1", *asked), Rejected)


def test_every_flipped_byte_is_noticed(tmp_path: Path) -> None:
    files = opened(tmp_path)
    files.put("1", KEY, PARENT, IDS, PAYLOAD)
    path = tmp_path / "spill" / "1.page"
    content = path.read_bytes()
    for at in (0, 9, 60, 100, 4095, 4096, len(content) - 1):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        assert isinstance(files.get("1", KEY, PARENT, IDS), Rejected), at
    path.write_bytes(content)
    assert isinstance(files.get("1", KEY, PARENT, IDS), Loaded)


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    class Full(SpillFolder):
        def fill(self, file: FileIO, rest: memoryview) -> None:
            file.write(rest[:100])
            raise OSError(28, "No space left on device")

    files = Full(tmp_path, max_size=2**30, packing=PagePacking("f"))
    with pytest.raises(OSError, match="No space"):
        files.put("1", KEY, PARENT, IDS, PAYLOAD)
    assert list(tmp_path.iterdir()) == []


def test_opening_and_clearing_empty_the_folder_and_touch_nothing_else(tmp_path: Path) -> None:
    with PageStore(tmp_path, max_size=2**30, fingerprint="f") as store:
        store.put(KEY, PARENT, IDS, PAYLOAD)
        opened(tmp_path).put("1", KEY, PARENT, IDS, PAYLOAD)
        assert store.collect({KEY}) == 0 and store.check() == []
        again = opened(tmp_path)
        assert list((tmp_path / "spill").iterdir()) == []
        again.put("1", KEY, PARENT, IDS, PAYLOAD)
        again.clear()
        assert isinstance(again.get("1", KEY, PARENT, IDS), Missing)
        assert isinstance(store.get(KEY, PARENT, IDS), Loaded)


def test_the_database_files_are_private(tmp_path: Path) -> None:
    files = opened(tmp_path)
    files.put("1", KEY, PARENT, IDS, PAYLOAD)
    assert (tmp_path / "spill").stat().st_mode & 0o077 == 0
    assert (tmp_path / "spill" / "1.page").stat().st_mode & 0o077 == 0


def test_another_engines_page_is_refused(tmp_path: Path) -> None:
    files = opened(tmp_path)
    files.put("1", KEY, PARENT, IDS, PAYLOAD)
    content = (tmp_path / "spill" / "1.page").read_bytes()
    other = opened(tmp_path, "g")
    (tmp_path / "spill" / "1.page").write_bytes(content)
    assert isinstance(other.get("1", KEY, PARENT, IDS), Rejected)


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "spill").write_text("in the way")
    with pytest.raises(SetupError, match="spill"):
        opened(tmp_path)
    assert os.path.isfile(tmp_path / "spill")
