"""The handler of ``POST /kv/v1/explain``: why a request would not be found, or no more of it."""

from __future__ import annotations

import uuid

from aiohttp import web

from kvproxy.core import ChatRequest
from kvproxy.errors import InvalidRequest, RouteNotFound
from kvproxy.explain.miss_report import Question
from kvproxy.runtime.off_loop import off_loop
from kvproxy.server.answers.explanation_view import explanation_view
from kvproxy.server.components import CALLER, COMPONENTS
from kvproxy.server.middleware.error_responses import json_response
from kvproxy.server.requests.model_names import default_model
from kvproxy.server.requests.read_request import Incoming, receive
from kvproxy.server.requests.shown_replicas import names_replicas
from kvproxy.server.routes.responses_route import understand_response
from kvproxy.wire.anthropic.parse_messages import parse_count, parse_messages
from kvproxy.wire.chat.parse_chat import parse_chat
from kvproxy.wire.explanations.explanation_body import ExplainedEndpoint, take_question
from kvproxy.wire.responses.response_ids import ResponseIds


async def explain(request: web.Request) -> web.StreamResponse:
    """Compose the request, decide about it without serving it, and compare it. Nothing is computed or kept."""
    components = request.app[COMPONENTS]
    incoming = await receive(request, model=default_model(components))
    if not incoming.local:
        raise InvalidRequest(
            f"'{incoming.model}' is served by an upstream; only prompts of models whose KV is managed here are kept.",
            param="model",
        )
    model, reporter = components.served(incoming.model), components.reporters.get(incoming.model)
    if reporter is None:
        raise RouteNotFound(f"Invalid URL ({request.method} {request.path}): this proxy explains no misses.")
    asked_for = take_question(incoming.body)
    if asked_for.previous and not reporter.keeps_requests:
        raise InvalidRequest(
            "No earlier requests are kept: explain.keep is false. Leave 'previous' out.", param="previous"
        )
    chat = await _parsed(request, incoming, asked_for.endpoint)
    asked = await components.pipeline.expected(chat, request[CALLER])
    question, names = Question(asked_for.against, asked_for.previous), names_replicas(request)
    answer = await off_loop(
        len(incoming.raw),
        lambda: explanation_view(reporter.report(asked, question), model.composer.token_texts, names=names),
    )
    return json_response(answer)


async def _parsed(request: web.Request, incoming: Incoming, endpoint: ExplainedEndpoint) -> ChatRequest:
    """Parse the request as its own endpoint does. Raises the errors of that endpoint."""
    components = request.app[COMPONENTS]
    if endpoint == "responses":
        _, _, chat = await understand_response(request, incoming, ResponseIds(uuid.uuid4().hex))
        return chat
    if endpoint == "messages":
        parse = parse_messages if "max_tokens" in incoming.body else parse_count
        return await incoming.parsed(parse, components.policy)
    return await incoming.parsed(parse_chat, served_name=incoming.model, policy=components.policy)
