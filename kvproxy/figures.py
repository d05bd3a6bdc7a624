"""What the engine's parts have counted, gathered for the metrics."""

from __future__ import annotations

from kvproxy.audit import Auditor
from kvproxy.backends.local import EmbeddedBackend
from kvproxy.documents.library import Library
from kvproxy.telemetry.metrics import Figures


def figures(local: EmbeddedBackend, library: Library, auditor: Auditor) -> Figures:
    """At this moment."""
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
        gauges={"spilled_pages": pages.spilled, "pinned_pages": pages.fixed},
    )
