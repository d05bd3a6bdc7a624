"""`Components`: the ready components and plain settings that `serve` injects into the web application."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from kvproxy.server.auth import Keyring
from kvproxy.server.market import Market
from kvproxy.server.shutdown import Drain
from kvproxy.store.stored_responses import ResponseStore
from kvproxy.telemetry.feed import Feed
from kvproxy.upkeep.live_upkeep import LiveUpkeep
from kvproxy.wire.bodies.request_reading import LENIENT, ReadingPolicy
from kvproxy.wire.service.served_requests import KvRequest


@dataclass(frozen=True, slots=True)
class Components:
    """One running proxy's components. Built once by `serve`, read by every request through ``request.app``."""

    served_name: str
    """The local model's name. Every other name is an upstream's or unknown."""
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
    reporter: MissReporter | None = None
    """The reports of ``/kv/v1/explain``; None: there are none, and the path is a 404."""
    upkeep: LiveUpkeep | None = None
    """Check and repair of the store; None in a server without one."""
    lifespan: tuple[Callable[[], AbstractAsyncContextManager[None]], ...] = ()
    """Context managers that are entered in this order at start, and left in reverse at the end."""


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
"""The local model's reply, once its first token is known; the first one where the request has several prompts."""
BILL = web.RequestKey("BILL", Bill)
"""The bill of a request for a model, from before its prompt is composed."""
