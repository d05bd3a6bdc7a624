"""``GET /v1/models`` and ``/v1/models/{id}``: the local model and every upstream."""

from __future__ import annotations

from aiohttp import web

from kvproxy.errors import ModelNotFound
from kvproxy.server.errors import json_response
from kvproxy.server.parts import PARTS, Parts
from kvproxy.wire.service_types import ModelBody, ModelList


async def list_models(request: web.Request) -> web.StreamResponse:
    parts = request.app[PARTS]
    models: ModelList = {"object": "list", "data": [_model(parts, name) for name in _names(parts)]}
    return json_response(models)


async def get_model(request: web.Request) -> web.StreamResponse:
    parts = request.app[PARTS]
    name = request.match_info["model"]
    if name not in _names(parts):
        raise ModelNotFound(name)
    return json_response(_model(parts, name))


def _names(parts: Parts) -> list[str]:
    return list(dict.fromkeys((parts.served_name, *parts.pipeline.upstreams())))


def _model(parts: Parts, name: str) -> ModelBody:
    return {
        "id": name,
        "object": "model",
        "created": parts.created,
        "owned_by": "kvproxy" if name == parts.served_name else "upstream",
    }
