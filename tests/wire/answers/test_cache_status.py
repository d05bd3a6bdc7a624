from __future__ import annotations

from dataclasses import replace

import pytest

from kvproxy.core import Decision, DocumentRef, Hit, Miss, MissCause, MissReason
from kvproxy.core.replica_choice import ReplicaChoice
from kvproxy.events import Started
from kvproxy.wire.answers.cache_status import cache_status, server_timing, sf_string

HANDBOOK = DocumentRef("handbook", 3)


def started(cached: int = 0, *, collapsed: bool = False) -> Started:
    return Started(cached, collapsed, queue_s=0.0, load_s=0.0, prefill_s=0.0)


def expected(cached: int) -> Started:
    return replace(started(cached), confirmed=False)


@pytest.mark.parametrize(
    ("decision", "first", "exact", "value"),
    [
        (
            Hit(3774, HANDBOOK),
            started(3774),
            True,
            'kvproxy; hit; key="handbook@3"; detail="tokens=3774,exact"',
        ),
        (Hit(9, None), started(12), True, 'kvproxy; hit; detail="tokens=12,exact"'),
        (Hit(9, None), started(9), False, 'kvproxy; hit; detail="tokens=9"'),
        (Miss(MissReason.NO_DOCUMENT), started(), True, 'kvproxy; fwd=miss; detail="no-document"'),
        (
            Miss(MissReason.NO_DOCUMENT, cause=MissCause.TIMESTAMP),
            started(),
            True,
            'kvproxy; fwd=miss; detail="no-document; cause=timestamp"',
        ),
        (
            Miss(MissReason.QUARANTINED, cause=MissCause.QUARANTINED),
            started(),
            True,
            'kvproxy; fwd=miss; detail="quarantined"',
        ),
        (
            Miss(MissReason.NEW_PREAMBLE, HANDBOOK),
            started(5, collapsed=True),
            True,
            'kvproxy; fwd=miss; collapsed; key="handbook@3"; detail="new-preamble"',
        ),
    ],
)
def test_values(decision: Decision, first: Started, exact: bool, value: str) -> None:
    assert cache_status(decision, first, exact=exact) == value


ROUNDED = ReplicaChoice("10.0.0.7:8000", "handbook@3", 896, 128)


@pytest.mark.parametrize(
    ("decision", "first", "detail"),
    [
        (Hit(896, HANDBOOK, MissCause.ROUNDED_TO_BLOCK, ROUNDED), started(896), "tokens=896,block=128"),
        (Hit(384, HANDBOOK, MissCause.EVICTED, ROUNDED), started(384), "tokens=384; cause=evicted"),
        (Hit(1024, HANDBOOK, None, ROUNDED), started(1024), "tokens=1024"),
        (Hit(896, HANDBOOK, MissCause.ROUNDED_TO_BLOCK, ROUNDED), expected(896), "expected=896"),
        (
            Miss(MissReason.NOT_RESIDENT, HANDBOOK, MissCause.NOT_ON_REPLICA, ROUNDED),
            expected(0),
            "not-resident; cause=not-on-replica",
        ),
    ],
)
def test_a_fleets_values_claim_what_was_reported_and_name_no_replica(
    decision: Decision, first: Started, detail: str
) -> None:
    value = cache_status(decision, first, exact=False)
    assert value.endswith(f'; detail="{detail}"')
    assert "10.0.0.7" not in value and "exact" not in value


def test_strings_are_those_of_rfc_8941() -> None:
    assert sf_string('a"b\\c\r\né') == '"a\\"b\\\\c%0D%0A%C3%A9"'


def test_server_timing_counts_in_milliseconds() -> None:
    assert server_timing({"match": 0.00041, "load": 0.0}) == "match;dur=0.410, load;dur=0.000"
