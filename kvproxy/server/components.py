"""`Components`: the ready components and plain settings that `serve` injects into the web application."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from aiohttp import web

from kvproxy.charging.request_bill import Bill
from kvproxy.core import Caller
from kvproxy.document_files.file_exchange import FileExchange
from kvproxy.exactness.verify import Verifier
from kvproxy.explain.miss_report import MissReporter
from kvproxy.learning.learned_texts import LearnedTexts
from kvproxy.pipeline import Pipeline
from kvproxy.publish import Publisher
from kvproxy.reply import Reply
from kvproxy.served_model import ServedModel
from kvproxy.server.auth import Keyring
from kvproxy.server.market import Market
from kvproxy.server.shutdown import Drain
from kvproxy.store.response_store import ResponseStore
from kvproxy.telemetry.feed import Feed
from kvproxy.telemetry.fleet_series import FleetSeries
from kvproxy.telemetry.metrics import Figures
from kvproxy.telemetry.request_timer import Timings
from kvproxy.telemetry.store_state import StoreState
from kvproxy.telemetry.tracing.request_trace import RequestTrace
from kvproxy.telemetry.tracing.tracing import Tracing
from kvproxy.telemetry.usage.usage_book import UsageBook
from kvproxy.upkeep.live_upkeep import LiveUpkeep
from kvproxy.wire.bodies.request_reading import LENIENT, ReadingPolicy
from kvproxy.wire.service.served_requests import KvRequest
from kvproxy.wire.upstream_usage import UpstreamCounts


@dataclass(frozen=True, slots=True)
class Components:
    """One running proxy's components. Built once by `serve`, read by every request through ``request.app``."""

    created: int
    """Unix time in seconds that ``/v1/models`` shows."""
    pipeline: Pipeline
    ready: Callable[[], str | None]
    """Returns None when a request would be served now, else the reason why not."""
    publisher: Publisher
    verifier: Verifier
    responses: ResponseStore
    keyring: Keyring
    drain: Drain
    max_body: int
    """Bytes, after any Content-Encoding is undone."""
    keepalive_s: float
    timeout_s: float
    """Seconds that one request may take, from its first byte to its last."""
    feed: Feed[KvRequest] = field(default_factory=Feed)
    """The requests for models, as they end."""
    usage: UsageBook = field(default_factory=UsageBook)
    """The sums of those requests, by tenant and by document."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Other names, and patterns of names, to names of served models."""
    cors_origins: tuple[str, ...] = ("loopback",)
    """Origins of browser pages that may send requests: see :class:`~kvproxy.server.middleware.origins.Origins`."""
    policy: ReadingPolicy = LENIENT
    """The policy for parts of requests that are not supported: left out, or refused."""
    show_metrics: bool = True
    """True when ``/metrics`` is served."""
    metrics_key: str | None = None
    """The key of ``/metrics``; None: a key with the permission for metrics, where there are keys."""
    market: Market | None = None
    """Accounts, prices, ledger and payments; None in a server without a database."""
    learned: LearnedTexts | None = None
    """Texts that were learned; None where nothing is."""
    files: FileExchange | None = None
    """Documents in files; None in a server without a page store."""
    reporters: Mapping[str, MissReporter] = field(default_factory=dict)
    """The reports of ``/kv/v1/explain`` by the names of their models; without one the path is a 404."""
    upkeep: LiveUpkeep | None = None
    """Check and repair of the store; None in a server without one."""
    tracing: Tracing = field(default_factory=Tracing)
    """Spans of requests; without a tracer none are made."""
    store_state: Callable[[], StoreState] | None = None
    """Returns the tiers of the page store as they are now; None in a server without one."""
    fleets: Callable[[], Sequence[FleetSeries]] = tuple
    """Returns the fleets' replicas as they are now; empty where there is no fleet."""
    verifiers: Mapping[str, Verifier] = field(default_factory=dict)
    """The verifiers of all served models, by their names."""
    dashboard: bool = True
    """True when the dashboard is served, at ``/ui``."""
    dashboard_secret: str | None = None
    """The secret of the dashboard's sessions; None: a random one, so that they end with the process."""
    figures: Callable[[], Figures] | None = None
    """Returns the engine's state and counts at this moment; None where there is none to tell of."""
    lifespan: tuple[Callable[[], AbstractAsyncContextManager[None]], ...] = ()
    """Context managers that are entered in this order at start, and left in reverse at the end."""

    @property
    def served_names(self) -> tuple[str, ...]:
        """The names of the models whose KV is managed here, the primary's first. Every other name is an upstream's or
        unknown."""
        return self.pipeline.models.names

    @property
    def further_models(self) -> tuple[ServedModel, ...]:
        """The served models besides the primary, whose documents the publisher prefills."""
        return tuple(self.pipeline.models)[1:]

    def served(self, name: str) -> ServedModel:
        """Return the model of one of ``served_names``. Raises ModelNotFound."""
        return self.pipeline.models.named(name)


COMPONENTS = web.AppKey("COMPONENTS", Components)
CALLER = web.RequestKey("CALLER", Caller)
REQUEST_ID = web.RequestKey("REQUEST_ID", str)
MODEL = web.RequestKey("MODEL", str)
"""The served model that the request names, set once it is resolved."""
ERROR_CODE = web.RequestKey("ERROR_CODE", str)
"""The code of the error that was the answer, or its type where it has no code."""
STREAMING = web.RequestKey("STREAMING", bool)
"""Set once a stream's headers are out: no other response may follow."""
REPLY = web.RequestKey("REPLY", Reply)
"""The reply of a served model, once its first token is known; the first one where the request has several prompts."""
CLOCK = web.RequestKey("CLOCK", Timings)
"""The stopwatch of a request for a model, from when its body is read."""
TRACE = web.RequestKey("TRACE", RequestTrace)
"""The request's trace, where it is recorded."""
SERVED = web.RequestKey("SERVED", KvRequest)
"""The record of a request for a model that has ended, as the feed has it."""
UPSTREAM_COUNTS = web.RequestKey("UPSTREAM_COUNTS", UpstreamCounts)
"""The counts of an upstream's answer."""
BILL = web.RequestKey("BILL", Bill)
"""The bill of a request for a model, from before its prompt is composed."""
