"""What the model endpoints have in common before they differ: the body, the model's name, the clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aiohttp import web

from kvproxy.errors import InvalidRequest, ModelNotFound
from kvproxy.server.body import read_body
from kvproxy.server.parts import MODEL, PARTS
from kvproxy.timings import Timings
from kvproxy.wire.json_text import decode_object


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request's body, read and decoded. ``clock`` has counted since the request came."""

    raw: bytes
    body: dict[str, Any]
    model: str
    local: bool
    """True for the local model, False for an upstream's."""
    clock: Timings


async def receive(request: web.Request) -> Incoming:
    """Raises BodyTooLarge, InvalidRequest, and ModelNotFound when nobody serves the model."""
    parts = request.app[PARTS]
    clock = Timings()
    with clock.waiting():
        raw = await read_body(request)
    with clock.measure("parse"):
        body = decode_object(raw)
        model = _model(body)
    local = model == parts.served_name
    if not local and model not in parts.pipeline.upstreams():
        raise ModelNotFound(model)
    request[MODEL] = model
    return Incoming(raw, body, model, local, clock)


def _model(body: dict[str, Any]) -> str:
    model = body.get("model")
    if model is None or model == "":
        raise InvalidRequest("You must provide a model parameter.", param="model")
    if not isinstance(model, str):
        raise InvalidRequest("Invalid 'model': must be a string.", param="model")
    return model
