from __future__ import annotations

import json
import logging

import pytest

from tests.server.doubles import ask, client_of, make_proxy
from tests.server.raw_http import exchange, request

CHAT = "POST /v1/chat/completions"
SECRET = "sk-secret-0123456789"
KEY = f"Authorization: Bearer {SECRET}"


def streamed() -> bytes:
    return json.dumps(ask(stream=True)).encode()


NO_REQUESTS = {
    "long header": (request(CHAT, KEY + "a" * 9000), 431),
    "long header name": (request(CHAT, f"{SECRET}{'a' * 9000}: x"), 431),
    "long URL": (request(f"GET /v1/models?api_key={SECRET}&x={'a' * 9000}"), 431),
    "many headers": (request(CHAT, *[f"x-{n}: {SECRET}" for n in range(200)]), 431),
    "control character": (request(CHAT, f"{KEY}\x01"), 400),
    "NUL in the path": (request(f"GET /v1/{SECRET}\x00"), 400),
    "bytes in the path": (request("GET /v1/mod\xc3\xa4ls", KEY), 400),
    "no request": (f"{SECRET} hello\r\n\r\n".encode(), 400),
    "unknown method": (request("BREW /v1/models", KEY), 400),
    "line feeds alone": (f"GET /v1/models HTTP/1.1\nHost: x\n{KEY}\n\n".encode(), 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + SECRET.encode(), 400),
    "no Host": (request("GET /v1/models HTTP/1.1", KEY), 400),
    "two Hosts": (request("GET /v1/models", "Host: other", KEY), 400),
    "no length": (request(CHAT, f"Content-Length: {SECRET}"), 400),
    "two lengths": (request(CHAT, "Content-Length: 3", "Content-Length: 4", KEY, body=b"{}"), 400),
    "length and chunks": (request(CHAT, "Content-Length: 3", "Transfer-Encoding: chunked", KEY), 400),
    "bad chunk": (request(CHAT, "Transfer-Encoding: chunked", body=f"{SECRET}\r\n".encode()), 400),
    "header without a name": (request(CHAT, f": {SECRET}"), 400),
}


