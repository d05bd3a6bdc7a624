"""Journals: room that is promised is there, booked files go, and a lock tells the dead from the living."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kvproxy.ledger import journal
from kvproxy.ledger.journal import (
    RECORD_ROOM,
    SEGMENT_BYTES,
    Journal,
    ProcessLock,
    journal_files,
    lock_of_dead,
    processes_in,
    remove_files_of,
)
from kvproxy.ledger.journal_records import read_journal, write_record
from tests.ledger.made_bookings import booking

BIG = b"x" * (RECORD_ROOM - 1) + b"\n"


def test_records_are_in_the_file_at_once_and_in_their_order(tmp_path: Path) -> None:
    own = Journal(tmp_path, "p")
    own.prepare()
    for number in range(10):
        own.append(write_record(booking(f"r{number}")))
    (path,) = journal_files(tmp_path, "p")
    assert [b.request_id for b in read_journal(path.read_bytes()).bookings] == [f"r{n}" for n in range(10)]
    assert path.stat().st_mode & 0o777 == 0o600
    own.sync()
    own.close()
    own.close()
    assert path.exists()


def test_what_is_reserved_fits_without_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = Journal(tmp_path, "p")
    assert not own.reserve()
    own.prepare()
    room = 0
    while own.reserve():
        room += 1
    assert room == SEGMENT_BYTES // RECORD_ROOM
    monkeypatch.setattr(os, "open", None)  # the disk is full: no file can be made
    for _ in range(room):
        own.append(BIG)
        own.unreserve()
    own.close()


def test_more_room_is_made_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "MOST_SEGMENTS", 3)
    own, reserved = Journal(tmp_path, "p"), 0
    while True:
        if own.reserve():
            reserved += 1
        elif not own.prepare():
            break
    assert reserved == 3 * SEGMENT_BYTES // RECORD_ROOM
    assert len(journal_files(tmp_path, "p")) == 3
    own.close()
    assert journal_files(tmp_path, "p") == []


def test_a_full_file_goes_when_all_of_it_is_booked(tmp_path: Path) -> None:
    own = Journal(tmp_path, "p")
    own.prepare()
    files = [own.append(BIG) for _ in range(SEGMENT_BYTES // RECORD_ROOM + 1)]
    assert len(journal_files(tmp_path, "p")) == 2
    for file in files[:-2]:
        own.booked(file)
    assert len(journal_files(tmp_path, "p")) == 2
    own.booked(files[-2])
    assert len(journal_files(tmp_path, "p")) == 1
    own.booked(files[-1])  # the one that is written to stays
    assert len(journal_files(tmp_path, "p")) == 1
    own.close()
    assert journal_files(tmp_path, "p") == []


def test_a_record_larger_than_a_file_has_one_of_its_own(tmp_path: Path) -> None:
    own = Journal(tmp_path, "p")
    own.append(b"y" * (SEGMENT_BYTES + 5) + b"\n")
    own.append(write_record(booking("r1")))
    own.close()
    assert sum(path.stat().st_size for path in journal_files(tmp_path, "p")) > 2 * SEGMENT_BYTES


def test_a_lock_tells_the_dead_from_the_living(tmp_path: Path) -> None:
    lock = ProcessLock(tmp_path, "p")
    assert processes_in(tmp_path) == ["p"]
    with lock_of_dead(tmp_path, "p") as ours:
        assert not ours
    lock.forsake()
    lock.forsake()
    with lock_of_dead(tmp_path, "p") as ours, lock_of_dead(tmp_path, "p") as again:
        assert ours and not again
    with lock_of_dead(tmp_path / "gone", "p") as ours:
        assert ours
    ProcessLock(tmp_path, "q").release()
    assert processes_in(tmp_path) == ["p"]


def test_files_of_the_dead_are_removed_and_damaged_ones_kept(tmp_path: Path) -> None:
    own = Journal(tmp_path, "p")
    own.append(write_record(booking("r1")))
    own.close()
    (path,) = journal_files(tmp_path, "p")
    assert processes_in(tmp_path) == ["p"]  # a journal alone is enough
    path.write_bytes(b"damaged\n" + path.read_bytes())
    remove_files_of(tmp_path, "p")
    assert [p.name for p in tmp_path.iterdir()] == ["p.000001.damaged"]
