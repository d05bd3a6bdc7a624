"""What the model endpoints have in common before they differ: the body, the model's name, the clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from aiohttp import web

from kvproxy.errors import InvalidRequest, ModelNotFound
from kvproxy.runtime.off_loop import off_loop_if_large
from kvproxy.server.components import MODEL, PARTS
from kvproxy.server.requests.model_names import model_names
from kvproxy.server.requests.read_body import decoded, read_body
from kvproxy.telemetry.request_timer import Timings
from kvproxy.wire.bodies.body_bounds import refuse_endless

T = TypeVar("T")


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

    async def parsed(self, parse: Callable[[], T]) -> T:
        """What ``parse`` makes of the body: on a thread where the body is large."""
        with self.clock.measure("parse"):
            return await off_loop_if_large(len(self.raw), parse)


async def receive(request: web.Request) -> Incoming:
    """Raises BodyTooLarge, InvalidRequest, ModelNotFound when nobody serves the model, and ContextTooLong for a
    conversation of more messages than the local model takes tokens."""
    parts = request.app[PARTS]
    clock = Timings()
    with clock.waiting():
        raw = await read_body(request)
    with clock.measure("parse"):
        body = await decoded(raw, request)
        model = body["model"] = request[MODEL] = resolve(request, _model(body))
    local = model == parts.served_name
    if local:
        refuse_endless(body, parts.pipeline.max_context)
    return Incoming(raw, body, model, local, clock)


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
