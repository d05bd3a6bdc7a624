"""Reading a request's body without ever holding more than is allowed."""

from __future__ import annotations

from aiohttp import HttpVersion11, web

from kvproxy.errors import BodyTooLarge
from kvproxy.server.errors import error_response
from kvproxy.server.parts import PARTS


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
    """Raises BodyTooLarge at the announced size, or at the first chunk that goes over the limit."""
    refuse_large(request)
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge as e:
        raise too_large(request.app[PARTS].max_body) from e


async def expect_continue(request: web.Request) -> web.StreamResponse | None:
    """``Expect: 100-continue``: the client asks before it sends, so a body that is too large never travels.

    aiohttp calls this outside of the middlewares.
    """
    try:
        refuse_large(request)
    except BodyTooLarge as e:
        return error_response(e, request)
    if request.version == HttpVersion11 and request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # The interim answer is no part of the response proper, whose size is counted from here.
        request.writer.output_size = 0
    return None
