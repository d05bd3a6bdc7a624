"""`Figures`: the engine's state and counts as Prometheus reads them, and their collector."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


@dataclass(frozen=True, slots=True)
class Figures:
    """The engine's state at one moment, and its counts since its start."""

    running: int
    waiting: int
    pages: Mapping[str, int]
    """Pages by state; the states exclude each other and add up to the page budget."""
    quarantined: int
    audits: Mapping[str, int]
    """Audits by result."""
    counters: Mapping[str, int] = field(default_factory=dict)
    """Further counts that only grow, by a name of HELP."""
    gauges: Mapping[str, int] = field(default_factory=dict)
    """Further values that rise and fall, by a name of HELP."""


COUNTED = {
    "page_evictions": "Pages that made room for others in memory; those with a copy on disk stay findable",
    "spec_decode_draft_tokens": "Draft tokens of speculative decoding",
    "spec_decode_accepted_tokens": "Draft tokens that became part of an answer",
    "preemptions": "Sequences that were preempted by an older one or by another tenant's, and are computed again",
    "page_write_failures": "Pages that requests computed, or that were evicted, and that the disk did not take",
    "disk_page_reads": "Stored pages read from files of this machine",
    "object_page_reads": "Pages read from the object store and used",
    "object_page_misses": "Pages that neither a file nor the object store had",
    "object_page_rejects": "Pages that the object store did not give, or gave unsound",
    "object_pages_written": "Pages written to the object store",
    "object_bytes_read": "Bytes of objects read",
    "object_bytes_written": "Bytes of objects written",
    "object_failures": "Requests to the object store that failed, or were not made while it is left alone",
}
"""Words of the further counters."""

GAUGED = {
    "store_refuses_pages": "1 while the disk refuses pages of documents, which stay in memory alone",
    "spill_refuses_pages": "1 while the disk refuses evicted pages, which are dropped",
    "object_pages": "Pages of this engine that are known to be in the object store",
    "object_backlog": "Pages that wait to be written to the object store, or deleted from it",
    "object_store_resting": "1 while the object store is left alone after repeated failures",
    "spilled_pages": "Pages with a copy on disk that lasts as long as this process",
    "pinned_pages": "Pages that publishers have pinned in memory",
}
"""Words of the further gauges."""

HELP = {**COUNTED, **GAUGED}


class EngineCollector(Collector):
    """Asks for the figures at each scrape. Example: ``registry.register(EngineCollector(figures))``."""

    def __init__(self, figures: Callable[[], Figures]) -> None:
        self._figures = figures

    def describe(self) -> list[Metric]:
        """Return no names, so that registration does not ask the engine."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield every family of the figures now."""
        now = self._figures()
        yield GaugeMetricFamily("kvproxy_num_requests_running", "Requests being computed", now.running)
        yield GaugeMetricFamily("kvproxy_num_requests_waiting", "Requests that wait for a place", now.waiting)
        pages = GaugeMetricFamily(
            "kvproxy_kv_pages",
            "Pages of KV in memory by state; evictable pages stay until their memory is needed",
            labels=["state"],
        )
        for state, count in now.pages.items():
            pages.add_metric([state], count)
        yield pages
        yield GaugeMetricFamily(
            "kvproxy_quarantined_documents",
            "Document versions in quarantine, with kept pages that are not used",
            now.quarantined,
        )
        audits = CounterMetricFamily(
            "kvproxy_audits", "Hits that were computed again from scratch, by result", labels=["result"]
        )
        for result, count in now.audits.items():
            audits.add_metric([result], count)
        yield audits
        for name, count in now.counters.items():
            yield CounterMetricFamily(f"kvproxy_{name}", HELP[name], count)
        for name, count in now.gauges.items():
            yield GaugeMetricFamily(f"kvproxy_{name}", HELP[name], count)
