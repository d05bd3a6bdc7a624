"""``Cache-Status`` as the proxy writes it, read back."""

from __future__ import annotations

import pytest

from kvproxy.core import MissReason
from kvproxy.mcp_server.cache_outcome import MEANING, CacheOutcome, read_outcome
from kvproxy.wire.answers.cache_status import BYPASS, PENDING, sf_string


@pytest.mark.parametrize(
    ("header", "cached", "outcome"),
    [
        ('kvproxy; hit; key="team/h@3"; detail="tokens=9,exact"', 9, CacheOutcome("hit", "team/h@3")),
        ('kvproxy; hit; detail="tokens=9"', 9, CacheOutcome("hit")),
        ('kvproxy; fwd=miss; collapsed; key="h@1"; detail="tokens=9"', 9, CacheOutcome("shared", "h@1")),
        (
            'kvproxy; fwd=miss; detail="no-document; moved=h@1; cause=tools-order"',
            0,
            CacheOutcome("miss", None, "no-document", "tools-order"),
        ),
        (
            'kvproxy; fwd=miss; key="h@1"; detail="new-preamble"',
            0,
            CacheOutcome("miss", "h@1", "new-preamble"),
        ),
        (
            'kvproxy; hit; key="h@3"; detail="tokens=896,block=128"',
            896,
            CacheOutcome("hit", "h@3", None, "rounded-to-block"),
        ),
        (
            'kvproxy; hit; key="h@3"; detail="tokens=384; cause=evicted"',
            384,
            CacheOutcome("hit", "h@3", None, "evicted"),
        ),
        ('kvproxy; hit; key="h@3"; detail="expected=896"', 896, CacheOutcome("hit", "h@3")),
        (
            'kvproxy; fwd=miss; key="h@3"; detail="not-resident; cause=not-on-replica"',
            0,
            CacheOutcome("miss", "h@3", "not-resident", "not-on-replica"),
        ),
        (BYPASS, 0, CacheOutcome("bypass")),
        (PENDING, 7, CacheOutcome("hit")),
        (PENDING, 0, CacheOutcome("miss")),
        ("", 0, CacheOutcome("miss")),
        (f"kvproxy; hit; key={sf_string('ä@1')}", 3, CacheOutcome("hit", "ä@1")),
    ],
)
def test_it_is_read(header: str, cached: int, outcome: CacheOutcome) -> None:
    assert read_outcome(header, cached) == outcome
    assert outcome.meaning


def test_a_fleets_hit_says_why_there_was_no_more() -> None:
    assert CacheOutcome("hit", "h@3", None, "rounded-to-block").meaning.endswith(
        "less than a block, was computed"
    )


def test_every_reason_has_a_meaning() -> None:
    assert set(MEANING) == {reason.value for reason in MissReason}
