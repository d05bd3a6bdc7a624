"""`Metrics`: a server's counters, histograms and gauges in Prometheus' text format.

Every server has a registry of its own; nothing is global. Names and buckets are those of OpenTelemetry's gen_ai
server metrics and of vLLM where these have one, with ``kvproxy_`` in front. All labels come from closed lists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from kvproxy.core import Charge, Decision, MeteredTokens, Miss, MissCause, MissReason
from kvproxy.events import Event, Finished, Started, TextDelta
from kvproxy.telemetry.bill_counters import BillCounters

CONTENT_TYPE = CONTENT_TYPE_LATEST

# Seconds. For the time to the first token vLLM's buckets: a CPU needs the upper ones. For whole requests
# OpenTelemetry's (gen_ai.server.request.duration), with a minute and more for long answers.
TTFT_S = (
    0.001,
    0.005,
    0.01,
    0.02,
    0.04,
    0.06,
    0.08,
    0.1,
    0.25,
    0.5,
    0.75,
    1,
    2.5,
    5,
    7.5,
    10,
    20,
    40,
    80,
    160,
)
TOTAL_S = (
    0.01,
    0.02,
    0.04,
    0.08,
    0.16,
    0.32,
    0.64,
    1.28,
    2.56,
    5.12,
    10.24,
    20.48,
    40.96,
    81.92,
    163.84,
    327.68,
)


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


HELP = {
    "spec_decode_draft_tokens": "Draft tokens of speculative decoding",
    "spec_decode_accepted_tokens": "Draft tokens that became part of an answer",
    "preemptions": "Sequences that were preempted by an older one or by another tenant's, and are computed again",
    "page_write_failures": "Pages that requests computed, or that were evicted, and that the disk did not take",
    "store_refuses_pages": "1 while the disk refuses pages of documents, which stay in memory alone",
    "spill_refuses_pages": "1 while the disk refuses evicted pages, which are dropped",
    "disk_page_reads": "Stored pages read from files of this machine",
    "object_page_reads": "Pages read from the object store and used",
    "object_page_misses": "Pages that neither a file nor the object store had",
    "object_page_rejects": "Pages that the object store did not give, or gave unsound",
    "object_pages_written": "Pages written to the object store",
    "object_bytes_read": "Bytes of objects read",
    "object_bytes_written": "Bytes of objects written",
    "object_failures": "Requests to the object store that failed, or were not made while it is left alone",
    "object_pages": "Pages of this engine that are known to be in the object store",
    "object_backlog": "Pages that wait to be written to the object store, or deleted from it",
    "object_store_resting": "1 while the object store is left alone after repeated failures",
    "spilled_pages": "Pages with a copy on disk that lasts as long as this process",
    "pinned_pages": "Pages that publishers have pinned in memory",
}


class Meter:
    """Token counts of one reply, updated while it is sent and added to the metrics when it is closed."""

    def __init__(self, started: Started, prompt_tokens: int, close: Callable[[Meter], None]) -> None:
        self._started = started
        self._prompt_tokens = prompt_tokens
        self._close: Callable[[Meter], None] | None = close
        self._generated: dict[int, int] = {}

    def event(self, choice: int, event: Event) -> None:
        """Count an event of the engine's. A reply that is cancelled counts up to its last event."""
        if isinstance(event, TextDelta):
            self._generated[choice] = self._generated.get(choice, 0) + event.tokens
        elif isinstance(event, Finished):
            self._generated[choice] = event.usage.completion_tokens

    def close(self) -> None:
        """Add the counts to the metrics. Idempotent."""
        close, self._close = self._close, None
        if close is not None:
            close(self)

    @property
    def prompt_tokens(self) -> dict[str, int]:
        """Prompt tokens by the source of their KV."""
        if self._started.parsed:
            return {"upstream": self._prompt_tokens}
        cached = self._started.cached_tokens
        return {"cached": cached, "prefilled": max(0, self._prompt_tokens - cached)}

    @property
    def generated(self) -> int:
        """Tokens generated so far, of all choices."""
        return sum(self._generated.values())


