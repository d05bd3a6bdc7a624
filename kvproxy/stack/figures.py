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
            **_page_counters(pages),
        },
        gauges={"spilled_pages": occupancy.spilled, "pinned_pages": occupancy.pinned, **_page_gauges(pages)},
    )


def _page_counters(pages: OpenPages | None) -> dict[str, int]:
    if pages is None:
        return {}
    if not isinstance(pages, TieredPages):
        return {"disk_page_reads": pages.loaded}
    counts, objects = pages.counts, pages.objects.store.counts
    return {
        "disk_page_reads": pages.local.loaded,
        "object_page_reads": counts.objects,
        "object_page_misses": counts.missing,
        "object_page_rejects": counts.rejected,
        "object_pages_written": pages.behind.written,
        "object_bytes_read": objects.bytes_received,
        "object_bytes_written": objects.bytes_sent,
        "object_failures": objects.failures,
    }


def _page_gauges(pages: OpenPages | None) -> dict[str, int]:
    if not isinstance(pages, TieredPages):
        return {}
    return {
        "object_pages": len(pages.objects),
        "object_backlog": pages.behind.backlog,
        "object_store_resting": int(pages.objects.store.breaker.open),
    }