@pytest.mark.parametrize(("sent", "status"), NO_REQUESTS.values(), ids=NO_REQUESTS)
async def test_what_is_no_request_is_refused_in_json_without_a_byte_of_it(
    sent: bytes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with client_of(make_proxy(api_keys=(("a", SECRET),))) as http:
        got = await exchange(http, sent)
    assert (got.status, got.closed) == (status, True)
    assert got.headers["content-type"] == "application/json" and got.headers["connection"] == "close"
    assert got.json()["error"].keys() == {"message", "type", "param", "code"}
    assert got.headers["x-request-id"].startswith("req_") and got.headers["x-request-id"] in caplog.text
    assert SECRET[:9].encode() not in got.data and SECRET[:9] not in caplog.text


@pytest.mark.parametrize(
    "path", ["/v1/messages", "/v1/v1/messages", "/messages?beta=true", "/v1/messages/count_tokens"]
)
async def test_below_anthropics_paths_in_anthropics_words(path: str) -> None:
    async with client_of(make_proxy()) as http:
        got = await exchange(http, request(f"POST {path}", f"x-api-key: {'a' * 9000}"))
        split = await exchange(http, request(f"POST {path}")[:-2], b"x-a: " + b"a" * 9000 + b"\r\n\r\n")
    for answer in (got, split):
        assert answer.status == 431 and answer.json()["error"]["type"] == "invalid_request_error"
        assert answer.json()["request_id"] == answer.headers["request-id"] == answer.headers["x-request-id"]


async def test_a_body_whose_chunks_break_later_has_one_answer() -> None:
    async with client_of(make_proxy()) as http:
        head = request(CHAT, "Transfer-Encoding: chunked")
        got = await exchange(http, head, b'5\r\n{"mod\r\n', b"zz\r\nsecret\r\n")
    assert (got.status, got.closed) == (400, True) and got.data.count(b"HTTP/1.") == 1
    assert got.json()["error"]["code"] == "unreadable_body" and b"secret" not in got.data


async def test_a_body_that_never_ends_is_given_up() -> None:
    async with client_of(make_proxy(timeout_s=0.2)) as http:
        got = await exchange(http, request(CHAT, "Content-Length: 500", body=b'{"model":'))
    assert (got.status, got.headers["connection"]) == (400, "close")
    assert "Content-Length" in got.json()["error"]["message"]


async def test_what_follows_a_whole_request_does_not_break_it() -> None:
    async with client_of(make_proxy(start_delay_s=0.2)) as http:
        got = await exchange(http, request(CHAT, body=json.dumps(ask()).encode()), b"nonsense\r\n\r\n")
    first, _, second = got.data.partition(b"HTTP/1.0 400")
    assert first.startswith(b"HTTP/1.1 200") and got.closed and b"not a valid HTTP/1.1 request" in second


async def test_a_second_request_behind_a_broken_one_is_not_served() -> None:
    proxy = make_proxy()
    async with client_of(proxy) as http:
        smuggled = request(CHAT, body=json.dumps(ask()).encode())
        packed = request(CHAT, "Content-Encoding: gzip", body=b"no gzip") + smuggled
        got = await exchange(http, packed)
    assert (got.status, got.closed) == (400, True) and got.data.count(b"HTTP/1.") == 1
    assert proxy.backend.generations == []


async def test_other_refusals_of_the_framework() -> None:
    async with client_of(make_proxy(api_keys=(("a", SECRET),))) as http:
        for line in ("POST /v1/chat/completions", "GET /v1/models", "GET /nowhere"):
            got = await exchange(http, request(line, KEY, "Expect: bananas", "Connection: close"))
            assert (got.status, got.json()["error"]["type"]) == (417, "invalid_request_error"), line
            assert "x-request-id" in got.headers
        got = await exchange(http, request("POST /v1/messages", KEY, "Expect: bananas", "Connection: close"))
        assert (got.status, got.json()["type"]) == (417, "error")
        got = await exchange(http, request("CONNECT other:443", KEY, "Connection: close"))
        assert (got.status, got.json()["error"]["code"]) == (405, "method_not_allowed")
        got = await exchange(http, request("OPTIONS *", "Connection: close"))
        assert got.status == 204 and "OPTIONS" in got.headers["allow"]
        got = await exchange(http, request("GET http://elsewhere/v1/models", KEY, "Connection: close"))
        assert got.status == 200


STREAMS: dict[str, dict[str, object]] = {
    "/v1/chat/completions": {"messages": ask()["messages"]},
    "/v1/messages": {"messages": ask()["messages"], "max_tokens": 8},
    "/v1/responses": {"input": "hello"},
    "/v1/completions": {"prompt": "hello"},
}


@pytest.mark.parametrize("connection", [(), ("Connection: close",), ("Connection: keep-alive",)])
async def test_http_1_0_ends_a_stream_by_closing_and_never_has_chunks(connection: tuple[str, ...]) -> None:
    async with client_of(make_proxy(start_delay_s=0.15, keepalive_s=0.05)) as http:
        for path, fields in STREAMS.items():
            body = {"model": "fake", "stream": True, **fields}
            sent = request(f"POST {path} HTTP/1.0", *connection, body=json.dumps(body).encode())
            got = await exchange(http, sent)
            assert (got.version, got.status, got.closed) == ("HTTP/1.0", 200, True), path
            assert "transfer-encoding" not in got.headers and "content-length" not in got.headers
            assert got.headers.get("connection", "close") == "close"
            assert got.body.endswith(b"\n\n") and got.body.startswith((b"data: ", b"event: ", b": "))


async def test_http_1_0_may_keep_a_connection_whose_answers_have_a_length() -> None:
    sent = request(f"{CHAT} HTTP/1.0", "Connection: keep-alive", body=json.dumps(ask()).encode())
    async with client_of(make_proxy()) as http:
        got = await exchange(http, sent)
        assert (got.closed, got.headers["connection"]) == (False, "keep-alive")
        assert len(got.body) == int(got.headers["content-length"])
        assert (await exchange(http, sent.replace(b"keep-alive", b"close"))).closed
        assert (await exchange(http, request("GET /v1/models HTTP/1.0"))).closed


@pytest.mark.parametrize("value", ["close", "Close", "TE, close", "close, TE"])
async def test_a_stream_on_a_connection_that_is_to_close_closes_it(value: str) -> None:
    async with client_of(make_proxy()) as http:
        got = await exchange(http, request(CHAT, f"Connection: {value}", body=streamed()))
        assert (got.status, got.closed) == (200, True)
        assert got.headers["connection"] == "close" and got.headers["transfer-encoding"] == "chunked"
        assert got.body.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        got = await exchange(http, request(CHAT, body=streamed()))
        assert got.closed is False and "connection" not in got.headers


async def test_head_is_get_without_its_body_and_options_tells_the_methods() -> None:
    proxy = make_proxy(api_keys=(("a", SECRET),))
    async with client_of(proxy) as http:
        await http.post("/kv/v1/documents", json={"id": "d", "text": "t"}, headers={"x-api-key": SECRET})
        paths = [
            "/",
            "/v1/models",
            "/v1/models/fake",
            "/kv/v1/documents",
            "/kv/v1/documents/d",
            "/metrics",
            "/docs",
        ]
        for path in [*paths, "/openapi.json", "/health/live", "/health/ready", "/favicon.ico"]:
            get = await exchange(http, request(f"GET {path}", KEY, "Connection: close"))
            head = await exchange(http, request(f"HEAD {path}", KEY, "Connection: close"))
            assert (get.status, head.status, head.body) == (get.status, get.status, b""), path
            assert get.status in (200, 204)
            if path != "/metrics":  # it counts itself
                assert head.headers.get("content-length") == get.headers.get("content-length"), path
            options = await exchange(http, request(f"OPTIONS {path}", "Connection: close"))
            assert (options.status, options.body) == (204, b""), path
            assert {"GET", "HEAD", "OPTIONS"} <= set(options.headers["allow"].split(", "))
        options = await exchange(http, request("OPTIONS /v1/messages"))
        assert options.headers["allow"] == "OPTIONS, POST"
        options = await exchange(http, request("OPTIONS /nowhere"))
        assert options.status == 404


async def test_no_log_line_holds_a_key_of_a_query(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with client_of(make_proxy()) as http:
        for path in ("/v1/models", "/nowhere", "/v1/chat/completions"):
            for name in ("key", "api_key", "api-key"):
                got = await exchange(http, request(f"GET {path}?{name}={SECRET}", "Connection: close"))
                assert SECRET.encode() not in got.data
        await exchange(http, request(f"GET /{'a' * 5000}", "Connection: close"))
    assert "/nowhere" in caplog.text and SECRET not in caplog.text and "a" * 500 not in caplog.text
