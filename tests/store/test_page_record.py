"""The header says all that the key was computed from, and no bit of it can change unseen."""

from __future__ import annotations

from dataclasses import replace

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from kvproxy.store.page_record import (
    HEADER_UNIT,
    PageRecord,
    Torn,
    decode,
    encode,
    frame_digest,
    header_length,
)

records = st.builds(
    PageRecord,
    fingerprint=st.text(st.characters(codec="utf-8"), max_size=80),
    key=st.binary(min_size=32, max_size=32),
    parent=st.binary(max_size=32),
    token_ids=st.lists(st.integers(0, 2**32 - 1), max_size=300).map(tuple),
    frames=st.just(()),
    digests=st.just(()),
    codec=st.text(st.characters(codec="ascii"), max_size=40),
).flatmap(
    lambda record: st.lists(
        st.tuples(st.integers(0, 2**32 - 1), st.binary(min_size=32, max_size=32)), max_size=70
    ).map(
        lambda frames: replace(
            record, frames=tuple(f for f, _ in frames), digests=tuple(d for _, d in frames)
        )
    )
)


sealed_records = st.builds(
    lambda record, ids: replace(
        record, token_ids=(), sealed=True, sealed_ids=ids, sealed_positions=len(record.token_ids)
    ),
    records,
    st.binary(max_size=1300),
)


@given(records | sealed_records)
def test_reads_back_what_was_written(record: PageRecord) -> None:
    header = encode(record)
    assert len(header) % HEADER_UNIT == 0
    assert header_length(header[:HEADER_UNIT]) == len(header)
    assert decode(header) == record


@given(records, st.data())
def test_any_flipped_bit_is_torn(record: PageRecord, data: st.DataObject) -> None:
    header = bytearray(encode(record))
    header[data.draw(st.integers(0, len(header) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert isinstance(decode(bytes(header)), Torn)


@given(records, st.data())
def test_any_shorter_header_is_torn(record: PageRecord, data: st.DataObject) -> None:
    header = encode(record)
    assert isinstance(decode(header[: data.draw(st.integers(0, len(header) - 1))]), Torn)


@given(st.binary(max_size=2 * HEADER_UNIT))
def test_any_bytes_are_a_record_or_torn(junk: bytes) -> None:
    assert isinstance(decode(junk), Torn)


def test_more_tokens_than_one_unit_holds() -> None:
    record = PageRecord("f", b"k" * 32, b"", tuple(range(4000)), (7,), (b"s" * 32,))
    header = encode(record)
    assert len(header) > HEADER_UNIT
    assert decode(header) == record


@pytest.mark.parametrize("token_ids", [(-1,), (2**32,), tuple(range(2**18))])
def test_refuses_what_the_format_cannot_hold(token_ids: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="page record"):
        encode(PageRecord("f", b"k" * 32, b"", token_ids, (7,), (b"s" * 32,)))


@pytest.mark.parametrize("digests", [(), (b"s" * 32, b"t" * 32), (b"short",)])
def test_refuses_frames_without_their_digests(digests: tuple[bytes, ...]) -> None:
    with pytest.raises(ValueError, match="page record"):
        encode(PageRecord("f", b"k" * 32, b"", (1,), (7,), digests))


def test_the_pages_digest_is_that_of_its_frames_digests_in_order() -> None:
    record = PageRecord("f", b"k" * 32, b"", (1,), (2, 2), (frame_digest(b"K0"), frame_digest(b"V0")))
    assert record.digest == blake3(blake3(b"K0").digest() + blake3(b"V0").digest()).digest()
    assert record.payload_bytes == 4
    swapped = replace(record, digests=record.digests[::-1])
    assert swapped.digest != record.digest


def test_a_page_of_thirty_layers_has_a_header_of_one_unit() -> None:
    record = PageRecord(
        "f" * 64, b"k" * 32, b"p" * 32, tuple(range(256)), (98304,) * 60, (b"d" * 32,) * 60, "a-codec-1"
    )
    assert len(encode(record)) == HEADER_UNIT
