from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator

from tests.server.doubles import Http, ask, client_of, make_proxy

CHAT = "/v1/chat/completions"


async def talk(http: Http, *lines: bytes, body: bytes = b"") -> bytes:
    """Send a request by hand and read the head of the answer."""
    reader, writer = await asyncio.open_connection(http.host, http.port)
    writer.write(b"\r\n".join(lines) + b"\r\n\r\n" + body)
    await writer.drain()
    head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    return head


async def test_413_by_content_length_before_a_byte_of_the_body() -> None:
    async with client_of(make_proxy(max_body=1000)) as http:
        head = await talk(
            http, b"POST /v1/chat/completions HTTP/1.1", b"Host: x", b"Content-Length: 99999999"
        )
    assert head.startswith(b"HTTP/1.1 413 ")


async def test_413_without_a_length_as_soon_as_it_is_too_much() -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 200:
            sent += 1
            yield b"x" * 1000
            await asyncio.sleep(0.002)

    async with client_of(make_proxy(max_body=5000)) as http:
        response = await http.post(CHAT, data=endless())
        assert response.status == 413
        error = (await response.json())["error"]
        assert error["code"] == "request_too_large" and "5000 bytes" in error["message"]
        assert sent < 200


async def test_a_small_body_that_unpacks_to_a_large_one() -> None:
    async with client_of(make_proxy(max_body=5000)) as http:
        packed = gzip.compress(b" " * 10**6)
        response = await http.post(CHAT, data=packed, headers={"Content-Encoding": "gzip"})
        assert response.status == 413


async def test_expect_continue_refuses_before_the_body_travels() -> None:
    start = (b"POST /v1/chat/completions HTTP/1.1", b"Host: x", b"Expect: 100-continue")
    async with client_of(make_proxy(max_body=1000)) as http:
        head = await talk(http, *start, b"Content-Length: 5000")
        assert head.startswith(b"HTTP/1.1 413 ") and b"x-request-id" in head.lower()
        assert await talk(http, *start, b"Content-Length: 5") == b"HTTP/1.1 100 Continue\r\n\r\n"


async def test_a_body_at_the_limit_is_read() -> None:
    async with client_of(make_proxy(max_body=4000)) as http:
        response = await http.post(CHAT, json=ask("x" * 3000))
        assert response.status == 200
