"""Makes the usage figures of a proxy, and the speed of prefills that the seconds in them follow from."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from statistics import median
from time import monotonic

from kvproxy.charging.prefill_rates import LEAST_TOKENS, PrefillRates
from kvproxy.publish import Publisher
from kvproxy.settings.usage_settings import UsageSettings
from kvproxy.stack.open_market import OpenMarket
from kvproxy.telemetry.usage.usage_book import UsageBook
from kvproxy.telemetry.usage.usage_records import UsageRecords

_DOCUMENTS = 256
"""Versions that are looked at for the time of their prefill, those that were kept last: a request waits for this."""

_TIMED = 32
"""Prefills of which the middle one counts."""

_AGAIN_S = 10.0
"""Seconds until documents are looked at again, where none had a prefill."""


def make_usage(settings: UsageSettings, market: OpenMarket, publisher: Publisher, primary: str) -> UsageBook:
    """Return the usage figures, whose ``run`` belongs into the background. ``primary``: the model of the publisher's
    pages.

    Example: ``usage = make_usage(config.usage, market, documents.publisher, "qwen3-4b")``
    """
    records = UsageRecords(market.database, days=settings.days, document_days=settings.document_days)
    return UsageBook(records, saved_time(market.charging.rates, publisher, primary))


def saved_time(rates: PrefillRates, publisher: Publisher, primary: str) -> Callable[[str, int], int]:
    """Return the function that estimates the microseconds of a prefill. Until a request of the primary model was
    prefilled, ``rates`` (modified) learn from what its documents took when they were published, for the ledger as well.

    Example: ``saved_time(charging.rates, publisher, "qwen3-4b")("qwen3-4b", 3774)``
    """
    looked_at = -_AGAIN_S

    def published(model: str) -> float | None:
        nonlocal looked_at
        if model != primary or monotonic() - looked_at < _AGAIN_S:
            return None
        looked_at = monotonic()
        return _published_speed(publisher)

    rates.ask(published)
    return rates.saved_us


def _published_speed(publisher: Publisher) -> float | None:
    """Return tokens per second. A prefix that shared pages with another one is too fast, and one of a busy moment too
    slow: the middle one of several counts."""
    kept = (framing.kept for holding in publisher.newest_holdings(_DOCUMENTS) for framing in holding.framings)
    timed = (one for one in kept if one.prefill_s > 0.0 and len(one.token_ids) >= LEAST_TOKENS)
    speeds = [len(one.token_ids) / one.prefill_s for one in islice(timed, _TIMED)]
    return median(speeds) if speeds else None
