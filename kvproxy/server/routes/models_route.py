"""Handlers of ``GET /v1/models`` and ``/v1/models/{id}``: the served models, the upstreams' models, their aliases."""

from __future__ import annotations

from aiohttp import web

from kvproxy.errors import InvalidRequest
from kvproxy.server.components import COMPONENTS
from kvproxy.server.middleware.error_dialect import speaks_anthropic
from kvproxy.server.middleware.error_responses import json_response
from kvproxy.server.requests.model_names import MODEL_NAMES, resolve_model
from kvproxy.wire.bodies.whole_number import whole_number
from kvproxy.wire.service.model_list import ModelBody, ModelList, anthropic_model, anthropic_page, model_body

MOST_MODELS = 1000
"""Models on one page of Anthropic's list."""

_VARY = {"Vary": "anthropic-version"}


async def list_models(request: web.Request) -> web.StreamResponse:
    """List all models, or with ``anthropic-version`` one page of them. Raises InvalidRequest."""
    models = [_model(request, name) for name in request.app[MODEL_NAMES].listed()]
    limit = _limit(request)
    if speaks_anthropic(request):
        after, before = request.query.get("after_id"), request.query.get("before_id")
        page = anthropic_page(models, limit=limit, after=after, before=before)
        return json_response(page, headers=_VARY)
    listed: ModelList = {"object": "list", "data": models}
    return json_response(listed, headers=_VARY)


async def get_model(request: web.Request) -> web.StreamResponse:
    """Describe a model, found by all names that requests may use, under its served name. Raises ModelNotFound."""
    asked = request.match_info["model"]
    listed = request.app[MODEL_NAMES].listed()
    model = _model(request, asked if asked in listed else resolve_model(request, asked))
    return json_response(anthropic_model(model) if speaks_anthropic(request) else model, headers=_VARY)


def _model(request: web.Request, id: str) -> ModelBody:
    components = request.app[COMPONENTS]
    root = resolve_model(request, id)
    local = root in components.served_names
    max_context = components.served(root).max_context if local else 0
    return model_body(id, root, local=local, created=components.created, max_context=max_context)


def _limit(request: web.Request) -> int:
    limit = whole_number(request.query.get("limit", "20"), MOST_MODELS)
    if not limit:
        raise InvalidRequest(f"Invalid 'limit': must be from 1 to {MOST_MODELS}.", param="limit")
    return limit
