"""`store_state`: the page store of a process with an engine, as its view shows it."""

from __future__ import annotations

from kvproxy.backends.embedded.local_backend import EmbeddedBackend
from kvproxy.stack.open_pages import OpenPages
from kvproxy.telemetry.store_state import StoreState, TierState, WriteBehindState
from kvproxy.tiers.tiered_pages import TieredPages


def store_state(local: EmbeddedBackend, pages: OpenPages) -> StoreState:
    """Return the tiers and the work behind them as they are now. No I/O.

    Example: ``state = store_state(engine.local, stores.pages)``
    """
    occupancy, page = local.occupancy(), local.info.page_bytes
    stored, spilled = local.write_health
    usage = pages.usage()
    tiers = [
        TierState("memory", occupancy.held, occupancy.held * page, occupancy.total * page),
        TierState("disk", usage.pages, usage.bytes, usage.max_size),
    ]
    behind = None
    if isinstance(pages, TieredPages):
        tiers.append(TierState("objects", len(pages.objects), None, None))
        store = pages.objects.store
        behind = WriteBehindState(
            pages.behind.backlog, pages.behind.written, store.counts.failures, store.breaker.open
        )
    return StoreState(
        tuple(tiers),
        evicted=occupancy.evicted,
        evictable=occupancy.evictable,
        pinned=occupancy.pinned,
        spilled=occupancy.spilled,
        write_failures=stored.failures + (0 if spilled is None else spilled.failures),
        refusing=stored.failing,
        behind=behind,
    )
