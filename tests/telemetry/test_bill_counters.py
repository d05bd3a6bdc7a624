"""Counters of closed bills: tokens and money by kinds, and money by currency."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from kvproxy.core import Charge, MeteredTokens
from kvproxy.telemetry.bill_counters import BillCounters


def test_a_bill_counts_by_outcome_tokens_and_money() -> None:
    registry = CollectorRegistry()
    counters = BillCounters(registry)
    counters.add("complete", MeteredTokens("m", 100, 60, 7), Charge("EUR", 30, 100, 20, (), "t"))
    counters.add("left", MeteredTokens("m", 10, 0, 1), Charge("EUR", 12, 11, 12, (), "t"))
    counters.add("refused", None, None)
    value = registry.get_sample_value
    assert [value("kvproxy_bills_total", {"outcome": o}) for o in ("complete", "left", "refused")] == [
        1,
        1,
        1,
    ]
    assert value("kvproxy_billed_tokens_total", {"kind": "cached_own"}) == 60
    assert value("kvproxy_billed_tokens_total", {"kind": "computed"}) == 50
    assert value("kvproxy_billed_nano_total", {"kind": "publishers"}) == 10
    money = {
        kind: value("kvproxy_money_nano_total", {"currency": "EUR", "kind": kind})
        for kind in ("cost", "saved")
    }
    assert money == {"cost": 42, "saved": 70}, "a document dearer than its prefill saves nothing"
