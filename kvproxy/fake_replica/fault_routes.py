"""``/fake/faults`` and ``/fake/state``: how tests reach a replica in another process."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from aiohttp import web

from kvproxy.fake_replica.replica_bodies import json_object
from kvproxy.fake_replica.replica_control import CONTROL
from kvproxy.fake_replica.replica_state import REPLICA
from kvproxy.fake_replica.vllm_errors import VllmError, bad_request


async def set_faults(request: web.Request) -> web.Response:
    """Answer ``POST /fake/faults``: set the named faults, then do the named actions.

    Actions: ``evict`` (blocks, or true for all), ``say`` (the next answers, in place of those that
    were set before), ``restart`` and ``refuse_s``.
    """
    state, control = request.app[REPLICA], request.app[CONTROL]
    wanted: dict[str, Any] = await json_object(request)
    actions = {name: wanted.pop(name) for name in ("evict", "say", "restart", "refuse_s") if name in wanted}
    try:
        state.faults.change(wanted)
    except ValueError as e:
        raise VllmError(bad_request(str(e))) from e
    evicted = await control.evict(actions["evict"]) if "evict" in actions else 0
    if "say" in actions:
        state.said.clear()
        state.said.extend(actions["say"] or ())
    if actions.get("restart"):
        control.restart_soon()
    if actions.get("refuse_s"):
        control.refuse_for(float(actions["refuse_s"]))
    return web.json_response({"faults": asdict(state.faults), "evicted": evicted})


async def show_state(request: web.Request) -> web.Response:
    """Answer ``GET /fake/state``: what the replica holds and was asked for."""
    state = request.app[REPLICA]
    return web.json_response(
        {
            "fingerprint": state.engine.fingerprint,
            "blocks": state.engine.cache.cached_blocks(),
            "running": state.engine.running,
            "waiting": state.engine.waiting,
            "counts": asdict(state.engine.counts),
            "requests": [asdict(one) for one in state.requests],
        }
    )
