"""`collect_figures`: the counters of engine, library and audits, as ``/metrics`` shows them."""

from __future__ import annotations

from kvproxy.backends.embedded.local_backend import EmbeddedBackend
from kvproxy.documents.library.library import Library
from kvproxy.exactness.audit import Auditor
from kvproxy.stack.open_pages import OpenPages
from kvproxy.telemetry.metrics import Figures
from kvproxy.tiers.tiered_pages import TieredPages


def collect_figures(
    local: EmbeddedBackend, library: Library, auditor: Auditor, pages: OpenPages | None = None
) -> Figures:
    """Collect the engine's, the library's, the audits' and the stored pages' counters at this moment.

    Example:
        ``metrics.follow(lambda: collect_figures(local, library, auditor, stores.pages))``
    """
    running, waiting = local.load
    occupancy, audits, drafts = local.occupancy(), auditor.counts, local.drafts
    stored, spilled = local.write_health
    counters, gauges = page_figures(pages)
    return Figures(
        running=running,
        waiting=waiting,
        pages={
            "free": occupancy.free,
            "used": occupancy.held - occupancy.evictable,
            "evictable": occupancy.evictable,
        },
        quarantined=library.quarantined,
        audits={"passed": audits.passed, "failed": audits.failed, "dropped": audits.dropped},
        counters={
            "spec_decode_draft_tokens": drafts.drafted,
            "spec_decode_accepted_tokens": drafts.accepted,
            "preemptions": local.preemptions,
            "page_evictions": occupancy.evicted,
            "page_write_failures": stored.failures + (0 if spilled is None else spilled.failures),
            **counters,
        },
        gauges={
            "spilled_pages": occupancy.spilled,
            "pinned_pages": occupancy.pinned,
            "store_refuses_pages": int(stored.failing),
            "spill_refuses_pages": int(spilled is not None and spilled.failing),
            **gauges,
        },
    )


def page_figures(pages: OpenPages | None) -> tuple[dict[str, int], dict[str, int]]:
    """Return the counters and the gauges of stored pages."""
    if pages is None:
        return {}, {}
    if not isinstance(pages, TieredPages):
        return {"disk_page_reads": pages.loaded}, {}
    counts, store = pages.counts, pages.objects.store
    counters = {
        "disk_page_reads": pages.local.loaded,
        "object_page_reads": counts.objects,
        "object_page_misses": counts.missing,
        "object_page_rejects": counts.rejected,
        "object_pages_written": pages.behind.written,
        "object_bytes_read": store.counts.bytes_received,
        "object_bytes_written": store.counts.bytes_sent,
        "object_failures": store.counts.failures,
    }
    gauges = {
        "object_pages": len(pages.objects),
        "object_backlog": pages.behind.backlog,
        "object_store_resting": int(store.breaker.open),
    }
    return counters, gauges
