"""`BillCounters`: counters of closed bills, their tokens and their money. All labels come from closed lists.

No money is computed from them: Prometheus' values are binary fractions, exact up to 2**53 nano-units.
"""

from __future__ import annotations

from functools import partial

from prometheus_client import CollectorRegistry, Counter

from kvproxy.core import Charge, MeteredTokens

OUTCOMES = ("complete", "left", "failed", "refused")


class BillCounters:
    """The counters of one registry. Event loop only."""

    def __init__(self, registry: CollectorRegistry) -> None:
        counter = partial(Counter, registry=registry)
        self._bills = counter(
            "kvproxy_bills",
            "Requests by how their charge ended; left: the client went away and pays for what was computed",
            ("outcome",),
        )
        self._tokens = counter("kvproxy_billed_tokens", "Booked tokens, by what they cost", ("kind",))
        self._nano = counter(
            "kvproxy_billed_nano",
            "Booked nano-units: the cost and the cost of the same requests cold, and the cost by who gets it",
            ("kind",),
        )
        self._money = counter(
            "kvproxy_money_nano",
            "Booked nano-units of a currency: the cost, and saved, what the same requests cost more cold",
            ("currency", "kind"),
        )
        for outcome in OUTCOMES:
            self._bills.labels(outcome)
        for kind in ("computed", "cached_own", "cached_document", "generated"):
            self._tokens.labels(kind)
        for kind in ("cost", "cold_cost", "host", "publishers"):
            self._nano.labels(kind)

    def add(self, outcome: str, metered: MeteredTokens | None, charge: Charge | None) -> None:
        """Count a closed bill. ``outcome``: one of OUTCOMES.

        Example: ``counters.add("complete", metered, charge)``
        """
        self._bills.labels(outcome).inc()
        if metered is not None:
            documents = metered.document_tokens
            self._tokens.labels("computed").inc(metered.prompt_tokens - metered.cached_tokens)
            self._tokens.labels("cached_own").inc(metered.cached_tokens - documents)
            self._tokens.labels("cached_document").inc(documents)
            self._tokens.labels("generated").inc(metered.completion_tokens)
        if charge is not None:
            self._nano.labels("cost").inc(charge.cost)
            self._nano.labels("cold_cost").inc(charge.cold_cost)
            self._nano.labels("host").inc(charge.host_share)
            self._nano.labels("publishers").inc(charge.cost - charge.host_share)
            self._money.labels(charge.currency, "cost").inc(charge.cost)
            self._money.labels(charge.currency, "saved").inc(max(0, charge.saved))
