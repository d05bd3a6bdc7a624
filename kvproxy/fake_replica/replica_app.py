"""`replica_app`: the HTTP application of a fake replica: routes, keys, vLLM's errors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from kvproxy.fake_replica.fault_routes import set_faults, show_state
from kvproxy.fake_replica.generation_route import completions
from kvproxy.fake_replica.replica_chat_route import chat_completions
from kvproxy.fake_replica.replica_control import CONTROL, ReplicaControl
from kvproxy.fake_replica.replica_state import REPLICA, ReplicaState
from kvproxy.fake_replica.service_routes import (
    detokenize,
    health,
    kv_event_sources,
    load,
    metrics,
    models,
    reset_prefix_cache,
    tokenize,
    version,
)
from kvproxy.fake_replica.token_generation_route import generate
from kvproxy.fake_replica.vllm_errors import ReplicaError, VllmError

_GUARDED = ("/v1", "/v2", "/inference", "/cohere")
_LARGEST = 256 * 2**20

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def replica_app(state: ReplicaState, control: ReplicaControl) -> web.Application:
    """Return the application, not yet listening."""
    app = web.Application(middlewares=[_errors, _keys], client_max_size=_LARGEST)
    app[REPLICA] = state
    app[CONTROL] = control
    gets = {
        "/v1/models": models,
        "/version": version,
        "/health": health,
        "/load": load,
        "/metrics": metrics,
        "/kv_event_sources": kv_event_sources,
        "/fake/state": show_state,
    }
    posts: dict[str, _Handler] = {
        "/v1/completions": completions,
        "/v1/chat/completions": chat_completions,
        "/inference/v1/generate": generate,
        "/tokenize": tokenize,
        "/detokenize": detokenize,
        "/fake/faults": set_faults,
    }
    if state.options.dev_mode:
        posts["/reset_prefix_cache"] = reset_prefix_cache
    app.router.add_routes([web.get(path, handler) for path, handler in gets.items()])
    app.router.add_routes([web.post(path, handler) for path, handler in posts.items()])
    return app


@web.middleware
async def _errors(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except VllmError as e:
        return _rendered(request, e.error)
    except web.HTTPException as e:
        return web.json_response({"detail": e.reason}, status=e.status)


def _rendered(request: web.Request, error: ReplicaError) -> web.Response:
    wait = request.app[REPLICA].faults.retry_after_s
    late = wait is not None and error.status in (429, 500, 503)
    headers = {"Retry-After": str(wait)} if late else {}
    return web.json_response(error.body, status=error.status, headers=headers)


@web.middleware
async def _keys(request: web.Request, handler: _Handler) -> web.StreamResponse:
    key = request.app[REPLICA].options.api_key
    if key is not None and request.path.startswith(_GUARDED):
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or given != key:
            return web.json_response({"error": "Unauthorized"}, status=401)
    return await handler(request)
