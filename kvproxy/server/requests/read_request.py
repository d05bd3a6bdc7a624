"""Read a request: its body within the size limit, the JSON in it, the model that it names; and start its clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeVar

from aiohttp import HttpVersion11, web
from aiohttp.http_exceptions import HttpProcessingError

from kvproxy.errors import BodyTooLarge, ExpectationFailed, InvalidRequest, UnreadableBody
from kvproxy.runtime.off_loop import off_loop, off_loop_if_large
from kvproxy.server.components import CLOCK, COMPONENTS, MODEL, TRACE
from kvproxy.server.middleware.error_responses import error_response
from kvproxy.server.requests.content_encoding import TooMuch, unpacked
from kvproxy.server.requests.model_names import resolve_model
from kvproxy.telemetry.request_timer import Timings
from kvproxy.telemetry.tracing.asked_attributes import asked_attributes
from kvproxy.wire.bodies.body_bounds import refuse_oversized_lists
from kvproxy.wire.bodies.json_text import decode_object, is_small

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Incoming:
    """The body of a request to a model endpoint, read and decoded. ``clock`` has run since the request came."""

    raw: bytes
    """The body's bytes without Content-Encoding, in which the model may have another of its names."""
    body: dict[str, Any]
    model: str
    """The served name of the model that answers, which ``body`` has too."""
    local: bool
    """True for a model whose KV is managed here, the local engine's or a fleet's; False for an upstream's."""
    clock: Timings

    async def parsed(
        self, parse: Callable[Concatenate[dict[str, Any], P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Return ``parse(body, ...)``; a large body is parsed on a thread.

        Example: ``chat = await incoming.parsed(parse_chat, served_name="local", policy=LENIENT)``
        """
        with self.clock.measure("parse"):
            return await off_loop_if_large(len(self.raw), partial(parse, self.body, *args, **kwargs))


async def receive(request: web.Request, *, model: str | None = None) -> Incoming:
    """Read the body, decode it, resolve its model. ``model``: the name that stands for one that is left out.

    Raises as ``read_body`` does, and InvalidRequest, ModelNotFound, and ContextTooLong for a conversation of more
    messages than the model takes tokens, where it is served here.
    """
    components = request.app[COMPONENTS]
    clock = request[CLOCK] = Timings()
    with clock.waiting():
        raw = await read_body(request)
    with clock.measure("parse"):
        body = await _decoded(raw, request)
        name = model if model is not None and body.get("model") is None else _model(body)
        served = body["model"] = request[MODEL] = resolve_model(request, name)
    if (trace := request.get(TRACE)) is not None:
        trace.note(asked_attributes(body))
    local = served in components.served_names
    if local:
        refuse_oversized_lists(body, components.served(served).max_context)
    return Incoming(raw, body, served, local, clock)


async def read_object(request: web.Request) -> dict[str, Any]:
    """Read a body that is one JSON object. Raises as ``read_body`` does, and InvalidRequest.

    The content type is not checked: requests of foreign pages are refused by their origin, and curl sends
    every body as a form.
    """
    return await _decoded(await read_body(request), request)


async def read_body(request: web.Request) -> bytes:
    """Read the body, without its Content-Encoding and never more of it than the limit.

    Raises BodyTooLarge for the announced size, or at the first chunk that goes over the limit, UnreadableBody,
    UnsupportedEncoding.
    """
    _refuse_large(request)
    components = request.app[COMPONENTS]
    limit = components.max_body
    encoding = ", ".join(request.headers.getall("Content-Encoding", ()))
    try:
        async with asyncio.timeout(components.timeout_s):
            raw = await request.read()
        return await unpacked(raw, encoding, limit) if encoding else raw
    except (web.HTTPRequestEntityTooLarge, TooMuch) as e:
        raise _too_large(limit) from e
    except (web.RequestPayloadError, HttpProcessingError) as e:
        raise UnreadableBody(
            "The request's body breaks off, or its chunks cannot be read. Send the whole body again."
        ) from e
    except TimeoutError as e:
        raise UnreadableBody(
            "The request's body is shorter than its Content-Length, or came too slowly. Send all of it, or raise "
            "server.timeout_s."
        ) from e


async def expect_continue(request: web.Request, *, bounded: bool = True) -> web.StreamResponse | None:
    """Answer ``Expect: 100-continue``, so that a body that is too large never travels.

    aiohttp calls this outside of the middlewares.
    """
    try:
        if bounded:
            _refuse_large(request)
        if request.headers.get("Expect", "").strip().lower() != "100-continue":
            raise ExpectationFailed("Send no Expect header, or 'Expect: 100-continue'.")
    except (BodyTooLarge, ExpectationFailed) as e:
        return error_response(e, request)
    if request.version == HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # The interim answer is not part of the response proper: its size is counted from here.
        request.writer.output_size = 0
    return None


async def expect_upload(request: web.Request) -> web.StreamResponse | None:
    """Answer ``Expect: 100-continue`` where the body is a file of any size, which is never in memory as a whole."""
    return await expect_continue(request, bounded=False)


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"The request body is larger than {limit} bytes. Raise server.max_body, or send less."
    )


def _refuse_large(request: web.Request) -> None:
    """Check the announced size before a byte is read. Raises BodyTooLarge."""
    limit = request.app[COMPONENTS].max_body
    if (request.content_length or 0) > limit:
        raise _too_large(limit)


async def _decoded(raw: bytes, request: web.Request) -> dict[str, Any]:
    """Decode a JSON object. Raises InvalidRequest, with a hint where the Content-Type is not JSON's."""
    try:
        return decode_object(raw) if is_small(raw) else await off_loop(len(raw), lambda: decode_object(raw))
    except InvalidRequest as e:
        kind = request.content_type
        if kind == "application/json" or kind.endswith("+json") or not request.headers.get("Content-Type"):
            raise
        hint = "Send JSON, with the header Content-Type: application/json."
        raise InvalidRequest(f"{e.message} {hint}", param=e.param) from e


def _model(body: dict[str, Any]) -> str:
    model = body.get("model")
    if model is None or model == "":
        raise InvalidRequest("You must provide a model parameter.", param="model")
    if not isinstance(model, str):
        raise InvalidRequest("Invalid 'model': must be a string.", param="model")
    return model
