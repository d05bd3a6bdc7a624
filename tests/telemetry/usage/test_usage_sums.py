"""Sums of requests: counted one by one, and added."""

from __future__ import annotations

from kvproxy.telemetry.usage.usage_sums import NO_USAGE, UsageTally, added
from tests.telemetry.usage.ended import hit, miss


def test_requests_are_counted() -> None:
    tally = UsageTally()
    for ended in (hit(), miss(), hit(hit=None, currency=""), hit(currency="EUR", saved_nano=-4)):
        tally.count(ended)
    sums = tally.sums()
    assert (sums.requests, sums.hits, sums.misses) == (4, 2, 1)
    assert (sums.prompt_tokens, sums.cached_tokens, sums.completion_tokens) == (3_000, 1_800, 30)
    assert sums.saved_s == 0.9 and sums.saved == {"USD": 9_000, "EUR": -4}
    assert sums.hit_share == 0.6


def test_a_tally_that_goes_on_changes_no_sums() -> None:
    tally = UsageTally()
    tally.count(hit())
    before = tally.sums()
    tally.count(hit())
    assert before.saved == {"USD": 9_000} and before.requests == 1


def test_sums_are_added() -> None:
    tally = UsageTally()
    tally.count(hit())
    both = added([tally.sums(), tally.sums(), NO_USAGE])
    assert (both.requests, both.saved, both.saved_us) == (2, {"USD": 18_000}, 900_000)
    assert added([]) == NO_USAGE and NO_USAGE.hit_share is None
