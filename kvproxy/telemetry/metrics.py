"""`Metrics`: a server's counters, histograms and gauges in Prometheus' text format.

Every server has a registry of its own; nothing is global. Names and buckets are those of OpenTelemetry's gen_ai
server metrics and of vLLM where these have one, with ``kvproxy_`` in front. All labels come from closed lists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from kvproxy.core import Charge, Decision, MeteredTokens, Miss, MissCause, MissReason
from kvproxy.events import Started
from kvproxy.telemetry.bill_counters import BillCounters
from kvproxy.telemetry.engine_series import HELP as HELP
from kvproxy.telemetry.engine_series import EngineCollector
from kvproxy.telemetry.engine_series import Figures as Figures
from kvproxy.telemetry.fleet_series import FleetCollector, FleetSeries
from kvproxy.telemetry.process_figures import ProcessFigures
from kvproxy.telemetry.replica_counters import ReplicaCounters
from kvproxy.telemetry.reply_meter import Meter
from kvproxy.telemetry.service_figures import ServiceCollector, ServiceFigures

CONTENT_TYPE = CONTENT_TYPE_LATEST

# Seconds. For the time to the first token vLLM's buckets: a CPU needs the upper ones. For whole requests
# OpenTelemetry's (gen_ai.server.request.duration), with a minute and more for long answers.
TTFT_S = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75),
    *(1, 2.5, 5, 7.5, 10, 20, 40, 80, 160),
)
TOTAL_S = tuple(round(0.01 * 2**n, 2) for n in range(16))
# OpenTelemetry's (gen_ai.server.time_per_output_token), with those of fast GPUs below and of slow CPUs above.
TOKEN_S = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75),
    *(1.0, 2.5, 5.0),
)


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
        self._open_token_counters()
        self._bills = BillCounters(self._registry)
        self._replicas = ReplicaCounters(self._registry)
        self.process = ProcessFigures()
        """The process's own figures; sampled on a thread before each scrape."""
        self._registry.register(self.process)
        self._begin_series()

    def _open_token_counters(self) -> None:
        counter = partial(Counter, registry=self._registry)
        self._token_s = Histogram(
            "kvproxy_time_per_output_token_seconds",
            "For each token of an answer behind its first one, as the client got them; one value for an answer",
            buckets=TOKEN_S,
            registry=self._registry,
        )
        self._prompt_tokens = counter(
            "kvproxy_prompt_tokens",
            "Tokens of prompts, by the source of their KV; unconfirmed: a fleet's, of a client that left early",
            ("source",),
        )
        self._generation_tokens = counter("kvproxy_generation_tokens", "Tokens of answers")
        self._saved = counter(
            "kvproxy_saved_seconds",
            "Seconds of prefill that hits were spared: their cached tokens at the measured speed of their model",
        )

    def request(self, endpoint: str, dialect: str, status: int, seconds: float) -> None:
        """Count a request. ``endpoint`` is a route's pattern, never the client's path, so labels stay bounded.

        Example: ``metrics.request("/v1/models", "openai", 200, 0.002)``
        """
        self._requests.labels(endpoint, dialect, str(status)).inc()
        self._duration.labels(endpoint).observe(seconds)

    def reply(
        self, decision: Decision, started: Started, prompt_tokens: int, ttft_s: float, model: str = ""
    ) -> Meter:
        """Count a reply at its first token; return its meter, which must be closed when the reply ends or fails. A miss
        is counted by ``missed``. ``model``: the served one, the label of a fleet's replicas.

        Example: ``meter = metrics.reply(decision, started, 3774, clock.elapsed_s)``
        """
        missed = isinstance(decision, Miss)
        if not missed:
            self._hits.labels("collapsed" if started.collapsed else "hit").inc()
        self._ttft.labels("miss" if missed else "hit").observe(ttft_s)
        self._replicas.begun(model, started)
        return Meter(started, prompt_tokens, self._ended)

    def missed(self, miss: Miss) -> None:
        """Count a miss by its reason and its cause; one that was not compared is unknown.

        Example: ``metrics.missed(Miss(MissReason.NO_DOCUMENT, cause=MissCause.TIMESTAMP))``
        """
        self._misses.labels(miss.reason.value, (miss.cause or MissCause.UNKNOWN).value).inc()

    def saved(self, microseconds: int) -> None:
        """Count the prefill that an ended request was spared. Example: ``metrics.saved(1_250_000)``."""
        self._saved.inc(max(0, microseconds) / 1e6)

    def _begin_series(self) -> None:
        # Rates are computed from series that exist from the start: a missing series is not read as zero.
        for kind in ("hit", "collapsed"):
            self._hits.labels(kind)
        for reason in MissReason:
            for cause in MissCause:
                self._misses.labels(reason.value, cause.value)
        for source in ("cached", "prefilled", "upstream", "unconfirmed"):
            self._prompt_tokens.labels(source)

    def bill(self, outcome: str, metered: MeteredTokens | None, charge: Charge | None) -> None:
        """Count a request's closed bill. ``outcome``: complete, left, failed or refused.

        Example: ``metrics.bill("complete", metered, charge)``
        """
        self._bills.add(outcome, metered, charge)

    def _ended(self, meter: Meter) -> None:
        for source, tokens in meter.prompt_tokens.items():
            self._prompt_tokens.labels(source).inc(tokens)
        self._replicas.ended(meter)
        self._generation_tokens.inc(meter.generated)
        if (token_s := meter.token_s) is not None:
            self._token_s.observe(token_s)

    def follow(self, figures: Callable[[], Figures]) -> None:
        """Show the engine's figures; ``figures`` is called at each scrape."""
        self._registry.register(EngineCollector(figures))

    def follow_service(self, figures: Callable[[], ServiceFigures]) -> None:
        """Show whether requests are served, and the ledger's state; ``figures`` is called at each scrape."""
        self._registry.register(ServiceCollector(figures))

    def follow_fleets(self, series: Callable[[], Sequence[FleetSeries]]) -> None:
        """Show the fleets' replicas; ``series`` is called at each scrape. A replica that is gone has no series behind
        it."""

        def followed() -> Sequence[FleetSeries]:
            fleets = series()
            self._replicas.keep((fleet.fleet, one.replica) for fleet in fleets for one in fleet.replicas)
            return fleets

        self._registry.register(FleetCollector(followed))

    def text(self) -> bytes:
        """Return all metrics as text of CONTENT_TYPE. Takes some milliseconds."""
        return generate_latest(self._registry)

    def families(self) -> Iterator[Metric]:
        """Yield every family with its samples now. Example: ``names = [f.name for f in metrics.families()]``."""
        yield from self._registry.collect()
