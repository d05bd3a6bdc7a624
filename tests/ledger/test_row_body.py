"""Bodies are canonical JSON, hashes bind them, charges become entries that sum to zero."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any, cast

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from kvproxy.ledger.row_body import (
    GENESIS,
    body_of,
    canonical,
    chained,
    content_of,
    entries_of,
    read_row,
    row_hash,
    taken_back,
)
from tests.ledger.made_bookings import booking, metered, price

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
NAMES = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner),
)


@given(VALUES)
def test_bodies_are_written_as_rfc_8785_says(value: object) -> None:
    assert canonical(value).encode() == rfc8785.dumps(value)  # type: ignore[arg-type]  # a recursive type of JSON


@given(tokens=st.integers(0, 10**9), fresh=st.integers(0, 10**6), model=TEXTS, reference=TEXTS)
def test_a_row_is_read_back_from_its_body(tokens: int, fresh: int, model: str, reference: str) -> None:
    used = dataclasses.replace(metered(cached=tokens, fresh=fresh), model=model)
    content = dataclasses.replace(content_of(booking("r1", used)), reference=reference)
    row = chained(content, 7, GENESIS)
    assert read_row(row.body, row.previous, row.hash) == row
    assert body_of(row, 7) == row.body and row.seq == 7
    assert (
        row.hash == hashlib.sha256(bytes(32) + row.body.encode()).hexdigest() == row_hash(GENESIS, row.body)
    )
    assert sum(entry.nano for entry in row.entries) == 0


def test_a_refund_is_the_negative_of_its_row() -> None:
    row = chained(content_of(booking("r1")), 1, GENESIS)
    back = taken_back(row, at_ms=5, reason="cut off")
    assert (back.id, back.refunds, back.kind, back.reference) == ("refund:r1", "r1", "refund", "cut off")
    assert [(e.account, -e.nano) for e in back.entries] == [(e.account, e.nano) for e in row.entries]
    assert back.charge.cost == -row.charge.cost and back.charge.saved == -row.charge.saved
    assert back.metered.documents[0].tokens == -row.metered.documents[0].tokens
    assert entries_of(back.charge, "reader:alice") == back.entries


def test_a_publisher_of_two_documents_has_one_entry() -> None:
    used = metered(cached=20, fresh=1)
    twice = dataclasses.replace(used, cached_tokens=40, prompt_tokens=41, documents=used.documents * 2)
    accounts = [entry.account for entry in entries_of(price(twice), "reader:alice")]
    assert accounts == ["reader:alice", "publisher:paula", "host"]


@pytest.mark.parametrize("change", [{"cost": 1}, {"host_share": 10**20}, {"host_share": -5, "cost": 95}])
def test_a_charge_that_does_not_add_up_is_refused(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="charge"):
        entries_of(dataclasses.replace(price(metered(cached=20)), **cast(Any, change)), "reader:alice")


def test_a_body_that_is_none_is_refused() -> None:
    for body in ("{}", "[]", '{"metered": 3}', "no json"):
        with pytest.raises(ValueError):
            read_row(body, GENESIS, GENESIS)
