"""Middleware that puts every request for a model that has ended into the feed and into the usage figures."""

from __future__ import annotations

import logging
import re
import time
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.typedefs import Handler

from kvproxy.core import Miss, format_nano
from kvproxy.core.block_rounding import rounded_tokens
from kvproxy.reply import Reply
from kvproxy.server.components import (
    BILL,
    CALLER,
    COMPONENTS,
    ERROR_CODE,
    MODEL,
    REPLY,
    REQUEST_ID,
    SERVED,
)
from kvproxy.server.middleware.metering import LEFT
from kvproxy.server.middleware.request_usage import ended_request
from kvproxy.wire.service.served_requests import KvRequest, Outcome

_PLAYGROUND = ("/ui/playground", "/ui/playground/answer")
"""Paths of the dashboard whose POSTs ask a model."""

NOT_SERVED = "(not served)"
"""The endpoint of a request whose path is none of this proxy's."""

logger = logging.getLogger(__name__)

_PRODUCT = re.compile(r"[!-~]{1,64}")


@dataclass(frozen=True, slots=True)
class Began:
    """The moment in which a request came."""

    clock: float = field(default_factory=time.perf_counter)
    at: float = field(default_factory=time.time)
    """Unix seconds."""


BEGAN = web.RequestKey("BEGAN", Began)


@web.middleware
async def watched(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Middleware: put every request for a model into the feed and the usage figures when it has ended or failed."""
    request[BEGAN] = Began()
    status = LEFT
    try:
        response = await handler(request)
        status = response.status
        return response
    finally:
        asks = request.path.startswith("/v1/") or request.path in _PLAYGROUND
        if CALLER in request and request.method == "POST" and asks:
            _note(request, request[BEGAN], status)


def note_model_request(request: web.Request, status: int = 200) -> None:
    """Note the first of several requests for a model that one request of a browser stands for, which has ended.

    Example: ``note_model_request(request)`` between two calls of ``whole``
    """
    _note(request, request[BEGAN], status)
    request[BEGAN] = Began()
    if REPLY in request:
        del request[REPLY]
    if BILL in request:
        del request[BILL]


def _note(request: web.Request, began: Began, status: int) -> None:
    """Count a request that has ended. Its answer is under way or sent: no fault in counting may take it back."""
    try:
        _count(request, began, status)
    except Exception:
        logger.exception("%s: the request is missing from the figures", request.get(REQUEST_ID))


def _count(request: web.Request, began: Began, status: int) -> None:
    served = _served(request, began.at, status, time.perf_counter() - began.clock)
    request[SERVED] = served
    components = request.app[COMPONENTS]
    caller = request[CALLER]
    components.feed.put(caller.scope, served, tenant=caller.name, private=not caller.retain)
    ended = ended_request(request, served, components.usage.saved_us)
    components.usage.note(ended)
    components.pipeline.metrics.saved(ended.saved_us)


def _served(request: web.Request, at: float, status: int, total_s: float) -> KvRequest:
    reply = request.get(REPLY)
    outcome, reason = _outcome(request, reply, status)
    decision = None if reply is None else reply.decision
    document = None if decision is None or decision.document is None else str(decision.document)
    served = KvRequest(
        object="kv_request",
        id=request[REQUEST_ID],
        at=at,
        client=client_of(request.headers.get("User-Agent", "")),
        endpoint=_endpoint(request),
        model=request.get(MODEL),
        status=status,
        outcome=outcome,
        reason=reason,
        cause=None if decision is None or decision.cause is None else decision.cause.value,
        document=document,
        prompt_tokens=None if reply is None else len(reply.prompt.token_ids),
        cached_tokens=_cached(reply),
        completion_tokens=_generated(reply),
        ttft_s=None if reply is None else round(reply.ttft_s, 4),
        total_s=round(total_s, 4),
    )
    if reply is not None and (choice := reply.started.choice) is not None:
        served["replica"] = choice.replica
        if rounded := rounded_tokens(
            reply.prompt.documents, served["cached_tokens"] or 0, choice.block_tokens
        ):
            served["rounded_tokens"] = rounded
    bill = request.get(BILL)
    charge = None if bill is None or bill.settled is None else bill.settled.charge
    if charge is not None:
        served["currency"] = charge.currency
        served["cost"] = format_nano(charge.cost)
        served["saved"] = format_nano(charge.saved)
    return served


def _endpoint(request: web.Request) -> str:
    """Return the path of the route. Of a path that is not served nothing is told: what follows a wrong base URL may be
    the id of a private document, and an operator sees the list too."""
    resource = request.match_info.route.resource
    return NOT_SERVED if resource is None else resource.canonical


def _cached(reply: Reply | None) -> int | None:
    """Return the tokens from kept pages; None where nobody knows them, or ever will."""
    return reply.confirmed.cached_tokens if reply is not None and reply.confirmed.confirmed else None


def _generated(reply: Reply | None) -> int | None:
    """Return the tokens of an answer as they are billed, so far where it did not end."""
    if reply is None or reply.line.usage is None:
        return None if reply is None else reply.meter.generated
    return reply.line.usage.completion_tokens


def _outcome(request: web.Request, reply: Reply | None, status: int) -> tuple[Outcome, str | None]:
    if status == LEFT:
        return "left", None
    if status >= 400:
        return "refused", request.get(ERROR_CODE)
    if reply is None:
        return "bypass", None
    if isinstance(reply.decision, Miss):
        return "miss", reply.decision.reason.value
    return "hit", "collapsed" if reply.started.collapsed else None


def client_of(agent: str) -> str:
    """Return the first product of a ``User-Agent``: ``claude-cli/2.1.197``. Printable ASCII without blanks, at most 64
    characters."""
    found = _PRODUCT.search(agent)
    return found[0] if found else "unknown"
