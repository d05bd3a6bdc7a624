"""`collect_figures`: the counters of engine, library and audits, as ``/metrics`` shows them."""

from __future__ import annotations

from kvproxy.backends.embedded.local_backend import EmbeddedBackend
from kvproxy.documents.library.library import Library
from kvproxy.exactness.audit import Auditor
from kvproxy.telemetry.metrics import Figures


def collect_figures(local: EmbeddedBackend, library: Library, auditor: Auditor) -> Figures:
    """Collect the engine's, the library's and the audits' counters at this moment.

    Example:
        ``metrics.follow(lambda: collect_figures(local, library, auditor))``
    """
    running, waiting = local.load
    pages, audits, drafts = local.occupancy(), auditor.counts, local.drafts
    return Figures(
        running=running,
        waiting=waiting,
        pages={"free": pages.free, "used": pages.held - pages.evictable, "evictable": pages.evictable},
        quarantined=library.quarantined,
        audits={"passed": audits.passed, "failed": audits.failed, "dropped": audits.dropped},
        counters={
            "spec_decode_draft_tokens": drafts.drafted,
            "spec_decode_accepted_tokens": drafts.accepted,
            "preemptions": local.preemptions,
        },
        gauges={"spilled_pages": pages.spilled, "pinned_pages": pages.pinned},
    )
