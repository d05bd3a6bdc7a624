"""Middleware that names the request that code works for, and records its trace where traces are on."""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler

from kvproxy.events import Usage
from kvproxy.runtime.request_context import RequestContext, serving
from kvproxy.server.components import (
    BILL,
    CLOCK,
    COMPONENTS,
    ERROR_CODE,
    MODEL,
    REPLY,
    SERVED,
    STREAMING,
    TRACE,
    UPSTREAM_COUNTS,
)
from kvproxy.server.middleware.request_id import request_id_of
from kvproxy.telemetry.tracing import attribute_names as names
from kvproxy.telemetry.tracing.attribute_names import Attributes
from kvproxy.telemetry.tracing.request_phases import engine_phases, own_phases
from kvproxy.telemetry.tracing.request_trace import RequestTrace
from kvproxy.telemetry.tracing.trace_headers import TraceParent, context_headers
from kvproxy.telemetry.tracing.tracing import Tracing

OPERATIONS = {
    "/v1/chat/completions": "chat",
    "/v1/completions": "text_completion",
    "/v1/embeddings": "embeddings",
    "/v1/messages": "chat",
    "/v1/responses": "chat",
    "/ui/playground/answer": "chat",
}
"""The conventions' operations by route."""

_UNTRACED = ("/health/", "/metrics")
"""Beginnings of paths that are asked every few seconds by machines: no spans."""


