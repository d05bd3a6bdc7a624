"""What the server is given by the composition root: ready components and plain values."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from aiohttp import web

from kvproxy.core import Caller, DocumentRef, Visibility
from kvproxy.documents.library.document_info import DocumentInfo, Published, Verification
from kvproxy.pipeline import Pipeline, Reply
from kvproxy.server.auth import Keyring
from kvproxy.server.shutdown import Drain
from kvproxy.telemetry.feed import Feed
from kvproxy.wire.bodies.request_reading import LENIENT, ReadingPolicy
from kvproxy.wire.service.served_requests import KvRequest


class Publisher(Protocol):
    """Learns, lists and forgets documents. A caller is told only of documents that it may read."""

    async def publish(
        self,
        id: str,
        text: str,
        visibility: Visibility | None,
        caller: Caller,
        progress: Callable[[int, int], None] | None = None,
        *,
        pinned: bool | None = None,
    ) -> Published:
        """Returns when the pages are kept. ``progress(done, total)`` counts tokens, on the event loop."""

    async def list(self, caller: Caller) -> list[DocumentInfo]: ...

    async def get(self, ref: DocumentRef, caller: Caller) -> DocumentInfo:
        """Raises DocumentNotFound."""

    async def text(self, ref: DocumentRef, caller: Caller) -> str:
        """Raises DocumentNotFound."""

    async def delete(self, ref: DocumentRef, caller: Caller) -> None:
        """All versions when ``ref`` names none. Raises DocumentNotFound, PermissionDenied."""


class Verifier(Protocol):
    """Compares hits with prefills from scratch."""

    async def verify(
        self,
        ref: DocumentRef,
        caller: Caller,
        new_tokens: int = ...,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[Verification]:
        """One per framing and spelling that it is kept in; ``new_tokens`` of the answers are compared. Raises
        DocumentNotFound."""


class ResponseStore(Protocol):
    """Keeps responses for a while, each for the scope that it was put for alone."""

    def put(self, scope: str, id: str, record: bytes) -> Awaitable[None]:
        """Begins at once, so that every later ``get`` finds it; need not be awaited. Never raises."""

    async def get(self, scope: str, id: str) -> bytes | None: ...

    async def delete(self, scope: str, id: str) -> bool:
        """Whether there was one. Raises Unavailable."""


@dataclass(frozen=True, slots=True)
class Components:
    served_name: str
    """The local model's name. Every other name is an upstream's or unknown."""
    created: int
    """Unix time in seconds that ``/v1/models`` shows."""
    pipeline: Pipeline
    ready: Callable[[], str | None]
    """None when a request would be served now, else the reason why not."""
    publisher: Publisher
    verifier: Verifier
    responses: ResponseStore
    keyring: Keyring
    drain: Drain
    max_body: int
    """Bytes, after any Content-Encoding is undone."""
    keepalive_s: float
    timeout_s: float
    """How long one request may take, from its first byte to its last."""
    feed: Feed[KvRequest] = field(default_factory=Feed)
    """The requests as they end."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Other names, and patterns of names, to those of served models."""
    cors_origins: tuple[str, ...] = ("loopback",)
    """The origins whose pages may ask: see :class:`~kvproxy.server.middleware.origins.Origins`."""
    policy: ReadingPolicy = LENIENT
    """The policy that says what is left out of requests, and what is refused."""
    show_metrics: bool = True
    """Whether ``/metrics`` is there."""
    metrics_key: str | None = None
    """What it asks for; None: one of the keyring's keys, where it has any."""
    lifespan: tuple[Callable[[], AbstractAsyncContextManager[None]], ...] = ()
    """Entered in this order at start, left in reverse at the end."""


COMPONENTS = web.AppKey("COMPONENTS", Components)
CALLER = web.RequestKey("CALLER", Caller)
REQUEST_ID = web.RequestKey("REQUEST_ID", str)
MODEL = web.RequestKey("MODEL", str)
"""The model that the request names, once it is known to be served."""
ERROR_CODE = web.RequestKey("ERROR_CODE", str)
"""Of the error that was the answer, or its type where it has no code."""
STREAMING = web.RequestKey("STREAMING", bool)
"""Set once a stream's headers are out: no other response may follow."""
REPLY = web.RequestKey("REPLY", Reply)
"""The local model's reply, once its first token is known; the first one where the request has several prompts."""
