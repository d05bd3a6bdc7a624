"""``GET /v1/models`` and ``/v1/models/{id}``: the local model and every upstream."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from kvproxy.errors import ModelNotFound
from kvproxy.server.errors import json_response
from kvproxy.server.parts import PARTS, Parts


async def list_models(request: web.Request) -> web.StreamResponse:
    parts = request.app[PARTS]
    return json_response({"object": "list", "data": [_model(parts, name) for name in _names(parts)]})


async def get_model(request: web.Request) -> web.StreamResponse:
    parts = request.app[PARTS]
    name = request.match_info["model"]
    if name not in _names(parts):
        raise ModelNotFound(name)
    return json_response(_model(parts, name))


def _names(parts: Parts) -> list[str]:
    return list(dict.fromkeys((parts.served_name, *parts.pipeline.upstreams())))


def _model(parts: Parts, name: str) -> dict[str, Any]:
    owner = "kvproxy" if name == parts.served_name else "upstream"
    return {"id": name, "object": "model", "created": parts.created, "owned_by": owner}
