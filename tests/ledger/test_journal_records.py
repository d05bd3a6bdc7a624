"""Records survive as they are; torn and damaged ones are told from sound ones."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from kvproxy.ledger.journal_records import read_journal, read_record, write_record
from tests.ledger.made_bookings import booking, metered


def test_a_record_is_read_back() -> None:
    for one in (booking("r1"), dataclasses.replace(booking("r2", metered()), settled_by="pay", key=None)):
        record = write_record(one)
        assert record.endswith(b"\n") and record.count(b"\n") == 1
        assert read_record(record.rstrip(b"\n")) == one


@given(st.text())
def test_any_text_is_written_in_one_line_and_can_be_stored(text: str) -> None:
    one = dataclasses.replace(booking("r1"), tenant=text)
    (read,) = read_journal(write_record(one) + b"\x00").bookings
    assert "\x00" not in read.tenant
    read.tenant.encode()
    if text.isprintable():
        assert read == one


@given(st.integers(0, 2000))
def test_a_torn_end_is_no_record_and_no_damage(cut: int) -> None:
    whole = b"".join(write_record(booking(f"r{n}")) for n in range(4))
    torn = whole[: min(cut, len(whole))]
    found = read_journal(torn + b"\x00" * 50)
    assert found.damaged == 0
    assert [one.request_id for one in found.bookings] == [f"r{n}" for n in range(torn.count(b"\n"))]


@given(at=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_flipped_bit_costs_its_record_alone(at: int, bit: int) -> None:
    records = [write_record(booking(f"r{n}")) for n in range(3)]
    second = bytearray(records[1])
    second[at % (len(second) - 1)] ^= 1 << bit
    if b"\n" in second[:-1] or b"\x00" in second:
        return  # the line's end moved: more than one line is damaged
    found = read_journal(records[0] + bytes(second) + records[2])
    assert [one.request_id for one in found.bookings] == ["r0", "r2"] and found.damaged == 1
