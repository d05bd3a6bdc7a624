"""What the model endpoints have in common before they differ: the body, the model's name, the clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aiohttp import web

from kvproxy.errors import InvalidRequest, ModelNotFound
from kvproxy.server.body import decoded, read_body
from kvproxy.server.model_names import model_names
from kvproxy.server.parts import MODEL, PARTS
from kvproxy.timings import Timings


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request's body, read and decoded. ``clock`` has counted since the request came."""

    raw: bytes
    """As it came: its model may be spelt otherwise than here."""
    body: dict[str, Any]
    model: str
    """The name of the model that answers, here and in ``body``: what a client calls it ends here."""
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
        body = decoded(raw, request)
        model = body["model"] = request[MODEL] = resolve(request, _model(body))
    return Incoming(raw, body, model, model == parts.served_name, clock)


def resolve(request: web.Request, asked: str) -> str:
    """The name of the model that is meant, the only place where names are read. Raises ModelNotFound."""
    names = model_names(request.app[PARTS])
    model = names.resolve(asked)
    if model is None:
        raise ModelNotFound(asked, names.listed())
    return model


def _model(body: dict[str, Any]) -> str:
    model = body.get("model")
    if model is None or model == "":
        raise InvalidRequest("You must provide a model parameter.", param="model")
    if not isinstance(model, str):
        raise InvalidRequest("Invalid 'model': must be a string.", param="model")
    return model
