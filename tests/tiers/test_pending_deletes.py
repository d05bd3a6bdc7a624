"""Deletes that wait: on the medium when they were answered, whatever becomes of the process or the file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kvproxy.tiers.pending_deletes import PendingDeletes

KEYS = [hashlib.sha256(bytes([i])).digest() for i in range(6)]


def test_they_are_found_again_until_they_are_done(tmp_path: Path) -> None:
    path = tmp_path / "deletes"
    deletes = PendingDeletes(path)
    deletes.add(KEYS[:3])
    deletes.add(KEYS[:2])
    deletes.done([KEYS[1], KEYS[5]])
    assert PendingDeletes(path).keys == (KEYS[0], KEYS[2])
    assert KEYS[0] in deletes and KEYS[1] not in deletes
    deletes.done([KEYS[0], KEYS[2]])
    assert not path.exists() and PendingDeletes(path).keys == ()


def test_a_line_that_was_cut_short_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "deletes"
    PendingDeletes(path).add(KEYS[:2])
    path.write_bytes(path.read_bytes()[:-10])
    again = PendingDeletes(path)
    assert again.keys == (KEYS[0],)
    again.add([KEYS[3]])
    assert KEYS[0] in PendingDeletes(path)


def test_where_the_file_cannot_be_written_a_delete_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        PendingDeletes(tmp_path / "none" / "deletes").add(KEYS[:1])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from(KEYS)), max_size=12))
def test_a_later_process_knows_what_this_one_knew(tmp_path: Path, steps: list[tuple[bool, bytes]]) -> None:
    path = tmp_path / "deletes"
    path.unlink(missing_ok=True)
    deletes, wanted = PendingDeletes(path), set[bytes]()
    for add, key in steps:
        (deletes.add if add else deletes.done)([key])
        (wanted.add if add else wanted.discard)(key)
        assert set(PendingDeletes(path).keys) == wanted == set(deletes.keys)
