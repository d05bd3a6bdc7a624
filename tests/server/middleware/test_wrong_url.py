from __future__ import annotations

import pytest

from kvproxy.server.middleware.wrong_url import meant
from tests.server.doubles import client_of, make_proxy
from tests.server.raw_http import exchange, request

ROOT = "http://localhost:8321"
CLOSE = "Connection: close"
"""Ends an exchange with its answer, where otherwise silence does."""

WRONG = [
    # path, the right URL's path, base_url
    ("/v1/v1/chat/completions", "/v1/chat/completions", "/v1"),
    ("/chat/completions", "/v1/chat/completions", "/v1"),
    ("/v1/chat/completions/", "/v1/chat/completions", "/v1"),
    ("//v1/chat/completions", "/v1/chat/completions", "/v1"),
    ("/v1//chat/completions", "/v1/chat/completions", "/v1"),
    ("/v1/chat/completions/chat/completions", "/v1/chat/completions", "/v1"),
    ("/openai/v1/chat/completions", "/v1/chat/completions", "/v1"),
    ("/api/v1/chat/completions", "/v1/chat/completions", "/v1"),
    ("/openai/deployments/qwen3-4b/chat/completions?api-version=2024-10-21", "/v1/chat/completions", "/v1"),
    ("/api/chat", "/v1/chat/completions", "/v1"),
    ("/api/tags", "/v1/chat/completions", "/v1"),
    ("/api/generate", "/v1/chat/completions", "/v1"),
    ("/completions", "/v1/completions", "/v1"),
    ("/v1/engines/qwen3-4b/completions", "/v1/completions", "/v1"),
    ("/responses", "/v1/responses", "/v1"),
    ("/v1/v1/responses", "/v1/responses", "/v1"),
    ("/v1/responses/", "/v1/responses", "/v1"),
    ("/responses/resp_1", "/v1/responses/resp_1", "/v1"),
    ("/v1/v1/responses/input_tokens", "/v1/responses/input_tokens", "/v1"),
    ("/embeddings", "/v1/embeddings", "/v1"),
    ("/models", "/v1/models", "/v1"),
    ("/v1/models/", "/v1/models", "/v1"),
    ("/v1/v1/models/org/x", "/v1/models/org/x", "/v1"),
    ("/v1", "/v1/models", "/v1"),
    ("/v1/", "/v1/models", "/v1"),
    ("/v1/v1/messages", "/v1/messages", ""),
    ("/messages", "/v1/messages", ""),
    ("/v1/messages/", "/v1/messages", ""),
    ("/anthropic/v1/messages", "/v1/messages", ""),
    ("/v1/v1/messages/count_tokens", "/v1/messages/count_tokens", ""),
    ("/v1/tokenize", "/tokenize", ""),
    ("/v1/kv/v1/documents", "/kv/v1/documents", ""),
    ("/v1/metrics", "/metrics", ""),
]


@pytest.mark.parametrize(("path", "right", "base"), WRONG, ids=[w[0] for w in WRONG])
@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_the_answer_names_the_right_url(method: str, path: str, right: str, base: str) -> None:
    async with client_of(make_proxy()) as http:
        got = await exchange(
            http,
            request(f"{method} {path}", CLOSE, "Host: localhost:8321").replace(b"Host: localhost\r\n", b""),
        )
    told = got.json()
    assert got.status == 404 and "location" not in got.headers
    message = told["error"]["message"]
    assert f"The right URL is {ROOT}{right}: " in message
    assert message.endswith(f"to {ROOT}{base}")
    assert ("request_id" in told) == right.startswith("/v1/messages")
    assert "api-version" not in message


async def test_what_resembles_nothing_is_told_where_to_look() -> None:
    async with client_of(make_proxy()) as http:
        for path in ("/nowhere", "/v1beta/models/x:generateContent", "/%00", "/..", "/v1/..", "/v1/threads"):
            got = await exchange(http, request(f"GET {path}", CLOSE))
            assert got.status == 404 and "http://localhost/docs" in got.json()["error"]["message"], path
        long = await exchange(http, request(f"GET /{'x' * 5000}", CLOSE))
        assert long.status == 404 and len(long.body) < 600
        hostless = await exchange(http, request("GET /models HTTP/1.0"))
        assert "The right URL is /v1/models" in hostless.json()["error"]["message"]
        tls = await exchange(http, request("GET /models", CLOSE, "X-Forwarded-Proto: https"))
        assert "https://localhost/v1/models" in tls.json()["error"]["message"]


async def test_anthropics_client_is_told_in_its_words() -> None:
    async with client_of(make_proxy()) as http:
        answer = await http.get("/nowhere", headers={"anthropic-version": "2023-06-01"})
        assert (await answer.json())["type"] == "error" and "request-id" in answer.headers
        answer = await http.post("/v1/chat/completions", json={}, headers={"anthropic-version": "2023-06-01"})
        assert (await answer.json()).keys() == {"error"}


def test_nothing_is_meant_by_nothing() -> None:
    assert meant("/") is None and meant("//") is None and meant("/v1/files") is None