@web.middleware
async def traced(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Middleware: the outermost one. A request's span ends with the last byte of a stream, or when the client leaves;
    a trace that the request names goes on in it, and in calls to other servers even where no span is made."""
    tracing = request.app[COMPONENTS].tracing
    parent = tracing.parent(request.headers)
    trace = _begun(tracing, request, parent)
    with serving(_context(request, parent, trace)):
        if trace is None or not trace.recording:
            return await handler(request)
        request[TRACE] = trace
        status: int | None = None
        try:
            response = await handler(request)
            status = response.status
            return response
        except web.HTTPException as e:
            status = e.status
            raise
        except Exception:
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            raise
        finally:
            _end(trace, request, status, document_ids=tracing.document_ids)


def _begun(tracing: Tracing, request: web.Request, parent: TraceParent | None) -> RequestTrace | None:
    if tracing.tracer is None or request.path.startswith(_UNTRACED):
        return None
    return tracing.begin(_http_name(request), parent, _request_attributes(request))


def _context(request: web.Request, parent: TraceParent | None, trace: RequestTrace | None) -> RequestContext:
    id = request_id_of(request)
    if trace is None:
        return RequestContext(id) if parent is None else RequestContext(id, headers=context_headers(parent))
    trace_id, span_id = trace.ids
    return RequestContext(id, trace_id, span_id, trace.headers, trace if trace.recording else None)


def _route(request: web.Request) -> str | None:
    resource = request.match_info.route.resource
    return None if resource is None else str(resource.canonical)


def _http_name(request: web.Request) -> str:
    route = _route(request)
    return request.method if route is None else f"{request.method} {route}"


def _request_attributes(request: web.Request) -> Attributes:
    """Return the attributes that are known at the start. The path is the route's where that has no variables: a
    document's id may stand there."""
    route = _route(request)
    attributes: Attributes = {
        names.METHOD: request.method,
        names.SCHEME: request.scheme,
        names.PROTOCOL_VERSION: f"{request.version.major}.{request.version.minor}",
        names.REQUEST_ID: request_id_of(request),
    }
    if route is not None:
        attributes[names.ROUTE] = route
        if "{" not in route:
            attributes[names.PATH] = route
        if operation := OPERATIONS.get(route):
            attributes[names.OPERATION] = operation
    if request.transport is not None and isinstance(
        here := request.transport.get_extra_info("sockname"), tuple
    ):
        attributes[names.SERVER_ADDRESS], attributes[names.SERVER_PORT] = here[0], here[1]
    return attributes


def _end(trace: RequestTrace, request: web.Request, status: int | None, *, document_ids: bool) -> None:
    operation, model = OPERATIONS.get(_route(request) or ""), request.get(MODEL)
    attributes: Attributes = {}
    if status is not None:
        attributes[names.STATUS] = status
    if operation is not None and model is not None:
        attributes |= _model_attributes(request, model)
    attributes |= _cache_attributes(request, document_ids=document_ids)
    reply = request.get(REPLY)
    if (clock := request.get(CLOCK, None if reply is None else reply.timings)) is not None:
        for phase in own_phases(clock):
            trace.phase(phase)
    if reply is not None:
        for phase in engine_phases(reply.timings, reply.started, reply.meter):
            trace.phase(phase)
    error = _error(request, status)
    broken = error is not None and status is not None and status < HTTPStatus.BAD_REQUEST
    failed = broken or (status is not None and status >= HTTPStatus.INTERNAL_SERVER_ERROR)
    name = f"{operation} {model}" if operation is not None and model is not None else _http_name(request)
    trace.end(name, attributes, error, failed=failed)


def _error(request: web.Request, status: int | None) -> str | None:
    """Return the type of the error: its code; ``client_left`` where the client closed the connection first."""
    if status is None:
        return "client_left"
    if (code := request.get(ERROR_CODE)) is not None:
        return str(code)
    return str(status) if status >= HTTPStatus.BAD_REQUEST else None


def _model_attributes(request: web.Request, model: str) -> Attributes:
    components = request.app[COMPONENTS]
    here = model in components.served_names
    provider = names.HERE if here else components.tracing.providers.get(model, names.PROVIDERS["openai"])
    asked: Attributes = {names.PROVIDER: provider, names.REQUEST_MODEL: model}
    answered = _local_answer(request, model) if here else _upstream_answer(request)
    return asked | answered | _usage_attributes(request)


def _local_answer(request: web.Request, model: str) -> Attributes:
    attributes: Attributes = {names.RESPONSE_MODEL: model}
    if (reply := request.get(REPLY)) is None:
        return attributes
    if request.get(STREAMING):
        attributes[names.FIRST_CHUNK] = reply.ttft_s
    if reasons := reply.meter.reasons:
        attributes[names.FINISH_REASONS] = [reasons[index] for index in sorted(reasons)]
    if (bill := request.get(BILL)) is not None:
        attributes[names.RESPONSE_ID] = bill.request_id
    return attributes


def _upstream_answer(request: web.Request) -> Attributes:
    """Return the answer's own names, as far as it was read: that of a raw passthrough is not, where it has no price."""
    if (counts := request.get(UPSTREAM_COUNTS)) is None:
        return {}
    told = counts.names
    attributes: Attributes = {}
    if told.model is not None:
        attributes[names.RESPONSE_MODEL] = told.model
    if told.id is not None:
        attributes[names.RESPONSE_ID] = told.id
    if told.reasons:
        attributes[names.FINISH_REASONS] = [told.reasons[index] for index in sorted(told.reasons)]
    if request.get(STREAMING) and told.first_at is not None and (clock := request.get(CLOCK)) is not None:
        attributes[names.FIRST_CHUNK] = told.first_at - clock.began
    return attributes


def _usage_attributes(request: web.Request) -> Attributes:
    """Return the tokens of all prompts and choices; none where nothing is known of them."""
    usages = _usages(request)
    if not usages:
        return {}
    attributes: Attributes = {
        names.INPUT_TOKENS: sum(usage.prompt_tokens for usage in usages),
        names.OUTPUT_TOKENS: sum(usage.completion_tokens for usage in usages),
        names.CACHE_READ: sum(usage.cached_tokens for usage in usages),
        names.CACHE_CREATION: sum(usage.cache_write_tokens for usage in usages),
    }
    if reasoning := sum(usage.reasoning_tokens for usage in usages):
        attributes[names.REASONING_TOKENS] = reasoning
    return attributes


def _usages(request: web.Request) -> list[Usage]:
    if request.get(REPLY) is not None and (bill := request.get(BILL)) is not None:
        return [line.used() for line in bill.lines]
    counts = request.get(UPSTREAM_COUNTS)
    if counts is None or not counts.reported:
        return []
    # What an upstream charges for is in its bill; these two are told and not priced here.
    return [
        replace(counts.usage(), cache_write_tokens=counts.cache_writes, reasoning_tokens=counts.reasoning)
    ]


def _cache_attributes(request: web.Request, *, document_ids: bool) -> Attributes:
    served = request.get(SERVED)
    if served is None:
        return {}
    found = {
        names.CLIENT: served["client"],
        names.CACHE_OUTCOME: served["outcome"],
        names.CACHE_REASON: served["reason"],
        names.CACHE_CAUSE: served["cause"],
        names.REPLICA: served.get("replica"),
        names.DOCUMENT: served["document"] if document_ids else None,
    }
    return {name: value for name, value in found.items() if value is not None}
