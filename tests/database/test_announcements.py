from __future__ import annotations

import pytest

from kvproxy.database.announcements import MOST_BYTES, Change, ChangeTopic, decode_change, encode_change


@pytest.mark.parametrize("name", ["handbook", "notes\ntenant:a", "ü" * 100, '"\\', ""])
def test_a_payload_says_what_was_announced(name: str) -> None:
    change = Change(ChangeTopic.DOCUMENTS, name, own=True)
    payload = encode_change(change, "p1")
    assert decode_change(payload, "p1") == change
    assert decode_change(payload, "p2") == Change(ChangeTopic.DOCUMENTS, name)


def test_a_long_name_stands_for_all() -> None:
    payload = encode_change(Change(ChangeTopic.DOCUMENTS, "ü" * 4_000), "p1")
    assert len(payload.encode()) <= MOST_BYTES
    assert decode_change(payload, "p2") == Change(ChangeTopic.DOCUMENTS)


@pytest.mark.parametrize(
    "payload", ["", "[]", "{}", '["other", "p", "x"]', '["documents"]', "[1, 2, 3]", "\0"]
)
def test_what_it_cannot_read_is_passed_over(payload: str) -> None:
    assert decode_change(payload, "p1") is None
