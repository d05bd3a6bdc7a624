"""Reading a request's body without ever holding more than is allowed."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import HttpVersion11, web
from aiohttp.http_exceptions import HttpProcessingError

from kvproxy.errors import BodyTooLarge, ExpectationFailed, InvalidRequest, UnreadableBody
from kvproxy.runtime.off_loop import off_loop
from kvproxy.server.components import PARTS
from kvproxy.server.middleware.error_responses import error_response
from kvproxy.server.requests.content_encoding import TooMuch, unpacked
from kvproxy.wire.bodies.json_text import decode_object, is_small


def too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"The request body is larger than {limit} bytes. Raise server.max_body, or send less."
    )


def refuse_large(request: web.Request) -> None:
    """By what the client announced, before a byte is read. Raises BodyTooLarge."""
    limit = request.app[PARTS].max_body
    if (request.content_length or 0) > limit:
        raise too_large(limit)


async def read_body(request: web.Request) -> bytes:
    """The body as it was before it was packed. Raises BodyTooLarge at the announced size, or at the first chunk that
    goes over the limit, UnreadableBody, UnsupportedEncoding."""
    refuse_large(request)
    parts = request.app[PARTS]
    limit = parts.max_body
    encoding = ", ".join(request.headers.getall("Content-Encoding", ()))
    try:
        async with asyncio.timeout(parts.timeout_s):
            raw = await request.read()
        return await unpacked(raw, encoding, limit)
    except (web.HTTPRequestEntityTooLarge, TooMuch) as e:
        raise too_large(limit) from e
    except (web.RequestPayloadError, HttpProcessingError) as e:
        raise UnreadableBody("The request's body breaks off, or its chunks cannot be read.") from e
    except TimeoutError as e:
        raise UnreadableBody(
            "The request's body is shorter than its Content-Length, or came too slowly."
        ) from e


async def read_object(request: web.Request) -> dict[str, Any]:
    """A JSON object. Its content type is not asked for: what drives this proxy from a foreign page is refused by
    its origin, and curl calls everything a form. Raises what ``read_body`` does, and InvalidRequest."""
    return await decoded(await read_body(request), request)


async def decoded(raw: bytes, request: web.Request) -> dict[str, Any]:
    """Raises InvalidRequest, which says so where the body does not even claim to be JSON."""
    try:
        return decode_object(raw) if is_small(raw) else await off_loop(len(raw), lambda: decode_object(raw))
    except InvalidRequest as e:
        kind = request.content_type
        if kind == "application/json" or kind.endswith("+json") or not request.headers.get("Content-Type"):
            raise
        hint = "Send JSON, with the header Content-Type: application/json."
        raise InvalidRequest(f"{e.message} {hint}", param=e.param) from e


async def expect_continue(request: web.Request) -> web.StreamResponse | None:
    """``Expect: 100-continue``: the client asks before it sends, so a body that is too large never travels.

    aiohttp calls this outside of the middlewares.
    """
    try:
        refuse_large(request)
        if request.headers.get("Expect", "").strip().lower() != "100-continue":
            raise ExpectationFailed("Send no Expect header, or 'Expect: 100-continue'.")
    except (BodyTooLarge, ExpectationFailed) as e:
        return error_response(e, request)
    if request.version == HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # The interim answer is no part of the response proper, whose size is counted from here.
        request.writer.output_size = 0
    return None