class Metrics:
    """The metrics of one server. Event loop only."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry(auto_describe=True)
        counter = partial(Counter, registry=self._registry)
        histogram = partial(Histogram, registry=self._registry)
        self._requests = counter(
            "kvproxy_requests",
            "Requests by endpoint, dialect and status; 499: the client left before the answer",
            ("endpoint", "dialect", "status"),
        )
        self._duration = histogram(
            "kvproxy_request_duration_seconds",
            "From a request's arrival to the last byte of its answer",
            ("endpoint",),
            buckets=TOTAL_S,
        )
        self._hits = counter(
            "kvproxy_hits",
            "Answers with a prompt from kept pages; collapsed: from a prefill that ran for another request",
            ("kind",),
        )
        self._misses = counter(
            "kvproxy_misses",
            "Answers with a prompt that was not taken from kept pages, by reason and by what differed",
            ("reason", "cause"),
        )
        self._ttft = histogram(
            "kvproxy_time_to_first_token_seconds",
            "From a request's arrival to its first token, by whether it was a hit",
            ("cache",),
            buckets=TTFT_S,
        )
        self._prompt_tokens = counter(
            "kvproxy_prompt_tokens",
            "Tokens of prompts, by the source of their KV",
            ("source",),
        )
        self._generation_tokens = counter("kvproxy_generation_tokens", "Tokens of answers")
        self._bills = BillCounters(self._registry)
        self._begin_series()

    def request(self, endpoint: str, dialect: str, status: int, seconds: float) -> None:
        """Count a request. ``endpoint`` is a route's pattern, never the client's path, so labels stay bounded.

        Example: ``metrics.request("/v1/models", "openai", 200, 0.002)``
        """
        self._requests.labels(endpoint, dialect, str(status)).inc()
        self._duration.labels(endpoint).observe(seconds)

    def reply(self, decision: Decision, started: Started, prompt_tokens: int, ttft_s: float) -> Meter:
        """Count a reply at its first token; return its meter, which must be closed when the reply ends or fails. A miss
        is counted by ``missed``.

        Example: ``meter = metrics.reply(decision, started, 3774, clock.elapsed_s)``
        """
        missed = isinstance(decision, Miss)
        if not missed:
            self._hits.labels("collapsed" if started.collapsed else "hit").inc()
        self._ttft.labels("miss" if missed else "hit").observe(ttft_s)
        return Meter(started, prompt_tokens, self._ended)

    def missed(self, miss: Miss) -> None:
        """Count a miss by its reason and its cause; one that was not compared is unknown.

        Example: ``metrics.missed(Miss(MissReason.NO_DOCUMENT, cause=MissCause.TIMESTAMP))``
        """
        self._misses.labels(miss.reason.value, (miss.cause or MissCause.UNKNOWN).value).inc()

    def _begin_series(self) -> None:
        # Rates are computed from series that exist from the start: a missing series is not read as zero.
        for kind in ("hit", "collapsed"):
            self._hits.labels(kind)
        for reason in MissReason:
            for cause in MissCause:
                self._misses.labels(reason.value, cause.value)
        for source in ("cached", "prefilled", "upstream"):
            self._prompt_tokens.labels(source)

    def bill(self, outcome: str, metered: MeteredTokens | None, charge: Charge | None) -> None:
        """Count a request's closed bill. ``outcome``: complete, left, failed or refused.

        Example: ``metrics.bill("complete", metered, charge)``
        """
        self._bills.add(outcome, metered, charge)

    def _ended(self, meter: Meter) -> None:
        for source, tokens in meter.prompt_tokens.items():
            self._prompt_tokens.labels(source).inc(tokens)
        self._generation_tokens.inc(meter.generated)

    def follow(self, figures: Callable[[], Figures]) -> None:
        """Show the engine's figures; ``figures`` is called at each scrape."""
        self._registry.register(_EngineFigures(figures))

    def text(self) -> bytes:
        """Return all metrics as text of CONTENT_TYPE. Takes some milliseconds."""
        return generate_latest(self._registry)


class _EngineFigures(Collector):
    def __init__(self, figures: Callable[[], Figures]) -> None:
        self._figures = figures

    def describe(self) -> list[Metric]:
        """Return no names, so that registration does not ask the engine."""
        return []

    def collect(self) -> Iterator[Metric]:
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
