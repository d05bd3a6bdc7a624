"""The endpoints of a fake replica that do not generate."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from aiohttp import web

from kvproxy.errors import InvalidRequest
from kvproxy.fake_replica.replica_bodies import json_object
from kvproxy.fake_replica.replica_metrics import metrics_text
from kvproxy.fake_replica.replica_state import REPLICA, ReplicaState
from kvproxy.fake_replica.vllm_errors import VllmError, bad_request, malformed

_STARTED = int(time.time())


async def models(request: web.Request) -> web.Response:
    """Answer ``GET /v1/models``."""
    options = request.app[REPLICA].options
    card = {
        "id": options.model,
        "object": "model",
        "created": _STARTED,
        "owned_by": "vllm",
        "root": options.model,
        "parent": None,
        "max_model_len": options.context,
        "permission": [],
    }
    return web.json_response({"object": "list", "data": [card]})


async def version(request: web.Request) -> web.Response:
    """Answer ``GET /version``."""
    return web.json_response({"version": "0.32.0"})


async def health(request: web.Request) -> web.Response:
    """Answer ``GET /health``, late or not well where a fault says so."""
    faults = request.app[REPLICA].faults
    if faults.health_delay_s is not None:
        await asyncio.sleep(faults.health_delay_s)
    return web.Response(status=faults.health_status or 200)


async def load(request: web.Request) -> web.Response:
    """Answer ``GET /load``."""
    return web.json_response({"server_load": request.app[REPLICA].load})


async def metrics(request: web.Request) -> web.Response:
    """Answer ``GET /metrics``."""
    state = request.app[REPLICA]
    return web.Response(text=metrics_text(state.options, state.engine), content_type="text/plain")


async def kv_event_sources(request: web.Request) -> web.Response:
    """Answer ``GET /kv_event_sources``: one source for the only rank, none with events off."""
    state = request.app[REPLICA]
    if not state.options.events:
        return web.json_response({})
    source = {
        "enable_kv_cache_events": True,
        "publisher": "zmq",
        "endpoint": state.events_endpoint,
        "replay_endpoint": state.replay_endpoint,
        "buffer_steps": state.options.buffer_steps,
        "hwm": 100_000,
        "max_queue_size": 100_000,
        "topic": state.options.topic,
    }
    return web.json_response({"0": source})


async def tokenize(request: web.Request) -> web.Response:
    """Answer ``POST /tokenize``, for a text or a conversation."""
    state = request.app[REPLICA]
    body = await json_object(request)
    state.check_model(body.get("model"))
    tokens = _tokens(state, body)
    if state.faults.wrong_tokenizer:
        tokens = [token + 1 for token in tokens]
    strings = [state.text.decode([token], skip_special=False) for token in tokens]
    return web.json_response(
        {
            "count": len(tokens),
            "max_model_len": state.options.context,
            "tokens": tokens,
            "token_strs": strings if body.get("return_token_strs") else None,
        }
    )


async def detokenize(request: web.Request) -> web.Response:
    """Answer ``POST /detokenize``."""
    state = request.app[REPLICA]
    body = await json_object(request)
    state.check_model(body.get("model"))
    tokens = body.get("tokens")
    if not isinstance(tokens, list) or not all(type(token) is int and token >= 0 for token in tokens):
        raise VllmError(malformed("Input should be greater than or equal to 0", "body.tokens.0"))
    return web.json_response({"prompt": state.text.decode(tokens, skip_special=False)})


async def reset_prefix_cache(request: web.Request) -> web.Response:
    """Answer ``POST /reset_prefix_cache``: its event leaves with the next step only, as in vLLM."""
    return web.json_response({"success": request.app[REPLICA].engine.cache.reset()})


def _tokens(state: ReplicaState, body: dict[str, Any]) -> list[int]:
    prompt, messages = body.get("prompt"), body.get("messages")
    if isinstance(prompt, str):
        return state.text.encode(prompt, special=body.get("add_special_tokens", True) is not False)
    if not isinstance(messages, list):
        raise VllmError(malformed("Field required", "body.prompt", kind="missing"))
    if state.faults.wrong_template:
        messages = [{"role": "system", "content": "Another template."}, *messages]
    variables = {
        **(body.get("chat_template_kwargs") or {}),
        "tools": body.get("tools") or (),
        "add_generation_prompt": body.get("add_generation_prompt", True),
    }
    try:
        return state.text.chat(messages, variables)
    except InvalidRequest as e:
        raise VllmError(bad_request(str(e))) from e
