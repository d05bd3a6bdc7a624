from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kvproxy.receipts.reader_pseudonyms import ReaderPseudonyms, ReceiptName

NAMES = ReaderPseudonyms(b"s" * 32)


def test_readers_are_told_apart_by_one_publisher_and_not_joined_by_two() -> None:
    names = {NAMES.reader(reader, publisher) for reader in ("a", "b", "c") for publisher in ("p", "q")}
    assert len(names) == 6
    assert NAMES.reader("a", "p") == ReaderPseudonyms(b"s" * 32).reader("a", "p")
    assert NAMES.reader("a", "p") != ReaderPseudonyms(b"t" * 32).reader("a", "p")


@given(st.text("abcdef-0123456789", min_size=1, max_size=64), st.integers(0, 40))
def test_an_id_leads_back_to_its_read(request_id: str, index: int) -> None:
    id = NAMES.receipt(request_id, index)
    assert NAMES.read_of(id) == ReceiptName(request_id, index)
    assert request_id not in id or len(request_id) < 4
    assert ReaderPseudonyms(b"t" * 32).read_of(id) is None


@given(st.integers(5, 80), st.sampled_from("ABCDabcd0123-_"))
def test_a_changed_id_is_nobodys(place: int, letter: str) -> None:
    id = NAMES.receipt("chatcmpl-0123456789abcdef", 0)
    changed = id[:place] + letter + id[place + 1 :]
    assert changed == id or NAMES.read_of(changed) is None


def test_what_is_no_id() -> None:
    for text in ("", "rcpt_", "rcpt_é", "chatcmpl-1", "rcpt_" + "A" * 5000, NAMES.receipt("r", 0) + "="):
        assert NAMES.read_of(text) is None
