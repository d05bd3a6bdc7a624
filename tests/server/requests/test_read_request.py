from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator

import pytest

from tests.server.doubles import Http, ask, client_of, make_proxy

CHAT = "/v1/chat/completions"


async def talk(http: Http, *lines: bytes, body: bytes = b"") -> bytes:
    """Send raw bytes and read the head of the answer."""
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


SECRET = "sk-secret-0123456789"
NO_OBJECTS = {
    "no JSON": f"{SECRET}".encode(),
    "half of it": f'{{"model": "fake", "key": "{SECRET}'.encode(),
    "no UTF-8": b'{"model": "fa\xffke", "key": "' + SECRET.encode() + b'"}',
    "UTF-16": f'{{"key": "{SECRET}"}}'.encode("utf-16"),
    "deep": b'{"a":' + b"[" * 200_000 + SECRET.encode(),
    "a large number": b'{"a": ' + b"7" * 5000 + b"}",
    "an infinite number": b'{"a": 7e999}',
    "not a number": b'{"a": NaN}',
    "a name twice": f'{{"a": "{SECRET}", "a": "{SECRET}"}}'.encode(),
    "a list": f'["{SECRET}"]'.encode(),
    "NUL": b"\0" * 10,
    "nothing": b"",
}


@pytest.mark.parametrize("path", [CHAT, "/v1/messages", "/v1/responses", "/kv/v1/documents", "/tokenize"])
@pytest.mark.parametrize("body", NO_OBJECTS.values(), ids=NO_OBJECTS)
async def test_a_body_that_is_no_object_is_refused_in_the_dialect_without_a_word_of_it(
    path: str, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with client_of(make_proxy()) as http:
        answer = await http.post(path, data=body, headers={"Content-Type": "application/json"})
        told = await answer.json()
        assert answer.status == 400 and "x-request-id" in answer.headers
        assert ("request_id" in told) == (path == "/v1/messages") and told["error"][
            "type"
        ] == "invalid_request_error"
        assert SECRET not in str(told) and "77777" not in str(told) and SECRET not in caplog.text


async def test_a_body_that_does_not_even_claim_to_be_json_is_told_so() -> None:
    async with client_of(make_proxy()) as http:
        for kind in (
            "multipart/form-data; boundary=x",
            "application/x-www-form-urlencoded",
            "text/plain",
            "nonsense",
        ):
            answer = await http.post(CHAT, data=b"model=fake", headers={"Content-Type": kind})
            message = (await answer.json())["error"]["message"]
            assert answer.status == 400 and "Content-Type: application/json" in message, kind
        for kind in ("application/json; charset=utf-8", "application/vnd.api+json"):
            answer = await http.post(CHAT, data=b"model=fake", headers={"Content-Type": kind})
            assert "Content-Type" not in (await answer.json())["error"]["message"]
        for kind in ("text/plain", "application/x-www-form-urlencoded", "application/octet-stream"):
            answer = await http.post(CHAT, data=json.dumps(ask()), headers={"Content-Type": kind})
            assert answer.status == 200


async def test_the_mark_that_some_shells_put_in_front() -> None:
    async with client_of(make_proxy()) as http:
        assert (await http.post(CHAT, data=b"\xef\xbb\xbf" + json.dumps(ask()).encode())).status == 200
